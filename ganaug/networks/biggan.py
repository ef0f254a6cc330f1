"""biggan: a generator whose noise enters at each level, and self-attention; BigGAN in small."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ganaug.networks.layers import EMBED_SIZE, ConditionalBatchNorm2d, Networks, OutputActivation, part_sizes
from ganaug.networks.pyramid import PyramidDiscriminator, PyramidGenerator
from ganaug.networks.r3gan import resolutions

ORTHOGONAL_WEIGHT = 1e-4


class Attention(nn.Module):
    """Add to each place what places like it hold (Zhang et al., "Self-attention GANs", ICML 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query: nn.Conv2d = nn.Conv2d(channels, inner, 1)
        self.key: nn.Conv2d = nn.Conv2d(channels, inner, 1)
        self.value: nn.Conv2d = nn.Conv2d(channels, channels, 1)
        self.gain: nn.Parameter = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (n, channels, H, W) for such maps."""
        query, key, value = (
            layer(maps).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return maps + self.gain * attended.transpose(1, 2).view_as(maps)


class ConditionedBlock(nn.Module):
    """A residual block under conditional batch norm, with self-attention after it at one level."""

    def __init__(self, before: int, after: int, condition_size: int, *, attends: bool) -> None:
        super().__init__()
        self.norms: nn.ModuleList = nn.ModuleList(
            ConditionalBatchNorm2d(n, condition_size) for n in (before, after)
        )
        self.convs: nn.ModuleList = nn.ModuleList(nn.Conv2d(n, after, 3, 1, 1) for n in (before, after))
        self.shortcut: nn.Conv2d = nn.Conv2d(before, after, 1)
        self.attention: nn.Module = Attention(after) if attends else nn.Identity()

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Return maps (n, after, H, W) for maps (n, before, H, W) under a condition (n, condition_size)."""
        changed = maps
        for norm, conv in zip(self.norms, self.convs, strict=True):
            changed = conv(norm(changed, condition).relu())
        return self.attention(self.shortcut(maps) + changed)


class SpectralBlock(nn.Module):
    """A residual block of a discriminator; the largest singular value of each layer is one."""

    def __init__(self, before: int, after: int, *, attends: bool) -> None:
        super().__init__()
        self.attention: nn.Module = Attention(before) if attends else nn.Identity()
        self.layers: nn.Sequential = nn.Sequential(
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(before, after, 3, 1, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(after, after, 3, 1, 1)),
        )
        self.shortcut: nn.Module = spectral_norm(nn.Conv2d(before, after, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (n, after, H, W) for maps (n, before, H, W)."""
        maps = self.attention(maps)
        return self.shortcut(maps) + self.layers(maps)


class BigGenerator(PyramidGenerator):
    """Decode noise to an image; a part of the noise and the class set the norms of each level."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        n_levels = len(resolutions(shape, base_channels))
        # The first part of the noise is what the coarsest maps are made of.
        sizes = part_sizes(latent_dim, n_levels + 1)

        def make_block(level: int, before: int, after: int) -> nn.Module:
            attends = level == n_levels - 2
            return ConditionedBlock(before, after, sizes[level + 1] + EMBED_SIZE, attends=attends)

        super().__init__(shape, base_channels, make_block)
        self.sizes = sizes
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.start: nn.Linear = nn.Linear(sizes[0] + EMBED_SIZE, self.channels[0] * math.prod(self.sides[0]))
        self.output_activation = output_activation

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return images (n, C, H, W) for noise (n, latent_dim) and labels (n,)."""
        embedded = self.embed(labels)
        parts = [torch.cat([part, embedded], dim=1) for part in noise.split(self.sizes, dim=1)]
        maps = self.start(parts[0]).view(-1, self.channels[0], *self.sides[0])
        return self.output_activation(self.image(maps, parts[1:]))


def orthogonal_penalty(generator: nn.Module, *inputs: Tensor) -> Tensor:
    """Return how far the filters of a generator are from being orthogonal to each other, weighted.

    Brock et al., "Large scale GAN training for high fidelity natural image synthesis", ICLR 2019, equation 3:
    it lets generators sample well under truncation. The inputs do not matter.
    """
    penalty: Tensor = next(generator.parameters()).new_zeros(())
    for module in generator.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            filters = module.weight.flatten(1)
            products = filters @ filters.T
            penalty = penalty + products.square().sum() - products.diagonal().square().sum()
    return ORTHOGONAL_WEIGHT * penalty


def biggan(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build a generator from noise and a discriminator, of residual blocks and attention; see `warping`.

    After Brock et al., "Large scale GAN training for high fidelity natural image synthesis", ICLR 2019, in
    small: conditional batch norm fed by parts of the noise, self-attention below the finest level, a
    projection head and orthogonal regularisation. Here spectral normalisation is left to the discriminator,
    and images of all levels are added up. Meant for the hinge loss without a penalty; `truncation` makes
    samples more typical.
    """
    n_levels = len(resolutions(shape, base_channels))

    def make_block(level: int, before: int, after: int) -> nn.Module:
        return SpectralBlock(before, after, attends=level == n_levels - 2)

    return Networks(
        generator=BigGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=PyramidDiscriminator(shape, n_classes, base_channels, make_block, spectral_norm),
        generator_penalty=orthogonal_penalty,
    )
