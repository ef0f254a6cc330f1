"""Entries of a report: an estimate, its bootstrap interval, and what reference sets score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

N_BOOTSTRAP = 200
NEGATIVE_CONTROLS = ("noise", "train_copies", "single_mode")
# "real" is what real samples score against other real samples.
REFERENCES = ("real", *NEGATIVE_CONTROLS)
KEYS = ("value", "low", "high", *REFERENCES)

Entry = dict[str, float | None]


def make_entry(**known: float | None) -> Entry:
    """Return an entry with all keys; None for those that are not known."""
    return {**dict.fromkeys(KEYS), **known}


def average_entries(entries: Sequence[Entry]) -> Entry:
    """Return the mean of each key over the entries that know it."""
    values = {key: [v for entry in entries if (v := entry[key]) is not None] for key in KEYS}
    return {key: float(np.mean(known)) if known else None for key, known in values.items()}


def bootstrap(
    statistic: Callable[[np.ndarray], Any],
    n_samples: int,
    rng: np.random.RandomState,
    n_draws: int = N_BOOTSTRAP,
) -> np.ndarray:
    """Return a statistic of the indices of samples, each time drawn with replacement, (n_draws,)."""
    return np.array([statistic(rng.randint(n_samples, size=n_samples)) for _ in range(n_draws)])


def bootstrap_means(values: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Return the means of bootstrap samples of the values."""
    return bootstrap(lambda index: values[index].mean(), len(values), rng)


def interval(draws: np.ndarray) -> dict[str, float]:
    """Return the ends "low" and "high" of the 95 % percentile interval of bootstrap draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def macro_average(
    scores: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    rng: np.random.RandomState,
    real_scores: np.ndarray | None = None,
) -> tuple[list[Entry], Entry]:
    """Return the mean score of each class, and the mean of these means.

    Parameters
    ----------
    scores : ndarray of shape (n,), float
        One of each sample.
    labels : ndarray of shape (n,), int
        Class indices. A class without samples has an empty entry, and no part in the mean.
    n_classes : int
    rng : RandomState
        Draws the bootstrap samples, class by class.
    real_scores : ndarray of shape (n,), optional
        What the reference of real samples scores on the same samples.
    """
    present = np.unique(labels)
    means = np.array([scores[labels == c].mean() for c in present])
    draws = np.array([bootstrap_means(scores[labels == c], rng) for c in present])
    real = None if real_scores is None else np.array([real_scores[labels == c].mean() for c in present])

    def entry(rows: list[int]) -> Entry:
        return make_entry(
            value=float(means[rows].mean()),
            **interval(draws[rows].mean(0)),
            real=None if real is None else float(real[rows].mean()),
        )

    per_class = [make_entry() for _ in range(n_classes)]
    for row, c in enumerate(present):
        per_class[c] = entry([row])
    return per_class, entry(list(range(len(present))))
