"""Classic GANs and ours in one loop: how well a classifier learns from the images of each.

    python -m benchmarks.generators --data digits --seeds 3 --seconds 30
    python -m benchmarks.generators --data cifar10 --path cifar10.zip --quick --seeds 1 --seconds 60 \
        --learning-rates 1e-3

Every generator gets the same seconds of CPU time to train, for each learning rate. Kept is the rate with the
better classifier trained on synthetic images only, by validation data. Each run is written to
benchmarks/results/generators-DATA.json when it ends. Runs that are there are not repeated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from benchmarks.arms import Context, class_balanced, oversampler_1000, synthetic_only
from benchmarks.classifier import Classifier, Settings, TrainingSet, train
from benchmarks.datasets import Split, SplitSource, load
from benchmarks.gain import OWN_DATA, QUICK_HELP, RESULTS, SETTINGS, header, metrics, quick, store
from ganaug import ConditionalGAN
from ganaug.evaluation.measures import pairwise_distance_ratio

DEFAULTS = "ConditionalGAN defaults"
GENERATORS: dict[str, dict[str, Any]] = {
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
    "WGAN, clipping, RMSprop": {
        "architecture": "dcgan",
        "loss": "wasserstein",
        "penalty": "weight-clipping",
        "optimizer": "rmsprop",
    },
    "DCGAN, L1 on weights": {"architecture": "dcgan", "loss": "non-saturating", "penalty": "l1"},
    "DCGAN, L2 on weights": {"architecture": "dcgan", "loss": "non-saturating", "penalty": "l2"},
    "DCGAN, SGD": {"architecture": "dcgan", "loss": "non-saturating", "penalty": "none", "optimizer": "sgd"},
    "DCGAN, four discriminators": {
        "architecture": "dcgan",
        "loss": "non-saturating",
        "penalty": "none",
        "discriminators": 4,
    },
    "DCGAN, the hardest of four discriminators": {
        "architecture": "dcgan",
        "loss": "non-saturating",
        "penalty": "none",
        "discriminators": 4,
        "discriminator_loss": "hardest",
    },
    "DCGAN, four generators": {
        "architecture": "dcgan",
        "loss": "non-saturating",
        "penalty": "none",
        "generators": 4,
    },
    "SNGAN": {"architecture": "sngan", "loss": "hinge", "penalty": "none"},
    "BigGAN, small": {"architecture": "biggan", "loss": "hinge", "penalty": "none"},
    "BigGAN, small, truncated": {
        "architecture": "biggan",
        "loss": "hinge",
        "penalty": "none",
        "truncation": 1.0,
    },
    "progressive growing": {
        "architecture": "progressive",
        "loss": "wasserstein",
        "penalty": "wgan-gp",
        "penalty_weight": 10.0,
    },
    "style-based": {"architecture": "style-based", "loss": "non-saturating", "penalty": "r1"},
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
    DEFAULTS: {},
    f"{DEFAULTS}, early stopping": {"early_stopping": 4},
}
LEARNING_RATES = (2e-4, 1e-3)
# Steps of the short training that tells how long one step takes.
TIMING_STEPS = 12
# Images of each class whose pairwise distances are measured.
DIVERSITY_IMAGES = 200


def fit_for(seconds: float, split: Split, seed: int, options: dict[str, Any]) -> tuple[ConditionalGAN, float]:
    """Return a GAN trained for about `seconds` of CPU time, and the seconds it took."""
    timed = ConditionalGAN(**options, steps=TIMING_STEPS, random_state=seed)
    timed.fit(split.X, split.y)  # the first call also warms up
    start = time.process_time()  # others may use the machine, too
    timed.fit(split.X, split.y)
    seconds_per_step = (time.process_time() - start) / TIMING_STEPS
    steps = max(10, int(seconds / seconds_per_step))
    start = time.process_time()
    gan = ConditionalGAN(**options, steps=steps, random_state=seed).fit(split.X, split.y)
    return gan, time.process_time() - start


def diversity(gan: ConditionalGAN, split: Split, reference: Classifier, seed: int) -> float:
    """Return the mean pairwise distance of synthetic images of a class over that of test images.

    Distances are taken in the features of a reference classifier; returned is the mean over classes.
    """
    ratios = []
    for c in np.unique(split.y):
        synthetic = gan.sample(np.repeat(c, DIVERSITY_IMAGES), random_state=seed)
        real = split.X_test[split.y_test == c][:DIVERSITY_IMAGES]
        features = (torch.from_numpy(reference.features(X)).double() for X in (real, synthetic))
        ratios.append(pairwise_distance_ratio(*features))
    return float(np.mean([ratio for ratio in ratios if ratio is not None]))


def c2st_accuracy(gan: ConditionalGAN, split: Split, settings: Settings, seed: int) -> float:
    """Return the accuracy of a classifier two-sample test (C2ST), in percent.

    A classifier is trained to distinguish synthetic images from real ones that the generator never
    saw, as many of each class. It is trained on seven in ten of both and tested on the others. 50 is
    the best a generator can get, 100 the worst. See Lopez-Paz & Oquab, ICLR 2017; the package's own
    `c2st_auc` is the area under the ROC curve instead.
    """
    labels = np.concatenate([split.y_validation, split.y_test])
    real = np.concatenate([split.X_validation, split.X_test])
    synthetic = gan.sample(labels, random_state=seed)
    train_indices, test_indices = train_test_split(
        np.arange(len(labels)), test_size=0.3, stratify=labels, random_state=seed
    )
    images = np.concatenate([real[train_indices], synthetic[train_indices]])
    is_real = np.repeat([1, 0], len(train_indices))
    classifier = train(TrainingSet(images, is_real, np.ones(len(images))), settings, augment=True, seed=seed)
    correct = [
        classifier.predict_proba(part[test_indices]).argmax(1) == answer
        for part, answer in ((real, 1), (synthetic, 0))
    ]
    return 100 * float(np.mean(correct))


def run_generator(
    source: SplitSource,
    name: str,
    seed: int,
    seconds: float,
    settings: Settings,
    rates: Sequence[float],
    references: dict[int, Classifier],
) -> dict | None:
    """Train a generator with each learning rate and measure the better one; None if it diverged with all.

    `references` are classifiers trained on real images, by seed; what is missing is added.
    """
    split = source.split(seed)
    context = Context(split.X, split.y, seed)
    trials = []
    for rate in rates:
        try:
            gan, took = fit_for(seconds, split, seed, {**GENERATORS[name], "learning_rate": rate})
        except RuntimeError as exc:  # it diverged
            print(f"seed {seed}  {name}, learning rate {rate:g}: {exc}", flush=True)
            continue
        context.use(gan)
        classifier = train(synthetic_only(context), settings, augment=True, seed=seed)
        validation = metrics(classifier.predict_proba(split.X_validation), split.y_validation)
        trials.append((validation["balanced_accuracy"], rate, gan, took, classifier))
    if not trials:
        return None
    _, rate, gan, took, alone = max(trials, key=lambda trial: trial[0])
    context.use(gan)
    both = train(oversampler_1000(context), settings, augment=True, seed=seed)
    if seed not in references:
        references[seed] = train(class_balanced(context), settings, augment=True, seed=seed)
    reference = references[seed]
    return {
        "arm": name,
        "augment": True,
        "seed": seed,
        "updates": both.updates,
        "learning_rate": rate,
        "synthetic_only": metrics(alone.predict_proba(split.X_test), split.y_test),
        "real_and_synthetic": metrics(both.predict_proba(split.X_test), split.y_test),
        "class_balanced": metrics(reference.predict_proba(split.X_test), split.y_test),
        "diversity": diversity(gan, split, reference, seed),
        "c2st_accuracy": c2st_accuracy(gan, split, settings, seed),
        "seconds": round(took, 1),
        "steps": gan.steps,
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True, help="digits, mnist, ... or a name for your own")
    parser.add_argument("--path", type=Path)
    parser.add_argument("--generators", default=";".join(GENERATORS), help="separated by semicolons")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=30, help="of CPU time to train, for each learning rate"
    )
    parser.add_argument("--quick", action="store_true", help=QUICK_HELP)
    parser.add_argument(
        "--learning-rates", default=",".join(map(str, LEARNING_RATES)), help="comma-separated"
    )
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    source = load(arguments.data, arguments.path)
    settings = SETTINGS.get(arguments.data, OWN_DATA)
    rates = [float(rate) for rate in arguments.learning_rates.split(",")]
    data_name = arguments.data
    if arguments.quick:
        data_name, settings = f"{data_name}-quick", quick(settings)
    path = RESULTS / f"generators-{data_name}.json"
    head = {**header(source, settings, "cpu"), "seconds": arguments.seconds, "learning_rates": rates}
    references: dict[int, Classifier] = {}
    for seed in range(arguments.seeds):
        for name in arguments.generators.split(";"):
            if (name, seed) in {(run["arm"], run["seed"]) for run in store(path, head, [])}:
                continue
            run = run_generator(source, name, seed, arguments.seconds, settings, rates, references)
            if run is None:
                continue
            print(
                f"seed {seed}  {name:<46} synthetic only {run['synthetic_only']['balanced_accuracy']:.2f}"
                f"  real and synthetic {run['real_and_synthetic']['balanced_accuracy']:.2f}",
                flush=True,
            )
            store(path, head, [run])


if __name__ == "__main__":
    main()
