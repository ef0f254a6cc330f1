"""The sets of samples that a report compares: training, held-out and synthetic samples, and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.data.containers import as_container, is_dataframe, take
from ganaug.data.holdout import sample_digests
from ganaug.data.labels import check_labels, label_indices
from ganaug.data.protocol import ConditionalGenerator
from ganaug.data.user_warnings import warn_user

# Fewer held-out samples of a class say nothing of it.
MIN_HELD_OUT = 20


@dataclass(frozen=True)
class LabeledSamples:
    """Samples, or their features, with the class of each.

    Attributes
    ----------
    X : array, Tensor or DataFrame of n samples
    y : ndarray of shape (n,), int
        Class indices.
    """

    X: Any
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray) -> LabeledSamples:
        """Return the samples at some indices, or under a mask."""
        return LabeledSamples(take(self.X, index), self.y[index])

    def of_class(self, c: int) -> Any:
        """Return the samples of one class, without labels."""
        return take(self.X, np.flatnonzero(self.y == c))

    def at_most(self, per_class: int, n_classes: int, rng: np.random.RandomState) -> LabeledSamples:
        """Return at most so many samples of each class, drawn at random; classes in order."""
        by_class = (np.flatnonzero(self.y == c) for c in range(n_classes))
        drawn = [np.sort(rng.permutation(members)[:per_class]) for members in by_class]
        return self.take(np.concatenate(drawn))


@dataclass(frozen=True)
class ReportedSamples:
    """What the figures of a report are drawn from.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels that class indices stand for.
    train, synthetic : LabeledSamples
    train_features, synthetic_features : LabeledSamples
        Features as Tensors (n, n_features), of as many samples as were measured.
    generator : ConditionalGenerator or None
        None if the synthetic samples were given as arrays.
    """

    classes: np.ndarray
    train: LabeledSamples
    synthetic: LabeledSamples
    train_features: LabeledSamples
    synthetic_features: LabeledSamples
    generator: Any


def check_held_out(X_test: Any, y_test: Any, X: Any, classes: np.ndarray, codec: Any) -> LabeledSamples:
    """Return held-out samples; without images or series that are among those of `X`."""
    if X_test is None:
        if y_test is not None:
            raise ValueError("`y_test` must be None without `X_test`, got labels.")
        return LabeledSamples(None, np.empty(0, np.int64))
    X_test = as_container(X_test)
    if not len(X_test):
        raise ValueError("`X_test` must be None or hold rows, got 0.")
    try:
        codec.check(X_test)
    except ValueError as exc:
        raise ValueError(f"`X_test` must be of the kind of `X`. {exc}") from exc
    labels = label_indices(check_labels(y_test, len(X_test), "y_test", "X_test"), classes, "y_test")
    held_out = LabeledSamples(X_test, labels)
    # Two rows of a table may be equal by chance.
    if codec.name in ("table", "features"):
        return held_out
    new = ~np.isin(sample_digests(X_test), sample_digests(X))
    if new.all():
        return held_out
    found = f"{np.sum(~new)} of the {len(new)} {codec.noun} of `X_test` are among those of `X`"
    if not new.any():
        raise ValueError(f"`X_test` must hold {codec.noun} that the generator never saw: {found}.")
    warn_user(f"{found}: they are left out.")
    return held_out.take(new)


def synthetic_samples(
    synthetic: Any, classes: np.ndarray, per_class: int, rng: np.random.RandomState
) -> tuple[LabeledSamples, ConditionalGenerator | None]:
    """Return synthetic samples of each class, given or sampled, and the generator if there is one."""
    if isinstance(synthetic, tuple | list) and len(synthetic) == 2:
        return _given_samples(synthetic, classes, per_class, rng), None
    if not hasattr(synthetic, "classes_") or not hasattr(synthetic, "sample"):
        raise ValueError(
            "`synthetic` must be a pair (X, y), a fitted ConditionalGAN or QualityGate, or have `classes_`"
            f" and `sample`, got {synthetic!r}."
        )
    label_indices(classes, synthetic.classes_, "y")
    labels = np.repeat(np.arange(len(classes)), per_class)
    X = synthetic.sample(classes[labels], random_state=rng.randint(2**31 - 1))
    return LabeledSamples(X, labels), synthetic


def _given_samples(
    pair: Any, classes: np.ndarray, per_class: int, rng: np.random.RandomState
) -> LabeledSamples:
    X = as_container(pair[0])
    labels = check_labels(pair[1], len(X), "synthetic[1]", "synthetic[0]")
    given = LabeledSamples(X, label_indices(labels, classes, "synthetic"))
    # What `as_arrays` reads from a file may hold real samples too.
    mask = getattr(pair, "synthetic", None)
    if mask is not None and mask.any():
        given = given.take(mask)
    drawn = given.at_most(per_class, len(classes), rng)
    least = np.bincount(given.y, minlength=len(classes)).min()
    if least < 2:
        raise ValueError(f"`synthetic` must hold at least 2 rows of every class, got {least} of one.")
    return drawn


def noise_like(X: Any, n: int, rng: np.random.RandomState, codec: Any) -> Any:
    """Return `n` samples that share only the range of `X`, which `codec` was fitted on.

    These are random pixels, white noise, or each column of a table shuffled.
    """
    from torchvision.transforms.v2 import functional as tvf

    if codec.name == "series":
        return codec.decode(torch.from_numpy(rng.normal(size=(n, *codec.shape))))
    if codec.name == "images":
        noise = rng.randint(0, 256, (n, *X.shape[1:]), dtype=np.uint8)
        if isinstance(X, Tensor):
            return tvf.to_dtype(torch.from_numpy(noise), X.dtype, scale=True)
        return noise if X.dtype == np.uint8 else (noise / np.float32(255)).astype(X.dtype)
    taken: Any = take(X, rng.randint(len(X), size=n))
    rows: Any = taken.clone() if isinstance(taken, Tensor) else taken.copy()
    for column in range(rows.shape[1]):
        order = rng.permutation(n)
        if is_dataframe(rows):
            rows.isetitem(column, rows.iloc[order, column].array)
        else:
            rows[:, column] = rows[order, column]
    return rows
