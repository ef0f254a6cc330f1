"""The size at which networks see images: their own where they are small, a smaller one of photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np
from torch import Tensor
from torch.nn import functional as F

MIN_SIDE, MAX_SIDE = 8, 1024
# Networks work at no larger side. Images that are no larger are seen as they are.
MAX_WORKING_SIDE = 64
# The shorter side at which larger images are seen. Flow and colours, which are all that is taken from the
# networks, are smooth, and a step at 64 pixels takes four times as long.
SHORTER_SIDE = 32
# Of images of full size, so many values go through a network at once: 8 MiB as floats. The C library takes
# larger pieces of memory anew from the system each time, page by page.
VALUES_AT_ONCE = 2**21

WorkingSize = int | Sequence[int] | Literal["auto"]


class UnreducedCodec:
    """What a codec needs whose samples networks see as they are; `ImageCodec` reduces large ones."""

    is_reduced = False
    encode: Callable[..., Tensor]

    @property
    def working(self) -> Self:
        """The codec of what networks are trained on: itself."""
        return self

    def encode_full(self, X: Any) -> Tensor:
        """Return what `encode` does."""
        return self.encode(X)

    def reduce_encoded(self, full: Tensor) -> Tensor:
        """Return encoded samples as they are."""
        return full


def check_working_size(value: Any) -> None:
    """Raise ValueError unless `value` is "auto", a side in pixels, or (height, width)."""
    if isinstance(value, str) and value == "auto":
        return
    pair = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    if not all(
        isinstance(side, int | np.integer)
        and not isinstance(side, bool)
        and MIN_SIDE <= side <= MAX_WORKING_SIDE
        for side in pair
    ):
        raise ValueError(
            f"`working_size` must be 'auto', an int or (height, width), {MIN_SIDE} to {MAX_WORKING_SIDE}"
            f" pixels a side, got {value!r}."
        )


def working_sides(height: int, width: int, working_size: WorkingSize = "auto") -> tuple[int, int]:
    """Return the height and width at which networks see images of a height and width.

    Parameters
    ----------
    height, width : int
        Of the images, in pixels.
    working_size : "auto", int or (int, int), default="auto"
        "auto": their own, where both sides are 64 pixels at most; otherwise 32 for the shorter side. An int
        is for the shorter side. The other side follows, so that proportions stay, but is 64 at most.
        A pair is for both. No side is enlarged.

    Returns
    -------
    (int, int)

    Examples
    --------
    >>> working_sides(28, 28), working_sides(192, 256), working_sides(224, 224, 48)
    ((28, 28), (32, 43), (48, 48))
    """
    if isinstance(working_size, tuple | list):
        return min(height, int(working_size[0])), min(width, int(working_size[1]))
    if isinstance(working_size, str):
        if max(height, width) <= MAX_WORKING_SIDE:
            return height, width
        working_size = SHORTER_SIDE
    shorter = int(working_size)  # type: ignore[arg-type]

    def scaled(side: int) -> int:
        wanted = max(shorter, round(side * shorter / min(height, width)))
        return min(side, wanted, MAX_WORKING_SIDE)

    return scaled(height), scaled(width)


def reduce_images(images: Tensor, sides: tuple[int, int]) -> Tensor:
    """Return images (n, C, H, W) at smaller sides (h, w): means over areas, so that no detail aliases."""
    return F.interpolate(images, size=sides, mode="area")


def enlarge(maps: Tensor, sides: tuple[int, int] | Sequence[int]) -> Tensor:
    """Return maps (n, C, h, w) at larger sides (H, W), bilinearly."""
    return F.interpolate(maps, size=tuple(sides), mode="bilinear")
