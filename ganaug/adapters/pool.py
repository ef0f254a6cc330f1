"""Pool: synthetic images of each class, in a file that processes map into memory instead of copying."""

from __future__ import annotations

import os
import tempfile
import weakref
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.data.containers import channels_first
from ganaug.data.labels import as_random_state
from ganaug.data.protocol import ConditionalGenerator
from ganaug.io.disk import preallocate
from ganaug.io.hdf5 import LAYOUTS, file_digest, opened, read_header

BLOCK = 1024  # images made at once
USUAL, LEAST = 4096, 256  # images of each class, and how few they may become for
MOST_BYTES = 2**28  # of all together


class Pool:
    """Images of each class to draw from, mapped from a file.

    Worker processes of any kind map it too: the images are in memory once, however many workers
    there are, and none of it is the shared memory of which a container has little.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    counts : Tensor of shape (n_classes,)
        Images of each class.
    shape : tuple
        Of an image, (C, H, W).
    digest : str
        Of the file, if it is one of `write_hdf5`: from the checksums of its images and labels.
    """

    digest = ""

    def __init__(
        self,
        path: Path,
        offset: int,
        dtype: np.dtype,
        shape: tuple[int, ...],
        classes: np.ndarray,
        labels: np.ndarray,
        *,
        channels_last: bool,
    ) -> None:
        self.classes_ = classes
        self._path, self._offset, self._dtype, self._rows = path, offset, dtype, shape
        self._channels_last = channels_last
        self._mapped: np.ndarray | None = None
        self._pid = -1
        self._own = False  # whether the file is this pool's, to be written
        self.counts = torch.from_numpy(np.bincount(labels[labels >= 0], minlength=len(classes)))
        self._starts = self.counts.cumsum(0) - self.counts
        self._spans = list(zip(self._starts.tolist(), self.counts.tolist(), strict=True))
        # Rows by class; those of label -1, which come first, are nobody's.
        self._order_array = labels.argsort(kind="stable")[int((labels < 0).sum()) :]  # faster for one
        # A copy: torch moves a tensor that it sends to a worker elsewhere, and frees where it was.
        self._order = torch.from_numpy(self._order_array.copy())
        self.shape = tuple(self._first(torch.empty(1, *shape[1:])).shape[1:])

    @classmethod
    def filled(
        cls, gan: ConditionalGenerator, wanted: np.ndarray, size: int | None = None, random_state: Any = None
    ) -> Pool:
        """Return a pool of `size` new images of each `wanted` class, in a temporary file that goes with it.

        `wanted` is of bools, (n_classes,). A `size` of None is `USUAL`, or as many as `MOST_BYTES` hold.
        """
        like = channels_first(an_image(gan)).numpy()
        if size is None:
            size = min(USUAL, max(LEAST, MOST_BYTES // max(1, like.nbytes * int(wanted.sum()))))
        labels = np.repeat(np.flatnonzero(wanted), size)
        handle, name = tempfile.mkstemp(prefix="ganaug-pool-")
        shape = (max(1, len(labels)), *like.shape[1:])  # a file of nothing can't be mapped
        pool = cls(Path(name), 0, like.dtype, shape, gan.classes_, labels, channels_last=False)
        weakref.finalize(pool, _delete, name, os.getpid())
        pool._own = True
        with os.fdopen(handle, "wb") as file:
            _lay_out(file, shape[0] * like.nbytes)
        pool.refill(gan, random_state)
        return pool

    @classmethod
    def of_file(cls, path: Path) -> Pool:
        """Return the synthetic images of a file that `write_hdf5` wrote, which stay where they are.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is compressed, holds no synthetic image, or is damaged; whether its pixels
            are as they were written only `as_arrays` can tell.
        """
        with opened(path) as file:
            header = read_header(file)
            offset, digest = file[LAYOUTS[header.layout]].id.get_offset(), file_digest(file)
        if header.layout == "table":
            raise ValueError(f"{path} holds a table: a pool is of images.")
        if offset is None:
            raise ValueError(f"{path} is compressed: only an uncompressed file can be a pool.")
        if not header.synthetic.any():
            raise ValueError(f"{path} holds no synthetic image.")
        pool = cls(
            path,
            offset,
            header.dtype,
            (len(header.labels), *header.shape),
            header.classes,
            np.where(header.synthetic, header.labels, -1),
            channels_last=header.layout == "nhwc" and len(header.shape) == 3,
        )
        pool.digest = digest
        return pool

    def refill(self, gan: ConditionalGenerator, random_state: Any) -> None:
        """Put new images in the place of all; other processes see them too."""
        random = as_random_state(random_state)
        labels = np.repeat(self.classes_, self.counts.numpy())
        for start in range(0, len(labels), BLOCK):
            own = labels[start : start + BLOCK]
            seed = int(random.randint(2**31 - 1))
            self.images[start : start + BLOCK] = channels_first(gan.sample(own, random_state=seed))

    @property
    def images(self) -> Tensor:
        """All rows of the file, mapped; a pool's own file changes as they do."""
        return torch.from_numpy(self._array())

    def _array(self) -> np.ndarray:
        if self._mapped is None or self._pid != os.getpid():
            if self.digest:
                with opened(self._path) as file:
                    digest = file_digest(file)
                if digest != self.digest:
                    raise ValueError(f"{self._path} is another file than it was: make the pool anew.")
            # "c": a user's file is never written to, and torch gets the writable array it wants.
            mode: Any = "r+" if self._own else "c"
            rows = np.memmap(self._path, self._dtype, mode, self._offset, self._rows)
            self._mapped, self._pid = rows.view(np.ndarray), os.getpid()
        return self._mapped

    def take(self, classes: Tensor, u: Tensor) -> Tensor:
        """Return a copy of one image (C, H, W) of each of `classes`, chosen by numbers `u` in [0, 1)."""
        which = self._starts[classes] + (u * self.counts[classes]).long()
        return self._first(self.images.index_select(0, self._order[which]))

    def take_one(self, c: int, u: float) -> Tensor:
        """Return a copy of one image (C, H, W) of class `c`, chosen by a number `u` in [0, 1)."""
        start, count = self._spans[c]
        # Of one image numpy makes a copy in half the time.
        image = torch.from_numpy(self._array()[self._order_array[start + int(u * count)]].copy())
        if image.ndim == 2:
            return image[None]
        return image.permute(2, 0, 1) if self._channels_last else image

    def _first(self, rows: Tensor) -> Tensor:
        if self._channels_last:
            return rows.permute(0, 3, 1, 2)
        return rows if rows.ndim == 4 else rows[:, None]

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_mapped": None}
        if get_spawning_popen() is None:  # it may outlive the file: take its images along, not real ones
            state["_taken"] = self._array()[self._order_array]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        taken = state.pop("_taken", None)
        self.__dict__.update(state)
        if taken is not None:
            handle, name = tempfile.mkstemp(prefix="ganaug-pool-")
            weakref.finalize(self, _delete, name, os.getpid())
            with os.fdopen(handle, "wb") as file:
                _lay_out(file, taken.nbytes)
                taken.tofile(file)
            self._path, self._offset, self._rows, self._own = Path(name), 0, taken.shape, True
            self._order_array = np.arange(len(taken))
            self._order = torch.from_numpy(self._order_array.copy())
            self.digest = ""  # no longer a file of write_hdf5


def an_image(gan: ConditionalGenerator) -> Any:
    """Return an image of a generator, (1, ...) in its own layout; raise ValueError if it makes a table."""
    row = gan.sample(gan.classes_[:1], random_state=0)
    if row.ndim == 2:
        raise ValueError(f"`gan` must make images, got one that makes rows of a table, {row.shape}.")
    return row


def _lay_out(file: Any, size: int) -> None:
    """Make a file as long as its images take: a mapping that runs out of space kills the process."""
    where = tempfile.gettempdir()
    advice = ": lower `pool_size`, or set TMPDIR to another folder"
    preallocate(file.fileno(), size, f"a pool in {where}", advice)
    file.truncate(size)


def _delete(name: str, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked worker, which has this too
        Path(name).unlink(missing_ok=True)
