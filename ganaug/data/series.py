"""SeriesCodec: time series <-> float tensors, for a network and back, and how training augments them."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.data.containers import is_dataframe
from ganaug.data.patches import stretch_responses
from ganaug.data.working_size import UnreducedCodec

FLOAT_DTYPES = ("float16", "float32", "float64")
INTEGER_DTYPES = ("uint8", "int8", "int16", "int32", "int64")
# In steps of time. Networks of shorter ones are those of tables; longer ones are cut into windows.
MIN_LENGTH, MAX_LENGTH = 8, 2048
# Above it integers are no longer all floats of 64 bits.
MAX_NUMBER = 1e15
# Of all series that go through a network at once, each value taken once.
VALUES_AT_ONCE, MAX_CHUNK_SIZE = 2**17, 1024


class SeriesCodec(UnreducedCodec):
    """Translate series between the form the user has and float tensors (n, channels, length).

    Each channel is standardised by its mean and standard deviation over all series and all steps. What is
    decoded stays in the range of its channel, and integers stay integers.

    Parameters
    ----------
    row_shape : (length,) or (length, channels)
        Of a series as the user has it.
    dtype : str
        Of the user's series.
    tensor : bool
        Whether these are in a Tensor, or else in an ndarray.
    channels : dict of str to list of float
        Of each channel: "mean", "scale", "low" and "high".

    Attributes
    ----------
    shape : (channels, length)
        Of an encoded series.
    """

    name = "series"
    noun = "series"

    def __init__(
        self, row_shape: tuple[int, ...], dtype: str, channels: dict[str, list[float]], *, tensor: bool
    ) -> None:
        self.row_shape = row_shape
        self.dtype = dtype
        self.tensor = tensor
        self.channels = channels
        self.shape: tuple[int, int] = (row_shape[1] if len(row_shape) == 2 else 1, row_shape[0])
        self.chunk_size: int = max(1, min(MAX_CHUNK_SIZE, VALUES_AT_ONCE // math.prod(self.shape)))

    @classmethod
    def fit(cls, X: Any) -> SeriesCodec:
        """Learn mean, spread and range of each channel of the series `X`, and of which kind they are.

        Parameters
        ----------
        X : ndarray or Tensor of shape (n, length) or (n, length, channels), of floats or integers
            Of 8 to 2,048 steps.

        Raises
        ------
        ValueError
            If they are of another kind, not finite, or all alike. The message says what would be accepted.
        """
        _check_kind(X)
        values = _checked_values(X)
        if not (values != values[:1]).any():
            raise ValueError(f"`X` must hold series that differ, got {len(X)} that are all alike.")
        by_channel = values.flatten(0, 1)
        low, high = by_channel.amin(0), by_channel.amax(0)
        scale = by_channel.std(0, correction=0)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        found = {"mean": by_channel.mean(0), "scale": scale, "low": low, "high": high}
        channels = {name: part.tolist() for name, part in found.items()}
        dtype = str(X.dtype).removeprefix("torch.")
        return cls(tuple(X.shape[1:]), dtype, channels, tensor=isinstance(X, Tensor))

    def check(self, X: Any) -> None:
        """Raise ValueError unless the series of `X` are of the kind this codec was fitted on."""
        expected = _describe(self.tensor, self.dtype, self.row_shape)
        tensor, dtype = isinstance(X, Tensor), str(getattr(X, "dtype", "")).removeprefix("torch.")
        kind = tensor, dtype, tuple(X.shape[1:])
        if is_dataframe(X) or kind != (self.tensor, self.dtype, self.row_shape):
            got = "a DataFrame" if is_dataframe(X) else _describe(*kind)
            raise ValueError(f"`X` must be {expected}, as in fit, got {got}.")
        _checked_values(X)

    def prepare(self, X: Any) -> Any:
        """Return a copy of training series, not encoded."""
        return X.clone() if self.tensor else X.copy()

    def encode(self, X: Any) -> Tensor:
        """Return series of `X` as a float tensor (n, channels, length), each channel of about unit scale."""
        values = (_as_float(X) - self._of_channels("mean")) / self._of_channels("scale")
        return values.transpose(1, 2).float().contiguous()

    def decode(self, encoded: Tensor) -> Any:
        """Return encoded series as series of the kind that was fitted."""
        values = encoded.detach().cpu().double().transpose(1, 2)
        values = values * self._of_channels("scale") + self._of_channels("mean")
        values = values.clamp(self._of_channels("low"), self._of_channels("high"))
        values = values.round() if self.dtype in INTEGER_DTYPES else values
        series = values.to(getattr(torch, self.dtype)).reshape(-1, *self.row_shape)
        return series if self.tensor else series.numpy()

    def _of_channels(self, name: str) -> Tensor:
        return torch.tensor(self.channels[name], dtype=torch.float64)

    def restore(self, series: Tensor) -> Any:
        """Return saved series as series of the kind that was fitted, after checking them."""
        X = series if self.tensor else series.numpy()
        self.check(X)
        return X

    def output_activation(self, raw: Tensor) -> Tensor:
        """Return a generator's output as it is: an encoded series may hold any number."""
        return raw

    def augment(self, series: Tensor, rng: torch.Generator) -> Tensor:
        """Shift each series in time by up to a sixteenth of its length, its ends repeated."""
        n, _, length = series.shape
        most = max(1, length // 16)
        shift = torch.randint(-most, most + 1, (n, 1), generator=rng)
        steps = (torch.arange(length) + shift).clamp(0, length - 1).to(series.device)
        return series.gather(2, steps[:, None].expand(series.shape))

    def cutout(self, series: Tensor, rng: torch.Generator) -> Tensor:
        """Blank a random stretch of each series, a quarter as long; differentiable.

        It is for the discriminator; see `ganaug.data.images.ImageCodec.cutout`.
        """
        length = series.shape[2]
        start = torch.randint(-(length // 8), length - length // 8 + 1, (len(series), 1), generator=rng)
        step = torch.arange(length)[None]
        keep = ~((step >= start) & (step < start + length // 4))
        return series * keep[:, None].to(series.device)

    def reconstruction_loss(self, generated: Tensor, target: Tensor) -> Tensor:
        """Return L1 + 0.5 L2 between generated series and their targets, a scalar."""
        error = generated - target
        return error.abs().mean() + 0.5 * error.square().mean()

    def discretize(self, series: Tensor, sources: Tensor | None, rng: torch.Generator) -> Tensor:
        """Return generated series as they are."""
        return series

    def random_projections(self, series: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return the responses of random filters; see `ganaug.data.patches.stretch_responses`."""
        return stretch_responses(series, rng)

    def to_config(self) -> dict[str, Any]:
        """Return the fitted state in JSON's types; `from_config` restores it."""
        return {
            "row_shape": list(self.row_shape),
            "dtype": self.dtype,
            "tensor": self.tensor,
            "channels": self.channels,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeriesCodec:
        """Restore a codec from what `to_config` returned."""
        if config.keys() != {"row_shape", "dtype", "tensor", "channels"}:
            raise ValueError(f"a codec with the entries {reprlib.repr(sorted(config))}")
        row_shape, dtype, channels = config["row_shape"], config["dtype"], config["channels"]
        sizes: list[Any] = row_shape if type(row_shape) is list else []
        if (
            len(sizes) not in (1, 2)
            or any(type(size) is not int or size < 1 for size in sizes)
            or not MIN_LENGTH <= sizes[0] <= MAX_LENGTH
        ):
            raise ValueError(f"a codec of series of shape {reprlib.repr(row_shape)}")
        if dtype not in FLOAT_DTYPES + INTEGER_DTYPES or type(config["tensor"]) is not bool:
            raise ValueError(
                f"a codec of dtype {reprlib.repr(dtype)}, tensor {reprlib.repr(config['tensor'])}"
            )
        _check_channels(channels, 1 if len(sizes) == 1 else sizes[1])
        return cls(tuple(sizes), dtype, channels, tensor=config["tensor"])


def _check_channels(channels: Any, n_channels: int) -> None:
    """Raise ValueError unless a stranger's `channels` are as `SeriesCodec` has them."""
    if type(channels) is not dict or channels.keys() != {"mean", "scale", "low", "high"}:
        raise ValueError(f"a codec with the channels {reprlib.repr(channels)}")
    for name, values in channels.items():
        numbers = type(values) is list and all(
            type(value) is float and abs(value) <= MAX_NUMBER for value in values
        )
        if not numbers or len(values) != n_channels or (name == "scale" and min(values) <= 0):
            raise ValueError(f"a codec of {n_channels} channels with {name} {reprlib.repr(values)}")
    if any(low > high for low, high in zip(channels["low"], channels["high"], strict=True)):
        raise ValueError(f"a codec with channels from {channels['low']} to {channels['high']}")


def _as_float(X: Any) -> Tensor:
    """Return series as a Tensor (n, length, channels) of float64."""
    values = X if isinstance(X, Tensor) else torch.from_numpy(np.ascontiguousarray(X))
    values = values.double()
    return values[:, :, None] if values.ndim == 2 else values


def _checked_values(X: Any) -> Tensor:
    """Return what `_as_float` does; raise ValueError if a value is infinite, NaN or too large."""
    values = _as_float(X)
    wrong = ~(values.abs() <= MAX_NUMBER)
    if bool(wrong.any()):
        row, step, channel = wrong.nonzero()[0].tolist()
        n = int(wrong.flatten(1).any(dim=1).sum())
        raise ValueError(
            f"`X` must hold finite numbers of at most {MAX_NUMBER:g}, got {float(values[row, step, channel])}"
            f" at step {step} of channel {channel} of series {row}, the first of {n} such series: fill gaps,"
            " scale the values, or drop these series."
        )
    return values


def _describe(tensor: bool, dtype: str, row_shape: tuple[int, ...]) -> str:
    return f"{'a Tensor' if tensor else 'an ndarray'} of {dtype} series of shape {row_shape}"


def _check_kind(X: Any) -> None:
    """Raise ValueError unless `X` holds series of numbers."""
    if not isinstance(X, Tensor | np.ndarray):
        raise ValueError(
            f"`X` must be an ndarray or a Tensor for modality 'series', got a {type(X).__name__}: of a"
            " DataFrame pass X.to_numpy()."
        )
    if X.ndim not in (2, 3) or 0 in X.shape:
        raise ValueError(
            f"`X` must hold series, (N, length) or (N, length, channels), got shape {tuple(X.shape)}."
        )
    if not MIN_LENGTH <= X.shape[1] <= MAX_LENGTH:
        hint = "cut them into windows, or keep every k-th step"
        if X.shape[1] < MIN_LENGTH:
            hint = "channels come last" if X.shape[-1] >= MIN_LENGTH else "pass them as a table"
        raise ValueError(
            f"Series must be {MIN_LENGTH} to {MAX_LENGTH:,} steps long, got {X.shape[1]} in shape"
            f" {tuple(X.shape)}: {hint}."
        )
    dtype = str(X.dtype).removeprefix("torch.")
    if dtype not in FLOAT_DTYPES + INTEGER_DTYPES:
        raise ValueError(
            f"`X` must hold series of one of {FLOAT_DTYPES + INTEGER_DTYPES}, got {dtype}: convert them."
        )
