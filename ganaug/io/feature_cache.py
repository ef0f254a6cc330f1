"""FeatureCache: the features of images in an HDF5 file, found again by the digests of the images.

A file serves several owners, which are backbones with their transforms, told apart by a digest. For each it
holds three data sets, whose names end in that digest: ``features`` (n, n_features) float32, ``items`` (n, 32)
uint8, which are the digests of the images, and ``checksums`` (n,) uint64. A file is replaced as a whole, so
that a kill leaves the old one or the new one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from ganaug.io import hdf5_checks as checks
from ganaug.io.disk import atomic_write, check_regular, locked, preallocate, printable
from ganaug.io.folders import HDF5_SUFFIXES

PARTS: dict[str, type[np.generic]] = {"features": np.float32, "items": np.uint8, "checksums": np.uint64}
NAME = re.compile(r"(features|items|checksums)-[0-9a-f]{64}")
DIGEST_BYTES = 32
COPY_BLOCK = 4096  # rows that are copied at once
LOCK_SECONDS = 60  # that another run may take to write the file


class FeatureCache:
    """Features that were computed before, and those that are to be kept.

    Parameters
    ----------
    path : path
        The file; it need not exist yet.
    owner : str
        The digest, of 64 hexadecimal digits, of all but the images that the features depend on.

    Raises
    ------
    FileNotFoundError
        If its folder doesn't exist.
    ValueError
        If the name doesn't end as HDF5 files do, or what is there is damaged or no such file.
    """

    def __init__(self, path: str | Path, owner: str) -> None:
        self._owner = owner
        self.path: Path = Path(path)
        self._new: dict[bytes, np.ndarray] = {}
        self._n_features: int | None = None
        check_cache_path(self.path)
        self._rows = self._read_rows()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._rows or digest in self._new

    def add(self, digests: Sequence[bytes], features: np.ndarray) -> None:
        """Keep features (n, n_features) of images, in memory until `save` is called.

        Raises
        ------
        PermissionError
            If the file can't be written.
        ValueError
            If the file holds another number of features for each image.
        """
        if not os.access(self.path.resolve().parent, os.W_OK):
            raise PermissionError(f"`cache` {printable(self.path)} can't be written to: name another file.")
        if self._n_features not in (None, features.shape[1]):
            raise ValueError(
                f"`cache` {printable(self.path)} holds {self._n_features} features of each image for this"
                f" `backbone`, which returns {features.shape[1]} now: name another file."
            )
        self._n_features = features.shape[1]
        self._new.update(zip(digests, features, strict=True))

    def read(self, digests: Sequence[bytes]) -> np.ndarray:
        """Return the features of images that the cache has, in order.

        Raises
        ------
        ValueError
            If a bit of them is not as it was written, or the file has lost them.
        """
        rows = np.array([self._rows[digest] for digest in digests], np.int64)
        with _open(self.path) as file:
            parts = self._parts(file)
            if parts is None or rows.max() >= len(parts["items"]):
                raise ValueError("it was replaced while it was read: run it again")
            found = np.empty((len(rows), parts["features"].shape[1]), np.float32)
            for start in range(0, len(parts["items"]), COPY_BLOCK):
                places = np.flatnonzero((rows >= start) & (rows < start + COPY_BLOCK))
                if not len(places):
                    continue
                block = {part: stored[start : start + COPY_BLOCK] for part, stored in parts.items()}
                found[places] = features = block["features"][rows[places] - start]
                items = block["items"][rows[places] - start].tobytes()
                whole = (block["checksums"][rows[places] - start] == _checksums(features)).all()
                if not whole or items != b"".join(digests[place] for place in places.tolist()):
                    raise ValueError("its features are not what was written")
        return found

    def save(self) -> None:
        """Write what was added to the file, beside what other runs have written to it meanwhile.

        Raises
        ------
        BlockingIOError
            If another run has been writing to it for a minute.
        OSError
            If it can't be written.
        """
        if not self._new:
            return
        with locked(self.path.resolve(), timeout=LOCK_SECONDS):
            self._rows = self._read_rows()
            new = {digest: row for digest, row in self._new.items() if digest not in self._rows}
            if new:
                self._write(new)
                self._rows.update(zip(new, range(len(self._rows), len(self._rows) + len(new)), strict=True))
        self._new = {}

    def _read_rows(self) -> dict[bytes, int]:
        """Return the row of each image in the file."""
        if not self.path.exists():
            return {}
        with _open(self.path) as file:
            parts = self._parts(file)
            if parts is None:
                return {}
            items = np.asarray(parts["items"][:])
            self._n_features = parts["features"].shape[1]
        return {items[row].tobytes(): row for row in range(len(items))}

    def _parts(self, file: h5py.File) -> dict[str, h5py.Dataset] | None:
        """Return the checked data sets of this owner; None if the file has none of it."""
        if f"items-{self._owner}" not in set(file):
            return None
        parts = {}
        for part, dtype in PARTS.items():
            name = f"{part}-{self._owner}"
            if part == "checksums":
                parts[part] = checks.stored_values(file, name, np.uint64)
            else:
                parts[part] = checks.stored_dataset(file, name)
                checks.check_samples(parts[part], name, "table")
            if parts[part].dtype != dtype:
                raise ValueError(f"`{name}` must be of {np.dtype(dtype)}, got {parts[part].dtype}")
        if len({len(part) for part in parts.values()}) != 1 or parts["items"].shape[1] != DIGEST_BYTES:
            raise ValueError(f"its parts are of shapes {[part.shape for part in parts.values()]}")
        return parts

    def _write(self, new: dict[bytes, np.ndarray]) -> None:
        features = np.stack(list(new.values())).astype(np.float32)
        items = np.frombuffer(b"".join(new), np.uint8).reshape(-1, DIGEST_BYTES)
        values: dict[str, np.ndarray] = {
            "features": features,
            "items": items,
            "checksums": _checksums(features),
        }
        with atomic_write(self.path.resolve()) as partial, h5py.File(partial, "w") as file:
            if not self.path.exists():
                self._append(file, {}, values)
                return
            with _open(self.path) as old:
                self._append(file, self._parts(old) or {}, values)
                for name in set(old) - set(file):
                    old.copy(checks.stored_dataset(old, name), file, name)

    def _append(self, file: h5py.File, old: dict[str, h5py.Dataset], values: dict[str, np.ndarray]) -> None:
        """Write this owner's data sets: the rows of the `old` ones, then the new `values`."""
        allocation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        allocation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        allocation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        for part, rows in values.items():
            n_old = len(old[part]) if old else 0
            shape = (n_old + len(rows), *rows.shape[1:])
            file.create_dataset(f"{part}-{self._owner}", shape, rows.dtype, dcpl=allocation)
        file.flush()
        # On a disk that is full, HDF5 would end the process as it closes the file.
        preallocate(file.id.get_vfd_handle(), file.id.get_filesize(), str(self.path))
        for part, rows in values.items():
            dataset, n_old = file[f"{part}-{self._owner}"], len(old[part]) if old else 0
            for start in range(0, n_old, COPY_BLOCK):
                stop = min(start + COPY_BLOCK, n_old)
                dataset[start:stop] = old[part][start:stop]
            dataset[n_old:] = rows


def check_cache_path(path: Path) -> None:
    """Raise OSError or ValueError unless a cache can be at a path; what is there already is not read."""
    if path.suffix.lower() not in HDF5_SUFFIXES:
        raise ValueError(f"`cache` must be a file ending in one of {HDF5_SUFFIXES}, got {printable(path)}.")
    if path.is_dir():
        raise ValueError(f"`cache` must be a file, got the folder {printable(path)}.")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{printable(path.parent)} is not a folder: make it for `cache` first.")


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    check_regular(path)
    with checks.errors_named(path, "cache that Embedder wrote"), h5py.File(path, "r") as file:
        unknown = [name for name in file if not NAME.fullmatch(name)]
        if unknown:
            raise ValueError(f"it holds {sorted(unknown)[:5]}, which no such file does")
        yield file


def _checksums(features: np.ndarray) -> np.ndarray:
    """Return for each row the sum of its 32-bit words, which any flipped bit changes."""
    words = np.ascontiguousarray(features).view("<u4").reshape(len(features), -1)
    return words.sum(axis=1, dtype=np.uint64)
