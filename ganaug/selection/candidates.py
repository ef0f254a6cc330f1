"""recommend_counts: how many synthetic rows to add to each class, at what weight; 0 is an answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXTRA_PER_CLASS = 1000  # rows added to every class by the rule "beyond", once it is filled up to the largest


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
            return largest - counts + EXTRA_PER_CLASS
        times = float(self.rule.removesuffix("x"))
        return np.minimum(np.ceil(times * counts).astype(int), max(largest, EXTRA_PER_CLASS))

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
