"""TrainedGenerator: trained networks together with the training samples that they transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganaug.data.containers import concat, take
from ganaug.networks.layers import Networks
from ganaug.training.pairs import ClassIndex, perturb_deltas
from ganaug.training.trainer import Codec


class TrainedGenerator:
    """Generate encoded samples of given classes.

    Parameters
    ----------
    networks : Networks
        Trained, in eval mode.
    codec : Codec
    labels : ndarray of shape (n,)
        Class indices of the training samples, int64.
    X : array or Tensor of shape (n, ...)
        The training samples, as the user has them. Not kept by a generator from noise.
    latent_dim : int
    latent_noise : float
        Standard deviation of the noise in `ganaug.training.pairs.perturb_deltas`.
    strength : float
        Scale of the code difference, which is 1 in training.
    """

    def __init__(
        self,
        networks: Networks,
        codec: Codec,
        labels: np.ndarray,
        X: Any,
        *,
        latent_dim: int,
        latent_noise: float,
        strength: float,
    ) -> None:
        self.generator = networks.generator
        self.encoder = networks.encoder
        self.codec = codec
        self.labels = labels
        self.latent_dim = latent_dim
        self.latent_noise = latent_noise
        self.strength = strength
        self.class_index = ClassIndex(labels)
        self.device = next(networks.generator.parameters()).device
        self.X = self.codes = None
        if self.encoder is not None:
            self.X = X
            chunks = [X[i : i + codec.chunk_size] for i in range(0, len(labels), codec.chunk_size)]
            self.codes = torch.cat([self._encode(self.codec.encode(chunk)) for chunk in chunks])

    @torch.no_grad()
    def _encode(self, encoded: Tensor) -> Tensor:
        assert self.encoder is not None  # noqa: S101 - for the type checker
        return self.encoder(encoded.to(self.device)).cpu()

    @torch.no_grad()
    def sample(self, classes: Tensor, rng: torch.Generator) -> Tensor:
        """Return a random encoded sample of each of `classes`."""
        if self.codes is None:
            noise = torch.randn(len(classes), self.latent_dim, generator=rng)
            samples = self.generator(noise.to(self.device), classes.to(self.device)).cpu()
            return self.codec.discretize(samples, None, rng)
        sources, _ = self.class_index.sample_pairs(classes, rng)
        return self._transform(take(self.X, sources), self.codes[sources], classes, 1.0, rng)

    @torch.no_grad()
    def vary(self, X: Any, classes: Tensor, strength: float, rng: torch.Generator) -> Tensor:
        """Return an encoded variation of each of the samples `X`."""
        return self._transform(X, self._encode(self.codec.encode(X)), classes, strength, rng)

    def _transform(
        self, X: Any, codes: Tensor, classes: Tensor, strength: float, rng: torch.Generator
    ) -> Tensor:
        """Change samples by code differences of pairs of one class, drawn by class frequency."""
        assert self.codes is not None  # noqa: S101 - for the type checker
        donor_classes = self.class_index.sample_classes(len(codes), 1.0, rng)
        first, second = self.class_index.sample_pairs(donor_classes, rng)
        deltas = perturb_deltas(self.codes[first] - self.codes[second], self.latent_noise, rng)
        deltas = self.strength * strength * deltas
        sources = self.codec.encode(X)
        inputs = (sources, codes, deltas, classes)
        samples = self.generator(*(tensor.to(self.device) for tensor in inputs)).cpu()
        return self.codec.discretize(samples, sources, rng)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that `from_tensors` needs, by name."""
        tensors = {"labels": torch.from_numpy(self.labels.copy())}
        if self.X is not None:
            tensors["rows"] = torch.as_tensor(self.X).contiguous()
        for name, network in _inference_modules(self.generator, self.encoder).items():
            tensors |= {f"{name}.{k}": v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
        return tensors

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Tensor], networks: Networks, codec: Codec, **settings: Any
    ) -> TrainedGenerator:
        """Restore a generator into newly built `networks`; with the `settings` of the class.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            If a tensor is missing, unexpected, or of another shape.
        """
        tensors = dict(tensors)
        X = None
        if networks.encoder is not None:
            X = codec.restore(tensors["rows"])
        tensors.pop("rows", None)  # it may be another architecture's
        labels = tensors.pop("labels").numpy()
        if X is not None and len(X) != len(labels):
            raise ValueError(f"{len(X)} rows with {len(labels)} labels")
        for name, network in _inference_modules(networks.generator, networks.encoder).items():
            names = [k for k in tensors if k.startswith(name + ".")]
            network.load_state_dict({k.removeprefix(name + "."): tensors.pop(k) for k in names}, strict=True)
            network.eval().requires_grad_(False)
        if tensors:
            raise ValueError(f"unexpected tensors: {sorted(tensors)[:3]}")
        return cls(networks, codec, labels, X, **settings)


def _inference_modules(generator: nn.Module, encoder: nn.Module | None) -> dict[str, nn.Module]:
    return {"generator": generator} if encoder is None else {"generator": generator, "encoder": encoder}


def n_members_per_architecture(members: Sequence[TrainedGenerator], n_classes: int) -> int:
    """Return how many of them are of one architecture: one for all classes, or one for each."""
    shared = len(members[0].class_index.counts) > 1
    return 1 if shared else n_classes


def generate_in_batches(
    members: Sequence[TrainedGenerator],
    codec: Any,
    n_classes: int,
    classes: Tensor,
    rng: torch.Generator,
    generate: Callable[[TrainedGenerator, Tensor, Tensor], Tensor],
) -> Any:
    """Return decoded samples of `classes`.

    Each is made by ``generate(member, member's class indices, indices into classes)``. Where there
    are several architectures, the member is drawn at random.
    """
    per_architecture = n_members_per_architecture(members, n_classes)
    n_architectures = len(members) // per_architecture
    chunks = []
    for start in range(0, len(classes), codec.chunk_size):
        own = classes[start : start + codec.chunk_size]
        indices = torch.arange(start, start + len(own))
        member_indices = torch.zeros_like(own)
        if n_architectures > 1:
            member_indices = torch.randint(n_architectures, own.shape, generator=rng)
        if per_architecture > 1:
            member_indices = member_indices * per_architecture + own
            own = torch.zeros_like(own)
        encoded = torch.empty(len(own), *codec.shape)
        for member in member_indices.unique():
            mask = member_indices == member
            encoded[mask] = generate(members[member], own[mask], indices[mask])
        chunks.append(codec.decode(encoded))
    return concat(chunks or [codec.decode(torch.empty(0, *codec.shape))])
