"""Several discriminators, each with its own view, and several generators, which a classifier tells apart."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from ganaug.networks.layers import Architecture, GeneratorPenalty, Networks, OutputActivation

# Of the filters that show a discriminator an image or a series: their side and stride, in pixels or steps.
FILTER_SIDE, FILTER_STRIDE = 4, 2
# Of samples that are no images, no fewer numbers are left, where they have so many.
MIN_SEEN = 8


class Projected(nn.Module):
    """A discriminator that sees samples through a fixed random projection, to about half their size."""

    weight: Tensor

    def __init__(
        self, build: Architecture, shape: tuple[int, ...], n_classes: int, latent_dim: int, base_channels: int
    ) -> None:
        super().__init__()
        if len(shape) > 1:
            channels, *sides = shape
            seen: tuple[int, ...] = (channels, *(side // FILTER_STRIDE for side in sides))
            weight = torch.randn(channels, channels, *(FILTER_SIDE for _ in sides))
        else:
            seen = (max(min(MIN_SEEN, shape[0]), shape[0] // 2),)
            weight = torch.randn(seen[0], *shape)
        # Of unit length: what a projection shows is as large as what it is shown.
        weight = weight / weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.dim() - 1))
        self.register_buffer("weight", weight)
        self.discriminator: nn.Module = build(
            seen, n_classes, latent_dim, base_channels, torch.tanh
        ).discriminator

    def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Return a logit for each of the samples (n, *shape) with labels (n,)."""
        if samples.dim() == 2:
            return self.discriminator(samples @ self.weight.T, labels)
        convolve = nn.functional.conv2d if samples.dim() == 4 else nn.functional.conv1d
        return self.discriminator(convolve(samples, self.weight, stride=FILTER_STRIDE, padding=1), labels)


class SeveralDiscriminators(nn.ModuleList):
    """Discriminators that judge the same samples, each on its own."""


class GeneratorMixture(nn.ModuleList):
    """Generators that share a batch out among them, in turn."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return a sample for each row of the inputs (n, ...), which are those of one generator."""
        k, n = len(self), len(inputs[0])
        parts = [generator(*(part[i::k] for part in inputs)) for i, generator in enumerate(self)]
        return torch.cat(parts)[self.origins(n).argsort(stable=True).argsort()]

    def origins(self, n: int) -> Tensor:
        """Return which of them makes each of n samples, (n,)."""
        device = next(self.parameters()).device
        return torch.arange(n, device=device) % len(self)


class OriginClassifier(nn.Module):
    """Tell which generator made a sample, by a discriminator whose classes are the generators."""

    def __init__(self, discriminator: nn.Module, n_generators: int) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.n_generators = n_generators

    def forward(self, samples: Tensor) -> Tensor:
        """Return logits (n, n_generators) of samples (n, ...)."""
        n, k = len(samples), self.n_generators
        each = torch.arange(k, device=samples.device).repeat(n)
        return self.discriminator(samples.repeat_interleave(k, dim=0), each).view(n, k)


def several(build: Architecture, discriminators: int, generators: int) -> Architecture:
    """Return an architecture with several of the discriminators and of the generators of another.

    Each of several discriminators sees samples through a random projection of its own [1]_: a convolution of
    images and of series, a matrix product of other samples. None of them can tell real samples from
    generated ones by what it does not see. So the generator gets a gradient from some of them for longer.

    Several generators share each batch out. A classifier learns which of them made a sample, and they
    learn to be told apart ([2]_, [3]_): so they divide the modes of the data among them.

    Parameters
    ----------
    build : Architecture
    discriminators, generators : int
        1: as the architecture has it.

    References
    ----------
    .. [1] Neyshabur et al., "Stabilizing GAN training with multiple random projections", 2017.
    .. [2] Hoang et al., "MGAN: training generative adversarial nets with multiple generators", ICLR 2018.
    .. [3] Ghosh et al., "Multi-agent diverse generative adversarial networks", CVPR 2018.
    """
    if discriminators == generators == 1:
        return build

    def build_several(
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> Networks:
        networks = build(shape, n_classes, latent_dim, base_channels, output_activation)
        if discriminators > 1:
            networks.discriminator = SeveralDiscriminators(
                Projected(build, shape, n_classes, latent_dim, base_channels) for _ in range(discriminators)
            )
        if generators > 1:
            others = [
                build(shape, n_classes, latent_dim, base_channels, output_activation)
                for _ in range(generators - 1)
            ]
            networks.generator = GeneratorMixture(n.generator for n in (networks, *others))
            judge = build(shape, generators, latent_dim, base_channels, output_activation).discriminator
            networks.classifier = OriginClassifier(judge, generators)
            if networks.generator_penalty is not None:
                networks.generator_penalty = _penalty_of_each(networks.generator_penalty)
        return networks

    return build_several


def _penalty_of_each(penalty: GeneratorPenalty) -> GeneratorPenalty:
    """Return the mean penalty of the generators of a mixture, each with its part of the batch."""

    def mean_penalty(mixture: Any, *inputs: Tensor) -> Tensor:
        k = len(mixture)
        each = [penalty(g, *(part[i::k] for part in inputs)) for i, g in enumerate(mixture)]
        return torch.stack(each).mean()

    return mean_penalty


def separate(networks: Networks) -> list[Networks]:
    """Return the same networks with each generator of a mixture by itself, and an encoder of its own."""
    if not isinstance(networks.generator, GeneratorMixture):
        return [networks]
    return [
        dataclasses.replace(networks, generator=generator, encoder=copy.deepcopy(networks.encoder))
        for generator in networks.generator
    ]
