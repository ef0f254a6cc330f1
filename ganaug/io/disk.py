"""Files on disk: written whole or not at all, with their space allocated first."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Other errors mean that the file system can't allocate space in advance, which is no harm.
NO_SPACE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def preallocate(descriptor: int, size: int, name: str, advice: str = "") -> None:
    """Have the system allocate `size` bytes for an open file, where it can.

    On a disk that fills up later, a write to a memory map, or HDF5 as it closes, would end the process.

    Raises
    ------
    OSError
        If there is too little space. The message calls the file `name`, and ends with `advice`.
    """
    if not hasattr(os, "posix_fallocate") or not size:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as exc:
        if exc.errno in NO_SPACE_ERRNOS:
            raise OSError(f"No room for {name}, which takes {size / 2**20:.1f} MiB{advice}. ({exc})") from exc


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path to write to, beside `path`, and rename it to `path` if the block ends without an error.

    So `path` holds either the whole new file, or what was there before.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
