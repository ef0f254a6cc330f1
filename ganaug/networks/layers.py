"""The interface of an architecture, and the layers that several of them share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

OutputActivation = Callable[[Tensor], Tensor]
# Called with the generator and what it was given.
GeneratorPenalty = Callable[..., Tensor]


@dataclass
class Networks:
    """The networks of one GAN.

    Attributes
    ----------
    generator : Module
        With an encoder, ``generator(samples, codes, deltas, labels)``. It changes samples ``(n, *shape)``
        with codes (n, latent_dim) by deltas (n, latent_dim), which are differences of two codes. Their
        labels (n,), int64, must remain true. Without an encoder, ``generator(noise, labels)``, with
        noise (n, latent_dim). Returns samples ``(n, *shape)`` in the range of encoded ones.
    discriminator : Module
        ``discriminator(samples, labels)``, returns logits (n,).
    encoder : Module or None
        ``encoder(samples)``, returns codes (n, latent_dim).
    coarseness : int
        The reconstruction loss compares means over squares of so many pixels a side.
    any_size : bool
        The generator also takes images that are larger than the networks' own, ``generator(samples, codes,
        deltas, labels, full)`` with the same ones at full size, (n, C, H, W), and returns these, changed.
    has_flow : bool
        The generator also has ``with_flow``: called as it is itself, it returns samples and the flow
        (n, 2, h, w) along which they were warped, as `warp` takes it, but for bilinear enlargement. All
        that is in a sample lies where the flow says; colours may differ from those of `generator` itself.
    calibrated : bool
        Without an encoder: whether the noise is not of ``(n, latent_dim)``, but a draw ``(n, *shape)`` of
        `ganaug.training.calibration.Calibration`.
    classifier : Module or None
        Of a mixture of generators: ``classifier(samples)``, returns logits (n, n_generators) of which of
        them made each sample; see `ganaug.networks.several`.
    generator_penalty : callable or None
        ``generator_penalty(generator, *inputs)`` is added to the generator's loss every few steps, as many
        times; the inputs are those of the generator.
    code_levels : int
        With an encoder: of so many levels of the image a code holds the styles, each in a part of its own,
        see `part_sizes`. Then a sample is changed by the styles of another of its class, from a random
        level on. 0: a code is one whole.
    judges_apart : bool
        Whether the logit of a sample is the same whatever others are in its batch, and a forward pass
        changes nothing in the discriminator: so without batch norm and spectral norm. Convolutions
        are then spared the gradient of real images; networks of few dense layers are no faster for it.
    noise_steps : tuple of int
        Without an encoder: ``(length,)`` where the noise is of ``(n, length, latent_dim)``, for series.
    """

    generator: nn.Module
    discriminator: nn.Module
    encoder: nn.Module | None = None
    coarseness: int = 1
    any_size: bool = False
    has_flow: bool = False
    calibrated: bool = False
    classifier: nn.Module | None = None
    generator_penalty: GeneratorPenalty | None = None
    code_levels: int = 0
    judges_apart: bool = False
    noise_steps: tuple[int, ...] = ()

    @property
    def keeps_samples(self) -> bool:
        """Whether samples are made of training samples, so that a generator has to keep these."""
        return self.encoder is not None or self.calibrated


# Called with the shape of an encoded sample, the number of classes, the latent dimension, the channels
# of the first convolution, and the codec's output activation.
Architecture = Callable[[tuple[int, ...], int, int, int, OutputActivation], Networks]

EMBED_SIZE = 16
# In half sides of the image, as the flow of `warp` is.
MAX_DISPLACEMENT = 0.35


def part_sizes(latent_dim: int, n_parts: int) -> list[int]:
    """Return how many entries of a code, or of noise, each of its parts has: as equal as can be."""
    return [latent_dim // n_parts + (i < latent_dim % n_parts) for i in range(n_parts)]


def n_downsamples(height: int, width: int) -> int:
    """Return how often to halve an image so that its shorter side ends at 2 to 11 pixels."""
    shorter = min(height, width)
    return 2 if shorter < 32 else round(math.log2(shorter / 8))


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose gain and bias are linear in a condition (de Vries et al., NeurIPS 2017)."""

    def __init__(self, channels: int, condition_size: int) -> None:
        super().__init__()
        self.norm: nn.BatchNorm2d = nn.BatchNorm2d(channels, affine=False)
        self.affine: nn.Linear = nn.Linear(condition_size, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.02)
        with torch.no_grad():
            self.affine.bias.zero_()[:channels] = 1.0

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Normalise maps (n, channels, H, W) under a condition (n, condition_size)."""
        gain, bias = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        return self.norm(maps) * gain + bias


class ConvDecoder(nn.Module):
    """Transposed convolutions under conditional batch norm, from a condition to maps."""

    def __init__(self, condition_size: int, shape: tuple[int, ...], base_channels: int) -> None:
        super().__init__()
        self.height: int
        self.width: int
        channels, self.height, self.width = shape
        depth = n_downsamples(self.height, self.width)
        self.base_sides: tuple[int, int] = (-(-self.height // 2**depth), -(-self.width // 2**depth))
        self.channels: list[int] = [base_channels * 2**i for i in range(depth, 0, -1)]
        self.start: nn.Linear = nn.Linear(condition_size, self.channels[0] * math.prod(self.base_sides))
        self.norms: nn.ModuleList = nn.ModuleList(
            ConditionalBatchNorm2d(n, condition_size) for n in self.channels
        )
        self.convs: nn.ModuleList = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, 1)
            for before, after in itertools.pairwise([*self.channels, channels])
        )

    def forward(self, condition: Tensor) -> Tensor:
        """Return maps (n, *shape) for conditions (n, condition_size)."""
        maps = self.start(condition).view(-1, self.channels[0], *self.base_sides)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            maps = conv(norm(maps, condition).relu())
        return maps[:, :, : self.height, : self.width]


class NoiseGenerator(nn.Module):
    """Decode noise and a class embedding to an image."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.decode: ConvDecoder = ConvDecoder(latent_dim + EMBED_SIZE, shape, base_channels)
        self.output_activation = output_activation

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return images (n, C, H, W) for noise (n, latent_dim) and labels (n,)."""
        return self.output_activation(self.decode(torch.cat([noise, self.embed(labels)], dim=1)))


class ConvEncoder(nn.Module):
    """Strided convolutions with batch norm, then a linear map to the code."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, base_channels: int) -> None:
        super().__init__()
        channels, *sides = shape
        depth = n_downsamples(*sides)
        sizes = [channels, *(base_channels * 2**i for i in range(depth))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        last = sizes[-1] * 2
        layers += [nn.Conv2d(sizes[-1], last, 3, 1, 1), nn.BatchNorm2d(last), nn.LeakyReLU(0.2)]
        n_features = last * math.prod(side >> depth for side in sides)  # each halving rounds down
        self.layers: nn.Sequential = nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_features, latent_dim))

    def forward(self, images: Tensor) -> Tensor:
        """Return the codes (n, latent_dim) of images (n, C, H, W)."""
        return self.layers(images)


