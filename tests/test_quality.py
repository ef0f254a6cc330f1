"""Oracles: what the report says of synthetic samples that are known to be good or bad in one way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from conftest import mixed_table
from prdc import compute_prdc
from sklearn.datasets import load_digits
from torchmetrics.image.fid import FrechetInceptionDistance

from ganaug import ConditionalGAN, quality_report
from ganaug.cli import main
from ganaug.evaluation.measures import (
    frechet_distance,
    inception_score,
    kernel_distance,
    pairwise_distance_ratio,
    prdc,
)
from ganaug.evaluation.report import MEANINGS
from ganaug.evaluation.verdict import verdict
from ganaug.io.arrays import Arrays


@pytest.fixture(scope="module")
def digits():
    """Training, held-out and new images, as many of each, of three classes that are easy to distinguish."""
    X, y = load_digits().images, load_digits().target
    keep = np.isin(y, (0, 1, 4))
    X, y = np.round(X[keep] * 255 / 16).astype(np.uint8), y[keep]
    parts = [np.arange(start, len(y), 3) for start in range(3)]
    return [(X[part], y[part]) for part in parts]


@pytest.fixture(scope="module")
def quick(digits):
    """Return a function that reports on samples, with a classifier that trains for few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganaug.evaluation.quality.CLASSIFIER_STEPS", 150)
        yield lambda synthetic, **settings: quality_report(synthetic, *digits[0], *digits[1], **settings)


def value(report, measure, key="value"):
    return report["overall"][measure][key]


@pytest.mark.parametrize("n", [40, 700])
def test_measures_equal_those_of_prdc(n):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(n, 6)), rng.normal(size=(n + 30, 6)) * 0.8 + 0.5
    ours = {name: float(rows.mean()) for name, rows in prdc(torch.tensor(real), torch.tensor(fake)).items()}
    del ours["authenticity"]  # theirs has none
    assert ours == pytest.approx(compute_prdc(real, fake, 5), abs=1e-6)


@pytest.mark.parametrize("n_features", [3, 300])
def test_equal_distances_are_equal_whatever_rounding_does(n_features):
    rng = np.random.default_rng(0)
    # Few values, so that many of the distances are equal, and many rows are the same.
    real, fake = (np.tile(rng.integers(0, 3, (n, 3)), n_features // 3) for n in (600, 400))
    own, across = (np.square(rows[:, None, :3] - real[None, :, :3]).sum(2) for rows in (real, fake))
    among_fake = np.square(fake[:, None, :3] - fake[None, :, :3]).sum(2)
    radii, fake_radii = (np.sort(squared, axis=1)[:, 5] for squared in (own, among_fake))
    found = prdc(torch.tensor(real / 7 + 30), torch.tensor(fake / 7 + 30))
    assert found["density"].tolist() == ((across <= radii).sum(1) / 5).tolist()
    assert found["recall"].tolist() == (across <= fake_radii[:, None]).any(0).tolist()
    # Every row has a twin, so none is farther from its nearest than that one from its own.
    assert not found["authenticity"].any()


def test_frechet_distance_of_few_samples_of_many_features():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(6, 40)), rng.normal(size=(9, 40)) + 1
    # tr sqrt(A'A B'B) is the sum of the singular values of AB'.
    roots = [(rows - rows.mean(0)) / np.sqrt(len(rows) - 1) for rows in (real, fake)]
    expected = np.square(real.mean(0) - fake.mean(0)).sum() + sum(np.square(root).sum() for root in roots)
    expected -= 2 * np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    assert frechet_distance(torch.tensor(real), torch.tensor(fake)) == pytest.approx(expected, rel=1e-5)


def test_distances_equal_those_of_torchmetrics():
    rng = torch.Generator().manual_seed(0)
    images = [torch.rand(300, 1, 4, 4, generator=rng), torch.rand(300, 1, 4, 4, generator=rng) ** 2]

    class Flat(torch.nn.Module):
        num_features = 16

        def forward(self, rows):
            return rows.flatten(1)

    metric = FrechetInceptionDistance(feature=Flat()).set_dtype(torch.double)
    metric.update(images[0], real=True)
    metric.update(images[1], real=False)
    real, fake = (rows.flatten(1) for rows in images)
    assert frechet_distance(real, fake) == pytest.approx(float(metric.compute()), rel=1e-5)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-3)
    state = torch.get_rng_state()
    near, far = (
        kernel_distance(real, real[torch.randperm(300, generator=rng)])[0],
        kernel_distance(real, fake)[0],
    )
    assert near < 0.002 < far
    assert torch.equal(torch.get_rng_state(), state)


