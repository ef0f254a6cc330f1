from __future__ import annotations

import pytest
import torch

from ganaug.networks import ARCHITECTURES

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 9, 15), (4, 33, 32), (3, 64, 64)]


def build(name, shape, n_classes=3):
    torch.manual_seed(0)
    return ARCHITECTURES[name](shape, n_classes, 6, 4, torch.tanh)


def generate(networks, rows, labels):
    """Generate from noise of a fixed seed, or from rows moved by the difference to the row before."""
    if networks.encoder is None:
        return networks.generator(
            torch.randn(len(rows), 6, generator=torch.Generator().manual_seed(0)), labels
        )
    codes = networks.encoder(rows)
    return networks.generator(rows, codes, codes - codes.roll(1, 0) + 0.1, labels)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes(name, shape):
    networks = build(name, shape)
    labels = torch.tensor([0, 1, 2, 0, 1])
    rows = generate(networks, torch.rand(5, *shape) * 2 - 1, labels)
    assert rows.shape == (5, *shape)
    assert rows.abs().max() <= 1
    assert networks.discriminator(rows, labels).shape == (5,)
    if networks.encoder is not None:
        assert networks.encoder(rows).shape == (5, 6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_classes_differ(name):
    networks = build(name, (1, 8, 8))
    networks.generator.eval()
    rows = torch.rand(1, 1, 8, 8)
    first, second = torch.tensor([0]), torch.tensor([1])
    networks.encoder = None if networks.encoder is None else networks.encoder.eval()
    assert not torch.equal(generate(networks, rows, first), generate(networks, rows, second))
    assert networks.discriminator(rows, first) != networks.discriminator(rows, second)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_parameter_learns(name):
    networks = build(name, (1, 9, 12))
    labels = torch.tensor([0, 1, 2, 0])
    rows = generate(networks, torch.rand(4, 1, 9, 12), labels)
    networks.discriminator(rows, labels).square().sum().backward()
    for network in (networks.generator, networks.discriminator, networks.encoder):
        for parameter_name, parameter in network.named_parameters() if network is not None else ():
            assert parameter.grad is not None, parameter_name
            # Batch norm takes away whatever the bias before it adds, so a bias may learn nothing.
            assert parameter_name.endswith("bias") or parameter.grad.abs().sum() > 0, parameter_name
