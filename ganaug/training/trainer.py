"""GANTrainer: the two sides of a GAN, and the step that trains them both."""

from __future__ import annotations

import copy
import math
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.data.containers import take
from ganaug.networks.layers import Networks
from ganaug.training.losses import NON_LAZY_PENALTIES, GANLoss, Penalty, sliced_wasserstein
from ganaug.training.pairs import ClassIndex, perturb_deltas

EMA_DECAY = 0.995  # of the running mean of the weights, which is what is kept


class Codec(Protocol):
    """What training and sampling need of a kind of data; see `ganaug.data.images.ImageCodec`."""

    chunk_size: int

    def encode(self, X: Any) -> Tensor:
        """Return rows as floats."""
        ...

    def restore(self, rows: Tensor) -> Any:
        """Return saved rows in the kind the user has."""
        ...

    def augment(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Change rows in ways that leave them likely members of their class."""
        ...

    def cutout(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Hide a part of each row from the discriminator; differentiable."""
        ...

    def reconstruction_loss(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Return how far generated rows are from those that they should be, a scalar."""
        ...

    def discretize(self, rows: Tensor, start: Tensor | None, rng: torch.Generator) -> Tensor:
        """Return generated rows as encoded ones are; `start` are those they were made from."""
        ...

    def random_projections(self, rows: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return numbers (n_projections, n, k), by whose distribution batches are compared."""
        ...


class GANTrainer:
    """Train `networks` on the rows of `X`, step by step.

    With an encoder, the generator learns two things at once: to turn a row into another of its
    class, given the difference of their codes, and to change it by the difference of two rows of
    any class in such a way that the discriminator takes the result for one of the first row's
    class, and that random projections of it are distributed as those of real rows. Without one,
    codes are noise and only the discriminator teaches.

    Parameters
    ----------
    X : array or Tensor of shape (n, ...)
        Rows as the user has them; encoded batch by batch.
    labels : ndarray of shape (n,)
        Class indices, int64.
    codec : Codec
    networks : Networks
        Trained in place.
    loss, penalty : callable
        See `ganaug.losses`.
    batch_size, latent_dim : int
    latent_noise : float
        Of `ganaug.training.pairs.perturb_deltas`.
    fabric : Fabric
        Device and precision.
    rng : torch.Generator
        On the CPU; every random number comes from it.
    learning_rate : float
        Of Adam, for generator and encoder; falls to zero on a cosine.
    discriminator_lr_ratio : float
        The discriminator's learning rate, constant, as a multiple of `learning_rate`.
    adversarial_weight : float
        Of the adversarial loss beside the reconstruction of the other row.
    sliced_wasserstein_weight : float
        Of the distance between random projections of real and of generated rows; with an encoder.
    penalty_weight : float
        Of the gradient penalty, which is taken every `penalty_interval` steps at as many times its
        weight (Karras et al., CVPR 2020, "lazy regularization"). Those in `losses.NON_LAZY_PENALTIES`
        are taken at each step.
    """

    def __init__(
        self,
        X: Any,
        labels: np.ndarray,
        codec: Codec,
        networks: Networks,
        *,
        loss: GANLoss,
        penalty: Penalty,
        batch_size: int,
        latent_dim: int,
        latent_noise: float,
        fabric: Fabric,
        rng: torch.Generator,
        learning_rate: float = 1e-3,
        discriminator_lr_ratio: float = 0.4,
        adversarial_weight: float = 0.1,
        sliced_wasserstein_weight: float = 1.0,
        penalty_weight: float = 0.2,
        penalty_interval: int = 4,
    ) -> None:
        self.X, self.codec, self.rows = X, codec, ClassIndex(labels)
        self.loss, self.penalty = loss, penalty
        self.interval = 1 if penalty in NON_LAZY_PENALTIES else penalty_interval
        self.batch_size, self.latent_dim, self.latent_noise = batch_size, latent_dim, latent_noise
        self.fabric, self.device, self.rng = fabric, fabric.device, rng
        self.learning_rate, self.discriminator_lr_ratio = learning_rate, discriminator_lr_ratio
        self.adversarial_weight, self.sliced_wasserstein_weight = (
            adversarial_weight,
            sliced_wasserstein_weight,
        )
        self.penalty_weight = penalty_weight
        self.discriminator, self.coarseness = networks.discriminator, networks.coarseness
        self.makers = nn.ModuleDict({"generator": networks.generator})
        if networks.encoder is not None:
            self.makers["encoder"] = networks.encoder
        self.means = copy.deepcopy(self.makers).to(self.device).requires_grad_(False)
        self.generate = fabric.setup_module(networks.generator)
        self.encode = None if networks.encoder is None else fabric.setup_module(networks.encoder)
        self.judge = fabric.setup_module(networks.discriminator)
        self.maker_steps = self._adam(self.makers, learning_rate)
        self.judge_steps = self._adam(self.judge, discriminator_lr_ratio * learning_rate)
        self.parts: dict[str, Any] = {
            "makers": self.makers,
            "means": self.means,
            "discriminator": self.discriminator,
            "maker_steps": self.maker_steps,
            "judge_steps": self.judge_steps,
        }

    def _adam(self, module: nn.Module, learning_rate: float) -> Any:
        adam = torch.optim.Adam(module.parameters(), lr=learning_rate, betas=(0.5, 0.99), fused=True)
        return self.fabric.setup_optimizers(adam)

    def step(self, step: int, steps: int, gentle: float) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Update both sides once.

        Parameters
        ----------
        step, steps : int
            How many are done, and how many there will be.
        gentle : float
            Learning rates are multiplied by it, and the penalty divided.

        Returns
        -------
        losses : dict of Tensor of shape ()
            Of both sides.
        real, fake : Tensor of shape (batch_size, ...)
        classes : Tensor of shape (batch_size,)
            Of the rows of both.
        """
        for group in self.judge_steps.param_groups:
            group["lr"] = gentle * self.discriminator_lr_ratio * self.learning_rate
        for group in self.maker_steps.param_groups:
            group["lr"] = gentle * self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))

        pairs, classes = self._draw()
        first, second = pairs.chunk(2)
        rebuilt = None
        if self.encode is None:
            noise = torch.randn(self.batch_size, self.latent_dim, generator=self.rng)
            fake, codes = self.generate(noise.to(self.device), classes), None
        else:
            codes, other_codes = self.encode(pairs).chunk(2)
            deltas = other_codes - codes
            others = torch.randperm(self.batch_size, generator=self.rng)
            borrowed = perturb_deltas(deltas[others], self.latent_noise, self.rng)
            made = self.generate(_twice(first), _twice(codes), torch.cat([deltas, borrowed]), _twice(classes))
            rebuilt, fake = made.chunk(2)

        shown_real, shown_fake = self.codec.cutout(torch.cat([second, fake]), self.rng).chunk(2)
        shown_real = shown_real.detach()
        regular = self.penalty_weight / gentle if step % self.interval == 0 else None
        judge_loss = self._update_judge(shown_real, shown_fake.detach(), classes, regular)

        self.judge.requires_grad_(False)
        maker_loss = self.loss(*self._logits(shown_real, shown_fake, classes))[1]
        if rebuilt is not None and codes is not None:
            rebuilding = self.codec.reconstruction_loss(self._coarse(rebuilt), self._coarse(second))
            maker_loss = rebuilding + self.adversarial_weight * maker_loss + 1e-4 * codes.square().mean()
            if self.sliced_wasserstein_weight:
                maker_loss = maker_loss + self.sliced_wasserstein_weight * self._apart(second, fake)
        self._update(self.maker_steps, maker_loss)
        self._average(min(EMA_DECAY, (1 + step) / (10 + step)))
        return {"discriminator": judge_loss, "generator": maker_loss}, second, fake, classes

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Return an encoded row of each of some classes, then another of each; and the classes."""
        classes = self.rows.draw_classes(self.batch_size, 0.0, self.rng)  # all alike
        pairs = torch.cat(self.rows.draw_pairs(classes, self.rng))
        encoded = self.codec.encode(take(self.X, pairs)).to(self.device)
        return self.codec.augment(encoded, self.rng), classes.to(self.device)

    def _update_judge(self, real: Tensor, fake: Tensor, classes: Tensor, regular: float | None) -> Tensor:
        self.judge.requires_grad_(True)
        # The penalty comes first: one that changes weights in place may not do so between a
        # forward pass and its backward pass.
        loss = torch.zeros((), device=self.device)
        if regular is not None:
            loss = regular * self.interval * self.penalty(self.judge, real, fake, classes)
        loss = loss + self.loss(*self._logits(real, fake, classes))[0]
        self._update(self.judge_steps, loss)
        return loss

    def _logits(self, real: Tensor, fake: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        real_logits, fake_logits = self.judge(torch.cat([real, fake]), _twice(classes)).chunk(2)
        return real_logits, fake_logits

    def _coarse(self, rows: Tensor) -> Tensor:
        return F.avg_pool2d(rows, self.coarseness) if self.coarseness > 1 else rows

    def _apart(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return how differently random projections of the two are distributed."""
        projected = self.codec.random_projections(torch.cat([real, fake]), self.rng)
        seen = [part.chunk(2, dim=1) for part in projected]
        return sum(
            (sliced_wasserstein(theirs.flatten(1), ours.flatten(1)) for theirs, ours in seen),
            torch.zeros((), device=self.device),
        )

    def _update(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.fabric.backward(loss)
        optimizer.step()

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        for mean, parameter in zip(self.means.parameters(), self.makers.parameters(), strict=True):
            mean.lerp_(parameter, 1 - decay)
        for statistic, now in zip(self.means.buffers(), self.makers.buffers(), strict=True):
            statistic.copy_(now)  # the statistics of batch norm are running means already

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that the next step depends on, but for the random numbers."""
        return {name: copy.deepcopy(part.state_dict()) for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, part in self.parts.items():
            part.load_state_dict(copy.deepcopy(state[name]))

    def result(self) -> Networks:
        """Return encoder and generator with averaged weights, in eval mode; the discriminator as it is."""
        self.judge.requires_grad_(True)
        self.means.eval()
        encoder = self.means["encoder"] if self.encode is not None else None
        return Networks(self.means["generator"], self.discriminator, encoder)


def _twice(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows])
