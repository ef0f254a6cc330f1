"""Neighbours: distances from samples to their nearest among others; of images, up to a shift by a pixel."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.data.containers import take
from ganaug.data.features import FeatureCodec
from ganaug.data.images import ImageCodec
from ganaug.data.protocol import modality_of
from ganaug.data.series import SeriesCodec
from ganaug.data.tables import TableCodec

# Of the nearest by a coarse view, this many are compared in full.
N_CANDIDATES = 8
BLOCK_SIZE = 256
# Cells to a side of the coarse view of an image.
COARSE_CELLS = 6
# A near duplicate is as close as this share of real samples are to each other.
NEAR_DUPLICATE_QUANTILE = 0.01
# Distances between categories take few values: up to this many times as many may tie with that quantile.
MAX_TIE_FACTOR = 5
# In a table of many columns all distances are much alike: the limit is at most this part of their median.
MAX_RELATIVE_DISTANCE = 0.5
# So many samples of a class tell how close to each other real ones are.
MAX_REFERENCE_SAMPLES = 5000
# A limit that no distance is below.
MATCHES_NOTHING = -1.0


@dataclass(frozen=True)
class Points:
    """Samples as `Neighbours` compares them.

    Attributes
    ----------
    coarse : Tensor of shape (n, n_shifts, k)
        Few features of each sample, for each shift of it: to find candidates. Distances between them
        are no larger than those in `fine`.
    fine : Tensor of shape (n, ...)
        All features, to measure distances.
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
    """Measure Euclidean distances between samples of one kind.

    Images are compared pixel by pixel, in the range [-1, 1] and without their outermost pixels, so that
    a shift by one pixel is no difference. Tables are compared as `TableCodec` encodes them: columns,
    numbers as well as categories, have about unit variance. Features and series are compared as their
    codecs encode them.

    Parameters
    ----------
    X : array or Tensor of shape (n, H, W), (n, H, W, C) or (n, C, H, W), or table (n, n_features)
        Samples that set the scale; or series.
    modality : {"images", "table", "features", "series"}, optional
        What they are. Default: a table if `X` is a two-dimensional array or a DataFrame, features if it is
        such a Tensor.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    >>> neighbours = Neighbours(X)
    >>> shifted = neighbours.encode(np.roll(X, 1, axis=2))
    >>> (neighbours.nearest(shifted, neighbours.encode(X)) < 1e-3).all()
    tensor(True)
    """

    def __init__(self, X: Any, modality: str | None = None) -> None:
        modality = modality_of(X) if modality is None else modality
        codecs = (ImageCodec, TableCodec, FeatureCodec, SeriesCodec)
        self.codec: Any = next(codec for codec in codecs if codec.name == modality).fit(X)

    def encode(self, X: Any) -> Points:
        """Return samples, of the kind of the `X` that set the scale, as points."""
        # A row may have a value that was not seen before: it is far from all others.
        lenient = {"strict": False} if isinstance(self.codec, TableCodec) else {}
        fine = self.codec.encode(X, **lenient)
        if not isinstance(self.codec, ImageCodec):
            fine = fine.flatten(1)
            return Points(fine[:, None], fine)
        coarse = [_cells(_windows(block).flatten(0, 1)) for block in fine.split(BLOCK_SIZE)]
        return Points(torch.cat(coarse).view(len(fine), 9, -1), fine)

    def by_class(self, X: Any, labels: np.ndarray) -> list[Points]:
        """Return the samples of each class as points; `labels` are class indices, (n,)."""
        return [self.encode(take(X, labels == c)) for c in range(labels.max() + 1)]

    def near_duplicate_distance(self, real: list[Points]) -> float:
        """Return the distance up to which a sample counts as a near duplicate of a real one.

        1 % of the real samples lie closer than it to another one of their class. Some tables differ. Where
        so few rows are possible that one drawn evenly among them has a twin among the real ones in 1 % of
        cases or more, a twin is no copy: nothing counts (-1), nor where exact duplicates are frequent. In
        other tables of categories most rows differ from another in a single one: there only exact
        duplicates count (0). In a table of many columns all rows are about equally far from each
        other: there the limit is at most half of their median distance.

        Parameters
        ----------
        real : list of Points
            The real samples of each class.

        Returns
        -------
        float
        """
        if sum(map(len, real)) > NEAR_DUPLICATE_QUANTILE * self._n_possible_rows():
            return MATCHES_NOTHING
        distances = torch.cat(
            [self.nearest(own, own, "rest", where=_reference_mask(len(own))) for own in real]
        )
        distances = distances[distances.isfinite()]
        # An exact duplicate among the real samples says nothing of how close is too close.
        distinct = distances[distances > 0]
        limit = float(distinct.quantile(NEAR_DUPLICATE_QUANTILE)) if len(distinct) else 0.0
        if isinstance(self.codec, ImageCodec):
            return limit
        n_duplicates = len(distances) - len(distinct)
        n_within = int((distinct <= 1.001 * limit).sum())
        most = max(2, MAX_TIE_FACTOR * NEAR_DUPLICATE_QUANTILE * len(distinct))
        if n_duplicates <= len(distinct) and 0 < n_within <= most:
            return min(limit, MAX_RELATIVE_DISTANCE * float(distinct.median()))
        return MATCHES_NOTHING if n_duplicates > NEAR_DUPLICATE_QUANTILE * len(distances) else 0.0

    def _n_possible_rows(self) -> float:
        """Return how many rows the values of a table's columns can make; infinite for other samples."""
        if not isinstance(self.codec, TableCodec):
            return math.inf
        free = [c for c in self.codec.columns if c.determinant is None and c.relation is None]
        return math.prod(column.n_possible for column in free)

    def nearest(
        self,
        points: Points,
        others: Points,
        among: Literal["all", "rest", "earlier"] = "all",
        limit: float = torch.inf,
        where: np.ndarray | None = None,
    ) -> Tensor:
        """Return the distance from each point to the nearest of others; infinite if there is none.

        Parameters
        ----------
        points, others : Points
        among : {"all", "rest", "earlier"}, default="all"
            "rest": `others` are the points themselves, and none is its own neighbour. "earlier":
            `others` end with the points, and only those before a point count.
        limit : float, default=inf
            Distances beyond it may be returned as infinite, which saves most of the work.
        where : ndarray of shape (n,), bool, optional
            The points to look for neighbours of. The others get an infinite distance.

        Returns
        -------
        Tensor of shape (n,), float32
        """
        distances = torch.full((len(points),), torch.inf)
        n_shifts = others.coarse.shape[1]
        # The first point's index in `others`.
        offset = len(others) - len(points) if among == "earlier" else 0
        queries = torch.arange(len(points)) if where is None else torch.from_numpy(np.flatnonzero(where))
        if len(others) == 0 or len(queries) == 0:
            return distances
        for block in queries.split(BLOCK_SIZE):
            unshifted = points.coarse[block, n_shifts // 2]
            end = int(block[-1]) + offset if among == "earlier" else len(others)
            if end == 0:
                continue
            coarse = torch.cdist(unshifted, others.coarse[:end].flatten(0, 1))
            if n_shifts > 1:
                coarse = coarse.unflatten(1, (end, n_shifts)).amin(2)
            if among == "rest":
                coarse[torch.arange(len(block)), block] = torch.inf
            elif among == "earlier":
                own = block + offset
                later = torch.arange(int(own[0]), end) >= own[:, None]
                coarse[:, int(own[0]) :].masked_fill_(later, torch.inf)
            bounds, candidates = coarse.topk(min(N_CANDIDATES, end), dim=1, largest=False)
            # cdist rounds: what lies on the limit must not be lost.
            row, rank = ((bounds <= 1.001 * limit + 1e-3) & bounds.isfinite()).nonzero(as_tuple=True)
            query, candidate = block[row], candidates[row, rank]
            for pairs in torch.arange(len(query)).split(BLOCK_SIZE):
                exact = self._distance(points.fine[query[pairs]], others.fine[candidate[pairs]])
                distances.scatter_reduce_(0, query[pairs], exact, "amin")
        return distances

    def _distance(self, fine: Tensor, others: Tensor) -> Tensor:
        """Return the distance of each sample to the other in its place, (n,)."""
        if fine.ndim == 2:
            return (fine - others).norm(dim=-1)
        inner = fine[:, None, :, 1:-1, 1:-1]
        return (inner - _windows(others)).flatten(2).norm(dim=2).amin(1)


def _reference_mask(n: int) -> np.ndarray | None:
    """Return which of `n` samples to look at, always the same; None for all."""
    if n <= MAX_REFERENCE_SAMPLES:
        return None
    return np.random.default_rng(0).permutation(n) < MAX_REFERENCE_SAMPLES


def _windows(images: Tensor) -> Tensor:
    """Return the nine crops of images (n, C, H, W) by two rows and columns: (n, 9, C, H - 2, W - 2)."""
    height, width = images.shape[2:]
    offsets = itertools.product(range(3), repeat=2)
    return torch.stack([images[:, :, y : y + height - 2, x : x + width - 2] for y, x in offsets], dim=1)


def _cells(images: Tensor) -> Tensor:
    """Return the means of square cells, times their side: (n, k). No distance grows (Jensen)."""
    side = max(2, min(images.shape[2:]) // COARSE_CELLS)
    return side * F.avg_pool2d(images, side).flatten(1)
