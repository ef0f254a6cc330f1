"""Calibration: where the vectors of a class lie and how they spread, with what near classes lend to it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.training.pairs import ClassIndex

# A class of fewer samples lends nothing, unless there is no larger one.
MIN_LENDER_SIZE = 20
# Of the mean squared distance to the classes that lend: at so much more, a class lends 1 / e as much.
NEARNESS_SCALE = 0.3
# What near classes lend of the spread counts as so many samples of the class.
SPREAD_PRIOR_SIZE = 20.0
# What they lend of the mean counts as so many samples at least and at most; how many is estimated.
MEAN_PRIOR_SIZE_RANGE = (1.0, 100.0)
# The sum of a few differences is nearly Gaussian.
N_DIFFERENCES = 3


class Calibration:
    """What a generator of feature vectors begins with: the empirical-Bayes Gaussian of each class.

    The mean of ten vectors is far from that of their class, and says nothing of how these spread. Both are
    completed by the nearest classes that have vectors enough.

    - Classes lend by their distance d, with weights exp(-d ** 2 / s), where s is 0.3 of the mean of d ** 2.
    - The mean is that of the n vectors of the class and of ``prior_size`` more at the mean of near classes.
      By Stein's argument so many are right as the variance within classes is times that between them, which
      the large classes tell [1]_.
    - The spread is that of a mixture: differences of two vectors of the class itself, with weight
      (n - 1) / (n + 19), or else of a near class. As sums of such differences are drawn, no covariance is
      ever formed, and there may be more features than vectors.

    Distribution calibration [2]_ gives each vector of a poor class a Gaussian of its own, of which it is a
    third, and has no estimate of how much to lend.

    Parameters
    ----------
    chunks : iterable of Tensor of shape (k, n_features)
        All encoded vectors, in order.
    labels : ndarray of shape (n,)
        Their class indices, int64.

    Attributes
    ----------
    means, targets : Tensor of shape (n_classes, n_features)
        The mean of each class, and what it is completed to.
    lenders : Tensor of shape (n_classes, n_classes)
        The probability that a difference for the class of the row is one of the class of the column.
    prior_size : float
        Of the mean, in vectors.

    References
    ----------
    .. [1] Efron & Morris, "Data analysis using Stein's estimator and its generalizations", JASA 1975.
    .. [2] Yang, Liu & Xu, "Free lunch for few-shot learning: distribution calibration", ICLR 2021.

    Examples
    --------
    >>> import torch
    >>> labels = torch.tensor([0] * 50 + [1] * 50 + [2] * 2)
    >>> vectors = torch.randn(102, 5, generator=torch.Generator().manual_seed(0)) + 3 * labels[:, None]
    >>> calibration = Calibration([vectors], labels.numpy())
    >>> [round(share, 2) for share in calibration.lenders[2].tolist()]
    [0.02, 0.94, 0.05]
    """

    def __init__(self, chunks: Iterable[Tensor], labels: np.ndarray) -> None:
        self.class_index: ClassIndex = ClassIndex(labels)
        counts = self.class_index.counts.double()
        means, variances = _moments(chunks, torch.from_numpy(labels), counts)
        distances = torch.cdist(means, means, compute_mode="donot_use_mm_for_euclid_dist")
        near = _near_classes(distances, counts)
        own = ((counts - 1) / (counts - 1 + SPREAD_PRIOR_SIZE))[:, None]
        alone = near.sum(dim=1, keepdim=True) == 0  # nobody lends to it
        itself = torch.eye(len(counts), dtype=torch.float64)
        self.lenders: Tensor = torch.where(alone, itself, own * itself + (1 - own) * near)
        self.prior_size: float = _prior_size(distances, variances, counts)
        weight = torch.where(alone, 0.0, self.prior_size / (self.prior_size + counts[:, None]))
        self.means: Tensor = means.float()
        self.targets: Tensor = ((1 - weight) * means + weight * (near @ means)).float()

    def move(self, vectors: Tensor, classes: Tensor, strength: float) -> Tensor:
        """Return vectors (n, n_features) of `classes`, moved from their own place to where the class lies.

        With `strength` s, of its distance to the mean of the class a vector keeps sqrt(1 - s ** 2), and the
        mean goes as far as s towards its target. So the spread stays as it is, once differences of
        s ** 2 times its variance are added. At 1 or more nothing of the vector is left.
        """
        kept, share = math.sqrt(max(0.0, 1 - strength**2)), min(1.0, strength)
        means, targets = (rows.to(vectors.device)[classes] for rows in (self.means, self.targets))
        return means + share * (targets - means) + kept * (vectors - means)

    def differences(
        self, vectors_at: Callable[[Tensor], Tensor], classes: Tensor, rng: torch.Generator
    ) -> Tensor:
        """Return random differences (n, n_features), with the mean 0 and the spread that `classes` have.

        Every second one of a class is the one before it with its sign changed (antithetic variates). So the
        draws of one call scatter about the right mean, however few they are.

        Parameters
        ----------
        vectors_at : callable
            Returns the encoded vectors at some indices (k,).
        classes : Tensor of shape (n,)
        rng : torch.Generator
            On the CPU.
        """
        order = classes.argsort(stable=True)
        ranks = torch.empty_like(order)
        counts = torch.bincount(classes, minlength=len(self.means))
        ranks[order] = torch.arange(len(classes)) - (counts.cumsum(0) - counts)[classes[order]]
        drawn = ranks % 2 == 0
        total = torch.zeros(1, *self.means.shape[1:])
        lenders = torch.multinomial(
            self.lenders[classes[drawn]], N_DIFFERENCES, replacement=True, generator=rng
        )
        for own in lenders.T:
            first, second = self.class_index.sample_pairs(own, rng)
            total = total + (vectors_at(first) - vectors_at(second))
        # The place in `total` of each draw, and that of the one before it in its class.
        places = drawn.cumsum(0) - 1
        sources = places.clone()
        mirrored = order[1:][~drawn[order[1:]]]
        sources[mirrored] = places[order[:-1][~drawn[order[1:]]]]
        signs = torch.where(drawn, 1.0, -1.0)[:, None]
        # Each difference of two has twice the variance of one.
        return signs * total[sources] / math.sqrt(2 * N_DIFFERENCES)

    def sample(self, vectors_at: Callable[[Tensor], Tensor], classes: Tensor, rng: torch.Generator) -> Tensor:
        """Return a random draw for each of `classes`, (n, n_features); see `differences`."""
        return self.targets[classes] + self.differences(vectors_at, classes, rng)

    def deviations(self, real: Tensor, fake: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return by how much real and generated vectors of `classes` differ from what these lie around."""
        means, targets = (rows.to(real.device)[classes] for rows in (self.means, self.targets))
        return real - means, fake - targets


