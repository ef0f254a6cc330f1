"""The columns of a table in a file, whoever wrote it: each entry checked for what `fit` makes of it."""

from __future__ import annotations

import itertools
import math
import re
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from ganaug.data.columns import MAX_CATEGORIES, MAX_DECIMALS, Column
from ganaug.data.dates import MAX_EXACT_INT, is_date_dtype
from ganaug.data.dtypes import pandas_dtype
from ganaug.data.relations import MAX_COLUMNS, OPERATIONS, may_be_related

# Names of dtypes in a file: of a table that is an ndarray, and of a sparse column, whose fill value is
# evaluated and may hold no brackets.
ARRAY_DTYPES = r"bool|u?int(?:8|16|32|64)|float(?:16|32|64)|object|<U(\d{1,9})"
SPARSE_DTYPES = r"Sparse\[\w+, [^][{}]{1,60}\]"
# Of an ndarray's strings, in characters; those of its own may be longer.
MAX_STRING_WIDTH = 4096
# So that a number can be counted in units of its last decimal.
MAX_KNOT = 1e300


def _are_levels(values: Any) -> bool:
    """Return whether this is a list of different values that a category may have."""
    known = type(values) is list and set(map(type, values)) <= {str, int, float, bool}
    return known and len(set(values)) == len(values) and all(value == value for value in values)


def _are_intervals(values: Any) -> bool:
    """Return whether this is a list of ascending intervals of ranks, as shares of all rows."""
    if type(values) is not list or not set(map(type, values)) <= {list} or not set(map(len, values)) <= {2}:
        return False
    bounds = list(itertools.chain.from_iterable(values))
    if not set(map(type, bounds)) <= {float}:
        return False
    ascending = np.array([0.0, *bounds, 1.0])
    middles = ascending[1:-1].reshape(-1, 2).mean(1)
    # The normal score of a middle is finite.
    return bool(np.all(ascending[1:] >= ascending[:-1]) and np.all((middles > 0) & (middles < 1)))


def _is_relation(value: Any) -> bool:
    """Return whether this is an operation and the places of its columns: two, or more of a sum."""
    if type(value) is not list or not 3 <= len(value) <= MAX_COLUMNS:
        return False
    operation, *places = value
    known = type(operation) is str and operation in OPERATIONS and (operation == "sum" or len(places) == 2)
    return known and all(map(_is_int(0, 2**31), places)) and len(set(places)) == len(places)


def _is_int(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


# What each attribute of a `Column` may be in a file.
_FIELD_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: type(value) in (str, int),
    "dtype": lambda value: type(value) is str and len(value) <= 200,
    "values": _are_levels,
    "rank_intervals": _are_intervals,
    "decimals": lambda value: value is None or _is_int(0, MAX_DECIMALS - 1)(value),
    "resolution": _is_int(1, 2 * MAX_EXACT_INT),
    "missing": lambda value: value in (None, "nan", "None", "NA"),
    "categories": lambda value: value is None or _are_levels(value),
    "ordered": lambda value: type(value) is bool,
    "python_int": lambda value: type(value) is bool,
    "determinant": lambda value: value is None or (type(value) is int and value >= 0),
    "lookup": lambda value: type(value) is list,
    "relation": lambda value: value is None or _is_relation(value),
    "categories_dtype": lambda value: value is None or (type(value) is str and len(value) <= 200),
    "origin": lambda value: value is None or _is_int(-(2**63) + 1, 2**63 - 1)(value),
    "step": _is_int(1, 2**63 - 1),
    "not_before": lambda value: type(value) is list and all(map(_is_int(0, 2**31), value)),
}
# Entries that a file has only where they say something, so that other columns are written as ever.
_OPTIONAL: dict[str, Any] = {
    "relation": None,
    "categories_dtype": None,
    "origin": None,
    "step": 1,
    "not_before": [],
}


def column_to_config(column: Column) -> dict[str, Any]:
    """Return the attributes of a column as a file has them."""
    return {k: v for k, v in asdict(column).items() if k not in _OPTIONAL or v != _OPTIONAL[k]}


