from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import segmentation
from benchmarks.shapes import SHAPES, SIDE, draw
from benchmarks.tables.segmentation import segmentation_table
from ganaug.data.containers import channels_first


def test_shapes_lie_where_their_masks_say():
    labels = np.repeat(np.arange(len(SHAPES)), 20)
    images, masks = draw(labels, 0)
    assert images.shape == masks.shape == (80, SIDE, SIDE)
    assert images.dtype == masks.dtype == np.uint8
    for mask, label in zip(masks, labels, strict=True):
        assert set(np.unique(mask)) == {0, label + 1}
        assert 0.05 < (mask > 0).mean() < 0.6
    pairs = zip(images, masks, strict=True)
    brighter = [image[mask > 0].mean() > image[mask == 0].mean() for image, mask in pairs]
    assert np.mean(brighter) > 0.9
    again, others = draw(labels, 0), draw(labels, 1)
    assert np.array_equal(again[0], images) and np.array_equal(again[1], masks)
    assert not np.array_equal(others[1], masks)


def test_iou_is_that_of_all_images_together():
    class Network(torch.nn.Module):
        def forward(self, images):
            found = ((images[:, 0] + 1) * 127.5).round().long()
            return torch.nn.functional.one_hot(found, 5).permute(0, 3, 1, 2).float()

    masks = np.zeros((2, 4, 4), np.uint8)
    masks[0, :2], masks[1] = 1, [2, 3, 4, 0]
    found = masks.copy()
    found[0, 0] = 0  # half of the first shape is missed
    found[1, :, 3] = 2  # four pixels too many of the second
    assert segmentation.intersections_over_unions(Network(), found, masks) == [50, 50, 100, 100]


@pytest.mark.parametrize("arm", ["nothing", "affine", "elastic", "vary 0.4, affine"])
def test_each_arm_changes_masks_as_it_changes_images(arm, monkeypatch):
    """Images that are their own masks stay so, but for what lies between two pixels."""

    class Mirror:
        classes_ = np.array([0, 1])

        def sample(self, labels, random_state=None):
            return np.zeros((len(labels), SIDE, SIDE), np.uint8)

        def vary(self, X, y, strength=1.0, random_state=None, return_flow=False):
            return (X[:, :, ::-1].copy(), Flow()) if return_flow else X

    class Flow:
        sides = (SIDE, SIDE)

        def warp_masks(self, masks):
            return masks.flip(-1)

    _, masks = draw(np.zeros(32, int), 0)
    targets = torch.from_numpy(masks)
    torch.manual_seed(0)
    change = segmentation.arms(Mirror())[arm]
    images, new = change(channels_first(masks * 255), targets, torch.arange(32) % 2)
    different = (images[:, 0] > 127).int() != new
    assert different.float().mean() < 0.05
    assert torch.equal(new, targets) == (arm == "nothing")
    assert len({tuple(mask.flatten().tolist()) for mask in new}) > 16


def test_a_segmenter_learns(monkeypatch):
    monkeypatch.setattr(segmentation, "UPDATES", 60)
    y = np.repeat(np.arange(4), 10)
    X, masks = draw(y, 0)
    network = segmentation.train(X, masks, y, segmentation.after(), 0)
    state = torch.get_rng_state()
    again = segmentation.train(X, masks, y, segmentation.after(), 0)
    assert torch.equal(torch.get_rng_state(), state)
    iou = segmentation.intersections_over_unions(network, X, masks)
    assert iou == segmentation.intersections_over_unions(again, X, masks)
    assert np.mean(iou) > 30


def test_the_table_shows_losses_too():
    runs = [
        {"arm": arm, "seed": seed, "iou": [score + seed] * 4, "seconds": 3}
        for arm, score in (("nothing", 30), ("affine", 50), ("vary", 45))
        for seed in (0, 1)
    ]
    fit = [{"real": 60, "varied": 50 + seed, "only warped": 52 + seed} for seed in (0, 1)]
    table = segmentation_table({"counts": [5, 4, 3, 2], "judge_images": 1200, "runs": runs, "fit": fit})
    assert "| **vary** | 45.50 | 45.5 | 45.5 | 45.5 | 45.5 | +15.00 (+15.00 to +15.00) | -5.00 (" in table
    assert table.index("| affine") < table.index("| **vary**") < table.index("| nothing")
    assert "a difference of -2.00 (" in table
