"""Classifiers that score synthetic samples: a network for images, trees for tables, linear for features."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.data.containers import take
from ganaug.data.features import FeatureCodec
from ganaug.data.images import ImageCodec
from ganaug.data.labels import check_labels, encode_labels
from ganaug.data.tables import TableCodec
from ganaug.training.torch_state import default_torch_state, fork_torch_rng

BLOCK_SIZE = 256
WARMUP_STEPS = 50
# Trees grown to the last row are so sure of themselves that adding any row improves them.
MIN_SAMPLES_LEAF = 5
# The Fréchet distance costs the cube of the number of features.
MAX_POOLED_SIDE = 4
# Of logistic regression on vectors of a mean square of 1, with weights that sum to 1.
INVERSE_PENALTY = 3000.0
# From this shorter side on, channels-last memory is faster: three times, in pooling.
MIN_SIDE_CHANNELS_LAST = 16


class SmallCNNClassifier(ClassifierMixin, BaseEstimator):
    """A small convolutional classifier of images with a fixed number of updates.

    Parameters
    ----------
    steps : int, default=1000
        Updates, however many images there are: data sets of different sizes train equally long.
    batch_size : int, default=64
        Images of an update.
    learning_rate : float, default=2e-3
        Of AdamW. It warms up over 50 steps, then falls to zero on a cosine.
    balanced : bool, default=True
        Draw every class equally often; otherwise every image.
    augment : bool, default=True
        Shift each image at random by up to an eighth of its side.
    base_channels : int, default=16
        Channels of the first convolution.
    random_state : int, default=0

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    network_ : nn.Sequential
        Trained, in evaluation mode.
    """

    classes_: np.ndarray

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

        Parameters
        ----------
        X : array or Tensor of n images
        y : array of shape (n,)
        sample_weight : ndarray of shape (n,), optional
            How often an image is drawn: within its class, or, if not `balanced`, among all.
        """
        y = check_labels(y, len(X))
        self.codec_: ImageCodec = ImageCodec.fit(X)
        X, working = self.codec_.reduce(X), self.codec_.working
        self.classes_, labels = encode_labels(y, least=1)
        weights = torch.ones(len(y), dtype=torch.float64)
        if sample_weight is not None:
            weights = torch.as_tensor(sample_weight, dtype=torch.float64)
        targets = torch.from_numpy(labels)
        if self.balanced:
            totals = torch.zeros(len(self.classes_), dtype=torch.float64).index_add(0, targets, weights)
            weights = weights / totals[targets]
        rng = torch.Generator().manual_seed(self.random_state)
        bounds = weights.cumsum(0)
        # Dropout draws from torch's global state, which is left as it was.
        with fork_torch_rng(self.random_state), torch.enable_grad():
            self.network_: nn.Sequential = _network(self.codec_.shape, len(self.classes_), self.base_channels)
            self.network_.to(memory_format=self._memory_format())
            optimizer = torch.optim.AdamW(
                self.network_.parameters(), lr=self.learning_rate, weight_decay=1e-3, fused=True
            )
            for step in range(self.steps):
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate * _lr_factor(step, self.steps)
                u = torch.rand(self.batch_size, generator=rng, dtype=torch.float64) * bounds[-1]
                index = torch.searchsorted(bounds, u, right=True).clamp(max=len(y) - 1)
                images = working.encode(take(X, index))
                if self.augment:
                    images = working.augment(images, rng)
                images = images.contiguous(memory_format=self._memory_format())
                loss = F.cross_entropy(self.network_(images), targets[index])
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
        """Return the last feature maps of each image, (n, n_features), averaged to 4 x 4 places at most."""
        maps = self._apply(X, slice(-3))
        side = (min(maps.shape[2], MAX_POOLED_SIDE), min(maps.shape[3], MAX_POOLED_SIDE))
        return F.adaptive_avg_pool2d(maps, side).flatten(1).numpy()

    @default_torch_state()
    @torch.no_grad()
    def _apply(self, X: Any, layers: slice) -> Tensor:
        """Return the output of some layers of the network for each image."""
        check_is_fitted(self)
        network = self.network_[layers]
        self.codec_.check(X)
        blocks = (self.codec_.encode(X[i : i + BLOCK_SIZE]) for i in range(0, len(X), BLOCK_SIZE))
        layout = self._memory_format()
        return torch.cat([network(block.contiguous(memory_format=layout)) for block in blocks])

    def _memory_format(self) -> torch.memory_format:
        large = min(self.codec_.shape[1:]) >= MIN_SIDE_CHANNELS_LAST
        return torch.channels_last if large else torch.contiguous_format


