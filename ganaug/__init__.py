"""Data augmentation with conditional GANs, for classes with too few examples."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganaug.adapters.dataset import AugmentedDataset
    from ganaug.adapters.embedder import Embedder
    from ganaug.adapters.imputer import GANImputer
    from ganaug.adapters.loader import augmented_loader
    from ganaug.adapters.resample import GANOverSampler
    from ganaug.adapters.transform import GANAugment
    from ganaug.evaluation.quality import quality_report
    from ganaug.io.arrays import as_arrays
    from ganaug.io.hdf5_dataset import HDF5Dataset
    from ganaug.io.writing import write_hdf5
    from ganaug.model.gan import ConditionalGAN
    from ganaug.networks import ARCHITECTURES
    from ganaug.selection.gate import QualityGate
    from ganaug.selection.recommend import recommend_counts
    from ganaug.training.losses import LOSSES, PENALTIES

# Where each public name lives. Imported when first asked for: torch alone takes seconds.
_MODULES = {
    "ARCHITECTURES": "networks",
    "AugmentedDataset": "adapters.dataset",
    "ConditionalGAN": "model.gan",
    "Embedder": "adapters.embedder",
    "GANAugment": "adapters.transform",
    "GANImputer": "adapters.imputer",
    "GANOverSampler": "adapters.resample",
    "HDF5Dataset": "io.hdf5_dataset",
    "LOSSES": "training.losses",
    "PENALTIES": "training.losses",
    "QualityGate": "selection.gate",
    "as_arrays": "io.arrays",
    "augmented_loader": "adapters.loader",
    "quality_report": "evaluation.quality",
    "recommend_counts": "selection.recommend",
    "write_hdf5": "io.writing",
}

__all__ = [
    "ARCHITECTURES",
    "LOSSES",
    "PENALTIES",
    "AugmentedDataset",
    "ConditionalGAN",
    "Embedder",
    "GANAugment",
    "GANImputer",
    "GANOverSampler",
    "HDF5Dataset",
    "QualityGate",
    "as_arrays",
    "augmented_loader",
    "quality_report",
    "recommend_counts",
    "write_hdf5",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ganaug' has no attribute {name!r}")
    value = getattr(import_module(f"ganaug.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
