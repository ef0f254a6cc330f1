"""DataFrameSchema: a DataFrame as a structured array, whose records a file holds one by one, and back."""

from __future__ import annotations

import json
import re
import reprlib
from typing import Any

import numpy as np

from ganaug.data.containers import column_name, missing_token, missing_value
from ganaug.data.dates import from_instants, is_date_dtype, to_instants
from ganaug.data.dtypes import describe_dtype, make_dataframe, numpy_dtype, pandas_dtype

MISSING_CODE = -1
# HDF5 has 64 KiB for the names of all fields.
MAX_FIELDS = 500
CODE_FIELD = "<i4"
DATE_FIELD = "<i8"
MISSING_TOKENS = ("None", "nan", "NA")
# Of a column: the type of each key, those that each has, and those that only some have.
KEY_TYPES: dict[str, Any] = {
    "name": str | int,
    "dtype": str,
    "field": str,
    "mask": bool,
    "values": list,
    "missing": str,
    "categories": list,
    "ordered": bool,
    "categories_dtype": str,
}
REQUIRED_KEYS = {"name", "dtype", "field", "mask"}
MAX_DTYPE_CHARACTERS = 200


class DataFrameSchema:
    """How the columns of a DataFrame are stored in the fields of a structured array.

    Numbers keep their dtype. A column of a nullable dtype has a second field, which says where a value
    is missing. Dates are int64, in their own unit after 1970 in UTC, and the least of all where one is
    missing. Strings and categories are int32 codes; a value gets its code when it is first stored.

    Parameters
    ----------
    schema : list of dict
        For each column its "name", "dtype", "field" (numpy's dtype of what is stored) and whether it has
        a "mask". For codes also the "values", and "missing", which says what stands for a missing one.
        For pandas' categorical dtype also its "categories", whether it is "ordered", and the
        "categories_dtype" where pandas would give them another one.
    """

    def __init__(self, schema: list[dict[str, Any]]) -> None:
        self.schema = schema
        fields: list[tuple[str, str]] = []
        for place, column in enumerate(schema):
            fields.append((f"c{place}", column["field"]))
            if column["mask"]:
                fields.append((f"m{place}", "u1"))
        self.dtype: np.dtype[np.void] = np.dtype(fields)
        # A file holds wider records as bytes, of which `schema` alone says what they are.
        opaque = np.dtype((np.void, self.dtype.itemsize))
        self.storage_dtype: np.dtype[np.void] = self.dtype if len(fields) <= MAX_FIELDS else opaque
        self._codes = [
            {_typed(value): code for code, value in enumerate(column["values"])}
            if "values" in column
            else None
            for column in schema
        ]

    @classmethod
    def of(cls, dataframe: Any) -> DataFrameSchema:
        """Return how DataFrames like this one are stored.

        Raises
        ------
        ValueError
            If a column's dtype can't be stored.
        """
        return cls(
            [
                _describe_column(name, dtype)
                for name, dtype in zip(dataframe.columns, dataframe.dtypes, strict=True)
            ]
        )

    def to_records(self, dataframe: Any) -> np.ndarray:
        """Return a DataFrame as a structured array (n,), or as the bytes of one that is very wide.

        Raises
        ------
        ValueError
            If its columns don't have the names and dtypes of the schema.
        """
        self._check_columns(dataframe)
        records = np.zeros(len(dataframe), self.dtype)
        for place, (column, codes) in enumerate(zip(self.schema, self._codes, strict=True)):
            series = dataframe.iloc[:, place]
            if column["mask"]:
                records[f"m{place}"] = series.isna().to_numpy(bool)
                records[f"c{place}"] = series.to_numpy(np.dtype(column["field"]), na_value=0)
            elif is_date_dtype(series.dtype):
                records[f"c{place}"] = to_instants(series)
            elif codes is None:
                records[f"c{place}"] = np.asarray(series)
            else:
                records[f"c{place}"] = _to_codes(series, column, codes)
        return records.view(self.storage_dtype)

    def _check_columns(self, dataframe: Any) -> None:
        """Raise ValueError unless a DataFrame has the columns of the schema, in their order and dtypes."""
        pairs = zip(dataframe.columns, dataframe.dtypes, strict=True)
        got = [(name, describe_dtype(name, dtype)) for name, dtype in pairs]
        expected = [(column["name"], _dtype_of(column)) for column in self.schema]
        if got == expected:
            return
        names, wanted_names = ([name for name, _ in part] for part in (got, expected))
        if names != wanted_names:
            raise ValueError(
                f"All rows of a file must have the columns {wanted_names}, in this order, got {names}."
            )
        found, wanted = next(pair for pair in zip(got, expected, strict=True) if pair[0] != pair[1])
        raise ValueError(
            f"All rows of a file must have the columns of its first ones: {found[0]!r} must be of"
            f" {_shown(wanted[1])}, got {_shown(found[1])}."
        )

    def from_records(self, records: np.ndarray) -> Any:
        """Return as a DataFrame what `to_records` returned.

        Raises
        ------
        ValueError
            If the records are not those of the schema.
        """
        if records.dtype != self.storage_dtype:
            raise ValueError(
                f"The records are of {str(records.dtype)[:200]}, and `columns` describes"
                f" {str(self.storage_dtype)[:200]}."
            )
        records, columns = records.view(self.dtype), []
        for place, column in enumerate(self.schema):
            values = records[f"c{place}"]
            if "values" in column:
                _check_codes(values, column)
                missing = missing_value(column.get("missing", "None"))
                values = np.array([*column["values"], missing], dtype=object)[values]  # its code is -1
            elif column["mask"] and records[f"m{place}"].any():
                values = values.astype(object)
                values[records[f"m{place}"] == 1] = missing_value("NA")
            dtype = _checked_dtype(column)
            content = from_instants(values, dtype) if is_date_dtype(dtype) else values
            columns.append((column["name"], content, dtype))
        return make_dataframe(columns)

    def to_bytes(self) -> bytes:
        """Return the schema as JSON."""
        return json.dumps(self.schema).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> DataFrameSchema:
        """Restore what `to_bytes` returned.

        Raises
        ------
        ValueError
            If it is something else. That the columns' dtypes are what it says is checked with the records.
        """
        schema = json.loads(content)
        if not isinstance(schema, list) or not schema:
            raise ValueError(f"`columns` must be a list of columns, got {_shown(schema)}.")
        for place, column in enumerate(schema):
            _check_column(column, f"Column {place} of `columns`")
        return cls(schema)


