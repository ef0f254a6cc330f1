from __future__ import annotations

import copy
import math

import pytest
import torch

from ganaug.networks import ARCHITECTURES
from ganaug.networks.r3gan import Residual
from ganaug.networks.warps import at_full_size, warp, warp_sharply

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 9, 15), (4, 33, 32), (3, 64, 64)]


SERIES = ("time-warping", "recurrent")


def shape_for(name, shape):
    """Return the shape of an image, or of a series as long as it is wide."""
    return shape[::2] if name in SERIES else shape


def build(name, shape, n_classes=3):
    torch.manual_seed(0)
    return ARCHITECTURES[name](shape_for(name, shape), n_classes, 6, 4, torch.tanh)


def generate(networks, samples, labels):
    """Generate from noise of a fixed seed, or from samples and the code difference to the one before."""
    if networks.calibrated:
        return networks.generator(samples, labels)
    if networks.encoder is None:
        rng = torch.Generator().manual_seed(0)
        return networks.generator(torch.randn(len(samples), *networks.noise_steps, 6, generator=rng), labels)
    codes = networks.encoder(samples)
    return networks.generator(samples, codes, codes - codes.roll(1, 0) + 0.1, labels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes(name, shape):
    networks = build(name, shape)
    labels, shape = torch.tensor([0, 1, 2, 0, 1]), shape_for(name, shape)
    samples = generate(networks, torch.rand(5, *shape) * 2 - 1, labels)
    assert samples.shape == (5, *shape)
    assert name == "time-warping" or samples.abs().max() <= 1  # series have no range
    assert networks.discriminator(samples, labels).shape == (5,)
    if networks.encoder is not None:
        assert networks.encoder(samples).shape == (5, 6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_classes_differ(name):
    networks = build(name, (1, 8, 8))
    networks.generator.eval()
    if name == "features":  # its last layer starts at zero
        torch.nn.init.normal_(networks.generator.change[-1].weight)
    samples = torch.rand(1, *shape_for(name, (1, 8, 8)))
    first, second = torch.tensor([0]), torch.tensor([1])
    networks.encoder = None if networks.encoder is None else networks.encoder.eval()
    assert not torch.equal(generate(networks, samples, first), generate(networks, samples, second))
    assert networks.discriminator(samples, first) != networks.discriminator(samples, second)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_learns(name):
    networks = build(name, (1, 9, 12))
    labels = torch.tensor([0, 1, 2, 0])
    for network in (networks.generator, networks.discriminator):
        for parameter in network.parameters():  # a layer that starts at zero lets no gradient through
            if not parameter.any():
                torch.nn.init.constant_(parameter, 0.01)
    samples = generate(networks, torch.rand(4, *shape_for(name, (1, 9, 12))), labels)
    networks.discriminator(samples, labels).square().sum().backward()
    for network in (networks.generator, networks.discriminator, networks.encoder):
        for parameter_name, parameter in network.named_parameters() if network is not None else ():
            assert parameter.grad is not None, parameter_name
            # Batch norm takes away whatever the bias before it adds, so a bias may learn nothing.
            assert parameter_name.endswith("bias") or parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_copies_and_states_discriminate_alike(name):
    shape, labels = shape_for(name, (1, 8, 8)), torch.tensor([0, 1, 2, 0])
    networks, samples = build(name, (1, 8, 8)), torch.rand(4, *shape)
    other = ARCHITECTURES[name](shape, 3, 6, 4, torch.tanh).discriminator
    networks.discriminator(samples, labels)  # a step of power iteration, which is part of the state
    other.load_state_dict(networks.discriminator.state_dict())
    twin = copy.deepcopy(networks.discriminator)
    expected = networks.discriminator(samples, labels)
    assert torch.equal(other(samples, labels), expected)
    assert torch.equal(twin(samples, labels), expected)


@pytest.mark.parametrize("shape", [(5,), (7, 3), (2, 3, 4, 5)])
def test_fully_connected_takes_any_shape(shape):
    networks, labels = build("fully-connected", shape), torch.tensor([0, 1, 2, 0])
    samples = generate(networks, torch.zeros(4, *shape), labels)
    assert samples.shape == (4, *shape)
    assert networks.discriminator(samples, labels).shape == (4,)


def test_every_layer_of_sngan_has_a_norm_of_one():
    discriminator = build("sngan", (3, 16, 16)).discriminator
    with torch.no_grad():
        for _ in range(50):
            discriminator(torch.rand(2, 3, 16, 16), torch.tensor([0, 1]))
    layers = [module for module in discriminator.modules() if hasattr(module, "parametrizations")]
    assert len(layers) == 7
    assert sum(parameter.dim() > 1 for parameter in discriminator.parameters()) == 7
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert norm.item() == pytest.approx(1, abs=0.02)


def test_the_blocks_of_r3gan_start_as_the_identity():
    samples = torch.rand(2, 8, 5, 7)
    assert torch.equal(Residual(8)(samples), samples)


def test_warp_moves_pixels():
    samples = torch.rand(2, 3, 6, 8) * 2 - 1
    flow = torch.zeros(2, 2, 6, 8)
    assert torch.allclose(warp(samples, flow), samples, atol=1e-6)
    flow[:, 0] = 2 * 2 / 8  # from two pixels to the right
    assert torch.allclose(warp(samples, flow)[..., :-2], samples[..., 2:], atol=1e-5)
    flow[:, 0] = 0.7 * 2 / 8
    assert warp(samples, flow).abs().max() <= 1  # bicubic interpolation overshoots


def test_photographs_are_mirrored_at_their_edges():
    """Pixels of the edge that are repeated would show as streaks."""
    images = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) - 0.5
    flow = torch.zeros(1, 2, 64, 96)
    flow[:, 0] = -2 * 10 / 96  # ten pixels from the left
    moved = warp_sharply(images, flow)
    # Few pixels tell how sharp noise is, so a little is added: less than half a grey level of 1 / 127.5.
    torch.testing.assert_close(moved[..., 12:-2], images[..., 2:-12], atol=1 / 255, rtol=0)
    torch.testing.assert_close(moved[..., 2:8], images[..., 2:8].flip(-1), atol=1 / 255, rtol=0)


def test_warp_keeps_points_sharp():
    """Bilinear interpolation would leave 0.75 of one a quarter of a pixel away."""
    samples = -torch.ones(1, 1, 8, 8)
    samples[..., 4, 4] = 1.0
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = 0.25 * 2 / 8
    assert (warp(samples, flow).max() + 1) / 2 > 0.8


@pytest.mark.parametrize("name", ["warping", "tinting"])
def test_it_begins_close_to_the_identity(name):
    networks = build(name, (1, 28, 28))
    networks.generator.eval()
    samples = (torch.rand(4, 1, 28, 28) > 0.5).float() * 2 - 1
    generated = generate(networks, samples, torch.tensor([0, 1, 2, 0]))
    assert (generated - samples).abs().mean() < 0.2
    assert (generated - samples).abs().mean() > 0


@pytest.mark.parametrize("full", [None, (100, 72)])
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if build(name, (3, 16, 16)).has_flow])
def test_the_flow_is_that_of_the_samples(name, full):
    networks, labels = build(name, (3, 16, 16)), torch.tensor([0, 1, 2, 0])
    samples = torch.rand(4, 3, 16, 16) * 2 - 1
    inputs = [samples, networks.encoder(samples), torch.randn(4, 6), labels]
    inputs += [] if full is None else [torch.rand(4, 3, *full) * 2 - 1]
    generated, flow = networks.generator.eval().with_flow(*inputs)
    assert flow.shape[:2] == (4, 2)
    assert flow.abs().max() > 0
    # Colours may be mapped beside, but what is painted is left out.
    assert torch.equal(generated, networks.generator(*inputs)) == (name == "tinting")
    with torch.no_grad():
        if name == "tinting":
            networks.generator.maps.weight[2:] = networks.generator.maps.bias[2:] = 0
        generated, flow = networks.generator.with_flow(*inputs)
    wanted = warp(samples, flow) if full is None else at_full_size(warp_sharply, inputs[-1], flow)
    torch.testing.assert_close(generated, wanted.clamp(-1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_samples_are_judged_apart_where_the_architecture_says_so(name):
    networks = build(name, (1, 8, 8))
    assert not (networks.judges_apart and list(networks.discriminator.buffers()))
    samples, labels = torch.rand(6, *shape_for(name, (1, 8, 8))), torch.tensor([0, 1, 2, 0, 1, 2])
    together = networks.discriminator(samples, labels)
    apart = torch.cat([networks.discriminator(samples[i : i + 3], labels[i : i + 3]) for i in (0, 3)])
    if networks.judges_apart:
        torch.testing.assert_close(apart, together)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("sides", [(224, 224), (226, 240), (225, 100), (68, 68)])
def test_tinting_maps_the_colours_of_large_images_linearly(channels, sides):
    """Known maps, the same everywhere: each pixel is mapped by them, however many rows share them."""
    networks = ARCHITECTURES["tinting"]((channels, 32, 32), 2, 4, 4, torch.tanh)
    maps, n = networks.generator.maps, channels * channels
    matrix = 0.3 * torch.randn(channels, channels, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps.weight.zero_()
        maps.bias[:2] = 0
        maps.bias[2 : 2 + n] = matrix.flatten().atanh()
        maps.bias[2 + n :] = 0.1
    full = torch.rand(2, channels, *sides, generator=torch.Generator().manual_seed(1)) - 0.5
    small = torch.zeros(2, channels, 32, 32)
    inputs = small, torch.zeros(2, 4), torch.zeros(2, 4), torch.tensor([0, 1])
    wanted = full + torch.einsum("ck,nkhw->nchw", matrix, full) + math.tanh(0.1)
    torch.testing.assert_close(
        networks.generator.eval()(*inputs, full), wanted.clamp(-1, 1), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize(("side", "alike"), [(68, 1), (224, 4), (226, 2), (225, 1)])
def test_rows_share_colour_maps_only_where_that_is_not_seen(side, alike, monkeypatch):
    networks = ARCHITECTURES["tinting"]((3, 32, 32), 2, 4, 4, torch.tanh)
    generator = networks.generator.eval()
    assert generator._rows_alike(side) == alike
    with torch.no_grad():
        generator.maps.weight.normal_(std=0.03, generator=torch.Generator().manual_seed(0))
        generator.maps.weight[:2] = 0
    rng = torch.Generator().manual_seed(1)
    inputs = [torch.rand(2, *shape, generator=rng) for shape in ((3, 32, 32), (4,), (4,))]
    full = torch.rand(2, 3, side, side, generator=rng) * 2 - 1
    shared = generator(*inputs, torch.tensor([0, 1]), full)
    monkeypatch.setattr(generator, "_rows_alike", lambda height: 1)
    levels = 127.5 * (shared - generator(*inputs, torch.tensor([0, 1]), full)).abs()
    assert levels.max() <= 3 * (alike > 1)
    assert levels.flatten().quantile(0.95) <= 1
