"""train_gan: the one training loop, for every architecture, loss and kind of data."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricOptimizer
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from tqdm.auto import tqdm

from ganaug.losses import EVERY_STEP, GANLoss, Penalty, sliced_wasserstein
from ganaug.networks import Networks
from ganaug.watch import Watch

Callback = Callable[[int, dict[str, float]], None]

REPORT_EVERY = 25  # steps between two entries of the history
SAVE_EVERY = 100  # steps between two checkpoints, in memory and on disk; whole reports
ROLLBACKS = 3  # tries with gentler settings
ADVICE = "Lower `learning_rate`, or leave architecture, loss and penalty at their defaults, the steadiest."


class Codec(Protocol):
    """What the loop needs of a kind of data; see `ganaug.images.ImageCodec`."""

    def encode(self, X: Any) -> Tensor:
        """Return rows as floats."""
        ...

    def restore(self, rows: Tensor) -> Any:
        """Return saved rows in the kind the user has."""
        ...

    def augment(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Change rows in ways that leave them likely members of their class."""
        ...

    def corrupt(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Hide a part of each row from the discriminator; differentiable."""
        ...

    def project(self, rows: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Return numbers (n_projections, n, k), by whose distribution batches are compared."""
        ...


class ClassRows:
    """The rows of each class, for drawing them at random.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Class indices, int64; every class from 0 to the largest has a row.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.order = torch.from_numpy(np.argsort(labels, kind="stable"))
        self.counts = torch.from_numpy(np.bincount(labels))
        self.starts = self.counts.cumsum(0) - self.counts

    def draw_pairs(self, classes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the indices of two random rows of each of `classes`, different where it has two."""
        counts, starts = self.counts[classes], self.starts[classes]
        u = torch.rand(2, len(classes), generator=generator, dtype=torch.float64)
        first = (u[0] * counts).long()
        second = (first + 1 + (u[1] * (counts - 1)).long()) % counts
        return self.order[starts + first], self.order[starts + second]

    def draw_classes(self, n: int, power: float, generator: torch.Generator) -> Tensor:
        """Return `n` random classes, each as likely as its number of rows to the given power."""
        return torch.multinomial(self.counts.double() ** power, n, replacement=True, generator=generator)


def loosen(deltas: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Shorten each delta to a random part of it, then add a little noise.

    Parameters
    ----------
    deltas : Tensor of shape (n, code_size)
    noise : float
        Standard deviation of the noise, in units of the code.
    """
    share = torch.rand(len(deltas), 1, generator=generator).to(deltas.device)
    return share * deltas + noise * torch.randn(deltas.shape, generator=generator).to(deltas.device)


def train_gan(
    X: Any,
    labels: np.ndarray,
    codec: Codec,
    networks: Networks,
    *,
    loss: GANLoss,
    penalty: Penalty,
    steps: int,
    batch_size: int,
    code_size: int,
    noise: float,
    fabric: Fabric,
    generator: torch.Generator,
    learning_rate: float = 1e-3,
    discriminator_rate: float = 0.4,
    adversarial_weight: float = 0.1,
    detail_weight: float = 1.0,
    penalty_weight: float = 0.2,
    penalty_every: int = 4,
    class_power: float = 0.0,
    ema_decay: float = 0.995,
    class_names: Sequence[str] | None = None,
    checkpoint: Path | None = None,
    digest: str = "",
    callbacks: Sequence[Callback] = (),
    progress: str | None = None,
) -> tuple[Networks, list[dict[str, float]]]:
    """Train `networks` on the rows of `X`.

    With an encoder, the generator learns two things at once: to turn a row into another of its
    class, given the difference of their codes, and to change it by the difference of two rows of
    any class in such a way that the discriminator takes the result for one of the first row's
    class, and that random projections of it are distributed as those of real rows. Without one,
    codes are noise and only the discriminator teaches.

    Where losses explode or stop being finite, or the rows of a class become all alike (see
    `ganaug.watch`), training goes back to its last good state and on from there with half the
    learning rates and twice the penalty, `ROLLBACKS` times at most.

    Parameters
    ----------
    X : array or Tensor of shape (n, ...)
        Rows as the user has them; encoded batch by batch.
    labels : ndarray of shape (n,)
        Class indices, int64.
    codec : Codec
    networks : Networks
        Trained in place.
    loss, penalty : callable
        See `ganaug.losses`.
    steps : int
        Updates of each side.
    batch_size, code_size : int
    noise : float
        Of `loosen`.
    fabric : Fabric
        Device and precision.
    generator : torch.Generator
        On the CPU; every random number comes from it.
    learning_rate : float
        Of Adam, for generator and encoder; falls to zero on a cosine.
    discriminator_rate : float
        The discriminator's learning rate, constant, as a multiple of `learning_rate`.
    adversarial_weight : float
        Of the adversarial loss beside the reconstruction of the other row.
    detail_weight : float
        Of the distance between random projections of real and of generated rows; with an encoder.
    penalty_weight : float
        Of the gradient penalty, which is taken every `penalty_every` steps at as many times its
        weight (Karras et al., CVPR 2020, "lazy regularization"). Those in `losses.EVERY_STEP`
        are taken at each step.
    class_power : float
        A class of n rows is drawn in proportion to n to this power; 0 draws all alike.
    ema_decay : float
        Of the running mean of the weights, which is what is returned.
    class_names : sequence of str, optional
        What warnings call the classes; their indices if None.
    checkpoint : Path, optional
        A file for the full state, written every `SAVE_EVERY` steps; resumed from if it is there.
    digest : str
        Of data and parameters; kept in the checkpoint.
    callbacks : sequence of callable
        Each called as ``callback(step, metrics)`` every `REPORT_EVERY` steps.
    progress : str, optional
        Title of a progress bar on the terminal; no bar if None.

    Returns
    -------
    networks : Networks
        Encoder and generator with averaged weights, in eval mode; the discriminator as it is.
    history : list of dict
        Means since the entry before: of both losses, and of the "spread" of the class whose rows
        vary least, against that of real rows.

    Warns
    -----
    ConvergenceWarning
        At each return to a good state, and where training stops there because a class collapses
        again and again.

    Raises
    ------
    ValueError
        Where `checkpoint` belongs to other data or parameters.
    RuntimeError
        If losses still explode after all rollbacks.
    """
    rows = ClassRows(labels)
    interval = 1 if penalty in EVERY_STEP else penalty_every
    makers = nn.ModuleDict({"generator": networks.generator})
    if networks.encoder is not None:
        makers["encoder"] = networks.encoder
    means = copy.deepcopy(makers).to(fabric.device).requires_grad_(False)
    generate = fabric.setup_module(networks.generator)
    encode = None if networks.encoder is None else fabric.setup_module(networks.encoder)
    judge = fabric.setup_module(networks.discriminator)
    maker_steps = _adam(makers, learning_rate, fabric)
    judge_steps = _adam(judge, discriminator_rate * learning_rate, fabric)
    watch = Watch(class_names or [str(c) for c in range(len(rows.counts))], fabric.device)
    state = {
        "makers": makers,
        "means": means,
        "discriminator": networks.discriminator,
        "maker_steps": maker_steps,
        "judge_steps": judge_steps,
        "watch": watch,
    }
    good = _snapshot(state, generator, digest, step=0, rollbacks=0, history=[])
    if checkpoint is not None and checkpoint.exists():
        good = _read(checkpoint, digest)
        _restore(state, good)
        generator.set_state(good["random"])
    step, rollbacks, history = good["step"], good["rollbacks"], list(good["history"])
    bar = tqdm(desc=progress, initial=step, total=steps, disable=_quiet(progress))

    while step < steps:
        gentle = 0.5**rollbacks
        for group in judge_steps.param_groups:
            group["lr"] = gentle * discriminator_rate * learning_rate
        for group in maker_steps.param_groups:
            group["lr"] = gentle * learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))

        classes = rows.draw_classes(batch_size, class_power, generator)
        pairs = torch.cat(rows.draw_pairs(classes, generator))
        real = codec.augment(codec.encode(take(X, pairs)).to(fabric.device), generator)
        first, second = real.chunk(2)
        classes = classes.to(fabric.device)

        if encode is None:
            codes = torch.randn(batch_size, code_size, generator=generator).to(fabric.device)
            fake = generate(codes, classes)
        else:
            codes, other_codes = encode(real).chunk(2)
            deltas = other_codes - codes
            borrowed = loosen(deltas[torch.randperm(batch_size, generator=generator)], noise, generator)
            made = generate(_twice(first), _twice(codes), torch.cat([deltas, borrowed]), _twice(classes))
            rebuilt, fake = made.chunk(2)

        shown_real, shown_fake = codec.corrupt(torch.cat([second, fake]), generator).chunk(2)
        shown_real, fixed_fake = shown_real.detach(), shown_fake.detach()
        judge.requires_grad_(True)
        # The penalty comes first: one that changes weights in place may not do so between a
        # forward pass and its backward pass.
        judge_loss = torch.zeros((), device=fabric.device)
        if step % interval == 0:
            size = penalty(judge, shown_real, fixed_fake, classes)
            judge_loss = penalty_weight / gentle * interval * size
        judge_loss = judge_loss + loss(*_logits(judge, shown_real, fixed_fake, classes))[0]
        judge_steps.zero_grad()
        fabric.backward(judge_loss)
        judge_steps.step()

        judge.requires_grad_(False)
        maker_loss = loss(*_logits(judge, shown_real, shown_fake, classes))[1]
        if encode is not None:
            error = rebuilt - second
            rebuilding = error.abs().mean() + 0.5 * error.square().mean()
            maker_loss = rebuilding + adversarial_weight * maker_loss + 1e-4 * codes.square().mean()
            if detail_weight:
                seen = [part.chunk(2, dim=1) for part in codec.project(torch.cat([second, fake]), generator)]
                apart = [sliced_wasserstein(theirs.flatten(1), ours.flatten(1)) for theirs, ours in seen]
                maker_loss = maker_loss + detail_weight * sum(apart)
        maker_steps.zero_grad()
        fabric.backward(maker_loss)
        maker_steps.step()
        _average(means, makers, min(ema_decay, (1 + step) / (10 + step)))

        step += 1
        bar.update()
        watch.see({"discriminator": judge_loss, "generator": maker_loss}, second, fake, classes)
        if step % REPORT_EVERY and step < steps:
            continue
        metrics, trouble = watch.report()
        if trouble is not None:
            what = f"Training went wrong at step {step}: {trouble.what}."
            rollbacks += 1
            _restore(state, good)
            if rollbacks > ROLLBACKS:
                if not trouble.collapse or good["step"] == 0:
                    raise RuntimeError(f"{what} {ROLLBACKS} tries with gentler settings failed. {ADVICE}")
                stopped = f"Training stops with the state of step {good['step']}, the last good one."
                warnings.warn(f"{what} {stopped} {ADVICE}", ConvergenceWarning, stacklevel=2)
                history = list(good["history"])
                break
            again = f"Going on from step {good['step']} with learning rates halved and the penalty doubled."
            warnings.warn(f"{what} {again}", ConvergenceWarning, stacklevel=2)
            step, history = good["step"], list(good["history"])
            bar.update(step - bar.n)
            continue
        history.append({"step": step, **metrics})
        for callback in callbacks:
            callback(step, metrics)
        if step % SAVE_EVERY == 0 or step == steps:
            good = _snapshot(state, generator, digest, step, rollbacks, history)
            if checkpoint is not None:
                _write(checkpoint, good)
    bar.close()

    judge.requires_grad_(True)
    means.eval()
    encoder = means["encoder"] if networks.encoder is not None else None
    return Networks(means["generator"], networks.discriminator, encoder), history


def _adam(module: nn.Module, learning_rate: float, fabric: Fabric) -> _FabricOptimizer:
    adam = torch.optim.Adam(module.parameters(), lr=learning_rate, betas=(0.5, 0.99), fused=True)
    return cast(_FabricOptimizer, fabric.setup_optimizers(adam))


def _quiet(progress: str | None) -> bool | None:
    """Return what makes tqdm show a bar on terminals only, or nowhere."""
    return True if progress is None else None


def take(X: Any, indices: Tensor) -> Any:
    """Return the rows of an array or a Tensor at `indices`."""
    return X[indices] if isinstance(X, Tensor) else X[indices.numpy()]


def _logits(judge: nn.Module, real: Tensor, fake: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    real_logits, fake_logits = judge(torch.cat([real, fake]), _twice(classes)).chunk(2)
    return real_logits, fake_logits


def _twice(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows])


@torch.no_grad()
def _average(means: nn.Module, networks: nn.Module, decay: float) -> None:
    for mean, parameter in zip(means.parameters(), networks.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)
    for statistic, now in zip(means.buffers(), networks.buffers(), strict=True):
        statistic.copy_(now)  # the statistics of batch norm are running means already


def _snapshot(
    state: dict[str, Any],
    generator: torch.Generator,
    digest: str,
    step: int,
    rollbacks: int,
    history: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return a copy of all that training needs to go on from here."""
    content = {name: copy.deepcopy(part.state_dict()) for name, part in state.items()}
    return content | {
        "random": generator.get_state(),
        "digest": digest,
        "step": step,
        "rollbacks": rollbacks,
        "history": list(history),
    }


def _restore(state: dict[str, Any], content: dict[str, Any]) -> None:
    for name, part in state.items():
        part.load_state_dict(copy.deepcopy(content[name]))


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(content, partial)
    partial.replace(path)


def _read(path: Path, digest: str) -> dict[str, Any]:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        same = content["digest"] == digest
    except Exception as exc:  # torch.load raises whatever its zip reader and unpickler raise
        raise ValueError(f"{path} can't be read as a checkpoint: delete it to start anew. ({exc})") from exc
    if not same:
        raise ValueError(
            f"{path} is a checkpoint of other data or other parameters: pass those it was made with,"
            " or another `checkpoint` folder."
        )
    return content
