from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import StripeGenerator
from imblearn.pipeline import make_pipeline
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import FunctionTransformer

from ganaug import ConditionalGAN, GANOverSampler, QualityGate
from ganaug.selection.candidates import Candidate
from ganaug.selection.trials import Trial


def quick():
    return ConditionalGAN(steps=2, base_channels=4, latent_dim=4)


@pytest.mark.parametrize("share", ["auto", 0.5, 0])
def test_by_default_images_of_all_classes_are_even_and_have_the_same_share(share, stripes):
    X, y = stripes
    sampler = GANOverSampler(quick(), synthetic_share=share, random_state=0)
    X_out, y_out = sampler.fit_resample(X, y)
    size, n_synthetic = {"auto": (200, 160), 0.5: (80, 40), 0: (40, 0)}[share]
    assert np.bincount(y_out).tolist() == [size] * 3
    synthetic = sampler.synthetic_mask_
    assert np.bincount(y_out[synthetic], minlength=3).tolist() == [n_synthetic] * 3
    assert synthetic.tolist() == sorted(synthetic)
    added = {0: size - 40, 1: size - 15, 2: size - 5}
    assert sampler.sampling_strategy_ == {label: n for label, n in added.items() if n}
    assert hasattr(sampler, "gan_") == (share != 0)
    assert np.array_equal(X_out[:60], X)
    for label, n in enumerate([40, 15, 5]):
        own = X_out[~synthetic & (y_out == label)]
        times = np.unique(own, axis=0, return_counts=True)[1]
        assert len(times) == n
        assert times.max() - times.min() <= 1


def test_images_that_differ_are_bounded_by_default_but_not_where_a_number_is_asked_for(stripes, monkeypatch):
    monkeypatch.setattr("ganaug.adapters.resample.DEFAULT_PER_CLASS", 30)
    X, y = stripes
    asked = {"synthetic": 160, "distinct": 30}, {"synthetic": 160, "distinct": 160}
    for strategy, numbers in zip(("auto", {0: 200, 1: 175, 2: 165}), asked, strict=True):
        sampler = GANOverSampler(StripeGenerator([0, 1, 2]), sampling_strategy=strategy, random_state=0)
        X_out, y_out = sampler.fit_resample(X, y)
        for label in range(3):
            own = X_out[sampler.synthetic_mask_ & (y_out == label)]
            assert abs(np.median(own) - 125 * label) < 10
            times = np.unique(own, axis=0, return_counts=True)[1]
            assert {"synthetic": len(own), "distinct": len(times)} == numbers
            assert times.max() - times.min() <= 1
    # Rows of a table cost little.
    sampler = GANOverSampler(StripeGenerator([0, 1, 2], (64,)), synthetic_share=0.8, random_state=0)
    X_out, _ = sampler.fit_resample(X.reshape(60, 64), y)
    assert len(np.unique(X_out[sampler.synthetic_mask_], axis=0)) == 480


def test_a_share_of_a_table_and_of_another_strategy(stripes):
    X, y = stripes
    X_out, y_out = GANOverSampler(quick(), random_state=0).fit_resample(X.reshape(60, 64), y)
    assert np.bincount(y_out).tolist() == [40] * 3
    sampler = GANOverSampler(quick(), synthetic_share=0.5, random_state=0)
    X_out, y_out = sampler.fit_resample(X.reshape(60, 64), y)
    assert X_out.shape == (240, 64)
    assert np.bincount(y_out[sampler.synthetic_mask_]).tolist() == [40] * 3
    with pytest.raises(ValueError, match="`synthetic_share` must be 'auto' unless"):
        sampler.set_params(sampling_strategy="minority").fit_resample(X, y)


def test_originals_first_then_exactly_what_was_missing(stripes):
    X, y = stripes
    sampler = GANOverSampler(quick(), sampling_strategy="not majority", random_state=0)
    X_out, y_out = sampler.fit_resample(X, y)
    assert X_out.dtype == np.uint8
    assert X_out.shape == (120, 8, 8)
    assert np.array_equal(X_out[:60], X)
    assert np.array_equal(y_out[:60], y)
    assert y_out[60:].tolist() == [1] * 25 + [2] * 35
    assert sampler.synthetic_mask_.tolist() == [False] * 60 + [True] * 60
    assert not hasattr(sampler, "sample_indices_")


