"""benchmarks.series: what its arms make, what it reads, and that its committed table is up to date."""

from __future__ import annotations

import json
import sys
import zipfile

import numpy as np
import pytest
import torch

from benchmarks import series
from benchmarks.tables.series import series_table
from benchmarks.tables.shared import ROOT


@pytest.fixture(scope="module")
def halves():
    return series.split("sines", series.sines(0), 0)


@pytest.mark.parametrize("name", series.GENERATED)
def test_generated_sets(name):
    X, y = series.GENERATED[name](0)
    assert X.shape == (series.N_GENERATED, series.LENGTH, 1)
    assert X.dtype == np.float32
    assert np.array_equal(series.GENERATED[name](0)[0], X)
    assert not np.array_equal(series.GENERATED[name](1)[0], X)
    assert set(np.bincount(y)) == {series.N_GENERATED // 3}


def test_a_split_shares_nothing(halves):
    (X, y), (X_test, y_test) = halves
    assert sorted(np.bincount(y).tolist()) == [15, 60, 60]
    assert len(X) + len(X_test) == series.N_GENERATED
    rows = {row.tobytes() for row in X}
    assert not rows & {row.tobytes() for row in X_test}
    assert len(y_test) == len(X_test)


@pytest.mark.parametrize("arm", [arm for arm in series.ARMS if "GAN" not in arm and series.ARMS[arm]])
def test_arms_make_series_near_those_of_their_class(arm, halves):
    X, y = halves[0]
    before = X.copy()
    labels = np.repeat(np.arange(3), series.N_SYNTHETIC)
    made = series.ARMS[arm](X, y, labels, 0)
    assert made.shape == (len(labels), series.LENGTH, 1)
    assert np.array_equal(X, before)
    assert np.isfinite(made).all()
    distance = np.square(made[:, None, :, 0] - X[None, :, :, 0]).sum(axis=2)
    assert (y[distance.argmin(axis=1)] == labels).mean() > 0.6
    assert (distance.min(axis=1) > 0).mean() > 0.9
    assert np.array_equal(series.ARMS[arm](X, y, labels, 0), made)


def test_warped_series_have_their_own_ends(halves):
    X, y = halves[0]
    labels = np.zeros(20, int)
    warped = series.time_warp(X, y, labels, 0)
    ends = {(row[0, 0], row[-1, 0]) for row in X[y == 0]}
    assert {(row[0, 0], row[-1, 0]) for row in warped.astype(np.float32)} <= ends


def test_what_a_run_finds(halves, monkeypatch):
    monkeypatch.setattr(series, "UPDATES", 60)
    state = torch.get_rng_state()
    runs = {
        arm: series.run("sines", *halves, arm, 0) for arm in ("class weights", "mixup", "jitter and scaling")
    }
    torch.set_rng_state(state)
    for arm, found in runs.items():
        assert (found["data"], found["seed"], found["arm"]) == ("sines", 0, arm)
        assert ("random convolutions" in found["recall"]) == (arm not in series.OF_NETWORKS)
        for recall in found["recall"].values():
            assert len(recall) == 3
            assert 50 < np.mean(recall) <= 100


def test_runs_that_are_there_are_not_repeated(monkeypatch, tmp_path):
    asked = []

    def run(name, train, test, arm, seed):
        asked.append((name, arm, seed))
        return {"data": name, "seed": seed, "arm": arm, "seconds": 0, "recall": {"network": [50.0]}}

    monkeypatch.setattr(series, "run", run)
    output = tmp_path / "series.json"
    for arms in ("SMOTE", "SMOTE,mixup"):
        monkeypatch.setattr(sys, "argv", ["series", "--seeds", "2", "--arms", arms, "--output", str(output)])
        series.main()
    assert len(asked) == len(set(asked)) == 2 * 2 * 2
    assert len(json.loads(output.read_text())["runs"]) == 8


def test_series_of_a_wheel(tmp_path):
    path = tmp_path / "aeon.whl"
    lines = "# a comment\n@data\n1.0,2.0,3.0:4.0,5.0,6.0:b\n7.0,8.0,9.0:0.0,0.0,0.0:a\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for split in ("TRAIN", "TEST"):
            wheel.writestr(f"aeon/datasets/data/Set/Set_{split}.ts", lines)
    X, y = series.read_wheel(path, "Set")
    assert X.shape == (4, 3, 2)
    assert X[0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert y.tolist() == [1, 0, 1, 0]


def test_the_table_is_that_of_the_results():
    table = series_table(json.loads(series.RESULTS.read_text()))
    for page in ("benchmarks/README.md", "docs/howto/series.md"):
        assert table in (ROOT / page).read_text()


def test_a_table_of_few_runs():
    def run(arm, seed, score):
        kinds = ("network",) if arm == "mixup" else ("network", "random convolutions")
        recall = {kind: [score, score + 2] for kind in kinds}
        return {"data": "sines", "seed": seed, "arm": arm, "seconds": 1.0, "recall": recall}

    runs = [run("mixup", s, 80 + s) for s in range(3)] + [run("ConditionalGAN", s, 90) for s in range(3)]
    runs += [run("ConditionalGAN recurrent", s, 85) for s in range(2)]
    header, _, mixup, ours, other = series_table({"runs": runs}).splitlines()
    assert "ConditionalGAN minus it, random convolutions" in header
    assert mixup.startswith("| mixup | 82.0 | 82.0 | +9.00 (+6.52 to +11.48) |  | 1 |")
    assert ours.startswith("| **ConditionalGAN** | 91.0 / 91.0 |")
    assert "(2 of 3 seeds)" in other
    assert other.count("+5.00 (+5.00 to +5.00)") == 2
