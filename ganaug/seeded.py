"""seeded: random numbers of torch's global state, which stays as the user had it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOCK = threading.RLock()  # the state is that of the process: threads take turns


@contextmanager
def seeded(seed: int | None = None) -> Iterator[None]:
    """Seed torch's global state on the CPU for a while; None leaves it where it is.

    Some of torch has no other source of randomness: initial weights, dropout, transforms.
    """
    with _LOCK, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield
