"""What is missing in images and tables, filled by `restore` and by what users fill it with already.

    python -m benchmarks.restoration --data digits,iris,wine,breast-cancer,diabetes
    python -m benchmarks.restoration --data mnist --path mnist.npz --seeds 3
    python -m benchmarks.restoration --data glass,german,adult-train --path FOLDER

FOLDER holds glass.csv, german.csv and adult-train.csv, without headers, the class last. Half of a table's
rows are learned from, at most 1,000; a fifth of all values is missing, at random, in both halves. Of images
1,000 (digits) or 2,000 (MNIST) are learned from, others are damaged. A classifier that was trained on
undamaged samples then says what was restored. Each run of an arm is written to the results when it ends, and
is not repeated. `--models` keeps the GANs of images. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from benchmarks import restoration_tables
from ganaug import ConditionalGAN

RESULTS = Path(__file__).parent / "results" / "restoration.json"
IMAGES = ("digits", "mnist")
N_TRAIN, N_TEST = {"digits": 1000, "mnist": 2000}, 500
# Of noise, in steps of grey.
SIGMA = 64
# What fastNlMeansDenoising takes for the strength of such noise: the best of 10 to 80 on seed 1000.
NLM_STRENGTH = 50
N_NEIGHBOURS = 5

Damaged = tuple[np.ndarray, np.ndarray | None]  # images, and which pixels are missing; None: all are noisy


def split(name: str, seed: int, path: Path | None) -> tuple[np.ndarray, ...]:
    """Return images and labels to learn from, and to damage."""
    rng, n = np.random.default_rng(seed), N_TRAIN[name]
    if name == "digits":
        digits = load_digits()
        X, order = np.round(digits.images * 255 / 16).astype(np.uint8), rng.permutation(len(digits.target))
        train, test = order[:n], order[n : n + N_TEST]
        return X[train], digits.target[train], X[test], digits.target[test]
    if path is None:
        raise ValueError(f"--data {name} needs --path, the file of the data.")
    with np.load(path) as data:
        train = rng.permutation(len(data["y_train"]))[:n]
        test = rng.permutation(len(data["y_test"]))[:N_TEST]
        return data["X_train"][train], data["y_train"][train], data["X_test"][test], data["y_test"][test]


def damages(X: np.ndarray, seed: int) -> Iterator[tuple[str, Damaged]]:
    """Yield images with a block, a half or half of the pixels missing, and with noise."""
    rng, side = np.random.default_rng([seed, 1]), X.shape[1]
    block, half = np.zeros(X.shape, bool), np.zeros(X.shape, bool)
    for own in block:
        top, left = rng.integers(0, side - side // 2 + 1, 2)
        own[top : top + side // 2, left : left + side // 2] = True
    for own, which in zip(half, rng.integers(0, 4, len(X)), strict=True):
        np.rot90(own, which)[: side // 2] = True
    masks = {"a block of a quarter": block, "a half": half, "half of the pixels": rng.random(X.shape) < 0.5}
    for name, mask in masks.items():
        yield name, (np.where(mask, 0, X).astype(np.uint8), mask)
    noisy = np.clip(X + rng.normal(0, SIGMA, X.shape), 0, 255)
    yield "noise", (noisy.round().astype(np.uint8), None)


def image_arms(gan: ConditionalGAN, train: np.ndarray, y: np.ndarray) -> dict[str, Callable[..., np.ndarray]]:
    """Return by name what restores damaged images; `y` are their labels."""

    def inpaint(method: int) -> Callable[..., np.ndarray]:
        def restored(X: np.ndarray, mask: np.ndarray) -> np.ndarray:
            pairs = zip(X, mask.astype(np.uint8), strict=True)
            return np.stack([cv2.inpaint(image, own, 3, method) for image, own in pairs])

        return restored

    def neighbours(X: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        flat = train.reshape(len(train), -1)
        if mask is None:
            near = NearestNeighbors(n_neighbors=N_NEIGHBOURS).fit(flat).kneighbors(X.reshape(len(X), -1))[1]
            return train[near].mean(1)
        imputer = KNNImputer(keep_empty_features=True).fit(flat.astype(float))
        return imputer.transform(np.where(mask, np.nan, X).reshape(len(X), -1)).reshape(X.shape)

    def near_alone(X: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        restoration_tables.without_generator(gan)
        restored = gan.restore(X, mask)
        del gan._restorer
        return restored

    def denoised(X: np.ndarray, mask: None) -> np.ndarray:
        return np.stack([cv2.fastNlMeansDenoising(image, None, NLM_STRENGTH, 3, 9) for image in X])

    return {
        "damaged": lambda X, mask: X,
        "cv2.inpaint, Telea": inpaint(cv2.INPAINT_TELEA),
        "cv2.inpaint, Navier-Stokes": inpaint(cv2.INPAINT_NS),
        "cv2.fastNlMeansDenoising": denoised,
        "KNNImputer": neighbours,
        "restore without its generator": near_alone,
        "restore": gan.restore,
        "restore, a draw": lambda X, mask: gan.restore(X, mask, n_draws=1, random_state=0)[0],
        "restore, labels known": lambda X, mask: gan.restore(X, mask, y),
    }


def run_images(name: str, seed: int, options: argparse.Namespace, done: set[Any]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each arm on images of a seed."""
    X, y, X_test, y_test = split(name, seed, options.path)
    folder = None if options.models is None else options.models / f"{name}-{seed}"
    if folder is not None and folder.exists():
        gan = ConditionalGAN.load(folder, device="cpu")
    else:
        gan = ConditionalGAN(random_state=seed).fit(X, y)
        if folder is not None:
            gan.save(folder)
    classifier = SVC(C=10).fit(X.reshape(len(X), -1) / 255, y)

    def accuracy(images: np.ndarray) -> float:
        return 100 * float(classifier.score(images.reshape(len(images), -1) / 255, y_test))

    for damage, (damaged, mask) in damages(X_test, seed):
        for arm, restore in image_arms(gan, X, y_test).items():
            unfit = arm.startswith("cv2.inpaint") if mask is None else arm == "cv2.fastNlMeansDenoising"
            if unfit or (name, seed, damage, arm) in done:
                continue
            start = time.perf_counter()
            restored = restore(damaged, mask)
            seconds = time.perf_counter() - start
            error = ((restored.astype(float) - X_test) / 255)[... if mask is None else mask]
            yield {
                "data": name,
                "seed": seed,
                "damage": damage,
                "arm": arm,
                "rmse": float(np.sqrt(np.square(error).mean())),
                "accuracy": accuracy(restored),
                "undamaged": accuracy(X_test),
                "seconds": seconds,
            }


def key(run: dict[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a run."""
    return run["data"], run["seed"], run["damage"], run["arm"]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="comma-separated")
    parser.add_argument("--path", type=Path, help="mnist.npz, or the folder of the CSV files")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", type=Path, help="folder that keeps the GANs of images")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    runs = json.loads(options.output.read_text())["runs"] if options.output.exists() else []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in options.data.split(","):
            run = run_images if name in IMAGES else restoration_tables.run_table
            for result in run(name, seed, options, set(map(key, runs))):
                runs.append(result)
                print(result, flush=True)
                options.output.write_text(json.dumps({"runs": sorted(runs, key=key)}, indent=0) + "\n")


if __name__ == "__main__":
    main()
