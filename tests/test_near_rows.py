from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from ganaug import ConditionalGAN
from ganaug.data.tables import TableCodec
from ganaug.model import near_rows
from ganaug.model.near_rows import NearRows
from ganaug.training.pairs import ClassIndex


def near_of(X, labels, novelty=0.5):
    codec = TableCodec.fit(X)
    return NearRows(codec, codec.prepare(X), ClassIndex(np.asarray(labels)), novelty)


def rng():
    return torch.Generator().manual_seed(0)


def ranks_of(near, row, members, drawn):
    """The place of each drawn row among the members by distance from `row`, 0 for the nearest."""
    order = (near.X[members] - near.X[row]).norm(dim=1).argsort()
    place = dict(zip(members[order].tolist(), range(len(members)), strict=True))
    return np.array([place[other] for other in drawn.flatten().tolist()])


def test_near_rows_are_the_nearest_of_a_small_class_and_never_the_row_itself():
    X, y = load_wine(return_X_y=True)
    near = near_of(X, y)
    sources = torch.arange(len(y)).repeat(20)
    drawn = near.draw(sources, torch.from_numpy(y)[sources], rng())
    for row in (0, 177):  # of classes of 59 and 48
        members = np.flatnonzero((y == y[row]) & (np.arange(len(y)) != row))
        found = ranks_of(near, row, members, drawn[sources == row])
        assert set(found.tolist()) == set(range(round(2 * np.sqrt((y == y[row]).sum()))))


def test_of_a_large_class_they_are_of_the_nearest_too():
    X, y = np.random.default_rng(0).normal(size=(5000, 3)), np.repeat([0, 1], [4000, 1000])
    near = near_of(X, y)
    sources, generator = torch.full((10,), 7), rng()
    drawn = torch.cat([near.draw(sources, 0 * sources, generator) for _ in range(100)])
    found = ranks_of(near, 7, np.delete(np.arange(4000), 7), drawn)
    # Of the nearest 126 some are left out, and some beyond them come, as parts of the class are drawn.
    assert np.mean(found) == pytest.approx(63, rel=0.15)
    assert np.quantile(found, 0.99) < 190
    assert len(set(found.tolist())) > 120


def test_classes_of_two_rows():
    X, y = np.random.default_rng(0).normal(size=(1002, 3)), np.repeat([0, 1], [1000, 2])
    near = near_of(X, y)
    drawn = near.draw(torch.tensor([7, 1000, 1001]), torch.tensor([0, 1, 1]), rng())
    assert (drawn[0] < 1000).all() and (drawn[0] != 7).all()
    assert (drawn[1] == 1001).all() and (drawn[2] == 1000).all()


def test_numbers_lie_between_two_rows_and_missing_ones_stay():
    X = np.random.default_rng(0).normal(size=(100, 2))
    X[:30, 1] = np.nan
    near = near_of(X, np.zeros(100, int))
    sources, other = torch.arange(60), torch.arange(99, 39, -1)[:, None]
    rows = near.X[sources]
    moved = near.move_numbers(sources, other, rng())
    low, high = torch.minimum(rows, near.X[other[:, 0]]), torch.maximum(rows, near.X[other[:, 0]])
    assert ((moved >= low - 1e-6) & (moved <= high + 1e-6)).all()
    assert not torch.equal(moved[:, 0], rows[:, 0])
    assert torch.equal(moved[:30, 1:], rows[:30, 1:])
    backwards = near.move_numbers(other[:, 0], sources[:, None], rng())
    assert torch.equal(backwards[:30, 1], near.X[other[:30, 0], 1])


def test_to_a_value_that_many_rows_share_numbers_go_all_of_the_way_or_none():
    X = np.concatenate([np.zeros(70), np.random.default_rng(0).uniform(10, 20, 130)])[:, None]
    near = near_of(X, np.zeros(200, int))
    shared, others = torch.arange(70), torch.arange(70, 140)
    for sources, other in ((shared, others), (others, shared)):
        rows, ends = near.X[sources].repeat(50, 1), near.X[other].repeat(50, 1)
        moved = near.move_numbers(sources.repeat(50), other.repeat(50)[:, None], rng())
        assert ((moved == rows) | (moved - ends).abs().lt(1e-6)).all()
        assert (moved == rows).double().mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("novelty", [0.25, 1.0])
def test_categories_and_few_numbers_come_from_near_rows(novelty):
    X = pd.DataFrame({"few": [1.0] * 50 + [2.0] * 50, "letter": ["a"] * 50 + ["b"] * 50})
    near = near_of(X, np.zeros(100, int), novelty)
    rows = near.X[:50].repeat(100, 1)
    mixed = near.take_values(rows, torch.full((5000, near_rows.N_DRAWN), 99), rng())
    ((first, end),) = near.codec.spans
    assert torch.allclose((mixed[:, first:end] + 1) / 2, torch.tensor([1 - novelty, novelty]))
    assert float((mixed[:, 0] == near.X[99, 0]).float().mean()) == pytest.approx(novelty, abs=0.03)
    assert torch.equal(near.X[:50].repeat(100, 1), rows)  # neither is changed in place


def nearest(rows, X, scale):
    return np.linalg.norm((rows[:, None] - X) / scale, axis=2).min(1)


def test_samples_are_further_from_training_rows():
    X, y = load_wine(return_X_y=True)
    median = {}
    for novelty in (0.0, 0.5):
        gan = ConditionalGAN(steps=50, novelty=novelty, random_state=0).fit(X, y)
        median[novelty] = np.median(nearest(gan.sample(np.repeat([0, 1, 2], 200), 0), X, X.std(0)))
    assert median[0.5] > 1.15 * median[0.0]


def test_rare_combinations_of_categories_are_found():
    """Of the rows of a rule, half are held out."""
    rows = np.array(list(itertools.product("abc", repeat=6)))
    rare = ((rows[:, :3] == "a").sum(1) == 2) & (rows[:, 3] == "b")
    X, y = pd.DataFrame(rows, columns=list("uvwxyz")), rare.astype(int)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    held_out = set(map(tuple, X_test[y_test == 1].to_numpy()))
    found = {}
    for novelty in (0.0, 0.5):
        gan = ConditionalGAN(steps=100, novelty=novelty, random_state=0).fit(X_train, y_train)
        samples = set(map(tuple, gan.sample([1] * 300, 0).to_numpy()))
        found[novelty] = len(samples & held_out)
    assert found[0.5] > 1.2 * found[0.0]
