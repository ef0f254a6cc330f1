"""The samples of one call of `fit`: what networks are trained on, and what of it a model keeps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ganaug.data.containers import take
from ganaug.data.images import ImageCodec
from ganaug.io.file_images import FileImages
from ganaug.io.hdf5_rows import HDF5Rows
from ganaug.io.image_rows import ImageRows
from ganaug.model.parameters import AnyCodec


def prepare(X: Any, codec: AnyCodec, stored_images: str) -> tuple[Any, Any]:
    """Return copies of samples: what networks are trained on, and what new samples are made of.

    They are the same but for large images. Files and items of a Dataset are read here for the first time,
    few at once. Images that stay on disk are not copied.
    """
    if not isinstance(codec, ImageCodec):
        X = codec.prepare(X)
        return X, X
    if not codec.is_reduced:
        if not stays_on_disk(X):
            X = codec.prepare(X[:] if isinstance(X, ImageRows) else X)
        return X, X
    working = codec.reduce(X)
    if stored_images == "reduced":
        return working, working
    return working, X if isinstance(X, ImageRows) else codec.prepare(X)


class Samples(NamedTuple):
    """Samples as networks are trained on them, as new ones are made of them, and their class indices."""

    X: Any
    rows: Any
    labels: np.ndarray

    def subset(self, which: np.ndarray) -> Samples:
        """Return the samples at some indices (n,)."""
        X = take(self.X, which)
        return Samples(X, X if self.rows is self.X else take(self.rows, which), self.labels[which])

    def kept(self, most: int | None, seed: int) -> Samples:
        """Return what a model keeps: at random at most so many samples of each class, in memory."""
        chosen = self
        if most is not None and np.bincount(self.labels).max() > most:
            order = np.random.default_rng(seed).permutation(len(self.labels))
            order = order[np.argsort(self.labels[order], kind="stable")]  # by class, shuffled within each
            counts = np.bincount(self.labels)
            place = np.arange(len(order)) - np.repeat(counts.cumsum() - counts, counts)
            chosen = self.subset(np.sort(order[place < most]))
        if isinstance(chosen.rows, FileImages):
            chosen = chosen._replace(rows=chosen.rows.stored())
        if not stays_on_disk(chosen.X):
            return chosen
        X = chosen.X[:] if isinstance(chosen.X, ImageRows) else np.array(chosen.X)
        return chosen._replace(X=X, rows=X if chosen.rows is chosen.X else chosen.rows)


def stays_on_disk(X: Any) -> bool:
    """Return whether images are read from a file when asked for: nobody changes them in memory."""
    if isinstance(X, HDF5Rows):
        return True
    owner = X
    while isinstance(getattr(owner, "base", None), np.ndarray):
        owner = owner.base
    return isinstance(owner, np.memmap) and owner.mode == "r"
