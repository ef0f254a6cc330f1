"""quality_report: how real, varied, new and useful synthetic rows are, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from ganaug.data.containers import concat
from ganaug.data.weights import balanced_weights
from ganaug.evaluation.measures import K, frechet_distance, kernel_distance, prdc
from ganaug.evaluation.neighbours import Neighbours

N_BOOTSTRAP = 200  # of a bootstrap
NEAREST = 0.05  # of the held-out rows lie as near to a training row as what counts as memorised
LEAST_KID = 50  # rows of a class, from which its kernel distance says something
SHARE = 0.8  # of the draws of a class that synthetic rows get where they are added
YARDSTICK = 2000  # rows at most by which floor and bad generators are measured
LEAST_HELD = 20  # rows of a class that were held out, from which they say something of it
PAIRS = 500  # rows of which all pairwise distances are taken
NEGATIVE_CONTROLS = ("noise", "train_copies", "single_mode")

Entry = dict[str, float | None]


def compare_distributions(
    real: Tensor,
    fake: Tensor,
    noise: Tensor,
    random: np.random.RandomState,
    *,
    mix: np.ndarray | None = None,
) -> dict[str, Entry]:
    """Return fidelity, coverage and diversity, with the floor and what bad generators score.

    `mix`, where there are several classes, are the synthetic rows whose distribution is to be
    compared, FID and KID: of the classes as often as among the real ones.
    """
    order = random.permutation(len(real))[:YARDSTICK]
    half = len(order) // 2
    some, n = real[order], min(len(fake), YARDSTICK)
    # How much is covered depends on how many rows there are to each real one.
    others = some[half:][: -(-half * len(fake) // len(real))]
    picks = {
        "value": (real, fake),
        "real": (some[:half], others),
        "noise": (some, noise[random.permutation(len(noise))[:n]]),
        "train_copies": (some, some[random.randint(len(some), size=n)]),
        "single_mode": (some, some[:1].expand(n, -1)),
    }
    names = ["precision", "recall", "density", "coverage", "authenticity", "diversity", "kernel_distance"]
    names += [] if mix is None else ["frechet_distance"]
    measures: dict[str, Entry] = {
        name: dict.fromkeys(("value", "low", "high", "real", *NEGATIVE_CONTROLS)) for name in names
    }
    for kind, (theirs, ours) in picks.items():
        k = min(K, len(theirs) - 1, len(ours) - 1)
        if k < 1:
            continue
        for name, rows in prdc(theirs, ours, k).items():
            measures[name][kind] = float(rows.mean())
            if kind == "value":
                measures[name]["low"], measures[name]["high"] = _interval(rows.numpy(), random)
        spread = _spread(theirs, random)
        if spread > 0:
            measures["diversity"][kind] = _spread(ours, random) / spread
        if kind == "value" and mix is not None:
            ours = fake[torch.from_numpy(mix)]
        if min(len(theirs), len(ours)) >= LEAST_KID:
            mean, deviation = kernel_distance(theirs, ours)
            measures["kernel_distance"][kind] = mean
            if kind == "value":
                measures["kernel_distance"]["low"], measures["kernel_distance"]["high"] = (
                    mean - 2 * deviation,
                    mean + 2 * deviation,
                )
        # It takes seconds, and says nothing of copies and of one mode that diversity does not. It
        # depends on the number of rows: half as many as there are, since there are no more for the floor.
        if mix is not None and min(half, len(ours)) > 1 and kind in ("value", "real", "noise"):
            drawn = (rows[random.permutation(len(rows))[:half]] for rows in (theirs, ours))
            measures["frechet_distance"][kind] = frechet_distance(*drawn)
    if measures["diversity"]["value"] is not None:
        spreads = [_spread(fake[random.randint(len(fake), size=len(fake))], random, 100) for _ in range(30)]
        scale = measures["diversity"]["value"] / max(float(np.mean(spreads)), 1e-12)
        measures["diversity"]["low"], measures["diversity"]["high"] = (
            float(np.quantile(spreads, q) * scale) for q in (0.025, 0.975)
        )
    return measures


def match_class_frequencies(made_labels: np.ndarray, real_labels: np.ndarray) -> np.ndarray:
    """Return as many synthetic rows as there are in which classes are as frequent as among real ones."""
    made, real = np.bincount(made_labels), np.bincount(real_labels)
    numbers = np.maximum(1, (np.min(made / real) * real).astype(int))
    return np.concatenate([np.flatnonzero(made_labels == c)[:n] for c, n in enumerate(numbers)])


def _spread(rows: Tensor, random: np.random.RandomState, most: int = PAIRS) -> float:
    """Return the mean distance of two rows."""
    some = rows[random.permutation(len(rows))[:most]]
    return float(torch.pdist(some).mean()) if len(some) > 1 else 0.0


def _interval(rows: np.ndarray, random: np.random.RandomState) -> tuple[float, float]:
    """Return the interval of a mean, by bootstrap over rows."""
    means = [rows[random.randint(len(rows), size=len(rows))].mean() for _ in range(N_BOOTSTRAP)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def memorization(
    space: Neighbours, points: Any, rows: Any, held: Any, random: np.random.RandomState
) -> Entry:
    """Return how many rows are copies: pixel by pixel, up to a shift; of tables column by column."""
    entry: Entry = dict.fromkeys(("value", "low", "high", "real", *NEGATIVE_CONTROLS))
    if held is None:
        return entry
    distances = space.nearest(space.encode(held), points).numpy()
    bound = float(np.quantile(distances, NEAREST))
    copied = (space.nearest(space.encode(rows), points).numpy() <= bound).astype(float)
    low, high = _interval(copied, random)
    known = {"value": float(copied.mean()), "low": low, "high": high}
    # A copy is at distance 0, which no bound is under.
    return {**entry, **known, "real": float(np.mean(distances <= bound)), "train_copies": 1.0}


def downstream_scores(
    real_only: Any,
    X: Any,
    labels: np.ndarray,
    made: Any,
    made_labels: np.ndarray,
    X_test: Any,
    test_labels: np.ndarray,
    n_classes: int,
    random: np.random.RandomState,
) -> dict[str, list[Entry]]:
    """Return recalls of classifiers with and without synthetic rows, of each class and over all."""
    right, on_made = real_only.predict(X_test) == test_labels, real_only.predict(made) == made_labels
    only = clone(real_only).fit(made, made_labels).predict(X_test) == test_labels
    both = np.concatenate([labels, made_labels])
    weight = balanced_weights(
        both, np.arange(len(both)) >= len(labels), dict.fromkeys(range(n_classes), SHARE)
    )
    added = clone(real_only).fit(concat([X, made]), both, weight).predict(X_test) == test_labels
    names = {
        "tstr": (only, test_labels, right),
        "trts": (on_made, made_labels, None),
        "augmentation_gain": (added.astype(float) - right, test_labels, None),
    }
    return {
        name: _by_class_and_over_all(np.asarray(rows, float), own, n_classes, floor, random)
        for name, (rows, own, floor) in names.items()
    }


def _by_class_and_over_all(
    rows: np.ndarray, own: np.ndarray, n_classes: int, floor: np.ndarray | None, random: np.random.RandomState
) -> list[Entry]:
    """Return the mean of each class, and last the mean of these means; nothing of a class without rows."""
    nothing: Entry = dict.fromkeys(("value", "low", "high", "real", *NEGATIVE_CONTROLS))
    present = np.unique(own)
    parts = [rows[own == c] for c in present]
    means = np.array([part.mean() for part in parts])
    draws = np.array(
        [[p[random.randint(len(p), size=len(p))].mean() for _ in range(N_BOOTSTRAP)] for p in parts]
    )
    floors = None if floor is None else np.array([floor[own == c].mean() for c in present])
    entries = [nothing] * (n_classes + 1)
    every = list(range(len(present)))
    for place, which in zip([*present, n_classes], [*([i] for i in every), every], strict=True):
        low, high = np.quantile(draws[which].mean(0), [0.025, 0.975])
        entries[place] = {
            **nothing,
            "value": float(means[which].mean()),
            "low": float(low),
            "high": float(high),
            "real": None if floors is None else float(floors[which].mean()),
        }
    return entries


def mean_entry(entries: list[Entry]) -> Entry:
    """Return the mean over classes, of what each has."""
    keys = entries[0]
    values = {key: [v for entry in entries if (v := entry[key]) is not None] for key in keys}
    return {key: float(np.mean(own)) if own else None for key, own in values.items()}
