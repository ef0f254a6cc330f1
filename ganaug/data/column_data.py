"""ColumnData: what the columns of a table hold, of a DataFrame or an array alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ganaug.data.containers import is_dataframe, is_missing
from ganaug.data.dates import is_date_dtype, to_clock


class ColumnData(NamedTuple):
    """The content of one column.

    Attributes
    ----------
    name : str or int
        Of a DataFrame's column, or the place of an array's.
    values : ndarray of shape (n,)
        Dates as numpy's, without a time zone.
    missing : ndarray of shape (n,), bool
        Which values are missing.
    dtype : numpy or pandas dtype
    how_to_drop : str
        The call that returns the table without this column.
    """

    name: str | int
    values: np.ndarray
    missing: np.ndarray
    dtype: Any
    how_to_drop: str


def iter_columns(X: Any) -> Iterator[ColumnData]:
    """Yield the columns of a DataFrame or an array."""
    for place in range(X.shape[1]):
        if is_dataframe(X):
            series, name = X.iloc[:, place], X.columns[place]
            native = isinstance(series.dtype, np.dtype)
            if is_date_dtype(series.dtype):
                values = to_clock(series)
            else:
                values = series.to_numpy() if native else series.to_numpy(dtype=object)
            missing = series.isna().to_numpy(bool)
            yield ColumnData(name, values, missing, series.dtype, f"X.drop(columns=[{name!r}])")
        else:
            missing = _missing_mask(X[:, place])
            yield ColumnData(place, X[:, place], missing, X.dtype, f"np.delete(X, {place}, axis=1)")


def iter_category_keys(X: Any) -> Iterator[np.ndarray]:
    """Yield for each column what a codec must have seen in fit, (n,) of objects.

    That is each category, and that a value is missing. A number needs nothing: its key is None. So it is
    with a date.
    """
    for _, values, missing, dtype, _ in iter_columns(X):
        present = values[~missing].tolist()
        dates = values.dtype.kind in "mM"
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
        keys = np.full(len(values), None, object)
        if getattr(dtype, "categories", None) is not None or not (numeric or dates):
            keys[~missing] = [f"{type(value).__name__} {value!r}" for value in present]
        keys[missing] = "missing"
        yield keys


def _missing_mask(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.array([is_missing(value) for value in values], bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def to_python(values: np.ndarray) -> list[Any]:
    """Return values in Python's own types."""
    return [value.item() if isinstance(value, np.generic) else value for value in values.tolist()]
