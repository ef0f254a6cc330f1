"""Columns of numbers that are computed from others, as a total is from its parts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ganaug.data.column_data import ColumnData, iter_columns
from ganaug.data.columns import Column, column_numbers
from ganaug.data.dependencies import MAX_CHANCE_PROBABILITY
from ganaug.data.dtypes import numpy_dtype, pandas_dtype
from ganaug.data.sums import find_sums, screening_rows

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
    """Return the columns; those that are computed from others in the same way in every row say so.

    That is the product or ratio of two others, or the sum of two or more. Unrelated columns would look so,
    anywhere in the table, with a probability of less than 1e-9.
    """
    places = [place for place, column in enumerate(columns) if may_be_related(column)]
    if not 3 <= len(places) <= MAX_COLUMNS:
        return columns
    data = list(iter_columns(X))
    numbers = np.stack([column_numbers(columns[place], data[place]) for place in places])
    precisions = np.array([_precision(data[place]) for place in places])
    decimals = np.array([np.inf if columns[i].decimals is None else columns[i].decimals for i in places])
    # How far each number may be from a result of which it was rounded.
    rounded = 0.5 * 10.0**-decimals * (1 + 1e-6)
    tolerances = rounded[:, None] + precisions[:, None] * np.abs(numbers)
    attached = _attach(columns, places, _find_pairs(numbers, tolerances))
    # The sum of two columns adds nothing to them; a product or ratio may be a part.
    kept = [i for i, place in enumerate(places) if (attached[place].relation or [None])[0] != "sum"]
    places, numbers, tolerances = [places[i] for i in kept], numbers[kept], tolerances[kept]
    # Where three columns that vary add up to one of two values, that is a flag: one of several is set. Of a
    # synthetic row more may be.
    totals = {i for i, place in enumerate(places) if len(columns[place].values) > 2}
    sums = _find_sums(numbers, tolerances, decimals[kept], precisions[kept], totals)
    return _attach(attached, places, sums)


def _attach(
    columns: list[Column], places: list[int], found: list[tuple[str, list[int], int]]
) -> list[Column]:
    """Return the columns, each with the first of its relations by which all can still be computed."""
    attached = list(columns)
    for operation, operands, target in found:
        place = places[target]
        if attached[place].relation is not None:
            continue
        changed = attached.copy()
        relation = [operation, *(places[operand] for operand in operands)]
        changed[place] = replace(columns[place], relation=relation)
        if evaluation_order(changed) is not None:
            attached = changed
    return attached


def may_be_related(column: Column) -> bool:
    """Return whether a column can be computed from others, or they from it."""
    plain = column.is_numeric and column.origin is None and column.missing is None
    return plain and column.determinant is None and len(column.values) > 1


def _precision(data: ColumnData) -> float:
    """Return what share of a number computing in the column's own dtype may have cost."""
    storage = numpy_dtype(data.dtype)
    floats = isinstance(storage, np.dtype) and storage.kind == "f"
    return ROUNDING_ERRORS * max(float(np.finfo(storage).eps) if floats else 0.0, 1e-15)


def _find_pairs(numbers: np.ndarray, tolerances: np.ndarray) -> list[tuple[str, list[int], int]]:
    """Return relations of two rows of numbers, (n_columns, n), to a third: operation, operands and result."""
    n_columns, n = numbers.shape
    probes = np.linspace(0, n - 1, min(n, PROBES)).astype(int)
    # Of columns that are nearly always 0 these rows rule out nothing.
    constant = numbers[(numbers[:, probes] == numbers[:, probes[:1]]).all(1)]
    others = [np.flatnonzero(column != column[probes[0]]) for column in constant]
    probes = np.unique([*probes, *(rows[len(rows) // 2] for rows in others if len(rows))])
    some, allowed = numbers[:, probes], tolerances[:, probes]
    n_tests = len(OPERATIONS) * n_columns**3
    found = []
    for name, operation in OPERATIONS.items():
        for first in range(n_columns):
            with np.errstate(all="ignore"):
                results = operation(some[first], some)  # one for each second operand
            for second in range(n_columns) if name == "ratio" else range(first + 1, n_columns):
                carried = _carried(operation, some[[first, second]])
                with np.errstate(invalid="ignore"):
                    near = (np.abs(results[second] - some) <= allowed + carried).all(1)
                found += [
                    (name, [first, second], target)
                    for target in np.flatnonzero(near).tolist()
                    if first != second
                    and target not in (first, second)
                    and _agree(operation, numbers[[first, second]], numbers[target], tolerances[target])
                    and _is_no_chance(numbers[target], n_tests)
                ]
    return found


def _carried(operation: Callable[[Any, Any], Any], operands: np.ndarray) -> np.ndarray:
    """Return what rounding of large operands may leave of a small sum; products and ratios lose no more."""
    size = 1e-15 * ROUNDING_ERRORS if operation is np.add else 0.0
    return (size * np.abs(operands)).sum(0)


def _agree(
    operation: Callable[[Any, Any], Any], operands: np.ndarray, target: np.ndarray, tolerance: np.ndarray
) -> bool:
    """Return whether the target is what the operation makes of the operands, in every row."""
    with np.errstate(all="ignore"):
        error = np.abs(functools.reduce(operation, operands) - target)
    return bool((error <= tolerance + _carried(operation, operands)).all())


def _is_no_chance(target: np.ndarray, n_tests: int) -> bool:
    """Return whether a target that agrees in each row would hardly do so, were it independent."""
    _, inverse, counts = np.unique(target, return_inverse=True, return_counts=True)
    log_chance = np.log(counts[inverse] / len(target)).sum()
    return bool(log_chance < math.log(MAX_CHANCE_PROBABILITY / n_tests))


def _find_sums(
    numbers: np.ndarray,
    tolerances: np.ndarray,
    decimals: np.ndarray,
    precisions: np.ndarray,
    totals: set[int],
) -> list[tuple[str, list[int], int]]:
    """Return relations of three or more rows of numbers, (n_columns, n), to one that may be a total."""
    n_columns = len(numbers)
    rows = screening_rows(numbers)
    some, allowed = numbers[:, rows], tolerances[:, rows]

    def is_sum(parts: list[int], total: int) -> bool:
        if len(parts) < 3 or total not in totals:
            return False
        # For each of so many numbers of parts there are so many sets.
        n_tests = len(OPERATIONS) * n_columns**2 * math.comb(n_columns - 1, len(parts))
        return (
            _agree(np.add, some[parts], some[total], allowed[total])
            and _agree(np.add, numbers[parts], numbers[total], tolerances[total])
            and _is_no_chance(numbers[total], n_tests)
        )

    found = find_sums(some, decimals, precisions, is_sum)
    return [("sum", parts, total) for total, parts in found.items()]


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
    column: Column, operation: str, operands: Sequence[np.ndarray], own: np.ndarray
) -> np.ndarray:
    """Return the numbers of a related column, rounded; where there is no such number, its `own` ones."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        numbers = functools.reduce(OPERATIONS[operation], [part.astype(np.float64) for part in operands])
    if column.decimals is not None:
        numbers = numbers.round(column.decimals)
    storage = numpy_dtype(pandas_dtype(column.dtype))
    kept = np.isfinite(numbers)
    if isinstance(storage, np.dtype) and storage.kind in "iu":
        limits = np.iinfo(storage)
        kept &= (numbers >= limits.min) & (numbers <= limits.max)
    return np.where(kept, numbers, own.astype(np.float64))
