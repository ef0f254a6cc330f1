"""Measures of how alike two sets of features are, from precision and recall to the Fréchet distance.

All take features of real samples first and of synthetic ("fake") samples second, as Tensors of shape
(n, n_features). Only the Inception Score knows no real samples: it takes the class probabilities of one set.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor, nn

from ganaug.training.torch_state import fork_torch_rng

NEAREST_K = 5
BLOCK_SIZE = 512
# With so few features, double precision costs little.
MAX_FEATURES_DOUBLE = 256
# Squared distances that differ by less than so many roundings are equal: duplicates are at no distance.
ROUNDINGS = 64
# Time and memory of the kernel distance grow with the square of a subset's size.
MAX_KID_SUBSET = 500
MAX_PAIRWISE = 500
# Rounding takes the sum of probabilities not as far from 1, in half precision either.
MAX_SUM_ERROR = 0.02
# What stands for a probability of 0, whose logarithm is not finite.
MIN_PROBABILITY = 1e-300


def prdc(real: Tensor, fake: Tensor, k: int = NEAREST_K) -> dict[str, Tensor]:
    """Return precision, recall, density, coverage and authenticity of each sample; a measure is their mean.

    Parameters
    ----------
    real, fake : Tensor of shape (n, n_features)
        Features of more than `k` samples each.
    k : int, default=5
        The neighbourhood of a sample reaches to its k-th nearest neighbour in its own set.

    Returns
    -------
    dict of str to Tensor of shape (n,), float64
        "precision", "density" and "authenticity" of each fake sample; "recall" and "coverage" of each
        real one. "density" is from 0 up, all others are 0 or 1.

    References
    ----------
    Kynkaanniemi et al., "Improved precision and recall metric", NeurIPS 2019; Naeem et al.,
    "Reliable fidelity and diversity metrics", ICML 2020. A sample is authentic if it is farther from
    its nearest real sample than that one is from its own: Alaa et al., "How faithful is your
    synthetic data?", ICML 2022.

    Examples
    --------
    >>> import torch
    >>> real = torch.tensor([[0.0], [1.0], [2.0]])
    >>> {name: values.tolist() for name, values in prdc(real, real + 0.5, k=1).items()}["precision"]
    [1.0, 1.0, 1.0]
    """
    # About the mean the norms are small, and so is what rounding does to a distance.
    dtype = torch.double if real.shape[1] <= MAX_FEATURES_DOUBLE else torch.float
    center = real.double().mean(0)
    real, fake = ((features.double() - center).to(dtype) for features in (real, fake))
    largest = max(float(features.square().sum(1).max()) for features in (real, fake))
    rounding = ROUNDINGS * torch.finfo(dtype).eps * largest
    real_nearest, real_radii = (squared + rounding for squared in _nearest_and_kth(real, k))
    fake_radii = _nearest_and_kth(fake, k)[1] + rounding
    n_neighbourhoods = torch.zeros(len(fake), dtype=torch.double)
    nearest = torch.full((len(fake),), torch.inf, dtype=fake.dtype)
    nearest_index = torch.zeros(len(fake), dtype=torch.long)
    recalled, covered = [], []
    for start in range(0, len(real), BLOCK_SIZE):
        distances = _squared_distances(real[start : start + BLOCK_SIZE], fake)
        within = distances <= real_radii[start : start + BLOCK_SIZE, None]
        n_neighbourhoods += within.sum(0)
        recalled.append((distances <= fake_radii).any(1))
        covered.append(within.any(1))
        closest = distances.min(0)
        nearest_index = torch.where(closest.values < nearest, closest.indices + start, nearest_index)
        nearest = torch.minimum(closest.values, nearest)
    return {
        "precision": (n_neighbourhoods > 0).double(),
        "recall": torch.cat(recalled).double(),
        "density": n_neighbourhoods / k,
        "coverage": torch.cat(covered).double(),
        "authenticity": (nearest > real_nearest[nearest_index]).double(),
    }


def _squared_distances(features: Tensor, others: Tensor) -> Tensor:
    """Return the squared distances by a matrix product, (n, n_others); rounding may take them below 0."""
    products = torch.addmm(others.square().sum(1), features, others.T, alpha=-2)
    return products.add_(features.square().sum(1, keepdim=True))


def _nearest_and_kth(features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the squared distances of each sample to its nearest and its k-th nearest other, (n,) each."""
    # The first of the k + 1 is the sample itself.
    blocks = [
        _squared_distances(block, features).topk(k + 1, largest=False).values
        for block in features.split(BLOCK_SIZE)
    ]
    distances = torch.cat(blocks)
    return distances[:, 1], distances[:, k]


