"""What the parameters of `ConditionalGAN` may be, and what "auto" stands for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ganaug.data.containers import is_dataframe
from ganaug.data.features import FeatureCodec
from ganaug.data.images import ImageCodec
from ganaug.data.protocol import modality_of
from ganaug.data.series import SeriesCodec
from ganaug.data.tables import TableCodec
from ganaug.data.working_size import WorkingSize, check_working_size
from ganaug.model.signature import check_values, is_auto
from ganaug.networks import (
    ARCHITECTURES,
    FEATURE_ARCHITECTURES,
    NOT_FOR_IMAGES,
    SERIES_ARCHITECTURES,
    TABLE_ARCHITECTURES,
)
from ganaug.networks.layers import Architecture
from ganaug.training.losses import LOSSES, PENALTIES
from ganaug.training.optimizers import OPTIMIZERS, SCHEDULES

# Below it images are too coarse to be warped.
MIN_SIDE_TO_WARP = 16
# What "auto" stands for; docs/lab/index.md says why.
DEFAULTS: dict[str, Any] = {
    "architecture": "warping",
    "loss": "relativistic",
    "penalty": "r1+r2",
    "steps": 600,
    "sliced_wasserstein_weight": 1.0,
    "strength": 1.5,
}
DEFAULTS_COLOUR: dict[str, Any] = DEFAULTS | {"architecture": "tinting", "strength": 0.5}
DEFAULTS_LOW_RES: dict[str, Any] = DEFAULTS | {
    "architecture": "warping+instance",
    "steps": 1500,
    "sliced_wasserstein_weight": 0.0,
    "strength": 1.0,
}
DEFAULTS_TABLE: dict[str, Any] = DEFAULTS | {"architecture": "tabular", "steps": 400, "strength": 1.0}
# What near classes lend does all: an adversarial loss on top of it gained nothing.
DEFAULTS_FEATURES: dict[str, Any] = DEFAULTS | {"architecture": "features", "steps": 0, "strength": 1.0}
DEFAULTS_SERIES: dict[str, Any] = DEFAULTS | {"architecture": "time-warping", "steps": 200}
# "auto" is no other value of these, but something that has no name.
KEPT_AUTO = ("schedule",)
AnyCodec = ImageCodec | TableCodec | FeatureCodec | SeriesCodec
CODECS: dict[str, type[ImageCodec] | type[TableCodec] | type[FeatureCodec] | type[SeriesCodec]] = {
    "images": ImageCodec,
    "table": TableCodec,
    "features": FeatureCodec,
    "series": SeriesCodec,
}
# They decide nothing about the result, or are those of one call, so that models and checkpoints lack them.
NOT_SAVED = ("callbacks", "log_dir", "device", "distributed", "verbose", "random_state")
REGISTRIES: dict[str, Mapping[str, Any]] = {
    "architecture": ARCHITECTURES,
    "loss": LOSSES,
    "penalty": PENALTIES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}


def defaults_for(codec: AnyCodec) -> dict[str, Any]:
    """Return what "auto" stands for, by parameter, with such data."""
    if isinstance(codec, TableCodec):
        return DEFAULTS_TABLE
    if isinstance(codec, FeatureCodec):
        return DEFAULTS_FEATURES
    if isinstance(codec, SeriesCodec):
        return DEFAULTS_SERIES
    channels, *sides = codec.shape
    # What "instance" makes has the size of the networks, and no detail of larger images.
    if min(sides) < MIN_SIDE_TO_WARP and not codec.is_reduced:
        return DEFAULTS_LOW_RES
    return DEFAULTS if channels == 1 else DEFAULTS_COLOUR


def resolve(parameters: Mapping[str, Any], codec: AnyCodec) -> dict[str, Any]:
    """Return the parameters, with "auto" replaced by what it stands for."""
    defaults = defaults_for(codec)
    return {k: defaults[k] if k in defaults and is_auto(value) else value for k, value in parameters.items()}


def fit_codec(modality: str, X: Any, working_size: WorkingSize = "auto") -> AnyCodec:
    """Return a fitted codec of the given modality.

    "auto" is images, or if `X` is two-dimensional a table. A Tensor never is a table: it holds features.
    """
    modality = modality_of(X) if modality == "auto" else modality
    if modality == "images" and is_dataframe(X):
        raise ValueError("`modality` must be 'auto' or 'table' for a DataFrame, got 'images'.")
    return ImageCodec.fit(X, working_size) if modality == "images" else CODECS[modality].fit(X)


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError if one is not as `ConditionalGAN` describes it."""
    check_values(parameters)
    for name, value in parameters.items():
        if name in DEFAULTS and is_auto(value):
            continue
        if name == "architecture":
            lookup_architectures(value)
        elif name in REGISTRIES and not (name in KEPT_AUTO and is_auto(value)):
            lookup(name, value)
    least = 2 * parameters["generators"]
    if parameters["batch_size"] < least:
        raise ValueError(
            f"`batch_size` must be at least {least} for {parameters['generators']} generators, which share"
            f" the batch out, got {parameters['batch_size']}."
        )
    check_working_size(parameters["working_size"])
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


def lookup_architectures(value: str | Architecture, codec: AnyCodec | None = None) -> list[Architecture]:
    """Return the architectures that `value` is, or names, joined by "+".

    Raises
    ------
    ValueError
        If there is none of that name; with a `codec`, if one of them can't take its samples.
    """
    names: list[Any] = value.split("+") if isinstance(value, str) else [value]
    if "" in names or "auto" in names:
        raise ValueError(f"`architecture` must be 'auto', a name, or names joined by '+', got {value!r}.")
    architectures = [lookup("architecture", name) for name in names]
    allowed, what = tuple(ARCHITECTURES), ""
    if isinstance(codec, TableCodec):
        allowed, what = TABLE_ARCHITECTURES, "a table"
    elif isinstance(codec, FeatureCodec):
        allowed, what = FEATURE_ARCHITECTURES, "features"
    elif isinstance(codec, SeriesCodec):
        allowed, what = SERIES_ARCHITECTURES, "series"
    elif codec is not None:
        # A user's own, added to the registry, may take images.
        allowed, what = tuple(name for name in ARCHITECTURES if name not in NOT_FOR_IMAGES), "images"
    for name, build in ARCHITECTURES.items():
        if build in architectures and name not in allowed:
            raise ValueError(
                f"`architecture` must be 'auto', one of {list(allowed)} or a callable for {what},"
                f" got {name!r}."
            )
    return architectures


def lookup(name: str, value: Any) -> Any:
    """Return the callable that the value of parameter `name` is, or names in its registry."""
    if callable(value):
        return value
    registry = REGISTRIES[name]
    if isinstance(value, str) and value in registry:
        return registry[value]
    close = difflib.get_close_matches(str(value), registry, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    auto = "" if name == "optimizer" else "'auto', "
    raise ValueError(f"`{name}` must be {auto}one of {list(registry)} or a callable, got {value!r}.{hint}")
