from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from ganaug import ConditionalGAN
from ganaug.data.tables import TableCodec
from ganaug.model import category_odds
from ganaug.model.category_odds import CategoryOdds
from ganaug.training.pairs import ClassIndex


def shops(n, rng):
    """Rows of many rare categories and some missing ones, of two classes."""
    y = (rng.random(n) < 0.2).astype(int)
    place = 1 / np.arange(1, 21) ** (1 + y[:, None])
    town = (rng.random((n, 1)) < (place / place.sum(1, keepdims=True)).cumsum(1)).argmax(1)
    kind = pd.Series(np.where(rng.random(n) < 0.1 + 0.03 * town, "café", "store")).astype("category")
    kind[rng.random(n) < 0.2] = None
    return pd.DataFrame({"town": pd.Categorical(town), "kind": kind, "sales": rng.lognormal(y)}), y


def distance(a, b):
    """Total variation of two columns' frequencies, missing values among them."""
    first, second = (column.value_counts(normalize=True, dropna=False) for column in (a, b))
    return first.sub(second, fill_value=0).abs().sum() / 2


@pytest.mark.parametrize("novelty", [0.0, 0.75])
def test_categories_are_as_frequent_as_in_the_training_rows_of_a_class(novelty):
    X, y = shops(4000, np.random.default_rng(0))
    gan = ConditionalGAN(steps=100, novelty=novelty, random_state=0).fit(X, y)
    for c in (0, 1):
        rows = gan.sample([c] * 20_000, random_state=0)
        for name in ("town", "kind"):
            assert distance(rows[name], X[name][y == c]) < 0.045, (c, name)


def test_what_is_rare_among_few_rows_stays_possible():
    """Of a class of two rows the generator says how frequent categories are."""
    X = pd.DataFrame({"town": pd.Categorical(["a"] * 6 + ["b"] * 6)})
    labels = np.array([0] * 6 + [1] * 4 + [0] * 2)
    codec = TableCodec.fit(X)
    encoded = codec.prepare(X)
    odds = CategoryOdds(
        codec, encoded, ClassIndex(labels), lambda sources, classes, rng: torch.zeros(len(sources), 2)
    ).odds
    # Class 0 has 6 of "a" and 2 of "b", class 1 has 4 of "b"; the prior says 50 of each.
    assert odds[0, 0] / odds[0, 1] == pytest.approx(56 / 52, rel=1e-3)
    assert odds[1, 1] / odds[1, 0] == pytest.approx(54 / 50, rel=1e-3)


def test_odds_are_bounded():
    found = category_odds._fitted(torch.tensor([[1e-6, 1.0]]).double(), torch.tensor([0.5, 0.5]).double())
    assert found.tolist() == [category_odds.MAX_ODDS, 1 / category_odds.MAX_ODDS]


def test_rows_of_missing_categories_do_not_count():
    X = pd.DataFrame({"kind": pd.Categorical(["a", "a", "a", "b", None, None])})
    codec = TableCodec.fit(X)
    encoded = codec.prepare(X)

    def propose(sources, classes, rng):
        rows = torch.full((len(sources), 3), -1.0)
        rows[:, 0] = 1.0
        rows[sources >= 4] = torch.tensor([-1.0, 1.0, -1.0])  # of those where it is missing
        return rows

    odds = CategoryOdds(codec, encoded, ClassIndex(np.zeros(6, int)), propose).odds[0]
    assert odds[2] == 1
    # What is looked at is always "a", and of the four rows one is "b".
    assert odds[1] == category_odds.MAX_ODDS
