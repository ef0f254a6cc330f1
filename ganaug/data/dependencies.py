"""Dependences: which columns of a table follow from another, as a code's name follows from the code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CHANCE = 1e-9  # of a dependence among columns that know nothing of each other, below which it is one
SOME = 1000  # rows that are looked at first


def find_determinants(columns: Sequence[np.ndarray], candidates: Sequence[bool]) -> list[int | None]:
    """Return for each column the place of one that it follows from, which follows from none itself.

    Column b follows from column a if rows of one value of a never differ in b, and would if a had nothing
    to do with b. Of two columns that follow from each other the first leads.

    Parameters
    ----------
    columns : sequence of ndarray of shape (n,)
        Each as numbers that are alike where its values are.
    candidates : sequence of bool
        Whether others are looked for that follow from this column.
    """
    some = np.stack([column[:SOME] for column in columns])
    follows: list[set[int]] = [set() for _ in columns]  # the columns that each follows from
    for a in np.flatnonzero(candidates).tolist():
        _, first, inverse = np.unique(some[a], return_index=True, return_inverse=True)
        for b in np.flatnonzero((some == some[:, first[inverse]]).all(1)).tolist():
            if a != b and _follows(columns[b], columns[a]):
                follows[b].add(a)
    led: set[int] = set()
    for b in reversed(range(len(columns))):
        if follows[b] - led:
            led.add(b)
    return [min(own - led, default=None) if b in led else None for b, own in enumerate(follows)]


def _follows(b: np.ndarray, a: np.ndarray) -> bool:
    _, first, inverse, counts = np.unique(a, return_index=True, return_inverse=True, return_counts=True)
    if (b != b[first[inverse]]).any():
        return False
    shares = np.unique(b, return_counts=True)[1] / len(b)
    with np.errstate(divide="ignore"):  # a chance too small for a float is small enough
        alike = np.log((shares ** counts[:, None]).sum(1))  # that a value's rows are, were b drawn at random
    return bool(alike.sum() < np.log(CHANCE))