def calibrate(X: Any, labels: np.ndarray, codec: Any) -> Calibration:
    """Return the calibration of training samples `X`, as the user has them, encoded chunk by chunk."""
    starts = range(0, len(labels), codec.chunk_size)
    return Calibration((codec.encode(X[i : i + codec.chunk_size]) for i in starts), labels)


def _moments(chunks: Iterable[Tensor], labels: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of each class, and its variance summed over all features."""
    sums, squares, start = None, torch.zeros_like(counts), 0
    offset = None  # large means would drown the variances
    for chunk in chunks:
        rows = chunk.detach().cpu().double()
        offset = rows.mean(dim=0) if offset is None else offset
        rows, own = rows - offset, labels[start : start + len(rows)]
        sums = torch.zeros(len(counts), rows.shape[1], dtype=torch.float64) if sums is None else sums
        sums.index_add_(0, own, rows)
        squares.index_add_(0, own, rows.square().sum(dim=1))
        start += len(rows)
    assert sums is not None and offset is not None  # noqa: S101 - for the type checker
    means = sums / counts[:, None]
    within = (squares - counts * means.square().sum(dim=1)).clamp(min=0)
    return means + offset, within / (counts - 1).clamp(min=1)


def _near_classes(distances: Tensor, counts: Tensor) -> Tensor:
    """Return how much of what is lent to each class (row) comes from each other one (column)."""
    others = ~torch.eye(len(counts), dtype=torch.bool)
    lends = (counts >= MIN_LENDER_SIZE)[None] & others
    # Where all others are small, those lend that are no smaller than the class itself.
    lends |= (counts[None] >= counts[:, None]) & others & ~lends.any(dim=1, keepdim=True)
    squares = distances.square() * lends
    mean = squares.sum(dim=1, keepdim=True) / lends.sum(dim=1, keepdim=True).clamp(min=1)
    logits = -squares / (NEARNESS_SCALE * mean).clamp(min=torch.finfo(mean.dtype).tiny)
    return logits.masked_fill(~lends, -torch.inf).softmax(dim=1).nan_to_num(0.0)  # where none lends


def _prior_size(distances: Tensor, variances: Tensor, counts: Tensor) -> float:
    """Return the variance within classes over that between them, as the large classes tell."""
    large = (counts >= MIN_LENDER_SIZE).nonzero().flatten()
    large = large if len(large) > 1 else torch.arange(len(counts))
    of_means = variances / counts  # by so much sample means lie beside the true ones
    between = [
        float(distances[i, j].square() - of_means[i] - of_means[j]) / 2
        for i, j in itertools.combinations(large.tolist(), 2)
    ]
    low, high = MEAN_PRIOR_SIZE_RANGE
    variance = float(np.mean(between)) if between else 0.0
    within = float(variances[large].mean())
    return min(max(within / variance, low), high) if variance > 0 else high
