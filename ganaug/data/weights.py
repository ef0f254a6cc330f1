"""recommend_counts: how many synthetic rows to add to each class, at what weight; 0 is an answer."""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from sklearn import get_config
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from ganaug.data import as_random, check_labels, encode_labels, seeded_clone
from ganaug.kinds import as_rows, join, take
from ganaug.probe import ProbeClassifier, TableProbe
from ganaug.sound import copied_share, told_from_real

Scorer = Callable[[np.ndarray, np.ndarray], float]

INSTEAD = "Draw every class equally often, and augment classically."
LEAST_ROWS = 6  # of a class: with fewer, a fold leaves too little to learn from and to test on
BEYOND = 1000  # rows added to every class by the rule "beyond", once it is filled up to the largest
POOLED = 1000  # samples of each class that a fold draws; more of them taught a classifier no more
PROBE_STEPS = 600  # of the default classifier, which is trained two dozen times
FINALISTS = 3  # candidates that the first fold lets through to the others
RESAMPLES = 1000  # of the rows, for an interval
# Where a data set is too small to show a gain, images count as sound up to these.
MOST_TOLD = 0.9  # area under the ROC curve of a classifier that tells them from real ones
MOST_COPIED = 0.5  # share of copies
LEAST_PROBABILITY = 1e-3  # that counts: one row that a classifier is sure to misplace shall not decide


@dataclass(frozen=True)
class Candidate:
    """A way to add: how many rows to each class, and the share of a class's draws that is synthetic."""

    rule: str
    share: float | None  # None: every row of a class weighs the same

    def __str__(self) -> str:
        share = "" if self.share is None else f" at {self.share:g} of the draws of a class"
        return f"{self.rule}{share}"

    def to_add(self, counts: np.ndarray) -> np.ndarray:
        """Return how many rows go to each class, (n_classes,)."""
        largest = int(counts.max())
        if self.rule == "nothing":
            return np.zeros_like(counts)
        if self.rule == "balance":
            return largest - counts
        if self.rule == "beyond":
            return largest - counts + BEYOND
        times = float(self.rule.removesuffix("x"))
        return np.minimum(np.ceil(times * counts).astype(int), max(largest, BEYOND))

    def shares(self, counts: np.ndarray) -> np.ndarray:
        """Return the share of the draws of each class that is synthetic, (n_classes,)."""
        added = self.to_add(counts)
        natural = added / (counts + added)
        return natural if self.share is None else np.where(added > 0, self.share, 0.0)


NOTHING = Candidate("nothing", None)
ALONE = Candidate("alone", None)  # synthetic rows without real ones: measured, never recommended
USUAL = Candidate("beyond", 0.8)  # best where rows are fewest: tried by all folds, and preferred
CANDIDATES = (
    Candidate("0.5x", 0.5),
    Candidate("1x", 0.5),
    Candidate("2x", 0.5),
    Candidate("2x", 0.8),
    Candidate("5x", 0.5),
    Candidate("5x", 0.8),
    Candidate("10x", 0.8),
    Candidate("balance", None),
    Candidate("beyond", 0.5),
    USUAL,
)


@dataclass(frozen=True)
class Trial:
    """What a candidate gained over adding nothing, with a 95 % interval, in units of the score."""

    candidate: Candidate
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Soundness:
    """What speaks for and against images themselves, over all folds.

    Attributes
    ----------
    told : float
        Area under the ROC curve of a classifier that tells them from held-out real ones.
    copied : float
        The share that are copies of training images.
    alone : Trial
        What a classifier gains that learns from them alone, over one that learns from real ones.
    """

    told: float
    copied: float
    alone: Trial

    def doubts(self) -> list[str]:
        """Return why they are not to be trusted, in plain words."""
        found = []
        if self.told > MOST_TOLD:
            found.append(f"a classifier tells them from real ones (area under its ROC curve {self.told:.2f})")
        if self.copied > MOST_COPIED:
            found.append(f"{self.copied:.0%} are copies of training images")
        if self.alone.high < 0:
            found.append("alone they teach a classifier less than real ones do")
        return found

    def __str__(self) -> str:
        return (
            f"told from real ones with an area under the ROC curve of {self.told:.3f}, {self.copied:.0%}"
            f" copies, alone {self.alone.gain:+.4f} ({self.alone.low:+.4f} to {self.alone.high:+.4f})"
        )


