"""One column of a table: what is learned of it, and its values as numbers, categories and scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from ganaug.data.containers import (
    column_name,
    is_dataframe,
    is_missing,
    missing_token,
    numpy_dtype,
)

# A column's distribution is kept as so many knots; what lies between two is interpolated.
N_QUANTILES = 1000
# A column of no more distinct numbers is discrete: between them there are none.
MAX_DISCRETE = 20
MAX_CATEGORIES = 1000
# Above it, float64 skips some integers.
MAX_EXACT_INT = 2**53
# Numbers with more decimals are measured ones: to round them would gain nothing.
MAX_DECIMALS = 6


class ColumnData(NamedTuple):
    """The content of one column.

    Attributes
    ----------
    name : str or int
        Of a DataFrame's column, or the place of an array's.
    values : ndarray of shape (n,)
    missing : ndarray of shape (n,), bool
        Which values are missing.
    dtype : numpy or pandas dtype
    """

    name: str | int
    values: np.ndarray
    missing: np.ndarray
    dtype: Any


@dataclass(frozen=True)
class Column:
    """How one column is encoded.

    Attributes
    ----------
    name : str or int
    dtype : str
        Of a DataFrame's column.
    values : list
        The categories; or the knots, distinct numbers in ascending order.
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

    @property
    def is_numeric(self) -> bool:
        """Whether the column is one of numbers rather than categories."""
        return bool(self.rank_intervals)

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
    def scores(self) -> np.ndarray:
        """The normal score that each knot is encoded as."""
        return ndtri(np.mean(self.rank_intervals, axis=1))


def iter_columns(X: Any) -> Iterator[ColumnData]:
    """Yield the columns of a DataFrame or an array."""
    for place in range(X.shape[1]):
        if is_dataframe(X):
            series = X.iloc[:, place]
            native = isinstance(series.dtype, np.dtype)
            values = series.to_numpy() if native else series.to_numpy(dtype=object)
            yield ColumnData(X.columns[place], values, series.isna().to_numpy(bool), series.dtype)
        else:
            yield ColumnData(place, X[:, place], _missing_mask(X[:, place]), X.dtype)


def iter_category_keys(X: Any) -> Iterator[np.ndarray]:
    """Yield for each column what a codec must have seen in fit, (n,) of objects.

    That is each category, and that a value is missing. A number needs nothing: its key is None.
    """
    for _, values, missing, dtype in iter_columns(X):
        present = values[~missing].tolist()
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
        keys = np.full(len(values), None, object)
        if getattr(dtype, "categories", None) is not None or not numeric:
            keys[~missing] = [f"{type(value).__name__} {value!r}" for value in present]
        keys[missing] = "missing"
        yield keys


def _missing_mask(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.array([is_missing(value) for value in values], bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def fit_column(data: ColumnData) -> Column:
    """Return how a column is to be encoded."""
    present = to_python(data.values[~data.missing])
    # Dates are tested as numpy's: in Python's own types nanoseconds would be ints.
    dates = data.values.dtype.kind in "mM"
    types = {type(data.values[0])} if dates else {type(value) for value in present}
    if not types <= {int, float, bool, str}:
        raise ValueError(
            f"Column {data.name!r} of `X` must hold numbers, booleans or strings, got"
            f" {' and '.join(sorted(kind.__name__ for kind in types))}: convert or drop it."
        )
    token = missing_token(data.values[data.missing][0]) if data.missing.any() else None
    if getattr(data.dtype, "categories", None) is None and types and types <= {int, float}:
        return _fit_numeric(data, present, token, integers=types == {int})
    return _fit_categorical(data, present, token)


def _fit_numeric(data: ColumnData, present: list[Any], token: str | None, *, integers: bool) -> Column:
    numbers = as_numbers(data.name, data.values, data.missing)[~data.missing]
    if integers and np.abs(numbers).max() >= MAX_EXACT_INT:
        raise ValueError(
            f"Column {data.name!r} of `X` must hold integers below 2**53, got {max(present, key=abs)}: drop"
            " it, or make it strings."
        )
    knots, rank_intervals = _fit_quantiles(numbers)
    decimals = next((d for d in range(MAX_DECIMALS) if _has_decimals(numbers, d, data.dtype)), None)
    return Column(
        name=column_name(data.name),
        dtype=str(data.dtype),
        values=knots,
        rank_intervals=rank_intervals,
        decimals=decimals,
        resolution=1 if decimals is None else _resolution(numbers, decimals),
        missing=token,
        python_int=integers and isinstance(data.dtype, np.dtype) and data.dtype.kind == "O",
    )


def _fit_categorical(data: ColumnData, present: list[Any], token: str | None) -> Column:
    values = sorted(set(present), key=lambda value: (type(value).__name__, value))
    if len(values) > MAX_CATEGORIES or len(values) == len(present) > MAX_DISCRETE:
        raise ValueError(
            f"Column {data.name!r} of `X` holds {len(values)} different values in {len(present)} rows, which"
            f" can't be learned from: drop it, or group them into {MAX_CATEGORIES} categories at most."
        )
    categories = getattr(data.dtype, "categories", None)
    return Column(
        name=column_name(data.name),
        dtype=str(data.dtype),
        values=values,
        rank_intervals=[],
        decimals=None,
        resolution=1,
        missing=token,
        categories=None if categories is None else categories.tolist(),
        ordered=bool(getattr(data.dtype, "ordered", False)),
    )


def to_python(values: np.ndarray) -> list[Any]:
    """Return values in Python's own types."""
    return [value.item() if isinstance(value, np.generic) else value for value in values.tolist()]


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


def numbers_from_scores(column: Column, scores: np.ndarray) -> np.ndarray:
    """Return the numbers that normal scores stand for; scores beyond the range are the extreme knots."""
    known = column.scores
    bounds = ndtri(column.rank_intervals).clip(known[0], known[-1])
    numbers = np.interp(scores, bounds.ravel(), np.repeat(column.values, 2))
    if column.decimals is None:
        return numbers
    if column.resolution > 1:
        # Multiples of the resolution are counted from the first knot, in whole units: beside a large
        # number a small one would lose its last decimals.
        scale = 10.0**column.decimals
        first = round(column.values[0] * scale)
        n_steps = ((numbers * scale - first) / column.resolution).round()
        numbers = (first + column.resolution * n_steps) / scale
    return numbers.round(column.decimals)


def cast_integers(column: Column, numbers: np.ndarray) -> np.ndarray:
    """Return numbers as Python's ints where the column held such, otherwise as they are."""
    return numbers.astype(np.int64).astype(object) if column.python_int else numbers


def category_codes(column: Column, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return the index of each value among the categories: one past the last if missing, -1 if unknown."""
    codes = {value: code for code, value in enumerate(column.values)}
    known = np.array([codes.get(value, -1) for value in values], np.int64)
    return np.where(missing, len(codes), known)
