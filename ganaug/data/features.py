"""FeatureCodec: dense vectors, such as the embeddings of a backbone <-> float tensors, and back."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.data.containers import is_dataframe
from ganaug.data.user_warnings import warn_user
from ganaug.data.working_size import UnreducedCodec

FLOAT_DTYPES = ("float16", "float32", "float64")

# A vector of fewer numbers is a row of a table.
MIN_FEATURES = 2
N_PROJECTIONS = 64
# Units of a network that no image of a small data set excites are no fault of the data.
MAX_CONSTANT_SHARE = 0.1
# Squares of larger numbers would be no floats of 32 bits.
MAX_NUMBER = 1e18


class FeatureCodec(UnreducedCodec):
    """Translate feature vectors between the form the user has and float tensors (n, n_features).

    Where no number is negative, as after a ReLU, square roots are taken, which makes each feature more nearly
    normal (Tukey's ladder of powers). All numbers are then divided by one and the same scale, so that what
    the backbone takes for near stays near. Then no generated number is negative either.

    Parameters
    ----------
    n_features : int
        Numbers in a vector.
    dtype : str
        Of the user's vectors.
    tensor : bool
        Whether these are in a Tensor, or else in an ndarray.
    scale : float
        The standard deviation of all numbers, or of their roots, about the means of their columns.
    roots : bool
        Whether roots are taken.

    Attributes
    ----------
    shape, row_shape : (n_features,)
        Of an encoded vector, and of the user's.
    """

    name = "features"
    noun = "vectors"
    chunk_size = 8192  # vectors that go through a network at once

    def __init__(self, n_features: int, dtype: str, scale: float, *, tensor: bool, roots: bool) -> None:
        self.shape: tuple[int, ...] = (n_features,)
        self.row_shape: tuple[int, ...] = self.shape
        self.dtype = dtype
        self.tensor = tensor
        self.scale = scale
        self.roots = roots

    @classmethod
    def fit(cls, X: Any) -> FeatureCodec:
        """Learn the scale of the vectors `X`, and of which kind they are.

        Parameters
        ----------
        X : ndarray or Tensor of shape (n, n_features), of floats

        Raises
        ------
        ValueError
            If they are of another kind, not finite, or all constant. The message names the column.
        """
        _check_kind(X)
        _check_finite(X)
        values = _as_float(X)
        largest = float(values.abs().max())
        if largest > MAX_NUMBER:
            raise ValueError(f"`X` must hold numbers of at most {MAX_NUMBER:g}, got {largest:g}: scale them.")
        roots = bool((values >= 0).all())
        values = values.double().sqrt() if roots else values.double()
        scale = float(values.var(dim=0, correction=0).mean().sqrt())
        if scale == 0:
            raise ValueError(
                f"`X` must hold vectors that differ, got {len(X)} alike: every column is constant."
            )
        dtype = str(X.dtype).removeprefix("torch.")
        return cls(X.shape[1], dtype, scale, tensor=isinstance(X, Tensor), roots=roots)

    def check(self, X: Any) -> None:
        """Raise ValueError unless the vectors of `X` are of the kind this codec was fitted on."""
        expected = _describe(self.tensor, self.dtype, self.row_shape)
        tensor, dtype = isinstance(X, Tensor), str(getattr(X, "dtype", "")).removeprefix("torch.")
        if is_dataframe(X) or (tensor, dtype, tuple(X.shape[1:])) != (
            self.tensor,
            self.dtype,
            self.row_shape,
        ):
            got = "a DataFrame" if is_dataframe(X) else _describe(tensor, dtype, tuple(X.shape[1:]))
            raise ValueError(f"`X` must be {expected}, as in fit, got {got}.")
        _check_finite(X)

    def prepare(self, X: Any) -> Any:
        """Return a copy of training vectors, not encoded."""
        return X.clone() if self.tensor else X.copy()

    def encode(self, X: Any) -> Tensor:
        """Return vectors of `X` as a float tensor (n, n_features), of about unit scale."""
        values = _as_float(X)
        if self.roots:
            values = values.clamp(min=0).sqrt()
        return (values / self.scale).float()

    def decode(self, encoded: Tensor) -> Any:
        """Return encoded vectors as vectors of the kind that was fitted."""
        values = encoded.detach().cpu().double() * self.scale
        if self.roots:
            values = values.clamp(min=0).square()
        dtype = getattr(torch, self.dtype)
        largest = torch.finfo(dtype).max  # no finite number becomes infinite in a narrower dtype
        values = values.clamp(-largest, largest).to(dtype)
        return values if self.tensor else values.numpy()

    def restore(self, vectors: Tensor) -> Any:
        """Return saved vectors as vectors of the kind that was fitted, after checking them."""
        X = vectors if self.tensor else vectors.numpy()
        self.check(X)
        return X

    def output_activation(self, raw: Tensor) -> Tensor:
        """Return a generator's output as it is: an encoded vector may be any."""
        return raw

    def augment(self, vectors: Tensor, rng: torch.Generator) -> Tensor:
        """Return the vectors as they are: their images are what could be changed."""
        return vectors

    def cutout(self, vectors: Tensor, rng: torch.Generator) -> Tensor:
        """Return the vectors as they are."""
        return vectors

    def reconstruction_loss(self, generated: Tensor, target: Tensor) -> Tensor:
        """Return L1 + 0.5 L2 between generated vectors and their targets, a scalar."""
        error = generated - target
        return error.abs().mean() + 0.5 * error.square().mean()

    def discretize(self, vectors: Tensor, sources: Tensor | None, rng: torch.Generator) -> Tensor:
        """Return generated vectors as they are."""
        return vectors

    def random_projections(self, vectors: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return the projections of vectors on random directions; differentiable.

        Returns
        -------
        list of one Tensor of shape (n_projections, n, 1)
        """
        directions = torch.randn(N_PROJECTIONS, vectors.shape[1], generator=rng).to(vectors.device)
        directions = directions / directions.norm(dim=1, keepdim=True)
        return [(directions @ vectors.T)[:, :, None]]

    def to_config(self) -> dict[str, Any]:
        """Return the fitted state in JSON's types; `from_config` restores it."""
        return {
            "n_features": self.shape[0],
            "dtype": self.dtype,
            "tensor": self.tensor,
            "scale": self.scale,
            "roots": self.roots,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FeatureCodec:
        """Restore a codec from what `to_config` returned."""
        if config.keys() != {"n_features", "dtype", "tensor", "scale", "roots"}:
            raise ValueError(f"a codec with the entries {reprlib.repr(sorted(config))}")
        n_features, dtype, scale = config["n_features"], config["dtype"], config["scale"]
        flags = (config["tensor"], config["roots"])

        if type(n_features) is not int or n_features < MIN_FEATURES or dtype not in FLOAT_DTYPES:
            raise ValueError(f"a codec of {reprlib.repr(n_features)} features of dtype {reprlib.repr(dtype)}")
        if (
            type(scale) is not float
            or not 0 < scale < math.inf
            or not all(type(flag) is bool for flag in flags)
        ):
            raise ValueError(f"a codec of scale {reprlib.repr(scale)} with flags {reprlib.repr(flags)}")
        return cls(n_features, dtype, scale, tensor=flags[0], roots=flags[1])


def warn_of_constant_columns(X: Any) -> None:
    """Warn if many columns of feature vectors hold one number throughout: they tell nothing.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n, n_features)
    """
    constant = np.flatnonzero((_as_float(X) == _as_float(X[:1])).all(dim=0).numpy())
    if len(constant) > MAX_CONSTANT_SHARE * X.shape[1]:
        warn_user(
            f"Columns {reprlib.repr(constant.tolist())} of `X` are constant, {len(constant)} of {X.shape[1]}:"
            " they tell nothing of the classes, and stay as they are. Drop them, or look at what made the"
            " vectors.",
        )


def _as_float(X: Any) -> Tensor:
    """Return vectors as a Tensor in which nothing is lost: of float64, or of float32 if that is theirs."""
    values = X if isinstance(X, Tensor) else torch.from_numpy(np.ascontiguousarray(X))
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def _describe(tensor: bool, dtype: str, row_shape: tuple[int, ...]) -> str:
    return f"{'a Tensor' if tensor else 'an ndarray'} of {dtype} vectors of shape {row_shape}"


def _check_kind(X: Any) -> None:
    """Raise ValueError unless `X` holds vectors of floats."""
    if is_dataframe(X):
        raise ValueError(
            "`X` must be an ndarray or a Tensor for modality 'features', got a DataFrame: pass X.to_numpy()."
        )
    if X.ndim != 2 or len(X) == 0 or X.shape[1] < MIN_FEATURES:
        raise ValueError(
            f"`X` must hold feature vectors (n, n_features), of {MIN_FEATURES} features or more, got shape"
            f" {tuple(X.shape)}: flatten or average what a backbone returns."
        )

    dtype = str(X.dtype).removeprefix("torch.")
    if dtype not in FLOAT_DTYPES:
        raise ValueError(
            f"`X` must hold feature vectors of one of {FLOAT_DTYPES}, got {dtype}: convert them."
        )


def _check_finite(X: Any) -> None:
    """Raise ValueError if a number is NaN or infinite; the message names its column."""
    finite = torch.isfinite(_as_float(X))
    if bool(finite.all()):
        return
    row, column = (~finite).nonzero()[0].tolist()
    n_rows = int((~finite).any(dim=1).sum())
    raise ValueError(
        f"`X` must hold finite feature vectors, got {float(X[row, column])} in column {column} of row {row},"
        f" the first of {n_rows} such rows: drop them, or look at what made the vectors."
    )
