from __future__ import annotations

import itertools
import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import StripeGenerator
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from ganaug import ConditionalGAN, QualityGate
from ganaug.evaluation.classifiers import SmallCNNClassifier

pytestmark = pytest.mark.trained_classifiers


class Planted:
    """Fresh real rows, each once; every third is spoilt by ``spoil(label, rng)``, which may see `real`."""

    def __init__(self, fresh, spoil=None):
        self.rows = {c: list(rows) for c, rows in fresh.items()}
        self.classes_ = np.array(sorted(fresh))
        self.spoil, self.bad, self.good = spoil, set(), set()

    def sample(self, labels, random_state=None):
        rng = np.random.default_rng(random_state)
        rows = []
        for label in np.atleast_1d(labels):
            spoilt = self.spoil is not None and rng.random() < 0.3
            row = self.spoil(label, rng) if spoilt else self.rows[label].pop()
            (self.bad if spoilt else self.good).add((label, row.tobytes()))
            rows.append(row)
        return np.stack(rows)

    def shares(self, X, y):
        """Return which part of the bad rows is not in X, and which of the good is."""
        out = {(label, row.tobytes()) for label, row in zip(y, X, strict=True)}
        return 1 - len(out & self.bad) / len(self.bad), len(out & self.good) / len(self.good)


class Quick(LogisticRegression):
    """A classifier of scikit-learn's, for images."""

    def fit(self, X, y):
        self.process_ = os.getpid()
        return super().fit(np.asarray(X).reshape(len(X), -1) / 255, y)

    def predict_proba(self, X):
        return super().predict_proba(np.asarray(X).reshape(len(X), -1) / 255)


@pytest.fixture(scope="module")
def digits():
    """Training rows, as many for all but the last class, and fresh ones of each class."""
    data = load_digits()
    X = (data.images / 16 * 255).round().astype(np.uint8)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    rows = {c: X[order][data.target[order] == c] for c in range(10)}
    counts = [70] * 9 + [20]
    X_train = np.concatenate([rows[c][:n] for c, n in enumerate(counts)])
    return X_train, np.repeat(np.arange(10), counts), {c: rows[c][n:] for c, n in enumerate(counts)}


@pytest.fixture(scope="module")
def gate(digits):
    X, y, fresh = digits
    return QualityGate(Planted(fresh)).fit(X, y)


def spoilers(digits):
    X, y, fresh = digits
    everything = np.concatenate(list(fresh.values()))
    origin = np.repeat(list(fresh), [len(rows) for rows in fresh.values()])

    def wrong(label, rng):
        return everything[rng.choice(np.flatnonzero(origin != label))]

    def copy(label, rng):
        return X[rng.choice(np.flatnonzero(y == label))]

    def shifted(label, rng):
        return np.roll(copy(label, rng), rng.integers(-1, 2, 2), axis=(0, 1))

    def same(label, rng):
        return fresh[label][0]

    return {"wrong": wrong, "copy": copy, "shifted": shifted, "same": same}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("wrong", "misclassified"),
        ("copy", "near_duplicate"),
        ("shifted", "near_duplicate"),
        ("same", "duplicate"),
    ],
)
def test_planted_rows_are_rejected_and_good_ones_kept(kind, reason, digits, gate):
    planted = Planted(digits[2], spoilers(digits)[kind])
    gate.gan_ = planted
    labels = np.repeat(np.arange(10), 40)
    X = gate.sample(labels, random_state=0)
    assert X.shape == (400, 8, 8)
    rejected, kept = planted.shares(X, labels)
    assert kept > 0.8 * 0.95  # margin: some good rows are proposed beyond what was asked for
    if kind != "same":  # the first of them is good
        assert rejected >= 0.95
    counts = {name: sum(entry[name] for entry in gate.report_.values()) for name in gate.report_[0]}
    assert counts[reason] > 0.8 * sum(
        counts[name] for name in ("misclassified", "near_duplicate", "duplicate")
    )
    assert counts["accepted"] == 400
    assert counts["fallback"] == 0