class Recommendation:
    """How many rows to add to each class, and at what weight.

    Attributes
    ----------
    to_add : dict
        Rows to add, by label; all 0 where nothing is to be added.
    totals : dict
        Final numbers of rows, by label: what imbalanced-learn's `sampling_strategy` takes.
    synthetic_share : dict
        The share of the draws of a class that is synthetic, by label.
    trials : list of Trial
        Of the candidates that were measured on all folds.
    reason : str
        Why, in plain words.
    seconds : float
        What it took.
    soundness : Soundness or None
        Of images only: what speaks for and against them where the trials leave a doubt.
    """

    def __init__(
        self,
        classes: np.ndarray,
        counts: np.ndarray,
        candidate: Candidate,
        trials: list[Trial],
        reason: str,
        seconds: float,
        soundness: Soundness | None = None,
    ) -> None:
        added, shares = candidate.to_add(counts), candidate.shares(counts)
        labels = classes.tolist()
        self.candidate, self.trials, self.reason, self.seconds = candidate, trials, reason, seconds
        self.soundness = soundness
        self.to_add = dict(zip(labels, added.tolist(), strict=True))
        self.totals = dict(zip(labels, (counts + added).tolist(), strict=True))
        self.synthetic_share = dict(zip(labels, shares.tolist(), strict=True))

    def sample_weight(self, y: Any, synthetic: Any) -> np.ndarray:
        """Return the weight of each row, (n,); see `balanced_weights`.

        Parameters
        ----------
        y : array-like of shape (n,)
            Labels of real and synthetic rows.
        synthetic : array-like of shape (n,), bool

        Raises
        ------
        ValueError
            If a label is not one of those that were recommended for, or no row is real.
        """
        unknown = set(np.unique(y).tolist()) - set(self.synthetic_share)
        if unknown:
            raise ValueError(
                f"`y` must hold labels among {list(self.synthetic_share)}, got {sorted(unknown)[:5]}."
            )
        if np.all(synthetic):
            raise ValueError("`synthetic` must leave some rows real, got none.")
        return balanced_weights(np.asarray(y), np.asarray(synthetic, dtype=bool), self.synthetic_share)

    def __str__(self) -> str:
        lines = [self.reason]
        lines += [
            f"  {trial.candidate}: {trial.gain:+.4f} ({trial.low:+.4f} to {trial.high:+.4f})"
            for trial in self.trials
        ]
        lines += [f"  The images themselves: {self.soundness}"] if self.soundness else []
        return "\n".join(lines)


def balanced_weights(y: np.ndarray, synthetic: np.ndarray, share: Mapping[Any, float]) -> np.ndarray:
    """Return weights by which classes weigh alike, and synthetic rows their share of each.

    All together weigh as much as the real rows did, so that a classifier is regularised as it was
    without the others.

    Parameters
    ----------
    y : ndarray of shape (n,)
    synthetic : ndarray of shape (n,), bool
    share : dict of label to float
    """
    weight = np.zeros(len(y))
    for label, part in share.items():
        for kind, size in ((synthetic, part), (~synthetic, 1 - part)):
            rows = kind & (y == label)
            weight[rows] = size / max(1, rows.sum())
    return weight * (~synthetic).sum() / weight.sum()


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
    own = np.log(np.maximum(proba[np.arange(len(y)), y], LEAST_PROBABILITY))
    return float(np.mean([own[y == c].mean() for c in np.unique(y)]))


