"""DeepSMOTE as its paper describes it: a baseline for the comparison, nothing more.

Dablain, Krawczyk and Chawla, "DeepSMOTE: Fusing Deep Learning and SMOTE for Imbalanced Data",
IEEE Transactions on Neural Networks and Learning Systems, 2022. Written from the description of the
method alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from imblearn.over_sampling import SMOTE
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.data.images import ImageCodec

BLOCK = 500  # rows that go through a network at once outside training
WARM_UP = 50  # steps over which the learning rate rises


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
    """Balance images to the largest class by SMOTE between the codes of an autoencoder.

    Encoder and decoder learn to rebuild batches of all classes, and, by the method's penalty, the
    images of one class from each other's codes: the codes are permuted before decoding, as
    interpolation will have it. The paper trains for 50 to 350 epochs at a learning rate of 2e-4;
    here it is 1e-3 on a cosine for fewer steps, which takes a minute or two on a CPU. Batches hold
    every class equally often, so that the small ones are not rebuilt worst.

    Parameters
    ----------
    X : ndarray of shape (n, H, W) or (n, H, W, C), uint8
    y : ndarray of shape (n,), int
        Every class has two rows or more.
    steps, batch_size, learning_rate
        Of Adam.
    k_neighbors : int
        Of SMOTE; fewer where the smallest class has fewer.
    seed : int

    Returns
    -------
    X, y : ndarray
        The originals, then the synthetic rows.
    """
    codec = ImageCodec.fit(X)
    images = codec.encode(X)
    classes, labels = np.unique(y, return_inverse=True)
    members = [torch.from_numpy(np.flatnonzero(labels == c)) for c in range(len(classes))]
    evenly = torch.from_numpy(1 / np.bincount(labels)[labels])
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        encoder, decoder = _networks(codec.shape)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    for _ in range(steps):
        batch = images[torch.multinomial(evenly, batch_size, replacement=True, generator=generator)]
        rebuilding = F.mse_loss(decoder(encoder(batch)), batch)
        own = members[int(torch.randint(len(members), (), generator=generator))]
        group = images[own[torch.randperm(len(own), generator=generator)[:batch_size]]]
        order = torch.randperm(len(group), generator=generator)
        penalty = F.mse_loss(decoder(encoder(group)[order]), group)
        optimizer.zero_grad()
        (rebuilding + penalty).backward()
        optimizer.step()
        schedule.step()
    encoder.eval()
    decoder.eval()
    codes = _apply(encoder, images).numpy()
    smallest = min(len(own) for own in members)
    smote = SMOTE(k_neighbors=min(k_neighbors, smallest - 1), random_state=seed)
    codes, labels = smote.fit_resample(codes, labels)
    synthetic = codec.decode(_apply(decoder, torch.from_numpy(codes[len(X) :]).float()))
    return np.concatenate([X, synthetic]), np.concatenate([y, classes[labels[len(X) :]]])


@torch.no_grad()
def _apply(network: nn.Module, rows: Tensor) -> Tensor:
    return torch.cat([network(part) for part in rows.split(BLOCK)])


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _networks(shape: tuple[int, int, int], width: int = 32) -> tuple[nn.Sequential, nn.Sequential]:
    """Return encoder and decoder: strided convolutions down to a side under 8, and their mirror."""
    channels, height, side = shape
    latent = (600 if channels > 1 else 300) if min(height, side) >= 16 else 64
    sizes, widths = [(height, side)], [channels]
    while min(sizes[-1]) >= 8 or (len(sizes) == 1):
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
        widths.append(min(width * 2 ** (len(widths) - 1), 256))
    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        down += [
            nn.Conv2d(widths[i], widths[i + 1], 3, 2, 1),
            nn.BatchNorm2d(widths[i + 1]),
            nn.LeakyReLU(0.2),
        ]
        odd = tuple(1 - s % 2 for s in sizes[i])
        last = [nn.Tanh()] if i == 0 else [nn.BatchNorm2d(widths[i]), nn.ReLU()]
        up = [nn.ConvTranspose2d(widths[i + 1], widths[i], 3, 2, 1, output_padding=odd), *last, *up]
    inner = widths[-1] * math.prod(sizes[-1])
    return (
        nn.Sequential(*down, nn.Flatten(), nn.Linear(inner, latent)),
        nn.Sequential(
            nn.Linear(latent, inner),
            nn.Unflatten(1, (widths[-1], *sizes[-1])),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
            *up,
        ),
    )
