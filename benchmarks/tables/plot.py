"""Recall by class size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.arms import OURS
from benchmarks.tables.shared import ALONE, BALANCED, FILLED, HEADLINE, LEANING, by_arm, mean_recall, rival


def plot(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Write recall by class size, arm by arm, minus that of balanced sampling."""
    figure = Figure(figsize=(5.2 * len(results), 4), dpi=130)
    for axis, (name, result) in zip(
        figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True
    ):
        arms = by_arm(result["runs"])
        order = np.argsort(-np.array(result["counts"]))
        others = [(name, True) for name in ("as it is", "SMOTE", "DeepSMOTE")]
        for color, key in enumerate((*others, rival(arms), FILLED, HEADLINE, LEANING, ALONE)):
            if key in arms:
                ours = key[0] in OURS
                base = {seed: arms[BALANCED][seed] for seed in arms[key]}
                axis.plot(
                    (mean_recall(arms[key]) - mean_recall(base))[order],
                    marker="o",
                    markersize=3,
                    linewidth=2.5 if ours else 1,
                    color=f"C{color}",
                    label=key[0],
                )
        axis.axhline(0, color="grey", linewidth=0.5)
        axis.set_xticks(range(len(order)), [f"{result['counts'][c]}" for c in order], rotation=45)
        axis.set_xlabel("training images of the class")
        axis.set_ylabel("recall minus balanced sampling's, points")
        axis.set_title(name)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
