"""ConditionalGenerator: the interface of all that generates samples of given classes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torch import Tensor


class ConditionalGenerator(Protocol):
    """Interface of a class-conditional generator.

    A fitted `ConditionalGAN` or `QualityGate` has it; any object with this attribute and this method can
    take their place.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels it can generate, sorted.
    """

    classes_: np.ndarray

    def sample(self, labels: Any, random_state: Any = None) -> Any:
        """Return exactly one sample for each of `labels`, in order."""
        ...


def modality_of(X: Any, generator: Any = None) -> str:
    """Return what samples are taken for: "images", a "table", "features" or "series".

    Parameters
    ----------
    X : array, Tensor or DataFrame
    generator : optional
        What the samples are for: a `ConditionalGAN`, fitted or not, or what holds one. Its modality
        decides, unless it is "auto".
    """
    while generator is not None:
        codec = getattr(generator, "codec_", None)
        modality = getattr(generator, "modality", None) if codec is None else codec.name
        if modality in ("images", "table", "features", "series"):
            return str(modality)
        generator = getattr(generator, "gan_", None) or getattr(generator, "gan", None)
    if X.ndim != 2:
        return "images"
    return "features" if isinstance(X, Tensor) else "table"


def check_mode(mode: Any, strength: Any, gan: Any) -> None:
    """Raise ValueError unless `gan` can "replace" images, or "vary" them with such a strength."""
    if mode not in ("replace", "vary"):
        raise ValueError(f"`mode` must be 'replace' or 'vary', got {mode!r}.")
    if not isinstance(strength, int | float | np.number) or not 0 <= strength < np.inf:
        raise ValueError(f"`strength` must be a number from 0 up, got {strength!r}.")
    if mode == "vary" and not hasattr(gan, "vary"):
        raise ValueError(
            "`gan` must have a method `vary` for mode 'vary', as a ConditionalGAN has, got"
            f" {type(gan).__name__}."
        )


def check_generator(gan: Any) -> None:
    """Raise ValueError unless `gan` is a `ConditionalGenerator`, and fitted."""
    if not hasattr(gan, "classes_") or not hasattr(gan, "sample"):
        raise ValueError(
            "`gan` must be a fitted ConditionalGAN or QualityGate, or have `classes_` and `sample`, got"
            f" {gan!r}."
        )


def check_makes_images(gan: Any) -> None:
    """Raise ValueError if `gan` is known to make feature vectors, series, or rows of a table."""
    made = modality_of(np.empty((1, 1, 1)), gan)  # for a generator that doesn't say: images
    if made != "images":
        name = {"features": "feature vectors", "series": "series"}.get(made, "rows of a table")
        raise ValueError(
            f"`gan` must make images, got one that makes {name}: pass it to GANOverSampler, which takes them."
        )


def training_counts(gan: Any) -> np.ndarray | None:
    """Return how many samples of each class a generator was trained on, or None if it doesn't say.

    Of a gate, what its generator was.
    """
    while not hasattr(gan, "class_counts_") and hasattr(gan, "gan_"):
        gan = gan.gan_
    return getattr(gan, "class_counts_", None)