def test_inception_score_of_known_probabilities():
    assert inception_score(torch.eye(5).repeat(7, 1)) == pytest.approx(5)
    assert inception_score(torch.tensor([[0.7, 0.2, 0.1]]).repeat(7, 1)) == pytest.approx(1)
    p = np.random.default_rng(0).dirichlet([0.3] * 4, size=50)
    expected = np.exp(np.mean(np.sum(p * np.log(p / p.mean(0)), axis=1)))
    state = torch.get_rng_state()
    assert inception_score(torch.tensor(p)) == pytest.approx(expected, rel=1e-9)
    assert torch.equal(torch.get_rng_state(), state)


def test_inception_score_falls_with_doubt_and_with_uneven_classes():
    sure, even = torch.eye(3).repeat(20, 1), torch.full((60, 3), 1 / 3)
    doubtful = [inception_score((1 - share) * sure + share * even) for share in np.linspace(0, 1, 6)]
    assert doubtful == sorted(doubtful, reverse=True)
    uneven = [inception_score(torch.eye(3)[[0] * n + [1, 2] * 5]) for n in (5, 10, 20, 80)]
    assert uneven == sorted(uneven, reverse=True)


@pytest.mark.parametrize("margin", [50.0, 120.0, 1e30])
def test_inception_score_of_a_classifier_that_is_sure_of_all(margin):
    """From 104 on, class 2 has a probability of exactly 0 in single precision."""
    logits = torch.tensor([[margin, 0.0, 0.0], [0.0, margin, 0.0]]).repeat(20, 1)
    assert inception_score(logits.softmax(1)) == pytest.approx(2)


@pytest.mark.parametrize("values", [[0.4, 0.5], [1.5, -0.5], [3.0, 1.0], [np.nan, 1.0]])
def test_inception_score_of_what_are_no_probabilities(values):
    with pytest.raises(ValueError, match="`probabilities` must be from 0 up, and those of a sample sum to 1"):
        inception_score(torch.tensor([[1.0, 0.0], values]))


def test_diversity_is_that_of_the_first_samples_or_of_drawn_ones():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    assert pairwise_distance_ratio(real[:3], real[:3] * 2) == 2
    assert pairwise_distance_ratio(real, real * 2, max_samples=3) == 2
    assert pairwise_distance_ratio(real, real.flip(0), np.random.RandomState(0)) == pytest.approx(1)
    assert pairwise_distance_ratio(real[:1], real) is None


def test_authenticity():
    real = torch.tensor([[0.0], [1.0], [5.0]])
    fake = torch.tensor([[0.0], [0.4], [3.5], [7.0], [9.5]])  # 5 is 4 from its nearest
    assert prdc(real, fake, 1)["authenticity"].tolist() == [0, 0, 0, 0, 1]


@pytest.mark.trained_classifiers
def test_copies_look_real_and_are_called_memorised(digits, quick):
    report = quick((digits[0][0], digits[0][1]))
    assert value(report, "precision") > 0.95
    assert value(report, "memorization") == 1
    assert value(report, "authenticity") == 0
    # A score that looks at no real image does not see it.
    inception = report["overall"]["inception_score"]
    assert inception["value"] == inception["train_copies"] > inception["real"]
    assert report["verdict"][0].startswith("Do not use it")
    assert "100 % of them are memorised" in report["verdict"][0]


