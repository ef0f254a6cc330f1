"""TableCodec: the user's columns of numbers and categories <-> float tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from ganaug.data.containers import (
    column_name,
    is_dataframe,
    is_missing,
    missing_token,
    numpy_dtype,
)
from ganaug.data.dependencies import find_determinants

KNOTS = 1000  # points of a column's distribution that are kept
FEW = 20  # distinct numbers up to which a column takes no others
MAX_CATEGORIES = 1000
LARGEST = 2**53  # integers from which floats skip some
MAX_DECIMALS = 6  # numbers with as many are taken for measured ones


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
    ranks : list of (float, float)
        From which rank to which a knot is decoded, as shares of all rows. It is encoded as the normal
        score of their middle. Empty for categories.
    decimals : int or None
        Of numbers: to how many places they are rounded; None if to none.
    step : int
        Of rounded numbers: they are apart by a multiple of so many units of their last place.
    missing : str or None
        How a missing value is said: "nan", "None" or "NA". None if none is missing.
    categories : list or None
        Of a DataFrame's categorical column: all that its dtype allows.
    ordered : bool
        Whether that dtype is ordered.
    whole : bool
        Of a column of Python objects: whether all numbers are ints.
    leader : int or None
        The place of the column that this one follows from, and is decoded from.
    given : list
        What this column has where the leader has the first of its `values`, the second, and so on, and
        where it is missing; None where this one is missing.
    """

    name: str | int
    dtype: str
    values: list[Any]
    ranks: list[list[float]]
    decimals: int | None
    step: int
    missing: str | None
    categories: list[Any] | None = None
    ordered: bool = False
    whole: bool = False
    leader: int | None = None
    given: list[Any] = field(default_factory=list)

    @property
    def n_kinds(self) -> int:
        """How many values there are, missing ones taken for one."""
        return len(self.values) + (self.missing is not None)

    @property
    def n_categories(self) -> int:
        """Encoded columns beside that of the number: of categories, or whether a number is missing."""
        if self.ranks:
            return 0 if self.missing is None else 2
        return self.n_kinds

    @property
    def scores(self) -> np.ndarray:
        """What each knot is encoded as."""
        return ndtri(np.mean(self.ranks, axis=1))


def iter_columns(X: Any) -> Iterator[tuple[str | int, np.ndarray, np.ndarray, Any]]:
    """Yield the name, values and dtype of each column, and which values are missing."""
    for place in range(X.shape[1]):
        if is_dataframe(X):
            series = X.iloc[:, place]
            native = isinstance(series.dtype, np.dtype)
            values = series.to_numpy() if native else series.to_numpy(dtype=object)
            yield X.columns[place], values, series.isna().to_numpy(bool), series.dtype
        else:
            yield place, X[:, place], _missing(X[:, place]), X.dtype


def iter_category_keys(X: Any) -> Iterator[np.ndarray]:
    """Yield for each column what a codec has to have seen in fit, (n,) of objects.

    That is each category, and that a value is missing; of numbers that are there it is nothing, None.
    """
    for _, values, missing, dtype in iter_columns(X):
        there = values[~missing].tolist()
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in there)
        kinds = np.full(len(values), None, object)
        if getattr(dtype, "categories", None) is not None or not numbers:
            kinds[~missing] = [f"{type(value).__name__} {value!r}" for value in there]
        kinds[missing] = "missing"
        yield kinds


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.array([is_missing(value) for value in values], bool)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)


def fit_column(name: str | int, values: np.ndarray, missing: np.ndarray, dtype: Any) -> Column:
    """Return how a column is to be encoded."""
    there = _plain_values(values[~missing])
    # Dates of nanoseconds would become ints.
    kinds = {type(values[0])} if values.dtype.kind in "mM" else {type(value) for value in there}
    if not kinds <= {int, float, bool, str}:
        raise ValueError(
            f"Column {name!r} of `X` must hold numbers, booleans or strings, got"
            f" {' and '.join(sorted(kind.__name__ for kind in kinds))}: convert or drop it."
        )
    token = missing_token(values[missing][0]) if missing.any() else None
    listed = getattr(dtype, "categories", None)
    decimals, step = None, 1
    if listed is None and kinds and kinds <= {int, float}:
        numbers = as_numbers(name, values, missing)[~missing]
        if kinds == {int} and np.abs(numbers).max() >= LARGEST:
            raise ValueError(
                f"Column {name!r} of `X` holds integers of 2**53 or more, such as {max(there, key=abs)}: drop"
                " it, or make it strings."
            )
        knots, ranks = _ranked(numbers)
        decimals = next((d for d in range(MAX_DECIMALS) if _has_decimals(numbers, d, dtype)), None)
        step = 1 if decimals is None else _step(numbers, decimals)
    else:
        knots, ranks = sorted(set(there), key=lambda value: (type(value).__name__, value)), []
        if len(knots) > MAX_CATEGORIES or len(knots) == len(there) > FEW:
            raise ValueError(
                f"Column {name!r} of `X` holds {len(knots)} different values in {len(there)} rows, which"
                f" can't be learned from: drop it, or group them into {MAX_CATEGORIES} categories at most."
            )
    return Column(
        name=column_name(name),
        dtype=str(dtype),
        values=knots,
        ranks=ranks,
        decimals=decimals,
        step=step,
        missing=token,
        categories=None if listed is None else listed.tolist(),
        ordered=bool(getattr(dtype, "ordered", False)),
        whole=isinstance(dtype, np.dtype) and dtype.kind == "O" and bool(ranks) and kinds == {int},
    )


