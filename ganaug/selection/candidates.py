"""Candidate: one way to add synthetic samples, and the list of those that `recommend_counts` compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE

# Samples added to every class by the default strategy once all are as large as the largest. It also caps
# what a multiple of a large class may come to.
EXTRA_PER_CLASS = 1000


@dataclass(frozen=True)
class Candidate:
    """A way to add synthetic samples: how many to each class, and how often a classifier sees them.

    Parameters
    ----------
    strategy : str
        "none": nothing is added. "balance": every class is filled up to the size of the largest.
        "balance+1000": the same, and 1,000 more for every class. "0.5x", "2x", ...: that many times the
        real samples of a class, but no more than the largest class holds, or 1,000 if that is more.
        "synthetic only": no real samples at all; it is measured, and never recommended.
    synthetic_share : float or None
        The share of a class's draws that is synthetic. None: all samples of a class weigh the same.

    Examples
    --------
    >>> import numpy as np
    >>> Candidate("2x", 0.8).to_add(np.array([40, 10, 2])).tolist()
    [80, 20, 4]
    """

    strategy: str
    synthetic_share: float | None

    def __str__(self) -> str:
        if self.synthetic_share is None:
            return self.strategy
        return f"{self.strategy} at {self.synthetic_share:g} of the draws of a class"

    def to_add(self, counts: np.ndarray) -> np.ndarray:
        """Return how many synthetic samples go to each class, (n_classes,); `counts` are the real ones."""
        if self.strategy == "none":
            return np.zeros_like(counts)
        largest = int(counts.max())
        name, _, extra = self.strategy.partition("+")
        if name == "balance":
            return largest - counts + int(extra or 0)
        factor = float(name.removesuffix("x"))
        return np.minimum(np.ceil(factor * counts).astype(int), max(largest, EXTRA_PER_CLASS))

    def synthetic_shares(self, counts: np.ndarray) -> np.ndarray:
        """Return the share of each class's draws that is synthetic, (n_classes,); 0 where none is added."""
        added = self.to_add(counts)
        if self.synthetic_share is None:
            return added / (counts + added)
        return np.where(added > 0, self.synthetic_share, 0.0)


NO_AUGMENTATION = Candidate("none", None)
SYNTHETIC_ONLY = Candidate("synthetic only", None)
# On images it was the best where samples are fewest. All folds try it, and it is preferred.
DEFAULT_CANDIDATE = Candidate(f"balance+{EXTRA_PER_CLASS}", DEFAULT_SYNTHETIC_SHARE)
# Of images the share has to be the same in every class.
IMAGE_CANDIDATES = (DEFAULT_CANDIDATE, Candidate(f"balance+{EXTRA_PER_CLASS}", 0.5))
TABLE_CANDIDATES = (
    Candidate("0.5x", 0.5),
    Candidate("1x", 0.5),
    Candidate("2x", 0.5),
    Candidate("2x", 0.8),
    Candidate("5x", 0.5),
    Candidate("5x", 0.8),
    Candidate("10x", 0.8),
    Candidate("balance", None),
    Candidate(f"balance+{EXTRA_PER_CLASS}", 0.5),
    DEFAULT_CANDIDATE,
)
