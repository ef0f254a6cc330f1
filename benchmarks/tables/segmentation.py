"""The table about images and masks that are varied together."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.shapes import SHAPES
from benchmarks.tables.shared import difference_text, t_interval, to_markdown


def segmentation_table(results: dict[str, Any]) -> str:
    """Return mean IoU and that of each shape by arm, with paired differences, and how well masks fit."""
    iou: dict[str, dict[int, np.ndarray]] = {}
    for run in results["runs"]:
        iou.setdefault(run["arm"], {})[run["seed"]] = np.array(run["iou"])
    means = {arm: np.mean([own.mean() for own in runs.values()]) for arm, runs in iou.items()}
    baselines = [arm for arm in iou if "vary" not in arm]
    strongest = max(baselines, key=lambda arm: means[arm])
    rows = []
    for arm in sorted(iou, key=lambda arm: -means[arm]):
        by_shape = np.mean(list(iou[arm].values()), axis=0)
        row = {"arm": f"**{arm}**" if "vary" in arm else arm, "mean IoU": f"{means[arm]:.2f}"}
        for shape, count, value in zip(SHAPES, results["counts"], by_shape, strict=True):
            row[f"{shape} ({count})"] = f"{value:.1f}"
        for other in dict.fromkeys(("nothing", strongest)):
            pairs = [own.mean() - iou[other][seed].mean() for seed, own in iou[arm].items()]
            row[f"minus {other}"] = "" if arm == other else difference_text(t_interval(np.array(pairs)))
        row["seconds"] = f"{np.mean([run['seconds'] for run in results['runs'] if run['arm'] == arm]):.0f}"
        rows.append(row)
    shown = ("real", "varied", "only warped")
    fit = {name: np.array([entry[name] for entry in results["fit"]]) for name in shown}
    painted = difference_text(t_interval(fit["varied"] - fit["only warped"]))
    text = (
        f"Do masks fit? A segmenter trained on {results['judge_images']:,} other images has a mean IoU of"
        f" {fit['real'].mean():.2f} on the training images, {fit['varied'].mean():.2f} on variations of them,"
        f" and {fit['only warped'].mean():.2f} on the same images only warped, without what the generator"
        f" paints: a difference of {painted}."
    )
    return f"{to_markdown(rows)}\n\n{text}"
