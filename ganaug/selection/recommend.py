"""recommend_counts: how many synthetic rows to add to each class, at what weight; 0 is an answer."""

from __future__ import annotations

import numbers
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold

from ganaug.data.containers import as_container, take
from ganaug.data.labels import as_random_state, check_labels, encode_labels
from ganaug.data.weights import balanced_weights
from ganaug.evaluation.two_sample import c2st_auc, near_duplicate_rate
from ganaug.selection.candidates import ALONE, CANDIDATES, NOTHING, USUAL, Candidate
from ganaug.selection.trials import (
    N_FINALISTS,
    DownstreamClassifier,
    FoldSamples,
    Scorer,
    Trial,
    balanced_log_likelihood,
    paired_trial,
)

FALLBACK_ADVICE = "Draw every class equally often, and augment classically."
LEAST_ROWS = 6  # of a class: with fewer, a fold leaves too little to learn from and to test on
# Where a data set is too small to show a gain, images count as fidelity up to these.
MAX_C2ST_AUC = 0.9  # area under the ROC curve of a classifier that tells them from real ones
MAX_NEAR_DUPLICATES = 0.5  # share of copies


@dataclass(frozen=True)
class FidelityCheck:
    """What speaks for and against images themselves, over all folds.

    Attributes
    ----------
    c2st_auc : float
        Area under the ROC curve of a classifier that tells them from held-out real ones.
    near_duplicate_rate : float
        The share that are copies of training images.
    tstr_gain : Trial
        What a classifier gains that learns from them alone, over one that learns from real ones.
    """

    c2st_auc: float
    near_duplicate_rate: float
    tstr_gain: Trial

    def failed_checks(self) -> list[str]:
        """Return why they are not to be trusted, in plain words."""
        found = []
        if self.c2st_auc > MAX_C2ST_AUC:
            found.append(
                f"a classifier tells them from real ones (area under its ROC curve {self.c2st_auc:.2f})"
            )
        if self.near_duplicate_rate > MAX_NEAR_DUPLICATES:
            found.append(f"{self.near_duplicate_rate:.0%} are copies of training images")
        if self.tstr_gain.high < 0:
            found.append("alone they teach a classifier less than real ones do")
        return found

    def __str__(self) -> str:
        return (
            f"told from real ones with an area under the ROC curve of {self.c2st_auc:.3f}, {self.near_duplicate_rate:.0%}"
            f" copies, alone {self.tstr_gain.gain:+.4f} ({self.tstr_gain.low:+.4f} to {self.tstr_gain.high:+.4f})"
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
    fidelity : FidelityCheck or None
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
        fidelity: FidelityCheck | None = None,
    ) -> None:
        added, shares = candidate.to_add(counts), candidate.shares(counts)
        labels = classes.tolist()
        self.candidate, self.trials, self.reason, self.seconds = candidate, trials, reason, seconds
        self.fidelity = fidelity
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
        lines += [f"  The images themselves: {self.fidelity}"] if self.fidelity else []
        return "\n".join(lines)


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
    draws. It is preferred unless another is shown to be better here, and if the images are fidelity what
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
        None: `SmallCNNClassifier` for images, extremely randomised trees for tables.
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
            f"`gan` must be an estimator that can be fitted anew on each fold, got {gan!r}: a generator that"
            " has seen the rows it is tested on would always look good."
        )
    if isinstance(cv, bool) or not isinstance(cv, int | np.integer) or cv < 2:
        raise ValueError(f"`cv` must be an integer from 2 up, got {cv!r}.")
    if not (scorer is None or callable(scorer)):
        raise ValueError(f"`scorer` must be a callable (y, proba), got {scorer!r}.")
    if isinstance(budget, bool) or not (budget is None or isinstance(budget, numbers.Real)):
        raise ValueError(f"`budget` must be a number of seconds or None, got {budget!r}.")
    X = as_container(X)
    random = as_random_state(random_state)
    classes, labels = encode_labels(check_labels(y, len(X)), least=1)
    counts = np.bincount(labels)

    def answer(
        candidate: Candidate,
        reason: str,
        trials: list[Trial] | None = None,
        fidelity: FidelityCheck | None = None,
    ) -> Recommendation:
        seconds = time.perf_counter() - start
        return Recommendation(classes, counts, candidate, trials or [], reason, seconds, fidelity)

    least = max(LEAST_ROWS, cv)
    if counts.min() < least:
        which = int(counts.argmin())
        return answer(
            NOTHING,
            f"Add nothing: class {classes.tolist()[which]} has {_rows(counts[which])}, fewer than the {least}"
            f" it takes to see whether synthetic ones help. {FALLBACK_ADVICE}",
        )
    seeds = random.randint(2**31 - 1, size=cv + 2)
    folds = StratifiedKFold(cv, shuffle=True, random_state=seeds[0])
    images = X.ndim > 2
    model = DownstreamClassifier(classifier, images=images, counts=counts, seed=int(seeds[1]))
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
            f" budget of {budget:g} s. {FALLBACK_ADVICE}",
        )
    tried: tuple[Candidate, ...] = CANDIDATES
    proba = {c: np.full((len(labels), len(classes)), np.nan) for c in (NOTHING, ALONE, *tried)}
    aucs, near_duplicates = [], []
    for k, ((inside, outside), seed) in enumerate(
        zip(folds.split(np.zeros(len(labels)), labels), seeds[2:].tolist(), strict=True)
    ):
        pool = FoldSamples(gan, take(X, inside), labels[inside], classes, tried, seed)
        real = take(X, outside)
        for candidate in (NOTHING, *([ALONE] if images else []), *tried):
            proba[candidate][outside] = model.fit(*pool.training_set(candidate)).predict_proba(real)
        if images:
            own = pool.X, pool.labels, pool.synthetic, pool.made
            aucs.append(c2st_auc(*own, real, labels[outside], seed))
            near_duplicates.append(near_duplicate_rate(*own))
        if k == 0:  # the first fold chooses who goes on
            best = sorted(tried, key=lambda c: -score(labels[outside], proba[c][outside]))
            tried = tuple(dict.fromkeys(([USUAL] if images else []) + best))[:N_FINALISTS]

    def trial(candidate: Candidate, against: Candidate = NOTHING) -> Trial:
        return paired_trial(candidate, labels, proba[candidate], proba[against], score, int(seeds[0]))

    trials = [trial(candidate) for candidate in tried]
    if not images:
        return answer(*_decided(trials), trials)
    fidelity = FidelityCheck(float(np.mean(aucs)), float(np.mean(near_duplicates)), trial(ALONE))
    better = [candidate for candidate in tried if trial(candidate, against=USUAL).low > 0]
    return answer(*_decided(trials, fidelity, better or [USUAL]), trials, fidelity)


