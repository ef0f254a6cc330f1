"""What arms gain in the smallest class, and what others pay."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arms import ON_REQUEST, OURS
from benchmarks.tables.shared import BALANCED, by_arm, difference_text, interval, mean_recall


def smallest_table(result: dict[str, Any]) -> str:
    """Return what arms, augmented, gain in the smallest class and lose in others, as a Markdown table."""
    arms = by_arm([run for run in result["runs"] if run["augment"] and run["arm"] not in ON_REQUEST])
    base = arms.pop(BALANCED)
    last = len(result["counts"]) - 1
    rows = []
    for key, runs in arms.items():
        seeds = sorted(runs.keys() & base.keys())
        own, theirs = ([of[seed]["test"]["recall"] for seed in seeds] for of in (runs, base))
        change = np.subtract(own, theirs).mean(0)
        worst = int(change[:last].argmin())
        title = f"**{key[0]}**" if key[0] in OURS else key[0]
        rows.append(
            (
                change[last],
                f"| {title} | {len(seeds)} | {np.mean(own, axis=0)[last]:.1f} |"
                f" {difference_text(interval(runs, base, last))} | {difference_text(interval(runs, base))} |"
                f" class {worst}: {change[worst]:+.2f} |",
            )
        )
    lines = [
        f"Recall of class {last}, {result['counts'][last]} images; balanced sampling has"
        f" {mean_recall(base)[last]:.1f}.",
        "",
        "| arm, augmented | seeds | smallest class | minus balanced (95 % interval) | ACSA minus balanced |"
        " what the worst of the others loses |",
        "|---" * 6 + "|",
    ]
    return "\n".join(lines + [line for _, line in sorted(rows, key=lambda row: -row[0])])
