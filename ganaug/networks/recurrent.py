"""recurrent: generator and discriminator are LSTMs, which read noise and series step by step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganaug.networks.layers import EMBED_SIZE, Networks, OutputActivation


class RecurrentGenerator(nn.Module):
    """An LSTM from noise and a class embedding at each step to the values of that step."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        latent_dim: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        hidden = 2 * base_channels
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.lstm: nn.LSTM = nn.LSTM(latent_dim + EMBED_SIZE, hidden, batch_first=True)
        self.values: nn.Linear = nn.Linear(hidden, shape[0])
        self.output_activation = output_activation

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return series (n, channels, length) for noise (n, length, latent_dim) and labels (n,)."""
        states = _read(self.lstm, noise, self.embed(labels))
        return self.output_activation(self.values(states).transpose(1, 2))


class RecurrentDiscriminator(nn.Module):
    """An LSTM that gives a logit at each step, having seen the series up to it and its class."""

    def __init__(self, shape: tuple[int, ...], n_classes: int, base_channels: int) -> None:
        super().__init__()
        hidden = 2 * base_channels
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.lstm: nn.LSTM = nn.LSTM(shape[0] + EMBED_SIZE, hidden, batch_first=True)
        self.logit: nn.Linear = nn.Linear(hidden, 1)

    def forward(self, series: Tensor, labels: Tensor) -> Tensor:
        """Return for each of the series (n, channels, length) with labels (n,) the mean of its logits."""
        # The gradient penalty takes second derivatives, which cuDNN lacks.
        with torch.backends.cudnn.flags(enabled=False):
            states = _read(self.lstm, series.transpose(1, 2), self.embed(labels))
        return self.logit(states).mean(dim=(1, 2))


def _read(lstm: nn.LSTM, steps: Tensor, embedded: Tensor) -> Tensor:
    """Return the states (n, length, hidden) of an LSTM that reads steps (n, length, k) and one condition."""
    return lstm(torch.cat([steps, embedded[:, None].expand(-1, steps.shape[1], -1)], dim=2))[0]


def recurrent(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build a recurrent generator from noise and a recurrent discriminator, for series; see `warping`.

    After Esteban, Hyland & Rätsch, "Real-valued (medical) time series generation with recurrent conditional
    GANs", 2017: LSTMs, which get noise, or a value, and the class at each step. Their loss is a mean over
    steps; here the logits are averaged, so that any loss can be chosen. `shape` is (channels, length). The
    LSTMs have twice `base_channels` units.
    """
    return Networks(
        generator=RecurrentGenerator(shape, n_classes, latent_dim, base_channels, output_activation),
        discriminator=RecurrentDiscriminator(shape, n_classes, base_channels),
        noise_steps=tuple(shape[1:]),
        judges_apart=True,
    )
