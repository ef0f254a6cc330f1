"""The benchmark of tables of a collection: what it reads, how it measures, and its tables."""

from __future__ import annotations

import json
import sys
import types
import zipfile

import numpy as np
import pandas as pd
import pytest

from benchmarks import baselines, collection, imbalanced_tables, novelty
from benchmarks.gain import RESULTS
from benchmarks.tables.collection import collection_tables, novelty_table
from benchmarks.tables.shared import ROOT

KEEL = """@relation ecoli3
@attribute Size real [0.0, 1.0]
@attribute Colour {red, blue}
@attribute Class {positive, negative}
@inputs Size, Colour
@data
0.5, red, negative
0.25, blue, negative
1.0, blue, positive
"""


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "imbalanced.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{collection.FOLDER}/ecoli3/ecoli3.dat", KEEL)
        archive.writestr(f"{collection.FOLDER}/ecoli3/ecoli3.dat.bak", "nothing of use")
        archive.writestr(f"{collection.FOLDER}/ecoli33/ecoli33.dat", "of another table")
        archive.writestr(
            f"{collection.FOLDER}/hepatitis/hepatitis.data.txt", "1,30,2,?\n2,41,1,7\n2,52,1,9\n2,1,1,5\n"
        )
    return path


def test_tables_of_the_collection(wheel):
    X, y = imbalanced_tables.load("ecoli3", wheel)
    assert X["c0"].tolist() == [0.5, 0.25, 1.0]
    assert X["c1"].tolist() == ["red", "blue", "blue"]
    assert X["c1"].dtype == "category"
    assert y.tolist() == [0, 0, 1]
    X, y = collection.load("hepatitis", wheel)
    assert [dtype.kind if hasattr(dtype, "kind") else str(dtype) for dtype in X.dtypes] == ["i", "O", "O"]
    assert X["c2"].isna().tolist() == [True, False, False, False]
    assert y.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "message"), [("car-good", "is of none of the families"), ("glass1", "holds no table 'glass1'")]
)
def test_tables_that_are_not_to_be_seen(name, message, wheel):
    with pytest.raises(ValueError, match=message):
        collection.load(name, wheel)


def test_no_table_serves_two_ends():
    assert not set(collection.TUNING) & set(collection.REPORTED)


def test_whole_numbers_that_others_make_fractions_of_are_rounded():
    X = pd.DataFrame({"count": [1, 2], "size": [0.5, 1.5], "kind": pd.Categorical(["a", "b"])})
    made = pd.DataFrame({"count": [1.9, -0.9], "size": [0.7, 0.9], "kind": ["b", "a"]})
    rows = baselines.as_stored(made, X)
    assert rows["count"].tolist() == [2, -1]
    assert rows["size"].tolist() == [0.7, 0.9]
    pd.testing.assert_series_equal(rows.dtypes, X.dtypes)


def test_what_smote_variants_makes_becomes_a_table_again(monkeypatch):
    class Copies:
        def __init__(self, random_state):
            pass

        def sample(self, X, y):
            assert X.min() == 0 and X.max() == 1
            return np.concatenate([X, X[-1:] * 0.9]), np.append(y, 1)

    monkeypatch.setitem(sys.modules, "smote_variants", types.SimpleNamespace(ProWSyn=Copies))
    X = pd.DataFrame({"a": [1.0, np.nan, 3.0, 5.0], "b": pd.Categorical(["x", "y", None, "y"])})
    rows, y = baselines.smote_variant("ProWSyn", X, np.array([0, 0, 0, 1]), 0)
    assert rows["a"].tolist() == [1.0, 3.0, 3.0, 5.0, pytest.approx(4.6)]
    assert rows["b"].tolist() == ["x", "y", "y", "y", "y"]
    assert y.tolist() == [0, 0, 0, 1, 1]


def test_shuffled_rows_keep_their_labels_and_weights():
    X, y = pd.DataFrame({"a": np.arange(50)}), np.arange(50)
    rows, labels, weights = imbalanced_tables.shuffled(X, y, y / 2, seed=0)
    assert rows["a"].tolist() == labels.tolist() == (2 * weights).tolist()
    assert labels.tolist() != y.tolist()


def test_nearness():
    rng = np.random.default_rng(0)
    train, held_out, fresh = (
        pd.DataFrame({"a": rng.normal(size=300), "b": rng.choice(["x", "y"], 300)}) for _ in range(3)
    )
    assert novelty.nearer_to_training(train, train, held_out) == 1
    assert novelty.nearer_to_training(held_out, train, held_out) == 0
    assert novelty.nearer_to_training(fresh, train, held_out) == pytest.approx(0.5, abs=0.1)
    assert novelty.nearer_to_training(fresh, train, train) == 0.5


def test_tables_are_those_of_the_results():
    runs = json.loads((RESULTS / "collection.json").read_text())["runs"]
    assert collection_tables(runs) in (ROOT / "benchmarks" / "README.md").read_text()
    assert {run["table"] for run in runs} <= set(collection.REPORTED)
    notebook = (ROOT / "docs" / "lab" / "tables.md").read_text()
    assert novelty_table(json.loads((RESULTS / "novelty.json").read_text())) in notebook
