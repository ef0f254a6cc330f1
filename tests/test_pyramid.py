from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ganaug import ConditionalGAN
from ganaug.networks import ARCHITECTURES, growing
from ganaug.networks.biggan import Attention, orthogonal_penalty
from ganaug.networks.layers import part_sizes
from ganaug.networks.progressive import blocks
from ganaug.networks.pyramid import GROWING_PART, batch_deviation
from ganaug.networks.style_based import ModulatedConv, path_length_penalty
from ganaug.training.pairs import mix_levels


def build(name, shape=(1, 16, 16), latent_dim=6):
    torch.manual_seed(0)
    make = ARCHITECTURES[name] if isinstance(name, str) else name
    return make(shape, 2, latent_dim, 8, torch.tanh)


LABELS = torch.tensor([0, 1, 0, 1])


def test_levels_are_added_one_after_another():
    generator = build("progressive").generator
    assert generator.sides == [(4, 4), (8, 8), (16, 16)]
    growths = []
    for progress in (0.0, 0.15, 0.225, 0.3, 0.45, 0.525, GROWING_PART, 0.8, 1.0):
        generator.grow(progress)
        growths.append(float(generator.growth))
    assert growths == pytest.approx([0, 0, 0.5, 1, 1, 1.5, 2, 2, 2], abs=1e-6)


