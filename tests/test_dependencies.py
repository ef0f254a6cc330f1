from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import mixed_table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ganaug import ConditionalGAN
from ganaug.data.dependencies import find_determinants
from ganaug.data.tables import TableCodec


def dependent_table(n: int = 300) -> pd.DataFrame:
    """Schools of six kinds; their name, years and fee follow from the kind, the fee's band from the years."""
    kind = np.random.default_rng(1).integers(0, 6, n)
    names = np.array(["none", "primary", "lower", "upper", "college", None], dtype=object)
    fees = np.array([0.5, 0.5, 1.25, np.nan, 40.0, 90.0])
    return mixed_table(n).assign(
        name=names[kind],
        years=2 * kind + 4,
        fee=fees[kind],
        band=pd.Categorical(np.where(kind > 2, "high", "low"), categories=["low", "high", "unseen"]),
        small=(kind // 2).astype("int8"),
    )


@pytest.mark.parametrize("kind", ["frame", "array"])
def test_columns_that_follow_come_back(kind):
    table = dependent_table()[["name", "age", "years", "fee", "band", "small", "yes"]]
    X = table if kind == "frame" else table.to_numpy(dtype=object)
    codec = TableCodec.fit(X)
    assert [column.determinant for column in codec.columns] == [None, None, 0, 0, 0, 0, None]
    again = TableCodec.from_config(codec.to_config())
    back = again.decode(again.encode(X))
    if kind == "frame":
        pd.testing.assert_frame_equal(back, X)
    else:
        assert pd.DataFrame(back).equals(pd.DataFrame(X))
    wild = again.decode(torch.randn(500, *codec.shape))
    followers = ["name", "years", "fee", "band", "small"]
    columns = followers if kind == "frame" else [0, 2, 3, 4, 5]
    rows, known = (pd.DataFrame(part)[columns].to_numpy().tolist() for part in (wild, X))
    assert set(map(str, rows)) == set(map(str, known))


def test_synthetic_rows_do_not_contradict_themselves():
    X = dependent_table()
    y = np.repeat([0, 1], [250, 50])
    gan = ConditionalGAN(steps=20, random_state=0).fit(X, y)
    known = set(map(str, X[["name", "years", "fee", "band", "small"]].to_numpy().tolist()))
    for rows in (gan.sample(y, random_state=0), gan.vary(X[:40], y[:40], random_state=0)):
        assert set(map(str, rows[["name", "years", "fee", "band", "small"]].to_numpy().tolist())) <= known
        assert (rows.dtypes == X.dtypes).all()


def test_a_determinant_of_numbers_that_floats_round():
    tenths = np.random.default_rng(0).integers(1, 9, 200)
    X = pd.DataFrame(
        {"level": (tenths / 10).astype(np.float32), "grade": np.array(list("abcdefghi"))[tenths]}
    )
    X.loc[::9] = [np.nan, "none"]
    codec = TableCodec.fit(X)
    assert codec.columns[1].determinant == 0
    assert codec.columns[0].decimals == 1
    pd.testing.assert_frame_equal(codec.decode(codec.encode(X)), X)


def test_what_contradicts_its_determinant_is_replaced_and_what_is_unknown_is_refused():
    X = dependent_table()[["years", "name", "age"]]
    codec = TableCodec.fit(X)
    assert not torch.equal(codec.encode(X), codec.encode(X.assign(name="primary")))  # who compares sees it
    wrong = X[X["name"] == "college"].assign(name="primary")
    assert set(codec.decode(codec.encode(wrong))["name"]) == {"college"}
    with pytest.raises(ValueError, match="Column 'name' of `X` must hold one of"):
        codec.encode(X.assign(name="kindergarten"))


def test_a_determinant_that_is_determined_itself_is_passed_over():
    kind = np.arange(120) % 6
    # Of the first two each follows from the other; the third from both, the fourth from all.
    columns = [kind, 5 - kind, kind // 2, (kind > 3).astype(int)]
    assert find_determinants(columns, [True] * 4) == [None, 0, 0, 0]
    assert find_determinants(columns, [False, True, True, True]) == [1, None, 1, 1]
    assert find_determinants(columns, [False, False, True, True]) == [None, None, None, 2]


def test_a_determinant_of_which_another_is_shown_to_determine_nothing():
    pairs = np.repeat(np.arange(100), 2)
    fours, rare = pairs // 2, (pairs // 2 < 5).astype(int)
    assert find_determinants([fours, rare], [True] * 2) == [None, 0]
    assert find_determinants([pairs, rare], [True] * 2) == [None, None]  # of pairs more are alike by chance
    assert find_determinants([pairs, fours, rare], [True] * 3) == [None, 0, None]


def test_numbers_of_many_values_are_no_determinants():
    number = np.arange(200) % 40
    X = pd.DataFrame({"number": number, "district": number // 10, "street": [f"{n} st" for n in number]})
    assert [column.determinant for column in TableCodec.fit(X).columns] == [2, 2, None]
    assert [column.determinant for column in TableCodec.fit(X[["number", "district"]]).columns] == [
        None,
        None,
    ]


def test_what_chance_explains_is_no_dependence():
    rng = np.random.default_rng(0)
    rare = (np.arange(300) == 7).astype(int)  # follows from any column of which a value is there once
    kinds = np.r_[np.arange(9), rng.integers(9, 12, 291)]
    alone = np.arange(300)  # all differ: whatever follows from it
    pairs = np.repeat(np.arange(150), 2)
    half = np.repeat(rng.integers(0, 2, 150), 2)  # the same for both of each pair
    assert find_determinants([rare, kinds, alone], [True] * 3) == [None] * 3
    assert find_determinants([pairs, half, rare], [True] * 3) == [None, 0, None]
    assert find_determinants([pairs[:20], half[:20]], [True] * 2) == [None] * 2  # ten pairs: one in 2 ** 10
    noisy = half.copy()
    noisy[-1] = 1 - noisy[-1]
    assert find_determinants([pairs, noisy], [True] * 2) == [None] * 2


def test_a_dependence_of_the_first_rows_only_is_none():
    kind = np.tile(np.arange(4), 600)
    other = kind.copy()
    other[-1] = 0
    assert find_determinants([kind, other], [True] * 2) == [None, None]


@given(hnp.arrays(np.int64, st.tuples(st.integers(40, 80), st.just(2)), elements=st.integers(0, 3)))
@settings(max_examples=60, deadline=None)
def test_rows_come_back_whatever_follows(X):
    X = np.column_stack([X, X[:, 0] % 2, 10 * X[:, 1], X.sum(1), X[:, 0] // 3 + 5])
    if (X != X[0]).any():
        codec = TableCodec.fit(X)
        assert np.array_equal(codec.decode(codec.encode(X)), X)


def test_a_saved_dependence_is_checked():
    config = TableCodec.fit(dependent_table()[["name", "years"]]).to_config()
    assert config["columns"][1]["determinant"] == 0
    circle = copy.deepcopy(config)
    circle["columns"][0] |= {"determinant": 1, "lookup": [*config["columns"][0]["values"], None]}
    config["columns"][1]["lookup"].pop()
    for wrong in (config, circle):
        with pytest.raises(ValueError, match="'(years|name)' is not determined by '(years|name)'"):
            TableCodec.from_config(wrong)
