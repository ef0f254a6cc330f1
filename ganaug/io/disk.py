"""Files on disk: written whole or not at all, and with their space set aside first."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of a disk that is full. Other errors say that the file system can't set space aside.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def preallocate(descriptor: int, size: int, name: str, advice: str = "") -> None:
    """Have the system set `size` bytes of an open file aside, where it can.

    Without them a mapping, or HDF5 when it closes, takes the process down with it.

    Raises
    ------
    OSError
        If there is no room; calls the file `name`, and ends with `advice`.
    """
    if not hasattr(os, "posix_fallocate") or not size:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as exc:
        if exc.errno in FULL:
            raise OSError(f"No room for {name}, which takes {size / 2**20:.1f} MiB{advice}. ({exc})") from exc


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to, which takes its place when the block ends without an error.

    So a file of that name is whole, or the one that was there before.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
