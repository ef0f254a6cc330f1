"""Synthetic data sets on disk: write_hdf5 streams one, HDF5Dataset reads it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ganaug.data import (
    HDF5_CLASSES,
    HDF5_IMAGES,
    HDF5_LABELS,
    HDF5_SYNTHETIC,
    Sampler,
    check_labels,
    check_sampler,
    label_indices,
    per_class,
)

BLOCK = 1024  # rows, about: what is generated and written at once
HDF5_WEIGHTS = "weights"
CHUNK = 16  # rows in an HDF5 chunk; larger ones make random reads several times slower


class Counts(Protocol):
    """What of a `Recommendation` is of use here."""

    to_add: Mapping[Any, int]


def write_hdf5(
    sampler: Sampler,
    path: str | Path,
    counts: int | Mapping[Any, int] | Counts,
    *,
    real: tuple[Any, Any] | None = None,
    sample_weight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    random_state: int | None = None,
    overwrite: bool = False,
    verbose: bool = False,
) -> Path:
    """Write a synthetic data set, block by block.

    The file holds ``images`` (N, H, W, C), ``labels`` (N,) int64, indices into ``classes``,
    ``synthetic`` (N,) bool, and attributes for the seed and the version of ganaug. The classes of
    synthetic rows are mixed evenly over it. Until it is whole it stands beside `path` under a name
    that ends in ``.partial``.

    Parameters
    ----------
    sampler : Sampler
        A fitted `ConditionalGAN`, or anything with ``classes_`` and ``sample``.
    path : path
        The file to write.
    counts : int, dict of label to int, or Recommendation
        Synthetic rows for each class, or for the classes named.
    real : (X, y), optional
        Real rows of the same kind and their labels, to stand first in the file.
    sample_weight : callable, optional
        ``sample_weight(labels, synthetic) -> weights``, of original labels; such as that of a
        `Recommendation`. Its weights are written too, as ``weights`` (N,) float64.
    random_state : int, optional
        The same seed writes the same images.
    overwrite : bool
        Replace an existing file.
    verbose : bool
        Show a progress bar, on terminals only.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    FileExistsError
        If `path` exists and `overwrite` is False.
    ValueError
        If `counts` names an unknown class, or neither it nor `real` holds a row; or if real rows
        are not of the kind of synthetic ones.
    """
    path = Path(path)
    check_target(path, overwrite)
    check_sampler(sampler)
    numbers = per_class(getattr(counts, "to_add", counts), sampler.classes_)
    if random_state is not None and not (isinstance(random_state, int) and 0 <= random_state < 2**63):
        raise ValueError(f"`random_state` must be an int from 0 to 2**63 - 1 or None, got {random_state!r}.")
    X, known = None, np.empty(0, np.int64)
    if real is not None:
        X, y = real
        X = X if isinstance(X, Tensor) else np.asarray(X)
        known = label_indices(check_labels(y, len(X)), sampler.classes_, "real")
    n = len(known) + int(numbers.sum())
    if n == 0:
        raise ValueError("`counts` asks for no rows at all.")
    seed = int(np.random.SeedSequence(random_state).generate_state(1)[0])
    partial = path.with_name(path.name + ".partial")
    try:
        with h5py.File(partial, "w") as file:
            file[HDF5_CLASSES] = _storable(sampler.classes_)
            file.attrs["seed"] = -1 if random_state is None else random_state
            file.attrs["ganaug"] = version("ganaug")
            labels = file.create_dataset(HDF5_LABELS, (n,), np.int64)
            synthetic = file.create_dataset(HDF5_SYNTHETIC, (n,), bool)
            start = 0
            blocks = itertools.chain(_real_blocks(X, known), _synthetic_blocks(sampler, numbers, seed))
            with tqdm(total=n, desc="writing", disable=None if verbose else True) as bar:
                for rows, own in blocks:
                    if start == 0:
                        chunks = (min(CHUNK, n), *rows.shape[1:])
                        images = file.create_dataset(
                            HDF5_IMAGES, (n, *rows.shape[1:]), rows.dtype, chunks=chunks
                        )
                    _check_alike(rows, images)
                    block = slice(start, start + len(rows))
                    images[block], labels[block], synthetic[block] = rows, own, start >= len(known)
                    start += len(rows)
                    bar.update(len(rows))
            if sample_weight is not None:
                weights = sample_weight(sampler.classes_[labels[:]], synthetic[:])
                file.create_dataset(HDF5_WEIGHTS, (n,), np.float64, data=weights)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path


def check_target(path: Path, overwrite: bool) -> None:
    """Raise an OSError if a file at `path` can't be written, or may not be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: pass overwrite=True (--overwrite) to replace it.")
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a folder: make it first.")


