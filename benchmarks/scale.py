"""What several processes gain, and data that stay on disk: ``python -m benchmarks.scale``.

    python -m benchmarks.scale                  # all of it: half an hour on two cores
    python -m benchmarks.scale train write      # some of it

Eight parts. *train*: a step of training with one process and with two, which share the same batch (strong
scaling) or have one each (weak scaling). *threads*: a step of one process with one thread and with two, which
is what two cores do without torchrun. *write*: a data set written by one and by two, compared sample by
sample. *kills*: a process that writes its shard is killed again and again. *disk*: training on a million
images in a file, beside the same in memory. *folder*: the same with 100,000 JPEG
files. *recommend*: `recommend_counts` on a table with one job and with two, for three folds and for four.
*gate*: a `QualityGate` of images, the same. But for *threads*, each process has one thread. Repeats take
turns, and medians are given.
Results go to benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.frozen import FrozenEstimator

import ganaug.io.hdf5_writer
from benchmarks.endurance import FORK, killed
from benchmarks.gain import RESULTS
from benchmarks.scale_work import images
from ganaug import (
    ConditionalGAN,
    HDF5Dataset,
    QualityGate,
    recommend_counts,
    write_hdf5,
)

OUTPUT = RESULTS / "scale.json"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
# Side, channels, steps.
SIZES = ((28, 1, 35), (32, 3, 35), (64, 3, 15))
BATCH = 64
N_WRITTEN, N_ON_DISK, N_FILES, KILLS, REPEATS = 200_000, 1_000_000, 100_000, 50, 3
WRITING_REPEATS = 1  # of minutes each


def run(command: list[str], threads: int = 1) -> str:
    """Run a command; return what it prints, or say what it said when it failed."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def work(*arguments: str, processes: int = 1, threads: int = 1) -> dict[str, Any]:
    """Return what `benchmarks.scale_work` finds with one process, or with two."""
    start = [sys.executable, "-m"] if processes == 1 else TORCHRUN
    output = run([*start, "benchmarks.scale_work", *arguments], threads)
    return json.loads(output.strip().splitlines()[-1])


def measure_training(quick: bool) -> dict[str, Any]:
    """Return the seconds of a step with one process and with two, by size of image."""
    found: dict[str, Any] = {}
    for side, channels, steps in SIZES[: 1 if quick else None]:
        arguments = ("train", *map(str, (side, channels, 15 if quick else steps)))
        # How many processes, and how large the batch of all is.
        runs: dict[tuple[int, int], list[dict[str, Any]]] = {
            (1, BATCH): [],
            (2, BATCH): [],
            (2, 2 * BATCH): [],
        }
        for _ in range(1 if quick else REPEATS):
            for (processes, batch), found_so_far in runs.items():
                found_so_far.append(work(*arguments, str(batch), processes=processes))
        medians = [float(np.median([entry["seconds"] for entry in of])) for of in runs.values()]
        one, two, twice = medians
        found[f"{side} pixels, {'colour' if channels == 3 else 'grey'}"] = {
            "milliseconds of a step": round(1e3 * one, 1),
            "with two processes": round(1e3 * two, 1),
            "times as fast": round(one / two, 2),
            "with two, twice the batch": round(1e3 * twice, 1),
            "times the samples a second": round(2 * one / twice, 2),
            "calls a step": round(runs[2, BATCH][0]["calls"], 1),
            "MB a step": round(runs[2, BATCH][0]["bytes"] / 1e6, 2),
        }
    return found


def measure_threads(quick: bool) -> dict[str, Any]:
    """Return the seconds of a step of one process with one thread and with two, by size of image."""
    found: dict[str, Any] = {}
    for side, channels, steps in SIZES[: 1 if quick else None]:
        arguments = ("train", *map(str, (side, channels, 15 if quick else steps, BATCH)))
        one, two = (work(*arguments, threads=threads)["seconds"] for threads in (1, 2))
        found[f"{side} pixels, {'colour' if channels == 3 else 'grey'}"] = {
            "milliseconds of a step": round(1e3 * one, 1),
            "with two threads": round(1e3 * two, 1),
            "times as fast": round(one / two, 2),
        }
    return found


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's digits as bytes."""
    bunch = load_digits()
    return np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target


