"""ImageCodec: images <-> float tensors, for a network and back, and how training augments them."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.data.containers import is_dataframe
from ganaug.data.patches import filter_responses
from ganaug.data.working_size import (
    MAX_SIDE,
    MAX_WORKING_SIDE,
    MIN_SIDE,
    VALUES_AT_ONCE,
    WorkingSize,
    enlarge,
    reduce_images,
    working_sides,
)

# Floats that leave [0, 1] by no more were rounded or resized, and not scaled otherwise.
HAIR = 0.01
SAMPLES_AT_ONCE = 1024  # whose values are looked at
SUPPORTED_DTYPES = ("uint8", "float16", "float32", "float64")


class ImageCodec:
    """Translate images between the form the user has and float tensors (N, C, H, W) in [-1, 1].

    Large images are encoded at a smaller size, that of the networks; see `ganaug.data.working_size`.

    Attributes
    ----------
    shape : (channels, height, width)
        Of an encoded image: at working size.
    full_shape : (channels, height, width)
        Of an image as the user has it.
    is_reduced : bool
        Whether the two differ.
    """

    name = "images"
    noun = "images"  # what messages call them
    chunk_size: int = 256  # images that go through a network at once

    def __init__(
        self, shape: tuple[int, int, int], row_shape: tuple[int, ...], dtype: str, tensor: bool
    ) -> None:
        self.shape = shape
        self.row_shape = row_shape
        self.dtype = dtype
        self.tensor = tensor
        channels_last = not tensor and len(row_shape) == 3
        sides = row_shape[:2] if channels_last else row_shape[-2:]
        self.full_shape: tuple[int, int, int] = (shape[0], sides[0], sides[1])
        self.is_reduced: bool = self.full_shape != self.shape
        if self.is_reduced:
            self.chunk_size = max(1, min(256, VALUES_AT_ONCE // math.prod(self.full_shape)))

    @property
    def working(self) -> ImageCodec:
        """The codec of images at working size, in the user's container and dtype; itself, if these are."""
        if not self.is_reduced:
            return self
        channels, *sides = self.shape
        row_shape = (*sides, channels) if not self.tensor else self.shape
        return ImageCodec(
            self.shape, tuple(sides) if len(self.row_shape) == 2 else row_shape, self.dtype, self.tensor
        )

    @classmethod
    def fit(cls, X: Any, working_size: WorkingSize = "auto") -> ImageCodec:
        """Learn the layout, dtype and range of `X`.

        Parameters
        ----------
        X : ndarray of shape (N, H, W, C) or (N, H, W), or Tensor of shape (N, C, H, W) or (N, H, W)
            uint8, or float in [0, 1]; 8 to 1,024 pixels a side; 1, 3 or 4 channels. Or rows of
            `ganaug.io.image_rows`, whose values are checked as they are read.
        working_size : "auto", int or (int, int), default="auto"
            Of encoded images; see `working_sides`.

        Raises
        ------
        ValueError
            Where `X` is none of these. The message says what would be accepted.
        """
        tensor = _is_tensor(X)
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
                f"Images must be {MIN_SIDE} to {MAX_SIDE:,} pixels a side, got {shape[1]} x {shape[2]}:"
                f" resize them, for example with as_arrays(source, size={32 if min(shape[1:]) < 8 else 224})."
                + _series_hint(row_shape)
            )
        codec = cls((shape[0], *working_sides(*shape[1:], working_size)), row_shape, dtype, tensor)
        codec._check_values(X)
        if dtype == "uint8" and len(X) and _has_bits_only(X):
            raise ValueError(
                "Images of uint8 must lie in 0 to 255, got none above 1: multiply by 255, or pass floats."
            )
        return codec

    def _check_values(self, X: Any) -> None:
        if self.dtype == "uint8":
            return
        if self.dtype not in SUPPORTED_DTYPES:
            raise ValueError(
                f"Images must be one of {SUPPORTED_DTYPES}, floats in [0, 1], got dtype {self.dtype}."
            )
        if len(X) == 0:
            return
        low, high = _value_range(X)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("`X` holds NaN or infinite values; images must be finite, in [0, 1].")
        if -HAIR <= low and high <= 1 + HAIR and (low < 0 or high > 1):
            raise ValueError(
                f"Float images must lie in [0, 1], got values from {low!r} to {high!r}, outside by no more"
                " than rounding or resizing does: clip them to [0, 1]."
            )
        if low < 0:
            raise ValueError(
                f"Float images must lie in [0, 1], got values from {low:.3g} to {high:.3g}. If a transform"
                " normalises them, take `Normalize` out: ganaug comes before it."
                + _series_hint(self.row_shape)
            )
        if high > 1:
            raise ValueError(
                f"Float images must lie in [0, 1], got values up to {high:.3g}: divide by"
                f" {255 if 16 < high <= 255 else high:.3g}, or convert to uint8."
                + _series_hint(self.row_shape)
            )

    def check(self, X: Any) -> None:
        """Raise ValueError unless the images of `X` are of the kind this codec was fitted on."""
        expected = self._describe(self.tensor, self.dtype, self.row_shape)
        if is_dataframe(X):
            raise ValueError(f"`X` must be {expected}, as in fit, got a DataFrame.")
        tensor, dtype = _is_tensor(X), str(X.dtype).removeprefix("torch.")
        if (tensor, dtype, tuple(X.shape[1:])) != (self.tensor, self.dtype, self.row_shape):
            got = self._describe(tensor, dtype, tuple(X.shape[1:]))
            raise ValueError(f"`X` must be {expected}, as in fit, got {got}.")
        self._check_values(X)

    @staticmethod
    def _describe(tensor: bool, dtype: str, row_shape: tuple[int, ...]) -> str:
        return f"{'a Tensor' if tensor else 'an ndarray'} of {dtype} rows of shape {row_shape}"

    def prepare(self, X: Any) -> Any:
        """Return a copy of training images, not encoded: encoded ones are four times as large."""
        return X.clone() if self.tensor else X.copy()

    def reduce(self, X: Any) -> Any:
        """Return images as the user has them, (n, ...), at working size: of the same container and dtype.

        They are read and reduced few at a time.
        """
        if not self.is_reduced:
            return X
        shape = (len(X), *self.working.row_shape)
        # One array for all: small ones, made between the large ones that come and go, would leave holes in
        # memory that no large one fits into.
        reduced: Any = (
            torch.empty(shape, dtype=getattr(torch, self.dtype))
            if self.tensor
            else np.empty(shape, self.dtype)
        )
        for i in range(0, len(X), self.chunk_size):
            own = slice(i, i + self.chunk_size)
            reduced[own] = self.working.decode(self.encode(X[own]))
        return reduced

    def encode(self, X: Any) -> Tensor:
        """Return images of `X` as a float tensor (n, C, h, w) in [-1, 1], at working size."""
        if not self.is_reduced:
            return self.encode_full(X)
        encoded = torch.empty(len(X), *self.shape)
        for i in range(0, len(X), self.chunk_size):
            own = slice(i, i + self.chunk_size)
            encoded[own] = self.reduce_encoded(self.encode_full(X[own]))
        return encoded

    def reduce_encoded(self, full: Tensor) -> Tensor:
        """Return encoded images of full size at working size."""
        return reduce_images(full, self.shape[1:])

    def encode_full(self, X: Any) -> Tensor:
        """Return images as a float tensor (n, C, H, W) in [-1, 1], at the size of the user's images.

        Those that a model keeps at working size are enlarged.
        """
        if self.is_reduced and tuple(X.shape[1:]) == self.working.row_shape:
            return enlarge(self.working.encode_full(X), self.full_shape[1:])
        X = X if isinstance(X, Tensor | np.ndarray) else X[:]  # of images that are not read yet
        images = X if self.tensor else torch.from_numpy(np.ascontiguousarray(X))
        images = images.float()  # of bytes new ones, which can be changed in place
        images = images.div_(127.5).sub_(1) if self.dtype == "uint8" else images * 2 - 1
        if images.dim() == 3:
            return images[:, None]
        return images if self.tensor else images.permute(0, 3, 1, 2)

    def decode(self, encoded: Tensor) -> Any:
        """Return encoded images (n, C, H, W), of any size, as images of the kind that was fitted."""
        images = encoded.detach().float().cpu().clamp(-1, 1)
        if self.dtype == "uint8":
            images = images.add_(1).mul_(127.5).round_().to(torch.uint8)
        else:
            images = ((images + 1) / 2).to(getattr(torch, self.dtype))
        if len(self.row_shape) == 2:
            images = images[:, 0]
        elif not self.tensor:
            images = images.permute(0, 2, 3, 1)
        return images.contiguous() if self.tensor else np.ascontiguousarray(images.numpy())

    def restore(self, images: Tensor) -> Any:
        """Return saved images as images of the kind that was fitted, after checking them."""
        X = images if self.tensor else images.numpy()
        self.check(X)
        return X

    def output_activation(self, raw: Tensor) -> Tensor:
        """Map a generator's output to the range of encoded images."""
        return raw.tanh()

    def augment(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Shift each image by up to an eighth of its side, its edge pixels repeated."""
        height, width = images.shape[2:]
        max_y, max_x = max(1, height // 8), max(1, width // 8)
        padded = F.pad(images, (max_x, max_x, max_y, max_y), mode="replicate")
        n = len(images)
        top = torch.randint(0, 2 * max_y + 1, (n, 1, 1), generator=rng)
        left = torch.randint(0, 2 * max_x + 1, (n, 1, 1), generator=rng)
        image = torch.arange(n)[:, None, None]
        y = top + torch.arange(height)[None, :, None]
        x = left + torch.arange(width)[None, None, :]
        return padded.permute(0, 2, 3, 1)[image, y, x].permute(0, 3, 1, 2)

    def cutout(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Blank a random rectangle, half as high and wide as the image; differentiable.

        The cutout of DiffAugment (Zhao et al., NeurIPS 2020). The discriminator sees it on real and on
        generated images alike, which keeps it from learning a small training set by heart.
        """
        height, width = images.shape[2:]
        n = len(images)
        top = torch.randint(-(height // 4), height - height // 4 + 1, (n, 1), generator=rng)
        left = torch.randint(-(width // 4), width - width // 4 + 1, (n, 1), generator=rng)
        y, x = torch.arange(height)[None], torch.arange(width)[None]
        blank_y = (y >= top) & (y < top + height // 2)
        blank_x = (x >= left) & (x < left + width // 2)
        keep = ~(blank_y[:, None, :, None] & blank_x[:, None, None, :])
        return images * keep.to(images.device)

    def reconstruction_loss(self, generated: Tensor, target: Tensor) -> Tensor:
        """Return L1 + 0.5 L2 between generated images and their targets, a scalar."""
        error = generated - target
        return error.abs().mean() + 0.5 * error.square().mean()

    def discretize(self, images: Tensor, sources: Tensor | None, rng: torch.Generator) -> Tensor:
        """Return generated images as they are."""
        return images

    def random_projections(self, images: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return the responses of random filters; see `ganaug.data.patches.filter_responses`."""
        return filter_responses(images, rng)

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
        if config.keys() != {"shape", "row_shape", "dtype", "tensor"}:
            raise ValueError(f"a codec with the entries {reprlib.repr(sorted(config))}")
        dtype, tensor, row_shape = config["dtype"], config["tensor"], config["row_shape"]
        if dtype not in SUPPORTED_DTYPES or type(tensor) is not bool:
            raise ValueError(f"a codec of dtype {reprlib.repr(dtype)}, tensor {reprlib.repr(tensor)}")
        sizes: list[Any] = row_shape if type(row_shape) is list else []
        if len(sizes) in (2, 3) and all(type(size) is int for size in sizes):
            channels, *sides = [1, *sizes] if len(sizes) == 2 else sizes if tensor else sizes[-1:] + sizes[:2]
            in_range = channels in (1, 3, 4) and all(MIN_SIDE <= side <= MAX_SIDE for side in sides)
            if in_range and _is_working_shape(config["shape"], channels, sides):
                return cls(tuple(config["shape"]), tuple(row_shape), dtype, tensor)
        shapes = f"{reprlib.repr(row_shape)} encoded as {reprlib.repr(config['shape'])}"
        raise ValueError(f"a codec of images of shape {shapes}")


def _series_hint(row_shape: tuple[int, ...]) -> str:
    """Return what to do if samples of a shape are no images."""
    return " Series (N, length, channels) need `modality='series'`." if len(row_shape) == 2 else ""


def _is_tensor(X: Any) -> bool:
    return getattr(X, "tensor", isinstance(X, Tensor))


def _value_range(X: Any) -> tuple[float, float]:
    """Return the least and the largest value of images; of those that are not read yet, they know it."""
    return X.value_range() if hasattr(X, "value_range") else (float(X.min()), float(X.max()))


def _has_bits_only(X: Any) -> bool:
    """Return whether the largest value of bytes is 1; no more of them are read than it takes to tell."""
    if hasattr(X, "value_range"):
        return X.value_range()[1] == 1
    largest = 0
    for start in range(0, len(X), SAMPLES_AT_ONCE):
        largest = max(largest, int(X[start : start + SAMPLES_AT_ONCE].max()))
        if largest > 1:
            return False
    return largest == 1


def _is_working_shape(shape: Any, channels: int, sides: list[int]) -> bool:
    """Return whether images of such channels and sides may be encoded in a shape."""
    if type(shape) is not list or len(shape) != 3 or any(type(size) is not int for size in shape):
        return False
    most = (min(side, MAX_WORKING_SIDE) for side in sides)
    return shape[0] == channels and all(
        MIN_SIDE <= side <= limit for side, limit in zip(shape[1:], most, strict=True)
    )
