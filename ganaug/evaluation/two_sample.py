"""Fidelity of synthetic images: the classifier two-sample test, and the rate of near duplicates."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.utils.class_weight import compute_sample_weight

from ganaug.data.containers import concat, take
from ganaug.evaluation.classifiers import SmallCNNClassifier
from ganaug.evaluation.neighbours import Neighbours

CLASSIFIER_STEPS = 600
# Half of them train the classifier, the other half test it.
MAX_PER_CLASS_COMPARED = 400


def c2st_auc(
    X: Any,
    labels: np.ndarray,
    X_synthetic: Any,
    synthetic_labels: np.ndarray,
    X_held_out: Any,
    held_out_labels: np.ndarray,
    random_state: int = 0,
) -> float:
    """Return how well a classifier distinguishes synthetic from real images, as an area under the ROC curve.

    The classifier is trained on real images that the generator was trained on, and tested on held-out
    ones. Classes weigh alike.

    Parameters
    ----------
    X, X_synthetic, X_held_out : array or Tensor of n images each
        What the generator was trained on, what it generated, and real images that it never saw.
    labels, synthetic_labels, held_out_labels : ndarray of shape (n,), int
        Class indices; `synthetic_labels` must be sorted.
    random_state : int, default=0

    Returns
    -------
    float
        In [0, 1]: 0.5 if the classifier can't distinguish them, 1 if it always can.

    References
    ----------
    Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", ICLR 2017, whose statistic is the
    accuracy instead.
    """
    rank_in_class = np.arange(len(synthetic_labels)) - np.searchsorted(synthetic_labels, synthetic_labels)
    train, test = (
        np.flatnonzero((rank_in_class < MAX_PER_CLASS_COMPARED) & (rank_in_class % 2 == half))
        for half in (0, 1)
    )
    images = concat([X, take(X_synthetic, train)])
    is_synthetic = np.arange(len(images)) >= len(labels)
    weight = _class_balanced_weights(labels, synthetic_labels[train])
    classifier = SmallCNNClassifier(steps=CLASSIFIER_STEPS, random_state=random_state)
    classifier.fit(images, is_synthetic, weight)
    score = classifier.predict_proba(concat([X_held_out, take(X_synthetic, test)]))[:, 1]
    is_synthetic = np.arange(len(score)) >= len(held_out_labels)
    weight = _class_balanced_weights(held_out_labels, synthetic_labels[test])
    return float(roc_auc_score(is_synthetic, score, sample_weight=weight))


def near_duplicate_rate(X: Any, labels: np.ndarray, X_synthetic: Any, synthetic_labels: np.ndarray) -> float:
    """Return the share of synthetic samples that are near duplicates of a training sample of their class.

    A near duplicate is closer to a training sample than 1 % of training samples are to each other.

    Parameters
    ----------
    X, X_synthetic : array, Tensor or DataFrame of n samples each
    labels, synthetic_labels : ndarray of shape (n,), int
        Class indices.
    """
    neighbours = Neighbours(X)
    real = neighbours.by_class(X, labels)
    limit = neighbours.near_duplicate_distance(real)
    near = [
        neighbours.nearest(points, own, limit=limit) <= limit
        for points, own in zip(neighbours.by_class(X_synthetic, synthetic_labels), real, strict=True)
    ]
    return float(np.mean(np.concatenate(near)))


def _class_balanced_weights(*parts: np.ndarray) -> np.ndarray:
    """Return weights by which the classes of each part, given as labels, weigh alike within it."""
    return np.concatenate([compute_sample_weight("balanced", labels) for labels in parts])
