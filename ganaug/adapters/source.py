"""SourceDataset: how a data set makes its items, so that synthetic ones can be made the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from ganaug.adapters.forms import RawImages, describe, sides
from ganaug.adapters.recording import Recording, Template
from ganaug.data.containers import as_array, channels_first, images_like, is_dataframe
from ganaug.data.labels import label_indices
from ganaug.io.hdf5_dataset import HDF5Dataset


class SourceDataset:
    """How a data set makes its items, so that synthetic ones can be made the same way.

    Attributes
    ----------
    targets : ndarray of shape (n,)
        The labels of its items: before its ``target_transform``, where the data set has them so.
    classes : sequence or None
        That of the data set, or of what it is a ``Subset`` of.
    templates : dict of label to Template
        How items with each of the `targets` are made.
    """

    def __init__(self, dataset: Any) -> None:
        _check_indexable(dataset)
        self.base: Any = dataset
        self._base_indices = np.arange(len(dataset))
        while isinstance(self.base, Subset):
            self._base_indices = np.asarray(self.base.indices)[self._base_indices]
            self.base = self.base.dataset
        self.classes: Sequence[Any] | np.ndarray | None = _class_names(self.base)
        self.templates: dict[Any, Template] = {}
        # From after the target_transform where `targets` are from before it, and the other way round.
        self._other_labels: dict[Any, Any] = {}
        self._raw = RawImages()
        # Items that the data set kept from before, with their transforms behind them.
        self._kept: list[tuple[Template, int, Any]] = []
        # The first item with an image of each form, and the sides of that image.
        self._images: dict[str, tuple[int, tuple[int, int] | None]] = {}
        self._recording = Recording(dataset)
        self._first: tuple[Template, Any] | None = None
        with self._recording:
            self._first = self._read(0)
            for targets in self._possible_targets(self._first[0].label_place[0]):
                if self._match_items(targets):
                    self.targets: np.ndarray = targets
                    break
            else:
                self.templates, self._other_labels = {}, {}
                self.targets = self._labels_of_items(len(dataset))
        self._add_kept()

    def _read(self, index: int) -> tuple[Template, Any]:
        """Return how an item is made and its label before ``target_transform``, and note its image."""
        if index == 0 and self._first is not None:
            return self._first  # a data set may keep what its transform returned, and not call it again
        template, raw, image, label = self._recording.read(index)
        if template.call is None and self._recording.has_transform:
            self._kept.append((template, index, raw))
        else:
            self._raw.add(index, raw)
        self._images.setdefault(describe(image), (index, sides(image)))
        return template, label

    def _add_kept(self) -> None:
        """Have synthetic items like those that were kept go through the transform as all others do."""
        read = [*self.templates.values(), *([self._first[0]] if self._first is not None else [])]
        called = next((template for template in read if template.call is not None), None)
        for template, index, raw in self._kept:
            if called is None:
                self._raw.add(index, raw)
            else:
                template.call, template.given_place = called.call, called.given_place
                template.returned_place = called.returned_place

    def _add(self, target: Any, template: Template, other_label: Any) -> None:
        """Note how items with a target are made, if none was before, and their other label."""
        if target not in self.templates:
            self.templates[target], self._other_labels[target] = template, target
            with suppress(ValueError):  # of one-hot labels
                self._other_labels[target] = _one_label(other_label)

    def _possible_targets(self, label_key: Any) -> list[np.ndarray]:
        """Return labels that the data set says it has, (n,) each; its attributes may mean something else."""
        possible = []
        for name in ("targets", "labels", label_key):
            with suppress(Exception):  # of properties, methods, and whatever is not an array
                # A data set of the package `datasets` has columns.
                columns = name == label_key and label_key in self.base.column_names
                values = self.base.with_format(None)[name] if columns else getattr(self.base, name)
                values = values.cpu().numpy() if isinstance(values, Tensor) else as_array(values)
                values = values[:, 0] if values.shape == (len(self.base), 1) else values
                if values.shape == (len(self.base),):
                    possible.append(values[self._base_indices])
        return possible

    def _match_items(self, targets: np.ndarray) -> bool:
        """Return whether these are the items' labels; an attribute may count from 1, or hold names."""
        self.templates, self._other_labels = {}, {}
        with suppress(TypeError):  # of labels that can't be sorted
            labels, first = np.unique(targets, return_index=True)
            for target, index in zip(labels.tolist(), first.tolist(), strict=True):
                template, label = self._read(index)
                with suppress(ValueError):
                    label = _one_label(label)
                if type(label) not in (bool, int, float, str) or label != target:
                    return False
                self._add(target, template, template.label)
            return True
        return False

    def _labels_of_items(self, n: int) -> np.ndarray:
        """Return the label of each item, read one by one."""
        labels = []
        for index in range(n):
            template, before = self._read(index)
            try:
                labels.append(_one_label(template.label))
            except ValueError:
                # The data set's own target_transform may make one label one-hot.
                if before is template.label:
                    raise
                labels.append(_one_label(before))
            self._add(labels[-1], template, before)
        return as_array(labels)

    def to_generator_labels(self, classes: np.ndarray, names: Any = None) -> np.ndarray:
        """Return the labels as a generator with `classes` knows them: unchanged, or as the data set's names.

        `names` are the generator's labels for the data set's indices, where the user gives them.

        Raises
        ------
        ValueError
            If they could be both: labels of the generator, and indices of other classes.
        """
        if names is not None:
            return self._named(classes, names)
        # as_arrays takes labels from after the target_transform.
        others = as_array([self._other_labels[target] for target in self.targets.tolist()])
        found = self._known_labels(self.targets, classes)
        known = [] if found is None else [found]
        if not np.array_equal(others, self.targets) and _all_among(others, classes):
            known.append(others)
        if len(known) == 2 and not np.array_equal(known[0], known[1]):
            where = np.flatnonzero(known[0] != known[1])[0]
            raise ValueError(
                "Labels of `dataset` may be classes of the generator before its `target_transform` and after"
                f" it, such as {known[0].tolist()[where]!r} and {known[1].tolist()[where]!r}: drop that"
                " transform, or pass `classes`, the generator's label for each index."
            )
        if known:
            return known[0]
        # The caller's error had better show labels of the generator's type.
        named = self._by_name(self.targets)
        if named is not None and named.dtype.kind == classes.dtype.kind:
            return named
        if self.targets.dtype.kind in "iu" and classes.dtype.kind in "UO":
            raise ValueError(
                f"Labels of `dataset` such as {self.targets.tolist()[0]} may be indices of the generator's"
                f" classes, {classes.tolist()}: pass `classes`, the generator's label for each index."
            )
        return self.targets

    def _by_name(self, labels: np.ndarray) -> np.ndarray | None:
        """Return the names of labels that are indices into `classes`, or None if they are not."""
        if self.classes is None or labels.dtype.kind not in "iu":
            return None
        names = np.asarray(self.classes)
        in_range = 0 <= int(labels.min()) and int(labels.max()) < len(names)
        return names[labels.astype(np.int64)] if in_range else None

    def _known_labels(self, labels: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
        """Return labels as a generator with `classes` knows them, or None if it does not."""
        named = self._by_name(labels)
        as_they_are = _all_among(labels, classes)
        if named is None or not _all_among(named, classes):
            return labels if as_they_are else None
        if as_they_are and not np.array_equal(named, labels):
            names = np.asarray(self.classes).tolist()
            if not isinstance(self.base, HDF5Dataset):
                raise ValueError(
                    f"Labels of `dataset` such as {labels.tolist()[0]} may be classes of the generator,"
                    f" {classes.tolist()}, or indices into its own `classes`, {names}: pass `classes`, the"
                    " generator's label for each index."
                )
            return named if set(names) <= set(classes.tolist()) else labels  # fitted on the indices
        return named

    def _named(self, classes: np.ndarray, names: Any) -> np.ndarray:
        if isinstance(names, str) or np.ndim(names) != 1:
            raise ValueError(
                f"`classes` must be the generator's label for each index of `dataset`, got {names!r}."
            )
        names = as_array(names)
        wrong = [
            label for label in self.targets.tolist() if type(label) is not int or not 0 <= label < len(names)
        ]
        if wrong:
            raise ValueError(
                f"With `classes`, labels of `dataset` must be indices into its {len(names)} entries, got"
                f" {wrong[0]!r}."
            )
        named = names[self.targets.astype(np.int64)]
        if not _all_among(named, classes) and _all_among(self.targets, classes):
            raise ValueError(
                f"`classes` must be labels of the generator, {classes.tolist()}, got {names.tolist()}: leave"
                " it out, the generator knows the labels of `dataset` as they are."
            )
        label_indices(named, classes, "classes")
        return named

    def untransformed_images(self, indices: np.ndarray, shape: tuple[int, ...]) -> Tensor:
        """Return images (n, C, H, W) before the data set's own transform, converted to `shape`, (C, H, W)."""
        images = []
        with self._recording:
            for index in indices.tolist():
                _, raw, _, _ = self._recording.read(index)
                images.append(self._raw.as_tensor(raw, shape))
        return torch.stack(images)

    def item(self, image: Tensor, target: Any) -> Any:
        """Return an item of a synthetic image (C, H, W), in the form of real ones with this target."""
        return self.templates[target].make(self._raw.imitate(image))

    def check_form(self) -> None:
        """Raise ValueError unless synthetic images can be given the form of the data set's own."""
        self._raw.check()
        if len(self._images) > 1:
            (first, (i, _)), (other, (j, _)) = list(self._images.items())[:2]
            raise ValueError(
                f"Images of `dataset` must be of one kind and size, got {first} for item {i} and {other} for"
                f" item {j}: convert or resize them in its `transform`."
            )

    def check_compatible(self, image: Tensor, target: Any) -> None:
        """Raise ValueError unless synthetic images, such as this one, fit into a batch with real ones."""
        ((wanted, (_, size)),) = self._images.items()
        made = self.templates[target].image(self._raw.imitate(image))
        got, own, out = describe(made), tuple(image.shape[1:]), sides(made)
        advice = "fit it on as_arrays(dataset" + (f", size={size})" if size else ")")
        # Enlarging blurs. It does not mark the class where real images are as small, and enlarged as well.
        if out and any(new > old < raw for new, old, raw in zip(out, own, self._raw.sides, strict=True)):
            raise ValueError(
                f"`gan` makes images of {own[0]} x {own[1]} pixels, which the transform of `dataset` enlarges"
                f" to {out[0]} x {out[1]}: they would be blurred, and real ones not. Resize all to their size"
                f" in the transform, or {advice}."
            )
        if got != wanted:
            raise ValueError(
                f"`gan` must make images like those of `dataset`, {wanted}, got {got}: {advice}, where the"
                " size is that of images after the transform."
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


def _check_indexable(dataset: Any) -> None:
    """Raise ValueError unless items can be read by their index."""
    kind = type(dataset).__name__
    if isinstance(dataset, DataLoader):
        raise ValueError(f"`dataset` must be a data set, got {kind}: pass its `dataset`.")
    indexable = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if isinstance(dataset, IterableDataset) or (hasattr(dataset, "__iter__") and not indexable):
        raise ValueError(
            f"`dataset` must have a length, and items by index, got {kind}, which has them one after the"
            " other: use GANAugment, which replaces images as they come, or make a list of its items."
        )
    if not indexable or isinstance(dataset, Mapping) or is_dataframe(dataset) or len(dataset) == 0:
        raise ValueError(f"`dataset` must have a length and an item, got {kind}.")


def _class_names(base: Any) -> Sequence[Any] | np.ndarray | None:
    """Return the attribute `classes` of a data set, if it is a sequence of different labels."""
    with suppress(Exception):  # of a property
        names = base.classes
        if isinstance(names, list | tuple | np.ndarray) and np.asarray(names).ndim == 1:
            return names if len(set(names)) == len(names) else None
    return None


def _all_among(labels: np.ndarray, classes: np.ndarray) -> bool:
    try:
        label_indices(labels, classes)
    except ValueError:
        return False
    return True


def _one_label(label: Any) -> Any:
    """Return the one label of an item as Python's own scalar, or raise ValueError if there are more."""
    if isinstance(label, Mapping) and len(label) == 1:
        (label,) = label.values()
    if isinstance(label, Tensor | np.ndarray | list | tuple):
        array = label.detach().cpu().numpy() if isinstance(label, Tensor) else np.asarray(label)
        if array.size != 1:
            raise ValueError(
                f"Items of `dataset` must have one label each, got one of shape {array.shape}: if it is"
                " one-hot, give `dataset` the index, label.argmax(), and call"
                " torch.nn.functional.one_hot on each batch. An item has one class here."
            )
        return array.item()
    if isinstance(label, np.generic):
        return label.item()
    if not isinstance(label, str | bool | int | float):
        raise ValueError(
            f"Items of `dataset` must have one label each, an int, a str, a float or a bool, got"
            f" {type(label).__name__}."
        )
    return label
