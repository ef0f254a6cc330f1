"""Checks of an HDF5 file from somebody else, before a value of it is read.

HDF5 follows links and lists of pieces into other files, allocates what a file claims, and hands pointers to
numpy where a file holds strings. So each data set is looked at first: whether it lies in the file itself,
as plain numbers, with as many bytes as it claims.
"""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ganaug.io.disk import printable

PLAIN_KINDS = "biuf"  # of dtypes whose bytes are their values
PLAIN_CLASSES = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM)
FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_LZF: "lzf",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
}
# Deflate, which gzip is, makes at most 1,032 bytes of one.
MAX_EXPANSION = 1040
# What a compressed data set may claim however few bytes it takes.
FREE_BYTES = 2**26
MAX_CHECKSUM_BYTES = 8

# Errors of the environment, which say nothing of a file's content; not every system has all of them.
_ENVIRONMENT = (
    "ENOENT EISDIR ENOTDIR ELOOP ENAMETOOLONG EACCES EPERM EMFILE ENFILE ENOMEM EAGAIN EBUSY EINTR ENOLCK"
    " ESTALE EREMOTEIO EIO ENXIO ENODEV ENOTCONN ETIMEDOUT EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH"
    " ECONNREFUSED ECONNRESET"
)
ENVIRONMENT_ERRNOS = {getattr(errno, name) for name in _ENVIRONMENT.split() if hasattr(errno, name)}


@contextmanager
def errors_named(path: str | Path, kind: str = "data set that write_hdf5 wrote") -> Iterator[None]:
    """Turn whatever is raised while a file is read into an error that names it, and its `kind`.

    Raises
    ------
    OSError
        If the file can't be reached: it is missing, a folder, locked, on a disk that fails, ... The error
        keeps its number.
    ValueError
        If it is damaged, or not of the format of `ganaug.io.hdf5`.
    """
    try:
        yield
    except MemoryError as exc:
        raise MemoryError(f"{printable(path)} doesn't fit into memory: {exc}") from exc
    except ImportError:  # of pandas
        raise
    except Exception as exc:  # h5py raises a type for each way in which a file can be broken
        error = _environment_error(path, exc)
        if error is not None:
            raise error from exc
        raise ValueError(f"{printable(path)} is damaged, or not a {kind}: {printable(exc)}") from exc


def _environment_error(path: str | Path, exc: Exception) -> OSError | None:
    """Return an OSError of the same number if the environment is at fault, and not the file's content."""
    if isinstance(exc, ValueError | TypeError):  # these are raised for content, which they may quote
        return None
    text = str(exc)
    number = exc.errno if isinstance(exc, OSError) else None
    if number is None:  # HDF5 gives it in the text alone where it fails later than at opening
        found = re.search(r"errno = (\d+)", text)
        number = int(found[1]) if found else None
    if "unable to lock file" in text or number == errno.ENOLCK:
        number = number or errno.EAGAIN
        advice = (
            f"{os.strerror(number)}: the file can't be locked. Wait if another process writes it; where its"
            " file system has no locks, set the environment variable HDF5_USE_FILE_LOCKING=FALSE"
        )
        return OSError(number, advice, str(path))
    if number is None or number not in ENVIRONMENT_ERRNOS:
        return None
    return OSError(number, os.strerror(number), str(path))


