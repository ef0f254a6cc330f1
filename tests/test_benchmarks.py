"""The instrument itself: what it measures, and that it can't be flattered."""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np
import pytest
from conftest import mixed_table

from benchmarks import arms, bad_generators, gain, generators, imbalanced_tables, oversamplers
from benchmarks.arms import ARMS, SHARE, Context
from benchmarks.classifier import Settings, TrainingSet, train
from benchmarks.datasets import Pool, load
from benchmarks.gain import RESULTS
from benchmarks.tables.__main__ import SINGLE, VARIANT, read
from benchmarks.tables.gain import gain_table, gain_tables
from benchmarks.tables.generators import generator_table
from benchmarks.tables.imbalanced import cells, compared, ranks
from benchmarks.tables.recommended import recommended_table
from benchmarks.tables.shared import ROOT, by_arm, interval, rival
from benchmarks.tables.smallest import smallest_table
from benchmarks.tables.summary import summary_table
from ganaug import ConditionalGAN

QUICK = Settings("small", updates=20, learning_rate=2e-3)


@pytest.fixture(scope="module")
def pool():
    digits = load("digits", None)
    return Pool("little", digits.X, digits.y, [20, 15, 12, 10, 8, 8, 6, 6, 5, 4])


@pytest.fixture(scope="module")
def context(pool):
    split = pool.split(0)
    context = Context(split.X, split.y, 0)
    context.use(ConditionalGAN(steps=2, random_state=0).fit(split.X, split.y))
    return context


def rows(X):
    return {row.tobytes() for row in X}


@pytest.mark.parametrize("seed", [0, 1])
def test_splits_are_disjoint_and_long_tailed(pool, seed):
    split = pool.split(seed)
    assert np.bincount(split.y).tolist() == list(pool.counts)
    assert len(split.y) + len(split.y_validation) + len(split.y_test) == len(pool.y)
    assert not rows(split.X) & rows(split.X_validation)
    assert not rows(split.X_validation) & rows(split.X_test)
    assert not np.array_equal(split.X, pool.split(seed + 5).X)


def test_another_tail(pool):
    other = pool.with_smallest(2)
    assert other.name == "little-to-2"
    assert (other.counts[0], other.counts[-1]) == (20, 2)
    ratios = np.divide(other.counts[1:4], other.counts[:3])
    np.testing.assert_allclose(ratios, 0.1 ** (1 / 9), atol=0.05)
    assert np.bincount(other.split(0).y).tolist() == other.counts


@pytest.mark.parametrize("n", [-3, 0, 1, 21])
def test_tails_that_make_no_sense(n, pool):
    with pytest.raises(ValueError, match=f"from 2 to 20, got {n}"):
        pool.with_smallest(n)
    with pytest.raises(ValueError, match="has the counts"):
        load("digits-full", None).with_smallest(5)


def test_own_data_keep_their_counts():
    X = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    split = Pool("own", X, np.repeat([0, 1], [80, 20])).split(0)
    assert np.bincount(split.y).tolist() == [48, 12]
    assert np.bincount(split.y_test).tolist() == [16, 4]


@pytest.mark.filterwarnings("ignore:Class")  # two steps make few images that pass a gate
@pytest.mark.parametrize("name", ARMS)
def test_arms(name, context, monkeypatch):
    monkeypatch.setattr(arms, "deep_smote", functools.partial(arms.deep_smote, steps=5))
    data = ARMS[name](context)
    n_real = np.sum([row.tobytes() in rows(context.X) for row in data.X])
    counts = np.bincount(data.y)
    share = np.bincount(data.y, weights=data.draw) / data.draw.sum()
    assert data.X.dtype == np.uint8
    assert data.X.shape[1:] == (8, 8)
    if name in ("as it is", "deferred weights"):
        np.testing.assert_allclose(share, counts / counts.sum())
    elif name.startswith("leaning"):  # 4 to 20 real images of a class
        few, real = 10 if "10" in name else 30, np.bincount(context.y)
        np.testing.assert_allclose(share / share[0], (1 + few / real) / (1 + few / real[0]))
        assert share[9] > 2 * share[0]
    else:
        np.testing.assert_allclose(share, 0.1)
    if name in ("SMOTE", "DeepSMOTE", "ganaug"):
        assert set(counts) == {20}
    if name == "duplicates":
        assert n_real == len(data.y)
    assert bool(data.mixup) == ("mixup" in name)
    if "ganaug only" in name:
        assert set(counts) == {4096 if "mixup" in name else arms.EXTRA_PER_CLASS}
        assert n_real < len(data.y) * 0.01
    if name == "ganaug recommended":
        assert data.extra["recommendation"].startswith("Add nothing: class 9 has 4 rows")
        assert n_real == len(data.y)
    if name in ("ganaug beyond", "duplicates"):
        np.testing.assert_allclose(data.draw[len(context.y) :].sum() / data.draw.sum(), SHARE)


