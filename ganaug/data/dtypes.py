"""Dtypes of a DataFrame's columns: their names in a file, and columns made of them again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import numpy as np

from ganaug.data.containers import import_pandas

# What reading a name may raise where pandas knows no dtype of it.
NAME_ERRORS = (TypeError, ValueError, NotImplementedError, LookupError)
ARROW_DICTIONARY = r"dictionary<values=(\w+), indices=(\w+), ordered=([01])>"


def describe_dtype(name: str | int, dtype: Any) -> dict[str, Any]:
    """Return a column's dtype in JSON's types, as the arguments of `pandas_dtype`.

    Raises
    ------
    ValueError
        If no other column of this dtype could be made. The message has the column's `name`.
    """
    about: dict[str, Any] = {"dtype": _dtype_name(dtype)}
    categories = getattr(dtype, "categories", None)
    if categories is not None:
        about |= {"categories": categories.tolist(), "ordered": bool(dtype.ordered)}
        if pandas_dtype(**about).categories.dtype != categories.dtype:
            about["categories_dtype"] = _dtype_name(categories.dtype)
    if not _can_be_read(dtype, **about):
        raise ValueError(
            f"Column {name!r} of `X` has dtype {dtype!r}, of which no other column can be made: convert it by"
            " X.astype."
        )
    return about


def _dtype_name(dtype: Any) -> str:
    """Return the name that `pandas_dtype` reads: pandas' own, unless that stands for another dtype."""
    name = str(dtype)
    if _can_be_read(dtype, name):
        return name
    if hasattr(dtype, "pyarrow_dtype"):
        return f"ArrowDtype({dtype.pyarrow_dtype})"
    return f"{name}[{dtype.storage}]" if hasattr(dtype, "storage") else name


def _can_be_read(
    wanted: Any,
    dtype: str,
    categories: list[Any] | None = None,
    ordered: bool = False,
    categories_dtype: str | None = None,
) -> bool:
    try:
        found = pandas_dtype(dtype, categories, ordered, categories_dtype)
    except NAME_ERRORS:
        return False
    if categories is not None and not (
        found.categories.dtype == wanted.categories.dtype and found.categories.equals(wanted.categories)
    ):
        return False
    return type(found) is type(wanted) and bool(found == wanted)


def pandas_dtype(
    dtype: str,
    categories: list[Any] | None = None,
    ordered: bool = False,
    categories_dtype: str | None = None,
) -> Any:
    """Return the dtype of which pandas shows this name; pandas itself reads only some names."""
    pd = import_pandas()
    if categories is not None:
        own = None if categories_dtype is None else pandas_dtype(categories_dtype)
        return pd.CategoricalDtype(categories if own is None else pd.Index(categories, dtype=own), ordered)
    if dtype.startswith("Sparse["):
        subtype, fill = dtype.removeprefix("Sparse[").removesuffix("]").split(", ")
        fill = fill.rpartition("(")[2].rstrip(")")  # of "np.float32(0.0)"
        return pd.SparseDtype(subtype, np.nan if fill == "nan" else ast.literal_eval(fill))
    if "dateutil" in dtype:  # such a time zone is a path, of which pandas would read any file
        raise ValueError(f"a time zone of dateutil, {dtype[:200]!r}")
    try:
        if dtype.startswith("str["):
            return pd.StringDtype(dtype.removeprefix("str[").removesuffix("]"), na_value=np.nan)
        if dtype.startswith("ArrowDtype("):
            return pd.ArrowDtype(_arrow_type(dtype.removeprefix("ArrowDtype(").removesuffix(")")))
        return pd.api.types.pandas_dtype(dtype)
    except ImportError as exc:
        raise ImportError(f"A column of dtype {dtype} needs pyarrow: pip install pyarrow.") from exc


def _arrow_type(name: str) -> Any:
    """Return the type of pyarrow that is shown as `name`."""
    pa = import_module("pyarrow")
    if found := re.fullmatch(ARROW_DICTIONARY, name):
        values, indices = pa.type_for_alias(found[1]), pa.type_for_alias(found[2])
        return pa.dictionary(indices, values, ordered=found[3] == "1")
    return pa.type_for_alias(name)


def numpy_dtype(dtype: Any) -> Any:
    """Return numpy's dtype of a pandas column's values; the column's own where there is none."""
    if hasattr(dtype, "fill_value"):  # a sparse one
        return dtype.subtype
    return getattr(dtype, "numpy_dtype", dtype)


def make_dataframe(columns: Iterable[tuple[str | int, Any, Any]]) -> Any:
    """Return a DataFrame of columns, each given as its name, its values (an ndarray or Series) and dtype."""
    pd = import_pandas()
    names, values, dtypes = zip(*columns, strict=True)
    series = [_as_series(pd, v, dtype) for v, dtype in zip(values, dtypes, strict=True)]
    return pd.concat(series, axis=1).set_axis(list(names), axis=1)


def _as_series(pd: Any, values: Any, dtype: Any) -> Any:
    if "dictionary<" in str(dtype):  # pyarrow makes one of a list only
        return pd.Series(pd.array(values.tolist(), dtype=dtype))
    return pd.Series(values, dtype=values.dtype).astype(dtype)
