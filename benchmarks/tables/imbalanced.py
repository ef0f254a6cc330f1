"""Oversamplers of tables."""

from __future__ import annotations

import numpy as np
from scipy import stats

from benchmarks.arms import OURS
from benchmarks.tables.shared import difference_text

SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "tuned_balanced_accuracy": "with a tuned threshold",
    "average_precision": "average precision",
    "log_loss": "log-loss",
    "calibration_error": "calibration error",
}
Cell = tuple[str, str]  # a table and a classifier


def cells(runs: list[dict], score: str, kind: str = "models") -> dict[str, dict[Cell, dict[tuple, float]]]:
    """Return a score of each arm, table and classifier, by repeat and fold."""
    found: dict[str, dict[Cell, dict[tuple, float]]] = {}
    for run in runs:
        for model, values in run[kind].items():
            cell = found.setdefault(run["arm"], {}).setdefault((run["table"], model), {})
            cell[run["repeat"], run["fold"]] = values[score]
    return found


def compared(ours: dict[Cell, dict], theirs: dict[Cell, dict]) -> tuple[np.ndarray, float]:
    """Return the mean paired difference of each cell that both have, and Wilcoxon's p of them."""
    differences = []
    for cell in sorted(ours.keys() & theirs.keys()):
        folds = ours[cell].keys() & theirs[cell].keys()
        if folds:
            differences.append(np.mean([ours[cell][fold] - theirs[cell][fold] for fold in sorted(folds)]))
    array = np.array(differences)
    return array, float(stats.wilcoxon(array).pvalue) if len(array) > 1 and array.any() else 1.0


def ranks(found: dict[str, dict[Cell, dict]]) -> dict[str, float]:
    """Return the mean rank, 1 is best, of the arms that have been run wherever any has."""
    folds = {(cell, fold) for own in found.values() for cell, runs in own.items() for fold in runs}
    whole = [
        arm
        for arm, own in found.items()
        if {(cell, fold) for cell, runs in own.items() for fold in runs} == folds
    ]
    means = [
        [np.mean(list(found[arm][cell].values())) for arm in whole] for cell in {cell for cell, _ in folds}
    ]
    return dict(zip(whole, stats.rankdata(-np.array(means), axis=1).mean(0), strict=True))


def imbalanced_tables(runs: list[dict]) -> str:
    """Return what oversamplers of tables did, as Markdown tables."""
    arms = sorted({run["arm"] for run in runs})
    found = {score: cells(runs, score) for score in SCORES}
    only = cells([run for run in runs if run["only"]], "balanced_accuracy", "only")
    rank = {score: ranks(found[score]) for score in ("balanced_accuracy", "average_precision")}
    lines = [
        "| arm | folds | " + " | ".join(SCORES.values()) + " | mean rank, accuracy / precision |"
        " ganaug minus it, accuracy (p) | precision (p) | synthetic only | distance | seconds |",
        "|---" * 13 + "|",
    ]
    everywhere = {run["table"] for run in runs}
    covered = {arm: {run["table"] for run in runs if run["arm"] == arm} for arm in arms}
    # Means over fewer tables are not to be compared: those arms come last, and say so.
    for arm in sorted(
        arms, key=lambda a: (covered[a] != everywhere, -_over_cells(found["balanced_accuracy"][a]))
    ):
        own = [run for run in runs if run["arm"] == arm]
        means = [
            f"{_over_cells(found[s][arm]):.{2 if 'loss' not in s and 'error' not in s else 3}f}"
            for s in SCORES
        ]
        ranked = " / ".join(f"{rank[s][arm]:.2f}" if arm in rank[s] else "" for s in rank)
        against = []
        for score in rank:
            difference, p = compared(found[score]["ganaug"], found[score][arm])
            against.append("" if arm == "ganaug" else f"{difference.mean():+.2f} ({p:.3f})")
        alone = f"{_over_cells(only[arm]):.2f}" if arm in only else ""
        part = "" if covered[arm] == everywhere else f" ({len(covered[arm])} of {len(everywhere)} tables)"
        distances = [run["distance"] for run in own if run.get("distance") is not None]
        lines.append(
            f"| {f'**{arm}**' if arm in OURS else arm}{part} | {len(own)} | {' | '.join(means)} | {ranked} |"
            f" {' | '.join(against)} | {alone} | {format(np.median(distances), '.2f') if distances else ''} |"
            f" {np.median([run['seconds'] for run in own]):.1f} |"
        )
    shown = ["as it is", "random oversampling", "SMOTE", "ganaug"]
    lines += [
        "",
        "| table | rows | "
        + " | ".join(shown)
        + " | ganaug minus SMOTE (95 % interval) | recommended minus balanced"
        " weights (95 % interval) | of which it added | synthetic only: ganaug / SMOTE / CTGAN |"
        " seconds: ganaug / CTGAN |",
        "|---" * (7 + len(shown)) + "|",
    ]
    pairs = [("ganaug", "SMOTE"), ("ganaug recommended", "class weights")]
    gaps: list[list[float]] = [[] for _ in pairs]  # of each pair, by table
    for table in sorted({run["table"] for run in runs}):
        here = [run for run in runs if run["table"] == table]
        score = {arm: _by_fold(here, arm) for arm in arms}
        differences = [_differences(score.get(ours, {}), score[theirs]) for ours, theirs in pairs]
        for gap, difference in zip(gaps, differences, strict=True):
            gap += [float(difference.mean())] if len(difference) else []
        advised = [run for run in here if run["arm"] == "ganaug recommended"]
        added = sum(not run["recommendation"].startswith("Add nothing") for run in advised)
        taken = [_seconds(here, arm) for arm in ("ganaug", "CTGAN")]
        alone = []
        for arm in ("ganaug", "SMOTE", "CTGAN"):
            own = {cell: folds for cell, folds in only.get(arm, {}).items() if cell[0] == table}
            alone.append(f"{_over_cells(own):.2f}" if own else "")
        lines.append(
            f"| {table} | {here[0]['n']:,} | "
            + " | ".join(f"{np.mean(list(score[arm].values())):.2f}" for arm in shown)
            + f" | {' | '.join(_over_folds(difference) for difference in differences)} |"
            f" {f'{added} of {len(advised)}' if advised else ''} | {' / '.join(alone)} |"
            f" {' / '.join(taken)} |"
        )
    lines.append(
        "| **their mean** |" + " |" * (1 + len(shown)) + f" {' | '.join(map(_over_tables, gaps))} | | | |"
    )
    return "\n".join(lines)


