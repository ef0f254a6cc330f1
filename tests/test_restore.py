"""`ConditionalGAN.restore` and `GANImputer`: what they fill, and what they leave as it is."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import mixed_table
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ganaug import ConditionalGAN, GANImputer
from ganaug.data.table_values import TableValues
from ganaug.model import restorer
from ganaug.model.generator import TrainedGenerator
from ganaug.model.restoration import missing_cells


def quick(steps=1, **parameters):
    return ConditionalGAN(steps=steps, base_channels=4, latent_dim=4, random_state=0, **parameters)


@pytest.fixture(scope="module")
def digits():
    """Digits to learn from, others with a block missing, the block, and a GAN."""
    X, y = load_digits().images / 16, load_digits().target
    X = X.astype("float32")
    gan = quick(steps=2).fit(X[:1000], y[:1000])
    mask = np.zeros((200, 8, 8), bool)
    mask[:, 2:6, 3:7] = True
    return gan, X[1000:1200], y[1000:1200], mask


@pytest.fixture(scope="module")
def tumours():
    """Rows to learn from, others with missing values, and the same without."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    holes = np.random.default_rng(0).random(X.shape) < 0.2
    return X[:400].mask(holes[:400]), y[:400].to_numpy(), X[400:].mask(holes[400:]), X[400:]


def rmse(restored, X, mask):
    return float(np.sqrt(np.square((restored - X)[mask]).mean()))


def test_known_pixels_stay_and_missing_ones_come_near(digits):
    gan, X, y, mask = digits
    damaged = np.where(mask, np.float32(np.nan), X)
    restored = gan.restore(damaged, mask)
    assert restored.dtype == X.dtype and np.array_equal(restored[~mask], X[~mask])
    error = rmse(restored, X, mask)
    assert error < 0.75 * rmse(np.broadcast_to(X.mean(0), X.shape), X, mask)
    assert rmse(gan.restore(damaged, mask, y), X, mask) < error
    # A draw varies as images do, and so is off by more.
    draws = gan.restore(damaged, mask, n_draws=4, random_state=0)
    assert draws.shape == (4, *X.shape) and np.array_equal(draws[:, ~mask], np.stack([X[~mask]] * 4))
    assert error < rmse(draws.mean(0), X, mask) < rmse(draws[0], X, mask)
    assert np.array_equal(gan.restore(damaged, mask, n_draws=4, random_state=0), draws)
    assert not np.array_equal(gan.restore(damaged, mask, n_draws=4, random_state=1), draws)
    assert len(np.unique(draws[:, 0, mask[0]], axis=0)) > 1


def test_what_the_generator_makes_is_used(digits, monkeypatch):
    gan, X, _, mask = digits
    sources = []

    def towards(self, encoded, targets, classes):
        """A generator that knows the truth; each target has its known pixels from the damaged image."""
        truth = torch.from_numpy(2 * X[:1] - 1)[None]
        known = torch.from_numpy(~mask[:1])[None]
        assert ((targets == truth) | ~known).all() and (targets == encoded)[~known.expand_as(targets)].all()
        sources.append(encoded)
        return truth.expand_as(encoded)

    before = rmse(gan.restore(X[:1], mask[:1]), X[:1], mask[:1])
    monkeypatch.setattr(TrainedGenerator, "towards", towards)
    assert rmse(gan.restore(X[:1], mask[:1]), X[:1], mask[:1]) < 0.2 * before
    assert [len(encoded) for encoded in sources] == [restorer.N_CHANGED] * 2


def test_only_samples_of_the_class_are_looked_for(digits):
    gan, X, _, mask = digits
    everywhere = np.ones_like(mask[:10])  # nothing is known but the class
    restored = gan.restore(X[:10], everywhere, np.arange(10))
    means = np.stack([gan.members_[0].X[gan.members_[0].labels == c].mean(0) for c in range(10)])
    nearest = np.square(restored[:, None] - means).sum((2, 3)).argmin(1)
    assert nearest.tolist() == list(range(10))


