"""torch_state: what torch keeps for the whole process, set for a while and put back as the user had it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_LOCK = threading.RLock()  # the random state is that of the process: threads take turns
DEVICES = ("cpu", "cuda", "mps", "xpu")  # that autocast knows


@contextmanager
def fork_torch_rng(seed: int | None = None) -> Iterator[None]:
    """Seed torch's global state on the CPU for a while; None leaves it where it is.

    Some of torch has no other source of randomness: initial weights, dropout, transforms.
    """
    with _LOCK, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def default_torch_state() -> Iterator[None]:
    """Switch off, for a while, what would change the type or the place of networks and their rows.

    That is autocast, inference mode, and a default dtype or device other than torch's own: all of
    which a user's training loop may have on around the call of a generator.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for device in DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_FLOAT32)
        yield


class _Float32:
    """The default dtype while any thread is inside: it, too, is that of the process."""

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
