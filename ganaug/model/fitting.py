"""What `ConditionalGAN.fit` does: check its input, build networks, and train them."""

from __future__ import annotations

import itertools
import os
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import nn
from torch.overrides import TorchFunctionMode

from ganaug.data.features import FeatureCodec, warn_of_constant_columns
from ganaug.data.identifiers import warn_of_identifiers, without_identifier_warnings
from ganaug.data.images import ImageCodec
from ganaug.data.labels import as_random_state, encode_labels
from ganaug.data.tables import TableCodec
from ganaug.io.disk import atomic_write, locked, read_regular
from ganaug.model.estimator import check_samples, set_feature_names
from ganaug.model.generator import TrainedGenerator
from ganaug.model.held_out import distance_from, hold_out
from ganaug.model.parameters import NOT_SAVED, AnyCodec, fit_codec, lookup, lookup_architectures, resolve
from ganaug.model.samples import Samples, prepare
from ganaug.model.signature import is_auto
from ganaug.model.tensorboard import tensorboard_callback
from ganaug.networks import Architecture, Networks
from ganaug.networks.several import separate, several
from ganaug.training.early_stopping import EarlyStopping
from ganaug.training.fingerprint import training_fingerprint
from ganaug.training.loop import train_gan
from ganaug.training.processes import Processes, find_device, training_processes
from ganaug.training.torch_state import fork_torch_rng
from ganaug.training.trainer import GANTrainer

SEED_FILE = "seed"
# Two of them include the penalty, which is evaluated every fourth step.
TIMED_STEPS = 8


@dataclass(frozen=True)
class Run:
    """What one call of `fit` trains on.

    Attributes
    ----------
    X : array or Tensor of shape (n, ...)
        Samples as networks are trained on: those that `codec.prepare` returned, or images at working size.
    rows : array, Tensor or ImageRows
        Of what the generator makes new samples: `X`, or images at full size.
    labels : ndarray of shape (n,)
        Class indices, int64.
    classes : ndarray of shape (n_classes,)
        Original labels.
    codec : ImageCodec, TableCodec, FeatureCodec or SeriesCodec
    settings : dict
        The parameters of the `ConditionalGAN`, "auto" resolved.
    device : torch.device
    seed : int
    checkpoint : Path or None
        The folder for the full state of training.
    processes : Processes
    """

    X: Any
    rows: Any
    labels: np.ndarray
    classes: np.ndarray
    codec: AnyCodec
    settings: dict[str, Any]
    device: torch.device
    seed: int
    checkpoint: Path | None
    processes: Processes


def fit_gan(gan: Any, X: Any, y: Any, checkpoint: str | Path | None) -> None:
    """Check what `ConditionalGAN.fit` was given, train, and set the fitted attributes of `gan`."""
    X, y = check_samples(X, y, gan, lazy=True)
    gan.check_parameters()
    classes, labels = encode_labels(y)
    codec = fit_codec(gan.modality, X, gan.working_size)
    if isinstance(codec, TableCodec):
        warn_of_identifiers(X)
    if isinstance(codec, FeatureCodec):
        warn_of_constant_columns(X)
    settings = resolve(gan.get_params(deep=False), codec)
    architectures = [
        several(build, settings["discriminators"], settings["generators"])
        for build in lookup_architectures(settings["architecture"], codec)
    ]
    if isinstance(codec, ImageCodec) and codec.is_reduced:
        check_any_size(architectures, codec, len(classes), settings)
    X, rows = prepare(X, codec, settings["stored_images"])
    device = find_device(gan.device)
    folder = None if checkpoint is None else Path(checkpoint)
    seed = draw_seed(gan.random_state)
    with ExitStack() as stack:
        processes = stack.enter_context(training_processes(gan.distributed, device))
        processes.check_batch_size(gan.batch_size)
        # Only from here on are files written: all that was passed has been checked.
        if folder is not None and processes.is_first:
            if folder.exists() and not folder.is_dir():
                raise ValueError(f"`checkpoint` must be a folder, got the file {folder}.")
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder.resolve()))
            seed = load_or_create_seed(folder, None if gan.random_state is None else seed)
        seed = processes.from_first(seed)
        run = Run(X, rows, labels, classes, codec, settings, device, seed, folder, processes)
        by_class = gan.conditioning == "per-class"
        gan.members_, gan.history_ = fit_members(run, architectures, by_class=by_class)
    gan.codec_, gan.classes_ = codec, classes
    gan.class_counts_ = np.bincount(labels)
    set_feature_names(gan, codec)
    gan._parameters = gan.get_params()  # `save` writes these, whatever is set later