def test_rows_come_from_their_class(stripes):
    X_out, y_out = GANOverSampler(StripeGenerator([0, 1, 2]), sampling_strategy="not majority").fit_resample(
        *stripes
    )
    assert (X_out[60:] // 100).max(axis=(1, 2)).tolist() == y_out[60:].tolist()


@pytest.mark.filterwarnings("ignore:Class")
def test_the_default_is_a_gated_gan(stripes, monkeypatch):
    monkeypatch.setattr("ganaug.adapters.resample.ConditionalGAN", quick)
    sampler = GANOverSampler(random_state=7).fit(*stripes)
    first, again = (sampler.fit_resample(*stripes)[0] for _ in range(2))
    assert isinstance(sampler.gan_, QualityGate)
    assert sampler.gan_.random_state == sampler.gan_.gan.random_state
    assert sampler.gan_.report_[2]["accepted"] + sampler.gan_.report_[2]["fallback"] == 160
    assert np.array_equal(first, again)


class Recommendable(BaseEstimator):
    """A generator that can be fitted: stripes as flat images."""

    def fit(self, X, y):
        self.generator_ = StripeGenerator(np.unique(y))
        self.classes_ = self.generator_.classes_
        return self

    def sample(self, labels, random_state=None):
        return self.generator_.sample(labels, random_state)


@pytest.mark.parametrize(("low", "expected"), [(0.1, [200, 200, 200]), (-0.1, [40, 40, 40])])
@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (lambda y: y, lambda y: y),
        (lambda y: pd.DataFrame({"y": y}), lambda y: y["y"].to_numpy()),
        (lambda y: np.eye(3, dtype=int)[y], lambda y: y.argmax(1)),
    ],
    ids=["array", "frame", "one-hot"],
)
def test_recommended(low, expected, wrap, unwrap, stripes, monkeypatch):
    X, y = np.concatenate([stripes[0], stripes[0][-1:]]), np.append(stripes[1], 2)
    monkeypatch.setattr(
        "ganaug.selection.recommend.IMAGE_CANDIDATES",
        (Candidate("balance", None), Candidate("balance+1000", 0.8)),
    )
    monkeypatch.setattr("ganaug.evaluation.two_sample.CLASSIFIER_STEPS", 100)  # flat images are found out
    monkeypatch.setattr(
        "ganaug.selection.trials.paired_trial",
        lambda candidate, *_: Trial(
            candidate, 1.0, low if candidate.strategy != "balance" else low - 0.05, 2.0
        ),
    )
    sampler = GANOverSampler(Recommendable(), sampling_strategy="recommended", random_state=0)
    y_out = unwrap(sampler.fit_resample(X, wrap(y))[1])
    assert np.bincount(y_out).tolist() == expected
    assert sampler.sampling_strategy == "recommended"
    assert sampler.recommendation_.to_add == ({0: 1000, 1: 1025, 2: 1034} if low > 0 else {0: 0, 1: 0, 2: 0})
    assert np.bincount(y_out[sampler.synthetic_mask_], minlength=3).tolist() == [160 * (low > 0)] * 3


def test_flat_images(stripes):
    X, y = stripes
    flat = X.reshape(60, 64)
    by_shape = GANOverSampler(quick(), image_shape=(8, 8), random_state=0).fit_resample(flat, y)[0]
    assert by_shape.shape == (600, 64)
    assert np.array_equal(
        by_shape.reshape(-1, 8, 8), GANOverSampler(quick(), random_state=0).fit_resample(X, y)[0]
    )


def test_seeds(stripes):
    sampler = GANOverSampler(quick(), random_state=0)
    first, again, copied, other = (
        s.fit_resample(*stripes)[0]
        for s in (sampler, sampler, clone(sampler), GANOverSampler(quick(), random_state=1))
    )
    assert np.array_equal(first, again)
    assert np.array_equal(first, copied)
    assert not np.array_equal(first, other)


class Untouched:
    """Neither fitted nor asked for rows."""

    def fit(self, X, y):
        raise AssertionError

    sample = fit


def test_nothing_to_add_trains_nothing(stripes):
    X, y = stripes
    keep = np.r_[:5, 40:45, 55:60]
    sampler = GANOverSampler(Untouched())
    X_out, y_out = sampler.fit_resample(X[keep], y[keep])
    assert np.array_equal(X_out, X[keep])
    assert np.array_equal(y_out, y[keep])
    assert not sampler.synthetic_mask_.any()


def test_a_gan_is_cloned_a_frozen_one_is_not(stripes, fitted):
    given = quick()
    sampler = GANOverSampler(given, random_state=0).fit(*stripes)
    sampler.fit_resample(*stripes)
    assert not hasattr(given, "classes_")
    assert sampler.gan_ is not given
    frozen = clone(GANOverSampler(FrozenEstimator(fitted), random_state=0))
    X_out, y_out = frozen.fit_resample(*stripes)
    assert frozen.gan_.estimator is fitted
    assert len(X_out) == len(y_out) == 600


def test_in_pipelines(stripes):
    X, y = stripes
    flatten = FunctionTransformer(lambda X: X.reshape(len(X), -1) / 255)
    model = make_pipeline(GANOverSampler(quick(), random_state=0), flatten, LogisticRegression(max_iter=2000))
    assert cross_val_score(model, X, y, cv=2).shape == (2,)  # a failed fit warns, which is an error here
    search = GridSearchCV(model, {"ganoversampler__gan__steps": [1, 2]}, cv=2).fit(X, y)
    assert search.best_params_["ganoversampler__gan__steps"] in (1, 2)


@pytest.mark.parametrize(
    ("sampler", "change", "message"),
    [
        (GANOverSampler(image_shape=(8, 9)), lambda X: X.reshape(60, 64), r"got \(8, 9\)"),
        (GANOverSampler(), lambda X: np.where(X > 9, np.nan, X / 255), "NaN"),
    ],
)
def test_bad_input(sampler, change, message, stripes):
    X, y = stripes
    with pytest.raises(ValueError, match=message):
        sampler.fit_resample(change(X), y)


@pytest.mark.parametrize(
    ("gan", "message"),
    [
        (StripeGenerator([0, 1, 2], (16, 16)), r"shape \(480, 8, 8\), got \(480, 16, 16\)"),
        ("gan", "'gan' parameter .* must be None or an object implementing 'sample'. Got 'gan'"),
    ],
)
def test_a_generator_of_other_images_is_refused(gan, message, stripes):
    with pytest.raises(ValueError, match=message):
        GANOverSampler(gan).fit_resample(*stripes)


def test_gan_is_of_the_last_call(stripes):
    X, y = stripes
    keep = np.r_[:5, 40:45, 55:60]
    sampler = GANOverSampler(StripeGenerator([0, 1, 2]))
    sampler.fit_resample(X, y)
    assert hasattr(sampler, "gan_")
    sampler.fit_resample(X[keep], y[keep])
    assert not hasattr(sampler, "gan_")
