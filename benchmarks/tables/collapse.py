"""What modes one and several networks find."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.collapse import ARMS
from benchmarks.tables.shared import to_markdown

# Of each data set: what else is measured beside the modes, its words, and how many modes there are.
MEASURES = {
    "25 Gaussians": ("good", "samples of a mode, %", 25),
    "stacked digits": ("divergence", "divergence, nats", 1000),
}


def collapse_table(result: dict[str, Any]) -> str:
    """Return the modes that each arm finds, as a Markdown table."""
    rows = []
    for arm in ARMS:
        row = {"networks": arm}
        for data, (measure, words, n_modes) in MEASURES.items():
            runs = [run for run in result["runs"] if (run["data"], run["arm"]) == (data, arm)]
            modes = [run["modes"] for run in runs]
            row[f"{data}: modes of {n_modes:,} (least to most)"] = (
                f"{np.mean(modes):.0f} ({min(modes)} to {max(modes)})"
            )
            row[f"{data}: {words}"] = f"{np.mean([run[measure] for run in runs]):.2f}"
            row[f"{data}: rollbacks"] = f"{np.mean([run['rollbacks'] for run in runs]):.1f}"
            row[f"{data}: CPU s"] = f"{np.mean([run['seconds'] for run in runs]):.0f}"
        rows.append(row)
    seeds = " and ".join(
        f"{len({run['seed'] for run in result['runs'] if run['data'] == data})} of {data}"
        for data in MEASURES
    )
    return f"Means over seeds: {seeds}.\n\n{to_markdown(rows)}"
