"""warping: a generator that warps a real image and composites new content into it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import (
    EMBED_SIZE,
    MAX_DISPLACEMENT,
    ConvDecoder,
    ConvDiscriminator,
    ConvEncoder,
    Networks,
    OutputActivation,
)
from ganaug.networks.warps import at_full_size, warp, warp_sharply

# The decoder hands feature maps to the refining layers, so that they know more than the composite.
N_FEATURES, REFINE_CHANNELS = 4, 16


class WarpGenerator(nn.Module):
    """Decode a code, a delta and a class embedding to a flow field, new content and a mask.

    The flow warps the given image, and the mask composites the new content into it. So the image
    need not pass through its code, and a small class keeps its detail. Warping blurs: three
    convolutions at full resolution sharpen the result.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        channels, *sides = shape
        self.split_sizes: list[int] = [2, 1, channels, N_FEATURES]
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.decode: ConvDecoder = ConvDecoder(
            2 * latent_dim + EMBED_SIZE, (sum(self.split_sizes), *sides), base_channels
        )
        self.refine: nn.Sequential = nn.Sequential(
            nn.Conv2d(channels + N_FEATURES, REFINE_CHANNELS, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(REFINE_CHANNELS, REFINE_CHANNELS, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(REFINE_CHANNELS, channels, 3, 1, 1),
        )
        self.output_activation = output_activation
        # Begin close to the identity: hardly any flow, a mask that keeps the image, and no refinement.
        weight, bias = self.decode.convs[-1].parameters()
        with torch.no_grad():
            weight[:, :-N_FEATURES].normal_(std=0.01)
            bias[:-N_FEATURES] = 0.0
            bias[2] = -2.0
        for parameter in self.refine[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, images: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor, full: Tensor | None = None
    ) -> Tensor:
        """Return the images (n, C, H, W), changed by deltas (n, latent_dim); or those at full size.

        Images at full size are warped themselves. What is painted, and all that the refining layers add,
        is made at the size of the networks, smoothed and enlarged, so that the detail of the image stays.
        """
        flow, mask, content, features = self._decode_maps(codes, deltas, labels)
        warped = warp(images, flow)
        composite = torch.lerp(warped, self.output_activation(content), mask.sigmoid())
        refined = (composite + self.refine(torch.cat([composite, features], dim=1))).clamp(-1, 1)
        if full is None:
            return refined
        painted = _smoothed(refined - warped)
        return at_full_size(warp_sharply, full, _smoothed(flow), painted).clamp_(-1, 1)

    def with_flow(
        self, images: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor, full: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the images only warped, and the flow (n, 2, h, w): no mask would fit what is painted."""
        flow = self._decode_maps(codes, deltas, labels)[0]
        if full is None:
            return warp(images, flow), flow
        flow = _smoothed(flow)
        return at_full_size(warp_sharply, full, flow).clamp_(-1, 1), flow

    def _decode_maps(self, codes: Tensor, deltas: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """Return flow, mask, content and features of the size of the networks, (n, c, h, w) each."""
        maps = self.decode(torch.cat([codes, deltas, self.embed(labels)], dim=1))
        flow, *others = maps.split(self.split_sizes, dim=1)
        return _smoothed(MAX_DISPLACEMENT * flow.tanh(), 1), *others


def _smoothed(maps: Tensor, times: int = 2) -> Tensor:
    """Return maps (n, c, h, w), so often the mean over 3 x 3 places, which keeps neighbours together.

    At full size the steps between places span many pixels: of a flow they would turn edges into stairs, and
    what is painted would be dotted.
    """
    for _ in range(times):
        maps = F.avg_pool2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return maps


def warping(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build an encoder, a warping generator and a projection discriminator for images.

    Parameters
    ----------
    shape : (channels, height, width)
        Of an encoded image.
    n_classes : int
    latent_dim : int
        Size of the latent code of an image.
    base_channels : int
        Channels of the encoder's first convolution; the discriminator's has half. Deeper ones double it.
    output_activation : callable
        Maps the output of the generator to the range of encoded images.

    Returns
    -------
    Networks

    Notes
    -----
    Decoders that warp a source image along a flow are known from image registration and from "View
    synthesis by appearance flow" (Zhou et al., ECCV 2016). The delta-encoder (Schwartz et al.,
    NeurIPS 2018) learns differences of codes from pairs of one class, and applies them to another.
    """
    return Networks(
        generator=WarpGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        # Half the channels suffice, as the sliced Wasserstein loss on patches teaches the detail.
        discriminator=ConvDiscriminator(shape, n_classes, max(1, base_channels // 2)),
        encoder=ConvEncoder(shape, latent_dim, base_channels),
        any_size=True,
        has_flow=True,
        judges_apart=True,
    )