def _describe_column(name: Any, dtype: Any) -> dict[str, Any]:
    """Return the schema of one column."""
    inner = numpy_dtype(dtype)
    storage = inner if isinstance(inner, np.dtype) else np.dtype(object)
    categories = getattr(dtype, "categories", None)
    values = [] if categories is None else categories.tolist()
    for value in values:
        _check_value(value, name)
    about = describe_dtype(name, dtype)
    column: dict[str, Any] = {
        "name": column_name(name),
        "dtype": about["dtype"],
        "mask": hasattr(dtype, "numpy_dtype") and storage.kind in "iufb",
    }
    if is_date_dtype(dtype):
        return {**column, "field": DATE_FIELD}
    if storage.kind in "iuf":
        return {**column, "field": storage.str}
    if storage.kind == "b":
        return {**column, "field": "u1"}
    if storage.kind not in "OU":
        raise ValueError(f"Column {name!r} has dtype {dtype}, which can't be stored in a file: convert it.")
    return {**column, "field": CODE_FIELD, "mask": False, "values": values, **about}


def _dtype_of(column: dict[str, Any]) -> dict[str, Any]:
    """Return those entries of a column that say its dtype, as `describe_dtype` does."""
    return {
        key: column[key] for key in ("dtype", "categories", "ordered", "categories_dtype") if key in column
    }


