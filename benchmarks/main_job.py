"""The main job on long-tailed MNIST: seconds, and per-class diversity, agreement and usefulness.

    python -m benchmarks.main_job --data mnist.npz --output benchmarks/results/main_job.json

A judge, trained on all training images, gives the features in which the mean pairwise distance
of synthetic images is compared with that of test images, and says of how many synthetic images
the class is what it should be. "only" is the balanced accuracy on the test images of a small
classifier trained on synthetic images alone. "verdict" is what `quality_report` says first, of the
trained generator and of one that was trained for 20 steps; "report_seconds" how long it takes for
10,000 images and as many synthetic ones.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score

from ganaug import ConditionalGAN, GANOverSampler, QualityGate, quality_report
from ganaug.evaluation.classifiers import SmallCNNClassifier

COUNTS = (4000, 2000, 1000, 750, 500, 350, 200, 100, 60, 40)
PER_CLASS = 1000  # images of each class that are measured
HELD_OUT = 200  # test images of each class for the report


def main_job(path: Path, seed: int) -> dict:
    with np.load(path) as data:
        X_all, y_all, X_test, y_test = (data[k] for k in ("X_train", "y_train", "X_test", "y_test"))
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([rng.permutation(np.flatnonzero(y_all == c))[:n] for c, n in enumerate(COUNTS)])
    X, y = X_all[drawn], y_all[drawn]

    start = time.perf_counter()
    gan = ConditionalGAN(random_state=seed, verbose=True).fit(X, y)
    fitted = time.perf_counter()
    gate = QualityGate(gan, random_state=seed).fit(X, y)
    _, y_balanced = GANOverSampler(FrozenEstimator(gate), random_state=seed).fit_resample(X, y)
    balanced = time.perf_counter()

    labels = np.repeat(np.arange(10), PER_CLASS)
    synthetic = gan.sample(labels, random_state=seed)
    judge = SmallCNNClassifier(steps=3000, base_channels=32, random_state=seed).fit(X_all, y_all)
    features, test_features = judge.features(synthetic), judge.features(X_test)
    agrees = judge.predict(synthetic) == labels
    diversity, agreement = [], []
    for c in range(10):
        real = pdist(test_features[y_test == c][:PER_CLASS]).mean()
        diversity.append(float(pdist(features[labels == c]).mean() / real))
        agreement.append(float(agrees[labels == c].mean()))
    only = SmallCNNClassifier(steps=1500, random_state=seed).fit(synthetic, labels)
    real = SmallCNNClassifier(steps=1500, random_state=seed).fit(X, y)

    held = np.concatenate([np.flatnonzero(y_test == c)[:HELD_OUT] for c in range(10)])
    few = ConditionalGAN(steps=20, random_state=seed).fit(X, y)
    reports = [quality_report(g, X, y, X_test[held], y_test[held], random_state=seed) for g in (gan, few)]
    as_many = np.concatenate([np.flatnonzero(y_all == c)[:PER_CLASS] for c in range(10)])
    asked = time.perf_counter()
    rows = (synthetic, labels), X_all[as_many], y_all[as_many], X_test[held], y_test[held]
    quality_report(*rows, per_class=PER_CLASS, random_state=seed)
    reported = time.perf_counter() - asked
    return {
        "seed": seed,
        "counts_after": np.bincount(y_balanced).tolist(),
        "fit_seconds": fitted - start,
        "fit_and_balance_seconds": balanced - start,
        "judge_accuracy": float(balanced_accuracy_score(y_test, judge.predict(X_test))),
        "diversity": diversity,
        "agreement": agreement,
        "only": float(balanced_accuracy_score(y_test, only.predict(X_test))),
        "real_only": float(balanced_accuracy_score(y_test, real.predict(X_test))),
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
