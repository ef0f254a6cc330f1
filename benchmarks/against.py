"""What work costs now, beside an earlier commit, in one run.

    python -m benchmarks.against 597fd2f --mnist mnist.npz --cifar10 cifar10.zip --tables FOLDER --steps 60

FOLDER holds adult-train.csv. Each piece of work is done in turns by both versions, in processes of their own
(`benchmarks/against_work.py`), by one thread. CPU seconds are medians of the repetitions. With `--steps` all
generators are trained for as many steps, in both versions; without it for as many as by default. Work is left
out if its data is not given, and with `--only` all that is not named. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_breast_cancer

from benchmarks.datasets import load

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "against.json"
COLOUR_PER_CLASS, N_ADULT, N_REPORT = 300, 4000, 20_000
# Name, work, and the data it is done on.
WORK = (
    ("digits, 8 pixels", "fit", "digits"),
    ("MNIST, 28 pixels", "fit", "mnist"),
    ("CIFAR-10, 32 pixels", "fit", "cifar10"),
    ("CIFAR-10, enlarged to 64 pixels", "fit", "cifar10-64"),
    ("breast cancer, 30 columns", "fit", "cancer"),
    ("adult, mixed columns", "fit", "adult"),
    ("MNIST, 28 pixels", "fit_resample", "mnist"),
    ("digits, 8 pixels", "recommend_counts", "digits"),
    ("MNIST, 10,000 + 10,000 images", "quality_report", "mnist-report"),
)
COMMANDS = (("ganaug --help", ["--help"]), ("ganaug fit --help", ["fit", "--help"]))
COMMANDS += (("ganaug fit, a wrong path", ["fit", "none", "-o", "none"]),)


def prepare(folder: Path, options: argparse.Namespace) -> dict[str, Path]:
    """Write the data of which the files are given, and return where each is."""
    data = {"digits": _long_tailed("digits", None)}
    cancer = load_breast_cancer()
    data["cancer"] = cancer.data, cancer.target
    if options.mnist:
        data["mnist"] = _long_tailed("mnist", options.mnist)
        with np.load(options.mnist) as mnist:
            data["mnist-report"] = mnist["X_train"][:N_REPORT], mnist["y_train"][:N_REPORT]
    if options.cifar10:
        source = load("cifar10", options.cifar10)
        rows = np.concatenate([np.flatnonzero(source.y == c)[:COLOUR_PER_CLASS] for c in range(10)])
        data["cifar10"] = source.X[rows], source.y[rows]
        large = [np.asarray(Image.fromarray(image).resize((64, 64))) for image in source.X[rows]]
        data["cifar10-64"] = np.stack(large), source.y[rows]
    paths = {name: folder / f"{name}.npz" for name in data}
    for name, (X, y) in data.items():
        np.savez(paths[name], X=X, y=y)
    if options.tables:
        paths["adult"] = folder / "adult.csv"
        with (options.tables / "adult-train.csv").open() as rows_of_adult:
            lines = [line for _, line in zip(range(N_ADULT), rows_of_adult, strict=False)]
        paths["adult"].write_text("".join(lines))
    return paths


def _long_tailed(name: str, path: Path | None) -> tuple[np.ndarray, np.ndarray]:
    split = load(name, path).split(0)
    return split.X, split.y


def check_out(commit: str, folder: Path) -> None:
    """Write the files of a commit into `folder`."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def environment(tree: Path) -> dict[str, str]:
    """Return the environment of a process that imports ganaug from `tree`, with one thread."""
    return {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}


def work(tree: Path, name: str, data: Path, steps: int | None) -> dict[str, float]:
    """Return the CPU seconds and the memory of a piece of work by the version in `tree`."""
    script = Path(__file__).with_name("against_work.py")
    command = [sys.executable, "-P", str(script), name, str(data)]
    command += [] if steps is None else ["--steps", str(steps)]
    done = subprocess.run(command, env=environment(tree), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def command_seconds(tree: Path, arguments: list[str]) -> float:
    """Return the CPU seconds of a command, over those of an interpreter that does nothing."""

    def used(code: list[str]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-P", *code], env=environment(tree), check=False, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return used(["-m", "ganaug", *arguments]) - used(["-c", ""])


def main() -> None:
    """Do all work by both versions, and write the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--only", help="comma-separated names of work, such as fit_resample; the results of other work stay"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    known = [name for _, name, _ in WORK] + [name for name, _ in COMMANDS]
    wanted = set(known if options.only is None else options.only.split(","))
    if not wanted <= set(known):
        parser.error(f"--only: {sorted(wanted - set(known))} are unknown; there are {sorted(set(known))}")
    head = {"commit": options.commit, "steps": options.steps, "repeats": options.repeats}
    runs: list[dict] = []
    if options.only is not None and options.output.exists():
        earlier = json.loads(options.output.read_text())
        if any(earlier[key] != value for key, value in head.items()):
            parser.error(f"--output: {options.output} has results of other settings")
        runs = [run for run in earlier["runs"] if run["work"] not in wanted]
    with tempfile.TemporaryDirectory() as temporary:
        old = Path(temporary) / "tree"
        check_out(options.commit, old)
        paths = prepare(Path(temporary), options)
        for data, name, key in WORK:
            for _ in range(options.repeats if key in paths and name in wanted else 0):
                pair = [work(tree, name, paths[key], options.steps) for tree in (old, ROOT)]
                runs.append({"work": name, "data": data, "before": pair[0], "now": pair[1]})
                print(runs[-1], flush=True)
        for name, arguments in COMMANDS:
            if name not in wanted:
                continue
            pairs = [
                [command_seconds(tree, arguments) for tree in (old, ROOT)] for _ in range(options.repeats)
            ]
            before, now = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
            runs.append({"work": name, "data": "", "before": {"seconds": before}, "now": {"seconds": now}})
    runs.sort(key=lambda run: known.index(run["work"]))
    options.output.write_text(json.dumps({**head, "runs": runs}, indent=0) + "\n")


if __name__ == "__main__":
    main()
