"""The table about what synthetic series are worth."""

from __future__ import annotations

import numpy as np

from benchmarks.tables.shared import difference_text, t_interval, to_markdown

OURS, OTHER = "ConditionalGAN", "ConditionalGAN recurrent"
CLASSIFIERS = ("network", "random convolutions")


def series_table(results: dict) -> str:
    """Return balanced accuracy of each arm on each data set, by both classifiers, as a Markdown table.

    Differences are means over data sets, with an interval over seeds. An arm that was run on fewer seeds
    says so, and is compared on these.
    """
    runs = results["runs"]
    data_sets, arms = (list(dict.fromkeys(run[key] for run in runs)) for key in ("data", "arm"))
    scores = {
        (run["arm"], kind, run["seed"], run["data"]): float(np.mean(recall))
        for run in runs
        for kind, recall in run["recall"].items()
    }

    def of(arm: str, kind: str, seeds: list[int]) -> np.ndarray:
        """Return accuracies (n_seeds, n_data_sets)."""
        return np.array([[scores[arm, kind, seed, data] for data in data_sets] for seed in seeds])

    all_seeds = sorted({run["seed"] for run in runs})
    rows = []
    for arm in arms:
        seeds = [s for s in all_seeds if all((arm, "network", s, data) in scores for data in data_sets)]
        few = "" if seeds == all_seeds else f" ({len(seeds)} of {len(all_seeds)} seeds)"
        # Of arms that are the same to it, logistic regression has one alone.
        kinds = [kind for kind in CLASSIFIERS if (arm, kind, seeds[0], data_sets[0]) in scores]
        row = {" / ".join(CLASSIFIERS): f"**{arm}**{few}" if arm in (OURS, OTHER) else f"{arm}{few}"}
        means = [of(arm, kind, seeds).mean(axis=0) for kind in kinds]
        row |= {data: " / ".join(f"{own[i]:.1f}" for own in means) for i, data in enumerate(data_sets)}
        row["mean"] = " / ".join(f"{own.mean():.1f}" for own in means)
        for kind in CLASSIFIERS:
            row[f"{OURS} minus it, {kind}"] = ""
            if arm != OURS and kind in kinds:
                gaps = (of(OURS, kind, seeds) - of(arm, kind, seeds)).mean(axis=1)
                row[f"{OURS} minus it, {kind}"] = difference_text(t_interval(gaps))
        seconds = [run["seconds"] for run in runs if run["arm"] == arm]
        row["seconds"] = f"{np.median(seconds):.0f}"
        rows.append(row)
    return to_markdown(rows)
