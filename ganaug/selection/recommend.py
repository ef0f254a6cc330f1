"""recommend_counts: how many synthetic samples to add to each class, and at what weight; 0 is an answer."""

from __future__ import annotations

import numbers
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from ganaug.data.containers import as_container
from ganaug.data.labels import as_random_state, check_labels, encode_labels
from ganaug.data.protocol import modality_of
from ganaug.model.estimator import check_n_jobs
from ganaug.selection.candidates import (
    DEFAULT_CANDIDATE,
    IMAGE_CANDIDATES,
    NO_AUGMENTATION,
    SYNTHETIC_ONLY,
    TABLE_CANDIDATES,
    Candidate,
)
from ganaug.selection.recommendation import FidelityCheck, Recommendation
from ganaug.selection.trials import (
    DownstreamClassifier,
    HalvingSearch,
    Scorer,
    Trial,
    balanced_log_likelihood,
)

FALLBACK_ADVICE = "Draw every class equally often, and augment classically."
# With fewer samples of a class, a fold leaves too few of them to learn from and to test on.
MIN_CLASS_SIZE = 6


def recommend_counts(
    gan: Any,
    X: Any,
    y: Any,
    cv: int = 3,
    *,
    n_fits: int | None = None,
    n_jobs: int | None = None,
    classifier: Any = None,
    scorer: Scorer | None = None,
    budget: float | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: bool = False,
) -> Recommendation:
    """Find by cross-validation how many synthetic samples to add to each class; 0 is an answer.

    1. The GAN is fitted anew on each fold: of images only on the first, as a fit takes minutes. Classifiers
       are trained on the fold with and without its samples, and tested on the held-out real ones.
    2. The first fold tries all candidates, the others only the best three (successive halving).
    3. Each candidate's gain over no augmentation gets a 95 % interval. Recommended is the one whose
       interval begins highest, if it begins above 0.

    A class of ten samples can hardly show a significant gain. So images have a default strategy: the same
    share of every class is synthetic, 0.8. It is preferred unless another candidate is significantly better
    than it. The preferred candidate needs no significant gain, only a gain, if the images pass three fidelity
    checks:

    - a classifier hardly distinguishes them from held-out real ones (C2ST AUC of at most 0.9);
    - at most half of them are near duplicates of training images;
    - a classifier trained on them alone is not significantly worse than one trained on real images.

    Parameters
    ----------
    gan : estimator
        A `ConditionalGAN`, or a `QualityGate` around one; cloned.
    X, y
        Real samples, as for `gan.fit`, and their labels.
    cv : int, default=3
        Folds: one in `cv` samples is held out.
    n_fits : int, optional
        On how many of the folds the GAN is fitted. More make the intervals narrower. None: 1 for images, all
        for other data.
    n_jobs : int, optional
        How many fits of the GAN, and then of classifiers, run side by side, as in joblib. None: one.
    classifier : classifier or callable, optional
        One with ``predict_proba``, cloned; or ``callable(X, y, sample_weight) -> fitted classifier``. If
        neither it nor its last pipeline step accepts ``sample_weight``, samples are repeated in proportion
        to their weights. None: `SmallCNNClassifier`; of tables random trees, of features and series
        logistic regression, of these on random convolutions.
    scorer : callable, optional
        ``scorer(y, proba) -> float``, greater is better; of class indices (n,) and probabilities
        (n, n_classes). None: `balanced_log_likelihood`.
    budget : float, optional
        Seconds it may take. If it is expected to take longer, nothing is fitted and nothing recommended.
    random_state : int, RandomState or None
    verbose : bool, default=False
        Print the expected cost before it is spent.

    Returns
    -------
    Recommendation

    Raises
    ------
    ValueError
        If `gan` can't be fitted anew, or a parameter is not of the kind described.

    Notes
    -----
    The intervals are of the samples. They leave out that another fit of the GAN might give another gain,
    and that the first fold counts although it chose the finalists. Where no candidate gains anything, one
    was recommended in 3 % of simulations if gains correlate by 0.8, and in 6.5 % if they don't correlate;
    the nominal rate is 2.5 %.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from ganaug import ConditionalGAN, recommend_counts
    >>> X, y = load_digits(return_X_y=True)
    >>> found = recommend_counts(ConditionalGAN(steps=2), X[:40] / 16, y[:40], random_state=0)
    >>> print(found.reason.partition(":")[0], set(found.to_add.values()))
    Add nothing {0}
    """
    start = time.perf_counter()
    _check_parameters(gan, cv, n_fits, scorer, budget)
    check_n_jobs(n_jobs)
    X = as_container(X)
    rng = as_random_state(random_state)
    classes, labels = encode_labels(check_labels(y, len(X)), least=1)
    counts = np.bincount(labels)
    candidate, trials, fidelity = NO_AUGMENTATION, [], None
    modality = modality_of(X, gan)
    images = modality == "images"
    n_fits = n_fits or (1 if images else cv)
    # Of each class two samples are tested at least.
    reason = _too_small(classes, counts, max(MIN_CLASS_SIZE, 2 * cv if n_fits == 1 else cv))
    if reason is None:
        seeds = rng.randint(2**31 - 1, size=cv + 2).tolist()
        search = HalvingSearch(
            gan,
            X,
            labels,
            classes,
            model=DownstreamClassifier(classifier, modality, counts=counts, seed=seeds[1]),
            score=balanced_log_likelihood if scorer is None else scorer,
            candidates=IMAGE_CANDIDATES if images else TABLE_CANDIDATES,
            seeds=seeds,
            n_fits=n_fits,
            images=images,
            n_jobs=n_jobs,
        )
        reason = _too_expensive(search, y, budget, verbose)
    if reason is None:
        search.run()
        trials, fidelity = [search.trial(finalist) for finalist in search.finalists], _fidelity(search)
        candidate, reason = _select(trials, fidelity, _preferred(search))
    seconds = time.perf_counter() - start
    return Recommendation(classes, counts, candidate, trials, reason, seconds, fidelity)


