"""Checkpoints of a training run: written whole, compared when read, and finished before a signal acts."""

from __future__ import annotations

import math
import reprlib
import signal
import stat
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganaug.io.disk import atomic_write

STATES = ("current", "last_stable")
STATE_KEYS = {"trainer", "monitor", "rng", "step", "rollbacks", "history"}
# What each optimizer keeps of the parameters it updates, by place; None: that isn't known.
Moments = Mapping[str, Mapping[int, Mapping[str, Tensor] | None]]


@contextmanager
def defer_signals(enabled: bool) -> Iterator[list[int]]:
    """Yield a list that receives the first SIGINT, SIGTERM or SIGHUP; a second one acts at once.

    A signal that is ignored, as SIGHUP is under nohup, stays so. The handlers that were set before come
    back at the end, or with the first signal. A signal still in the list at the end is then raised. Outside
    the main thread, where no handler can be set, signals act as usual.
    """
    received: list[int] = []
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None))  # Windows lacks the last
    handlers = {number: signal.getsignal(number) for number in numbers if number is not None}
    handlers = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}

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


def load_checkpoint(
    path: Path,
    fingerprint: Mapping[str, str],
    like: dict[str, Any],
    moments: Moments,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the current and the last stable state.

    Parameters
    ----------
    path : Path
    fingerprint : dict of str
        That of this run.
    like : dict
        The state of this run before its first step: that of a checkpoint has the same parts, of the same
        types and shapes.
    moments : dict of dict of dict of Tensor
        What each optimizer of the trainer keeps of each parameter, by the optimizer's name.

    Raises
    ------
    ValueError
        If the file can't be read, was written by another version, or has another fingerprint; or if its
        states are not of this trainer.
    """
    try:
        _check_file(path)
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
                f"{path} is a checkpoint of a training with {name} = {str(before)[:1000]}, not {now}:"
                " pass what it was made with, or another `checkpoint` folder."
            )
    for name in STATES:
        try:
            _check_state(content[name], like, moments)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as exc:
            raise ValueError(
                f"{path} is no checkpoint of this training: delete it to start anew. ({name}: {exc})"
            ) from exc
    return content["current"], content["last_stable"]


def _check_file(path: Path) -> None:
    """Raise ValueError unless this is a regular file, whose parts take no more memory than the file itself.

    `torch.save` compresses nothing.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it must be a regular file, not a link, a folder or a pipe")
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > status.st_size:
            raise ValueError("its parts are larger than the file")


def _check_state(state: dict[str, Any], like: dict[str, Any], moments: Moments) -> None:
    """Raise ValueError, or whatever a wrong type raises, unless a trainer of the state `like` can take it."""
    _check_same_kind("trainer", state["trainer"], like["trainer"])
    for name, of_parameters in moments.items():
        for index, kept in state["trainer"][name]["state"].items():
            _check_same_kind(f"{name} {index}", kept, of_parameters[index] or {})
    monitor = state["monitor"]
    _check_same_kind("monitor", monitor, like["monitor"])
    _check_same_kind("loss_sums", monitor["loss_sums"], dict.fromkeys(monitor["loss_sums"], torch.zeros(())))
    _check_same_kind(
        "largest_losses", monitor["largest_losses"], dict.fromkeys(monitor["largest_losses"], 0.0)
    )
    _check_same_kind("rng", state["rng"], like["rng"])
    for name, count in (*state.items(), *monitor.items()):
        if name in ("step", "rollbacks", "n_steps", "n_logs") and (type(count) is not int or count < 0):
            raise ValueError(f"{name} is {reprlib.repr(count)}")
    for entry in state["history"]:
        if not all(type(value) in (int, float) and math.isfinite(value) for value in entry.values()):
            raise ValueError(f"history with {reprlib.repr(entry)}")


def _check_same_kind(name: str, value: Any, like: Any) -> None:
    """Raise ValueError unless `value` has the keys, types, shapes and dtypes of `like`, all the way down.

    What is an empty dict in `like` may have any entries.
    """
    if isinstance(like, dict) and isinstance(value, dict):
        if like and value.keys() != like.keys():
            raise ValueError(f"{name} has the entries {reprlib.repr(list(value))}")
        for key, part in like.items():
            _check_same_kind(f"{name}.{key}", value[key], part)
    elif type(like) in (list, tuple) and type(value) is type(like):
        if len(value) != len(like):
            raise ValueError(f"{name} has {len(value)} entries instead of {len(like)}")
        for index, (part, expected) in enumerate(zip(value, like, strict=True)):
            _check_same_kind(f"{name}.{index}", part, expected)
    elif isinstance(like, Tensor):
        found = (value.shape, value.dtype, value.layout) if isinstance(value, Tensor) else type(value)
        if found != (like.shape, like.dtype, like.layout):
            raise ValueError(f"{name} is {found}, not of shape {tuple(like.shape)} and {like.dtype}")
    elif type(value) is not type(like) and not (type(value) in (int, float) and type(like) in (int, float)):
        raise ValueError(f"{name} is {reprlib.repr(value)}, not of type {type(like).__name__}")