def _real_blocks(X: Any, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(labels), BLOCK):
        block = slice(start, start + BLOCK)
        yield _channels_last(X[block]), labels[block]


def _synthetic_blocks(
    sampler: Sampler, numbers: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    n_blocks = -(-int(numbers.sum()) // BLOCK)
    for block, labels in enumerate(_label_blocks(numbers, n_blocks, seed)):
        rows = sampler.sample(sampler.classes_[labels], random_state=_block_seed(seed, block))
        yield _channels_last(rows), labels


def _check_alike(rows: np.ndarray, images: h5py.Dataset) -> None:
    """Raise ValueError unless `rows` are of the kind of those before: real ones, if there are any."""
    if (rows.dtype, rows.shape[1:]) != (images.dtype, images.shape[1:]):
        raise ValueError(
            f"`real` must hold rows like those of `sampler`, {rows.dtype} {rows.shape[1:]}, got"
            f" {images.dtype} {images.shape[1:]}."
        )


def _label_blocks(numbers: np.ndarray, n_blocks: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the class indices of each block: every class evenly over the blocks, shuffled within."""
    # Each class has a phase of its own, so that rare ones don't all fall into the same block.
    phase = np.arange(len(numbers)) * n_blocks // len(numbers)
    for block in range(n_blocks):
        upto, before = ((numbers * b + phase) // n_blocks for b in (block + 1, block))
        labels = np.repeat(np.arange(len(numbers)), upto - before)
        yield np.random.default_rng([seed, block]).permutation(labels)


def _block_seed(seed: int, block: int) -> int:
    return int(np.random.SeedSequence([seed, block]).generate_state(1)[0])


def _channels_last(rows: Any) -> np.ndarray:
    if isinstance(rows, Tensor):
        rows = rows.permute(0, 2, 3, 1).numpy() if rows.ndim == 4 else rows.numpy()
    return rows


def _storable(classes: np.ndarray) -> np.ndarray:
    return classes.astype(h5py.string_dtype()) if classes.dtype.kind in "US" else classes


class HDF5Dataset(Dataset):
    """A data set that `write_hdf5` wrote, as a torch Dataset of (image, class index).

    The file is opened when a process first reads from it, so the data set can be pickled and
    shared with the workers of a DataLoader.

    Parameters
    ----------
    path : path
    transform : callable, optional
        Called with the image, a Tensor (C, H, W).

    Attributes
    ----------
    classes : list
        Original labels; an item's int is an index into it.
    targets : ndarray of shape (n,), int64
        The class index of each item.
    synthetic : ndarray of shape (n,), bool
        Which items are synthetic.
    sample_weight : ndarray of shape (n,), or None
        By which to draw them, where the file says so.
    """

    def __init__(self, path: str | Path, transform: Any = None) -> None:
        self.path = Path(path)
        self.transform = transform
        self._file: h5py.File | None = None
        self._pid = -1
        try:
            with h5py.File(self.path, "r") as file:
                classes = file[HDF5_CLASSES]
                self.classes = (classes.asstr() if h5py.check_string_dtype(classes.dtype) else classes)[
                    :
                ].tolist()
                self.targets = file[HDF5_LABELS][:]
                self.synthetic = file[HDF5_SYNTHETIC][:]
                self.sample_weight = file[HDF5_WEIGHTS][:] if HDF5_WEIGHTS in file else None
        except FileNotFoundError:
            raise
        except (OSError, KeyError) as exc:
            raise ValueError(f"{path} is not a data set that write_hdf5 wrote: {exc}") from exc

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images")
        index = index % len(self)
        row = torch.from_numpy(self._open()[HDF5_IMAGES][index])
        image = row[None] if row.ndim == 2 else row.permute(2, 0, 1)
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self.targets[index])

    def _open(self) -> h5py.File:
        if self._file is None or self._pid != os.getpid():
            self._file, self._pid = h5py.File(self.path, "r"), os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}