@pytest.mark.parametrize("name", ["progressive", growing(ARCHITECTURES["biggan"])])
def test_a_level_that_is_not_there_has_no_part_in_anything(name):
    networks = build(name)
    networks.generator.eval()
    noise, images = torch.randn(4, 6), torch.rand(4, 1, 16, 16)

    def outputs():
        with torch.no_grad():
            return networks.generator(noise, LABELS), networks.discriminator.eval()(images, LABELS)

    for network in (networks.generator, networks.discriminator):
        network.grow(0.0)
    made, judged = outputs()
    for layer in (
        networks.generator.blocks[2],
        networks.generator.to_images[2],
        networks.discriminator.blocks[1],
    ):
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
    again, judged_again = outputs()
    assert torch.equal(made, again)
    assert torch.equal(judged, judged_again)
    # What is there has 4 pixels a side: no finer detail is made, and none is seen.
    raw = []
    networks.generator.to_images[0].register_forward_hook(lambda module, inputs, output: raw.append(output))
    outputs()
    for size in (8, 16):
        raw[0] = nn.functional.interpolate(raw[0], size=size, mode="bilinear")
    torch.testing.assert_close(made, raw[0].tanh())
    blocks_of_4 = nn.functional.avg_pool2d(images, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.no_grad():
        torch.testing.assert_close(networks.discriminator(blocks_of_4, LABELS), judged)
    networks.generator.grow(1.0)
    assert not torch.equal(outputs()[0], made)


def test_a_level_fades_in():
    networks = build("progressive")
    noise = torch.randn(4, 6)
    made = []
    with torch.no_grad():
        for growth in (0.0, 1e-4, 0.5, 1.0):
            networks.generator.growth.fill_(growth)
            made.append(networks.generator(noise, LABELS))
    assert (made[1] - made[0]).abs().max() < 1e-3
    assert not torch.allclose(made[2], made[0], atol=1e-3)
    assert not torch.allclose(made[2], made[3], atol=1e-3)


def test_training_ends_with_all_levels():
    X, y = np.random.default_rng(0).random((24, 16, 16)), np.arange(24) % 2
    seen = []
    gan = ConditionalGAN(architecture="progressive", steps=50, batch_size=8, base_channels=4, random_state=0)
    gan.fit(X, y)
    (member,) = gan.members_
    assert float(member.generator.growth) == 2
    gan.set_params(steps=5, callbacks=[lambda step, metrics: seen.append(step)]).fit(X, y)
    assert seen == [5]


def test_others_do_not_grow():
    generator = build(blocks).generator
    generator.grow(0.0)
    assert float(generator.growth) == 2
    with pytest.raises(
        ValueError, match="whose networks are a Pyramid to grow, got one with a NoiseGenerator"
    ):
        build(growing(ARCHITECTURES["dcgan"]))


def test_the_deviation_of_a_batch_is_that_of_its_groups():
    maps = torch.zeros(16, 2, 3, 3)
    maps[8:] = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    deviation = batch_deviation(maps)
    assert deviation.shape == (16, 1, 3, 3)
    assert deviation[:8].max() < 1e-3  # samples that are all alike: the generated half may be
    expected = maps[8:12].var(dim=0, correction=0).sqrt().mean()
    assert deviation[8].unique().item() == pytest.approx(float(expected), rel=1e-3)
    assert batch_deviation(maps[:, :, :1])[:5].shape == (5, 1, 1, 3)
    assert batch_deviation(maps[3:8]).max() < 1e-3


def test_attention_looks_at_places_that_are_alike():
    layer = Attention(8)
    maps = torch.randn(2, 8, 4, 4)
    assert torch.equal(layer(maps), maps)  # until it has learned
    nn.init.ones_(layer.gain)
    query, key, value = (part(maps).flatten(2) for part in (layer.query, layer.key, layer.value))
    weights = (query.transpose(1, 2) @ key).softmax(dim=2)
    expected = maps + (value @ weights.transpose(1, 2)).view_as(maps)
    torch.testing.assert_close(layer(maps), expected)


def test_parts_of_the_noise_go_to_the_levels():
    """Noise of the finest level leaves the coarse maps as they are."""
    generator = build("biggan", latent_dim=8).generator.eval()
    assert generator.sizes == [2, 2, 2, 2]
    seen = []
    generator.blocks[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    noise = torch.randn(4, 8)
    other = torch.cat([noise[:, :6], torch.randn(4, 2)], dim=1)
    with torch.no_grad():
        first, second = generator(noise, LABELS), generator(other, LABELS)
    assert torch.equal(*seen)
    assert not torch.equal(first, second)


def test_orthogonal_filters_have_no_penalty():
    layer = nn.Linear(6, 3)
    nn.init.orthogonal_(layer.weight)
    assert orthogonal_penalty(layer).item() < 1e-9
    with torch.no_grad():
        layer.weight[1] = layer.weight[0]  # two that are the same: both products are 1
    assert orthogonal_penalty(layer).item() == pytest.approx(2e-4)


def test_modulation_scales_weights_and_keeps_the_variance():
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 4)
    maps, style, noise = torch.randn(3, 5, 6, 6), torch.randn(3, 4), torch.randn(3, 1, 6, 6)
    nn.init.constant_(conv.noise_gain, 0.3)
    nn.init.normal_(conv.bias)
    expected = []
    for i in range(3):
        weight = conv.weight * conv.scale(style[i])[None, :, None, None]
        weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        raw = nn.functional.conv2d(maps[i : i + 1], weight, padding=1)
        expected.append(nn.functional.leaky_relu(raw + 0.3 * noise[i] + conv.bias[:, None, None], 0.2))
    torch.testing.assert_close(conv(maps, style, noise), torch.cat(expected))


def test_noise_is_a_function_of_the_code():
    block = build("style-based").generator.blocks[-1]
    noise = block.noise(torch.randn(400))
    assert noise.shape == (400, 2, 16, 16)
    assert noise.mean().abs() < 0.01
    assert noise.var().item() == pytest.approx(1, abs=0.01)
    flat = noise.flatten(1)[:, ::7]
    correlation = torch.corrcoef(flat.T) - torch.eye(flat.shape[1])
    assert correlation.abs().mean() < 0.06  # that of 400 independent numbers is 0.04
    assert torch.equal(block.noise(torch.ones(1)), block.noise(torch.ones(1)))


def test_the_path_length_penalty_is_of_varying_lengths():
    networks = build("style-based")
    inputs = (torch.rand(4, 1, 16, 16), torch.randn(4, 6), torch.zeros(4, 6), LABELS)
    first = path_length_penalty(networks.generator, *inputs)
    length = networks.generator.path_length
    assert first > 0
    assert length > 0
    first.backward()
    assert networks.generator.mapping[1].weight.grad.abs().sum() > 0
    same = (inputs[0], inputs[1][:1].expand(4, -1), inputs[2], LABELS * 0)
    for _ in range(800):  # the running mean comes near the mean, and all lengths are the same
        last = path_length_penalty(networks.generator, *same)
    assert last < 1e-3 * first


def test_codes_are_mixed_from_a_level_on():
    assert part_sizes(7, 3) == [3, 2, 2]
    assert part_sizes(2, 3) == [1, 1, 0]
    deltas = torch.ones(300, 7)
    mixed = mix_levels(deltas, 3, 0.0, torch.Generator().manual_seed(0))
    kinds = {tuple(row) for row in mixed.int().tolist()}
    assert kinds == {(1,) * 7, (0, 0, 0, 1, 1, 1, 1), (0, 0, 0, 0, 0, 1, 1)}
    noisy = mix_levels(deltas, 3, 0.1, torch.Generator().manual_seed(0)) - mixed
    assert noisy.std().item() == pytest.approx(0.1, rel=0.1)


def test_style_mixing_takes_styles_of_the_own_class():
    """`sample` and `vary` change the codes of a sample towards another of its class."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = (0.1 * rng.random((40, 8, 8)) + 0.8 * y[:, None, None]).astype("float32")
    gan = ConditionalGAN(
        architecture="style-based",
        steps=2,
        base_channels=4,
        latent_dim=8,
        latent_noise=0.0,
        strength=1.0,
        random_state=0,
    )
    (member,) = gan.fit(X, y).members_
    seen = []
    member.generator.forward = lambda samples, codes, deltas, labels: (
        seen.append((codes, codes + deltas, labels)),
        samples,
    )[1]
    gan.sample(y, random_state=0)
    codes, changed, labels = seen[0]
    size = part_sizes(8, member.code_levels)[-1]
    for row, c in zip(changed, labels, strict=True):
        own = member.codes[member.labels == int(c)]
        finest = (own[:, -size:] - row[-size:]).abs().amax(1)
        assert finest.min() < 1e-5  # the finest styles are always another sample's, of the same class
    coarse_kept = (changed[:, :size] - codes[:, :size]).abs().amax(1) < 1e-6
    assert 0.2 < coarse_kept.float().mean() < 0.95
    assert hasattr(gan, "vary")


@pytest.mark.parametrize("architecture", ["biggan", "dcgan", "progressive"])
def test_truncation_draws_noise_again(architecture):
    rng = np.random.default_rng(0)
    X, y = rng.random((24, 8, 8)), np.arange(24) % 2
    gan = ConditionalGAN(architecture=architecture, steps=2, base_channels=4, random_state=0)
    (member,) = gan.fit(X, y).members_
    seen = []
    generate = member.generator.forward
    member.generator.forward = lambda noise, labels: (seen.append(noise), generate(noise, labels))[1]
    gan.sample(np.repeat([0, 1], 100), 0)
    member.truncation = 0.7
    gan.sample(np.repeat([0, 1], 100), 0)
    assert seen[0].abs().max() > 2
    assert 0.65 < seen[1].abs().max() <= 0.7
    assert seen[1].std().item() == pytest.approx(0.38, abs=0.03)  # of a normal distribution cut there


def test_truncation_is_a_parameter_of_the_model(tmp_path):
    X, y = np.random.default_rng(0).random((24, 8, 8)), np.arange(24) % 2
    gan = ConditionalGAN(architecture="dcgan", steps=2, base_channels=4, truncation=0.5, random_state=0)
    gan.fit(X, y).save(tmp_path)
    again = ConditionalGAN.load(tmp_path)
    assert again.members_[0].truncation == 0.5
    assert np.array_equal(again.sample(y, 0), gan.sample(y, 0))
    for value in (0, -1.0, True, "auto", float("inf")):
        with pytest.raises(ValueError, match="`truncation` must be None or a number above 0"):
            ConditionalGAN(truncation=value).check_parameters()
