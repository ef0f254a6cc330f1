"""TableCodec: tables of numbers and categories <-> float tensors, for a network and back."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.data.column_data import iter_columns
from ganaug.data.columns import (
    Column,
    cast_integers,
    category_codes,
    check_category_kind,
    column_numbers,
    dates_from_numbers,
    fit_column,
    numbers_from_scores,
)
from ganaug.data.containers import is_dataframe, missing_value
from ganaug.data.dates import from_clock
from ganaug.data.dependencies import attach_dependencies, lookup_dependent
from ganaug.data.dtypes import make_dataframe, pandas_dtype
from ganaug.data.orders import attach_orders, check_order, put_in_order
from ganaug.data.relations import attach_relations, compute_related, evaluation_order
from ganaug.data.table_config import (
    check_dtypes,
    check_lookup,
    check_relation,
    column_from_config,
    column_kind,
    column_to_config,
)
from ganaug.data.working_size import UnreducedCodec

# Sharp enough for a category that is handed through to keep all but 0.0025 of its probability.
SOFTMAX_SHARPNESS = 3.0
N_PROJECTIONS = 64


def category_probabilities(encoded: Tensor) -> Tensor:
    """Return the probabilities, up to a factor, of categories of generated rows as they are encoded."""
    return ((encoded + 1) / 2).clamp(1e-6, 1)


class TableCodec(UnreducedCodec):
    """Translate tables between the form the user has and float tensors (n, n_encoded).

    A number becomes the normal score of its rank. So long tails, several modes and numbers that many
    rows share are kept. No generated number lies outside the range that was seen, or has more decimals.
    Where all numbers were multiples of 25, generated ones are too. Columns of at most 20 distinct numbers
    take no others. A date is a number of steps from the first one: all of the time between, of which all
    are multiples.

    A category is one-hot, with -1 for 0; so is whether a number is missing. A column that another one
    determines, as a code does a name, is decoded from that one: on its own it would contradict it. So is a
    number that is the sum of others in every row, or the product or ratio of two, of up to 100 columns of
    numbers; it may then lie outside the range that was seen.

    Attributes
    ----------
    shape : (n_encoded,)
        Of an encoded row.
    spans : list of (int, int)
        The first and the end of each one-hot block of an encoded row.
    """

    name = "table"
    noun = "rows"
    chunk_size = 8192  # rows that go through a network at once
    tensor = False

    def __init__(self, columns: list[Column], dtype: str | None) -> None:
        self.columns = columns
        self.dtype = dtype  # of an ndarray; None for a DataFrame
        self.row_shape: tuple[int, ...] = (len(columns),)
        self.spans: list[tuple[int, int]] = []
        self._has_missing_level: list[bool] = []  # whether the last of a span is "missing"
        n_encoded = 0
        for column in columns:
            first = n_encoded + column.is_numeric
            n_encoded = first + column.n_categories
            if n_encoded > first:
                self.spans.append((first, n_encoded))
                self._has_missing_level.append(column.missing is not None)
        self.shape: tuple[int, ...] = (n_encoded,)
        order = evaluation_order(columns)
        if order is None:
            raise ValueError("columns that are computed from each other in a circle")
        self._related = order

    def __deepcopy__(self, memo: dict[int, Any]) -> TableCodec:
        """Return itself: it never changes, and scikit-learn's `clone` would copy it for each classifier."""
        return self

    def number_places(self, *, discrete: bool) -> Iterator[tuple[int, int | None]]:
        """Yield for each column of numbers its place in an encoded row, and that of "missing" if it has one.

        Either of the columns with few distinct numbers (`discrete`), or of the others.
        """
        place = 0
        for column in self.columns:
            if column.is_numeric and column.is_discrete == discrete:
                yield place, None if column.missing is None else place + 2
            place += column.is_numeric + column.n_categories

    def category_places(self) -> Iterator[tuple[int, int, int | None]]:
        """Yield where the categories of a column begin and end, and the place of "missing" if it has one."""
        for (first, end), has_missing_level in zip(self.spans, self._has_missing_level, strict=True):
            last = end - has_missing_level
            if last - first > 1:
                yield first, last, last if has_missing_level else None

    @classmethod
    def fit(cls, X: Any) -> TableCodec:
        """Learn the columns of `X`, their dtypes and values.

        Parameters
        ----------
        X : ndarray of shape (n, n_features), or pandas DataFrame
            Numbers, booleans, categories and strings; in a DataFrame dates and time differences too.
            Missing values are NaN, None, pandas.NA or NaT.

        Raises
        ------
        ValueError
            If a column can't be learned from. The message names it, and what would be accepted.
        """
        _refuse_tensor(X)
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(f"`X` must be a table (n, n_features), got shape {tuple(X.shape)}.")
        if not is_dataframe(X) and X.dtype.kind in "mM":
            raise ValueError(f"`X` must be a DataFrame to hold dates, got an array of dtype {X.dtype}.")
        columns = [fit_column(data) for data in iter_columns(X)]
        if all(len(column.values) < 2 and column.missing is None for column in columns):
            raise ValueError(
                f"Every column of `X` is constant, such as {columns[0].name!r}: give one that is not."
            )
        columns = attach_orders(attach_relations(attach_dependencies(columns, X), X), X)
        return cls(columns, None if is_dataframe(X) else str(X.dtype))

    def check(self, X: Any) -> None:
        """Raise ValueError unless the rows of `X` are of the kind this codec was fitted on."""
        _refuse_tensor(X)
        dataframe, fitted_names = is_dataframe(X), [column.name for column in self.columns]
        names = list(X.columns) if dataframe else list(range(X.shape[-1]))
        if dataframe != (self.dtype is None) or X.ndim != 2 or names != fitted_names:
            expected = f"an ndarray of {len(self.columns)} columns"
            if self.dtype is None:
                expected = f"a DataFrame of columns {fitted_names}"
            raise ValueError(f"`X` must be {expected}, as in fit, got {type(X).__name__} of columns {names}.")

    def prepare(self, X: Any) -> Tensor:
        """Return all rows encoded, once and for all: it is slow. Many categories make them larger."""
        return self.encode(X)

    def encode(self, X: Any, *, strict: bool = True) -> Tensor:
        """Return rows of `X` as a float tensor (n, n_encoded); encoded ones as they are.

        Where not `strict`, a category that was not in fit is -1 for all categories, and a number that is
        missing in a column that lacked none in fit has the median score, 0.

        Raises
        ------
        ValueError
            If `strict` and there is such a value, or if the columns are not those of fit.
        """
        if isinstance(X, Tensor):
            return X
        self.check(X)
        parts: list[np.ndarray] = []
        for column, data in zip(self.columns, iter_columns(X), strict=True):
            if strict and data.missing.any() and column.missing is None:
                raise ValueError(f"Column {column.name!r} of `X` lacks values, and lacked none in fit.")
            codes = data.missing.astype(np.int64)
            if column.is_numeric:
                numbers = column_numbers(column, data)
                scores = np.where(data.missing, 0.0, np.interp(numbers, column.values, column.scores))
                parts.append(scores.astype(np.float32)[:, None])
            else:
                check_category_kind(column, data.values[~data.missing])
                codes = category_codes(column, data.values, data.missing)
                if strict and -1 in codes:
                    raise ValueError(
                        f"Column {column.name!r} of `X` must hold one of {column.values[:10]}, as in fit, got"
                        f" {data.values.tolist()[int(np.argmin(codes))]!r}."
                    )
            one_hot = codes[:, None] == np.arange(column.n_categories)
            parts.append(np.where(one_hot, np.float32(1), np.float32(-1)))
        return torch.from_numpy(np.concatenate(parts, axis=1))

    def decode(self, rows: Tensor) -> Any:
        """Return encoded rows as a table of the kind that was fitted."""
        encoded = rows.detach().float().cpu().numpy()
        parts, start = [], 0
        for column in self.columns:
            end = start + column.is_numeric + column.n_categories
            parts.append(_decode_column(column, encoded[:, start:end]))
            start = end
        put_in_order(self.columns, parts)
        for place, column in enumerate(self.columns):
            if column.determinant is not None:
                determinant = self.columns[column.determinant]
                parts[place] = lookup_dependent(column, determinant, *parts[column.determinant])
        for place, (operation, *operands) in self._related.items():
            column, (own, missing) = self.columns[place], parts[place]
            numbers = compute_related(column, operation, [parts[i][0] for i in operands], own)
            parts[place] = cast_integers(column, numbers), missing
        if self.dtype is None:
            return _to_dataframe(self.columns, parts)
        X = np.empty((len(encoded), len(parts)), self.dtype)
        for place, (values, missing) in enumerate(parts):
            X[:, place] = values
            if missing.any():
                X[missing, place] = missing_value(self.columns[place].missing)
        return X

    def restore(self, rows: Tensor) -> Tensor:
        """Return saved rows, after checking them."""
        if tuple(rows.shape[1:]) != self.shape or not rows.isfinite().all():
            raise ValueError(f"rows of shape {tuple(rows.shape)}, where {self.shape} was saved")
        return rows

    def output_activation(self, raw: Tensor) -> Tensor:
        """Map a generator's output to the range of encoded rows: by a softmax for categories."""
        parts, start = [], 0
        for first, end in self.spans:
            sharpness = SOFTMAX_SHARPNESS + 0.5 * math.log(max(end - first - 1, 1))
            parts += [raw[:, start:first], 2 * F.softmax(sharpness * raw[:, first:end], dim=1) - 1]
            start = end
        return torch.cat([*parts, raw[:, start:]], dim=1)

    def augment(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Return the rows as they are: no change is known that keeps a row of any table in its class."""
        return rows

    def cutout(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Return the rows as they are."""
        return rows

    def reconstruction_loss(self, generated: Tensor, target: Tensor) -> Tensor:
        """Return the mean over all encoded columns of L1 + 0.5 L2 for numbers, 0.5 L2 for categories.

        The latter is the Brier score: least where each category is as probable as it is frequent.
        """
        error = generated - target
        numeric = torch.ones(self.shape[0])
        for first, end in self.spans:
            numeric[first:end] = 0.0
        return (error.abs() * numeric.to(error.device)).mean() + 0.5 * error.square().mean()

    def discretize(self, rows: Tensor, sources: Tensor | None, rng: torch.Generator) -> Tensor:
        """Return generated rows with one category in each span, drawn by their probabilities.

        A generated row lacks exactly the values that its row of `sources` lacks. So values are missing
        as often as in training, and together as in training.
        """
        rows = rows.clone()
        for (first, end), has_missing_level in zip(self.spans, self._has_missing_level, strict=True):
            probabilities = category_probabilities(rows[:, first:end])
            if has_missing_level and sources is not None:
                missing = sources[:, end - 1] > 0
                probabilities[:, :-1] *= ~missing[:, None]
                probabilities[:, -1] = missing.float()
            drawn = torch.multinomial(probabilities, 1, generator=rng)
            rows[:, first:end] = torch.full_like(probabilities, -1.0).scatter_(1, drawn, 1.0)
        return rows

    def random_projections(self, rows: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return the projections of rows on random directions; differentiable.

        Returns
        -------
        list of one Tensor of shape (n_projections, n, 1)
        """
        directions = torch.randn(N_PROJECTIONS, rows.shape[1], generator=rng).to(rows.device)
        directions = directions / directions.norm(dim=1, keepdim=True)
        return [(directions @ rows.T)[:, :, None]]

    def to_config(self) -> dict[str, Any]:
        """Return the fitted state in JSON's types; `from_config` restores it."""
        return {"columns": [column_to_config(column) for column in self.columns], "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TableCodec:
        """Restore a codec from what `to_config` returned."""
        if config.keys() != {"columns", "dtype"} or not config["columns"]:
            raise ValueError(f"a codec with the entries {reprlib.repr(sorted(config))}")
        columns = [column_from_config(column) for column in config["columns"]]
        for column in columns:
            if column.determinant is None and column.lookup:
                raise ValueError(f"column {column.name!r} looks up values, but nothing determines it")
            if column.determinant is not None:
                check_lookup(column, columns[column.determinant])
            if column.relation is not None:
                check_relation(column, column.relation, columns)
            if column.not_before:
                check_order(column, columns)
        check_dtypes(columns, config["dtype"])
        # One column of each kind is decoded: a row of first categories, and one of last ones, which also
        # stand for missing values.
        kinds = {
            column_kind(column): replace(column, determinant=None, lookup=[], relation=None, not_before=[])
            for column in columns
        }
        probe = cls(list(kinds.values()), config["dtype"])
        rows = torch.zeros(2, *probe.shape)
        rows[1, [end - 1 for _, end in probe.spans]] = 1.0
        probe.decode(rows)
        return cls(columns, config["dtype"])


def _refuse_tensor(X: Any) -> None:
    if isinstance(X, Tensor):
        raise ValueError(f"A table `X` must be an ndarray or a DataFrame, got a Tensor {tuple(X.shape)}.")


def _decode_column(column: Column, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of one column, and which are missing, from its encoded columns."""
    one_hot = encoded[:, int(column.is_numeric) :]
    codes = one_hot.argmax(1) if one_hot.shape[1] else np.zeros(len(encoded), np.int64)
    if column.is_numeric:
        return cast_integers(column, numbers_from_scores(column, encoded[:, 0])), codes == 1
    return np.array([*column.values, None], dtype=object)[codes], codes == len(column.values)


def _to_dataframe(columns: list[Column], parts: list[tuple[np.ndarray, np.ndarray]]) -> Any:
    """Return a DataFrame of the dtypes that were fitted."""
    content = []
    for column, (values, missing) in zip(columns, parts, strict=True):
        dtype = pandas_dtype(column.dtype, column.categories, column.ordered, column.categories_dtype)
        if column.origin is not None:
            dates = dates_from_numbers(column, values)
            dates[missing] = "NaT"
            content.append((column.name, from_clock(dates, dtype), dtype))
            continue
        if missing.any():
            values = values.astype(object)
            values[missing] = missing_value(column.missing)
        content.append((column.name, values, dtype))
    return make_dataframe(content)
