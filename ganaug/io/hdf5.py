"""The file format of data sets on disk, and HDF5Dataset, which reads it.

A file holds ``images`` (N, H, W, C), or ``imgs`` (N, C, H, W) in the layout "nchw", or the ``rows`` of
a table: (N, n_features), or (N,) records of a DataFrame, of which ``columns`` says in JSON what they
are (see `ganaug.columns`). Beside them ``labels`` (N,) int64, indices into ``classes``; ``synthetic``
(N,) bool; and, where rows are not to be drawn evenly, ``weights`` (N,) float64. Each has a `checksum`
as an attribute, the first their dtype too: bytes that are as they were mean nothing else by another.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.utils.data import Dataset

from ganaug.io.records import Columns

SUFFIXES = (".h5", ".hdf5")
LAYOUTS = {"nhwc": "images", "nchw": "imgs", "table": "rows"}  # the second: as loaders of BigGAN's kind
COLUMNS = "columns"
LABELS, CLASSES, SYNTHETIC, WEIGHTS = "labels", "classes", "synthetic", "weights"
CHECKSUM, DTYPE = "checksum", "dtype"
# Errors that say nothing of a file's content.
ENVIRONMENT_ERRNOS = (
    errno.ENOENT,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
)
_OUT = "index {} is out of range for {} images"


@dataclass(frozen=True)
class Header:
    """All of a file but its images: see the top of this module."""

    layout: str
    shape: tuple[int, ...]
    dtype: np.dtype
    classes: np.ndarray
    labels: np.ndarray
    synthetic: np.ndarray
    weights: np.ndarray | None


def checksum(rows: np.ndarray) -> int:
    """Return the sum of the rows' 64-bit words (or shorter ones), modulo 2**64.

    Any flipped bit changes it, it costs next to nothing, and sums of blocks add up.
    """
    rows = np.ascontiguousarray(rows)
    size = rows[:1].nbytes
    word = max((size & -size) if size else 1, 1)
    words = rows.reshape(-1).view(np.uint8).view(f"<u{min(word, 8)}")
    return int(words.sum(dtype=np.uint64))


def text_checksum(values: np.ndarray) -> int:
    """Return the checksum of labels of any kind."""
    return checksum(np.frombuffer("\0".join(map(str, values.tolist())).encode() or b"\0", np.uint8))


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file to read; whatever the library says of a damaged one becomes a ValueError.

    Raises
    ------
    OSError
        If it can't be opened: missing, a folder, being written, ...
    ValueError
        If it is damaged, or not of the format described at the top of this module.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except MemoryError as exc:
        raise MemoryError(f"{path} doesn't fit into memory: {exc}") from exc
    except ImportError:  # of pandas
        raise
    except Exception as exc:  # h5py raises a type for each way in which a file can be broken
        if isinstance(exc, OSError) and exc.errno in ENVIRONMENT_ERRNOS:
            raise
        raise ValueError(f"{path} is damaged, or not a data set that write_hdf5 wrote: {exc}") from exc


def read_header(file: h5py.File) -> Header:
    """Read all but the images, and check that it fits together.

    Raises
    ------
    ValueError, KeyError
        If it does not.
    """
    layout = next((layout for layout, key in LAYOUTS.items() if key in file), None)
    if layout is None:
        raise ValueError(f"it holds none of {list(LAYOUTS.values())}")
    # A damaged name would hide what may be missing: weights, columns.
    unknown = set(file) - {*LAYOUTS.values(), COLUMNS, LABELS, CLASSES, SYNTHETIC, WEIGHTS}
    if unknown:
        raise ValueError(f"it holds {sorted(unknown)}, which no such file does")
    images = file[LAYOUTS[layout]]
    if images.attrs[DTYPE] != str(images.dtype):
        raise ValueError(
            f"`{LAYOUTS[layout]}` is of {images.dtype}, and was written as {images.attrs[DTYPE]}"
        )
    stored = file[CLASSES]
    classes = stored.asstr()[:].astype(str) if h5py.check_string_dtype(stored.dtype) else stored[:]
    if stored.attrs[CHECKSUM] != text_checksum(classes):
        raise ValueError(f"`{CLASSES}` is not what was written")
    labels, synthetic = (_whole(file[key]) for key in (LABELS, SYNTHETIC))
    weights = _whole(file[WEIGHTS]) if WEIGHTS in file else None
    lengths = {len(part) for part in (images, labels, synthetic, weights) if part is not None}
    if len(lengths) != 1:
        raise ValueError(f"its parts hold different numbers of rows: {sorted(lengths)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(f"labels from {labels.min()} to {labels.max()} for {len(classes)} classes")
    return Header(layout, images.shape[1:], images.dtype, classes, labels, synthetic, weights)


def read_arrays(path: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return all of a file: images (N, H, W, C) or a table, original labels, and which rows are synthetic.

    Raises
    ------
    ValueError
        If a bit of it is not as it was written.
    """
    with opened(path) as file:
        header = read_header(file)
        X = _whole(file[LAYOUTS[header.layout]])
        if X.dtype.kind == "V":  # of a DataFrame
            X = Columns.from_bytes(_whole(file[COLUMNS]).tobytes().rstrip(b"\0")).unpack(X)
    if header.layout == "nchw" and X.ndim == 4:
        X = np.ascontiguousarray(X.transpose(0, 2, 3, 1))
    return X, header.classes[header.labels], header.synthetic


