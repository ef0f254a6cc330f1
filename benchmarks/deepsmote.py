"""DeepSMOTE as its paper describes it, as a baseline.

Dablain, Krawczyk and Chawla, "DeepSMOTE: Fusing Deep Learning and SMOTE for Imbalanced Data",
IEEE Transactions on Neural Networks and Learning Systems, 2022. Written from the paper's description
of the method.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from imblearn.over_sampling import SMOTE
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.data.images import ImageCodec

# Images that go through a network at once outside training.
BLOCK_SIZE = 500
# The learning rate rises over these steps, as the first ones would otherwise be too large.
WARM_UP_STEPS = 50


def deep_smote(
    X: np.ndarray,
    y: np.ndarray,
    *,
    steps: int = 1500,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    k_neighbors: int = 5,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Oversample images to the size of the largest class, by SMOTE in the latent space of an autoencoder.

    The autoencoder learns to reconstruct batches of all classes. By the method's penalty it also
    learns to reconstruct the images of one class from each other's codes: these are permuted before
    they are decoded, since interpolation mixes them too. The paper trains for 50 to 350 epochs at a
    learning rate of 2e-4. Here it is 1e-3, on a cosine and for fewer steps, which takes a minute or
    two on a CPU. Batches are class-balanced, so that small classes are not reconstructed worst.

    Parameters
    ----------
    X : ndarray of shape (n, H, W) or (n, H, W, C), uint8
    y : ndarray of shape (n,), int
        Every class has two images or more.
    steps : int, default=1500
    batch_size : int, default=100
    learning_rate : float, default=1e-3
        Of Adam.
    k_neighbors : int, default=5
        Of SMOTE; fewer where the smallest class has fewer.
    seed : int, default=0

    Returns
    -------
    X, y : ndarray
        The real images, then the synthetic ones.
    """
    codec = ImageCodec.fit(X)
    images = codec.encode(X)
    classes, labels = np.unique(y, return_inverse=True)
    encoder, decoder = _trained_autoencoder(
        images,
        labels,
        codec.shape,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    codes = _apply(encoder, images).numpy()
    k = min(k_neighbors, int(np.bincount(labels).min()) - 1)
    codes, labels = SMOTE(k_neighbors=k, random_state=seed).fit_resample(codes, labels)
    synthetic = codec.decode(_apply(decoder, torch.from_numpy(codes[len(X) :]).float()))
    return np.concatenate([X, synthetic]), np.concatenate([y, classes[labels[len(X) :]]])


def _trained_autoencoder(
    images: Tensor,
    labels: np.ndarray,
    shape: tuple[int, int, int],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> tuple[nn.Module, nn.Module]:
    """Return encoder and decoder, trained on encoded images (n, C, H, W) and class indices (n,)."""
    members = [torch.from_numpy(np.flatnonzero(labels == c)) for c in range(int(labels.max()) + 1)]
    class_balanced = torch.from_numpy(1 / np.bincount(labels)[labels])
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        encoder, decoder = _networks(shape)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate_factor(step, steps))
    for _ in range(steps):
        batch = images[torch.multinomial(class_balanced, batch_size, replacement=True, generator=rng)]
        reconstruction = F.mse_loss(decoder(encoder(batch)), batch)
        own = members[int(torch.randint(len(members), (), generator=rng))]
        group = images[own[torch.randperm(len(own), generator=rng)[:batch_size]]]
        order = torch.randperm(len(group), generator=rng)
        penalty = F.mse_loss(decoder(encoder(group)[order]), group)
        optimizer.zero_grad()
        (reconstruction + penalty).backward()
        optimizer.step()
        schedule.step()
    return encoder.eval(), decoder.eval()


@torch.no_grad()
def _apply(network: nn.Module, inputs: Tensor) -> Tensor:
    return torch.cat([network(block) for block in inputs.split(BLOCK_SIZE)])


def _rate_factor(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _networks(shape: tuple[int, int, int], base_channels: int = 32) -> tuple[nn.Sequential, nn.Sequential]:
    """Return encoder and decoder: strided convolutions until a side is under 8 pixels, and their mirror."""
    channels, height, width = shape
    latent_dim = (600 if channels > 1 else 300) if min(height, width) >= 16 else 64
    sizes, n_channels = [(height, width)], [channels]
    while min(sizes[-1]) >= 8 or (len(sizes) == 1):
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
        n_channels.append(min(base_channels * 2 ** (len(n_channels) - 1), 256))
    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        down += [
            nn.Conv2d(n_channels[i], n_channels[i + 1], 3, 2, 1),
            nn.BatchNorm2d(n_channels[i + 1]),
            nn.LeakyReLU(0.2),
        ]
        odd = tuple(1 - s % 2 for s in sizes[i])
        last = [nn.Tanh()] if i == 0 else [nn.BatchNorm2d(n_channels[i]), nn.ReLU()]
        up = [nn.ConvTranspose2d(n_channels[i + 1], n_channels[i], 3, 2, 1, output_padding=odd), *last, *up]
    inner = n_channels[-1] * math.prod(sizes[-1])
    return (
        nn.Sequential(*down, nn.Flatten(), nn.Linear(inner, latent_dim)),
        nn.Sequential(
            nn.Linear(latent_dim, inner),
            nn.Unflatten(1, (n_channels[-1], *sizes[-1])),
            nn.BatchNorm2d(n_channels[-1]),
            nn.ReLU(),
            *up,
        ),
    )
