"""tabular: a generator that changes a real row of a table."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganaug.networks.layers import EMBED_SIZE, Networks, OutputActivation, ProjectionHead

HIDDEN = 4  # units of a hidden layer, as a multiple of `base_channels`


def layers(before: int, base_channels: int, after: int) -> nn.Sequential:
    """Return two hidden layers and a linear one."""
    hidden = HIDDEN * base_channels
    return nn.Sequential(
        nn.Linear(before, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, after),
    )


class ChangeGenerator(nn.Module):
    """Add to a row what its code, a delta and its class say."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        n_columns = math.prod(shape)
        self.embed = nn.Embedding(n_classes, EMBED_SIZE)
        self.change = layers(n_columns + 2 * latent_dim + EMBED_SIZE, base_channels, n_columns)
        self.output_activation = output_activation
        weight, bias = self.change[-1].parameters()
        with torch.no_grad():  # begin close to the identity
            weight.mul_(0.1)
            bias.zero_()

    def forward(self, rows: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor) -> Tensor:
        """Return the rows (n, *shape), changed by deltas (n, latent_dim)."""
        change = self.change(torch.cat([rows.flatten(1), codes, deltas, self.embed(labels)], dim=1))
        return self.output_activation(rows + change.view_as(rows))


class RowDiscriminator(nn.Module):
    """Hidden layers and a projection head."""

    def __init__(
        self, shape: tuple[int, ...], n_classes: int, base_channels: int, n_features: int = 64
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), *layers(math.prod(shape), base_channels, n_features), nn.LeakyReLU(0.2)
        )
        self.head = ProjectionHead(n_features, n_classes)

    def forward(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the rows (n, *shape) with labels (n,)."""
        return self.head(self.layers(rows), labels)


def tabular(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build an encoder, a generator that changes rows and a discriminator, for tables; see `warping`.

    What `warping` does for images: nothing of a row has to pass through its code, so that a small
    class keeps the values it has. `shape` may be any.
    """
    return Networks(
        generator=ChangeGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=RowDiscriminator(shape, n_classes, base_channels),
        encoder=nn.Sequential(nn.Flatten(), *layers(math.prod(shape), base_channels, latent_dim)),
    )