def same(one: Path, other: Path) -> bool:
    """Return whether two data sets hold the same samples and labels, in the same order."""
    first, second = HDF5Dataset(one), HDF5Dataset(other)
    if len(first) != len(second) or not np.array_equal(first.targets, second.targets):
        return False
    starts = range(0, len(first), 4096)
    blocks = (np.arange(start, min(start + 4096, len(first))) for start in starts)
    return all(np.array_equal(first.read(block), second.read(block)) for block in blocks)


def measure_writing(quick: bool) -> dict[str, Any]:
    """Return how long one process and two take to write the same data set."""
    X, y = images(28, 1)
    per_class = (2000 if quick else N_WRITTEN) // 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ConditionalGAN(steps=20, random_state=0).fit(X, y).save(folder / "model")
        generate = ["ganaug", "generate", str(folder / "model"), "--random-state", "0", "--overwrite"]
        seconds: dict[str, list[float]] = {"one": [], "two": []}
        for _ in range(1 if quick else WRITING_REPEATS):
            for label, command in (("one", [sys.executable, "-m"]), ("two", TORCHRUN)):
                output = str(folder / f"{label}.h5")
                start = time.perf_counter()
                run([*command, *generate, "--per-class", str(per_class), "-o", output])
                seconds[label].append(time.perf_counter() - start)
        if not same(folder / "one.h5", folder / "two.h5"):
            raise SystemExit("Two processes wrote other samples than one.")
    one, two = (float(np.median(values)) for values in seconds.values())
    return {
        "images": 2 * per_class,
        "seconds": round(one, 1),
        "with two processes": round(two, 1),
        "times as fast": round(one / two, 2),
    }


def measure_kills(quick: bool) -> dict[str, Any]:
    """Kill the process that writes a shard again and again, and compare what it ends with."""
    torch.set_num_threads(1)
    ganaug.io.hdf5_writer.SYNC_SECONDS = 0.02
    gan = ConditionalGAN(steps=20, random_state=0).fit(*digits())
    rng, kills, wanted = np.random.default_rng(0), 0, 3 if quick else KILLS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options: dict[str, Any] = {"random_state": 0, "block_size": 64}
        one = write_hdf5(gan, folder / "one.h5", 400, **options)
        runs = 0
        while kills < wanted:
            whole = folder / f"{runs}.h5"

            def shard(index: int, whole: Path = whole) -> None:
                write_hdf5(gan, whole, 400, shard=(index, 2), resume=True, **options)

            while kills < wanted and killed(lambda: shard(1), float(rng.uniform(0.01, 0.4))):
                kills += 1
            for index in (0, 1):
                child = FORK.Process(target=shard, args=(index,))
                child.start()
                child.join()
            if not same(one, whole):
                raise SystemExit(f"After kills {whole} holds other samples.")
            runs += 1
    return {"kills": kills, "data sets that were equal": runs}


class _Noise:
    """A generator of random images, which a file of any size takes no time to make of."""

    classes_ = np.arange(10)

    def sample(self, labels: Any, random_state: Any = None) -> np.ndarray:
        """Return one for each label."""
        rng = np.random.default_rng(random_state)
        return rng.integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)


