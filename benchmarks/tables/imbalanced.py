"""The tables about oversamplers of tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.tables.shared import added_something, difference_text, emphasized, t_interval, to_markdown


class Metric(NamedTuple):
    """How a score is shown."""

    title: str
    digits: int


Fold = tuple[int, int]  # a repeat and a fold
Cell = tuple[str, str]  # a table and a classifier
Scores = dict[Cell, dict[Fold, float]]  # a score of one arm

METRICS = {
    "balanced_accuracy": Metric("balanced accuracy", 2),
    "tuned_balanced_accuracy": Metric("with a tuned threshold", 2),
    "average_precision": Metric("average precision", 2),
    "log_loss": Metric("log-loss", 3),
    "calibration_error": Metric("ECE", 3),
}
# Scores by which arms are ranked and compared.
COMPARED = {"balanced_accuracy": "balanced accuracy", "average_precision": "average precision"}
OURS = "GANOverSampler"
RECOMMENDED = "GANOverSampler recommended"
# Arms of the table by data set, and of the summary in docs/results.md.
ARMS_BY_TABLE = ("no resampling", "random oversampling", "SMOTE", OURS)
ARMS_IN_SUMMARY = ("no resampling", "class weights", "random oversampling", "SMOTE", "CTGAN", OURS)


def cells(runs: list[dict], score: str, kind: str = "models") -> dict[str, Scores]:
    """Return a score of each arm, table and classifier, by repeat and fold."""
    found: dict[str, Scores] = {}
    for run in runs:
        for model, values in run[kind].items():
            cell = found.setdefault(run["arm"], {}).setdefault((run["table"], model), {})
            cell[run["repeat"], run["fold"]] = values[score]
    return found


def differences(scores: Scores, others: Scores) -> np.ndarray:
    """Return the mean paired difference of each cell that both have, on the folds that both have."""
    found = []
    for cell in sorted(scores.keys() & others.keys()):
        folds = sorted(scores[cell].keys() & others[cell].keys())
        if folds:
            found.append(np.mean([scores[cell][fold] - others[cell][fold] for fold in folds]))
    return np.array(found)


def compared(scores: Scores, others: Scores) -> tuple[np.ndarray, float]:
    """Return the `differences`, and their Wilcoxon p-value."""
    array = differences(scores, others)
    return array, float(stats.wilcoxon(array).pvalue) if len(array) > 1 and array.any() else 1.0


def ranks(found: dict[str, Scores]) -> dict[str, float]:
    """Return the mean rank over cells, 1 is best, of the arms that were run on all cells and folds."""
    runs_of = {arm: {(cell, fold) for cell in own for fold in own[cell]} for arm, own in found.items()}
    every = set().union(*runs_of.values())
    complete = [arm for arm, own in runs_of.items() if own == every]
    means = [
        [np.mean(list(found[arm][cell].values())) for arm in complete]
        for cell in sorted({cell for cell, _ in every})
    ]
    return dict(zip(complete, stats.rankdata(-np.array(means), axis=1).mean(0), strict=True))


def imbalanced_tables(runs: list[dict]) -> str:
    """Return the results of oversamplers of tables: one Markdown table by arm, one by data set."""
    return f"{arms_table(runs)}\n\n{by_table(runs)}"


def arms_table(runs: list[dict]) -> str:
    """Return the mean scores of each arm as a Markdown table, best first."""
    found = {score: cells(runs, score) for score in METRICS}
    alone = _synthetic_only(runs)
    rank = {score: ranks(found[score]) for score in COMPARED}
    everywhere = {run["table"] for run in runs}
    rows = []
    for arm in {run["arm"] for run in runs}:
        own = [run for run in runs if run["arm"] == arm]
        tables = {run["table"] for run in own}
        part = "" if tables == everywhere else f" ({len(tables)} of {len(everywhere)} tables)"
        ratios = [run["dcr_ratio"] for run in own if run.get("dcr_ratio") is not None]
        row = {"arm": f"{emphasized(arm, arm)}{part}", "folds": str(len(own))}
        for score, metric in METRICS.items():
            row[metric.title] = f"{mean_of(found[score][arm]):.{metric.digits}f}"
        row["mean rank, accuracy / precision"] = " / ".join(
            f"{rank[score][arm]:.2f}" if arm in rank[score] else "" for score in rank
        )
        for score, title in COMPARED.items():
            row[f"{OURS} minus it, {title} (p)"] = _compared_text(found[score], arm)
        row["synthetic only"] = f"{mean_of(alone[arm]):.2f}" if arm in alone else ""
        row["DCR ratio"] = f"{np.median(ratios):.2f}" if ratios else ""
        row["seconds"] = f"{np.median([run['seconds'] for run in own]):.1f}"
        # Means over fewer tables can't be compared: these arms come last, and say so.
        rows.append((tables != everywhere, -mean_of(found["balanced_accuracy"][arm]), arm, row))
    return to_markdown([row for *_, row in sorted(rows, key=lambda entry: entry[:3])])


def by_table(runs: list[dict]) -> str:
    """Return balanced accuracy on each table as a Markdown table."""
    alone = _synthetic_only(runs)
    rows, gaps, recommended_gaps = [], [], []
    for table in sorted({run["table"] for run in runs}):
        here = [run for run in runs if run["table"] == table]
        score = {arm: _by_fold(here, arm) for arm in {run["arm"] for run in here}}
        gap = _differences(score[OURS], score["SMOTE"])
        recommended_gap = _differences(score.get(RECOMMENDED, {}), score["class weights"])
        gaps.append(gap)
        recommended_gaps.append(recommended_gap)
        recommended = [run for run in here if run["arm"] == RECOMMENDED]
        added = sum(map(added_something, recommended))
        rows.append(
            {
                "table": table,
                "rows": f"{here[0]['n']:,}",
                **{arm: f"{np.mean(list(score[arm].values())):.2f}" for arm in ARMS_BY_TABLE},
                f"{OURS} minus SMOTE (95 % interval)": _over_folds(gap),
                "recommended minus class weights (95 % interval)": _over_folds(recommended_gap),
                "added in": f"{added} of {len(recommended)}" if recommended else "",
                f"synthetic only: {OURS} / SMOTE / CTGAN": " / ".join(
                    _mean_on(table, alone.get(arm, {})) for arm in (OURS, "SMOTE", "CTGAN")
                ),
                f"seconds: {OURS} / CTGAN": " / ".join(_seconds(here, arm) for arm in (OURS, "CTGAN")),
            }
        )
    rows.append(
        {
            "table": "**their mean**",
            f"{OURS} minus SMOTE (95 % interval)": _over_tables(gaps),
            "recommended minus class weights (95 % interval)": _over_tables(recommended_gaps),
        }
    )
    return to_markdown(rows)


def tables_summary(runs: list[dict]) -> str:
    """Return the table of tables in docs/results.md."""
    found = {score: cells(runs, score) for score in COMPARED}
    first = f"{len({run['table'] for run in runs})} tables"
    rows = []
    for arm in [arm for arm in ARMS_IN_SUMMARY if arm in found["balanced_accuracy"]]:
        row = {first: emphasized(arm, arm)}
        for score, title in COMPARED.items():
            row[title] = f"{mean_of(found[score][arm]):.2f}"
            row[f"{OURS} minus it, {title} (p)"] = _compared_text(found[score], arm)
        rows.append(row)
    return to_markdown(rows)


def _synthetic_only(runs: list[dict]) -> dict[str, Scores]:
    own = [run for run in runs if run["synthetic_only"]]
    return cells(own, "balanced_accuracy", "synthetic_only")


def _compared_text(found: dict[str, Scores], arm: str) -> str:
    if arm == OURS:
        return ""
    difference, p = compared(found[OURS], found[arm])
    return f"{difference.mean():+.2f} ({p:.3f})"


def mean_of(scores: Scores) -> float:
    """Return the mean over cells, each the mean of its folds."""
    return float(np.mean([np.mean(list(folds.values())) for folds in scores.values()]))


def _mean_on(table: str, scores: Scores) -> str:
    own = {cell: folds for cell, folds in scores.items() if cell[0] == table}
    return f"{mean_of(own):.2f}" if own else ""


def _seconds(runs: list[dict], arm: str) -> str:
    own = [run["seconds"] for run in runs if run["arm"] == arm]
    return f"{np.mean(own):.0f}" if own else ""


def _by_fold(runs: list[dict], arm: str) -> dict[Fold, float]:
    """Return balanced accuracy by repeat and fold, the mean over classifiers."""
    return {
        (run["repeat"], run["fold"]): float(np.mean([m["balanced_accuracy"] for m in run["models"].values()]))
        for run in runs
        if run["arm"] == arm
    }


def _differences(scores: dict[Fold, float], others: dict[Fold, float]) -> np.ndarray:
    return np.array([scores[fold] - others[fold] for fold in sorted(scores.keys() & others.keys())])


def _over_folds(differences: np.ndarray) -> str:
    """Return a mean difference with an interval that allows for training halves that share rows."""
    # The test half is as large as the training half.
    return difference_text(t_interval(differences, overlap=1.0)) if len(differences) > 1 else ""


def _over_tables(differences: list[np.ndarray]) -> str:
    """Return a mean difference with the t interval over tables, which share no rows."""
    means = np.array([own.mean() for own in differences if len(own)])
    return difference_text(t_interval(means)) if len(means) > 1 else ""
