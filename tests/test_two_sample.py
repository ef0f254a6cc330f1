from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.utils import shuffle

from ganaug.evaluation.classifiers import SmallCNNClassifier
from ganaug.evaluation.two_sample import c2st_auc, near_duplicate_rate

pytestmark = pytest.mark.trained_classifiers
RNG = np.random.default_rng(0)
X, Y = shuffle(*load_digits(n_class=2, return_X_y=True), random_state=0)  # they come sorted by writer
X = np.round(X * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
SHIFTED = np.roll(X[:120], 1, axis=2)
SYNTHETIC = {
    "fresh": (X[240:], Y[240:]),
    "copies": (X[:120], Y[:120]),
    "shifted": (SHIFTED, Y[:120]),
    "noise": (RNG.integers(0, 256, (120, 8, 8), dtype=np.uint8), np.arange(120) % 2),
    "dimmed": ((X[240:] * 0.8).astype(np.uint8), Y[240:]),
}
SYNTHETIC = {
    kind: (synthetic[np.argsort(y, kind="stable")], np.sort(y)) for kind, (synthetic, y) in SYNTHETIC.items()
}


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr("ganaug.evaluation.two_sample.CLASSIFIER_STEPS", 200)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("fresh", 0.3, 0.7), ("copies", 0.0, 0.7), ("noise", 0.99, 1.0), ("dimmed", 0.95, 1.0)],
)
def test_what_a_classifier_distinguishes(kind, least, most):
    assert least <= c2st_auc(X[:120], Y[:120], *SYNTHETIC[kind], X[120:240], Y[120:240]) <= most


@pytest.mark.parametrize(("kind", "share"), [("fresh", 0), ("copies", 1), ("shifted", 1), ("noise", 0)])
def test_near_duplicates_are_counted(kind, share):
    assert near_duplicate_rate(X[:120], Y[:120], *SYNTHETIC[kind]) == pytest.approx(share, abs=0.05)


def test_classes_weigh_alike_in_training(monkeypatch):
    weights = []

    class Spy(SmallCNNClassifier):
        def fit(self, X, y, sample_weight):
            for part, labels in ((~y, few_labels), (y, synthetic_labels)):
                weights.append([sample_weight[part][labels == c].sum() for c in (0, 1)])
            return super().fit(X, y, sample_weight)

    monkeypatch.setattr("ganaug.evaluation.two_sample.SmallCNNClassifier", Spy)
    monkeypatch.setattr("ganaug.evaluation.two_sample.MAX_PER_CLASS_COMPARED", 10**6)
    few = np.concatenate([np.flatnonzero(Y[:120] == 0), np.flatnonzero(Y[:120] == 1)[:5]])
    few_labels = Y[few]
    synthetic, synthetic_labels = (a[::2] for a in SYNTHETIC["fresh"])
    c2st_auc(
        X[few],
        few_labels,
        *(np.repeat(a, 2, axis=0) for a in (synthetic, synthetic_labels)),
        X[120:],
        Y[120:],
    )
    of_0, of_1 = np.array(weights).T
    np.testing.assert_allclose(of_0, of_1)


def test_no_image_of_a_class_weighs_more_for_being_rare():
    """Held-out images of a rare class count as much as all others: here only they are distinguished."""
    synthetic, synthetic_labels = SYNTHETIC["fresh"]
    keep = np.setdiff1d(np.arange(120), np.flatnonzero(Y[120:240] == 1)[5:])
    held_out, labels = X[120:240][keep], Y[120:240][keep]
    held_out[labels == 1] = 255 - held_out[labels == 1]  # unlike any image it learnt from
    even = c2st_auc(X[:120], Y[:120], synthetic, synthetic_labels, held_out, labels)
    others = labels == 0
    without = c2st_auc(X[:120], Y[:120], synthetic, synthetic_labels, held_out[others], labels[others])
    assert abs(even - without) > 0.1
