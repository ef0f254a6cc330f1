"""tinting: a generator that warps a real image and maps its colours smoothly."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import (
    EMBED_SIZE,
    MAX_DISPLACEMENT,
    ConditionalBatchNorm2d,
    ConvDiscriminator,
    ConvEncoder,
    Networks,
    OutputActivation,
)
from ganaug.networks.warps import at_full_size, warp, warp_sharply

# Two or four rows of a large image share their colour maps, where those of the decoded maps lie seven times
# as far apart at least. That changes 99 values in 100 by a level at most, at 192 x 256.
ROWS_APART = 7
# In pixels of the image to one of the first and of the last maps: too coarse to add an edge.
BASE_STRIDE, GRID_STRIDE = 8, 4


class TintGenerator(nn.Module):
    """Decode a code, a delta and a class embedding to a flow field and local colour maps.

    The flow warps the given image, then each pixel's colour is mapped linearly. Flow and colour maps
    are decoded at a quarter of the resolution and enlarged bilinearly. So they can't add edges, and the
    image keeps those that show its class.
    """

    def __init__(self, shape: tuple[int, ...], n_classes: int, latent_dim: int, base_channels: int) -> None:
        super().__init__()
        self.sides: list[int]
        channels, *self.sides = shape
        self.split_sizes: list[int] = [2, channels * channels, channels]
        self.grid_sides: list[int] = [-(-side // GRID_STRIDE) for side in self.sides]
        self.base_sides: list[int] = [-(-side // BASE_STRIDE) for side in self.sides]
        condition_size, wide, narrow = 2 * latent_dim + EMBED_SIZE, 4 * base_channels, 2 * base_channels
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.start: nn.Linear = nn.Linear(condition_size, wide * self.base_sides[0] * self.base_sides[1])
        self.norms: nn.ModuleList = nn.ModuleList(
            ConditionalBatchNorm2d(n, condition_size) for n in (wide, narrow)
        )
        self.widen: nn.Conv2d = nn.Conv2d(wide, narrow, 3, 1, 1)
        self.maps: nn.Conv2d = nn.Conv2d(narrow, sum(self.split_sizes), 3, 1, 1)
        weight, bias = self.maps.parameters()
        nn.init.normal_(weight, std=0.01)  # begin close to the identity
        nn.init.zeros_(bias)

    def forward(
        self, images: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor, full: Tensor | None = None
    ) -> Tensor:
        """Return the images (n, C, H, W), changed by deltas (n, latent_dim); or those at full size."""
        return self.with_flow(images, codes, deltas, labels, full)[0]

    def with_flow(
        self, images: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor, full: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the same and the flow, (n, 2, H, W), or of images at full size at a quarter of (H, W)."""
        condition = torch.cat([codes, deltas, self.embed(labels)], dim=1)
        start = self.start(condition).view(len(images), -1, *self.base_sides)
        base = self.norms[0](start, condition).relu()
        widened = self.widen(F.interpolate(base, size=self.grid_sides, mode="bilinear"))
        maps = self.maps(self.norms[1](widened, condition).relu())
        if full is not None:  # the maps are enlarged once, which makes hardly a difference
            maps = maps.tanh()
            flow, color_maps = MAX_DISPLACEMENT * maps[:, :2], maps[:, 2:]
            return at_full_size(self._change, full, flow, color_maps, self._rows_alike(full.shape[2])), flow
        maps = F.interpolate(maps, size=self.sides, mode="bilinear").tanh()
        flow, color_matrix, bias = maps.split(self.split_sizes, dim=1)
        flow = MAX_DISPLACEMENT * flow
        warped, channels = warp(images, flow), images.shape[1]
        mixed = (color_matrix.unflatten(1, (channels, channels)) * warped[:, None]).sum(2)
        return (warped + mixed + bias).clamp(-1, 1), flow

    def _rows_alike(self, height: int) -> int:
        """Return how many rows of an image of full height share their colour maps."""
        largest = height // (ROWS_APART * self.grid_sides[0])
        return max(n for n in (1, 2, 4) if height % n == 0 and n <= max(1, largest))

    def _change(self, images: Tensor, flow: Tensor, maps: Tensor) -> Tensor:
        """Return large images (n, C, H, W), warped, and their colours mapped; some rows by the same maps."""
        color_matrix, bias = maps.unsqueeze(3).split(self.split_sizes[1:], dim=1)
        warped = warp_sharply(images, flow).unflatten(2, (maps.shape[2], -1))
        mapped, channels = warped + bias, images.shape[1]
        for c in range(channels):
            mapped.addcmul_(color_matrix[:, c::channels], warped[:, c : c + 1])
        return mapped.flatten(2, 3).clamp_(-1, 1)


def tinting(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build an encoder, a tinting generator and a projection discriminator for images; see `warping`.

    Of the target image it learns to reconstruct only the low resolution. The code holds nothing of the
    rest, and guesses would average to a grey fog. `output_activation` is not used, as no pixel is new.

    Notes
    -----
    Locally linear colour maps, decoded at low resolution, retouch photographs in "Deep bilateral
    learning for real-time image enhancement" (Gharbi et al., SIGGRAPH 2017). Here they depend on the
    difference of two images.
    """
    return Networks(
        generator=TintGenerator(shape, n_classes, latent_dim, base_channels),
        discriminator=ConvDiscriminator(shape, n_classes, max(1, base_channels // 2)),
        encoder=ConvEncoder(shape, latent_dim, base_channels),
        coarseness=GRID_STRIDE,
        any_size=True,
        has_flow=True,
        judges_apart=True,
    )
