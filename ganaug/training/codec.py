"""Codec: what the training loop asks of a kind of data."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


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
