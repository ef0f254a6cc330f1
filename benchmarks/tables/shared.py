"""What the tables share: runs by arm, the strongest baseline, paired intervals, and Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.arms import CONTROLS, OURS

Key = tuple[str, bool]  # an arm, and whether its classifier was augmented
Arms = dict[Key, dict[int, dict]]  # the runs of each, by seed
Difference = tuple[float, float, int]  # a mean, the half-width of its 95 % interval, the number of pairs

ROOT = Path(__file__).parents[2]
CLASS_BALANCED: Key = ("class-balanced", True)


def by_arm(runs: list[dict]) -> Arms:
    """Return the runs of each arm, by seed."""
    arms: Arms = {}
    for run in runs:
        arms.setdefault((run["arm"], run["augment"]), {})[run["seed"]] = run
    return arms


def strongest_baseline(arms: Arms) -> Key:
    """Return the best arm that is neither ours nor a control, by validation data.

    The first choice is the best arm on the seeds that all of them have. An arm of lower rank takes
    its place if it is better on all the seeds that the two have; arms are tried in order of rank.
    """
    baselines = {key: runs for key, runs in arms.items() if key[0] not in (*OURS, *CONTROLS)}
    seeds = set.intersection(*map(set, baselines.values())) if baselines else set()
    if not seeds:
        raise ValueError(f"The baselines {sorted(baselines)} have no seed in common.")

    def validation(key: Key, seeds: set[int]) -> float:
        scores = [baselines[key][seed]["validation"]["balanced_accuracy"] for seed in seeds]
        return float(np.mean(scores))

    best, *rest = sorted(baselines, key=lambda key: -validation(key, seeds))
    for key in rest:
        common = baselines[key].keys() & baselines[best].keys()
        if validation(key, common) > validation(best, common):
            best = key
    return best


def paired_difference(
    runs: dict[int, dict], others: dict[int, dict], of_class: int | None = None
) -> Difference:
    """Return the difference of balanced accuracy, or of the recall of a class, on test data.

    It is the mean over the seeds that both have, with a 95 % t interval.
    """
    seeds = sorted(runs.keys() & others.keys())

    def score(run: dict) -> float:
        test = run["test"]
        return test["balanced_accuracy"] if of_class is None else test["recall"][of_class]

    return t_interval(np.array([score(runs[seed]) - score(others[seed]) for seed in seeds]))


def t_interval(differences: np.ndarray, overlap: float = 0.0) -> Difference:
    """Return the mean of differences with its 95 % t interval; one difference has none.

    `overlap` widens it for differences of overlapping training sets: it is the size of a test set
    over that of its training set (Nadeau & Bengio, "Inference for the generalization error", Machine
    Learning 2003).
    """
    n = len(differences)
    if n < 2:
        return float(differences.mean()), float("nan"), n
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) * np.sqrt(1 / n + overlap)
    return float(differences.mean()), float(half), n


def mean_score(runs: dict[int, dict], score: str) -> float:
    """Return a score on test data, the mean over seeds."""
    return float(np.mean([run["test"][score] for run in runs.values()]))


def mean_recall(runs: dict[int, dict]) -> np.ndarray:
    """Return the recall of each class on test data, (n_classes,), the mean over seeds."""
    return np.mean([run["test"]["recall"] for run in runs.values()], axis=0)


def added_something(run: dict) -> bool:
    """Return whether `recommend_counts` added synthetic samples in a run."""
    return not run["recommendation"].startswith("Add nothing")


def difference_text(difference: Difference) -> str:
    """Return a difference and its interval as text."""
    mean, half, n = difference
    return f"{mean:+.2f} (one seed)" if n < 2 else f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def arm_title(key: Key) -> str:
    """Return the name of an arm in prose."""
    return key[0] + (", augmented" if key[1] else "")


def emphasized(title: str, arm: str) -> str:
    """Return the title of an arm, in bold if it is ours."""
    return f"**{title}**" if arm in OURS else title


def with_counts(name: str, counts: list[int] | None) -> str:
    """Return the name of a data set with its largest and smallest class."""
    return f"{name} ({counts[0]} to {counts[-1]})" if counts else name


def to_markdown(rows: list[dict[str, str]]) -> str:
    """Return rows of {column: cell} as a Markdown table, its columns those of the first row."""
    columns = list(rows[0])
    header, *lines = (
        f"| {' | '.join(cells)} |"
        for cells in (columns, *([row.get(c, "") for c in columns] for row in rows))
    )
    return "\n".join([header, "|---" * len(columns) + "|", *lines])


def insert(page: Path, name: str, text: str) -> None:
    """Replace what is between the markers of a name in a Markdown page."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    content = page.read_text()
    if not pattern.search(content):
        raise ValueError(f"{page} has no place for {name}: write {begin} and {end} in it.")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", content))
