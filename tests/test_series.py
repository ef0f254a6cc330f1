"""Series: the codec, the architectures, and all that takes a generator of them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from imblearn.pipeline import make_pipeline
from sklearn.model_selection import StratifiedKFold

from ganaug import (
    AugmentedDataset,
    ConditionalGAN,
    GANAugment,
    GANOverSampler,
    HDF5Dataset,
    QualityGate,
    as_arrays,
    augmented_loader,
    quality_report,
    recommend_counts,
    write_hdf5,
)
from ganaug.cli import main
from ganaug.data.series import SeriesCodec
from ganaug.evaluation.neighbours import Neighbours
from ganaug.evaluation.series_classifier import SeriesClassifier
from ganaug.io.export import export_images
from ganaug.networks import SERIES_ARCHITECTURES
from ganaug.networks.time_warping import warp_time

LENGTH = 32


def sines(counts=(30, 30, 8), seed=0):
    """Return series (n, 32, 2) float32, whose classes differ by frequency, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    time = np.arange(LENGTH) / LENGTH
    turns = (1 + y[:, None]) * rng.uniform(0.9, 1.1, (len(y), 1)) * time + rng.random((len(y), 1))
    waves = np.stack([np.sin(2 * np.pi * turns), 50 + 20 * np.cos(2 * np.pi * turns)], axis=2)
    waves *= rng.uniform(0.7, 1.3, (len(y), 1, 1))
    return (waves + 0.05 * rng.normal(size=waves.shape)).astype(np.float32), y


def small(**parameters):
    few = {"steps": 2, "base_channels": 4, "latent_dim": 4, "random_state": 0}
    return ConditionalGAN(modality="series", **{**few, **parameters})


@pytest.fixture(scope="module")
def data():
    return sines()


@pytest.fixture(scope="module")
def gan(data):
    return small().fit(*data)


def of_kind(X, kind):
    """Return series (n, length, channels) in another form."""
    if kind == "one channel":
        return X[:, :, 0]
    if kind == "Tensor":
        return torch.from_numpy(X)
    return X.round().astype(kind) if kind == "int16" else X.astype(kind)


KINDS = ["one channel", "Tensor", "int16", "float16", "float64"]


@pytest.mark.parametrize("kind", KINDS)
def test_codec_round_trip(kind, data):
    X = of_kind(data[0], kind)
    codec = SeriesCodec.fit(X)
    again = SeriesCodec.from_config(json.loads(json.dumps(codec.to_config())))
    encoded = codec.encode(X)
    assert encoded.shape == (len(X), 1 if kind == "one channel" else 2, LENGTH)
    assert encoded.dtype == torch.float32
    torch.testing.assert_close(encoded.mean(dim=(0, 2)), torch.zeros(len(encoded[0])), atol=1e-4, rtol=0)
    torch.testing.assert_close(encoded.std(dim=(0, 2)), torch.ones(len(encoded[0])), atol=1e-2, rtol=0)
    decoded = again.decode(encoded)
    assert type(decoded) is type(X)
    assert (decoded.dtype, decoded.shape) == (X.dtype, X.shape)
    np.testing.assert_allclose(np.asarray(decoded, float), np.asarray(X, float), atol=2e-5, rtol=2e-3)
    codec.check(X)


def test_decoded_series_stay_in_the_range_of_their_channel(data):
    X = data[0].copy()
    X[:, :, 1] = 7
    codec = SeriesCodec.fit(X)
    decoded = codec.decode(10 * torch.randn(20, 2, LENGTH, generator=torch.Generator().manual_seed(0)))
    assert decoded[..., 0].min() == X[..., 0].min()
    assert decoded[..., 0].max() == X[..., 0].max()
    assert (decoded[..., 1] == 7).all()


def nan(X):
    X[3, 5, 1] = np.nan
    return X


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (nan, "finite .* got nan at step 5 of channel 1 of series 3, the first of 1"),
        (lambda X: X * np.float32(1e30), "at most 1e.15"),
        (lambda X: X[:, :5], "8 to 2,048 steps long, got 5 .* table"),
        (lambda X: X.transpose(0, 2, 1), "got 2 in shape .* channels come last"),
        (lambda X: X[:, :, None], r"got shape \(68, 32, 1, 2\)"),
        (lambda X: X[:, 0], "8 to 2,048 steps long, got 2"),
        (lambda X: X > 0, "one of .* got bool"),
        (lambda X: np.repeat(X, 65, axis=1), "got 2080 .* windows"),
        (lambda X: np.zeros_like(X), "that differ, got 68"),
        (lambda X: pd.DataFrame(X[:, :, 0]), "got a DataFrame"),
    ],
)
def test_series_that_can_not_be_learned_from(change, message, data):
    with pytest.raises(ValueError, match=message):
        small().fit(change(data[0].copy()), data[1])


