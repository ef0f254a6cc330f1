"""Measures of how two sets of features are alike: precision, coverage, authenticity, FID and KID."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from ganaug.training.torch_state import fork_torch_rng

K = 5  # neighbours that make the surroundings of a row
BLOCK = 512  # rows compared at once with all others
EXACT = 4_000_000  # pairs of rows up to which distances are of double precision
FEW_FEATURES = 256  # as a table has: distances one by one cost little
MOST_KID = 500  # rows of a subset, by ten of which it is measured: time and memory grow with the square


def prdc(real: Tensor, fake: Tensor, k: int = K) -> dict[str, Tensor]:
    """Return precision, recall, density, coverage and authenticity, row by row: their means are the measures.

    Parameters
    ----------
    real, fake : Tensor of shape (n, n_features)
        Of more than `k` rows each.
    k : int
        The surroundings of a row reach to its k-th nearest of the same set.

    Returns
    -------
    dict
        "precision", "density" and "authenticity" of each fake row, "recall" and "coverage" of each
        real one.

    References
    ----------
    Kynkaanniemi et al., "Improved precision and recall metric", NeurIPS 2019; Naeem et al.,
    "Reliable fidelity and diversity metrics", ICML 2020. Authenticity, whether a row is farther from
    its nearest real row than that from its own: Alaa et al., "How faithful is your synthetic
    data?", ICML 2022.
    """
    # Of large sets single precision, about the mean: a rounded distance changes nothing there.
    exact = len(real) * len(fake) <= EXACT
    center = real.double().mean(0)
    real, fake = (
        (rows.double() - center).to(torch.double if exact else torch.float) for rows in (real, fake)
    )
    # Of few features distances are taken one by one: by matrix products, those of twins are not 0.
    few = real.shape[1] <= FEW_FEATURES
    mode = "donot_use_mm_for_euclid_dist" if few else "use_mm_for_euclid_dist_if_necessary"
    distance = partial(torch.cdist, compute_mode=mode)
    real_radii, fake_radii = _radii(real, k, distance), _radii(fake, k, distance)[k]
    inside = torch.zeros(len(fake), dtype=torch.double)
    nearest, which = (
        torch.full((len(fake),), torch.inf, dtype=fake.dtype),
        torch.zeros(len(fake), dtype=torch.long),
    )
    recalled, covered = [], []
    for start in range(0, len(real), BLOCK):
        distances = distance(real[start : start + BLOCK], fake)
        within = distances <= real_radii[k][start : start + BLOCK, None]
        inside += within.sum(0)
        recalled.append((distances <= fake_radii).any(1))
        covered.append(within.any(1))
        closest = distances.min(0)
        which = torch.where(closest.values < nearest, closest.indices + start, which)
        nearest = torch.minimum(closest.values, nearest)
    return {
        "precision": (inside > 0).double(),
        "recall": torch.cat(recalled).double(),
        "density": inside / k,
        "coverage": torch.cat(covered).double(),
        "authenticity": (nearest > real_radii[1][which]).double(),
    }


def _radii(rows: Tensor, k: int, distance: Callable[[Tensor, Tensor], Tensor]) -> dict[int, Tensor]:
    """Return the distance of each row to its nearest other, and to its k-th nearest."""
    blocks = [
        distance(rows[start : start + BLOCK], rows).topk(k + 1, largest=False).values
        for start in range(0, len(rows), BLOCK)
    ]
    found = torch.cat(blocks)
    return {1: found[:, 1], k: found[:, k]}


class _Passed(nn.Module):
    """Hands features through to a metric of torchmetrics."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.num_features = n_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Return the FID of two sets of features (n, n_features), as torchmetrics takes it."""
    metric = FrechetInceptionDistance(feature=_Passed(real.shape[1])).set_dtype(torch.double)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute())


def kernel_distance(real: Tensor, fake: Tensor, seed: int = 0) -> tuple[float, float]:
    """Return the KID of two sets of features, mean and standard deviation, as torchmetrics takes it."""
    size = max(2, min(MOST_KID, len(real) // 2, len(fake) // 2))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save")
        metric = KernelInceptionDistance(feature=_Passed(real.shape[1]), subsets=10, subset_size=size)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    with fork_torch_rng(seed):  # it draws subsets from torch's global state
        mean, spread = metric.compute()
    return float(mean), float(spread)
