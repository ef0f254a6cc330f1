"""What augmentation does for a classifier of photographs on the features of a pretrained backbone.

    python -m benchmarks.photographs --data trashnet --path trashnet.zip --seeds 5
    python -m benchmarks.photographs --data trashnet --path trashnet.zip --seeds 1 --arms "GAN views"
    python -m benchmarks.photographs --data cifar10 --path cifar10.zip --seeds 5
    python -m benchmarks.photographs --data cifar10-500 --path cifar10.zip --seeds 5

Each run of an arm is written to benchmarks/results/photographs-DATA.json when it ends. Runs that are
there are not repeated. With --cache, no image goes through the backbone twice.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from benchmarks.datasets import from_zip
from benchmarks.gain import RESULTS, add_runs, environment, metrics
from benchmarks.photograph_arms import ARMS, ON_REQUEST, Context, Rows
from ganaug import Embedder
from ganaug.adapters.backbones import DEFAULT_BACKBONE

# Inverse strengths of regularization, of which validation images choose for each arm.
CS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)


@dataclass(frozen=True)
class Settings:
    """How images are split.

    Parameters
    ----------
    sizes : sequence of int
        Training images of the classes.
    orders : sequence of str
        "largest first": the class with most images has the first of `sizes`. "reversed": it has the last.
    pool, test : int, optional
        The first so many images of each class are trained and validated on, and tested on. None: all.
    validation : int, optional
        Of each class. None: all that are left.
    n_components : int, optional
        Principal components that the classifier has. None: all.
    """

    sizes: tuple[int, ...]
    orders: tuple[str, ...] = ("largest first", "reversed")
    pool: int | None = None
    test: int | None = None
    validation: int | None = None
    n_components: int | None = None


DATA = {
    "trashnet": Settings((300, 160, 80, 40, 20, 10)),
    "cifar10": Settings(
        tuple(np.geomspace(100, 5, 10).round().astype(int).tolist()), pool=200, test=100, validation=100
    ),
    "cifar10-500": Settings(
        (500,) * 10, ("largest first",), pool=600, test=100, validation=100, n_components=256
    ),
}
# Of a class that has too few images, this share of those that don't test is trained on.
MAX_TRAINING_SHARE = 0.8


@dataclass
class Photographs:
    """Images, their features and labels; the last `n_test` are the test set, if there is one."""

    images: np.ndarray
    X: np.ndarray
    y: np.ndarray
    embed: Any
    n_test: int = 0


def load(name: str, path: Path, cache: Path | None) -> Photographs:
    """Return the images of a zip file with a folder for each class, and their features."""
    settings, n_test = DATA[name], 0
    if settings.pool is None:
        images, y = from_zip(path, "")
    else:
        parts = [
            _first(*from_zip(path, f"{part}/"), n)
            for part, n in (("train", settings.pool), ("test", settings.test))
        ]
        images, y = (np.concatenate(both) for both in zip(*parts, strict=True))
        n_test = len(parts[1][1])
    embed = Embedder(cache=cache).fit(images[:1]).transform
    return Photographs(images, embed(images), y, embed, n_test)


def _first(images: np.ndarray, y: np.ndarray, n: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `n` images of each class."""
    chosen = np.concatenate([np.flatnonzero(y == c)[:n] for c in np.unique(y)])
    return images[chosen], y[chosen]


def split(
    data: Photographs, settings: Settings, seed: int, order: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which images to train, to choose (validation) and to test on."""
    n_rest = len(data.y) - data.n_test
    y = data.y[:n_rest]
    classes = np.argsort(-np.bincount(y), kind="stable")
    train, validation, test = [], [], [np.arange(n_rest, len(data.y))]
    for c, n in zip(classes[:: -1 if order == "reversed" else 1], settings.sizes, strict=True):
        # The images of a class come in the same order, whatever its size.
        shuffled = np.random.default_rng([seed, c]).permutation(np.flatnonzero(y == c))
        if not data.n_test:
            third = len(shuffled) // 3
            test.append(shuffled[:third])
            shuffled = shuffled[third:]
        n = min(n, int(MAX_TRAINING_SHARE * len(shuffled)))
        train.append(shuffled[:n])
        validation.append(shuffled[n:][: settings.validation])
    return np.concatenate(train), np.concatenate(validation), np.concatenate(test)


def classify(rows: Rows, X_validation: np.ndarray, y_validation: np.ndarray, X_test: np.ndarray) -> tuple:
    """Return C as the validation images choose it, and the probabilities of both sets of images."""
    X_validation, X_test = rows.space(X_validation), rows.space(X_test)
    model = LogisticRegression(tol=1e-3, max_iter=150, warm_start=True)
    best: tuple = (-1.0,)
    with warnings.catch_warnings():
        # Some iterations more would change no figure that is shown.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for C in CS:
            model.set_params(C=C).fit(rows.X, rows.y, sample_weight=rows.weight)
            proba = model.predict_proba(X_validation)
            score = balanced_accuracy_score(y_validation, proba.argmax(1))
            if score > best[0]:
                best = (score, C, proba, model.predict_proba(X_test))
    return best[1:]


def run_arm(
    name: str, data: Photographs, context: Context, validation: np.ndarray, test: np.ndarray
) -> dict[str, Any]:
    """Return the scores of the classifier of an arm."""
    start = time.perf_counter()
    rows = ARMS[name](context)
    prepared = time.perf_counter() - start
    C, of_validation, of_test = classify(rows, data.X[validation], data.y[validation], data.X[test])
    return {
        "arm": name,
        "seed": context.seed,
        "counts": context.counts.tolist(),
        "rows": len(rows.y),
        "C": C,
        "validation": metrics(of_validation, data.y[validation]),
        "test": metrics(of_test, data.y[test]),
        "prepare_seconds": round(prepared, 2),
        "train_seconds": round(time.perf_counter() - start - prepared, 2),
    }


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, choices=DATA)
    parser.add_argument("--path", type=Path, required=True, help="the .zip of the data set")
    parser.add_argument(
        "--arms", default=",".join(a for a in ARMS if a not in ON_REQUEST), help="comma-separated"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="an HDF5 file that keeps features of images")
    parser.add_argument("--threads", type=int, help="of torch, for several processes on one machine")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing."""
    parser = command_parser()
    options = parser.parse_args(arguments)
    arms = options.arms.split(",")
    if unknown := set(arms) - set(ARMS):
        parser.error(f"--arms: {sorted(unknown)} are unknown; there are {list(ARMS)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = DATA[options.data]
    path, order_of_runs = RESULTS / f"photographs-{options.data}.json", ("seed", "order", "arm")
    chosen = {**dataclasses.asdict(settings), "C": CS, "backbone": DEFAULT_BACKBONE}
    head = {
        "data": options.data,
        "settings": json.loads(json.dumps(chosen)),  # lists, as they come back
        **environment("cpu"),
    }
    data = load(options.data, options.path, options.cache)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for order in settings.orders:
            train, validation, test = split(data, settings, seed, order)
            context = Context(
                data.images[train],
                data.X[train],
                data.y[train],
                train,
                seed,
                data.embed,
                settings.n_components,
            )
            for arm in arms:
                done = {(r["arm"], r["seed"], r["order"]) for r in add_runs(path, head, [], order_of_runs)}
                if (arm, seed, order) in done:
                    continue
                run = run_arm(arm, data, context, validation, test) | {"order": order}
                score = run["test"]["balanced_accuracy"]
                print(f"seed {seed}  {order:<12} {arm:<30} balanced accuracy {score:.2f}", flush=True)
                add_runs(path, head, [run], order_of_runs)


if __name__ == "__main__":
    main()
