"""Membership: whether the distance to the nearest synthetic sample tells training samples from others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganaug.data.containers import concat
from ganaug.evaluation.estimates import Entry, average_entries, bootstrap, interval, make_entry
from ganaug.evaluation.neighbours import Neighbours
from ganaug.evaluation.samples import MIN_HELD_OUT, LabeledSamples

# One held-out sample in so many may be taken for a training sample: a false positive rate of 1 %.
HELD_OUT_PER_FALSE_POSITIVE = 100
MEMBERSHIP_MEASURES = ("membership_auc", "membership_tpr")


@dataclass(frozen=True)
class MembershipDistances:
    """Distances from samples of a class to the nearest synthetic sample of it.

    Attributes
    ----------
    members : ndarray of float
        Of at most as many training samples as there are held-out ones.
    others : ndarray of float
        Of held-out samples.
    copied : ndarray of bool
        Of held-out samples, whether they equal a training sample.
    """

    members: np.ndarray
    others: np.ndarray
    copied: np.ndarray


def membership_distances(
    train: LabeledSamples,
    synthetic: LabeledSamples,
    held_out: LabeledSamples,
    rng: np.random.RandomState,
    modality: str | None = None,
) -> list[MembershipDistances | None]:
    """Return the distances of each class; None for one of fewer than `MIN_HELD_OUT` held-out samples.

    Parameters
    ----------
    train, synthetic, held_out : LabeledSamples
    rng : RandomState
        Chooses among the training samples of a class, where more are trained on than held out.
    modality : str, optional
        As of `Neighbours`.

    Returns
    -------
    list of MembershipDistances or None
    """
    counts = np.bincount(held_out.y, minlength=train.y.max() + 1)
    found: list[MembershipDistances | None] = [None] * len(counts)
    if counts.max() < MIN_HELD_OUT:
        return found
    # A scale of the training rows alone ends at their extremes, which makes rows beyond them seem close.
    # Members and others are told apart by nothing but the synthetic samples if both set the scale.
    neighbours = Neighbours(
        concat([train.X, held_out.X]) if train.X.ndim == 2 else train.X,
        modality,
    )
    for c in np.flatnonzero(counts >= MIN_HELD_OUT).tolist():
        real, fake, new = (neighbours.encode(s.of_class(c)) for s in (train, synthetic, held_out))
        members = real[rng.permutation(len(real))[: len(new)]]
        found[c] = MembershipDistances(
            members=neighbours.nearest(members, fake).numpy(),
            others=neighbours.nearest(new, fake).numpy(),
            copied=neighbours.nearest(new, real, limit=0.0).numpy() == 0,
        )
    return found


def membership_scores(members: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Return how well a small distance tells members from others.

    Parameters
    ----------
    members, others : ndarray of float
        Their distances.

    Returns
    -------
    auc : float
        The area under the ROC curve: how often a member is closer than another; a tie counts half.
    tpr : float
        The true positive rate where at most 1 % of the others are taken for members.
    """
    others = np.sort(others)
    closer, not_farther = (np.searchsorted(others, members, side) for side in ("left", "right"))
    auc = 1 - float((closer + not_farther).mean()) / (2 * len(others))
    # Strictly closer than this one are at most 1 % of the others.
    first_negative = others[len(others) // HELD_OUT_PER_FALSE_POSITIVE]
    return auc, float((members < first_negative).mean())


def membership(
    train: LabeledSamples,
    synthetic: LabeledSamples,
    held_out: LabeledSamples,
    rng: np.random.RandomState,
    modality: str | None = None,
) -> dict[str, tuple[list[Entry], Entry]]:
    """Return how well the distance to the nearest synthetic sample tells training from held-out samples.

    Parameters
    ----------
    train, synthetic, held_out : LabeledSamples
    rng : RandomState
    modality : str, optional
        As of `Neighbours`.

    Returns
    -------
    dict
        "membership_auc" and "membership_tpr": an entry for each class, and their macro average. A class
        of fewer than `MIN_HELD_OUT` held-out samples has empty entries, and no part in the average.
    """
    distances = membership_distances(train, synthetic, held_out, rng, modality)
    by_class = [[make_entry() for _ in MEMBERSHIP_MEASURES] for _ in distances]
    draws = []
    for c, known in enumerate(distances):
        if known is not None:
            by_class[c], class_draws = _membership_of_class(known, rng)
            draws.append(class_draws)
    found = {}
    for place, name in enumerate(MEMBERSHIP_MEASURES):
        entries = [measures[place] for measures in by_class]
        macro = average_entries(entries)
        if draws:
            macro |= interval(np.mean(draws, axis=0)[:, place])
        found[name] = entries, macro
    return found


def _membership_of_class(
    distances: MembershipDistances, rng: np.random.RandomState
) -> tuple[list[Entry], np.ndarray]:
    """Return the entries of a class, in the order of their names, and their bootstrap draws."""
    members, others = distances.members, distances.others

    def scores_of_draw(index: np.ndarray) -> tuple[float, float]:
        return membership_scores(members[index], others[rng.randint(len(others), size=len(others))])

    draws = bootstrap(scores_of_draw, len(members), rng)
    scores = membership_scores(members, others)
    # Training samples are at no distance from copies of them, and others are at some, unless they are equal.
    copies = membership_scores(np.zeros(len(members)), np.where(distances.copied, 0.0, 1.0))
    chance = (0.5, _chance_tpr(others))
    entries = [
        make_entry(
            value=scores[place], **interval(draws[:, place]), real=chance[place], train_copies=copies[place]
        )
        for place in range(len(MEMBERSHIP_MEASURES))
    ]
    return entries, draws


def _chance_tpr(others: np.ndarray) -> float:
    """Return the true positive rate of held-out samples, each in turn taken for a member among the rest.

    It is above 1 % where few are held out: of 50, one in 50 is closer than all others.
    """
    others = np.sort(others)
    allowed = len(others) // HELD_OUT_PER_FALSE_POSITIVE
    return float((others[: allowed + 1] < others[allowed + 1]).sum()) / len(others)
