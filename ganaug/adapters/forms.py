"""RawImages: what images of a data set are before its transform, so that synthetic ones can be the same."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf

from ganaug.data.containers import MAX_OVERSHOOT, is_image

PIL_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels
PALETTE_MODES = ("P", "PA")  # which colours are made of; generators are fitted on the colours
DEEP_MODES = ("I", "F", "LAB")  # PIL modes that begin so do not hold 8-bit levels of grey or colour
CHANNELS = tuple(PIL_MODES)


def image_places(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield where images are in nested tuples, lists and dicts: the indices and keys that lead to each."""
    if is_image(value):
        yield ()
    elif isinstance(value, Mapping | tuple | list):
        for key in value if isinstance(value, Mapping) else range(len(value)):
            for place in image_places(value[key]):
                yield (key, *place)


def at(container: Any, place: Sequence[Any]) -> Any:
    """Return what is at a place in nested tuples, lists and dicts."""
    for key in place:
        container = container[key]
    return container


def replaced(container: Any, place: Sequence[Any], value: Any) -> Any:
    """Return nested tuples, lists and dicts with `value` at a place; those given stay as they are."""
    if not place:
        return value
    key, *rest = place
    if isinstance(container, tuple):
        parts = list(container)
        parts[key] = replaced(parts[key], rest, value)
        return container._make(parts) if hasattr(container, "_make") else tuple(parts)
    changed = copy.copy(container)
    changed[key] = replaced(container[key], rest, value)
    return changed


def same_image(a: Any, b: Any) -> bool:
    """Return whether two images, or tuples or lists of images, hold the same values in the same form."""
    if a is b:
        return True
    if describe(a) != describe(b):
        return False
    if isinstance(a, tuple | list):
        return all(same_image(*pair) for pair in zip(a, b, strict=True))
    if isinstance(a, Image.Image):
        return a.tobytes() == b.tobytes()
    if isinstance(a, Tensor):
        return torch.equal(a.as_subclass(Tensor), b.as_subclass(Tensor))
    return isinstance(a, np.ndarray) and np.array_equal(a, b)


def describe(image: Any) -> str:
    """Return what images must have in common to be in one batch, in words."""
    if isinstance(image, Image.Image):
        return f"PIL {image.mode} {image.height} x {image.width}"
    if isinstance(image, Tensor | np.ndarray):
        name = "ndarray" if isinstance(image, np.ndarray) else type(image).__name__
        return f"{name} {tuple(image.shape)} {str(image.dtype).removeprefix('torch.')}"
    if isinstance(image, tuple | list):
        return f"({', '.join(describe(part) for part in image)})"
    return type(image).__name__


def sides(image: Any) -> tuple[int, int] | None:
    """Return the height and width of an image, or of the first of several views of it, if it has them."""
    if isinstance(image, tuple | list) and len(image):
        return sides(image[0])
    if isinstance(image, Image.Image):
        return image.height, image.width
    if not is_image(image):
        return None
    height, width = image.shape[-3:-1] if _is_channels_last(image) else image.shape[-2:]
    return int(height), int(width)


def _is_channels_last(image: Any) -> bool:
    """Return whether an array is (H, W, C); ndarrays are, and Tensors are not, where both could be."""
    if image.ndim != 3:
        return False
    first, last = image.shape[0] in CHANNELS, image.shape[-1] in CHANNELS
    return last and (not first or isinstance(image, np.ndarray))


