from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from ganaug import ConditionalGAN
from ganaug.data import relations as relations_module
from ganaug.data.tables import TableCodec


def payments(n=400):
    rng = np.random.default_rng(0)
    price = rng.integers(100, 9_000, n) / 100
    quantity = rng.integers(1, 12, n)
    subtotal = np.round(price * quantity, 2)
    tax = np.round(0.19 * subtotal + rng.normal(size=n), 2)
    old = rng.integers(10_000, 99_999, n) / 100
    return pd.DataFrame(
        {
            "price": price,
            "quantity": quantity,
            "subtotal": subtotal,
            "tax": tax,
            "total": np.round(subtotal + tax, 2),
            "before": old,
            "after": np.round(old - 0.5 * price, 2),
            "paid": np.round(old - np.round(old - 0.5 * price, 2), 2),
            "share": np.round(tax / (subtotal + 1000), 3),
            "base": subtotal + 1000,
        }
    )


def relations(X):
    columns = TableCodec.fit(X).columns
    names = [column.name for column in columns]
    return {
        column.name: (column.relation[0], *(names[place] for place in column.relation[1:]))
        for column in columns
        if column.relation is not None
    }


def test_sums_products_and_ratios_are_found():
    found = relations(payments())
    assert found == {
        "total": ("sum", "subtotal", "tax"),
        "before": ("sum", "after", "paid"),
        "subtotal": ("product", "price", "quantity"),
        "share": ("ratio", "tax", "base"),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, object])
def test_of_arrays_of_any_dtype(dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 1000, (300, 3))
    X[:, 2] = X[:, 0] + X[:, 1]
    codec = TableCodec.fit(X.astype(dtype))
    assert codec.columns[2].relation == ["sum", 0, 1]
    back = codec.decode(codec.encode(X.astype(dtype)))
    assert back.dtype == dtype
    assert np.array_equal(back, X)
    assert (
        codec.decode(TableCodec.from_config(codec.to_config()).encode(X.astype(dtype))).tolist() == X.tolist()
    )


@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes, load_iris, load_wine])
def test_ordinary_tables_hold_none(load):
    assert relations(load(as_frame=True).data) == {}


def test_what_could_be_chance_is_none():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (8, 30))  # in eight rows of 0 and 1, some of the many triples agree
    assert relations(X) == {}
    X = rng.normal(size=(200, 3))
    X[:, 2] = X[:, 0] + X[:, 1]
    X[100, 2] += 0.01  # in a single row, which is not among those that are looked at first
    assert relations(X) == {}


def test_synthetic_rows_keep_them():
    X = payments()
    gan = ConditionalGAN(steps=3, random_state=0).fit(X, X["price"] > 40)
    made = gan.sample([True] * 100 + [False] * 100, random_state=0)
    assert np.allclose(made["subtotal"], (made["price"] * made["quantity"]).round(2), atol=0.0051)
    assert np.allclose(made["total"], made["subtotal"] + made["tax"], atol=1e-6)
    assert np.allclose(made["before"], made["after"] + made["paid"], atol=1e-6)
    assert (made["paid"] > 0).all()
    assert made.dtypes.equals(X.dtypes)


def test_a_result_may_lie_outside_the_range_but_not_outside_the_dtype():
    rows = np.arange(100)
    X = np.stack([rows + 150, rows * 7 % 100, rows + 150 - rows * 7 % 100], axis=1).astype(np.uint8)
    codec = TableCodec.fit(X)
    assert codec.columns[0].relation == ["sum", 1, 2]
    encoded = codec.encode(X)[:1]
    encoded[:, 1:] = torch.tensor([-9.0, 9.0])  # 0 and the largest difference
    assert codec.decode(encoded).tolist() == [[X[:, 2].max(), 0, X[:, 2].max()]]
    encoded[:, 1:] = 9.0  # more than 255
    assert codec.decode(encoded)[0, 0] == 150


@pytest.mark.parametrize(
    "relation",
    [
        ["sum", 0, 9],
        ["sum", 0],
        ["power", 0, 1],
        ["sum", -1, 0],
        ["sum", 0.0, 1],
        "sum",
        ["sum", 2, 1],
        [[], 0, 1],
    ],
)
def test_relations_that_no_fit_makes_are_refused(relation):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 1000, (300, 3)).astype(float)
    X[:, 2] = X[:, 0] + X[:, 1]
    config = TableCodec.fit(X).to_config()
    assert TableCodec.from_config(config).columns[2].relation == ["sum", 0, 1]
    config["columns"][2]["relation"] = relation
    with pytest.raises(ValueError, match="column 2|circle"):
        TableCodec.from_config(config)


def test_columns_that_are_nearly_always_0_are_ruled_out_by_few_rows(monkeypatch):
    """Each three of them would be compared in all rows, which took a minute for 100 columns."""
    compared, agree = [], relations_module._agree
    monkeypatch.setattr(relations_module, "_agree", lambda *args: compared.append(0) or agree(*args))
    rng = np.random.default_rng(0)
    X = np.where(rng.random((2000, 30)) < 0.003, rng.integers(1, 1000, (2000, 30)), 0).astype(float)
    X[:, 29] = X[:, 0] + X[:, 1]
    codec = TableCodec.fit(X)
    assert codec.columns[29].relation == ["sum", 0, 1]
    assert len(compared) < 100
