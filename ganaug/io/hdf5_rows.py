"""HDF5Rows: the images of HDF5 files, read from there when they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganaug.io.hdf5 import READ_BLOCK
from ganaug.io.hdf5_dataset import HDF5Dataset
from ganaug.io.image_rows import ImageRows, StoredImages, is_large
from ganaug.io.shards import check_all_images


class HDF5Rows(ImageRows):
    """The images of an `HDF5Dataset` without a transform, which stay on disk.

    Parameters
    ----------
    data : HDF5Dataset
        Of images that `can_stay` accepts.
    tensor : bool
        Whether they are Tensors (C, H, W), as the items of the data set are, or arrays as `as_arrays` reads.
    positions : ndarray of shape (n,), int64, optional
        Those items which are the images. Default: all.
    """

    def __init__(self, data: HDF5Dataset, tensor: bool, positions: np.ndarray | None = None) -> None:
        self.data = data
        self.tensor: bool = tensor
        self.dtype: str = str(data.dtype)
        self._positions = np.arange(len(data)) if positions is None else positions
        one = self._arrange(np.empty((1, *data.sample_shape), data.dtype))
        self.row_shape: tuple[int, ...] = tuple(one.shape[1:])

    @staticmethod
    def can_stay(data: HDF5Dataset) -> bool:
        """Return whether images can be read one by one as fast as from memory, and saved without loss."""
        shape = data.sample_shape
        if data.layout in ("table", "series") or data.transform is not None or data.is_compressed:
            return False
        sides = shape[:2] if data.layout == "nhwc" else shape[-2:]
        return data.dtype == np.uint8 or (data.dtype.kind == "f" and not is_large(*sides))

    @classmethod
    def of_file(cls, path: Path) -> HDF5Rows | None:
        """Return the images of a file as arrays, each of its bits verified; None if they can't stay there."""
        try:
            data = HDF5Dataset(path)
        except ValueError:
            return None  # a DataFrame, or a file that is damaged: whoever reads all of it says so
        if not cls.can_stay(data):
            return None
        check_all_images(path)
        return cls(data, tensor=False)

    def _arrange(self, images: np.ndarray) -> Any:
        """Return images (n, ...) as a file holds them in the form that the user has."""
        channels_first = self.data.layout == "nchw" and images.ndim == 4
        if not self.tensor:
            return np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if channels_first else images
        if images.ndim == 3:
            return torch.from_numpy(images)[:, None]
        return torch.from_numpy(images if channels_first else images.transpose(0, 3, 1, 2).copy())

    @property
    def labels(self) -> np.ndarray:
        """The original label of each image, (n,)."""
        return np.asarray(self.data.classes)[self.data.targets[self._positions]]

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, which: Any) -> Any:
        return self._arrange(self.data.read(self._positions[self.positions(which)]))

    def pixels(self, i: int) -> np.ndarray:
        """Return the image at a position as uint8 (H, W, C)."""
        images = self.data.read(self._positions[[i]])
        if self.data.layout == "nchw" and images.ndim == 4:
            images = images.transpose(0, 2, 3, 1)
        return images[0].reshape(self.full_shape)

    def value_range(self) -> tuple[float, float]:
        """Return the least and the largest value of all images; of bytes, of as many as it takes to tell."""
        low, high = np.inf, -np.inf
        for start in range(0, len(self), READ_BLOCK):
            images = np.asarray(self[start : start + READ_BLOCK])
            # Of NaN each comparison is False: so numpy, which keeps it, must compare.
            low, high = float(np.minimum(low, images.min())), float(np.maximum(high, images.max()))
            if self.dtype == "uint8" and high > 1:
                return 0.0, 255.0
        return low, high

    def subset(self, which: Any) -> HDF5Rows:
        """Return the images at some positions, or under a mask, not read."""
        return HDF5Rows(self.data, self.tensor, self._positions[self.positions(which)])

    def stored(self) -> StoredImages:
        """Return the same images as bytes of PNG files, which lose nothing of 8 bits."""
        return StoredImages.of_pixels(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the images themselves: the file may not be there elsewhere."""
        return np.asarray if not self.tensor else torch.as_tensor, (self[:],)
