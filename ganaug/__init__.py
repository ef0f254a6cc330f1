"""Data augmentation with conditional GANs, for classes with too few examples."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganaug.data import as_arrays
    from ganaug.dataset import AugmentedDataset
    from ganaug.gan import ConditionalGAN
    from ganaug.gate import QualityGate
    from ganaug.hdf5 import HDF5Dataset
    from ganaug.losses import LOSSES, PENALTIES
    from ganaug.networks import ARCHITECTURES
    from ganaug.quality import quality_report
    from ganaug.recommend import recommend_counts
    from ganaug.resample import GANOverSampler
    from ganaug.transform import GANAugment
    from ganaug.writing import write_hdf5

# Where each public name lives. Imported when first asked for: torch alone takes seconds.
_ROOMS = {
    "ARCHITECTURES": "networks",
    "AugmentedDataset": "dataset",
    "ConditionalGAN": "gan",
    "GANAugment": "transform",
    "GANOverSampler": "resample",
    "HDF5Dataset": "hdf5",
    "LOSSES": "losses",
    "PENALTIES": "losses",
    "QualityGate": "gate",
    "as_arrays": "data",
    "quality_report": "quality",
    "recommend_counts": "recommend",
    "write_hdf5": "writing",
}

__all__ = [
    "ARCHITECTURES",
    "LOSSES",
    "PENALTIES",
    "AugmentedDataset",
    "ConditionalGAN",
    "GANAugment",
    "GANOverSampler",
    "HDF5Dataset",
    "QualityGate",
    "as_arrays",
    "quality_report",
    "recommend_counts",
    "write_hdf5",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'ganaug' has no attribute {name!r}")
    value = getattr(import_module(f"ganaug.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
