"""Write the tables of benchmarks/README.md and README.md, and the plot, from the committed JSON.

python -m benchmarks.tables
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from benchmarks.arms import CONTROLS, ON_REQUEST, OURS
from benchmarks.gain import RESULTS

ROOT = Path(__file__).parents[1]
VARIANT = re.compile(r"-to-\d+$|^digits-full$")  # of a data set, run for the recommendation alone
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


def gain_table(result: dict[str, Any]) -> str:
    """Return a data set's arms as a Markdown table, best first."""
    # Those on request have a table of their own, and too few seeds to stand in a row with others.
    arms = by_arm([run for run in result["runs"] if run["arm"] not in ON_REQUEST])
    against = rival(arms)
    settings = result["settings"]
    lines = [
        f"{settings['updates']} updates of the {settings['network']} classifier, learning rate"
        f" {settings['learning_rate']:g}, batch {settings['batch_size']}. The rival, best on validation"
        f" data, is **{_title(against)}**.",
        "",
        "| arm | seeds | ACSA | minus the rival (95 % interval) | minus balanced, augmented |"
        " GM multiclass / macro | macro F1 | smallest class | log-loss | calibration error |"
        " seconds to prepare |",
        "|---" * 11 + "|",
    ]
    for key in sorted(arms, key=lambda key: -interval(arms[key], arms[against])[0]):
        runs = arms[key]
        differences = [
            "" if key == other or other not in arms else _shown(interval(runs, arms[other]))
            for other in (against, BALANCED)
        ]
        title = f"**{_title(key)}**" if key[0] in OURS else _title(key)
        smallest = np.mean([run["test"]["recall"][-1] for run in runs.values()])
        seconds = np.median([run["prepare_seconds"] for run in runs.values()])
        lines.append(
            f"| {title} | {len(runs)} | {_mean(runs, 'acsa'):.2f} | {' | '.join(differences)} |"
            f" {_mean(runs, 'gm_multiclass'):.2f} / {_mean(runs, 'gm_macro'):.2f} |"
            f" {_mean(runs, 'macro_f1'):.2f} | {smallest:.1f} | {_mean(runs, 'log_loss'):.3f} |"
            f" {_mean(runs, 'calibration_error'):.3f} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def smallest_table(result: dict[str, Any]) -> str:
    """Return what arms, augmented, gain in the smallest class and lose in others, as a Markdown table."""
    arms = by_arm([run for run in result["runs"] if run["augment"] and run["arm"] not in ON_REQUEST])
    base = arms.pop(BALANCED)
    last = len(result["counts"]) - 1
    rows = []
    for key, runs in arms.items():
        seeds = sorted(runs.keys() & base.keys())
        own, theirs = ([of[seed]["test"]["recall"] for seed in seeds] for of in (runs, base))
        change = np.subtract(own, theirs).mean(0)
        worst = int(change[:last].argmin())
        title = f"**{key[0]}**" if key[0] in OURS else key[0]
        rows.append(
            (
                change[last],
                f"| {title} | {len(seeds)} | {np.mean(own, axis=0)[last]:.1f} |"
                f" {_shown(interval(runs, base, last))} | {_shown(interval(runs, base))} |"
                f" class {worst}: {change[worst]:+.2f} |",
            )
        )
    lines = [
        f"Recall of class {last}, {result['counts'][last]} images; balanced sampling has"
        f" {_recall(base)[last]:.1f}.",
        "",
        "| arm, augmented | seeds | smallest class | minus balanced (95 % interval) | ACSA minus balanced |"
        " what the worst of the others loses |",
        "|---" * 6 + "|",
    ]
    return "\n".join(lines + [line for _, line in sorted(rows, key=lambda row: -row[0])])


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
            np.mean([run[k] for run in runs]) for k in ("told_from_real", "diversity", "steps", "seconds")
        )
        title = f"**{name}**" if name.lower().startswith("ganaug") else name
        lines.append(
            f"| {title} | {len(runs)} | {only:.2f} | {added:.2f} | {told:.0f} | {diversity:.2f} |"
            f" {steps:.0f} | {seconds:.0f} |"
        )
    return "\n".join(lines)


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
            return f"{_mean(runs, 'acsa'):.2f}{fewer}" if runs else ""

        def ours(key: Key, arms: Arms = arms, against: Key = against, mean: Any = mean) -> str:
            return f"**{mean(key)}**: {_shown(interval(arms[key], arms[against]))}" if key in arms else ""

        counts = result["counts"]
        lines.append(
            f"| {name}{f' ({counts[0]} to {counts[-1]})' if counts else ''} | {len(seeds)} |"
            f" {mean(('as it is', True))} | {mean(BALANCED)} | {mean(against)} ({_title(against)}) |"
            f" {ours(FILLED)} | {ours(HEADLINE)} | {ours(IN_LOADER)} | {ours(MIXED)} |"
            f" {ours(LEANING)} | {ours(ALONE)} |"
        )
    return "\n".join(lines)


