"""HalvingSearch: candidates compared by cross-validation, and each one's gain as a `Trial`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy import stats
from sklearn import get_config
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from ganaug.data.containers import take
from ganaug.data.labels import seeded_clone
from ganaug.evaluation.classifiers import (
    LinearFeatureClassifier,
    SmallCNNClassifier,
    TreeEnsembleClassifier,
)
from ganaug.evaluation.series_classifier import SeriesClassifier
from ganaug.evaluation.two_sample import c2st_auc, near_duplicate_rate
from ganaug.selection.candidates import (
    DEFAULT_CANDIDATE,
    NO_AUGMENTATION,
    SYNTHETIC_ONLY,
    Candidate,
)
from ganaug.selection.folds import Fold, FoldResult, FoldSamples, draw_samples

Scorer = Callable[[np.ndarray, np.ndarray], float]

# Two dozen of the default classifiers are trained, so each is trained briefly.
CLASSIFIER_STEPS = 600
N_FINALISTS = 3
N_BOOTSTRAP = 1000
# One sample that a classifier is sure to misplace shall not decide.
PROBABILITY_FLOOR = 1e-3


@dataclass(frozen=True)
class Trial:
    """What a candidate gained over no augmentation, with a 95 % interval, in units of the score."""

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
    The default score. It moves with every sample, where accuracy moves only with the few near a decision
    boundary. So a class of ten samples can tell something.
    """
    own = np.log(np.maximum(proba[np.arange(len(y)), y], PROBABILITY_FLOOR))
    return float(np.mean([own[y == c].mean() for c in np.unique(y)]))


class DownstreamClassifier:
    """The classifier that every candidate trains: an estimator, or a function that returns a fitted one."""

    def __init__(self, classifier: Any, modality: str, *, counts: np.ndarray, seed: int) -> None:
        if classifier is None:
            defaults = {
                "images": SmallCNNClassifier(steps=CLASSIFIER_STEPS),
                "table": TreeEnsembleClassifier(balanced=False),
                "features": LinearFeatureClassifier(balanced=False),
                "series": SeriesClassifier(balanced=False),
            }
            classifier = defaults[modality]
        if not callable(classifier) and not hasattr(classifier, "predict_proba"):
            raise ValueError(
                "`classifier` must have predict_proba, or be a callable (X, y, sample_weight), got"
                f" {classifier!r}."
            )
        self.classifier: Any = classifier
        self.seed = seed
        # Draw enough samples that the baseline sees every real one. Otherwise a candidate would seem to
        # gain merely because its synthetic samples are like real ones that the baseline never drew.
        self.n_draws: int = len(counts) * int(counts.max())

    def fit(self, X: Any, y: np.ndarray, weight: np.ndarray) -> Any:
        """Return a classifier fitted on weighted samples."""
        if not hasattr(self.classifier, "fit"):
            return self.classifier(X, y, weight)
        model = seeded_clone(self.classifier, self.seed)
        name = _weight_parameter(model)
        if name is not None:
            return model.fit(X, y, **{name: weight})
        indices = _systematic_resample(weight, self.n_draws, self.seed)
        return model.fit(take(X, indices), y[indices])


