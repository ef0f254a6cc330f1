"""The samples of an HDF5 file, read one by one or in batches while the file is watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import torch
from torch import Tensor

from ganaug.io.disk import printable
from ganaug.io.hdf5_checks import errors_named
from ganaug.io.mapping import MappedFile, WatchedFile

Samples: TypeAlias = np.ndarray | h5py.Dataset


def watch_samples(file: h5py.File, samples: h5py.Dataset, path: Path) -> Callable[[], Samples]:
    """Return a function that returns the samples of an open file, which it then owns.

    They are mapped into memory where they are stored uncompressed. The function raises ValueError if the
    file was changed, cut short or replaced since it was opened, before its memory is touched.
    """
    watched = WatchedFile(path, file.id.get_vfd_handle())
    offset = samples.id.get_offset()
    if offset is None:

        def compressed() -> Samples:
            watched.check()
            return samples

        return compressed
    mapped = MappedFile(path, samples.dtype, offset, samples.shape)
    watched.check()  # the file that was mapped is the one that was checked
    file.close()
    return mapped.array


def read_sample(samples: Samples, row: int, path: Path) -> np.ndarray:
    """Return a copy of one sample; see `read_samples`."""
    if isinstance(samples, np.ndarray):
        return np.array(samples[row])
    try:
        return np.asarray(samples[row])
    except Exception:
        with errors_named(path):  # only now: it takes time
            raise


def read_samples(samples: Samples, rows: np.ndarray, path: Path) -> np.ndarray:
    """Return a copy of some samples.

    Raises
    ------
    ValueError, OSError
        If the file is damaged or out of reach.
    """
    if isinstance(samples, np.ndarray):
        return np.asarray(samples[rows])
    read = np.empty((len(rows), *samples.shape[1:]), samples.dtype)
    with errors_named(path):
        for place in rows.argsort().tolist():  # in the file's order: each chunk is decompressed once
            read[place] = samples[int(rows[place])]
    return read


def check_torch_dtype(dtype: np.dtype, path: Path) -> None:
    """Raise ValueError if torch has no such dtype."""
    try:
        torch.from_numpy(np.empty(0, dtype))
    except (TypeError, ValueError) as exc:
        raise ValueError(f"{printable(path)} holds {dtype}, which torch doesn't have: {exc}") from exc


def as_tensor(sample: np.ndarray, layout: str) -> Tensor:
    """Return an image as (C, H, W), or a series or a row of a table as it is."""
    image = torch.from_numpy(sample)
    if layout in ("table", "series"):
        return image
    if image.ndim == 2:
        return image[None]
    return image.permute(2, 0, 1) if layout == "nhwc" else image


def rows_of_classes(targets: np.ndarray, classes: list[Any], labels: Any) -> np.ndarray:
    """Return where `targets` are the indices of these labels, which `class_subset` of HDF5Dataset names."""
    if isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
        raise ValueError(f"`class_subset` must be a sequence of labels, got {labels!r}.")
    labels = list(labels)
    unknown = [label for label in labels if label not in classes]
    if unknown:
        raise ValueError(f"`class_subset` must name classes among {classes}, got {unknown}.")
    return np.flatnonzero(np.isin(targets, [classes.index(label) for label in labels]))
