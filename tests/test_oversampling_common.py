"""What imbalanced-learn demands of over-samplers, of every way to give `GANOverSampler` its GAN."""

from __future__ import annotations

from collections import Counter, OrderedDict
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from imblearn.ensemble import BalancedRandomForestClassifier
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from ganaug import ConditionalGAN, GANOverSampler

# The gate says that samples of a GAN of one step are no good.
pytestmark = pytest.mark.filterwarnings("ignore:Class .* passed the gate")


def quick():
    return ConditionalGAN(steps=1, base_channels=4, latent_dim=2, random_state=0)


def dense(X):
    return X.toarray() if scipy.sparse.issparse(X) else X


# Each makes a sampler for such data: with a GAN that it fits, with its own one, and with a fitted one.
CONFIGURATIONS = {
    "gan": lambda X, y: GANOverSampler(quick(), random_state=0),
    "default": lambda X, y: GANOverSampler(random_state=0),
    "fitted": lambda X, y: GANOverSampler(FrozenEstimator(quick().fit(dense(X), y)), random_state=0),
}


@pytest.fixture(params=CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def configuration(request, monkeypatch):
    monkeypatch.setattr("ganaug.adapters.resample.ConditionalGAN", quick)
    few_trees = partial(BalancedRandomForestClassifier, n_estimators=5)
    monkeypatch.setattr("imblearn.ensemble.BalancedRandomForestClassifier", few_trees)
    return request.param


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


STRATEGIES = {
    "auto": ("auto", {0: 1, 1: 3}),
    "minority": ("minority", {1: 3}),
    "not minority": ("not minority", {0: 1, 2: 0}),
    "not majority": ("not majority", {0: 1, 1: 3}),
    "all": ("all", {0: 1, 1: 3, 2: 0}),
    "dict": ({0: 9, 2: 10}, {0: 2, 2: 2}),
    "dict as it is": ({0: 7, 1: 5}, {0: 0, 1: 0}),
    "ordered dict": (OrderedDict([(2, 10), (0, 9)]), {2: 2, 0: 2}),
    "callable": (lambda y: {1: 6}, {1: 1}),
}


@pytest.mark.parametrize(("strategy", "added"), STRATEGIES.values(), ids=STRATEGIES)
def test_strategies(strategy, added, configuration, few):
    """Originals stand first and are as they were; then come the classes, in the order of the strategy."""
    X, y = few
    given = X.copy(), y.copy()
    sampler = configuration(X, y).set_params(sampling_strategy=strategy)
    X_out, y_out = sampler.fit_resample(X, y)
    assert np.array_equal(X, given[0]) and np.array_equal(y, given[1])
    assert np.array_equal(X_out[:20], X) and np.array_equal(y_out[:20], y)
    assert dict(sampler.sampling_strategy_) == added
    assert y_out[20:].tolist() == [label for label, n in sampler.sampling_strategy_.items() for _ in range(n)]
    assert sampler.synthetic_mask_.tolist() == [False] * 20 + [True] * sum(added.values())
    theirs = RandomOverSampler(sampling_strategy=strategy, random_state=0).fit_resample(X, y)[1]
    assert Counter(y_out) == Counter(theirs)


@pytest.mark.parametrize("ratio", [0.75, 0.8, 1.0])
def test_a_ratio_as_random_over_sampling_counts_it(ratio, configuration, few):
    X, y = few[0], few[1] == 1
    theirs = RandomOverSampler(sampling_strategy=ratio).fit_resample(X, y)[1]
    ours = configuration(X, y).set_params(sampling_strategy=ratio).fit_resample(X, y)[1]
    assert Counter(ours) == Counter(theirs)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (0.5, "can be a float only when the type of target is binary"),
        (1.5, "sampling_strategy"),
        ("majority", "sampling_strategy"),
        ("rnd", "sampling_strategy"),
        ([0, 1], "sampling_strategy"),
        ({0: -1}, "cannot be negative"),
        ({0: 3}, "should be greater or equal to the original number"),
        ({9: 30}, "not present in the data"),
        (lambda y: {0: 3}, "should be greater or equal to the original number"),
    ],
)
def test_what_random_over_sampling_refuses_is_refused(strategy, message, configuration, few):
    for sampler in (RandomOverSampler(), configuration(*few)):
        for method in (sampler.fit, sampler.fit_resample):
            with pytest.raises(ValueError, match=message):
                sampler.set_params(sampling_strategy=strategy)
                method(*few)


