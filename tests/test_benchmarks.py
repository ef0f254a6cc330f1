"""The benchmarks themselves: what they measure, and that no arm can cheat."""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import json
import zipfile

import numpy as np
import pytest
import sklearn
import torch
from conftest import mixed_table
from packaging.version import Version
from PIL import Image

from benchmarks import arms, bad_generators, datasets, gain, generators, imbalanced_tables, oversamplers
from benchmarks.arms import ARMS, Context
from benchmarks.classifier import Settings, TrainingSet, train
from benchmarks.datasets import SplitSource, load
from ganaug import ConditionalGAN
from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE
from ganaug.model.parameters import DEFAULTS_TABLE

QUICK = Settings("small", updates=20, learning_rate=2e-3)
MLP_TAKES_WEIGHTS = Version(sklearn.__version__) >= Version("1.7")


@pytest.fixture(scope="module")
def source():
    digits = load("digits", None)
    return SplitSource("little", digits.X, digits.y, [20, 15, 12, 10, 8, 8, 6, 6, 5, 4])


@pytest.fixture(scope="module")
def context(source):
    split = source.split(0)
    context = Context(split.X, split.y, 0)
    context.use(ConditionalGAN(steps=2, random_state=0).fit(split.X, split.y))
    return context


def as_set(X):
    return {image.tobytes() for image in X}


@pytest.mark.parametrize("seed", [0, 1])
def test_splits_are_disjoint_and_long_tailed(source, seed):
    split = source.split(seed)
    assert np.bincount(split.y).tolist() == list(source.counts)
    assert len(split.y) + len(split.y_validation) + len(split.y_test) == len(source.y)
    assert not as_set(split.X) & as_set(split.X_validation)
    assert not as_set(split.X_validation) & as_set(split.X_test)
    assert not np.array_equal(split.X, source.split(seed + 5).X)


def test_another_tail(source):
    other = source.with_smallest(2)
    assert other.name == "little-to-2"
    assert (other.counts[0], other.counts[-1]) == (20, 2)
    ratios = np.divide(other.counts[1:4], other.counts[:3])
    np.testing.assert_allclose(ratios, 0.1 ** (1 / 9), atol=0.05)
    assert np.bincount(other.split(0).y).tolist() == other.counts


@pytest.mark.parametrize("n", [-3, 0, 1, 21])
def test_tails_that_make_no_sense(n, source):
    with pytest.raises(ValueError, match=f"from 2 to 20, got {n}"):
        source.with_smallest(n)
    with pytest.raises(ValueError, match="has the counts"):
        load("digits-full", None).with_smallest(5)