class TreeEnsembleClassifier(ClassifierMixin, BaseEstimator):
    """An ensemble of random trees for tables of any columns.

    Parameters
    ----------
    balanced : bool, default=True
        Grow each tree on equally many rows of every class (a balanced random forest), so that a small
        class is not taken for an unlikely one. Otherwise each tree sees all rows, by their weights
        (extremely randomised trees).
    codec : TableCodec, optional
        Encodes the rows. Give one that was fitted on more rows than `fit` gets, if these may lack values
        that others have. None: it is fitted on the rows that `fit` gets.
    random_state : int, default=0

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    trees_ : BalancedRandomForestClassifier or ExtraTreesClassifier
    """

    def __init__(
        self, *, balanced: bool = True, codec: TableCodec | None = None, random_state: int = 0
    ) -> None:
        self.balanced = balanced
        self.codec = codec
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: np.ndarray | None = None) -> TreeEnsembleClassifier:
        """Fit trees on a table `X`, as `ConditionalGAN.fit` takes it, with labels `y`."""
        # Importing it takes a while, and images do without.
        from imblearn.ensemble import BalancedRandomForestClassifier

        self.codec_: TableCodec = TableCodec.fit(X) if self.codec is None else self.codec
        if self.balanced:
            trees = BalancedRandomForestClassifier(
                sampling_strategy="all", replacement=True, bootstrap=False, random_state=self.random_state
            )
        else:
            trees = ExtraTreesClassifier(min_samples_leaf=MIN_SAMPLES_LEAF, random_state=self.random_state)
        self.trees_: BalancedRandomForestClassifier | ExtraTreesClassifier = trees.fit(
            self.codec_.encode(X).numpy(), y, sample_weight
        )
        self.classes_: np.ndarray = self.trees_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, n_classes)."""
        check_is_fitted(self)
        return self.trees_.predict_proba(self.codec_.encode(X, strict=False).numpy())

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest label of each row, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(1)]


class LinearFeatureClassifier(ClassifierMixin, BaseEstimator):
    """Logistic regression on feature vectors: what a frozen backbone is usually followed by.

    Parameters
    ----------
    balanced : bool, default=True
        Weigh every class alike; otherwise every vector, by its weight.
    codec : FeatureCodec, optional
        Encodes the vectors; None: it is fitted on those that `fit` gets.
    inverse_penalty : float, default=3000
        How little coefficients are held down, for vectors of a mean square of 1 about their mean.
    random_state : int, default=0
        Of no use: the optimum is unique.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    model_ : LogisticRegression

    Examples
    --------
    >>> import numpy as np
    >>> from ganaug.evaluation.classifiers import LinearFeatureClassifier
    >>> X = np.eye(4, dtype=np.float32).repeat(5, axis=0)
    >>> LinearFeatureClassifier().fit(X, np.arange(20) // 5).predict(X[::5]).tolist()
    [0, 1, 2, 3]
    """

    classes_: np.ndarray

    def __init__(
        self,
        *,
        balanced: bool = True,
        codec: FeatureCodec | None = None,
        inverse_penalty: float = INVERSE_PENALTY,
        random_state: int = 0,
    ) -> None:
        self.balanced = balanced
        self.codec = codec
        self.inverse_penalty = inverse_penalty
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: np.ndarray | None = None) -> LinearFeatureClassifier:
        """Fit coefficients to feature vectors `X`, as `ConditionalGAN.fit` takes them, with labels `y`."""
        self.codec_: FeatureCodec = FeatureCodec.fit(X) if self.codec is None else self.codec
        self.classes_, labels = encode_labels(check_labels(y, len(X)), least=1)
        weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, float)
        if self.balanced:
            weights = weights / np.bincount(labels, weights)[labels]
        vectors = self.codec_.encode(X).numpy()
        self.mean_: np.ndarray = vectors.mean(axis=0)
        self.scale_: float = float(np.sqrt(np.square(vectors - self.mean_).sum(axis=1).mean())) or 1.0
        model = LogisticRegression(C=self.inverse_penalty, tol=1e-3, max_iter=1000)
        self.model_: LogisticRegression = model.fit(self._scaled(X), labels, weights / weights.sum())
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, n_classes)."""
        check_is_fitted(self)
        return self.model_.predict_proba(self._scaled(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest label of each vector, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(1)]

    def _scaled(self, X: Any) -> np.ndarray:
        return (self.codec_.encode(X).numpy() - self.mean_) / self.scale_


def _lr_factor(step: int, steps: int) -> float:
    """Return what to multiply the learning rate of a step by: a linear warm-up times a cosine."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _network(shape: tuple[int, int, int], n_classes: int, base_channels: int) -> nn.Sequential:
    """Return three convolutions, pooled until the shorter side is under 8 pixels, and a linear layer."""
    in_channels, height, width = shape
    layers: list[nn.Module] = []
    for i in range(3):
        out_channels = base_channels * 2**i
        layers += [nn.Conv2d(in_channels, out_channels, 3, 1, 1), nn.BatchNorm2d(out_channels)]
        if min(height, width) >= 8:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        # After pooling, a ReLU gives the same for a quarter of the work.
        layers.append(nn.ReLU())
        in_channels = out_channels
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(in_channels * height * width, n_classes)
    )