@pytest.mark.trained_classifiers
def test_noise_does_not_look_real(digits, quick):
    X, y = digits[0]
    report = quick((np.random.default_rng(0).integers(0, 256, X.shape, dtype=np.uint8), y))
    assert value(report, "precision") < 0.05
    assert value(report, "tstr") < 0.7
    assert value(report, "inception_score") == pytest.approx(
        value(report, "inception_score", "noise"), abs=0.3
    )
    assert value(report, "inception_score") < value(report, "inception_score", "real") - 0.5
    assert value(report, "memorization") < 0.05
    assert "they don't look real" in report["verdict"][0]


@pytest.mark.trained_classifiers
def test_one_image_over_and_over_covers_nothing(digits, quick):
    X, y = digits[0]
    one = np.concatenate([np.repeat(X[y == c][:1], 60, axis=0) for c in (0, 1, 4)])
    report = quick((one, np.repeat([0, 1, 4], 60)))
    assert all(measures["coverage"]["value"] < 0.2 for measures in report["per_class"].values())
    assert value(report, "diversity") == 0
    # One of each class is not one of all.
    inception = report["overall"]["inception_score"]
    assert inception["value"] > inception["real"] - 0.1 > inception["single_mode"] == 1
    assert any("has collapsed" in line for line in report["verdict"])


@pytest.mark.trained_classifiers
def test_held_out_samples_are_as_good_as_real_ones(digits, quick):
    report = quick(digits[2])
    assert value(report, "frechet_distance") == pytest.approx(
        value(report, "frechet_distance", "real"), rel=0.3
    )
    assert value(report, "frechet_distance", "noise") > 3 * value(report, "frechet_distance", "real")
    for measure in ("precision", "recall", "coverage", "diversity", "tstr", "inception_score"):
        assert value(report, measure) == pytest.approx(value(report, measure, "real"), abs=0.1), measure
    inception = report["overall"]["inception_score"]
    assert 1 < inception["noise"] < inception["low"] < inception["value"] < inception["high"] < 3.2
    assert value(report, "memorization") < 0.2
    assert report["verdict"][0] == "Nothing speaks against using it."


@pytest.mark.trained_classifiers
def test_swapped_labels_are_caught(digits, quick):
    X, y = digits[2]
    swapped = np.where(y == 0, 1, np.where(y == 1, 0, y))
    report = quick((X, swapped))
    for label in (0, 1):
        assert report["per_class"][label]["augmentation_gain"]["high"] < 0
        assert report["per_class"][label]["tstr"]["value"] < 0.2
    assert report["per_class"][4]["tstr"]["value"] > 0.9
    # It looks at no label.
    assert value(report, "inception_score") > 2.5
    assert report["verdict"][0].startswith("Do not use it")


def test_held_out_images_of_the_training_set_are_left_out(digits):
    """Else copies would be taken for what new images are like."""
    (X, y), (X_test, y_test), _ = digits
    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match="60 of the .* left out"):
        patch.setattr("ganaug.evaluation.quality.CLASSIFIER_STEPS", 20)
        mixed = np.concatenate([X_test, X[:60]]), np.concatenate([y_test, y[:60]])
        report = quality_report((X, y), X, y, *mixed)
    assert value(report, "memorization") == 1
    assert "100 % of them are memorised" in report["verdict"][0]
    with pytest.raises(ValueError, match="`X_test` must hold images that the generator never saw"):
        quality_report((X, y), X, y, X[:50], y[:50])


def test_held_out_rows_of_the_training_table_tell_nothing_of_memorization():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 3)), np.arange(120) % 2
    report = quality_report((X, y), X, y, X, y)
    assert any("Whether it memorised can't be measured" in line for line in report["verdict"])


def test_real_rows_of_a_file_are_not_measured(digits):
    (X, y), _, (X_new, y_new) = digits
    both = Arrays(
        np.concatenate([X, X_new]),
        np.concatenate([y, y_new]),
        synthetic=np.arange(len(X) + len(X_new)) >= len(X),
    )
    unnamed = Arrays(X_new, y_new, synthetic=np.zeros(len(X_new), bool))  # images in a folder of another's
    expected, *found = (quality_report(synthetic, X, y) for synthetic in ((X_new, y_new), both, unnamed))
    assert all(report["overall"] == expected["overall"] for report in found)


