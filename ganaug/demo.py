"""The first command: train on digits, of which some are rare, and measure whether balancing them helps."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score

from ganaug.adapters.resample import GANOverSampler
from ganaug.evaluation.classifiers import SmallCNNClassifier
from ganaug.evaluation.pictures import contact_sheet
from ganaug.io.arrays import as_arrays
from ganaug.io.disk import atomic_write
from ganaug.io.progress import progress_bar
from ganaug.io.targets import DEMO_FILES, check_demo_target
from ganaug.io.writing import write_hdf5
from ganaug.model.gan import ConditionalGAN


@dataclass(frozen=True)
class Settings:
    """What a demo trains on, and for how long."""

    counts: dict[int, int]  # training images of each digit
    seeds: int
    gan_steps: Any
    classifier_steps: int


# Two digits that look alike. Steps were chosen on seeds 20 and 21.
SMALL = Settings({1: 80, 8: 8}, seeds=5, gan_steps=400, classifier_steps=300)
FULL = Settings(
    dict(enumerate((120, 90, 70, 50, 40, 30, 25, 20, 15, 10))),
    seeds=3,
    gan_steps="auto",
    classifier_steps=600,
)
ARMS = ("instance-balanced", "class-balanced", "SMOTE", "ganaug")
SYNTHETIC_PER_CLASS = 300
# One of the two that are the default for such small images: it takes half the minutes.
ARCHITECTURE = "warping"
HDF5_FILE, PICTURE_FILE = DEMO_FILES


def long_tailed_digits(
    counts: dict[int, int], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return uint8 images (n, 8, 8) and labels to train on, `counts` of each digit, and the rest of those."""
    digits = load_digits()
    X, y = np.round(digits.images * 255 / 16).astype(np.uint8), digits.target
    rng = np.random.default_rng(seed)
    train = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:n] for c, n in counts.items()])
    test = np.setdiff1d(np.flatnonzero(np.isin(y, list(counts))), train)
    return X[train], y[train], X[test], y[test]


def run_demo(
    folder: Path,
    *,
    full: bool = False,
    seeds: int | None = None,
    gan_steps: Any = None,
    classifier_steps: int | None = None,
    verbose: bool = True,
) -> dict[str, Any]:
    """Compare classifiers trained with and without synthetic images, and write two files into `folder`.

    Parameters
    ----------
    folder : Path
        Gets ``digits-synthetic.h5`` and ``digits-synthetic.png``, of the first seed.
    full : bool
        All ten digits, and a generator that is trained as long as by default; otherwise two digits.
    seeds : int
        Repetitions, at least 2; each draws the training images, the generator and the classifiers anew. None
        is 5, and 3 if `full`.
    gan_steps, classifier_steps : int
        Updates of the generator and of each classifier. None is 400 and 300; if `full`, "auto" and 600.
    verbose : bool
        Show progress bars, on terminals only.

    Returns
    -------
    dict
        "accuracy": for each arm its balanced accuracy for each seed, in percent. "difference": for each
        other arm the mean of ganaug minus it, and the half-width of a 95 % t interval. "verdict": a plain
        sentence.
    """
    settings = FULL if full else SMALL
    seeds, classifier_steps = seeds or settings.seeds, classifier_steps or settings.classifier_steps
    gan_steps = settings.gan_steps if gan_steps is None else gan_steps
    accuracy: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with progress_bar(shown=verbose, total=seeds * (len(ARMS) + 1), desc="demo") as bar:
        for seed in range(seeds):
            X, y, X_test, y_test = long_tailed_digits(settings.counts, seed)
            gan = ConditionalGAN(
                architecture=ARCHITECTURE, steps=gan_steps, random_state=seed, verbose=verbose
            ).fit(X, y)
            bar.update()
            if seed == 0:
                _write_files(gan, X, y, folder)
            for arm, (X_arm, y_arm) in _training_sets(gan, X, y, seed).items():
                classifier = SmallCNNClassifier(
                    steps=classifier_steps, balanced=arm != "instance-balanced", random_state=seed
                )
                score = balanced_accuracy_score(y_test, classifier.fit(X_arm, y_arm).predict(X_test))
                accuracy[arm].append(100 * float(score))
                bar.update()
    difference = {arm: _interval(accuracy["ganaug"], accuracy[arm]) for arm in ARMS[:-1]}
    return {"accuracy": accuracy, "difference": difference, "verdict": _verdict(difference)}


def _training_sets(
    gan: ConditionalGAN, X: np.ndarray, y: np.ndarray, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the training images and their labels of each arm."""
    # As floats: SMOTE subtracts images, which wraps around in uint8.
    flat, y_smote = SMOTE(random_state=seed).fit_resample(X.reshape(len(X), -1).astype(float), y)
    return {
        "instance-balanced": (X, y),
        "class-balanced": (X, y),
        "SMOTE": (flat.round().astype(X.dtype).reshape(-1, *X.shape[1:]), y_smote),
        "ganaug": GANOverSampler(FrozenEstimator(gan), random_state=seed).fit_resample(X, y),
    }


def _write_files(gan: ConditionalGAN, X: np.ndarray, y: np.ndarray, folder: Path) -> None:
    check_demo_target(folder)  # files of the same names may be there by now
    path = write_hdf5(gan, folder / HDF5_FILE, SYNTHETIC_PER_CLASS, random_state=0, overwrite=True)
    X_synthetic, y_synthetic = as_arrays(path)
    picture = io.BytesIO()
    contact_sheet(X, y, X_synthetic, y_synthetic, picture)
    with atomic_write(folder / PICTURE_FILE) as partial:
        partial.write_bytes(picture.getvalue())


def _interval(ganaug: list[float], other: list[float]) -> dict[str, float]:
    """Return the mean paired difference and the half-width of its 95 % t interval."""
    difference = np.subtract(ganaug, other)
    half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
    return {"mean": float(difference.mean()), "half_width": float(half)}


def _verdict(difference: dict[str, dict[str, float]]) -> str:
    best = min(difference, key=lambda arm: difference[arm]["mean"])
    mean, half = difference[best]["mean"], difference[best]["half_width"]
    interval = f"95 % interval {mean - half:+.2f} to {mean + half:+.2f}"
    against = f"the strongest baseline, {best}: {mean:+.2f} points ({interval})"
    if mean - half > 0:
        return f"ganaug helped, against {against}."
    if mean + half < 0:
        return f"ganaug hurt, against {against}."
    return f"These seeds can't tell whether ganaug helped against {against}."
