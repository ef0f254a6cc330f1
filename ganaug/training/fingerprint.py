"""training_fingerprint: what a training run depends on, in strings that are the same in every process.

A checkpoint keeps it, so that training resumes only with the data and parameters it began with.
"""

from __future__ import annotations

import copy
import hashlib
from contextlib import suppress
from functools import partial
from types import CodeType
from typing import Any

import joblib
import numpy as np

# Few at a time are hashed, so that `X` is never copied whole.
SAMPLES_PER_UPDATE = 256


def training_fingerprint(settings: dict[str, Any], X: Any, labels: np.ndarray, seed: int) -> dict[str, str]:
    """Return digests of the data, and all else that decides the result of training, by name."""
    digest = hashlib.sha256()
    for i in range(0, len(labels), SAMPLES_PER_UPDATE):
        digest.update(np.ascontiguousarray(X[i : i + SAMPLES_PER_UPDATE]).tobytes())
    return {
        **{k: callable_fingerprint(v) if callable(v) else str(v) for k, v in settings.items()},
        "seed, which comes from random_state,": str(seed),
        "X": f"{tuple(X.shape)} {digest.hexdigest()[:16]}",
        "y": hashlib.sha256(labels.tobytes()).hexdigest()[:16],
    }


def callable_fingerprint(value: Any, holders: tuple[Any, ...] = ()) -> str:
    """Return what distinguishes a callable from others; its `repr` would say where it lies in memory.

    `holders` are the callables that refer to it. It may be one of them: a function may call itself.
    """
    if isinstance(value, partial):
        arguments = [*map(_value_fingerprint, value.args)]
        return f"partial {callable_fingerprint(value.func)} {arguments} {_value_fingerprint(value.keywords)}"
    name = getattr(value, "__qualname__", type(value).__qualname__)
    code = getattr(value, "__code__", None)
    if code is None:
        return f"{name} {_value_fingerprint(value)}"
    if any(value is holder for holder in holders):
        return name
    captured = [cell.cell_contents for cell in value.__closure__ or ()]
    parts = (code, *captured, *(value.__defaults__ or ()))
    return f"{name} {joblib.hash([_value_fingerprint(part, (*holders, value)) for part in parts])}"


def _value_fingerprint(value: Any, holders: tuple[Any, ...] = ()) -> str:
    """Return a hash of a value that a callable refers to, or its type where no hash is reproducible."""
    if hasattr(value, "__code__") or isinstance(value, partial):
        return callable_fingerprint(value, holders)
    if isinstance(value, CodeType):
        return joblib.hash([value.co_code, value.co_names, *map(_value_fingerprint, value.co_consts)])
    with suppress(Exception):  # what can't be pickled
        digest = joblib.hash(value)
        if digest == joblib.hash(copy.deepcopy(value)):
            return digest
    return type(value).__qualname__
