"""GANOverSampler on tables of every kind, in the tools of imbalanced-learn."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from conftest import mixed_table
from imblearn.ensemble import BalancedBaggingClassifier
from imblearn.pipeline import make_pipeline
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from ganaug import ConditionalGAN, GANOverSampler, QualityGate


def quick(steps=3):
    return ConditionalGAN(steps=steps, base_channels=8, latent_dim=4)


@pytest.fixture(scope="module")
def wine():
    """120 rows of 13 numbers; 59, 41 and 20 of the three classes."""
    X, y = load_wine(return_X_y=True)
    keep = np.r_[:59, 59:100, 130:150]
    return X[keep], y[keep]


Y = np.repeat(["no", "yes"], [160, 40])


def test_a_mixed_frame_comes_back_as_it_was_with_rows_below():
    X, y = mixed_table(), pd.Series(Y, name="bought")
    sampler = GANOverSampler(quick(), random_state=0)
    X_out, y_out = sampler.fit_resample(X, y)
    pd.testing.assert_frame_equal(X_out[:200], X)
    assert X_out.dtypes.equals(X.dtypes)
    assert list(X_out.columns) == list(X.columns)
    assert y_out.name == "bought"
    assert y_out[200:].tolist() == ["yes"] * 120
    assert sampler.synthetic_mask_.sum() == 120
    new = X_out[200:]
    for name in ("income", "age", "maybe"):
        assert new[name].min() >= X[name].min()
        assert new[name].max() <= X[name].max()
    for name in ("city", "size", "code", "text", "yes"):
        assert set(new[name].dropna()) <= set(X[name].dropna())


def test_missing_values_appear_at_the_rate_they_had():
    X = mixed_table(1000)
    y = np.repeat([0, 1], [600, 400])
    X.loc[y == 1, "income"] = X.loc[y == 1, "income"].fillna(9.0)  # none missing in class 1
    gan = ConditionalGAN(steps=60, random_state=0).fit(X, y)
    rows = gan.sample(np.repeat([0, 1], 2000), random_state=0)
    for label, part in enumerate((rows[:2000], rows[2000:])):
        for name in ("income", "city", "maybe", "size"):
            assert part[name].isna().mean() == pytest.approx(X[y == label][name].isna().mean(), abs=0.03)


def test_a_list_of_numbers_and_strings_comes_back_as_it_was():
    X = [[i % 5, "ab"[i % 2]] for i in range(60)]
    rows, _ = GANOverSampler(ConditionalGAN(steps=2), random_state=0).fit_resample(X, [0] * 40 + [1] * 20)
    assert rows[:60] == X
    assert {type(value) for row in rows[60:] for value in row} <= {int, float, str}
    assert len(rows) == 80


def test_arrays_of_another_byte_order():
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = [0] * 40 + [1] * 20
    found, expected = (
        GANOverSampler(ConditionalGAN(steps=2), random_state=0).fit_resample(rows, y)[0]
        for rows in (X.astype(">f8"), X)
    )
    np.testing.assert_array_equal(found, expected)


def test_a_tensor_is_refused_by_name():
    with pytest.raises(ValueError, match=r"got a Tensor: pass X.numpy\(\)"):
        GANOverSampler().fit_resample(torch.zeros(4, 1, 8, 8), [0, 0, 1, 1])


@pytest.mark.parametrize("strategy", ["recommended", "auto"])
def test_fit_checks_and_trains_nothing(strategy):
    X, y = np.random.default_rng(0).normal(size=(60, 3)), [0] * 40 + [1] * 20
    sampler = GANOverSampler(sampling_strategy=strategy).fit(X, y)
    assert not hasattr(sampler, "gan_")
    with pytest.raises(ValueError, match="inconsistent"):
        sampler.fit(X, y[:50])


def test_a_polars_frame():
    X = pl.DataFrame(
        {
            "a": pl.Series([1.5, None, 2.5, 4.0] * 50, dtype=pl.Float32),
            "b": pl.Series([1, 2, None, 3] * 50, dtype=pl.Int16),
            "c": pl.Series(["x", "y", None, "y"] * 50, dtype=pl.Categorical),
            "d": [True, False, True, None] * 50,
            "e": pl.Series([0.5, float("nan"), 2.5, None] * 50, dtype=pl.Float64, strict=False),
        }
    )
    X_out, y_out = GANOverSampler(quick(), random_state=0).fit_resample(X, Y)
    assert isinstance(X_out, pl.DataFrame)
    assert X_out.schema == X.schema
    assert X_out[:200].equals(X)  # also what is NaN and what is null
    assert len(X_out) == len(y_out) == 320


def test_nan_of_polars_is_not_null():
    a = [float("nan") if i % 3 == 0 else float(i) for i in range(30)]
    X = pl.DataFrame({"a": a, "b": [None, *range(29)]})
    rows, _ = GANOverSampler(ConditionalGAN(steps=2), random_state=0).fit_resample(X, [0] * 20 + [1] * 10)
    assert rows["a"].null_count() == 0
    assert rows["a"][30:].is_nan().any()
    assert rows["b"].null_count() >= 1


def test_polars_labels_come_back_as_a_series():
    X, y = pl.DataFrame({"a": np.arange(200.0)}), pl.Series("bought", Y)
    _, y_out = GANOverSampler(quick(), random_state=0).fit_resample(X, y)
    assert isinstance(y_out, pl.Series)
    assert (y_out.name, y_out.dtype, y_out[:200].to_list()) == ("bought", y.dtype, y.to_list())


def test_polars_labels_come_back_as_a_frame():
    X, y = pl.DataFrame({"a": np.arange(200.0)}), pl.DataFrame({"bought": Y})
    _, y_out = GANOverSampler(quick(), random_state=0).fit_resample(X, y)
    assert y_out.schema == y.schema
    assert y_out[:200].equals(y)
    assert len(y_out) == 320


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, pd.DataFrame])
def test_images_in_the_rows_of_a_table(kind):
    X = np.random.default_rng(0).integers(0, 256, (200, 64), dtype=np.uint8)
    out = GANOverSampler(quick(), image_shape=(8, 8), random_state=0).fit_resample(kind(X), Y)[0]
    assert isinstance(out, kind)
    assert out.shape == (1600, 64)
    plain = GANOverSampler(quick(), image_shape=(8, 8), random_state=0).fit_resample(X, Y)[0]
    assert np.array_equal(out.to_numpy() if kind is pd.DataFrame else out.toarray(), plain)
    if kind is pd.DataFrame:
        assert (out.dtypes == np.uint8).all()
        mixed = kind(X).astype({3: float})
        with pytest.raises(ValueError, match=r"of one numpy dtype, got \['float64', 'uint8'\]"):
            GANOverSampler(quick(), image_shape=(8, 8)).fit_resample(mixed, Y)


def test_a_sparse_matrix_gives_what_a_dense_one_gives():
    dense = np.random.default_rng(0).integers(0, 3, (200, 5)).astype(float)
    out = GANOverSampler(quick(), random_state=0).fit_resample(dense, Y)[0]
    sparse = GANOverSampler(quick(), random_state=0).fit_resample(scipy.sparse.csc_matrix(dense), Y)[0]
    assert sparse.format == "csc"
    assert np.allclose(sparse.toarray(), out)


def test_the_default_is_gated_and_class_exact(wine):
    X, y = wine
    sampler = GANOverSampler(QualityGate(ConditionalGAN(steps=200)), random_state=0)
    X_out, y_out = sampler.fit_resample(X, y)
    assert np.bincount(y_out).tolist() == [59, 59, 59]
    classifier = LogisticRegression(max_iter=5000).fit((X - X.mean(0)) / X.std(0), y)
    assert classifier.score((X_out[120:] - X.mean(0)) / X.std(0), y_out[120:]) > 0.9


def test_one_seed_one_table_whatever_else_is_drawn(wine):
    sampler = GANOverSampler(quick(), random_state=3)
    first = sampler.fit_resample(*wine)[0]
    state, threads = np.random.get_state()[1].copy(), torch.get_num_threads()
    torch_state = torch.get_rng_state()
    assert np.array_equal(sampler.fit_resample(*wine)[0], first)
    assert np.array_equal(np.random.get_state()[1], state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.get_num_threads() == threads


def test_ensembles_grids_and_caches(wine, tmp_path):
    X, y = wine
    bagging = BalancedBaggingClassifier(
        LogisticRegression(max_iter=5000), n_estimators=2, sampler=GANOverSampler(quick()), random_state=0
    )
    assert bagging.fit(X, y).score(X, y) > 0.6
    model = make_pipeline(
        GANOverSampler(quick(), random_state=0), LogisticRegression(max_iter=9000), memory=str(tmp_path)
    )
    assert cross_val_score(model, X / X.std(0), y, cv=2, n_jobs=2).shape == (2,)
    grid = {"ganoversampler__gan__steps": [1, 2], "logisticregression__C": [0.1, 1]}
    search = GridSearchCV(model, grid, cv=2).fit(X / X.std(0), y)
    assert search.best_params_["ganoversampler__gan__steps"] in (1, 2)


@pytest.mark.parametrize("dump", [pickle, joblib])
def test_a_fitted_sampler_pickles_and_resamples_equally(dump, wine, tmp_path):
    sampler = GANOverSampler(quick(), random_state=0)
    X_out, _ = sampler.fit_resample(*wine)
    with (tmp_path / "sampler").open("wb") as file:
        dump.dump(sampler, file)
    with (tmp_path / "sampler").open("rb") as file:
        again = dump.load(file)
    assert np.array_equal(again.fit_resample(*wine)[0], X_out)
    assert np.array_equal(again.gan_.sample([1, 2], 0), sampler.gan_.sample([1, 2], 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X.assign(age=np.inf), y), "Column 'age' .*infinite"),
        (lambda X, y: (X.assign(id=[f"id{i}" for i in range(200)]), y), "Column 'id' .*200 different"),
        (lambda X, y: (X, np.where(np.arange(200) == 3, None, y)), "missing labels, the first at row 3"),
        (lambda X, y: (X, np.arange(200) + 0.5), "continuous"),
        (lambda X, y: (X, y[:-1]), r"each of the 200 rows of `X`, got shape \(199,\)"),
        (lambda X, y: (X, np.where(np.arange(200) == 3, "one", y)), "Class 'one' has 1 row"),
        (lambda X, y: (X[[]], y), r"`X` has 0 feature\(s\) \(shape=\(200, 0\)\)"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        GANOverSampler(quick()).fit_resample(*change(mixed_table(), Y))


def test_a_generator_of_other_columns_is_refused():
    X = mixed_table()
    gan = quick().fit(X.astype({"age": float}), Y)
    from sklearn.frozen import FrozenEstimator

    with pytest.raises(ValueError, match="column 'age' int64, got float64"):
        GANOverSampler(FrozenEstimator(gan)).fit_resample(X, Y)
