"""GANTrainer: the networks of a GAN, their optimizers, and the step that updates them."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.data.containers import take
from ganaug.networks.layers import Networks
from ganaug.training.calibration import calibrate
from ganaug.training.losses import NON_LAZY_PENALTIES, GANLoss, Penalty, sliced_wasserstein
from ganaug.training.pairs import ClassIndex, perturb_deltas
from ganaug.training.processes import Processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# Of the running mean of the weights, with which the trained generator works.
EMA_DECAY = 0.995
# Of the mean squared code: `latent_noise` would mean nothing beside codes that grow freely.
CODE_PENALTY_WEIGHT = 1e-4


class Codec(Protocol):
    """The transformer between the user's data and tensors; see `ganaug.data.images.ImageCodec`."""

    chunk_size: int
    is_reduced: bool

    @property
    def working(self) -> Codec:
        """The codec of what networks are trained on: itself, unless `is_reduced`."""
        ...

    def encode(self, X: Any) -> Tensor:
        """Return samples as a float tensor."""
        ...

    def encode_full(self, X: Any) -> Tensor:
        """Return samples as a float tensor, at the size that the user has; where `is_reduced`."""
        ...

    def reduce_encoded(self, full: Tensor) -> Tensor:
        """Return what `encode_full` returned as `encode` returns it."""
        ...

    def restore(self, samples: Tensor) -> Any:
        """Return saved samples in the form the user has."""
        ...

    def augment(self, samples: Tensor, rng: torch.Generator) -> Tensor:
        """Return samples changed in ways that leave their class plausible."""
        ...

    def cutout(self, samples: Tensor, rng: torch.Generator) -> Tensor:
        """Hide a part of each sample from the discriminator; differentiable."""
        ...

    def reconstruction_loss(self, generated: Tensor, target: Tensor) -> Tensor:
        """Return the error of generated samples against their targets, a scalar."""
        ...

    def discretize(self, samples: Tensor, sources: Tensor | None, rng: torch.Generator) -> Tensor:
        """Return generated samples as encoded ones are; `sources` are those they were made from."""
        ...

    def random_projections(self, samples: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return projections (n_projections, n, k), by whose distribution batches are compared."""
        ...


class GANTrainer:
    """Train `networks` on the samples of `X`, step by step.

    With an encoder, the generator learns two tasks at once. The first is reconstruction: it turns a
    source into a target of the same class, given the difference of their codes. The second is
    transfer: it changes the source by the code difference of another pair, of any class. The
    discriminator must then take the result for a sample of the source's class, and its random
    projections must be distributed as those of real samples. Without an encoder codes are noise,
    or calibrated samples, and the adversarial loss is the only one.

    Parameters
    ----------
    X : array or Tensor of shape (n, ...)
        Samples as the user has them; encoded batch by batch.
    labels : ndarray of shape (n,)
        Class indices, int64.
    codec : Codec
    networks : Networks
        Trained in place.
    loss, penalty : callable
        See `ganaug.training.losses`.
    batch_size, latent_dim : int
        The batch is that of all processes together.
    latent_noise : float
        Standard deviation of the noise in `ganaug.training.pairs.perturb_deltas`.
    fabric : Fabric
        Device and precision.
    rng : torch.Generator
        On the CPU; the source of every random number.
    learning_rate : float
        Of Adam, for generator and encoder; falls to zero on a cosine.
    discriminator_lr_ratio : float
        The discriminator's learning rate, constant, as a multiple of `learning_rate`.
    adversarial_weight : float
        Of the adversarial loss, beside the reconstruction loss.
    sliced_wasserstein_weight : float
        Of the distance between random projections of real and of generated samples; with an encoder.
    penalty_weight : float
        Of the gradient penalty.
    penalty_interval : int
        Steps between two evaluations of the penalty, which then has as many times its weight
        (Karras et al., CVPR 2020, "lazy regularization"). Those in `losses.NON_LAZY_PENALTIES` are
        evaluated at each step.
    processes : Processes, optional
        Those that train these networks together, of which all have the same other arguments. Default: this
        one alone.
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
        processes: Processes | None = None,
    ) -> None:
        self.processes = processes or Processes()
        self.X, self.codec, self.class_index = X, codec, ClassIndex(labels)
        self.loss, self.penalty = loss, penalty
        self.batch_size, self.latent_dim, self.latent_noise = batch_size, latent_dim, latent_noise
        self.fabric, self.device, self.rng = fabric, fabric.device, rng
        self.learning_rate, self.discriminator_lr_ratio = learning_rate, discriminator_lr_ratio
        self.adversarial_weight = adversarial_weight
        self.sliced_wasserstein_weight = sliced_wasserstein_weight
        self.penalty_weight = penalty_weight
        self.penalty_interval = 1 if penalty in NON_LAZY_PENALTIES else penalty_interval
        self.networks = networks
        self.calibration = calibrate(X, labels, codec) if networks.calibrated else None
        self.generator_modules = nn.ModuleDict({"generator": networks.generator})
        if networks.encoder is not None:
            self.generator_modules["encoder"] = networks.encoder
        self.ema = copy.deepcopy(self.generator_modules).to(self.device).requires_grad_(False)
        for module in (self.generator_modules, networks.discriminator):
            self.processes.synchronize(module)
        self.generator = fabric.setup_module(networks.generator)
        self.encoder = None if networks.encoder is None else fabric.setup_module(networks.encoder)
        self.discriminator = fabric.setup_module(networks.discriminator)
        self.generator_optimizer = self._adam(self.generator_modules, learning_rate)
        self.discriminator_optimizer = self._adam(self.discriminator, discriminator_lr_ratio * learning_rate)
        self.stateful: dict[str, Any] = {
            "generator_modules": self.generator_modules,
            "ema": self.ema,
            "discriminator": networks.discriminator,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def _adam(self, module: nn.Module, learning_rate: float) -> Any:
        adam = torch.optim.Adam(module.parameters(), lr=learning_rate, betas=(0.5, 0.99), fused=True)
        return self.fabric.setup_optimizers(adam)

    def step(
        self, step: int, steps: int, lr_scale: float
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Update the discriminator, then generator and encoder, once.

        Parameters
        ----------
        step, steps : int
            Steps done before this one, and in all.
        lr_scale : float
            Learning rates are multiplied by it, and the penalty weight is divided by it.

        Returns
        -------
        losses : dict of Tensor of shape ()
            Of "discriminator" and "generator".
        real, fake : Tensor of shape (batch_size, ...)
        classes : Tensor of shape (batch_size,)
            Class indices of the samples of both. Of all processes together, as all that is returned.
        """
        for group in self.discriminator_optimizer.param_groups:
            group["lr"] = lr_scale * self.discriminator_lr_ratio * self.learning_rate
        for group in self.generator_optimizer.param_groups:
            group["lr"] = lr_scale * self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))

        pairs, all_classes = self._sample_pairs()
        classes = self.processes.own(all_classes)
        source, target = pairs.chunk(2)
        reconstruction = None
        if self.encoder is None:
            noise = self.processes.own(self._noise(all_classes))
            fake, codes = self.generator(noise.to(self.device), classes), None
        else:
            codes, target_codes = self.encoder(pairs).chunk(2)
            deltas = target_codes - codes
            permutation = torch.randperm(self.batch_size, generator=self.rng)
            all_deltas = self.processes.gather(deltas)[permutation]
            transferred = self.processes.own(perturb_deltas(all_deltas, self.latent_noise, self.rng))
            generated = self.generator(
                _twice(source), _twice(codes), torch.cat([deltas, transferred]), _twice(classes)
            )
            reconstruction, fake = generated.chunk(2)

        shown = target, fake
        if self.calibration is not None:
            shown = self.calibration.deviations(target, fake, classes)
        shown_real, shown_fake = self.processes.change(self.codec.cutout, torch.cat(shown), self.rng).chunk(2)
        shown_real = shown_real.detach()
        penalty_weight = self.penalty_weight / lr_scale if step % self.penalty_interval == 0 else None
        discriminator_loss = self._update_discriminator(
            shown_real, shown_fake.detach(), classes, penalty_weight
        )

        self.discriminator.requires_grad_(False)
        all_real, all_fake = self.processes.gather(torch.stack([target, fake], dim=1)).unbind(1)
        generator_loss = self.loss(*self._logits_for_generator(shown_real, shown_fake, classes))[1]
        if reconstruction is not None and codes is not None:
            error = self.codec.reconstruction_loss(self._downsample(reconstruction), self._downsample(target))
            regularization = CODE_PENALTY_WEIGHT * codes.square().mean()
            generator_loss = error + self.adversarial_weight * generator_loss + regularization
            if self.sliced_wasserstein_weight:
                distance = self._sliced_wasserstein_loss(all_real, all_fake)
                generator_loss = generator_loss + self.sliced_wasserstein_weight * distance
        generator_loss = self._optimize(self.generator_optimizer, generator_loss)
        self._update_ema(min(EMA_DECAY, (1 + step) / (10 + step)))
        losses = {"discriminator": discriminator_loss, "generator": generator_loss}
        return losses, all_real, all_fake, all_classes

    def _noise(self, classes: Tensor) -> Tensor:
        """Return what a generator without an encoder starts from, on the CPU."""
        if self.calibration is None:
            return torch.randn(self.batch_size, self.latent_dim, generator=self.rng)
        return self.calibration.sample(self._encoded_at, classes.cpu(), self.rng)

    def _encoded_at(self, which: Tensor) -> Tensor:
        return self.codec.encode(take(self.X, which))

    def _sample_pairs(self) -> tuple[Tensor, Tensor]:
        """Return this process's encoded sources, then as many targets of the same classes; and all classes.

        Each class is equally likely, whatever its size.
        """
        classes = self.class_index.sample_classes(self.batch_size, 0.0, self.rng)
        pairs = self.processes.own_halves(torch.cat(self.class_index.sample_pairs(classes, self.rng)))
        encoded = self.codec.encode(take(self.X, pairs)).to(self.device)
        return self.processes.change(self.codec.augment, encoded, self.rng), classes.to(self.device)

    def _update_discriminator(
        self, real: Tensor, fake: Tensor, classes: Tensor, penalty_weight: float | None
    ) -> Tensor:
        """Update the discriminator, with the penalty unless its weight is None; return its loss."""
        self.discriminator.requires_grad_(True)
        # The penalty comes first: one that changes weights in place may not do so between a
        # forward pass and its backward pass.
        loss = torch.zeros((), device=self.device)
        if penalty_weight is not None:
            penalty = self.penalty(self.discriminator, real, fake, classes)
            loss = penalty_weight * self.penalty_interval * penalty
        loss = loss + self.loss(*self._logits(real, fake, classes))[0]
        return self._optimize(self.discriminator_optimizer, loss)

    def _logits(self, real: Tensor, fake: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake]), _twice(classes)).chunk(2)
        return real_logits, fake_logits

    def _logits_for_generator(self, real: Tensor, fake: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same logits, with a gradient for generated samples alone where that changes nothing."""
        if not self.networks.judges_apart:
            return self._logits(real, fake, classes)
        with torch.no_grad():
            real_logits = self.discriminator(real, classes)
        return real_logits, self.discriminator(fake, classes)

    def _downsample(self, samples: Tensor) -> Tensor:
        coarseness = self.networks.coarseness
        return F.avg_pool2d(samples, coarseness) if coarseness > 1 else samples

    def _sliced_wasserstein_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        projections = self.codec.random_projections(torch.cat([real, fake]), self.rng)
        # Real samples need no gradient.
        halves = [projection.chunk(2, dim=1) for projection in projections]
        distances = [sliced_wasserstein(r.detach().flatten(1), f.flatten(1)) for r, f in halves]
        return sum(distances, torch.zeros((), device=self.device))

    def _optimize(self, optimizer: Any, loss: Tensor) -> Tensor:
        """Update what an optimizer has; return the loss, that of all processes together."""
        optimizer.zero_grad()
        self.fabric.backward(loss)
        loss = self.processes.average_gradients(optimizer.param_groups[0]["params"], loss)
        optimizer.step()
        return loss

    @torch.no_grad()
    def _update_ema(self, decay: float) -> None:
        modules = self.generator_modules
        for mean, parameter in zip(self.ema.parameters(), modules.parameters(), strict=True):
            mean.lerp_(parameter, 1 - decay)
        for statistic, current in zip(self.ema.buffers(), modules.buffers(), strict=True):
            statistic.copy_(current)  # the statistics of batch norm are running means already

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that the next step depends on, but for the random numbers."""
        return {name: copy.deepcopy(part.state_dict()) for name, part in self.stateful.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, part in self.stateful.items():
            part.load_state_dict(copy.deepcopy(state[name]))

    def result(self) -> Networks:
        """Return encoder and generator with averaged weights, in eval mode; the discriminator as it is."""
        self.discriminator.requires_grad_(True)
        self.ema.eval()
        encoder = self.ema["encoder"] if self.encoder is not None else None
        return dataclasses.replace(self.networks, generator=self.ema["generator"], encoder=encoder)


def _twice(samples: Tensor) -> Tensor:
    return torch.cat([samples, samples])