def test_a_ratio_that_is_exceeded_already_is_refused(few):
    y = np.repeat([0, 1], [11, 9])
    for sampler in (RandomOverSampler(sampling_strategy=0.5), GANOverSampler(sampling_strategy=0.5)):
        with pytest.raises(ValueError, match="required to remove samples from the minority class"):
            sampler.fit_resample(few[0], y)


@pytest.mark.parametrize(
    "names",
    [
        np.array(["no", "yes"]),
        np.array(["no", "yes"], object),
        np.array([False, True]),
        np.array([-1, 1], np.int8),
        np.array([3, 7], np.uint8),
        np.array([0.0, 1.0], np.float32),
    ],
    ids=lambda names: names.dtype.name,
)
@pytest.mark.parametrize("kind", ["array", "series"])
def test_labels_keep_their_kind_and_type(names, kind, configuration):
    X, codes = make_classification(60, weights=[0.8], random_state=0)
    y = pd.Series(names[codes], name="kind") if kind == "series" else names[codes]
    y_out = configuration(X, y).fit_resample(X, y)[1]
    assert (type(y_out), y_out.dtype) == (type(y), y.dtype)
    assert kind == "array" or y_out.name == "kind"
    assert np.array_equal(y_out[:60], y)
    assert len(set(Counter(y_out).values())) == 1


def one_hot(y, n=3):
    return np.eye(n, dtype=np.int16)[y]


# How labels may be given, and what of them comes back.
LABELS = {
    "list": (lambda y: y.tolist(), lambda y: y.tolist()),
    "column": (lambda y: y[:, None], lambda y: y),
    "column of text": (
        lambda y: np.array(["a", "b", "c"])[y][:, None],
        lambda y: np.array(["a", "b", "c"])[y],
    ),
    "Tensor": (torch.from_numpy, torch.from_numpy),
    "column as Tensor": (lambda y: torch.from_numpy(y)[:, None], torch.from_numpy),
    "DataFrame": (lambda y: pd.DataFrame({"t": y}), lambda y: pd.DataFrame({"t": y})),
    "categories": (
        lambda y: pd.Series(pd.Categorical(y, categories=[2, 1, 0, 5])),
        lambda y: pd.Series(pd.Categorical(y, categories=[2, 1, 0, 5])),
    ),
    "polars Series": (lambda y: pl.Series("t", y), lambda y: pl.Series("t", y)),
    "polars DataFrame": (lambda y: pl.DataFrame({"t": y}), lambda y: pl.DataFrame({"t": y})),
    "one-hot": (one_hot, one_hot),
    "one-hot of an absent class": (lambda y: one_hot(y, 4), lambda y: one_hot(y, 4)),
    "one-hot Tensor": (lambda y: torch.from_numpy(one_hot(y)), lambda y: torch.from_numpy(one_hot(y))),
    "one-hot DataFrame": (
        lambda y: pd.DataFrame(one_hot(y), columns=list("abc")),
        lambda y: pd.DataFrame(one_hot(y), columns=list("abc")),
    ),
}


@pytest.mark.parametrize(("given", "expected"), LABELS.values(), ids=LABELS)
def test_labels_in_any_container_come_back_in_it(given, expected, few):
    X, y = few
    y_out = GANOverSampler(quick(), random_state=0).fit_resample(X, given(y))[1]
    wanted = expected(np.concatenate([y, [0, 1, 1, 1]]))
    assert type(y_out) is type(wanted)
    if isinstance(wanted, list):
        assert y_out == wanted
    elif isinstance(wanted, pd.DataFrame | pd.Series | pl.DataFrame | pl.Series):
        assert y_out.equals(wanted)
    else:
        assert y_out.dtype == wanted.dtype and y_out.tolist() == wanted.tolist()


