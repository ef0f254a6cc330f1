"""write_hdf5: streams synthetic rows to a file, block by block, so that a run can be killed and resumed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from tqdm.auto import tqdm

from ganaug.data.labels import expand_counts
from ganaug.data.protocol import ConditionalGenerator, check_generator
from ganaug.io.blocks import BlockPlan
from ganaug.io.disk import preallocate
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
from ganaug.io.records import Columns

CHUNK = 16  # rows in a chunk of a compressed file; larger ones make random reads several times slower
COMPRESSIONS = ("gzip", "lzf")
SYNC_SECONDS = 10.0  # of work that a kill can cost
ROOM = 2**20  # bytes set aside for the strings of a table
ROW_BYTES = 8 + 1 + 8  # of its label, whether it is synthetic, and its weight
PACKAGES = ("ganaug", "torch", "numpy", "h5py")


class Counts(Protocol):
    """What of a `Recommendation` is of use here."""

    to_add: Mapping[Any, int]


def write_hdf5(
    gan: ConditionalGenerator,
    path: str | Path,
    counts: int | Mapping[Any, int] | Counts,
    *,
    real: tuple[Any, Any] | None = None,
    sample_weight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    random_state: int | None = None,
    layout: str = "nhwc",
    compression: str | None = None,
    block_size: int = 1024,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
) -> Path:
    """Write a synthetic data set of any size, in the format of `ganaug.hdf5`.

    Rows are made in blocks, the classes mixed evenly over them. The randomness of a block depends
    on the seed and its number only, so `resume` ends with the file that an undisturbed run writes:
    the same bits with the same generator, type of device, versions and number of threads. Until the
    file is whole it stands beside `path` as ``NAME.partial``, and every ten seconds
    ``NAME.journal`` notes how far it is good.

    Parameters
    ----------
    gan : ConditionalGenerator
        A fitted `ConditionalGAN`, or anything with ``classes_`` and ``sample``, which is called for one
        block after another: a `QualityGate` finds rows that repeat each other within a block.
    path : path
        The file to write.
    counts : int, dict of label to int, or Recommendation
        Synthetic rows for each class, or for the classes named.
    real : (X, y), optional
        Real rows of the same kind and their labels, to stand first in the file.
    sample_weight : callable, optional
        ``sample_weight(labels, synthetic) -> weights``, of original labels; such as that of a
        `Recommendation`. Its weights are written too, as ``weights``.
    random_state : int, optional
        The same seed writes the same images. None draws one; the file's attribute ``seed`` has it.
    layout : {"nhwc", "nchw"}
        Of images: ``images`` (N, H, W, C), or ``imgs`` (N, C, H, W) as loaders of BigGAN's kind read
        them. A table is stored as ``rows``, whatever is said here.
    compression : {"gzip", "lzf"}, optional
        Applied when all rows are there, which takes a second file's space for a while. Generated
        images hardly shrink.
    block_size : int
        Rows, about, that are made and written at once.
    resume : bool
        Go on where a run with the same arguments stopped, if one did.
    overwrite : bool
        Replace an existing file, or what a stopped run left.
    verbose : bool
        Show a progress bar, on terminals only.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    FileExistsError
        If `path` exists, or a stopped run left its work beside it, and neither is asked for.
    OSError
        If there is no room for the file, and, with `compression`, for a second one.
    ValueError
        If a parameter is not of the kind described, `counts` names an unknown class, or neither it
        nor `real` holds a row; if real rows are not of the kind of synthetic ones; or if the run to
        resume had other arguments, or its generator made other rows.
    """
    path = Path(path)
    check_target(path, overwrite, resume)
    check_generator(gan)
    for name, value, allowed in (
        ("layout", layout, ("nhwc", "nchw")),
        ("compression", compression, (None, *COMPRESSIONS)),
    ):
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {list(allowed)}, got {value!r}.")
    if not isinstance(block_size, int | np.integer) or isinstance(block_size, bool) or block_size < 1:
        raise ValueError(f"`block_size` must be an int of at least 1, got {block_size!r}.")
    numbers = expand_counts(getattr(counts, "to_add", counts), gan.classes_)
    whole = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if random_state is not None and not (whole and 0 <= random_state < 2**63):
        raise ValueError(f"`random_state` must be an int from 0 to 2**63 - 1 or None, got {random_state!r}.")
    random_state = None if random_state is None else int(random_state)
    blocks = BlockPlan(gan, numbers, real, layout, int(block_size))
    if blocks.n_rows == 0:
        raise ValueError("`counts` asks for no rows at all.")

    partial, journal = _beside(path)
    run = {
        "counts": numbers.tolist(),
        "real": blocks.real_digest(),
        "model": _digest(gan),
        "classes": [str(label) for label in gan.classes_],
        "weighted": sample_weight is not None,
        "layout": layout,
        "block_size": int(block_size),
    }
    left = _left_over(partial, journal) if resume else None
    if left is None:
        random_state = _drawn() if random_state is None else random_state
        left = {"run": {**run, "random_state": random_state}, "blocks": 0, "checksum": 0, "columns": None}
    else:
        random_state = left["run"].get("random_state") if random_state is None else random_state
        _check_same_run({**run, "random_state": random_state}, left["run"], journal)
        blocks.columns = None if left["columns"] is None else Columns(left["columns"])
    blocks.seed = int(np.random.SeedSequence(random_state).generate_state(1)[0])

    _check_room(partial, blocks, compression, resume=left["blocks"] > 0)
    file = _open(partial, resume=left["blocks"] > 0)
    if not left["blocks"]:
        journal.unlink(missing_ok=True)  # not before: it may be that of a run that is going on
    try:
        with file:
            if not left["blocks"]:
                _create(file, blocks, gan, left["run"], sample_weight)
            file.flush()
            preallocate(file.id.get_vfd_handle(), file.id.get_filesize(), file.filename)
            _fill(file, blocks, left, journal, verbose)
            _rows_of(file).attrs.modify(CHECKSUM, np.uint64(left["checksum"]))
            _note_columns(file, blocks)
            _sync(file)
        if compression is not None:
            _compress(partial, compression)
        partial.replace(path)
        journal.unlink(missing_ok=True)
    except BaseException:
        # What the journal vouches for may be hours of work: it waits for `resume`.
        if not journal.exists():
            partial.unlink(missing_ok=True)
        raise
    return path


def check_target(path: Path, overwrite: bool, resume: bool) -> None:
    """Raise an OSError if a file at `path` can't be written, or what is there may not be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: pass overwrite=True (--overwrite) to replace it.")
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a folder: make it first.")
    partial, journal = _beside(path)
    left = None if resume or overwrite else _left_over(partial, journal)
    if left is not None:
        raise FileExistsError(
            f"{partial} is left of a run that was stopped after {left['rows']} rows: pass resume=True"
            " (--resume) to go on, or overwrite=True (--overwrite) to start anew."
        )


