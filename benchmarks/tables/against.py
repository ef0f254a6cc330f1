"""What work costs now, beside an earlier commit."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.tables.shared import to_markdown


def against_table(result: dict[str, Any]) -> str:
    """Return medians of CPU seconds and of memory, and their ratios, as a Markdown table."""
    rows = []
    for work, data in dict.fromkeys((run["work"], run["data"]) for run in result["runs"]):
        runs = [run for run in result["runs"] if (run["work"], run["data"]) == (work, data)]
        row = {"work": f"`{work}`", "data": data}
        for measure, words in (("seconds", "CPU seconds"), ("memory", "MiB")):
            known = [run for run in runs if measure in run["now"]]
            medians = [
                statistics.median(run[when][measure] for run in known) for when in ("before", "now") if known
            ]
            row[f"{words}, then and now"] = " / ".join(f"{median:,.4g}" for median in medians)
            row[f"ratio of {words}"] = f"{medians[1] / medians[0]:.2f}" if known else ""
        rows.append(row)
    steps = "as many steps as by default" if result["steps"] is None else f"{result['steps']} steps"
    return f"Commit {result['commit']} and now; generators are trained for {steps}.\n\n{to_markdown(rows)}"
