"""Functional dependencies: which columns of a table another one determines, as a code does its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ganaug.data.column_data import ColumnData, iter_columns, to_python
from ganaug.data.columns import Column, cast_integers, category_codes, column_numbers

# Two columns that are independent of each other look dependent with less than this probability.
MAX_CHANCE_PROBABILITY = 1e-9
# Most pairs of columns are ruled out by their first rows alone.
SCREENING_ROWS = 1000


def find_determinants(columns: Sequence[np.ndarray], candidates: Sequence[bool]) -> list[int | None]:
    """Return for each column the place of one that determines it, and that none determines itself.

    Column a determines column b if rows of one value of a never differ in b, and would if a had nothing
    to do with b. Of two columns that determine each other, the first is the determinant.

    Parameters
    ----------
    columns : sequence of ndarray of shape (n,)
        Each as numbers that are equal where its values are.
    candidates : sequence of bool
        Whether a column may be a determinant.
    """
    screened = np.stack([column[:SCREENING_ROWS] for column in columns])
    determinants: list[set[int]] = [set() for _ in columns]  # of each column
    for a in np.flatnonzero(candidates).tolist():
        _, first, inverse = np.unique(screened[a], return_index=True, return_inverse=True)
        if len(first) == len(columns[a]):  # each value is in one row, which says nothing of another column
            continue
        for b in np.flatnonzero((screened == screened[:, first[inverse]]).all(1)).tolist():
            if a != b and _depends_on(columns[b], columns[a]):
                determinants[b].add(a)
    dependents: set[int] = set()
    for b in reversed(range(len(columns))):
        if determinants[b] - dependents:
            dependents.add(b)
    return [
        min(found - dependents, default=None) if b in dependents else None
        for b, found in enumerate(determinants)
    ]


def _depends_on(b: np.ndarray, a: np.ndarray) -> bool:
    _, first, inverse, counts = np.unique(a, return_index=True, return_inverse=True, return_counts=True)
    if (b != b[first[inverse]]).any():
        return False
    shares = np.unique(b, return_counts=True)[1] / len(b)
    with np.errstate(divide="ignore"):  # a probability too small for a float is small enough
        # That the rows of each value of a are alike in b, were b drawn independently.
        log_chance = np.log((shares ** counts[:, None]).sum(1))
    return bool(log_chance.sum() < np.log(MAX_CHANCE_PROBABILITY))


def attach_dependencies(columns: list[Column], X: Any) -> list[Column]:
    """Return the columns; those that another one determines with its place, and a table to look them up."""
    data = list(iter_columns(X))
    keys = [_as_sortable(column, part) for column, part in zip(columns, data, strict=True)]
    found = find_determinants(keys, [column.is_discrete for column in columns])
    attached = list(columns)
    for place, determinant in enumerate(found):
        if determinant is None:
            continue
        rows = np.unique(keys[determinant], return_index=True)[1]  # one for each value of the determinant
        levels = _values_at(columns[determinant], data[determinant], rows)
        value_of = dict(zip(levels, _values_at(columns[place], data[place], rows), strict=True))
        levels = [*columns[determinant].values, None][: columns[determinant].n_levels]
        lookup = [value_of[level] for level in levels]
        attached[place] = replace(columns[place], determinant=determinant, lookup=lookup)
    return attached


def _as_sortable(column: Column, data: ColumnData) -> np.ndarray:
    """Return a column as numbers that are equal where its values are, missing ones too."""
    if column.is_numeric:
        return np.where(data.missing, np.inf, column_numbers(column, data))
    return category_codes(column, data.values, data.missing).astype(np.float64)


def _values_at(column: Column, data: ColumnData, rows: np.ndarray) -> list[Any]:
    """Return the values of some rows as `Column.values` has them, None for missing ones."""
    values, missing = data.values[rows], data.missing[rows]
    if column.is_numeric:
        values = column_numbers(column, data._replace(values=values, missing=missing))
    return [None if gone else value for value, gone in zip(to_python(values), missing, strict=True)]


def lookup_dependent(
    column: Column, determinant: Column, values: np.ndarray, missing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column, and which are missing, from those of the column that determines it."""
    if determinant.is_numeric:  # discrete numbers, which were rounded since: the nearest is meant
        nearest = np.abs(values.astype(float)[:, None] - determinant.values).argmin(1)
        codes = np.where(missing, len(determinant.values), nearest)
    else:
        codes = category_codes(determinant, values, missing)
    is_none = np.array([value is None for value in column.lookup])
    if column.is_numeric:
        numbers = np.array([0.0 if value is None else value for value in column.lookup])
        return cast_integers(column, numbers[codes]), is_none[codes]
    return np.array(column.lookup, dtype=object)[codes], is_none[codes]
