"""dcgan: a class-conditional generator from noise."""

from __future__ import annotations

from ganaug.networks.layers import Activate, ConvDiscriminator, Networks, NoiseGenerator


def dcgan(shape: tuple[int, ...], n_classes: int, code_size: int, width: int, activate: Activate) -> Networks:
    """Build a generator from noise and a projection discriminator for images; see `warping`.

    After Radford et al., ICLR 2016, with conditional batch norm and a projection head.
    """
    return Networks(
        generator=NoiseGenerator(shape, n_classes, code_size, width, activate),
        discriminator=ConvDiscriminator(shape, n_classes, width),
    )
