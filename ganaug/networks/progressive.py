"""progressive: networks that grow from about 4 pixels to the size of the images while they are trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import EMBED_SIZE, Architecture, Networks, OutputActivation
from ganaug.networks.pyramid import Pyramid, PyramidDiscriminator, PyramidGenerator


class PlainBlock(nn.Module):
    """Two convolutions; of a generator each is followed by pixel norm."""

    def __init__(self, before: int, after: int, *, normalized: bool) -> None:
        super().__init__()
        self.convs: nn.ModuleList = nn.ModuleList(nn.Conv2d(n, after, 3, 1, 1) for n in (before, after))
        self.normalized = normalized

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return maps (n, after, H, W) for maps (n, before, H, W)."""
        for conv in self.convs:
            maps = F.leaky_relu(conv(maps), 0.2)
            if self.normalized:
                maps = maps * (maps.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        return maps


class ProgressiveGenerator(PyramidGenerator):
    """Decode noise and a class embedding to an image, level by level."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__(
            shape, base_channels, lambda level, before, after: PlainBlock(before, after, normalized=True)
        )
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.start: nn.Linear = nn.Linear(
            latent_dim + EMBED_SIZE, self.channels[0] * math.prod(self.sides[0])
        )
        self.output_activation = output_activation

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return images (n, C, H, W) for noise (n, latent_dim) and labels (n,)."""
        condition = torch.cat([noise, self.embed(labels)], dim=1)
        maps = self.start(condition).view(-1, self.channels[0], *self.sides[0])
        return self.output_activation(self.image(maps, [condition] * self.n_levels))


def blocks(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build a generator from noise and a discriminator of plain blocks, at their full size; see `warping`."""
    return Networks(
        generator=ProgressiveGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=PyramidDiscriminator(
            shape,
            n_classes,
            base_channels,
            lambda level, before, after: PlainBlock(before, after, normalized=False),
        ),
    )


def growing(build: Architecture) -> Architecture:
    """Return an architecture whose levels are added one after another while it is trained.

    It begins with images of about 4 pixels a side. A level fades in, is trained for as long at its full
    weight, and then the next one follows. After six tenths of the training all are there. Of images the
    discriminator sees only what the generator can make so far.

    Parameters
    ----------
    build : Architecture
        Of networks that are a `Pyramid`: "progressive", "biggan", "style-based", or one of your own.

    Raises
    ------
    ValueError
        When it is built, if its networks have no levels.

    References
    ----------
    Karras et al., "Progressive growing of GANs for improved quality, stability, and variation", ICLR 2018.
    """

    def build_growing(
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> Networks:
        networks = build(shape, n_classes, latent_dim, base_channels, output_activation)
        for network in (networks.generator, networks.discriminator):
            if not isinstance(network, Pyramid):
                raise ValueError(
                    "`architecture` must be one whose networks are a Pyramid to grow, got one with a"
                    f" {type(network).__name__}."
                )
            network.grows = True
        return networks

    return build_growing


progressive: Architecture = growing(blocks)