def recommended_table(results: dict[str, dict[str, Any]]) -> str:
    """Return what came of doing as `recommend_counts` says, one line for each data set, and one of all."""
    lines = [
        "| data (training images of a class) | seeds | of which it added | balanced sampling | recommended |"
        " minus balanced sampling (95 % interval) | *ganaug beyond* minus the same | cost, in fits |",
        "|---|---|---|---|---|---|---|---|",
    ]
    every: tuple[dict[Any, dict], dict[Any, dict]] = {}, {}
    for name, result in results.items():
        arms = by_arm(result["runs"])
        base, runs = (arms.get(key, {}) for key in (BALANCED, RECOMMENDED))
        seeds = runs.keys() & base.keys()
        if not seeds:
            continue
        base, runs = ({seed: of[seed] for seed in seeds} for of in (base, runs))
        for together, own in zip(every, (runs, base), strict=True):
            together.update({(name, seed): run for seed, run in own.items()})
        fixed = {seed: run for seed, run in arms.get(("ganaug beyond", True), {}).items() if seed in seeds}
        counts = result["counts"]
        added = [run for run in runs.values() if not run["recommendation"].startswith("Add nothing")]
        # Where it added, the same process fitted a GAN and its gate once more afterwards.
        cost = [
            run["recommend_seconds"] / (run["prepare_seconds"] - run["recommend_seconds"]) for run in added
        ]
        lines.append(
            f"| {name}{f' ({counts[0]} to {counts[-1]})' if counts else ''} | {len(seeds)} | {len(added)} |"
            f" {_mean(base, 'acsa'):.2f} | {_mean(runs, 'acsa'):.2f} | {_shown(interval(runs, base))} |"
            f" {_shown(interval(fixed, base)) if fixed else ''} |"
            f" {format(np.median(cost), '.1f') if cost else ''} |"
        )
    if len(lines) == 2:
        return "Not measured yet."
    lines.append(f"| **all of them** | {len(every[0])} | | | | {_shown(interval(*every))} | | |")
    return "\n".join(lines)


def bad_generators_table(runs: list[dict[str, Any]]) -> str:
    """Return how often `recommend_counts` added nothing of generators that are of no use."""
    lines = ["| generator | data | seeds | nothing added in |", "|---|---|---|---|"]
    for kind, data in dict.fromkeys((run["kind"], run["data"]) for run in runs):
        added = [run["added"] for run in runs if (run["kind"], run["data"]) == (kind, data)]
        lines.append(f"| {kind} | {data} | {len(added)} | {added.count(0)} |")
    return "\n".join(lines)


