"""ClassQueue: which of the samples that are proposed for a class are accepted, and which are in reserve."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ganaug.data.containers import concat, take
from ganaug.data.user_warnings import warn_user
from ganaug.evaluation.neighbours import Neighbours, Points

# More samples are proposed than the acceptance rate asks for: another round costs more.
PROPOSAL_MARGIN = 1.1
# A hopeless generator shall not be asked for ever more samples.
MIN_ACCEPTANCE_RATE = 0.5
REASONS = ("misclassified", "near_duplicate", "duplicate")


class ClassQueue:
    """What was proposed for one class in a call: the accepted samples, and a reserve of rejected ones.

    Parameters
    ----------
    neighbours : Neighbours
    positions : ndarray of shape (n,)
        Where in the result the samples of the class go.
    real : Points
        The training samples of the class.
    duplicate_distance : float

    Attributes
    ----------
    accepted : list
        Blocks of samples.
    reserve : (scores, samples) or None
        Of the rejected samples those that would fill places, in this order.
    report : dict
    """

    def __init__(
        self, neighbours: Neighbours, positions: np.ndarray, real: Points, duplicate_distance: float
    ) -> None:
        self.neighbours = neighbours
        self.positions = positions
        self.real = real
        self.duplicate_distance = duplicate_distance
        self.accepted: list[Any] = []
        self.accepted_points: Points | None = None
        self.reserve: tuple[np.ndarray, Any] | None = None
        self.report: dict[str, int] = dict.fromkeys(("proposed", "accepted", *REASONS, "fallback"), 0)

    @property
    def n_missing(self) -> int:
        """How many positions have no accepted sample yet."""
        return len(self.positions) - self.report["accepted"]

    def n_to_propose(self) -> int:
        """Return how many samples to ask for, by the acceptance rate so far."""
        rate = self.report["accepted"] / self.report["proposed"] if self.report["proposed"] else 1.0
        return math.ceil(PROPOSAL_MARGIN * self.n_missing / max(rate, MIN_ACCEPTANCE_RATE))

    def accept(
        self, samples: Any, score: np.ndarray, misclassified: np.ndarray, rng: np.random.RandomState
    ) -> None:
        """Accept as many of the proposed samples as are missing and good; put others in reserve."""
        limit = self.duplicate_distance
        points = self.neighbours.encode(samples)
        seen = points if self.accepted_points is None else Points.concat(self.accepted_points, points)
        distance = partial(self.neighbours.nearest, points, limit=limit)
        near_duplicate = (distance(self.real, where=~misclassified) <= limit).numpy()
        candidates = ~(misclassified | near_duplicate)
        duplicate = (distance(seen, "earlier", where=candidates) <= limit).numpy()
        good = candidates & ~duplicate
        self.report["proposed"] += len(samples)
        for reason, mask in zip(REASONS, (misclassified, near_duplicate, duplicate), strict=True):
            self.report[reason] += int(mask.sum())
        taken = np.flatnonzero(good)[: self.n_missing]
        self.accepted.append(take(samples, taken))
        new = points[taken]
        self.accepted_points = (
            new if self.accepted_points is None else Points.concat(self.accepted_points, new)
        )
        self.report["accepted"] += len(taken)
        # A duplicate adds nothing, but is of its class: a sample of another class is the last resort. By
        # score, duplicates would be the same few over and over.
        score = np.where(misclassified, score - 1, rng.uniform(size=len(score)))
        rejected, scores = take(samples, np.flatnonzero(~good)), score[~good]
        if self.reserve is not None:
            rejected, scores = concat([self.reserve[1], rejected]), np.concatenate([self.reserve[0], scores])
        best = np.argsort(-scores, kind="stable")[: self.n_missing]
        self.reserve = scores[best], take(rejected, best)

    def fill(self, label: Any, rounds: int) -> None:
        """Take from the reserve for what is still missing."""
        if not self.n_missing:
            return
        self.report["fallback"] = self.n_missing
        most = max(REASONS, key=lambda reason: self.report[reason]).replace("_", " ")
        warn_user(
            f"Class {label}: only {self.report['accepted']} of {len(self.positions)} samples passed the gate"
            f" in {rounds} rounds; most of the others were rejected as {most}. Some of those fill the"
            " places that are left. Train longer, or add fewer samples to this class.",
        )
        if self.reserve is not None:
            self.accepted.append(self.reserve[1])
