"""What the tables share: runs by arm, the rival, paired intervals, and where a table stands in a page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.arms import CONTROLS, OURS

ROOT = Path(__file__).parents[1]
Key = tuple[str, bool]  # an arm, and whether its classifier was augmented
Arms = dict[Key, dict[int, dict]]  # its runs, by seed


def by_arm(runs: list[dict]) -> Arms:
    """Return the runs of each arm, by seed."""
    arms: Arms = {}
    for run in runs:
        arms.setdefault((run["arm"], run["augment"]), {})[run["seed"]] = run
    return arms


def rival(arms: Arms) -> Key:
    """Return the arm a user would pick instead of ours: the best of the others on validation data.

    That is the best on seeds that all have, or one that is above it on all seeds that the two have.
    """
    theirs = {key: runs for key, runs in arms.items() if key[0] not in (*OURS, *CONTROLS)}
    seeds = set.intersection(*map(set, theirs.values())) if theirs else set()
    if not seeds:
        raise ValueError(f"{sorted(theirs)}: no seed was run by all of these arms, which are not ours.")

    def validation(key: Key, seeds: set[int]) -> float:
        return float(np.mean([theirs[key][seed]["validation"]["acsa"] for seed in seeds]))

    best, *rest = sorted(theirs, key=lambda key: -validation(key, seeds))
    for key in rest:
        both = theirs[key].keys() & theirs[best].keys()
        if validation(key, both) > validation(best, both):
            best = key
    return best


def interval(
    ours: dict[int, dict], theirs: dict[int, dict], of_class: int | None = None
) -> tuple[float, float, int]:
    """Return the mean paired difference of ACSA, or of the recall of a class, on test data.

    With it the half-width of its 95 % t interval, and the number of seeds.
    """
    seeds = sorted(ours.keys() & theirs.keys())

    def score(run: dict) -> float:
        return run["test"]["acsa"] if of_class is None else run["test"]["recall"][of_class]

    difference = np.array([score(ours[seed]) - score(theirs[seed]) for seed in seeds])
    if len(seeds) < 2:
        return float(difference.mean()), float("nan"), len(seeds)
    half = stats.t.ppf(0.975, len(seeds) - 1) * difference.std(ddof=1) / np.sqrt(len(seeds))
    return float(difference.mean()), float(half), len(seeds)


FILLED: Key = ("ganaug", True)
HEADLINE: Key = ("ganaug beyond", True)
IN_LOADER: Key = ("GANAugment", True)
MIXED: Key = ("GANAugment + mixup", True)
LEANING: Key = ("leaning 10 GANAugment + mixup", True)
ALONE: Key = ("leaning ganaug only + mixup", True)
BALANCED: Key = ("balanced", True)
RECOMMENDED: Key = ("ganaug recommended", True)


def insert(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of a name in a Markdown page."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    content = page.read_text()
    if not pattern.search(content):
        raise ValueError(f"{page} has no place for {name}: write {begin} and {end} in it.")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", content))


def difference_text(difference: tuple[float, float, int]) -> str:
    mean, half, n = difference
    return f"{mean:+.2f} (one seed)" if n < 2 else f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def arm_title(key: Key) -> str:
    return key[0] + (", augmented" if key[1] else "")


def mean_score(runs: dict[int, dict], score: str) -> float:
    return float(np.mean([run["test"][score] for run in runs.values()]))


def mean_recall(runs: dict[int, dict]) -> np.ndarray:
    return np.mean([run["test"]["recall"] for run in runs.values()], axis=0)
