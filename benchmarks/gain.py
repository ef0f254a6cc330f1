"""What synthetic images do to a classifier, compared with what users do already.

    python -m benchmarks.gain --data digits --seeds 20
    python -m benchmarks.gain --data mnist --path mnist.npz --seeds 5
    python -m benchmarks.gain --data cifar10 --path cifar10.zip --device cuda
    python -m benchmarks.gain --data my-images --path FOLDER --arms class-balanced,SMOTE,fit_resample

Each run of an arm is written to benchmarks/results/gain-DATA.json when it ends. Runs that are there
are not repeated. Several processes can share the work by --first-seed. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from imblearn.metrics import geometric_mean_score
from sklearn.metrics import f1_score, log_loss, recall_score
from torchmetrics.functional.classification import multiclass_calibration_error

from benchmarks.arms import ARMS, ON_REQUEST, OURS, Context
from benchmarks.classifier import Settings, TrainingSet, train
from benchmarks.datasets import TUNING_SEED, SplitSource, load

RESULTS = Path(__file__).parent / "results"

# Chosen with --tune for class-balanced sampling with augmentation, on seeds that are not reported.
SETTINGS = {
    "digits": Settings("small", updates=1000, learning_rate=2e-3),
    "digits-full": Settings("small", updates=1000, learning_rate=2e-3),
    "mnist": Settings("small", updates=2000, learning_rate=2e-3),
    "grey-pairs": Settings("small", updates=2000, learning_rate=2e-3, flip=True),
    "cifar10-few": Settings("small", updates=1000, learning_rate=2e-3, flip=True),
    "trashnet": Settings("small", updates=1000, learning_rate=2e-3, flip=True),
    "cifar10": Settings("resnet", updates=6000, learning_rate=2e-3, flip=True),
    "cifar10-lt": Settings("resnet", updates=6000, learning_rate=2e-3, flip=True),
}
OWN_DATA = Settings("small", updates=2000, learning_rate=2e-3)
QUICK_HELP = "small network, a tenth of the updates"
# Numbers of updates and learning rates that --tune tries.
TUNING_GRID = [(updates, rate) for updates in (500, 1000, 2000, 4000) for rate in (1e-3, 2e-3, 4e-3)]


def quick(settings: Settings) -> Settings:
    """Return settings of a classifier that trains in a short time."""
    return dataclasses.replace(settings, network="small", updates=max(100, settings.updates // 10))


def metrics(proba: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return the scores of predicted probabilities (n, n_classes) against class indices."""
    predicted = proba.argmax(1)
    recalls = recall_score(y, predicted, average=None, labels=np.arange(proba.shape[1]))
    error = multiclass_calibration_error(torch.from_numpy(proba), torch.from_numpy(y), proba.shape[1])
    return {
        "balanced_accuracy": 100 * float(recalls.mean()),
        "g_mean_multiclass": 100 * float(geometric_mean_score(y, predicted, average="multiclass")),
        "g_mean_macro": 100 * float(geometric_mean_score(y, predicted, average="macro")),
        "macro_f1": 100 * float(f1_score(y, predicted, average="macro")),
        "log_loss": float(log_loss(y, proba, labels=np.arange(proba.shape[1]))),
        "calibration_error": float(error),
        "recall": (100 * recalls).round(3).tolist(),
    }


def check_disjoint(X: np.ndarray, held_out: np.ndarray, shared: set[bytes]) -> None:
    """Raise ValueError if a held-out image is among those to train on.

    `shared` holds the bytes of images that the data set itself has on both sides of the split.
    """
    leaked = (_digests(X) & _digests(held_out)) - shared
    if leaked:
        raise ValueError(f"{len(leaked)} validation or test images are among those to train on.")


def _digests(X: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in X}


def run_arm(
    source: SplitSource,
    name: str,
    seed: int,
    settings: Settings,
    contexts: dict,
    device: str,
    *,
    quick: bool = False,
    augmented_only: bool = False,
) -> list[dict]:
    """Train and test the classifiers of an arm, without and with augmentation."""
    split = source.split(seed)
    if seed not in contexts:
        contexts.clear()  # the one of the seed before
        contexts[seed] = Context(split.X, split.y, seed, quick=quick)
    context = contexts[seed]
    # An arm that uses a GAN fitted by another arm is charged its seconds too.
    fitted = context.seconds if name in OURS and name not in ON_REQUEST else 0.0
    start = time.perf_counter()
    data = ARMS[name](context)
    prepared = time.perf_counter() - start
    held_out = np.concatenate([split.X_validation, split.X_test])
    check_disjoint(data.X, held_out, _digests(split.X) & _digests(held_out))
    runs = []
    for augment in (True,) if augmented_only else (False, True):
        start = time.perf_counter()
        classifier = train(data, settings, augment=augment, seed=seed, device=device)
        runs.append(
            {
                "arm": name,
                "augment": augment,
                "seed": seed,
                "updates": classifier.updates,
                "validation": metrics(classifier.predict_proba(split.X_validation), split.y_validation),
                "test": metrics(classifier.predict_proba(split.X_test), split.y_test),
                "rows": len(data.y),
                **data.extra,
                "prepare_seconds": round(prepared + fitted, 2),
                "train_seconds": round(time.perf_counter() - start, 2),
            }
        )
    return runs


