"""The plot of recall by class size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.arms import OURS
from benchmarks.tables.shared import CLASS_BALANCED, Arms, Key, by_arm, mean_recall, strongest_baseline

BASELINES: tuple[Key, ...] = (("instance-balanced", True), ("SMOTE", True), ("DeepSMOTE", True))
SHOWN: tuple[Key, ...] = (
    ("fit_resample filled up", True),
    ("GANOverSampler +1000", True),
    ("tail-weighted 10 GANAugment + mixup", True),
    ("tail-weighted 30 synthetic only + mixup", True),
)


# Of the short plot, beside the strongest baseline: the way to add that gained most.
BEST: Key = ("tail-weighted 10 GANAugment + mixup", True)


def plot(results: dict[str, dict[str, Any]], path: Path, *, short: bool = False) -> None:
    """Write a plot of recall by class size, arm by arm, minus that of class-balanced sampling.

    A `short` one has the strongest baseline and `BEST` alone.
    """
    figure = Figure(figsize=(5.2 * len(results), 3 if short else 4), dpi=130)
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (name, result) in zip(axes, results.items(), strict=True):
        arms = by_arm(result["runs"])
        rival = strongest_baseline(arms)
        if short:
            shown = {rival: f"strongest rival: {rival[0]}", BEST: f"ganaug: {BEST[0]}"}
        else:
            shown = {key: key[0] for key in (*BASELINES, rival, *SHOWN)}
        _plot_one(axis, arms, np.array(result["counts"]), shown)
        axis.set_title(name)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def _plot_one(axis: Axes, arms: Arms, counts: np.ndarray, shown: dict[Key, str]) -> None:
    order = np.argsort(-counts)
    for color, (key, label) in enumerate(shown.items()):
        if key not in arms:
            continue
        base = {seed: arms[CLASS_BALANCED][seed] for seed in arms[key]}
        axis.plot(
            (mean_recall(arms[key]) - mean_recall(base))[order],
            marker="o",
            markersize=3,
            linewidth=2.5 if key[0] in OURS else 1,
            color=f"C{color}",
            label=label,
        )
    axis.axhline(0, color="grey", linewidth=0.5)
    axis.set_xticks(range(len(order)), [f"{counts[c]}" for c in order], rotation=45)
    axis.set_xlabel("training images of the class")
    axis.set_ylabel("recall minus\nclass-balanced, points")
    axis.legend(fontsize=7)
