"""Mode collapse with one and with several discriminators and generators.

    python -m benchmarks.collapse --seeds 5

Two data sets whose modes can be counted. *25 Gaussians* lie on a grid in the plane, as in Srivastava et
al., "VEEGAN", NeurIPS 2017. *Stacked digits* are three digits of scikit-learn as the three channels of an
image, as in the same paper's stacked MNIST: 1,000 modes, each as likely. A mode counts as found if it has a
tenth of the samples that it should have; of the Gaussians, such as lie within four standard deviations of
the centre. Classes are drawn at random, as a GAN must have some here. Rollbacks are how often training
noticed that a class collapsed, or that it diverged, and went back.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier

from ganaug import ConditionalGAN

RESULTS = Path(__file__).parent / "results" / "collapse.json"
CENTRES = np.array([(x, y) for x in range(-2, 3) for y in range(-2, 3)], np.float64)
SPREAD, N_SAMPLES, N_STACKED = 0.05, 4000, 10_000
COMMON: dict[str, Any] = {"loss": "non-saturating", "penalty": "none"}
DATA: dict[str, dict[str, Any]] = {
    "25 Gaussians": {
        "modality": "features",
        "architecture": "fully-connected",
        "steps": 4000,
        "batch_size": 128,
        "base_channels": 16,
    },
    "stacked digits": {"architecture": "dcgan", "steps": 600},
}
ARMS: dict[str, dict[str, Any]] = {
    "one of each": {},
    "four discriminators": {"discriminators": 4},
    "the hardest of four discriminators": {"discriminators": 4, "discriminator_loss": "hardest"},
    "four generators": {"generators": 4},
    "four of both": {"discriminators": 4, "generators": 4},
}


def gaussians(rng: np.random.Generator) -> np.ndarray:
    """Return points of 25 Gaussians, (N_SAMPLES, 2)."""
    modes = rng.integers(len(CENTRES), size=N_SAMPLES)
    return (CENTRES[modes] + SPREAD * rng.normal(size=(N_SAMPLES, 2))).astype(np.float32)


def stacked_digits(rng: np.random.Generator) -> np.ndarray:
    """Return images of three random digits, one in each channel, (N_STACKED, 8, 8, 3)."""
    images = load_digits().images.astype(np.float32) / 16
    return np.stack([images[rng.integers(len(images), size=N_STACKED)] for _ in range(3)], axis=-1)


def n_found(counts: np.ndarray, n_samples: int) -> int:
    """Return how many modes have a tenth of the samples that each of them should have."""
    return int((counts >= 0.1 * n_samples / len(counts)).sum())


def found_of_gaussians(samples: np.ndarray) -> dict[str, float]:
    """Return how many of the 25 are found, and the share of samples that belong to one."""
    distances = np.linalg.norm(samples[:, None] - CENTRES, axis=2)
    near = distances.min(axis=1) < 4 * SPREAD
    counts = np.bincount(distances.argmin(axis=1)[near], minlength=len(CENTRES))
    return {"modes": n_found(counts, len(samples)), "good": 100 * float(near.mean())}


def found_of_digits(samples: np.ndarray) -> dict[str, float]:
    """Return how many of the 1,000 stacks are found, and how far their frequencies are from even.

    The latter is the Kullback-Leibler divergence from the uniform distribution, in nats.
    """
    digits = load_digits()
    classifier = KNeighborsClassifier(1).fit(digits.data / 16, digits.target)
    channels = [classifier.predict(samples[..., i].reshape(len(samples), -1)) for i in range(3)]
    counts = np.bincount(channels[0] * 100 + channels[1] * 10 + channels[2], minlength=1000)
    frequencies = counts[counts > 0] / counts.sum()
    return {
        "modes": n_found(counts, len(samples)),
        "divergence": float((frequencies * np.log(frequencies * 1000)).sum()),
    }


def run(data: str, arm: str, seed: int) -> dict[str, Any]:
    """Return what a GAN finds of the modes of a data set."""
    rng = np.random.default_rng(seed)
    X = gaussians(rng) if data == "25 Gaussians" else stacked_digits(rng)
    y = rng.integers(2, size=len(X))
    start = time.process_time()
    with warnings.catch_warnings(record=True, action="always", category=ConvergenceWarning) as caught:
        gan = ConditionalGAN(**COMMON, **DATA[data], **ARMS[arm], random_state=seed).fit(X, y)
    seconds = time.process_time() - start
    samples = gan.sample(rng.integers(2, size=len(X)), random_state=seed)
    found = found_of_gaussians if data == "25 Gaussians" else found_of_digits
    return {
        "data": data,
        "arm": arm,
        "seed": seed,
        **found(samples),
        "rollbacks": len(caught),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    runs = json.loads(options.output.read_text())["runs"] if options.output.exists() else []
    done = {(run["data"], run["arm"], run["seed"]) for run in runs}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for data in DATA:
            for arm in ARMS:
                if (data, arm, seed) not in done:
                    runs.append(run(data, arm, seed))
                    print(runs[-1], flush=True)
                    options.output.write_text(json.dumps({"runs": runs}, indent=0) + "\n")


if __name__ == "__main__":
    main()
