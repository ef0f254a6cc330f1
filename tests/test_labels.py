from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from ganaug import QualityGate, quality_report, recommend_counts, write_hdf5
from ganaug.data.labels import encode_labels, expand_counts, label_indices
from ganaug.evaluation.classifiers import SmallCNNClassifier
from ganaug.io.arrays import as_arrays


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0], r"one label for each of the 2 rows.*got shape \(1,\)"),
        ([[0, 1], [1, 0]], r"got shape \(2, 2\): of one-hot labels pass `y.argmax\(1\)`"),
        ([[0.5, 0.5], [1, 0]], r"got shape \(2, 2\)\."),
        ([0.0, np.nan], "missing labels, the first at row 1"),
        (["cat", float("nan")], "missing labels, the first at row 1"),
        (["cat", 1], "labels of one type, got int and str"),
        ([0.5, 1.7], "continuous"),
    ],
)
def test_bad_labels(y, message):
    with pytest.raises(ValueError, match=message):
        as_arrays((np.zeros((2, 8, 8), np.uint8), y))


@pytest.mark.parametrize(
    "column", [lambda y: y[:, None], lambda y: torch.from_numpy(y)[:, None], lambda y: y[:, None].tolist()]
)
def test_labels_of_one_column_are_taken_everywhere(column, stripes, fitted, tmp_path):
    """MedMNIST's are of shape (n, 1)."""
    X, y = stripes
    labels = column(y)
    assert as_arrays((X, labels))[1].tolist() == y.tolist()
    assert np.array_equal(fitted.sample(labels, 0), fitted.sample(y, 0))
    assert np.array_equal(fitted.vary(X, labels, random_state=0), fitted.vary(X, y, random_state=0))
    gan = clone(fitted).set_params(steps=1)
    assert np.array_equal(clone(gan).fit(X, labels).sample([0, 2], 0), gan.fit(X, y).sample([0, 2], 0))
    gate = QualityGate(fitted, classifier=SmallCNNClassifier(steps=1)).fit(X, labels)
    assert gate.classes_.tolist() == [0, 1, 2] and len(gate.sample(labels[:2], 0)) == 2
    path = write_hdf5(fitted, tmp_path / "a.h5", 1, real=(X, labels), random_state=0)
    assert as_arrays(path)[1][:60].tolist() == y.tolist()
    recommendation = recommend_counts(gan, X, labels)
    assert recommendation.totals == {0: 40, 1: 15, 2: 5}  # too few of a class for cross-validation
    synthetic = np.arange(60) > 50
    weights = [recommendation.sample_weight(given, synthetic) for given in (labels, y)]
    assert np.array_equal(*weights) and weights[0].shape == (60,)


def test_a_report_takes_labels_of_one_column():
    y = np.repeat([0, 1], 10)
    X = np.random.default_rng(0).normal(size=(20, 2)) + y[:, None]
    reports = [quality_report((X + 0.1, given), X, given, per_class=2) for given in (y[:, None], y)]
    assert str(reports[0]) == str(reports[1])


def test_dates_and_bytes_are_no_labels():
    for y in (np.array(["2020", "2021"], "M8[Y]"), [datetime.date(2020, 1, 1)] * 2, [b"a", b"b"]):
        with pytest.raises(
            ValueError, match="`y` must hold ints, strings, bools or floats, got (date|bytes)"
        ):
            as_arrays((np.zeros((2, 8, 8), np.uint8), y))


def test_encode_labels():
    classes, indices = encode_labels(np.array(["b", "a", "b", "a"]))
    assert classes.tolist() == ["a", "b"]
    assert indices.tolist() == [1, 0, 1, 0]
    with pytest.raises(ValueError, match="one class: 7"):
        encode_labels(np.array([7, 7]))
    with pytest.raises(ValueError, match="Class 'b' has 1 row; each class needs at least 2"):
        encode_labels(np.array(["a", "a", "b"]))


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        ([1, 3, 5], [5, 1], [2, 0]),
        ([1, 3, 5], 3, [1]),
        ([1, 3, 5], torch.tensor(3), [1]),
        ([1, 3, 5], torch.tensor([3, 3]), [1, 1]),
        (["a", "b"], ["b"], [1]),
        ([False, True], [True, False], [1, 0]),
        ([1, 3, 5], [], []),
        (["a", "b"], np.array(["b", "a"], dtype=object), [1, 0]),
        ([1, 3], np.array([3, 1], dtype=object), [1, 0]),
        (np.array([2**60 + 1, 2**60 + 3], np.uint64), np.array([2**60 + 3]), [1]),
        ([1, 3], np.array([3, 1], dtype=np.uint8), [1, 0]),
        (np.array(["a", "b"], dtype=object), ["b", "a"], [1, 0]),
    ],
)
def test_label_indices(classes, labels, expected):
    assert label_indices(labels, np.array(classes)).tolist() == expected


@pytest.mark.parametrize(
    ("labels", "got"), [([2], "2"), ([9], "9"), ([3, -1], "-1"), (["1"], "'1'"), ([None], "None")]
)
def test_unknown_labels_are_named(labels, got):
    with pytest.raises(ValueError, match=rf"among \[1, 3, 5\], got {got}"):
        label_indices(labels, np.array([1, 3, 5]))


@pytest.mark.parametrize(
    ("labels", "kind"), [(["b", "a"], "U"), ([3, np.int64(1)], "i"), ([True, False], "b"), ([2, 1.0], "f")]
)
def test_labels_of_one_kind_are_of_its_dtype(labels, kind):
    y = as_arrays((np.zeros((2, 8, 8), np.uint8), np.array(labels, dtype=object)))[1]
    assert y.dtype.kind == kind and y.tolist() == labels
    assert label_indices(labels[:1], np.unique(y)).tolist() == [1]


def test_missing_labels_of_pandas():
    y = pd.Series(["a", pd.NA, "b", "a"], dtype="string")
    with pytest.raises(ValueError, match="missing labels, the first at row 1"):
        as_arrays((np.zeros((4, 8, 8)), y))


@pytest.mark.parametrize(
    ("label", "message"),
    [("caf\udce9", r"text that UTF-8 can hold, got 'caf\\udce9'"), ("a\0b", "without NUL characters")],
)
@pytest.mark.parametrize("dtype", [object, ">U9", "<U9"])
def test_text_that_no_file_holds_is_no_label(label, message, dtype):
    X = np.zeros((4, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=message):
        as_arrays((X, np.array(["猫", label, "", "猫"], dtype=dtype)))
    assert as_arrays((X, np.array(["猫", "🐈", "", "猫"], dtype=dtype)))[1].tolist() == ["猫", "🐈", "", "猫"]


@pytest.mark.parametrize("count", [10**12 + 1, 10**18, 10**30])
def test_counts_of_which_no_file_holds_so_many(count):
    with pytest.raises(
        ValueError, match=f"`counts` must be at most 1000000000000, got {count} for class 'b'"
    ):
        expand_counts({"b": count}, np.array(["a", "b"]))
