"""instance: a generator conditioned on the code of a real image alone, not on its pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganaug.networks.layers import (
    EMBED_SIZE,
    ConvDecoder,
    ConvDiscriminator,
    ConvEncoder,
    Networks,
    OutputActivation,
)


class LatentGenerator(nn.Module):
    """Decode a code, moved by a delta, and a class embedding to an image."""

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

    def forward(self, images: Tensor, codes: Tensor, deltas: Tensor, labels: Tensor) -> Tensor:
        """Return images (n, C, H, W) for codes and deltas (n, latent_dim) and labels (n,)."""
        return self.output_activation(self.decode(torch.cat([codes + deltas, self.embed(labels)], dim=1)))


def instance(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build an encoder, a generator from codes and a projection discriminator; see `warping`.

    An autoencoder with a discriminator, as in Casanova et al., "Instance-conditioned GAN", NeurIPS 2021.
    """
    return Networks(
        generator=LatentGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=ConvDiscriminator(shape, n_classes, base_channels),
        encoder=ConvEncoder(shape, latent_dim, base_channels),
        judges_apart=True,
    )
