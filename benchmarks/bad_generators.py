"""Negative controls: does `recommend_counts` add nothing where a generator is of no use?

    python -m benchmarks.bad_generators --data digits --seeds 10

There are three: random pixels, one training image of each class over and over, and a
`ConditionalGAN` of 20 steps. None goes through a gate, which would reject most images of the first
two. Each run is written to benchmarks/results/bad_generators.json when it ends. Runs that are there
are not repeated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from benchmarks.datasets import load
from benchmarks.gain import RESULTS
from ganaug import ConditionalGAN, recommend_counts

OUTPUT = RESULTS / "bad_generators.json"
# Training steps of the GAN that has not learned anything yet.
STEPS = 20


class Noise(BaseEstimator):
    """Samples random pixels."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Noise:
        self.classes_, self.shape_ = np.unique(y), X.shape[1:]
        return self

    def sample(self, labels: Any, random_state: Any = None) -> np.ndarray:
        rng = np.random.default_rng(random_state)
        return rng.integers(0, 256, (len(labels), *self.shape_), dtype=np.uint8)


class Collapsed(BaseEstimator):
    """Samples the first training image of a class over and over."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Collapsed:
        self.classes_, first = np.unique(y, return_index=True)
        self.images_ = X[first]
        return self

    def sample(self, labels: Any, random_state: Any = None) -> np.ndarray:
        return self.images_[np.searchsorted(self.classes_, labels)]


KINDS: dict[str, Any] = {
    "noise": Noise(),
    "collapsed": Collapsed(),
    f"{STEPS} steps": ConditionalGAN(steps=STEPS),
}


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="as for benchmarks.gain")
    parser.add_argument("--path", type=Path, help="the .npz or .zip of the data set")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, help="of torch, for several processes on one machine")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    pool = load(options.data, options.path)
    runs = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else []
    for seed in range(options.seeds):
        split = pool.split(seed)
        for kind, generator in KINDS.items():
            about = {"data": options.data, "kind": kind, "seed": seed}
            if any(about.items() <= run.items() for run in runs):
                continue
            found = recommend_counts(generator, split.X, split.y, random_state=seed)
            added = sum(found.to_add.values())
            runs.append({**about, "added": added, "found": str(found), "seconds": round(found.seconds, 1)})
            print(f"seed {seed}  {kind:<10} adds {added}", flush=True)
            OUTPUT.write_text(json.dumps(runs, indent=0) + "\n")


if __name__ == "__main__":
    main()
