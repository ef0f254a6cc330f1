"""What came of doing as `recommend_counts` says."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.tables.shared import BALANCED, RECOMMENDED, by_arm, difference_text, interval, mean_score


def recommended_table(results: dict[str, dict[str, Any]]) -> str:
    """Return what came of doing as `recommend_counts` says, one line for each data set, and one of all."""
    lines = [
        "| data (training images of a class) | seeds | of which it added | balanced sampling | recommended |"
        " minus balanced sampling (95 % interval) | *ganaug beyond* minus the same | cost, in fits |",
        "|---|---|---|---|---|---|---|---|",
    ]
    every: tuple[dict[Any, dict], dict[Any, dict]] = {}, {}
    for name, result in results.items():
        arms = by_arm(result["runs"])
        base, runs = (arms.get(key, {}) for key in (BALANCED, RECOMMENDED))
        seeds = runs.keys() & base.keys()
        if not seeds:
            continue
        base, runs = ({seed: of[seed] for seed in seeds} for of in (base, runs))
        for together, own in zip(every, (runs, base), strict=True):
            together.update({(name, seed): run for seed, run in own.items()})
        fixed = {seed: run for seed, run in arms.get(("ganaug beyond", True), {}).items() if seed in seeds}
        counts = result["counts"]
        added = [run for run in runs.values() if not run["recommendation"].startswith("Add nothing")]
        # Where it added, the same process fitted a GAN and its gate once more afterwards.
        cost = [
            run["recommend_seconds"] / (run["prepare_seconds"] - run["recommend_seconds"]) for run in added
        ]
        lines.append(
            f"| {name}{f' ({counts[0]} to {counts[-1]})' if counts else ''} | {len(seeds)} | {len(added)} |"
            f" {mean_score(base, 'acsa'):.2f} | {mean_score(runs, 'acsa'):.2f} |"
            f" {difference_text(interval(runs, base))} |"
            f" {difference_text(interval(fixed, base)) if fixed else ''} |"
            f" {format(np.median(cost), '.1f') if cost else ''} |"
        )
    if len(lines) == 2:
        return "Not measured yet."
    lines.append(f"| **all of them** | {len(every[0])} | | | | {difference_text(interval(*every))} | | |")
    return "\n".join(lines)
