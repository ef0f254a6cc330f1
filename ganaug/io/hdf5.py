"""The file format of data sets on disk.

A file holds one of

- ``images`` (N, H, W, C),
- ``imgs`` (N, C, H, W), in the layout "nchw",
- ``series`` (N, length) or (N, length, channels),
- ``rows`` of a table: (N, n_features); or (N,) records of a DataFrame, which ``columns`` describes in
  JSON (see `ganaug.io.records`).

Beside it are ``labels`` (N,) int64, which are indices into ``classes``; ``synthetic`` (N,) bool; and, where
samples are not to be drawn evenly, ``weights`` (N,) float64. Each has its checksum as an attribute. The
samples have their dtype too: the same bytes would be other numbers in another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ganaug.io import hdf5_checks as checks
from ganaug.io.disk import check_regular
from ganaug.io.folders import refuse_model
from ganaug.io.records import DataFrameSchema

# "imgs" is what BigGAN's loaders read.
LAYOUTS = {"nhwc": "images", "nchw": "imgs", "table": "rows", "series": "series"}
COLUMNS = "columns"
LABELS, CLASSES, SYNTHETIC, WEIGHTS = "labels", "classes", "synthetic", "weights"
CHECKSUM, DTYPE = "checksum", "dtype"
PER_SAMPLE: dict[str, type[np.generic]] = {LABELS: np.int64, SYNTHETIC: np.bool_, WEIGHTS: np.float64}
READ_BLOCK = 1024  # samples that are read at once to verify a file
COLUMNS_BYTES = 2**24  # that the JSON of a compressed file may take however well it is compressed


@dataclass(frozen=True)
class Header:
    """All of a file but its samples: see the top of this module."""

    layout: str
    shape: tuple[int, ...]
    dtype: np.dtype
    classes: np.ndarray
    labels: np.ndarray
    synthetic: np.ndarray
    weights: np.ndarray | None


def checksum(samples: np.ndarray) -> int:
    """Return the sum of the samples' 64-bit words, or shorter ones, modulo 2**64.

    Any flipped bit changes it, it costs next to nothing, and the sums of blocks add up to that of all.
    """
    samples = np.ascontiguousarray(samples)
    size = samples[:1].nbytes
    word = max((size & -size) if size else 1, 1)
    words = samples.reshape(-1).view(np.uint8).view(f"<u{min(word, 8)}")
    return int(words.sum(dtype=np.uint64))


def text_checksum(values: np.ndarray) -> int:
    """Return the checksum of labels of any type."""
    return checksum(np.frombuffer("\0".join(map(str, values.tolist())).encode() or b"\0", np.uint8))


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file to read; any error that a damaged one causes becomes a ValueError.

    Raises
    ------
    OSError
        If the file can't be opened: it is missing, a folder, locked, out of reach, ...
    ValueError
        If it is damaged, or not of the format described at the top of this module.
    """
    check_regular(path)
    refuse_model(path)
    with checks.errors_named(path), h5py.File(path, "r") as file:
        yield file


def read_header(file: h5py.File) -> Header:
    """Read all but the samples, after a check of every part, and check that they fit together.

    Raises
    ------
    ValueError
        If they do not, or if one is of a type or a size that `write_hdf5` doesn't write.
    """
    # If the name of an optional part, weights or columns, were damaged, it would just seem missing.
    unknown = set(file) - {*LAYOUTS.values(), COLUMNS, CLASSES, *PER_SAMPLE}
    if unknown:
        raise ValueError(f"it holds {sorted(unknown)[:5]}, which no such file does")
    images = checked_samples(file)
    key = images.name.strip("/")
    layout = next(layout for layout in LAYOUTS if LAYOUTS[layout] == key)
    if checks.read_attribute(images, DTYPE) != str(images.dtype):
        raise ValueError(
            f"`{key}` is of {images.dtype}, and was written as {checks.read_attribute(images, DTYPE)}"
        )
    if images.dtype.kind == "V":
        checks.stored_values(file, COLUMNS, np.uint8, COLUMNS_BYTES)
    stored = checks.stored_dataset(file, CLASSES)
    held = [key for key in PER_SAMPLE if key != WEIGHTS or key in set(file)]
    parts = {key: checks.stored_values(file, key, PER_SAMPLE[key]) for key in held}
    lengths = {len(part) for part in (images, *parts.values())}
    if len(lengths) != 1:
        raise ValueError(f"its parts hold different numbers of rows: {sorted(lengths)}")
    classes = checks.read_classes(stored, CLASSES, file.id.get_filesize())
    if checks.read_attribute(stored, CHECKSUM) != text_checksum(classes):
        raise ValueError(f"`{CLASSES}` is not what was written")
    values = {key: _read_verified(part) for key, part in parts.items()}
    labels = values[LABELS]
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(f"labels from {labels.min()} to {labels.max()} for {len(classes)} classes")
    return Header(
        layout, images.shape[1:], images.dtype, classes, labels, values[SYNTHETIC], values.get(WEIGHTS)
    )


def checked_samples(file: h5py.File) -> h5py.Dataset:
    """Return the data set of a file's samples, after a check that it is what `write_hdf5` writes."""
    key = checks.name_among(file, LAYOUTS.values())
    samples = checks.stored_dataset(file, key)
    checks.check_samples(samples, key, next(layout for layout in LAYOUTS if LAYOUTS[layout] == key))
    return samples


def read_arrays(path: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return all of a file: images (N, H, W, C), series or a table, labels, and which samples are synthetic.

    Raises
    ------
    ValueError
        If a bit of it is not as it was written.
    """
    with open_hdf5(path) as file:
        header = read_header(file)
        X = _read_verified(checked_samples(file))
        if X.dtype.kind == "V":  # of a DataFrame
            schema = _read_verified(file[COLUMNS]).tobytes().rstrip(b"\0")
            X = DataFrameSchema.from_bytes(schema).from_records(X)
    if header.layout == "nchw" and X.ndim == 4:
        X = np.ascontiguousarray(X.transpose(0, 2, 3, 1))
    return X, header.classes[header.labels], header.synthetic


def check_images(path: Path) -> None:
    """Raise ValueError unless every bit of a file is as it was written."""
    with open_hdf5(path) as file:
        read_header(file)
        images = checked_samples(file)
        step = checks.rows_at_once(images, READ_BLOCK)
        blocks = (images[start : start + step] for start in range(0, len(images), step))
        if checks.read_attribute(images, CHECKSUM) != sum(checksum(block) for block in blocks) % 2**64:
            raise ValueError("its images are not what was written")


def file_digest(file: h5py.File) -> str:
    """Return the checksums of a file's samples and labels, which identify it."""
    parts = checked_samples(file), checks.stored_dataset(file, LABELS)
    return "-".join(f"{checks.read_attribute(part, CHECKSUM):016x}" for part in parts)


def _read_verified(dataset: h5py.Dataset) -> np.ndarray:
    name, values = dataset.name.strip("/"), dataset[:]
    if checks.read_attribute(dataset, CHECKSUM) != checksum(values):
        raise ValueError(f"`{name}` is not what was written")
    checks.check_booleans(values, name)
    return values