def _decided(
    trials: list[Trial], fidelity: FidelityCheck | None = None, preferred: Sequence[Candidate] = ()
) -> tuple[Candidate, str]:
    """Return what to recommend, and why.

    If possible one of `preferred`: the usual way, or those that are shown to be better than it.
    """
    helped = [trial for trial in trials if trial.low > 0]
    failed_checks = fidelity.failed_checks() if fidelity is not None else []
    if fidelity is not None and not failed_checks:
        # Of the others the first fold let those through that did best on it: their gains flatter them.
        helped += [trial for trial in trials if trial.candidate in preferred and trial.low <= 0 < trial.gain]
    if not helped:
        why = "no way to add synthetic rows helped beyond doubt"
        if failed_checks:
            why += f", and of the images themselves {' and '.join(failed_checks)}"
        return NOTHING, f"Add nothing: {why}. {FALLBACK_ADVICE}"
    best = max(helped, key=lambda trial: (trial.candidate in preferred, trial.low))
    if best.low > 0:
        return best.candidate, f"Add {best.candidate}: it helped in cross-validation."
    return (
        best.candidate,
        f"Add {best.candidate}: it did better in cross-validation, though not beyond doubt, and the images"
        " themselves are fidelity.",
    )


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _fits(cv: int, *, images: bool) -> int:
    """Return how many classifiers are trained; of images also `ALONE` and who tells them apart."""
    fits = 1 + len(CANDIDATES) + (cv - 1) * (1 + N_FINALISTS)
    return fits + (2 * cv if images else 0)


def _expected_seconds(
    gan: Any, model: DownstreamClassifier, X: Any, y: Any, labels: np.ndarray, cv: int
) -> float:
    """Return about how long all will take, by a few steps of the GAN and one fit of the classifier."""
    start = time.perf_counter()
    model.fit(X, labels, np.ones(len(labels)))
    seconds = _fits(cv, images=X.ndim > 2) * (time.perf_counter() - start)
    if hasattr(gan, "expected_seconds"):
        seconds += cv * gan.expected_seconds(X, y)
    return seconds
