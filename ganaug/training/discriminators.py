"""Discriminators: the networks that judge samples, and the losses that come of their judgement."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.networks.layers import Networks
from ganaug.networks.several import GeneratorMixture, SeveralDiscriminators
from ganaug.training.losses import NON_LAZY_PENALTIES, GANLoss, Penalty

# Of the classifier's loss: that of MGAN, for points in the plane.
ORIGIN_WEIGHT = 0.125


class Discriminators:
    """The discriminators of a GAN, mostly one, and of a mixture of generators their classifier.

    Parameters
    ----------
    networks : Networks
    loss, penalty : callable
        See `ganaug.training.losses`.
    penalty_interval : int
        Steps between two evaluations of the penalty; see `GANTrainer`.
    hardest : bool
        Of several discriminators the generator learns from the one with which its loss is largest, instead
        of from all (GMAN, Durugkar et al., "Generative multi-adversarial networks", ICLR 2017).

    Attributes
    ----------
    modules : ModuleDict
        All that is updated to judge.
    """

    def __init__(
        self,
        networks: Networks,
        *,
        loss: GANLoss,
        penalty: Penalty,
        penalty_interval: int,
        hardest: bool,
    ) -> None:
        self.networks = networks
        self.loss = loss
        self.penalty = penalty
        self.hardest = hardest
        self.penalty_interval: int = 1 if penalty in NON_LAZY_PENALTIES else penalty_interval
        self.modules: nn.ModuleDict = nn.ModuleDict({"discriminator": networks.discriminator})
        one = networks.discriminator
        self.each: list[nn.Module] = list(one) if isinstance(one, SeveralDiscriminators) else [one]
        self.classifier: nn.Module | None = networks.classifier
        if networks.classifier is not None:
            self.modules["classifier"] = networks.classifier

    def loss_of_discriminators(
        self, real: Tensor, fake: Tensor, classes: Tensor, penalty_weight: float | None
    ) -> Tensor:
        """Return the sum of their losses, with the penalty unless its weight is None.

        Parameters
        ----------
        real, fake : Tensor of shape (n, ...)
            Without gradient.
        classes : Tensor of shape (n,)
            Class indices of the samples of both.
        penalty_weight : float or None
            Before it is multiplied by the interval.
        """
        loss = torch.zeros((), device=real.device)
        for discriminator in self.each:
            # The penalty comes first: one that changes weights in place may not do so between a
            # forward pass and its backward pass.
            if penalty_weight is not None:
                penalty = self.penalty(discriminator, real, fake, classes)
                loss = loss + penalty_weight * self.penalty_interval * penalty
            loss = loss + self.loss(*_logits(discriminator, real, fake, classes))[0]
        return loss + self._loss_of_classifier(fake)

    def loss_of_generator(self, real: Tensor, fake: Tensor, classes: Tensor) -> Tensor:
        """Return the adversarial loss of the generator; `fake` has its gradient."""
        losses = []
        for discriminator in self.each:
            # The gradient of real samples is left out where that changes nothing.
            logits = _logits_without_real_gradient if self.networks.judges_apart else _logits
            losses.append(self.loss(*logits(discriminator, real, fake, classes))[1])
        each = torch.stack(losses)
        return (each.max() if self.hardest else each.mean()) + self._loss_of_classifier(fake)

    def _loss_of_classifier(self, fake: Tensor) -> Tensor | float:
        """Return how badly it tells which generator made a sample; 0 where there is one alone."""
        if self.classifier is None:
            return 0.0
        mixture: GeneratorMixture = self.networks.generator  # type: ignore[assignment]
        # With an encoder, the first half of what a generator makes is rebuilt.
        n_made = len(fake) if self.networks.encoder is None else 2 * len(fake)
        error = F.cross_entropy(self.classifier(fake), mixture.origins(n_made)[-len(fake) :])
        return ORIGIN_WEIGHT * error


def _logits(discriminator: nn.Module, real: Tensor, fake: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    real_logits, fake_logits = discriminator(torch.cat([real, fake]), classes.repeat(2)).chunk(2)
    return real_logits, fake_logits


def _logits_without_real_gradient(
    discriminator: nn.Module, real: Tensor, fake: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        real_logits = discriminator(real, classes)
    return real_logits, discriminator(fake, classes)