def _check_column(column: Any, what: str) -> None:
    """Raise ValueError unless a column that was read has the keys that are written, and no other."""
    if not isinstance(column, dict) or not REQUIRED_KEYS <= set(column) <= set(KEY_TYPES):
        raise ValueError(f"{what} must have the keys {sorted(REQUIRED_KEYS)}, got {_shown(column)}.")
    for key, value in column.items():
        # A bool is an int, and no name.
        if not isinstance(value, KEY_TYPES[key]) or (key == "name" and isinstance(value, bool)):
            raise ValueError(f"{what}: `{key}` must be of type {KEY_TYPES[key]}, got {_shown(value)}.")
    if "values" in column and (column["field"] != CODE_FIELD or column["mask"]):
        raise ValueError(f"{what} has values: `field` must be {CODE_FIELD!r}, got {_shown(column['field'])}.")
    if not re.fullmatch(r"[<>|][iuf][0-9]{1,2}|u1", column["field"]):
        raise ValueError(f"{what}: `field` must be a dtype of numbers, got {_shown(column['field'])}.")
    if column.get("missing", "None") not in MISSING_TOKENS:
        raise ValueError(
            f"{what}: `missing` must be one of {MISSING_TOKENS}, got {_shown(column['missing'])}."
        )
    for key in ("values", "categories"):
        wrong = [value for value in column.get(key, []) if not isinstance(value, str | int | float)]
        if wrong:
            raise ValueError(f"{what}: `{key}` must be strings, numbers or booleans, got {_shown(wrong[0])}.")


def _checked_dtype(column: dict[str, Any]) -> Any:
    """Return the dtype of a column, or raise ValueError if no such column is stored in this way."""
    name, wrong = column["dtype"], "must be the name of a column's dtype"
    if len(name) > MAX_DTYPE_CHARACTERS:
        raise ValueError(f"`dtype` {wrong}, got {_shown(name)}.")
    if "categories_dtype" in column and len(column["categories_dtype"]) > MAX_DTYPE_CHARACTERS:
        raise ValueError(f"`categories_dtype` {wrong}, got {_shown(column['categories_dtype'])}.")
    dtype = pandas_dtype(**_dtype_of(column))
    if "values" in column:
        if is_date_dtype(dtype):
            raise ValueError(f"Column {_shown(column['name'])} of dtype {_shown(name)} must have no values.")
        if isinstance(dtype, np.dtype) and dtype.kind in "SUV" and dtype.itemsize:
            raise ValueError(f"`dtype` {wrong}, got {_shown(name)}, which pads each value to its width.")
        return dtype
    stored = _describe_column(column["name"], dtype)
    if "values" in stored or stored["field"] != column["field"] or stored["mask"] != column["mask"]:
        raise ValueError(
            f"Column {_shown(column['name'])} of dtype {_shown(name)} must be stored as {stored}, got"
            f" `field` {_shown(column['field'])} and `mask` {column['mask']}."
        )
    return dtype


def _check_codes(codes: np.ndarray, column: dict[str, Any]) -> None:
    last = len(column["values"]) - 1
    if len(codes) and not MISSING_CODE <= codes.min() <= codes.max() <= last:
        raise ValueError(
            f"Column {_shown(column['name'])} holds codes from {codes.min()} to {codes.max()}, and has"
            f" {last + 1} values."
        )


def _shown(value: Any) -> str:
    return reprlib.repr(value)  # a stranger's value may be long


def _to_codes(series: Any, column: dict[str, Any], codes: dict[tuple[str, Any], int]) -> list[int]:
    """Return the codes of values; new values get codes, which `column` and `codes` keep."""
    missing = series.isna().to_numpy(bool)
    values = series.to_numpy(dtype=object)
    keys = [None if gone else _typed(value) for value, gone in zip(values, missing, strict=True)]
    for key in dict.fromkeys(keys):
        if key is not None and key not in codes:
            _check_value(key[1], column["name"])
            codes[key] = len(codes)
    column["values"] = [value for _, value in codes]
    if missing.any():
        column.setdefault("missing", missing_token(values[missing][0]))
    return [MISSING_CODE if key is None else codes[key] for key in keys]


def _typed(value: Any) -> tuple[str, Any]:
    """Return a value in Python's own type, after that type's name: 1, 1.0 and True are equal."""
    value = value.item() if isinstance(value, np.generic) else value
    return type(value).__name__, value


def _check_value(value: Any, name: Any) -> None:
    if not isinstance(value, str | int | float):
        raise ValueError(
            f"Column {name!r} of `X` must hold strings, numbers or booleans to be written, got {value!r}:"
            " convert it."
        )