def check_any_size(
    architectures: list[Architecture], codec: ImageCodec, n_classes: int, settings: dict[str, Any]
) -> None:
    """Raise ValueError if one of the architectures makes images at the size of its networks only."""
    for build in architectures:
        networks = blank_networks(build, codec, n_classes, settings)
        networks = networks or build_networks(build, codec, n_classes, settings, seed=0)
        if not networks.any_size:
            height, width = codec.full_shape[1:]
            raise ValueError(
                f"`architecture` must be 'auto', 'warping', 'tinting' or of Networks with any_size=True for"
                f" images of {height} x {width}, as its networks work at {codec.shape[1]} x"
                f" {codec.shape[2]}, got {settings['architecture']!r}: resize the images to 64 pixels a side"
                " or less, or leave it out."
            )


def fit_members(
    run: Run, architectures: list[Architecture], *, by_class: bool
) -> tuple[list[TrainedGenerator], list[dict[str, Any]]]:
    """Train a generator of each architecture, or one of each for each class.

    Returns
    -------
    members : list of TrainedGenerator
        Those of the first architecture first, and of its first generator, where it has several.
    history : list of dict
        The entries of `train_gan`, each with the index of its "member".
    """
    masks = [slice(None)] if not by_class else [run.labels == c for c in range(len(run.classes))]
    fingerprint = {}
    if run.checkpoint is not None or run.processes.size > 1:
        saved = {name: value for name, value in run.settings.items() if name not in NOT_SAVED}
        fingerprint = training_fingerprint(saved, run.X, run.labels, run.seed)
        run.processes.check_alike(fingerprint)
    by_generator: dict[tuple[int, int, int], TrainedGenerator] = {}
    history: list[dict[str, Any]] = []
    kept: dict[int, Samples] = {}
    fits = itertools.product(enumerate(architectures), enumerate(masks))
    for i, ((a, build), (c, mask)) in enumerate(fits):
        n = len(architectures)
        title = "training" + (f" {i // len(masks) + 1} of {n}" if n > 1 else "")
        samples, classes = Samples(run.X, run.rows, run.labels), run.classes
        if by_class:
            own = np.flatnonzero(mask)
            samples = samples.subset(own)._replace(labels=np.zeros(len(own), np.int64))
            classes, title = classes[c : c + 1], f"{title}, class {classes[c]}"
        networks, entries = _fit_member(run, i, build, samples, list(map(str, classes)), title, fingerprint)
        if c not in kept:
            kept[c] = samples.kept(run.settings["max_rows_kept"], run.seed)
        X, rows, labels = kept[c]
        sampling = generator_settings(run.settings)
        for g, one in enumerate(separate(networks)):
            by_generator[a, g, c] = TrainedGenerator(one, run.codec, labels, X, rows, **sampling)
        history += [{"member": i, **entry} for entry in entries]
    return [by_generator[key] for key in sorted(by_generator)], history


def _fit_member(
    run: Run,
    member: int,
    build: Architecture,
    samples: Samples,
    class_names: list[str],
    title: str,
    fingerprint: dict[str, str],
) -> tuple[Networks, list[dict[str, float]]]:
    settings, seed = run.settings, run.seed + member
    early_stopping = None
    if settings["early_stopping"] is not None:
        samples, held_out = hold_out(samples, seed)
        sampling = generator_settings(settings)
        distance = distance_from(held_out, samples, run.codec, seed, sampling)
        early_stopping = EarlyStopping(distance, settings["early_stopping"])
    X, _, labels = samples
    trainer = GANTrainer(
        X,
        labels,
        run.codec.working,
        build_networks(build, run.codec, len(class_names), settings, seed),
        loss=lookup("loss", settings["loss"]),
        penalty=lookup("penalty", settings["penalty"]),
        batch_size=settings["batch_size"],
        latent_dim=settings["latent_dim"],
        latent_noise=settings["latent_noise"],
        learning_rate=settings["learning_rate"],
        optimizer=lookup("optimizer", settings["optimizer"]),
        schedule=None if is_auto(settings["schedule"]) else lookup("schedule", settings["schedule"]),
        hardest_discriminator=settings["discriminator_loss"] == "hardest",
        adversarial_weight=settings["adversarial_weight"],
        sliced_wasserstein_weight=settings["sliced_wasserstein_weight"],
        penalty_weight=settings["penalty_weight"],
        device=run.device,
        rng=torch.Generator().manual_seed(seed),
        early_stopping=early_stopping,
        processes=run.processes,
    )
    callbacks = list(settings["callbacks"] or ())
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        if settings["log_dir"] is not None and run.processes.is_first:
            callback = tensorboard_callback(
                settings["log_dir"], title, trainer, labels, settings["steps"], generator_settings(settings)
            )
            callbacks.append(stack.enter_context(callback))
        return train_gan(
            trainer,
            settings["steps"],
            class_names=class_names,
            checkpoint=None if run.checkpoint is None else run.checkpoint / f"state-{member}.pt",
            fingerprint=fingerprint,
            callbacks=callbacks,
            progress_bar_title=title if settings["verbose"] and run.processes.is_first else None,
        )


