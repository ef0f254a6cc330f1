"""The samples that `ganaug fit` holds out, and that `ganaug report` compares with."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import mixed_table

from ganaug import ConditionalGAN
from ganaug.cli import main
from ganaug.data.holdout import holdout_mask, sample_digests
from ganaug.data.tables import TableCodec
from ganaug.evaluation.problems import find_problems
from ganaug.io.holdout_file import HOLDOUT_FILE, load_holdout_mask, load_problems
from ganaug.training.monitor import MIN_LOGS

SMALL = ["--steps", "2", "--base-channels", "4", "--latent-dim", "4", "--random-state", "0"]


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [260, 200, 199])
    return rng.integers(0, 255, (len(y), 8, 8), dtype=np.uint8), y


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_tenth_of_each_large_class_in_any_order(images):
    X, y = images
    mask = holdout_mask(X, y)
    assert np.bincount(y[mask], minlength=3).tolist() == [26, 20, 0]
    order = np.random.default_rng(1).permutation(len(y))
    assert np.array_equal(holdout_mask(X[order], y[order]), mask[order])


def test_of_equal_rows_all_are_set_aside_or_none(images):
    X, y = images
    X = np.concatenate([X, X[:260], X[:1], X[[0] * 60]])
    y = np.concatenate([y, y[:260], [1], [0] * 60])
    mask = holdout_mask(X, y)
    assert np.bincount(y[mask], minlength=3).tolist() == [58, 20, 0]
    assert not set(sample_digests(X[mask])) & set(sample_digests(X[~mask]))
    assert not mask[0]  # it is more than a tenth of its class


def test_of_rows_that_have_twins_too():
    # Rows that are there once are the rare ones: a sample of them alone would be none of the table.
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.integers(0, 2, 2000), "b": rng.geometric(0.1, 2000)}).astype(str)
    mask = holdout_mask(table, np.zeros(2000, int))
    assert 150 < mask.sum() < 300
    twins = table.groupby(["a", "b"])["a"].transform("size")
    assert np.mean(twins[mask] == 1) < 0.02


@pytest.mark.parametrize("kind", ["category", "string", "missing", "object array"])
def test_the_only_row_of_its_kind_is_not_set_aside(kind):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.random(600), "b": rng.choice(["x", "y"], 600).astype(object)})
    y = np.repeat([0, 1], [400, 200])
    one = int(np.flatnonzero(holdout_mask(table, y))[0])
    for value in range(60):  # with another value in it it is another row: look for one that was chosen
        table.loc[one, "a"] = np.nan if kind == "missing" else value
        table.loc[one, "b"] = f"x{value}" if kind == "missing" else "rare"
        X = table.astype({"b": "category"}) if kind == "category" else table
        X = X.to_numpy(object) if kind == "object array" else X
        mask = holdout_mask(X, y)
        assert not mask[one]
        assert mask.sum() in (59, 60)
        TableCodec.fit(X[~mask]).encode(X[mask])


@pytest.mark.parametrize("kind", ["frame", "objects"])
def test_rows_of_tables_have_digests(kind):
    table = mixed_table(100)
    rows = table if kind == "frame" else table.astype(object).to_numpy()
    digests = sample_digests(rows)
    assert len(set(digests)) == 100
    again = rows.iloc[::-1].copy() if kind == "frame" else rows[::-1].copy()
    assert np.array_equal(sample_digests(again), digests[::-1])


def test_the_report_finds_what_fit_set_aside(images, tmp_path):
    X, y = images
    data, model = tmp_path / "d.npz", tmp_path / "m"
    np.savez(data, X=X, y=y)
    fitted = json.loads(run("fit", data, "-o", model, *SMALL, "--json").stdout)
    assert fitted == {"model": str(model), "classes": {"0": 234, "1": 180, "2": 199}, "held_out": 46}
    gan = ConditionalGAN.load(model)
    mask = load_holdout_mask(model, gan.digest(), X)
    assert np.array_equal(mask, holdout_mask(X, y))
    assert not set(sample_digests(X[mask])) & set(sample_digests(gan.members_[0].X))

    arguments = ("report", model, data, "-o", tmp_path / "r.html", "--per-class", 20, "--json")
    report = json.loads(run(*arguments).stdout)
    assert report["counts"] == {"0": 234, "1": 180, "2": 199}
    measured = [report["per_class"][label]["memorization"]["value"] is not None for label in "012"]
    assert measured == [True, True, False]
    assert "was not measurable of 2: that takes 20 rows" in report["verdict"][1]
    np.savez(data, X=X[1:] // 2, y=y[1:])
    with pytest.warns(UserWarning, match="46 of the 46 samples that were held out in training are not in"):
        assert run(*arguments).exit_code == 0
    np.savez(data, X=X, y=y)
    # Another model in the same folder knows nothing of it.
    ConditionalGAN(steps=1, base_channels=4, latent_dim=4, random_state=1).fit(X, y).save(model)
    report = json.loads(run(*arguments).stdout)
    assert report["counts"] == {"0": 260, "1": 200, "2": 199}
    assert report["overall"]["memorization"]["value"] is None


def test_use_all(images, tmp_path):
    np.savez(tmp_path / "d.npz", X=images[0], y=images[1])
    result = run("fit", tmp_path / "d.npz", "-o", tmp_path / "m", "--no-holdout", *SMALL)
    assert "Trained on 659 images" in result.output
    assert "aside" not in result.output
    assert not (tmp_path / "m" / HOLDOUT_FILE).exists()


def test_a_damaged_file_is_named(images, tmp_path):
    np.savez(tmp_path / "d.npz", X=images[0], y=images[1])
    run("fit", tmp_path / "d.npz", "-o", tmp_path / "m", *SMALL)
    (tmp_path / "m" / HOLDOUT_FILE).write_text("{")
    result = run("report", tmp_path / "m", tmp_path / "d.npz", "-o", tmp_path / "r.html")
    assert result.exit_code == 1
    assert f"{HOLDOUT_FILE} can't be read: delete it, or train anew" in result.output


def test_what_fit_knows_of_its_model_is_said(images, tmp_path, monkeypatch):
    """Nothing of a good one; of one that hands out copies, each command says it."""
    X, y = images
    data, model, file = tmp_path / "d.npz", tmp_path / "m", tmp_path / "x.h5"
    np.savez(data, X=X, y=y)

    def copies(self, labels, random_state=None):
        held_in = self.members_[0]
        return held_in.X[[np.flatnonzero(np.asarray(held_in.labels) == label)[0] for label in labels]]

    with monkeypatch.context() as patch:
        patch.setattr(ConditionalGAN, "sample", copies)
        result = run("fit", data, "-o", model, *SMALL)
    words = f"{model}: 100 % of its samples are memorised: closer to a training sample than 95 % of held-out"
    assert f"Warning: {words}" in result.stderr
    digest = ConditionalGAN.load(model).digest()
    assert len(load_problems(model, digest)) == 1
    assert load_problems(model, "0" * 64) == []
    assert load_holdout_mask(model, digest, X).sum() == 46

    commands = [
        ("generate", model, "-o", file, "--per-class", 2),
        ("resample", data, "--model", model, "-o", file, "--random-state", 0),
        ("report", model, data, "-o", tmp_path / "r.html", "--per-class", 10),
    ]
    for command in commands:
        strict = run(*command, "--strict")
        assert strict.exit_code == 1
        assert strict.stderr.startswith(f"Error: {words}")
        assert not file.exists() and not (tmp_path / "r.html").exists()
    for command in commands:
        result = run(*command, "--overwrite")
        assert result.exit_code == 0, result.output
        assert f"Warning: {words}" in result.stderr

    ConditionalGAN(steps=1, base_channels=4, latent_dim=4).fit(X, y).save(
        model
    )  # of another one nothing is known
    assert run("generate", model, "-o", file, "--per-class", 2, "--strict", "--overwrite").exit_code == 0


def test_problems_of_a_generator(images):
    X, y = images
    held_out = holdout_mask(X, y)
    split = X[~held_out], y[~held_out], X[held_out], y[held_out]

    class Generator:
        classes_ = np.array([0, 1, 2])

        def __init__(self, copied, diversity=1.0, logs=MIN_LOGS):
            self.copied = copied
            self.history_ = [{"member": 0, "min_class_diversity": diversity}] * logs

        def sample(self, labels, random_state=None):
            rng = np.random.RandomState(random_state)
            new = rng.randint(0, 255, (len(labels), 8, 8)).astype(np.uint8)
            return np.where((labels == self.copied)[:, None, None], split[0][split[1] == labels[0]][0], new)

    assert find_problems(Generator(None), *split) == []
    (of_one,) = find_problems(Generator(1), *split)
    assert of_one.startswith("most of its samples of class 1 (100 %) are memorised")
    assert find_problems(Generator(2), *split) == []  # of which too few are held out
    (collapsed,) = find_problems(Generator(None, diversity=0.1), *split)
    assert collapsed.startswith("mode collapse in training")
    assert find_problems(Generator(None, diversity=0.1, logs=MIN_LOGS - 1), *split) == []
    none = X[:0], y[:0]
    assert find_problems(Generator(1), X, y, *none) == []


@pytest.mark.parametrize("problems", ["copies", [1], [""], ["x" * 1001], {"a": 1}, [["x"]]])
def test_sentences_of_a_stranger_are_checked(problems, tmp_path):
    content = {"model": "0" * 64, "rows": [], "problems": problems}
    (tmp_path / HOLDOUT_FILE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="can't be read: delete it, or train anew.*sentences"):
        load_problems(tmp_path, "0" * 64)
