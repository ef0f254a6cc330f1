"""Drawing training rows at random, class by class, and the differences between them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class ClassIndex:
    """The rows of each class, for drawing them at random.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Class indices, int64; every class from 0 to the largest has a row.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.order = torch.from_numpy(np.argsort(labels, kind="stable"))
        self.counts = torch.from_numpy(np.bincount(labels))
        self.starts = self.counts.cumsum(0) - self.counts

    def draw_pairs(self, classes: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the indices of two random rows of each of `classes`, different where it has two."""
        counts, starts = self.counts[classes], self.starts[classes]
        u = torch.rand(2, len(classes), generator=rng, dtype=torch.float64)
        first = (u[0] * counts).long()
        second = (first + 1 + (u[1] * (counts - 1)).long()) % counts
        return self.order[starts + first], self.order[starts + second]

    def draw_classes(self, n: int, power: float, rng: torch.Generator) -> Tensor:
        """Return `n` random classes, each as likely as its number of rows to the given power."""
        return torch.multinomial(self.counts.double() ** power, n, replacement=True, generator=rng)


def perturb_deltas(deltas: Tensor, noise: float, rng: torch.Generator) -> Tensor:
    """Shorten each delta to a random part of it, then add a little noise.

    Parameters
    ----------
    deltas : Tensor of shape (n, latent_dim)
    noise : float
        Standard deviation of the noise, in units of the code.
    """
    share = torch.rand(len(deltas), 1, generator=rng).to(deltas.device)
    return share * deltas + noise * torch.randn(deltas.shape, generator=rng).to(deltas.device)
