"""How often nothing was added of generators that are of no use."""

from __future__ import annotations

from typing import Any


def bad_generators_table(runs: list[dict[str, Any]]) -> str:
    """Return how often `recommend_counts` added nothing of generators that are of no use."""
    lines = ["| generator | data | seeds | nothing added in |", "|---|---|---|---|"]
    for kind, data in dict.fromkeys((run["kind"], run["data"]) for run in runs):
        added = [run["added"] for run in runs if (run["kind"], run["data"]) == (kind, data)]
        lines.append(f"| {kind} | {data} | {len(added)} | {added.count(0)} |")
    return "\n".join(lines)
