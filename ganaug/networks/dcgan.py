"""dcgan: a class-conditional generator from noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganaug.networks._parts import EMBED_SIZE, Activate, ConvDecoder, ConvDiscriminator, Networks


class NoiseGenerator(nn.Module):
    """Decode noise and a class embedding."""

    def __init__(
        self, shape: tuple[int, ...], n_classes: int, code_size: int, width: int, activate: Activate
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_classes, EMBED_SIZE)
        self.decode = ConvDecoder(code_size + EMBED_SIZE, shape, width)
        self.activate = activate

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Return rows (n, C, H, W) for noise (n, code_size) and labels (n,)."""
        return self.activate(self.decode(torch.cat([codes, self.embed(labels)], dim=1)))


def dcgan(shape: tuple[int, ...], n_classes: int, code_size: int, width: int, activate: Activate) -> Networks:
    """Build a generator from noise and a projection discriminator for images; see `warping`.

    After Radford et al., ICLR 2016, with conditional batch norm and a projection head.
    """
    return Networks(
        generator=NoiseGenerator(shape, n_classes, code_size, width, activate),
        discriminator=ConvDiscriminator(shape, n_classes, width),
    )
