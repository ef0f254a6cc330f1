"""The file format of data sets on disk, and HDF5Dataset, which reads it.

A file holds one of

- ``images`` (N, H, W, C),
- ``imgs`` (N, C, H, W), in the layout "nchw",
- ``rows`` of a table: (N, n_features); or (N,) records of a DataFrame, which ``columns`` describes in
  JSON (see `ganaug.io.records`).

Beside it are ``labels`` (N,) int64, which are indices into ``classes``; ``synthetic`` (N,) bool; and, where
samples are not to be drawn evenly, ``weights`` (N,) float64. Each has its checksum as an attribute. The
samples have their dtype too: the same bytes would be other numbers in another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch.utils.data import Dataset

from ganaug.io import hdf5_checks as checks
from ganaug.io import hdf5_samples as reading
from ganaug.io.disk import check_regular, printable
from ganaug.io.folders import refuse_model
from ganaug.io.mapping import WatchedFile
from ganaug.io.records import DataFrameSchema

LAYOUTS = {"nhwc": "images", "nchw": "imgs", "table": "rows"}  # "imgs" is what BigGAN's loaders read
COLUMNS = "columns"
LABELS, CLASSES, SYNTHETIC, WEIGHTS = "labels", "classes", "synthetic", "weights"
CHECKSUM, DTYPE = "checksum", "dtype"
PER_SAMPLE = {LABELS: np.int64, SYNTHETIC: np.bool_, WEIGHTS: np.float64}
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
    checks.check_samples(samples, key, table=key == LAYOUTS["table"])
    return samples


def read_arrays(path: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return all of a file: images (N, H, W, C) or a table, labels, and which samples are synthetic.

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


class HDF5Dataset(Dataset[Any]):
    """Data sets that `write_hdf5` wrote, as a torch Dataset of (image, class index).

    For a table of numbers an item is (row, class index), the row a Tensor (n_features,). A file that
    holds a DataFrame is read by `as_arrays`.

    Each process opens the files when it first reads from them. So the data set can be pickled, and shared
    with the workers of a DataLoader, which read whole batches at once. Labels are verified at once;
    `as_arrays` verifies the images too.

    Parameters
    ----------
    path : path or sequence of paths
        One file, or several of one layout, with the same classes and images of one kind.
    transform : callable, optional
        Called with the image, a Tensor (C, H, W) of the file's dtype.
    class_subset : sequence of labels, optional
        Leave out samples of other classes. Class indices stay as they are. Default: all classes.

    Attributes
    ----------
    classes : list
        Original labels; an item's int is an index into it. Pass it to `GANAugment` as `classes`.
    targets : ndarray of shape (n,), int64
        The class index of each item.
    synthetic : ndarray of shape (n,), bool
        Which items are synthetic.
    sample_weight : ndarray of shape (n,), or None
        By which to draw them; None unless all files hold weights.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If one is damaged, or unlike the others; or if `class_subset` names a class that they don't have.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from ganaug import ConditionalGAN, HDF5Dataset, write_hdf5
    >>> X = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    >>> gan = ConditionalGAN(steps=1).fit(X, ["cat", "dog"] * 10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = HDF5Dataset(write_hdf5(gan, folder + "/pets.h5", 50))
    ...     image, label = data[0]
    >>> len(data), tuple(image.shape), data.classes
    (100, (1, 8, 8), ['cat', 'dog'])
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        transform: Any = None,
        *,
        class_subset: Sequence[Any] | None = None,
    ) -> None:
        self.paths = [Path(path)] if isinstance(path, str | Path) else [Path(part) for part in path]
        if not self.paths:
            raise ValueError("`path` must name at least one file, got none.")
        self.transform = transform
        self._files: dict[int, Callable[[], reading.Samples]] = {}
        self._pid = -1
        headers, self._digests, self._watched = [], [], []
        for part in self.paths:
            with open_hdf5(part) as file:
                headers.append(read_header(file))
                self._digests.append(file_digest(file))
                self._watched.append(WatchedFile(part, file.id.get_vfd_handle()))
        first = headers[0]
        if first.dtype.kind == "V":
            raise ValueError(f"{self.paths[0]} holds a DataFrame: read it with as_arrays(path).")
        reading.check_torch_dtype(first.dtype, self.paths[0])
        for part, header in zip(self.paths, headers, strict=True):
            got, expected = ((h.layout, h.dtype, h.shape, h.classes.tolist()) for h in (header, first))
            if got != expected:
                difference = f"got {_describe(header)} instead of {_describe(first)}"
                raise ValueError(f"{part} must be like {self.paths[0]}: {difference}.")
        self.layout, self.classes = first.layout, first.classes.tolist()
        self._kind = first.dtype, first.shape
        self.targets = np.concatenate([header.labels for header in headers])
        self.synthetic = np.concatenate([header.synthetic for header in headers])
        weights = [header.weights for header in headers]
        known = [part for part in weights if part is not None]
        self.sample_weight = np.concatenate(known) if len(known) == len(weights) else None
        # Where each file begins among all samples, and which of those the items are; None: all.
        self._starts = np.cumsum([0] + [len(header.labels) for header in headers])
        self._rows: np.ndarray | None = None
        if class_subset is not None:
            self._select_classes(class_subset)

    def _select_classes(self, labels: Any) -> None:
        self._rows = reading.rows_of_classes(self.targets, self.classes, labels)
        self.targets, self.synthetic = self.targets[self._rows], self.synthetic[self._rows]
        if self.sample_weight is not None:
            self.sample_weight = self.sample_weight[self._rows]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        n = len(self.targets)
        if not -n <= index < n:
            raise _index_error(index, n)
        index = int(index) % n
        row = index if self._rows is None else int(self._rows[index])
        part = 0 if len(self.paths) == 1 else int(self._starts.searchsorted(row, "right")) - 1
        image = reading.read_sample(self._images(part), row - int(self._starts[part]), self.paths[part])
        return self._item(image, int(self.targets[index]))

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, int]]:
        """Return many items at once; DataLoader asks for a batch by this."""
        items = np.asarray(indices, dtype=np.int64)
        bad = items[(items < -len(self)) | (items >= len(self))]
        if len(bad):
            raise _index_error(bad[0], len(self))
        items = items % len(self)  # not in place: the array is the caller's
        rows = items if self._rows is None else self._rows[items]
        parts = self._starts.searchsorted(rows, "right") - 1
        read: list[Any] = [None] * len(rows)
        for part in set(parts.tolist()):
            places = np.flatnonzero(parts == part)
            samples = reading.read_samples(
                self._images(part), rows[places] - self._starts[part], self.paths[part]
            )
            for place, sample in zip(places.tolist(), samples, strict=True):
                read[place] = sample
        return [self._item(row, label) for row, label in zip(read, self.targets[items].tolist(), strict=True)]

    def _item(self, row: np.ndarray, label: int) -> tuple[Any, int]:
        image = reading.as_tensor(row, self.layout)
        return image if self.transform is None else self.transform(image), label

    def _images(self, part: int) -> reading.Samples:
        """Return the samples of a file, mapped into memory where they are stored uncompressed."""
        if self._pid != os.getpid():
            self._files, self._pid = {}, os.getpid()
        if part not in self._files:
            self._files[part] = self._open(part)
        return self._files[part]()

    def _open(self, part: int) -> Callable[[], reading.Samples]:
        path = self.paths[part]
        if self._watched:  # HDF5 may show what it read before a change
            self._watched[part].check()
        check_regular(path)
        with ExitStack() as stack:
            with checks.errors_named(path):
                file = stack.enter_context(h5py.File(path, "r"))
                digest, images = file_digest(file), checked_samples(file)
            shape = (int(self._starts[part + 1] - self._starts[part]), *self._kind[1])
            if (digest, images.dtype, images.shape) != (self._digests[part], self._kind[0], shape):
                raise ValueError(f"{printable(path)} was replaced since: make a new HDF5Dataset.")
            samples = reading.watch_samples(file, images, path)
            stack.pop_all()  # they hold the file now, or have closed it
        return samples

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}, "_watched": []}  # elsewhere, a copy of a file will do


def _index_error(index: int, n: int) -> IndexError:
    return IndexError(f"index {index} is out of range for {n} images")


def _describe(header: Header) -> str:
    return f"{header.dtype} {header.shape} in layout {header.layout!r} with classes {header.classes.tolist()}"
