"""TrainingMonitor: notices, while a GAN trains, that its losses explode or that a class loses its variety."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

EXPLODED = 20.0  # times the largest loss of the healthy start (or 1, if that is smaller)
BROKEN = 1e6  # a loss that no healthy start has
SETTLING = 4  # reports by which a loss counts as started
LEAST_PAIRS = 8  # of a class, to say how it varies: with many classes they take several reports
STEADY = 8  # reports after which a class that never varied is worth a word
VARIED, ALIKE = 0.5, 0.15  # of the spread of real rows: a class that had the one has collapsed at the other


@dataclass(frozen=True)
class Trouble:
    """What is wrong, in words; and whether a class lost its variety, or else losses exploded."""

    what: str
    collapse: bool = False


class TrainingMonitor:
    """Gathers losses and the spread of generated rows, and judges both at each report.

    The spread of a class is the mean distance between two generated rows of it, divided by that
    between two real ones: 1 where they vary as much, 0 where they are all the same.

    Parameters
    ----------
    class_names : sequence of str
        What to call the classes.
    device : torch.device
        Of the rows. Sums are kept there, so that a step doesn't wait for them.
    """

    def __init__(self, class_names: Sequence[str], device: torch.device) -> None:
        self.class_names, self.device = class_names, device
        self.largest: dict[str, float] = {}
        self.most_varied = torch.zeros(len(class_names))
        self.spread = torch.ones(len(class_names))  # of each class, when it was last known
        self.reports = 0
        # Sums of distances of real and of generated pairs of each class, and their number.
        self.apart = torch.zeros(3, len(class_names), device=device)
        self._reset()

    def _reset(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    @torch.no_grad()
    def see(self, losses: dict[str, Tensor], real: Tensor, fake: Tensor, classes: Tensor) -> None:
        """Take in one step.

        Parameters
        ----------
        losses : dict of Tensor of shape ()
        real, fake : Tensor of shape (n, ...)
        classes : Tensor of shape (n,)
            Of the rows of both.
        """
        self.steps += 1
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0) + loss.detach()
        order = classes.argsort()
        classes = classes[order]
        same = classes[1:] == classes[:-1]
        for sums, rows in zip(self.apart[:2], (real, fake), strict=True):
            rows = rows[order].flatten(1)
            distances = (rows[1:] - rows[:-1]).norm(dim=1)
            sums.index_add_(0, classes[1:], torch.where(same, distances, 0.0))
        self.apart[2].index_add_(0, classes[1:], same.float())

    def report(self) -> tuple[dict[str, float], Trouble | None]:
        """Return the means since the last report, and what is wrong, or None.

        Returns
        -------
        metrics : dict of float
            Each loss, and "spread": that of the class that varies least; 1 of those of which too few
            rows were seen yet.
        trouble : Trouble or None
        """
        metrics = {name: float(total) / self.steps for name, total in self.sums.items()}
        real, fake, pairs = self.apart.cpu()
        told = pairs >= LEAST_PAIRS
        known = told & (real > 0)  # else all real rows that were drawn are equal
        self.spread = torch.where(known, fake / real, self.spread)
        metrics["spread"] = float(self.spread.min())
        trouble = self._losses(metrics) or self._collapse()
        if trouble is None:
            self.reports += 1
            self.most_varied = torch.where(
                known, torch.maximum(self.most_varied, self.spread), self.most_varied
            )
        self.apart[:, told.to(self.device)] = 0.0
        self._reset()
        return metrics, trouble

    def _losses(self, metrics: dict[str, float]) -> Trouble | None:
        if not all(math.isfinite(value) for value in metrics.values()):
            return Trouble("the losses are no longer finite")
        for name in self.sums:
            value, largest = abs(metrics[name]), self.largest.get(name, 1.0)
            if value <= BROKEN and self.reports < SETTLING:
                self.largest[name] = max(largest, value)
            elif value > min(BROKEN, EXPLODED * largest):
                return Trouble(f"the loss of the {name} exploded to {metrics[name]:.3g}")
        return None

    def _collapse(self) -> Trouble | None:
        names = self._names((self.most_varied > VARIED) & (self.spread < ALIKE))
        return Trouble(f"what is generated of class {names} became all alike", True) if names else None

    def never_varied(self) -> str:
        """Return the names of classes that are all alike in the end, if it took long enough to tell."""
        return self._names(self.spread < ALIKE) if self.reports >= STEADY else ""

    def _names(self, which: Tensor) -> str:
        return ", ".join(self.class_names[c] for c in which.nonzero().flatten().tolist())

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {
            "sums": {name: total.cpu().clone() for name, total in self.sums.items()},
            "steps": self.steps,
            "apart": self.apart.cpu().clone(),
            "largest": dict(self.largest),
            "most_varied": self.most_varied.clone(),
            "spread": self.spread.clone(),
            "reports": self.reports,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.largest, self.reports = dict(state["largest"]), state["reports"]
        self.most_varied, self.spread = state["most_varied"].clone(), state["spread"].clone()
        self.sums = {name: total.to(self.device) for name, total in state["sums"].items()}
        self.steps, self.apart = state["steps"], state["apart"].to(self.device, copy=True)