def test_one_hot_labels_of_two_classes_keep_both_columns(few):
    y = one_hot((few[1] == 1).astype(int), 2)
    y_out = GANOverSampler(quick(), random_state=0).fit_resample(few[0], y)[1]
    assert np.array_equal(y_out[:20], y) and y_out.sum(0).tolist() == [15, 15]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: one_hot(y) | [1, 1, 0], "Imbalanced-learn currently supports"),
        (lambda y: one_hot(y) * [1, 1, 0], r"`y` of shape \(20, 3\) must be one-hot, with one 1 in each row"),
        (lambda y: np.column_stack([y, y]), "y should be a 1d array"),
        (lambda y: np.zeros(20), "needs to have more than 1 class"),
        (lambda y: y[:-1], r"one label for each of the 20 rows of `X`, got shape \(19,\)"),
        (lambda y: None, "requires y to be passed, but the target y is None"),
        (lambda y: np.where(np.arange(20) == 0, 9, y), "Class 9 has 1 row"),
        (lambda y: np.where(np.arange(20) == 3, np.nan, y), "missing labels, the first at row 3"),
    ],
)
def test_labels_that_are_refused(change, message, few):
    sampler = GANOverSampler(quick())
    with pytest.raises(ValueError, match=message):
        sampler.fit_resample(few[0], change(few[1]))
    assert not hasattr(sampler, "gan_")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "object", "str"])
def test_rows_keep_their_dtype(dtype, configuration):
    X = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 9, (60, 3)).astype(dtype)
    y = np.repeat([0, 1], [45, 15])
    X_out, _ = configuration(X, y).fit_resample(X, y)
    assert (type(X_out), X_out.dtype, X_out.shape) == (np.ndarray, X.dtype, (90, 3))
    assert np.array_equal(X_out[:60], X)
    assert set(X_out[60:].ravel()) <= set(X.ravel()) | set(range(10))


@pytest.mark.parametrize(
    "kind",
    ["csr_matrix", "csc_matrix", "csr_array", "csc_array", "list", "fortran", "frame", "series of frame"],
)
def test_rows_come_back_in_their_container(kind, configuration, few):
    X, y = few[0].round(1), few[1]
    plain = configuration(X, y).fit_resample(X, y)[0]
    if "frame" in kind:
        X = pd.DataFrame(X, columns=["u", "v"], index=range(5, 25))
        y = pd.Series(y, index=X.index) if "series" in kind else y
    else:
        make = {"list": np.ndarray.tolist, "fortran": np.asfortranarray}.get(kind) or getattr(
            scipy.sparse, kind
        )
        X = make(X)
    X_out, y_out = configuration(X, y).fit_resample(X, y)
    assert type(X_out) is type(X)
    assert np.array_equal(X_out.toarray() if scipy.sparse.issparse(X) else np.asarray(X_out), plain)
    if "frame" in kind:
        assert X_out.columns.tolist() == ["u", "v"]
        assert X_out.index.tolist() == list(range(24))
    if "series" in kind:
        assert y_out.index.equals(X_out.index)


def test_polars_floats_keep_their_decimals():
    X = pl.DataFrame({"price": pl.Series(np.arange(100) * 1.3, dtype=pl.Float32).round(1)})
    X_out, _ = GANOverSampler(quick(), random_state=0).fit_resample(X, np.repeat([0, 1], [70, 30]))
    assert X_out.schema == X.schema
    assert X_out["price"].round(1).equals(X_out["price"])


@pytest.mark.parametrize("dtype", ["category", "string", "bool", "Int64", "float32", "int16"])
def test_a_dtype_of_pandas_is_kept(dtype, configuration, few):
    X, y = few
    values = np.where(X[:, 0] > 0, "p", "q") if dtype in ("category", "string") else X[:, 0] > 0
    frame = pd.DataFrame({"number": X[:, 1], "other": pd.Series(values).astype(dtype)})
    X_out, _ = configuration(frame, y).fit_resample(frame, y)
    assert X_out.dtypes.equals(frame.dtypes)
    assert X_out[:20].equals(frame)


def test_mixed_columns(configuration, mixed):
    X, y = mixed
    X_out, y_out = configuration(X, y).fit_resample(X, y)
    assert Counter(y_out.tolist()) == {0: 70, 1: 70, 2: 70}
    assert X_out.dtype == object
    new = X_out[100:]
    assert set(new[:, 1]) <= {"a", "b", "c"}
    assert set(new[:, 2]) <= {0, 1, 2}
    assert all(float(value).is_integer() for value in new[:, 3])
    assert min(X[:, 0]) <= min(new[:, 0]) <= max(new[:, 0]) <= max(X[:, 0])


def test_an_array_and_a_frame_of_the_same_values_give_the_same(mixed):
    X, y = mixed
    rows = [
        np.asarray(GANOverSampler(quick(), random_state=0).fit_resample(table, y)[0])
        for table in (X, pd.DataFrame(X, columns=list("abcd")))
    ]
    assert np.array_equal(*rows)


def test_categories_only(configuration):
    rng = np.random.default_rng(0)
    X, y = rng.choice(["x", "y", "z"], (60, 3)), np.repeat([0, 1], [45, 15])
    X_out, _ = configuration(X, y).fit_resample(X, y)
    assert X_out.shape == (90, 3)
    assert set(X_out.ravel()) == {"x", "y", "z"}


def test_a_number_that_never_varies_in_the_small_class(configuration, few):
    X, y = few[0].copy(), few[1]
    X[y == 1, 0] = 0.0
    assert np.isfinite(configuration(X, y).fit_resample(X, y)[0]).all()


def test_missing_values_pass_and_infinite_ones_do_not(configuration, few):
    X, y = few[0].copy(), few[1]
    X[[1, 9], 0] = np.nan
    X_out, _ = configuration(X, y).fit_resample(X, y)
    assert np.isnan(X_out[:20, 0]).sum() == 2
    assert not np.isnan(X_out[:, 1]).any()
    X[0, 1] = -np.inf
    with pytest.raises(ValueError, match="Column 1 .*infinite"):
        GANOverSampler(quick()).fit_resample(X, y)


def test_names_and_numbers_of_features(configuration, few):
    X, y = pd.DataFrame(few[0], columns=["u", "v"]), few[1]
    sampler = configuration(X, y)
    sampler.fit_resample(X, y)
    assert sampler.feature_names_in_.tolist() == sampler.get_feature_names_out().tolist() == ["u", "v"]
    assert sampler.n_features_in_ == 2
    assert not hasattr(sampler, "sample_indices_")  # new rows are none of the old ones
    sampler.fit(*few)
    assert not hasattr(sampler, "feature_names_in_")


def test_a_seed_decides_whatever_was_fitted_before(configuration, few):
    sampler = configuration(*few)
    first = sampler.fit_resample(*few)
    for again in (sampler, clone(sampler), configuration(*few).fit(*few), configuration(*few)):
        for one, other in zip(first, again.fit_resample(*few), strict=True):
            assert np.array_equal(one, other)
    other = clone(sampler).set_params(random_state=1, sampling_strategy={1: 30}).fit_resample(*few)
    assert np.bincount(other[1]).tolist() == [7, 30, 8]


def test_fit_sets_the_strategy_and_trains_nothing(configuration, few):
    sampler = configuration(*few)
    assert sampler.fit(*few) is sampler
    assert dict(sampler.sampling_strategy_) == {0: 1, 1: 3}
    assert not hasattr(sampler, "gan_")


def test_in_a_pipeline_that_sets_its_output_and_searches(configuration, few):
    X = pd.DataFrame(few[0], columns=["u", "v"])
    model = make_pipeline(StandardScaler(), configuration(X, few[1]), DummyClassifier())
    model.set_output(transform="pandas").fit(X, few[1])
    assert model["dummyclassifier"].n_features_in_ == 2
    grid = {"ganoversampler__sampling_strategy": ["auto", "minority"]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, few[1])
    assert search.best_params_["ganoversampler__sampling_strategy"] in ("auto", "minority")
    assert len(search.predict(X)) == 20


def test_a_data_set_is_refused_with_the_call_that_takes_it(few):
    dataset = torch.utils.data.TensorDataset(torch.zeros(20, 1, 8, 8), torch.from_numpy(few[1]))
    for method in (GANOverSampler().fit, GANOverSampler().fit_resample):
        for y in (None, few[1]):
            with pytest.raises(ValueError, match=r"got <.*TensorDataset.* as_arrays\(.*AugmentedDataset"):
                method(dataset, y)
