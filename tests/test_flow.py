"""Masks, boxes and key points follow the flow along which images are warped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import shifting
from torch.nn import functional as F

from ganaug import ConditionalGAN
from ganaug.model.flow import Flow
from ganaug.networks.warps import _sample, at_full_size, warp, warp_sharply


def smooth_fields(n, sides, amount, seed=0):
    """Return random flows, as smooth as those of a generator."""
    coarse = torch.randn(n, 2, 3, 3, generator=torch.Generator().manual_seed(seed)) * amount
    return F.interpolate(coarse, size=sides, mode="bicubic")


def _warp_mirrored(images, flow):
    return _sample(images, flow, "bilinear", "reflection")


def shifted(n, x, y, sides):
    """Return the flow of images whose content moves by pixels x to the right and y down."""
    height, width = sides
    by = torch.tensor([-2 * x / width, -2 * y / height])
    return Flow(list(by[:, None, None].expand(n, 2, *sides)), sides, mirrored=False)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64, np.float64])
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_masks_keep_values_dtype_and_container(dtype, kind):
    rng = np.random.default_rng(0)
    masks = (rng.integers(0, 2, (5, 2, 9, 12)) * 200).astype(dtype)
    if dtype == np.int64:
        masks += 2**60  # as floats they would be rounded
    given = torch.from_numpy(masks) if kind == "tensor" and dtype != np.uint16 else masks
    before = masks.copy()
    flow = Flow(list(smooth_fields(5, (9, 12), 0.1)), (9, 12), mirrored=False)
    new = flow.warp_masks(given)
    assert type(new) is type(given) and new.dtype == given.dtype
    new = np.asarray(new)
    assert new.shape == masks.shape
    assert not np.array_equal(new, masks)
    assert set(np.unique(new)) <= set(np.unique(masks))
    assert np.array_equal(masks, before)
    assert np.array_equal(np.asarray(flow.warp_masks(given[:, 0])), new[:, 0])


@pytest.mark.parametrize("full", [None, (70, 90)])
def test_masks_are_the_nearest_pixels_of_what_images_interpolate(full):
    """A mask that is warped as an image lies where the mask lies; edges and what is beyond them, too."""
    sides, n = (14, 18), 6
    fields = smooth_fields(n, sides, 0.12)
    height, width = full or sides
    y, x = np.mgrid[:height, :width] / [[[height]], [[width]]]
    masks = np.stack([(x + y * k / n > 0.6) ^ (y < 0.1) for k in range(n)])
    images = torch.from_numpy(masks)[:, None] * 2.0 - 1
    warped = warp(images, fields) if full is None else at_full_size(_warp_mirrored, images, fields)
    followed = Flow(list(fields), full or sides, mirrored=full is not None).warp_masks(masks)
    sure = warped[:, 0].abs() > 0.6  # of four pixels around a place, the nearest may be outvoted
    assert sure.float().mean() > 0.9
    assert np.array_equal(followed[sure.numpy()], (warped[:, 0] > 0)[sure].numpy())
    assert (followed != masks).mean() > 0.02


@pytest.mark.parametrize("full", [None, (96, 128)])
def test_a_key_point_follows_its_dot(full):
    """To within half a pixel, where the dot can still be seen."""
    sides, n = (24, 32), 40
    fields = smooth_fields(n, sides, 0.08)
    height, width = full or sides
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(0.2, 0.8, n) * width, rng.uniform(0.2, 0.8, n) * height], axis=1)
    y, x = np.mgrid[:height, :width]
    distance = (x - points[:, 0, None, None]) ** 2 + (y - points[:, 1, None, None]) ** 2
    radius = 1.5 if full is None else 3
    images = torch.from_numpy(np.exp(-distance / (2 * radius**2))).float()[:, None] * 2 - 1
    warped = warp(images, fields) if full is None else at_full_size(warp_sharply, images, fields)
    bright = ((warped[:, 0].numpy() + 1) / 2).clip(0) ** 3  # the top of the dot
    total = bright.sum((1, 2))
    found = np.stack([(bright * x).sum((1, 2)), (bright * y).sum((1, 2))], axis=1) / total[:, None]
    flow = Flow(list(fields), full or sides, mirrored=full is not None)
    moved = flow.warp_points(points[:, None])[:, 0]
    assert np.linalg.norm(found - points, axis=1).mean() > 0.5 * height / 24
    assert np.quantile(np.linalg.norm(moved - found, axis=1), 0.95) < 0.5
    assert np.allclose(np.concatenate(flow.warp_points(list(points[:, None]))), moved)


def test_points_and_boxes_of_shifted_images():
    flow = shifted(2, 3, -2, (16, 20))
    points = np.array([[[5.0, 6.0], [19.0, 0.0]], [[0.25, 15.0], [1.0, 1.0]]])
    assert np.allclose(flow.warp_points(points), np.add(points, [3, -2]), atol=1e-4)
    integers = torch.tensor([[[5, 6]], [[7, 8]]])
    new = flow.warp_points(integers)
    assert new.dtype == torch.int64 and new.tolist() == [[[8, 4]], [[10, 6]]]
    boxes = np.array([[2.0, 4, 7, 9], [12, 1, 18, 9], [18.5, 1, 19, 1]])
    first, second = flow.warp_boxes([boxes, boxes[:0]])
    assert np.allclose(first, [[5, 2, 10, 7], [15, 0, 20, 7], [20, 0, 20, 0]], atol=1e-4)
    assert second.shape == (0, 4)
    assert np.allclose(flow[1:].warp_boxes([boxes[:, [2, 3, 0, 1]]])[0], first, atol=1e-4)


def test_a_box_holds_what_was_in_it():
    sides = (20, 24)
    fields = smooth_fields(30, sides, 0.08)
    masks = np.zeros((30, *sides), bool)
    masks[:, 5:13, 8:17] = True
    flow = Flow(list(fields), sides, mirrored=False)
    boxes = flow.warp_boxes(np.tile([8.0, 5, 17, 13], (30, 1, 1)))[:, 0]
    for box, mask in zip(boxes, flow.warp_masks(masks), strict=True):
        y, x = np.nonzero(mask)
        around = [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert np.abs(box - around).max() < 2
    assert np.abs(boxes - [8, 5, 17, 13]).max() > 1


def test_no_flow_moves_nothing():
    flow = Flow(list(torch.zeros(2, 2, 5, 6)), (50, 60), mirrored=True)
    masks = np.random.default_rng(0).integers(0, 9, (2, 50, 60))
    assert np.array_equal(flow.warp_masks(masks), masks)
    points = torch.rand(2, 7, 2) * 50
    assert torch.allclose(flow.warp_points(points), points, atol=1e-3)


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("masks", np.zeros((2, 8, 9)), r"`masks` must be .* \(2, 8, 8\) or \(2, K, 8, 8\), got \(2, 8, 9\)"),
        ("masks", np.zeros((3, 8, 8)), r"got \(3, 8, 8\)"),
        ("masks", [np.zeros((8, 8))] * 2, "got list"),
        ("points", np.zeros((2, 2)), r"`points` must be .* each of 2 images, \(P, 2\), got shape \(2, 2\)"),
        ("boxes", [np.zeros((3, 4))], r"`boxes` must be .* \(P, 4\), got shapes \[\(3, 4\)\]"),
        ("boxes", [np.zeros((3, 5))] * 2, "got shapes"),
    ],
)
def test_what_is_refused(method, value, message):
    with pytest.raises(ValueError, match=message):
        getattr(shifted(2, 0, 0, (8, 8)), f"warp_{method}")(value)


CASES = {
    "grey": ((16, 16), {}),
    "colour": ((16, 20, 3), {}),
    "small networks": ((20, 24), {"working_size": 10}),
    "photographs": ((66, 70, 3), {}),
    "two architectures": ((66, 70), {"architecture": "warping+tinting"}),
    "one for each class": ((16, 16), {"conditioning": "per-class"}),
}


@pytest.mark.parametrize("case", CASES)
def test_vary_returns_the_flow_of_the_images(case):
    """The same images come with it as without it, and they are what a mask of the same values becomes."""
    shape, parameters = CASES[case]
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (12, *shape), np.uint8), np.arange(12) % 2
    gan = shifting(X, y, **parameters)
    varied, flow = gan.vary(X, y, random_state=1, return_flow=True)
    assert np.array_equal(varied, gan.vary(X, y, random_state=1))
    assert len(flow) == 12 and flow.sides == shape[:2]
    as_masks = X.transpose(0, 3, 1, 2) if len(shape) == 3 else X
    moved = flow.warp_masks(as_masks)
    assert np.array_equal(moved[..., 2:], as_masks[..., :-2])
    moved = moved.transpose(0, 2, 3, 1) if len(shape) == 3 else moved
    assert np.corrcoef(moved.ravel(), varied.ravel())[0, 1] > 0.98
    empty, none = gan.vary(X[:0], y[:0], return_flow=True)
    assert len(empty) == len(none) == len(none.warp_masks(np.zeros((0, *shape[:2])))) == 0


def test_nothing_is_painted_where_masks_are_asked_for():
    """Content that the generator paints would lie in no mask; without a flow it is there."""
    X, y = np.full((12, 16, 16), 100, np.uint8), np.arange(12) % 2
    gan = shifting(X, y)
    generator = gan.members_[0].generator
    generator.decode.convs[-1].bias[2:4] = 3  # a mask that takes bright content
    assert gan.vary(X, y, random_state=0).min() > 200
    varied, _ = gan.vary(X, y, random_state=0, return_flow=True)
    assert np.array_equal(varied, X)


@pytest.mark.parametrize("architecture", ["auto", "instance", "warping+instance"])
def test_what_does_not_warp_has_no_flow(architecture, stripes):
    gan = ConditionalGAN(steps=2, architecture=architecture, random_state=0).fit(*stripes)
    name = "instance" if architecture == "instance" else r"warping\+instance"
    with pytest.raises(ValueError, match=rf"`return_flow`.* such as 'warping' or 'tinting', got '{name}'"):
        gan.vary(*stripes, return_flow=True)
    assert len(gan.vary(*stripes)) == len(stripes[1])


def test_tables_have_no_flow():
    X = np.random.default_rng(0).normal(size=(20, 3))
    gan = ConditionalGAN(steps=2, random_state=0).fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match="got 'tabular'"):
        gan.vary(X, np.arange(20) % 2, return_flow=True)
