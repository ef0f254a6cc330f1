"""What an HDF5 file holds beside its samples: all of it is laid out first, some completed at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ganaug.io.blocks import BlockPlan
from ganaug.io.disk import atomic_write
from ganaug.io.hdf5 import (
    CHECKSUM,
    CLASSES,
    COLUMNS,
    DTYPE,
    LABELS,
    LAYOUTS,
    SYNTHETIC,
    WEIGHTS,
    checksum,
    text_checksum,
)

SampleWeight = Callable[[np.ndarray, np.ndarray], np.ndarray]

COMPRESSIONS = ("gzip", "lzf")
# Samples in a chunk of a compressed file: larger chunks make random reads several times slower.
CHUNK_SIZE = 16
COPY_BLOCK = 1024  # samples that are compressed at once
# The strings of a table turn up block after block; their space has to be there from the start.
METADATA_BYTES = 2**20
BYTES_BESIDE_SAMPLE = 8 + 1 + 8  # its label, whether it is synthetic, and its weight
PACKAGES = ("ganaug", "torch", "numpy", "h5py")


def check_free_space(partial: Path, plan: BlockPlan, compression: str | None, *, resume: bool) -> None:
    """Raise OSError if the disk can't hold the file: HDF5 ends the process when it finds out by itself."""
    stat = partial.stat() if partial.exists() else None
    if resume and stat is not None:
        size = stat.st_size  # all of it is allocated
    else:
        size = plan.n_samples * (plan.template()[:1].nbytes + BYTES_BESIDE_SAMPLE) + METADATA_BYTES
    allocated = getattr(stat, "st_blocks", 0) * 512
    needed = size - min(size, allocated) + (size if compression else 0)
    free = shutil.disk_usage(partial.parent).free
    if needed > free:
        raise OSError(
            f"No room in {partial.parent}: the file takes {needed / 2**20:.1f} MiB, and"
            f" {free / 2**20:.1f} MiB are free."
        )


def lay_out(
    file: h5py.File, plan: BlockPlan, run: dict[str, Any], sample_weight: SampleWeight | None
) -> None:
    """Create all data sets of a file, and write all but the samples, before the first block.

    Later writes then change no structure, which a kill could leave half done. For the same reason nothing
    is chunked: each sample has its place from the start.
    """
    template = plan.template()
    if plan.n_real_blocks:
        _check_alike(plan.make(0), template)
    allocation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    allocation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    allocation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    shape = (plan.n_samples, *template.shape[1:])
    samples = file.create_dataset(plan.key, shape, template.dtype, dcpl=allocation)
    if plan.schema is not None:
        # Twice what the first block needs: later blocks may hold new values.
        space = np.zeros(METADATA_BYTES + 2 * len(plan.schema.to_bytes()), np.uint8)
        file.create_dataset(COLUMNS, data=space).attrs[CHECKSUM] = np.uint64(0)
    samples.attrs[CHECKSUM], samples.attrs[DTYPE] = np.uint64(0), str(template.dtype)
    classes = plan.gan.classes_
    labels = np.concatenate([plan.labels(block) for block in range(len(plan))])
    per_sample = {LABELS: labels, SYNTHETIC: np.arange(plan.n_samples) >= len(plan.real_labels)}
    if sample_weight is not None:
        per_sample[WEIGHTS] = _weights(sample_weight, classes[labels], per_sample[SYNTHETIC])
    for key, values in per_sample.items():
        file.create_dataset(key, data=values).attrs[CHECKSUM] = np.uint64(checksum(values))
    classes = classes.astype(str) if classes.dtype.kind == "S" else classes
    file[CLASSES] = classes.astype(h5py.string_dtype()) if classes.dtype.kind == "U" else classes
    file[CLASSES].attrs[CHECKSUM] = np.uint64(text_checksum(classes))
    _write_origin(file, plan.gan, run)


def _check_alike(real: np.ndarray, synthetic: np.ndarray) -> None:
    if (real.dtype, real.shape[1:]) != (synthetic.dtype, synthetic.shape[1:]):
        raise ValueError(
            f"`real` must hold samples like those of `gan`, {synthetic.dtype} {synthetic.shape[1:]}, got"
            f" {real.dtype} {real.shape[1:]}."
        )


def _weights(sample_weight: SampleWeight, labels: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    weights = np.asarray(sample_weight(labels, synthetic), np.float64)
    if weights.shape != labels.shape:
        raise ValueError(
            f"`sample_weight` must return one weight for each of {len(labels)} samples, got shape"
            f" {weights.shape}."
        )
    return weights


def _write_origin(file: h5py.File, gan: Any, run: dict[str, Any]) -> None:
    """Write as attributes what made the file: generator, seed, versions."""
    file.attrs["seed"] = run["random_state"]
    has_repr = type(gan).__repr__ is not object.__repr__  # else it would hold an address in memory
    file.attrs["sampler"] = repr(gan) if has_repr else type(gan).__name__
    file.attrs["model"] = run["model"]
    for package in PACKAGES:
        file.attrs[package] = version(package)


def sample_dataset(file: h5py.File) -> h5py.Dataset:
    """Return the data set that holds the samples."""
    return next(file[key] for key in LAYOUTS.values() if key in file)


def check_schema_fits(file: h5py.File, plan: BlockPlan) -> None:
    """Raise ValueError if the schema of a DataFrame has outgrown its space in the file."""
    if plan.schema is None:
        return
    needed, space = len(plan.schema.to_bytes()), len(file[COLUMNS])
    if needed > space:
        raise ValueError(
            f"The values of columns of strings and objects take {needed} bytes, more than the {space} that"
            " were set aside: group them into fewer categories, or give numbers a numeric dtype."
        )


def write_schema(file: h5py.File, plan: BlockPlan) -> None:
    """Write the schema of a DataFrame, which is complete after the last block."""
    if plan.schema is None:
        return
    check_schema_fits(file, plan)
    content, stored = np.frombuffer(plan.schema.to_bytes(), np.uint8), file[COLUMNS]
    stored[: len(content)] = content
    stored.attrs.modify(CHECKSUM, np.uint64(checksum(stored[:])))


def compress(path: Path, compression: str) -> None:
    """Replace a file by one whose samples are chunked and compressed."""
    with atomic_write(path) as partial, h5py.File(path, "r") as old, h5py.File(partial, "w") as new:
        new.attrs.update(old.attrs)
        for key, dataset in old.items():
            if key == CLASSES:
                old.copy(dataset, new)
                continue
            chunk_size = CHUNK_SIZE if dataset.ndim > 1 else 1024
            chunks = (min(chunk_size, len(dataset)), *dataset.shape[1:])
            copy = new.create_dataset(
                key, dataset.shape, dataset.dtype, chunks=chunks, compression=compression
            )
            copy.attrs.update(dataset.attrs)
            for start in range(0, len(dataset), COPY_BLOCK):
                copy[start : start + COPY_BLOCK] = dataset[start : start + COPY_BLOCK]
