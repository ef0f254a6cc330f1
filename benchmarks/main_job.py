"""The main job on long-tailed MNIST: fit, oversample, and how good the synthetic images are.

    python -m benchmarks.main_job --data mnist.npz --output benchmarks/results/main_job.json

A reference classifier is trained on all training images. "diversity" is the mean pairwise distance
of the synthetic images of a class over that of test images, in its features. "label_fidelity" is its
accuracy on synthetic images. "synthetic_only" is the balanced accuracy on test images of a small
classifier trained on synthetic images only; "real_only" that of one trained on the long-tailed real
ones. "verdict" is the first sentence of `quality_report` about the generator,
"verdict_after_20_steps" about one that was trained for 20 steps. "report_seconds" is what a report
of 10,000 images and as many synthetic ones takes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score

from benchmarks.datasets import COUNTS
from ganaug import ConditionalGAN, GANOverSampler, QualityGate, quality_report
from ganaug.evaluation.classifiers import SmallCNNClassifier
from ganaug.evaluation.measures import pairwise_distance_ratio

# Images of each class whose diversity and label fidelity are measured.
PER_CLASS = 1000
# Test images of each class for the report.
HELD_OUT_PER_CLASS = 200


def main_job(path: Path, seed: int) -> dict:
    """Return all figures of the main job on the `.npz` file at `path`."""
    with np.load(path) as data:
        X_all, y_all, X_test, y_test = (data[k] for k in ("X_train", "y_train", "X_test", "y_test"))
    rng = np.random.default_rng(seed)
    drawn = np.concatenate(
        [rng.permutation(np.flatnonzero(y_all == c))[:n] for c, n in enumerate(COUNTS["mnist"])]
    )
    X, y = X_all[drawn], y_all[drawn]

    start = time.perf_counter()
    gan = ConditionalGAN(random_state=seed, verbose=True).fit(X, y)
    fitted = time.perf_counter()
    gate = QualityGate(gan, random_state=seed).fit(X, y)
    _, y_balanced = GANOverSampler(FrozenEstimator(gate), random_state=seed).fit_resample(X, y)
    balanced = time.perf_counter()

    labels = np.repeat(np.arange(10), PER_CLASS)
    synthetic = gan.sample(labels, random_state=seed)
    reference = SmallCNNClassifier(steps=3000, base_channels=32, random_state=seed).fit(X_all, y_all)
    features, test_features = (
        torch.from_numpy(reference.features(images)).double() for images in (synthetic, X_test)
    )
    correct = reference.predict(synthetic) == labels
    diversity, label_fidelity = [], []
    for c in range(10):
        real, fake = test_features[y_test == c], features[labels == c]
        diversity.append(pairwise_distance_ratio(real, fake, max_samples=PER_CLASS))
        label_fidelity.append(float(correct[labels == c].mean()))
    synthetic_only = SmallCNNClassifier(steps=1500, random_state=seed).fit(synthetic, labels)
    real_only = SmallCNNClassifier(steps=1500, random_state=seed).fit(X, y)

    held_out = np.concatenate([np.flatnonzero(y_test == c)[:HELD_OUT_PER_CLASS] for c in range(10)])
    barely_trained = ConditionalGAN(steps=20, random_state=seed).fit(X, y)
    reports = [
        quality_report(g, X, y, X_test[held_out], y_test[held_out], random_state=seed)
        for g in (gan, barely_trained)
    ]
    as_many = np.concatenate([np.flatnonzero(y_all == c)[:PER_CLASS] for c in range(10)])
    start_report = time.perf_counter()
    arrays = (synthetic, labels), X_all[as_many], y_all[as_many], X_test[held_out], y_test[held_out]
    quality_report(*arrays, per_class=PER_CLASS, random_state=seed)
    reported = time.perf_counter() - start_report
    return {
        "seed": seed,
        "counts_after": np.bincount(y_balanced).tolist(),
        "fit_seconds": fitted - start,
        "fit_and_balance_seconds": balanced - start,
        "reference_accuracy": float(balanced_accuracy_score(y_test, reference.predict(X_test))),
        "diversity": diversity,
        "label_fidelity": label_fidelity,
        "synthetic_only": float(balanced_accuracy_score(y_test, synthetic_only.predict(X_test))),
        "real_only": float(balanced_accuracy_score(y_test, real_only.predict(X_test))),
        "verdict": reports[0]["verdict"][0],
        "verdict_after_20_steps": reports[1]["verdict"][0],
        "report_seconds": reported,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=".npz with X_train, y_train, X_test, y_test")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result = main_job(arguments.data, arguments.seed)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
