"""tinting: a generator that bends a real image and changes its light and colours smoothly."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import (
    EMBED_SIZE,
    REACH,
    ConditionalBatchNorm2d,
    ConvDiscriminator,
    ConvEncoder,
    Networks,
    OutputActivation,
    warp,
)

COARSE, SMOOTH = 8, 4  # pixels of the image for one of the first maps, and for one of the last


class TintGenerator(nn.Module):
    """Decode a code, a delta and a class embedding to a flow field and maps of colours.

    Where it moved to, each pixel's colour is mapped linearly. Flow and maps are decoded at a quarter
    of the resolution and enlarged bilinearly, so that no edge can come of them: those of the image
    stay what shows its class.
    """

    def __init__(self, shape: tuple[int, ...], n_classes: int, latent_dim: int, base_channels: int) -> None:
        super().__init__()
        channels, *self.sides = shape
        self.parts = [2, channels * channels, channels]
        self.smooth = [-(-side // SMOOTH) for side in self.sides]
        self.base = [-(-side // COARSE) for side in self.sides]
        condition_size, wide, narrow = 2 * latent_dim + EMBED_SIZE, 4 * base_channels, 2 * base_channels
        self.embed = nn.Embedding(n_classes, EMBED_SIZE)
        self.start = nn.Linear(condition_size, wide * self.base[0] * self.base[1])
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(n, condition_size) for n in (wide, narrow))
        self.widen = nn.Conv2d(wide, narrow, 3, 1, 1)
        self.maps = nn.Conv2d(narrow, sum(self.parts), 3, 1, 1)
        weight, bias = self.maps.parameters()
        nn.init.normal_(weight, std=0.01)  # begin close to the identity
        nn.init.zeros_(bias)

    def forward(self, rows: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor) -> Tensor:
        """Return the rows (n, C, H, W), changed by deltas (n, latent_dim)."""
        condition = torch.cat([codes, deltas, self.embed(labels)], dim=1)
        start = self.start(condition).view(len(rows), -1, *self.base)
        coarse = self.norms[0](start, condition).relu()
        widened = self.widen(F.interpolate(coarse, size=self.smooth, mode="bilinear"))
        maps = self.maps(self.norms[1](widened, condition).relu())
        maps = F.interpolate(maps, size=self.sides, mode="bilinear").tanh()
        flow, mix, light = maps.split(self.parts, dim=1)
        bent = warp(rows, REACH * flow)
        channels = rows.shape[1]
        mixed = (mix.unflatten(1, (channels, channels)) * bent[:, None]).sum(2)
        return (bent + mixed + light).clamp(-1, 1)


def tinting(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build an encoder, a tinting generator and a projection discriminator for images; see `warping`.

    Of another image it learns to rebuild only the coarse: of the rest its code knows nothing, and
    guesses would be a grey fog. `output_activation` is not used, as no pixel is made anew.

    Notes
    -----
    Maps of colours that are linear in each place, and decoded at low resolution, retouch
    photographs in "Deep bilateral learning for real-time image enhancement" (Gharbi et al.,
    SIGGRAPH 2017); here the difference of two images says how.
    """
    return Networks(
        generator=TintGenerator(shape, n_classes, latent_dim, base_channels),
        discriminator=ConvDiscriminator(shape, n_classes, max(1, base_channels // 2)),
        encoder=ConvEncoder(shape, latent_dim, base_channels),
        coarseness=SMOOTH,
    )