@pytest.mark.trained_classifiers
def test_without_held_out_rows_it_says_what_is_not_measurable(digits):
    report = quality_report(digits[2], *digits[0])
    assert "augmentation_gain" not in report["overall"]
    assert value(report, "memorization") is None
    assert report["verdict"][0] == "It looks real, and covers what is real."
    assert "not measurable: that takes 20 rows" in report["verdict"][1]


def test_the_page_stands_alone_and_the_numbers_are_the_same(digits, tmp_path):
    X, y = digits[0]
    gan = ConditionalGAN(steps=3, random_state=0).fit(X, y)
    report = quality_report(gan, X, y, *digits[1], per_class=40)
    report.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    pictures = re.findall(r'<img src="([^"]*)" alt="([^"]+)"', page)
    assert len(pictures) == 5  # beside real ones, nearest, variations, losses, features
    assert all(source.startswith("data:image/png;base64,") for source, _ in pictures)
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.index(report["verdict"][0].split(":")[0]) < page.index("<img")
    assert f"{value(report, 'precision'):.3f}" in page
    assert f"<td>inception_score</td><td>{value(report, 'inception_score'):.3f}</td>" in page
    found = json.loads(report.to_json(tmp_path / "numbers.json"))
    assert found == json.loads((tmp_path / "numbers.json").read_text())
    assert found["overall"]["precision"] == report["overall"]["precision"]
    assert found["overall"]["inception_score"] == report["overall"]["inception_score"]
    assert set(found["per_class"]) == {"0", "1", "4"}


def test_a_table_of_mixed_columns(tmp_path):
    X, y = mixed_table(400), np.arange(400) % 2
    X["age"] += 40 * y
    gan = ConditionalGAN(steps=150, random_state=0).fit(X[:300], y[:300])
    report = quality_report(gan, X[:300], y[:300], X[300:], y[300:], per_class=100)
    assert value(report, "precision") > value(report, "precision", "noise") - 0.1
    assert value(report, "tstr") > 0.8
    report.to_html(tmp_path / "page.html")
    assert "Correlations" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(("columns", "memorised"), [(1, False), (4, False), (12, True)])
