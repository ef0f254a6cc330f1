"""Neighbours: how far rows lie from their nearest among others; images up to a shift by a pixel."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.images import ImageCodec
from ganaug.tables import TableCodec

CANDIDATES = 8  # rows that are near at first sight, of which the nearest is looked for
BLOCK = 256  # rows looked at together
CELLS = 6  # to a side of the coarse view of an image


@dataclass(frozen=True)
class Points:
    """Rows as `Neighbours` compares them.

    Attributes
    ----------
    coarse : Tensor of shape (n, n_shifts, k)
        To find candidates: each row, and what a shift makes of it; no farther from each other
        than in `fine`.
    fine : Tensor of shape (n, ...)
        To measure.
    """

    coarse: Tensor
    fine: Tensor

    def __len__(self) -> int:
        return len(self.coarse)

    def __getitem__(self, index: Any) -> Points:
        return Points(self.coarse[index], self.fine[index])

    @staticmethod
    def join(first: Points, second: Points) -> Points:
        """Return the points of both."""
        return Points(torch.cat([first.coarse, second.coarse]), torch.cat([first.fine, second.fine]))


class Neighbours:
    """Measure distances between rows of one kind.

    Images are compared pixel by pixel, in their range of [-1, 1], without their outermost pixels;
    tables as `TableCodec` encodes them, where a number is about as far from another as they are
    standard deviations apart, and so is a category.

    Parameters
    ----------
    X : array or Tensor of shape (n, H, W), (n, H, W, C) or (n, C, H, W), or table (n, n_features)
        Rows that set the scale.
    """

    def __init__(self, X: Any) -> None:
        self.codec: ImageCodec | TableCodec = (ImageCodec if X.ndim > 2 else TableCodec).fit(X)

    def encode(self, rows: Any) -> Points:
        """Return rows, of the kind of `X`, as points."""
        fine = self.codec.encode(rows)
        if fine.ndim == 2:
            return Points(fine[:, None], fine)
        coarse = [_cells(_windows(block).flatten(0, 1)) for block in fine.split(BLOCK)]
        return Points(torch.cat(coarse).view(len(fine), 9, -1), fine)

    def nearest(
        self,
        points: Points,
        others: Points,
        among: Literal["all", "rest", "earlier"] = "all",
        limit: float = torch.inf,
    ) -> Tensor:
        """Return the distance of each point to the nearest of others; infinite if there is none.

        Parameters
        ----------
        points, others : Points
        among : {"all", "rest", "earlier"}
            "rest": `others` are the points themselves, and none is its own neighbour. "earlier":
            `others` end with the points, and only those before a point count.
        limit : float
            Distances beyond it may be given as infinite, which saves most of the work.

        Returns
        -------
        Tensor of shape (n,)
        """
        distances = [torch.full((len(points),), torch.inf)]
        if len(others) == 0:
            return distances[0]
        distances = []
        places = torch.arange(len(others))
        own = torch.arange(len(points)) + (len(others) - len(points) if among == "earlier" else 0)
        for start in range(0, len(points), BLOCK):
            block = slice(start, start + BLOCK)
            rough = torch.cdist(
                points.coarse[block, points.coarse.shape[1] // 2], others.coarse.flatten(0, 1)
            )
            rough = rough.view(len(rough), len(others), -1).amin(2)
            if among == "rest":
                rough = rough.masked_fill(places == own[block, None], torch.inf)
            elif among == "earlier":
                rough = rough.masked_fill(places >= own[block, None], torch.inf)
            seen, candidates = rough.topk(min(CANDIDATES, len(others)), dim=1, largest=False)
            # cdist rounds: what is on the limit must not be lost.
            near = (seen[:, 0] <= 1.001 * limit + 1e-3) & seen[:, 0].isfinite()
            nearest = torch.full((len(seen),), torch.inf)
            exact = self._distance(points.fine[block][near, None], others.fine[candidates[near]])
            nearest[near] = torch.where(seen[near].isinf(), torch.inf, exact).amin(1)
            distances.append(nearest)
        return torch.cat(distances)

    def _distance(self, rows: Tensor, others: Tensor) -> Tensor:
        if rows.ndim == 3:
            return (rows - others).norm(dim=-1)
        shifted = _windows(others.flatten(0, 1)).unflatten(0, others.shape[:2]).flatten(3)
        inner = rows[..., 1:-1, 1:-1].flatten(2)
        return (inner[:, :, None] - shifted).norm(dim=3).amin(2)


def _windows(images: Tensor) -> Tensor:
    """Return images (n, C, H, W) less two rows and two columns, in nine ways: (n, 9, C, H - 2, W - 2)."""
    height, width = images.shape[2:]
    places = itertools.product(range(3), repeat=2)
    return torch.stack([images[:, :, y : y + height - 2, x : x + width - 2] for y, x in places], dim=1)


def _cells(images: Tensor) -> Tensor:
    """Return the means of square cells, times their side: (n, k). No distance grows (Jensen)."""
    side = max(2, min(images.shape[2:]) // CELLS)
    return side * F.avg_pool2d(images, side).flatten(1)
