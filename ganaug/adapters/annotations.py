"""Masks, boxes and key points beside a batch of images: whose they are, and how they go with these."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils import _pytree as pytree
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf

from ganaug.adapters.layouts import ANNOTATIONS, is_leaf_of
from ganaug.model.flow import Flow

BOX_FORMATS = ("XYXY", "XYWH", "CXCYWH")


class Annotation(NamedTuple):
    """What lies on one image of a batch, or on each of them.

    Attributes
    ----------
    where : int
        Its place among the leaves of the sample.
    value : Mask, BoundingBoxes or KeyPoints
    image : int or None
        The image that it belongs to. None: its first dimension is that of the batch.
    """

    where: int
    value: Any
    image: int | None

    def warped(self, chosen: Tensor, flow: Flow) -> Any:
        """Return a copy that follows the `flow` of those images that are `chosen`, (n,)."""
        old = self.value.as_subclass(Tensor)
        if self.image is None:
            new, own = old.clone(), chosen.to(old.device)
            new[own] = self._warp(old[own], flow)
        elif chosen[self.image]:
            place = int(chosen[: self.image].sum())
            new = self._warp(old[None], flow[place : place + 1])[0]
        else:
            return self.value
        return tv_tensors.wrap(new, like=self.value)

    def _warp(self, values: Tensor, flow: Flow) -> Tensor:
        n = len(values)
        if isinstance(self.value, tv_tensors.Mask):
            return flow.warp_masks(values.reshape(n, -1, *flow.sides)).view_as(values)
        if not isinstance(self.value, tv_tensors.BoundingBoxes):
            return flow.warp_points(values.reshape(n, -1, 2)).view_as(values)
        own, corners = self.value.format, tv_tensors.BoundingBoxFormat.XYXY
        exact = values if values.is_floating_point() else values.float()
        boxes = tvf.convert_bounding_box_format(exact.reshape(-1, 4), old_format=own, new_format=corners)
        boxes = flow.warp_boxes(boxes.view(n, -1, 4)).view(-1, 4)
        boxes = tvf.convert_bounding_box_format(boxes, old_format=corners, new_format=own).view_as(values)
        return boxes.to(values.dtype) if values.is_floating_point() else boxes.round().to(values.dtype)


def find_annotations(sample: Any, image: Any, gan: Any) -> list[Annotation]:
    """Return the masks, boxes and key points of a sample with a batch of images, or with a list of them.

    What lies in a list or tuple of as many items as there are images belongs to the image at that place.

    Raises
    ------
    ValueError
        If one is of another size than the images, or can't be told to belong to them, or if the generator
        can't say along which flow it varies images.
    """
    n, sides = len(image), tuple((image[0] if isinstance(image, list | tuple) else image).shape[-2:])
    found = []
    pairs, _ = pytree.tree_flatten_with_path(sample, is_leaf=is_leaf_of(sample))
    for where, (path, leaf) in enumerate(pairs):
        if isinstance(leaf, ANNOTATIONS):
            found.append(Annotation(where, leaf, _owner(sample, path, n)))
            _check(found[-1], n, sides)
        elif leaf is not image and tvf.is_pure_tensor(leaf) and _looks_like_masks(leaf, n, sides):
            raise ValueError(
                f"A plain Tensor of shape {tuple(leaf.shape)} beside the images may be their masks, and would"
                " stay as it is: pass tv_tensors.Mask(masks) to GANAugment."
            )
    if found and "return_flow" not in inspect.signature(gan.vary).parameters:
        raise ValueError(
            f"`gan` must vary images with `return_flow`, as a ConditionalGAN does, for a"
            f" {type(found[0].value).__name__} to follow, got {type(gan).__name__}."
        )
    return found


def _owner(sample: Any, path: Any, n: int) -> int | None:
    """Return the place in the first list of `n` items on the way to a leaf; the sample itself is none."""
    node = sample
    for key in path:
        if node is not sample and isinstance(node, list | tuple) and len(node) == n:
            return int(key.idx)
        node = key.get(node)
    return None


def _looks_like_masks(leaf: Tensor, n: int, sides: tuple[int, ...]) -> bool:
    return leaf.ndim in (3, 4) and len(leaf) == n and tuple(leaf.shape[-2:]) == sides


def _check(annotation: Annotation, n: int, sides: tuple[int, ...]) -> None:
    value, name = annotation.value, type(annotation.value).__name__
    size = tuple(value.shape[-2:]) if isinstance(value, tv_tensors.Mask) else tuple(value.canvas_size)
    if size != sides:
        raise ValueError(f"A {name} must have the height and width of its image, {sides}, got {size}.")
    if annotation.image is None and len(value) != n:
        raise ValueError(
            f"A {name} beside a batch must have one entry for each of {n} images, or stand in a list with an"
            f" item for each, got shape {tuple(value.shape)}."
        )
    if isinstance(value, tv_tensors.BoundingBoxes) and value.format.value not in BOX_FORMATS:
        raise ValueError(f"BoundingBoxes must be of format {BOX_FORMATS}, got {value.format.value}: convert.")
