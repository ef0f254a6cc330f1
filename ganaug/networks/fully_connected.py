"""fully-connected: the first conditional GANs, of linear layers, for samples of any shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganaug.networks.layers import EMBED_SIZE, Networks, OutputActivation


class LinearGenerator(nn.Module):
    """Two hidden layers from noise and a class embedding to a sample."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(latent_dim + EMBED_SIZE, 8 * base_channels),
            nn.ReLU(),
            nn.Linear(8 * base_channels, 16 * base_channels),
            nn.ReLU(),
            nn.Linear(16 * base_channels, math.prod(shape)),
        )
        self.output_activation = output_activation

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return samples (n, *shape) for noise (n, latent_dim) and labels (n,)."""
        raw = self.layers(torch.cat([noise, self.embed(labels)], dim=1))
        return self.output_activation(raw.view(-1, *self.shape))


class LinearDiscriminator(nn.Module):
    """Two hidden layers from a flattened sample and a class embedding to a logit."""

    def __init__(self, shape: tuple[int, ...], n_classes: int, base_channels: int) -> None:
        super().__init__()
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(math.prod(shape) + EMBED_SIZE, 16 * base_channels),
            nn.LeakyReLU(0.2),
            nn.Linear(16 * base_channels, 8 * base_channels),
            nn.LeakyReLU(0.2),
            nn.Linear(8 * base_channels, 1),
        )

    def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the samples (n, *shape) with labels (n,)."""
        return self.layers(torch.cat([samples.flatten(1), self.embed(labels)], dim=1)).squeeze(1)


def fully_connected(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build a generator and a discriminator of linear layers; see `warping`.

    After Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, and Mirza & Osindero,
    "Conditional generative adversarial nets", 2014, who concatenate the class to the inputs of
    generator and discriminator. Leaky ReLUs replace the maxout of their discriminators. `shape` may be
    any. Hidden layers have 8 and 16 times `base_channels` units.
    """
    return Networks(
        generator=LinearGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=LinearDiscriminator(shape, n_classes, base_channels),
    )