def test_noise_is_taken_away_by_near_samples_alone(digits, monkeypatch):
    gan, X, _, _ = digits
    monkeypatch.setattr(TrainedGenerator, "towards", None)
    noisy = (X + np.random.default_rng(0).normal(0, 0.3, X.shape)).clip(0, 1).astype("float32")
    everywhere = np.ones(X.shape, bool)
    assert rmse(gan.restore(noisy), X, everywhere) < 0.8 * rmse(noisy, X, everywhere)


@pytest.mark.parametrize("conditioning", ["shared", "per-class"])
@pytest.mark.parametrize("kind", ["ndarray", "tensor"])
def test_colour_images(kind, conditioning):
    X = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    mask = np.zeros((20, 8, 8), np.uint8)
    mask[3:5, :4] = 255  # as of cv2
    wide = np.repeat(mask[..., None], 3, axis=3) > 0
    if kind == "tensor":
        X, wide = torch.from_numpy(X).permute(0, 3, 1, 2) / 255, torch.from_numpy(wide).permute(0, 3, 1, 2)
    gan = quick(conditioning=conditioning).fit(X, np.arange(20) % 2)
    restored = gan.restore(X, torch.from_numpy(mask) if kind == "tensor" else mask)
    assert restored.dtype == X.dtype and type(restored) is type(X)
    assert bool((restored[~wide] == X[~wide]).all()) and bool((restored[wide] != X[wide]).any())
    assert bool((gan.restore(X, wide) == restored).all())
    assert gan.restore(X, mask, n_draws=2).shape == (2, *X.shape)
    assert bool((gan.restore(X, mask * 0) == X).all())  # nothing is missing
    assert len(gan.restore(X[:0], mask[:0])) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": np.zeros((200, 8))}, r"`mask` must hold bools.*of shape \(200, 8, 8\), got float64 of"),
        ({"mask": np.zeros((200, 8, 8))}, r"`mask` must hold bools.*got float64 of shape \(200, 8, 8\)"),
        ({"mask": np.zeros((1, 8, 8), bool)}, r"of shape \(200, 8, 8\), got bool of shape \(1, 8, 8\)"),
        ({"n_draws": 0}, "`n_draws` must be an int from 1 up or None, got 0"),
        ({"n_draws": 2.5}, "`n_draws` must be an int from 1 up or None, got 2.5"),
        ({"y": [1, 2]}, "`y` must have one label for each of the 200 rows"),
        ({"y": np.full(200, 11)}, "Labels of `y` must be among"),
        ({"random_state": -1}, "`random_state` must be"),
    ],
)
def test_bad_arguments(arguments, message, digits):
    gan, X, _, mask = digits
    with pytest.raises(ValueError, match=message):
        gan.restore(X, **{"mask": mask, **arguments})


def test_other_samples_are_refused(digits):
    gan, X, _, mask = digits
    with pytest.raises(ValueError, match="`X` must be an ndarray of float32 rows"):
        gan.restore(X.astype(float), mask)
    with pytest.raises(ValueError, match="NaN or infinite"):
        gan.restore(np.full_like(X, np.nan), mask)


@pytest.mark.parametrize(
    ("parameters", "side", "message"),
    [
        ({"architecture": "dcgan"}, 16, "needs an architecture with an encoder, such as 'warping'"),
        ({"working_size": 8}, 16, "images of 16 x 16 at 8 x 8: fit on images of 64 pixels a side or less"),
        ({"modality": "features"}, 0, "takes images and tables, and this model makes features"),
    ],
)
def test_models_that_can_not_restore(parameters, side, message):
    shape = (20, 3) if parameters.get("modality") else (20, side, side)
    X = np.random.default_rng(0).random(shape, np.float32)
    gan = quick(**parameters)
    assert hasattr(gan, "restore")
    gan.fit(X, np.arange(20) % 2)
    assert not hasattr(gan, "restore")
    with pytest.raises(AttributeError, match="restore") as info:
        _ = gan.restore
    assert message in str(info.value.__cause__ or info.value)


