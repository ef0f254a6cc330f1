"""The arms of a data set, best first."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arms import ON_REQUEST
from benchmarks.tables.shared import (
    CLASS_BALANCED,
    Arms,
    Key,
    arm_title,
    by_arm,
    difference_text,
    emphasized,
    mean_score,
    paired_difference,
    strongest_baseline,
    to_markdown,
)


def gain_table(result: dict[str, Any]) -> str:
    """Return a data set's arms as a Markdown table, best first."""
    # Arms on request have a table of their own, and too few seeds to be ranked among the others.
    arms = by_arm([run for run in result["runs"] if run["arm"] not in ON_REQUEST])
    baseline = strongest_baseline(arms)
    settings = result["settings"]
    order = sorted(arms, key=lambda key: -paired_difference(arms[key], arms[baseline])[0])
    text = (
        f"{settings['updates']} updates of the {settings['network']} classifier, learning rate"
        f" {settings['learning_rate']:g}, batch {settings['batch_size']}. The strongest baseline, chosen on"
        f" validation data, is **{arm_title(baseline)}**."
    )
    return f"{text}\n\n{to_markdown([_row(key, arms, baseline) for key in order])}"


def _row(key: Key, arms: Arms, baseline: Key) -> dict[str, str]:
    runs = arms[key]
    score = {name: mean_score(runs, name) for name in next(iter(runs.values()))["test"] if name != "recall"}
    recall = np.mean([run["test"]["recall"][-1] for run in runs.values()])
    seconds = np.median([run["prepare_seconds"] for run in runs.values()])
    return {
        "arm": emphasized(arm_title(key), key[0]),
        "seeds": str(len(runs)),
        "balanced accuracy": f"{score['balanced_accuracy']:.2f}",
        "minus the strongest baseline (95 % interval)": _difference(key, baseline, arms),
        "minus class-balanced, augmented": _difference(key, CLASS_BALANCED, arms),
        "G-mean, multiclass / macro": f"{score['g_mean_multiclass']:.2f} / {score['g_mean_macro']:.2f}",
        "macro F1": f"{score['macro_f1']:.2f}",
        "recall of the smallest class": f"{recall:.1f}",
        "log-loss": f"{score['log_loss']:.3f}",
        "ECE": f"{score['calibration_error']:.3f}",
        "seconds to prepare": f"{seconds:.0f}",
    }


def _difference(key: Key, other: Key, arms: Arms) -> str:
    if key == other or other not in arms:
        return ""
    return difference_text(paired_difference(arms[key], arms[other]))


def not_shown(name: str, result: dict[str, Any]) -> str:
    """Return what is said instead of a table where only a quick run was made."""
    arms = {run["arm"] for run in result["runs"]}
    seconds = sum(run["prepare_seconds"] + run["train_seconds"] for run in result["runs"])
    return (
        f"Not shown. Only `--quick` was run, {len(arms)} arms in {seconds / 60:.0f} minutes: the command"
        f" works, and its figures say nothing about {name}."
    )


def gain_tables(gains: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the table of each data set, or why there is none."""
    full = {name: gain_table(result) for name, result in gains.items() if not name.endswith("-quick")}
    quick = {name.removesuffix("-quick"): r for name, r in gains.items() if name.endswith("-quick")}
    return full | {name: not_shown(name, result) for name, result in quick.items() if name not in full}
