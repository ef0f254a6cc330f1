from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from ganaug import QualityGate
from ganaug.data.column_data import iter_columns
from ganaug.data.columns import fit_column
from ganaug.evaluation.neighbours import N_CANDIDATES, Neighbours


def images(n, shape=(12, 10), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(12, 10), (8, 8, 3), (28, 28)])
def test_images_are_the_same_after_a_shift_by_a_pixel(shape):
    X = images(40, shape)
    neighbours = Neighbours(X)
    for shift in ((1, 0), (-1, 1), (0, 0)):
        moved = neighbours.encode(np.roll(X, shift, axis=(1, 2)))
        assert neighbours.nearest(moved, neighbours.encode(X)).tolist() == pytest.approx([0] * 40, abs=1e-3)
    far = neighbours.encode(np.roll(X, (3, 0), axis=(1, 2)))
    assert neighbours.nearest(far, neighbours.encode(X)).min() > 1


def test_the_distance_is_that_of_inner_pixels():
    X = np.zeros((2, 8, 8), dtype=np.float32)
    X[1, 3:5, 3:5] = 1.0  # two in the range of [-1, 1], on four pixels
    points = Neighbours(X).encode(X)
    assert Neighbours(X).nearest(points, points, "rest").tolist() == pytest.approx([4.0, 4.0])


def test_among():
    X = np.repeat(images(3), 2, axis=0)
    neighbours = Neighbours(X)
    points = neighbours.encode(X)
    assert neighbours.nearest(points, points).max() < 1e-3
    assert neighbours.nearest(points, points, "rest").max() < 1e-3
    earlier = neighbours.nearest(points, points, "earlier")
    assert earlier[0].isinf()
    assert (earlier < 1e-3).tolist() == [False, True] * 3
    last = neighbours.nearest(points[4:], points, "earlier")
    assert (last < 1e-3).tolist() == [False, True]
    assert neighbours.nearest(points, points[:0]).isinf().all()


def test_the_nearest_is_found_as_brute_force_finds_it():
    rng = np.random.default_rng(0)
    X, others = rng.normal(size=(300, 5)) * [1, 2, 3, 4, 100], rng.normal(size=(500, 5)) * [1, 2, 3, 4, 100]
    neighbours = Neighbours(X)
    found = neighbours.nearest(neighbours.encode(X), neighbours.encode(others))
    scores, others = (neighbours.codec.encode(rows).double() for rows in (X, others))
    assert torch.allclose(scores.std(0), torch.ones(5).double(), atol=0.05)  # no column counts for more
    assert found.tolist() == pytest.approx(torch.cdist(scores, others).amin(1).tolist(), rel=1e-4)


def test_constant_columns_count_nothing():
    X = np.column_stack([np.arange(5.0), np.full(5, 7.0)])
    points = Neighbours(X).encode(X)
    assert Neighbours(X).nearest(points, points, "rest").isfinite().all()


@pytest.mark.parametrize("shape", [(8, 8), (28, 20), (12, 12, 3)])
def test_a_limit_loses_nothing_within(shape):
    X = images(60, shape)
    X[30:] = X[:30] // 2 + np.roll(images(30, shape, seed=1) // 2, 1, axis=2)
    neighbours = Neighbours(X)
    points = neighbours.encode(X)
    full = neighbours.nearest(points, points, "rest")
    limit = float(full.median())
    cut = neighbours.nearest(points, points, "rest", limit)
    assert torch.equal(cut[full <= limit], full[full <= limit])
    assert (cut[full > limit] > limit).all()


@pytest.mark.parametrize("n_columns", [4, 9])
def test_rows_of_categories_are_no_near_duplicates_where_few_are_possible(n_columns):
    """Of 3**4 rows all are there often; one of 3**9 has a twin by chance in one case of fifty."""
    X = np.random.default_rng(0).choice(["a", "b", "c"], (400, n_columns)).astype(object)
    neighbours = Neighbours(X)
    assert neighbours.near_duplicate_distance(neighbours.by_class(X, np.arange(400) % 2)) == -1


def test_only_twins_are_near_duplicates_where_many_rows_lie_a_category_apart():
    rng = np.random.default_rng(0)
    X = rng.choice(["a", "b", "c"], (20, 14))[rng.integers(20, size=400)]
    X[np.arange(400), rng.integers(14, size=400)] = rng.choice(["a", "b", "c"], 400)
    X = np.unique(X, axis=0).astype(object)
    neighbours = Neighbours(X)
    assert neighbours.near_duplicate_distance(neighbours.by_class(X, np.zeros(len(X), int))) == 0


