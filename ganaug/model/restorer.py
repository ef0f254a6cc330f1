"""Restorer: what is missing in samples, filled by near training samples and what networks make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.data.containers import concat, take
from ganaug.data.images import ImageCodec
from ganaug.data.table_values import TableValues
from ganaug.model.generator import TrainedGenerator, n_members_per_architecture

# Training samples near a damaged one, and how many of them each generator changes towards it.
N_NEAR, N_CHANGED = 64, 8
# Of the variance of candidates on known values, so much is taken to be noise. Columns of tables may depend on
# each other hardly or closely: of these shares the one is taken that restores best what is hidden of so many
# training rows.
NOISE_SHARE, NOISE_SHARES = 0.01, (0.003, 0.01, 0.03, 0.1, 0.3)
N_TRIED, HIDDEN_SHARE = 256, 0.2
# Missing values of the training rows themselves are filled so often, each time by what others held before.
FILL_ROUNDS, FILL_NOISE_SHARE = 3, 0.03
# Of training samples that are looked through, and of candidates at once: 128 MiB each.
MAX_VALUES = 2**25


class ImageValues:
    """Images as vectors of their pixels."""

    def __init__(self, codec: ImageCodec) -> None:
        self.shape: tuple[int, int, int] = codec.shape

    def values(self, images: Tensor) -> Tensor:
        """Return encoded images (n, C, H, W) as values (n, n_values)."""
        return images.flatten(1)

    def encoded(self, values: Tensor) -> Tensor:
        """Return values as encoded images."""
        return values.view(-1, *self.shape).clamp(-1, 1)


class Restorer:
    """Fill what samples lack, from what of them is known.

    Candidates are the training samples nearest to a sample by its known values, and those that the
    generators make of the first of them: each is changed by the difference of its code and that of the
    sample whose missing values are the candidate's own. Mean and covariance of the candidates then
    say what to expect of the missing values, given the known ones, as in the ensemble Kalman filter
    (Evensen, "Sequential data assimilation with a nonlinear quasi-geostrophic model using Monte Carlo
    methods", Journal of Geophysical Research 1994). A draw is a candidate, corrected likewise by how far
    its own known values are off.

    Parameters
    ----------
    members : sequence of TrainedGenerator
        All with encoders.
    codec : ImageCodec or TableCodec
    n_classes : int
    """

    def __init__(self, members: Sequence[TrainedGenerator], codec: Any, n_classes: int) -> None:
        n = n_members_per_architecture(members, n_classes)
        self.members = members
        self.architectures: list[Sequence[TrainedGenerator]] = [
            members[i : i + n] for i in range(0, len(members), n)
        ]
        self.labels: Tensor
        rows, self.labels = _training_samples(self.architectures[0], codec, n_classes)
        encoded = codec.encode(rows)
        self.space: ImageValues | TableValues = (
            ImageValues(codec) if isinstance(codec, ImageCodec) else TableValues(codec, encoded)
        )
        self.rows: Tensor = self.space.values(encoded)
        self.noise_share: float = NOISE_SHARE
        if isinstance(self.space, TableValues):
            known = self.space.known(encoded)
            self._fill(known)
            self._calibrate(self.space, known)

    def _fill(self, known: Tensor) -> None:
        """Fill the missing values of training rows of a table."""
        own = (~known.all(1)).nonzero()[:, 0]
        if not len(own):
            return
        mean = (self.rows * known).sum(0) / known.sum(0).clamp(min=1)
        self.rows = torch.where(known, self.rows, mean)
        for _ in range(FILL_ROUNDS):
            filled = self.rows.clone()
            for block in self._blocks(own):
                values, mask = self.rows[block], known[block]
                candidates = self.rows[self._nearest(values, mask, None, without=block)]
                found = _expected(candidates, values, mask, FILL_NOISE_SHARE)[:, 0]
                filled[block] = torch.where(mask, values, found)
            self.rows = filled

    def _calibrate(self, space: TableValues, known: Tensor) -> None:
        """Choose the share of noise, on hidden values of training rows."""
        rng = torch.Generator().manual_seed(0)
        tried = torch.randperm(len(self.rows), generator=rng)[:N_TRIED]
        cells = torch.rand(len(tried), len(space.places), generator=rng) < HIDDEN_SHARE
        hidden = known[tried] & space.spread(cells.numpy())
        errors = torch.zeros(len(NOISE_SHARES))
        for own in self._blocks(torch.arange(len(tried))):
            rows, mask = self.rows[tried[own]], known[tried[own]] & ~hidden[own]
            values = torch.where(mask, rows, 0.0)
            near = self._nearest(values, mask, None, without=tried[own])
            candidates = self._candidates(values, mask, near)
            for i, share in enumerate(NOISE_SHARES):
                found = _expected(candidates, values, mask, share)[:, 0]
                errors[i] += ((found - rows).square() * hidden[own]).sum()
        self.noise_share = NOISE_SHARES[int(errors.argmin())]

    def _blocks(self, which: Tensor) -> Iterator[Tensor]:
        """Yield indices few enough for all of their candidates to be in memory."""
        n_candidates = N_NEAR + N_CHANGED * len(self.architectures)
        yield from which.split(max(1, MAX_VALUES // (n_candidates * self.rows.shape[1])))

    def __call__(
        self,
        values: Tensor,
        known: Tensor,
        classes: Tensor | None,
        n_draws: int | None,
        rng: torch.Generator,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield indices of samples, and encoded samples in which nothing is missing, (n_draws or 1, n, ...).

        Parameters
        ----------
        values : Tensor of shape (n, n_values)
            Any number where a value is missing.
        known : Tensor of shape (n, n_values), bool
            Where all values of a sample are known, they are taken to be noisy, and all are estimated anew, by
            training samples alone.
        classes : Tensor of shape (n,), optional
            Class indices, if they are known.
        n_draws : int, optional
            None: the values to expect.
        rng : torch.Generator
        """
        values = torch.where(known, values, 0.0)
        groups = [torch.arange(len(values))]
        if classes is not None:
            groups = [(classes == c).nonzero()[:, 0] for c in classes.unique()]
        for group in groups:
            label = None if classes is None else int(classes[group[0]])
            for block in self._blocks(group):
                near = self._nearest(values[block], known[block], label)
                candidates = self._candidates(values[block], known[block], near)
                found = _expected(candidates, values[block], known[block], self.noise_share, n_draws, rng)
                encoded = [self.space.encoded(draw) for draw in found.unbind(1)]
                yield block, torch.stack(encoded)

    def _nearest(
        self, values: Tensor, known: Tensor, label: int | None, without: Tensor | None = None
    ) -> Tensor:
        """Return the indices of the training samples nearest to each sample, (n, N_NEAR) or all there are.

        Of one class, if there is a `label`; for training samples `without` themselves.
        """
        own = torch.arange(len(self.rows)) if label is None else (self.labels == label).nonzero()[:, 0]
        rows = self.rows[own]
        # The sum of squared differences of known values, but for what is the same for all rows.
        distance = known.float() @ rows.square().T - 2 * (values * known) @ rows.T
        if without is not None:
            distance[torch.arange(len(values)), without] = torch.inf
        n_near = min(N_NEAR, len(own) - (without is not None))
        return own[distance.topk(n_near, largest=False).indices]

    @torch.no_grad()
    def _candidates(self, values: Tensor, known: Tensor, near: Tensor) -> Tensor:
        """Return the near training samples, and what the generators make of the first of them."""
        made = [self.rows[near]]
        if known.all():  # but noisy: the code of a noisy sample says little, and near samples alone do better
            return made[0]
        few = near[:, :N_CHANGED]
        sources, labels = self.rows[few].flatten(0, 1), self.labels[few].flatten()
        repeated = [tensor.repeat_interleave(few.shape[1], 0) for tensor in (values, known)]
        targets = self.space.encoded(torch.where(repeated[1], repeated[0], sources))
        sources = self.space.encoded(sources)
        for members in self.architectures:
            encoded = torch.empty_like(sources)
            # Either one member is for all classes, or each is for one, which it knows as class 0.
            shared = len(members) == 1
            for c in [0] if shared else labels.unique().tolist():
                chosen = torch.arange(len(labels)) if shared else (labels == c).nonzero()[:, 0]
                for part in chosen.split(members[c].codec.chunk_size):
                    own = labels[part] if shared else torch.zeros_like(part)
                    encoded[part] = members[c].towards(sources[part], targets[part], own)
            made.append(self.space.values(encoded).view(*few.shape, -1))
        return torch.cat(made, dim=1)


def _training_samples(members: Sequence[TrainedGenerator], codec: Any, n_classes: int) -> tuple[Any, Tensor]:
    """Return the samples and classes of one architecture's members, or as many at random as memory has."""
    labels = [
        torch.from_numpy(member.labels) + (c if len(members) > 1 else 0) for c, member in enumerate(members)
    ]
    X, y = concat([member.X for member in members]) if len(members) > 1 else members[0].X, torch.cat(labels)
    most = max(N_NEAR, MAX_VALUES // int(np.prod(codec.shape)) // n_classes)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    kept = torch.cat([order[y[order] == c][:most] for c in range(n_classes)]).sort().values
    return (X, y) if len(kept) == len(y) else (take(X, kept), y[kept])


def _expected(
    candidates: Tensor,
    values: Tensor,
    known: Tensor,
    noise_share: float,
    n_draws: int | None = None,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Return what to expect of all values (n, d), given the known ones, (n, 1, d); or draws (n, n_draws, d).

    Candidates are of shape (n, n_candidates, d). Those nearer by their known values count more.
    """
    off = (candidates - values[:, None]).square_().mul_(known[:, None]).sum(2)
    weight = torch.softmax(-off / off.median(1, keepdim=True).values.clamp(min=1e-6), dim=1)
    mean = (weight[:, :, None] * candidates).sum(1, keepdim=True)
    deviations = (candidates - mean).mul_(weight.sqrt()[:, :, None])
    known_deviations = deviations * known[:, None]
    gram = known_deviations @ known_deviations.transpose(1, 2)
    noise = noise_share * gram.diagonal(dim1=1, dim2=2).sum(1)
    noisy = known.all(1)
    noise[noisy] = (values - mean[:, 0])[noisy].square().mean(1)
    gram.diagonal(dim1=1, dim2=2).add_(noise.clamp(min=1e-6)[:, None])
    starts = mean
    if n_draws is not None:
        drawn = torch.multinomial(weight, n_draws, replacement=True, generator=rng)
        starts = candidates.gather(1, drawn[:, :, None].expand(-1, -1, candidates.shape[2]))
    residuals = (values[:, None] - starts) * known[:, None]
    shares = torch.linalg.solve(gram, known_deviations @ residuals.transpose(1, 2))
    return starts + shares.transpose(1, 2) @ deviations
