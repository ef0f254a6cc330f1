"""Torch's process-wide state, changed inside a `with` block and restored at its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_LOCK = threading.RLock()  # The random state is that of the process, so threads take turns.
AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def fork_torch_rng(seed: int | None = None) -> Iterator[None]:
    """Seed torch's global random state on the CPU, and restore it at the end; None doesn't seed it.

    Initial weights, dropout and torchvision's transforms have no other source of randomness.
    """
    with _LOCK, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def default_torch_state() -> Iterator[None]:
    """Switch off, and restore at the end, what would change the dtype or device of networks and data.

    That is autocast, inference mode, and a default dtype or device other than torch's own. A user's
    training loop may have any of these on when it calls a generator.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for device in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.empty(0).device.type != "cpu":  # before torch 2.6 get_default_device knows no `with`
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_FLOAT32)
        yield


class _Float32:
    """Sets the default dtype, which is also that of the process, until the last thread has left."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = threading.Lock(), 0, torch.float32

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.before = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                torch.set_default_dtype(self.before)


_FLOAT32 = _Float32()
