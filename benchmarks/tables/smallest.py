"""What arms gain in the smallest class, and what other classes lose."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arms import ON_REQUEST
from benchmarks.tables.shared import (
    CLASS_BALANCED,
    by_arm,
    difference_text,
    emphasized,
    mean_recall,
    paired_difference,
    to_markdown,
)


def smallest_table(result: dict[str, Any]) -> str:
    """Return what arms, augmented, gain in the smallest class and lose in others, as a Markdown table."""
    arms = by_arm([run for run in result["runs"] if run["augment"] and run["arm"] not in ON_REQUEST])
    base = arms.pop(CLASS_BALANCED)
    last = len(result["counts"]) - 1
    rows = []
    for (arm, _), runs in arms.items():
        seeds = sorted(runs.keys() & base.keys())
        recall, base_recall = ([of[seed]["test"]["recall"] for seed in seeds] for of in (runs, base))
        change = np.subtract(recall, base_recall).mean(0)
        worst = int(change[:last].argmin())
        row = {
            "arm, augmented": emphasized(arm, arm),
            "seeds": str(len(seeds)),
            "recall of the smallest class": f"{np.mean(recall, axis=0)[last]:.1f}",
            "minus class-balanced (95 % interval)": difference_text(paired_difference(runs, base, last)),
            "balanced accuracy minus class-balanced": difference_text(paired_difference(runs, base)),
            "largest loss of another class": f"class {worst}: {change[worst]:+.2f}",
        }
        rows.append((change[last], row))
    text = (
        f"Recall of class {last}, {result['counts'][last]} images; class-balanced sampling has"
        f" {mean_recall(base)[last]:.1f}."
    )
    rows.sort(key=lambda pair: -pair[0])
    return f"{text}\n\n{to_markdown([row for _, row in rows])}"
