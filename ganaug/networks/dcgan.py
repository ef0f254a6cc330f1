"""dcgan: a class-conditional convolutional generator from noise."""

from __future__ import annotations

from ganaug.networks.layers import ConvDiscriminator, Networks, NoiseGenerator, OutputActivation


def dcgan(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build a generator from noise and a projection discriminator for images; see `warping`.

    After Radford et al., ICLR 2016, with conditional batch norm and a projection head.
    """
    return Networks(
        generator=NoiseGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=ConvDiscriminator(shape, n_classes, base_channels),
        judges_apart=True,
    )