class _IdentityFeatures(nn.Module):
    """Hands features or logits through to a metric of torchmetrics, which would extract them from images."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.num_features = n_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Return the Fréchet distance of two sets of features, as torchmetrics computes it.

    It is the FID only if the features are those of the Inception network.

    Parameters
    ----------
    real, fake : Tensor of shape (n, n_features)
        Features of at least 2 samples each.

    Returns
    -------
    float
        From 0, where means and covariances agree, up.

    References
    ----------
    Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", NeurIPS 2017.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    if len(real) + len(fake) < real.shape[1]:
        # In coordinates of what few samples span, the distance is the same, for a fraction of the time.
        span = torch.linalg.qr(torch.cat([real, fake]).double().T).Q
        real, fake = real.double() @ span, fake.double() @ span
    metric = FrechetInceptionDistance(feature=_IdentityFeatures(real.shape[1])).set_dtype(torch.double)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute())


def kernel_distance(real: Tensor, fake: Tensor, seed: int = 0, subsets: int = 10) -> tuple[float, float]:
    """Return the squared maximum mean discrepancy of two sets of features, as torchmetrics computes it.

    It is the KID only if the features are those of the Inception network.

    Parameters
    ----------
    real, fake : Tensor of shape (n, n_features)
        Features of at least 2 samples each.
    seed : int, default=0
        Of the draw of subsets, each of half of the smaller set, 500 samples at most.
    subsets : int, default=10
        How many are compared.

    Returns
    -------
    mean, std : float
        Over the subsets. The mean is about 0, or slightly below, where the sets are alike.

    References
    ----------
    Binkowski et al., "Demystifying MMD GANs", ICLR 2018.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = max(2, min(MAX_KID_SUBSET, len(real) // 2, len(fake) // 2))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel Inception Distance` will save")
        metric = KernelInceptionDistance(
            feature=_IdentityFeatures(real.shape[1]), subsets=subsets, subset_size=size
        )
    metric.update(real, real=True)
    metric.update(fake, real=False)
    # The metric draws its subsets from torch's global state.
    with fork_torch_rng(seed):
        mean, std = metric.compute()
    return float(mean), float(std)


def inception_score(probabilities: Tensor) -> float:
    """Return the Inception Score of class probabilities, as torchmetrics computes it.

    It is exp(mean of KL(p(y|x) || p(y))), where p(y|x) are the probabilities of a sample and p(y) their mean
    over all samples. Published scores are those of the Inception network's 1,000 classes.

    Parameters
    ----------
    probabilities : Tensor of shape (n, n_classes)
        Of each class, as any classifier sees each sample; from 0 up, with a sum of 1. They may be exactly 0.

    Returns
    -------
    float
        1 where all samples have the same probabilities, up to `n_classes` where the classifier is sure of
        each sample and all classes are equally frequent.

    Raises
    ------
    ValueError
        If the values are no probabilities; logits, for example.

    Notes
    -----
    All samples are one set. The ten parts that are common score less where they are small.

    References
    ----------
    Salimans et al., "Improved techniques for training GANs", NeurIPS 2016.

    Examples
    --------
    >>> import torch
    >>> round(inception_score(torch.eye(3)), 6), round(inception_score(torch.full((3, 3), 1 / 3)), 6)
    (3.0, 1.0)
    """
    from torchmetrics.image.inception import InceptionScore

    least, sums = float(probabilities.min()), probabilities.sum(1)
    # Of NaN no comparison holds.
    if not (least >= 0 and (sums - 1).abs().max() <= MAX_SUM_ERROR):
        raise ValueError(
            "`probabilities` must be from 0 up, and those of a sample sum to 1, got a minimum of"
            f" {least:.3g} and sums from {float(sums.min()):.3g} to {float(sums.max()):.3g}."
        )
    logits = probabilities.double().clamp(min=MIN_PROBABILITY).log()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `InceptionScore` will save")
        warnings.filterwarnings("ignore", r"std\(\): degrees of freedom")  # of the score of a single part
        metric = InceptionScore(feature=_IdentityFeatures(logits.shape[1]), splits=1)
        metric.update(logits)
        # The metric draws an order from torch's global state.
        with fork_torch_rng(0):
            score, _ = metric.compute()
    return float(score)


def pairwise_distance_ratio(
    real: Tensor,
    fake: Tensor,
    rng: np.random.RandomState | None = None,
    max_samples: int = MAX_PAIRWISE,
) -> float | None:
    """Return the mean distance between two fake samples, over that between two real ones: the diversity.

    Parameters
    ----------
    real, fake : Tensor of shape (n, n_features)
        Features of the samples of one class.
    rng : RandomState, optional
        Chooses the samples to compare. None: the first `max_samples` are compared.
    max_samples : int, default=500
        Samples of a set that are compared pair by pair.

    Returns
    -------
    float or None
        0 where all fake samples are equal, 1 where they differ as much as real ones. None if the
        real samples do not differ.

    Examples
    --------
    >>> import torch
    >>> real = torch.tensor([[0.0], [1.0], [2.0]])
    >>> pairwise_distance_ratio(real, real / 2)
    0.5
    """
    distance = mean_pairwise_distance(real, rng, max_samples)
    return mean_pairwise_distance(fake, rng, max_samples) / distance if distance > 0 else None


def mean_pairwise_distance(
    features: Tensor, rng: np.random.RandomState | None = None, max_samples: int = MAX_PAIRWISE
) -> float:
    """Return the mean distance between two samples; 0 of a single sample. See `pairwise_distance_ratio`."""
    order = np.arange(len(features)) if rng is None else rng.permutation(len(features))
    chosen = features[order[:max_samples]]
    return float(torch.pdist(chosen).mean()) if len(chosen) > 1 else 0.0
