"""instance: a generator conditioned on the code of a real image, and on nothing else of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganaug.networks.layers import EMBED_SIZE, Activate, ConvDecoder, ConvDiscriminator, ConvEncoder, Networks


class CodeGenerator(nn.Module):
    """Decode a code, moved by a delta, and a class embedding."""

    def __init__(
        self, shape: tuple[int, ...], n_classes: int, code_size: int, width: int, activate: Activate
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_classes, EMBED_SIZE)
        self.decode = ConvDecoder(code_size + EMBED_SIZE, shape, width)
        self.activate = activate

    def forward(self, rows: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor) -> Tensor:
        """Return rows (n, C, H, W) for codes and deltas (n, code_size) and labels (n,)."""
        return self.activate(self.decode(torch.cat([codes + deltas, self.embed(labels)], dim=1)))


def instance(
    shape: tuple[int, ...], n_classes: int, code_size: int, width: int, activate: Activate
) -> Networks:
    """Build an encoder, a generator from codes and a projection discriminator; see `warping`.

    An autoencoder with an adversary, as in Casanova et al., "Instance-conditioned GAN", NeurIPS 2021.
    """
    return Networks(
        generator=CodeGenerator(shape, n_classes, code_size, width, activate),
        discriminator=ConvDiscriminator(shape, n_classes, width),
        encoder=ConvEncoder(shape, code_size, width),
    )
