"""Losses and penalties: functions of logits, of a discriminator and of projections; all but one are pure."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GANLoss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Penalty = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]

CLIP = 0.01  # what `weight_clipping` leaves of a weight


def minimax(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two sides of the original minimax game [1]_.

    Parameters
    ----------
    real, fake : Tensor of shape (n,)
        Logits of the discriminator for real rows and for generated ones.

    Returns
    -------
    for_discriminator, for_generator : Tensor of shape ()
        What each side minimises.

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

    Row i of `real` is compared with row i of `fake`, so the two must carry the same labels.

    References
    ----------
    .. [1] Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024, equation 2.
    """
    return F.softplus(fake - real).mean(), F.softplus(real - fake).mean()


def sliced_wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """Return how far two sets of numbers lie apart, in the mean over projections [1]_, [2]_.

    Parameters
    ----------
    real, fake : Tensor of shape (n_projections, n)
        What each projection makes of real data and of generated ones, in any order.

    Returns
    -------
    Tensor of shape ()
        Mean Wasserstein-1 distance.

    References
    ----------
    .. [1] Rabin et al., "Wasserstein barycenter and its application to texture mixing", SSVM 2011.
    .. [2] Heitz et al., "A sliced Wasserstein loss for neural texture synthesis", CVPR 2021.
    """
    return (real.sort(dim=1).values - fake.sort(dim=1).values).abs().mean()


def r1_r2(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the zero-centred gradient penalties on real (R1) and on generated rows (R2) [1]_.

    Parameters
    ----------
    discriminator : Module
        Called as ``discriminator(rows, labels)``, returns logits of shape (n,).
    real, fake : Tensor of shape (n, ...)
        Rows of the same labels.
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
    rows = torch.cat([real, fake]).detach().requires_grad_(True)
    squared = _gradient(discriminator, rows, labels.repeat(2)).square().sum(1)
    return 2 * squared.mean()


def r1(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient penalty on real rows alone; see `r1_r2`."""
    rows = real.detach().requires_grad_(True)
    return _gradient(discriminator, rows, labels).square().sum(1).mean()


def wgan_gp(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return the one-centred penalty between real and generated rows [1]_; see `r1_r2`.

    The place between the two is drawn once for a batch, evenly over its rows, so that no
    random state is consumed.

    References
    ----------
    .. [1] Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, equation 3.
    """
    share = torch.linspace(0, 1, len(real), device=real.device)
    share = share.view(-1, *[1] * (real.dim() - 1))
    rows = torch.lerp(real, fake, share).detach().requires_grad_(True)
    return (_gradient(discriminator, rows, labels).norm(dim=1) - 1).square().mean()


def weight_clipping(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Clip the parameters of the discriminator to [-0.01, 0.01] in place, and return zero [1]_.

    The one penalty that is an act and not a term, so the loop calls it at each step, before it
    takes the logits; see `NON_LAZY_PENALTIES`. The weight of the penalty has no effect. A discriminator
    is thus clipped before each of its updates, and afterwards exceeds the bound by that update.

    References
    ----------
    .. [1] Arjovsky et al., "Wasserstein generative adversarial networks", ICML 2017, algorithm 1.
    """
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.clamp_(-CLIP, CLIP)
    return real.new_zeros(())


def no_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor) -> Tensor:
    """Return zero."""
    return real.new_zeros(())


def _gradient(discriminator: nn.Module, rows: Tensor, labels: Tensor) -> Tensor:
    logits = discriminator(rows, labels)
    (gradient,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
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
    "none": no_penalty,
}
NON_LAZY_PENALTIES: tuple[Penalty, ...] = (weight_clipping,)  # not to be taken lazily, every few steps
