"""features: a generator that refines calibrated feature vectors, and at first leaves them as they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganaug.networks.layers import EMBED_SIZE, Networks, OutputActivation
from ganaug.networks.tabular import RowDiscriminator, mlp


class RefiningGenerator(nn.Module):
    """Add to a vector a change that depends on it and on its class; none until it has been trained."""

    def __init__(
        self,
        shape: tuple[int, ...],
        n_classes: int,
        base_channels: int,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        n_features = math.prod(shape)
        self.embed: nn.Embedding = nn.Embedding(n_classes, EMBED_SIZE)
        self.change: nn.Sequential = mlp(n_features + EMBED_SIZE, base_channels, n_features)
        self.output_activation = output_activation
        with torch.no_grad():
            for parameter in self.change[-1].parameters():
                parameter.zero_()

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Return the vectors (n, *shape), changed."""
        change = self.change(torch.cat([vectors.flatten(1), self.embed(labels)], dim=1))
        return self.output_activation(vectors + change.view_as(vectors))


def features(
    shape: tuple[int, ...],
    n_classes: int,
    latent_dim: int,
    base_channels: int,
    output_activation: OutputActivation,
) -> Networks:
    """Build a generator from calibrated vectors and a discriminator; see `ganaug.training.calibration`.

    The noise that a GAN begins with is here a draw of the empirical-Bayes Gaussian of the class. Not
    trained, the generator passes it on. The discriminator is shown how far samples lie from the mean of
    their class, real and generated ones alike: so training refines the shape of a class, but can't move it
    back to the mean of the few vectors that are there. `latent_dim` means nothing here; `shape` may be any.
    """
    return Networks(
        generator=RefiningGenerator(shape, n_classes, base_channels, output_activation),
        discriminator=RowDiscriminator(shape, n_classes, base_channels),
        calibrated=True,
    )
