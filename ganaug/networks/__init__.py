"""Network architectures, one file for each; ``ARCHITECTURES`` names them."""

from ganaug.networks._parts import Architecture, Networks
from ganaug.networks.dcgan import dcgan
from ganaug.networks.instance import instance
from ganaug.networks.warping import warping

ARCHITECTURES: dict[str, Architecture] = {"warping": warping, "instance": instance, "dcgan": dcgan}

__all__ = ["ARCHITECTURES", "Architecture", "Networks"]
