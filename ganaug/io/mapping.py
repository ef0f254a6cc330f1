"""MappedFile: an array in a file, mapped into memory, that is never read where the file has changed.

Where a mapped file is cut short, the system ends a process that reads beyond its end (SIGBUS), or hands it
zeros; where one is copied over, other bytes. So a user's file is looked at before its memory is.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
from pathlib import Path

import numpy as np


class WatchedFile:
    """Says whether a file is still the one that was opened; it takes no descriptor.

    Parameters
    ----------
    path : path
    descriptor : int
        Of the open file, which may be closed afterwards.

    Raises
    ------
    ValueError
        If it is not a regular file.
    """

    def __init__(self, path: str | Path, descriptor: int) -> None:
        self.path = path
        self._absolute = str(Path(path).absolute())  # the working directory may change
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode):
            raise ValueError(f"{path} must be a regular file.")
        self.size: int = opened.st_size
        # Not the device: Windows gives two numbers for it, by name and by descriptor.
        self._state = (opened.st_ino, opened.st_size, opened.st_mtime_ns)

    def check(self) -> None:
        """Raise unless the file is as it was; this takes a microsecond or two.

        A file that was deleted passes, where the system lets a file be deleted that is in use: its content
        stays until the last process closes it.

        Raises
        ------
        ValueError
            If it was changed, cut short or replaced since.
        OSError
            If it can't be looked at, as after a network file system has lost it.
        """
        try:
            now = os.stat(self._absolute)  # noqa: PTH116  Path.stat takes half as long again
        except FileNotFoundError:
            return
        if (now.st_ino, now.st_size, now.st_mtime_ns) == self._state:
            return
        if now.st_ino != self._state[0]:
            change = "replaced by another file"
        elif now.st_size != self.size:
            change = f"changed from {self.size} to {now.st_size} bytes"
        else:
            change = "written to"
        raise ValueError(f"{self.path} was {change} while in use: open it anew.")


class MappedFile:
    """An array in a file of somebody else, mapped to be read.

    It holds one descriptor, may be used in forked processes, and can't be pickled: open another one.

    Parameters
    ----------
    path : path
    dtype : dtype
        Of a kind that is plain bytes: booleans, integers or floats.
    offset : int
        Where in the file the array begins.
    shape : tuple of int
    copy_on_write : bool, default=False
        Make the array writable, as torch wants it. What is written to it is this process's own, and never
        reaches the file.

    Raises
    ------
    OSError
        If the file can't be opened.
    ValueError
        If it is not a regular file, too short for the array, or if `dtype` is of another kind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(bytes(range(6)))
    ...     file.flush()
    ...     mapped = MappedFile(file.name, np.dtype(np.uint8), 2, (2, 2))
    ...     mapped.array().tolist()
    [[2, 3], [4, 5]]
    """

    def __init__(
        self,
        path: str | Path,
        dtype: np.dtype,
        offset: int,
        shape: tuple[int, ...],
        *,
        copy_on_write: bool = False,
    ) -> None:
        if dtype.kind not in "biuf":
            raise ValueError(f"{path} can't be mapped as {dtype}: only booleans, integers and floats can.")
        end = offset + math.prod(shape) * dtype.itemsize
        # Not to wait for a writer, where it is a pipe.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            self._watched = WatchedFile(path, descriptor)
            if min(offset, *shape, 0) < 0 or end > self._watched.size:
                raise ValueError(
                    f"{path} is too short: {dtype} {tuple(shape)} from byte {offset} on ends at byte {end}"
                    f" of {self._watched.size}."
                )
            access = mmap.ACCESS_COPY if copy_on_write else mmap.ACCESS_READ
            buffer = mmap.mmap(descriptor, end, access=access) if end else b""
        finally:
            os.close(descriptor)  # the map holds its own
        self._array = np.ndarray(shape, dtype, buffer, offset)

    def array(self) -> np.ndarray:
        """Return the array, after a look at the file; copy from it at once, and ask anew the next time.

        Raises
        ------
        ValueError
            If the file was changed, cut short or replaced since.
        OSError
            If it can't be looked at.
        """
        self._watched.check()
        return self._array
