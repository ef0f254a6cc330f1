from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.data.images import ImageCodec
from ganaug.data.patches import N_FILTERS, N_LOCATIONS, PATCH_SIZES, filter_responses
from ganaug.training.losses import sliced_wasserstein

SHAPES = [(8, 8), (9, 11), (16, 8, 1), (32, 32, 3), (10, 64, 4)]


def images(shape, kind, dtype, n=3):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    X = X if dtype == "uint8" else (X / 255).astype(dtype)
    if kind == "ndarray":
        return X
    rows = torch.from_numpy(X)
    return rows.permute(0, 3, 1, 2).contiguous() if X.ndim == 4 else rows


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "float16"])
@pytest.mark.parametrize("kind", ["ndarray", "tensor"])
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip(shape, kind, dtype):
    X = images(shape, kind, dtype)
    codec = ImageCodec.fit(X)
    rows = codec.encode(X)
    assert rows.shape == (3, *codec.shape)
    assert rows.dtype == torch.float32
    back = codec.decode(rows)
    assert type(back) is type(X)
    assert back.dtype == X.dtype
    assert back.shape == X.shape
    np.testing.assert_allclose(
        np.asarray(back, float), np.asarray(X, float), atol=1e-3 * (dtype == "float16") + 1e-6
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(8, 64), st.integers(8, 64), st.sampled_from([1, 3, 4]), st.integers(0, 2**31))
def test_every_byte_survives(height, width, channels, seed):
    X = np.random.default_rng(seed).integers(0, 256, (2, height, width, channels), dtype=np.uint8)
    codec = ImageCodec.fit(X)
    np.testing.assert_array_equal(codec.decode(codec.encode(X)), X)


def test_range():
    codec = ImageCodec.fit(np.array([[[0] * 8] * 8, [[255] * 8] * 8], np.uint8))
    assert codec.encode(np.full((1, 8, 8), 255, np.uint8)).max() == 1
    assert codec.encode(np.zeros((1, 8, 8), np.uint8)).min() == -1
    assert codec.decode(torch.full((1, 1, 8, 8), 9.0)).max() == 255


def test_config_restores(stripes):
    codec = ImageCodec.fit(stripes[0])
    again = ImageCodec.from_config(codec.to_config())
    assert vars(again) == vars(codec)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((4, 3, 9, 9), np.uint8), r"X\.transpose\(0, 2, 3, 1\)"),
        (np.zeros((4, 9, 9, 2), np.uint8), "1, 3 or 4 channels, got 2"),
        (torch.zeros(4, 2, 9, 9), "1, 3 or 4 channels, got 2"),
        (np.zeros((4, 7, 9), np.uint8), "8 to 1,024 pixels a side, got 7 x 9"),
        (np.zeros((4, 9, 1025, 3), np.uint8), "8 to 1,024 pixels a side, got 9 x 1025"),
        (np.zeros((4, 9), np.uint8), r"must hold images.*\(4, 9\)"),
        (np.zeros((4, 8, 8), np.int64), "one of .*uint8.*floats in .*int64"),
        (np.full((4, 8, 8), np.nan), "NaN"),
        (np.full((4, 8, 8), np.inf), "infinite"),
        (np.full((4, 8, 8), 16.0), "divide by 16"),
        (torch.randn(4, 1, 8, 8), "take `Normalize` out"),
        (np.full((4, 8, 8), np.nextafter(np.float32(1), 2)), r"from 1.0000001.* clip them to \[0, 1\]"),
        (torch.full((4, 8, 8), -1e-9), "to -9.99.*outside by no more than rounding or resizing does: clip"),
    ],
)
def test_bad_images(X, message):
    with pytest.raises(ValueError, match=message):
        ImageCodec.fit(X)


def test_check_names_both_kinds():
    codec = ImageCodec.fit(np.zeros((2, 8, 8, 3), np.uint8))
    codec.check(np.ones((5, 8, 8, 3), np.uint8))
    with pytest.raises(
        ValueError, match=r"an ndarray of uint8 rows of shape \(8, 8, 3\).*a Tensor of float32"
    ):
        codec.check(torch.zeros(5, 3, 8, 8))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 24)])
def test_augment_shifts(shape):
    codec = ImageCodec(shape, shape, "uint8", True)
    ramp = torch.arange(shape[2]).float().expand(200, *shape).contiguous()
    out = codec.augment(ramp, torch.Generator().manual_seed(0))
    offsets = (out - ramp)[:, 0, 0, shape[2] // 2]
    reach = max(1, shape[2] // 8)
    assert set(offsets.tolist()) == set(range(-reach, reach + 1))


def test_cutout_blanks_alike_and_passes_gradients():
    codec = ImageCodec((1, 8, 8), (8, 8), "uint8", False)
    rows = torch.ones(300, 1, 8, 8, requires_grad=True)
    out = codec.cutout(rows, torch.Generator().manual_seed(0))
    blanked = (out == 0).sum((1, 2, 3))
    assert blanked.max() == 16
    assert blanked.min() >= 4
    out.sum().backward()
    assert torch.equal(rows.grad, (out != 0).float())


@pytest.mark.parametrize("shape", [(8, 8), (28, 20), (9, 12, 3)])
def test_projections(shape):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (6, *shape), dtype=np.uint8)
    codec = ImageCodec.fit(X)
    rows = codec.encode(X).requires_grad_(True)
    parts = codec.random_projections(rows, torch.Generator().manual_seed(0))
    assert all(part.shape[1:] == (6, 64) for part in parts)
    sum(part.sum() for part in parts).backward()
    assert (rows.grad != 0).any(dim=0).float().mean() > 0.9
    again = codec.random_projections(rows, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(parts, again, strict=True))


def test_projections_see_single_pixels_as_they_are():
    X = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    codec = ImageCodec.fit(X)
    pixels = codec.random_projections(codec.encode(X), torch.Generator().manual_seed(0))[0]
    assert pixels.shape[0] == 1
    assert set(pixels.unique().tolist()) <= set(codec.encode(X).unique().tolist())


def test_projections_tell_blurred_images_from_sharp_ones():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (64, 16, 16), dtype=np.uint8) * 255
    codec = ImageCodec.fit(X)
    sharp, other = codec.encode(X).chunk(2)
    blurred = torch.nn.functional.avg_pool2d(other, 3, 1, 1)

    def apart(rows):
        parts = codec.random_projections(torch.cat([sharp, rows]), torch.Generator().manual_seed(0))
        return [float(sliced_wasserstein(*(half.flatten(1) for half in part.chunk(2, 1)))) for part in parts]

    assert all(blur > 5 * same for blur, same in zip(apart(blurred), apart(other), strict=True))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 12)])
def test_projections_are_those_of_convolutions(shape):
    """Values and gradients."""
    images = [(torch.rand(5, *shape) * 2 - 1).requires_grad_(True)]
    images.append(images[0].detach().clone().requires_grad_(True))
    found = filter_responses(images[0], torch.Generator().manual_seed(3))
    rng, expected = torch.Generator().manual_seed(3), []
    for side in PATCH_SIZES:
        filters = torch.randn(N_FILTERS, shape[0], side, side, generator=rng)
        if side == shape[0] == 1:
            filters = torch.ones(1, 1, 1, 1)
        filters = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
        maps = torch.nn.functional.conv2d(images[1], filters).flatten(2).transpose(0, 1)
        expected.append(maps[:, :, torch.randint(maps.shape[2], (N_LOCATIONS,), generator=rng)])
    for responses in (found, expected):
        sum(part.sin().sum() for part in responses).backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(images[0].grad, images[1].grad, rtol=1e-5, atol=1e-5)
