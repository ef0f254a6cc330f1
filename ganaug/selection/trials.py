"""recommend_counts: how many synthetic rows to add to each class, at what weight; 0 is an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from ganaug.data.containers import concat, take
from ganaug.data.labels import fit_clone, seeded_clone
from ganaug.data.weights import balanced_weights
from ganaug.evaluation.classifiers import SmallCNNClassifier, TreeEnsembleClassifier
from ganaug.selection.candidates import ALONE, Candidate

Scorer = Callable[[np.ndarray, np.ndarray], float]

MAX_PER_CLASS = 1000  # samples of each class that a fold draws; more of them taught a classifier no more
CLASSIFIER_STEPS = 600  # of the default classifier, which is trained two dozen times
N_FINALISTS = 3  # candidates that the first fold lets through to the others
N_BOOTSTRAP = 1000  # of the rows, for an interval
PROBABILITY_FLOOR = 1e-3  # that counts: one row that a classifier is sure to misplace shall not decide


@dataclass(frozen=True)
class Trial:
    """What a candidate gained over adding nothing, with a 95 % interval, in units of the score."""

    candidate: Candidate
    gain: float
    low: float
    high: float


def balanced_log_likelihood(y: np.ndarray, proba: np.ndarray) -> float:
    """Return the mean log-probability of the true class, every class weighing the same.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Class indices.
    proba : ndarray of shape (n, n_classes)

    Notes
    -----
    The default score: it moves with every row, where accuracy moves with the few on the border,
    so that a class of ten rows can tell something.
    """
    own = np.log(np.maximum(proba[np.arange(len(y)), y], PROBABILITY_FLOOR))
    return float(np.mean([own[y == c].mean() for c in np.unique(y)]))


class DownstreamClassifier:
    """The classifier that judges, whatever its kind."""

    def __init__(self, classifier: Any, *, images: bool, counts: np.ndarray, seed: int) -> None:
        if classifier is None:
            classifier = (
                SmallCNNClassifier(steps=CLASSIFIER_STEPS)
                if images
                else TreeEnsembleClassifier(balanced=False)
            )
        if not callable(classifier) and not hasattr(classifier, "predict_proba"):
            raise ValueError(
                "`classifier` must have predict_proba, or be a callable (X, y, sample_weight), got"
                f" {classifier!r}."
            )
        self.classifier, self.seed = classifier, seed
        # Where rows are drawn: as many for each candidate, and so many that adding nothing leaves none
        # out. One that was, but that synthetic rows are like, would count as their gain.
        self.drawn = len(counts) * int(counts.max())

    def fit(self, X: Any, y: np.ndarray, weight: np.ndarray) -> Any:
        """Return a classifier fitted on weighted rows."""
        if not hasattr(self.classifier, "fit"):
            return self.classifier(X, y, weight)
        model = seeded_clone(self.classifier, self.seed)
        name = _weight_name(model)
        if name is not None:
            return model.fit(X, y, **{name: weight})
        rows = _repeated(weight, self.drawn, self.seed)
        return model.fit(take(X, rows), y[rows])


class FoldSamples:
    """A GAN fitted on the rows of a fold, and its samples, of which each candidate takes the first.

    A candidate that adds more than `MAX_PER_CLASS` to a class gives those it gets as much weight.
    """

    def __init__(
        self, gan: Any, X: Any, labels: np.ndarray, classes: np.ndarray, tried: Sequence[Candidate], seed: int
    ) -> None:
        self.X, self.labels = X, labels
        self.counts = np.bincount(labels)
        self.most = np.max([candidate.to_add(self.counts) for candidate in tried], axis=0).clip(
            max=MAX_PER_CLASS
        )
        generator = fit_clone(gan, X, classes[labels], seed)
        self.synthetic = generator.sample(np.repeat(classes, self.most), random_state=seed)
        self.made = np.repeat(np.arange(len(classes)), self.most)  # their class indices
        self.starts = np.cumsum(self.most) - self.most

    def training_set(self, candidate: Candidate) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return rows, class indices and weights."""
        if candidate == ALONE:
            return self.synthetic, self.made, np.full(len(self.made), len(self.labels) / len(self.made))
        added = np.minimum(candidate.to_add(self.counts), self.most)
        taken = np.concatenate([start + np.arange(n) for start, n in zip(self.starts, added, strict=True)])
        new = np.repeat(np.arange(len(added)), added)
        labels = np.concatenate([self.labels, new])
        synthetic = np.arange(len(labels)) >= len(self.labels)
        weight = balanced_weights(labels, synthetic, dict(enumerate(candidate.shares(self.counts))))
        return concat([self.X, take(self.synthetic, taken)]), labels, weight


def paired_trial(
    candidate: Candidate, labels: np.ndarray, proba: np.ndarray, base: np.ndarray, score: Scorer, seed: int
) -> Trial:
    """Return the gain over `base`, with a t interval.

    Its standard error is that of a paired bootstrap over rows, class by class; of a class of n rows
    that falls short by sqrt(1 - 1/n). Degrees of freedom are those of the smallest class.
    """
    rng = np.random.default_rng(seed)
    own = [np.flatnonzero(labels == c) for c in range(proba.shape[1])]
    gains = []
    for _ in range(N_BOOTSTRAP):
        rows = np.concatenate([rng.choice(mine, len(mine)) for mine in own])
        gains.append(score(labels[rows], proba[rows]) - score(labels[rows], base[rows]))
    gain = score(labels, proba) - score(labels, base)
    least = min(len(mine) for mine in own)
    # The best of several candidates is looked at: each interval is wider for it (Bonferroni).
    width = stats.t.ppf(1 - 0.025 / N_FINALISTS, least - 1) * np.std(gains) / np.sqrt(1 - 1 / least)
    return Trial(candidate, gain, float(gain - width), float(gain + width))


def _weight_name(model: Any) -> str | None:
    """Return the name under which ``fit`` takes the weights of rows; None if it takes none."""
    if has_fit_parameter(model, "sample_weight"):
        return "sample_weight"
    # With routing it is the user's to say who gets weights, and a step that resamples would lose them.
    if not isinstance(model, Pipeline) or get_config()["enable_metadata_routing"]:
        return None
    name, last = model.steps[-1]
    resampled = any(hasattr(step, "fit_resample") for _, step in model.steps)
    return f"{name}__sample_weight" if not resampled and has_fit_parameter(last, "sample_weight") else None


def _repeated(weight: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return `n` indices of rows, each as often as its weight says, to within one (systematic sampling)."""
    bounds = np.cumsum(weight)
    points = (np.random.default_rng(seed).random() + np.arange(n)) / n * bounds[-1]
    return np.searchsorted(bounds, points, side="right").clip(max=len(weight) - 1)
