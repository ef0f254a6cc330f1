"""tabular: a generator that changes a real row of a table."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganaug.networks.layers import EMBED_SIZE, Networks, OutputActivation, ProjectionHead

# Hidden layers have this many times `base_channels` units.
HIDDEN_FACTOR = 4


def mlp(n_inputs: int, base_channels: int, n_outputs: int) -> nn.Sequential:
    """Return two hidden layers and a linear one."""
    hidden = HIDDEN_FACTOR * base_channels
    return nn.Sequential(
        nn.Linear(n_inputs, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, n_outputs),
    )


class ResidualRowGenerator(nn.Module):
    """Add to a row a change that depends on the row, its code, a delta and its class."""

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
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.change: nn.Sequential = mlp(n_columns + 2 * latent_dim + EMBED_SIZE, base_channels, n_columns)
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
        self.layers: nn.Sequential = nn.Sequential(
            nn.Flatten(), *mlp(math.prod(shape), base_channels, n_features), nn.LeakyReLU(0.2)
        )
        self.head: ProjectionHead = ProjectionHead(n_features, n_classes)

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

    The counterpart of `warping` for images: as the row itself is an input, its values need not pass
    through its code, and a small class keeps the values it has. `shape` may be any.
    """
    return Networks(
        generator=ResidualRowGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=RowDiscriminator(shape, n_classes, base_channels),
        encoder=nn.Sequential(nn.Flatten(), *mlp(math.prod(shape), base_channels, latent_dim)),
    )
