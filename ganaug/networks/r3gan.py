"""r3gan: generator and discriminator are residual networks without normalisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import EMBED_SIZE, Networks, OutputActivation

NEGATIVE_SLOPE = 0.2
# In channels: groups keep the 3x3 convolutions cheap.
GROUP_SIZE = 16


def resolutions(shape: tuple[int, ...], base_channels: int) -> list[tuple[int, list[int]]]:
    """Return channels and sides of each resolution, from the full one to about 4 pixels.

    The full one has half of `base_channels`: blocks cost the most there, as they double their channels
    inside.
    """
    _, *sides = shape
    depth = max(1, round(math.log2(min(sides) / 4)))
    return [
        (max(1, base_channels * 2**i // 2), [-(-side // 2**i) for side in sides]) for i in range(depth + 1)
    ]


def conv(before: int, after: int, size: int, bias: bool = False, groups: int = 1) -> nn.Conv2d:
    """Return a convolution that keeps the resolution, with weights scaled for leaky ReLUs."""
    layer = nn.Conv2d(before, after, size, padding=size // 2, bias=bias, groups=groups)
    nn.init.kaiming_normal_(layer.weight, a=NEGATIVE_SLOPE)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Residual(nn.Module):
    """Add the output of an inverted bottleneck, which is zero at first, to maps.

    Without norms, a last layer of zeros keeps the variance from growing with depth (Zhang et al.,
    "Fixup initialization", ICLR 2019). Biases are only where a nonlinearity follows.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = 2 * channels
        last = conv(inner, channels, 1)
        nn.init.zeros_(last.weight)
        self.layers: nn.Sequential = nn.Sequential(
            conv(channels, inner, 1, bias=True),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            conv(inner, inner, 3, bias=True, groups=inner // math.gcd(inner, GROUP_SIZE)),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            last,
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (n, channels, H, W) for such maps."""
        return maps + self.layers(maps)


class Resample(nn.Module):
    """Resize maps bilinearly, and change their channels at the lower resolution."""

    def __init__(self, before: int, after: int, sides: list[int]) -> None:
        super().__init__()
        self.sides = sides
        self.mix: nn.Conv2d = nn.Conv2d(before, after, 1, bias=False)
        # No nonlinearity comes before it, so its weights keep the variance as they are.
        nn.init.kaiming_normal_(self.mix.weight, nonlinearity="linear")
        self.upsamples: bool = after < before

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (n, after, *sides) for maps (n, before, H, W)."""
        if self.upsamples:
            return self._resize(self.mix(maps))
        return self.mix(self._resize(maps))

    def _resize(self, maps: Tensor) -> Tensor:
        return F.interpolate(maps, size=self.sides, mode="bilinear", align_corners=False)


class ResidualGenerator(nn.Module):
    """Scale a learned base by noise and a class embedding, then upsample it through residual blocks."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        (deepest, sides), *finer = reversed(resolutions(shape, base_channels))
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.gain: nn.Linear = nn.Linear(latent_dim + EMBED_SIZE, deepest, bias=False)
        nn.init.kaiming_normal_(self.gain.weight, nonlinearity="linear")
        self.base: nn.Parameter = nn.Parameter(torch.randn(deepest, *sides))
        layers: list[nn.Module] = [Residual(deepest), Residual(deepest)]
        before = deepest
        for after, after_sides in finer:
            layers += [Resample(before, after, after_sides), Residual(after)]
            before = after
        self.layers: nn.Sequential = nn.Sequential(*layers, nn.Conv2d(before, shape[0], 1))
        self.output_activation = output_activation

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return images (n, C, H, W) for noise (n, latent_dim) and labels (n,)."""
        gain = self.gain(torch.cat([noise, self.embed(labels)], dim=1))
        return self.output_activation(self.layers(self.base * gain[:, :, None, None]))


class ResidualDiscriminator(nn.Module):
    """The generator mirrored: downsample, weight by a learned base, project on the class."""

    def __init__(
        self, shape: tuple[int, ...], n_classes: int, base_channels: int, n_features: int = 128
    ) -> None:
        super().__init__()
        (before, _), *coarser = resolutions(shape, base_channels)
        layers: list[nn.Module] = [nn.Conv2d(shape[0], before, 1), Residual(before)]
        sides = list(shape[1:])
        for after, sides in coarser:
            layers += [Resample(before, after, sides), Residual(after)]
            before = after
        self.layers: nn.Sequential = nn.Sequential(*layers, Residual(before))
        self.base: nn.Parameter = nn.Parameter(torch.randn(before, *sides) / math.sqrt(math.prod(sides)))
        self.project: nn.Linear = nn.Linear(before, n_features, bias=False)
        nn.init.kaiming_normal_(self.project.weight, nonlinearity="linear")
        self.embed: nn.Embedding = nn.Embedding(n_classes, n_features)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the images (n, C, H, W) with labels (n,)."""
        features = self.project((self.layers(images) * self.base).sum(dim=(2, 3)))
        return (features * self.embed(labels)).sum(1) / math.sqrt(features.shape[1])


def r3gan(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build a residual generator from noise and a residual discriminator; see `warping`.

    After Huang et al., "The GAN is dead; long live the GAN! A modern GAN baseline", NeurIPS 2024:
    leaky ReLUs, grouped convolutions in inverted bottlenecks, bilinear resampling and no normalisation.
    To be trainable on a CPU, it has two blocks at the coarsest resolution and one at each other, and
    channels double at each halving. Meant for the relativistic loss and the penalty "r1+r2".
    """
    return Networks(
        generator=ResidualGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=ResidualDiscriminator(shape, n_classes, base_channels),
        judges_apart=True,
    )