def tables_summary(runs: list[dict]) -> str:
    """Return what matters most of `imbalanced_tables`."""
    found = {score: cells(runs, score) for score in ("balanced_accuracy", "average_precision")}
    lines = [
        f"| {len({run['table'] for run in runs})} tables | balanced accuracy | ganaug minus it (p) |"
        " average precision | ganaug minus it (p) |",
        "|---" * 5 + "|",
    ]
    arms = ["as it is", "class weights", "random oversampling", "SMOTE", "CTGAN", "ganaug"]
    for arm in [arm for arm in arms if arm in found["balanced_accuracy"]]:
        line = f"| {f'**{arm}**' if arm in OURS else arm} |"
        for own in found.values():
            difference, p = compared(own["ganaug"], own[arm])
            line += f" {_over_cells(own[arm]):.2f} |"
            line += " |" if arm == "ganaug" else f" {difference.mean():+.2f} ({p:.3f}) |"
        lines.append(line)
    return "\n".join(lines)


def _over_cells(own: dict[Cell, dict]) -> float:
    return float(np.mean([np.mean(list(folds.values())) for folds in own.values()]))


def _seconds(runs: list[dict], arm: str) -> str:
    own = [run["seconds"] for run in runs if run["arm"] == arm]
    return f"{np.mean(own):.0f}" if own else ""


def _by_fold(runs: list[dict], arm: str) -> dict[tuple, float]:
    """Return balanced accuracy by repeat and fold, the mean of the classifiers."""
    return {
        (run["repeat"], run["fold"]): float(np.mean([m["balanced_accuracy"] for m in run["models"].values()]))
        for run in runs
        if run["arm"] == arm
    }


def _differences(ours: dict[tuple, float], theirs: dict[tuple, float]) -> np.ndarray:
    return np.array([ours[fold] - theirs[fold] for fold in sorted(ours.keys() & theirs.keys())])


def _over_folds(differences: np.ndarray) -> str:
    """Return a mean difference with an interval that allows for the overlap of training halves.

    Nadeau & Bengio, "Inference for the generalization error", Machine Learning 2003: repeated folds
    share rows, and the plain t interval of their differences is too narrow.
    """
    n = len(differences)
    if n < 2:
        return ""
    spread = differences.std(ddof=1) * np.sqrt(1 / n + 1)  # the test half is as large as the other
    return difference_text((float(differences.mean()), float(stats.t.ppf(0.975, n - 1) * spread), n))


def _over_tables(means: list[float]) -> str:
    """Return a mean difference with the t interval over tables, which share no rows."""
    n = len(means)
    if n < 2:
        return ""
    return difference_text((float(np.mean(means)), float(stats.t.ppf(0.975, n - 1) * stats.sem(means)), n))
