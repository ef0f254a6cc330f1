"""Classic GANs and ours in one loop: what a classifier makes of the images of each.

    python -m benchmarks.generators --data digits --seeds 3 --seconds 30
    python -m benchmarks.generators --data mnist --path mnist.npz --seeds 1 --seconds 240

Every row gets the same seconds of training for each learning rate; the rate whose images alone
teach the classifier best, by validation data, is kept. Results go to
benchmarks/results/generators-DATA.json as they come; what is there is not repeated.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import pdist
from sklearn.model_selection import train_test_split

from benchmarks.arms import Context, balanced, only
from benchmarks.arms import ganaug_beyond as added
from benchmarks.classifier import Classifier, Settings, TrainingSet, train
from benchmarks.datasets import Pool, Split, load
from benchmarks.gain import OWN_DATA, RESULTS, SETTINGS, header, metrics, store
from ganaug import ConditionalGAN

ROWS: dict[str, dict[str, Any]] = {
    "fully connected, minimax": {"architecture": "fully-connected", "loss": "minimax", "penalty": "none"},
    "fully connected, non-saturating": {
        "architecture": "fully-connected",
        "loss": "non-saturating",
        "penalty": "none",
    },
    "DCGAN": {"architecture": "dcgan", "loss": "non-saturating", "penalty": "none"},
    "LSGAN": {"architecture": "dcgan", "loss": "least-squares", "penalty": "none"},
    "WGAN, clipping": {"architecture": "dcgan", "loss": "wasserstein", "penalty": "weight-clipping"},
    "WGAN-GP": {"architecture": "dcgan", "loss": "wasserstein", "penalty": "wgan-gp", "penalty_weight": 10.0},
    "SNGAN": {"architecture": "sngan", "loss": "hinge", "penalty": "none"},
    "R3GAN": {"architecture": "r3gan", "loss": "relativistic", "penalty": "r1+r2"},
    "SNGAN, a network for each class": {
        "architecture": "sngan",
        "loss": "hinge",
        "penalty": "none",
        "conditioning": "per-class",
    },
    "instance-conditioned": {"architecture": "instance"},
    "instance-conditioned, a network for each class": {
        "architecture": "instance",
        "conditioning": "per-class",
    },
    "ganaug": {},
}
RATES = (2e-4, 1e-3)
TRIAL_STEPS = 12  # steps by which the seconds of one are measured
DIVERSITY_ROWS = 200  # images of each class whose pairwise distances are measured


def fit_for(seconds: float, split: Split, seed: int, options: dict[str, Any]) -> tuple[ConditionalGAN, float]:
    """Return a GAN trained for about `seconds`, and how long it really took."""
    trial = ConditionalGAN(**options, steps=TRIAL_STEPS, random_state=seed)
    trial.fit(split.X, split.y)  # the first call also warms up
    start = time.perf_counter()
    trial.fit(split.X, split.y)
    per_step = (time.perf_counter() - start) / TRIAL_STEPS  # of all the networks together
    steps = max(10, int(seconds / per_step))
    start = time.perf_counter()
    gan = ConditionalGAN(**options, steps=steps, random_state=seed).fit(split.X, split.y)
    return gan, time.perf_counter() - start


def diversity(gan: ConditionalGAN, split: Split, judge: Classifier, seed: int) -> float:
    """Return mean pairwise distance within a class, over that of test images, in a judge's features."""
    ratios = []
    for c in np.unique(split.y):
        synthetic = gan.sample(np.repeat(c, DIVERSITY_ROWS), random_state=seed)
        real = split.X_test[split.y_test == c][:DIVERSITY_ROWS]
        ratios.append(_spread(judge, synthetic) / _spread(judge, real))
    return float(np.mean(ratios))


def _spread(judge: Classifier, X: np.ndarray) -> float:
    return float(pdist(judge.features(X)).mean())


def c2st_auc(gan: ConditionalGAN, split: Split, settings: Settings, seed: int) -> float:
    """Return the percentage of images that a classifier tells right as synthetic or as real.

    The real ones are those the generator never saw, the synthetic ones as many of each class; seven
    in ten of both train the classifier. 50 is the best a generator can get, 100 the worst. A
    classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017).
    """
    labels = np.concatenate([split.y_validation, split.y_test])
    real = np.concatenate([split.X_validation, split.X_test])
    synthetic = gan.sample(labels, random_state=seed)
    shown, held_out = train_test_split(
        np.arange(len(labels)), test_size=0.3, stratify=labels, random_state=seed
    )
    images = np.concatenate([real[shown], synthetic[shown]])
    is_real = np.repeat([1, 0], len(shown))
    classifier = train(TrainingSet(images, is_real, np.ones(len(images))), settings, augment=True, seed=seed)
    right = [
        classifier.predict_proba(part[held_out]).argmax(1) == answer
        for part, answer in ((real, 1), (synthetic, 0))
    ]
    return 100 * float(np.mean(right))


def run_row(pool: Pool, name: str, seed: int, seconds: float, settings: Settings) -> dict:
    """Fit the generator of a row with each learning rate and measure the better one."""
    split = pool.split(seed)
    context = Context(split.X, split.y, seed)
    trials = []
    for rate in RATES:
        gan, took = fit_for(seconds, split, seed, {**ROWS[name], "learning_rate": rate})
        context.use(gan)
        classifier = train(only(context), settings, augment=True, seed=seed)
        chosen_by = metrics(classifier.predict_proba(split.X_validation), split.y_validation)["acsa"]
        trials.append((chosen_by, rate, gan, took, classifier))
    chosen_by, rate, gan, took, classifier = max(trials, key=lambda trial: trial[0])
    context.use(gan)
    with_real = train(added(context), settings, augment=True, seed=seed)
    judge = train(balanced(context), settings, augment=True, seed=seed)
    return {
        "arm": name,
        "augment": True,
        "seed": seed,
        "updates": with_real.updates,
        "learning_rate": rate,
        "only": metrics(classifier.predict_proba(split.X_test), split.y_test),
        "added": metrics(with_real.predict_proba(split.X_test), split.y_test),
        "balanced": metrics(judge.predict_proba(split.X_test), split.y_test),
        "diversity": diversity(gan, split, judge, seed),
        "c2st_auc": c2st_auc(gan, split, settings, seed),
        "seconds": round(took, 1),
        "steps": gan.steps,
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="digits, mnist, ... or a name for your own")
    parser.add_argument("--path", type=Path)
    parser.add_argument("--rows", default=";".join(ROWS), help="separated by semicolons")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30, help="of training, for each learning rate")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    pool = load(arguments.data, arguments.path)
    settings = SETTINGS.get(arguments.data, OWN_DATA)
    path = RESULTS / f"generators-{arguments.data}.json"
    head = {**header(pool, settings, "cpu"), "seconds": arguments.seconds}
    for seed in range(arguments.seeds):
        for name in arguments.rows.split(";"):
            if (name, seed) in {(run["arm"], run["seed"]) for run in store(path, head, [])}:
                continue
            run = run_row(pool, name, seed, arguments.seconds, settings)
            print(
                f"seed {seed}  {name:<34} only {run['only']['acsa']:.2f}  added {run['added']['acsa']:.2f}",
                flush=True,
            )
            store(path, head, [run])


if __name__ == "__main__":
    main()
