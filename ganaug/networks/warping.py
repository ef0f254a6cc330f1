"""warping: a generator that bends a real image and paints over parts of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import (
    EMBED_SIZE,
    REACH,
    ConvDecoder,
    ConvDiscriminator,
    ConvEncoder,
    Networks,
    OutputActivation,
    warp,
)

FEATURES, REFINE = 4, 16  # maps that the decoder gives the refining layers, and channels of these


class WarpGenerator(nn.Module):
    """Decode a code, a delta and a class embedding to a flow field, new pixels and a mask.

    The flow moves the pixels of the given row, and where the mask is high the new ones replace
    them. So nothing of the row has to pass through its code, and a small class keeps its detail.
    Moving pixels blurs them: three convolutions at full resolution sharpen what comes out.
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
        self.parts = [2, 1, channels, FEATURES]
        self.embed = nn.Embedding(n_classes, EMBED_SIZE)
        self.decode = ConvDecoder(2 * latent_dim + EMBED_SIZE, (sum(self.parts), *sides), base_channels)
        self.refine = nn.Sequential(
            nn.Conv2d(channels + FEATURES, REFINE, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(REFINE, REFINE, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(REFINE, channels, 3, 1, 1),
        )
        self.output_activation = output_activation
        # Begin close to the identity: hardly any flow, a mask that lets the row through, and
        # nothing to refine.
        weight, bias = self.decode.convs[-1].parameters()
        with torch.no_grad():
            weight[:, :-FEATURES].normal_(std=0.01)
            bias[:-FEATURES] = 0.0
            bias[2] = -2.0
        for parameter in self.refine[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, rows: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor) -> Tensor:
        """Return the rows (n, C, H, W), changed by deltas (n, latent_dim)."""
        maps = self.decode(torch.cat([codes, deltas, self.embed(labels)], dim=1))
        flow, mask, paint, features = maps.split(self.parts, dim=1)
        flow = F.pad(REACH * flow.tanh(), (1, 1, 1, 1), mode="replicate")
        bent = warp(rows, F.avg_pool2d(flow, 3, 1))  # the mean keeps neighbours together
        changed = torch.lerp(bent, self.output_activation(paint), mask.sigmoid())
        return (changed + self.refine(torch.cat([changed, features], dim=1))).clamp(-1, 1)


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
    shape : (channels, height, base_channels)
    n_classes : int
    latent_dim : int
        Numbers in the code of a row.
    base_channels : int
        Channels of the encoder's first convolution; the discriminator's has half; deeper ones double it.
    output_activation : callable
        The codec's output head.

    Returns
    -------
    Networks

    Notes
    -----
    That a decoder bends a source image along a flow is known from image registration and from
    "View synthesis by appearance flow" (Zhou et al., ECCV 2016); that the change is a difference
    of codes, learned from pairs of one class and used on another, from the delta-encoder
    (Schwartz et al., NeurIPS 2018).
    """
    return Networks(
        generator=WarpGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        # Half as wide: details are seen to by the loss on patches.
        discriminator=ConvDiscriminator(shape, n_classes, max(1, base_channels // 2)),
        encoder=ConvEncoder(shape, latent_dim, base_channels),
    )
