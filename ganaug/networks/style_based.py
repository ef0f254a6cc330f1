"""style-based: codes become styles, which set the weights of each level; StyleGAN2 in small."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import EMBED_SIZE, ConvEncoder, Networks, OutputActivation, part_sizes
from ganaug.networks.progressive import PlainBlock
from ganaug.networks.pyramid import PyramidDiscriminator, PyramidGenerator

# Units of a style, as multiples of `base_channels`.
STYLE_FACTOR = 2
# Of the path-length penalty, and of its running mean.
PATH_LENGTH_WEIGHT, MEAN_DECAY = 0.2, 0.99
# So large that noise at two places has nothing to do with each other.
MAX_FREQUENCY = 1000.0


class ModulatedConv(nn.Module):
    """A convolution whose weights are scaled by a style, and so that the variance stays one; then noise.

    Scaling what comes in and what goes out does the same as other weights for each sample, and is faster.
    """

    def __init__(self, before: int, after: int, style_size: int) -> None:
        super().__init__()
        self.weight: nn.Parameter = nn.Parameter(torch.randn(after, before, 3, 3) / math.sqrt(9 * before))
        self.bias: nn.Parameter = nn.Parameter(torch.zeros(after))
        self.scale: nn.Linear = nn.Linear(style_size, before)
        nn.init.ones_(self.scale.bias)
        self.noise_gain: nn.Parameter = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Return maps (n, after, H, W) for maps (n, before, H, W), styles (n, k) and noise (n, 1, H, W)."""
        scale = self.scale(style)
        length = (scale.square() @ self.weight.square().sum(dim=(2, 3)).T + 1e-8).rsqrt()
        maps = F.conv2d(maps * scale[:, :, None, None], self.weight, padding=1) * length[:, :, None, None]
        return F.leaky_relu(maps + self.noise_gain * noise + self.bias[:, None, None], 0.2)


class StyleBlock(nn.Module):
    """Two modulated convolutions, each with noise of its own.

    The noise is a function of the code, a sine of so high a frequency that it looks random. So a generator
    gives the same image for the same code, and needs no random state.
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self, before: int, after: int, style_size: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.convs: nn.ModuleList = nn.ModuleList(
            ModulatedConv(n, after, style_size) for n in (before, after)
        )
        self.register_buffer("frequency", MAX_FREQUENCY * torch.rand(2, *sides))
        self.register_buffer("phase", 2 * math.pi * torch.rand(2, *sides))

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Return maps for a condition (n, style_size + 1): the style, and a number that noise is made of."""
        style, seed = condition[:, :-1], condition[:, -1]
        for conv, noise in zip(self.convs, self.noise(seed).split(1, dim=1), strict=True):
            maps = conv(maps, style, noise)
        return maps

    def noise(self, seed: Tensor) -> Tensor:
        """Return noise (n, 2, H, W) of mean 0 and variance 1 for numbers (n,)."""
        return math.sqrt(2) * (seed[:, None, None, None] * self.frequency + self.phase).sin()


class StyleGenerator(PyramidGenerator):
    """Map each level's part of a code, and the class, to a style; decode a constant under these styles."""

    direction: Tensor
    path_length: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        style_size = STYLE_FACTOR * base_channels

        def make_block(level: int, before: int, after: int) -> nn.Module:
            return StyleBlock(before, after, style_size, self.sides[level])

        super().__init__(shape, base_channels, make_block)
        self.part_sizes: list[int] = part_sizes(latent_dim, self.n_levels)
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.enter: nn.ModuleList = nn.ModuleList(
            nn.Linear(n + EMBED_SIZE, style_size) for n in self.part_sizes
        )
        self.mapping: nn.Sequential = nn.Sequential(
            nn.LeakyReLU(0.2), nn.Linear(style_size, style_size), nn.LeakyReLU(0.2)
        )
        self.constant: nn.Parameter = nn.Parameter(torch.randn(self.channels[0], *self.sides[0]))
        self.register_buffer("direction", torch.randn(latent_dim) / math.sqrt(latent_dim))
        self.register_buffer("path_length", torch.zeros(()))
        self.output_activation = output_activation

    def forward(self, samples: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor) -> Tensor:
        """Return images (n, C, H, W) for codes (n, latent_dim), changed by deltas."""
        codes = codes + deltas
        return self.synthesize(self.styles(codes, labels), codes)

    def styles(self, codes: Tensor, labels: Tensor) -> list[Tensor]:
        """Return the style of each level, (n, style_size), for codes and labels (n,)."""
        embedded = self.embed(labels)
        parts = codes.split(self.part_sizes, dim=1)
        return [
            self.mapping(enter(torch.cat([part, embedded], dim=1)))
            for enter, part in zip(self.enter, parts, strict=True)
        ]

    def synthesize(self, styles: list[Tensor], codes: Tensor) -> Tensor:
        """Return images for styles; the codes are what noise is made of."""
        seed = (codes.detach() @ self.direction)[:, None]
        maps = self.constant.expand(len(codes), -1, -1, -1)
        return self.output_activation(self.image(maps, [torch.cat([style, seed], dim=1) for style in styles]))


def path_length_penalty(generator: nn.Module, *inputs: Tensor) -> Tensor:
    """Return how much the length of a style's way to the image varies, weighted [1]_.

    The length is that of the gradient, by the style, of the image in a random direction.

    References
    ----------
    .. [1] Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, equation 4.
    """
    assert isinstance(generator, StyleGenerator)  # noqa: S101 - for the type checker
    _, codes, deltas, labels = inputs
    codes = codes + deltas
    styles = generator.styles(codes, labels)
    images = generator.synthesize(styles, codes)
    finest = generator.blocks[-1]
    assert isinstance(finest, StyleBlock)  # noqa: S101 - for the type checker
    directions = finest.noise(codes @ generator.direction)[:, :1] / math.sqrt(images[0, 0].numel())
    gradients = torch.autograd.grad((images * directions).sum(), styles, create_graph=True)
    lengths = torch.stack([gradient.square().sum(1) for gradient in gradients]).mean(0).sqrt()
    with torch.no_grad():
        generator.path_length.lerp_(lengths.mean(), 1 - MEAN_DECAY)
    return PATH_LENGTH_WEIGHT * (lengths - generator.path_length).square().mean()


def style_based(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build an encoder, a style-based generator and a discriminator for images; see `warping`.

    After Karras et al., "A style-based generator architecture for generative adversarial networks", CVPR
    2019, and the second version of CVPR 2020: a mapping network, modulated convolutions, noise at each layer
    and the path-length penalty. An encoder takes the place of random codes, with a part for each level, as
    in "Encoding in style" (Richardson et al., CVPR 2021). So `sample` and `vary` mix the coarse styles of one
    real image with the fine ones of another of its class.
    """
    generator = StyleGenerator(shape, n_classes, latent_dim, base_channels, output_activation)
    return Networks(
        generator=generator,
        discriminator=PyramidDiscriminator(
            shape,
            n_classes,
            base_channels,
            lambda level, before, after: PlainBlock(before, after, normalized=False),
        ),
        encoder=ConvEncoder(shape, latent_dim, base_channels),
        generator_penalty=path_length_penalty,
        code_levels=generator.n_levels,
    )
