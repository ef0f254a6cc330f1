"""The tables about what `restore` fills, of images and of tables."""

from __future__ import annotations

import numpy as np

from benchmarks.tables.shared import to_markdown

OURS = ("restore", "restore, labels known", "restore, a draw", "GANImputer", "GANImputer, a draw")
CONTROLS = ("restore without its generator", "GANImputer without its generator", "damaged")


def restoration_tables(results: dict) -> str:
    """Return a Markdown table of images, and one of tables: means over seeds, errors first."""
    runs = results["runs"]
    images = [run for run in runs if run["damage"] != "missing values"]
    tables = [run for run in runs if run["damage"] == "missing values"]
    return f"{_images_table(images)}\n\n{_tables_table(tables)}"


def _images_table(runs: list[dict]) -> str:
    columns = sorted({(run["data"], run["damage"]) for run in runs})
    rows = []
    for arm in _in_order(runs):
        row = {"RMSE / accuracy": _title(arm)}
        for data, damage in columns:
            own = [run for run in runs if (run["data"], run["damage"], run["arm"]) == (data, damage, arm)]
            row[f"{data}, {damage}"] = (
                f"{_mean(own, 'rmse'):.3f} / {_mean(own, 'accuracy'):.1f}" if own else ""
            )
        rows.append(row)
    undamaged = {"RMSE / accuracy": "not damaged"}
    for data, damage in columns:
        own = [run for run in runs if (run["data"], run["damage"]) == (data, damage)]
        seeds = len({run["seed"] for run in own})
        undamaged[f"{data}, {damage}"] = f"0 / {_mean(own, 'undamaged'):.1f} (seeds: {seeds})"
    return to_markdown([*rows, undamaged])


def _tables_table(runs: list[dict]) -> str:
    columns = sorted({run["data"] for run in runs})
    rows = []
    for arm in _in_order(runs):
        row = {"RMSE / wrong categories, % / accuracy": _title(arm)}
        for data in columns:
            own = [run for run in runs if (run["data"], run["arm"]) == (data, arm)]
            wrong = "" if own[0]["wrong"] is None else f" / {_mean(own, 'wrong'):.1f}"
            row[data] = f"{_mean(own, 'rmse'):.3f}{wrong} / {_mean(own, 'accuracy'):.1f}"
        rows.append(row)
    complete = {"RMSE / wrong categories, % / accuracy": "nothing missing"}
    for data in columns:
        own = [run for run in runs if run["data"] == data]
        complete[data] = f"{_mean(own, 'undamaged'):.1f} (seeds: {len({run['seed'] for run in own})})"
    return to_markdown([*rows, complete])


def _in_order(runs: list[dict]) -> list[str]:
    """Return the arms: baselines first, then controls, then ours."""
    arms = sorted({run["arm"] for run in runs})
    return sorted(arms, key=lambda arm: (arm in OURS, arm in CONTROLS, arm))


def _title(arm: str) -> str:
    return f"**{arm}**" if arm in OURS else arm


def _mean(runs: list[dict], measure: str) -> float:
    return float(np.mean([run[measure] for run in runs]))