def test_a_copied_test_image_is_caught(pool, monkeypatch):
    def cheat(context):
        leaked = pool.split(context.seed).X_test[:1]
        return TrainingSet(np.r_[context.X, leaked], np.r_[context.y, 0], np.ones(len(context.y) + 1))

    monkeypatch.setitem(ARMS, "cheat", cheat)
    with pytest.raises(ValueError, match="1 validation or test images are among"):
        gain.run_arm(pool, "cheat", 0, QUICK, {}, "cpu")


def test_twice_the_updates_are_caught(pool, monkeypatch, tmp_path):
    def longer(data, settings, **options):
        return train(data, dataclasses.replace(settings, updates=2 * settings.updates), **options)

    monkeypatch.setattr(gain, "train", longer)
    runs = gain.run_arm(pool, "balanced", 0, QUICK, {}, "cpu")
    with pytest.raises(ValueError, match="'balanced' had 40 updates instead of 20"):
        gain.store(tmp_path / "x.json", gain.header(pool, QUICK, "cpu"), runs)
    assert not (tmp_path / "x.json").exists()


class Imposter:
    """Samples images of a pool as if they were generated, some number of grey levels too bright."""

    def __init__(self, pool, brighter):
        self.pool, self.brighter = pool, brighter

    def sample(self, labels, random_state):
        rng = np.random.default_rng(random_state)
        chosen = [rng.choice(np.flatnonzero(self.pool.y == label)) for label in labels]
        return np.minimum(self.pool.X[chosen] + self.brighter, 255).astype(np.uint8)


@pytest.mark.parametrize(("brighter", "low", "high"), [(0, 35, 65), (60, 95, 100)])
def test_told_from_real(pool, brighter, low, high):
    settings = dataclasses.replace(QUICK, updates=100)
    told = generators.c2st_auc(Imposter(pool, brighter), pool.split(0), settings, 0)
    assert low <= told <= high


def test_store_resumes_and_refuses_other_settings(pool, tmp_path):
    path, head = tmp_path / "x.json", gain.header(pool, QUICK, "cpu")
    runs = gain.run_arm(pool, "balanced", 0, QUICK, {}, "cpu")
    assert [run["augment"] for run in runs] == [False, True]
    gain.store(path, head, runs)
    assert gain.store(path, head, []) == json.loads(json.dumps(runs))
    other = gain.header(pool, dataclasses.replace(QUICK, updates=9), "cpu")
    with pytest.raises(ValueError, match="other settings"):
        gain.store(path, other, [])


def test_a_seed_decides_the_scores(pool):
    first, again, other = (
        gain.run_arm(pool, "mixup", seed, QUICK, {}, "cpu")[1]["test"] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_metrics():
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])
    scores = gain.metrics(proba, np.array([0, 0, 1, 1]))
    assert scores["acsa"] == 75
    assert scores["recall"] == [100, 50]
    assert scores["gm_multiclass"] == pytest.approx(100 * np.sqrt(0.5))
    assert scores["log_loss"] == pytest.approx(-np.log([0.9, 0.6, 0.2, 0.7]).mean())


def test_deferred_weights_and_mixup_change_training(pool):
    split = pool.split(0)
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


def fake_runs(arm, scores, validation=None):
    def scored(acsa):
        keys = ("gm_multiclass", "gm_macro", "macro_f1", "log_loss", "calibration_error")
        return {"acsa": acsa, "recall": [acsa] * 3, **dict.fromkeys(keys, 0.5)}

    return [
        {
            "arm": arm,
            "augment": True,
            "seed": seed,
            "validation": scored(validation or score),
            "test": scored(score),
            "prepare_seconds": 1,
        }
        for seed, score in enumerate(scores)
    ]


