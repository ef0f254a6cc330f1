"""The arms of the benchmark of photographs, best first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.photograph_arms import CALIBRATIONS, OURS
from benchmarks.tables.shared import Difference, difference_text, t_interval, to_markdown

Split = tuple[int, str]  # a seed, and the order of the classes
Runs = dict[str, dict[Split, dict]]  # the runs of each arm

BASELINE, BEST_CALIBRATION = "class weights", "best calibration"
COMPARED = ("GANOverSampler", "GANOverSampler 3x", "GANOverSampler 3x of roots")
# Of the summary: all but the variants of calibration.
SUMMARIZED = (BASELINE, "SMOTE", "mixup", "leaning mixup", BEST_CALIBRATION)
# The smallest and the largest class of a group, by training images.
GROUPS = {"up to 14": (2, 14), "15 to 99": (15, 99), "100 up": (100, 10**9)}
DATA = {
    "trashnet": "TrashNet's photographs, scaled to 256 x 192 pixels, in JPEG of quality 90, which is lossy",
    "cifar10": "CIFAR-10's images of 32 pixels, from a copy in JPEG, which is lossy",
    "cifar10-500": "CIFAR-10's images of 32 pixels, from a copy in JPEG, which is lossy",
}


def photographs_table(result: dict[str, Any]) -> str:
    """Return the arms of a data set as a Markdown table, best first, and what it was made of."""
    arms = by_arm(result)
    everywhere = {split for runs in arms.values() for split in runs}
    order = sorted(arms, key=lambda arm: (len(arms[arm]) < len(everywhere), -_mean(arms[arm], accuracy)))
    rows = [_row(arm, arms, everywhere) for arm in order]
    return f"{_about(result, everywhere)}\n\n{to_markdown(rows)}"


def photographs_summary(results: dict[str, dict[str, Any]]) -> str:
    """Return what `GANOverSampler()` gains over each other arm, and in small classes, by data set."""
    title, group = next(iter(GROUPS.items()))
    compared = {f"over {arm}": (COMPARED[0], arm, accuracy) for arm in SUMMARIZED}
    compared[f"recall of classes of {title} images, over {BASELINE}"] = (
        COMPARED[0],
        BASELINE,
        recall_of(group),
    )
    compared |= {
        f"three times as many, of roots, over {arm}": (COMPARED[-1], arm, accuracy)
        for arm in (BASELINE, BEST_CALIBRATION)
    }
    rows = []
    for what, (ours, arm, score) in compared.items():
        seeds = [by_seed(arms[ours], arms[arm], score) for arms in map(by_arm, results.values())]
        shared = sorted(set.intersection(*map(set, seeds)))
        together = np.array([np.mean([own[seed] for own in seeds]) for seed in shared])
        row = {"": what}
        row |= {
            name: difference_text(t_interval(np.array(list(own.values()))))
            for name, own in zip(results, seeds, strict=True)
        }
        rows.append(row | {"mean": difference_text(t_interval(together))})
    return to_markdown(rows)


def by_arm(result: dict[str, Any]) -> Runs:
    """Return the runs of each arm by split, the best of the calibrations among the arms."""
    arms: Runs = {}
    for run in result["runs"]:
        arms.setdefault(run["arm"], {})[run["seed"], run["order"]] = run
    calibrations = [arms[name] for name in CALIBRATIONS if name in arms]
    if calibrations:
        arms[BEST_CALIBRATION] = best_of(calibrations)
    return arms


def best_of(arms: list[dict[Split, dict]]) -> dict[Split, dict]:
    """Return in each split the run of the arm that is best on validation images."""
    splits = sorted(set.intersection(*map(set, arms)))  # in an order that rounding of means does not change
    return {
        split: max((runs[split] for runs in arms), key=lambda run: run["validation"]["balanced_accuracy"])
        for split in splits
    }


def accuracy(run: dict) -> float:
    """Return the balanced accuracy of a run on test images."""
    return run["test"]["balanced_accuracy"]


def recall_of(group: tuple[int, int]) -> Callable[[dict], float]:
    """Return what takes the mean recall of the classes of a size from a run; NaN where there is none."""

    def recall(run: dict) -> float:
        own = [
            r for r, n in zip(run["test"]["recall"], run["counts"], strict=True) if group[0] <= n <= group[1]
        ]
        return float(np.mean(own)) if own else np.nan

    return recall


def difference(runs: dict[Split, dict], others: dict[Split, dict], score: Callable) -> Difference:
    """Return the paired difference of a score over seeds; see `by_seed`."""
    return t_interval(np.array(list(by_seed(runs, others, score).values())))


def by_seed(runs: dict[Split, dict], others: dict[Split, dict], score: Callable) -> dict[int, float]:
    """Return the difference of a score by seed: the mean over the orders of the classes."""
    found: dict[int, list[float]] = {}
    for split in sorted(runs.keys() & others.keys()):
        value = score(runs[split]) - score(others[split])
        if not np.isnan(value):
            found.setdefault(split[0], []).append(value)
    return {seed: float(np.mean(values)) for seed, values in found.items()}


def _mean(runs: dict[Split, dict], score: Callable[[dict], float]) -> float:
    return float(np.mean([score(run) for run in runs.values()]))


def _row(arm: str, arms: Runs, everywhere: set[Split]) -> dict[str, str]:
    runs = arms[arm]
    part = "" if runs.keys() == everywhere else f" ({len(runs)} of {len(everywhere)} splits)"
    row = {
        "arm": (f"**{arm}**" if arm in OURS else arm) + part,
        "balanced accuracy": f"{_mean(runs, accuracy):.2f}",
        "log-loss": f"{_mean(runs, lambda run: run['test']['log_loss']):.3f}",
    }
    for other in COMPARED:
        if other in arms:
            compared = difference_text(difference(arms[other], runs, accuracy)) if other != arm else ""
            row[f"{other} minus it (95 % interval)"] = compared
    counts = [n for run in runs.values() for n in run["counts"]]
    for title, group in GROUPS.items():
        if any(group[0] <= n <= group[1] for n in counts):
            gain = difference(runs, arms[BASELINE], recall_of(group))[0]
            row[f"recall over {BASELINE}: classes of {title}"] = f"{gain:+.2f}" if arm != BASELINE else ""
    return row


def _about(result: dict[str, Any], splits: set[Split]) -> str:
    settings, seeds = result["settings"], {seed for seed, _ in splits}
    sizes = settings["sizes"]
    tail = f"{sizes[0]} of each class" if sizes[0] == sizes[-1] else ", ".join(map(str, sizes))
    orders = (
        " in two orders of the classes, largest first and reversed" if len(settings["orders"]) > 1 else ""
    )
    held_out = "A third of each class tests, what is left validates."
    if settings["pool"]:
        held_out = (
            f"The first {settings['test']} test images of each class test. Training images, and"
            f" {settings['validation']} of each class that validate, are drawn from the first"
            f" {settings['pool']} of each class."
        )
    space = ""
    if settings["n_components"]:
        space = f" The classifier sees {settings['n_components']} principal components."
    return f"{DATA[result['data']]}. Training images: {tail}{orders}; {len(seeds)} seeds. {held_out}{space}"
