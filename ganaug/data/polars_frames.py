"""DataFrames of polars as those of pandas, which the codec of tables takes, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ganaug.data.containers import import_pandas
from ganaug.data.dates import from_instants, is_date_dtype, to_instants


def polars_to_pandas(X: Any) -> Any:
    """Return a polars DataFrame as a pandas one, with dtypes that have missing values."""
    return import_pandas().DataFrame({name: _to_pandas(X[name]) for name in X.columns})


def _to_pandas(series: Any) -> Any:
    pd = import_pandas()
    values = series.to_numpy() if series.dtype.is_temporal() else np.empty(0)
    if values.dtype.kind in "mM":
        days = values.dtype == np.dtype("M8[D]")  # pandas counts in seconds at most
        values = values.astype("M8[s]") if days else values
        zone = getattr(series.dtype, "time_zone", None)
        dtype = pd.DatetimeTZDtype(series.dtype.time_unit, zone) if zone else values.dtype
        return from_instants(values.view(np.int64), dtype)
    if str(series.dtype) == "Float16":  # of which pandas has no dtype with missing values
        return pd.Series(series.to_numpy())
    column = pd.Series(series.to_list(), dtype=object).convert_dtypes()
    # Floats stay floats where all are whole, with the decimals that their own precision tells apart.
    return column.astype(str(series.dtype)) if series.dtype.is_float() else column


def pandas_to_polars(frame: Any, like: Any) -> Any:
    """Return a pandas DataFrame as a polars one like `like`.

    A missing value is null, but NaN in columns of floats that had no null.
    """
    return type(like)([_to_polars(frame[name], like[name]) for name in like.columns])


def _to_polars(column: Any, like: Any) -> Any:
    missing, values = column.isna(), column.tolist()  # a list: polars 1.14 takes no numpy.bool
    if is_date_dtype(column.dtype):
        instants = to_instants(column)
        values = (instants // 86400 if str(like.dtype) == "Date" else instants).tolist()
    token = float("nan") if like.dtype.is_float() and not like.null_count() else None
    content = [token if gone else value for value, gone in zip(values, missing, strict=True)]
    if is_date_dtype(column.dtype):
        import polars as pl

        return pl.Series(like.name, content, dtype=pl.Int64).cast(like.dtype)
    return type(like)(like.name, content, dtype=like.dtype)