def test_a_saved_model_and_another_fit_restore_by_their_own_samples(digits, tmp_path):
    gan, X, y, mask = digits
    restored = gan.restore(X[:20], mask[:20])
    gan.save(tmp_path / "model")
    for again in (ConditionalGAN.load(tmp_path / "model", device="cpu"), pickle.loads(pickle.dumps(gan))):
        np.testing.assert_allclose(again.restore(X[:20], mask[:20]), restored, atol=1e-5)
    again = clone(gan).set_params(steps=1).fit(X[100:], y[100:])
    first = again.restore(X[:20], mask[:20])
    again.fit(X[100:150].repeat(2, 0), np.arange(100) % 2)
    assert not np.allclose(again.restore(X[:20], mask[:20]), first)


def test_few_samples_are_kept_in_memory(digits, monkeypatch):
    gan = digits[0]
    monkeypatch.setattr(restorer, "MAX_VALUES", 64 * 700)
    few = restorer.Restorer(gan.members_, gan.codec_, 10)
    assert torch.bincount(few.labels).tolist() == [70] * 10
    assert len(list(few._blocks(torch.arange(20)))) == 3  # of eight images and less


def test_a_table_is_filled_better_than_by_means(tumours):
    incomplete, y, to_fill, X = tumours
    gan = quick(steps=60).fit(incomplete, y)
    restored = gan.restore(to_fill)
    mask, scale = to_fill.isna().to_numpy(), X.std().to_numpy()
    assert not restored.isna().to_numpy().any() and restored.index.equals(X.index)
    pd.testing.assert_frame_equal(restored.where(~mask), to_fill)
    means = pd.DataFrame(SimpleImputer().fit(incomplete).transform(to_fill), X.index, X.columns)
    error = rmse((restored / scale).to_numpy(), (X / scale).to_numpy(), mask)
    assert error < 0.6 * rmse((means / scale).to_numpy(), (X / scale).to_numpy(), mask)
    draws = gan.restore(to_fill, n_draws=3, random_state=0)
    assert len(draws) == 3
    assert rmse((draws[0] / scale).to_numpy(), (X / scale).to_numpy(), mask) > error
    pd.testing.assert_frame_equal(draws[1].where(~mask), to_fill)
    # Columns of this table depend on each other closely, and those of another hardly.
    assert gan._restorer.noise_share <= 0.03
    noise = np.random.default_rng(0).normal(size=(200, 6))
    unrelated = quick().fit(noise, np.arange(200) % 2)
    unrelated.restore(np.where(np.arange(6) == 0, np.nan, noise[:5]))
    assert unrelated._restorer.noise_share >= 0.1


@pytest.fixture(scope="module")
def mixed():
    X = mixed_table()
    X["when"] = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(np.arange(200), unit="D")
    X.loc[::7, "when"] = pd.NaT
    X["empty"] = np.nan
    return X.set_axis(np.arange(200) + 5, axis=0)


def test_columns_of_all_kinds(mixed):
    y = np.arange(200) % 2
    gan = quick().fit(mixed, y)
    cells = np.zeros(mixed.shape, bool)
    cells[:10] = True
    for mask in (None, cells):
        restored = gan.restore(mixed, mask, y)
        assert (restored.dtypes == mixed.dtypes).all() and restored.index.equals(mixed.index)
        filled = restored.drop(columns="empty")
        assert not filled.isna().to_numpy().any()
        for name in filled:
            stays = mixed[name].notna().to_numpy() & ((mask is None) | ~cells[:, 0])
            assert (restored[name][stays] == mixed[name][stays]).all()
            assert set(restored[name]) <= set(mixed[name]) or name in ("income", "age", "when")
    assert mixed["income"].isna().any()  # what was passed is not changed


def test_what_an_imputed_column_can_not_hold_is_refused(mixed):
    gan = quick().fit(mixed, np.arange(200) % 2)
    other = mixed.head(20).assign(size=pd.Categorical([None] * 20, categories=["L", "XL"]))
    message = r"Column 'size' of `X` must have the categories \['S', 'M', 'L'\], as in fit, got \['L', 'XL'\]"
    with pytest.raises(ValueError, match=message):
        gan.restore(other)


