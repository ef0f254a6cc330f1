"""Losses and penalties of the training loop.

Losses are functions of logits, and `sliced_wasserstein` of projections. Penalties are functions of the
discriminator. All are pure but `weight_clipping`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

GANLoss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Penalty = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]

MAX_ABS_WEIGHT = 0.01


def minimax(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of the original minimax game [1]_.

    Parameters
    ----------
    real, fake : Tensor of shape (n,)
        Logits of the discriminator for real and for generated samples.

    Returns
    -------
    for_discriminator, for_generator : Tensor of shape ()
        What each network minimises.

    References
    ----------
    .. [1] Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, equation 1.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean(), -F.softplus(fake).mean()


def non_saturating(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the non-saturating losses of Goodfellow et al. 2014, section 3; see `minimax`."""
    return F.softplus(-real).mean() + F.softplus(fake).mean(), F.softplus(-fake).mean()


def least_squares(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of LSGAN (Mao et al., ICCV 2017, equation 9); see `minimax`."""
    for_discriminator = 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()
    return for_discriminator, 0.5 * (fake - 1).square().mean()


def wasserstein(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the critic losses of WGAN (Arjovsky et al., ICML 2017); see `minimax`."""
    return fake.mean() - real.mean(), -fake.mean()


def hinge(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the hinge losses of SNGAN (Miyato et al., ICLR 2018, equations 16-17); see `minimax`."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean(), -fake.mean()


def relativistic(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the relativistic pairing losses of R3GAN [1]_; see `minimax`.

    Logit i of `real` is compared with logit i of `fake`, so the two must belong to the same class.

    References
    ----------
    .. [1] Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024, equation 2.
    """
    return F.softplus(fake - real).mean(), F.softplus(real - fake).mean()


def sliced_wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """Return the sliced Wasserstein-1 distance of two samples, given their projections [1]_, [2]_.

    Parameters
    ----------
    real, fake : Tensor of shape (n_projections, n)
        Each projection of the real and of the generated samples, in any order.

    Returns
    -------
    Tensor of shape ()
        Mean over the projections of the Wasserstein-1 distance between the two.

    References
    ----------
    .. [1] Rabin et al., "Wasserstein barycenter and its application to texture mixing", SSVM 2011.
    .. [2] Heitz et al., "A sliced Wasserstein loss for neural texture synthesis", CVPR 2021.
    """
    return (_sorted(real) - _sorted(fake)).abs().mean()


def _sorted(rows: Tensor) -> Tensor:
    """Return rows (m, n), each sorted; differentiable."""
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        return rows.sort(dim=1).values
    # NumPy sorts several times as fast as torch.
    if not rows.requires_grad:
        return torch.from_numpy(np.sort(rows.numpy(), axis=1))
    return rows.gather(1, torch.from_numpy(np.argsort(rows.detach().numpy(), axis=1)))


def r1_r2(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the zero-centred gradient penalties on real (R1) and on generated samples (R2) [1]_.

    Parameters
    ----------
    discriminator : Module
        Called as ``discriminator(samples, labels)``, returns logits of shape (n,).
    real, fake : Tensor of shape (n, ...)
        Real and generated samples of the same classes.
    labels : Tensor of shape (n,)
        Class indices, int64.

    Returns
    -------
    Tensor of shape ()
        Mean squared norm of the gradient of the logit, R1 + R2.

    References
    ----------
    .. [1] Mescheder et al., "Which training methods for GANs do actually converge?", ICML 2018.
    """
    samples = torch.cat([real, fake]).detach().requires_grad_(True)
    squared = _gradient(discriminator, samples, labels.repeat(2)).square().sum(1)
    return 2 * squared.mean()


def r1(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient penalty on real samples alone; see `r1_r2`."""
    samples = real.detach().requires_grad_(True)
    return _gradient(discriminator, samples, labels).square().sum(1).mean()


def wgan_gp(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the one-centred penalty between real and generated samples [1]_; see `r1_r2`.

    The points of interpolation are evenly spaced over the batch instead of random. So no random
    state is consumed.

    References
    ----------
    .. [1] Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, equation 3.
    """
    fraction = torch.linspace(0, 1, len(real), device=real.device)
    fraction = fraction.view(-1, *[1] * (real.dim() - 1))
    samples = torch.lerp(real, fake, fraction).detach().requires_grad_(True)
    return (_gradient(discriminator, samples, labels).norm(dim=1) - 1).square().mean()


def weight_clipping(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Clip the parameters of the discriminator to [-0.01, 0.01] in place, and return zero [1]_.

    This penalty changes weights instead of adding to the loss. The loop therefore calls it at each
    step, before it computes the logits; see `NON_LAZY_PENALTIES`. The weight of the penalty has no
    effect. As clipping comes before the update, weights may exceed the bound by one update.

    References
    ----------
    .. [1] Arjovsky et al., "Wasserstein generative adversarial networks", ICML 2017, algorithm 1.
    """
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.clamp_(-MAX_ABS_WEIGHT, MAX_ABS_WEIGHT)
    return real.new_zeros(())


def l1(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the mean absolute weight of the discriminator (lasso); its samples do not matter."""
    return _weights(discriminator).abs().mean()


def l2(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared weight of the discriminator (weight decay); its samples do not matter."""
    return _weights(discriminator).square().mean()


def _weights(discriminator: nn.Module) -> Tensor:
    return torch.cat([parameter.flatten() for parameter in discriminator.parameters()])


def no_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return zero."""
    return real.new_zeros(())


def _gradient(discriminator: nn.Module, samples: Tensor, labels: Tensor) -> Tensor:
    logits = discriminator(samples, labels)
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return gradient.flatten(1)


LOSSES: dict[str, GANLoss] = {
    "relativistic": relativistic,
    "hinge": hinge,
    "non-saturating": non_saturating,
    "minimax": minimax,
    "least-squares": least_squares,
    "wasserstein": wasserstein,
}
PENALTIES: dict[str, Penalty] = {
    "r1+r2": r1_r2,
    "r1": r1,
    "wgan-gp": wgan_gp,
    "weight-clipping": weight_clipping,
    "l1": l1,
    "l2": l2,
    "none": no_penalty,
}
# Called at each step; the others only every few steps, at a larger weight ("lazy regularization").
NON_LAZY_PENALTIES: tuple[Penalty, ...] = (weight_clipping,)
