"""The table of images in docs/results.md, a line for each data set."""

from __future__ import annotations

from typing import Any

from benchmarks.tables.shared import (
    CLASS_BALANCED,
    Arms,
    Key,
    arm_title,
    by_arm,
    difference_text,
    mean_score,
    paired_difference,
    strongest_baseline,
    to_markdown,
    with_counts,
)

INSTANCE_BALANCED: Key = ("instance-balanced", True)
# The seeds of the first of them that was run are those that a line is about.
REFERENCES: tuple[Key, ...] = (("GANOverSampler +1000", True), ("fit_resample", True))
# Columns of our arms; the page says what each of them does.
SHOWN: dict[str, Key] = {
    "fit_resample": REFERENCES[1],
    "loader": ("augmented_loader", True),
    "filled up": ("fit_resample filled up", True),
    "equal shares": REFERENCES[0],
    "GANAugment": ("GANAugment", True),
    "then mixup": ("GANAugment + mixup", True),
    "tail-weighted": ("tail-weighted 10 GANAugment + mixup", True),
    "synthetic only": ("tail-weighted 30 synthetic only + mixup", True),
}


def summary_table(results: dict[str, dict[str, Any]]) -> str:
    """Return one line for each data set: no resampling, class-balanced, the strongest baseline, ours."""
    rows = []
    for name, result in results.items():
        arms = by_arm(result["runs"])
        reference = next((key for key in REFERENCES if key in arms), None)
        if reference is None:
            continue
        baseline = strongest_baseline(arms)
        seeds = arms[reference].keys() & arms[baseline].keys()
        rows.append(
            {
                "data (training images of a class)": with_counts(name, result["counts"]),
                "seeds": str(len(seeds)),
                "instance-balanced": _mean(INSTANCE_BALANCED, arms, seeds),
                "class-balanced": _mean(CLASS_BALANCED, arms, seeds),
                "strongest baseline": f"{_mean(baseline, arms, seeds)} ({arm_title(baseline)})",
                **{column: _ours(key, arms, baseline, seeds) for column, key in SHOWN.items()},
            }
        )
    return to_markdown(rows)


def _mean(key: Key, arms: Arms, seeds: set[int]) -> str:
    runs = {seed: run for seed, run in arms.get(key, {}).items() if seed in seeds}
    fewer = f" ({len(runs)} seeds)" if len(runs) < len(seeds) else ""
    return f"{mean_score(runs, 'balanced_accuracy'):.2f}{fewer}" if runs else ""


def _ours(key: Key, arms: Arms, baseline: Key, seeds: set[int]) -> str:
    if key not in arms:
        return ""
    difference = difference_text(paired_difference(arms[key], arms[baseline]))
    return f"**{_mean(key, arms, seeds)}**: {difference}"
