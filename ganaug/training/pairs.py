"""Random pairs of training samples of one class, and what is made of the difference of their codes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganaug.networks.layers import part_sizes


class ClassIndex:
    """The training samples of each class, from which it draws at random.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Class indices, int64. Every class from 0 to the largest has a sample.

    Attributes
    ----------
    counts : Tensor of shape (n_classes,)
        Samples of each class.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.order: Tensor = torch.from_numpy(np.argsort(labels, kind="stable"))
        self.counts: Tensor = torch.from_numpy(np.bincount(labels))
        self.starts: Tensor = self.counts.cumsum(0) - self.counts

    def members(self, c: int) -> Tensor:
        """Return the indices of the samples of class `c`."""
        start = int(self.starts[c])
        return self.order[start : start + int(self.counts[c])]

    def sample_pairs(self, classes: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the indices of two random samples of each of `classes`, different where it has two."""
        counts, starts = self.counts[classes], self.starts[classes]
        u = torch.rand(2, len(classes), generator=rng, dtype=torch.float64)
        first = (u[0] * counts).long()
        second = (first + 1 + (u[1] * (counts - 1)).long()) % counts
        return self.order[starts + first], self.order[starts + second]

    def sample_classes(self, n: int, frequency_exponent: float, rng: torch.Generator) -> Tensor:
        """Return `n` random classes, with probability proportional to ``counts ** frequency_exponent``."""
        weights = self.counts.double() ** frequency_exponent
        return torch.multinomial(weights, n, replacement=True, generator=rng)


def mix_levels(deltas: Tensor, levels: int, noise_std: float, rng: torch.Generator) -> Tensor:
    """Leave out each delta up to a random level, so that coarse styles stay, then add Gaussian noise.

    The style mixing of StyleGAN (Karras et al., CVPR 2019). Parameters are those of `perturb_deltas`, and
    the number of levels, see `ganaug.networks.layers.part_sizes`.
    """
    first = torch.randint(levels, (len(deltas), 1), generator=rng)
    sizes = torch.tensor(part_sizes(deltas.shape[1], levels))
    changed = torch.arange(levels).repeat_interleave(sizes) >= first
    return deltas * changed.to(deltas.device) + _noise(deltas, noise_std, rng)


def perturb_deltas(deltas: Tensor, noise_std: float, rng: torch.Generator) -> Tensor:
    """Scale each delta by a random factor between 0 and 1, then add Gaussian noise.

    Parameters
    ----------
    deltas : Tensor of shape (n, latent_dim)
        Differences of codes.
    noise_std : float
        Standard deviation of the noise, in units of the code.
    rng : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor of shape (n, latent_dim)
    """
    factor = torch.rand(len(deltas), 1, generator=rng).to(deltas.device)
    return factor * deltas + _noise(deltas, noise_std, rng)


def _noise(deltas: Tensor, noise_std: float, rng: torch.Generator) -> Tensor:
    return noise_std * torch.randn(deltas.shape, generator=rng).to(deltas.device)


def twice(samples: Tensor) -> Tensor:
    """Return samples, then the same ones again."""
    return torch.cat([samples, samples])
