"""SeriesClassifier: logistic regression on random convolutions, which measures what series are worth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from ganaug.data.labels import check_labels, encode_labels
from ganaug.data.series import SeriesCodec
from ganaug.training.torch_state import default_torch_state

KERNEL_SIZES = (5, 7, 9)
N_KERNELS = 300
# How little coefficients are held down, where a fit has as many samples as weights say.
INVERSE_PENALTY = 1.0
BLOCK_SIZE = 256


class SeriesClassifier(ClassifierMixin, BaseEstimator):
    """Logistic regression on the largest and on the shares of positive responses of random convolutions.

    Convolutions of random weights, dilations and biases take seconds where networks take minutes, and
    classify short series about as well (Dempster et al., "ROCKET", Data Mining and Knowledge Discovery 2020).

    Parameters
    ----------
    balanced : bool, default=True
        Weigh every class alike; otherwise every series, by its weight.
    codec : SeriesCodec, optional
        Encodes the series; None: it is fitted on those that `fit` gets.
    n_kernels : int, default=300
    random_state : int, default=0
        Of the convolutions.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    model_ : LogisticRegression

    Examples
    --------
    >>> import numpy as np
    >>> from ganaug.evaluation.series_classifier import SeriesClassifier
    >>> time, y = np.arange(32), np.arange(20) % 2
    >>> X = np.sin(time * (1 + y[:, None]) / 3 + np.arange(20)[:, None])
    >>> SeriesClassifier().fit(X[:12], y[:12]).predict(X[12:]).tolist()
    [0, 1, 0, 1, 0, 1, 0, 1]
    """

    classes_: np.ndarray

    def __init__(
        self,
        *,
        balanced: bool = True,
        codec: SeriesCodec | None = None,
        n_kernels: int = N_KERNELS,
        random_state: int = 0,
    ) -> None:
        self.balanced = balanced
        self.codec = codec
        self.n_kernels = n_kernels
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: np.ndarray | None = None) -> SeriesClassifier:
        """Fit coefficients to series `X`, as `ConditionalGAN.fit` takes them, with labels `y`."""
        self.codec_: SeriesCodec = SeriesCodec.fit(X) if self.codec is None else self.codec
        self.classes_, labels = encode_labels(check_labels(y, len(X)), least=1)
        weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight, float)
        if self.balanced:
            weights = weights / np.bincount(labels, weights)[labels]
        rng = torch.Generator().manual_seed(self.random_state)
        self.kernels_: list[tuple[Tensor, int, int, float]] = [
            _random_kernel(*self.codec_.shape, rng) for _ in range(self.n_kernels)
        ]
        features = self.features(X)
        self.mean_: np.ndarray = features.mean(axis=0)
        spread = features.std(axis=0)
        self.scale_: np.ndarray = np.where(spread > 0, spread, 1.0)
        model = LogisticRegression(C=INVERSE_PENALTY, tol=1e-3, max_iter=1000)
        scaled = (features - self.mean_) / self.scale_
        self.model_: LogisticRegression = model.fit(scaled, labels, weights / weights.mean())
        return self

    def features(self, X: Any) -> np.ndarray:
        """Return of each series the largest response and the share of positive ones, (n, 2 n_kernels)."""
        series = self.codec_.encode(X)
        return np.concatenate([self._responses(block) for block in series.split(BLOCK_SIZE)])

    @default_torch_state()
    @torch.no_grad()
    def _responses(self, series: Tensor) -> np.ndarray:
        features = []
        for weights, dilation, padding, bias in self.kernels_:
            responses = F.conv1d(series, weights, padding=padding, dilation=dilation)[:, 0] + bias
            features += [responses.amax(1), (responses > 0).float().mean(1)]
        return torch.stack(features, dim=1).numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, (n, n_classes)."""
        check_is_fitted(self)
        return self.model_.predict_proba((self.features(X) - self.mean_) / self.scale_)

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest label of each series, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(1)]


def _random_kernel(channels: int, length: int, rng: torch.Generator) -> tuple[Tensor, int, int, float]:
    """Return weights (1, channels, size) that sum to zero in each channel, dilation, padding and bias.

    The dilation is up to the length of a series; half of the kernels are padded.
    """

    def uniform() -> float:
        return float(torch.rand((), generator=rng))

    size = min(KERNEL_SIZES[int(uniform() * len(KERNEL_SIZES))], length)
    dilation = int(2 ** (uniform() * math.log2((length - 1) / (size - 1))))
    weights = torch.randn(1, channels, size, generator=rng)
    used = torch.randperm(channels, generator=rng) < 2 ** (uniform() * math.log2(channels + 1)) - 0.5
    weights = (weights - weights.mean(dim=2, keepdim=True)) * used[None, :, None]
    padding = (size - 1) * dilation // 2 if uniform() < 0.5 else 0
    return weights, dilation, padding, 2 * uniform() - 1
