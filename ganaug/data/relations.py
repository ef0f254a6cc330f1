"""Columns of numbers that are computed from two others, as a total is from its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ganaug.data.column_data import ColumnData, iter_columns
from ganaug.data.columns import Column, column_numbers
from ganaug.data.dependencies import MAX_CHANCE_PROBABILITY
from ganaug.data.dtypes import numpy_dtype, pandas_dtype

# A difference is found as the sum that it comes from: where both parts are sampled, neither order of them nor
# their signs can be wrong. A ratio has rounded decimals, from which no product comes back.
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": np.add,
    "product": np.multiply,
    "ratio": np.divide,
}
# The pairs of more columns would take longer than training does.
MAX_COLUMNS = 100
# Most pairs are ruled out by few rows.
PROBES = 16
# Beside rounding to the last decimal: what computing in the column's own dtype may have cost.
ROUNDING_ERRORS = 8


def attach_relations(columns: list[Column], X: Any) -> list[Column]:
    """Return the columns; those that are the sum, product or ratio of two others in every row say so.

    Unrelated columns would look so, anywhere in the table, with a probability of less than 1e-9.
    """
    places = [place for place, column in enumerate(columns) if may_be_related(column)]
    if not 3 <= len(places) <= MAX_COLUMNS:
        return columns
    data = list(iter_columns(X))
    numbers = np.stack([column_numbers(columns[place], data[place]) for place in places])
    tolerances = np.stack(
        [_tolerance(columns[place], data[place], numbers[i]) for i, place in enumerate(places)]
    )
    attached = list(columns)
    for operation, first, second, target in _find(numbers, tolerances):
        place = places[target]
        if attached[place].relation is not None:
            continue
        changed = attached.copy()
        changed[place] = replace(columns[place], relation=[operation, places[first], places[second]])
        if evaluation_order(changed) is not None:
            attached = changed
    return attached


def may_be_related(column: Column) -> bool:
    """Return whether a column can be computed from two others, or they from it."""
    plain = column.is_numeric and column.origin is None and column.missing is None
    return plain and column.determinant is None and len(column.values) > 1


def _tolerance(column: Column, data: ColumnData, numbers: np.ndarray) -> np.ndarray:
    """Return how far each number of a column may be from a result of which it was rounded."""
    storage = numpy_dtype(data.dtype)
    precision = np.finfo(storage).eps if isinstance(storage, np.dtype) and storage.kind == "f" else 0.0
    rounded = 0.0 if column.decimals is None else 0.5 * 10.0**-column.decimals
    return rounded * (1 + 1e-6) + ROUNDING_ERRORS * max(precision, 1e-15) * np.abs(numbers)


def _find(numbers: np.ndarray, tolerances: np.ndarray) -> list[tuple[str, int, int, int]]:
    """Return the relations of rows of numbers, (n_columns, n): operation, two operands and the result."""
    n_columns, n = numbers.shape
    probes = np.linspace(0, n - 1, min(n, PROBES)).astype(int)
    some, allowed = numbers[:, probes], tolerances[:, probes]
    n_tests = len(OPERATIONS) * n_columns**3
    found = []
    for name, operation in OPERATIONS.items():
        for first in range(n_columns):
            with np.errstate(divide="ignore", invalid="ignore"):
                results = operation(some[first], some)  # one for each second operand
            for second in range(n_columns) if name == "ratio" else range(first + 1, n_columns):
                near = (np.abs(results[second] - some) <= allowed + _carried(some[first], some[second])).all(
                    1
                )
                found += [
                    (name, first, second, target)
                    for target in np.flatnonzero(near).tolist()
                    if target not in (first, second)
                    and _holds(operation, numbers[[first, second, target]], tolerances[target], n_tests)
                ]
    return found


def _carried(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return what rounding of two large operands may leave of a small sum."""
    return 1e-15 * ROUNDING_ERRORS * (np.abs(first) + np.abs(second))


def _holds(
    operation: Callable[[Any, Any], Any], numbers: np.ndarray, tolerance: np.ndarray, n_tests: int
) -> bool:
    first, second, target = numbers
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(operation(first, second) - target)
    if not (error <= tolerance + _carried(first, second)).all():
        return False
    # That each row agrees, were the target drawn independently of the two.
    _, inverse, counts = np.unique(target, return_inverse=True, return_counts=True)
    log_chance = np.log(counts[inverse] / len(target)).sum()
    return bool(log_chance < np.log(MAX_CHANCE_PROBABILITY / n_tests))


def evaluation_order(columns: Sequence[Column]) -> dict[int, list[Any]] | None:
    """Return the relations by the places of their columns, each after those of the columns that it needs.

    None if they go in a circle.
    """
    waiting = {place: column.relation for place, column in enumerate(columns) if column.relation is not None}
    ordered: dict[int, list[Any]] = {}
    while waiting:
        ready = {place: of for place, of in waiting.items() if waiting.keys().isdisjoint(of[1:])}
        if not ready:
            return None
        ordered |= ready
        waiting = {place: of for place, of in waiting.items() if place not in ready}
    return ordered


def compute_related(
    column: Column, operation: str, first: np.ndarray, second: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Return the numbers of a related column, rounded; where there is no such number, its `own` ones."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        numbers = OPERATIONS[operation](first.astype(np.float64), second.astype(np.float64))
    if column.decimals is not None:
        numbers = numbers.round(column.decimals)
    storage = numpy_dtype(pandas_dtype(column.dtype))
    kept = np.isfinite(numbers)
    if isinstance(storage, np.dtype) and storage.kind in "iu":
        limits = np.iinfo(storage)
        kept &= (numbers >= limits.min) & (numbers <= limits.max)
    return np.where(kept, numbers, own.astype(np.float64))
