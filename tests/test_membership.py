"""Membership: what synthetic samples tell of who was in the training set, of sets where that is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score, roc_curve

from ganaug import quality_report
from ganaug.evaluation import quality
from ganaug.evaluation.estimates import make_entry
from ganaug.evaluation.membership import membership, membership_distances, membership_scores
from ganaug.evaluation.samples import LabeledSamples
from ganaug.evaluation.verdict import verdict

SHARE = "share them only as you would share the training data"


def table(n, seed):
    y = np.arange(n) % 2
    return np.random.default_rng(seed).normal(size=(n, 5)) + 4 * y[:, None], y


def measure(synthetic, train, held_out, seed=0):
    """Return the entries of each class, and over all, by measure."""
    sets = [LabeledSamples(*pair) for pair in (train, synthetic, held_out)]
    return membership(*sets, np.random.RandomState(seed))


@pytest.mark.parametrize(("n_members", "n_others"), [(5, 20), (300, 99), (80, 100), (250, 700)])
@pytest.mark.parametrize("ties", [False, True])
def test_scores_equal_those_of_scikit_learn(n_members, n_others, ties):
    rng = np.random.default_rng(n_others)
    members, others = rng.exponential(1, n_members), rng.exponential(1.5, n_others)
    if ties:
        members, others = np.round(members, 1), np.round(others, 1)
    labels, scores = np.repeat([1, 0], [n_members, n_others]), -np.concatenate([members, others])
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    expected = roc_auc_score(labels, scores), true[false <= 0.01].max()
    assert membership_scores(members, others) == pytest.approx(expected)


def test_copies_tell_every_member_and_new_samples_none():
    train, held_out, new = table(300, 0), table(300, 1), table(300, 2)
    for synthetic, told in ((train, True), (new, False)):
        report = quality_report(synthetic, *train, *held_out)
        auc, tpr = (report["overall"][f"membership_{name}"] for name in ("auc", "tpr"))
        assert auc["train_copies"] == tpr["train_copies"] == 1
        assert auc["real"] == 0.5
        assert (SHARE in " ".join(report["verdict"])) == told
        if told:
            assert auc["value"] == auc["low"] == tpr["value"] == 1
        else:
            assert auc["low"] < 0.5 < auc["high"] < 0.6
            assert tpr["value"] < 4 * tpr["real"]
        for entries in report["per_class"].values():
            assert entries["membership_auc"]["value"] == pytest.approx(auc["value"], abs=0.1)


def test_the_closer_samples_are_to_training_rows_the_more_they_tell():
    train, held_out = table(200, 0), table(200, 1)
    noise = np.random.default_rng(2).normal(size=train[0].shape)
    found = [
        measure((train[0] + sigma * noise, train[1]), train, held_out)["membership_auc"][1]
        for sigma in (0.1, 0.4, 0.8)
    ]
    assert found[0]["value"] > found[1]["value"] > found[2]["value"]
    assert all(entry["low"] < entry["value"] < entry["high"] for entry in found)
    assert found[0]["value"] > 0.9


def test_an_image_that_is_moved_by_a_pixel_is_told_like_a_copy():
    X, y = load_digits().images.astype("float32") / 16, load_digits().target % 2
    images = np.pad(X, ((0, 0), (2, 2), (2, 2)))
    moved = np.roll(images[:300], 1, axis=2)
    found = measure((moved, y[:300]), (images[:300], y[:300]), (images[300:600], y[300:600]))
    assert found["membership_auc"][1]["value"] == found["membership_tpr"][1]["value"] == 1


@pytest.mark.parametrize(("n_held_out", "tpr"), [(20, 1 / 20), (100, 2 / 100)])
def test_new_samples_score_what_is_said_to_be_chance(n_held_out, tpr):
    """Also of few rows, where the scale of the training rows would make others seem closer.

    At 1 % of few held-out samples none may be taken for a member: chance finds more than 1 %.
    """
    y, rng = np.zeros(n_held_out, int), np.random.default_rng(0)
    scores = []
    for _ in range(150):
        sets = [LabeledSamples(rng.normal(size=(n_held_out, 3)), y) for _ in range(3)]
        (distances,) = membership_distances(*sets, np.random.RandomState(0))
        scores.append(membership_scores(distances.members, distances.others))
    found = membership(*sets, np.random.RandomState(0))
    assert found["membership_tpr"][1]["real"] == tpr
    errors = 4 * np.std(scores, axis=0) / len(scores) ** 0.5
    assert (np.abs(np.mean(scores, axis=0) - (0.5, tpr)) < errors).all()


def test_equal_rows_by_chance_tell_nothing():
    """In a table of few categories new rows equal training rows, and so do held-out ones."""
    rng = np.random.default_rng(0)
    sets = [(rng.choice(["a", "b", "c"], (200, 2)).astype(object), np.zeros(200, int)) for _ in range(3)]
    found = measure(*sets)
    for name, chance in (("membership_auc", 0.5), ("membership_tpr", 0)):
        entry = found[name][1]
        assert entry["value"] == entry["train_copies"] == entry["real"] == chance


def test_a_class_of_few_held_out_rows_has_no_part_in_it():
    train, held_out = table(200, 0), table(200, 1)
    keep = (held_out[1] == 0) | (np.cumsum(held_out[1] == 1) < 20)
    found = measure(train, train, (held_out[0][keep], held_out[1][keep]))
    for by_class, average in found.values():
        assert by_class[1] == make_entry()
        assert by_class[0]["value"] == average["value"] == 1
    keep = np.arange(38)
    none = measure(train, train, (held_out[0][keep], held_out[1][keep]))
    assert all(average == make_entry() for _, average in none.values())
    report = quality_report(train, *train)
    assert report["overall"]["membership_auc"]["value"] is None


def test_it_changes_no_draw_of_the_other_measures(monkeypatch):
    """Neither their numbers nor the user's generator depend on what membership draws."""
    train, held_out, new = table(120, 0), table(80, 1), table(100, 2)

    def report():
        user = np.random.RandomState(3)
        found = quality_report(new, *train, *held_out, random_state=user)
        per_class = found["per_class"].values()
        sets = [dict(measures) for measures in (found["overall"], *per_class)]
        own = [[measures.pop(f"membership_{name}") for name in ("auc", "tpr")] for measures in sets]
        return own, (sets, user.randint(2**31 - 1))

    first = report()
    monkeypatch.setattr(
        quality, "membership", lambda *sets_and_rng: membership(*sets_and_rng[:3], np.random.RandomState(99))
    )
    second = report()
    assert first[0] != second[0]
    assert first[1] == second[1]


