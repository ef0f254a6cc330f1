"""The arms of a data set, best first."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arms import ON_REQUEST, OURS
from benchmarks.tables.shared import BALANCED, arm_title, by_arm, difference_text, interval, mean_score, rival


def gain_table(result: dict[str, Any]) -> str:
    """Return a data set's arms as a Markdown table, best first."""
    # Those on request have a table of their own, and too few seeds to stand in a row with others.
    arms = by_arm([run for run in result["runs"] if run["arm"] not in ON_REQUEST])
    against = rival(arms)
    settings = result["settings"]
    lines = [
        f"{settings['updates']} updates of the {settings['network']} classifier, learning rate"
        f" {settings['learning_rate']:g}, batch {settings['batch_size']}. The rival, best on validation"
        f" data, is **{arm_title(against)}**.",
        "",
        "| arm | seeds | ACSA | minus the rival (95 % interval) | minus balanced, augmented |"
        " GM multiclass / macro | macro F1 | smallest class | log-loss | calibration error |"
        " seconds to prepare |",
        "|---" * 11 + "|",
    ]
    for key in sorted(arms, key=lambda key: -interval(arms[key], arms[against])[0]):
        runs = arms[key]
        differences = [
            "" if key == other or other not in arms else difference_text(interval(runs, arms[other]))
            for other in (against, BALANCED)
        ]
        title = f"**{arm_title(key)}**" if key[0] in OURS else arm_title(key)
        smallest = np.mean([run["test"]["recall"][-1] for run in runs.values()])
        seconds = np.median([run["prepare_seconds"] for run in runs.values()])
        lines.append(
            f"| {title} | {len(runs)} | {mean_score(runs, 'acsa'):.2f} | {' | '.join(differences)} |"
            f" {mean_score(runs, 'gm_multiclass'):.2f} / {mean_score(runs, 'gm_macro'):.2f} |"
            f" {mean_score(runs, 'macro_f1'):.2f} | {smallest:.1f} | {mean_score(runs, 'log_loss'):.3f} |"
            f" {mean_score(runs, 'calibration_error'):.3f} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def not_shown(name: str, result: dict[str, Any]) -> str:
    """Return what stands in the place of a table of which there is only a quick run."""
    arms = {run["arm"] for run in result["runs"]}
    seconds = sum(run["prepare_seconds"] + run["train_seconds"] for run in result["runs"])
    return (
        f"Not shown. Only `--quick` was run, {len(arms)} arms in {seconds / 60:.0f} minutes: the command"
        f" works, and its figures say nothing of {name}."
    )


def gain_tables(gains: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the table of each data set, or why there is none."""
    full = {name: gain_table(result) for name, result in gains.items() if not name.endswith("-quick")}
    quick = {name.removesuffix("-quick"): r for name, r in gains.items() if name.endswith("-quick")}
    return full | {name: not_shown(name, result) for name, result in quick.items() if name not in full}
