"""Generators trained for the same seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.generators import DEFAULTS
from benchmarks.tables.shared import to_markdown


def generator_table(result: dict[str, Any]) -> str:
    """Return the comparison of generators as a Markdown table, best first."""
    runs_of: dict[str, list[dict]] = {}
    for run in result["runs"]:
        runs_of.setdefault(run["arm"], []).append(run)
    base = _mean_accuracy(result["runs"], "class_balanced")
    rates = result["learning_rates"]
    text = (
        f"{result['seconds']:g} seconds of training at {'a' if len(rates) == 1 else 'each'} learning rate of"
        f" {' and '.join(map(str, rates))}. Class-balanced sampling of the real images gives {base:.2f}."
    )
    rows = []
    for name, runs in sorted(runs_of.items(), key=lambda item: -_mean_accuracy(item[1], "synthetic_only")):
        rows.append(
            {
                "generator": f"**{name}**" if name == DEFAULTS else name,
                "seeds": str(len(runs)),
                "synthetic only": f"{_mean_accuracy(runs, 'synthetic_only'):.2f}",
                "real and synthetic": f"{_mean_accuracy(runs, 'real_and_synthetic'):.2f}",
                "C2ST accuracy": f"{_mean(runs, 'c2st_accuracy'):.0f}",
                "diversity": f"{_mean(runs, 'diversity'):.2f}",
                "steps": f"{_mean(runs, 'steps'):.0f}",
                "seconds": f"{_mean(runs, 'seconds'):.0f}",
            }
        )
    return f"{text}\n\n{to_markdown(rows)}"


def _mean_accuracy(runs: list[dict], kind: str) -> float:
    return float(np.mean([run[kind]["balanced_accuracy"] for run in runs]))


def _mean(runs: list[dict], score: str) -> float:
    return float(np.mean([run[score] for run in runs]))