def _beside(path: Path) -> tuple[Path, Path]:
    """Return where a run keeps what it has written, and how far that is good."""
    partial, journal = (path.with_name(path.name + suffix) for suffix in (".partial", ".journal"))
    return partial, journal


def _left_over(partial: Path, journal: Path) -> dict[str, Any] | None:
    """Return what a journal says of a run that was stopped, or None if there is nothing to go on from."""
    if not (partial.exists() and journal.exists()):
        return None
    try:
        left = json.loads(journal.read_text())
        if min(left["blocks"], left["rows"]) < 1 or left["checksum"] < 0 or not isinstance(left["run"], dict):
            raise ValueError("it says nothing of use")
    except (ValueError, LookupError, TypeError) as exc:
        raise ValueError(f"{journal} is damaged ({exc}): delete it to start anew.") from exc
    return left


def _check_same_run(now: dict[str, Any], before: dict[str, Any], journal: Path) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            raise ValueError(
                f"{journal} is of a run with {name} = {before.get(name)}, not {value}: resume with the same"
                " arguments, or pass overwrite=True (--overwrite) in place of resume to start anew."
            )


def _open(path: Path, *, resume: bool) -> h5py.File:
    if path.exists():
        try:
            file = h5py.File(path, "r+")
            if resume:
                return file
            file.close()
        except BlockingIOError as exc:  # mode "w" would empty the file before it finds it locked
            raise BlockingIOError(f"{path} is being written by another run.") from exc
        except OSError as exc:
            if resume:
                raise ValueError(
                    f"{path} is damaged: pass overwrite=True (--overwrite) to start anew. ({exc})"
                ) from exc
    return h5py.File(path, "w")


