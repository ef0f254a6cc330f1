"""FileImages: the images of files, read from there when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganaug.io.disk import check_regular, printable, read_regular
from ganaug.io.image_files import load_image
from ganaug.io.image_rows import CHANNEL_MODES, MAX_FILE_SIZE, ImageRows, StoredImages


class FileImages(ImageRows):
    """Images of files, as arrays, that are opened anew each time.

    Parameters
    ----------
    paths : sequence of Path
        Image files, all of one size, which must not change.
    mode : {"L", "RGB", "RGBA"}
        A PIL mode, to which their pixels are converted.
    sides : (int, int)
        Height and width.
    """

    dtype: str = "uint8"
    tensor: bool = False

    def __init__(self, paths: Sequence[Path], mode: str, sides: tuple[int, int]) -> None:
        self.paths: list[Path] = [path.absolute() for path in paths]  # the working directory may change
        self.mode = mode
        channels = next(n for n, name in CHANNEL_MODES.items() if name == mode)
        self.row_shape: tuple[int, ...] = (*sides, channels)
        self._states = np.array([_state(path) for path in self.paths], np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.paths)

    def _check(self, i: int) -> None:
        if _state(self.paths[i]) != tuple(self._states[i].tolist()):
            raise ValueError(f"{printable(self.paths[i])} has changed while in use: start anew.")

    def pixels(self, i: int) -> np.ndarray:
        """Return the image at a position as uint8 (H, W, C).

        Raises
        ------
        FileNotFoundError, ValueError
            If its file is gone, or has changed.
        """
        self._check(i)
        height, width, _ = self.full_shape
        return np.asarray(load_image(self.paths[i], self.mode, None, sides=(height, width))).reshape(
            self.full_shape
        )

    def subset(self, which: Any) -> FileImages:
        """Return the images at some positions, or under a mask, not read."""
        part = FileImages([], self.mode, self.full_shape[:2])
        positions = self.positions(which)
        part.paths, part._states = [self.paths[i] for i in positions.tolist()], self._states[positions]
        return part

    def stored(self) -> StoredImages:
        """Return the same images as the bytes of their files, in memory."""
        contents = []
        for i, path in enumerate(self.paths):
            self._check(i)
            contents.append(read_regular(path, MAX_FILE_SIZE))
        return StoredImages(contents, self.row_shape, names=[printable(path) for path in self.paths])

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the images themselves: the files may not be there elsewhere."""
        images = self.stored()
        return StoredImages, (images.contents, images.row_shape, images.dtype, images.tensor)


def _state(path: Path) -> tuple[int, int]:
    """Return the size of a file, which must be an image's, and when it was changed, in nanoseconds."""
    check_regular(path)
    found = path.stat()
    if found.st_size > MAX_FILE_SIZE:
        raise ValueError(
            f"{printable(path)} must be a file of {MAX_FILE_SIZE} bytes at most, got {found.st_size}."
        )
    return found.st_size, found.st_mtime_ns
