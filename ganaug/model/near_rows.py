"""NearRows: rows of the same class and near each other, that a synthetic row of a table takes values of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganaug.data.tables import TableCodec
from ganaug.training.pairs import ClassIndex

# Of the near rows so many, drawn at random, say how probable each category is.
N_DRAWN = 16
BLOCK_SIZE = 1024
# A value is common if so many rows of a class have it. What few rows have in common may be chance.
COMMON_SHARE, COMMON_ROWS = 0.05, 100
# Rows of categories are often equally near: which of them count is drawn.
TIE_NOISE = 1e-4


class NearRows:
    """Draw near rows of the same class, and move synthetic rows towards them.

    SMOTE (Chawla et al. 2002) interpolates between a row and one of its five nearest. Here they are twice
    as many as the square root of the rows of the class, so that in a large class a synthetic row is not
    tied to one real row.

    Parameters
    ----------
    codec : TableCodec
    X : Tensor of shape (n, n_encoded)
        The encoded training rows.
    class_index : ClassIndex
        Of these rows.
    novelty : float in [0, 1]
        See `ConditionalGAN`.
    """

    def __init__(self, codec: TableCodec, X: Tensor, class_index: ClassIndex, novelty: float) -> None:
        self.X = X
        self.codec = codec
        self.class_index = class_index
        self.novelty = novelty

        # Whether a number is one that many rows of its class have.
        self.common: Tensor = torch.zeros(X.shape, dtype=torch.bool)
        for c in (class_index.counts >= COMMON_ROWS).nonzero()[:, 0].tolist():
            members = class_index.members(c)
            for place, _ in codec.number_places(discrete=False):
                _, value, counts = X[members, place].unique(return_inverse=True, return_counts=True)
                self.common[members, place] = (counts >= COMMON_SHARE * len(members))[value]

    def draw(self, sources: Tensor, classes: Tensor, rng: torch.Generator) -> Tensor:
        """Return the indices of rows near each of the rows `sources`, (n,): (n, N_DRAWN), with repetitions.

        `classes` are theirs, (n,). A row is not near itself.
        """
        drawn = torch.empty(len(sources), N_DRAWN, dtype=torch.long)
        for c in classes.unique().tolist():
            own = (classes == c).nonzero()[:, 0]
            for block in own.split(BLOCK_SIZE):
                near = self._nearest(sources[block], c, rng)
                ranks = torch.randint(near.shape[1], (len(block), N_DRAWN), generator=rng)
                drawn[block] = near.gather(1, ranks)
        return drawn

    def _nearest(self, rows: Tensor, c: int, rng: torch.Generator) -> Tensor:
        """Return up to N_DRAWN of the near rows of each of `rows`, of class `c`.

        The nearest N_DRAWN of a random part of the class are as good as N_DRAWN at random of the nearest of
        all of it, and take less time.
        """
        members = self.class_index.members(c)
        count = len(members)
        n_near = max(1, min(round(2 * math.sqrt(count)), count - 1))
        if n_near > N_DRAWN:
            members = members[torch.randperm(count, generator=rng)[: count * N_DRAWN // n_near]]
            n_near = N_DRAWN
        distance = torch.cdist(self.X[rows], self.X[members])
        distance += TIE_NOISE * torch.rand(distance.shape, generator=rng)
        if count > 1:
            distance[rows[:, None] == members] = torch.inf
        return members[distance.topk(n_near, largest=False).indices]

    def move_numbers(self, sources: Tensor, near: Tensor, rng: torch.Generator) -> Tensor:
        """Return the rows at `sources`, (n,), encoded, with their numbers moved towards those of a near row.

        They go a random part of the way, up to all of it at a `novelty` of 0.5. Numbers that are missing in
        either row stay. To or from a value that many rows share, such as 0, a number goes all of the way, if
        the others go half of it or more, or none: what lies between is decoded to that value, which would
        become still more common.
        """
        rows, other = self.X[sources], self.X[near[:, 0]]
        common = self.common[sources] | self.common[near[:, 0]]
        part = min(1.0, 2 * self.novelty) * torch.rand(len(sources), generator=rng)
        moved = rows.clone()
        for place, missing in self.codec.number_places(discrete=False):
            own_part = torch.where(common[:, place], part.round(), part)
            step = own_part * (other[:, place] - rows[:, place])
            if missing is not None:
                step *= (rows[:, missing] < 0) & (other[:, missing] < 0)
            moved[:, place] += step
        return moved

    def take_values(self, samples: Tensor, near: Tensor, rng: torch.Generator) -> Tensor:
        """Return samples (n, n_encoded) whose categories, and numbers of few values, are partly near rows'.

        Each number is replaced with probability `novelty`. The probabilities of categories are averaged, with
        `novelty` as the weight of the near rows.
        """
        mixed = samples.clone()
        for first, end in self.codec.spans:
            frequent = self.X[:, first:end][near].mean(1)
            mixed[:, first:end] = torch.lerp(samples[:, first:end], frequent, self.novelty)
        for place, missing in self.codec.number_places(discrete=True):
            chosen = near.gather(1, torch.randint(N_DRAWN, (len(near), 1), generator=rng))[:, 0]
            taken = torch.rand(len(near), generator=rng) < self.novelty
            if missing is not None:
                taken &= self.X[chosen, missing] < 0
            mixed[:, place] = torch.where(taken, self.X[chosen, place], samples[:, place])
        return mixed
