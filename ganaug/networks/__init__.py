"""Network architectures, one file for each; `ARCHITECTURES` names them.

It may import no other wing.
"""

from ganaug.networks.biggan import biggan
from ganaug.networks.dcgan import dcgan
from ganaug.networks.features import features
from ganaug.networks.fully_connected import fully_connected
from ganaug.networks.instance import instance
from ganaug.networks.layers import Architecture, Networks
from ganaug.networks.progressive import growing, progressive
from ganaug.networks.r3gan import r3gan
from ganaug.networks.recurrent import recurrent
from ganaug.networks.sngan import sngan
from ganaug.networks.style_based import style_based
from ganaug.networks.tabular import tabular
from ganaug.networks.time_warping import time_warping
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
    "biggan": biggan,
    "style-based": style_based,
    "progressive": progressive,
    "tabular": tabular,
    "features": features,
    "time-warping": time_warping,
    "recurrent": recurrent,
}

# The others convolve, or warp images; of a table, no mean can be taken of categories.
TABLE_ARCHITECTURES = ("tabular", "fully-connected")
FEATURE_ARCHITECTURES = ("features", *TABLE_ARCHITECTURES)
SERIES_ARCHITECTURES = ("time-warping", "recurrent", "fully-connected")
# Means and spreads of classes are lent between vectors, and time has one dimension.
NOT_FOR_IMAGES = ("features", "time-warping", "recurrent")

__all__ = [
    "ARCHITECTURES",
    "FEATURE_ARCHITECTURES",
    "NOT_FOR_IMAGES",
    "SERIES_ARCHITECTURES",
    "TABLE_ARCHITECTURES",
    "Architecture",
    "Networks",
    "growing",
]