def measure_disk(quick: bool) -> dict[str, Any]:
    """Return the time and memory of training on images that stay on disk, beside those in memory."""
    n, steps = (20_000, 20) if quick else (N_ON_DISK, 200)
    with tempfile.TemporaryDirectory() as name:
        path = write_hdf5(_Noise(), Path(name) / "images.h5", n // 10, random_state=0)
        found = {where: work("disk", str(path), str(steps), where) for where in ("disk", "memory")}
    found = {where: {k: round(v, 3) for k, v in of.items()} for where, of in found.items()}
    ratio = found["disk"]["seconds"] / found["memory"]["seconds"]
    return {"images": n, "steps": steps, **found, "ratio of a step": round(ratio, 3)}


def measure_folder(quick: bool) -> dict[str, Any]:
    """Return the time of training on JPEG files of 32 pixels in a folder, beside the same read before."""
    n, steps = (2000, 20) if quick else (N_FILES, 200)
    X, y = images(32, 3)
    with tempfile.TemporaryDirectory() as name:
        for i in range(n):
            folder = Path(name) / str(y[i % len(y)])
            folder.mkdir(exist_ok=True)
            Image.fromarray(X[i % len(X)]).save(folder / f"{i}.jpg", quality=90)
        found = {where: work("folder", name, str(steps), where) for where in ("folder", "memory")}
    found = {where: {k: round(v, 3) for k, v in of.items()} for where, of in found.items()}
    step, whole = (found["folder"][k] / found["memory"][k] for k in ("seconds", "seconds in all"))
    return {
        "files": n,
        "steps": steps,
        **found,
        "ratio of a step": round(step, 3),
        "ratio of all": round(whole, 3),
    }


def side_by_side(work: Callable[[int], Any], quick: bool) -> tuple[dict[str, float], list[Any]]:
    """Return how long a piece of work takes with one job and with two, and what the two found."""
    torch.set_num_threads(1)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    answers = {}
    for _ in range(1 if quick else REPEATS):
        for jobs, found in seconds.items():
            start = time.perf_counter()
            answers[jobs] = work(jobs)
            found.append(time.perf_counter() - start)
    one, two = (float(np.median(values)) for values in seconds.values())
    times = {"seconds": round(one, 1), "with two jobs": round(two, 1), "times as fast": round(one / two, 2)}
    return times, list(answers.values())


def measure_recommendation(quick: bool) -> dict[str, Any]:
    """Return how much faster `recommend_counts` is with two jobs, by number of folds, and if they agree."""
    table, y = load_breast_cancer(return_X_y=True)
    gan = ConditionalGAN(**({"steps": 10} if quick else {}))
    found: dict[str, Any] = {}
    for cv in (3, 4):
        times, (one, two) = side_by_side(partial(_recommend, gan, table, y, cv), quick)
        found[f"{cv} folds"] = {**times, "same answer": one.candidate == two.candidate}
    return found


def _recommend(gan: ConditionalGAN, X: Any, y: Any, cv: int, jobs: int) -> Any:
    return recommend_counts(gan, X, y, cv=cv, random_state=0, n_jobs=jobs)


def measure_gate(quick: bool) -> dict[str, Any]:
    """Return how much faster a gate around a fitted GAN is fitted with two jobs, and if they agree."""
    X, y = images(28, 1)
    gan = FrozenEstimator(ConditionalGAN(steps=2, random_state=0).fit(X, y))
    times, gates = side_by_side(lambda jobs: QualityGate(gan, n_jobs=jobs).fit(X, y), quick)
    one, two = (gate.min_class_probability_ for gate in gates)
    if not np.allclose(one, two):
        raise SystemExit(f"With two jobs a gate has other bounds, {two}, than with one, {one}.")
    return times


PARTS = {
    "train": measure_training,
    "threads": measure_threads,
    "write": measure_writing,
    "kills": measure_kills,
    "disk": measure_disk,
    "folder": measure_folder,
    "recommend": measure_recommendation,
    "gate": measure_gate,
}


def main() -> None:
    """Measure the parts that were named, all by default, and keep the others' results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="smaller, to see that it runs; writes nothing")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for name in options.parts or PARTS:
        found = PARTS[name](options.quick)
        print(name, json.dumps(found), flush=True)
        if not options.quick:
            results = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
            OUTPUT.write_text(json.dumps({**results, name: found}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