class ProjectionHead(nn.Module):
    """A logit of features and a class (Miyato & Koyama, ICLR 2018)."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.logit: nn.Linear = nn.Linear(n_features, 1)
        self.embed: nn.Embedding = nn.Embedding(n_classes, n_features)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return logits (n,) of features (n, n_features) and labels (n,)."""
        by_class = (features * self.embed(labels)).sum(1) / math.sqrt(features.shape[1])
        return self.logit(features).squeeze(1) + by_class


class ConvDiscriminator(nn.Module):
    """Strided convolutions without norms and a projection head."""

    def __init__(
        self, shape: tuple[int, ...], n_classes: int, base_channels: int, n_features: int = 128
    ) -> None:
        super().__init__()
        channels, *sides = shape
        depth = n_downsamples(*sides)
        sizes = [channels, *(base_channels * 2**i for i in range(1, depth + 1))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(sizes[-1], sizes[-1], 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten()]
        last = sizes[-1] * math.prod(side >> depth for side in sides)
        self.layers: nn.Sequential = nn.Sequential(*layers, nn.Linear(last, n_features), nn.LeakyReLU(0.2))
        self.head: ProjectionHead = ProjectionHead(n_features, n_classes)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the images (n, C, H, W) with labels (n,)."""
        return self.head(self.layers(images), labels)
