"""ImageCodec: the user's images <-> float tensors, and what may be done to them while training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.data.containers import is_dataframe

MIN_SIDE, MAX_SIDE = 8, 64
PATCHES, FILTERS, PLACES = (1, 3, 5), 14, 64  # of `ImageCodec.random_projections`
DTYPES = ("uint8", "float16", "float32", "float64")


class ImageCodec:
    """Translate images between the form the user has and float tensors (N, C, H, W) in [-1, 1].

    Attributes
    ----------
    shape : (channels, height, width)
        Of an encoded row.
    """

    name = "images"
    noun = "images"  # what messages call them
    chunk_size = 256  # rows that go through a network at once

    def __init__(
        self, shape: tuple[int, int, int], row_shape: tuple[int, ...], dtype: str, tensor: bool
    ) -> None:
        self.shape = shape
        self.row_shape = row_shape
        self.dtype = dtype
        self.tensor = tensor

    @classmethod
    def fit(cls, X: Any) -> ImageCodec:
        """Learn the layout, dtype and range of `X`.

        Parameters
        ----------
        X : ndarray of shape (N, H, W, C) or (N, H, W), or Tensor of shape (N, C, H, W) or (N, H, W)
            uint8, or float in [0, 1]; 8 to 64 pixels a side; 1, 3 or 4 channels.

        Raises
        ------
        ValueError
            Where `X` is none of these; says what would be accepted.
        """
        tensor = isinstance(X, Tensor)
        dtype = str(X.dtype).removeprefix("torch.")
        row_shape = tuple(X.shape[1:])
        if len(row_shape) == 2:
            shape = (1, *row_shape)
        elif len(row_shape) == 3:
            shape = row_shape if tensor else (row_shape[2], *row_shape[:2])
        else:
            raise ValueError(f"`X` must hold images, (N, H, W, C) or (N, H, W), got shape {tuple(X.shape)}.")
        if shape[0] not in (1, 3, 4):
            if not tensor and row_shape[0] in (1, 3, 4):
                raise ValueError(
                    f"`X` looks like (N, C, H, W), got an ndarray of shape {tuple(X.shape)}. ndarrays are"
                    " (N, H, W, C): pass X.transpose(0, 2, 3, 1), or torch.from_numpy(X) as it is."
                )
            raise ValueError(f"`X` must have 1, 3 or 4 channels, got {shape[0]} in shape {tuple(X.shape)}.")
        if not (MIN_SIDE <= min(shape[1:]) and max(shape[1:]) <= MAX_SIDE):
            raise ValueError(
                f"Images must be {MIN_SIDE} to {MAX_SIDE} pixels a side, got {shape[1]} x {shape[2]}:"
                " resize them, for example with as_arrays(source, size=32)."
            )
        codec = cls(shape, row_shape, dtype, tensor)
        codec._check_values(X)
        if dtype == "uint8" and len(X) and X.max() == 1:
            raise ValueError(
                "Images of uint8 must lie in 0 to 255, got none above 1: multiply by 255, or pass floats."
            )
        return codec

    def _check_values(self, X: Any) -> None:
        if self.dtype == "uint8":
            return
        if self.dtype not in DTYPES:
            raise ValueError(f"Images must be one of {DTYPES}, floats in [0, 1], got dtype {self.dtype}.")
        if len(X) == 0:
            return
        low, high = float(X.min()), float(X.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("`X` holds NaN or infinite values; images must be finite, in [0, 1].")
        if low < 0:
            raise ValueError(
                f"Float images must lie in [0, 1], got values from {low:.3g} to {high:.3g}. If a transform"
                " normalises them, take `Normalize` out: ganaug goes before it."
            )
        if high > 1:
            raise ValueError(
                f"Float images must lie in [0, 1], got values up to {high:.3g}: divide by"
                f" {255 if 16 < high <= 255 else high:.3g}, or convert to uint8."
            )

    def check(self, X: Any) -> None:
        """Raise ValueError unless the rows of `X` are of the kind this codec was fitted on."""
        expected = self._describe(self.tensor, self.dtype, self.row_shape)
        if is_dataframe(X):
            raise ValueError(f"`X` must be {expected}, as in fit, got a DataFrame.")
        tensor, dtype = isinstance(X, Tensor), str(X.dtype).removeprefix("torch.")
        if (tensor, dtype, tuple(X.shape[1:])) != (self.tensor, self.dtype, self.row_shape):
            got = self._describe(tensor, dtype, tuple(X.shape[1:]))
            raise ValueError(f"`X` must be {expected}, as in fit, got {got}.")
        self._check_values(X)

    @staticmethod
    def _describe(tensor: bool, dtype: str, row_shape: tuple[int, ...]) -> str:
        return f"{'a Tensor' if tensor else 'an ndarray'} of {dtype} rows of shape {row_shape}"

    def prepare(self, X: Any) -> Any:
        """Return a copy of training rows as they are: encoded, they would be four times as large."""
        return X.clone() if self.tensor else X.copy()

    def encode(self, X: Any) -> Tensor:
        """Return rows of `X` as a float tensor (n, C, H, W) in [-1, 1]."""
        rows = X if self.tensor else torch.from_numpy(np.ascontiguousarray(X))
        rows = rows.float()
        rows = rows / 127.5 - 1 if self.dtype == "uint8" else rows * 2 - 1
        if rows.dim() == 3:
            return rows[:, None]
        return rows if self.tensor else rows.permute(0, 3, 1, 2)

    def decode(self, rows: Tensor) -> Any:
        """Return encoded rows (n, C, H, W) as images of the kind that was fitted."""
        rows = rows.detach().float().cpu().clamp(-1, 1)
        if self.dtype == "uint8":
            rows = ((rows + 1) * 127.5).round().to(torch.uint8)
        else:
            rows = ((rows + 1) / 2).to(getattr(torch, self.dtype))
        if len(self.row_shape) == 2:
            rows = rows[:, 0]
        elif not self.tensor:
            rows = rows.permute(0, 2, 3, 1)
        return rows.contiguous() if self.tensor else np.ascontiguousarray(rows.numpy())

    def restore(self, rows: Tensor) -> Any:
        """Return saved rows as images of the kind that was fitted, after checking them."""
        X = rows if self.tensor else rows.numpy()
        self.check(X)
        return X

    def output_activation(self, raw: Tensor) -> Tensor:
        """Map what a generator puts out to the range of encoded rows."""
        return raw.tanh()

    def augment(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Shift each image by up to an eighth of its side, its edge pixels repeated."""
        height, width = rows.shape[2:]
        reach = (max(1, height // 8), max(1, width // 8))
        padded = F.pad(rows, (reach[1], reach[1], reach[0], reach[0]), mode="replicate")
        n = len(rows)
        top = torch.randint(0, 2 * reach[0] + 1, (n, 1, 1), generator=rng)
        left = torch.randint(0, 2 * reach[1] + 1, (n, 1, 1), generator=rng)
        which = torch.arange(n)[:, None, None]
        down = top + torch.arange(height)[None, :, None]
        across = left + torch.arange(width)[None, None, :]
        return padded.permute(0, 2, 3, 1)[which, down, across].permute(0, 3, 1, 2)

    def cutout(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Blank a random rectangle, half as high and wide as the image; differentiable.

        The cutout of DiffAugment (Zhao et al., NeurIPS 2020): shown to a discriminator alike on
        real and on generated rows, it keeps a small training set from being learned by heart.
        """
        height, width = rows.shape[2:]
        n = len(rows)
        top = torch.randint(-(height // 4), height - height // 4 + 1, (n, 1), generator=rng)
        left = torch.randint(-(width // 4), width - width // 4 + 1, (n, 1), generator=rng)
        y, x = torch.arange(height)[None], torch.arange(width)[None]
        blank_y = (y >= top) & (y < top + height // 2)
        blank_x = (x >= left) & (x < left + width // 2)
        keep = ~(blank_y[:, None, :, None] & blank_x[:, None, None, :])
        return rows * keep.to(rows.device)

    def reconstruction_loss(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Return how far generated rows are from those that they should be, a scalar."""
        error = made - wanted
        return error.abs().mean() + 0.5 * error.square().mean()

    def discretize(self, rows: Tensor, start: Tensor | None, rng: torch.Generator) -> Tensor:
        """Return generated rows as they are."""
        return rows

    def random_projections(self, rows: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return what random filters see at random places, the same in every image; differentiable.

        Of single pixels, and of patches of 3 and 5 pixels a side: what tells real images from
        generated ones is mostly there, in how sharp edges and how flat surfaces are (Elnekave &
        Weiss, "Generating natural images with direct patch distribution matching", ECCV 2022).

        Returns
        -------
        list of Tensor of shape (n_filters, n, n_places)
        """
        channels = self.shape[0]
        responses = []
        for side in PATCHES:
            filters = torch.randn(FILTERS, channels, side, side, generator=rng)
            if side == 1 and channels == 1:
                filters = torch.ones(1, 1, 1, 1)  # there is but one way to look at one number
            filters = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
            seen = F.conv2d(rows, filters.to(rows.device)).flatten(2).transpose(0, 1)
            places = torch.randint(seen.shape[2], (PLACES,), generator=rng)
            responses.append(seen[:, :, places.to(rows.device)])
        return responses

    def to_config(self) -> dict[str, Any]:
        """Return the fitted state in JSON's types; ``ImageCodec(**config)`` restores it."""
        return {
            "shape": list(self.shape),
            "row_shape": list(self.row_shape),
            "dtype": self.dtype,
            "tensor": self.tensor,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ImageCodec:
        """Restore a codec from what `to_config` returned."""
        if config["dtype"] not in DTYPES or config["tensor"] not in (True, False):
            raise ValueError(f"a codec of dtype {config['dtype']!r}, tensor {config['tensor']!r}")
        return cls(tuple(config["shape"]), tuple(config["row_shape"]), config["dtype"], config["tensor"])
