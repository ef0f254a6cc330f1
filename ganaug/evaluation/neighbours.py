"""Neighbours: how far rows lie from their nearest among others; images up to a shift by a pixel."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.data.containers import take
from ganaug.data.images import ImageCodec
from ganaug.data.tables import TableCodec

CANDIDATES = 8  # rows that are near at first sight, of which the nearest is looked for
BLOCK = 256  # rows, or pairs of them, looked at together
CELLS = 6  # to a side of the coarse view of an image
NEAR = 0.01  # of the real rows lie as near to another real one as what counts as its copy
MANY = 5  # times as many lie so near where distances come in steps, as those of categories do
HALF = 0.5  # of the usual distance of a table's row from its nearest, which is no copy's any more
LOOKED_AT = 5000  # rows of a class, at most, that tell how near to each other real ones lie
NONE = -1.0  # a distance that nothing lies within


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
    def concat(first: Points, second: Points) -> Points:
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
        # A value that no row of `X` had makes a row no copy.
        lenient = {"strict": False} if isinstance(self.codec, TableCodec) else {}
        fine = self.codec.encode(rows, **lenient)
        if fine.ndim == 2:
            return Points(fine[:, None], fine)
        coarse = [_cells(_windows(block).flatten(0, 1)) for block in fine.split(BLOCK)]
        return Points(torch.cat(coarse).view(len(fine), 9, -1), fine)

    def by_class(self, X: Any, labels: np.ndarray) -> list[Points]:
        """Return the rows of each class as points; `labels` are class indices, (n,)."""
        return [self.encode(take(X, labels == c)) for c in range(labels.max() + 1)]

    def too_near(self, real: list[Points]) -> float:
        """Return the distance up to which a row counts as a copy, by the real rows of each class.

        In a table of a few categories real rows have twins, and most lie but one category from
        another: there only twins count as copies, or where these are frequent too, nothing (-1). In
        one of many columns all rows lie about as far from each other: there a copy is half as far.
        """
        apart = torch.cat([self.nearest(own, own, "rest", where=_some(len(own))) for own in real])
        apart = apart[apart.isfinite()]
        # A real row that is there twice says nothing of how near is too near.
        distinct = apart[apart > 0]
        limit = float(distinct.quantile(NEAR)) if len(distinct) else 0.0
        if isinstance(self.codec, ImageCodec):
            return limit
        within, twins = int((distinct <= 1.001 * limit).sum()), len(apart) - len(distinct)
        if twins <= len(distinct) and 0 < within <= max(2, MANY * NEAR * len(distinct)):
            return min(limit, HALF * float(distinct.median()))
        return NONE if twins > NEAR * len(apart) else 0.0

    def nearest(
        self,
        points: Points,
        others: Points,
        among: Literal["all", "rest", "earlier"] = "all",
        limit: float = torch.inf,
        where: np.ndarray | None = None,
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
        where : ndarray of shape (n,), bool, optional
            Of which points to look for neighbours; of the others infinity is returned.

        Returns
        -------
        Tensor of shape (n,)
        """
        distances = torch.full((len(points),), torch.inf)
        shifts = others.coarse.shape[1]
        before = len(others) - len(points) if among == "earlier" else 0
        looked_for = torch.arange(len(points)) if where is None else torch.from_numpy(np.flatnonzero(where))
        if len(others) == 0 or len(looked_for) == 0:
            return distances
        for block in looked_for.split(BLOCK):
            middle = points.coarse[block, shifts // 2]
            upto = int(block[-1]) + before if among == "earlier" else len(others)
            if upto == 0:
                continue
            rough = torch.cdist(middle, others.coarse[:upto].flatten(0, 1))
            if shifts > 1:
                rough = rough.unflatten(1, (upto, shifts)).amin(2)
            if among == "rest":
                rough[torch.arange(len(block)), block] = torch.inf
            elif among == "earlier":
                own = block + before
                later = torch.arange(int(own[0]), upto) >= own[:, None]
                rough[:, int(own[0]) :].masked_fill_(later, torch.inf)
            seen, candidates = rough.topk(min(CANDIDATES, upto), dim=1, largest=False)
            # cdist rounds: what is on the limit must not be lost.
            row, rank = ((seen <= 1.001 * limit + 1e-3) & seen.isfinite()).nonzero(as_tuple=True)
            of, to = block[row], candidates[row, rank]
            for pairs in torch.arange(len(of)).split(BLOCK):
                exact = self._distance(points.fine[of[pairs]], others.fine[to[pairs]])
                distances.scatter_reduce_(0, of[pairs], exact, "amin")
        return distances

    def _distance(self, rows: Tensor, others: Tensor) -> Tensor:
        """Return the distance of each row to the other in its place, (n,)."""
        if rows.ndim == 2:
            return (rows - others).norm(dim=-1)
        inner = rows[:, None, :, 1:-1, 1:-1]
        return (inner - _windows(others)).flatten(2).norm(dim=2).amin(1)


def _some(n: int) -> np.ndarray | None:
    """Return which of `n` rows to look at, always the same; None for all."""
    return None if n <= LOOKED_AT else np.random.default_rng(0).permutation(n) < LOOKED_AT


def _windows(images: Tensor) -> Tensor:
    """Return images (n, C, H, W) less two rows and two columns, in nine ways: (n, 9, C, H - 2, W - 2)."""
    height, width = images.shape[2:]
    places = itertools.product(range(3), repeat=2)
    return torch.stack([images[:, :, y : y + height - 2, x : x + width - 2] for y, x in places], dim=1)


def _cells(images: Tensor) -> Tensor:
    """Return the means of square cells, times their side: (n, k). No distance grows (Jensen)."""
    side = max(2, min(images.shape[2:]) // CELLS)
    return side * F.avg_pool2d(images, side).flatten(1)