def _check_room(partial: Path, blocks: BlockPlan, compression: str | None, *, resume: bool) -> None:
    """Raise OSError if the disk can't hold the file: HDF5 takes the process down when it finds out."""
    there = partial.stat() if partial.exists() else None
    if resume and there is not None:
        size = needed = there.st_size  # all of it has its place
    else:
        size = needed = blocks.n_rows * (blocks.first_rows()[:1].nbytes + ROW_BYTES) + ROOM
    needed -= min(needed, getattr(there, "st_blocks", 0) * 512)
    needed += size if compression else 0
    free = shutil.disk_usage(partial.parent).free
    if needed > free:
        raise OSError(
            f"No room in {partial.parent}: it takes {needed / 2**20:.1f} MiB, and {free / 2**20:.1f} MiB are"
            " free."
        )


def _create(
    file: h5py.File,
    blocks: BlockPlan,
    gan: ConditionalGenerator,
    run: dict[str, Any],
    sample_weight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
) -> None:
    """Lay out all of the file, and write all but the images, before the first block.

    Later writes then change no structure, which a kill could leave half done. So nothing is chunked:
    each row has its place from the start.
    """
    like = blocks.first_rows()
    if blocks.n_real:
        _check_alike(blocks.rows(0), like)
    n = blocks.n_rows
    place = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    place.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    place.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    images = file.create_dataset(blocks.key, (n, *like.shape[1:]), like.dtype, dcpl=place)
    if blocks.columns is not None:
        # For values that are yet to come, too.
        room = np.zeros(ROOM + 2 * len(blocks.columns.to_bytes()), np.uint8)
        file.create_dataset(COLUMNS, data=room).attrs[CHECKSUM] = np.uint64(0)
    images.attrs[CHECKSUM], images.attrs[DTYPE] = np.uint64(0), str(like.dtype)
    classes = gan.classes_
    labels = np.concatenate([blocks.labels(number) for number in range(len(blocks))])
    columns = {LABELS: labels, SYNTHETIC: np.arange(n) >= len(blocks.real_labels)}
    if sample_weight is not None:
        columns[WEIGHTS] = _weights(sample_weight, classes[labels], columns[SYNTHETIC])
    for key, values in columns.items():
        file.create_dataset(key, data=values).attrs[CHECKSUM] = np.uint64(checksum(values))
    classes = classes.astype(str) if classes.dtype.kind == "S" else classes
    file[CLASSES] = classes.astype(h5py.string_dtype()) if classes.dtype.kind == "U" else classes
    file[CLASSES].attrs[CHECKSUM] = np.uint64(text_checksum(classes))
    file.attrs["seed"] = run["random_state"]
    named = type(gan).__repr__ is not object.__repr__  # else it says where it lies in memory
    file.attrs["sampler"] = repr(gan) if named else type(gan).__name__
    file.attrs["model"] = run["model"]
    for package in PACKAGES:
        file.attrs[package] = version(package)


def _check_alike(real: np.ndarray, synthetic: np.ndarray) -> None:
    if (real.dtype, real.shape[1:]) != (synthetic.dtype, synthetic.shape[1:]):
        raise ValueError(
            f"`real` must hold rows like those of `gan`, {synthetic.dtype} {synthetic.shape[1:]}, got"
            f" {real.dtype} {real.shape[1:]}."
        )


