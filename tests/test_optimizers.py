from __future__ import annotations

import math

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

from ganaug import ConditionalGAN
from ganaug.training.optimizers import MOMENTS, OPTIMIZERS, SCHEDULES, moments_like, schedule_factors
from tests.test_training import train, weights


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("cosine", [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)]),
        ("linear", [1, 0.7525, 0.505, 0.2575]),
        ("exponential", [1, 0.01**0.25, 0.1, 0.01**0.75]),
        ("step", [1, 0.1, 0.01, 0.001]),
    ],
)
def test_schedules(name, expected):
    assert schedule_factors(SCHEDULES[name], 4) == pytest.approx(expected)


def test_schedules_are_all_tested():
    parametrized = test_schedules.pytestmark[0].args[1]
    assert [name for name, _ in parametrized] == list(SCHEDULES)


def test_schedules_of_torch_that_cycle_the_momentum():
    factors = schedule_factors(lambda optimizer, steps: OneCycleLR(optimizer, 2.0, total_steps=steps + 1), 10)
    assert max(factors) == pytest.approx(2.0, rel=0.05)
    assert factors[0] < 0.1


def test_a_schedule_must_depend_on_the_step_alone():
    with pytest.raises(ValueError, match="as ReduceLROnPlateau does for a metric"):
        schedule_factors(lambda optimizer, steps: ReduceLROnPlateau(optimizer), 3)
    with pytest.raises(ValueError, match="must return an LRScheduler of torch.optim.lr_scheduler, got float"):
        schedule_factors(lambda optimizer, steps: 0.1, 3)


def recorded_rates(monkeypatch, **options):
    """Return the learning rates of the discriminator and of the generator at each step."""
    rates, step = [], torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *a: (rates.append(self.param_groups[0]["lr"]), step(self, *a))
    )
    train(4, learning_rate=1e-3, **options)
    return rates[::2], rates[1::2]


def test_a_schedule_is_of_both_learning_rates(monkeypatch):
    halve = lambda optimizer, steps: StepLR(optimizer, 2, 0.5)  # noqa: E731
    discriminator, generator = recorded_rates(monkeypatch, schedule=halve)
    assert generator == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4])
    assert discriminator == pytest.approx([4e-4, 4e-4, 2e-4, 2e-4])


def test_without_a_schedule_the_discriminator_keeps_its_rate(monkeypatch):
    discriminator, generator = recorded_rates(monkeypatch)
    assert discriminator == pytest.approx([4e-4] * 4)
    assert generator == pytest.approx([1e-3 * factor for factor in schedule_factors(SCHEDULES["cosine"], 4)])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_an_optimizer_keeps_is_known(name):
    """A checkpoint is compared with it."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = OPTIMIZERS[name]([parameter], 0.1)
    parameter.sum().backward()
    optimizer.step()
    assert parameter.max() < 1
    assert optimizer.param_groups[0]["lr"] == 0.1
    kept, expected = optimizer.state[parameter], moments_like(optimizer, parameter)
    assert {k: v.shape for k, v in kept.items()} == {k: v.shape for k, v in expected.items()}
    assert len(MOMENTS) == len(OPTIMIZERS)


@pytest.mark.parametrize("name", [*OPTIMIZERS, "own"])
def test_every_optimizer_resumes_to_the_same_weights(name, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.training.loop.CHECKPOINT_INTERVAL", 25)
    optimizer = OPTIMIZERS.get(name, lambda parameters, rate: torch.optim.NAdam(parameters, lr=rate))

    def stop(step, metrics):
        if step == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(75, optimizer=optimizer, checkpoint=tmp_path / "state.pt", callbacks=[stop])
    resumed, _ = train(75, optimizer=optimizer, checkpoint=tmp_path / "state.pt")
    whole, _ = train(75, optimizer=optimizer)
    assert torch.equal(weights(resumed), weights(whole))
    assert (
        not torch.equal(weights(whole), weights(train(75, optimizer=OPTIMIZERS["adam"])[0])) or name == "adam"
    )


def test_moments_of_another_shape_are_refused(tmp_path):
    path = tmp_path / "state.pt"
    train(5, optimizer=OPTIMIZERS["rmsprop"], checkpoint=path)
    content = torch.load(path, weights_only=True)
    content["current"]["trainer"]["generator_optimizer"]["state"][0]["square_avg"] = torch.ones(7)
    torch.save(content, path)
    with pytest.raises(ValueError, match="square_avg is"):
        train(5, optimizer=OPTIMIZERS["rmsprop"], checkpoint=path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer", "adm", r"`optimizer` must be one of \['adam', .* got 'adm'. Did you mean 'adam'"),
        ("optimizer", "auto", "`optimizer` must be one of"),
        ("schedule", "cosin", "`schedule` must be 'auto', one of .* Did you mean 'cosine'"),
        ("schedule", 0.5, "`schedule` must be 'auto', one of"),
    ],
)
def test_unknown_names(name, value, message):
    with pytest.raises(ValueError, match=message):
        ConditionalGAN(**{name: value}).check_parameters()
