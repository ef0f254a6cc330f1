"""AugmentedDataset: a data set with synthetic images behind its real ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import suppress
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf

from ganaug.data import (
    Sampler,
    check_mode,
    check_sampler,
    label_indices,
    per_class,
)
from ganaug.hdf5 import HDF5Dataset
from ganaug.kinds import channels_first, is_pixels, rows_like
from ganaug.recommend import Recommendation, balanced_weights
from ganaug.torch_state import seeded

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # of PIL, by number of channels


class AugmentedDataset(Dataset):
    """Append synthetic images to a data set, such as one whose transform never sees a label.

    The real items stay what and where they were. The synthetic images are made once, here, and go
    through the data set's own ``transform`` and ``target_transform``, if it (or what it is a
    ``Subset`` of) has them, as PIL images, which is what torchvision's data sets hand to theirs.
    They are held in memory, in the dtype of the sampler; for more than fit, write them with
    `write_hdf5` and concatenate an `HDF5Dataset`.

    Parameters
    ----------
    dataset : Dataset
        Of (image, label), with a length: ``ImageFolder``, ``CIFAR10``, ``TensorDataset``, ...
        Labels are taken from its ``targets`` or ``labels``, or else from its items.
    sampler : Sampler
        A fitted `ConditionalGAN`, a `QualityGate`, or anything with ``classes_`` and ``sample``.
        If it knows classes by name, and the data set by number, the data set's ``classes`` tell
        which is which.
    counts : "balance", int, dict of label to int, or Recommendation
        Synthetic images to add to each class. "balance": what it lacks to the largest.
    synthetic_share : float or dict of label to float, optional
        The share of a class's draws that is synthetic, by `sample_weight`. None: as `counts`
        recommends, or else, as for classes that a dict leaves out, every item of a class alike.
    mode : {"replace", "vary"}
        What a synthetic image is: another one of its class; or, by the sampler's ``vary``, a
        variation of one of `dataset`, of which each of a class has its turn.
    strength : float
        In mode "vary", how far a variation may go: 1 as far as ``sample``; see `ConditionalGAN.vary`.
    random_state : int, RandomState or None
        Of the synthetic images.

    Attributes
    ----------
    labels : ndarray of shape (n,)
        The label of each item, as the sampler knows it.
    synthetic : ndarray of shape (n,), bool
        True for the synthetic items, which come last.
    source : ndarray of shape (n,), int64
        The item of `dataset` that an item is, or is a variation of; -1 for other synthetic ones.
    sample_weight : ndarray of shape (n,)
        Draws by which every class is equally likely, for ``WeightedRandomSampler``.
    classes : sequence or None
        That of `dataset`, if it has one.

    Raises
    ------
    ValueError
        If a parameter is not of the kind described, a label is unknown to the sampler, or synthetic
        images would differ from the real ones in kind or shape.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> from ganaug import AugmentedDataset, ConditionalGAN
    >>> X, y = torch.rand(50, 1, 8, 8), torch.arange(50) % 5 // 4
    >>> gan = ConditionalGAN(steps=2, random_state=0).fit(X, y)
    >>> data = AugmentedDataset(TensorDataset(X, y), gan, random_state=0)
    >>> len(data), int(data.synthetic.sum()), data[-1][0].shape, data[-1][1]
    (80, 30, torch.Size([1, 8, 8]), tensor(1))
    """

    def __init__(
        self,
        dataset: Any,
        sampler: Sampler,
        counts: int | Mapping[Any, int] | Recommendation | Literal["balance"] = "balance",
        synthetic_share: float | Mapping[Any, float] | None = None,
        *,
        mode: Literal["replace", "vary"] = "replace",
        strength: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        check_sampler(sampler)
        check_mode(mode, strength, sampler)
        self.dataset = dataset
        # Transforms may draw random numbers: put the state back as the user had it.
        with seeded():
            source = _Source(dataset)
            classes = sampler.classes_
            known = label_indices(source.names_for(classes), classes, "dataset")
            present, first, n_real = np.unique(known, return_index=True, return_counts=True)
            n_new = _to_add(counts, classes, present, n_real)
            added = np.repeat(np.arange(len(classes)), n_new)
            if isinstance(counts, Recommendation) and synthetic_share is None:
                synthetic_share = counts.synthetic_share
            share = _shares(synthetic_share, classes, np.bincount(known, minlength=len(classes)), n_new)
            self.labels = classes[np.concatenate([known, added])]
            self.synthetic = np.arange(len(self.labels)) >= len(known)
            self.sample_weight = balanced_weights(self.labels, self.synthetic, share)
            self._added, self._source, self.classes = added, source, source.classes
            self._own = dict(zip(present.tolist(), source.targets[first].tolist(), strict=True))
            origin = np.full(len(added), -1)
            if mode == "vary":
                for c in np.flatnonzero(n_new):
                    origin[added == c] = np.resize(np.flatnonzero(known == c), n_new[c])
            self.source = np.concatenate([np.arange(len(known)), origin])
            self._pool = channels_first(
                sampler.sample(classes[added], random_state=random_state)
                if mode == "replace" or not len(added)
                else _variations(sampler, source, origin, classes[added], strength, random_state)
            )
            if len(added):
                source.check_alike(self._pool[0])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} items")
        index = int(index) % len(self)
        n_real = len(self) - len(self._added)
        if index < n_real:
            return self.dataset[index]
        i = index - n_real
        return self._source.image(self._pool[i]), self._source.label(self._own[int(self._added[i])])


class _Source:
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
        if isinstance(base, AugmentedDataset):  # whose labels are those of its sampler, not of its items
            targets = None
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
        """Return the labels as a sampler with `classes` knows them: as they are, or by the data set's names.

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
                    f"Labels of `dataset` such as {self.targets.tolist()[0]} may be classes of the sampler,"
                    f" {classes.tolist()}, or indices into its own `classes`, {names.tolist()}: drop"
                    " `classes`, or make the labels indices into the sampler's."
                )
            by_name = set(names.tolist()) <= set(classes.tolist())  # else it was fitted on the indices
        # If they are neither, the sampler's kind is the one to complain of.
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
            if isinstance(held, Tensor) and not is_pixels(held):
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
                f"`sampler` must make images like those of `dataset`, {wanted}, got {got}: fit it on"
                " as_arrays(dataset), with the size that the transform resizes to."
            )