class RawImages:
    """What the images of a data set are before its transform.

    Attributes
    ----------
    sides : (int, int)
        The largest height and the largest width of those that were added.
    """

    def __init__(self) -> None:
        self.sides: tuple[int, int] = (0, 0)
        self._kinds: dict[str, int] = {}  # the first item of each
        self._modes: dict[str, int] = {}
        self._low, self._high = np.inf, -np.inf
        self._type: type = object
        self._dtype: torch.dtype | None = None
        self._shape: tuple[int, ...] = ()
        self._channels_last = False

    def add(self, index: int, image: Any) -> None:
        """Note what the image of item `index` is like."""
        height, width = sides(image) or (0, 0)
        self.sides = (max(self.sides[0], height), max(self.sides[1], width))
        if isinstance(image, Image.Image):
            deep = image.mode.startswith(DEEP_MODES)
            self._kinds.setdefault(f"PIL image of mode {image.mode}" if deep else "PIL image", index)
            self._modes.setdefault(image.mode, index)
            self._type = Image.Image
        elif isinstance(image, Tensor | np.ndarray):
            dtype = str(image.dtype).removeprefix("torch.")
            layout = "" if image.ndim in (2, 3) else f" of shape {tuple(image.shape)}"
            self._kinds.setdefault(f"{type(image).__name__} of {dtype}{layout}", index)
            self._type, self._shape = type(image), tuple(image.shape)
            self._dtype = getattr(torch, dtype, None)
            self._channels_last = _is_channels_last(image)
            if self._is_accepted_dtype() and 0 not in self._shape:
                # Of NaN each comparison is False: so it must be the new value that is asked.
                low, high = float(image.min()), float(image.max())
                self._low = self._low if low >= self._low else low
                self._high = self._high if high <= self._high else high
        else:
            self._kinds.setdefault(type(image).__name__, index)

    def _is_accepted_dtype(self) -> bool:
        return self._dtype is not None and (self._dtype == torch.uint8 or self._dtype.is_floating_point)

    def check(self) -> None:
        """Raise ValueError unless synthetic images can be given the same kind, dtype and range."""
        if len(self._kinds) > 1:
            (first, i), (other, j) = list(self._kinds.items())[:2]
            raise ValueError(
                "Images of `dataset` must be of one kind before its transform, got"
                f" {first} for item {i} and {other} for item {j}: convert them."
            )
        kind = next(iter(self._kinds))
        arrays = self._type is not Image.Image and len(self._shape) in (2, 3) and self._is_accepted_dtype()
        if not arrays and kind != "PIL image":
            raise ValueError(
                "`dataset` must hold PIL images with 8 bits a channel, or ndarrays or Tensors of uint8 or"
                f" floats, (H, W) or with channels, before its transform, got {kind}: convert them."
            )
        if not arrays:
            return
        if self._dtype == torch.uint8 and self._high == 1:
            raise ValueError(
                "Images of uint8 in `dataset` must lie in 0 to 255, got none above 1: multiply by 255, or"
                " make them floats."
            )
        beyond = not (-MAX_OVERSHOOT <= self._low and self._high <= 1 + MAX_OVERSHOOT)
        if self._dtype != torch.uint8 and beyond and 0 not in self._shape:
            raise ValueError(
                "`dataset` must hold images in [0, 1], if they are floats, got values from"
                f" {self._low:.3g} to {self._high:.3g} before its own `transform`: scale them, or make them"
                " uint8, and normalise them in the transform, which it must not have called already."
            )

    def imitate(self, image: Tensor) -> Any:
        """Return a synthetic image (C, H, W) in the form of those of the data set."""
        if self._type is Image.Image:
            return self._imitate_pil(image)
        if len(self._shape) == 3 and len(image) == 1:
            channels = self._shape[-1 if self._channels_last else 0]
            image = image.expand(3 if channels == 3 else 1, -1, -1)
        image = tvf.to_dtype(image.clone(), self._dtype, scale=True)
        image = image[0] if len(self._shape) == 2 and len(image) == 1 else image
        image = image.permute(1, 2, 0).contiguous() if self._channels_last else image
        if issubclass(self._type, np.ndarray):
            return image.numpy()
        return tv_tensors.Image(image) if issubclass(self._type, tv_tensors.Image) else image

    def _imitate_pil(self, image: Tensor) -> Image.Image:
        pil = tvf.to_pil_image(tvf.to_dtype(image, torch.uint8, scale=True))
        mode = next(iter(self._modes))
        # Grey files are read as RGB by torchvision's folders, and as grey by as_arrays.
        if pil.mode in self._modes or mode in PALETTE_MODES:
            return pil
        return pil.convert("L").convert("1", dither=Image.Dither.NONE) if mode == "1" else pil.convert(mode)

    def as_tensor(self, image: Any, shape: tuple[int, ...]) -> Tensor:
        """Return an image of the data set as a Tensor of shape (C, H, W), resized to it."""
        if isinstance(image, Image.Image):
            image = tvf.pil_to_tensor(image.convert(PIL_MODES.get(shape[0], "RGB")))
        elif self._channels_last:
            image = torch.as_tensor(image).permute(2, 0, 1)
        image = torch.as_tensor(image).as_subclass(Tensor)
        image = image[None] if image.ndim == 2 else image
        if tuple(image.shape[1:]) != shape[1:]:
            image = tvf.resize(image, list(shape[1:]), antialias=True)
        return image
