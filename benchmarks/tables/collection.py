"""The tables about KEEL's collection, and about nearness by `novelty`."""

from __future__ import annotations

import numpy as np

from benchmarks.tables.imbalanced import OURS, cells, compared, differences, mean_of, ranks
from benchmarks.tables.shared import emphasized, to_markdown

SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "g_mean": "G-mean",
    "average_precision": "average precision",
}


def collection_tables(runs: list[dict]) -> str:
    """Return a Markdown table by arm, and one by data set."""
    return f"{_arms_table(runs)}\n\n{_by_table(runs)}"


def _arms_table(runs: list[dict]) -> str:
    found = {score: cells(runs, score) for score in SCORES}
    rank = {score: ranks(found[score]) for score in SCORES}
    classifiers = sorted({model for run in runs for model in run["models"]})
    n_tables = len({run["table"] for run in runs})
    rows = []
    for arm, own in found["balanced_accuracy"].items():
        tables = {cell[0] for cell in own}
        part = "" if len(tables) == n_tables else f" ({len(tables)} of {n_tables} tables)"
        row = {"arm": emphasized(arm, arm) + part}
        for score, title in SCORES.items():
            row[title] = f"{mean_of(found[score][arm]):.2f}"
            row[f"{title}: rank"] = f"{rank[score][arm]:.2f}" if arm in rank[score] else ""
            row[f"{title}: {OURS} minus it (p)"] = ""
            if arm != OURS:
                difference, p = compared(found[score][OURS], found[score][arm])
                row[f"{title}: {OURS} minus it (p)"] = f"{difference.mean():+.2f} ({p:.3f})"
        row[f"balanced accuracy: {' / '.join(classifiers)}"] = " / ".join(
            f"{mean_of({cell: folds for cell, folds in own.items() if cell[1] == model}):.1f}"
            for model in classifiers
        )
        row["seconds"] = f"{np.median([run['seconds'] for run in runs if run['arm'] == arm]):.1f}"
        # Means over fewer tables can't be compared: these arms come last.
        rows.append((len(tables) < n_tables, -mean_of(own), row))
    return to_markdown([row for *_, row in sorted(rows, key=lambda entry: entry[:2])])


def _by_table(runs: list[dict]) -> str:
    found = cells(runs, "balanced_accuracy")
    rows = []
    for table in sorted({run["table"] for run in runs}):
        means, ahead = {}, {}
        for arm, scores in found.items():
            own = {cell: folds for cell, folds in scores.items() if cell[0] == table}
            if own:
                means[arm] = mean_of(own)
                ahead[arm] = differences(found[OURS], own).mean()
        best = min((arm for arm in means if arm != OURS), key=lambda arm: ahead[arm])
        rows.append(
            {
                "table": table,
                "no resampling": f"{means['no resampling']:.2f}",
                "SMOTE": f"{means['SMOTE']:.2f}",
                OURS: f"{means[OURS]:.2f}",
                "the best of the others": best,
                f"{OURS} minus it": f"{ahead[best]:+.2f}",
            }
        )
    return to_markdown(rows)


def novelty_table(results: dict) -> str:
    """Return nearness, quality and usefulness by arm, means over seeds."""
    runs = results["runs"]
    titles = {
        "nearer": "nearer to a training row, %",
        "quality": "quality",
        "balanced_accuracy": "balanced accuracy, synthetic rows only",
        "average_precision": "average precision, synthetic rows only",
    }
    rows = []
    for arm in dict.fromkeys(run["arm"] for run in runs):
        own = [run for run in runs if run["arm"] == arm]
        row = {"rows": arm.replace("real", "the training rows").replace("held out", "the held-out rows")}
        for measure, title in titles.items():
            digits = 3 if measure == "quality" else 1
            row[title] = f"{np.mean([run[measure] for run in own]):.{digits}f}"
        rows.append(row)
    return to_markdown(rows)
