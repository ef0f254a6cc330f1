"""What training depends on, in words that are the same in each run: what a checkpoint belongs to."""

from __future__ import annotations

import copy
import hashlib
from contextlib import suppress
from functools import partial
from types import CodeType
from typing import Any

import joblib
import numpy as np


def training_fingerprint(settings: dict[str, Any], X: Any, labels: np.ndarray, seed: int) -> dict[str, str]:
    """Return the data, by their digests, and all else that decides what training makes of them."""
    digest = hashlib.sha256()
    for i in range(0, len(labels), 256):
        digest.update(np.ascontiguousarray(X[i : i + 256]).tobytes())
    return {
        **{k: _named(v) if callable(v) else str(v) for k, v in settings.items()},
        "seed, which comes from random_state,": str(seed),
        "X": f"{tuple(X.shape)} {digest.hexdigest()[:16]}",
        "y": hashlib.sha256(labels.tobytes()).hexdigest()[:16],
    }


def _named(value: Any, within: tuple[Any, ...] = ()) -> str:
    """Return what tells a callable from others: not its `repr`, which says where it lies in memory.

    `within` are the callables that hold it, of which it may be one: a function may call itself.
    """
    if isinstance(value, partial):
        return f"partial {_named(value.func)} {[*map(_told, value.args)]} {_told(value.keywords)}"
    name = getattr(value, "__qualname__", type(value).__qualname__)
    code = getattr(value, "__code__", None)
    if code is None:
        return f"{name} {_told(value)}"
    if any(value is holder for holder in within):
        return name
    held = [cell.cell_contents for cell in value.__closure__ or ()]
    parts = (code, *held, *(value.__defaults__ or ()))
    return f"{name} {joblib.hash([_told(part, (*within, value)) for part in parts])}"


def _told(value: Any, within: tuple[Any, ...] = ()) -> str:
    """Return what tells a value that a callable holds from others, as far as that is the same in each run."""
    if hasattr(value, "__code__") or isinstance(value, partial):
        return _named(value, within)
    if isinstance(value, CodeType):
        return joblib.hash([value.co_code, value.co_names, *map(_told, value.co_consts)])
    with suppress(Exception):  # what can't be pickled
        found = joblib.hash(value)
        if found == joblib.hash(copy.deepcopy(value)):
            return found
    return type(value).__qualname__