def stored_dataset(file: h5py.File, name: str, free: int = FREE_BYTES) -> h5py.Dataset:
    """Return a data set of a file, of which nothing was read yet.

    Parameters
    ----------
    file : File
    name : str
    free : int, default=64 MiB
        How many bytes a compressed one may claim without taking a share of them in the file.

    Raises
    ------
    ValueError
        If there is none; if it lies outside the file, or is put together from others; if it is of a type
        that `write_hdf5` doesn't write; or if it claims more than the file holds.
    """
    if not file.id.links.exists(name.encode()):  # `in file` would follow it to another file
        raise ValueError(f"it holds no `{name}`")
    if file.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"`{name}` is a link to elsewhere, which is not followed")
    if h5py.h5o.get_info(file.id, name.encode()).type != h5py.h5o.TYPE_DATASET:
        raise ValueError(f"`{name}` is a group or a type instead of a data set")
    dataset = file[name]
    create = dataset.id.get_create_plist()
    if create.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"`{name}` is a virtual data set, whose values lie in other files")
    if create.get_external_count():
        raise ValueError(f"`{name}` lies in another file, {os.fsdecode(create.get_external(0)[0])!r}")
    filters = [create.get_filter(place)[0] for place in range(create.get_nfilters())]
    unknown = [code for code in filters if code not in FILTERS]
    if unknown:
        raise ValueError(
            f"`{name}` is stored with filter {unknown[0]}: accepted are {list(FILTERS.values())}"
        )
    if dataset.shape is None:
        raise ValueError(f"`{name}` has no shape")
    _check_size(file, dataset, name, free)
    return dataset


