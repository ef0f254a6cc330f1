"""The tables of the benchmarks: what they compare, and that the committed ones are up to date."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex

import pytest

from benchmarks import gain, photograph_arms, photographs
from benchmarks.arms import ARMS
from benchmarks.classifier import Settings
from benchmarks.gain import RESULTS
from benchmarks.tables.__main__ import ONLY_RECOMMENDED, SINGLE, read
from benchmarks.tables.gain import gain_table, gain_tables
from benchmarks.tables.generators import generator_table
from benchmarks.tables.imbalanced import cells, compared, imbalanced_tables, ranks, tables_summary
from benchmarks.tables.photograph_costs import photograph_costs_table
from benchmarks.tables.photographs import photographs_summary, photographs_table
from benchmarks.tables.recommended import recommended_table
from benchmarks.tables.scale import computed_table, scale_tables
from benchmarks.tables.shared import ROOT, by_arm, paired_difference, strongest_baseline
from benchmarks.tables.smallest import smallest_table
from benchmarks.tables.summary import summary_table

QUICK = Settings("small", updates=20, learning_rate=2e-3)


def fake_runs(arm, scores, validation=None):
    def scored(accuracy):
        keys = ("g_mean_multiclass", "g_mean_macro", "macro_f1", "log_loss", "calibration_error")
        return {"balanced_accuracy": accuracy, "recall": [accuracy] * 3, **dict.fromkeys(keys, 0.5)}

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


FIGURE = r"([+-]?[0-9.]+)"
# What the README says, and the lines of the tables that say so too.
QUOTED = {
    f"{FIGURE} points of balanced accuracy over SMOTE": (
        "docs/results.md",
        rf"\| SMOTE \| [0-9.]+ \| {FIGURE} ",
    ),
    f"over SMOTE \\({FIGURE} on 22 unseen ones": (
        "benchmarks/README.md",
        rf"\| SMOTE \| [0-9.]+ \| [0-9.]+ \| {FIGURE} [^|]+\| [0-9.]+ \| [0-9.]+ \| \+",
    ),
    f"unseen ones\\), {FIGURE} over class weights": (
        "docs/results.md",
        rf"\| class weights \| [0-9.]+ \| {FIGURE} ",
    ),
    f"photographs gain {FIGURE} and {FIGURE} points": (
        "docs/results.md",
        rf"\| over class weights \| {FIGURE} [^|]+\| {FIGURE} ",
    ),
    f"roots\\]\\S+ it is\\s+{FIGURE} and {FIGURE}": (
        "docs/results.md",
        rf"\| three times as many, of roots, over class weights \| {FIGURE} [^|]+\| {FIGURE} ",
    ),
    f"distribution calibration, {FIGURE} and {FIGURE}": (
        "docs/results.md",
        rf"\| three times as many, of roots, over best calibration \| {FIGURE} [^|]+\| {FIGURE} ",
    ),
}


@pytest.mark.parametrize("words", QUOTED)
def test_the_readme_quotes_the_tables(words):
    page, line = QUOTED[words]
    said = re.search(words, (ROOT / "README.md").read_text())
    found = re.search(line, (ROOT / page).read_text())
    assert said and found
    for figure, measured in zip(said.groups(), found.groups(), strict=True):
        # Both are rounded, to a tenth and a hundredth.
        assert float(figure.rstrip(".")) == pytest.approx(float(measured), abs=0.056)


def test_the_strongest_baseline_is_chosen_on_validation_data():
    runs = fake_runs("class-balanced", [90, 91], validation=95) + fake_runs("SMOTE", [94, 94], validation=90)
    runs += fake_runs("fit_resample", [99, 99]) + fake_runs("random oversampling", [98, 98])
    runs_of = by_arm(runs)
    assert strongest_baseline(runs_of) == ("class-balanced", True)
    mean, half, n = paired_difference(runs_of[("fit_resample", True)], runs_of[("class-balanced", True)])
    assert (mean, n) == (8.5, 2)
    assert half == pytest.approx(12.706 * 0.5, rel=1e-3)


def test_a_baseline_best_on_few_seeds_gives_way_to_one_better_on_more():
    runs = (
        fake_runs("instance-balanced", [80])
        + fake_runs("class-balanced", [92, 90, 90])
        + fake_runs("mixup", [91, 93, 93])
    )
    assert strongest_baseline(by_arm(runs)) == ("mixup", True)
    runs += fake_runs("SMOTE", [93])  # better than mixup on its only seed
    assert strongest_baseline(by_arm(runs)) == ("SMOTE", True)


def test_tables_show_losses_too():
    runs = (
        fake_runs("instance-balanced", [80, 81])
        + fake_runs("class-balanced", [90, 91])
        + fake_runs("fit_resample", [88, 88])
    )
    settings = dataclasses.asdict(QUICK)
    table = gain_table({"runs": runs, "settings": settings, "counts": [5, 4, 3], "data": "x"})
    assert "**fit_resample, augmented** | 2 | 88.00 | -2.50 (" in table
    assert table.index("class-balanced, augmented | 2") < table.index("fit_resample, augmented")


def test_the_recommended_table_counts_what_was_added():
    runs = []
    for seed, (more, reason) in enumerate([(0.0, "Add nothing: no."), (2.0, "Add 5x: it helped.")]):
        scores = {
            "class-balanced": 90.0,
            "GANOverSampler recommended": 90.0 + more,
            "GANOverSampler +1000": 91.0,
        }
        for arm, accuracy in scores.items():
            run = {"arm": arm, "augment": True, "seed": seed, "test": {"balanced_accuracy": accuracy}}
            note = {"recommendation": reason, "recommend_seconds": 30.0, "prepare_seconds": 40.0}
            runs.append(run | (note if arm != "class-balanced" else {}))
    cats, one = {"runs": runs, "counts": [9, 3]}, {"runs": runs[3:], "counts": [9, 2]}
    table = recommended_table({"cats": cats, "cats-to-2": one, "dogs": {"runs": runs[:1]}})
    assert table.splitlines()[2:] == [
        "| cats (9 to 3) | 2 | 1 | 90.00 | 91.00 | +1.00 (-11.71 to +13.71) | +1.00 (+1.00 to +1.00) | 3.0 |",
        "| cats-to-2 (9 to 2) | 1 | 1 | 90.00 | 92.00 | +2.00 (one seed) | +1.00 (one seed) | 3.0 |",
        "| **all of them** | 3 |  |  |  | +1.33 (-1.54 to +4.20) |  |  |",
    ]


def test_the_table_of_the_smallest_class_names_the_class_that_loses():
    runs = (
        fake_runs("class-balanced", [90, 91])
        + fake_runs("mixup", [92, 93])
        + fake_runs("fit_resample", [94, 97])
    )
    for run in runs[-2:]:
        run["test"]["recall"][1] = 88
    table = smallest_table({"runs": runs, "counts": [5, 4, 3]})
    assert table.startswith("Recall of class 2, 3 images; class-balanced sampling has 90.5.")
    assert table.splitlines()[4:] == [
        "| **fit_resample** | 2 | 95.5 | +5.00 (-7.71 to +17.71) | +5.00 (-7.71 to +17.71)"
        " | class 1: -2.50 |",
        "| mixup | 2 | 92.5 | +2.00 (+2.00 to +2.00) | +2.00 (+2.00 to +2.00) | class 0: +2.00 |",
    ]


def test_a_quick_run_shows_no_figures():
    quick = {"runs": fake_runs("class-balanced", [90, 91]) + fake_runs("fit_resample", [92, 92])}
    for run in quick["runs"]:
        run |= {"prepare_seconds": 30.0, "train_seconds": 15.0}
    text = gain_tables({"cats-quick": quick})["cats"]
    assert text.startswith("Not shown. Only `--quick` was run, 2 arms in 3 minutes")
    assert "9" not in text
    own = {"runs": quick["runs"], "settings": dataclasses.asdict(QUICK), "counts": None, "data": "cats"}
    assert "| **fit_resample" in gain_tables({"cats-quick": quick, "cats": own})["cats"]


def test_the_committed_tables_are_those_of_the_committed_results():
    page = (ROOT / "benchmarks" / "README.md").read_text()
    gains = read("gain")
    assert recommended_table(gains) in page
    gains = {name: result for name, result in gains.items() if not ONLY_RECOMMENDED.search(name)}
    assert gains
    for table in gain_tables(gains).values():
        assert table in page
    for result in gains.values():
        for run in result["runs"]:
            assert run["updates"] == result["settings"]["updates"]
    for result in read("generators").values():
        assert generator_table(result) in page
    photos = read("photographs")
    for result in photos.values():
        assert photographs_table(result) in page
    for name, table in SINGLE.items():
        assert table(json.loads((RESULTS / f"{name.replace(' ', '_')}.json").read_text())) in page
    full = {name: result for name, result in gains.items() if not name.endswith("-quick")}
    for result in full.values():
        assert smallest_table(result) in page
    runs = json.loads((RESULTS / "tables.json").read_text())["runs"]
    assert imbalanced_tables(runs) in page
    results = (ROOT / "docs" / "results.md").read_text()
    assert summary_table(full) in results
    assert tables_summary(runs) in results
    assert photographs_summary({name: photos[name] for name in ("trashnet", "cifar10")}) in results
    costs = json.loads((RESULTS / "photograph_costs.json").read_text())
    assert photograph_costs_table(costs) in (ROOT / "docs" / "photographs.md").read_text()
    scale = json.loads((RESULTS / "scale.json").read_text())
    for table in (scale_tables, computed_table):
        assert table(scale) in (ROOT / "docs" / "scale.md").read_text()


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
        for arm, own in (("GANOverSampler", 2.0), ("SMOTE", 1.0), ("ADASYN", 0.0))
        if (table, arm) != ("b", "ADASYN")
    ]
    found = cells(runs, "balanced_accuracy")
    assert ranks(found) == {"GANOverSampler": 1.0, "SMOTE": 2.0}
    difference, _ = compared(found["GANOverSampler"], found["SMOTE"])
    assert difference.tolist() == [1.0, 1.0]


def test_commands_of_the_page_name_arms_that_exist():
    page = (ROOT / "benchmarks" / "README.md").read_text().replace("\\\n", " ")
    for module, arms, least in ((gain, ARMS, 6), (photographs, photograph_arms.ARMS, 2)):
        start = f"python -m {module.__name__} "
        commands = [line for line in page.splitlines() if line.startswith(start)]
        assert len(commands) >= least
        for command in commands:
            options = module.command_parser().parse_args(shlex.split(command, comments=True)[3:])
            assert set(options.arms.split(",")) <= set(arms), command