def test_duplicates_in_a_table_of_few_categories_are_not_memorised(columns, memorised):
    """Of three rows, or of 81, all are there often; of 3**12 hardly one twice."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 150)

    def table():
        p = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])
        return np.array([rng.choice(["a", "b", "c"], columns, p=p[label]) for label in y], dtype=object)

    X = table()
    report = quality_report((X if memorised else table(), y), X, y, table(), y, random_state=0)
    assert report["overall"]["memorization"]["value"] > 0.8
    assert ("are memorised" in " ".join(report["verdict"])) == memorised


def test_a_class_that_gains_is_named_with_how_many_to_add():
    def entry(number, real=None):
        return {"value": number, "low": number - 0.01, "high": number + 0.01, "real": real}

    good = {
        "precision": entry(0.9, 0.95),
        "coverage": entry(0.9, 0.95),
        "memorization": entry(0.1, 0.05),
        "diversity": entry(1.0, 1.0),
        "tstr": entry(0.9, 0.92),
        "augmentation_gain": entry(0.05),
    }
    harmed = good | {"augmentation_gain": entry(-0.05)}
    lines = verdict(good, {"a": good, "b": harmed}, {"a": 10, "b": 60})
    assert lines[0] == "Nothing speaks against using it."
    assert lines[1].startswith("Class a: add 5.0x")
    assert lines[2].startswith("Class b: do not add to it")


def test_a_class_with_few_held_out_rows_is_not_measurable(digits, tmp_path):
    X_test, y_test = digits[1]
    some = (y_test != 4) | (np.cumsum(y_test == 4) < 20)
    assert np.sum(y_test[some] == 4) == 19
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganaug.evaluation.quality.CLASSIFIER_STEPS", 20)
        report = quality_report(digits[0], *digits[0], X_test[some], y_test[some])
    for measure in ("memorization", "membership_auc", "membership_tpr", "tstr", "augmentation_gain"):
        assert report["per_class"][4][measure]["value"] is None
        others = [report["per_class"][label][measure]["value"] for label in (0, 1)]
        assert None not in others
    assert value(report, "inception_score", "real") is None
    known = [report["per_class"][label]["memorization"]["value"] for label in (0, 1)]
    assert value(report, "memorization") == pytest.approx(np.mean(known))
    # It would be that of the classes that pay, without the one that gains: no verdict can be based on it.
    assert not {"tstr", "augmentation_gain"} & set(report["overall"])
    report.to_html(tmp_path / "page.html")
    assert "<strong>augmentation_gain</strong>" in (tmp_path / "page.html").read_text()
    assert report["per_class"][4]["trts"]["value"] is not None
    assert "was not measurable of 4: that takes 20 rows" in report["verdict"][1]


@pytest.mark.trained_classifiers
def test_few_new_samples_cover_as_much_as_equally_few_real_ones(digits, quick):
    X, y = digits[2]
    few = np.concatenate([np.flatnonzero(y == label)[:15] for label in (0, 1, 4)])
    report, many = quick((X[few], y[few])), quick(digits[2])
    coverage = report["overall"]["coverage"]
    assert coverage["value"] < 0.7  # which of many rows would be bad
    assert coverage["real"] < many["overall"]["coverage"]["real"] - 0.1
    assert report["verdict"][0] == "Nothing speaks against using it."


def test_each_measure_has_a_page_of_its_own():
    pages = {path.stem for path in (Path(__file__).parents[1] / "docs" / "measures").glob("*.md")}
    # Two numbers of one measure.
    measures = {name.removesuffix("_auc").removesuffix("_tpr") for name in MEANINGS}
    assert pages == {"index", *measures}


@pytest.mark.parametrize(
    ("synthetic", "test", "message"),
    [
        (lambda X, y: (X[:2], y[:2]), None, "at least 2 rows of every class"),
        (lambda X, y: "gan", None, "`synthetic` must be"),
        (lambda X, y: (X, y), lambda X, y: (None, y), "`y_test` must be None without `X_test`"),
        (
            lambda X, y: (X, y),
            lambda X, y: (X[:0], y[:0]),
            "`X_test` must be None or hold rows, got 0",
        ),
        (
            lambda X, y: (X, y),
            lambda X, y: (X[:, :, :7], y),
            "`X_test` must be of the kind of `X`.",
        ),
    ],
)
def test_bad_input(synthetic, test, message, digits):
    X, y = digits[0]
    with pytest.raises(ValueError, match=message):
        quality_report(synthetic(X, y), X, y, *(test(X, y) if test else ()))


@pytest.mark.parametrize("per_class", [0, 1, "a", 2.5])
def test_bad_numbers_of_rows(per_class, digits):
    with pytest.raises(ValueError, match=f"`per_class` must be an integer from 2 up, got {per_class!r}"):
        quality_report(digits[0], *digits[0], per_class=per_class)


def test_exact_duplicates_are_as_good_as_they_are_real():
    """New draws of a table of few categories, and the training rows themselves."""
    rng = np.random.default_rng(0)

    def draw(*counts):
        y = np.repeat([0, 1], counts)
        columns = np.minimum(
            rng.integers(0, 4, (len(y), 3)) + y[:, None] * rng.integers(0, 2, (len(y), 3)), 3
        )
        return np.array(list("abcd"), dtype=object)[columns], y

    (X, y), held = draw(300, 150), draw(100, 60)
    for synthetic, said in (
        (draw(200, 200), "Nothing speaks"),
        ((X, y), "Do not use it: 100 % of them are memorised"),
    ):
        report = quality_report(synthetic, X, y, *held)
        assert value(report, "precision") > 0.95
        assert value(report, "coverage") > 0.9 * value(report, "coverage", "real")
        assert report["verdict"][0].startswith(said)


def test_one_row_over_and_over_is_seen_in_a_table():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), np.arange(200) % 2
    one = np.repeat(X[:1], 100, axis=0), np.arange(100) % 2
    assert quality_report(one, X, y, X[::2] + 0.1, y[::2])["verdict"][0].startswith("Do not use it")


def test_classes_are_compared_as_frequent_as_they_are():
    rng = np.random.default_rng(0)

    def draw(*counts):
        y = np.repeat([0, 1], counts)
        return rng.normal(size=(len(y), 6)) + 3 * y[:, None], y

    X, y = draw(500, 50)
    report = quality_report(draw(500, 500), X, y)
    for measure in ("frechet_distance", "kernel_distance"):
        assert value(report, measure) < value(report, measure, "noise")


def test_inception_score_by_any_classifier():
    """Also with more classes than there are; with the class frequencies of the real samples in all sets."""
    rng = np.random.default_rng(0)

    def draw(*counts):
        y = np.repeat([0, 1], counts)
        return rng.normal(size=(len(y), 3)) + 20 * y[:, None], y

    def probabilities(X):
        return torch.eye(7, requires_grad=True)[(np.asarray(X)[:, 0] > 10).astype(int)]

    (X, y), new, held_out = draw(100, 20), draw(100, 100), draw(20, 20)
    report = quality_report(new, X, y, *held_out, probabilities=probabilities)
    entry = report["overall"]["inception_score"]
    shares = np.array([5, 1]) / 6
    expected = np.exp(-np.sum(shares * np.log(shares)))
    for key in ("value", "low", "high", "real", "train_copies"):
        assert entry[key] == pytest.approx(expected), key
    assert all("inception_score" not in measures for measures in report["per_class"].values())
    assert value(quality_report(new, X, y, *held_out), "inception_score") == pytest.approx(expected, abs=0.1)
    # Without held-out samples no classifier of the report's own is trained.
    report = quality_report(new, X, y, probabilities=probabilities)
    assert report["overall"]["inception_score"] == {**entry, "real": None}
    assert "inception_score" not in quality_report(new, X, y)["overall"]
    with pytest.raises(ValueError, match="`probabilities` must be from 0 up"):
        quality_report(new, X, y, probabilities=lambda X: X)


def test_pictures_of_unequal_classes_and_odd_names(digits, tmp_path):
    X, y = digits[0]
    names = np.array(["$5^", "$6_$", *"bcdefghi"])[y]
    rows = np.concatenate([np.flatnonzero(y == c)[: 2 if c == np.unique(y)[-1] else 9] for c in np.unique(y)])
    quality_report((X[rows], names[rows]), X, names).to_html(tmp_path / "page.html")
    table = pd.DataFrame({"$a_$b^^": np.arange(80.0), "c": ["department_" + s for s in "abcd"] * 20})
    y = np.arange(80) % 2
    quality_report((table, y), table, y).to_html(tmp_path / "table.html")


def test_the_command(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.evaluation.quality.CLASSIFIER_STEPS", 20)
    for name, (X, y) in zip(("train", "test"), digits[:2], strict=True):
        np.savez(tmp_path / f"{name}.npz", X=X, y=y)
    ConditionalGAN(steps=3, random_state=0).fit(*digits[0]).save(tmp_path / "model")
    arguments = ["report", tmp_path / "model", tmp_path / "train.npz", "-o", tmp_path / "page.html"]
    arguments += ["--test", tmp_path / "test.npz", "--per-class", 20, "--json"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["overall"]["tstr"]["value"] > 0
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize("verbose", [True, False])
def test_progress_is_shown_on_request(verbose, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, *, shown, total, desc):
            bars.append((total, shown))

        def update(self):
            bars.append(1)

        def close(self):
            bars.append("closed")

    monkeypatch.setattr("ganaug.evaluation.quality.progress_bar", Bar)
    X, y = np.random.default_rng(0).normal(size=(80, 3)), np.arange(80) % 2
    quality_report((X[:40], y[:40]), X[40:], y[40:], verbose=verbose)
    (total, shown), *updates, end = bars
    assert shown is verbose
    assert total == len(updates)
    assert end == "closed"
