"""Warp images along a flow, those that networks see, and large ones as they are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# Of `warp_sharply`: no more of the detail is taken away or added, a chord of sizes spans so much of it, and
# differences are taken along so many rows, and as many columns.
GAIN_RANGE, CHORD, N_LINES = (-0.1, 0.5), 0.25, 8
# Of `at_full_size`.
PIXELS_AT_ONCE = 2**17


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Warp images along a flow field; bicubic, edge pixels repeated.

    Parameters
    ----------
    images : Tensor of shape (n, C, H, W)
        In [-1, 1].
    flow : Tensor of shape (n, 2, H, W)
        For each pixel where its value comes from, relative to it: x, then y, in half sides.

    Returns
    -------
    Tensor of shape (n, C, H, W)
        In [-1, 1].
    """
    warped = _sample(images, flow, "bicubic", "border")
    return warped.clamp(-1, 1)


def _sample(images: Tensor, flow: Tensor, mode: str, padding_mode: str) -> Tensor:
    height, width = images.shape[2:]
    x = (torch.arange(width, device=images.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=images.device) * 2 + 1) / height - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy")) + flow
    return F.grid_sample(
        images, grid.permute(0, 2, 3, 1), mode=mode, padding_mode=padding_mode, align_corners=False
    )


def warp_sharply(images: Tensor, flow: Tensor, painted: Tensor | None = None) -> Tensor:
    """Warp large images along a smooth flow field, and leave them as sharp as they were.

    What comes from beyond an edge is mirrored. Values between pixels are means of these, which blurs; where
    a flow draws an image together, edges become steeper, and what is painted has edges of its own. To each
    pixel is added what it differs by from its neighbours, times a number for each image: the one with which
    second differences are as large in the mean as the original's. An image that was not moved stays the same.

    Parameters
    ----------
    images : Tensor of shape (n, C, H, W)
        In [-1, 1].
    flow : Tensor of shape (n, 2, H, W)
        As of `warp`.
    painted : Tensor of shape (n, C, H, W), optional
        Added to the warped images.

    Returns
    -------
    Tensor of shape (n, C, H, W)
        In [-1, 1], or slightly beyond.
    """
    # Of a photograph, edge pixels that are repeated show as streaks.
    warped = _sample(images, flow, "bilinear", "reflection")
    if painted is not None:
        warped += painted
    detail = torch.zeros_like(warped)
    inner = detail[:, :, 1:-1, 1:-1]
    inner.add_(warped[:, :, 1:-1, 1:-1], alpha=4)
    for side in (warped[:, :, :-2, 1:-1], warped[:, :, 2:, 1:-1]):
        inner.sub_(side)
    for side in (warped[:, :, 1:-1, :-2], warped[:, :, 1:-1, 2:]):
        inner.sub_(side)
    wanted, first, second = _second_differences(images, warped, detail)
    # The size is nearly straight in the gain: the slope of a chord does for two steps.
    chord = torch.add(first, second, alpha=CHORD)
    wanted_size, first_size, chord_size = (of.abs().sum(1, keepdim=True) for of in (wanted, first, chord))
    slope = (chord_size - first_size).clamp(min=1e-12) / CHORD
    gain = ((wanted_size - first_size) / slope).clamp(*GAIN_RANGE)
    size = torch.addcmul(first, gain, second).abs().sum(1, keepdim=True)
    gain = (gain + (wanted_size - size) / slope).clamp(*GAIN_RANGE)
    return warped.addcmul_(gain[:, :, None, None], detail)


def _second_differences(*batches: Tensor) -> Tensor:
    """Return those of m batches along some rows and columns, (m, n, k): few tell how sharp an image is."""
    down, right = (max(1, side // N_LINES) for side in batches[0].shape[2:])
    rows = torch.stack([images[:, :, down // 2 :: down] for images in batches])
    columns = torch.stack([images[..., right // 2 :: right] for images in batches])
    along_rows = 2 * rows[..., 1:-1] - rows[..., :-2] - rows[..., 2:]
    along_columns = 2 * columns[..., 1:-1, :] - columns[..., :-2, :] - columns[..., 2:, :]
    return torch.cat([along_rows.flatten(2), along_columns.flatten(2)], dim=2)


def _interpolation(before: int, after: int, device: torch.device) -> Tensor:
    """Return the matrix (before, after) that enlarges a row of values linearly."""
    return F.interpolate(torch.eye(before, device=device)[None], size=after, mode="linear")[0]


def at_full_size(
    change: Callable[..., Tensor],
    full: Tensor,
    flow: Tensor,
    maps: Tensor | None = None,
    rows_alike: int = 1,
) -> Tensor:
    """Return images at full size, changed as a flow and maps say that are enlarged bilinearly to their size.

    A processor does few at once: more would not stay in its cache.

    Parameters
    ----------
    change : callable
        ``change(images, flow)`` or ``change(images, flow, maps)``, which returns as many images.
    full : Tensor of shape (n, C, H, W)
    flow : Tensor of shape (n, 2, h, w)
    maps : Tensor of shape (n, c, h, w), optional
    rows_alike : int, default=1
        A divisor of H. Maps are enlarged to (H / rows_alike, W).
    """
    height, width = full.shape[2:]
    step = max(1, PIXELS_AT_ONCE // (height * width)) if full.device.type == "cpu" else len(full)
    changed = torch.empty_like(full)
    # As products of matrices: F.interpolate takes three times as long.
    h, w = flow.shape[2:]
    rows, fewer_rows = (
        _interpolation(h, n, flow.device).T.contiguous() for n in (height, height // rows_alike)
    )
    columns = _interpolation(w, width, flow.device)
    for i in range(0, len(full), step):
        own = slice(i, i + step)
        more = () if maps is None else (fewer_rows @ maps[own] @ columns,)
        # Sampling takes longer where the channels of a pixel lie together, as those of arrays do.
        changed[own] = change(full[own].contiguous(), rows @ flow[own] @ columns, *more)
    return changed
