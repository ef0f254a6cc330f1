"""write_hdf5: streams synthetic rows to a file, block by block, so that a run can be killed and resumed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from torch import Tensor

from ganaug.data.containers import as_container, is_dataframe, take
from ganaug.data.labels import check_labels, label_indices
from ganaug.data.protocol import ConditionalGenerator
from ganaug.io.hdf5 import (
    LAYOUTS,
    checksum,
)
from ganaug.io.records import Columns


class BlockPlan:
    """The rows of a file in blocks, each of which can be made at any time: real ones, then synthetic."""

    def __init__(
        self,
        gan: ConditionalGenerator,
        numbers: np.ndarray,
        real: tuple[Any, Any] | None,
        layout: str,
        size: int,
    ) -> None:
        self.gan, self.numbers, self.layout, self.size = gan, numbers, layout, size
        self.seed = 0
        self._kept: tuple[int, np.ndarray] | None = None
        self.columns: Columns | None = None  # of DataFrames
        self.real: Any = None
        self.real_labels = np.empty(0, np.int64)
        if real is not None:
            X, y = real
            self.real = as_container(X)
            self.real_labels = label_indices(
                check_labels(y, len(X), "real[1]", "real[0]"), gan.classes_, "real[1]"
            )
        total = int(numbers.sum())
        self.n_rows = len(self.real_labels) + total
        self.n_real = -(-len(self.real_labels) // size)
        self.n_synthetic = -(-total // size)
        # Each class that gets any has a phase of its own, so that rare ones don't all fall into the
        # same block.
        self._phase = np.zeros_like(numbers)
        present = np.flatnonzero(numbers)
        self._phase[present] = np.arange(len(present)) * self.n_synthetic // max(1, len(present))

    def __len__(self) -> int:
        return self.n_real + self.n_synthetic

    def start(self, number: int) -> int:
        """Return the first row of a block."""
        if number < self.n_real:
            return number * self.size
        return len(self.real_labels) + int(self._before(number - self.n_real).sum())

    def n_rows_of(self, number: int) -> int:
        """Return how many rows a block has: none, it may be, where classes get a row or two each."""
        return self.start(number + 1) - self.start(number)

    def rows(self, number: int) -> np.ndarray:
        """Return a block's rows as they are stored."""
        if self._kept is not None and self._kept[0] == number:
            (_, rows), self._kept = self._kept, None
            return rows
        if number < self.n_real:
            return self._stored(take(self.real, slice(number * self.size, (number + 1) * self.size)))
        seed = int(np.random.SeedSequence([self.seed, number - self.n_real]).generate_state(1)[0])
        return self._stored(self.gan.sample(self.gan.classes_[self.labels(number)], random_state=seed))

    def first_rows(self) -> np.ndarray:
        """Return the rows of the first synthetic block, if there is one; they are kept for `rows`."""
        number = next(
            k for k in range(self.n_real if self.n_synthetic else 0, len(self)) if self.n_rows_of(k)
        )
        self._kept = number, self.rows(number)
        return self._kept[1]

    def labels(self, number: int) -> np.ndarray:
        """Return the class indices of a block."""
        if number < self.n_real:
            return self.real_labels[number * self.size : (number + 1) * self.size]
        number -= self.n_real
        labels = np.repeat(np.arange(len(self.numbers)), self._before(number + 1) - self._before(number))
        return np.random.default_rng([self.seed, number]).permutation(labels)

    def real_digest(self) -> str:
        """Return what tells one set of real rows from another."""
        sums = (checksum(self.rows(number)) for number in range(self.n_real))
        words = hashlib.sha256(self.real_labels.tobytes()).hexdigest()[:16]
        return f"{len(self.real_labels)} rows {sum(sums) % 2**64:016x} {words}"

    def _before(self, number: int) -> np.ndarray:
        """Return how many rows of each class stand before a synthetic block."""
        return (self.numbers * number + self._phase) // max(self.n_synthetic, 1)

    @property
    def key(self) -> str:
        """The name of the rows in a file, once some have been made."""
        return LAYOUTS[self.layout]

    def _stored(self, rows: Any) -> np.ndarray:
        if is_dataframe(rows) or rows.ndim == 2:
            self.layout = "table"
        if is_dataframe(rows):
            if self.columns is None:
                self.columns = Columns.of(rows)
            return self.columns.pack(rows)
        if not isinstance(rows, Tensor) and rows.dtype.kind not in "biuf":
            raise ValueError(
                f"`gan` makes rows of dtype {rows.dtype}, which have no place in a file: fit a DataFrame."
            )
        if isinstance(rows, Tensor):
            rows = rows.permute(0, 2, 3, 1).numpy() if rows.ndim == 4 else rows.numpy()
        if self.layout == "nchw":
            return rows[:, None] if rows.ndim == 3 else rows.transpose(0, 3, 1, 2)
        return rows