def test_a_pair_of_classes_for_each_seed(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for part, label in itertools.product(("train", "test"), range(10)):
            for i in range(12):
                picture = io.BytesIO()
                Image.new("RGB", (32, 32), (20 * label, 20 * label, 20 * label)).save(picture, "png")
                archive.writestr(f"all/{part}/{label}/{i}.png", picture.getvalue())
    source = dataclasses.replace(load("grey-pairs", tmp_path / "images.zip"), counts=(8, 3))
    for seed, pair in ((0, (3, 0)), (7, (4, 9)), (1000, (7, 2))):
        split = source.split(seed)
        assert split.X.shape == (11, 28, 28)
        assert np.bincount(split.y).tolist() == [8, 3]
        for X, y in ((split.X, split.y), (split.X_test, split.y_test)):
            assert np.array_equal(X[:, 0, 0], 20 * np.array(pair)[y])
    tuned_on = set(datasets.GREY_PAIRS_TO_TUNE_ON)
    assert not {pair[::-1] for pair in tuned_on} & set(datasets.GREY_PAIRS)
    assert not tuned_on & set(datasets.GREY_PAIRS)


@pytest.mark.parametrize("how", [{"cutmix": 1.0}, {"rand_augment": True}])
def test_images_are_changed_in_the_batch(how, context):
    plain = ARMS["class-balanced"](context)
    proba = [
        train(data, QUICK, augment=False, seed=0).predict_proba(context.X)
        for data in (plain, dataclasses.replace(plain, **how), dataclasses.replace(plain, **how))
    ]
    assert not np.allclose(proba[0], proba[1])
    assert np.array_equal(proba[1], proba[2])


def test_own_data_keep_their_counts():
    X = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    split = SplitSource("own", X, np.repeat([0, 1], [80, 20])).split(0)
    assert np.bincount(split.y).tolist() == [48, 12]
    assert np.bincount(split.y_test).tolist() == [16, 4]


@pytest.mark.filterwarnings("ignore:Class")  # two steps make few images that pass a gate
@pytest.mark.parametrize("name", ARMS)
def test_arms(name, context, monkeypatch):
    monkeypatch.setattr(arms, "deep_smote", functools.partial(arms.deep_smote, steps=5))
    monkeypatch.setattr(arms, "DEFAULT_PER_CLASS", 300)
    monkeypatch.setattr("ganaug.adapters.pool.DEFAULT_PER_CLASS", 300)
    data = ARMS[name](context)
    n_real = np.sum([image.tobytes() in as_set(context.X) for image in data.X])
    counts = np.bincount(data.y)
    share = np.bincount(data.y, weights=data.sampling_weight) / data.sampling_weight.sum()
    assert data.X.dtype == np.uint8
    assert data.X.shape[1:] == (8, 8)
    if data.loader is not None:
        images, labels = next(iter(data.loader))
        assert images.shape == (64, 1, 8, 8)
        assert torch.allclose(labels.sum(1), torch.ones(64))
    elif name in ("instance-balanced", "DRW", "pasted"):
        np.testing.assert_allclose(share, counts / counts.sum())
    elif name.startswith("tail-weighted"):  # 4 to 20 real images of a class
        k, real = int(name.split()[1]), np.bincount(context.y)
        np.testing.assert_allclose(share / share[0], (1 + k / real) / (1 + k / real[0]))
        assert share[9] > 2 * share[0]
    elif name.startswith("leaning"):
        np.testing.assert_allclose(share / share[0], (np.bincount(context.y) / 20) ** -0.25)
    else:
        np.testing.assert_allclose(share, 0.1)
    if name == "pasted":
        others = np.bincount(data.y, weights=data.others_weight)
        np.testing.assert_allclose(others / others.sum(), 0.1)
    if name in ("SMOTE", "DeepSMOTE", "fit_resample filled up"):
        assert set(counts) == {20}
    if name == "fit_resample":
        assert set(counts) == {100}
        assert n_real == 200
    if name == "random oversampling":
        assert n_real == len(data.y)
    assert bool(data.mixup) == ("mixup" in name)
    assert bool(data.cutmix) == ("CutMix" in name or name == "pasted")
    assert data.rand_augment == ("RandAugment" in name)
    if "synthetic only" in name:
        assert set(counts) == {300 if "mixup" in name else arms.EXTRA_PER_CLASS}
        assert n_real < len(data.y) * 0.01
    if name == "GANOverSampler recommended":
        assert data.extra["recommendation"].startswith("Add nothing: class 9 has 4 samples")
        assert n_real == len(data.y)
    if name in ("GANOverSampler +1000", "random oversampling"):
        added = data.sampling_weight[len(context.y) :].sum() / data.sampling_weight.sum()
        np.testing.assert_allclose(added, DEFAULT_SYNTHETIC_SHARE)


def test_a_copied_test_image_is_caught(source, monkeypatch):
    def cheat(context):
        leaked = source.split(context.seed).X_test[:1]
        return TrainingSet(np.r_[context.X, leaked], np.r_[context.y, 0], np.ones(len(context.y) + 1))

    monkeypatch.setitem(ARMS, "cheat", cheat)
    with pytest.raises(ValueError, match="1 validation or test images are among"):
        gain.run_arm(source, "cheat", 0, QUICK, {}, "cpu")


def test_twice_the_updates_are_caught(source, monkeypatch, tmp_path):
    def longer(data, settings, **options):
        return train(data, dataclasses.replace(settings, updates=2 * settings.updates), **options)

    monkeypatch.setattr(gain, "train", longer)
    runs = gain.run_arm(source, "class-balanced", 0, QUICK, {}, "cpu")
    with pytest.raises(ValueError, match="'class-balanced' had 40 updates instead of 20"):
        gain.store(tmp_path / "x.json", gain.header(source, QUICK, "cpu"), runs)
    assert not (tmp_path / "x.json").exists()


class Imposter:
    """Samples real images as if they were generated, some number of grey levels too bright."""

    def __init__(self, source, brighter):
        self.source, self.brighter = source, brighter

    def sample(self, labels, random_state):
        rng = np.random.default_rng(random_state)
        chosen = [rng.choice(np.flatnonzero(self.source.y == label)) for label in labels]
        return np.minimum(self.source.X[chosen] + self.brighter, 255).astype(np.uint8)


@pytest.mark.parametrize(("brighter", "low", "high"), [(0, 35, 65), (60, 95, 100)])
def test_c2st_accuracy(source, brighter, low, high):
    settings = dataclasses.replace(QUICK, updates=100)
    accuracy = generators.c2st_accuracy(Imposter(source, brighter), source.split(0), settings, 0)
    assert low <= accuracy <= high


def test_store_resumes_and_refuses_other_settings(source, tmp_path):
    path, head = tmp_path / "x.json", gain.header(source, QUICK, "cpu")
    runs = gain.run_arm(source, "class-balanced", 0, QUICK, {}, "cpu")
    assert [run["augment"] for run in runs] == [False, True]
    gain.store(path, head, runs)
    assert gain.store(path, head, []) == json.loads(json.dumps(runs))
    other = gain.header(source, dataclasses.replace(QUICK, updates=9), "cpu")
    with pytest.raises(ValueError, match="other settings"):
        gain.store(path, other, [])


def test_a_seed_decides_the_scores(source):
    first, again, other = (
        gain.run_arm(source, "mixup", seed, QUICK, {}, "cpu")[1]["test"] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_metrics():
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])
    scores = gain.metrics(proba, np.array([0, 0, 1, 1]))
    assert scores["balanced_accuracy"] == 75
    assert scores["recall"] == [100, 50]
    assert scores["g_mean_multiclass"] == pytest.approx(100 * np.sqrt(0.5))
    assert scores["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.2, 0.7]).mean())


def test_deferred_weights_and_mixup_change_training(source):
    split = source.split(0)
    base = TrainingSet(split.X, split.y, np.ones(len(split.y)))
    weight = np.r_[np.full(9, 0.1), 10.0]
    settings = dataclasses.replace(QUICK, updates=60)
    plain, deferred, mixed = (
        train(data, settings, augment=False, seed=0).predict_proba(split.X_test)
        for data in (
            base,
            dataclasses.replace(base, class_weight=weight),
            dataclasses.replace(base, mixup=1.0),
        )
    )
    assert deferred[:, 9].mean() > 1.2 * plain[:, 9].mean()
    assert np.max(mixed, 1).mean() < np.max(plain, 1).mean()


@pytest.mark.filterwarnings("ignore:Class")  # so does a fit of few steps
@pytest.mark.parametrize(
    "arm",
    [
        "no resampling",
        pytest.param(
            "class weights", marks=pytest.mark.skipif(not MLP_TAKES_WEIGHTS, reason="scikit-learn before 1.7")
        ),
        "random oversampling",
        "SMOTE",
        "ADASYN",
        "GANOverSampler",
    ],
)
def test_arms_of_tables(arm, monkeypatch):
    monkeypatch.setitem(DEFAULTS_TABLE, "steps", 30)
    X, y = imbalanced_tables.load("wine", None)
    keep = np.r_[:59, 59:89, 130:178]
    X, y = X.iloc[keep], y[keep]
    inside, outside = np.arange(0, len(y), 2), np.arange(1, len(y), 2)
    result = imbalanced_tables.run(arm, X, y, inside, outside, 0)
    assert set(result["models"]) == {"logistic regression", "gradient boosting", "MLP"}
    assert all(60 < scores["balanced_accuracy"] <= 100 for scores in result["models"].values())
    assert bool(result["synthetic_only"]) == ("dcr_ratio" in result) == (arm in ("SMOTE", "GANOverSampler"))


def test_smote_of_mixed_columns_gives_them_back():
    X = mixed_table()[["income", "age", "code", "size"]]
    y = np.repeat([0, 1], [160, 40])
    rows, targets = oversamplers.TableOversampler("SMOTE", 0)(X, y)
    assert rows["size"].dtype == X["size"].dtype
    assert set(rows["code"].dropna()) == {10, 20}
    assert np.bincount(targets).tolist() == [160, 160]
    assert np.allclose(rows["age"][:200], X["age"])
    assert rows["income"].max() < X["income"].max() * 1.01


def test_dividing_frequencies_out_is_a_threshold():
    rng = np.random.default_rng(0)
    y = (rng.random(4000) < 0.1).astype(int)
    signal = rng.normal(size=4000) + 2 * y
    odds = np.exp(2 * signal - 2) / 9
    proba = np.stack([1 / (1 + odds), odds / (1 + odds)], axis=1)
    classes, counts = np.array([0, 1]), np.bincount(y)
    power = imbalanced_tables.best_power(proba, y, classes, counts)
    assert power == pytest.approx(1, abs=0.25)  # the odds of even classes
    found = imbalanced_tables.scores(proba, y, classes, power, counts)
    assert found["tuned_balanced_accuracy"] > found["balanced_accuracy"] + 5


def test_the_dcr_ratio_of_copies_is_0_and_of_other_rows_1():
    X, _ = imbalanced_tables.load("breast-cancer", None)
    assert imbalanced_tables.dcr_ratio(X[:100], X[:300]) == pytest.approx(0, abs=1e-6)
    assert imbalanced_tables.dcr_ratio(X[300:], X[:300]) == pytest.approx(1, abs=0.3)


def test_bad_generators_are_bad(source, monkeypatch, tmp_path, capsys):
    split = source.split(0)
    for kind, generator in bad_generators.KINDS.items():
        made = generator.fit(split.X, split.y).sample([0, 9, 9], random_state=0)
        assert (made.shape, made.dtype) == ((3, 8, 8), np.uint8), kind
        assert np.array_equal(made[1], made[2]) == (kind == "collapsed")
    monkeypatch.setattr(bad_generators, "OUTPUT", tmp_path / "x.json")
    monkeypatch.setattr(bad_generators, "KINDS", {"noise": bad_generators.Noise()})
    monkeypatch.setattr(bad_generators, "load", lambda *_: source)
    monkeypatch.setattr("sys.argv", ["", "--data", "little", "--seeds", "1"])
    for _ in range(2):  # what is there is not run again
        bad_generators.main()
    assert capsys.readouterr().out.count("adds") == 1
    runs = json.loads((tmp_path / "x.json").read_text())
    assert [(run["kind"], run["seed"]) for run in runs] == [("noise", 0)]


def test_generators_are_compared_by_the_command(source, monkeypatch, tmp_path, capsys):
    """One that diverges is said to, and left out; what is there is not run again."""

    def fit_for(seconds, split, seed, options):
        if options["architecture"] == "sngan":
            raise RuntimeError("Training became unstable")
        gan = ConditionalGAN(**options, steps=2, random_state=seed).fit(split.X, split.y)
        return gan, seconds

    monkeypatch.setattr(generators, "fit_for", fit_for)
    monkeypatch.setattr(generators, "load", lambda name, path: source)
    monkeypatch.setattr(generators, "RESULTS", tmp_path)
    monkeypatch.setitem(generators.SETTINGS, "digits", dataclasses.replace(QUICK, updates=200))
    command = ["generators", "--data", "digits", "--quick", "--seeds", "1", "--seconds", "7"]
    command += ["--generators", "SNGAN;DCGAN", "--learning-rates", "1e-3"]
    monkeypatch.setattr("sys.argv", command)
    generators.main()
    assert "SNGAN, learning rate 0.001: Training became unstable" in capsys.readouterr().out
    result = json.loads((tmp_path / "generators-digits-quick.json").read_text())
    assert result["learning_rates"] == [1e-3]
    assert result["settings"]["updates"] == 100
    (run,) = result["runs"]
    assert (run["arm"], run["learning_rate"], run["seconds"]) == ("DCGAN", 1e-3, 7.0)
    monkeypatch.setattr(generators, "GENERATORS", {"SNGAN": {"architecture": "sngan"}})
    monkeypatch.setattr("sys.argv", [*command[:-3], "DCGAN", *command[-2:]])
    generators.main()
    assert not capsys.readouterr().out