def main_job_table(result: dict[str, Any]) -> str:
    """Return the figures of the main job on MNIST, class by class."""
    classes = "| digit | " + " | ".join(map(str, range(10))) + " |"
    rows = [
        "| " + " | ".join([name, *(format(value, ".2f") for value in result[key])]) + " |"
        for name, key in (("diversity", "diversity"), ("judge agrees", "agreement"))
    ]
    return "\n".join(
        [
            f"Fit in {result['fit_seconds']:.0f} s, fit and balance in"
            f" {result['fit_and_balance_seconds']:.0f} s on two CPU cores. Trained on synthetic images alone,"
            f" a small classifier reaches {100 * result['only']:.2f} on the test images, on the real ones"
            f" {100 * result['real_only']:.2f}. A report of 10,000 images and as many synthetic ones takes"
            f" {result['report_seconds']:.0f} s. It says of this generator: *{result['verdict']}* Of one"
            f" that was trained for 20 steps: *{result['verdict_after_20_steps']}*",
            "",
            classes,
            "|---" * 11 + "|",
            *rows,
        ]
    )


FILLED: Key = ("ganaug", True)
HEADLINE: Key = ("ganaug beyond", True)
IN_LOADER: Key = ("GANAugment", True)
MIXED: Key = ("GANAugment + mixup", True)
LEANING: Key = ("leaning 10 GANAugment + mixup", True)
ALONE: Key = ("leaning ganaug only + mixup", True)
BALANCED: Key = ("balanced", True)
RECOMMENDED: Key = ("ganaug recommended", True)


