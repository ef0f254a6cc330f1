"""ImagePool: synthetic images or vectors of each class, in a file that processes map instead of copying."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
import weakref
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.data.containers import as_batch
from ganaug.data.labels import as_random_state
from ganaug.data.protocol import ConditionalGenerator, modality_of
from ganaug.data.working_size import MAX_WORKING_SIDE
from ganaug.io.disk import preallocate, printable
from ganaug.io.hdf5 import checked_samples, file_digest, open_hdf5, read_header
from ganaug.io.hdf5_samples import check_torch_dtype
from ganaug.io.mapping import MappedFile

# Images are generated in blocks of this many, and of large ones in blocks of so many bytes, to bound memory.
BLOCK, BLOCK_BYTES = 1024, 2**27
# Images of each class; fewer if all of them would take more than MAX_BYTES, but no fewer than the minimum.
DEFAULT_PER_CLASS, MIN_PER_CLASS = 4096, 256
MAX_BYTES = 2**28
# Of images above 64 pixels a side, as many as fit into so many bytes, without a minimum.
MAX_BYTES_LARGE = 2**30
# Windows can't take the name of an open file away, and passes no descriptors on.
NAMELESS = os.name == "posix"
PREFIX = "ganaug-pool-"


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
        Of an image, (C, H, W), or of a feature vector, (n_features,).
    digest : str
        Of a file of `write_hdf5`, from the checksums of its images and labels; "" of a pool's own file.
    """

    digest: str = ""

    def __init__(
        self,
        dtype: np.dtype,
        shape: tuple[int, ...],
        classes: np.ndarray,
        labels: np.ndarray,
        *,
        channels_last: bool,
    ) -> None:
        self.classes_ = classes
        self._dtype, self._file_shape, self._channels_last = dtype, shape, channels_last
        # A pool has either a file of its own, or one of the user, at `_path`.
        self._own: TemporaryMemory | None = None
        self._own_array: np.ndarray | None = None
        self._path, self._offset = Path(), 0
        self._mapped: MappedFile | None = None
        self.counts: Tensor = torch.from_numpy(np.bincount(labels[labels >= 0], minlength=len(classes)))
        self._starts = self.counts.cumsum(0) - self.counts
        self._spans = list(zip(self._starts.tolist(), self.counts.tolist(), strict=True))
        # Positions in the file by class, without those of label -1, which sort first. To take one image, an
        # array is faster than a tensor. The tensor is a copy: torch moves one that it sends to a worker, and
        # frees where it was.
        self._order_array = labels.argsort(kind="stable")[int((labels < 0).sum()) :]
        self._order = torch.from_numpy(self._order_array.copy())
        image = shape[1:]
        self.shape: tuple[int, ...] = image
        if len(image) == 2:
            self.shape = (1, *image)
        elif channels_last:
            self.shape = (image[2], *image[:2])

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
            None: `DEFAULT_PER_CLASS`, or as many as `pool_size` finds room for.
        random_state : int, RandomState or None
        """
        template = as_batch(sample_template(gan)).numpy()
        size = pool_size(torch.from_numpy(template), int(wanted.sum())) if size is None else size
        labels = np.repeat(np.flatnonzero(wanted), size)
        shape = (max(1, len(labels)), *template.shape[1:])  # an empty file can't be mapped
        pool = cls(template.dtype, shape, gan.classes_, labels, channels_last=False)
        pool._use(TemporaryMemory(shape[0] * template.nbytes))
        pool.refill(gan, random_state)
        return pool

    @classmethod
    def from_file(cls, path: Path) -> ImagePool:
        """Return a pool of the synthetic images of a file that `write_hdf5` wrote, which is only read.

        The file must stay as it is: once it was written to, cut short or replaced, the pool raises
        ValueError where an image is taken.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file is compressed, holds no synthetic image, or is damaged. Its pixels are not
            verified; `as_arrays` does that.
        """
        with open_hdf5(path) as file:
            header = read_header(file)
            offset, digest = checked_samples(file).id.get_offset(), file_digest(file)
        name = printable(path)
        vectors = header.layout == "table" and header.dtype.kind == "f" and len(header.shape) == 1
        if header.layout in ("table", "series") and not vectors:
            what = "series" if header.layout == "series" else "a table"
            raise ValueError(f"{name} holds {what}: a pool is of images, or of feature vectors.")
        if offset is None:
            raise ValueError(f"{name} is compressed: only an uncompressed file can be a pool.")
        if not header.synthetic.any():
            raise ValueError(f"{name} holds no synthetic image.")
        if len(header.shape) not in (2, 3) and not vectors:
            raise ValueError(f"{name} must hold images of 2 or 3 dimensions, got {header.shape}.")
        check_torch_dtype(header.dtype, path)
        pool = cls(
            header.dtype,
            (len(header.labels), *header.shape),
            header.classes,
            np.where(header.synthetic, header.labels, -1),
            channels_last=header.layout == "nhwc" and len(header.shape) == 3,
        )
        pool.digest = digest
        # Absolute, as a worker may start in another working directory. Mapped at once: a change from here on
        # is noticed.
        pool._path, pool._offset = path.absolute(), offset
        pool._array()
        return pool

    def refill(self, gan: ConditionalGenerator, random_state: Any) -> None:
        """Replace all images by new ones; other processes see them too."""
        rng = as_random_state(random_state)
        labels = np.repeat(self.classes_, self.counts.numpy())
        step = max(1, min(BLOCK, BLOCK_BYTES // (math.prod(self.shape) * self._dtype.itemsize)))
        for start in range(0, len(labels), step):
            block = labels[start : start + step]
            seed = int(rng.randint(2**31 - 1))
            self.images[start : start + step] = as_batch(gan.sample(block, random_state=seed))

    @property
    def images(self) -> Tensor:
        """All images of the file, mapped; writing to them changes a pool's own file."""
        return torch.from_numpy(self._array())

    def _array(self) -> np.ndarray:
        """Return the images; those of a user's file after a look at it, so ask anew for each use."""
        if self._own_array is not None:
            return self._own_array
        if self._mapped is None:
            self._mapped = self._map()
        return self._mapped.array()

    def _map(self) -> MappedFile:
        """Map a user's file, which must be the one that the pool was made from."""
        # Mapped first: where the name still stands for what was mapped when the rest has been read, and the
        # next look at it finds that out, all of it is of one file.
        where = self._path, self._dtype, self._offset, self._file_shape
        mapped = MappedFile(*where, copy_on_write=True)  # torch wants a writable array
        with open_hdf5(self._path) as file:
            samples, digest = checked_samples(file), file_digest(file)
            found = samples.dtype, samples.id.get_offset(), samples.shape
        if (digest, *found) != (self.digest, *where[1:]):
            raise ValueError(
                f"{printable(self._path)} was replaced since the pool was made from it (its digest was"
                f" {self.digest}, got {digest}): make the pool anew."
            )
        return mapped

    def _use(self, own: TemporaryMemory) -> None:
        """Take the images from a file of the pool's own."""
        self._own = own
        self._own_array = np.ndarray(self._file_shape, self._dtype, own.memory)

    def take(self, classes: Tensor, u: Tensor) -> Tensor:
        """Return a copy of one image (C, H, W) of each of `classes`, chosen by numbers `u` in [0, 1)."""
        which = self._starts[classes] + (u * self.counts[classes]).long()
        return self._to_channels_first(self.images.index_select(0, self._order[which]))

    def take_one(self, c: int, u: float) -> Tensor:
        """Return a copy of one image (C, H, W) of class `c`, chosen by a number `u` in [0, 1)."""
        start, count = self._spans[c]
        # numpy copies a single image in half the time that torch takes.
        image = self._array()[self._order_array[start + int(u * count)]]
        if image.ndim == 2:
            image = image[None]
        elif self._channels_last:
            image = image.transpose(2, 0, 1)
        return torch.from_numpy(image.copy())  # contiguous, as the images of a data set are

    def _to_channels_first(self, images: Tensor) -> Tensor:
        if self._channels_last:
            return images.permute(0, 3, 1, 2)
        return images[:, None] if images.ndim == 3 else images

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_mapped": None, "_own_array": None}
        if get_spawning_popen() is None:
            # A pickle may outlive the file. It takes the synthetic images along, and no real ones.
            state["_own"] = None
            state["_pickled_images"] = self._array()[self._order_array]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        images = state.pop("_pickled_images", None)
        self.__dict__.update(state)
        if self._own is not None:
            self._use(self._own)
        if images is not None:
            self._order_array = np.arange(len(images))
            self._order = torch.from_numpy(self._order_array.copy())
            self._file_shape = (max(1, len(images)), *images.shape[1:])
            self._use(TemporaryMemory(math.prod(self._file_shape) * images.itemsize))
            self.images[: len(images)] = torch.from_numpy(images)
            self.digest = ""  # no longer a file of write_hdf5


