"""GANTrainer: the networks of a GAN, their optimizers, and the step that updates them."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug.data.containers import take
from ganaug.networks.layers import Networks
from ganaug.training.calibration import Calibration, calibrate
from ganaug.training.codec import Codec
from ganaug.training.discriminators import Discriminators
from ganaug.training.early_stopping import EarlyStopping
from ganaug.training.losses import GANLoss, Penalty, sliced_wasserstein
from ganaug.training.optimizers import OptimizerFactory, Schedule, adam, schedule_factors
from ganaug.training.pairs import ClassIndex, mix_levels, perturb_deltas, twice
from ganaug.training.processes import Processes

# Of the running mean of the weights, with which the trained generator works.
EMA_DECAY = 0.995
# Of the mean squared code: `latent_noise` would mean nothing beside codes that grow freely.
CODE_PENALTY_WEIGHT = 1e-4
# Steps between two evaluations of a penalty.
PENALTY_INTERVAL = 4


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
    device : torch.device
    rng : torch.Generator
        On the CPU; the source of every random number.
    learning_rate : float
        Of generator and encoder.
    discriminator_lr_ratio : float
        The discriminator's learning rate, as a multiple of `learning_rate`.
    optimizer : callable
        See `ganaug.training.optimizers`.
    schedule : callable, optional
        Of both learning rates, as there. Default: that of generator and encoder falls to zero on a cosine,
        the discriminator's is constant.
    hardest_discriminator : bool
        See `Discriminators`.
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
    early_stopping : EarlyStopping, optional
        By which training ends before its last step. Default: it doesn't.
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
        device: torch.device,
        rng: torch.Generator,
        learning_rate: float = 1e-3,
        discriminator_lr_ratio: float = 0.4,
        optimizer: OptimizerFactory = adam,
        schedule: Schedule | None = None,
        hardest_discriminator: bool = False,
        adversarial_weight: float = 0.1,
        sliced_wasserstein_weight: float = 1.0,
        penalty_weight: float = 0.2,
        penalty_interval: int = PENALTY_INTERVAL,
        early_stopping: EarlyStopping | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.processes: Processes = processes or Processes()
        self.X = X
        self.codec = codec
        self.class_index: ClassIndex = ClassIndex(labels)
        self.batch_size = batch_size
        self.latent_dim = latent_dim
        self.latent_noise = latent_noise
        self.device = device
        self.rng = rng
        self.learning_rate = learning_rate
        self.discriminator_lr_ratio = discriminator_lr_ratio
        self.factors: list[float] = []
        self.schedule = schedule
        self.adversarial_weight = adversarial_weight
        self.sliced_wasserstein_weight = sliced_wasserstein_weight
        self.penalty_weight = penalty_weight
        self.networks = networks
        self.calibration: Calibration | None = calibrate(X, labels, codec) if networks.calibrated else None
        self.generator_modules: nn.ModuleDict = nn.ModuleDict({"generator": networks.generator})
        if networks.encoder is not None:
            self.generator_modules["encoder"] = networks.encoder
        self.ema: nn.ModuleDict = copy.deepcopy(self.generator_modules).to(self.device).requires_grad_(False)
        self.discriminators: Discriminators = Discriminators(
            networks,
            loss=loss,
            penalty=penalty,
            penalty_interval=penalty_interval,
            hardest=hardest_discriminator,
        )
        self.early_stopping = early_stopping
        self._set_up(optimizer)

    def _set_up(self, optimizer: OptimizerFactory) -> None:
        """Bring the networks to the device, and make their optimizers."""
        networks, judges = self.networks, self.discriminators.modules
        for module in (self.generator_modules, judges):
            self.processes.synchronize(module.to(self.device))
        self.generator: nn.Module = networks.generator
        self.encoder: nn.Module | None = networks.encoder
        modules = [*self.generator_modules.modules(), *judges.modules()]
        self.growing: list[Any] = [module for module in modules if hasattr(module, "grow")]
        rate, ratio = self.learning_rate, self.discriminator_lr_ratio
        self.generator_optimizer: torch.optim.Optimizer = optimizer(self.generator_modules.parameters(), rate)
        self.discriminator_optimizer: torch.optim.Optimizer = optimizer(judges.parameters(), ratio * rate)
        self.stateful: dict[str, Any] = {
            "generator_modules": self.generator_modules,
            "ema": self.ema,
            "discriminators": judges,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
        if self.early_stopping is not None:
            self.early_stopping.start(self.ema)
            self.stateful["early_stopping"] = self.early_stopping

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
        self._set_learning_rates(step, steps, lr_scale)
        for module in self.growing:
            module.grow((step + 1) / steps)
        pairs, all_classes = self._sample_pairs()
        classes = self.processes.own(all_classes)
        source, target = pairs.chunk(2)
        reconstruction = None
        if self.encoder is None:
            noise = self.processes.own(self._noise(all_classes)).to(self.device)
            inputs: tuple[Tensor, ...] = (noise, classes)
            fake, codes = self.generator(*inputs), None
        else:
            codes, target_codes = self.encoder(pairs).chunk(2)
            deltas = target_codes - codes
            transferred = self._transferred_deltas(deltas)
            inputs = twice(source), twice(codes), torch.cat([deltas, transferred]), twice(classes)
            reconstruction, fake = self.generator(*inputs).chunk(2)

        shown = target, fake
        if self.calibration is not None:
            shown = self.calibration.deviations(target, fake, classes)
        shown_real, shown_fake = self.processes.change(self.codec.cutout, torch.cat(shown), self.rng).chunk(2)
        shown_real = shown_real.detach()
        judges = self.discriminators
        penalty_weight = self.penalty_weight / lr_scale if step % judges.penalty_interval == 0 else None
        judges.modules.requires_grad_(True)
        loss = judges.loss_of_discriminators(shown_real, shown_fake.detach(), classes, penalty_weight)
        discriminator_loss = self._optimize(self.discriminator_optimizer, loss)

        judges.modules.requires_grad_(False)
        shown_to_all = torch.stack([target, fake], dim=1)
        all_real, all_fake = self.processes.gather(shown_to_all, alike=True).unbind(1)
        generator_loss = judges.loss_of_generator(shown_real, shown_fake, classes)
        if reconstruction is not None and codes is not None:
            error = self.codec.reconstruction_loss(self._downsample(reconstruction), self._downsample(target))
            regularization = CODE_PENALTY_WEIGHT * codes.square().mean()
            generator_loss = error + self.adversarial_weight * generator_loss + regularization
            if self.sliced_wasserstein_weight:
                distance = self._sliced_wasserstein_loss(all_real, all_fake)
                generator_loss = generator_loss + self.sliced_wasserstein_weight * distance
        if self.networks.generator_penalty is not None and step % PENALTY_INTERVAL == 0:
            penalty = self.networks.generator_penalty(self.networks.generator, *map(Tensor.detach, inputs))
            generator_loss = generator_loss + PENALTY_INTERVAL * penalty
        generator_loss = self._optimize(self.generator_optimizer, generator_loss)
        self._update_ema(min(EMA_DECAY, (1 + step) / (10 + step)))
        losses = {"discriminator": discriminator_loss, "generator": generator_loss}
        return losses, all_real, all_fake, all_classes

    def _set_learning_rates(self, step: int, steps: int, lr_scale: float) -> None:
        if self.schedule is None:
            for_generator, for_discriminator = 0.5 * (1 + math.cos(math.pi * step / steps)), 1.0
        else:
            if len(self.factors) != steps:
                self.factors = schedule_factors(self.schedule, steps)
            for_generator = for_discriminator = self.factors[step]
        for group in self.discriminator_optimizer.param_groups:
            group["lr"] = lr_scale * self.discriminator_lr_ratio * self.learning_rate * for_discriminator
        for group in self.generator_optimizer.param_groups:
            group["lr"] = lr_scale * self.learning_rate * for_generator

    def _transferred_deltas(self, deltas: Tensor) -> Tensor:
        """Return what changes each source: the delta of another pair, or the styles of its own target."""
        all_deltas = self.processes.gather(deltas)
        if self.networks.code_levels:
            mixed = mix_levels(all_deltas, self.networks.code_levels, self.latent_noise, self.rng)
            return self.processes.own(mixed)
        others = all_deltas[torch.randperm(self.batch_size, generator=self.rng)]
        return self.processes.own(perturb_deltas(others, self.latent_noise, self.rng))

    def _noise(self, classes: Tensor) -> Tensor:
        """Return what a generator without an encoder starts from, on the CPU."""
        if self.calibration is None:
            shape = self.batch_size, *self.networks.noise_steps, self.latent_dim
            return torch.randn(shape, generator=self.rng)
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
        loss.backward()
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

    @property
    def is_over(self) -> bool:
        """Whether early stopping ends the training."""
        return self.early_stopping is not None and self.early_stopping.is_over

    def compare_with_held_out(self) -> dict[str, float]:
        """Return how far samples are from held-out ones, and keep the best weights; with early stopping."""
        if self.early_stopping is None:
            return {}
        return {"held_out_distance": self.early_stopping.update(self.result(), self.ema)}

    def use_best(self) -> None:
        """Go back to the averaged weights that were the best ones, where early stopping looks for them."""
        if self.early_stopping is not None:
            self.ema.load_state_dict(self.early_stopping.best)

    def result(self) -> Networks:
        """Return encoder and generator with averaged weights, in eval mode; the discriminator as it is."""
        self.discriminators.modules.requires_grad_(True)
        self.ema.eval()
        encoder = self.ema["encoder"] if self.encoder is not None else None
        return dataclasses.replace(self.networks, generator=self.ema["generator"], encoder=encoder)
