"""Files on disk: written whole or not at all, with their space allocated first."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

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


def sync(path: Path) -> None:
    """Have the system put a file, or the names in a folder, on the disk before anything that comes after."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename_new(source: Path, target: Path) -> None:
    """Rename a file to a name that no file has, durably.

    Raises
    ------
    FileExistsError
        If there is one of that name by now; `source` stays.
    """
    sync(source)
    try:
        os.link(source, target)  # unlike a rename, it never replaces a file
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if target.exists():
            raise FileExistsError(f"{target} exists.") from None
        source.rename(target)
    else:
        source.unlink()
    sync(target.parent)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path to write to, beside `path`, and rename it to `path` if the block ends without an error.

    So `path` holds either the whole new file, or what was there before; after a loss of power, too.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other runs from writing to `path`, a file or a folder, for the time of the block.

    By a lock on the hidden file ``.NAME.lock`` beside it, which stays there: to delete it would let a third
    run lock another file of that name.

    Raises
    ------
    BlockingIOError
        If another run, or another thread, holds it.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as exc:
        raise BlockingIOError(f"{path} is in use by another run.") from exc
    try:
        yield
    finally:
        lock.release()
