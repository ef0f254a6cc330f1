"""AugmentedDataset: a data set with synthetic images behind its real ones."""

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

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # of PIL, by number of channels


class SourceDataset:
    """How a data set makes its items, so that synthetic ones can be made the same way.

    Attributes
    ----------
    targets : ndarray of shape (n,)
        The labels of its items, before its ``target_transform`` where that can be seen.
    """

    def __init__(self, dataset: Any) -> None:
        if not hasattr(dataset, "__len__") or len(dataset) == 0:
            raise ValueError(f"`dataset` must have a length and an item, got {type(dataset).__name__}.")
        like = dataset[0]
        if not isinstance(like, tuple | list) or len(like) != 2:
            raise ValueError(f"`dataset` must hold (image, label), got {type(like).__name__} for item 0.")
        self.like_image, self.like_label = like
        self.dataset = dataset
        base: Any = dataset
        chosen = np.arange(len(dataset))
        while isinstance(base, Subset):
            base, chosen = base.dataset, np.asarray(base.indices)[chosen]
        self.base, self.chosen = base, chosen
        self.transform = getattr(base, "transform", None)
        self.target_transform = getattr(base, "target_transform", None)
        # An image before the transform, of whose kind synthetic ones are handed to it. A data set may do
        # more with what its transform returns, and so fail without it: PIL images are the likeliest then.
        self.before = None
        with suppress(Exception):
            (self.before,) = self._untransformed(np.array([0]))
        self.mode: str | None = None  # of PIL images, where it is not that of the synthetic ones
        self.classes = getattr(base, "classes", None)
        targets = getattr(base, "targets", getattr(base, "labels", None))
        if targets is not None and len(targets) == len(base):
            self.targets = (targets.numpy() if isinstance(targets, Tensor) else np.asarray(targets))[chosen]
        if targets is None or len(targets) != len(base) or not self._items_have_them():
            labels = (dataset[i][1] for i in range(len(dataset)))
            self.targets = np.asarray(
                [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in labels]
            )
            if self.targets.ndim != 1:
                raise ValueError(
                    "Items of `dataset` must have one label each, got one of shape"
                    f" {self.targets.shape[1:]}: leave one-hot labels to the loss, or to a collate function."
                )
            self.target_transform = None  # they went through it

    def _items_have_them(self) -> bool:
        """Return whether `targets` are the labels of items: an attribute may count from 1, or hold names."""
        if self.targets.ndim != 1:
            return False
        labels, first = np.unique(self.targets, return_index=True)
        change = self.target_transform or _as_it_is
        return all(
            np.array_equal(np.ravel(np.asarray(self.dataset[index][1])), np.ravel(np.asarray(change(label))))
            for label, index in zip(labels.tolist(), first.tolist(), strict=True)
        )

    def _untransformed(self, indices: np.ndarray) -> Iterator[Any]:
        """Yield images of items as they are before the data set's own transform."""
        plain = self.dataset
        if self.transform is not None:
            plain, indices = copy.copy(self.base), self.chosen[indices]
            plain.transform = _as_it_is
        for index in indices.tolist():
            yield plain[index][0]

    def names_for(self, classes: np.ndarray) -> np.ndarray:
        """Return the labels as a generator with `classes` knows them: as they are, or by the data set's names.

        Raises
        ------
        ValueError
            If they could be either: numbers that are classes, and indices of other classes.
        """
        if self.classes is None or self.targets.dtype.kind not in "iu":
            return self.targets
        names = np.asarray(self.classes)
        indices = 0 <= int(self.targets.min()) and int(self.targets.max()) < len(names)
        named = names[self.targets.astype(np.int64)] if indices else self.targets
        by_name, as_they_are = indices and _all_among(named, classes), _all_among(self.targets, classes)
        if by_name and as_they_are and not np.array_equal(named, self.targets):
            if not isinstance(self.base, HDF5Dataset):
                raise ValueError(
                    f"Labels of `dataset` such as {self.targets.tolist()[0]} may be classes of the generator,"
                    f" {classes.tolist()}, or indices into its own `classes`, {names.tolist()}: drop"
                    " `classes`, or make the labels indices into the generator's."
                )
            by_name = set(names.tolist()) <= set(classes.tolist())  # else it was fitted on the indices
        # If they are neither, the generator's kind is the one to complain of.
        alike = not (by_name or as_they_are) and names.dtype.kind == classes.dtype.kind
        return named if by_name or alike else self.targets

    def raw(self, indices: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        """Return images (n, C, H, W) as they are before the data set's own transform, but of `shape`."""
        images = []
        for image in self._untransformed(indices):
            if isinstance(image, Image.Image) and shape[0] in MODES:
                image = tvf.pil_to_tensor(image.convert(MODES[shape[0]]))
            if not isinstance(image, Tensor):
                raise ValueError(
                    "`dataset` must hold PIL images or Tensors before its transform to be varied, got"
                    f" {type(image).__name__}."
                )
            image = (image[None] if image.ndim == 2 else image).as_subclass(Tensor)
            if tuple(image.shape[1:]) != shape[1:]:
                image = tvf.resize(image, list(shape[1:]), antialias=True)
            images.append(image)
        return torch.stack(images)

    def image(self, image: Tensor) -> Any:
        """Return a synthetic image (C, H, W) as an item has it."""
        made = self._as_before(image)
        if self.transform is None:
            return made
        if type(self.transform).__module__.partition(".")[0] == "albumentations":
            return self.transform(image=np.array(made))["image"]
        return self.transform(made)

    def _as_before(self, image: Tensor) -> Any:
        """Return a synthetic image (C, H, W) as the data set has its own, before its transform."""
        like = self.before
        if isinstance(like, Tensor):
            image = tvf.to_dtype(image.clone(), like.dtype, scale=True)
            image = image[0] if like.ndim == 2 else image
            return tv_tensors.wrap(image, like=like) if isinstance(like, tv_tensors.Image) else image
        pil = tvf.to_pil_image(tvf.to_dtype(image, torch.uint8, scale=True))
        pil = pil if self.mode is None else pil.convert(self.mode)
        return np.array(pil) if isinstance(like, np.ndarray) else pil

    def label(self, label: Any) -> Any:
        """Return a label as an item has it."""
        label = label if self.target_transform is None else self.target_transform(label)
        like = self.like_label
        if not isinstance(like, Tensor):
            return label
        label = torch.as_tensor(label, dtype=like.dtype)
        return label.reshape(like.shape) if label.numel() == like.numel() else label

    def check_alike(self, image: Tensor) -> None:
        """Raise ValueError unless synthetic images could stand in a batch with real ones."""
        like = self.like_image
        if not isinstance(like, Image.Image | Tensor) and self.transform is None:
            raise ValueError(
                "`dataset` must hold PIL images or Tensors, or have a `transform`, got"
                f" {type(like).__name__}."
            )
        for held in (like, self.before):
            if isinstance(held, Tensor) and not is_image_dtype(held):
                raise ValueError(
                    f"`dataset` must hold images of uint8 or floats, got {held.dtype}: convert them."
                )
        raw = isinstance(like, Tensor) and self.transform is None and like.is_floating_point()
        if raw and not 0 <= like.min() <= like.max() <= 1:
            raise ValueError(
                "`dataset` must hold images in [0, 1], or normalise them in its own `transform`, got"
                f" values from {like.min():.3g} to {like.max():.3g}."
            )
        wanted = _kind(like)
        # Grey files are read as RGB by torchvision's folders, and as grey by as_arrays.
        got = _kind(self.image(image))
        if got != wanted and not isinstance(self.before, Tensor):
            self.mode = "RGB"
        if got != wanted and _kind(self.image(image)) != wanted:
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
    """Return a variation of each of some items, as the generator makes them."""
    like = gan.sample(labels[:1], random_state=0)
    rows = images_like(source.raw(indices, tuple(channels_first(like).shape[1:])), like)
    return gan.vary(rows, labels, strength, random_state=random_state)


def _all_among(labels: np.ndarray, classes: np.ndarray) -> bool:
    try:
        label_indices(labels, classes)
    except ValueError:
        return False
    return True


def _as_it_is(value: Any) -> Any:
    return value


def _kind(image: Any) -> str:
    """Return what a batch needs its images to have in common."""
    if isinstance(image, Image.Image):
        return f"PIL {image.mode} {image.height} x {image.width}"
    if isinstance(image, Tensor):
        return f"Tensor {tuple(image.shape)} {str(image.dtype).removeprefix('torch.')}"
    return type(image).__name__
