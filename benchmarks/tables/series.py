"""The table about what synthetic series are worth."""

from __future__ import annotations

import numpy as np

from benchmarks.tables.shared import difference_text, t_interval, to_markdown

OURS, OTHER = "ConditionalGAN", "ConditionalGAN recurrent"
CLASSIFIERS = ("network", "random convolutions")


def series_table(results: dict) -> str:
    """Return balanced accuracy of each arm on each data set, by both classifiers, as a Markdown table.

    Differences are means over data sets, with an interval over seeds.
    """
    runs = results["runs"]
    data_sets, arms = (list(dict.fromkeys(run[key] for run in runs)) for key in ("data", "arm"))
    seeds = sorted({run["seed"] for run in runs})
    scores = {
        (run["arm"], run["data"], run["seed"], kind): np.mean(recall)
        for run in runs
        for kind, recall in run["recall"].items()
    }

    def of(arm: str, kind: str) -> np.ndarray | None:
        """Return accuracies (n_data_sets, n_seeds); None of an arm that the classifier doesn't have."""
        if (arm, data_sets[0], seeds[0], kind) not in scores:
            return None
        return np.array([[scores[arm, data, seed, kind] for seed in seeds] for data in data_sets])

    rows = []
    for arm in arms:
        name = f"**{arm}**" if arm in (OURS, OTHER) else arm
        row = {" / ".join(CLASSIFIERS): name}
        found = {kind: own for kind in CLASSIFIERS if (own := of(arm, kind)) is not None}
        for i, data in enumerate(data_sets):
            row[data] = " / ".join(f"{own[i].mean():.1f}" for own in found.values())
        row["mean"] = " / ".join(f"{own.mean():.1f}" for own in found.values())
        for kind in CLASSIFIERS:
            differs = kind in found and arm != OURS
            gap = (of(OURS, kind) - found[kind]).mean(axis=0) if differs else np.zeros(0)
            row[f"{OURS} minus it, {kind}"] = difference_text(t_interval(gap)) if differs else ""
        seconds = [run["seconds"] for run in runs if run["arm"] == arm]
        row["seconds"] = f"{np.median(seconds):.0f}"
        rows.append(row)
    return to_markdown(rows)
