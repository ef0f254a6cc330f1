from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from ganaug.evaluation.classifiers import SmallCNNClassifier, TreeEnsembleClassifier


def test_it_learns(stripes):
    X, y = stripes
    classifier = SmallCNNClassifier(steps=60).fit(X, np.array(["a", "b", "c"])[y])
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    assert np.mean(classifier.predict(X) == np.array(["a", "b", "c"])[y]) > 0.95
    proba = classifier.predict_proba(X)
    assert proba.shape == (60, 3)
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-5)
    assert classifier.features(X).shape[0] == 60


def test_balanced_draws_classes_alike(stripes):
    """On pure noise a classifier can only learn how often it saw each class."""
    X = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    y = stripes[1]
    new = np.random.default_rng(1).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    as_it_is, balanced = (
        SmallCNNClassifier(steps=40, balanced=balanced).fit(X, y).predict_proba(new).mean(0)
        for balanced in (False, True)
    )
    assert as_it_is[0] > balanced[0] + 0.1
    assert as_it_is[2] < balanced[2] - 0.05


def test_rows_of_no_weight_are_never_seen(stripes):
    X, y = stripes
    wrong = np.concatenate([X, X]), np.concatenate([y, 2 - y])
    weight = np.repeat([1.0, 0.0], 60)
    first = SmallCNNClassifier(steps=20).fit(*wrong, sample_weight=weight)
    assert np.array_equal(first.predict_proba(X), SmallCNNClassifier(steps=20).fit(X, y).predict_proba(X))


def test_seeds_and_global_state(stripes):
    state = torch.get_rng_state()
    first, again, other = (
        SmallCNNClassifier(steps=5, random_state=seed).fit(*stripes).predict_proba(stripes[0])
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_other_images_are_refused(stripes):
    with pytest.raises(NotFittedError):
        SmallCNNClassifier().predict(stripes[0])
    classifier = SmallCNNClassifier(steps=1).fit(*stripes)
    with pytest.raises(ValueError, match="as in fit"):
        classifier.predict(stripes[0][:, :7])


def test_unbalanced_trees_learn_no_row_by_heart():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), rng.integers(0, 2, 200)
    proba = TreeEnsembleClassifier(balanced=False).fit(X, y).predict_proba(X)
    assert proba[np.arange(200), y].max() < 0.95


@pytest.mark.parametrize("shape", [(64, 64, 3), (8, 64), (8, 8)])
def test_features_are_few_enough_to_compare(shape):
    X = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    features = SmallCNNClassifier(steps=1).fit(X, np.arange(8) % 2).features(X)
    assert features.shape == (8, 64 * 4 * 4)


def test_classifiers_in_threads_are_those_of_one_after_another(stripes):
    def proba(seed):
        return SmallCNNClassifier(steps=10, random_state=seed).fit(*stripes).predict_proba(stripes[0])

    alone = [proba(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert np.array_equal(alone, list(pool.map(proba, range(4))))