def _check_parameters(gan: Any, cv: Any, n_fits: Any, scorer: Any, budget: Any) -> None:
    """Raise ValueError unless the parameters of `recommend_counts` are of the kind described."""
    parts = [gan]
    while hasattr(parts[-1], "gan"):  # a gate is fitted anew with what it holds
        parts.append(parts[-1].gan)
    if any(
        isinstance(p, FrozenEstimator) or not (hasattr(p, "fit") and hasattr(p, "get_params")) for p in parts
    ):
        raise ValueError(
            f"`gan` must be an estimator that can be fitted anew on each fold, got {gan!r}: a generator that"
            " has seen the samples it is tested on would always look good."
        )
    if isinstance(cv, bool) or not isinstance(cv, int | np.integer) or cv < 2:
        raise ValueError(f"`cv` must be an integer from 2 up, got {cv!r}.")
    integer = isinstance(n_fits, int | np.integer) and not isinstance(n_fits, bool)
    if n_fits is not None and not (integer and 1 <= n_fits <= cv):
        raise ValueError(f"`n_fits` must be an integer from 1 to `cv`, {cv}, or None, got {n_fits!r}.")
    if not (scorer is None or callable(scorer)):
        raise ValueError(f"`scorer` must be a callable (y, proba), got {scorer!r}.")
    if isinstance(budget, bool) or not (budget is None or isinstance(budget, numbers.Real)):
        raise ValueError(f"`budget` must be a number of seconds or None, got {budget!r}.")


def _too_small(classes: np.ndarray, counts: np.ndarray, least: int) -> str | None:
    """Return why the smallest class is too small for cross-validation; None if it is large enough."""
    smallest = int(counts.argmin())
    n = int(counts[smallest])
    if n >= least:
        return None
    return _add_nothing(
        f"class {classes.tolist()[smallest]} has {n} sample{'' if n == 1 else 's'}, fewer than the {least} it"
        " takes to measure whether synthetic ones help"
    )


def _too_expensive(search: HalvingSearch, y: Any, budget: float | None, verbose: bool) -> str | None:
    """Print what the search costs if `verbose`, and return why that is beyond `budget`; None if it isn't."""
    if not verbose and budget is None:
        return None
    expected = search.expected_seconds(y)
    if verbose:
        print(
            f"{search.n_fits} fit{'s' * (search.n_fits > 1)} of the GAN and {search.n_classifier_fits} of the"
            f" classifier: about {expected:.0f} s."
        )
    if budget is not None and expected > budget:
        return _add_nothing(
            f"to measure whether synthetic samples help takes about {expected:.0f} s, more than the budget of"
            f" {budget:g} s"
        )
    return None


def _fidelity(search: HalvingSearch) -> FidelityCheck | None:
    """Return the fidelity check of a search over images; None of tables."""
    if not search.images:
        return None
    return FidelityCheck(*search.mean_fidelity(), search.trial(SYNTHETIC_ONLY))


def _preferred(search: HalvingSearch) -> list[Candidate]:
    """Return the candidates that need no significant gain: of images those better than the default, or it."""
    if not search.images:
        return []
    better = [c for c in search.finalists if search.trial(c, against=DEFAULT_CANDIDATE).low > 0]
    return better or [DEFAULT_CANDIDATE]


def _select(
    trials: list[Trial], fidelity: FidelityCheck | None = None, preferred: Sequence[Candidate] = ()
) -> tuple[Candidate, str]:
    """Return what to recommend, one of `preferred` if possible, and why."""
    acceptable = [trial for trial in trials if trial.low > 0]
    failed_checks = fidelity.failed_checks() if fidelity is not None else []
    if fidelity is not None and not failed_checks:
        # The first fold let the other finalists through because they did best on it: their gains flatter
        # them, so they need a significant one.
        acceptable += [t for t in trials if t.candidate in preferred and t.low <= 0 < t.gain]
    if not acceptable:
        why = "no candidate gained significantly in cross-validation"
        if failed_checks:
            why += f", and of the images {' and '.join(failed_checks)}"
        return NO_AUGMENTATION, _add_nothing(why)
    best = max(acceptable, key=lambda trial: (trial.candidate in preferred, trial.low))
    why = "it gained significantly in cross-validation"
    if best.low <= 0:
        why = "it gained in cross-validation, not significantly, but the images pass the fidelity checks"
    return best.candidate, f"Add {best.candidate}: {why}."


def _add_nothing(why: str) -> str:
    return f"Add nothing: {why}. {FALLBACK_ADVICE}"
