"""Classifiers that measure what a set of rows is worth: a small network for images, trees for tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.data.containers import take
from ganaug.data.images import ImageCodec
from ganaug.data.labels import check_labels, encode_labels
from ganaug.data.tables import TableCodec
from ganaug.training.torch_state import default_torch_state, fork_torch_rng

BLOCK = 256  # rows that go through the network at once outside training
LEAF = 5  # rows, at least, by which a tree gives a probability
PLACES = 4  # to a side, of features
WIDE = 16  # pixels of the shorter side from which channels-last memory is faster: three times, in pooling


class SmallCNNClassifier(ClassifierMixin, BaseEstimator):
    """A small convolutional classifier with a fixed number of updates.

    Parameters
    ----------
    steps : int
        Updates, each on `batch_size` rows, however many rows there are: so that arms of a
        comparison that differ in their number of rows train equally long.
    batch_size : int
    learning_rate : float
        Of AdamW; warmed up over 50 steps, then falling to zero on a cosine.
    balanced : bool
        Draw every class equally often; otherwise every row.
    augment : bool
        Shift each image at random by up to an eighth of its side.
    base_channels : int
        Channels of the first convolution.
    random_state : int
    """

    def __init__(
        self,
        *,
        steps: int = 1000,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        balanced: bool = True,
        augment: bool = True,
        base_channels: int = 16,
        random_state: int = 0,
    ) -> None:
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.balanced = balanced
        self.augment = augment
        self.base_channels = base_channels
        self.random_state = random_state

    @default_torch_state()
    def fit(self, X: Any, y: Any, sample_weight: np.ndarray | None = None) -> SmallCNNClassifier:
        """Train on images `X`, as `ConditionalGAN.fit` takes them, with labels `y`.

        `sample_weight`, of shape (n,), is how often a row is drawn within its class, or, if not
        `balanced`, among all.
        """
        y = check_labels(y, len(X))
        self.codec_ = ImageCodec.fit(X)
        self.classes_, labels = encode_labels(y, least=1)
        weights = torch.ones(len(y), dtype=torch.float64)
        if sample_weight is not None:
            weights = torch.as_tensor(sample_weight, dtype=torch.float64)
        targets = torch.from_numpy(labels)
        if self.balanced:
            weights = (
                weights
                / torch.zeros(len(self.classes_), dtype=torch.float64).index_add(0, targets, weights)[targets]
            )
        generator = torch.Generator().manual_seed(self.random_state)
        bounds = weights.cumsum(0)
        # Dropout draws from torch's global state: put it back as the user had it.
        with fork_torch_rng(self.random_state), torch.enable_grad():
            self.network_ = _network(self.codec_.shape, len(self.classes_), self.base_channels)
            self.network_.to(memory_format=self._layout())
            optimizer = torch.optim.AdamW(
                self.network_.parameters(), lr=self.learning_rate, weight_decay=1e-3, fused=True
            )
            for step in range(self.steps):
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate * _rate(step, self.steps)
                u = torch.rand(self.batch_size, generator=generator, dtype=torch.float64) * bounds[-1]
                rows = torch.searchsorted(bounds, u, right=True).clamp(max=len(y) - 1)
                images = self.codec_.encode(take(X, rows))
                if self.augment:
                    images = self.codec_.augment(images, generator)
                images = images.contiguous(memory_format=self._layout())
                loss = F.cross_entropy(self.network_(images), targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.network_.eval()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, n_classes)."""
        return self._apply(X, slice(None)).softmax(1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest label of each image, (n,)."""
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(1)]

    def features(self, X: Any) -> np.ndarray:
        """Return what the last linear layer sees of each image, (n, n_features).

        Averaged over 4 x 4 places at most: FID takes the cube of their number.
        """
        maps = self._apply(X, slice(-3))
        places = (min(maps.shape[2], PLACES), min(maps.shape[3], PLACES))
        return F.adaptive_avg_pool2d(maps, places).flatten(1).numpy()

    @default_torch_state()
    @torch.no_grad()
    def _apply(self, X: Any, layers: slice) -> Tensor:
        check_is_fitted(self)
        network = self.network_[layers]
        self.codec_.check(X)
        blocks = (self.codec_.encode(X[i : i + BLOCK]) for i in range(0, len(X), BLOCK))
        return torch.cat([network(block.contiguous(memory_format=self._layout())) for block in blocks])

    def _layout(self) -> torch.memory_format:
        wide = min(self.codec_.shape[1:]) >= WIDE
        return torch.channels_last if wide else torch.contiguous_format


class TreeEnsembleClassifier(ClassifierMixin, BaseEstimator):
    """Random trees on tables of any columns.

    Parameters
    ----------
    balanced : bool
        Grow each tree on as many rows of every class, so that a class is not held for unlikely
        because it is small. Otherwise each tree sees all rows, by their weights.
    codec : TableCodec, optional
        Fitted on more rows than those to learn from, which may lack a value that others have. None:
        fitted on these.
    random_state : int
    """

    def __init__(
        self, *, balanced: bool = True, codec: TableCodec | None = None, random_state: int = 0
    ) -> None:
        self.balanced = balanced
        self.codec = codec
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: np.ndarray | None = None) -> TreeEnsembleClassifier:
        """Fit trees on a table `X`, as `ConditionalGAN.fit` takes it, with labels `y`."""
        from imblearn.ensemble import BalancedRandomForestClassifier  # takes a while, and images need none

        self.codec_ = TableCodec.fit(X) if self.codec is None else self.codec
        if self.balanced:
            trees = BalancedRandomForestClassifier(
                sampling_strategy="all", replacement=True, bootstrap=False, random_state=self.random_state
            )
        else:
            # Trees grown to the last row are so sure of themselves that any row added makes them better.
            trees = ExtraTreesClassifier(min_samples_leaf=LEAF, random_state=self.random_state)
        self.trees_ = trees.fit(self.codec_.encode(X).numpy(), y, sample_weight)
        self.classes_ = self.trees_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, n_classes)."""
        check_is_fitted(self)
        return self.trees_.predict_proba(self.codec_.encode(X, strict=False).numpy())

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest label of each row, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(1)]


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _network(shape: tuple[int, int, int], n_classes: int, base_channels: int) -> nn.Sequential:
    """Return three convolutions, pooled until the shorter side is under 8 pixels, and a linear layer."""
    channels, height, width_px = shape
    layers: list[nn.Module] = []
    for i in range(3):
        after = base_channels * 2**i
        layers += [nn.Conv2d(channels, after, 3, 1, 1), nn.BatchNorm2d(after)]
        if min(height, width_px) >= 8:
            layers.append(nn.MaxPool2d(2))
            height, width_px = height // 2, width_px // 2
        layers.append(nn.ReLU())  # after pooling it is the same, for a quarter of the work
        channels = after
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels * height * width_px, n_classes)
    )
