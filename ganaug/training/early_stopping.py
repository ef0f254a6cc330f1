"""EarlyStopping: training ends where samples no longer come nearer to held-out ones, with the best state."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import Networks


class EarlyStopping:
    """Keep the best averaged weights so far, and say when to stop.

    Parameters
    ----------
    distance : callable
        ``distance(networks)``, of the samples of trained networks from held-out ones; smaller is better.
    patience : int
        Training ends after so many distances in a row that are no new minimum.

    Attributes
    ----------
    is_over : bool
    """

    def __init__(self, distance: Callable[[Networks], float], patience: int) -> None:
        self.distance = distance
        self.patience = patience
        self.best: dict[str, Tensor] = {}
        self.least: float = math.inf
        self.n_worse: int = 0

    @property
    def is_over(self) -> bool:
        """Whether there was no new minimum for long."""
        return self.n_worse >= self.patience

    def start(self, averaged: nn.Module) -> None:
        """Take the first weights as the best."""
        self.best = copy.deepcopy(averaged.state_dict())

    def update(self, networks: Networks, averaged: nn.Module) -> float:
        """Return the distance of the networks, whose weights are `averaged`."""
        distance = self.distance(networks)
        self.n_worse += 1
        if distance < self.least:
            self.least, self.n_worse = distance, 0
            self.start(averaged)
        return distance

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"best": self.best, "least": self.least, "n_worse": self.n_worse}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best, self.least, self.n_worse = state["best"], state["least"], state["n_worse"]


def energy_distance(real: Tensor, fake: Tensor, classes: Tensor) -> float:
    """Return the energy distance of samples with their classes from others with the same ones [1]_.

    It is 0 for equal distributions, and grows where a class is missed as well as where its samples are
    unlike the real ones. Each sample is as far from those of other classes, by its class alone, as two real
    ones are apart on average.

    Parameters
    ----------
    real, fake : Tensor of shape (n, ...)
        Encoded samples.
    classes : Tensor of shape (n,)
        Class indices of both.

    Returns
    -------
    float
        Relative to the mean distance of two real samples; unbiased, so it may be below 0.

    References
    ----------
    .. [1] Székely & Rizzo, "Energy statistics: a class of statistics based on distances", 2013.
    """
    real, fake, n = real.flatten(1).double(), fake.flatten(1).double(), len(real)
    scale = torch.pdist(real).mean().clamp(min=1e-12)
    labels = F.one_hot(classes).double() * scale / math.sqrt(2)
    real, fake = torch.cat([real, labels], dim=1), torch.cat([fake, labels], dim=1)
    between = torch.cdist(real, fake)
    between = (between.sum() - between.diagonal().sum()) / (n * (n - 1))
    return float((2 * between - torch.pdist(real).mean() - torch.pdist(fake).mean()) / scale)
