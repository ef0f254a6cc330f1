"""sngan: a generator from noise and a discriminator under spectral normalisation."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganaug.networks.layers import Networks, NoiseGenerator, OutputActivation, n_downsamples


class SpectralDiscriminator(nn.Module):
    """Convolutions and a projection head; the largest singular value of each layer is one.

    Each forward pass in training mode takes a step of power iteration.
    """

    def __init__(self, shape: tuple[int, ...], n_classes: int, base_channels: int) -> None:
        super().__init__()
        channels, *sides = shape
        sizes = [channels, *(base_channels * 2**i for i in range(n_downsamples(*sides) + 1))]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes[:-1]):
            layers += [spectral_norm(nn.Conv2d(before, after, 3, 1, 1)), nn.LeakyReLU(0.1)]
            layers += [spectral_norm(nn.Conv2d(after, after, 4, 2, 1)), nn.LeakyReLU(0.1)]
        layers += [spectral_norm(nn.Conv2d(sizes[-2], sizes[-1], 3, 1, 1)), nn.LeakyReLU(0.1)]
        self.layers: nn.Sequential = nn.Sequential(*layers)
        self.logit: nn.Module = spectral_norm(nn.Linear(sizes[-1], 1))
        self.embed: nn.Module = spectral_norm(nn.Embedding(n_classes, sizes[-1]))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the images (n, C, H, W) with labels (n,)."""
        features = self.layers(images).sum(dim=(2, 3))
        return self.logit(features).squeeze(1) + (features * self.embed(labels)).sum(1)


def sngan(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build a generator from noise and a spectrally normalised discriminator; see `warping`.

    After Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018,
    the convolutional networks of its table 3, with the conditional batch norm and the projection
    head on summed features of Miyato & Koyama, "cGANs with projection discriminator", ICLR 2018.
    Meant for the hinge loss without a penalty.
    """
    return Networks(
        generator=NoiseGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=SpectralDiscriminator(shape, n_classes, base_channels),
    )
