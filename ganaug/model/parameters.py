"""What the parameters of `ConditionalGAN` may be, and what "auto" stands for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ganaug.data.containers import is_dataframe
from ganaug.data.images import ImageCodec
from ganaug.data.tables import TableCodec
from ganaug.networks import ARCHITECTURES, FOR_TABLES
from ganaug.networks.layers import Architecture
from ganaug.training.losses import LOSSES, PENALTIES

SMALL = 16  # pixels: images with a shorter side are too coarse to be bent
# What "auto" stands for; docs/recipe.md says why.
AUTO: dict[str, Any] = {
    "architecture": "warping",
    "loss": "relativistic",
    "penalty": "r1+r2",
    "steps": 600,
    "sliced_wasserstein_weight": 1.0,
    "strength": 1.5,
}
DEFAULTS_COLOUR = AUTO | {"architecture": "tinting", "strength": 0.5}
DEFAULTS_LOW_RES = AUTO | {
    "architecture": "warping+instance",
    "steps": 1500,
    "sliced_wasserstein_weight": 0.0,
    "strength": 1.0,
}
DEFAULTS_TABLE = AUTO | {"architecture": "tabular", "steps": 400, "strength": 1.0}
AnyCodec = ImageCodec | TableCodec
CODECS: dict[str, type[ImageCodec] | type[TableCodec]] = {"images": ImageCodec, "table": TableCodec}
NOT_SAVED = ("callbacks", "log_dir", "device", "verbose", "random_state")  # with a model or a checkpoint
NAMED: dict[str, Mapping[str, Any]] = {
    "architecture": ARCHITECTURES,
    "loss": LOSSES,
    "penalty": PENALTIES,
}
COUNTS = {"steps": 1, "batch_size": 2, "latent_dim": 1, "base_channels": 1}  # and the least that each may be
NUMBERS = (
    "learning_rate",
    "adversarial_weight",
    "sliced_wasserstein_weight",
    "penalty_weight",
    "latent_noise",
    "strength",
)


def is_auto(value: Any) -> bool:
    """Return whether a parameter is left to us."""
    return isinstance(value, str) and value == "auto"


def defaults_for(codec: AnyCodec) -> dict[str, Any]:
    """Return what "auto" stands for, by parameter, with rows of such a kind."""
    if isinstance(codec, TableCodec):
        return DEFAULTS_TABLE
    channels, *sides = codec.shape
    if min(sides) < SMALL:
        return DEFAULTS_LOW_RES
    return AUTO if channels == 1 else DEFAULTS_COLOUR


def resolved(parameters: Mapping[str, Any], codec: AnyCodec) -> dict[str, Any]:
    """Return the parameters, with what "auto" stands for in its place."""
    auto = defaults_for(codec)
    return {k: auto[k] if k in auto and is_auto(value) else value for k, value in parameters.items()}


def fit_codec(modality: str, X: Any) -> AnyCodec:
    """Return a codec of the kind that `modality` names, fitted; "auto": a table if `X` is two-dimensional."""
    if modality == "auto":
        modality = "table" if X.ndim == 2 else "images"
    if modality == "images" and is_dataframe(X):
        raise ValueError("`modality` must be 'auto' or 'table' for a DataFrame, got 'images'.")
    return CODECS[modality].fit(X)


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError if one is not of the kind that `ConditionalGAN` describes."""
    for name, value in parameters.items():
        if name in AUTO and is_auto(value):
            continue
        auto = "'auto' or " if name in AUTO else ""
        if name == "architecture":
            lookup_architectures(value)
        elif name in NAMED:
            choose(name, value)
        elif name in COUNTS:
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < COUNTS[name]:
                raise ValueError(f"`{name}` must be {auto}an int of at least {COUNTS[name]}, got {value!r}.")
        elif name in NUMBERS:
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not number or not 0 <= value < np.inf:
                raise ValueError(f"`{name}` must be {auto}a number from 0 up, got {value!r}.")
    for name, allowed in (("modality", ("auto", *CODECS)), ("conditioning", ("shared", "per-class"))):
        if parameters[name] not in allowed:
            raise ValueError(f"`{name}` must be one of {list(allowed)}, got {parameters[name]!r}.")
    _check_outputs(parameters["callbacks"], parameters["log_dir"])


def _check_outputs(callbacks: Any, log_dir: Any) -> None:
    if not (callbacks is None or isinstance(callbacks, Sequence)) or not all(map(callable, callbacks or ())):
        raise ValueError(f"`callbacks` must be a sequence of callables or None, got {callbacks!r}.")
    if log_dir is None:
        return
    if not isinstance(log_dir, str | Path):
        raise ValueError(f"`log_dir` must be a path or None, got {log_dir!r}.")
    if Path(log_dir).is_file():
        raise ValueError(f"`log_dir` must be a folder, got the file {log_dir}.")
    if find_spec("tensorboard") is None:
        raise ValueError("`log_dir` needs TensorBoard: pip install 'ganaug[tensorboard]'.")


def lookup_architectures(value: str | Architecture, *, table: bool = False) -> list[Architecture]:
    """Return those that `architecture` names, joined by "+", or is; `table`: they are for one."""
    names: list[Any] = value.split("+") if isinstance(value, str) else [value]
    if "" in names or "auto" in names:
        raise ValueError(f"`architecture` must be 'auto', a name, or names joined by '+', got {value!r}.")
    chosen = [choose("architecture", name) for name in names]
    for name, build in ARCHITECTURES.items():
        if table and build in chosen and name not in FOR_TABLES:
            raise ValueError(
                f"`architecture` must be 'auto', one of {list(FOR_TABLES)} or a callable for a table, got"
                f" {name!r}."
            )
    return chosen


def choose(name: str, value: Any) -> Any:
    """Return the callable that a parameter is, or names."""
    if callable(value):
        return value
    table = NAMED[name]
    if isinstance(value, str) and value in table:
        return table[value]
    close = difflib.get_close_matches(str(value), table, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"`{name}` must be 'auto', one of {list(table)} or a callable, got {value!r}.{hint}")
