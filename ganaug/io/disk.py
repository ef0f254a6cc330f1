"""Files on disk: read if they are files at all, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Other errors mean that the file system can't allocate space in advance, which is no harm.
NO_SPACE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def printable(text: object) -> str:
    """Return a text, such as a path, with what a terminal would act upon escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def check_regular(path: Path) -> None:
    """Raise ValueError if a path leads to a pipe or a device, which would be waited for.

    A folder, or nothing, is left to what opens it.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError(f"{printable(path)} must be a regular file.")


def read_regular(path: Path, max_size: int) -> bytes:
    """Return the content of a file, or of the one that a link leads to, of `max_size` bytes at most.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is larger, or not a regular file: a pipe would be waited for.
    """
    if path.is_dir():  # which some systems refuse to open
        raise ValueError(f"{printable(path)} must be a regular file, got a folder.")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{printable(path)} must be a regular file.")
        if status.st_size > max_size:
            raise ValueError(
                f"{printable(path)} must be a file of {max_size} bytes at most, got {status.st_size}."
            )
        return file.read(max_size)


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
    """Have the system put a file, or the names in a folder, on the disk before anything that comes after.

    Folders are synced where the system can do that: some file systems can't, and Windows.
    """
    if path.is_dir():
        with suppress(OSError):
            _fsync(path, os.O_RDONLY)
    else:
        _fsync(path, os.O_RDWR)  # Windows takes no other


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
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
    partial = path.with_name(f".{path.name}.new")  # hidden names of this kind are ours, as those of locks are
    partial.unlink(missing_ok=True)
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def locked(path: Path, timeout: float = 0) -> Iterator[None]:
    """Keep other runs from writing to `path`, a file or a folder, for the time of the block.

    By a lock on the hidden file ``.NAME.lock`` beside it, which stays there: to delete it would let a third
    run lock another file of that name. While another run holds it, it is waited for `timeout` seconds.

    Raises
    ------
    BlockingIOError
        If another run, or another thread, holds it.
    OSError
        If there can be no lock: its folder can't be written to, or its file system has none.
    """
    # Imported here, as most wrong paths are found before.
    from filelock import FileLock, SoftFileLock, Timeout

    name = path.with_name(f".{path.name}.lock")
    # All users of a folder may lock. A file that exists is no lock by itself: it would outlive its process.
    lock = FileLock(name, timeout=timeout, mode=0o666, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
        if isinstance(lock, SoftFileLock):  # what filelock 3.24 to 3.29 fall back to
            lock.release()
            raise NotImplementedError("its file system has no locks")
    except Timeout as exc:
        raise BlockingIOError(f"{printable(path)} is in use by another run, which holds {name}.") from exc
    except (OSError, NotImplementedError) as exc:
        number = getattr(exc, "errno", None) or errno.ENOTSUP
        raise OSError(number, f"{printable(path)} can't be locked: {exc}", str(name)) from exc
    try:
        yield
    finally:
        lock.release()
