"""HDF5Dataset: the samples of files that `write_hdf5` wrote, as a torch Dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch.utils.data import Dataset

from ganaug.io import hdf5_checks as checks
from ganaug.io import hdf5_samples as reading
from ganaug.io.disk import check_regular, printable
from ganaug.io.hdf5 import Header, checked_samples, file_digest, open_hdf5, read_header
from ganaug.io.mapping import WatchedFile
from ganaug.io.shards import check_digest, members


class HDF5Dataset(Dataset[Any]):
    """Data sets that `write_hdf5` wrote, as a torch Dataset of (image, class index).

    For a table of numbers an item is (row, class index), the row a Tensor (n_features,); for series the
    Tensor is (length,) or (length, channels). A file that holds a DataFrame is read by `as_arrays`.

    Each process opens the files when it first reads from them. So the data set can be pickled, and shared
    with the workers of a DataLoader, which read whole batches at once. Labels are verified at once;
    `as_arrays` verifies the images too.

    Parameters
    ----------
    path : path or sequence of paths
        One file, or several of one layout, with the same classes and images of one kind; of shards the file
        that joins them.
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
        named = [Path(path)] if isinstance(path, str | Path) else [Path(part) for part in path]
        if not named:
            raise ValueError("`path` must name at least one file, got none.")
        parts = [part for whole in named for part in members(whole)]
        self.paths: list[Path] = [part for part, _ in parts]
        self.transform = transform
        self._files: dict[int, Callable[[], reading.Samples]] = {}
        self._pid = -1
        headers, self._digests, self._watched = [], [], []
        for part, expected in parts:
            with open_hdf5(part) as file:
                headers.append(read_header(file))
                self._digests.append(file_digest(file))
                check_digest(part, self._digests[-1], expected)
                self._watched.append(WatchedFile(part, file.id.get_vfd_handle()))
        first = headers[0]
        if first.dtype.kind == "V":
            raise ValueError(f"{self.paths[0]} holds a DataFrame: read it with as_arrays(path).")
        reading.check_torch_dtype(first.dtype, self.paths[0])
        for part, header in zip(self.paths, headers, strict=True):
            got, wanted = ((h.layout, h.dtype, h.shape, h.classes.tolist()) for h in (header, first))
            if got != wanted:
                difference = f"got {_describe(header)} instead of {_describe(first)}"
                raise ValueError(f"{part} must be like {self.paths[0]}: {difference}.")
        self.layout: str = first.layout
        self.classes: list[Any] = first.classes.tolist()
        self._kind = first.dtype, first.shape
        self.targets: np.ndarray = np.concatenate([header.labels for header in headers])
        self.synthetic: np.ndarray = np.concatenate([header.synthetic for header in headers])
        weights = [header.weights for header in headers]
        known = [part for part in weights if part is not None]
        all_known = len(known) == len(weights)
        self.sample_weight: np.ndarray | None = np.concatenate(known) if all_known else None
        # Where each file begins among all samples, and which of those the items are; None: all.
        self._starts = np.cumsum([0] + [len(header.labels) for header in headers])
        self._rows: np.ndarray | None = None
        if class_subset is not None:
            self._select_classes(class_subset)

    def _select_classes(self, labels: Any) -> None:
        self._rows = reading.rows_of_classes(self.targets, self.classes, labels)
        self.targets = self.targets[self._rows]
        self.synthetic = self.synthetic[self._rows]
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
        labels = self.targets[items].tolist()
        return [self._item(row, label) for row, label in zip(self.read(items), labels, strict=True)]

    def read(self, items: np.ndarray) -> np.ndarray:
        """Return a copy of the samples of some items, (n, ...), as the files hold them.

        Parameters
        ----------
        items : ndarray of shape (n,), int64
            From 0 up.
        """
        rows = items if self._rows is None else self._rows[items]
        if len(self.paths) == 1:
            return reading.read_samples(self._images(0), rows, self.paths[0])
        read = np.empty((len(rows), *self.sample_shape), self.dtype)
        parts = self._starts.searchsorted(rows, "right") - 1
        for part in set(parts.tolist()):
            own = parts == part
            read[own] = reading.read_samples(
                self._images(part), rows[own] - self._starts[part], self.paths[part]
            )
        return read

    @property
    def dtype(self) -> np.dtype:
        """The dtype of a sample, as the files hold it."""
        return self._kind[0]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of a sample, as the files hold it."""
        return self._kind[1]

    @property
    def is_compressed(self) -> bool:
        """Whether a sample can only be read by decompressing others."""
        return any(not isinstance(self._images(part), np.ndarray) for part in range(len(self.paths)))

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