def test_values_of_a_table_and_back(mixed):
    gan = quick().fit(mixed, np.arange(200) % 2)
    codec, rows = gan.codec_, gan.members_[0].X
    space = TableValues(codec, rows)
    again = codec.decode(space.encoded(space.values(rows)))
    complete = codec.decode(rows)
    for name in complete:
        known = complete[name].notna()
        if name == "income":
            np.testing.assert_allclose(again[name][known], complete[name][known], rtol=1e-5)
        else:
            assert (again[name][known] == complete[name][known]).all(), name
    known = space.known(rows)
    numbers = [place.values.start for place in space.places if place.column.is_numeric]
    own = space.values(rows)[:, numbers]
    mean = torch.stack([own[known[:, i], j].mean() for j, i in enumerate(numbers)])
    assert mean.abs().max() < 1e-4


IMPUTER = GANImputer(quick(), random_state=0)


@parametrize_with_checks([IMPUTER])
def test_check_of_scikit_learn(estimator, check):
    check(estimator)


def test_an_imputer_in_a_pipeline(tumours):
    incomplete, _, to_fill, X = tumours
    targets = X.iloc[:, 0].to_numpy()
    model = make_pipeline(GANImputer(quick(), random_state=0), LinearRegression())
    assert model.fit(to_fill, targets).score(to_fill, targets) > 0.9  # no labels: they are ignored
    imputer = model[0]
    assert imputer.get_feature_names_out().tolist() == X.columns.tolist()
    framed = clone(imputer).set_output(transform="pandas").fit_transform(incomplete.to_numpy())
    assert isinstance(framed, pd.DataFrame) and not framed.isna().to_numpy().any()


def test_what_stands_for_a_missing_value(mixed):
    numbers = np.random.default_rng(0).integers(0, 5, (60, 3))
    numbers[::4, 1] = -1
    filled = GANImputer(quick(), missing_values=-1, random_state=0).fit_transform(numbers)
    assert filled.dtype == numbers.dtype and filled.min() == 0
    assert np.array_equal(filled[numbers >= 0], numbers[numbers >= 0])
    table = mixed.drop(columns="empty").astype({"city": object}).fillna({"city": "?"})
    filled = GANImputer(quick(), missing_values="?", random_state=0).fit_transform(table)
    assert set(filled["city"]) == {"Rome", "Oslo", "Bern"} and not filled.isna().to_numpy().any()
    for name in table:
        stays = table[name].notna() & (table[name].astype(object) != "?")
        assert (filled[name][stays] == table[name][stays]).all()


def test_labels_and_draws_of_an_imputer(tumours):
    incomplete, y, to_fill, _ = tumours
    imputer = GANImputer(quick(), sample_posterior=True, random_state=0).fit(incomplete, y)
    assert imputer.gan_.class_counts_.tolist() == np.bincount(y).tolist()
    first, again = imputer.transform(to_fill), imputer.transform(to_fill)
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(imputer.set_params(random_state=1).transform(to_fill))
    assert not first.equals(imputer.set_params(sample_posterior=False).transform(to_fill))
    lonely = np.where(np.arange(400) == 0, 7, y)
    assert clone(imputer).fit(incomplete, lonely).gan_.class_counts_.tolist() == [200, 200]
    frozen = GANImputer(FrozenEstimator(imputer.gan_)).fit(incomplete)
    assert frozen.gan_ is imputer.gan_


def test_polars(tumours):
    incomplete = tumours[0].iloc[:, :4]
    frame = pl.DataFrame(incomplete.to_dict("list"), nan_to_null=True)
    imputer = GANImputer(quick(), random_state=0).fit(frame)
    filled = imputer.transform(frame)
    assert isinstance(filled, pl.DataFrame) and filled.null_count().sum_horizontal().item() == 0
    assert filled.schema == frame.schema
    np.testing.assert_array_equal(filled.to_numpy(), imputer.transform(incomplete).to_numpy())


def test_tensors_are_no_table():
    with pytest.raises(ValueError, match="got a Tensor: pass X.numpy"):
        GANImputer(quick()).fit(torch.zeros(4, 2))


def test_missing_cells():
    X = np.array([[1, None], [np.nan, "a"]], object)
    assert missing_cells(X).tolist() == [[False, True], [True, False]]