def column_from_config(config: dict[str, Any]) -> Column:
    """Restore a column from its attributes in a file, or raise ValueError if one is not as `fit` makes it."""
    if wrong := (config.keys() | _OPTIONAL.keys()) ^ {part.name for part in fields(Column)}:
        raise ValueError(f"a column that lacks, or should lack, the entries {reprlib.repr(sorted(wrong))}")
    config = {**_OPTIONAL, **config}
    for name, is_valid in _FIELD_CHECKS.items():
        if not is_valid(config[name]):
            raise ValueError(
                f"column {reprlib.repr(config['name'])} with {name} {reprlib.repr(config[name])}"
            )
    column = Column(**config)
    knots = column.values
    if column.is_numeric:
        valid = set(map(type, knots)) == {float} and len(knots) == len(column.rank_intervals)
        if not valid or not np.all(np.abs(knots) < MAX_KNOT) or knots != sorted(knots):
            raise ValueError(f"column {column.name!r} with {len(knots)} knots that don't fit their ranks")
    elif len(knots) > MAX_CATEGORIES or not column.n_levels:
        raise ValueError(f"column {column.name!r} with {len(knots)} categories")
    if column.origin is not None and not _are_dates(column, column.origin):
        raise ValueError(f"column {column.name!r} with dates that no dtype can hold")
    return column


def _are_dates(column: Column, origin: int) -> bool:
    """Return whether the numbers of a column, steps from `origin`, are dates."""
    if not column.is_numeric or (column.decimals, column.resolution) != (0, 1):
        return False
    return column.values[0] >= 0 and origin + column.step * round(column.values[-1]) < 2**63


def check_lookup(column: Column, determinant: Column) -> None:
    """Raise ValueError unless a column that was read can be looked up by its determinant's values."""
    found = [value for value in column.lookup if value is not None]
    if column.is_numeric:
        valid = all(type(value) is float and math.isfinite(value) for value in found)
        if column.origin is not None:
            valid = valid and all(0 <= value <= column.values[-1] for value in found)
    else:
        valid = all(type(value) in (str, int, float, bool) for value in found)
        valid = valid and set(found) <= set(column.values)
    whole = len(found) == len(column.lookup) or column.missing is not None
    if determinant.determinant is not None or len(column.lookup) != determinant.n_levels or not valid & whole:
        raise ValueError(f"column {column.name!r} is not determined by {determinant.name!r}")


def check_relation(column: Column, relation: list[Any], columns: Sequence[Column]) -> None:
    """Raise ValueError unless a column that was read can be computed from those that `relation` names."""
    places = relation[1:]
    of = [columns[place] for place in places if place < len(columns)]
    if len(of) != len(places) or not all(map(may_be_related, [column, *of])):
        raise ValueError(f"column {column.name!r} is computed from columns {places}")


def check_dtypes(columns: list[Column], dtype: Any) -> None:
    """Raise ValueError unless these are dtypes that a table of such columns may have had in fit.

    `dtype` is that of an ndarray, or None for a DataFrame, whose columns have their own.
    """
    if dtype is not None:
        # A wider dtype than all strings would only take memory.
        longest = max(
            len(value) for column in columns for value in [*column.values, ""] if type(value) is str
        )
        widths = re.fullmatch(ARRAY_DTYPES, dtype) if type(dtype) is str else None
        if widths is None or int(widths[1] or 0) > max(longest, MAX_STRING_WIDTH):
            raise ValueError(f"a table of dtype {reprlib.repr(dtype)}")
    for place, column in enumerate(columns):
        if dtype is not None:
            valid = column.dtype == dtype and column.name == place and column.categories is None
        else:
            valid = _fits_dtype(column)
        if not valid:
            raise ValueError(f"column {column.name!r} of dtype {reprlib.repr(column.dtype)}")


def _fits_dtype(column: Column) -> bool:
    """Return whether a DataFrame's column of this dtype may hold such values."""
    categorical = column.categories is not None
    if categorical != (column.dtype == "category") or (
        column.categories_dtype is not None and not categorical
    ):
        return False
    if column.categories is not None and not set(column.values) <= set(column.categories):
        return False
    if column.dtype.startswith("Sparse[") and re.fullmatch(SPARSE_DTYPES, column.dtype) is None:
        return False
    dtype = pandas_dtype(column.dtype, column.categories, column.ordered, column.categories_dtype)
    if column.origin is not None or is_date_dtype(dtype):  # a column without a date has no first one
        return is_date_dtype(dtype) and (column.origin is not None or not column.values)
    dtype = getattr(dtype, "subtype", dtype)
    return not isinstance(dtype, np.dtype) or dtype.kind in "biufO"


def column_kind(column: Column) -> tuple[Any, ...]:
    """Return what decides whether the values of a column can take its dtype."""
    types = frozenset(map(type, column.values))
    return (
        column.dtype,
        column.is_numeric,
        column.missing,
        column.python_int,
        column.categories is None,
        column.categories_dtype,
        column.origin is None,
        types,
    )
