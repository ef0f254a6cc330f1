"""What became of following `recommend_counts`."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.tables.shared import (
    CLASS_BALANCED,
    Arms,
    Key,
    added_something,
    by_arm,
    difference_text,
    mean_score,
    paired_difference,
    to_markdown,
    with_counts,
)

RECOMMENDED: Key = ("GANOverSampler recommended", True)
FIXED: Key = ("GANOverSampler +1000", True)
DIFFERENCE = "minus class-balanced (95 % interval)"


def recommended_table(results: dict[str, dict[str, Any]]) -> str:
    """Return what became of following `recommend_counts`, a line for each data set and one for all."""
    rows = []
    all_runs: dict[tuple[str, int], dict] = {}
    all_base: dict[tuple[str, int], dict] = {}
    for name, result in results.items():
        arms = by_arm(result["runs"])
        seeds = arms.get(RECOMMENDED, {}).keys() & arms.get(CLASS_BALANCED, {}).keys()
        if not seeds:
            continue
        arms = {key: {seed: run for seed, run in runs.items() if seed in seeds} for key, runs in arms.items()}
        all_runs |= {(name, seed): run for seed, run in arms[RECOMMENDED].items()}
        all_base |= {(name, seed): run for seed, run in arms[CLASS_BALANCED].items()}
        rows.append(_row(with_counts(name, result["counts"]), arms))
    if not rows:
        return "Not measured yet."
    difference = difference_text(paired_difference(all_runs, all_base))
    rows.append({next(iter(rows[0])): "**all of them**", "seeds": str(len(all_runs)), DIFFERENCE: difference})
    return to_markdown(rows)


def _row(title: str, arms: Arms) -> dict[str, str]:
    base, runs, fixed = arms[CLASS_BALANCED], arms[RECOMMENDED], arms.get(FIXED)
    added = [run for run in runs.values() if added_something(run)]
    # Where it added, the same process fitted a GAN and its gate once more afterwards.
    cost = [run["recommend_seconds"] / (run["prepare_seconds"] - run["recommend_seconds"]) for run in added]
    return {
        "data (training images of a class)": title,
        "seeds": str(len(runs)),
        "added in": str(len(added)),
        "class-balanced": f"{mean_score(base, 'balanced_accuracy'):.2f}",
        "recommended": f"{mean_score(runs, 'balanced_accuracy'):.2f}",
        DIFFERENCE: difference_text(paired_difference(runs, base)),
        "*GANOverSampler +1000* minus class-balanced": (
            difference_text(paired_difference(fixed, base)) if fixed else ""
        ),
        "cost, in fits of a GAN": f"{np.median(cost):.1f}" if cost else "",
    }