def test_asking_fewer_classifiers_changes_no_decision(digits, gate):
    rows = np.concatenate(list(digits[2].values()))
    asked = np.random.default_rng(0).integers(0, 10, len(rows))
    mean = np.mean([model.predict_proba(rows) for model in gate.classifiers_], axis=0)
    own = mean[np.arange(len(rows)), asked]
    score, misclassified = gate._class_probability(rows, asked)
    expected = (mean.argmax(1) != asked) & (own < gate.min_class_probability_[asked])
    assert 0 < expected.sum() < len(rows)
    np.testing.assert_array_equal(misclassified, expected)
    np.testing.assert_allclose(score[expected], own[expected], rtol=1e-4)


def test_a_small_class_that_lies_within_another_keeps_its_rows():
    """Of a table a classifier sees hardly any row of it as such."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [600, 600, 20])
    X = rng.normal(size=(len(y), 4)) + np.array([0.0, 2.0, 1.0])[y][:, None]

    class Truth:
        classes_ = np.arange(3)

        def sample(self, labels, random_state=None):
            rng = np.random.default_rng(random_state)
            return rng.normal(size=(len(labels), 4)) + np.array([0.0, 2.0, 1.0])[labels][:, None]

    gate = QualityGate(Truth()).fit(X, y)
    gate.sample(np.repeat([0, 1, 2], 200), random_state=0)
    rejected = {c: entry["misclassified"] / entry["proposed"] for c, entry in gate.report_.items()}
    assert max(rejected.values()) < 0.3
    assert json.loads(json.dumps(gate.report_))


def test_rows_stay_with_their_labels(digits):
    X, y, fresh = digits
    gate = QualityGate(Planted(fresh), classifier=Quick()).fit(X, y)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 20))
    rows = gate.sample(labels, random_state=0)
    origin = {row.tobytes(): c for c, own in fresh.items() for row in own}
    assert [origin[row.tobytes()] for row in rows] == labels.tolist()
    assert set(gate.report_) == set(range(10))


def test_the_best_of_the_rejected_fill_up_with_a_warning(digits):
    X, y, _ = digits
    copies = {c: list(X[y == c].repeat(20, axis=0)) for c in range(10)}
    copies[3] = copies[4].copy()
    gate = QualityGate(Planted(copies), classifier=Quick(), max_rounds=2).fit(X, y)
    with pytest.warns(UserWarning) as warned:
        rows = gate.sample([3] * 10 + [7] * 10, random_state=0)
    assert len(rows) == 20
    assert (
        "Class 3: only 0 of 10 samples passed the gate in 2 rounds; most of the others were rejected as"
        " misclassified" in str(warned[0].message)
    )
    assert "Class 7" in str(warned[1].message)
    assert gate.report_[7]["fallback"] == gate.report_[7]["proposed"] - gate.report_[7]["near_duplicate"] + 10
    # No row is rejected for two reasons.
    for label, reason in ((3, "near_duplicate"), (3, "duplicate"), (7, "duplicate")):
        assert gate.report_[label][reason] == 0


def test_an_unfitted_gan_is_fitted_and_a_fitted_one_left_alone(stripes):
    X, y = stripes
    gan = ConditionalGAN(steps=2, base_channels=4, latent_dim=4, random_state=0)
    gate = QualityGate(gan, classifier=Quick()).fit(X, y)
    assert not hasattr(gan, "members_")
    assert hasattr(gate.gan_, "members_")
    fitted = clone(gan).fit(X, y)
    assert QualityGate(fitted, classifier=Quick()).fit(X, y).gan_ is fitted
    frozen = FrozenEstimator(fitted)
    assert QualityGate(frozen, classifier=Quick()).fit(X, y).gan_ is frozen
    generator = StripeGenerator([0, 1, 2])
    assert QualityGate(generator, classifier=Quick()).fit(X, y).gan_ is generator


@pytest.mark.filterwarnings("ignore:Class")
def test_a_seed_decides_the_rows(stripes):
    X, y = stripes
    gan = ConditionalGAN(steps=2, base_channels=4, latent_dim=4, random_state=0)
    first, again = (
        QualityGate(gan, classifier=Quick()).fit(X, y).sample([0, 2, 1] * 5, random_state=1) for _ in "ab"
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(
        first, QualityGate(gan, classifier=Quick()).fit(X, y).sample([0, 2, 1] * 5, random_state=2)
    )


@pytest.mark.filterwarnings("ignore:Class")
def test_classifiers_that_are_trained_side_by_side_are_the_same(digits):
    X, y = digits[0][:140], digits[1][:140]
    one, two = (
        QualityGate(StripeGenerator([0, 1]), classifier=Quick(), random_state=0, n_jobs=n).fit(X, y)
        for n in (None, 2)
    )
    np.testing.assert_allclose(two.min_class_probability_, one.min_class_probability_, rtol=1e-6)
    for mine, other in zip(one.classifiers_, two.classifiers_, strict=True):
        np.testing.assert_allclose(other.coef_, mine.coef_, rtol=1e-5, atol=1e-8)
        assert mine.process_ == os.getpid() != other.process_


def test_tensors_stay_tensors(stripes):
    X, y = torch.from_numpy(stripes[0])[:, None], stripes[1]
    gan = ConditionalGAN(steps=2, base_channels=4, latent_dim=4, random_state=0)
    rows = QualityGate(gan, classifier=Quick()).fit(X, y).sample([0, 1], random_state=0)
    assert isinstance(rows, torch.Tensor)
    assert rows.shape == (2, 1, 8, 8)
    assert rows.dtype == torch.uint8
    assert QualityGate(gan, classifier=Quick()).fit(X, y).sample([]).shape == (0, 1, 8, 8)


def test_tables():
    X, y = load_breast_cancer(return_X_y=True)
    fresh = {c: X[y == c][100:] for c in (0, 1)}
    rows = {c: X[y == c][:100] for c in (0, 1)}
    X_train, y_train = np.concatenate([rows[0], rows[1]]), np.repeat([0, 1], 100)
    for spoil, least in (
        (lambda label, rng: rng.permutation(fresh[1 - label])[0], 0.85),  # the classes overlap
        (lambda label, rng: rng.permutation(rows[label])[0] * 1.0001, 1.0),
    ):
        planted = Planted(fresh, spoil)
        gate = QualityGate(planted).fit(X_train, y_train)
        labels = np.repeat([0, 1], 50)
        rejected, kept = planted.shares(gate.sample(labels, random_state=0), labels)
        assert rejected >= least
        assert kept > 0.75


class FewRows:
    """Makes no more than ten different rows of a class."""

    classes_ = np.arange(2)

    def __init__(self, rows):
        self.rows = rows

    def sample(self, labels, random_state=None):
        picks = np.random.default_rng(random_state).integers(10, size=len(labels))
        return np.stack([self.rows[label][pick] for label, pick in zip(labels, picks, strict=True)])


def test_places_that_are_left_are_filled_with_all_kinds_of_duplicates():
    X, y = load_breast_cancer(return_X_y=True)
    gan = FewRows({c: X[y == c][-10:] for c in (0, 1)})
    gate = QualityGate(gan, classifier=make_pipeline(StandardScaler(), LogisticRegression())).fit(
        X[:400], y[:400]
    )
    with pytest.warns(UserWarning, match="rejected as duplicate. Some of those fill"):
        rows = gate.sample(np.ones(300, int), random_state=0)
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(counts) >= 8
    assert counts.max() < 75


class Cells:
    """Rows of four columns of categories, each class with its own frequencies."""

    classes_ = np.arange(2)

    def sample(self, labels, random_state=None):
        rng = np.random.default_rng(random_state)
        p = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
        return np.array([rng.choice(["a", "b", "c"], 4, p=p[label]) for label in labels], dtype=object)


def test_a_table_of_few_categories_is_not_emptied(recwarn):
    """Every row has twins there: that a new one has is no sign of a copy."""
    y = np.repeat([0, 1], [300, 60])
    gate = QualityGate(Cells()).fit(Cells().sample(y, 0), y)
    rows = gate.sample(np.ones(200, int), random_state=1)
    assert (
        gate.report_[1]["near_duplicate"] == gate.report_[1]["duplicate"] == gate.report_[1]["fallback"] == 0
    )
    assert abs((rows == "c").mean() - 0.5) < 0.06
    assert not [warning for warning in recwarn if "passed the gate" in str(warning.message)]


def test_copies_fill_up_before_rows_of_another_class(digits, gate):
    X, y, fresh = digits
    turn = itertools.count()

    class Hopeless(StripeGenerator):
        def sample(self, labels, random_state=None):
            rows = [X[y == label][0] if next(turn) % 2 else fresh[0][0] for label in np.atleast_1d(labels)]
            return np.stack(rows)

    gate.gan_ = Hopeless(range(10))
    with pytest.warns(UserWarning, match="passed the gate"):
        rows = gate.sample(np.full(20, 1), random_state=0)
    assert all(np.array_equal(row, X[y == 1][0]) for row in rows)


@pytest.mark.filterwarnings("ignore:Class")  # two steps make few rows that pass
def test_what_few_rows_have_is_known_to_all_folds():
    rng = np.random.default_rng(0)
    odd = [*rng.integers(0, 5, 89).tolist(), "unknown"]
    X = pd.DataFrame({"a": rng.normal(size=90), "b": [5.0] + [np.nan] * 89, "c": odd})
    y = np.repeat([0, 1], [60, 30])
    gan = ConditionalGAN(steps=2, base_channels=4, latent_dim=4, random_state=0)
    assert len(QualityGate(gan).fit(X, y).sample([0, 1, 1], random_state=0)) == 3


@pytest.mark.filterwarnings("ignore:Class")
def test_the_index_of_a_frame_is_numbered_anew():
    rng = np.random.default_rng(0)
    X, y = pd.DataFrame(rng.normal(size=(90, 3)), columns=list("abc")), np.repeat([0, 1], [60, 30])
    gan = ConditionalGAN(steps=2, base_channels=4, latent_dim=4, random_state=0)
    rows = QualityGate(gan).fit(X, y).sample([0, 1] * 4, random_state=0)
    assert rows.index.tolist() == list(range(8))


def test_no_seed_leaves_numpys_own_state_alone(digits, monkeypatch):
    monkeypatch.setattr("ganaug.selection.gate.CLASSIFIER_STEPS", 5)
    before = np.random.get_state()[1].tolist()
    QualityGate(Planted(digits[2])).fit(digits[0], digits[1]).sample([0, 1])
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gan": 5}, "`gan` must be a generator or a ConditionalGAN, got 5"),
        ({"max_rounds": 0}, "`max_rounds` must be an integer from 1 up, got 0"),
        ({"max_rounds": 1.5}, "`max_rounds` must be an integer from 1 up, got 1.5"),
        ({"max_rounds": 5.0}, "`max_rounds` must be an integer from 1 up, got 5.0"),
        ({"max_rounds": None}, "`max_rounds` must be an integer from 1 up, got None"),
        ({"classifier": LinearSVC()}, r"`classifier` must have predict_proba, got LinearSVC\(\)"),
        ({"n_jobs": 0}, "`n_jobs` must be a non-zero int or None, got 0"),
        ({"random_state": -1}, "`random_state` must be .* got -1"),
        ({"gan": StripeGenerator([0, 1])}, r"labels that `gan` doesn't know: \[2\]"),
    ],
)
def test_bad_parameters(change, message, stripes):
    with pytest.raises(ValueError, match=message):
        QualityGate(**{"gan": StripeGenerator([0, 1, 2]), **change}).fit(*stripes)


@pytest.mark.filterwarnings("ignore:Class")
def test_two_rows_of_a_class_are_enough(stripes):
    X, y = stripes
    y = y.copy()
    y[:2] = 9
    classifier = SmallCNNClassifier(steps=2)
    gate = QualityGate(StripeGenerator([0, 1, 2, 9]), classifier=classifier).fit(X, y)
    assert len(gate.sample([9] * 3, random_state=0)) == 3


def test_a_class_of_one_row_is_named(stripes):
    X, y = stripes
    y = y.copy()
    y[0] = 9
    with pytest.raises(ValueError, match="Class 9 has 1 row"):
        QualityGate(StripeGenerator([0, 1, 2, 9])).fit(X, y)
