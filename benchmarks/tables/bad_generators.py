"""How often `recommend_counts` added nothing where the generator is of no use."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.shared import to_markdown


def bad_generators_table(runs: list[dict[str, Any]]) -> str:
    """Return in how many seeds nothing was added, for each useless generator, as a Markdown table."""
    rows = []
    for kind, data in dict.fromkeys((run["kind"], run["data"]) for run in runs):
        added = [run["added"] for run in runs if (run["kind"], run["data"]) == (kind, data)]
        rows.append(
            {
                "generator": kind,
                "data": data,
                "seeds": str(len(added)),
                "nothing added in": str(added.count(0)),
            }
        )
    return to_markdown(rows)
