"""Shards: a data set in several files, each written by a process of its own, and one that joins them.

The one that joins them holds no samples. It has what any shard has as virtual data sets of HDF5, for other
programs; and for ganaug the names of the shards and their digests, so that none is missing unnoticed. In its
place HDF5 itself reads a file of that name in the working directory, or else zeros.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ganaug.io import hdf5_checks as checks
from ganaug.io.disk import atomic_write, check_regular, locked, printable
from ganaug.io.folders import refuse_model
from ganaug.io.hdf5 import (
    CHECKSUM,
    CLASSES,
    LAYOUTS,
    PER_SAMPLE,
    WEIGHTS,
    check_images,
    file_digest,
    open_hdf5,
    read_arrays,
    read_header,
    text_checksum,
)
from ganaug.io.journal import shard_path

SHARDS, DIGESTS = "shards", "shard_digests"
SHARD, RUN = "shard", "run"
JOIN_SECONDS = 60  # to wait for another process that joins the same shards
MAX_SHARDS = 99_999


def check_shard(shard: Any, random_state: Any) -> tuple[int, int]:
    """Return a shard's index and how many there are; (0, 1) for None.

    Raises
    ------
    ValueError
        If it is no such pair, or if no seed goes with it.
    """
    if shard is None:
        return 0, 1
    pair = tuple(shard) if isinstance(shard, tuple | list) else ()
    ints = all(isinstance(value, int | np.integer) and not isinstance(value, bool) for value in pair)
    if len(pair) != 2 or not ints or not 0 <= pair[0] < pair[1] <= MAX_SHARDS:
        raise ValueError(
            "`shard` must be (index, number) with an index from 0 to number - 1, and a number up to"
            f" {MAX_SHARDS}, got {shard!r}."
        )
    if random_state is None:
        raise ValueError(
            "`random_state` must be an int where `shard` is given: all shards need the same seed, got None."
        )
    return int(pair[0]), int(pair[1])


def run_digest(run: dict[str, Any]) -> str:
    """Return what the shards of one run have in common, and those of another have not."""
    common = {name: value for name, value in run.items() if name != "shard"}
    return hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()


def join_shards(path: Path, run: dict[str, Any], *, overwrite: bool) -> bool:
    """Write the file that joins the shards of a run, once all of them are there; return whether they are.

    Raises
    ------
    FileExistsError
        If there is another file at `path`, and `overwrite` is False.
    """
    n_shards = run["shard"][1]
    parts = [shard_path(path, index, n_shards) for index in range(n_shards)]
    if not all(part.is_file() for part in parts):
        return False
    with locked(path, JOIN_SECONDS):
        headers, digests = [], []
        for part in parts:
            with open_hdf5(part) as file:
                if file.attrs.get(RUN) != run_digest(run):
                    return False  # of an earlier run, which is yet to be replaced
                headers.append(read_header(file))
                digests.append(file_digest(file))
        names = [part.name for part in parts]
        if path.exists():
            with checks.errors_named(path), h5py.File(path, "r") as file:
                if _members(file) == (names, digests):
                    return True
            if not overwrite:
                raise FileExistsError(
                    f"{path} exists, and does not join these shards: pass overwrite=True (--overwrite) to"
                    " replace it."
                )
        with atomic_write(path) as new, h5py.File(new, "x") as file:
            _write_joined(file, parts, headers, digests)
    return True


def _write_joined(file: h5py.File, parts: list[Path], headers: list[Any], digests: list[str]) -> None:
    first = headers[0]
    lengths = [len(header.labels) for header in headers]
    kinds = {LAYOUTS[first.layout]: (first.dtype, first.shape)}
    kinds |= {key: (np.dtype(dtype), ()) for key, dtype in PER_SAMPLE.items()}
    if first.weights is None:
        del kinds[WEIGHTS]
    for key, (dtype, shape) in kinds.items():
        layout = h5py.VirtualLayout((sum(lengths), *shape), dtype)
        start = 0
        for part, length in zip(parts, lengths, strict=True):
            source = h5py.VirtualSource(part.name, key, (length, *shape), dtype)
            layout[start : start + length] = source
            start += length
        file.create_virtual_dataset(key, layout)
    with h5py.File(parts[0], "r") as shard:
        shard.copy(CLASSES, file)
        file.attrs.update({name: value for name, value in shard.attrs.items() if name != SHARD})
    for key, texts in ((SHARDS, [part.name for part in parts]), (DIGESTS, digests)):
        file[key] = np.array(texts, dtype=object)
        file[key].attrs[CHECKSUM] = np.uint64(text_checksum(np.array(texts)))


def _members(file: h5py.File) -> tuple[list[str], list[str]] | None:
    """Return the names of the shards that a file joins, and their digests; None if it joins none."""
    if not file.id.links.exists(SHARDS.encode()):
        return None
    values = []
    for key in (SHARDS, DIGESTS):
        stored = checks.stored_dataset(file, key)
        texts = checks.read_classes(stored, key, file.id.get_filesize())
        if checks.read_attribute(stored, CHECKSUM) != text_checksum(texts):
            raise ValueError(f"`{key}` is not what was written")
        values.append([str(text) for text in texts.tolist()])
    names, digests = values
    for name in names:
        # A stranger's file may name shards that lie beside it only.
        if name != Path(name).name or "\\" in name or name in ("", ".", ".."):
            raise ValueError(f"`{SHARDS}` names {name!r}, which is no file beside it")
    if len(names) != len(digests) or not names:
        raise ValueError(f"it has {len(names)} shards, and {len(digests)} digests of them")
    return names, digests


def members(path: Path) -> list[tuple[Path, str | None]]:
    """Return the files that hold the samples of a data set, and the digest that each must have, if known.

    Parameters
    ----------
    path : Path
        A file that `write_hdf5` wrote: one with samples, or one that joins shards.

    Raises
    ------
    FileNotFoundError
        If a shard is missing.
    OSError, ValueError
        If the file can't be opened, or is damaged.
    """
    check_regular(path)
    refuse_model(path)
    with checks.errors_named(path), h5py.File(path, "r") as file:
        found = _members(file)
    if found is None:
        return [(path, None)]
    parts: list[tuple[Path, str | None]] = [
        (path.with_name(name), digest) for name, digest in zip(*found, strict=True)
    ]
    missing = [part.name for part, _ in parts if not part.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{printable(path)} joins {len(parts)} shards, of which {len(missing)} are missing, such as"
            f" {printable(missing[0])}: put them beside it."
        )
    return parts


def check_all_images(path: Path) -> None:
    """Raise ValueError unless every bit of a data set is as it was written, of one in shards each of them."""
    for part, _ in members(path):
        check_images(part)


def check_digest(path: Path, digest: str, expected: str | None) -> None:
    """Raise ValueError if a shard is another than the one that was joined."""
    if expected not in (None, digest):
        raise ValueError(f"{printable(path)} was replaced since its shards were joined: write them anew.")


def read_all(path: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return all of a data set, as `ganaug.io.hdf5.read_arrays` does; of one in shards all of these."""
    parts = members(path)
    arrays = []
    for part, expected in parts:
        if expected is not None:
            with open_hdf5(part) as file:
                check_digest(part, file_digest(file), expected)
        arrays.append(read_arrays(part))
    if len(arrays) == 1:
        return arrays[0]
    kinds = {(X.dtype, X.shape[1:], y.dtype.kind) for X, y, _ in arrays}
    if len(kinds) > 1:
        raise ValueError(f"{printable(path)} joins shards of different kinds: write them anew.")
    X, y, synthetic = (np.concatenate(values) for values in zip(*arrays, strict=True))
    return X, y, synthetic
