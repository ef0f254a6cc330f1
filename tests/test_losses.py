from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganaug.training.losses import LOSSES, PENALTIES, r1_r2, sliced_wasserstein, weight_clipping, wgan_gp

CLOSED_FORMS = {  # at logits 0 for real and 0 for fake
    "relativistic": (math.log(2), math.log(2)),
    "hinge": (2.0, 0.0),
    "non-saturating": (2 * math.log(2), math.log(2)),
    "minimax": (2 * math.log(2), -math.log(2)),
    "least-squares": (0.5, 0.5),
    "wasserstein": (0.0, 0.0),
}


class Linear(nn.Module):
    """A discriminator whose gradient is `slope` in every feature."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(float(slope)))

    def forward(self, samples, labels):
        return self.slope * samples.flatten(1).sum(1)


@pytest.mark.parametrize("name", LOSSES)
def test_closed_form(name):
    losses = LOSSES[name](torch.zeros(5), torch.zeros(5))
    assert [float(loss) for loss in losses] == pytest.approx(CLOSED_FORMS[name])


@pytest.mark.parametrize("name", LOSSES)
def test_the_two_losses_oppose_each_other(name):
    """The discriminator wants real logits up and fake ones down; the generator fake ones up."""
    real, fake = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    for_discriminator, _ = LOSSES[name](real, fake)
    real_slope, fake_slope = torch.autograd.grad(for_discriminator, (real, fake), allow_unused=True)
    assert (real_slope < 0).all()
    assert name == "least-squares" or (fake_slope > 0).all()
    (fake_slope,) = torch.autograd.grad(LOSSES[name](real, fake)[1], fake)
    assert (fake_slope < 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name):
    logits = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    real, fake = (half.clone().requires_grad_() for half in logits)
    assert torch.autograd.gradcheck(LOSSES[name], (real, fake))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r1", 9.0 * 16),
        ("r1+r2", 2 * 9.0 * 16),
        ("weight-clipping", 0.0),
        ("l1", 3.0),
        ("l2", 9.0),
        ("none", 0.0),
    ],
)
def test_penalty_of_a_linear_discriminator(name, expected):
    samples = torch.randn(4, 1, 4, 4)
    penalty = PENALTIES[name](Linear(3), samples, -samples, torch.zeros(4).long())
    assert penalty.item() == pytest.approx(expected)


def test_wgan_gp_is_zero_at_slope_one():
    samples = torch.randn(4, 1, 4, 4)
    labels = torch.zeros(4).long()
    assert wgan_gp(Linear(1 / 4), samples, -samples, labels).item() == pytest.approx(0, abs=1e-6)
    assert wgan_gp(Linear(1 / 2), samples, -samples, labels).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("slope", "expected"), [(3, 0.01), (-3, -0.01), (0.004, 0.004)])
def test_weight_clipping(slope, expected):
    discriminator, samples = Linear(slope), torch.randn(4, 1, 4, 4)
    weight_clipping(discriminator, samples, -samples, torch.zeros(4).long())
    assert discriminator.slope.item() == pytest.approx(expected)
    assert discriminator.slope.requires_grad


def test_penalties_teach_the_discriminator():
    discriminator = Linear(3)
    samples = torch.randn(4, 1, 4, 4)
    r1_r2(discriminator, samples, samples, torch.zeros(4).long()).backward()
    assert discriminator.slope.grad > 0


def test_sliced_wasserstein():
    real = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]])
    assert sliced_wasserstein(real, real[:, [2, 0, 1]]) == 0  # order doesn't count
    assert sliced_wasserstein(real, real + 0.5) == 0.5
    assert sliced_wasserstein(real, torch.tensor([[0.0, 1.0, 5.0], [5.0, 5.0, 5.0]])) == 0.5


def test_sliced_wasserstein_pulls_numbers_to_their_ranks():
    fake = torch.tensor([[3.0, -1.0]], requires_grad=True)
    sliced_wasserstein(torch.tensor([[0.0, 2.0]]), fake).backward()
    assert fake.grad.tolist() == [[0.5, -0.5]]


def test_sliced_wasserstein_is_that_of_sorted_rows():
    """Loss and gradient, however rows are sorted; doubles are sorted by torch."""
    real, fake = torch.randn(3, 500), torch.randn(3, 500)
    found = {}
    for dtype in (torch.float32, torch.float64):
        moved = fake.to(dtype, copy=True).requires_grad_(True)
        loss = sliced_wasserstein(real.to(dtype), moved)
        loss.backward()
        found[dtype] = loss.item(), moved.grad.double()
    torch.testing.assert_close(*found.values(), rtol=1e-5, atol=1e-9)