def _variations(
    sampler: Any, source: _Source, indices: np.ndarray, labels: np.ndarray, strength: float, random_state: Any
) -> Any:
    """Return a variation of each of some items, as the sampler makes them."""
    like = sampler.sample(labels[:1], random_state=0)
    rows = rows_like(source.raw(indices, tuple(channels_first(like).shape[1:])), like)
    return sampler.vary(rows, labels, strength, random_state=random_state)


def _all_among(labels: np.ndarray, classes: np.ndarray) -> bool:
    try:
        label_indices(labels, classes)
    except ValueError:
        return False
    return True


def _as_it_is(value: Any) -> Any:
    return value


def _to_add(counts: Any, classes: np.ndarray, present: np.ndarray, n_real: np.ndarray) -> np.ndarray:
    """Return how many synthetic images go to each class, (n_classes,)."""
    if isinstance(counts, Recommendation):
        counts = counts.to_add
    elif isinstance(counts, str) and counts == "balance":
        counts = dict(zip(classes[present].tolist(), (n_real.max() - n_real).tolist(), strict=True))
    elif isinstance(counts, str):
        raise ValueError(f"`counts` must be 'balance', an int, a dict or a Recommendation, got {counts!r}.")
    elif not isinstance(counts, Mapping):
        counts = dict.fromkeys(classes[present].tolist(), counts)
    added = per_class(counts, classes)
    absent = sorted(set(np.flatnonzero(added).tolist()) - set(present.tolist()))
    if absent:
        raise ValueError(
            f"`counts` asks for class {classes.tolist()[absent[0]]!r}, of which `dataset` has no image."
        )
    return added


def _shares(share: Any, classes: np.ndarray, n_real: np.ndarray, n_new: np.ndarray) -> dict[Any, float]:
    """Return the share of a class's draws that is synthetic, by label; 0 where none was added."""
    natural = n_new / np.maximum(1, n_real + n_new)
    given = share if isinstance(share, Mapping) else dict.fromkeys(classes.tolist(), share)
    shares = natural.copy()
    for label, value in given.items():
        if value is None:
            continue
        if not isinstance(value, Real) or not 0 <= float(value) <= 1:
            raise ValueError(f"`synthetic_share` must lie in [0, 1] or be a dict of such, got {value!r}.")
        c = label_indices([label], classes, "synthetic_share")[0]
        shares[c] = value if n_new[c] else 0.0
    return dict(zip(classes.tolist(), shares.tolist(), strict=True))


def _kind(image: Any) -> str:
    """Return what a batch needs its images to have in common."""
    if isinstance(image, Image.Image):
        return f"PIL {image.mode} {image.height} x {image.width}"
    if isinstance(image, Tensor):
        return f"Tensor {tuple(image.shape)} {str(image.dtype).removeprefix('torch.')}"
    return type(image).__name__
