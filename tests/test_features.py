"""Feature vectors: the codec, the calibrated draws of each class, and all that takes a generator of them."""

from __future__ import annotations

import json
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression
from torch.utils.data import TensorDataset

from ganaug import (
    AugmentedDataset,
    ConditionalGAN,
    GANAugment,
    GANOverSampler,
    HDF5Dataset,
    QualityGate,
    quality_report,
    recommend_counts,
    write_hdf5,
)
from ganaug.album import GANReplace
from ganaug.data.features import FeatureCodec
from ganaug.evaluation.classifiers import LinearFeatureClassifier
from ganaug.training.calibration import Calibration

COUNTS = [60, 50, 45, 8, 3]
N_FEATURES = 12


def vectors(counts=COUNTS, seed=0, signed=False):
    """Return features as after a ReLU, or with `signed` of both signs, float32; and string labels."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(len(counts), N_FEATURES)) + 4 * (not signed)
    y = np.repeat(np.arange(len(counts)), counts)
    X = centres[y] + rng.normal(size=(len(y), N_FEATURES)) * 0.7
    return (X if signed else np.maximum(X, 0)).astype(np.float32), np.array(list("abcde"))[y]


def features(**parameters):
    return ConditionalGAN(modality="features", random_state=0, **parameters)


@pytest.fixture(scope="module")
def fitted():
    X, y = vectors()
    return features().fit(X, y), X, y


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("tensor", [False, True])
def test_codec_round_trip(signed, dtype, tensor):
    X = vectors(signed=signed)[0].astype(dtype)
    X = torch.from_numpy(X) if tensor else X
    codec = FeatureCodec.fit(X)
    assert codec.roots is not signed
    again = FeatureCodec.from_config(json.loads(json.dumps(codec.to_config())))
    encoded = codec.encode(X)
    assert encoded.dtype == torch.float32
    assert 0.2 < encoded.std(dim=0).mean() < 3
    decoded = again.decode(encoded)
    assert type(decoded) is type(X)
    assert decoded.dtype == X.dtype
    np.testing.assert_allclose(np.asarray(decoded, float), np.asarray(X, float), rtol=2e-3, atol=1e-5)
    codec.check(X)


def nan(X):
    X[3, 5] = np.nan
    return X


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nan, "finite feature vectors, got nan in column 5 of row 3, the first of 1 such rows"),
        (lambda X: X / 0 * 1, "finite feature vectors, got .* in column 0 of row 0"),
        (lambda X: np.ones_like(X), "vectors that differ, got 166 alike: every column is constant"),
        (lambda X: X.astype(int), "must hold feature vectors of one of .*float32.* got int64: convert them"),
        (lambda X: X[:, :1], r"of 2 features or more, got shape \(166, 1\)"),
        (lambda X: X[:, :, None], r"must hold feature vectors \(n, n_features\).* got shape \(166, 12, 1\)"),
        (lambda X: pd.DataFrame(X), r"got a DataFrame: pass X.to_numpy\(\)"),
        (lambda X: X.astype(float) * 1e30, r"at most 1e\+18, got .*: scale them"),
    ],
)
def test_bad_vectors_are_refused_in_one_line(make, message):
    X, y = vectors()
    with np.errstate(all="ignore"):
        X = make(X)
    with pytest.raises(ValueError, match=message) as caught:
        features().fit(X, y)
    assert "\n" not in str(caught.value)


def test_constant_columns_are_named_once_and_stay_as_they_are():
    X, y = vectors()
    X[:, [2, 7]] = 0.0
    with pytest.warns(UserWarning, match=r"Columns \[2, 7\] of `X` are constant, 2 of 12"):
        gan = features().fit(X, y)
    assert not gan.sample(["e"] * 20, 0)[:, [2, 7]].any()
    X[:, 7] = vectors()[0][:, 7]
    features().fit(X, y)  # one of 12 is no cause for a warning


@pytest.mark.parametrize(
    "change", [{"n_features": 0}, {"dtype": "int64"}, {"scale": -1.0}, {"roots": 1}, {"more": 1}]
)
def test_configurations_that_fit_never_writes_are_refused(change):
    config = FeatureCodec.fit(vectors()[0]).to_config()
    with pytest.raises(ValueError, match="a codec"):
        FeatureCodec.from_config({**config, **change})


def test_other_vectors_than_those_of_fit_are_refused(fitted):
    gan, X, y = fitted
    for other in (X[:, :5], X.astype(float), torch.from_numpy(X)):
        with pytest.raises(ValueError, match=r"must be an ndarray of float32 vectors of shape \(12,\)"):
            gan.vary(other, y)


def test_a_poor_class_lies_between_its_own_mean_and_that_of_near_classes():
    X, y = vectors(signed=True)
    labels = np.unique(y, return_inverse=True)[1]
    encoded = torch.from_numpy(X)
    calibration = Calibration([encoded[:100], encoded[100:]], labels)
    assert torch.allclose(calibration.means[4], encoded[labels == 4].mean(0), atol=1e-5)
    near = calibration.lenders[4, :3]
    distances = (calibration.means[:3] - calibration.means[4]).norm(dim=1)
    assert near.argsort().tolist() == distances.argsort(descending=True).tolist()
    assert calibration.lenders[4, 3] == 0  # eight vectors are too few to lend
    assert torch.allclose(calibration.lenders.sum(1), torch.ones(5, dtype=torch.float64))
    wanted = (near / near.sum()).float() @ calibration.means[:3]
    n, prior = 3, calibration.prior_size
    expected = (n * calibration.means[4] + prior * wanted) / (n + prior)
    assert torch.allclose(calibration.targets[4], expected, atol=1e-5)


def test_the_prior_is_the_variance_within_over_that_between_classes():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 30)) * 0.5
    labels = np.repeat(np.arange(40), 50)
    X = torch.from_numpy(centres[labels] + rng.normal(size=(2000, 30)))
    assert Calibration([X], labels).prior_size == pytest.approx(4.0, rel=0.15)
    apart = Calibration([X + 1e6], labels)  # far from the origin, nothing is lost
    assert apart.prior_size == pytest.approx(Calibration([X], labels).prior_size, rel=1e-3)


def test_draws_have_the_mean_and_the_spread_that_are_claimed():
    X, y = vectors([400, 300, 3], signed=True)
    gan = features().fit(X, y)
    calibration = gan.members_[0].calibration
    drawn = gan.codec_.encode(gan.sample(["c"] * 8000, 0))
    assert torch.allclose(drawn.mean(0), calibration.targets[2], atol=0.06)
    encoded = gan.codec_.encode(X)
    parts = [torch.cov(encoded[y == label].T) for label in "abc"]
    expected = sum(w * part for w, part in zip(calibration.lenders[2].tolist(), parts, strict=True))
    assert (torch.cov(drawn.T) - expected).abs().max() < 0.1 * expected.abs().max()
    rich = gan.codec_.encode(gan.sample(["a"] * 4000, 0))
    assert torch.allclose(rich.mean(0), encoded[y == "a"].mean(0), atol=0.1)


def test_the_draws_of_a_call_scatter_about_the_right_mean_however_few_they_are():
    X, y = vectors(signed=True)
    gan = features().fit(X, y)
    targets = gan.members_[0].calibration.targets
    labels = np.array(list("aebeaabe"))
    drawn = gan.codec_.encode(gan.sample(labels, 0))
    for c, label in ((0, "a"), (1, "b"), (4, "e")):
        own = drawn[labels == label]
        even = own[: len(own) // 2 * 2]
        assert torch.allclose(even.mean(0), targets[c], atol=1e-5)
        assert (own[0] - targets[c]).norm() > 0.1


def test_samples_are_of_the_kind_of_the_training_vectors(fitted):
    gan, X, y = fitted
    sample = gan.sample(y, 3)
    assert sample.shape == X.shape
    assert sample.dtype == X.dtype
    assert (sample >= 0).all()
    assert np.array_equal(sample, gan.sample(y, 3))
    assert not np.array_equal(sample, gan.sample(y, 4))
    assert len(gan.sample([])) == 0
    assert gan.history_ == []
    assert gan.n_features_in_ == N_FEATURES


def test_vary_goes_from_the_vector_itself_to_a_new_draw(fitted):
    gan, X, y = fitted
    np.testing.assert_allclose(gan.vary(X, y, 0.0, 0), X, atol=1e-4)
    distances = [np.abs(gan.vary(X, y, strength, 0) - X).mean() for strength in (0.1, 0.4, 1.0)]
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("conditioning", ["shared", "per-class"])
@pytest.mark.parametrize("parameters", [{}, {"steps": 2}, {"architecture": "features+tabular", "steps": 1}])
def test_save_and_load(conditioning, parameters, tmp_path):
    X, y = vectors()
    gan = features(conditioning=conditioning, base_channels=4, **parameters).fit(X, y)
    gan.save(tmp_path)
    again = ConditionalGAN.load(tmp_path)
    assert again.digest() == gan.digest()
    assert np.array_equal(again.sample(y, 0), gan.sample(y, 0))
    assert np.array_equal(again.vary(X, y, 0.5, 0), gan.vary(X, y, 0.5, 0))


def test_training_refines_and_resumes(tmp_path):
    X, y = vectors()
    gan = features(steps=25, base_channels=4).fit(X, y, checkpoint=tmp_path)
    assert not np.array_equal(gan.sample(y, 0), features().fit(X, y).sample(y, 0))
    assert gan.history_[-1]["step"] == 25
    again = features(steps=25, base_channels=4).fit(X, y, checkpoint=tmp_path)
    assert again.digest() == gan.digest()


def test_parameters_of_features():
    X, y = vectors()
    with pytest.raises(ValueError, match=r"`architecture` .*'features', 'tabular'.* for features, got"):
        features(architecture="warping").fit(X, y)
    with pytest.raises(ValueError, match=r"for a table, got 'features'"):
        ConditionalGAN(architecture="features").fit(X, y)
    with pytest.raises(ValueError, match="`steps` must be 'auto' or an int of at least 0, got -1"):
        features(steps=-1).fit(X, y)
    with pytest.raises(ValueError, match="`steps` must be 'auto' or an int of at least 1, got 0"):
        ConditionalGAN(steps=0).fit(X, y)
    assert features().expected_seconds(X, y) == 0.0


def test_auto_takes_a_tensor_for_features_and_an_array_for_a_table():
    X, y = vectors()
    assert ConditionalGAN(steps=1, base_channels=4).fit(X, y).codec_.name == "table"
    gan = ConditionalGAN().fit(torch.from_numpy(X), y)
    assert gan.codec_.name == "features"
    assert isinstance(gan.sample(y, 0), torch.Tensor)


def test_in_a_pipeline_of_imbalanced_learn():
    X, y = vectors()
    X_test, y_test = vectors([20] * 5, seed=1)
    sampler = GANOverSampler(features(), random_state=0)
    model = make_pipeline(sampler, LogisticRegression(max_iter=500)).fit(X, y)
    assert model.score(X_test, y_test) > 0.8
    X_balanced, y_balanced = sampler.fit_resample(X, y)
    assert np.unique(y_balanced, return_counts=True)[1].tolist() == [60] * 5
    assert np.array_equal(X_balanced[: len(X)], X)
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(N_FEATURES)])
    resampled, _ = sampler.fit_resample(frame, y)
    assert list(resampled.columns) == list(frame.columns)
    assert (resampled.dtypes == np.float32).all()
    np.testing.assert_array_equal(resampled.to_numpy(), X_balanced)


def test_the_gate_takes_features(fitted):
    _, X, y = fitted
    gate = QualityGate(features()).fit(X, y)
    assert gate.neighbours_.codec.name == "features"
    assert all(isinstance(model, LinearFeatureClassifier) for model in gate.classifiers_)
    assert gate.sample(["a", "e"] * 5, 0).shape == (10, N_FEATURES)
    X_balanced, _ = GANOverSampler(QualityGate(features()), random_state=0).fit_resample(X, y)
    assert len(X_balanced) == 300


@pytest.mark.parametrize("tensor", [False, True])
def test_the_report_takes_features(tensor, fitted, tmp_path):
    _, X, y = fitted
    X_test, y_test = vectors([25] * 5, seed=1)
    X, X_test = (torch.from_numpy(part) if tensor else part for part in (X, X_test))
    gan = features().fit(X, y)
    report = quality_report(gan, X, y, X_test, y_test, per_class=30)
    assert report["overall"]["tstr"]["value"] > 0.7
    assert report["overall"]["memorization"]["value"] < 0.5
    report.to_html(tmp_path / "report.html")
    assert "principal components" in (tmp_path / "report.html").read_text()


def test_recommend_counts_takes_features():
    X, y = vectors([40, 30, 20, 8, 8])
    found = recommend_counts(features(), X, y, random_state=0)
    assert set(found.totals) == set("abcde")


@pytest.mark.parametrize("mode", ["replace", "vary"])
def test_augment_replaces_vectors_of_a_batch(mode, fitted):
    gan, X, y = fitted
    batch, labels = torch.from_numpy(X), y
    pool_size = 16 if mode == "replace" else "auto"
    augment = GANAugment(gan, p={"a": 0.0, "e": 1.0}, mode=mode, pool_size=pool_size, random_state=0)
    new, same = augment(batch, labels)
    assert same is labels
    assert new.dtype == batch.dtype
    changed = (new != batch).any(1).numpy()
    assert not changed[y == "a"].any()
    assert changed[y == "e"].all()


def test_augment_takes_single_vectors_and_samples_of_more_parts(fitted):
    gan, X, _ = fitted
    augment = GANAugment(gan, p=1.0, pool_size=8, random_state=0)
    vector, label = augment(torch.from_numpy(X[0]), "b")
    assert vector.shape == (N_FEATURES,)
    assert label == "b"
    out = augment({"features": torch.from_numpy(X[:4]), "label": ["a", "b", "c", "e"], "id": [1, 2, 3, 4]})
    assert out["features"].shape == (4, N_FEATURES)
    assert out["id"] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"no feature vector: expected a Tensor of floats of shape \(12,\)"):
        augment(torch.rand(3, 5), ["a", "b", "c"])


def test_files_of_vectors(fitted, tmp_path):
    gan, X, y = fitted
    path = write_hdf5(gan, tmp_path / "features.h5", {"d": 4, "e": 6}, real=(X, y), random_state=0)
    dataset = HDF5Dataset(path)
    assert len(dataset) == len(X) + 10
    vector, label = dataset[0]
    assert torch.equal(vector, torch.from_numpy(X[0]))
    assert dataset.classes[label] == "a"
    with h5py.File(path) as file:
        assert file["rows"].shape == (len(X) + 10, N_FEATURES)
    augment = GANAugment(path, p=1.0)
    new, _ = augment(torch.from_numpy(X[y == "e"]), ["e"] * 3)
    assert (new != torch.from_numpy(X[y == "e"])).any()


def test_what_is_for_images_only_refuses_vectors(fitted, tmp_path):
    gan, X, y = fitted
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(np.unique(y, return_inverse=True)[1]))
    for generator in (gan, QualityGate(features()).fit(X, y)):
        with pytest.raises(ValueError, match=r"`gan` must make images, got one that makes feature vectors"):
            AugmentedDataset(dataset, generator)
    path = write_hdf5(gan, tmp_path / "features.h5", 2, random_state=0)
    with pytest.raises(
        ValueError, match=r"`path` must be a file of images, got .* of shape \(12,\)"
    ) as caught:
        GANReplace(path)
    assert "\n" not in str(caught.value)


def test_nothing_warns_where_nothing_is_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features().fit(*vectors())