def plot(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Write recall by class size, arm by arm, minus that of balanced sampling."""
    figure = Figure(figsize=(5.2 * len(results), 4), dpi=130)
    for axis, (name, result) in zip(
        figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True
    ):
        arms = by_arm(result["runs"])
        order = np.argsort(-np.array(result["counts"]))
        others = [(name, True) for name in ("as it is", "SMOTE", "DeepSMOTE")]
        for color, key in enumerate((*others, rival(arms), FILLED, HEADLINE, LEANING, ALONE)):
            if key in arms:
                ours = key[0] in OURS
                base = {seed: arms[BALANCED][seed] for seed in arms[key]}
                axis.plot(
                    (_recall(arms[key]) - _recall(base))[order],
                    marker="o",
                    markersize=3,
                    linewidth=2.5 if ours else 1,
                    color=f"C{color}",
                    label=key[0],
                )
        axis.axhline(0, color="grey", linewidth=0.5)
        axis.set_xticks(range(len(order)), [f"{result['counts'][c]}" for c in order], rotation=45)
        axis.set_xlabel("training images of the class")
        axis.set_ylabel("recall minus balanced sampling's, points")
        axis.set_title(name)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def insert(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of a name in a Markdown page."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    content = page.read_text()
    if not pattern.search(content):
        raise ValueError(f"{page} has no place for {name}: write {begin} and {end} in it.")
    page.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", content))


def endurance_table(result: dict[str, Any]) -> str:
    """Return what writing and training came through, as a Markdown table."""
    kills, training, damage = result["kills"], result["training"], result["damage"]
    outcomes = dict(damage["outcomes"])
    named = [("an error in words", "error"), ("nothing wrong, and the content as before", "as before")]
    told = [f"{outcomes.pop(key, 0)}: {words}" for words, key in named]
    told += [f"{n}: {words}" for words, n in outcomes.items()]
    rows = [
        (
            f"{kills['kills']} kills of `write_hdf5`, at random moments, in {kills['files']} runs, each"
            " resumed until it was through",
            "every file equal to the undisturbed one, to the bit",
        ),
        (
            f"{training['kills']} kills of `fit`, in {training['trainings']} trainings",
            "every model's digest equal to the uninterrupted one's",
        ),
        (
            f"{damage['files']} damaged models and HDF5 files, of images and of tables, `.npz` files and"
            " folders of images: bits flipped, cut short, other content",
            "; ".join(told),
        ),
    ]
    for key, words in (("million", "a sampler that costs nothing"), ("real", "a GAN")):
        part = result[key]
        drift = part.get("second_half_over_first")
        rows.append(
            (
                f"{part['rows']:,} rows of {words}",
                f"{part['seconds']:.0f} s, memory grows by {part['growth_mib']} MiB from the first 10,000 on"
                + (
                    ""
                    if drift is None
                    else f"; the second half takes {drift:.2f} of the first's time, the kernel's left out"
                ),
            )
        )
    return "\n".join(
        ["| what was done | what came of it |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    )


SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "tuned_balanced_accuracy": "with a tuned threshold",
    "average_precision": "average precision",
    "log_loss": "log-loss",
    "calibration_error": "calibration error",
}
Cell = tuple[str, str]  # a table and a classifier


def cells(runs: list[dict], score: str, kind: str = "models") -> dict[str, dict[Cell, dict[tuple, float]]]:
    """Return a score of each arm, table and classifier, by repeat and fold."""
    found: dict[str, dict[Cell, dict[tuple, float]]] = {}
    for run in runs:
        for model, values in run[kind].items():
            cell = found.setdefault(run["arm"], {}).setdefault((run["table"], model), {})
            cell[run["repeat"], run["fold"]] = values[score]
    return found


def compared(ours: dict[Cell, dict], theirs: dict[Cell, dict]) -> tuple[np.ndarray, float]:
    """Return the mean paired difference of each cell that both have, and Wilcoxon's p of them."""
    differences = []
    for cell in sorted(ours.keys() & theirs.keys()):
        folds = ours[cell].keys() & theirs[cell].keys()
        if folds:
            differences.append(np.mean([ours[cell][fold] - theirs[cell][fold] for fold in sorted(folds)]))
    array = np.array(differences)
    return array, float(stats.wilcoxon(array).pvalue) if len(array) > 1 and array.any() else 1.0


def ranks(found: dict[str, dict[Cell, dict]]) -> dict[str, float]:
    """Return the mean rank, 1 is best, of the arms that have been run wherever any has."""
    folds = {(cell, fold) for own in found.values() for cell, runs in own.items() for fold in runs}
    whole = [
        arm
        for arm, own in found.items()
        if {(cell, fold) for cell, runs in own.items() for fold in runs} == folds
    ]
    means = [
        [np.mean(list(found[arm][cell].values())) for arm in whole] for cell in {cell for cell, _ in folds}
    ]
    return dict(zip(whole, stats.rankdata(-np.array(means), axis=1).mean(0), strict=True))


def imbalanced_tables(runs: list[dict]) -> str:
    """Return what oversamplers of tables did, as Markdown tables."""
    arms = sorted({run["arm"] for run in runs})
    found = {score: cells(runs, score) for score in SCORES}
    only = cells([run for run in runs if run["only"]], "balanced_accuracy", "only")
    rank = {score: ranks(found[score]) for score in ("balanced_accuracy", "average_precision")}
    lines = [
        "| arm | folds | " + " | ".join(SCORES.values()) + " | mean rank, accuracy / precision |"
        " ganaug minus it, accuracy (p) | precision (p) | synthetic only | distance | seconds |",
        "|---" * 13 + "|",
    ]
    everywhere = {run["table"] for run in runs}
    covered = {arm: {run["table"] for run in runs if run["arm"] == arm} for arm in arms}
    # Means over fewer tables are not to be compared: those arms come last, and say so.
    for arm in sorted(
        arms, key=lambda a: (covered[a] != everywhere, -_over_cells(found["balanced_accuracy"][a]))
    ):
        own = [run for run in runs if run["arm"] == arm]
        means = [
            f"{_over_cells(found[s][arm]):.{2 if 'loss' not in s and 'error' not in s else 3}f}"
            for s in SCORES
        ]
        ranked = " / ".join(f"{rank[s][arm]:.2f}" if arm in rank[s] else "" for s in rank)
        against = []
        for score in rank:
            difference, p = compared(found[score]["ganaug"], found[score][arm])
            against.append("" if arm == "ganaug" else f"{difference.mean():+.2f} ({p:.3f})")
        alone = f"{_over_cells(only[arm]):.2f}" if arm in only else ""
        part = "" if covered[arm] == everywhere else f" ({len(covered[arm])} of {len(everywhere)} tables)"
        distances = [run["distance"] for run in own if run.get("distance") is not None]
        lines.append(
            f"| {f'**{arm}**' if arm in OURS else arm}{part} | {len(own)} | {' | '.join(means)} | {ranked} |"
            f" {' | '.join(against)} | {alone} | {format(np.median(distances), '.2f') if distances else ''} |"
            f" {np.median([run['seconds'] for run in own]):.1f} |"
        )
    shown = ["as it is", "random oversampling", "SMOTE", "ganaug"]
    lines += [
        "",
        "| table | rows | "
        + " | ".join(shown)
        + " | ganaug minus SMOTE (95 % interval) | recommended minus balanced"
        " weights (95 % interval) | of which it added | synthetic only: ganaug / SMOTE / CTGAN |"
        " seconds: ganaug / CTGAN |",
        "|---" * (7 + len(shown)) + "|",
    ]
    pairs = [("ganaug", "SMOTE"), ("ganaug recommended", "class weights")]
    gaps: list[list[float]] = [[] for _ in pairs]  # of each pair, by table
    for table in sorted({run["table"] for run in runs}):
        here = [run for run in runs if run["table"] == table]
        score = {arm: _by_fold(here, arm) for arm in arms}
        differences = [_differences(score.get(ours, {}), score[theirs]) for ours, theirs in pairs]
        for gap, difference in zip(gaps, differences, strict=True):
            gap += [float(difference.mean())] if len(difference) else []
        advised = [run for run in here if run["arm"] == "ganaug recommended"]
        added = sum(not run["recommendation"].startswith("Add nothing") for run in advised)
        taken = [_seconds(here, arm) for arm in ("ganaug", "CTGAN")]
        alone = []
        for arm in ("ganaug", "SMOTE", "CTGAN"):
            own = {cell: folds for cell, folds in only.get(arm, {}).items() if cell[0] == table}
            alone.append(f"{_over_cells(own):.2f}" if own else "")
        lines.append(
            f"| {table} | {here[0]['n']:,} | "
            + " | ".join(f"{np.mean(list(score[arm].values())):.2f}" for arm in shown)
            + f" | {' | '.join(_over_folds(difference) for difference in differences)} |"
            f" {f'{added} of {len(advised)}' if advised else ''} | {' / '.join(alone)} |"
            f" {' / '.join(taken)} |"
        )
    lines.append(
        "| **their mean** |" + " |" * (1 + len(shown)) + f" {' | '.join(map(_over_tables, gaps))} | | | |"
    )
    return "\n".join(lines)


def tables_summary(runs: list[dict]) -> str:
    """Return what matters most of `imbalanced_tables`."""
    found = {score: cells(runs, score) for score in ("balanced_accuracy", "average_precision")}
    lines = [
        f"| {len({run['table'] for run in runs})} tables | balanced accuracy | ganaug minus it (p) |"
        " average precision | ganaug minus it (p) |",
        "|---" * 5 + "|",
    ]
    arms = ["as it is", "class weights", "random oversampling", "SMOTE", "CTGAN", "ganaug"]
    for arm in [arm for arm in arms if arm in found["balanced_accuracy"]]:
        line = f"| {f'**{arm}**' if arm in OURS else arm} |"
        for own in found.values():
            difference, p = compared(own["ganaug"], own[arm])
            line += f" {_over_cells(own[arm]):.2f} |"
            line += " |" if arm == "ganaug" else f" {difference.mean():+.2f} ({p:.3f}) |"
        lines.append(line)
    return "\n".join(lines)


def _over_cells(own: dict[Cell, dict]) -> float:
    return float(np.mean([np.mean(list(folds.values())) for folds in own.values()]))


def _seconds(runs: list[dict], arm: str) -> str:
    own = [run["seconds"] for run in runs if run["arm"] == arm]
    return f"{np.mean(own):.0f}" if own else ""


def _by_fold(runs: list[dict], arm: str) -> dict[tuple, float]:
    """Return balanced accuracy by repeat and fold, the mean of the classifiers."""
    return {
        (run["repeat"], run["fold"]): float(np.mean([m["balanced_accuracy"] for m in run["models"].values()]))
        for run in runs
        if run["arm"] == arm
    }


def _differences(ours: dict[tuple, float], theirs: dict[tuple, float]) -> np.ndarray:
    return np.array([ours[fold] - theirs[fold] for fold in sorted(ours.keys() & theirs.keys())])


def _over_folds(differences: np.ndarray) -> str:
    """Return a mean difference with an interval that allows for the overlap of training halves.

    Nadeau & Bengio, "Inference for the generalization error", Machine Learning 2003: repeated folds
    share rows, and the plain t interval of their differences is too narrow.
    """
    n = len(differences)
    if n < 2:
        return ""
    spread = differences.std(ddof=1) * np.sqrt(1 / n + 1)  # the test half is as large as the other
    return _shown((float(differences.mean()), float(stats.t.ppf(0.975, n - 1) * spread), n))


def _over_tables(means: list[float]) -> str:
    """Return a mean difference with the t interval over tables, which share no rows."""
    n = len(means)
    if n < 2:
        return ""
    return _shown((float(np.mean(means)), float(stats.t.ppf(0.975, n - 1) * stats.sem(means)), n))


def _shown(difference: tuple[float, float, int]) -> str:
    mean, half, n = difference
    return f"{mean:+.2f} (one seed)" if n < 2 else f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def _title(key: Key) -> str:
    return key[0] + (", augmented" if key[1] else "")


def _mean(runs: dict[int, dict], score: str) -> float:
    return float(np.mean([run["test"][score] for run in runs.values()]))


def _recall(runs: dict[int, dict]) -> np.ndarray:
    return np.mean([run["test"]["recall"] for run in runs.values()], axis=0)


def read(kind: str) -> dict[str, dict[str, Any]]:
    """Return the results of a kind by data set; those of quick runs under NAME-quick."""
    paths = sorted(RESULTS.glob(f"{kind}-*.json"))
    return {path.stem.split("-", 1)[1]: json.loads(path.read_text()) for path in paths}


def not_shown(name: str, result: dict[str, Any]) -> str:
    """Return what stands in the place of a table of which there is only a quick run."""
    arms = {run["arm"] for run in result["runs"]}
    seconds = sum(run["prepare_seconds"] + run["train_seconds"] for run in result["runs"])
    return (
        f"Not shown. Only `--quick` was run, {len(arms)} arms in {seconds / 60:.0f} minutes: the command"
        f" works, and its figures say nothing of {name}."
    )


def gain_tables(gains: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the table of each data set, or why there is none."""
    full = {name: gain_table(result) for name, result in gains.items() if not name.endswith("-quick")}
    quick = {name.removesuffix("-quick"): r for name, r in gains.items() if name.endswith("-quick")}
    return full | {name: not_shown(name, result) for name, result in quick.items() if name not in full}


SINGLE: dict[str, Callable[[Any], str]] = {  # tables of one file of results each
    "endurance": endurance_table,
    "bad generators": bad_generators_table,
    "main job": main_job_table,
}


def main() -> None:
    """Write everything."""
    gains, generators = read("gain"), read("generators")
    page = ROOT / "benchmarks" / "README.md"
    insert(page, "recommended", recommended_table(gains))
    gains = {name: result for name, result in gains.items() if not VARIANT.search(name)}
    full = {name: result for name, result in gains.items() if not name.endswith("-quick")}
    several = {
        "gain": gain_tables(gains),
        "smallest": {name: smallest_table(r) for name, r in full.items() if r["counts"]},
        "generators": {name: generator_table(r) for name, r in generators.items()},
    }
    for name, texts in several.items():
        insert(page, name, "\n\n".join(f"### {data}\n\n{text}" for data, text in texts.items()))
    runs = json.loads((RESULTS / "tables.json").read_text())["runs"]
    insert(page, "imbalanced tables", imbalanced_tables(runs))
    insert(ROOT / "README.md", "tables summary", tables_summary(runs))
    for name, table in SINGLE.items():
        insert(page, name, table(json.loads((RESULTS / f"{name.replace(' ', '_')}.json").read_text())))
    insert(ROOT / "README.md", "summary", summary_table(full))
    plot({k: v for k, v in full.items() if v["counts"]}, ROOT / "benchmarks" / "recall.png")


if __name__ == "__main__":
    main()
