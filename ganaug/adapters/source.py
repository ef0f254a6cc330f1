"""SourceDataset: how a data set makes its items, so that synthetic ones can be made the same way."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Subset
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf

from ganaug.data.containers import channels_first, images_like, is_image_dtype
from ganaug.data.labels import label_indices
from ganaug.io.hdf5 import HDF5Dataset

PIL_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels


class SourceDataset:
    """How a data set makes its items, so that synthetic ones can be made the same way.

    Attributes
    ----------
    targets : ndarray of shape (n,)
        The labels of its items: before its ``target_transform``, where the data set has them so.
    classes : sequence or None
        That of the data set, or of what it is a ``Subset`` of.
    """

    def __init__(self, dataset: Any) -> None:
        if not hasattr(dataset, "__len__") or len(dataset) == 0:
            raise ValueError(f"`dataset` must have a length and an item, got {type(dataset).__name__}.")
        item = dataset[0]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ValueError(f"`dataset` must hold (image, label), got {type(item).__name__} for item 0.")
        self.first_image, self.first_label = item
        self.dataset = dataset
        base: Any = dataset
        indices = np.arange(len(dataset))
        while isinstance(base, Subset):
            base, indices = base.dataset, np.asarray(base.indices)[indices]
        self.base, self.base_indices = base, indices
        self.transform = getattr(base, "transform", None)
        self.target_transform = getattr(base, "target_transform", None)
        # The transform gets synthetic images in the form of this one. A data set may do more with what its
        # transform returns, and so fail without it: then None stands for a PIL image, the likeliest form.
        self.untransformed_template = None
        with suppress(Exception):
            (self.untransformed_template,) = self._untransformed(np.array([0]))
        self.pil_mode: str | None = None  # to convert synthetic PIL images to, where that is necessary
        self.classes = getattr(base, "classes", None)
        targets = getattr(base, "targets", getattr(base, "labels", None))
        if targets is not None and len(targets) == len(base):
            self.targets = (targets.numpy() if isinstance(targets, Tensor) else np.asarray(targets))[indices]
        if targets is None or len(targets) != len(base) or not self._targets_match_items():
            labels = (dataset[i][1] for i in range(len(dataset)))
            self.targets = np.asarray(
                [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in labels]
            )
            if self.targets.ndim != 1:
                raise ValueError(
                    "Items of `dataset` must have one label each, got one of shape"
                    f" {self.targets.shape[1:]}: leave one-hot labels to the loss, or to a collate function."
                )
            self.target_transform = None  # labels of items went through it

    def _targets_match_items(self) -> bool:
        """Return whether `targets` are the items' labels; the attribute may count from 1, or hold names."""
        if self.targets.ndim != 1:
            return False
        labels, first = np.unique(self.targets, return_index=True)
        change = self.target_transform or _identity
        return all(
            np.array_equal(np.ravel(np.asarray(self.dataset[index][1])), np.ravel(np.asarray(change(label))))
            for label, index in zip(labels.tolist(), first.tolist(), strict=True)
        )

    def _untransformed(self, indices: np.ndarray) -> Iterator[Any]:
        """Yield images of items as they are before the data set's own transform."""
        dataset = self.dataset
        if self.transform is not None:
            dataset, indices = copy.copy(self.base), self.base_indices[indices]
            dataset.transform = _identity
        for index in indices.tolist():
            yield dataset[index][0]

    def to_generator_labels(self, classes: np.ndarray) -> np.ndarray:
        """Return the labels as a generator with `classes` knows them: unchanged, or as the data set's names.

        Raises
        ------
        ValueError
            If they could be both: labels of the generator, and indices of other classes.
        """
        if self.classes is None or self.targets.dtype.kind not in "iu":
            return self.targets
        names = np.asarray(self.classes)
        are_indices = 0 <= int(self.targets.min()) and int(self.targets.max()) < len(names)
        named = names[self.targets.astype(np.int64)] if are_indices else self.targets
        by_name = are_indices and _all_among(named, classes)
        as_they_are = _all_among(self.targets, classes)
        if by_name and as_they_are and not np.array_equal(named, self.targets):
            if not isinstance(self.base, HDF5Dataset):
                raise ValueError(
                    f"Labels of `dataset` such as {self.targets.tolist()[0]} may be classes of the generator,"
                    f" {classes.tolist()}, or indices into its own `classes`, {names.tolist()}: drop"
                    " `classes`, or make the labels indices into the generator's."
                )
            by_name = set(names.tolist()) <= set(classes.tolist())  # else it was fitted on the indices
        # If they are neither, the caller's error had better show labels of the generator's type.
        same_type = not (by_name or as_they_are) and names.dtype.kind == classes.dtype.kind
        return named if by_name or same_type else self.targets

    def untransformed_images(self, indices: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        """Return images (n, C, H, W) before the data set's own transform, converted to `shape`, (C, H, W)."""
        images = []
        for image in self._untransformed(indices):
            if isinstance(image, Image.Image) and shape[0] in PIL_MODES:
                image = tvf.pil_to_tensor(image.convert(PIL_MODES[shape[0]]))
            if not isinstance(image, Tensor):
                raise ValueError(
                    "For mode 'vary', `dataset` must hold PIL images or Tensors before its transform, got"
                    f" {type(image).__name__}."
                )
            image = (image[None] if image.ndim == 2 else image).as_subclass(Tensor)
            if tuple(image.shape[1:]) != shape[1:]:
                image = tvf.resize(image, list(shape[1:]), antialias=True)
            images.append(image)
        return torch.stack(images)

    def image(self, image: Tensor) -> Any:
        """Return a synthetic image (C, H, W) in the form that images of items have."""
        untransformed = self._as_untransformed(image)
        if self.transform is None:
            return untransformed
        if type(self.transform).__module__.partition(".")[0] == "albumentations":
            return self.transform(image=np.array(untransformed))["image"]
        return self.transform(untransformed)

    def _as_untransformed(self, image: Tensor) -> Any:
        """Return a synthetic image (C, H, W) in the form that the data set's transform gets."""
        like = self.untransformed_template
        if isinstance(like, Tensor):
            image = tvf.to_dtype(image.clone(), like.dtype, scale=True)
            image = image[0] if like.ndim == 2 else image
            return tv_tensors.wrap(image, like=like) if isinstance(like, tv_tensors.Image) else image
        pil = tvf.to_pil_image(tvf.to_dtype(image, torch.uint8, scale=True))
        pil = pil if self.pil_mode is None else pil.convert(self.pil_mode)
        return np.array(pil) if isinstance(like, np.ndarray) else pil

    def label(self, label: Any) -> Any:
        """Return a target in the form that labels of items have."""
        label = label if self.target_transform is None else self.target_transform(label)
        like = self.first_label
        if not isinstance(like, Tensor):
            return label
        label = torch.as_tensor(label, dtype=like.dtype)
        return label.reshape(like.shape) if label.numel() == like.numel() else label

    def check_compatible(self, image: Tensor) -> None:
        """Raise ValueError unless synthetic images, such as this one, fit into a batch with real ones."""
        like = self.first_image
        if not isinstance(like, Image.Image | Tensor) and self.transform is None:
            raise ValueError(
                "`dataset` must hold PIL images or Tensors, or have a `transform`, got"
                f" {type(like).__name__}."
            )
        for real in (like, self.untransformed_template):
            if isinstance(real, Tensor) and not is_image_dtype(real):
                raise ValueError(
                    f"`dataset` must hold images of uint8 or floats, got {real.dtype}: convert them."
                )
        plain_floats = isinstance(like, Tensor) and self.transform is None and like.is_floating_point()
        if plain_floats and not 0 <= like.min() <= like.max() <= 1:
            raise ValueError(
                "`dataset` must hold images in [0, 1], or normalise them in its own `transform`, got"
                f" values from {like.min():.3g} to {like.max():.3g}."
            )
        wanted = _describe(like)
        # Grey files are read as RGB by torchvision's folders, and as grey by as_arrays.
        got = _describe(self.image(image))
        if got != wanted and not isinstance(self.untransformed_template, Tensor):
            self.pil_mode = "RGB"
        if got != wanted and _describe(self.image(image)) != wanted:
            raise ValueError(
                f"`gan` must make images like those of `dataset`, {wanted}, got {got}: fit it on"
                " as_arrays(dataset), with the size that the transform resizes to."
            )


def variations_of(
    gan: Any,
    source: SourceDataset,
    indices: np.ndarray,
    labels: np.ndarray,
    strength: float,
    random_state: Any,
) -> Any:
    """Return a variation of each item of `indices`, (n, ...) in the generator's own layout."""
    template = gan.sample(labels[:1], random_state=0)
    shape = tuple(channels_first(template).shape[1:])
    images = images_like(source.untransformed_images(indices, shape), template)
    return gan.vary(images, labels, strength, random_state=random_state)


def _all_among(labels: np.ndarray, classes: np.ndarray) -> bool:
    try:
        label_indices(labels, classes)
    except ValueError:
        return False
    return True


def _identity(value: Any) -> Any:
    return value


def _describe(image: Any) -> str:
    """Return what images must have in common to be in one batch, in words."""
    if isinstance(image, Image.Image):
        return f"PIL {image.mode} {image.height} x {image.width}"
    if isinstance(image, Tensor):
        return f"Tensor {tuple(image.shape)} {str(image.dtype).removeprefix('torch.')}"
    return type(image).__name__
