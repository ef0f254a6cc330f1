"""Samples as torchvision's transforms get them: where the image is in one, and where the labels are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils import _pytree as pytree
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf

from ganaug.data.containers import as_array

# These belong to the image that came in, and would not fit another. There are KeyPoints since
# torchvision 0.23.
ANNOTATIONS: tuple[type, ...] = (tv_tensors.Mask, tv_tensors.BoundingBoxes)
if hasattr(tv_tensors, "KeyPoints"):
    ANNOTATIONS += (tv_tensors.KeyPoints,)
EXPLICIT_IMAGES: tuple[type, ...] = (Image.Image, tv_tensors.Image)
# Beyond torchvision's own names of labels; "cls" is WebDataset's.
MORE_LABEL_KEYS = ("target", "targets", "cls")


def as_tree(sample: Any) -> Any:
    """Return a sample as containers that torch can take apart: other mappings, as LazyRow, become dicts."""
    lazy = isinstance(sample, Mapping) and pytree.tree_structure(sample).is_leaf()
    return dict(sample) if lazy else sample


def flatten(sample: Any, *, annotated: bool = False) -> tuple[list[Any], Any]:
    """Return the leaves of a sample and how to put them together; a list of images is one leaf.

    Raises
    ------
    ValueError
        If a leaf belongs to the image that came in and would not fit another; masks, boxes and key points
        may be there if `annotated`.
    """
    leaves, spec = pytree.tree_flatten(sample, is_leaf=is_leaf_of(sample))
    for leaf in leaves:
        if isinstance(leaf, tv_tensors.Video) or (isinstance(leaf, ANNOTATIONS) and not annotated):
            name = type(leaf).__name__
            vary = (
                "" if isinstance(leaf, tv_tensors.Video) else ", or vary batches by GANAugment(mode='vary')"
            )
            raise ValueError(
                f"A synthetic image has no {name}: GANAugment takes an image and its label, got a {name}"
                f" beside them, which would stay that of the image that came in. Leave it out{vary}."
            )
    return leaves, spec


def is_leaf_of(sample: Any) -> Callable[[Any], bool]:
    """Return what tells a list of images, a leaf, from the other containers in a sample."""
    return lambda node: node is not sample and is_image_list(node)


def image_index(items: Any) -> int | None:
    """Return where the image is: as torchvision does, the first plain Tensor if nothing else is one.

    Raises
    ------
    ValueError
        If there are several PIL images or tv_tensors.
    """
    explicit = [i for i, item in enumerate(items) if isinstance(item, EXPLICIT_IMAGES) or _holds(item)]
    if len(explicit) > 1:
        raise ValueError(
            f"GANAugment takes one image with its label, got {len(explicit)} in one sample: a synthetic image"
            " can stand in for only one of them. Leave the others out; if they are views of one image, put"
            " GANAugment before what makes them."
        )
    if explicit:
        return explicit[0]
    for i, item in enumerate(items):
        if is_image_list(item) or (tvf.is_pure_tensor(item) and item.ndim in (3, 4)):
            return i
    return None


def is_image_list(node: Any) -> bool:
    """Return whether this is a list or a tuple of nothing but images: a batch that is not collated."""
    return type(node) in (list, tuple) and len(node) > 0 and all(_is_single_image(item) for item in node)


def find_labels(sample: Any) -> Any:
    """Return the labels of a sample, found by torchvision's rule and some names more.

    Raises
    ------
    ValueError
        If there are none.
    """
    found = sample if isinstance(sample, Mapping) else None
    if isinstance(sample, tuple | list):
        after = (image_index(sample) or 0) + 1  # torchvision has the image at 0
        found = next((item for item in sample[after:] if not _is_annotation(item)), None)
    if isinstance(found, Mapping):
        found = _by_name(found)
    elif (
        isinstance(found, list | tuple)
        and len(found)
        and all(isinstance(target, Mapping) for target in found)
    ):
        found = [_single_label(_by_name(target)) for target in found]
    if found is None or isinstance(found, EXPLICIT_IMAGES) or is_image_list(found):
        raise ValueError(
            "GANAugment needs the label beside the image, got a sample without one. Call it with"
            " (image, label), or on batches in the DataLoader's `collate_fn`. Data sets such as ImageFolder"
            " never show their `transform` the label: use AugmentedDataset there. For other layouts pass"
            " `labels_getter`."
        )
    return found


def label_column(labels: Any) -> Any:
    """Return labels with one value for each image, where they came as (N, 1), the form of MedMNIST.

    Raises
    ------
    ValueError
        If there are several values for each image.
    """
    values = labels if isinstance(labels, Tensor) else as_array(labels)
    if values.ndim <= 1:
        return values
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    raise ValueError(
        f"`labels` must have one label for each image, got shape {tuple(values.shape)}, as one-hot labels and"
        " those of MixUp have: put GANAugment before `MixUp`, `CutMix` or what makes one-hot labels."
    )


def check_classes(classes: Any, known: np.ndarray) -> None:
    """Raise ValueError unless `classes` is a sequence that may be the labels of a generator."""
    values = classes.tolist() if hasattr(classes, "tolist") else classes
    listed = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    if not listed or not all(isinstance(label, str | int | float | np.generic) for label in values):
        raise ValueError(
            "`classes` must be a sequence with the generator's label for each label of the loader, as"
            f" `dataset.classes` is, or None, got {classes!r}."
        )
    if all(isinstance(label, str) for label in values) and known.dtype.kind in "biuf":
        raise ValueError(
            f"`classes` must be labels of the generator, which knows {known.tolist()[:10]}, got names,"
            f" {list(values)[:10]}: leave `classes` out, as the loader's labels are the generator's own."
        )


def _by_name(sample: Mapping[Any, Any]) -> Any:
    """Return the value under "labels", "label", a key that contains "label" or one of the other names."""
    names = {key: key.lower() for key in sample if isinstance(key, str)}
    for wanted in ("labels", "label"):
        for key, name in names.items():
            if name == wanted:
                return sample[key]
    containing = (key for key, name in names.items() if "label" in name)
    other = (key for wanted in MORE_LABEL_KEYS for key, name in names.items() if name == wanted)
    found = next(containing, None) or next(other, None)
    return None if found is None else sample[found]


def _single_label(found: Any) -> Any:
    """Return the label of an image as a target of its own has it, where it has one and not those of boxes."""
    values = as_array(found)
    if found is None or values.size != 1:
        raise ValueError(
            "`labels` must be one label for each image, got"
            f" {'none' if found is None else f'{values.size} labels'} in its target: pass a `labels_getter`"
            " that returns a list of one label for each image."
        )
    return values.reshape(()).item()


def _is_annotation(item: Any) -> bool:
    """Return whether this is a mask, boxes or key points, or a list of nothing else."""
    listed = type(item) in (list, tuple) and len(item) > 0
    return all(isinstance(one, ANNOTATIONS) for one in (item if listed else (item,)))


def _is_single_image(item: Any) -> bool:
    if isinstance(item, Image.Image):
        return True
    plain_or_image = isinstance(item, tv_tensors.Image) or tvf.is_pure_tensor(item)
    return plain_or_image and isinstance(item, Tensor) and item.ndim == 3


def _holds(item: Any) -> bool:
    """Return whether this is a list of images that are no plain tensors."""
    return is_image_list(item) and isinstance(item[0], EXPLICIT_IMAGES)
