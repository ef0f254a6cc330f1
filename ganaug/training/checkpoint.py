"""Checkpoints of a training run: written whole, compared when read, and finished before a signal acts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ganaug.io.disk import atomic_write

STATES = ("current", "last_stable")
STATE_KEYS = {"trainer", "monitor", "rng", "step", "rollbacks", "history"}


@contextmanager
def defer_signals(enabled: bool) -> Iterator[list[int]]:
    """Yield a list that receives the first SIGINT or SIGTERM; a second one acts at once.

    The handlers that were set before come back at the end, or with the first signal. A signal still in
    the list at the end is then raised. Outside the main thread, where no handler can be set, signals act
    as usual.
    """
    received: list[int] = []
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield received
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore_handlers() -> None:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def receive(number: int, frame: Any) -> None:
        received.append(number)
        restore_handlers()

    for number in handlers:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        restore_handlers()
        for late in received:
            signal.raise_signal(late)


def save_checkpoint(
    path: Path, fingerprint: Mapping[str, str], current: dict[str, Any], last_stable: dict[str, Any]
) -> None:
    """Write the current state, the last stable one and the run's fingerprint; make the folder if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        torch.save(
            {"fingerprint": dict(fingerprint), "current": current, "last_stable": last_stable}, partial
        )


def load_checkpoint(path: Path, fingerprint: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the current and the last stable state.

    Raises
    ------
    ValueError
        If the file can't be read, was written by another version, or has another fingerprint.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        saved = dict(content.get("fingerprint", {}))
        complete = all(name in content and content[name].keys() >= STATE_KEYS for name in STATES)
    except Exception as exc:  # torch.load raises whatever its zip reader and unpickler raise
        raise ValueError(f"{path} can't be read as a checkpoint: delete it to start anew. ({exc})") from exc
    if not complete:
        raise ValueError(f"{path} is no checkpoint of this version: delete it to start anew.")
    for name in fingerprint.keys() | saved.keys():
        before, now = saved.get(name), fingerprint.get(name)
        if before != now:
            raise ValueError(
                f"{path} is a checkpoint of a training with {name} = {before}, not {now}: pass what it was"
                " made with, or another `checkpoint` folder."
            )
    return content["current"], content["last_stable"]