def _fill(file: h5py.File, blocks: BlockPlan, left: dict[str, Any], journal: Path, verbose: bool) -> None:
    """Write the blocks that are missing; `left` is brought up to date."""
    images, done = _rows_of(file), left["blocks"]
    if done:
        rows = blocks.rows(done - 1)
        # Byte by byte: a missing number is not equal to itself.
        if images[blocks.start(done - 1) : blocks.start(done)].tobytes() != rows.tobytes():
            raise ValueError(
                f"`gan` makes other rows now than those in {file.filename}: resume with the model,"
                " versions, device and number of threads of the run that was stopped, or pass"
                " overwrite=True (--overwrite) to start anew."
            )
    synced = time.monotonic()
    with tqdm(
        desc="writing", initial=blocks.start(done), total=blocks.n_rows, disable=None if verbose else True
    ) as bar:
        for number in filter(blocks.n_rows_of, range(done, len(blocks))):
            rows = blocks.rows(number)
            _described(file, blocks)
            images[blocks.start(number) : blocks.start(number + 1)] = rows
            left["checksum"] = (left["checksum"] + checksum(rows)) % 2**64
            left["blocks"], left["rows"] = number + 1, blocks.start(number + 1)
            _begin_to_store(file)
            bar.update(len(rows))
            if time.monotonic() - synced >= SYNC_SECONDS:
                _sync(file)
                left["columns"] = None if blocks.columns is None else blocks.columns.described
                _note(journal, left)
                synced = time.monotonic()


def _rows_of(file: h5py.File) -> h5py.Dataset:
    return next(file[key] for key in LAYOUTS.values() if key in file)


def _described(file: h5py.File, blocks: BlockPlan) -> np.ndarray | None:
    """Return what the columns of a DataFrame are, as bytes; raise ValueError if there is no room for it."""
    if blocks.columns is None:
        return None
    content = np.frombuffer(blocks.columns.to_bytes(), np.uint8)
    room = len(file[COLUMNS])
    if len(content) > room:
        raise ValueError(
            f"What columns of strings and objects hold takes {len(content)} bytes, more than the {room} that"
            " were set aside: group them into fewer categories, or give numbers a dtype of numbers."
        )
    return content


def _note_columns(file: h5py.File, blocks: BlockPlan) -> None:
    """Write what the columns of a DataFrame are, now that all their values have turned up."""
    content = _described(file, blocks)
    if content is None:
        return
    stored = file[COLUMNS]
    stored[: len(content)] = content
    stored.attrs.modify(CHECKSUM, np.uint64(checksum(stored[:])))


def _begin_to_store(file: h5py.File) -> None:
    """Let the system store what was written while more is made, and keep no copy in memory."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # it is advice
            os.posix_fadvise(file.id.get_vfd_handle(), 0, 0, os.POSIX_FADV_DONTNEED)


def _sync(file: h5py.File) -> None:
    file.flush()
    os.fsync(file.id.get_vfd_handle())


def _note(journal: Path, left: dict[str, Any]) -> None:
    partial = journal.with_name(journal.name + ".partial")
    with partial.open("w") as file:
        json.dump(left, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(journal)


def _compress(path: Path, compression: str) -> None:
    """Replace a file by one with chunked, compressed rows."""
    compressed = path.with_name(path.name + ".compressed")
    try:
        with h5py.File(path, "r") as old, h5py.File(compressed, "w") as new:
            new.attrs.update(old.attrs)
            for key, dataset in old.items():
                if key == CLASSES:
                    old.copy(dataset, new)
                    continue
                chunks = (min(CHUNK if dataset.ndim > 1 else 1024, len(dataset)), *dataset.shape[1:])
                copy = new.create_dataset(
                    key, dataset.shape, dataset.dtype, chunks=chunks, compression=compression
                )
                copy.attrs.update(dataset.attrs)
                for start in range(0, len(dataset), 1024):
                    copy[start : start + 1024] = dataset[start : start + 1024]
        compressed.replace(path)
    finally:
        compressed.unlink(missing_ok=True)


def _weights(
    sample_weight: Callable[[np.ndarray, np.ndarray], np.ndarray], labels: np.ndarray, synthetic: np.ndarray
) -> np.ndarray:
    weights = np.asarray(sample_weight(labels, synthetic), np.float64)
    if weights.shape != labels.shape:
        raise ValueError(
            f"`sample_weight` must return a weight for each of {len(labels)} rows, got shape {weights.shape}."
        )
    return weights


def _digest(gan: Any) -> str:
    """Return the digest of a model, or of that in a gate; an empty string where there is none."""
    while not hasattr(gan, "digest") and hasattr(gan, "gan_"):
        gan = gan.gan_
    try:
        return gan.digest() if hasattr(gan, "digest") else ""
    except ValueError:  # of a model that can't be saved
        return ""


def _drawn() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])
