"""Class-balanced sample weights, with a given share of each class for synthetic samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# It did best in benchmarks/README.md.
DEFAULT_SYNTHETIC_SHARE = 0.8


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