def check_images(path: Path) -> None:
    """Raise ValueError unless every image of a file is as it was written, and all else too."""
    with opened(path) as file:
        images = file[LAYOUTS[read_header(file).layout]]
        blocks = (images[start : start + 1024] for start in range(0, len(images), 1024))
        if images.attrs[CHECKSUM] != sum(checksum(block) for block in blocks) % 2**64:
            raise ValueError("its images are not what was written")


def file_digest(file: h5py.File) -> str:
    """Return what a file says of its images and labels, by which it is told from another."""
    key = next(key for key in LAYOUTS.values() if key in file)
    return "-".join(f"{int(file[name].attrs[CHECKSUM]):016x}" for name in (key, LABELS))


def _whole(dataset: h5py.Dataset) -> np.ndarray:
    values = dataset[:]
    if dataset.attrs[CHECKSUM] != checksum(values):
        raise ValueError(f"`{dataset.name.strip('/')}` is not what was written")
    return values


class HDF5Dataset(Dataset):
    """Data sets that `write_hdf5` wrote, as a torch Dataset of (image, class index).

    Of an array of numbers that is a table an item is (row, class index), the row a Tensor
    (n_features,). Files of DataFrames are for `as_arrays`.

    Files are opened when a process first reads from them, so the data set can be pickled and
    shared with the workers of a DataLoader, which reads whole batches at once. Labels are checked
    when it is made; that every image is as it was written only `as_arrays` can tell.

    Parameters
    ----------
    path : path or sequence of paths
        One file, or several of one layout, with the same classes and images of one kind.
    transform : callable, optional
        Called with the image, a Tensor (C, H, W).
    only : sequence of labels, optional
        Leave out rows of other classes. Class indices stay as they are.

    Attributes
    ----------
    classes : list
        Original labels; an item's int is an index into it. `GANAugment` is to be told them.
    targets : ndarray of shape (n,), int64
        The class index of each item.
    synthetic : ndarray of shape (n,), bool
        Which items are synthetic.
    sample_weight : ndarray of shape (n,), or None
        By which to draw them, where all files say so.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If one is damaged, or unlike the others; or if `only` names a class that they don't have.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        transform: Any = None,
        *,
        only: Sequence[Any] | None = None,
    ) -> None:
        self.paths = [Path(path)] if isinstance(path, str | Path) else [Path(part) for part in path]
        if not self.paths:
            raise ValueError("`path` must name a file at least, got none.")
        self.transform = transform
        self._files: dict[int, np.ndarray | h5py.Dataset] = {}
        self._pid = -1
        headers, self._digests = [], []
        for part in self.paths:
            with opened(part) as file:
                headers.append(read_header(file))
                self._digests.append(file_digest(file))
        first = headers[0]
        if first.dtype.kind == "V":
            raise ValueError(f"{self.paths[0]} holds a DataFrame: read it with as_arrays(path).")
        for part, header in zip(self.paths, headers, strict=True):
            kinds = [(h.layout, h.dtype, h.shape, h.classes.tolist()) for h in (header, first)]
            if kinds[0] != kinds[1]:
                raise ValueError(
                    f"{part} must be like {self.paths[0]}: got {_kind(header)} instead of {_kind(first)}."
                )
        self.layout, self.classes = first.layout, first.classes.tolist()
        self.targets = np.concatenate([header.labels for header in headers])
        self.synthetic = np.concatenate([header.synthetic for header in headers])
        weights = [header.weights for header in headers]
        known = [part for part in weights if part is not None]
        self.sample_weight = np.concatenate(known) if len(known) == len(weights) else None
        # Where each file begins, and which row of all an item is; None: they are the same.
        self._starts = np.cumsum([0] + [len(header.labels) for header in headers])
        self._rows: np.ndarray | None = None
        if only is not None:
            self._leave_out_others(only)

    def _leave_out_others(self, only: Any) -> None:
        if isinstance(only, str | bytes) or not isinstance(only, Iterable):
            raise ValueError(f"`only` must be a sequence of labels, got {only!r}.")
        only = list(only)
        unknown = [label for label in only if label not in self.classes]
        if unknown:
            raise ValueError(f"`only` must name classes among {self.classes}, got {unknown}.")
        self._rows = np.flatnonzero(np.isin(self.targets, [self.classes.index(label) for label in only]))
        self.targets, self.synthetic = self.targets[self._rows], self.synthetic[self._rows]
        if self.sample_weight is not None:
            self.sample_weight = self.sample_weight[self._rows]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        n = len(self.targets)
        if not -n <= index < n:
            raise IndexError(_OUT.format(index, n))
        index = int(index) % n
        row = index if self._rows is None else int(self._rows[index])
        part = 0 if len(self.paths) == 1 else int(self._starts.searchsorted(row, "right")) - 1
        image = np.array(self._images(part)[row - int(self._starts[part])])
        return self._item(image, int(self.targets[index]))

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, int]]:
        """Return many items at once; DataLoader asks for a batch by this."""
        items = np.asarray(indices, dtype=np.int64)
        bad = items[(items < -len(self)) | (items >= len(self))]
        if len(bad):
            raise IndexError(_OUT.format(bad[0], len(self)))
        items = items % len(self)  # not in place: the caller's
        rows = items if self._rows is None else self._rows[items]
        parts = self._starts.searchsorted(rows, "right") - 1
        read: list[Any] = [None] * len(rows)
        for part in set(parts.tolist()):
            own = np.flatnonzero(parts == part)
            for at, row in zip(
                own.tolist(), _read(self._images(part), rows[own] - self._starts[part]), strict=True
            ):
                read[at] = row
        return [self._item(row, label) for row, label in zip(read, self.targets[items].tolist(), strict=True)]

    def _item(self, row: np.ndarray, label: int) -> tuple[Any, int]:
        image: Any = torch.from_numpy(row)
        if self.layout == "table":
            pass
        elif image.ndim == 2:
            image = image[None]
        elif self.layout == "nhwc":
            image = image.permute(2, 0, 1)
        if self.transform is not None:
            image = self.transform(image)
        return image, label

    def _images(self, part: int) -> np.ndarray | h5py.Dataset:
        """Return the images of a file: mapped into memory where they lie there as they are."""
        if self._pid != os.getpid():
            self._files, self._pid = {}, os.getpid()
        if part not in self._files:
            file = h5py.File(self.paths[part], "r")
            if file_digest(file) != self._digests[part]:
                raise ValueError(f"{self.paths[part]} was replaced since: make the HDF5Dataset anew.")
            images = file[LAYOUTS[self.layout]]
            offset = images.id.get_offset()
            if offset is not None:
                images = np.memmap(self.paths[part], images.dtype, "r", offset, images.shape).view(np.ndarray)
            self._files[part] = images
        return self._files[part]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}


def _read(images: np.ndarray | h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Return a copy of some rows."""
    if isinstance(images, np.ndarray):
        return np.asarray(images[rows])
    read = np.empty((len(rows), *images.shape[1:]), images.dtype)
    for at in rows.argsort().tolist():  # rows of one chunk after another: it is decompressed once
        read[at] = images[int(rows[at])]
    return read


def _kind(header: Header) -> str:
    return f"{header.dtype} {header.shape} in layout {header.layout!r} with classes {header.classes.tolist()}"
