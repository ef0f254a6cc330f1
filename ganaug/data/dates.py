"""Columns of dates and time differences as whole numbers, counted in steps of their resolution, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ganaug.data.containers import import_pandas

# Above it, float64 skips some integers.
MAX_EXACT_INT = 2**53


def is_date_dtype(dtype: Any) -> bool:
    """Return whether a DataFrame's column of this dtype holds dates or time differences."""
    return getattr(dtype, "kind", "O") in ("m", "M") and not hasattr(dtype, "fill_value")


def _without_arrow(dtype: Any) -> Any:
    """Return the dtype with which pandas itself holds such dates."""
    if not hasattr(dtype, "pyarrow_dtype"):
        return dtype
    zone = getattr(dtype.pyarrow_dtype, "tz", None)
    if zone is None:
        return dtype.numpy_dtype
    return import_pandas().DatetimeTZDtype(dtype.pyarrow_dtype.unit, zone)


def time_zone(dtype: Any) -> str:
    """Return the name of a dtype's time zone, "" where it has none."""
    zone = getattr(_without_arrow(dtype), "tz", None)
    return "" if zone is None else str(zone)


def clock_dtype(dtype: Any) -> np.dtype:
    """Return numpy's dtype of such dates, in their own unit and without a time zone."""
    plain = _without_arrow(dtype)
    return plain if isinstance(plain, np.dtype) else np.dtype(f"M8[{plain.unit}]")


def to_clock(series: Any) -> np.ndarray:
    """Return a column as numpy's dates, of which each shows what a clock in its time zone did.

    So full days of a zone with daylight saving stay full days, though in UTC they are not.
    """
    series = series.astype(_without_arrow(series.dtype))
    return (series.dt.tz_localize(None) if time_zone(series.dtype) else series).to_numpy()


def from_clock(values: np.ndarray, dtype: Any) -> Any:
    """Return as a Series of `dtype` what `to_clock` returned.

    Of an hour that the clock showed twice it is the first one. A time that it skipped is the one it
    jumped to.
    """
    series = import_pandas().Series(values)
    if zone := getattr(_without_arrow(dtype), "tz", None):
        first = np.ones(len(values), bool)
        series = series.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    return series.astype(dtype)


def to_instants(series: Any) -> np.ndarray:
    """Return a column as int64, (n,): how many units after 1970 each date is, in UTC."""
    series = series.astype(_without_arrow(series.dtype))
    return (series.dt.tz_convert(None) if time_zone(series.dtype) else series).to_numpy().view(np.int64)


def from_instants(instants: np.ndarray, dtype: Any) -> Any:
    """Return as a Series of `dtype` what `to_instants` returned."""
    series = import_pandas().Series(instants.astype(np.int64).view(clock_dtype(dtype)))
    if zone := getattr(_without_arrow(dtype), "tz", None):
        series = series.dt.tz_localize("UTC").dt.tz_convert(zone)
    return series.astype(dtype)


def find_step(values: np.ndarray) -> tuple[int, int]:
    """Return the first of some dates, and the greatest step in which all others are counted from it.

    Both are in units of the dates. The step is longer where float64 can't count so many.
    """
    units = values.view(np.int64)
    origin = int(units.min())
    offsets = _offsets(units, origin)
    step = max(1, int(np.gcd.reduce(offsets)), int(offsets.max()) // MAX_EXACT_INT + 1)
    return origin, step


def to_steps(values: np.ndarray, missing: np.ndarray, origin: int, step: int) -> np.ndarray:
    """Return dates as float64, in whole steps from the first; 0 for earlier and for missing ones."""
    units = np.where(missing, origin, values.view(np.int64))
    return (_offsets(np.maximum(units, origin), origin) // np.uint64(step)).astype(np.float64)


def from_steps(steps: np.ndarray, origin: int, step: int, dtype: np.dtype) -> np.ndarray:
    """Return numpy's dates of `dtype` that are so many steps from the first."""
    # Unsigned integers wrap around: the sum is right wherever the date itself can be told.
    offsets = steps.round().astype(np.uint64) * np.uint64(step)
    return (offsets + np.uint64(origin % 2**64)).view(np.int64).view(dtype)


def _offsets(units: np.ndarray, origin: int) -> np.ndarray:
    """Return int64 units from `origin` up as how many they are after it; more than int64 holds may be."""
    return units.view(np.uint64) - np.uint64(origin % 2**64)