def test_the_rival_is_chosen_on_validation_data():
    runs = fake_runs("balanced", [90, 91], validation=95) + fake_runs("SMOTE", [94, 94], validation=90)
    runs += fake_runs("ganaug", [99, 99]) + fake_runs("duplicates", [98, 98])
    runs_of = by_arm(runs)
    assert rival(runs_of) == ("balanced", True)
    mean, half, n = interval(runs_of[("ganaug", True)], runs_of[("balanced", True)])
    assert (mean, n) == (8.5, 2)
    assert half == pytest.approx(12.706 * 0.5, rel=1e-3)


def test_a_rival_by_few_seeds_gives_way_to_one_that_is_above_it_on_more():
    runs = (
        fake_runs("as it is", [80]) + fake_runs("balanced", [92, 90, 90]) + fake_runs("mixup", [91, 93, 93])
    )
    assert rival(by_arm(runs)) == ("mixup", True)
    runs += fake_runs("SMOTE", [93])  # above mixup on the one seed that it has
    assert rival(by_arm(runs)) == ("SMOTE", True)


def test_tables_show_losses_too():
    runs = fake_runs("as it is", [80, 81]) + fake_runs("balanced", [90, 91]) + fake_runs("ganaug", [88, 88])
    settings = dataclasses.asdict(QUICK)
    table = gain_table({"runs": runs, "settings": settings, "counts": [5, 4, 3], "data": "x"})
    assert "**ganaug, augmented** | 2 | 88.00 | -2.50 (" in table
    assert table.index("balanced, augmented | 2") < table.index("ganaug, augmented")


def test_the_recommended_table_counts_what_was_added():
    runs = []
    for seed, (more, reason) in enumerate([(0.0, "Add nothing: no."), (2.0, "Add 5x: it helped.")]):
        scores = {"balanced": 90.0, "ganaug recommended": 90.0 + more, "ganaug beyond": 91.0}
        for arm, acsa in scores.items():
            run = {"arm": arm, "augment": True, "seed": seed, "test": {"acsa": acsa}}
            note = {"recommendation": reason, "recommend_seconds": 30.0, "prepare_seconds": 40.0}
            runs.append(run | (note if arm != "balanced" else {}))
    cats, one = {"runs": runs, "counts": [9, 3]}, {"runs": runs[3:], "counts": [9, 2]}
    table = recommended_table({"cats": cats, "cats-to-2": one, "dogs": {"runs": runs[:1]}})
    assert table.splitlines()[2:] == [
        "| cats (9 to 3) | 2 | 1 | 90.00 | 91.00 | +1.00 (-11.71 to +13.71) | +1.00 (+1.00 to +1.00) | 3.0 |",
        "| cats-to-2 (9 to 2) | 1 | 1 | 90.00 | 92.00 | +2.00 (one seed) | +1.00 (one seed) | 3.0 |",
        "| **all of them** | 3 | | | | +1.33 (-1.54 to +4.20) | | |",
    ]


def test_the_table_of_the_smallest_class_names_who_pays():
    runs = fake_runs("balanced", [90, 91]) + fake_runs("mixup", [92, 93]) + fake_runs("ganaug", [94, 97])
    for run in runs[-2:]:
        run["test"]["recall"][1] = 88
    table = smallest_table({"runs": runs, "counts": [5, 4, 3]})
    assert table.startswith("Recall of class 2, 3 images; balanced sampling has 90.5.")
    assert table.splitlines()[4:] == [
        "| **ganaug** | 2 | 95.5 | +5.00 (-7.71 to +17.71) | +5.00 (-7.71 to +17.71) | class 1: -2.50 |",
        "| mixup | 2 | 92.5 | +2.00 (+2.00 to +2.00) | +2.00 (+2.00 to +2.00) | class 0: +2.00 |",
    ]


def test_a_quick_run_shows_no_figures():
    quick = {"runs": fake_runs("balanced", [90, 91]) + fake_runs("ganaug", [92, 92])}
    for run in quick["runs"]:
        run |= {"prepare_seconds": 30.0, "train_seconds": 15.0}
    text = gain_tables({"cats-quick": quick})["cats"]
    assert text.startswith("Not shown. Only `--quick` was run, 2 arms in 3 minutes")
    assert "9" not in text
    own = {"runs": quick["runs"], "settings": dataclasses.asdict(QUICK), "counts": None, "data": "cats"}
    assert "| **ganaug" in gain_tables({"cats-quick": quick, "cats": own})["cats"]


