"""Masks, boxes and key points beside the images that `GANAugment(mode="vary")` varies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import StripeGenerator, shifting
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

from ganaug import ConditionalGAN, GANAugment

N, SIDES = 4, (16, 20)
needs_key_points = pytest.mark.skipif(
    not hasattr(tv_tensors, "KeyPoints"), reason="there are none before torchvision 0.23"
)


@pytest.fixture(scope="module")
def gan():
    """It moves images by two pixels to the right, and does nothing else."""
    X = np.random.default_rng(0).integers(0, 256, (12, *SIDES, 3), np.uint8)
    return shifting(X, np.arange(12) % 2)


def batch():
    images = torch.randint(0, 256, (N, 3, *SIDES), dtype=torch.uint8)
    masks = tv_tensors.Mask(torch.randint(0, 5, (N, *SIDES)))
    return images, masks, torch.tensor([0, 1, 0, 1])


def moved(masks):
    """Return whether each mask has moved by two pixels; it must, or have stayed."""
    found = [torch.equal(new[..., 2:], old[..., :-2]) for new, old in masks]
    assert all(torch.equal(new, old) or yes for (new, old), yes in zip(masks, found, strict=True))
    return found


def boxes(format="XYXY", **options):
    return tv_tensors.BoundingBoxes(
        torch.tensor([[2, 3, 8, 8], [12, 1, 20, 9]]), format=format, canvas_size=SIDES, **options
    )


LAYOUTS = {
    "masks last": lambda images, masks, labels: (images, labels, masks),
    "masks before labels": lambda images, masks, labels: (images, masks, labels),
    "dict": lambda images, masks, labels: {"image": images, "mask": masks, "label": labels},
    "nested": lambda images, masks, labels: (images, {"masks": masks, "labels": labels}),
    "list": lambda images, masks, labels: (images, labels, [tv_tensors.Mask(mask) for mask in masks]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_go_with_the_images_that_are_varied(layout, gan):
    images, masks, labels = batch()
    new = GANAugment(gan, p={1: 1.0}, mode="vary")(LAYOUTS[layout](images, masks, labels))
    leaves = pytree.tree_leaves(new)
    new_masks = [leaf for leaf in leaves if isinstance(leaf, tv_tensors.Mask)]
    new_masks = new_masks if layout == "list" else new_masks[0]
    assert all(mask.dtype == torch.int64 for mask in new_masks)
    assert moved(list(zip(new_masks, masks, strict=True))) == [False, True] * 2
    assert (leaves[0] != images).flatten(1).any(1).tolist() == [False, True] * 2


def test_images_and_draws_are_those_without_masks(gan):
    images, masks, labels = batch()
    augment = GANAugment(gan, p=0.5, mode="vary")
    torch.manual_seed(3)
    alone, _ = augment(images, labels)
    after = torch.rand(1)
    torch.manual_seed(3)
    before = masks.clone()
    with_masks, new, _ = augment(images, masks, labels)
    assert torch.equal(with_masks, alone)
    assert torch.equal(torch.rand(1), after)
    assert torch.equal(masks, before) and not torch.equal(new, before)


@needs_key_points
@pytest.mark.parametrize("labels", ["labels", "getter"])
def test_targets_of_a_detector(labels, gan):
    """Lists of images and of targets, as the `collate_fn` of torchvision's references makes them."""
    images, masks, y = batch()
    targets = tuple(
        {
            "boxes": boxes(),
            "masks": tv_tensors.Mask(torch.stack([mask, mask > 2])),
            "points": tv_tensors.KeyPoints(torch.tensor([[1.0, 2.0], [9.5, 4.0]]), canvas_size=SIDES),
            "labels": torch.tensor([3, 4]) if labels == "getter" else label,
            "image_id": i,
        }
        for i, (mask, label) in enumerate(zip(masks, y, strict=True))
    )
    getter = (lambda sample: y) if labels == "getter" else "default"
    augment = GANAugment(gan, p={1: 1.0}, mode="vary", labels_getter=getter)
    new_images, new_targets = augment(tuple(images), targets)
    assert type(new_images) is tuple and new_images[0] is not None
    for i, (old, new) in enumerate(zip(targets, new_targets, strict=True)):
        assert torch.equal(new_images[i], images[i]) == (i % 2 == 0)
        assert new["image_id"] == i
        assert moved([(new["masks"], old["masks"])]) == [i % 2 == 1]
        for name in ("boxes", "masks", "points"):
            assert type(new[name]) is type(old[name])
            assert new[name].dtype == old[name].dtype
        shift = torch.tensor([2.0, 0]) if i % 2 else torch.zeros(2)
        assert torch.allclose(new["points"], old["points"] + shift, atol=1e-3)
        expected = [[4, 3, 10, 8], [14, 1, 20, 9]] if i % 2 else old["boxes"].tolist()
        assert new["boxes"].tolist() == expected
        assert new["boxes"].canvas_size == SIDES


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("XYXY", [[4, 3, 10, 8], [14, 1, 20, 9]]),
        ("XYWH", [[4, 3, 8, 8], [14, 1, 6, 9]]),
        ("CXCYWH", [[4, 4, 8, 7], [13, 3, 14, 6]]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_boxes_of_each_format(format, expected, dtype, gan):
    images, _, labels = batch()
    given = [[2, 4, 8, 7], [12, 3, 16, 6]] if format == "CXCYWH" else [[2, 3, 8, 8], [12, 1, 20, 9]]
    own = tv_tensors.BoundingBoxes(torch.tensor(given, dtype=dtype), format=format, canvas_size=SIDES)
    new = GANAugment(gan, p=1.0, mode="vary")(list(images), [{"boxes": own, "label": y} for y in labels])[1]
    assert (new[1]["boxes"].format, new[1]["boxes"].dtype) == (own.format, dtype)
    torch.testing.assert_close(
        new[1]["boxes"].as_subclass(torch.Tensor), torch.tensor(expected, dtype=dtype), atol=1e-3, rtol=0
    )


def test_one_box_for_each_image_of_a_batch(gan):
    images, _, labels = batch()
    together = tv_tensors.BoundingBoxes(torch.tensor([[2.0, 3, 8, 8]] * N), format="XYXY", canvas_size=SIDES)
    new = GANAugment(gan, p={1: 1.0}, mode="vary")({"image": images, "boxes": together, "label": labels})
    assert torch.allclose(new["boxes"], together + torch.tensor([[0.0] * 4, [2, 0, 2, 0]] * 2), atol=1e-3)


def test_empty_targets(gan):
    images, _, labels = batch()
    none = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYWH", canvas_size=SIDES)
    targets = [
        {"boxes": none, "masks": tv_tensors.Mask(torch.zeros(0, *SIDES)), "label": label} for label in labels
    ]
    new = GANAugment(gan, p=1.0, mode="vary")(list(images), targets)[1]
    assert (new[0]["boxes"].shape, new[0]["masks"].shape) == ((0, 4), (0, *SIDES))


class Pairs(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        image = torch.full((3, *SIDES), i, dtype=torch.uint8)
        return image, torch.full(SIDES, i), i % 2


def test_in_a_collate_function(gan):
    augment = GANAugment(gan, p=1.0, mode="vary")

    def collate(items):
        images, masks, labels = torch.utils.data.default_collate(items)
        return augment(images, tv_tensors.Mask(masks), labels)

    for images, masks, labels in DataLoader(Pairs(), batch_size=4, collate_fn=collate):
        assert torch.equal(images[:, 0].long(), masks)
        assert torch.equal(masks[:, 0, 0] % 2, labels)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (tv_tensors.Mask(torch.zeros(N, 8, 8)), r"A Mask must have .* \(16, 20\), got \(8, 8\)"),
        (tv_tensors.Mask(torch.zeros(3, *SIDES)), r"A Mask beside a batch .* 4 images, .* \(3, 16, 20\)"),
        (torch.zeros(N, *SIDES), r"plain Tensor of shape \(4, 16, 20\).*pass tv_tensors.Mask\(masks\)"),
        (
            tv_tensors.BoundingBoxes([[0, 0, 1, 1]] * N, format="XYXY", canvas_size=(9, 9)),
            r"A BoundingBoxes must have .* got \(9, 9\)",
        ),
        (tv_tensors.Video(torch.zeros(2, 1, 8, 8)), "no Video.*Leave it out.$"),
        (tv_tensors.Image(torch.zeros(N, 3, *SIDES)), "takes one image with its label, got 2"),
    ],
)
def test_what_can_not_go_with_the_images(other, message, p, gan):
    images, _, labels = batch()
    with pytest.raises(ValueError, match=message):
        GANAugment(gan, p=p, mode="vary")(
            {"image": tv_tensors.Image(images), "other": other, "label": labels}
        )


