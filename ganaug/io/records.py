"""Columns: a DataFrame as a structured array, whose rows lie in a file one after another, and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ganaug.data.containers import (
    column_name,
    make_dataframe,
    missing_token,
    missing_value,
    numpy_dtype,
    pandas_dtype,
)

MISSING = -1  # the code of a category that is missing
MOST_FIELDS = 500  # that HDF5 is told of: it has 64 KiB for all


class Columns:
    """How the columns of a DataFrame are packed into the fields of a structured array.

    Numbers keep their dtype. Beside one that may be missing stands a field that says so. Strings and
    categories are int32 codes; a value gets its code when it is first packed.

    Parameters
    ----------
    described : list of dict
        For each column its "name", "dtype", "field" (numpy's dtype of what is stored), whether it has
        a "mask", and for codes its "values" and what says "missing" there; "categories" and "ordered"
        of pandas' categorical dtype.
    """

    def __init__(self, described: list[dict[str, Any]]) -> None:
        self.described = described
        fields: list[tuple[str, str]] = []
        for place, column in enumerate(described):
            fields.append((f"c{place}", column["field"]))
            if column["mask"]:
                fields.append((f"m{place}", "u1"))
        self.dtype = np.dtype(fields)
        # Of wider rows a file holds the bytes; what they mean, `described` says.
        self.stored = self.dtype if len(fields) <= MOST_FIELDS else np.dtype((np.void, self.dtype.itemsize))
        self._codes = [
            {_key(value): code for code, value in enumerate(column["values"])} if "values" in column else None
            for column in described
        ]

    @classmethod
    def of(cls, frame: Any) -> Columns:
        """Return how a DataFrame like this is packed.

        Raises
        ------
        ValueError
            If a column is of a dtype that has no place in a file.
        """
        described = []
        for place, name in enumerate(frame.columns):
            dtype = frame.dtypes.iloc[place]
            inner = numpy_dtype(dtype)
            stored = inner if isinstance(inner, np.dtype) else np.dtype(object)
            column: dict[str, Any] = {
                "name": column_name(name),
                "dtype": str(dtype),
                "mask": hasattr(dtype, "numpy_dtype") and stored.kind in "iufb",
            }
            if stored.kind in "iuf":
                column["field"] = stored.str
            elif stored.kind == "b":
                column["field"] = "u1"
            elif stored.kind == "O":
                listed = getattr(dtype, "categories", None)
                for value in [] if listed is None else listed.tolist():
                    _check_value(value, name)
                column |= {"field": "<i4", "mask": False, "values": [] if listed is None else listed.tolist()}
                if listed is not None:
                    column |= {"categories": listed.tolist(), "ordered": bool(dtype.ordered)}
            else:
                raise ValueError(
                    f"Column {name!r} has dtype {dtype}, which has no place in a file: convert it."
                )
            described.append(column)
        return cls(described)

    def pack(self, frame: Any) -> np.ndarray:
        """Return a DataFrame as a structured array (n,), or as the bytes of one that is very wide.

        Raises
        ------
        ValueError
            If its columns are not of the names and dtypes described.
        """
        got = list(zip(frame.columns, map(str, frame.dtypes), strict=True))
        wanted = [(column["name"], column["dtype"]) for column in self.described]
        if got != wanted:
            other = next((pair for pair in got if pair not in wanted), got)
            raise ValueError(
                f"All rows of a file must have the columns {wanted}, in this order, got {other}."
            )
        rows = np.zeros(len(frame), self.dtype)
        for place, column in enumerate(self.described):
            series, codes = frame.iloc[:, place], self._codes[place]
            missing = series.isna().to_numpy(bool)
            if column["mask"]:
                rows[f"m{place}"] = missing
                rows[f"c{place}"] = series.to_numpy(np.dtype(column["field"]), na_value=0)
                continue
            if codes is None:
                rows[f"c{place}"] = np.asarray(series)
                continue
            values = series.to_numpy(dtype=object)
            keys = [None if gone else _key(v) for v, gone in zip(values, missing, strict=True)]
            for key in dict.fromkeys(keys):
                if key is not None and key not in codes:
                    _check_value(key[1], column["name"])
                    codes[key] = len(codes)
            rows[f"c{place}"] = [MISSING if key is None else codes[key] for key in keys]
            column["values"] = [value for _, value in codes]
            if missing.any():
                column.setdefault("missing", missing_token(values[missing][0]))
        return rows.view(self.stored)

    def unpack(self, rows: np.ndarray) -> Any:
        """Return what `pack` returned as a DataFrame."""
        rows, columns = rows.view(self.dtype), []
        for place, column in enumerate(self.described):
            values = rows[f"c{place}"]
            if "values" in column:
                gone = missing_value(column.get("missing", "None"))
                values = np.array([*column["values"], gone], dtype=object)[values]  # the last stands at -1
            elif column["mask"] and rows[f"m{place}"].any():
                values = values.astype(object)
                values[rows[f"m{place}"] == 1] = missing_value("NA")
            dtype = pandas_dtype(column["dtype"], column.get("categories"), column.get("ordered", False))
            columns.append((column["name"], values, dtype))
        return make_dataframe(columns)

    def to_bytes(self) -> bytes:
        """Return all that is to be known of the columns, as JSON."""
        return json.dumps(self.described).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Columns:
        """Restore what `to_bytes` returned."""
        return cls(json.loads(content))


def _key(value: Any) -> tuple[str, Any]:
    """Return a value with its type, for 1, 1.0 and True are equal; a scalar of numpy's as Python's own."""
    value = value.item() if isinstance(value, np.generic) else value
    return type(value).__name__, value


def _check_value(value: Any, name: Any) -> None:
    if not isinstance(value, str | int | float):
        raise ValueError(
            f"Column {name!r} of `X` must hold strings, numbers or booleans to be written, got {value!r}:"
            " convert it."
        )