@pytest.mark.parametrize(
    "other", [lambda X: X[:, :-1], lambda X: X.astype(float), torch.from_numpy, lambda X: X[..., 0]]
)
def test_vary_takes_series_of_the_kind_of_fit(other, gan, data):
    with pytest.raises(ValueError, match=r"must be an ndarray of float32 series of shape \(32, 2\)"):
        gan.vary(other(data[0]), data[1])


def test_images_are_still_what_a_three_dimensional_array_is_taken_for(data):
    with pytest.raises(ValueError, match="modality='series'"):
        ConditionalGAN(steps=1).fit(*data)
    with pytest.raises(ValueError, match="modality='series'"):
        ConditionalGAN(steps=1).fit(data[0].repeat(8, axis=2), data[1])


def test_what_training_shows_of_series():
    codec = SeriesCodec.fit(np.arange(2.0 * 64).reshape(2, 64))
    rng = torch.Generator().manual_seed(0)
    ramp = torch.arange(64.0).expand(50, 1, 64)
    shifted = codec.augment(ramp, rng)
    steps = shifted[:, 0, 32] - 32
    assert (steps.min(), steps.max()) == (-4, 4)
    assert torch.equal(shifted[:, 0, 10:50], (torch.arange(10.0, 50)[None] + steps[:, None]))
    blanked = (codec.cutout(ramp + 1, rng) == 0).sum(dim=2)
    assert blanked.max() == 16
    assert 8 <= blanked.min() < 16
    projections = codec.random_projections(ramp, rng)
    assert len(projections) > 1
    assert {projection.shape[1:] for projection in projections} == {(50, 64)}
    assert SeriesCodec.fit(np.arange(16.0).reshape(2, 8)).random_projections(torch.rand(3, 1, 8), rng)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("row_shape", [32]),
        ("row_shape", [4, 2]),
        ("row_shape", [32, 2.0]),
        ("row_shape", [10**9, 2]),
        ("dtype", "complex64"),
        ("tensor", 1),
        ("channels", {}),
        ("more", 1),
    ],
)
def test_a_forged_codec_is_refused(entry, value, data):
    config = SeriesCodec.fit(data[0]).to_config()
    with pytest.raises(ValueError, match="a codec"):
        SeriesCodec.from_config({**config, entry: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale", 0.0), ("scale", -1.0), ("mean", float("nan")), ("low", 1e14), ("high", 1), ("mean", [0.0])],
)
def test_a_forged_channel_is_refused(name, value, data):
    config = SeriesCodec.fit(data[0]).to_config()
    config["channels"][name] = value if isinstance(value, list) else [config["channels"][name][0], value]
    with pytest.raises(ValueError, match="a codec"):
        SeriesCodec.from_config(config)


def test_time_is_warped():
    series = torch.rand(2, 3, 20)
    flow = torch.zeros(2, 20)
    assert torch.allclose(warp_time(series, flow), series, atol=1e-6)
    flow[1] = 2 * 3 / 20  # from three steps later
    warped = warp_time(series, flow)
    assert torch.allclose(warped[0], series[0], atol=1e-6)
    assert torch.allclose(warped[1, :, :-3], series[1, :, 3:], atol=1e-5)
    assert torch.allclose(warped[1, :, -3:], series[1, :, -1:].expand(3, 3), atol=1e-5)


@pytest.mark.parametrize("penalty", ["r1", "r1+r2", "wgan-gp"])
def test_recurrent_networks_have_second_derivatives(penalty, data):
    X, y = data
    samples = small(architecture="recurrent", penalty=penalty).fit(X, y).sample(y, random_state=0)
    assert np.isfinite(samples).all()


def test_the_states_of_a_recurrent_discriminator_follow_time():
    from ganaug.networks.recurrent import recurrent

    torch.manual_seed(0)
    discriminator = recurrent((2, 12), 3, 4, 4, torch.tanh).discriminator
    series = torch.rand(1, 2, 12)
    assert discriminator(series, torch.tensor([0])) != discriminator(series.flip(2), torch.tensor([0]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SERIES_ARCHITECTURES)
def test_save_load_and_files(name, kind, data, tmp_path):
    X, y = of_kind(data[0], kind), data[1]
    gan = small(architecture=name).fit(X, y)
    samples = gan.sample([2, 0, 1], random_state=1)
    assert (type(samples), samples.dtype, samples.shape) == (type(X), X.dtype, (3, *X.shape[1:]))
    gan.save(tmp_path / "model")
    again = ConditionalGAN.load(tmp_path / "model")
    assert np.array_equal(again.sample([2, 0, 1], random_state=1), samples)
    assert not np.array_equal(again.sample([2, 0, 1], random_state=2), samples)

    path = write_hdf5(again, tmp_path / "series.h5", 5, real=(X, y), random_state=0)
    read, labels = as_arrays(path)
    assert read.shape == (len(X) + 15, *X.shape[1:])
    assert np.array_equal(read[: len(X)], np.asarray(X))
    assert labels.tolist()[: len(y)] == y.tolist()
    item, label = HDF5Dataset(path)[1]
    assert np.array_equal(item, X[1])
    assert label == y[1]
    assert write_hdf5(again, path, 5, real=(X, y), random_state=0, resume=True) == path
    with pytest.raises(ValueError, match="holds series"):
        GANAugment(path)
    with pytest.raises(ValueError, match="series"):
        export_images(path, tmp_path / "pictures")


@pytest.mark.parametrize("name", ["warping", "dcgan", "tabular", "features"])
def test_architectures_of_other_data_are_refused(name, data):
    with pytest.raises(ValueError, match=f"for series, got '{name}'"):
        small(architecture=name).fit(*data)


@pytest.mark.parametrize("name", ["time-warping", "recurrent"])
def test_other_data_refuse_architectures_of_series(name, stripes):
    with pytest.raises(ValueError, match=f"for images, got '{name}'"):
        ConditionalGAN(architecture=name, steps=1).fit(*stripes)


def test_transforms_of_images_refuse_series(gan, data):
    for use in (
        lambda: GANAugment(gan),
        lambda: augmented_loader(data, gan),
        lambda: AugmentedDataset(list(zip(*data, strict=True)), gan),
    ):
        with pytest.raises(ValueError, match="makes series.*GANOverSampler"):
            use()


@pytest.mark.parametrize("form", ["array", "one channel", "flat", "DataFrame"])
def test_oversampling(form, data):
    X, y = data
    X = X if form in ("array", "flat") else X[:, :, 0]
    given = X.reshape(len(X), -1) if form == "flat" else pd.DataFrame(X) if form == "DataFrame" else X
    shape = (LENGTH, 2) if form == "flat" else None
    sampler = GANOverSampler(small(), image_shape=shape, sampling_strategy="not majority", random_state=0)
    resampled, labels = sampler.fit_resample(given, y)
    assert np.bincount(labels).tolist() == [30, 30, 30]
    assert type(resampled) is type(given)
    assert resampled.shape == (90, *given.shape[1:])
    assert sampler.gan_.codec_.shape == ((2, LENGTH) if form in ("array", "flat") else (1, LENGTH))
    # As of images, all classes get the same share if nothing else is asked for.
    sampler = GANOverSampler(small(), image_shape=shape, random_state=0)
    _, labels = sampler.fit_resample(given, y)
    assert len(set(np.bincount(labels[sampler.synthetic_mask_]))) == 1


def test_a_pipeline_of_series(data):
    model = make_pipeline(GANOverSampler(small(), random_state=0), SeriesClassifier())
    train, test = next(StratifiedKFold(2, shuffle=True, random_state=0).split(*data))
    assert model.fit(data[0][train], data[1][train]).score(data[0][test], data[1][test]) > 0.8


def test_classifier(data):
    X, y = data
    X_test, y_test = sines(seed=1)
    names = np.array(["a", "b", "c"])
    model = SeriesClassifier(n_kernels=100).fit(X, names[y])
    assert (model.predict(X_test) == names[y_test]).mean() > 0.9
    assert model.features(X_test).shape == (len(X_test), 200)
    assert np.allclose(model.predict_proba(X_test).sum(1), 1)
    again = SeriesClassifier(n_kernels=100).fit(X, names[y])
    assert np.array_equal(again.predict_proba(X_test), model.predict_proba(X_test))
    other = SeriesClassifier(n_kernels=100, random_state=1).fit(X, names[y])
    assert not np.array_equal(other.predict_proba(X_test), model.predict_proba(X_test))
    unbalanced = SeriesClassifier(balanced=False, n_kernels=100).fit(X, names[y])
    rare = y_test == 2
    assert unbalanced.predict_proba(X_test)[rare, 2].mean() < model.predict_proba(X_test)[rare, 2].mean()
    # Weights of zero are as if a series were not there, but for mean and spread of features.
    wrong = np.where(np.arange(len(y)) % 2, y, (y + 1) % 3)
    weighted = SeriesClassifier(balanced=False, n_kernels=100).fit(
        X, wrong, (np.arange(len(y)) % 2).astype(float)
    )
    assert (weighted.predict(X_test) == y_test).mean() > 0.8


def test_distances_are_those_of_standardised_series(data):
    X = data[0]
    neighbours = Neighbours(X, "series")
    points = neighbours.encode(X[:2])
    expected = np.sqrt(np.square((X[0] - X[1]) / X.std(axis=(0, 1))).sum())
    assert neighbours.nearest(points[:1], points[1:]).item() == pytest.approx(expected, rel=1e-4)


def test_gate_rejects_copies_and_other_classes(data):
    X, y = data

    class Copies:
        classes_ = np.arange(3)
        modality = "series"

        def sample(self, labels, random_state=None):
            rng = np.random.default_rng(random_state)
            source = rng.integers(0, 8, len(labels)) + np.array([0, 30, 60])[labels]
            copied = X[source] + rng.normal(0, 1e-4, (len(labels), LENGTH, 2)).astype(np.float32)
            fresh, of_class = sines((60, 60, 60), int(rng.integers(10**6)))
            fresh = np.stack([fresh[rng.choice(np.flatnonzero(of_class == label))] for label in labels])
            misplaced = np.stack([fresh[rng.choice(len(fresh))] for _ in labels])
            kind = rng.integers(0, 3, (len(labels), 1, 1))
            return np.select([kind == 0, kind == 1], [copied, misplaced], fresh)

    gate = QualityGate(Copies(), max_rounds=20).fit(X, y)
    accepted = gate.sample([0] * 20 + [1] * 20, random_state=0)
    assert accepted.shape == (40, LENGTH, 2)
    for found in gate.report_.values():
        assert found["near_duplicate"] > 5
        assert found["fallback"] == 0
    assert sum(found["misclassified"] for found in gate.report_.values()) > 5


def test_report(gan, data, tmp_path):
    X_test, y_test = sines((25, 25, 25), seed=1)
    report = quality_report(gan, *data, X_test, y_test, per_class=30)
    for measure in ("precision", "diversity", "memorization", "membership_auc", "tstr", "augmentation_gain"):
        assert report["overall"][measure]["value"] is not None, measure
    assert report["overall"]["tstr"]["real"] > 0.8
    # White noise is unlike any series.
    assert report["overall"]["precision"]["noise"] < 0.2
    assert report["overall"]["memorization"]["train_copies"] == 1
    report.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Real series on the left" in page
    assert "Real images" not in page
    with pytest.warns(UserWarning, match="1 of the 76 series of `X_test` are among those of `X`"):
        quality_report(gan, *data, np.concatenate([X_test, data[0][:1]]), np.append(y_test, 0), per_class=10)


def test_recommendation(data):
    found = recommend_counts(small(), *data, random_state=0)
    assert set(found.to_add) == {0, 1, 2}
    assert found.fidelity is None  # which is of images


def test_a_trained_generator_makes_series_of_its_class():
    """With a few steps, classes that the GAN saw eight series of can be told apart by others."""
    X, y = sines()
    gan = small(steps=60, base_channels=8, latent_dim=8).fit(X, y)
    labels = np.repeat([0, 1, 2], 40)
    samples = gan.sample(labels, random_state=0)
    X_test, y_test = sines((60, 60, 60), seed=1)
    model = SeriesClassifier().fit(X_test, y_test)
    assert (model.predict(samples) == labels).mean() > 0.9
    # They are no copies either.
    neighbours = Neighbours(X, "series")
    distances = neighbours.nearest(neighbours.encode(samples), neighbours.encode(X))
    noise = 0.05 / X[..., 0].std() * np.sqrt(LENGTH)
    assert distances.median() > 2 * noise


def test_command_line(data, tmp_path):
    X, y = sines((210, 40, 12))
    np.savez(tmp_path / "data.npz", X=X, y=y)
    names = {name: str(tmp_path / name) for name in ("data.npz", "model", "new.h5", "even.h5", "report.html")}

    def run(*arguments):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return result.output

    few = ["--modality", "series", "--steps", "2", "--base-channels", "4", "--random-state", "0"]
    assert "series" in run("fit", names["data.npz"], "-o", names["model"], *few)
    assert "Wrote 6 series" in run("generate", names["model"], "-o", names["new.h5"], "--per-class", "2")
    said = run("resample", names["data.npz"], "--model", names["model"], "-o", names["even.h5"], "--json")
    assert json.loads(said.splitlines()[-1])["real"] == len(y)
    run("report", names["model"], names["data.npz"], "-o", names["report.html"], "--per-class", "10")
    read, labels = as_arrays(names["even.h5"])
    assert read.shape[1:] == (LENGTH, 2)
    assert len(set(np.bincount(labels))) == 1
