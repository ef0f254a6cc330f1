"""TrainedGenerator: trained networks together with the training samples that they transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganaug.data.containers import concat, take
from ganaug.data.tables import TableCodec
from ganaug.io.image_rows import ImageRows, StoredImages
from ganaug.model.category_odds import CategoryOdds
from ganaug.model.near_rows import NearRows
from ganaug.networks.layers import Networks
from ganaug.training.calibration import Calibration, calibrate
from ganaug.training.codec import Codec
from ganaug.training.pairs import ClassIndex, mix_levels, perturb_deltas

# The tensors of training samples, in a saved model, by how they are kept: as the user's arrays, as the bytes
# of image files beside the images at working size, at working size only, or not at all.
STORAGES: dict[str, tuple[str, ...]] = {
    "arrays": ("rows",),
    "files": ("rows", "row_ends", "reduced"),
    "reduced": ("rows",),
    "none": (),
}
KEPT_SAMPLES: tuple[str, ...] = STORAGES["files"]


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
        The training samples, as networks were trained on them. Not kept by a generator from noise alone.
    rows : array, Tensor or ImageRows of shape (n, ...), optional
        The same as new samples are made of them: large images at full size. None: `X`.
    latent_dim : int
    latent_noise : float
        Standard deviation of the noise in `ganaug.training.pairs.perturb_deltas`.
    truncation : float or None
        Beyond which noise that a sample starts from is drawn again.
    strength : float
        Scale of the code difference, or how far calibrated samples go, which is 1 in training.
    novelty : float
        Of rows of tables, see `NearRows`.
    """

    def __init__(
        self,
        networks: Networks,
        codec: Codec,
        labels: np.ndarray,
        X: Any,
        rows: Any = None,
        *,
        latent_dim: int,
        latent_noise: float,
        truncation: float | None,
        strength: float,
        novelty: float,
    ) -> None:
        self.generator: nn.Module = networks.generator
        self.encoder: nn.Module | None = networks.encoder
        self.noise_steps: tuple[int, ...] = networks.noise_steps
        self.has_flow: bool = networks.has_flow
        self.codec = codec
        self.labels = labels
        self.latent_dim = latent_dim
        self.latent_noise = latent_noise
        self.truncation = truncation
        self.strength = strength
        self.code_levels: int = networks.code_levels
        self.class_index: ClassIndex = ClassIndex(labels)
        self.device: torch.device = next(networks.generator.parameters()).device
        self.calibration: Calibration | None = calibrate(X, labels, codec) if networks.calibrated else None
        self.X: Any = None
        self.rows: Any = None
        self.codes: Tensor | None = None
        if networks.keeps_samples:
            self.X, self.rows = X, X if rows is None else rows
        self.near_rows: NearRows | None = None
        if networks.keeps_samples and novelty and isinstance(codec, TableCodec):
            self.near_rows = NearRows(codec, X, self.class_index, novelty)
        self.category_odds: CategoryOdds | None = None
        if self.encoder is not None:
            working = codec.working
            chunks = [X[i : i + working.chunk_size] for i in range(0, len(labels), working.chunk_size)]
            self.codes = torch.cat([self._encode(working.encode(chunk)) for chunk in chunks])
            if isinstance(codec, TableCodec):
                self.category_odds = CategoryOdds(codec, X, self.class_index, self._propose_rows)

    @property
    def can_vary(self) -> bool:
        """Whether there is a way to vary a given sample."""
        return self.X is not None

    @torch.no_grad()
    def _encode(self, encoded: Tensor) -> Tensor:
        assert self.encoder is not None  # noqa: S101 - for the type checker
        return self.encoder(encoded.to(self.device)).cpu()

    @torch.no_grad()
    def sample(self, classes: Tensor, rng: torch.Generator) -> Tensor:
        """Return a random encoded sample of each of `classes`."""
        if self.calibration is not None:
            sources, _ = self.class_index.sample_pairs(classes, rng)
            return self._calibrated(take(self.X, sources), classes, 1.0, rng)
        if self.codes is None:
            noise = self._noise(len(classes), rng)
            samples = self.generator(noise.to(self.device), classes.to(self.device)).cpu()
            return self.codec.discretize(samples, None, rng)
        sources, _ = self.class_index.sample_pairs(classes, rng)
        encoded = self.codec.working.encode(take(self.X, sources))
        if self.category_odds is not None:
            samples = self.category_odds.apply(self._propose_rows(sources, classes, rng), classes)
            return self.codec.discretize(samples, encoded, rng)
        full = self.codec.encode_full(take(self.rows, sources)) if self.codec.is_reduced else None
        samples, _ = self._transform(encoded, full, self.codes[sources], classes, 1.0, rng)
        return self.codec.discretize(samples, encoded, rng)

    def _noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Return noise (n, latent_dim), or such for each step of a series."""
        shape = n, *self.noise_steps, self.latent_dim
        if self.truncation is None:
            return torch.randn(shape, generator=rng)
        noise = torch.empty(shape)
        return nn.init.trunc_normal_(noise, a=-self.truncation, b=self.truncation, generator=rng)

    @torch.no_grad()
    def _propose_rows(self, sources: Tensor, classes: Tensor, rng: torch.Generator) -> Tensor:
        """Return encoded rows of a table, made of those at `sources`, with probabilities of categories."""
        assert self.codes is not None  # noqa: S101 - for the type checker
        if self.near_rows is None:
            encoded = self.codec.working.encode(take(self.X, sources))
            return self._transform(encoded, None, self.codes[sources], classes, 1.0, rng)[0]
        near = self.near_rows.draw(sources, classes, rng)
        moved = self.near_rows.move_numbers(sources, near, rng)
        samples, _ = self._transform(moved, None, self._encode(moved), classes, 1.0, rng)
        return self.near_rows.take_values(samples, near, rng)

    @torch.no_grad()
    def vary(
        self, X: Any, classes: Tensor, strength: float, rng: torch.Generator, *, return_flow: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return an encoded variation of each of the samples `X`, and the flow if asked for."""
        if self.calibration is not None:
            return self._calibrated(X, classes, strength, rng), None
        if self.codec.is_reduced:
            full = self.codec.encode_full(X)
            encoded = self.codec.reduce_encoded(full)
        else:
            full, encoded = None, self.codec.encode(X)
        codes = self._encode(encoded)
        samples, flow = self._transform(encoded, full, codes, classes, strength, rng, return_flow=return_flow)
        return self.codec.discretize(samples, encoded, rng), flow

    @torch.no_grad()
    def towards(self, sources: Tensor, targets: Tensor, classes: Tensor) -> Tensor:
        """Return encoded samples of `classes`, changed by how their codes differ from those of targets."""
        codes = self._encode(sources)
        inputs = (sources, codes, self._encode(targets) - codes, classes)
        return self.generator(*(tensor.to(self.device) for tensor in inputs)).cpu()

    def _calibrated(self, X: Any, classes: Tensor, strength: float, rng: torch.Generator) -> Tensor:
        """Move samples towards where their class lies, and add differences of pairs of near classes."""
        assert self.calibration is not None  # noqa: S101 - for the type checker
        strength = self.strength * strength
        differences = self.calibration.differences(
            lambda which: self.codec.encode(take(self.X, which)), classes, rng
        )
        moved = self.calibration.move(self.codec.encode(X), classes, strength) + strength * differences
        samples = self.generator(moved.to(self.device), classes.to(self.device)).cpu()
        return self.codec.discretize(samples, None, rng)

    def _transform(
        self,
        sources: Tensor,
        full: Tensor | None,
        codes: Tensor,
        classes: Tensor,
        strength: float,
        rng: torch.Generator,
        *,
        return_flow: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Change encoded samples by code differences of pairs of one class, drawn by class frequency.

        Where there are images at full size, these are changed. Codes of several levels are instead mixed with
        those of other samples of the class. The flow (n, 2, h, w) comes too if asked for.
        """
        assert self.codes is not None  # noqa: S101 - for the type checker
        if self.code_levels:
            others, _ = self.class_index.sample_pairs(classes, rng)
            deltas = mix_levels(self.codes[others] - codes, self.code_levels, self.latent_noise, rng)
        else:
            donor_classes = self.class_index.sample_classes(len(codes), 1.0, rng)
            first, second = self.class_index.sample_pairs(donor_classes, rng)
            deltas = perturb_deltas(self.codes[first] - self.codes[second], self.latent_noise, rng)
        deltas = self.strength * strength * deltas
        tensors = (sources, codes, deltas, classes, *([] if full is None else [full]))
        inputs = [tensor.to(self.device) for tensor in tensors]
        if not return_flow:
            return self.generator(*inputs).cpu(), None
        with_flow: Any = self.generator.with_flow
        samples, flow = with_flow(*inputs)
        return samples.cpu(), flow.cpu()

    @property
    def storage(self) -> str:
        """How the training samples are kept, a key of `STORAGES`."""
        if self.rows is None:
            return "none"
        if isinstance(self.rows, ImageRows):
            return "files"
        return "reduced" if self.codec.is_reduced and self.rows is self.X else "arrays"

    def tensors(self) -> dict[str, Tensor]:
        """Return all that `from_tensors` needs, by name."""
        tensors = {"labels": torch.from_numpy(self.labels.copy())}
        if isinstance(self.rows, ImageRows):
            tensors |= self.rows.stored().tensors()
            tensors["reduced"] = torch.as_tensor(self.X).contiguous()
        elif self.rows is not None:
            tensors["rows"] = torch.as_tensor(self.rows).contiguous()
        for name, network in _inference_modules(self.generator, self.encoder).items():
            tensors |= {f"{name}.{k}": v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
        return tensors

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, Tensor], networks: Networks, codec: Any, storage: str, **settings: Any
    ) -> TrainedGenerator:
        """Restore a generator into newly built `networks`; with the `settings` of the class.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            If a tensor is missing, unexpected, or of another shape.
        """
        tensors = dict(tensors)
        X: Any = None
        rows: Any = None
        kept = {name: tensors.pop(name) for name in KEPT_SAMPLES if name in tensors}
        if networks.keeps_samples:  # else they are another architecture's
            X, rows = _restore_samples(kept, codec, storage)
        labels = tensors.pop("labels").numpy()
        if X is not None and not len(X) == len(rows) == len(labels):
            raise ValueError(f"{len(X)} rows with {len(labels)} labels")
        for name, network in _inference_modules(networks.generator, networks.encoder).items():
            names = [k for k in tensors if k.startswith(name + ".")]
            network.load_state_dict({k.removeprefix(name + "."): tensors.pop(k) for k in names}, strict=True)
            network.eval().requires_grad_(False)
        if tensors:
            raise ValueError(f"unexpected tensors: {sorted(tensors)[:3]}")
        return cls(networks, codec, labels, X, rows, **settings)


def _restore_samples(kept: dict[str, Tensor], codec: Any, storage: str) -> tuple[Any, Any]:
    """Return training samples as networks work on them, and as new ones are made of them."""
    if storage == "files":
        kind = codec.row_shape, codec.dtype, codec.tensor
        return codec.working.restore(kept["reduced"]), StoredImages.from_tensors(
            kept["rows"], kept["row_ends"], *kind
        )
    if storage == "reduced":
        X = codec.working.restore(kept["rows"])
        return X, X
    rows = codec.restore(kept["rows"])
    return (codec.reduce(rows), rows) if codec.is_reduced else (rows, rows)


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
    full_shape = codec.full_shape if codec.is_reduced else codec.shape
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
        present = member_indices.unique()
        if len(present) == 1:
            chunks.append(codec.decode(generate(members[present[0]], own, indices)))
            continue
        encoded = torch.empty(len(own), *full_shape)
        for member in present:
            mask = member_indices == member
            encoded[mask] = generate(members[member], own[mask], indices[mask])
        chunks.append(codec.decode(encoded))
    return concat(chunks or [codec.decode(torch.empty(0, *full_shape))])
