"""TableCodec: the user's columns of numbers and categories <-> float tensors."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.data.columns import (
    Column,
    as_numbers,
    attach_dependencies,
    cast_integers,
    category_codes,
    check_category_kind,
    fit_column,
    iter_columns,
    lookup_dependent,
    numbers_from_scores,
)
from ganaug.data.containers import (
    is_dataframe,
    make_dataframe,
    missing_value,
    pandas_dtype,
)

SHARPNESS = 3.0  # of the softmax: a category that is handed through keeps all but 0.0025 of one
DIRECTIONS = 64  # in which `TableCodec.random_projections` looks


class TableCodec:
    """Translate tables between the form the user has and float tensors (n, n_encoded).

    A number becomes the normal score of its rank, so that long tails, several modes and numbers that
    many rows share are kept, and nothing is generated beyond the least and the greatest that were
    seen, nor with more decimals, nor anything but multiples of 25 where all are. Columns of at most
    20 distinct numbers take no others. A category becomes as many columns of -1 and 1 as there are;
    so does whether a number is missing. A column that follows from another, as a name from its code, is
    decoded from that one: left to itself it would contradict it.

    Attributes
    ----------
    shape : (n_encoded,)
        Of an encoded row.
    """

    name = "table"
    noun = "rows"
    chunk_size = 8192  # rows that go through a network at once
    tensor = False

    def __init__(self, columns: list[Column], dtype: str | None) -> None:
        self.columns = columns
        self.dtype = dtype  # of an ndarray; None for a DataFrame
        self.row_shape = (len(columns),)
        self.spans: list[tuple[int, int]] = []  # of the categories of a column
        self.may_miss: list[bool] = []  # whether the last of a span says that the value is missing
        width = 0
        for column in columns:
            first = width + bool(column.ranks)
            width = first + column.n_categories
            if width > first:
                self.spans.append((first, width))
                self.may_miss.append(column.missing is not None)
        self.shape = (width,)

    @classmethod
    def fit(cls, X: Any) -> TableCodec:
        """Learn the columns of `X`, their dtypes and values.

        Parameters
        ----------
        X : ndarray of shape (n, n_features), or pandas DataFrame
            Numbers, booleans, categories and strings; missing values as NaN, None or pandas.NA.

        Raises
        ------
        ValueError
            If a column can't be learned from: names it, and what would be accepted.
        """
        _refuse_tensor(X)
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(f"`X` must be a table (n, n_features), got shape {tuple(X.shape)}.")
        columns = [fit_column(*parts) for parts in iter_columns(X)]
        if all(len(column.values) < 2 and column.missing is None for column in columns):
            raise ValueError(
                f"Every column of `X` is constant, such as {columns[0].name!r}: give one that is not."
            )
        return cls(attach_dependencies(columns, X), None if is_dataframe(X) else str(X.dtype))

    def check(self, X: Any) -> None:
        """Raise ValueError unless the rows of `X` are of the kind this codec was fitted on."""
        _refuse_tensor(X)
        frame = is_dataframe(X)
        names = list(X.columns) if frame else list(range(X.shape[-1]))
        if frame != (self.dtype is None) or X.ndim != 2 or names != [column.name for column in self.columns]:
            kind = f"an ndarray of {len(self.columns)} columns"
            if self.dtype is None:
                kind = f"a DataFrame of columns {[column.name for column in self.columns]}"
            raise ValueError(f"`X` must be {kind}, as in fit, got {type(X).__name__} of columns {names}.")

    def prepare(self, X: Any) -> Tensor:
        """Return all rows encoded: slow to look up, and of many categories larger than they were."""
        return self.encode(X)

    def encode(self, X: Any, *, strict: bool = True) -> Tensor:
        """Return rows of `X` as a float tensor (n, n_encoded); encoded ones as they are.

        Where not `strict`, a category that was not in fit is none of the others, and a number that
        is missing without having been in fit is the middle one; otherwise a ValueError.
        """
        if isinstance(X, Tensor):
            return X
        self.check(X)
        parts: list[np.ndarray] = []
        for column, (_, values, missing, _) in zip(self.columns, iter_columns(X), strict=True):
            if strict and missing.any() and column.missing is None:
                raise ValueError(f"Column {column.name!r} of `X` lacks values, and lacked none in fit.")
            which = missing.astype(np.int64)
            if column.ranks:
                numbers = as_numbers(column.name, values, missing)
                scores = np.where(missing, 0.0, np.interp(numbers, column.values, column.scores))
                parts.append(scores.astype(np.float32)[:, None])
            else:
                check_category_kind(column, values[~missing])
                which = category_codes(column, values, missing)
                if strict and -1 in which:
                    raise ValueError(
                        f"Column {column.name!r} of `X` must hold one of {column.values[:10]}, as in fit, got"
                        f" {values.tolist()[int(np.argmin(which))]!r}."
                    )
            one_hot = which[:, None] == np.arange(column.n_categories)
            parts.append(np.where(one_hot, np.float32(1), np.float32(-1)))
        return torch.from_numpy(np.concatenate(parts, axis=1))

    def decode(self, rows: Tensor) -> Any:
        """Return encoded rows as a table of the kind that was fitted."""
        encoded = rows.detach().float().cpu().numpy()
        parts, start = [], 0
        for column in self.columns:
            first = start + bool(column.ranks)
            end = first + column.n_categories
            which = encoded[:, first:end].argmax(1) if end > first else np.zeros(len(encoded), np.int64)
            if column.ranks:
                parts.append(
                    (cast_integers(column, numbers_from_scores(column, encoded[:, start])), which == 1)
                )
            else:
                values = np.array([*column.values, None], dtype=object)[which]
                parts.append((values, which == len(column.values)))
            start = end
        for place, column in enumerate(self.columns):
            if column.leader is not None:
                parts[place] = lookup_dependent(column, self.columns[column.leader], *parts[column.leader])
        if self.dtype is None:
            return _frame(self.columns, parts)
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
        """Map what a generator puts out to the range of encoded rows: a softmax for categories."""
        parts, start = [], 0
        for first, end in self.spans:
            sharp = SHARPNESS + 0.5 * math.log(max(end - first - 1, 1))
            parts += [raw[:, start:first], 2 * F.softmax(sharp * raw[:, first:end], dim=1) - 1]
            start = end
        return torch.cat([*parts, raw[:, start:]], dim=1)

    def augment(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Return the rows as they are: no change is known to leave a row of any table in its class."""
        return rows

    def cutout(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Return the rows as they are."""
        return rows

    def reconstruction_loss(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Return how far generated rows are from those that they should be, a scalar.

        For categories the Brier score: least where each is as probable as it is frequent.
        """
        error = made - wanted
        numeric = torch.ones(self.shape[0])
        for first, end in self.spans:
            numeric[first:end] = 0.0
        return (error.abs() * numeric.to(error.device)).mean() + 0.5 * error.square().mean()

    def discretize(self, rows: Tensor, start: Tensor | None, rng: torch.Generator) -> Tensor:
        """Return generated rows with one category each, drawn by their probabilities.

        What is missing in a row of `start` is missing in what was made of it, and nothing else: so
        values are missing as often as they were, and together as they were.
        """
        rows = rows.clone()
        for (first, end), missing in zip(self.spans, self.may_miss, strict=True):
            probabilities = ((rows[:, first:end] + 1) / 2).clamp(1e-6, 1)
            if missing and start is not None:
                gone = start[:, end - 1] > 0
                probabilities[:, :-1] *= ~gone[:, None]
                probabilities[:, -1] = gone.float()
            drawn = torch.multinomial(probabilities, 1, generator=rng)
            rows[:, first:end] = torch.full_like(probabilities, -1.0).scatter_(1, drawn, 1.0)
        return rows

    def random_projections(self, rows: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return what is seen of rows in random directions; differentiable.

        Returns
        -------
        list of one Tensor of shape (n_directions, n, 1)
        """
        directions = torch.randn(DIRECTIONS, rows.shape[1], generator=rng).to(rows.device)
        directions = directions / directions.norm(dim=1, keepdim=True)
        return [(directions @ rows.T)[:, :, None]]

    def to_config(self) -> dict[str, Any]:
        """Return the fitted state in JSON's types; `from_config` restores it."""
        return {"columns": [asdict(column) for column in self.columns], "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TableCodec:
        """Restore a codec from what `to_config` returned."""
        columns = [Column(**column) for column in config["columns"]]
        for column in columns:
            if column.ranks and not len(column.ranks) == len(column.values) >= 1:
                raise ValueError(
                    f"column {column.name!r} has {len(column.values)} knots, {len(column.ranks)} ranks"
                )
            if column.leader is not None:
                leader = columns[column.leader]
                if leader.leader is not None or len(column.given) != leader.n_kinds:
                    raise ValueError(f"column {column.name!r} does not follow from {leader.name!r}")
        return cls(columns, config["dtype"])


def _refuse_tensor(X: Any) -> None:
    if isinstance(X, Tensor):
        raise ValueError(f"A table `X` must be an ndarray or a DataFrame, got a Tensor {tuple(X.shape)}.")


def _frame(columns: list[Column], parts: list[tuple[np.ndarray, np.ndarray]]) -> Any:
    """Return a DataFrame of the dtypes that were fitted."""
    made = []
    for column, (values, missing) in zip(columns, parts, strict=True):
        dtype = pandas_dtype(column.dtype, column.categories, column.ordered)
        if missing.any():
            values = values.astype(object)
            values[missing] = missing_value(column.missing)
        made.append((column.name, values, dtype))
    return make_dataframe(made)
