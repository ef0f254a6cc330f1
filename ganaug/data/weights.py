"""How often samples are drawn: shares of synthetic ones, even class sizes, and class-balanced weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# It did best in benchmarks/README.md, where the smallest class is poor.
DEFAULT_SYNTHETIC_SHARE = 0.8
# Up to the first number of images of the smallest class it is taken whole, from the second on nothing of it.
FEW_IMAGES, ENOUGH_IMAGES = 150, 500


def even_counts(counts: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what makes all classes equally large, with a given share of synthetic samples in each.

    Where only poor classes have synthetic samples, a classifier takes whatever shows that a sample is
    synthetic for the mark of those classes. So real samples are repeated where a class has too few.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,), int
        Real samples. A class that has none gets none.
    shares : ndarray of shape (n_classes,)
        In [0, 1).

    Returns
    -------
    n_repeated, n_synthetic : ndarray of shape (n_classes,), int
        How many real samples of each class are to be repeated, and how many synthetic ones added.

    Examples
    --------
    >>> even_counts(np.array([40, 10]), np.array([0.5, 0.5]))
    (array([ 0, 30]), array([40, 40]))
    """
    total = round((counts / (1 - shares)).max())
    n_synthetic = np.where(counts > 0, np.minimum(np.rint(shares * total).astype(int), total - counts), 0)
    return np.where(counts > 0, total - n_synthetic - counts, 0), n_synthetic


def in_turns(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return so many indices into `labels` of each class, its own in turns; class by class.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Class indices.
    counts : ndarray of shape (n_classes,), int
    """
    return np.concatenate([np.resize(np.flatnonzero(labels == c), n) for c, n in enumerate(counts)])


def filling_shares(counts: np.ndarray) -> np.ndarray:
    """Return the shares by which `even_counts` fills every class up to the largest, and repeats nothing."""
    return 1 - counts / counts.max()


def scarcity(counts: np.ndarray) -> float:
    """Return 1 if the smallest class has 150 images or fewer, 0 if 500 or more, evenly between the two."""
    smallest = counts[counts > 0].min(initial=ENOUGH_IMAGES)
    return float(np.interp(smallest, (FEW_IMAGES, ENOUGH_IMAGES), (1.0, 0.0)))


def automatic_shares(counts: np.ndarray) -> np.ndarray:
    """Return the share of each class's draws that is to be synthetic, by how many real images there are.

    It is 0.8 if the smallest class has 150 images or fewer, 0 if it has 500 or more, and falls evenly
    between the two. It is the same in all classes; see `even_counts`.

    Parameters
    ----------
    counts : ndarray of shape (n_classes,), int
        Real images of each class. Those of which there are none don't count, and get 0.

    Returns
    -------
    ndarray of shape (n_classes,)
    """
    return np.where(counts > 0, DEFAULT_SYNTHETIC_SHARE * scarcity(counts), 0.0)


def default_shares(counts: np.ndarray, *, table: bool) -> np.ndarray:
    """Return the shares by which classes are made even if nothing is asked for; balanced ones get nothing."""
    fill = table or counts.min() == counts.max()
    return filling_shares(counts) if fill else automatic_shares(counts)


def balanced_weights(y: np.ndarray, synthetic: np.ndarray, share: Mapping[Any, float]) -> np.ndarray:
    """Return class-balanced weights, of which synthetic samples have their share in each class.

    The weights sum to the number of real samples. So a classifier is regularised as it would be on
    the real samples alone.

    Parameters
    ----------
    y : ndarray of shape (n,)
    synthetic : ndarray of shape (n,), bool
    share : dict of label to float
        In [0, 1].
    """
    weight = np.zeros(len(y))
    for label, part in share.items():
        for origin, total in ((synthetic, part), (~synthetic, 1 - part)):
            samples = origin & (y == label)
            weight[samples] = total / max(1, samples.sum())
    return weight * (~synthetic).sum() / weight.sum()