def test_as_many_training_rows_are_looked_at_as_are_held_out():
    sets = [LabeledSamples(*table(n, seed)) for seed, n in enumerate((300, 100, 50))]
    for distances in membership_distances(*sets, np.random.RandomState(0)):
        assert len(distances.members) == len(distances.others) == 25


@pytest.mark.parametrize(
    ("overall", "of_class", "said"),
    [(0.61, 0.7, "Rows that it"), (0.59, 0.61, "Rows of b that it"), (0.6, 0.6, None), (None, None, None)],
)
def test_the_verdict_says_with_whom_to_share(overall, of_class, said):
    def measures(low):
        number = None if low is None else low + 0.05
        return {
            "membership_auc": make_entry(value=number, low=low),
            "memorization": make_entry(value=0.05, real=0.05),
        }

    lines = verdict(measures(overall), {"a": measures(0.5), "b": measures(of_class)}, {"a": 30, "b": 30})
    told = [line for line in lines if SHARE in line]
    assert len(told) == (said is not None)
    assert said is None or said in told[0]


def test_the_page_names_it(tmp_path):
    train, held_out = table(100, 0), table(100, 1)
    quality_report(train, *train, *held_out).to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<td>membership_auc</td><td>1.000</td><td>1.000 to 1.000</td><td>0.500</td>" in page
    assert "<strong>membership_tpr</strong>" in page
    assert SHARE in page
