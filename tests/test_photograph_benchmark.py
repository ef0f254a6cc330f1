"""The benchmark of photographs: its splits, its arms, its command and its table, on made-up images."""

from __future__ import annotations

import functools
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from torch import nn

from benchmarks import photograph_arms, photographs
from benchmarks.photograph_arms import ARMS, CALIBRATIONS, CLASS_WEIGHT, VIEWS, Context
from benchmarks.photographs import Photographs, Settings, split
from benchmarks.tables.photographs import best_of, difference, photographs_table, recall_of
from benchmarks.tables.shared import difference_text
from ganaug import ConditionalGAN, Embedder

SIZES = (24, 22, 12, 5)
LITTLE = Settings(SIZES)


def features_of(images):
    """Means of the three channels and of both halves: like those of a backbone, never negative."""
    halves = [images[:, :, :8].mean((1, 2)), images[:, :, 8:].mean((1, 2))]
    return np.concatenate([images.mean((1, 2)), *halves], axis=1).astype(np.float32) / 255


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), [60, 50, 40, 30])
    colours = rng.integers(50, 200, (4, 3))
    images = np.clip(colours[y][:, None, None] + rng.normal(0, 40, (180, 16, 16, 3)), 0, 255).astype(np.uint8)
    return Photographs(images, features_of(images), y, features_of)


@pytest.fixture(scope="module")
def context(data):
    train, _, _ = split(data, LITTLE, 0, "largest first")
    return Context(data.images[train], data.X[train], data.y[train], train, 0, features_of)


@pytest.mark.parametrize("seed", [0, 1])
def test_splits_are_disjoint_and_long_tailed_in_both_orders(data, seed):
    parts = split(data, LITTLE, seed, "largest first")
    assert np.bincount(data.y[parts[0]]).tolist() == list(SIZES)
    assert np.bincount(data.y[parts[2]]).tolist() == [20, 16, 13, 10]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(data.y)))
    other = split(data, LITTLE, seed, "reversed")
    # Of small classes, four fifths of what doesn't test.
    assert np.bincount(data.y[other[0]]).tolist() == [5, 12, 21, 16]
    assert np.array_equal(np.sort(other[2]), np.sort(parts[2]))
    assert not np.array_equal(parts[0], split(data, LITTLE, seed + 5, "largest first")[0])


def test_splits_with_a_test_set(data):
    with_test = Photographs(data.images, data.X, np.tile(np.arange(4), 45), features_of, n_test=40)
    train, validation, test = split(with_test, Settings(SIZES, validation=3), 0, "largest first")
    assert test.tolist() == list(range(140, 180))
    assert np.bincount(with_test.y[validation]).tolist() == [3] * 4
    assert not set(train) & set(validation)
    assert max(*train, *validation) < 140