def recommend_counts(
    gan: Any,
    X: Any,
    y: Any,
    cv: int = 3,
    *,
    classifier: Any = None,
    scorer: Scorer | None = None,
    budget: float | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: bool = False,
) -> Recommendation:
    """Find out by cross-validation how many synthetic rows to add to each class; 0 is an answer.

    The GAN is fitted anew on each fold, and classifiers trained with and without its rows are
    tested on the real rows it never saw. The first fold tries all `CANDIDATES`, the others the
    best of them. Recommended is the surest one, whose interval of the gain begins highest, if that
    begins above 0. Intervals are of 95 % over those that all folds try, and of the rows: what another
    fit of the GAN would have given, they don't know; nor that the first fold counts although it chose
    (where no candidate gains anything, 3 in 100 times one is recommended instead of 2.5, if gains
    correlate by 0.8, and 6.5 if they don't at all).

    A class of ten rows can hardly show a gain in that way, or which way to add gains most. So there
    is a usual way for images: every class filled up to the largest and by 1,000 more, for 0.8 of its
    draws. It is preferred unless another is shown to be better here, and if the images are sound what
    is preferred needs no proof that it gains, only a gain: if a classifier can't tell them from
    held-out real ones (area under the ROC curve up to 0.9), at most half of them are copies, and what
    learns from them alone is not shown to be worse than what learns from real ones.

    Parameters
    ----------
    gan : estimator
        A `ConditionalGAN`, or a `QualityGate` around one; cloned.
    X, y
        Real rows, as for `gan.fit`, and their labels.
    cv : int
        Folds.
    classifier : classifier or callable, optional
        One with ``predict_proba``, cloned; or ``callable(X, y, sample_weight) -> fitted classifier``.
        One that takes no ``sample_weight``, nor does its last step, gets rows as often as it says.
        None: `ProbeClassifier` for images, extremely randomised trees for tables.
    scorer : callable, optional
        ``scorer(y, proba) -> float``, greater is better; of class indices (n,) and probabilities
        (n, n_classes). None: `balanced_log_likelihood`.
    budget : float, optional
        Seconds it may take.
    random_state : int, RandomState or None
    verbose : bool
        Print the expected cost before it is spent.

    Returns
    -------
    Recommendation

    Raises
    ------
    ValueError
        If `gan` can't be fitted anew, or a parameter is not of the kind described.
    """
    start = time.perf_counter()
    parts = [gan]
    while hasattr(parts[-1], "gan"):  # a gate is fitted anew with what it holds
        parts.append(parts[-1].gan)
    if any(
        isinstance(p, FrozenEstimator) or not (hasattr(p, "fit") and hasattr(p, "get_params")) for p in parts
    ):
        raise ValueError(
            f"`gan` must be an estimator that can be fitted anew on each fold, got {gan!r}: a sampler that"
            " has seen the rows it is tested on would always look good."
        )
    if isinstance(cv, bool) or not isinstance(cv, int | np.integer) or cv < 2:
        raise ValueError(f"`cv` must be an integer from 2 up, got {cv!r}.")
    if not (scorer is None or callable(scorer)):
        raise ValueError(f"`scorer` must be a callable (y, proba), got {scorer!r}.")
    if isinstance(budget, bool) or not (budget is None or isinstance(budget, numbers.Real)):
        raise ValueError(f"`budget` must be a number of seconds or None, got {budget!r}.")
    X = as_rows(X)
    random = as_random(random_state)
    classes, labels = encode_labels(check_labels(y, len(X)), least=1)
    counts = np.bincount(labels)

    def answer(
        candidate: Candidate, reason: str, trials: list[Trial] | None = None, sound: Soundness | None = None
    ) -> Recommendation:
        seconds = time.perf_counter() - start
        return Recommendation(classes, counts, candidate, trials or [], reason, seconds, sound)

    least = max(LEAST_ROWS, cv)
    if counts.min() < least:
        which = int(counts.argmin())
        return answer(
            NOTHING,
            f"Add nothing: class {classes.tolist()[which]} has {_rows(counts[which])}, fewer than the {least}"
            f" it takes to see whether synthetic ones help. {INSTEAD}",
        )
    seeds = random.randint(2**31 - 1, size=cv + 2)
    folds = StratifiedKFold(cv, shuffle=True, random_state=seeds[0])
    images = X.ndim > 2
    model = _Model(classifier, images=images, counts=counts, seed=int(seeds[1]))
    score = balanced_log_likelihood if scorer is None else scorer
    expected = 0.0
    if verbose or budget is not None:
        expected = _expected_seconds(gan, model, X, y, labels, cv)
    if verbose:
        fits = _fits(cv, images=images)
        print(f"{cv} fits of the GAN and {fits} of the classifier: about {expected:.0f} s.")
    if budget is not None and expected > budget:
        return answer(
            NOTHING,
            f"Add nothing: to see whether synthetic rows help takes about {expected:.0f} s, more than the"
            f" budget of {budget:g} s. {INSTEAD}",
        )
    tried: tuple[Candidate, ...] = CANDIDATES
    proba = {c: np.full((len(labels), len(classes)), np.nan) for c in (NOTHING, ALONE, *tried)}
    told, copied = [], []
    for k, ((inside, outside), seed) in enumerate(
        zip(folds.split(np.zeros(len(labels)), labels), seeds[2:].tolist(), strict=True)
    ):
        pool = _Pool(gan, take(X, inside), labels[inside], classes, tried, seed)
        real = take(X, outside)
        for candidate in (NOTHING, *([ALONE] if images else []), *tried):
            proba[candidate][outside] = model.fit(*pool.training_set(candidate)).predict_proba(real)
        if images:
            own = pool.X, pool.labels, pool.synthetic, pool.made
            told.append(told_from_real(*own, real, labels[outside], seed))
            copied.append(copied_share(*own))
        if k == 0:  # the first fold chooses who goes on
            best = sorted(tried, key=lambda c: -score(labels[outside], proba[c][outside]))
            tried = tuple(dict.fromkeys(([USUAL] if images else []) + best))[:FINALISTS]

    def trial(candidate: Candidate, against: Candidate = NOTHING) -> Trial:
        return _trial(candidate, labels, proba[candidate], proba[against], score, int(seeds[0]))

    trials = [trial(candidate) for candidate in tried]
    if not images:
        return answer(*_decided(trials), trials)
    sound = Soundness(float(np.mean(told)), float(np.mean(copied)), trial(ALONE))
    better = [candidate for candidate in tried if trial(candidate, against=USUAL).low > 0]
    return answer(*_decided(trials, sound, better or [USUAL]), trials, sound)


