"""Sample weights by which classes count alike, and synthetic rows a given share of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# Where nothing else is said: four of five draws of a class, the best in benchmarks/README.md.
DEFAULT_SYNTHETIC_SHARE = 0.8


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
