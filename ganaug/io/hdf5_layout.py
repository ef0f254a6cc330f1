"""What an HDF5 file holds beside its samples: all of it is laid out first, some completed at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ganaug.io.blocks import BlockPlan, digest_of
from ganaug.io.hdf5 import (
    CHECKSUM,
    CLASSES,
    COLUMNS,
    DTYPE,
    LABELS,
    LAYOUTS,
    SYNTHETIC,
    WEIGHTS,
    check_images,
    checksum,
    open_hdf5,
    read_header,
    text_checksum,
)
from ganaug.io.hdf5_checks import rows_at_once
from ganaug.io.shards import RUN, SHARD, run_digest

SampleWeight = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Samples in a chunk of a compressed file: larger chunks make random reads several times slower.
CHUNK_SIZE = 16
# Of large images fewer: a chunk is read whole, for one of them.
CHUNK_BYTES = 2**21
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


def schema_space(plan: BlockPlan) -> int:
    """Return the bytes to set aside for the schema of a DataFrame; 0 without one."""
    # Twice what the first block needs: later blocks may hold new values.
    return 0 if plan.schema is None else METADATA_BYTES + 2 * len(plan.schema.to_bytes())


def as_text(classes: np.ndarray) -> np.ndarray:
    """Return labels as a file holds them: bytes as strings."""
    return classes.astype(str) if classes.dtype.kind == "S" else classes


def lay_out(
    file: h5py.File, plan: BlockPlan, run: dict[str, Any], sample_weight: SampleWeight | None
) -> None:
    """Create all data sets of a file, and write all but the samples, before the first block.

    Later writes then change no structure, which a kill could leave half done. For the same reason nothing
    is chunked: each sample has its place from the start.
    """
    template = plan.template()
    if plan.schema is not None and run["shard"] is not None:
        raise ValueError(
            "`shard` must be None for a DataFrame, as the codes of its strings depend on all rows before, got"
            f" {tuple(run['shard'])}: write one file, or fit the generator on an array of numbers."
        )
    if plan.n_real:
        _check_alike(plan.make(0), template)
    allocation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    allocation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    allocation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    shape = (plan.n_samples, *template.shape[1:])
    samples = file.create_dataset(plan.key, shape, template.dtype, dcpl=allocation)
    if plan.schema is not None:
        space = np.zeros(schema_space(plan), np.uint8)
        file.create_dataset(COLUMNS, data=space).attrs[CHECKSUM] = np.uint64(0)
    samples.attrs[CHECKSUM], samples.attrs[DTYPE] = np.uint64(0), str(template.dtype)
    classes = plan.gan.classes_
    labels = np.concatenate([plan.labels(block) for block in range(len(plan))])
    per_sample = {LABELS: labels, SYNTHETIC: np.arange(plan.n_samples) >= plan.n_real}
    if sample_weight is not None:
        # They may depend on how many there are of each class in all.
        every, own = plan.whole_labels()
        is_synthetic = np.arange(len(every)) >= len(plan.real_labels)
        per_sample[WEIGHTS] = _weights(sample_weight, classes[every], is_synthetic)[own]
    for key, values in per_sample.items():
        file.create_dataset(key, data=values).attrs[CHECKSUM] = np.uint64(checksum(values))
    classes = as_text(classes)
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
    # That of `object` would hold an address in memory.
    has_repr = type(gan).__repr__ is not object.__repr__  # type: ignore[comparison-overlap]
    file.attrs["sampler"] = repr(gan) if has_repr else type(gan).__name__
    file.attrs["model"] = run["model"]
    if run["shard"] is not None:
        file.attrs[SHARD], file.attrs[RUN] = run["shard"], run_digest(run)
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


def compress(source: Path, path: Path, compression: str) -> None:
    """Write a file anew to `path`, its samples chunked and compressed; all of it, or nothing."""
    try:
        with h5py.File(source, "r") as old, h5py.File(path, "x") as new:
            new.attrs.update(old.attrs)
            for key, dataset in old.items():
                if key == CLASSES:
                    old.copy(dataset, new)
                    continue
                chunk_size = rows_at_once(dataset, CHUNK_SIZE, CHUNK_BYTES) if dataset.ndim > 1 else 1024
                chunks = (min(chunk_size, len(dataset)), *dataset.shape[1:])
                copy = new.create_dataset(
                    key, dataset.shape, dataset.dtype, chunks=chunks, compression=compression
                )
                copy.attrs.update(dataset.attrs)
                step = rows_at_once(dataset, COPY_BLOCK)
                for start in range(0, len(dataset), step):
                    copy[start : start + step] = dataset[start : start + step]
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def check_partial(file: h5py.File, plan: BlockPlan, columns: Any) -> None:
    """Raise ValueError unless a partial file was laid out for such a plan, and such columns."""
    try:
        samples = sample_dataset(file)
        fits = len(samples) == plan.n_samples and samples.id.get_offset() is not None
        fits &= CHECKSUM in samples.attrs and samples.dtype.kind in "biufV"
        fits &= (COLUMNS in file) == (columns is not None)
    except Exception as exc:  # h5py raises a type for each way in which a file can be broken
        raise ValueError(str(exc)) from exc
    if not fits:
        raise ValueError("its samples are not those that were laid out")


def check_last_block(file: h5py.File, plan: BlockPlan, done: int) -> None:
    """Raise ValueError if the generator makes the last of `done` blocks otherwise now."""
    if not done:
        return
    written = sample_dataset(file)[plan.start(done - 1) : plan.start(done)]
    # Byte by byte: NaN is not equal to itself.
    if written.tobytes() != plan.make(done - 1).tobytes():
        raise ValueError(
            f"`gan` makes other samples now than those in {file.filename}: resume with the model,"
            " versions, device and number of threads of the run that was stopped, or pass"
            " overwrite=True (--overwrite) to start anew."
        )


def is_complete(path: Path, plan: BlockPlan, run: dict[str, Any], compression: str | None) -> bool:
    """Return whether a file is what a run with such arguments ends with, down to its checksums.

    As far as a file says with which it was made: not the size of blocks, nor what the weights were. A
    "random_state" of None is any.
    """
    try:
        with open_hdf5(path) as file:
            header, samples = read_header(file), sample_dataset(file)
            n_real = int(np.count_nonzero(~header.synthetic))
            step = rows_at_once(samples, COPY_BLOCK)
            blocks = (samples[start : min(start + step, n_real)] for start in range(0, n_real, step))
            counts = np.bincount(header.labels[header.synthetic], minlength=len(header.classes))
            found = {
                "counts": counts.tolist(),
                "classes": [str(label) for label in header.classes],
                "weighted": header.weights is not None,
                "layout": run["layout"] if header.layout in ("table", "series") else header.layout,
                "compression": samples.compression,
                "model": str(file.attrs["model"]),
                "real": digest_of(blocks, header.labels[:n_real]),
                "shard": np.asarray(file.attrs[SHARD]).tolist() if SHARD in file.attrs else None,
            }
            if found["shard"] is not None:
                found["run"] = str(file.attrs[RUN])
            if run["random_state"] is not None:
                found["random_state"] = int(file.attrs["seed"])
        check_images(path)
    except ValueError:
        return False
    asked = {**run, "compression": compression, "run": run_digest(run)}
    asked |= {"counts": plan.n_synthetic_per_class.tolist(), "real": plan.own_real_digest()}
    return all(asked[name] == value for name, value in found.items())


def start_writeback(file: h5py.File) -> None:
    """Let the system store what was written while the next block is made, and keep no copy in memory."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # it is advice
            os.posix_fadvise(file.id.get_vfd_handle(), 0, 0, os.POSIX_FADV_DONTNEED)


def sync_hdf5(file: h5py.File) -> None:
    """Have the system put what was written to a file on the disk."""
    file.flush()
    os.fsync(file.id.get_vfd_handle())
