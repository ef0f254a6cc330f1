"""What scikit-learn demands of estimators, of `ConditionalGAN` and `QualityGate`; and how they are saved."""

from __future__ import annotations

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from imblearn.pipeline import make_pipeline
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, parametrize_with_checks

from ganaug import ConditionalGAN, GANOverSampler, QualityGate, as_arrays


def quick(**parameters):
    return ConditionalGAN(steps=1, base_channels=4, latent_dim=4, random_state=0, **parameters)


def gate():
    return QualityGate(quick(), classifier=DecisionTreeClassifier(max_depth=2), max_rounds=1)


ESTIMATORS = [quick(), gate()]


# All of them apply. Only that of the array API is skipped, as SCIPY_ARRAY_API is not set.
@parametrize_with_checks(ESTIMATORS)
def test_check_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_column_names(estimator, few):
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)
    fitted = clone(estimator).fit(pd.DataFrame(few[0], columns=list("abc")), few[1])
    assert (fitted.feature_names_in_.tolist(), fitted.n_features_in_) == (["a", "b", "c"], 3)
    assert not hasattr(fitted.fit(*few), "feature_names_in_")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_tags(estimator):
    tags = get_tags(estimator)
    assert tags.input_tags.allow_nan and tags.input_tags.string and not tags.input_tags.sparse
    assert tags.target_tags.required


@pytest.fixture(scope="module")
def few():
    """Twenty rows of three numbers, 13 and 7 of two classes."""
    return np.random.default_rng(0).random((20, 3)), np.repeat([0, 1], [13, 7])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, None), "estimator requires y to be passed, but the target y is None"),
        (lambda X, y: (X.tolist(), None), "estimator requires y to be passed"),
        (lambda X, y: (torch.from_numpy(X), None), "estimator requires y to be passed"),
        (lambda X, y: (X[:, :0], y), r"`X` has 0 feature\(s\) \(shape=\(20, 0\)\) while a minimum of 1"),
        (lambda X, y: (X + 1j, y), "`X` must hold real numbers, got complex128. Complex data not supported"),
        (lambda X, y: (X[:1], y[:1]), "at least 2 classes, got one class: 0"),
        (lambda X, y: (X, np.eye(2)[y]), r"got shape \(20, 2\): of one-hot labels pass `y.argmax\(1\)`"),
    ],
)
def test_bad_input(estimator, change, message, few):
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(*change(*few))


class Pictures(torch.utils.data.Dataset):
    """Images of 8 x 8, whose labels are of shape (1,), as MedMNIST's are."""

    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    labels = np.repeat([0, 1], [13, 7])[:, None]

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


def test_a_data_set_is_taken_without_labels():
    dataset = Pictures()
    expected = quick().fit(*as_arrays(dataset))
    assert expected.class_counts_.tolist() == [13, 7]
    for gan in (quick().fit(dataset), quick().fit(dataset.images, dataset.labels)):
        assert np.array_equal(gan.sample([0, 1], 0).squeeze(), expected.sample([[0], [1]], 0).squeeze())
    assert quick().expected_seconds(dataset) >= 0
    fitted = QualityGate(quick(), classifier=Flat()).fit(dataset)
    assert fitted.classes_.tolist() == [0, 1]
    assert fitted.n_features_in_ == 8


class Flat(DecisionTreeClassifier):
    """Trees of scikit-learn's, for images."""

    def fit(self, X, y):
        return super().fit(np.asarray(X).reshape(len(X), -1), y)

    def predict_proba(self, X):
        return super().predict_proba(np.asarray(X).reshape(len(X), -1))


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(Pictures())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_data_sets_that_are_refused(estimator, few):
    with pytest.raises(ValueError, match=r"got <.*Pictures.*: pass it without `y`.*as_arrays\("):
        clone(estimator).fit(Pictures(), few[1])
    for source in (torch.utils.data.DataLoader(Pictures()), Stream()):
        with pytest.raises(TypeError, match=f"`source` must be .*got {type(source).__name__}"):
            clone(estimator).fit(source)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, GANOverSampler(quick())])
def test_skops_takes_what_is_not_fitted(estimator):
    content = skops.io.dumps(estimator)
    trusted = skops.io.get_untrusted_types(data=content)
    assert all(name.startswith("ganaug.") for name in trusted)
    assert repr(skops.io.loads(content, trusted=trusted)) == repr(estimator)


@pytest.mark.filterwarnings("ignore:Class")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_skops_refuses_networks_before_it_writes(estimator, few, tmp_path):
    message = "fitted (ConditionalGAN|QualityGate) holds networks, which skops can't read back"
    fitted = clone(estimator).fit(*few)
    sampler = GANOverSampler(clone(estimator))
    model = make_pipeline(sampler, LogisticRegression()).fit(*few)
    for what in (fitted, model):
        with pytest.raises(ValueError, match=message):
            skops.io.dump(what, tmp_path / "file")
        assert not (tmp_path / "file").exists()
    del model[0].gan_
    content = skops.io.dumps(model)
    again = skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
    assert np.array_equal(again.predict_proba(few[0]), model.predict_proba(few[0]))
    assert again[0].sampling_strategy_ == model[0].sampling_strategy_


@pytest.mark.filterwarnings("ignore:Class")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_pickle_joblib_and_copy_keep_what_was_fitted(estimator, few, tmp_path):
    fitted = clone(estimator).fit(*few)
    expected = fitted.sample([0, 1, 1], 0)
    joblib.dump(fitted, tmp_path / "model")
    copies = [pickle.loads(pickle.dumps(fitted, protocol)) for protocol in range(6)]
    copies += [joblib.load(tmp_path / "model"), copy.copy(fitted), copy.deepcopy(fitted)]
    for again in copies:
        assert np.array_equal(again.sample([0, 1, 1], 0), expected)
        assert again.get_params().keys() == fitted.get_params().keys()
    assert not hasattr(clone(fitted), "classes_")
