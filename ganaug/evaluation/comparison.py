"""Comparisons of synthetic with real samples: their distributions, memorization and downstream scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from torch import Tensor

from ganaug.data.containers import concat
from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE, balanced_weights
from ganaug.evaluation.estimates import (
    Entry,
    bootstrap,
    bootstrap_means,
    interval,
    macro_average,
    make_entry,
)
from ganaug.evaluation.measures import (
    NEAREST_K,
    frechet_distance,
    inception_score,
    kernel_distance,
    mean_pairwise_distance,
    pairwise_distance_ratio,
    prdc,
)
from ganaug.evaluation.neighbours import Neighbours, Points
from ganaug.evaluation.samples import MIN_HELD_OUT, LabeledSamples

# A sample counts as memorized if it lies as close to a training sample as this share of held-out ones.
CLOSE_QUANTILE = 0.05
MIN_SAMPLES_KID = 50
# References need not be as large as the sets that are measured.
MAX_REFERENCE_SAMPLES = 2000
# Of the kernel distance: enough for a mean. What is measured has more, for an interval.
N_REFERENCE_SUBSETS = 3
# Draws of the diversity are fewer and smaller, since all pairs of samples are compared each time.
N_DIVERSITY_DRAWS, MAX_DIVERSITY_SAMPLES = 30, 100
# Enough for a standard deviation; with many classes each takes long.
N_INCEPTION_DRAWS = 50


def compare_distributions(
    real: Tensor,
    fake: Tensor,
    noise: Tensor,
    rng: np.random.RandomState,
    *,
    matched: np.ndarray | None = None,
) -> dict[str, Entry]:
    """Return fidelity, coverage and diversity, beside what real samples and negative controls score.

    Parameters
    ----------
    real, fake, noise : Tensor of shape (n, n_features)
    rng : RandomState
    matched : ndarray of int, optional
        Indices of fake samples among which classes are as frequent as among real ones: what the
        Fréchet and kernel distances compare. None: all, of one class, without the Fréchet distance.
    """
    references = _reference_pairs(real, fake, noise, rng)
    names = ["precision", "recall", "density", "coverage", "authenticity", "diversity", "kernel_distance"]
    names += [] if matched is None else ["frechet_distance"]
    measures = {name: make_entry() for name in names}
    for key, (reference, compared) in {"value": (real, fake), **references}.items():
        k = min(NEAREST_K, len(reference) - 1, len(compared) - 1)
        if k < 1:
            continue
        for name, scores in prdc(reference, compared, k).items():
            measures[name][key] = float(scores.mean())
            if key == "value":
                measures[name] |= interval(bootstrap_means(scores.numpy(), rng))
        measures["diversity"][key] = pairwise_distance_ratio(reference, compared, rng)
        mixed = fake[matched] if key == "value" and matched is not None else compared
        if min(len(reference), len(mixed)) >= MIN_SAMPLES_KID:
            if key == "value":
                mean, std = kernel_distance(reference, mixed)
                measures["kernel_distance"] |= {"low": mean - 2 * std, "high": mean + 2 * std}
            else:
                mean, _ = kernel_distance(reference, mixed, subsets=N_REFERENCE_SUBSETS)
            measures["kernel_distance"][key] = mean
        # The Fréchet distance takes seconds, and tells nothing of the other controls that diversity does not.
        if matched is not None and key in ("value", "real", "noise"):
            half = len(references["real"][0])
            measures["frechet_distance"][key] = _frechet_distance_of(half, reference, mixed, rng)
    if measures["diversity"]["value"] is not None:
        measures["diversity"] |= _diversity_interval(measures["diversity"]["value"], fake, rng)
    return measures


def _reference_pairs(
    real: Tensor, fake: Tensor, noise: Tensor, rng: np.random.RandomState
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return, of real samples and of each negative control, the two sets to compare."""
    order = rng.permutation(len(real))[:MAX_REFERENCE_SAMPLES]
    half, n = len(order) // 2, min(len(fake), MAX_REFERENCE_SAMPLES)
    chosen = real[order]
    # Coverage depends on how many samples there are to each real one: take as many, rounded up.
    n_others = -(-half * len(fake) // len(real))
    return {
        "real": (chosen[:half], chosen[half:][:n_others]),
        "noise": (chosen, noise[rng.permutation(len(noise))[:n]]),
        "train_copies": (chosen, chosen[rng.randint(len(chosen), size=n)]),
        "single_mode": (chosen, chosen[:1].expand(n, -1)),
    }


def _frechet_distance_of(n: int, real: Tensor, fake: Tensor, rng: np.random.RandomState) -> float | None:
    """Return the distance of `n` samples of each set: it depends on their number, so all use the same."""
    if min(n, len(fake)) < 2:
        return None
    real, fake = (features[rng.permutation(len(features))[:n]] for features in (real, fake))
    return frechet_distance(real, fake)


def _diversity_interval(value: float, fake: Tensor, rng: np.random.RandomState) -> dict[str, float]:
    def distance(index: np.ndarray) -> float:
        return mean_pairwise_distance(fake[index], rng, MAX_DIVERSITY_SAMPLES)

    draws = bootstrap(distance, len(fake), rng, N_DIVERSITY_DRAWS)
    # Duplicates among the draws make them less diverse than the set: rescale them to its value.
    scale = value / max(float(np.mean(draws)), 1e-12)
    return {end: bound * scale for end, bound in interval(draws).items()}


def match_class_frequencies(fake_labels: np.ndarray, real_labels: np.ndarray) -> np.ndarray:
    """Return indices of as many fake samples as can be had with the class frequencies of the real ones."""
    fake_counts, real_counts = np.bincount(fake_labels), np.bincount(real_labels)
    counts = np.maximum(1, (np.min(fake_counts / real_counts) * real_counts).astype(int))
    return np.concatenate([np.flatnonzero(fake_labels == c)[:n] for c, n in enumerate(counts)])


def inception(
    extract: Callable[[LabeledSamples], LabeledSamples],
    real: LabeledSamples,
    fake: LabeledSamples,
    noise: LabeledSamples,
    held_out: LabeledSamples,
    rng: np.random.RandomState,
) -> Entry:
    """Return the Inception Score, beside what held-out samples and negative controls score.

    Parameters
    ----------
    extract : callable
        Returns the class probabilities of samples as a Tensor (n, n_classes), with their labels.
    real, fake, noise, held_out : LabeledSamples
        All are measured with the class frequencies of the first, on which the score depends. Of the last,
        each class must have at least `MIN_HELD_OUT`.
    rng : RandomState
    """

    def score(samples: LabeledSamples) -> float:
        return inception_score(extract(samples.take(match_class_frequencies(samples.y, real.y))).X)

    found = extract(fake.take(match_class_frequencies(fake.y, real.y)))
    # How many samples a class has is not left to chance, so each class is drawn from by itself.
    members = [np.flatnonzero(found.y == c) for c in np.unique(found.y)]
    draws = [
        inception_score(found.X[np.concatenate([rng.choice(own, len(own)) for own in members])])
        for _ in range(N_INCEPTION_DRAWS)
    ]
    unseen = np.min(np.bincount(held_out.y, minlength=int(np.max(real.y)) + 1))
    value, margin = inception_score(found.X), 2 * float(np.std(draws))
    return make_entry(
        value=value,
        low=value - margin,
        high=value + margin,
        real=score(held_out) if unseen >= MIN_HELD_OUT else None,
        noise=score(noise),
        train_copies=score(real),
        # The same sample over and over has the same probabilities.
        single_mode=1.0,
    )


def memorization(
    neighbours: Neighbours, train: Points, synthetic: Any, held_out: Any, rng: np.random.RandomState
) -> Entry:
    """Return the share of samples of a class that are closer to a training sample than 5 % of held-out ones.

    Without held-out samples (None) the entry is empty.
    """
    if held_out is None:
        return make_entry()
    distances = neighbours.nearest(neighbours.encode(held_out), train).numpy()
    bound = float(np.quantile(distances, CLOSE_QUANTILE))
    close = (neighbours.nearest(neighbours.encode(synthetic), train).numpy() <= bound).astype(float)
    return make_entry(
        value=float(close.mean()),
        **interval(bootstrap_means(close, rng)),
        real=float(np.mean(distances <= bound)),
        # An exact copy has distance 0, so it always counts.
        train_copies=1.0,
    )


def downstream_scores(
    real_classifier: Any,
    train: LabeledSamples,
    synthetic: LabeledSamples,
    held_out: LabeledSamples,
    n_classes: int,
    rng: np.random.RandomState,
) -> dict[str, tuple[list[Entry], Entry]]:
    """Return recalls of classifiers trained with and without synthetic samples.

    Parameters
    ----------
    real_classifier : classifier
        Trained on `train`; clones of it are trained on the other sets.
    train, synthetic, held_out : LabeledSamples
    n_classes : int
    rng : RandomState

    Returns
    -------
    dict
        "tstr", "trts" and "augmentation_gain": an entry for each class, and their macro average.
    """

    def correct(classifier: Any, tested: LabeledSamples) -> np.ndarray:
        return (classifier.predict(tested.X) == tested.y).astype(float)

    real_correct = correct(real_classifier, held_out)
    trts_correct = correct(real_classifier, synthetic)
    tstr_correct = correct(clone(real_classifier).fit(synthetic.X, synthetic.y), held_out)
    X, y = concat([train.X, synthetic.X]), np.concatenate([train.y, synthetic.y])
    shares = dict.fromkeys(range(n_classes), DEFAULT_SYNTHETIC_SHARE)
    weight = balanced_weights(y, np.arange(len(y)) >= len(train), shares)
    gain = correct(clone(real_classifier).fit(X, y, weight), held_out) - real_correct
    return {
        "tstr": macro_average(tstr_correct, held_out.y, n_classes, rng, real_correct),
        "trts": macro_average(trts_correct, synthetic.y, n_classes, rng),
        "augmentation_gain": macro_average(gain, held_out.y, n_classes, rng),
    }