@pytest.mark.parametrize("name", ARMS)
def test_arms(name, context, monkeypatch):
    monkeypatch.setattr(
        photograph_arms,
        "ConditionalGAN",
        lambda **options: ConditionalGAN(**({"steps": 2} if "modality" not in options else {}), **options),
    )
    rows, counts = ARMS[name](context), np.array(SIZES)
    added = np.bincount(rows.y) - counts
    assert len(rows.X) == len(rows.y) == len(rows.weight)
    assert np.isfinite(rows.X).all()
    if "leaning" not in name:
        np.testing.assert_allclose(np.bincount(rows.y, rows.weight), CLASS_WEIGHT, rtol=0.3)
    if "mixup" not in name:  # the images themselves come first
        np.testing.assert_allclose(rows.X[: counts.sum()], rows.space(context.X), atol=1e-4)
    if name in ("SMOTE", "GANOverSampler"):
        assert np.bincount(rows.y).tolist() == [24] * 4
    if name == "GANOverSampler 3x":
        assert np.bincount(rows.y).tolist() == [72] * 4
    if name in CALIBRATIONS:  # at least two classes lend
        n = 24 if name == "calibration" else 72
        assert np.bincount(rows.y).tolist() == [24, 22, n, n]
    if name in ("RandAugment", "GAN views"):
        assert np.array_equal(added, VIEWS * counts)
    if name == "pasted":  # both images of each, and each class as often above
        n = len(rows.y) - counts.sum()
        assert n == 2 * VIEWS * counts.sum()
        above = np.bincount(rows.y[-n // 2 :])
        assert above.min() > 0.6 * above.mean()
    if name == "GAN views + GANOverSampler 3x":
        assert np.array_equal(added, VIEWS * counts + 72 - counts)
    again = ARMS[name](context)
    np.testing.assert_allclose(rows.X, again.X, atol=1e-5)


def test_leaning_mixup_favours_small_classes(context):
    even, leaning = (
        np.bincount(r.y, r.weight) for r in (ARMS["mixup"](context), ARMS["leaning mixup"](context))
    )
    assert leaning[3] > even[3]
    assert leaning.sum() == pytest.approx(even.sum())


def test_boxes_are_pasted_by_the_share_that_their_labels_have():
    """Of two classes, one black and one white: an image is as bright as its labels say."""
    y = np.repeat([0, 1], [30, 6])
    images = np.zeros((36, 40, 60, 3), np.uint8) + 255 * y[:, None, None, None].astype(np.uint8)
    kept = []

    def embed(X):
        kept.append(X.copy())
        return X.mean((1, 2)).astype(np.float32)

    rows = ARMS["pasted"](Context(images, embed(images), y, np.arange(36), 0, embed))
    brightness, n = kept[-1].mean((1, 2, 3)) / 255, VIEWS * 36
    below, above = rows.y[36 : 36 + n], rows.y[36 + n :]
    raw = rows.weight / np.array([rows.weight[:30].max(), rows.weight[30:36].max()])[rows.y]
    np.testing.assert_allclose(raw[36 : 36 + n] + raw[36 + n :], 1)
    np.testing.assert_allclose(brightness, below * raw[36 : 36 + n] + above * raw[36 + n :], atol=1e-3)
    assert ((brightness > 0) & (brightness < 1)).mean() > 0.3


def test_arms_of_roots_see_the_roots(context):
    rows, same = ARMS["class weights of roots"](context), ARMS["class weights"](context)
    roots = photograph_arms.Space(np.sqrt(context.X))
    np.testing.assert_allclose(rows.X, roots(np.sqrt(context.X)), atol=1e-4)
    assert not np.allclose(rows.X, same.X, atol=1e-2)
    assert np.array_equal(rows.weight, same.weight)
    fewer = Context(context.images, context.X, context.y, context.places, 0, features_of, n_components=3)
    assert ARMS["class weights of roots"](fewer).X.shape == (len(context.y), 3)


def test_calibration_has_the_mean_and_spread_that_the_paper_says():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [400, 300, 2])
    X = (rng.normal(size=(702, 6)) * [1, 2, 1, 1, 1, 1] + y[:, None]).astype(np.float32)
    context = Context(X, X, y, np.arange(702), 0, None)
    rows = photograph_arms.calibration(context, times=10, rich=20)
    drawn, scale = rows.X[702:], rows.space.scale
    means = [rows.X[:702][y == c].mean(0) for c in range(3)]
    np.testing.assert_allclose(drawn.mean(0), np.mean(means, axis=0), atol=0.1)
    assert drawn.var(0).sum() * scale**2 == pytest.approx(9, rel=0.15)


def write_zip(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        for i, (image, label) in enumerate(zip(data.images, data.y, strict=True)):
            picture = io.BytesIO()
            Image.fromarray(image).save(picture, "png")
            archive.writestr(f"kind {label}/{i:03}.png", picture.getvalue())


@pytest.fixture
def run(data, tmp_path, monkeypatch):
    """Run the command on a zip file of the images, and return what it wrote."""
    write_zip(tmp_path / "images.zip", data)
    means = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    monkeypatch.setattr(photographs, "RESULTS", tmp_path)
    monkeypatch.setattr(photographs, "CS", (1e-2, 1e-1))
    monkeypatch.setattr(photographs, "Embedder", functools.partial(Embedder, means, preprocess=None))
    monkeypatch.setitem(photographs.DATA, "trashnet", LITTLE)

    def call(arms, seeds=2):
        options = ["--data", "trashnet", "--path", str(tmp_path / "images.zip"), "--seeds", str(seeds)]
        photographs.main([*options, "--arms", arms, "--cache", str(tmp_path / "cache.h5")])
        return json.loads((tmp_path / "photographs-trashnet.json").read_text())

    return call


def test_the_command_runs_what_is_missing_and_its_table_shows_it(run, capsys):
    first = run("class weights,GANOverSampler")
    both = run("class weights,GANOverSampler,calibration,calibration 3x")
    assert len(first["runs"]) == 8
    assert len(both["runs"]) == 16
    assert [r for r in both["runs"] if r["arm"] in ("class weights", "GANOverSampler")] == first["runs"]
    assert capsys.readouterr().out.count("balanced accuracy") == 16
    assert all(r["test"]["balanced_accuracy"] > 60 for r in both["runs"])
    table = photographs_table(both)
    assert "Training images: 24, 22, 12, 5 in two orders" in table
    assert "| **GANOverSampler** |" in table
    assert "| best calibration |" in table


def test_other_settings_are_refused(run, monkeypatch):
    run("class weights", seeds=1)
    monkeypatch.setattr(photographs, "CS", (1e-3, 1.0))
    with pytest.raises(ValueError, match="made with other settings"):
        run("class weights", seeds=1)


def scored(accuracy, recall=(), counts=(), validation=0.0):
    return {
        "test": {"balanced_accuracy": accuracy, "recall": list(recall)},
        "counts": list(counts),
        "validation": {"balanced_accuracy": validation},
    }


def test_a_seed_is_the_unit_of_intervals():
    def runs(*scores):
        splits = [(seed, order) for seed in (0, 1) for order in ("a", "b")]
        return dict(zip(splits, map(scored, scores), strict=False))

    one, other = runs(80, 82, 84, 86), runs(79, 79, 80, 80)
    mean, half, n = difference(one, other, lambda run: run["test"]["balanced_accuracy"])
    assert (mean, n) == (3.5, 2)
    assert half == pytest.approx(12.706 * 1.5, rel=1e-3)
    alone = difference(one, runs(79, 79), lambda run: run["test"]["balanced_accuracy"])
    assert difference_text(alone) == "+2.00 (one seed)"


def test_recall_by_class_size_and_the_best_on_validation_images():
    run = scored(0, recall=[90, 50, 40], counts=[300, 14, 10])
    assert recall_of((2, 14))(run) == 45
    assert np.isnan(recall_of((15, 99))(run))
    good, bad = scored(70, validation=80), scored(75, validation=70)
    assert best_of([{(0, "a"): good, (1, "a"): bad}, {(0, "a"): bad}]) == {(0, "a"): good}
