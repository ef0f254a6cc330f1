"""TrainingMonitor: detects, while a GAN trains, diverging losses and mode collapse within a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

# A loss diverges beyond DIVERGENCE_FACTOR times the largest of the first WARMUP_LOGS logs, which counts
# as at least 1. No healthy loss reaches MAX_LOSS, not even in these first logs.
DIVERGENCE_FACTOR = 20.0
MAX_LOSS = 1e6
WARMUP_LOGS = 4
# The diversity of a class is estimated from no fewer pairs. With many classes these take several logs.
MIN_PAIRS = 8
# A class has collapsed where its diversity fell from the one value to the other.
HEALTHY_DIVERSITY, COLLAPSED_DIVERSITY = 0.5, 0.15
# A generator may need as many logs to become diverse: only then is a class reported that never was.
MIN_LOGS = 8


@dataclass(frozen=True)
class Instability:
    """What is wrong with a training run.

    Attributes
    ----------
    message : str
    kind : {"divergence", "mode_collapse"}
    """

    message: str
    kind: Literal["divergence", "mode_collapse"]


class TrainingMonitor:
    """Accumulate losses and the diversity of generated samples, and check both at each log.

    The diversity of a class is the mean distance between two of its generated samples, divided by
    that between two real ones. It is 1 where generated samples vary as much, and 0 where all are equal.

    Parameters
    ----------
    class_names : sequence of str
        What messages call the classes.
    device : torch.device
        Of the samples. Sums stay there, so that a step doesn't wait for them.

    Attributes
    ----------
    diversity, max_diversity : Tensor of shape (n_classes,)
        The last estimate for each class, 1 before the first one, and the largest so far.
    pair_distance_sums : Tensor of shape (3, n_classes)
        Sums of the distances of real and of generated pairs of each class, and the number of pairs.
    n_logs : int
        Logs so far in which all was well.
    """

    def __init__(self, class_names: Sequence[str], device: torch.device) -> None:
        self.class_names = class_names
        self.device = device
        self.largest_losses: dict[str, float] = {}
        self.max_diversity: Tensor = torch.zeros(len(class_names))
        self.diversity: Tensor = torch.ones(len(class_names))
        self.n_logs: int = 0
        self.pair_distance_sums: Tensor = torch.zeros(3, len(class_names), device=device)
        self.reset()

    def reset(self) -> None:
        """Forget the losses since the last log."""
        self.loss_sums: dict[str, Tensor] = {}
        self.n_steps: int = 0

    @torch.no_grad()
    def update(self, losses: dict[str, Tensor], real: Tensor, fake: Tensor, classes: Tensor) -> None:
        """Accumulate one step.

        Parameters
        ----------
        losses : dict of Tensor of shape ()
        real, fake : Tensor of shape (n, ...)
        classes : Tensor of shape (n,)
            Class indices of the samples of both.
        """
        self.n_steps += 1
        for name, loss in losses.items():
            self.loss_sums[name] = self.loss_sums.get(name, 0) + loss.detach()
        order = classes.argsort()
        classes = classes[order]
        same_class = classes[1:] == classes[:-1]
        for sums, samples in zip(self.pair_distance_sums[:2], (real, fake), strict=True):
            samples = samples[order].flatten(1)
            distances = (samples[1:] - samples[:-1]).norm(dim=1)
            sums.index_add_(0, classes[1:], torch.where(same_class, distances, 0.0))
        self.pair_distance_sums[2].index_add_(0, classes[1:], same_class.to(self.pair_distance_sums))

    def compute(self) -> tuple[dict[str, float], Instability | None]:
        """Return the metrics since the last call, and what is wrong.

        Returns
        -------
        metrics : dict of float
            The mean of each loss, and "min_class_diversity", the diversity of the least diverse class.
            A class of which too few samples were seen yet counts as 1.
        instability : Instability or None
        """
        metrics = {name: float(total) / self.n_steps for name, total in self.loss_sums.items()}
        real, fake, n_pairs = self.pair_distance_sums.cpu()
        enough = n_pairs >= MIN_PAIRS
        known = enough & (real > 0)  # else all real samples that were drawn are equal
        self.diversity = torch.where(known, fake / real, self.diversity)
        metrics["min_class_diversity"] = float(self.diversity.min())
        instability = self._divergence(metrics) or self._mode_collapse()
        if instability is None:
            self.n_logs += 1
            largest = torch.maximum(self.max_diversity, self.diversity)
            self.max_diversity = torch.where(known, largest, self.max_diversity)
        self.pair_distance_sums[:, enough.to(self.device)] = 0.0
        self.reset()
        return metrics, instability

    def _divergence(self, metrics: dict[str, float]) -> Instability | None:
        if not all(math.isfinite(value) for value in metrics.values()):
            return Instability("the losses are no longer finite", "divergence")
        for name in self.loss_sums:
            value, largest = abs(metrics[name]), self.largest_losses.get(name, 1.0)
            if value <= MAX_LOSS and self.n_logs < WARMUP_LOGS:
                self.largest_losses[name] = max(largest, value)
            elif value > min(MAX_LOSS, DIVERGENCE_FACTOR * largest):
                return Instability(f"the {name} loss diverged to {metrics[name]:.3g}", "divergence")
        return None

    def _mode_collapse(self) -> Instability | None:
        collapsed = (self.max_diversity > HEALTHY_DIVERSITY) & (self.diversity < COLLAPSED_DIVERSITY)
        names = self._names(collapsed)
        if not names:
            return None
        return Instability(f"mode collapse, the samples of class {names} became all alike", "mode_collapse")

    def collapsed_classes(self) -> str:
        """Return the names of collapsed classes, joined by commas; none before `MIN_LOGS` logs."""
        return self._names(self.diversity < COLLAPSED_DIVERSITY) if self.n_logs >= MIN_LOGS else ""

    def _names(self, mask: Tensor) -> str:
        return ", ".join(self.class_names[c] for c in mask.nonzero().flatten().tolist())

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {
            "loss_sums": {name: total.cpu().clone() for name, total in self.loss_sums.items()},
            "n_steps": self.n_steps,
            "pair_distance_sums": self.pair_distance_sums.cpu().clone(),
            "largest_losses": dict(self.largest_losses),
            "max_diversity": self.max_diversity.clone(),
            "diversity": self.diversity.clone(),
            "n_logs": self.n_logs,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.largest_losses = dict(state["largest_losses"])
        self.n_logs = state["n_logs"]
        self.max_diversity, self.diversity = state["max_diversity"].clone(), state["diversity"].clone()
        self.loss_sums = {name: total.to(self.device) for name, total in state["loss_sums"].items()}
        self.n_steps = state["n_steps"]
        self.pair_distance_sums = state["pair_distance_sums"].to(self.device, copy=True)
