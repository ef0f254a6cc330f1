"""Fold, FoldSamples and FoldResult: a fold, what classifiers train on in it, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganaug.data.containers import concat, take
from ganaug.data.identifiers import without_identifier_warnings
from ganaug.data.labels import fit_clone
from ganaug.data.weights import balanced_weights
from ganaug.selection.candidates import SYNTHETIC_ONLY, Candidate

# Samples of each class that a fold draws. More of them taught a classifier no more.
MAX_PER_CLASS = 1000


def draw_samples(
    gan: Any, X: Any, labels: np.ndarray, classes: np.ndarray, candidates: Sequence[Candidate], seed: int
) -> tuple[Any, np.ndarray]:
    """Fit a GAN on the real samples of a fold; return synthetic ones, and how many there are of each class.

    They are as many as any of the candidates adds, but no more than `MAX_PER_CLASS`.
    """
    counts = np.bincount(labels)
    wanted = np.max([candidate.to_add(counts) for candidate in candidates], axis=0).clip(max=MAX_PER_CLASS)
    with without_identifier_warnings():
        generator = fit_clone(gan, X, classes[labels], seed)
    return generator.sample(np.repeat(classes, wanted), random_state=seed), wanted


class FoldSamples:
    """The real samples of a fold, and those of a GAN fitted on them; each candidate takes the first ones.

    A candidate that adds more than `MAX_PER_CLASS` to a class gives the samples it gets as much weight.
    """

    def __init__(self, X: Any, labels: np.ndarray, synthetic: Any, n_synthetic: np.ndarray) -> None:
        self.X = X
        self.labels = labels
        self.counts: np.ndarray = np.bincount(labels)
        self.n_synthetic = n_synthetic
        self.synthetic = synthetic
        self.y_synthetic: np.ndarray = np.repeat(np.arange(len(n_synthetic)), n_synthetic)
        self.offsets: np.ndarray = np.cumsum(self.n_synthetic) - self.n_synthetic

    @property
    def parts(self) -> tuple[Any, np.ndarray, Any, np.ndarray]:
        """The real samples and their class indices, then the synthetic ones and theirs."""
        return self.X, self.labels, self.synthetic, self.y_synthetic

    def training_set(self, candidate: Candidate) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return samples, class indices and weights."""
        if candidate == SYNTHETIC_ONLY:
            n = len(self.y_synthetic)
            return self.synthetic, self.y_synthetic, np.full(n, len(self.labels) / n)
        added = np.minimum(candidate.to_add(self.counts), self.n_synthetic)
        indices = np.concatenate(
            [offset + np.arange(n) for offset, n in zip(self.offsets, added, strict=True)]
        )
        labels = np.concatenate([self.labels, np.repeat(np.arange(len(added)), added)])
        synthetic = np.arange(len(labels)) >= len(self.labels)
        shares = dict(enumerate(candidate.synthetic_shares(self.counts)))
        weight = balanced_weights(labels, synthetic, shares)
        return concat([self.X, take(self.synthetic, indices)]), labels, weight


@dataclass(frozen=True)
class Fold:
    """The positions of what a fold trains on and of what it holds out, and a seed."""

    train: np.ndarray
    test: np.ndarray
    seed: int


@dataclass(frozen=True)
class FoldResult:
    """What was found on one fold.

    Attributes
    ----------
    test : ndarray of shape (n,)
        The samples that were held out.
    proba : dict of Candidate to ndarray of shape (n, n_classes)
        What the classifier that a candidate trained says of them.
    c2st_auc, near_duplicate_rate : float or None
        Of images only.
    """

    test: np.ndarray
    proba: dict[Candidate, np.ndarray]
    c2st_auc: float | None = None
    near_duplicate_rate: float | None = None