class TemporaryMemory:
    """Memory in a temporary file, which the workers of a process share, of whatever kind they are.

    The file has no name, where the system has such files: nobody can cut it short or delete it, and it is
    gone with the last process that has it open, be that killed. To a worker that is being started a pickle
    hands the open file.

    Parameters
    ----------
    size : int
        In bytes, at least 1.

    Attributes
    ----------
    memory : mmap

    Raises
    ------
    OSError
        If there is too little space.
    """

    size: int
    memory: mmap.mmap

    def __init__(self, size: int) -> None:
        self.size, self._path, self._descriptor = size, "", -1
        if NAMELESS:
            with tempfile.TemporaryFile(prefix=PREFIX) as file:
                _extend(file, size)
                self._keep(os.dup(file.fileno()))
            return
        handle, self._path = tempfile.mkstemp(prefix=PREFIX)
        try:
            with os.fdopen(handle, "r+b") as file:
                _extend(file, size)
                self.memory = mmap.mmap(file.fileno(), size)
        except BaseException:
            Path(self._path).unlink(missing_ok=True)
            raise
        # With the memory, not with this object: Windows deletes no file that is mapped.
        weakref.finalize(self.memory, _delete, self._path, os.getpid())

    def _keep(self, descriptor: int) -> None:
        """Map an open file, and keep it open for workers to come."""
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self.memory = mmap.mmap(descriptor, self.size)

    def __getstate__(self) -> dict[str, Any]:
        popen: Any = get_spawning_popen()
        if popen is None:
            raise TypeError("TemporaryMemory can only be pickled for a process that is being started.")
        if self._path:
            return {"size": self.size, "path": self._path}
        # One for each pickle, as every object that comes of a pickle closes its own.
        descriptor = os.dup(self._descriptor)
        weakref.finalize(popen, os.close, descriptor)
        return {"size": self.size, "descriptor": reduction.DupFd(descriptor)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.size, self._path, self._descriptor = state["size"], state.get("path", ""), -1
        if not self._path:
            self._keep(state["descriptor"].detach())
            return
        with Path(self._path).open("r+b") as file:
            found = os.fstat(file.fileno()).st_size
            if found != self.size:
                raise OSError(f"{self._path}, a pool, must be of {self.size} bytes, got {found}.")
            self.memory = mmap.mmap(file.fileno(), self.size)


def pool_size(template: Any, n_classes: int) -> int:
    """Return how many samples of each of `n_classes` to keep, of the kind of a template (1, ...)."""
    sample = as_batch(template)
    size = max(1, sample.nbytes * n_classes)
    if max(sample.shape[2:], default=0) > MAX_WORKING_SIDE:
        return max(1, min(DEFAULT_PER_CLASS, MAX_BYTES_LARGE // size))
    return min(DEFAULT_PER_CLASS, max(MIN_PER_CLASS, MAX_BYTES // size))


def sample_template(gan: ConditionalGenerator) -> Any:
    """Return a sample of a generator, (1, ...) in its own layout; ValueError if of a table, or a series."""
    image = gan.sample(gan.classes_[:1], random_state=0)
    made = modality_of(image, gan)
    if made in ("table", "series"):
        name = "rows of a table" if made == "table" else "series"
        raise ValueError(
            f"`gan` must make images or feature vectors, got one that makes {name}, {image.shape}: call its"
            " methods, or pass it to GANOverSampler."
        )
    return image


def _extend(file: Any, size: int) -> None:
    """Make a file as long as its images take: a mapping that runs out of space kills the process."""
    where = tempfile.gettempdir()
    advice = ": lower `pool_size`, or set TMPDIR to another folder"
    preallocate(file.fileno(), size, f"a pool in {where}", advice)
    file.truncate(size)


def _delete(name: str, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked worker, which has this too
        with contextlib.suppress(PermissionError):  # of Windows, for a file that is mapped to the very end
            Path(name).unlink(missing_ok=True)
