"""train_gan: the one training loop, for every architecture, loss and kind of data."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ganaug.data.user_warnings import warn_user
from ganaug.io.progress import progress_bar
from ganaug.networks.layers import Networks
from ganaug.training.checkpoint import defer_signals, load_checkpoint, save_checkpoint
from ganaug.training.monitor import Instability, TrainingMonitor
from ganaug.training.optimizers import moments_like
from ganaug.training.trainer import GANTrainer

Callback = Callable[[int, dict[str, float]], None]

# Both are in steps. A state is known to be stable only after a log, so one is a multiple of the other.
LOG_INTERVAL, CHECKPOINT_INTERVAL = 25, 100
MAX_ROLLBACKS = 3
ADVICE = (
    "Lower `learning_rate`, or leave architecture, loss and penalty at their defaults, which are the most"
    " stable."
)


class _TrainingRun:
    """Where a training run is, and the last stable state that it can go back to."""

    def __init__(
        self,
        trainer: GANTrainer,
        class_names: Sequence[str],
        checkpoint: Path | None,
        fingerprint: Mapping[str, str],
    ) -> None:
        self.trainer, self.monitor = trainer, TrainingMonitor(class_names, trainer.device)
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        self.step, self.rollbacks = 0, 0
        self.history: list[dict[str, float]] = []
        current = self.last_stable = self.snapshot()
        if checkpoint is not None and os.path.lexists(checkpoint):
            optimizers = {k: v for k, v in trainer.stateful.items() if isinstance(v, torch.optim.Optimizer)}
            moments = {
                name: {
                    i: moments_like(optimizer, p) for i, p in enumerate(optimizer.param_groups[0]["params"])
                }
                for name, optimizer in optimizers.items()
            }
            current, self.last_stable = load_checkpoint(checkpoint, fingerprint, current, moments)
            self._restore_rng(current["rng"])
        self.restore(current)
        self.rollbacks = current["rollbacks"]

    def _restore_rng(self, state: Tensor) -> None:
        try:
            self.trainer.rng.set_state(state)
        except RuntimeError as exc:
            raise ValueError(
                f"{self.checkpoint} holds no state of a random generator: delete it to start anew. ({exc})"
            ) from exc

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of all that training needs to continue from here."""
        return {
            "trainer": self.trainer.state_dict(),
            "monitor": self.monitor.state_dict(),
            "rng": self.trainer.rng.get_state(),
            "step": self.step,
            "rollbacks": self.rollbacks,
            "history": list(self.history),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot, but keep the random state and the number of rollbacks."""
        self.trainer.load_state_dict(state["trainer"])
        self.monitor.load_state_dict(state["monitor"])
        self.step, self.history = state["step"], list(state["history"])

    def save(self, current: dict[str, Any]) -> None:
        """Write `current` and the last stable state to the checkpoint, if there is to be one."""
        if self.checkpoint is not None and self.trainer.processes.is_first:
            save_checkpoint(self.checkpoint, self.fingerprint, current, self.last_stable)

    def mark_stable(self) -> None:
        """Make the current state the one to go back to, and save it."""
        self.last_stable = self.snapshot()
        self.save(self.last_stable)

    def roll_back(self, instability: Instability) -> bool:
        """Go back to the last stable state; return whether training continues from there."""
        problem = f"Training became unstable at step {self.step}: {instability.message}."
        self.rollbacks += 1
        self.restore(self.last_stable)
        if self.rollbacks <= MAX_ROLLBACKS:
            outcome = f"It resumes from step {self.step} with half the learning rates and twice the penalty."
        elif instability.kind == "divergence" or self.step == 0:
            raise RuntimeError(f"{problem} {MAX_ROLLBACKS} retries at lower learning rates failed. {ADVICE}")
        else:
            outcome = f"It stops with the last stable state, that of step {self.step}. {ADVICE}"
        warn_user(f"{problem} {outcome}", ConvergenceWarning)
        return self.rollbacks <= MAX_ROLLBACKS


def train_gan(
    trainer: GANTrainer,
    steps: int,
    *,
    class_names: Sequence[str] | None = None,
    checkpoint: Path | None = None,
    fingerprint: Mapping[str, str] | None = None,
    callbacks: Sequence[Callback] = (),
    progress_bar_title: str | None = None,
) -> tuple[Networks, list[dict[str, float]]]:
    """Train for a number of steps, and recover from divergence and mode collapse.

    `TrainingMonitor` detects both. Training then returns to its last stable state and continues
    with half the learning rates and twice the penalty, at most `MAX_ROLLBACKS` times.

    Parameters
    ----------
    trainer : GANTrainer
        Newly made.
    steps : int
        Updates of generator and discriminator.
    class_names : sequence of str, optional
        What warnings call the classes; their indices if None.
    checkpoint : Path, optional
        A file for the full state, written every `CHECKPOINT_INTERVAL` steps, and before SIGINT,
        SIGTERM or SIGHUP acts. Training resumes from it if it exists.
    fingerprint : dict of str, optional
        What training depends on beside the trainer, by name. The checkpoint keeps it, and is
        compared with it on resuming.
    callbacks : sequence of callable
        Each called as ``callback(step, metrics)`` every `LOG_INTERVAL` steps.
    progress_bar_title : str, optional
        Title of a progress bar, shown on terminals only; no bar if None.

    Returns
    -------
    networks : Networks
        Encoder and generator with averaged weights, in eval mode; the discriminator as trained.
    history : list of dict
        One entry for each `LOG_INTERVAL` steps, with means over these: of the "generator" and the
        "discriminator" loss, and "min_class_diversity", the diversity of the least diverse class.
        A class has diversity 1 where generated samples of it differ as much as real ones. With early
        stopping, "held_out_distance" is what decides.

    Warns
    -----
    ConvergenceWarning
        At each return to a stable state; where training stops there because a class keeps
        collapsing; and where a class ends up collapsed that was never diverse.

    Raises
    ------
    ValueError
        If `checkpoint` is damaged, or has another `fingerprint`.
    RuntimeError
        If losses still diverge after all rollbacks, or a class collapses before the first stable state.
    """
    class_names = class_names or [str(c) for c in range(len(trainer.class_index.counts))]
    run = _TrainingRun(trainer, class_names, checkpoint, fingerprint or {})
    shown = progress_bar_title is not None
    bar = progress_bar(shown=shown, desc=progress_bar_title, initial=run.step, total=steps)
    with defer_signals(checkpoint is not None) as received:
        while run.step < steps and not trainer.is_over:
            if received:
                run.save(run.snapshot())
                signal.raise_signal(received.pop())
            run.monitor.update(*trainer.step(run.step, steps, 0.5**run.rollbacks))
            run.step += 1
            bar.update()
            if run.step % LOG_INTERVAL and run.step < steps:
                continue
            metrics, instability = run.monitor.compute()
            if instability is not None:
                if not run.roll_back(instability):
                    break
                bar.update(run.step - bar.n)
                continue
            metrics |= trainer.compare_with_held_out()
            run.history.append({"step": run.step, **metrics})
            bar.set_postfix(metrics, refresh=False)
            for callback in callbacks:
                callback(run.step, metrics)
            if run.step % CHECKPOINT_INTERVAL == 0 or run.step == steps or trainer.is_over:
                run.mark_stable()
    bar.close()
    collapsed = run.monitor.collapsed_classes()
    if collapsed:
        warn_user(
            f"Mode collapse: the samples of class {collapsed} are all alike, and of no use. {ADVICE}",
            ConvergenceWarning,
        )
    trainer.use_best()
    return trainer.result(), run.history
