"""Samples as torchvision's transforms get them: where the image is in one, and where the labels are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils import _pytree as pytree
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf

from ganaug.data.containers import as_array

# These belong to the image that came in, and would not fit a synthetic one. There are
# KeyPoints since torchvision 0.23.
UNSUPPORTED: tuple[type, ...] = (tv_tensors.Mask, tv_tensors.BoundingBoxes, tv_tensors.Video)
if hasattr(tv_tensors, "KeyPoints"):
    UNSUPPORTED += (tv_tensors.KeyPoints,)
EXPLICIT_IMAGES = (Image.Image, tv_tensors.Image)
# Beyond torchvision's own names of labels; "cls" is WebDataset's.
MORE_LABEL_KEYS = ("target", "targets", "cls")


def as_tree(sample: Any) -> Any:
    """Return a sample as containers that torch can take apart: other mappings, as LazyRow, become dicts."""
    lazy = isinstance(sample, Mapping) and pytree.tree_structure(sample).is_leaf()
    return dict(sample) if lazy else sample


def flatten(sample: Any) -> tuple[list[Any], Any]:
    """Return the leaves of a sample and how to put them together; a list of images is one leaf.

    Raises
    ------
    ValueError
        If a leaf belongs to the image that came in and would not fit another.
    """
    leaves, spec = pytree.tree_flatten(
        sample, is_leaf=lambda node: node is not sample and is_image_list(node)
    )
    for leaf in leaves:
        if isinstance(leaf, UNSUPPORTED):
            name = type(leaf).__name__
            raise ValueError(
                f"A synthetic image has no {name}: GANAugment takes an image and its label, got a {name}"
                " beside them, which would stay that of the image that came in. Leave it out."
            )
    return leaves, spec


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
        found = sample[after] if after < len(sample) else None
    if isinstance(found, Mapping):
        found = _by_name(found)
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


def _is_single_image(item: Any) -> bool:
    if isinstance(item, Image.Image):
        return True
    plain_or_image = isinstance(item, tv_tensors.Image) or tvf.is_pure_tensor(item)
    return plain_or_image and isinstance(item, Tensor) and item.ndim == 3


def _holds(item: Any) -> bool:
    """Return whether this is a list of images that are no plain tensors."""
    return is_image_list(item) and isinstance(item[0], EXPLICIT_IMAGES)