def build_networks(
    build: Architecture, codec: AnyCodec, n_classes: int, settings: dict[str, Any], seed: int
) -> Networks:
    """Return newly initialised networks."""
    with fork_torch_rng(seed):  # initial weights come from torch's global state
        return build(
            codec.shape, n_classes, settings["latent_dim"], settings["base_channels"], codec.output_activation
        )


class _NoValues(TorchFunctionMode):
    """Leaves out initial values and the power iterations of spectral norm.

    On torch's device "meta" both take seconds: the former, as torch imports its compiler for them.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.mv:
            return args[0][:, 0]
        if function is nn.functional.normalize or function.__name__.endswith(("normal_", "uniform_")):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def blank_networks(
    build: Architecture, codec: AnyCodec, n_classes: int, settings: dict[str, Any]
) -> Networks | None:
    """Return networks of torch's device "meta", whose tensors have a shape and take no memory.

    None for an architecture of the user's own that can't be built there.
    """
    try:
        with torch.device("meta"), _NoValues():
            return build_networks(build, codec, n_classes, settings, seed=0)
    except Exception:
        if build.__module__.partition(".")[0] == __name__.partition(".")[0]:
            raise
        return None


def generator_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return those of the parameters that `TrainedGenerator` takes."""
    names = ("latent_dim", "latent_noise", "truncation", "strength", "novelty")
    return {name: settings[name] for name in names}


def expected_seconds(gan: Any, X: Any, y: Any) -> float:
    """Estimate how long fitting `gan` to such samples would take, from a few of its steps."""
    X, y = check_samples(X, y, gan, lazy=True)
    codec = fit_codec(gan.modality, X, gan.working_size)
    timed = clone(gan).set_params(callbacks=None, log_dir=None, distributed=False, verbose=False)

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        with without_identifier_warnings():
            timed.set_params(steps=steps).fit(X, y)
        return time.perf_counter() - start

    # The first fit warms up, and other processes may delay any of them: the faster one counts.
    one, more = (min(seconds(steps) for _ in range(2)) for steps in (1, 1 + TIMED_STEPS))
    steps = resolve(gan.get_params(deep=False), codec)["steps"]
    return steps * max(0.0, more - one) / TIMED_STEPS


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return a seed for torch."""
    return int(as_random_state(random_state).randint(2**31 - 1))


def load_or_create_seed(folder: Path, seed: int | None) -> int:
    """Return `seed`, or if it is None that of the run whose checkpoints are in `folder`, or else a new one.

    It is written to the folder if none is there.

    Raises
    ------
    ValueError
        If the file of the seed is none that this function wrote.
    """
    path = folder / SEED_FILE
    exists = os.path.lexists(path)
    if seed is None and exists:
        try:
            text = read_regular(path, 100).decode()
            if not re.fullmatch("[0-9]{1,10}", text.strip()):
                raise ValueError(f"it holds {text!r}")
            return int(text)
        except ValueError as exc:
            raise ValueError(
                f"{path} must hold the seed of a run: delete it to start anew, or pass another `checkpoint`"
                f" folder. ({exc})"
            ) from exc
    seed = draw_seed(None) if seed is None else seed
    if not exists:
        with atomic_write(path) as partial:
            partial.write_text(str(seed))
    return seed
