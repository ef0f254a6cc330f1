"""One column of a table: what is learned of it, and its values as numbers, categories and scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri

from ganaug.data.column_data import ColumnData, to_python
from ganaug.data.containers import column_name, missing_token
from ganaug.data.dates import (
    MAX_EXACT_INT,
    clock_dtype,
    find_step,
    from_steps,
    time_zone,
    to_steps,
)
from ganaug.data.dtypes import describe_dtype, numpy_dtype, pandas_dtype

# A column's distribution is kept as so many knots; what lies between two is interpolated.
N_QUANTILES = 1000
# A column of no more distinct numbers is discrete: between them there are none.
MAX_DISCRETE = 20
MAX_CATEGORIES = 1000
# Strings of which a larger share differ are names of rows: a model could only repeat them.
MAX_DISTINCT_SHARE = 0.95
# Numbers with more decimals are measured ones: to round them would gain nothing.
MAX_DECIMALS = 6
# Names of types that hold dates, and that a column of objects may have.
DATE_TYPES = {"date", "datetime", "Timestamp", "timedelta", "Timedelta"}


@dataclass(frozen=True)
class Column:
    """How one column is encoded.

    Attributes
    ----------
    name : str or int
    dtype : str
        Of a DataFrame's column.
    values : list
        The categories; or the knots, distinct numbers in ascending order. Dates are numbers of steps.
    rank_intervals : list of (float, float)
        The ranks that are decoded to each knot, as shares of all rows. The knot is encoded as the normal
        score of the middle of its interval. Empty for categories.
    decimals : int or None
        Numbers are rounded to so many decimals; None if they are not rounded.
    resolution : int
        Rounded numbers differ by a multiple of so many units of their last decimal.
    missing : str or None
        What stands for a missing value: "nan", "None" or "NA". None if none is missing.
    categories : list or None
        All categories that the dtype of a DataFrame's categorical column allows.
    ordered : bool
        Whether that dtype is ordered.
    python_int : bool
        Whether all numbers of a column of Python objects are ints.
    determinant : int or None
        The place of the column that determines this one, and that it is decoded from.
    lookup : list
        The value of this column for each of the determinant's `values`, then for a missing one. None
        where this one is missing.
    relation : list of [str, int, int, ...], or None
        An operation, and the places of the columns of which this one is the result: two, or more of a sum.
    categories_dtype : str or None
        Of the categories, where pandas would give them another one.
    origin : int or None
        The first date of a column of dates, in units of its dtype; None for other columns.
    step : int
        The greatest time of which all dates are multiples, counted from the first.
    not_before : list of int
        The places of columns whose date, in the same row, is never later than that of this one.
    """

    name: str | int
    dtype: str
    values: list[Any]
    rank_intervals: list[list[float]]
    decimals: int | None
    resolution: int
    missing: str | None
    categories: list[Any] | None = None
    ordered: bool = False
    python_int: bool = False
    determinant: int | None = None
    lookup: list[Any] = field(default_factory=list)
    relation: list[Any] | None = None
    categories_dtype: str | None = None
    origin: int | None = None
    step: int = 1
    not_before: list[int] = field(default_factory=list)

    @property
    def is_numeric(self) -> bool:
        """Whether the column is one of numbers rather than categories."""
        return bool(self.rank_intervals)

    @property
    def is_discrete(self) -> bool:
        """Whether the column holds categories, or so few numbers that between them there are none."""
        return not self.is_numeric or len(self.values) <= MAX_DISCRETE

    @property
    def n_levels(self) -> int:
        """The number of values, where "missing" counts as one."""
        return len(self.values) + (self.missing is not None)

    @property
    def n_categories(self) -> int:
        """The number of one-hot columns: one for each category; or for a number there, and a missing one."""
        if self.is_numeric:
            return 0 if self.missing is None else 2
        return self.n_levels

    @property
    def n_possible(self) -> float:
        """How many values a synthetic row may have: of numbers all from the least to the greatest seen."""
        if not self.is_numeric:
            return self.n_levels
        if self.decimals is None:
            return math.inf
        units = (self.values[-1] - self.values[0]) * 10**self.decimals / self.resolution
        return units + 1 + (self.missing is not None)

    @cached_property
    def scores(self) -> np.ndarray:
        """The normal score that each knot is encoded as."""
        return ndtri(np.mean(self.rank_intervals, axis=1))


def fit_column(data: ColumnData) -> Column:
    """Return how a column is to be encoded."""
    token = missing_token(data.values[data.missing][0]) if data.missing.any() else None
    if data.values.dtype.kind in "mM":
        return _fit_dates(data, token)
    present = to_python(data.values[~data.missing])
    types = {type(value) for value in present}
    if not types <= {int, float, bool, str}:
        names = sorted(kind.__name__ for kind in types - {int, float, bool, str})
        advice = ", dates by pd.to_datetime" if DATE_TYPES & set(names) else ""
        raise ValueError(
            f"Column {data.name!r} of `X` must hold numbers, booleans, strings or datetime64, got"
            f" {' and '.join(names)}: convert it{advice}, or drop it: {data.how_to_drop}."
        )
    if getattr(data.dtype, "categories", None) is None and types and types <= {int, float}:
        return _fit_numeric(data, present, token, integers=types == {int})
    return _fit_categorical(data, present, token)


def _fit_numeric(data: ColumnData, present: list[Any], token: str | None, *, integers: bool) -> Column:
    numbers = as_numbers(data.name, data.values, data.missing)[~data.missing]
    if integers and np.abs(numbers).max() >= MAX_EXACT_INT:
        raise ValueError(
            f"Column {data.name!r} of `X` must hold integers below 2**53, got {max(present, key=abs)}: make"
            f" it strings; or, if it only names the rows, drop it: {data.how_to_drop}."
        )
    knots, rank_intervals = _fit_quantiles(numbers)
    decimals = next((d for d in range(MAX_DECIMALS) if _has_decimals(numbers, d, data.dtype)), None)
    return Column(
        name=column_name(data.name),
        **_described(data),
        values=knots,
        rank_intervals=rank_intervals,
        decimals=decimals,
        resolution=1 if decimals is None else _resolution(numbers, decimals),
        missing=token,
        python_int=integers and isinstance(data.dtype, np.dtype) and data.dtype.kind == "O",
    )


def _fit_dates(data: ColumnData, token: str | None) -> Column:
    if data.missing.all():
        return _fit_categorical(data, [], token)
    origin, step = find_step(data.values[~data.missing])
    numbers = to_steps(data.values, data.missing, origin, step)[~data.missing]
    knots, rank_intervals = _fit_quantiles(numbers)
    return Column(
        name=column_name(data.name),
        **_described(data),
        values=knots,
        rank_intervals=rank_intervals,
        decimals=0,
        resolution=1,
        missing=token,
        origin=origin,
        step=step,
    )


def _fit_categorical(data: ColumnData, present: list[Any], token: str | None) -> Column:
    values = sorted(set(present), key=lambda value: (type(value).__name__, value))
    if len(values) > MAX_DISCRETE and len(values) > MAX_DISTINCT_SHARE * len(present):
        raise ValueError(
            f"Column {data.name!r} of `X` holds {len(values)} different values in {len(present)} rows, as an"
            f" identifier does, which can't be learned from: drop it before fit: {data.how_to_drop}."
        )
    if len(values) > MAX_CATEGORIES:
        raise ValueError(
            f"Column {data.name!r} of `X` holds {len(values)} different values in {len(present)} rows, which"
            f" can't be learned from: group them into {MAX_CATEGORIES} categories at most, or drop it before"
            f" fit: {data.how_to_drop}."
        )
    return Column(
        name=column_name(data.name),
        **_described(data),
        values=values,
        rank_intervals=[],
        decimals=None,
        resolution=1,
        missing=token,
    )


def _described(data: ColumnData) -> dict[str, Any]:
    """Return what a `Column` says of its dtype."""
    if isinstance(data.dtype, np.dtype):  # of an array too, without pandas
        return {"dtype": str(data.dtype)}
    return describe_dtype(data.name, data.dtype)


def check_category_kind(column: Column, values: np.ndarray) -> None:
    """Raise ValueError if only these values, or only a column's categories, are strings."""
    known, got = ({isinstance(value, str) for value in part} for part in (column.values, values))
    if known and got and known.isdisjoint(got):
        raise ValueError(
            f"Column {column.name!r} of `X` must hold values such as {column.values[0]!r}, as in fit, got"
            f" {to_python(values[:1])[0]!r}."
        )


