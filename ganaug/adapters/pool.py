"""ImagePool: synthetic images of each class, in a file that processes map instead of copying."""

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
from ganaug.io.hdf5 import LAYOUTS, file_digest, open_hdf5, read_header

# Images are generated in blocks of this many, to bound memory.
BLOCK = 1024
# Images of each class; fewer if all of them would take more than MAX_BYTES, but no fewer than the minimum.
DEFAULT_PER_CLASS, MIN_PER_CLASS = 4096, 256
MAX_BYTES = 2**28


class ImagePool:
    """Images of each class to draw from, mapped from a file.

    Worker processes of any kind map it too, so the images are in memory once, however many workers
    there are. They take none of the shared memory of which a container has little.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    counts : Tensor of shape (n_classes,)
        Images of each class.
    shape : tuple
        Of an image, (C, H, W).
    digest : str
        Of a file of `write_hdf5`, from the checksums of its images and labels; "" of a pool's own file.
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
        self._path, self._offset, self._dtype, self._file_shape = path, offset, dtype, shape
        self._channels_last = channels_last
        self._mapped: np.ndarray | None = None
        self._pid = -1
        self._owns_file = False
        self.counts = torch.from_numpy(np.bincount(labels[labels >= 0], minlength=len(classes)))
        self._starts = self.counts.cumsum(0) - self.counts
        self._spans = list(zip(self._starts.tolist(), self.counts.tolist(), strict=True))
        # Positions in the file by class, without those of label -1, which sort first. To take one image, an
        # array is faster than a tensor. The tensor is a copy: torch moves one that it sends to a worker, and
        # frees where it was.
        self._order_array = labels.argsort(kind="stable")[int((labels < 0).sum()) :]
        self._order = torch.from_numpy(self._order_array.copy())
        self.shape = tuple(self._to_channels_first(torch.empty(1, *shape[1:])).shape[1:])

    @classmethod
    def from_generator(
        cls, gan: ConditionalGenerator, wanted: np.ndarray, size: int | None = None, random_state: Any = None
    ) -> ImagePool:
        """Return a pool of `size` new images of each wanted class, in a temporary file that goes with it.

        Parameters
        ----------
        gan : ConditionalGenerator
        wanted : ndarray of shape (n_classes,), bool
        size : int, optional
            None: `DEFAULT_PER_CLASS`, or as many as fit into `MAX_BYTES`.
        random_state : int, RandomState or None
        """
        template = channels_first(sample_template(gan)).numpy()
        if size is None:
            fitting = MAX_BYTES // max(1, template.nbytes * int(wanted.sum()))
            size = min(DEFAULT_PER_CLASS, max(MIN_PER_CLASS, fitting))
        labels = np.repeat(np.flatnonzero(wanted), size)
        handle, name = tempfile.mkstemp(prefix="ganaug-pool-")
        shape = (max(1, len(labels)), *template.shape[1:])  # an empty file can't be mapped
        pool = cls(Path(name), 0, template.dtype, shape, gan.classes_, labels, channels_last=False)
        weakref.finalize(pool, _delete, name, os.getpid())
        pool._owns_file = True
        with os.fdopen(handle, "wb") as file:
            _extend(file, shape[0] * template.nbytes)
        pool.refill(gan, random_state)
        return pool

    @classmethod
    def from_file(cls, path: Path) -> ImagePool:
        """Return a pool of the synthetic images of a file that `write_hdf5` wrote, which is only read.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is compressed, holds no synthetic image, or is damaged. Its pixels are not
            verified; `as_arrays` does that.
        """
        with open_hdf5(path) as file:
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
        """Replace all images by new ones; other processes see them too."""
        rng = as_random_state(random_state)
        labels = np.repeat(self.classes_, self.counts.numpy())
        for start in range(0, len(labels), BLOCK):
            block = labels[start : start + BLOCK]
            seed = int(rng.randint(2**31 - 1))
            self.images[start : start + BLOCK] = channels_first(gan.sample(block, random_state=seed))

    @property
    def images(self) -> Tensor:
        """All images of the file, mapped; writing to them changes a pool's own file."""
        return torch.from_numpy(self._array())

    def _array(self) -> np.ndarray:
        if self._mapped is None or self._pid != os.getpid():
            if self.digest:
                with open_hdf5(self._path) as file:
                    digest = file_digest(file)
                if digest != self.digest:
                    raise ValueError(
                        f"{self._path} was replaced since the pool was made from it (its digest was"
                        f" {self.digest}, got {digest}): make the pool anew."
                    )
            # "c": a user's file is never written to, and torch gets the writable array it wants.
            mode: Any = "r+" if self._owns_file else "c"
            images = np.memmap(self._path, self._dtype, mode, self._offset, self._file_shape)
            self._mapped, self._pid = images.view(np.ndarray), os.getpid()
        return self._mapped

    def take(self, classes: Tensor, u: Tensor) -> Tensor:
        """Return a copy of one image (C, H, W) of each of `classes`, chosen by numbers `u` in [0, 1)."""
        which = self._starts[classes] + (u * self.counts[classes]).long()
        return self._to_channels_first(self.images.index_select(0, self._order[which]))

    def take_one(self, c: int, u: float) -> Tensor:
        """Return a copy of one image (C, H, W) of class `c`, chosen by a number `u` in [0, 1)."""
        start, count = self._spans[c]
        # numpy copies a single image in half the time that torch takes.
        image = torch.from_numpy(self._array()[self._order_array[start + int(u * count)]].copy())
        if image.ndim == 2:
            return image[None]
        return image.permute(2, 0, 1) if self._channels_last else image

    def _to_channels_first(self, images: Tensor) -> Tensor:
        if self._channels_last:
            return images.permute(0, 3, 1, 2)
        return images if images.ndim == 4 else images[:, None]

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_mapped": None}
        if get_spawning_popen() is None:
            # A pickle may outlive the file. It takes the synthetic images along, and no real ones.
            state["_pickled_images"] = self._array()[self._order_array]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        images = state.pop("_pickled_images", None)
        self.__dict__.update(state)
        if images is not None:
            handle, name = tempfile.mkstemp(prefix="ganaug-pool-")
            weakref.finalize(self, _delete, name, os.getpid())
            with os.fdopen(handle, "wb") as file:
                _extend(file, images.nbytes)
                images.tofile(file)
            self._path, self._offset, self._file_shape, self._owns_file = Path(name), 0, images.shape, True
            self._order_array = np.arange(len(images))
            self._order = torch.from_numpy(self._order_array.copy())
            self.digest = ""  # no longer a file of write_hdf5


def sample_template(gan: ConditionalGenerator) -> Any:
    """Return an image of a generator, (1, ...) in its own layout; raise ValueError if it makes a table."""
    image = gan.sample(gan.classes_[:1], random_state=0)
    if image.ndim == 2:
        raise ValueError(f"`gan` must make images, got one that makes rows of a table, {image.shape}.")
    return image


def _extend(file: Any, size: int) -> None:
    """Make a file as long as its images take: a mapping that runs out of space kills the process."""
    where = tempfile.gettempdir()
    advice = ": lower `pool_size`, or set TMPDIR to another folder"
    preallocate(file.fileno(), size, f"a pool in {where}", advice)
    file.truncate(size)


def _delete(name: str, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked worker, which has this too
        Path(name).unlink(missing_ok=True)
