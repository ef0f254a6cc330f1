"""What an architecture is, and the layers that several of them share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OutputActivation = Callable[[Tensor], Tensor]


@dataclass
class Networks:
    """The networks of one GAN.

    Attributes
    ----------
    generator : Module
        With an encoder, ``generator(rows, codes, deltas, labels)``: rows ``(n, *shape)`` with their
        codes (n, latent_dim), each to be changed by a delta (n, latent_dim), the difference of two
        codes, and still be of its label (n,), int64. Without, ``generator(codes, labels)``: codes
        are noise. Returns rows ``(n, *shape)`` in the range of encoded ones.
    discriminator : Module
        ``discriminator(rows, labels)``: to logits (n,).
    encoder : Module or None
        ``encoder(rows)``: to codes (n, latent_dim).
    coarseness : int
        The generator learns to rebuild the means over squares of so many pixels a side.
    """

    generator: nn.Module
    discriminator: nn.Module
    encoder: nn.Module | None = None
    coarseness: int = 1


# Called with the shape of an encoded row, the number of classes, the size of a code, the channels
# of the first convolution, and the codec's output head.
Architecture = Callable[[tuple[int, ...], int, int, int, OutputActivation], Networks]

EMBED_SIZE = 16  # numbers that tell a generator its class
REACH = 0.35  # the farthest that a generator may move a pixel, in half sides


def halvings(height: int, base_channels: int) -> int:
    """Return how often to halve an image so that its shorter side ends at 2 to 11 pixels."""
    shorter = min(height, base_channels)
    return 2 if shorter < 32 else round(math.log2(shorter / 8))


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose gain and bias are linear in a condition (de Vries et al., NeurIPS 2017)."""

    def __init__(self, channels: int, condition_size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.affine = nn.Linear(condition_size, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.02)
        with torch.no_grad():
            self.affine.bias.copy_(torch.cat([torch.ones(channels), torch.zeros(channels)]))

    def forward(self, rows: Tensor, condition: Tensor) -> Tensor:
        """Normalise rows (n, channels, H, W) under a condition (n, condition_size)."""
        gain, bias = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        return self.norm(rows) * gain + bias


class ConvDecoder(nn.Module):
    """Transposed convolutions under conditional batch norm, from a condition to maps."""

    def __init__(self, condition_size: int, shape: tuple[int, ...], base_channels: int) -> None:
        super().__init__()
        channels, self.height, self.base_channels = shape
        depth = halvings(self.height, self.base_channels)
        self.base = (-(-self.height // 2**depth), -(-self.base_channels // 2**depth))
        self.sizes = [base_channels * 2**i for i in range(depth, 0, -1)]
        self.start = nn.Linear(condition_size, self.sizes[0] * math.prod(self.base))
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(size, condition_size) for size in self.sizes)
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, 1)
            for before, after in itertools.pairwise([*self.sizes, channels])
        )

    def forward(self, condition: Tensor) -> Tensor:
        """Return maps (n, *shape) for conditions (n, condition_size)."""
        rows = self.start(condition).view(-1, self.sizes[0], *self.base)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            rows = conv(norm(rows, condition).relu())
        return rows[:, :, : self.height, : self.base_channels]


class NoiseGenerator(nn.Module):
    """Decode noise and a class embedding."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_classes, EMBED_SIZE)
        self.decode = ConvDecoder(latent_dim + EMBED_SIZE, shape, base_channels)
        self.output_activation = output_activation

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Return rows (n, C, H, W) for noise (n, latent_dim) and labels (n,)."""
        return self.output_activation(self.decode(torch.cat([codes, self.embed(labels)], dim=1)))


class ConvEncoder(nn.Module):
    """Strided convolutions with batch norm, then a linear map to the code."""

    def __init__(self, shape: tuple[int, ...], latent_dim: int, base_channels: int) -> None:
        super().__init__()
        channels, *sides = shape
        depth = halvings(*sides)
        sizes = [channels, *(base_channels * 2**i for i in range(depth))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        last = sizes[-1] * 2
        layers += [nn.Conv2d(sizes[-1], last, 3, 1, 1), nn.BatchNorm2d(last), nn.LeakyReLU(0.2)]
        n_features = last * math.prod(side >> depth for side in sides)  # a halving rounds down
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_features, latent_dim))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the codes (n, latent_dim) of rows (n, C, H, W)."""
        return self.layers(rows)


class ProjectionHead(nn.Module):
    """A logit of features and a class (Miyato & Koyama, ICLR 2018)."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.logit = nn.Linear(n_features, 1)
        self.embed = nn.Embedding(n_classes, n_features)

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
        depth = halvings(*sides)
        sizes = [channels, *(base_channels * 2**i for i in range(1, depth + 1))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(sizes[-1], sizes[-1], 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten()]
        last = sizes[-1] * math.prod(side >> depth for side in sides)
        self.layers = nn.Sequential(*layers, nn.Linear(last, n_features), nn.LeakyReLU(0.2))
        self.head = ProjectionHead(n_features, n_classes)

    def forward(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the rows (n, C, H, W) with labels (n,)."""
        return self.head(self.layers(rows), labels)


def warp(rows: Tensor, flow: Tensor) -> Tensor:
    """Move the pixels of images along a flow field; bicubic, edge pixels repeated.

    Parameters
    ----------
    rows : Tensor of shape (n, C, H, W)
        In [-1, 1], as what is returned.
    flow : Tensor of shape (n, 2, H, W)
        For each pixel where its value comes from, relative to it: x, then y, in half sides.
    """
    _, _, height, base_channels = rows.shape
    x = (torch.arange(base_channels, device=rows.device) * 2 + 1) / base_channels - 1
    y = (torch.arange(height, device=rows.device) * 2 + 1) / height - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy")) + flow
    moved = F.grid_sample(
        rows, grid.permute(0, 2, 3, 1), mode="bicubic", padding_mode="border", align_corners=False
    )
    return moved.clamp(-1, 1)
