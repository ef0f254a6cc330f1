"""Which columns of numbers are the sum of others: their least-squares coefficients are 1 and 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular

# Least squares need more rows than there are columns.
SCREENING_ROWS = 1000
# Of a column that is mostly the same, as many rows where it is not.
RARE_ROWS = 16
# A column depends on others if what these leave of it is no larger a share of it. Rounding to cents leaves
# more: a tax and the amount that it was computed from are two columns.
DEPENDENT_SHARE = 1e-12


def screening_rows(numbers: np.ndarray) -> np.ndarray:
    """Return which rows of numbers (n_columns, n) to look for sums in: some where each column varies."""
    n = numbers.shape[1]
    rows = [np.linspace(0, n - 1, min(n, SCREENING_ROWS)).astype(int)]
    for column in numbers:
        with np.errstate(over="ignore"):
            rare = np.flatnonzero(column != np.median(column))
        rows.append(rare[np.linspace(0, len(rare) - 1, min(len(rare), RARE_ROWS)).astype(int)])
    return np.unique(np.concatenate(rows))


class _Basis:
    """Columns that are linearly independent, by which others are expressed.

    Attributes
    ----------
    places : list of int
        Of these columns.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.places: list[int] = []
        self._directions = np.zeros(shape)  # orthonormal
        self._triangle = np.zeros((shape[1], shape[1]))  # what they must be multiplied by to be the columns

    def project(self, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the components of a column along the basis, and what is left of it."""
        directions = self._directions[:, : len(self.places)]
        along = directions.T @ column
        rest = column - directions @ along
        again = directions.T @ rest  # rounding errors of a column that is nearly dependent
        return along + again, rest - directions @ again

    def coefficients(self, along: np.ndarray) -> np.ndarray:
        """Return how often each column of the basis is in one of these components, by least squares."""
        n = len(self.places)
        return solve_triangular(self._triangle[:n, :n], along) if n else along

    def add(self, place: int, along: np.ndarray, rest: np.ndarray) -> None:
        """Add a column, given what `project` returned."""
        n, size = len(self.places), np.linalg.norm(rest)
        self._directions[:, n] = rest / size
        self._triangle[:n, n], self._triangle[n, n] = along, size
        self.places.append(place)


def find_sums(
    numbers: np.ndarray,
    decimals: np.ndarray,
    precisions: np.ndarray,
    is_sum: Callable[[list[int], int], bool],
) -> dict[int, list[int]]:
    """Return by the places of totals those of their parts, in ascending order.

    There are too many sets of columns to try each. So each column is expressed by those before it. Where many
    are multiples and means of others, a sum may be missed.

    Parameters
    ----------
    numbers : ndarray of shape (n_columns, n)
        Some rows. Columns of zeros are in no sum.
    decimals : ndarray of shape (n_columns,)
        To how many a column is rounded, infinity if it is not.
    precisions : ndarray of shape (n_columns,)
        What share of a number of each column may be an error of computation.
    is_sum : callable
        Called with the places of parts and of a total, whether these are to be returned.
    """
    with np.errstate(over="ignore"):
        sizes = np.abs(numbers).mean(1)
    # A total of parts that are never negative is larger than each, so it comes after them. A mean of them, or
    # half of one, would hide one if it came first: it has more decimals.
    order = [i for i in np.lexsort((sizes, decimals)).tolist() if 0 < sizes[i] < np.inf]
    scaled = np.zeros_like(numbers)
    scaled[order] = numbers[order] / sizes[order, None]
    # Columns of the triangle depend on each other by the same coefficients, and are shorter.
    triangle = np.asarray(np.linalg.qr(scaled.T, mode="r"))  # NumPy 2.4 types it as a pair
    shares = np.maximum(precisions, DEPENDENT_SHARE) * np.linalg.norm(triangle, axis=0)
    leaders, families = _families(triangle, sizes, shares, order)
    triangle, shares = triangle[:, leaders], shares[leaders]
    found: dict[int, list[int]] = {}
    last: list[int] = []  # of the families; each goes there once
    while True:
        n_found = len(found)
        first = [i for i in range(len(families)) if i not in last]
        misleading = _eliminate(triangle, shares, families, [*first, *last], found, is_sum)
        # What is left of a family depends on the parts of a total that was found in it.
        misleading |= {i for i, family in enumerate(families) if not family.keys().isdisjoint(found)}
        families = [{i: size for i, size in family.items() if i not in found} for family in families]
        if len(found) == n_found and misleading <= set(last):
            return found
        last += sorted(misleading.difference(last))


def _families(
    triangle: np.ndarray, sizes: np.ndarray, shares: np.ndarray, order: list[int]
) -> tuple[list[int], list[dict[int, float]]]:
    """Return columns that are no multiples of each other, and of each the sizes of its multiples by place.

    It is among them. The size of a multiple of opposite sign is negative.
    """
    leaders: list[int] = []
    families: list[dict[int, float]] = []
    for place in order:
        others = triangle[:, leaders]
        for sign in (1.0, -1.0):
            near = np.linalg.norm(others - sign * triangle[:, [place]], axis=0) <= shares[place]
            if near.any():
                families[int(near.argmax())][place] = sign * sizes[place]
                break
        else:
            leaders.append(place)
            families.append({place: sizes[place]})
    return leaders, families


def _eliminate(
    triangle: np.ndarray,
    shares: np.ndarray,
    families: list[dict[int, float]],
    order: list[int],
    found: dict[int, list[int]],
    is_sum: Callable[[list[int], int], bool],
) -> set[int]:
    """Express each family by those before it, and add to the sums that were found.

    Returns
    -------
    set of int
        Families that hide a sum if they stand for a part in the basis, as a mean of two parts does.
    """
    basis = _Basis((len(triangle), len(order)))
    misleading: set[int] = set()
    for i in order:
        along, rest = basis.project(triangle[:, i])
        coefficients = basis.coefficients(along)
        of = [families[j] for j in basis.places]
        terms = {place: _terms(size * coefficients, of) for place, size in families[i].items()}
        is_total = False
        for place, (places, weights) in terms.items():
            solved = _as_sum(places, np.rint(weights), place)
            if solved is not None and solved[1] not in found and is_sum(*solved):
                found[solved[1]] = solved[0]
                is_total = True
        if not terms or is_total:
            continue
        if np.linalg.norm(rest) > shares[i]:
            basis.add(i, along, rest)
            continue
        weights = np.abs(next(iter(terms.values()))[1])
        is_part = np.abs(weights - (weights > 0.5)) < 1e-3
        misleading |= {basis.places[j] for j in np.flatnonzero(~is_part)}
    return misleading


def _terms(sizes: np.ndarray, families: list[dict[int, float]]) -> tuple[list[int], np.ndarray]:
    """Return for terms of these sizes the member of each family of which a term is about once the column."""
    places, weights = [], []
    for size, family in zip(sizes.tolist(), families, strict=True):
        _, place, weight = min((abs(abs(size / own) - 1), i, size / own) for i, own in family.items())
        places.append(place)
        weights.append(weight)
    return places, np.array(weights)


def _as_sum(places: list[int], weights: np.ndarray, place: int) -> tuple[list[int], int] | None:
    """Return the parts and the total, if one of these columns and `place` is the sum of all the others."""
    added = [p for p, weight in zip(places, weights, strict=True) if weight == 1]
    taken = [p for p, weight in zip(places, weights, strict=True) if weight == -1]
    if len(added) + len(taken) != np.count_nonzero(weights):
        return None
    if not taken:
        return sorted(added), place
    return (sorted([place, *taken]), added[0]) if len(added) == 1 else None
