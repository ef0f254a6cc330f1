"""The benchmark of restoration: what it damages, what its baselines fill, and its tables."""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.impute import KNNImputer

from benchmarks import restoration, restoration_tables
from benchmarks.tables.restoration import restoration_tables as tables_of
from ganaug import ConditionalGAN


def quick(**parameters):
    return ConditionalGAN(steps=1, base_channels=4, latent_dim=4, **parameters)


def test_images_are_damaged_where_the_mask_says():
    X, y, X_test, y_test = restoration.split("digits", 0, None)
    assert (len(X), len(y), len(X_test), len(y_test)) == (1000, 1000, 500, 500)
    found = dict(restoration.damages(X_test, 0))
    assert list(found) == ["a block of a quarter", "a half", "half of the pixels", "noise"]
    shares = [mask.mean() for _, mask in found.values() if mask is not None]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.5], atol=0.01)
    assert (found["a half"][1].reshape(500, -1).sum(1) == 32).all()
    for damaged, mask in found.values():
        assert damaged.dtype == np.uint8
        if mask is not None:
            assert np.array_equal(damaged[~mask], X_test[~mask]) and not damaged[mask].any()


def test_runs_of_images(monkeypatch, tmp_path):
    monkeypatch.setattr(restoration, "ConditionalGAN", quick)
    monkeypatch.setattr(restoration, "N_TEST", 20)
    monkeypatch.setattr(restoration, "N_TRAIN", {"digits": 200})
    options = argparse.Namespace(path=None, models=None)
    runs = list(restoration.run_images("digits", 0, options, set()))
    arms = {(run["damage"], run["arm"]): run for run in runs}
    assert len(arms) == len(runs) == 3 * 8 + 7
    inpainted, ours, known = (
        arms["a half", arm]["rmse"] for arm in ("cv2.inpaint, Telea", "restore", "restore, labels known")
    )
    assert known < ours < inpainted
    assert arms["noise", "restore"]["rmse"] < arms["noise", "damaged"]["rmse"]
    assert not list(restoration.run_images("digits", 0, options, set(map(restoration.key, runs))))


def test_baselines_fill_mixed_tables():
    rng = np.random.default_rng(0)
    numbers = rng.random(60)
    X = pd.DataFrame({"a": numbers, "b": numbers + 1, "c": np.where(numbers > 0.5, "x", "y")}).astype(
        {"c": object}
    )
    incomplete, mask = restoration_tables.with_holes(X, rng)
    assert np.array_equal(incomplete.isna().to_numpy(), mask)
    filled = restoration_tables.Baseline(KNNImputer()).fit(X).transform(incomplete)
    pd.testing.assert_frame_equal(filled.where(~mask), incomplete)
    found = restoration_tables.errors(filled, X, mask, X)
    assert found["rmse"] < 0.7 and found["wrong"] < 20
    worse = restoration_tables.errors(filled.assign(c="x"), X, mask, X)
    assert worse["wrong"] > found["wrong"]


def test_runs_of_tables_and_the_tables_of_the_page(monkeypatch):
    monkeypatch.setattr(restoration_tables, "ConditionalGAN", quick)
    runs = list(restoration_tables.run_table("iris", 0, argparse.Namespace(path=None), set()))
    assert [run["arm"] for run in runs][-3:] == [
        "GANImputer",
        "GANImputer, a draw",
        "GANImputer without its generator",
    ]
    by_arm = {run["arm"]: run["rmse"] for run in runs}
    assert by_arm["GANImputer"] < by_arm["SimpleImputer"]
    image = {"data": "d", "seed": 0, "damage": "noise", "arm": "restore", "rmse": 0.1, "accuracy": 90.0}
    table = tables_of({"runs": [*runs, image | {"undamaged": 95.0}]})
    assert "| **restore** | 0.100 / 90.0 |" in table and "| not damaged | 0 / 95.0 (seeds: 1) |" in table
    assert f"| **GANImputer** | {by_arm['GANImputer']:.3f} / " in table