def _decided(
    trials: list[Trial], sound: Soundness | None = None, preferred: Sequence[Candidate] = ()
) -> tuple[Candidate, str]:
    """Return what to recommend, and why.

    If possible one of `preferred`: the usual way, or those that are shown to be better than it.
    """
    helped = [trial for trial in trials if trial.low > 0]
    doubts = sound.doubts() if sound is not None else []
    if sound is not None and not doubts:
        # Of the others the first fold let those through that did best on it: their gains flatter them.
        helped += [trial for trial in trials if trial.candidate in preferred and trial.low <= 0 < trial.gain]
    if not helped:
        why = "no way to add synthetic rows helped beyond doubt"
        if doubts:
            why += f", and of the images themselves {' and '.join(doubts)}"
        return NOTHING, f"Add nothing: {why}. {INSTEAD}"
    best = max(helped, key=lambda trial: (trial.candidate in preferred, trial.low))
    if best.low > 0:
        return best.candidate, f"Add {best.candidate}: it helped in cross-validation."
    return (
        best.candidate,
        f"Add {best.candidate}: it did better in cross-validation, though not beyond doubt, and the images"
        " themselves are sound.",
    )


def fit_clone(gan: Any, X: Any, y: np.ndarray, seed: int | None) -> Any:
    """Return a clone of `gan`, fitted; `seed`, if not None, is set on it and on what it holds."""
    return (clone(gan) if seed is None else seeded_clone(gan, seed)).fit(X, y)


class _Model:
    """The classifier that judges, whatever its kind."""

    def __init__(self, classifier: Any, *, images: bool, counts: np.ndarray, seed: int) -> None:
        if classifier is None:
            classifier = ProbeClassifier(steps=PROBE_STEPS) if images else TableProbe(balanced=False)
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


class _Pool:
    """A GAN fitted on the rows of a fold, and its samples, of which each candidate takes the first.

    A candidate that adds more than `POOLED` to a class gives those it gets as much weight.
    """

    def __init__(
        self, gan: Any, X: Any, labels: np.ndarray, classes: np.ndarray, tried: Sequence[Candidate], seed: int
    ) -> None:
        self.X, self.labels = X, labels
        self.counts = np.bincount(labels)
        self.most = np.max([candidate.to_add(self.counts) for candidate in tried], axis=0).clip(max=POOLED)
        sampler = fit_clone(gan, X, classes[labels], seed)
        self.synthetic = sampler.sample(np.repeat(classes, self.most), random_state=seed)
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
        return join([self.X, take(self.synthetic, taken)]), labels, weight


def _trial(
    candidate: Candidate, labels: np.ndarray, proba: np.ndarray, base: np.ndarray, score: Scorer, seed: int
) -> Trial:
    """Return the gain over `base`, with a t interval.

    Its standard error is that of a paired bootstrap over rows, class by class; of a class of n rows
    that falls short by sqrt(1 - 1/n). Degrees of freedom are those of the smallest class.
    """
    rng = np.random.default_rng(seed)
    own = [np.flatnonzero(labels == c) for c in range(proba.shape[1])]
    gains = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([rng.choice(mine, len(mine)) for mine in own])
        gains.append(score(labels[rows], proba[rows]) - score(labels[rows], base[rows]))
    gain = score(labels, proba) - score(labels, base)
    least = min(len(mine) for mine in own)
    # The best of several candidates is looked at: each interval is wider for it (Bonferroni).
    width = stats.t.ppf(1 - 0.025 / FINALISTS, least - 1) * np.std(gains) / np.sqrt(1 - 1 / least)
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


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _fits(cv: int, *, images: bool) -> int:
    """Return how many classifiers are trained; of images also `ALONE` and who tells them apart."""
    fits = 1 + len(CANDIDATES) + (cv - 1) * (1 + FINALISTS)
    return fits + (2 * cv if images else 0)


def _expected_seconds(gan: Any, model: _Model, X: Any, y: Any, labels: np.ndarray, cv: int) -> float:
    """Return about how long all will take, by a few steps of the GAN and one fit of the classifier."""
    start = time.perf_counter()
    model.fit(X, labels, np.ones(len(labels)))
    seconds = _fits(cv, images=X.ndim > 2) * (time.perf_counter() - start)
    if hasattr(gan, "expected_seconds"):
        seconds += cv * gan.expected_seconds(X, y)
    return seconds