def test_rotated_boxes_are_refused(gan):
    if not hasattr(tv_tensors, "KeyPoints"):
        pytest.skip("there are none before torchvision 0.23")
    images, _, labels = batch()
    rotated = tv_tensors.BoundingBoxes(torch.zeros(N, 5), format="XYWHR", canvas_size=SIDES)
    with pytest.raises(ValueError, match=r"must be of format \('XYXY', 'XYWH', 'CXCYWH'\), got XYWHR"):
        GANAugment(gan, mode="vary")({"image": images, "boxes": rotated, "label": labels})


def test_labels_of_boxes_are_no_labels_of_images(gan):
    images, _, _ = batch()
    with pytest.raises(
        ValueError, match="one label for each image, got 2 labels in its target.*labels_getter"
    ):
        GANAugment(gan, mode="vary")(list(images), [{"boxes": boxes(), "labels": torch.tensor([1, 0])}] * N)
    with pytest.raises(ValueError, match="got none in its target"):
        GANAugment(gan, mode="vary")(list(images), [{"boxes": boxes()}] * N)
    with pytest.raises(ValueError, match="needs the label beside the image"):
        GANAugment(gan, mode="vary")(images, tv_tensors.Mask(torch.zeros(N, *SIDES)))


class Varying(StripeGenerator):
    def vary(self, X, y, strength=1.0, random_state=None):
        return X


def test_generators_without_a_flow_are_refused(stripes):
    masks = tv_tensors.Mask(torch.zeros(4, 8, 8))
    images, labels = torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match="must vary images with `return_flow`.* for a Mask .* got Varying"):
        GANAugment(Varying([0, 1]), mode="vary")(images, masks, labels)
    gan = ConditionalGAN(steps=1, random_state=0).fit(*stripes)
    with pytest.raises(ValueError, match=r"'warping' or 'tinting', got 'warping\+instance'"):
        GANAugment(gan, p=1.0, mode="vary")(images, masks, labels)


def test_replaced_images_have_no_masks(gan):
    images, masks, labels = batch()
    for pool_size in (0, 4):
        augment = GANAugment(gan, p=1.0, pool_size=pool_size)
        with pytest.raises(ValueError, match="no Mask: .*or vary batches by GANAugment"):
            augment(images, masks, labels)