@pytest.mark.parametrize("apart", [1, 30])
def test_a_few_rows_without_a_duplicate_set_no_limit(apart):
    """Else a gate would take nearly all rows for near duplicates."""
    X = np.repeat(np.random.default_rng(0).normal(size=(200, 3)), 2, axis=0)[: 400 - apart]
    neighbours = Neighbours(X)
    assert neighbours.near_duplicate_distance(neighbours.by_class(X, np.zeros(len(X), int))) == -1


def test_a_table_that_holds_each_possible_row_once_has_no_copies():
    """Its rare class shall not be filled with four rows that happen to be no twins."""
    X = np.array(list(itertools.product("abcd", "abcd", "abc", "abc", "abc")), dtype=object)
    y = (X[:, 0] == "a") & (X[:, 2] == "b")
    gate = QualityGate(Rows(X, y)).fit(X, y)
    assert gate.duplicate_distance_ == -1
    made = gate.sample([True] * 200, random_state=0)
    assert gate.report_[True]["near_duplicate"] == gate.report_[True]["duplicate"] == 0
    assert len(np.unique(made.astype(str), axis=0)) > 30  # of 36


@pytest.mark.parametrize(
    ("values", "n"),
    [
        (["a", "b", "a"], 2),
        (["a", None, "b"], 3),
        ([3, 7, 4], 5),
        ([0, 1000, 2000], 3),
        ([0.5, 1.25, 0.75], 4),
        ([0.1234567891, 0.2, 0.3], np.inf),
    ],
)
def test_how_many_values_a_column_may_have(values, n):
    (data,) = iter_columns(pd.DataFrame({"x": values}))
    assert fit_column(data).n_possible == pytest.approx(n)


class Rows:
    """Draws real rows of a class."""

    def __init__(self, X, y):
        self.X, self.y, self.classes_ = X, y, np.unique(y)

    def sample(self, labels, random_state=None):
        rng = np.random.default_rng(random_state)
        return self.X[[rng.choice(np.flatnonzero(self.y == label)) for label in labels]]


def test_where_all_rows_lie_equally_far_a_near_duplicate_is_half_as_far():
    """In many dimensions a hundredth of them lies hardly nearer than the others."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 40))
    neighbours = Neighbours(X)
    real = neighbours.by_class(X, np.zeros(2000, int))
    limit = neighbours.near_duplicate_distance(real)
    apart = neighbours.nearest(real[0], real[0], "rest")
    assert limit == pytest.approx(float(apart.median()) / 2)
    assert apart.min() > limit
    moved = X + rng.normal(size=X.shape) * 0.1  # still a near duplicate
    near = neighbours.nearest(neighbours.encode(moved), real[0]) <= limit
    assert near.float().mean() > 0.95


def test_some_rows_of_a_large_class_set_the_limit(monkeypatch):
    X = np.random.default_rng(0).normal(size=(2000, 3))
    neighbours = Neighbours(X)
    real = neighbours.by_class(X, np.arange(2000) % 2)
    limit = neighbours.near_duplicate_distance(real)
    monkeypatch.setattr("ganaug.evaluation.neighbours.MAX_REFERENCE_SAMPLES", 300)
    looked_at = []
    distance = neighbours._distance
    monkeypatch.setattr(neighbours, "_distance", lambda a, b: (looked_at.append(len(a)), distance(a, b))[1])
    assert neighbours.near_duplicate_distance(real) == pytest.approx(limit, rel=0.3)
    assert sum(looked_at) == 2 * 300 * N_CANDIDATES


@pytest.mark.parametrize("duplicates", [0, 100])
def test_rows_of_numbers_are_near_duplicates_if_closer_than_one_real_row_in_a_hundred(duplicates):
    X = np.random.default_rng(0).normal(size=(400, 3))
    X[:duplicates] = X[-1 - duplicates : -1]
    neighbours = Neighbours(X)
    real = neighbours.by_class(X, np.zeros(400, int))
    limit = neighbours.near_duplicate_distance(real)
    apart = neighbours.nearest(real[0], real[0], "rest")
    assert limit > 0
    assert 0 < ((apart > 0) & (apart <= limit)).float().mean() < 0.02


def test_a_category_that_no_row_had_is_far_from_all():
    X = pd.DataFrame({"a": np.arange(20.0), "b": ["p", "q"] * 10})
    neighbours = Neighbours(X)
    known, new = (X[:1].assign(b=value) for value in ("p", "never seen"))
    real = neighbours.encode(X)
    assert neighbours.nearest(neighbours.encode(known), real).tolist() == [0]
    assert neighbours.nearest(neighbours.encode(new), real) > 0.5


def test_pairs_are_measured_a_few_at_a_time(monkeypatch):
    points = Neighbours(images(60)).encode(images(60))
    whole = Neighbours(images(60)).nearest(points, points, "rest")
    monkeypatch.setattr("ganaug.evaluation.neighbours.BLOCK_SIZE", 7)
    assert torch.equal(Neighbours(images(60)).nearest(points, points, "rest"), whole)
