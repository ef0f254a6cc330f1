"""find_problems: what speaks against a generator that has just been trained, found in a few seconds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ganaug.data.containers import take
from ganaug.data.labels import label_indices
from ganaug.data.protocol import modality_of
from ganaug.evaluation.comparison import memorization
from ganaug.evaluation.estimates import Entry, average_entries
from ganaug.evaluation.neighbours import Neighbours
from ganaug.evaluation.samples import MIN_HELD_OUT
from ganaug.evaluation.verdict import CHECKS
from ganaug.training.monitor import COLLAPSED_DIVERSITY, MIN_LOGS

# Samples that are drawn, over all classes; of each class at least as many as are held out at least.
N_SAMPLES = 500
# Classes are measured, the smallest first, as long as they have no more training samples than that.
MAX_TRAINING_SAMPLES = 10_000


def find_problems(gan: Any, X: Any, y: np.ndarray, X_held_out: Any, y_held_out: np.ndarray) -> list[str]:
    """Return in one sentence each what speaks against a fitted `ConditionalGAN`; usually nothing.

    These are memorised samples, by the thresholds of a report's verdict, and classes that collapsed in
    training. For more, see `ganaug.evaluation.quality.quality_report`.

    Parameters
    ----------
    gan : ConditionalGAN
        Fitted on `X` and `y`.
    X, y
        Training samples and their labels.
    X_held_out, y_held_out
        Samples of the same kind that it never saw, maybe none. A class with fewer than 20 is not measured.

    Returns
    -------
    list of str
    """
    labels, held_out = (label_indices(part, gan.classes_) for part in (y, y_held_out))
    found = _memorization(gan, X, labels, X_held_out, held_out)
    problems = _memorised(found)
    last = {entry["member"]: entry for entry in gan.history_}
    logs = Counter(entry["member"] for entry in gan.history_)
    if any(logs[m] >= MIN_LOGS and e["min_class_diversity"] < COLLAPSED_DIVERSITY for m, e in last.items()):
        problems.append("mode collapse in training: the samples of a class are all alike.")
    return problems


def _memorization(
    gan: Any, X: Any, labels: np.ndarray, X_held_out: Any, held_out: np.ndarray
) -> dict[Any, Entry]:
    """Return how much of each class is memorised, for the classes where that is cheap to measure."""
    counts, unseen = (np.bincount(part, minlength=len(gan.classes_)) for part in (labels, held_out))
    measurable = np.flatnonzero((unseen >= MIN_HELD_OUT) & (counts > 0))
    measurable = measurable[np.argsort(counts[measurable], kind="stable")]
    cheap = np.cumsum(counts[measurable]) <= MAX_TRAINING_SAMPLES
    cheap[:1] = True
    measured = measurable[cheap]
    if not len(measured):
        return {}
    rng = np.random.RandomState(0)
    neighbours, found = Neighbours(X, modality_of(X, gan)), {}
    n = max(MIN_HELD_OUT, N_SAMPLES // len(measured))
    for c in measured.tolist():
        train = neighbours.encode(take(X, np.flatnonzero(labels == c)))
        new = take(X_held_out, np.flatnonzero(held_out == c)[:N_SAMPLES])
        samples = gan.sample(gan.classes_[np.full(n, c)], random_state=rng.randint(2**31 - 1))
        found[gan.classes_.tolist()[c]] = memorization(neighbours, train, samples, new, rng)
    return found


def _memorised(found: dict[Any, Entry]) -> list[str]:
    """Return whether samples are memorised: of all classes, or else the classes of which they are."""
    if not found:
        return []
    fails = next(check.fails for check in CHECKS if check.measure == "memorization")
    average = average_entries(list(found.values()))
    if fails(average):
        which = f"{100 * (average['value'] or 0):.0f} % of its samples"
    else:
        shares = [f"{label} ({100 * (e['value'] or 0):.0f} %)" for label, e in found.items() if fails(e)]
        which = f"most of its samples of class {', '.join(shares)}" if shares else ""
    close = "are memorised: closer to a training sample than 95 % of held-out samples are"
    return [f"{which} {close}."] if which else []