def _has_decimals(numbers: np.ndarray, decimals: int, dtype: Any) -> bool:
    """Return whether no number has more decimals, as far as the column's own dtype tells them apart."""
    storage = numpy_dtype(dtype)
    floats = isinstance(storage, np.dtype) and storage.kind == "f"
    comparison = storage if floats else np.dtype(float)
    return np.array_equal(numbers.round(decimals).astype(comparison), numbers.astype(comparison))


def _resolution(numbers: np.ndarray, decimals: int) -> int:
    """Return the greatest common divisor of the gaps between numbers, in units of their last decimal."""
    units = np.unique(numbers) * 10.0**decimals
    if np.abs(units).max() >= MAX_EXACT_INT:
        return 1
    return max(1, int(np.gcd.reduce(np.diff(units.round().astype(np.int64)), initial=0)))


def as_numbers(name: str | int, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return a column as float64, 0 where values are missing."""
    try:
        numbers = np.where(missing, 0.0, values).astype(np.float64)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"Column {name!r} of `X` must hold numbers, as in fit: {exc}") from exc
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"Column {name!r} of `X` holds infinite values: replace them, or leave their rows out."
        )
    return numbers


def column_numbers(column: Column, data: ColumnData) -> np.ndarray:
    """Return what a column of numbers holds as float64, dates as numbers of steps; 0 where they are missing.

    Raises
    ------
    ValueError
        If it holds something else than in fit.
    """
    if column.origin is None:
        return as_numbers(data.name, data.values, data.missing)
    fitted = pandas_dtype(column.dtype)
    clock = clock_dtype(fitted)
    same_kind = data.values.dtype.kind == clock.kind
    if not same_kind or time_zone(data.dtype) != time_zone(fitted):
        raise ValueError(
            f"Column {data.name!r} of `X` must hold dates of dtype {column.dtype}, as in fit, got dtype"
            f" {data.dtype}: convert it."
        )
    return to_steps(data.values.astype(clock), data.missing, column.origin, column.step)


def _fit_quantiles(numbers: np.ndarray) -> tuple[list[float], list[list[float]]]:
    """Return the knots of a column's distribution, and the interval of ranks that is decoded to each.

    A number that many rows share, often 0, takes the ranks of all of them, so that it is generated as
    often as it was seen. Its score is that of their middle rank: scikit-learn's QuantileTransformer puts
    the least number in the far tail, however many rows share it.
    """
    knots, counts = np.unique(numbers, return_counts=True)
    upper = counts.cumsum()
    rank_intervals = np.stack([upper - counts, upper], axis=1) / len(numbers)
    max_count = 1 if len(knots) <= N_QUANTILES else max(1, len(numbers) / N_QUANTILES)
    is_singleton = (counts <= max_count) & (len(knots) > MAX_DISCRETE)
    rank_intervals[is_singleton] = rank_intervals[is_singleton].mean(1, keepdims=True)
    if len(knots) > N_QUANTILES:
        even = np.linspace(0, len(knots) - 1, N_QUANTILES).round().astype(int)
        kept = np.union1d(even, np.flatnonzero(~is_singleton))
        knots, rank_intervals = knots[kept], rank_intervals[kept]
    return knots.tolist(), rank_intervals.tolist()


def present_values(column: Column, data: ColumnData) -> np.ndarray:
    """Return what a column holds where it isn't missing: numbers as `column_numbers` does, or categories."""
    return (column_numbers(column, data) if column.is_numeric else data.values)[~data.missing]


def dates_from_numbers(column: Column, numbers: np.ndarray) -> np.ndarray:
    """Return as numpy's dates, without a time zone, what `column_numbers` returned."""
    dtype = clock_dtype(pandas_dtype(column.dtype))
    return from_steps(numbers, column.origin or 0, column.step, dtype)


def numbers_from_scores(column: Column, scores: np.ndarray) -> np.ndarray:
    """Return the numbers that normal scores stand for; scores beyond the range are the extreme knots."""
    known = column.scores
    bounds = ndtri(column.rank_intervals).clip(known[0], known[-1])
    numbers = np.interp(scores, bounds.ravel(), np.repeat(column.values, 2))
    if column.decimals is None:
        return numbers
    # Of large numbers rounding may change the last digit: the extremes stay those that were seen.
    least, greatest = column.values[0], column.values[-1]
    extreme = [numbers <= least, numbers >= greatest]
    if column.resolution > 1:
        # Multiples of the resolution are counted from the first knot, in whole units: beside a large
        # number a small one would lose its last decimals.
        scale = 10.0**column.decimals
        first = round(column.values[0] * scale)
        n_steps = ((numbers * scale - first) / column.resolution).round()
        numbers = (first + column.resolution * n_steps) / scale
    return np.select(extreme, [least, greatest], numbers.round(column.decimals).clip(least, greatest))


def cast_integers(column: Column, numbers: np.ndarray) -> np.ndarray:
    """Return numbers as Python's ints where the column held such, otherwise as they are."""
    return numbers.astype(np.int64).astype(object) if column.python_int else numbers


def category_codes(column: Column, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the index of each value among the categories: one past the last if missing, -1 if unknown."""
    codes = {value: code for code, value in enumerate(column.values)}
    known = np.array([codes.get(value, -1) for value in values], np.int64)
    return np.where(missing, len(codes), known)
