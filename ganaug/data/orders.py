"""Columns of dates of which one is never earlier than another, as a discharge is not before its admission."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ganaug.data.column_data import iter_columns
from ganaug.data.columns import Column, column_numbers
from ganaug.data.dependencies import MAX_CHANCE_PROBABILITY

# The pairs of more columns of dates would take longer than training does.
MAX_COLUMNS = 50


def attach_orders(columns: list[Column], X: Any) -> list[Column]:
    """Return the columns; of dates each says which others are never later than it, in no row.

    Those are left out that unrelated columns would be with a probability of more than 1e-9, and those that
    no synthetic row could break.
    """
    places = [place for place, column in enumerate(columns) if may_be_ordered(column)]
    if not 2 <= len(places) <= MAX_COLUMNS:
        return columns
    data = list(iter_columns(X))
    instants, present = {}, {}
    for place in places:
        instants[place] = _instants(columns[place], column_numbers(columns[place], data[place]))
        present[place] = ~data[place].missing
    attached = list(columns)
    for earlier, later in itertools.permutations(places, 2):
        if not _share_steps(columns[earlier], columns[later]):
            continue
        both = present[earlier] & present[later]
        if _is_order(instants[earlier][both], instants[later][both], len(places) ** 2):
            found = [*attached[later].not_before, earlier]
            attached[later] = replace(attached[later], not_before=found)
    return attached


def may_be_ordered(column: Column) -> bool:
    """Return whether a column's dates may have to be later than another's."""
    return column.origin is not None and column.determinant is None and len(column.values) > 1


def _share_steps(one: Column, other: Column) -> bool:
    """Return whether each of two columns can hold the dates of the other."""
    if one.origin is None or other.origin is None:
        return False
    return (one.dtype, one.step) == (other.dtype, other.step) and not (other.origin - one.origin) % one.step


def _instants(column: Column, numbers: np.ndarray) -> np.ndarray:
    """Return dates as Python's ints, which hold any sum of an origin and its steps."""
    return numbers.round().astype(np.int64).astype(object) * column.step + (column.origin or 0)


def _is_order(earlier: np.ndarray, later: np.ndarray, n_tests: int) -> bool:
    if not len(earlier) or not (earlier <= later).all() or (earlier == later).all():
        return False
    # That each row agrees, were one column drawn independently of the other.
    chance = float(np.searchsorted(np.sort(earlier), later, "right").mean() / len(earlier))
    return 0 < chance < 1 and len(earlier) * math.log(chance) < math.log(MAX_CHANCE_PROBABILITY / n_tests)


def put_in_order(columns: Sequence[Column], parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Exchange the dates of a row, in place, where they are not in the order that columns have.

    Parameters
    ----------
    columns : sequence of Column
    parts : list of (values, missing)
        Of each column, (n,): numbers of steps, and which are missing.
    """
    pairs = [(earlier, later) for later, column in enumerate(columns) for earlier in column.not_before]
    # An exchange may put one date behind a third: after so many rounds the earliest has come to its place.
    for _ in range(len({place for pair in pairs for place in pair})):
        for earlier, later in pairs:
            first, second = columns[earlier], columns[later]
            shift = ((second.origin or 0) - (first.origin or 0)) // first.step
            (before, gone), (after, lost) = parts[earlier], parts[later]
            swapped = (before > after + shift) & ~gone & ~lost
            if swapped.any():
                parts[earlier] = np.where(swapped, after + shift, before), gone
                parts[later] = np.where(swapped, before - shift, after), lost


def check_order(column: Column, columns: Sequence[Column]) -> None:
    """Raise ValueError unless a column that was read can be put behind those that it names."""
    of = [columns[place] for place in column.not_before if place < len(columns)]
    known = len(of) == len(set(column.not_before)) and all(map(may_be_ordered, [column, *of]))
    if not known or not all(other is not column and _share_steps(other, column) for other in of):
        raise ValueError(f"column {column.name!r} is not before columns {column.not_before[:10]}")