def store(path: Path, header: dict[str, Any], new: list[dict]) -> list[dict]:
    """Add runs to the results at `path`, as `add_runs` does.

    Raises
    ------
    ValueError
        If the file holds runs under other settings, or a run had another number of updates.
    """
    for run in new:
        if run["updates"] != header["settings"]["updates"]:
            raise ValueError(
                f"Arm {run['arm']!r} had {run['updates']} updates instead of {header['settings']['updates']}."
            )
    return add_runs(path, header, new, ("seed", "arm", "augment"))


def add_runs(path: Path, header: dict[str, Any], new: list[dict], order: Sequence[str]) -> list[dict]:
    """Add runs to the results at `path`, under a lock, and return all that are there, sorted by `order`.

    Raises
    ------
    ValueError
        If the file holds runs under other settings.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        old = json.loads(path.read_text()) if path.exists() else {**header, "runs": []}
        for key in header.keys() - {"machine", "versions"}:
            if old[key] != header[key]:
                raise ValueError(f"{path} was made with other {key}: {old[key]} instead of {header[key]}.")
        if new:
            old["runs"] = sorted(old["runs"] + new, key=lambda run: [run[key] for key in order])
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(old, indent=0) + "\n")
            partial.replace(path)
    return old["runs"]


def header(source: SplitSource, settings: Settings, device: str) -> dict[str, Any]:
    """Return what a file of results says about the data, the settings and the machine."""
    return {
        "data": source.name,
        "settings": dataclasses.asdict(settings),
        "counts": None if source.counts is None else list(source.counts),
        **environment(device),
    }


def environment(device: str) -> dict[str, Any]:
    """Return what a file of results says about the machine and the packages."""
    packages = ("ganaug", "torch", "torchvision", "scikit-learn", "imbalanced-learn", "numpy")
    return {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "device": torch.cuda.get_device_name() if device == "cuda" else device,
        },
        "versions": {name: version(name) for name in packages},
    }


def tune(source: SplitSource, network: Settings, device: str) -> None:
    """Print validation scores of class-balanced sampling with augmentation over the grid."""
    for updates, rate in TUNING_GRID:
        settings = dataclasses.replace(network, updates=updates, learning_rate=rate)
        scores = []
        for seed in range(TUNING_SEED, TUNING_SEED + 3):
            split = source.split(seed)
            data: TrainingSet = ARMS["class-balanced"](Context(split.X, split.y, seed))
            classifier = train(data, settings, augment=True, seed=seed, device=device)
            proba = classifier.predict_proba(split.X_validation)
            scores.append(metrics(proba, split.y_validation)["balanced_accuracy"])
        score = np.mean(scores)
        print(f"updates {updates:>5}  rate {rate:g}  validation balanced accuracy {score:.2f}", flush=True)


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help=f"one of {', '.join(SETTINGS)}, or a name for your own")
    parser.add_argument("--path", type=Path, help="the .npz, .zip or folder of the data set")
    parser.add_argument(
        "--arms", default=",".join(a for a in ARMS if a not in ON_REQUEST), help="comma-separated"
    )
    parser.add_argument(
        "--smallest", type=int, help="images of the smallest class; those of the others form a geometric row"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"show that it works: {QUICK_HELP}, GANs of 100 steps, two seeds",
    )
    parser.add_argument("--augmented-only", action="store_true", help="no classifier without augmentation")
    parser.add_argument("--tune", action="store_true", help="print validation scores over a grid of settings")
    parser.add_argument("--threads", type=int, help="of torch, for several processes on one machine")
    return parser


def main() -> None:
    """Run what is missing."""
    parser = command_parser()
    arguments = parser.parse_args()
    unknown = set(arguments.arms.split(",")) - set(ARMS)
    if unknown:
        parser.error(f"--arms: {sorted(unknown)} are unknown; there are {list(ARMS)}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    source = load(arguments.data, arguments.path)
    settings = SETTINGS.get(arguments.data, OWN_DATA)
    name, seeds = arguments.data, arguments.seeds
    if arguments.smallest is not None:
        try:
            source = source.with_smallest(arguments.smallest)
        except ValueError as exc:
            parser.error(f"--smallest: {exc}")
        name = source.name
    if arguments.quick:
        settings = quick(settings)
        name, seeds = f"{name}-quick", min(2, seeds)
    if arguments.tune:
        tune(source, settings, arguments.device)
        return
    path = RESULTS / f"gain-{name}.json"
    head = header(source, settings, arguments.device)
    contexts: dict = {}
    for seed in range(arguments.first_seed, arguments.first_seed + seeds):
        for arm in arguments.arms.split(","):
            done = {(run["arm"], run["seed"]) for run in store(path, head, [])}
            if (arm, seed) in done:
                continue
            runs = run_arm(
                source,
                arm,
                seed,
                settings,
                contexts,
                arguments.device,
                quick=arguments.quick,
                augmented_only=arguments.augmented_only,
            )
            for run in runs:
                how = "augmented" if run["augment"] else "plain"
                score = run["test"]["balanced_accuracy"]
                print(f"seed {seed}  {arm:<40} {how:<10} balanced accuracy {score:.2f}", flush=True)
            store(path, head, runs)


if __name__ == "__main__":
    main()
