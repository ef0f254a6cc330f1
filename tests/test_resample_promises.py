"""What imbalanced-learn tests of RandomOverSampler, SMOTE and SMOTENC, as this sampler promises it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from sklearn.datasets import make_classification
from sklearn.preprocessing import LabelBinarizer

from ganaug import ConditionalGAN, GANOverSampler


def sampler(**parameters):
    return GANOverSampler(
        ConditionalGAN(steps=2, base_channels=4, latent_dim=2), random_state=0, **parameters
    )


@pytest.fixture(scope="module")
def few():
    """Twenty rows of two numbers, 7, 5 and 8 of three classes."""
    X = np.random.default_rng(0).normal(size=(20, 2))
    return X, np.repeat([0, 1, 2], [7, 5, 8])


@pytest.fixture(scope="module")
def mixed():
    """Numbers, strings and integers that are categories; 70, 20 and 10 of three classes."""
    rng = np.random.default_rng(0)
    X = np.empty((100, 4), dtype=object)
    X[:, 0], X[:, 3] = rng.normal(size=100), rng.integers(0, 50, 100)
    X[:, 1], X[:, 2] = rng.choice(["a", "b", "c"], 100), rng.integers(0, 3, 100)
    return X, np.repeat([0, 1, 2], [70, 20, 10])


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize(
    ("strategy", "total"),
    [
        ("auto", {0: 8, 1: 8, 2: 8}),
        ("minority", {0: 7, 1: 8, 2: 8}),
        ("not minority", {0: 8, 1: 5, 2: 8}),
        ({0: 9, 2: 10}, {0: 9, 1: 5, 2: 10}),
        (lambda y: {1: 6}, {0: 7, 1: 6, 2: 8}),
    ],
)
def test_counts(as_frame, strategy, total, few):
    X, y = few
    X = pd.DataFrame(X, columns=["u", "v"]) if as_frame else X
    X_out, y_out = sampler(sampling_strategy=strategy).fit_resample(X, y)
    assert Counter(y_out.tolist()) == total
    assert type(X_out) is type(X)
    assert np.array_equal(np.asarray(X_out)[:20], np.asarray(X))


@pytest.mark.parametrize("ratio", [0.75, 0.8, 1.0])
def test_a_ratio_as_random_over_sampling_counts_it(ratio, few):
    X, y = few[0], few[1] == 1
    theirs = RandomOverSampler(sampling_strategy=ratio).fit_resample(X, y)[1]
    assert Counter(sampler(sampling_strategy=ratio).fit_resample(X, y)[1]) == Counter(theirs)


def test_a_ratio_for_three_classes_is_refused(few):
    with pytest.raises(ValueError, match="float"):
        sampler(sampling_strategy=0.5).fit_resample(*few)


@pytest.mark.parametrize("names", [["no", "yes"], [False, True], [-1, 1]])
@pytest.mark.parametrize("strategy", ["auto", "minority", "not majority"])
def test_labels_of_any_kind(names, strategy):
    X, y = make_classification(60, weights=[0.8], random_state=0)
    y = np.array(names)[y]
    y_out = sampler(sampling_strategy=strategy).fit_resample(X, y)[1]
    assert y_out.dtype == y.dtype
    assert len(set(Counter(y_out).values())) == 1


def test_one_hot_targets_come_back_one_hot(few):
    X, y = few
    one_hot = LabelBinarizer().fit_transform(y)
    y_out = sampler().fit_resample(X, one_hot)[1]
    assert y_out.shape == (24, 3)
    assert y_out.sum(0).tolist() == [8, 8, 8]


def test_several_labels_at_once_are_refused(few):
    X, _ = few
    with pytest.raises(ValueError, match="Imbalanced-learn currently supports"):
        sampler().fit_resample(X, np.random.default_rng(0).integers(0, 2, (20, 3)) | [1, 1, 0])


def test_one_label_is_refused(few):
    with pytest.raises(ValueError, match="needs to have more than 1 class"):
        sampler().fit_resample(few[0], np.zeros(20))


def test_fit_sets_the_strategy_and_trains_nothing(few):
    fitted = sampler().fit(*few)
    assert dict(fitted.sampling_strategy_) == {0: 1, 1: 3}
    assert not hasattr(fitted, "gan_")


def test_missing_values_pass_and_infinite_ones_do_not(few):
    X, y = few[0].copy(), few[1]
    X[[1, 9], 0] = np.nan
    X_out, _ = sampler().fit_resample(X, y)
    assert np.isnan(X_out[:20, 0]).sum() == 2
    assert not np.isnan(X_out[:, 1]).any()
    X[0, 1] = -np.inf
    with pytest.raises(ValueError, match="Column 1 .*infinite"):
        sampler().fit_resample(X, y)


def test_mixed_columns(mixed):
    X, y = mixed
    X_out, y_out = sampler().fit_resample(X, y)
    assert Counter(y_out.tolist()) == {0: 70, 1: 70, 2: 70}
    assert X_out.dtype == object
    new = X_out[100:]
    assert set(new[:, 1]) <= {"a", "b", "c"}
    assert set(new[:, 2]) <= {0, 1, 2}
    assert all(float(value).is_integer() for value in new[:, 3])
    assert min(X[:, 0]) <= min(new[:, 0]) <= max(new[:, 0]) <= max(X[:, 0])


def test_an_array_and_a_frame_of_the_same_values_give_the_same(mixed):
    X, y = mixed
    frame = pd.DataFrame(X, columns=list("abcd"))
    assert np.array_equal(sampler().fit_resample(frame, y)[0].to_numpy(), sampler().fit_resample(X, y)[0])


@pytest.mark.parametrize("dtype", ["category", "string", "bool", "Int64", "float32", "int16"])
def test_a_dtype_of_pandas_is_kept(dtype, few):
    X, y = few
    values = np.where(X[:, 0] > 0, "p", "q") if dtype in ("category", "string") else X[:, 0] > 0
    frame = pd.DataFrame({"number": X[:, 1], "other": pd.Series(values).astype(dtype)})
    X_out, _ = sampler().fit_resample(frame, y)
    assert X_out.dtypes.equals(frame.dtypes)
    assert X_out[:20].equals(frame)


def test_categories_only():
    rng = np.random.default_rng(0)
    X, y = rng.choice(["x", "y", "z"], (60, 3)), np.repeat([0, 1], [45, 15])
    X_out, _ = sampler().fit_resample(X, y)
    assert X_out.shape == (90, 3)
    assert set(X_out.ravel()) == {"x", "y", "z"}


def test_a_number_that_never_varies_in_the_small_class(few):
    X, y = few[0].copy(), few[1]
    X[y == 1, 0] = 0.0
    assert np.isfinite(sampler().fit_resample(X, y)[0]).all()


def test_dates_are_refused_by_name(few):
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=20), "number": few[0][:, 0]})
    with pytest.raises(ValueError, match=r"Column 'when' .*convert or drop it"):
        sampler().fit_resample(frame, few[1])


def test_column_names_are_known_afterwards(few):
    fitted = sampler()
    fitted.fit_resample(pd.DataFrame(few[0], columns=["u", "v"]), few[1])
    assert fitted.feature_names_in_.tolist() == ["u", "v"]
    assert fitted.get_feature_names_out().tolist() == ["u", "v"]
    assert fitted.n_features_in_ == 2
