"""time-warping: a generator that warps a real series in time."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import (
    EMBED_SIZE,
    MAX_DISPLACEMENT,
    ConditionalBatchNorm2d,
    Networks,
    OutputActivation,
    ProjectionHead,
)

# Convolutions halve a series until it has fewer steps than this, and their channels grow no wider than so
# many times those of the first.
MIN_STEPS, MAX_WIDENING = 12, 4
# In steps of the series to one of the first and of the last maps: too coarse to tear a series.
BASE_STRIDE, GRID_STRIDE = 8, 4


def strided_convs(shape: tuple[int, ...], base_channels: int, *, norms: bool) -> tuple[nn.Sequential, int]:
    """Return strided convolutions over time and a flattening layer, and how many numbers come out."""
    channels, length = shape
    layers: list[nn.Module] = []
    depth = max(2, math.ceil(math.log2(length / MIN_STEPS)))
    widths = [min(base_channels * 2**i, MAX_WIDENING * base_channels) for i in range(depth)]
    for before, after in itertools.pairwise([channels, *widths]):
        layers.append(nn.Conv1d(before, after, 4, 2, 1))
        layers += [nn.BatchNorm1d(after)] if norms else []
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers, nn.Flatten()), widths[-1] * (length >> depth)


class SeriesDiscriminator(nn.Module):
    """Strided convolutions without norms and a projection head."""

    def __init__(
        self, shape: tuple[int, ...], n_classes: int, base_channels: int, n_features: int = 128
    ) -> None:
        super().__init__()
        convs, n_inputs = strided_convs(shape, base_channels, norms=False)
        self.layers: nn.Sequential = nn.Sequential(convs, nn.Linear(n_inputs, n_features), nn.LeakyReLU(0.2))
        self.head: ProjectionHead = ProjectionHead(n_features, n_classes)

    def forward(self, series: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the series (n, channels, length) with labels (n,)."""
        return self.head(self.layers(series), labels)


class TimeWarpGenerator(nn.Module):
    """Decode a code, a delta and a class embedding to a flow of time.

    The flow says for each step when on the given series its value comes from, in all channels alike. It is
    decoded at a quarter of the resolution and enlarged linearly. No value is changed: amplitudes and
    offsets, decoded as the flow is, took away some of what shows the class.
    """

    def __init__(self, shape: tuple[int, ...], n_classes: int, latent_dim: int, base_channels: int) -> None:
        super().__init__()
        self.length: int = shape[1]
        self.grid_steps: int = -(-self.length // GRID_STRIDE)
        self.base_steps: int = -(-self.length // BASE_STRIDE)
        condition_size, wide, narrow = 2 * latent_dim + EMBED_SIZE, 4 * base_channels, 2 * base_channels
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.start: nn.Linear = nn.Linear(condition_size, wide * self.base_steps)
        self.norms: nn.ModuleList = nn.ModuleList(
            ConditionalBatchNorm2d(n, condition_size) for n in (wide, narrow)
        )
        self.widen: nn.Conv2d = nn.Conv2d(wide, narrow, (1, 3), padding=(0, 1))
        self.flow: nn.Conv2d = nn.Conv2d(narrow, 1, (1, 3), padding=(0, 1))
        weight, bias = self.flow.parameters()
        nn.init.normal_(weight, std=0.01)  # begin close to the identity
        nn.init.zeros_(bias)

    def forward(self, series: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor) -> Tensor:
        """Return the series (n, channels, length), changed by deltas (n, latent_dim)."""
        condition = torch.cat([codes, deltas, self.embed(labels)], dim=1)
        start = self.start(condition).view(len(series), -1, 1, self.base_steps)
        base = self.norms[0](start, condition).relu()
        widened = self.widen(F.interpolate(base, size=(1, self.grid_steps), mode="bilinear"))
        flow = self.flow(self.norms[1](widened, condition).relu())
        flow = F.interpolate(flow, size=(1, self.length), mode="bilinear")[:, 0, 0]
        return warp_time(series, MAX_DISPLACEMENT * flow.tanh())


def warp_time(series: Tensor, flow: Tensor) -> Tensor:
    """Warp series along a flow; cubic, ends repeated.

    Parameters
    ----------
    series : Tensor of shape (n, channels, length)
    flow : Tensor of shape (n, length)
        For each step when its value comes from, relative to it, in half lengths.

    Returns
    -------
    Tensor of shape (n, channels, length)
    """
    length = series.shape[2]
    when = (torch.arange(length, device=series.device) * 2 + 1) / length - 1 + flow
    grid = torch.stack([when, torch.zeros_like(when)], dim=2)[:, None]  # images of height 1
    warped = F.grid_sample(
        series[:, :, None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return warped[:, :, 0]


def time_warping(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build an encoder, a time-warping generator and a projection discriminator for series; see `warping`.

    `shape` is (channels, length). `output_activation` is not used, as no value is new.

    Notes
    -----
    Smooth random time warps are a usual augmentation of sensor data (Um et al., ICMI 2017). Here they are
    learned, as those that turn a series into others of its class.
    """
    convs, n_features = strided_convs(shape, base_channels, norms=True)
    return Networks(
        generator=TimeWarpGenerator(shape, n_classes, latent_dim, base_channels),
        discriminator=SeriesDiscriminator(shape, n_classes, max(1, base_channels // 2)),
        encoder=nn.Sequential(convs, nn.Linear(n_features, latent_dim)),
        judges_apart=True,
    )