class HalvingSearch:
    """Cross-validate candidates by successive halving: the first fold chooses which the others try.

    Parameters
    ----------
    gan : estimator
        Cloned and fitted on each fold.
    X, labels, classes
        Real samples, their class indices, and the labels of the classes.
    model : DownstreamClassifier
    score : callable
    candidates : sequence of Candidate
    seeds : list of int
        One for the folds, one that `model` has, and one for each fold.
    n_fits : int
        So many of the folds are run.
    n_jobs : int or None
        Fits of the GAN, and then classifiers, that run side by side; as in joblib.

    Attributes
    ----------
    finalists : sequence of Candidate
        After `run`, those that all folds tried.
    results : list of FoldResult
        After `run`.
    """

    def __init__(
        self,
        gan: Any,
        X: Any,
        labels: np.ndarray,
        classes: np.ndarray,
        *,
        model: DownstreamClassifier,
        score: Scorer,
        candidates: Sequence[Candidate],
        seeds: list[int],
        n_fits: int,
        images: bool,
        n_jobs: int | None = None,
    ) -> None:
        self.X = X
        self.gan = gan
        self.labels = labels
        self.classes = classes
        self.model = model
        self.score = score
        self.seeds = seeds
        self.n_fits = n_fits
        self.n_jobs = n_jobs
        self.images = images
        self.n_candidates: int = len(candidates)
        self.finalists: Sequence[Candidate] = candidates
        self.results: list[FoldResult] = []

    @property
    def n_classifier_fits(self) -> int:
        """How many classifiers are trained; of images also `SYNTHETIC_ONLY` and the two-sample test."""
        fits = 1 + self.n_candidates + (self.n_fits - 1) * (1 + min(N_FINALISTS, self.n_candidates))
        return fits + (2 * self.n_fits if self.images else 0)

    def expected_seconds(self, y: Any) -> float:
        """Return about how long `run` takes, from a few steps of the GAN and one fit of the classifier."""
        start = time.perf_counter()
        self.model.fit(self.X, self.labels, np.ones(len(self.labels)))
        seconds = self.n_classifier_fits * (time.perf_counter() - start)
        if hasattr(self.gan, "expected_seconds"):
            seconds += self.n_fits * self.gan.expected_seconds(self.X, y)
        return seconds

    def run(self) -> None:
        """Fit the GAN and the classifiers on each fold; keep their predictions for the held-out samples."""
        splitter = StratifiedKFold(len(self.seeds) - 2, shuffle=True, random_state=self.seeds[0])
        splits = splitter.split(np.zeros(len(self.labels)), self.labels)
        folds = [Fold(train, test, seed) for (train, test), seed in zip(splits, self.seeds[2:], strict=True)]
        folds = folds[: self.n_fits]
        if self.n_fits == 1:  # it has this process to itself, and all its threads
            drawn = [draw_samples(*self._drawing(folds[0]))]
        else:
            drawn = Parallel(self.n_jobs)(delayed(draw_samples)(*self._drawing(fold)) for fold in folds)
        self.results = self._test(folds[:1], drawn[:1])
        if self.n_fits > 1:
            self._halve(self.results[0])
            self.results += self._test(folds[1:], drawn[1:])

    def _drawing(self, fold: Fold) -> tuple[Any, ...]:
        """Return the arguments of `draw_samples`."""
        X, labels = take(self.X, fold.train), self.labels[fold.train]
        return self.gan, X, labels, self.classes, self.finalists, fold.seed

    def trial(self, candidate: Candidate, against: Candidate = NO_AUGMENTATION) -> Trial:
        """Return the gain of a candidate, over all folds that were run."""
        tested = np.concatenate([result.test for result in self.results])
        own, base = (
            np.concatenate([result.proba[each] for result in self.results]) for each in (candidate, against)
        )
        order = np.argsort(tested)
        return paired_trial(
            candidate, self.labels[tested[order]], own[order], base[order], self.score, self.seeds[0]
        )

    def mean_fidelity(self) -> tuple[float, float]:
        """Return the AUC of the two-sample test and the rate of near duplicates, means over the folds."""
        pairs = [(result.c2st_auc, result.near_duplicate_rate) for result in self.results]
        auc, rate = np.array(pairs, dtype=float).mean(0).tolist()
        return auc, rate

    def _test(self, folds: Sequence[Fold], drawn: Sequence[tuple[Any, np.ndarray]]) -> list[FoldResult]:
        """Return what classifiers that each candidate trained say of the held-out samples of each fold."""
        tried = [NO_AUGMENTATION, *([SYNTHETIC_ONLY] if self.images else []), *self.finalists]
        calls = (
            call for fold, own in zip(folds, drawn, strict=True) for call in self._calls(fold, own, tried)
        )
        found = iter(Parallel(self.n_jobs)(calls))
        results = []
        for fold in folds:
            proba = {candidate: next(found) for candidate in tried}
            results.append(FoldResult(fold.test, proba, *([next(found), next(found)] if self.images else [])))
        return results

    def _calls(self, fold: Fold, drawn: tuple[Any, np.ndarray], tried: Sequence[Candidate]) -> Iterator[Any]:
        """Yield the calls that test each candidate, and of images two more: the checks of fidelity."""
        samples = FoldSamples(take(self.X, fold.train), self.labels[fold.train], *drawn)
        X_test = take(self.X, fold.test)
        for candidate in tried:
            yield delayed(self._predict)(samples.training_set(candidate), X_test)
        if self.images:
            yield delayed(c2st_auc)(*samples.parts, X_test, self.labels[fold.test], fold.seed)
            yield delayed(near_duplicate_rate)(*samples.parts)

    def _predict(self, training_set: tuple[Any, np.ndarray, np.ndarray], X_test: Any) -> np.ndarray:
        return self.model.fit(*training_set).predict_proba(X_test)

    def _halve(self, result: FoldResult) -> None:
        """Keep the candidates that did best on a fold, and of images the default one too."""
        y = self.labels[result.test]
        ranked = sorted(self.finalists, key=lambda c: -self.score(y, result.proba[c]))
        always = [DEFAULT_CANDIDATE] if self.images else []
        self.finalists = tuple(dict.fromkeys(always + ranked))[:N_FINALISTS]


def paired_trial(
    candidate: Candidate, labels: np.ndarray, proba: np.ndarray, base: np.ndarray, score: Scorer, seed: int
) -> Trial:
    """Return the gain in the score of `proba` over `base`, with a t interval.

    The standard error is that of a paired bootstrap over samples, class by class. For a class of n samples
    the bootstrap underestimates it by a factor of sqrt(1 - 1/n), which is corrected for the smallest class.
    That class also gives the degrees of freedom, n - 1.
    """
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(labels == c) for c in range(proba.shape[1])]
    gains = []
    for _ in range(N_BOOTSTRAP):
        drawn = np.concatenate([rng.choice(own, len(own)) for own in by_class])
        gains.append(score(labels[drawn], proba[drawn]) - score(labels[drawn], base[drawn]))
    gain = score(labels, proba) - score(labels, base)
    smallest = min(len(own) for own in by_class)
    # The best of several candidates is looked at: each interval is wider for it (Bonferroni).
    quantile = stats.t.ppf(1 - 0.025 / N_FINALISTS, smallest - 1)
    half_width = quantile * np.std(gains) / np.sqrt(1 - 1 / smallest)
    return Trial(candidate, gain, float(gain - half_width), float(gain + half_width))


def _systematic_resample(weight: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return `n` indices, each as often as its weight says, to within one (systematic sampling)."""
    bounds = np.cumsum(weight)
    points = (np.random.default_rng(seed).random() + np.arange(n)) / n * bounds[-1]
    return np.searchsorted(bounds, points, side="right").clip(max=len(weight) - 1)


def _weight_parameter(model: Any) -> str | None:
    """Return the name under which ``fit`` takes sample weights; None if it takes none."""
    if has_fit_parameter(model, "sample_weight"):
        return "sample_weight"
    # With routing it is the user's to say who gets weights, and a step that resamples would lose them.
    if not isinstance(model, Pipeline) or get_config()["enable_metadata_routing"]:
        return None
    name, last = model.steps[-1]
    resampled = any(hasattr(step, "fit_resample") for _, step in model.steps)
    return f"{name}__sample_weight" if not resampled and has_fit_parameter(last, "sample_weight") else None