def _plain_values(values: np.ndarray) -> list[Any]:
    """Return values in Python's own types."""
    return [value.item() if isinstance(value, np.generic) else value for value in values.tolist()]


def check_category_kind(column: Column, values: np.ndarray) -> None:
    """Raise ValueError if these values and the categories of a column can't but differ."""
    known, got = ({isinstance(v, str) for v in of} for of in (column.values, values))
    if known and got and known.isdisjoint(got):
        raise ValueError(
            f"Column {column.name!r} of `X` must hold values such as {column.values[0]!r}, as in fit, got"
            f" {_plain_values(values[:1])[0]!r}."
        )


def _has_decimals(numbers: np.ndarray, decimals: int, dtype: Any) -> bool:
    """Return whether no number has more decimals, as far as the column's own dtype tells them apart."""
    own = numpy_dtype(dtype)
    kind = own if isinstance(own, np.dtype) and own.kind == "f" else np.dtype(float)
    return np.array_equal(numbers.round(decimals).astype(kind), numbers.astype(kind))


def _step(numbers: np.ndarray, decimals: int) -> int:
    """Return by how many units of their last place numbers are apart, or a multiple of it; at least 1."""
    units = np.unique(numbers) * 10.0**decimals
    if np.abs(units).max() >= LARGEST:
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


def _ranked(numbers: np.ndarray) -> tuple[list[float], list[list[float]]]:
    """Return knots of a column's distribution, and from which rank to which each is decoded.

    A number that many rows share, often 0, is decoded from the ranks of all of them, so that it comes
    as often as it did. scikit-learn's QuantileTransformer encodes it in the far tail where it is the
    least; its mean rank stands in the middle of its rows.
    """
    knots, counts = np.unique(numbers, return_counts=True)
    upper = counts.cumsum()
    ranks = np.stack([upper - counts, upper], axis=1) / len(numbers)
    few = 1 if len(knots) <= KNOTS else max(1, len(numbers) / KNOTS)
    alone = (counts <= few) & (len(knots) > FEW)
    ranks[alone] = ranks[alone].mean(1, keepdims=True)
    if len(knots) > KNOTS:
        spread = np.linspace(0, len(knots) - 1, KNOTS).round().astype(int)
        kept = np.union1d(spread, np.flatnonzero(~alone))
        knots, ranks = knots[kept], ranks[kept]
    return knots.tolist(), ranks.tolist()


def numbers_from_scores(column: Column, scores: np.ndarray) -> np.ndarray:
    known = column.scores
    # The first and the last knot are also all that lies beyond their own scores.
    bounds = ndtri(column.ranks).clip(known[0], known[-1])
    numbers = np.interp(scores, bounds.ravel(), np.repeat(column.values, 2))
    if column.decimals is None:
        return numbers
    if column.step > 1:
        # In whole units: beside a large number a small one would lose its last places.
        scale = 10.0**column.decimals
        first = round(column.values[0] * scale)
        numbers = (first + column.step * ((numbers * scale - first) / column.step).round()) / scale
    return numbers.round(column.decimals)


def cast_integers(column: Column, numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.int64).astype(object) if column.whole else numbers


def attach_dependencies(columns: list[Column], X: Any) -> list[Column]:
    """Return the columns, and of each that follows from another which one, and what is given by it."""
    parts = [(values, missing) for _, values, missing, _ in iter_columns(X)]
    numbers = [_comparable(column, *part) for column, part in zip(columns, parts, strict=True)]
    found = find_determinants(numbers, [not column.ranks or len(column.values) <= FEW for column in columns])
    led = list(columns)
    for place, leader in enumerate(found):
        if leader is not None:
            first = np.unique(numbers[leader], return_index=True)[1]  # a row of each of the leader's values
            own, its = (_plain(columns[p], *(part[first] for part in parts[p])) for p in (place, leader))
            given = dict(zip(its, own, strict=True))
            kinds = [*columns[leader].values, None][: columns[leader].n_kinds]
            led[place] = replace(columns[place], leader=leader, given=[given[kind] for kind in kinds])
    return led


def _comparable(column: Column, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return a column as numbers, alike where values are alike."""
    if column.ranks:
        return np.where(missing, np.inf, as_numbers(column.name, values, missing))  # none of them is infinite
    return category_codes(column, values, missing).astype(np.float64)


def category_codes(column: Column, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return which of a column's categories values are: after the last if missing, -1 if unknown."""
    places = {value: place for place, value in enumerate(column.values)}
    known = np.array([places.get(value, -1) for value in values], np.int64)
    return np.where(missing, len(places), known)


def _plain(column: Column, values: np.ndarray, missing: np.ndarray) -> list[Any]:
    """Return values as a `Column` has them, None for those that are missing."""
    own = as_numbers(column.name, values, missing) if column.ranks else values
    return [None if gone else value for value, gone in zip(_plain_values(own), missing, strict=True)]


def lookup_dependent(
    column: Column, leader: Column, values: np.ndarray, missing: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column that follows from another, and which are missing."""
    if leader.ranks:  # few numbers, and rounded since
        nearest = np.abs(values.astype(float)[:, None] - leader.values).argmin(1)
        which = np.where(missing, len(leader.values), nearest)
    else:
        which = category_codes(leader, values, missing)
    gone = np.array([value is None for value in column.given])
    if column.ranks:
        given = np.array([0.0 if value is None else value for value in column.given])
        return cast_integers(column, given[which]), gone[which]
    return np.array(column.given, dtype=object)[which], gone[which]
