"""Network architectures, one file for each; `ARCHITECTURES` names them.

It may import no other wing.
"""

from ganaug.networks.dcgan import dcgan
from ganaug.networks.fully_connected import fully_connected
from ganaug.networks.instance import instance
from ganaug.networks.layers import Architecture, Networks
from ganaug.networks.r3gan import r3gan
from ganaug.networks.sngan import sngan
from ganaug.networks.tabular import tabular
from ganaug.networks.tinting import tinting
from ganaug.networks.warping import warping

ARCHITECTURES: dict[str, Architecture] = {
    "warping": warping,
    "tinting": tinting,
    "instance": instance,
    "dcgan": dcgan,
    "fully-connected": fully_connected,
    "sngan": sngan,
    "r3gan": r3gan,
    "tabular": tabular,
}

# The others convolve, or warp images.
TABLE_ARCHITECTURES = ("tabular", "fully-connected")

__all__ = ["ARCHITECTURES", "TABLE_ARCHITECTURES", "Architecture", "Networks"]
