"""Images that are read when they are asked for: from the bytes of files, or from a torch Dataset.

So photographs need not all be in memory as pixels. Both kinds are indexed as an array is, and give an array
or a Tensor of the images asked for, of 8 bits a channel.
"""

from __future__ import annotations

import io
import itertools
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganaug.data.working_size import MAX_SIDE, MAX_WORKING_SIDE, MIN_SIDE
from ganaug.io.image_files import (
    check_same_size,
    common_mode,
    convert_image,
    dataset_item,
    image_mode,
    load_image,
    read_header,
)

# In bytes: an image of 1,024 x 1,024 pixels and 16 bits, without compression, and as much again.
MAX_FILE_SIZE = 2**24
CHANNEL_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def is_large(height: int, width: int) -> bool:
    """Return whether images are so large that networks see them smaller."""
    return max(height, width) > MAX_WORKING_SIDE


def check_sides(height: int, width: int, name: str) -> None:
    """Raise ValueError, with the name of a file or an item, if an image is larger than any may be."""
    if max(height, width) > MAX_SIDE:
        raise ValueError(
            f"{name} is {height} x {width}: images must be {MIN_SIDE} to {MAX_SIDE:,} pixels a side. Resize"
            " them, for example with as_arrays(source, size=224)."
        )


class ImageRows(ABC):
    """Images in the container in which the user has them, read when they are asked for.

    Attributes
    ----------
    row_shape : tuple of int
        Of one image: (H, W) or (H, W, C) of an array, (C, H, W) or (H, W) of a Tensor.
    dtype : str
        "uint8", or a float dtype for values in [0, 1].
    tensor : bool
        Whether an index gives a Tensor, and not an array.
    """

    row_shape: tuple[int, ...]
    dtype: str
    tensor: bool

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def pixels(self, i: int) -> np.ndarray:
        """Return the image at a position as uint8 (H, W, C)."""

    @abstractmethod
    def subset(self, which: Any) -> ImageRows:
        """Return the images at some positions, or under a mask, not read."""

    @abstractmethod
    def stored(self) -> StoredImages:
        """Return the same images as bytes of files."""

    def value_range(self) -> tuple[float, float]:
        """Return the least and the largest value of all images."""
        return 0.0, 255.0

    @property
    def ndim(self) -> int:
        """The number of dimensions of an array of all images."""
        return 1 + len(self.row_shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an array of all images."""
        return (len(self), *self.row_shape)

    @property
    def full_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        if len(self.row_shape) == 2:
            return (*self.row_shape, 1)
        shape = (*self.row_shape[1:], self.row_shape[0]) if self.tensor else self.row_shape
        return shape  # type: ignore[return-value]

    def positions(self, which: Any) -> np.ndarray:
        """Return the positions that a slice, an array or Tensor of indices, or a mask leads to, (n,)."""
        return np.arange(len(self))[which.numpy() if isinstance(which, Tensor) else which]

    def __getitem__(self, which: Any) -> Any:
        positions = self.positions(which)
        images = np.empty((len(positions), *self.full_shape), np.uint8)
        for place, i in enumerate(positions.tolist()):
            images[place] = self.pixels(i)
        values = images[..., 0] if len(self.row_shape) == 2 else images
        if self.dtype != "uint8":
            # In the precision in which torchvision scales.
            scale = np.float64(255) if self.dtype == "float64" else np.float32(255)
            values = (values / scale).astype(self.dtype)
        if not self.tensor:
            return values
        return torch.from_numpy(values if values.ndim == 3 else values.transpose(0, 3, 1, 2).copy())


class StoredImages(ImageRows):
    """Images as the bytes of image files, in memory.

    Parameters
    ----------
    contents : sequence of bytes
        One image file each.
    row_shape, dtype, tensor
        See `ImageRows`.
    names : sequence of str, optional
        What messages call the images.
    """

    def __init__(
        self,
        contents: Sequence[bytes],
        row_shape: tuple[int, ...],
        dtype: str = "uint8",
        tensor: bool = False,
        names: Sequence[str] | None = None,
    ) -> None:
        self.contents = contents
        self.names = names
        self.row_shape: tuple[int, ...] = row_shape
        self.dtype: str = dtype
        self.tensor: bool = tensor

    @classmethod
    def of_pixels(cls, rows: ImageRows) -> StoredImages:
        """Return images, of 8 bits a channel, as the bytes of PNG files."""
        contents = []
        for i in range(len(rows)):
            pixels, file = rows.pixels(i), io.BytesIO()
            Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "png")
            contents.append(file.getvalue())
        return cls(contents, rows.row_shape, rows.dtype, rows.tensor)

    def __len__(self) -> int:
        return len(self.contents)

    def _name(self, i: int) -> str:
        return f"image {i}" if self.names is None else self.names[i]

    def pixels(self, i: int) -> np.ndarray:
        """Return the image at a position as uint8 (H, W, C)."""
        height, width, channels = self.full_shape
        file = io.BytesIO(self.contents[i])
        image = load_image(file, CHANNEL_MODES[channels], None, self._name(i), (height, width))
        return np.asarray(image).reshape(height, width, channels)

    def subset(self, which: Any) -> StoredImages:
        """Return the images at some positions, or under a mask, not read."""
        positions = self.positions(which).tolist()
        names = None if self.names is None else [self.names[i] for i in positions]
        contents = [self.contents[i] for i in positions]
        return StoredImages(contents, self.row_shape, self.dtype, self.tensor, names)

    def stored(self) -> StoredImages:
        """Return the images themselves."""
        return self

    def tensors(self) -> dict[str, Tensor]:
        """Return the bytes of all files, one after the other, and where each ends."""
        ends = np.cumsum([len(content) for content in self.contents], dtype=np.int64)
        return {
            "rows": torch.frombuffer(bytearray(b"".join(self.contents)), dtype=torch.uint8),
            "row_ends": torch.from_numpy(ends),
        }

    @classmethod
    def from_tensors(
        cls, rows: Tensor, ends: Tensor, row_shape: tuple[int, ...], dtype: str, tensor: bool
    ) -> StoredImages:
        """Restore what `tensors` returned, whoever wrote it: the header of each image is checked.

        Raises
        ------
        ValueError
            If one of them is no image of the size of all.
        """
        bounds = [0, *ends.tolist()]
        if any(a >= b for a, b in itertools.pairwise(bounds)) or bounds[-1] != len(rows):
            raise ValueError(f"files that end at {bounds[-1]} and before, in {len(rows)} bytes")
        data = rows.numpy().tobytes()
        contents = [data[a:b] for a, b in itertools.pairwise(bounds)]
        images = cls(contents, row_shape, dtype, tensor)
        height, width, _ = images.full_shape
        for i, content in enumerate(contents):
            sides, _ = read_header(io.BytesIO(content), images._name(i))
            if sides != (height, width):
                raise ValueError(f"image {i} of {sides[0]} x {sides[1]} among those of {height} x {width}")
        return images


class DatasetImages(ImageRows):
    """The images of a torch Dataset of (image, label), which is asked for them again and again.

    Made empty: each image is shown to it once, by `append`. After `finish` it can be indexed. Images of
    floats are kept in 8 bits a channel.

    Parameters
    ----------
    dataset : Dataset
        The same item must always have the same image.
    mode : {"L", "RGB", "RGBA"} or None
        To which PIL images are converted. None: what all of them have in common.
    """

    _KINDS: ClassVar[tuple[type, ...]] = (Image.Image, Tensor, np.ndarray)

    def __init__(self, dataset: Any, mode: str | None = None) -> None:
        self.mode = mode
        self.dataset = dataset
        self._checksums: list[int] = []
        self._modes: list[str] = []
        self._first: tuple[Any, ...] = ()
        self._low, self._high = np.inf, -np.inf
        self._positions = np.arange(0)

    def append(self, image: Any) -> None:
        """Note the image of the next item."""
        name = f"item {len(self._checksums)}"
        tensor = isinstance(image, Tensor)
        pil = isinstance(image, Image.Image)
        height, width = (
            (image.height, image.width) if pil else image.shape[-2:] if tensor else image.shape[:2]
        )
        sides = (int(height), int(width))
        if not self._first:
            check_sides(*sides, name)
            self.tensor: bool = tensor
            self.dtype: str = "uint8" if pil else str(image.dtype).removeprefix("torch.")
            self.row_shape: tuple[int, ...] = () if pil else tuple(image.shape)
            self._first = (sides, self._kind(image))
        check_same_size([self._first[0], sides], ["item 0", name])
        if self._kind(image) != self._first[1]:
            first, other = self._first[1], self._kind(image)
            raise ValueError(f"Images differ in kind: item 0 is {first}, {name} is {other}.")
        if pil:
            self._modes.append(image_mode(image))
        elif image.dtype not in (np.uint8, torch.uint8):
            self._note_range(image)
        elif self._high <= 1:  # of bytes only one above 1 is looked for
            self._note_range(image)
        self._checksums.append(_checksum(image))

    def _note_range(self, image: Any) -> None:
        # Of NaN each comparison is False: so it must be the new value that is asked.
        low, high = float(image.min()), float(image.max())
        self._low = self._low if low >= self._low else low
        self._high = self._high if high <= self._high else high

    def _kind(self, image: Any) -> str:
        kind = next(kind.__name__ for kind in self._KINDS if isinstance(image, kind))
        return "PIL image" if kind == "Image" else f"{kind} {image.dtype} {tuple(image.shape)}"

    def finish(self) -> DatasetImages:
        """Return the images, once all have been seen."""
        if self._modes:
            names = [f"item {i}" for i in range(len(self._modes))]
            self.mode = self.mode or common_mode(self._modes, names)
            channels = next(n for n, name in CHANNEL_MODES.items() if name == self.mode)
            self.row_shape = (*self._first[0], channels)
            self._low, self._high = 0.0, 255.0
        self._positions = np.arange(len(self._checksums))
        return self

    def value_range(self) -> tuple[float, float]:
        """Return the least and the largest value of all images."""
        return self._low, self._high

    def __len__(self) -> int:
        return len(self._positions)

    def pixels(self, i: int) -> np.ndarray:
        """Return the image at a position as uint8 (H, W, C).

        Raises
        ------
        ValueError
            If the data set gives another image than before.
        """
        position = int(self._positions[i])
        image, _ = dataset_item(self.dataset, position)
        if _checksum(image) != self._checksums[position]:
            raise ValueError(
                f"Item {position} of the data set must be the same image each time it is read, got another:"
                " take random transforms out of it, as ganaug comes before them; or pass arrays."
            )
        if isinstance(image, Image.Image):
            return np.asarray(convert_image(image, str(self.mode), None)).reshape(self.full_shape)
        values = image.detach().cpu().as_subclass(Tensor).numpy() if isinstance(image, Tensor) else image
        if values.dtype != np.uint8:
            values = np.rint(np.clip(values.astype(np.float32), 0, 1) * 255).astype(np.uint8)
        if values.ndim == 3 and self.tensor:
            values = values.transpose(1, 2, 0)
        return values.reshape(self.full_shape)

    def subset(self, which: Any) -> DatasetImages:
        """Return the images at some positions, or under a mask, not read."""
        part = DatasetImages(self.dataset, self.mode)
        part.__dict__.update(self.__dict__)
        part._positions = self._positions[self.positions(which)]
        return part

    def stored(self) -> StoredImages:
        """Return the same images as bytes of PNG files, which lose nothing of 8 bits."""
        return StoredImages.of_pixels(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the images themselves: the data set may be anything, and may not be there elsewhere."""
        images = self.stored()
        return StoredImages, (images.contents, images.row_shape, images.dtype, images.tensor)


def _checksum(image: Any) -> int:
    if isinstance(image, Image.Image):
        return zlib.crc32(image.tobytes(), zlib.crc32(image.mode.encode()))
    values = image.detach().cpu().as_subclass(Tensor).numpy() if isinstance(image, Tensor) else image
    return zlib.crc32(np.ascontiguousarray(values).tobytes())