def test_the_committed_tables_are_those_of_the_committed_results():
    page = (ROOT / "benchmarks" / "README.md").read_text()
    gains = read("gain")
    assert recommended_table(gains) in page
    gains = {name: result for name, result in gains.items() if not VARIANT.search(name)}
    assert gains
    for table in gain_tables(gains).values():
        assert table in page
    for result in gains.values():
        for run in result["runs"]:
            assert run["updates"] == result["settings"]["updates"]
    for result in read("generators").values():
        assert generator_table(result) in page
    for name, table in SINGLE.items():
        assert table(json.loads((RESULTS / f"{name.replace(' ', '_')}.json").read_text())) in page
    full = {name: result for name, result in gains.items() if not name.endswith("-quick")}
    for result in full.values():
        assert smallest_table(result) in page
    assert summary_table(full) in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "arm", ["as it is", "class weights", "random oversampling", "SMOTE", "ADASYN", "ganaug"]
)
def test_arms_of_tables(arm):
    X, y = imbalanced_tables.load("wine", None)
    keep = np.r_[:59, 59:89, 130:178]
    X, y = X.iloc[keep], y[keep]
    inside, outside = np.arange(0, len(y), 2), np.arange(1, len(y), 2)
    result = imbalanced_tables.run(arm, X, y, inside, outside, 0)
    assert set(result["models"]) == {"logistic regression", "gradient boosting", "MLP"}
    assert all(60 < scores["balanced_accuracy"] <= 100 for scores in result["models"].values())
    assert bool(result["only"]) == ("distance" in result) == (arm in ("SMOTE", "ganaug"))


def test_smote_of_mixed_columns_gives_them_back():
    X = mixed_table()[["income", "age", "code", "size"]]
    y = np.repeat([0, 1], [160, 40])
    rows, targets = oversamplers.InCodes("SMOTE", 0)(X, y)
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


def test_distance_of_copies_is_nothing_and_of_other_rows_one():
    X, _ = imbalanced_tables.load("breast-cancer", None)
    assert imbalanced_tables.record_distance(X[:100], X[:300]) == pytest.approx(0, abs=1e-6)
    assert imbalanced_tables.record_distance(X[300:], X[:300]) == pytest.approx(1, abs=0.3)


def test_ranks_and_differences_of_tables():
    runs = [
        {
            "table": table,
            "repeat": 0,
            "fold": fold,
            "arm": arm,
            "models": {"m": {"balanced_accuracy": base + own + fold}},
        }
        for table, base in (("a", 70.0), ("b", 80.0))
        for fold in (0, 1)
        for arm, own in (("ganaug", 2.0), ("SMOTE", 1.0), ("ADASYN", 0.0))
        if (table, arm) != ("b", "ADASYN")
    ]
    found = cells(runs, "balanced_accuracy")
    assert ranks(found) == {"ganaug": 1.0, "SMOTE": 2.0}
    difference, _ = compared(found["ganaug"], found["SMOTE"])
    assert difference.tolist() == [1.0, 1.0]


def test_bad_generators_are_bad(pool, monkeypatch, tmp_path, capsys):
    split = pool.split(0)
    for kind, generator in bad_generators.KINDS.items():
        made = generator.fit(split.X, split.y).sample([0, 9, 9], random_state=0)
        assert (made.shape, made.dtype) == ((3, 8, 8), np.uint8), kind
        assert np.array_equal(made[1], made[2]) == (kind == "collapsed")
    monkeypatch.setattr(bad_generators, "OUTPUT", tmp_path / "x.json")
    monkeypatch.setattr(bad_generators, "KINDS", {"noise": bad_generators.Noise()})
    monkeypatch.setattr(bad_generators, "load", lambda *_: pool)
    monkeypatch.setattr("ganaug.selection.trials.CLASSIFIER_STEPS", 2)
    monkeypatch.setattr("sys.argv", ["", "--data", "little", "--seeds", "1"])
    for _ in range(2):  # what is there is not run again
        bad_generators.main()
    assert capsys.readouterr().out.count("adds") == 1
    runs = json.loads((tmp_path / "x.json").read_text())
    assert [(run["kind"], run["seed"]) for run in runs] == [("noise", 0)]
