"""TrainedGenerator: trained networks, and the training rows they work from."""

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
    """Generate encoded rows of given classes.

    Parameters
    ----------
    networks : Networks
        Trained, in eval mode.
    codec : Codec
    labels : ndarray of shape (n,)
        Class indices of the training rows, int64.
    X : array or Tensor of shape (n, ...), optional
        The training rows, as the user has them; None for a generator from noise.
    latent_dim : int
    latent_noise : float
        Of `ganaug.training.pairs.perturb_deltas`.
    strength : float
        By how much farther a row may be changed than in training.
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
        self.rows = ClassIndex(labels)
        self.device = next(networks.generator.parameters()).device
        self.X = self.codes = None
        if self.encoder is not None:
            self.X = X
            blocks = [X[i : i + codec.chunk_size] for i in range(0, len(labels), codec.chunk_size)]
            self.codes = torch.cat([self._encode(self.codec.encode(block)) for block in blocks])

    @torch.no_grad()
    def _encode(self, encoded: Tensor) -> Tensor:
        assert self.encoder is not None  # noqa: S101 - for the type checker
        return self.encoder(encoded.to(self.device)).cpu()

    @torch.no_grad()
    def draw(self, classes: Tensor, rng: torch.Generator) -> Tensor:
        """Return a random encoded row of each of `classes`."""
        if self.codes is None:
            codes = torch.randn(len(classes), self.latent_dim, generator=rng)
            rows = self.generator(codes.to(self.device), classes.to(self.device)).cpu()
            return self.codec.discretize(rows, None, rng)
        start, _ = self.rows.draw_pairs(classes, rng)
        return self._changed(take(self.X, start), self.codes[start], classes, 1.0, rng)

    @torch.no_grad()
    def vary(self, X: Any, classes: Tensor, strength: float, rng: torch.Generator) -> Tensor:
        """Return an encoded variation of each of the rows of `X`."""
        return self._changed(X, self._encode(self.codec.encode(X)), classes, strength, rng)

    def _changed(
        self, X: Any, codes: Tensor, classes: Tensor, strength: float, rng: torch.Generator
    ) -> Tensor:
        """Change rows by differences of two rows of one class, of which rich classes give most."""
        assert self.codes is not None  # noqa: S101 - for the type checker
        donors = self.rows.draw_classes(len(codes), 1.0, rng)
        first, second = self.rows.draw_pairs(donors, rng)
        deltas = perturb_deltas(self.codes[first] - self.codes[second], self.latent_noise, rng)
        deltas = self.strength * strength * deltas
        start = self.codec.encode(X)
        inputs = (start, codes, deltas, classes)
        rows = self.generator(*(tensor.to(self.device) for tensor in inputs)).cpu()
        return self.codec.discretize(rows, start, rng)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that `from_tensors` needs, by name."""
        tensors = {"labels": torch.from_numpy(self.labels.copy())}
        if self.X is not None:
            tensors["rows"] = torch.as_tensor(self.X).contiguous()
        for name, network in _makers(self.generator, self.encoder).items():
            tensors |= {f"{name}.{k}": v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
        return tensors

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Tensor], networks: Networks, codec: Codec, **settings: Any
    ) -> TrainedGenerator:
        """Restore a generator into freshly built `networks`; with the `settings` of the class.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            If a tensor is missing, too many, or of another shape.
        """
        tensors = dict(tensors)
        X = None
        if networks.encoder is not None:
            X = codec.restore(tensors["rows"])
        tensors.pop("rows", None)  # it may be another architecture's
        labels = tensors.pop("labels").numpy()
        if X is not None and len(X) != len(labels):
            raise ValueError(f"{len(X)} rows with {len(labels)} labels")
        for name, network in _makers(networks.generator, networks.encoder).items():
            names = [k for k in tensors if k.startswith(name + ".")]
            network.load_state_dict({k.removeprefix(name + "."): tensors.pop(k) for k in names}, strict=True)
            network.eval().requires_grad_(False)
        if tensors:
            raise ValueError(f"tensors nobody asked for: {sorted(tensors)[:3]}")
        return cls(networks, codec, labels, X, **settings)


def _makers(generator: nn.Module, encoder: nn.Module | None) -> dict[str, nn.Module]:
    return {"generator": generator} if encoder is None else {"generator": generator, "encoder": encoder}


def per_architecture(members: Sequence[TrainedGenerator], n_classes: int) -> int:
    """Return how many of them are of one architecture: one for all classes, or one for each."""
    shared = len(members[0].rows.counts) > 1
    return 1 if shared else n_classes


def generate_in_batches(
    members: Sequence[TrainedGenerator],
    codec: Any,
    n_classes: int,
    classes: Tensor,
    rng: torch.Generator,
    generate: Callable[[TrainedGenerator, Tensor, Tensor], Tensor],
) -> Any:
    """Return decoded rows of `classes`, made by ``generate(member, its classes, indices of the rows)``.

    Where there are several architectures, chance decides which one makes a row.
    """
    each = per_architecture(members, n_classes)
    architectures = len(members) // each
    blocks = []
    for start in range(0, len(classes), codec.chunk_size):
        own = classes[start : start + codec.chunk_size]
        rows = torch.arange(start, start + len(own))
        makers = torch.zeros_like(own)
        if architectures > 1:
            makers = torch.randint(architectures, own.shape, generator=rng)
        if each > 1:
            makers = makers * each + own
            own = torch.zeros_like(own)
        encoded = torch.empty(len(own), *codec.shape)
        for maker in makers.unique():
            mine = makers == maker
            encoded[mine] = generate(members[maker], own[mine], rows[mine])
        blocks.append(codec.decode(encoded))
    return concat(blocks or [codec.decode(torch.empty(0, *codec.shape))])
