"""FidelityCheck: whether images look like real ones, are new, and teach by themselves what real ones teach."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.utils.class_weight import compute_sample_weight

from ganaug.data.containers import concat, take
from ganaug.evaluation.classifiers import SmallCNNClassifier
from ganaug.evaluation.neighbours import Neighbours

CLASSIFIER_STEPS = 600  # of the classifier that tells synthetic images from real ones
MAX_PER_CLASS_COMPARED = 400  # images of each class, at most: half to learn from, half to be tested on


def c2st_auc(
    X: Any,
    labels: np.ndarray,
    made: Any,
    made_labels: np.ndarray,
    held_out: Any,
    held_labels: np.ndarray,
    random_state: int = 0,
) -> float:
    """Return how well a classifier tells synthetic images from real ones, as the area under its ROC curve.

    0.5 of what can't be told, 1 of what is told without fail. It learns to tell from images that the
    generator was trained on, and is tested on held-out ones. Classes weigh alike.

    Parameters
    ----------
    X, made, held_out : images, n of each
        What the generator was trained on, what it made, and real ones that it never saw.
    labels, made_labels, held_labels : ndarray of shape (n,)
        Class indices; `made_labels` in order.
    """
    place = np.arange(len(made_labels)) - np.searchsorted(made_labels, made_labels)  # within its class
    learnt, tested = [
        np.flatnonzero((place < MAX_PER_CLASS_COMPARED) & (place % 2 == part)) for part in (0, 1)
    ]
    rows = concat([X, take(made, learnt)])
    is_made = np.arange(len(rows)) >= len(labels)
    weight = _evenly(labels, made_labels[learnt])
    model = SmallCNNClassifier(steps=CLASSIFIER_STEPS, random_state=random_state).fit(rows, is_made, weight)
    score = model.predict_proba(concat([held_out, take(made, tested)]))[:, 1]
    is_made = np.arange(len(score)) >= len(held_labels)
    weight = _evenly(held_labels, made_labels[tested])
    return float(roc_auc_score(is_made, score, sample_weight=weight))


def near_duplicate_rate(X: Any, labels: np.ndarray, made: Any, made_labels: np.ndarray) -> float:
    """Return the share of rows that lie as near to a training row of their class as hardly two of these do.

    Parameters
    ----------
    X, made : rows, n of each
    labels, made_labels : ndarray of shape (n,)
        Class indices.
    """
    neighbours = Neighbours(X)
    real = neighbours.by_class(X, labels)
    limit = neighbours.too_near(real)
    copied = [
        neighbours.nearest(points, own, limit=limit) <= limit
        for points, own in zip(neighbours.by_class(made, made_labels), real, strict=True)
    ]
    return float(np.mean(np.concatenate(copied)))


def _evenly(*parts: np.ndarray) -> np.ndarray:
    """Return weights by which the classes of each part weigh alike."""
    return np.concatenate([compute_sample_weight("balanced", labels) for labels in parts])
