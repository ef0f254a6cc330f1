from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from ganaug import ConditionalGAN
from ganaug.data.sums import find_sums
from ganaug.data.tables import TableCodec


def invoices(n=400):
    rng = np.random.default_rng(0)
    net = rng.integers(1_000, 90_000, n) / 100
    tax = np.round(0.19 * net, 2)
    shipping = rng.choice([0, 4.95, 9.95], n)
    tip = np.where(rng.random(n) < 0.02, rng.integers(100, 500, n) / 100, 0.0)
    total = np.round(net + tax + shipping + tip, 2)
    return pd.DataFrame({"net": net, "tax": tax, "shipping": shipping, "tip": tip, "total": total})


def relations(X):
    columns = TableCodec.fit(X).columns
    return {
        column.name: (column.relation[0], *sorted(columns[place].name for place in column.relation[1:]))
        for column in columns
        if column.relation is not None
    }


@pytest.mark.parametrize("n_parts", [3, 5, 8, 24])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, object])
def test_sums_of_many_columns_are_found(n_parts, dtype):
    rng = np.random.default_rng(n_parts)
    X = rng.integers(-500, 1000, (300, n_parts + 3))
    X[:, n_parts] = X[:, :n_parts].sum(1)
    assert relations(X.astype(dtype)) == {n_parts: ("sum", *range(n_parts))}


def test_a_rare_part_belongs_to_a_sum_of_cents():
    X = invoices(20_000)
    X["tip"] = np.where(np.arange(20_000) % 7_001 == 12, 2.5, 0.0)  # in three rows
    X["total"] = np.round(X["net"] + X["tax"] + X["shipping"] + X["tip"], 2)
    assert relations(X) == {"total": ("sum", "net", "shipping", "tax", "tip")}


def test_a_sum_may_be_rounded():
    rng = np.random.default_rng(0)
    X = rng.normal(100, 30, (300, 5))
    X[:, 4] = X[:, :3].sum(1).round(1)
    assert relations(X) == {4: ("sum", 0, 1, 2)}
    X[:, 4] = X[:, :3].sum(1).round(1) + 0.1 * (rng.random(300) < 0.5)
    assert relations(X) == {}


def test_other_columns_that_are_collinear_hide_no_sum():
    X = invoices()
    rng = np.random.default_rng(1)
    X["half"] = X["net"] / 2
    X["mean"] = X["total"] / 4
    X["rounded"] = X["mean"].round(2)
    X["percent"] = X["tip"] * 100
    X["fee"] = rng.integers(100, 999, len(X)) / 100
    X["cost"] = np.round(X["net"] + X["shipping"] + X["tip"] + X["fee"], 2)
    X["again"] = X["total"]
    expected = {
        "total": ("sum", "net", "shipping", "tax", "tip"),
        "again": ("sum", "net", "shipping", "tax", "tip"),
        "cost": ("sum", "fee", "net", "shipping", "tip"),
    }
    for _ in range(10):
        assert relations(X[rng.permutation(X.columns)]) == expected
    X["copy"] = X["tax"]
    for _ in range(10):
        found = relations(X[rng.permutation(X.columns)])
        assert found.keys() == expected.keys()
        assert found["cost"] == expected["cost"]
        for operation, *parts in found.values():
            assert operation == "sum"
            assert ("copy" in parts) + ("tax" in parts) <= 1


def with_collinear(rng, rounded):
    """Return columns, their decimals and the places of totals; and multiples and means that hide these."""
    parts = rng.lognormal(3, 1.5, (8, 150))
    parts = parts.round(2) if rounded else parts
    weights = np.array([rng.permutation(8) < rng.integers(3, 8) for _ in range(2)]).astype(float)
    X = [*parts, *(weights @ parts)]
    own = 2.0 if rounded else np.inf
    decimals = [own] * len(X)
    for _ in range(rng.integers(1, 6)):
        some = rng.permutation(8)[:3]
        column, places = [
            (X[rng.integers(10)] * rng.choice([-1, 0.01, 0.25, 0.5]), np.inf),
            (X[rng.integers(10)] * 100, own - 2),
            (parts[some].mean(0), np.inf),
            (rng.integers(1, 5, 3) @ parts[some], own),
        ][rng.integers(4)]
        X.append(column)
        decimals.append(places)
    return np.array(X), np.array(decimals), [8, 9]


def test_most_sums_are_found_among_many_collinear_columns():
    n_found = 0
    for seed in range(150):
        X, decimals, totals = with_collinear(np.random.default_rng(seed), rounded=seed % 2)

        def is_sum(parts, total, X=X):
            return len(parts) > 2 and np.allclose(X[parts].sum(0), X[total], rtol=1e-12, atol=1e-9)

        found = find_sums(X, decimals, np.full(len(X), 8e-15), is_sum)
        n_found += sum(total in found for total in totals)
    assert n_found > 0.93 * 300


def test_a_total_that_is_smaller_than_its_parts_is_found():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6)).round(3)
    X[:, 0] = (X[:, 1] / 1000 - X[:, 3] - X[:, 5]).round(3)  # the total of the three is small
    X[:, 2] = (X[:, 0] + X[:, 3] + X[:, 5]).round(3)
    assert relations(X) == {2: ("sum", 0, 3, 5)}


