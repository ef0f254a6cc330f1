"""Optimizers and learning-rate schedules, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    StepLR,
)

# Called with the parameters to update and the learning rate.
OptimizerFactory = Callable[[Iterable[nn.Parameter], float], Optimizer]
# Called with an optimizer and the number of steps of the training.
Schedule = Callable[[Optimizer, int], LRScheduler]

# Of the schedules that end at some part of the first rate.
LAST_PART = 0.01


def adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> Optimizer:
    """Return Adam [1]_ with the moments of DCGAN, 0.5, and of SNGAN and R3GAN, near 0.99.

    References
    ----------
    .. [1] Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """
    return Adam(parameters, lr=learning_rate, betas=(0.5, 0.99), fused=True)


def rmsprop(parameters: Iterable[nn.Parameter], learning_rate: float) -> Optimizer:
    """Return RMSprop, with which Wasserstein GANs were trained first (Arjovsky et al., ICML 2017)."""
    return RMSprop(parameters, lr=learning_rate)


def sgd(parameters: Iterable[nn.Parameter], learning_rate: float) -> Optimizer:
    """Return stochastic gradient descent with momentum, as in Goodfellow et al., NeurIPS 2014."""
    return SGD(parameters, lr=learning_rate, momentum=0.5)


OPTIMIZERS: dict[str, OptimizerFactory] = {"adam": adam, "rmsprop": rmsprop, "sgd": sgd}
SCHEDULES: dict[str, Schedule] = {
    "constant": lambda optimizer, steps: LambdaLR(optimizer, lambda step: 1.0),
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, steps),
    "linear": lambda optimizer, steps: LinearLR(optimizer, 1.0, LAST_PART, steps),
    "exponential": lambda optimizer, steps: ExponentialLR(optimizer, LAST_PART ** (1 / steps)),
    "step": lambda optimizer, steps: StepLR(optimizer, max(1, steps // 3), 0.1),
}
# What each optimizer keeps of a parameter, in tensors of its shape or of none: what a checkpoint must hold.
MOMENTS: dict[type[Optimizer], dict[str, bool]] = {
    Adam: {"step": False, "exp_avg": True, "exp_avg_sq": True},
    RMSprop: {"step": False, "square_avg": True},
    SGD: {"momentum_buffer": True},
}


def schedule_factors(schedule: Schedule, steps: int) -> list[float]:
    """Return by what the learning rate is multiplied at each step, (steps,).

    The schedule runs once, on an optimizer that updates nothing and has a rate of 1. So training can go back,
    or resume, to any step.

    Raises
    ------
    ValueError
        If the schedule returns no scheduler of torch's, or one that asks for more than the number of steps.
    """
    optimizer = SGD([torch.zeros(())], lr=1.0, momentum=0.9)  # some schedules change the momentum, too
    scheduler = schedule(optimizer, steps)
    if not isinstance(scheduler, LRScheduler):
        raise ValueError(
            "`schedule` must return an LRScheduler of torch.optim.lr_scheduler, got"
            f" {type(scheduler).__name__}."
        )
    factors = []
    for _ in range(steps):
        factors.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        try:
            scheduler.step()
        except TypeError as exc:
            raise ValueError(
                "`schedule` must depend on the step alone, got one that asks for more, as"
                f" {type(scheduler).__name__} does for a metric. ({exc})"
            ) from exc
    return factors


def moments_like(optimizer: Optimizer, parameter: Tensor) -> dict[str, Any] | None:
    """Return what an optimizer keeps of a parameter, as tensors of such a shape; None: that isn't known."""
    kept = next((kept for kind, kept in MOMENTS.items() if isinstance(optimizer, kind)), None)
    if kept is None:
        return None
    return {name: parameter if as_large else torch.zeros(()) for name, as_large in kept.items()}