def _check_size(file: h5py.File, dataset: h5py.Dataset, name: str, free: int) -> None:
    claimed = math.prod(dataset.shape) * dataset.id.get_type().get_size()
    if not claimed:
        return
    held, stored = file.id.get_filesize(), dataset.id.get_storage_size()
    if dataset.chunks is None:
        offset = dataset.id.get_offset() or 0  # none where it is so small that it lies in its header
        # More than claimed is stored of strings, of which each value is a reference to where the text lies.
        complete = stored >= claimed and offset + stored <= held
    else:
        grid = [-(-length // side) for length, side in zip(dataset.shape, dataset.chunks, strict=True)]
        complete = dataset.id.get_num_chunks() == math.prod(grid) and stored <= held
        claimed = math.prod(grid) * math.prod(dataset.chunks) * dataset.id.get_type().get_size()
        if claimed > max(free, MAX_EXPANSION * stored):
            raise ValueError(f"`{name}` claims {claimed} bytes, and takes {stored} in the file")
    if not complete:
        raise ValueError(
            f"`{name}` claims {claimed} bytes, which the file, of {held} bytes, doesn't hold: {stored} of"
            " them are stored"
        )


def name_among(file: h5py.File, names: Iterable[str]) -> str:
    """Return which one of `names` a file holds; raise ValueError if it is none, or several."""
    names = list(names)
    found = [name for name in names if file.id.links.exists(name.encode())]
    if len(found) != 1:
        raise ValueError(f"it holds {'more than one' if found else 'none'} of {names}")
    return found[0]


def check_samples(samples: h5py.Dataset, name: str, layout: str) -> None:
    """Raise ValueError unless samples are images, series or rows of plain numbers, or records of a table."""
    kind = samples.id.get_type().get_class()
    if layout == "table" and samples.ndim == 1 and kind in (h5py.h5t.COMPOUND, h5py.h5t.OPAQUE):
        _check_records(samples, name)
        return
    if not {"table": samples.ndim == 2, "series": samples.ndim in (2, 3)}.get(layout, samples.ndim >= 3):
        raise ValueError(f"`{name}` is of shape {samples.shape}")
    _check_plain(samples, name)


def _check_plain(dataset: h5py.Dataset, name: str) -> None:
    """Raise ValueError unless a data set's bytes are the values that numpy's dtype makes of them."""
    stored = dataset.id.get_type()
    if stored.get_class() in PLAIN_CLASSES:
        dtype = dataset.dtype
        # An enumeration is the type of booleans alone. Numbers of odd widths are converted as they are read.
        plain = (stored.get_class() == h5py.h5t.ENUM) == (dtype.kind == "b") and dtype.kind in PLAIN_KINDS
        if plain and stored.equal(h5py.h5t.py_create(dtype, logical=True)):
            return
    raise ValueError(f"`{name}` must hold booleans, integers or floats, got {_type_name(dataset)}")


def _check_records(samples: h5py.Dataset, name: str) -> None:
    dtype, size = samples.dtype, samples.id.get_type().get_size()
    fields = [dtype[place] for place in range(len(dtype.names or ()))]
    # Wide records are stored as bytes alone, of which `columns` says what they are.
    plain = all(field.kind in PLAIN_KINDS for field in fields) and dtype.subdtype is None
    if dtype.kind != "V" or dtype.itemsize != size or not plain:
        raise ValueError(
            f"`{name}` must be records of booleans, integers and floats, got {_type_name(samples)}"
        )


def _type_name(dataset: h5py.Dataset) -> str:
    try:
        return str(dataset.dtype)[:200]
    except TypeError:  # numpy has no such type
        return "a type that numpy doesn't have"


def stored_values(
    file: h5py.File, name: str, dtype: type[np.generic], free: int = FREE_BYTES
) -> h5py.Dataset:
    """Return a data set as `stored_dataset` does, if it is an array (n,) of this dtype in any byte order.

    Raises
    ------
    ValueError
        If it is not.
    """
    dataset = stored_dataset(file, name, free)
    if dataset.ndim != 1:
        raise ValueError(f"`{name}` must be of shape (n,), got {dataset.shape}")
    _check_plain(dataset, name)
    if dataset.dtype.newbyteorder("=") != np.dtype(dtype):
        raise ValueError(f"`{name}` must be of {np.dtype(dtype)}, got {dataset.dtype}")
    return dataset


def read_attribute(dataset: h5py.Dataset, name: str) -> int | str:
    """Return an attribute that is a number or a text.

    Raises
    ------
    ValueError
        If there is none, or if it is something else.
    """
    owner = dataset.name.strip("/")
    if not h5py.h5a.exists(dataset.id, name.encode()):
        raise ValueError(f"`{owner}` has no attribute `{name}`")
    found = h5py.h5a.open(dataset.id, name.encode())
    stored = found.get_type()
    number = stored.get_class() == h5py.h5t.INTEGER and stored.get_size() <= MAX_CHECKSUM_BYTES
    text = stored.get_class() == h5py.h5t.STRING and stored.is_variable_str()
    if found.shape != () or not (number or text):
        raise ValueError(f"`{owner}` has an attribute `{name}` that is neither a number nor a text")
    value = dataset.attrs[name]
    return value if isinstance(value, str) else int(value)


def read_classes(dataset: h5py.Dataset, name: str, file_size: int) -> np.ndarray:
    """Return the labels of the classes: numbers, or strings, which are decoded.

    Raises
    ------
    ValueError
        If they are something else, or if the strings take more memory than the file can account for.
    """
    if dataset.ndim != 1:
        raise ValueError(f"`{name}` must be of shape (n,), got {dataset.shape}")
    if dataset.id.get_type().get_class() != h5py.h5t.STRING:
        _check_plain(dataset, name)
        return np.asarray(dataset[:])
    # Each string lies in the file once; in a forged one, all could be the same long one.
    texts: list[str] = []
    length = longest = 0
    step = max(1, FREE_BYTES // max(1, file_size))
    for start in range(0, len(dataset), step):
        block = dataset.asstr()[start : start + step].tolist()
        length += sum(map(len, block))
        longest = max(longest, *map(len, block))
        texts += block
        # As an array, all take as much as the longest one, with 4 bytes a character.
        if length > file_size or 4 * longest * len(dataset) > max(FREE_BYTES, file_size):
            raise ValueError(
                f"`{name}` holds {len(dataset)} texts, one of {longest} characters, which is more than the"
                " names of classes take"
            )
    return np.array(texts, dtype=str)


def rows_at_once(dataset: h5py.Dataset, most: int, most_bytes: int | None = None) -> int:
    """Return how many samples to read at once, to use little memory: no more than `most`."""
    most_bytes = FREE_BYTES if most_bytes is None else most_bytes
    size = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    return max(1, min(most, most_bytes // max(1, size)))


def check_booleans(values: Any, name: str) -> None:
    """Raise ValueError if a byte of booleans is neither 0 nor 1, of which numpy would make anything."""
    if values.dtype.kind == "b" and values.size and values.view(np.uint8).max() > 1:
        raise ValueError(f"`{name}` holds booleans that are neither true nor false")
