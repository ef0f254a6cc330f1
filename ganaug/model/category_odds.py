"""Odds that make categories of synthetic rows as frequent, in each class, as in the training rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ganaug.data.tables import TableCodec, category_probabilities
from ganaug.training.pairs import ClassIndex

# Rows that are made of those of each class, each as often, to see how frequent categories become.
LEAST_ROWS, MOST_ROWS = 1024, 4096
# The frequencies that a generator has by itself count as much as so many real rows: those of a small class
# are chance, and a generator that lends it categories of other classes is of more use.
PRIOR_ROWS = 100
ITERATIONS = 8
# A category that a generator nearly never makes would come in rows of all kinds.
MAX_ODDS = 10.0


class CategoryOdds:
    """What the probability of each category is multiplied by, in the samples of each class.

    A generator smooths: it makes rare categories too often, others too seldom. The odds are found by
    iterative proportional fitting (Deming & Stephan 1940): columns are scaled to the frequencies that are
    wanted, rows to a sum of 1, in turns.

    Parameters
    ----------
    codec, X, class_index : as of `ganaug.model.near_rows.NearRows`
    propose : callable
        Called with the indices of rows (n,), their classes (n,) and a generator of random numbers. Returns
        encoded rows that start from those, with probabilities of categories.
    """

    def __init__(
        self,
        codec: TableCodec,
        X: Tensor,
        class_index: ClassIndex,
        propose: Callable[[Tensor, Tensor, torch.Generator], Tensor],
    ) -> None:
        self.places: list[tuple[int, int, int | None]] = list(codec.category_places())
        self.odds: Tensor = torch.ones(len(class_index.counts), X.shape[1])
        if not self.places:
            return
        rng = torch.Generator().manual_seed(0)
        for c in range(len(self.odds)):
            members = class_index.members(c)
            members = members[torch.randperm(len(members), generator=rng)[:MOST_ROWS]]
            sources = members.repeat(math.ceil(LEAST_ROWS / len(members)))
            proposed, rows = propose(sources, torch.full_like(sources, c), rng), X[sources]
            for first, end, missing in self.places:
                # What is missing in the row that a sample starts from, is missing in the sample.
                observed = slice(None) if missing is None else rows[:, missing] < 0
                own = rows[observed, first:end] > 0
                if not len(own):
                    continue
                probability = category_probabilities(proposed[observed, first:end]).double()
                probability /= probability.sum(1, keepdim=True)
                weight = PRIOR_ROWS / (PRIOR_ROWS + int(class_index.counts[c]))
                wanted = torch.lerp(own.double().mean(0), probability.mean(0), weight)
                self.odds[c, first:end] = _fitted(probability, wanted).float()

    def apply(self, rows: Tensor, classes: Tensor) -> Tensor:
        """Return generated rows (n, n_encoded) of `classes`, with the probabilities of categories changed."""
        changed = rows.clone()
        for first, end, _ in self.places:
            old = category_probabilities(rows[:, first:end])
            new = old * self.odds[classes, first:end]
            new *= old.sum(1, keepdim=True) / new.sum(1, keepdim=True)
            changed[:, first:end] = 2 * new - 1
        return changed


def _fitted(probability: Tensor, wanted: Tensor) -> Tensor:
    """Return factors of columns by which the mean of rows of probabilities (n, k) becomes `wanted`, (k,)."""
    factors = torch.ones_like(wanted)
    for _ in range(ITERATIONS):
        weighted = probability * factors
        weighted /= weighted.sum(1, keepdim=True)
        factors = (factors * wanted / weighted.mean(0)).clamp(1 / MAX_ODDS, MAX_ODDS)
    return factors