def test_sums_products_and_sums_of_two_are_parts_of_sums():
    rng = np.random.default_rng(0)
    price, quantity, a, b, c, d = rng.integers(1, 1000, (6, 300))
    X = {"a": a, "b": b, "c": c, "d": d, "price": price, "quantity": quantity, "product": price * quantity}
    X["subtotal"] = a + b
    X["total"] = a + b + c
    X["more"] = X["subtotal"] + c + d
    X["bill"] = X["product"] + c + d
    X["three"] = b + c + d
    X["five"] = X["three"] + a + price
    for _ in range(10):
        found = relations(pd.DataFrame(X)[rng.permutation(list(X))])
        assert found.keys() == {"product", "subtotal", "total", "more", "bill", "three", "five"}
        assert found["product"] == ("product", "price", "quantity")
        assert found["bill"] == ("sum", "c", "d", "product")
        assert found["three"] == ("sum", "b", "c", "d")


def test_large_integers():
    rng = np.random.default_rng(0)
    X = rng.integers(2**49, 2**50, (300, 5))  # their ratio is near 1, and computed exactly
    X[:, 4] = rng.integers(0, 9, 300)
    X[:, 2] = X[:, [0, 1, 3]].sum(1)
    assert relations(X) == {2: ("sum", 0, 1, 3)}
    X = rng.normal(size=(300, 4)) * 1e307
    assert relations(X) == {}


def test_what_could_be_chance_is_none():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert relations(rng.integers(0, 3, (10, 60))) == {}
        assert relations(rng.integers(0, 50, (12, 100))) == {}
        assert relations(rng.poisson(0.05, (200, 60)).astype(float)) == {}
        X = rng.integers(0, 99, (10, 20))  # that few rows agree says nothing, where there are many subsets
        X[:, 7] = X[:, [2, 5, 11]].sum(1)
        assert relations(X) == {}
    X = rng.integers(1000, 9999, (12, 16))
    X[:, :8] //= 100
    X[:, 8] = X[:, :8].sum(1)
    assert relations(X) == {}
    X = rng.integers(0, 99, (40, 60))  # fewer rows than columns
    X[:, 7] = X[:, [2, 5, 11]].sum(1)
    assert relations(X) in ({}, {7: ("sum", 2, 5, 11)})


def test_one_other_row_rules_a_sum_out():
    X = invoices(5_000)
    X.loc[1234, "total"] += 0.01
    assert relations(X) == {}


@pytest.mark.parametrize("load", [load_breast_cancer, load_digits])
def test_ordinary_tables_hold_none(load):
    assert relations(load(as_frame=True).data) == {}


def test_columns_that_lack_values_and_booleans_are_in_no_sum():
    X = invoices()
    X.loc[3, "tip"] = np.nan
    assert relations(X) == {}
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.random((400, 3)) < 0.5, columns=["a", "b", "c"])
    X["count"] = X.sum(axis=1)
    X["x"] = rng.normal(size=400)
    X["y"] = rng.normal(size=400)
    assert relations(X) == {}


def test_a_flag_is_no_sum_of_flags():
    rng = np.random.default_rng(0)
    day = rng.integers(0, 7, 400)
    X = pd.DataFrame({f"day{i}": (day == i).astype(int) for i in range(7)})
    X["workday"] = (day < 5).astype(int)
    assert relations(X) == {}
    X["answers"] = X[["day0", "day1", "day2"]].sum(axis=1) + (extra := rng.integers(0, 2, 400))
    X["extra"] = extra
    assert relations(X) == {"answers": ("sum", "day0", "day1", "day2", "extra")}


def test_synthetic_rows_keep_sums_also_of_a_saved_model(tmp_path):
    X = invoices()
    gan = ConditionalGAN(steps=2, random_state=0).fit(X, X["net"] > 400)
    labels = [True] * 100 + [False] * 100
    made = gan.sample(labels, random_state=0)
    parts = made[["net", "tax", "shipping", "tip"]]
    assert np.abs(parts.sum(axis=1) - made["total"]).max() < 1e-9
    assert not made["total"].isin(X["total"]).all()
    assert (made["total"] == made["total"].round(2)).all()
    assert made.dtypes.equals(X.dtypes)
    gan.save(tmp_path / "model.pt")
    pd.testing.assert_frame_equal(
        ConditionalGAN.load(tmp_path / "model.pt").sample(labels, random_state=0), made
    )


@pytest.mark.parametrize(
    "relation",
    [
        ["product", 0, 1, 2],
        ["ratio", 0, 1, 2],
        ["sum", 0, 1, 1],
        ["sum", 1, 1],
        ["sum", 0, 1, 999],
        ["sum", 0, 1, -1],
        ["sum", 0, 1, True],
        ["sum", 0, 1, 2.0],
        ["sum", 0, 1, 3],
        ["sum", 0, 1, 4],
        ["sum", 0, 1, 5],
        ["sum", *range(3), *range(6, 103)],
        ["sum"],
    ],
)
def test_sums_that_no_fit_makes_are_refused(relation):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 1000, (300, 6)).astype(float)
    X[:, 3] = X[:, :3].sum(1)
    X[:, 5] = np.where(X[:, 5] < 500, np.nan, X[:, 5])
    config = TableCodec.fit(X).to_config()
    assert TableCodec.from_config(config).columns[3].relation == ["sum", 0, 1, 2]
    config["columns"] += [config["columns"][0] | {"name": place} for place in range(6, 103)]
    config["columns"][4]["relation"] = ["sum", 1, 2, 3]
    TableCodec.from_config(config)
    config["columns"][3]["relation"] = relation
    with pytest.raises(ValueError, match="column 3|circle"):
        TableCodec.from_config(config)
