"""Columns of integers that only name the rows: a user is told of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ganaug.data.column_data import ColumnData, iter_columns
from ganaug.data.dtypes import numpy_dtype
from ganaug.data.user_warnings import warn_user

# In fewer rows all integers of an ordinary column may well differ, and be in order.
MIN_ROWS = 50
# Of a column that numbers the rows, most numbers in its range are taken.
MAX_RANGE_PER_ROW = 2


def warn_of_identifiers(X: Any) -> None:
    """Warn of each column of a table that looks like an identifier.

    That is one of integers that all differ, and that either take most numbers of their range, or ascend
    or descend from row to row.

    Parameters
    ----------
    X : ndarray of shape (n, n_features), or pandas DataFrame
    """
    for data in iter_columns(X) if len(X) >= MIN_ROWS else ():
        if _is_identifier(data):
            warn_user(
                f"Column {data.name!r} of `X` looks like an identifier: its integers all differ, and"
                " are in order or without gaps. It is learned like any other number. If it only names the"
                f" rows, drop it before fit: {data.how_to_drop}.",
            )


def _is_identifier(data: ColumnData) -> bool:
    storage = numpy_dtype(data.dtype)
    if not isinstance(storage, np.dtype) or storage.kind not in "iu" or data.missing.any():
        return False
    numbers = data.values.astype(storage)
    ascending = np.sort(numbers)
    if (ascending[1:] == ascending[:-1]).any():
        return False
    dense = int(ascending[-1]) - int(ascending[0]) < MAX_RANGE_PER_ROW * len(numbers)
    return dense or np.array_equal(numbers, ascending) or np.array_equal(numbers[::-1], ascending)


@contextmanager
def without_identifier_warnings() -> Iterator[None]:
    """Fit parts of a table, or the same one again, in the body: the user is told of the whole, once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Column .* looks like an identifier")
        yield
