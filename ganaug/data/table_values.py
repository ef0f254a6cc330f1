"""TableValues: rows of a table as vectors whose distances and means make sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganaug.data.columns import Column, numbers_from_scores
from ganaug.data.tables import TableCodec

# Of a category that a row has. So two rows of different categories are at a distance of 1, about that of
# numbers of two random rows.
CATEGORY_VALUE = 0.5**0.5


class _Place(NamedTuple):
    """Where a column is: its encoded columns, the first of its values, and its encoded "missing", if any."""

    column: Column
    encoded: slice
    values: slice
    missing: int | None


class TableValues:
    """Translate encoded rows to numbers in standard deviations and one-hot categories, and back.

    An encoded number is the normal score of its rank, which bends what is linear in the numbers. What a row
    lacks is not part of its values.

    Parameters
    ----------
    codec : TableCodec
    rows : Tensor of shape (n, n_encoded)
        Encoded rows, whose means and standard deviations are taken.
    """

    def __init__(self, codec: TableCodec, rows: Tensor) -> None:
        self.codec = codec
        self.places: list[_Place] = list(_places(codec))
        self.n_values: int = self.places[-1].values.stop
        # Of large numbers that differ little, float32 has no digits left.
        self.mean: Tensor = torch.zeros(self.n_values, dtype=torch.float64)
        self.scale: Tensor = torch.ones(self.n_values, dtype=torch.float64)
        values, known = self._numbers(rows), self.known(rows)
        for place in self.places:
            if place.column.is_numeric:
                i = place.values.start
                own = values[known[:, i], i]
                self.mean[i], spread = own.mean(), own.std(correction=0)
                self.scale[i] = spread if spread > 0 else 1.0

    def values(self, rows: Tensor) -> Tensor:
        """Return encoded rows (n, n_encoded) as values (n, n_values)."""
        return ((self._numbers(rows) - self.mean) / self.scale).float()

    def _numbers(self, rows: Tensor) -> Tensor:
        values = torch.empty(len(rows), self.n_values, dtype=torch.float64)
        for column, encoded, own, _ in self.places:
            if column.is_numeric:
                numbers = numbers_from_scores(column, rows[:, encoded.start].numpy())
                values[:, own.start] = torch.from_numpy(numbers)
            else:
                values[:, own] = (rows[:, encoded] + 1) / 2 * CATEGORY_VALUE
        return values

    def known(self, rows: Tensor) -> Tensor:
        """Return which values of encoded rows are neither missing nor new, (n, n_values), bool."""
        known = torch.ones(len(rows), self.n_values, dtype=torch.bool)
        for column, encoded, own, missing in self.places:
            if not column.is_numeric:
                known[:, own] = (rows[:, encoded] > 0).any(1, keepdim=True)
            elif missing is not None:
                known[:, own.start] = rows[:, missing] < 0
        return known

    def encoded(self, values: Tensor) -> Tensor:
        """Return values (n, n_values) as encoded rows (n, n_encoded) that lack nothing.

        Numbers become such as the column may hold.
        """
        values = values.double() * self.scale + self.mean
        rows = torch.full((len(values), *self.codec.shape), -1.0)
        for column, encoded, own, missing in self.places:
            if column.is_numeric:
                numbers = values[:, own.start].numpy()
                knots = np.array(column.values, float)
                if column.is_discrete:
                    numbers = knots[np.abs(numbers[:, None] - knots).argmin(1)]
                rows[:, encoded.start] = torch.from_numpy(np.interp(numbers, knots, column.scores)).float()
                if missing is not None:
                    rows[:, missing - 1] = 1.0
            else:
                rows[:, encoded] = (2 * values[:, own] / CATEGORY_VALUE - 1).clamp(-1, 1).float()
        return rows

    def spread(self, cells: Any) -> Tensor:
        """Return a mask of columns (n, n_columns) as one of values (n, n_values)."""
        mask = torch.empty(len(cells), self.n_values, dtype=torch.bool)
        for i, place in enumerate(self.places):
            mask[:, place.values] = torch.from_numpy(cells[:, i : i + 1])
        return mask


def _places(codec: TableCodec) -> Iterator[_Place]:
    start = first = 0
    for column in codec.columns:
        n_values = 1 if column.is_numeric else len(column.values)
        end = start + column.is_numeric + column.n_categories
        yield _Place(
            column,
            slice(start, start + n_values),
            slice(first, first + n_values),
            None if column.missing is None else end - 1,
        )
        start, first = end, first + n_values
