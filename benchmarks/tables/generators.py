"""Generators trained for as many seconds."""

from __future__ import annotations

from typing import Any

import numpy as np


def generator_table(result: dict[str, Any]) -> str:
    """Return the comparison of generators as a Markdown table."""
    rows: dict[str, list[dict]] = {}
    for run in result["runs"]:
        rows.setdefault(run["arm"], []).append(run)
    base = np.mean([run["balanced"]["acsa"] for run in result["runs"]])
    lines = [
        f"{result['seconds']:g} seconds of training for each of two learning rates. Balanced sampling of"
        f" the real images gives {base:.2f}.",
        "",
        "| generator | seeds | only | added | told from real | diversity | steps | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in sorted(rows.items(), key=lambda item: -np.mean([r["only"]["acsa"] for r in item[1]])):
        only, added = (np.mean([run[k]["acsa"] for run in runs]) for k in ("only", "added"))
        told, diversity, steps, seconds = (
            np.mean([run[k] for run in runs]) for k in ("c2st_auc", "diversity", "steps", "seconds")
        )
        title = f"**{name}**" if name.lower().startswith("ganaug") else name
        lines.append(
            f"| {title} | {len(runs)} | {only:.2f} | {added:.2f} | {told:.0f} | {diversity:.2f} |"
            f" {steps:.0f} | {seconds:.0f} |"
        )
    return "\n".join(lines)
