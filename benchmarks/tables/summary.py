"""The README's line for each data set."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.shared import (
    ALONE,
    BALANCED,
    FILLED,
    HEADLINE,
    IN_LOADER,
    LEANING,
    MIXED,
    Arms,
    Key,
    arm_title,
    by_arm,
    difference_text,
    interval,
    mean_score,
    rival,
)


def summary_table(results: dict[str, dict[str, Any]]) -> str:
    """Return one line for each data set: as it is, the rival, ours."""
    lines = [
        "| data (training images of a class) | seeds | as it is | balanced sampling | rival | filled up |"
        " equal shares | in the loader | then mixup | and leaning | synthetic only |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        arms = by_arm(result["runs"])
        against = rival(arms)
        if HEADLINE not in arms:
            continue
        seeds = arms[HEADLINE].keys() & arms[against].keys()

        def mean(key: Key, arms: Arms = arms, seeds: set[int] = seeds) -> str:
            runs = {seed: run for seed, run in arms.get(key, {}).items() if seed in seeds}
            fewer = f" ({len(runs)} seeds)" if len(runs) < len(seeds) else ""
            return f"{mean_score(runs, 'acsa'):.2f}{fewer}" if runs else ""

        def ours(key: Key, arms: Arms = arms, against: Key = against, mean: Any = mean) -> str:
            return (
                f"**{mean(key)}**: {difference_text(interval(arms[key], arms[against]))}"
                if key in arms
                else ""
            )

        counts = result["counts"]
        lines.append(
            f"| {name}{f' ({counts[0]} to {counts[-1]})' if counts else ''} | {len(seeds)} |"
            f" {mean(('as it is', True))} | {mean(BALANCED)} | {mean(against)} ({arm_title(against)}) |"
            f" {ours(FILLED)} | {ours(HEADLINE)} | {ours(IN_LOADER)} | {ours(MIXED)} |"
            f" {ours(LEANING)} | {ours(ALONE)} |"
        )
    return "\n".join(lines)
