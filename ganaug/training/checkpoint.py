"""train_gan: the one training loop, for every architecture, loss and kind of data."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


@contextmanager
def defer_signals(hold: bool) -> Iterator[list[int]]:
    """Yield a list that takes in the first SIGINT or SIGTERM; a second one acts as it would have."""
    caught: list[int] = []
    if not hold or threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def let_go() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def catch(number: int, frame: Any) -> None:
        caught.append(number)
        let_go()

    for number in before:
        signal.signal(number, catch)
    try:
        yield caught
    finally:
        let_go()
        for late in caught:
            signal.raise_signal(late)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    partial.replace(path)


def load_checkpoint(path: Path, identity: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return where training was, and what it would have gone back to."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        before, now, good = dict(content["identity"]), content["now"], content["good"]
        whole = {"game", "watch", "random", "step", "rollbacks", "history"} <= now.keys() & good.keys()
    except Exception as exc:  # torch.load raises whatever its zip reader and unpickler raise
        raise ValueError(f"{path} can't be read as a checkpoint: delete it to start anew. ({exc})") from exc
    if not whole:
        raise ValueError(f"{path} is no checkpoint of this version: delete it to start anew.")
    for name in identity.keys() | before.keys():
        was, now_is = before.get(name), identity.get(name)
        if was != now_is:
            raise ValueError(
                f"{path} is a checkpoint of a training with {name} = {was}, not {now_is}: pass what it was"
                " made with, or another `checkpoint` folder."
            )
    return now, good
