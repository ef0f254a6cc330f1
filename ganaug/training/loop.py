"""train_gan: the one training loop, for every architecture, loss and kind of data."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from ganaug.networks.layers import Networks
from ganaug.training.checkpoint import defer_signals, load_checkpoint, save_checkpoint
from ganaug.training.monitor import TrainingMonitor
from ganaug.training.trainer import GANTrainer

Callback = Callable[[int, dict[str, float]], None]

LOG_INTERVAL = 25  # steps between two entries of the history
CHECKPOINT_INTERVAL = 100  # steps between two checkpoints, in memory and on disk; whole reports
MAX_ROLLBACKS = 3  # tries with gentler settings
ADVICE = "Lower `learning_rate`, or leave architecture, loss and penalty at their defaults, the steadiest."


def train_gan(
    game: GANTrainer,
    steps: int,
    *,
    class_names: Sequence[str] | None = None,
    checkpoint: Path | None = None,
    identity: Mapping[str, str] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: str | None = None,
) -> tuple[Networks, list[dict[str, float]]]:
    """Play `game` for so many steps, and come through trouble.

    Where losses explode or stop being finite, or the rows of a class become all alike (see
    `ganaug.watch`), training goes back to its last good state and on from there with half the
    learning rates and twice the penalty, `MAX_ROLLBACKS` times at most.

    Parameters
    ----------
    game : GANTrainer
        Freshly made.
    steps : int
        Updates of each side.
    class_names : sequence of str, optional
        What warnings call the classes; their indices if None.
    checkpoint : Path, optional
        A file for the full state, written every `CHECKPOINT_INTERVAL` steps, and before SIGINT or SIGTERM
        take their course; resumed from if it is there.
    identity : dict of str, optional
        What training depends on beside the game, by name; kept in the checkpoint, and compared.
    callbacks : sequence of callable
        Each called as ``callback(step, metrics)`` every `LOG_INTERVAL` steps.
    progress : str, optional
        Title of a progress bar on the terminal; no bar if None.

    Returns
    -------
    networks : Networks
        Encoder and generator with averaged weights, in eval mode; the discriminator as it is.
    history : list of dict
        Means since the entry before: of both losses, and of the "spread" of the class whose rows
        vary least, against that of real rows.

    Warns
    -----
    ConvergenceWarning
        At each return to a good state; where training stops there because a class collapses again and
        again; and where the rows of a class are all alike in the end, having never been otherwise.

    Raises
    ------
    ValueError
        Where `checkpoint` is damaged, or of another `identity`.
    RuntimeError
        If losses still explode after all rollbacks, or a class collapses before the first good state.
    """
    watch = TrainingMonitor(class_names or [str(c) for c in range(len(game.rows.counts))], game.device)

    def snapshot(step: int, rollbacks: int, history: list[dict[str, float]]) -> dict[str, Any]:
        """Return a copy of all that training needs to go on from here."""
        return {
            "game": game.state_dict(),
            "watch": watch.state_dict(),
            "random": game.rng.get_state(),
            "step": step,
            "rollbacks": rollbacks,
            "history": list(history),
        }

    def restore(state: dict[str, Any]) -> tuple[int, list[dict[str, float]]]:
        """Go back to a snapshot, but for the random numbers; return its step and history."""
        game.load_state_dict(state["game"])
        watch.load_state_dict(state["watch"])
        return state["step"], list(state["history"])

    def save(now: dict[str, Any]) -> None:
        """Write where training is, and what it would go back to."""
        if checkpoint is not None:
            save_checkpoint(checkpoint, {"identity": dict(identity or {}), "now": now, "good": good})

    good = now = snapshot(0, 0, [])
    if checkpoint is not None and checkpoint.exists():
        now, good = load_checkpoint(checkpoint, identity or {})
        game.rng.set_state(now["random"])
    step, history = restore(now)
    rollbacks = now["rollbacks"]
    # None: a bar on terminals only.
    bar = tqdm(desc=progress, initial=step, total=steps, disable=True if progress is None else None)

    with defer_signals(checkpoint is not None) as caught:
        while step < steps:
            if caught:
                save(snapshot(step, rollbacks, history))
                signal.raise_signal(caught.pop())
            watch.see(*game.step(step, steps, 0.5**rollbacks))
            step += 1
            bar.update()
            if step % LOG_INTERVAL and step < steps:
                continue
            metrics, trouble = watch.report()
            if trouble is not None:
                what = f"Training went wrong at step {step}: {trouble.what}."
                rollbacks += 1
                step, history = restore(good)
                if rollbacks > MAX_ROLLBACKS:
                    if not trouble.collapse or step == 0:
                        raise RuntimeError(
                            f"{what} {MAX_ROLLBACKS} tries with gentler settings failed. {ADVICE}"
                        )
                    stopped = f"Training stops with the state of step {step}, the last good one."
                    warnings.warn(f"{what} {stopped} {ADVICE}", ConvergenceWarning, stacklevel=2)
                    break
                again = f"Going on from step {step} with learning rates halved and the penalty doubled."
                warnings.warn(f"{what} {again}", ConvergenceWarning, stacklevel=2)
                bar.update(step - bar.n)
                continue
            history.append({"step": step, **metrics})
            bar.set_postfix(metrics, refresh=False)
            for callback in callbacks:
                callback(step, metrics)
            if step % CHECKPOINT_INTERVAL == 0 or step == steps:
                good = snapshot(step, rollbacks, history)
                save(good)
    bar.close()
    alike = watch.never_varied()
    if alike:
        warnings.warn(
            f"What is generated of class {alike} is all alike: it is of no use. {ADVICE}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return game.result(), history
