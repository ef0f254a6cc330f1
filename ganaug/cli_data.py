"""What commands read, fit and make of it: imported once their paths are checked, as it needs torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np

from ganaug.cli_options import complain
from ganaug.data.containers import take
from ganaug.data.holdout import sample_digests
from ganaug.data.labels import encode_labels, label_indices
from ganaug.data.protocol import modality_of
from ganaug.evaluation.samples import LabeledSamples
from ganaug.io.arrays import as_arrays, as_samples
from ganaug.io.disk import printable
from ganaug.io.holdout_file import load_problems
from ganaug.model.gan import ConditionalGAN

# A shorter training is over before its length could be told.
MIN_STEPS_ANNOUNCED = 100
TIMED_PER_CLASS = 64


def deficit(y: np.ndarray, classes: np.ndarray) -> dict[Any, int]:
    """Return how many samples fill each of `classes` up to the largest."""
    n = np.bincount(label_indices(y, classes, "DATA"), minlength=len(classes))
    return dict(zip(classes.tolist(), (n.max() - n).tolist(), strict=True))


def noun(X: Any, gan: Any = None) -> str:
    """Return what messages call the samples of `X`, which `gan` is for."""
    modality = modality_of(X, gan)
    return modality if modality in ("images", "series") else "rows"


class EmptyGenerator:
    """A generator for a file to which nothing synthetic is added: it is never asked for samples."""

    def __init__(self, classes: np.ndarray) -> None:
        self.classes_ = classes
        self.sample: None = None

    def __repr__(self) -> str:
        return "none"

    def problems(self) -> list[str]:
        """Return what `WatchedGate.problems` does: nothing."""
        return []


class WatchedGate:
    """A fitted `QualityGate` that counts how many of the samples it was asked for did not pass.

    Parameters
    ----------
    gate : QualityGate
    strict : bool
        Raise ValueError as soon as one did not.
    """

    def __init__(self, gate: Any, *, strict: bool) -> None:
        self.gate = gate
        self.strict = strict
        self.asked: dict[Any, int] = {}
        self.missed: dict[Any, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gate, name)

    def __repr__(self) -> str:
        return repr(self.gate)

    def sample(self, labels: Any, random_state: Any = None) -> Any:
        """Return what the gate does, which warns of each class by itself."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Class .* passed the gate")
            samples = self.gate.sample(labels, random_state)
        for label, found in self.gate.report_.items():
            missed = found["fallback"]
            self.asked[label] = self.asked.get(label, 0) + found["accepted"] + missed
            self.missed[label] = self.missed.get(label, 0) + missed
        if self.strict:
            complain(self.problems(), strict=True)
        return samples

    def problems(self) -> list[str]:
        """Return in one sentence which classes lack samples that passed."""
        total, missed = sum(self.asked.values()), sum(self.missed.values())
        if not missed:
            return []
        classes = ", ".join(
            f"{c}: {self.asked[c] - n} of {self.asked[c]}" for c, n in self.missed.items() if n
        )
        return [
            f"Only {total - missed} of {total} synthetic samples passed the gate ({classes}); the others are"
            " some of those that it rejected. Train longer, or add fewer."
        ]


def read_real(
    data: Path,
    size: int | tuple[int, int] | None = None,
    gan: Any = None,
    mode: str | None = None,
    *,
    lazy: bool = False,
) -> tuple[Any, np.ndarray]:
    """Return real samples and labels; of a folder the labels are class names, not indices.

    With `lazy`, large images of a folder are not read yet; see `as_samples`. Images get the size and the
    channels of a fitted `gan`, if there is one, in place of `size` and `mode`.
    Of what `ganaug resample` wrote, synthetic samples are left out: a GAN shall not learn from itself. So are
    repeats of real images, which would be held out and trained on at once.
    """
    if gan is not None and gan.codec_.name == "images":
        size = gan.codec_.full_shape[1:]
        if data.is_dir():
            mode = {1: "L", 3: "RGB", 4: "RGBA"}[gan.codec_.shape[0]]
    lazily = lazy and size is None
    X, y = arrays = as_samples(data, mode=mode) if lazily else as_arrays(data, size=size, mode=mode)
    if isinstance(X, np.ndarray) and X.dtype.kind in "SU":
        raise ValueError(
            f"{data} holds a table of dtype {X.dtype}, whose columns are all strings: for columns of several"
            " kinds write a DataFrame by write_hdf5(..., real=(X, y))."
        )
    if arrays.class_names is not None and y.dtype.kind in "iu":
        y = np.array(arrays.class_names)[y]
    synthetic = arrays.synthetic
    if synthetic is not None and synthetic.any() and not synthetic.all():
        click.echo(f"Leaving out {synthetic.sum()} synthetic {noun(X, gan)} of {printable(data)}.", err=True)
        X, y = take(X, ~synthetic), y[~synthetic]
    # Equal rows of a table may be different people.
    repeats = synthetic is not None and not synthetic.all() and (synthetic.any() or not data.is_dir())
    if repeats and X.ndim > 2:
        first = np.sort(np.unique(sample_digests(X), return_index=True)[1])
        if len(first) < len(y):
            n = len(y) - len(first)
            click.echo(
                f"Leaving out {n} {noun(X, gan)} of {printable(data)} that repeat earlier ones.", err=True
            )
            X, y = take(X, first), y[first]
    return X if gan is None else _with_channels(X, gan.codec_), y


def load_gan(model: Path, device: str, *, strict: bool) -> Any:
    """Return a saved model; say what speaks against it, if `ganaug fit` found anything.

    Raises
    ------
    ValueError
        If there is anything, and `strict` is True.
    """
    gan = ConditionalGAN.load(model, device=device)
    complain([f"{model}: {problem}" for problem in load_problems(model, gan.digest())], strict=strict)
    return gan


def announce_training(gan: Any, X: Any, y: np.ndarray) -> None:
    """Say on stderr how long it takes to fit `gan`, by a few of its steps; nothing of a short training."""
    gan.check_parameters()
    if gan.steps != "auto" and gan.steps < MIN_STEPS_ANNOUNCED:
        return
    classes, labels = encode_labels(y)
    # A step takes as long whatever the number of samples, but to check all of them several times does not.
    few = LabeledSamples(X, labels).at_most(TIMED_PER_CLASS, len(classes), np.random.RandomState(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few steps they say nothing
        seconds = gan.expected_seconds(few.X, classes[few.y])
    click.echo(f"Training takes about {_duration(seconds)} on this machine.", err=True)


def _duration(seconds: float) -> str:
    for unit, name in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.{1 if seconds < 10 * unit else 0}f} {name}"
    return f"{max(1, round(seconds))} s"


def gan_and_data(
    data: Path,
    model: Path | None,
    size: int | None,
    mode: str | None,
    parameters: dict[str, Any],
    strict: bool,
) -> tuple[Any, Any, np.ndarray]:
    """Return a GAN and the real samples and labels of `data`: the saved `model`, or an unfitted GAN.

    Raises
    ------
    ValueError
        If `model` was fitted on other data, or a parameter is not of the kind described.
    """
    if model is None:
        gan = ConditionalGAN(**parameters)
        X, y = read_real(data, size, mode=mode)
    else:
        gan = load_gan(model, parameters["device"], strict=strict)
        X, y = read_real(data, gan=gan)
        try:
            gan.codec_.check(X)
            label_indices(np.unique(y), gan.classes_, "DATA")
        except ValueError as exc:
            raise ValueError(f"{model} was fitted on other data than {data}: {exc}") from exc
    gan.check_parameters()
    return gan, X, y


def _with_channels(X: Any, codec: Any) -> Any:
    """Return images with the channels of a model's: grey ones as RGB, and with an opaque alpha channel.

    How many channels a folder has depends on all of its files, and whether grey images have a last axis
    depends on the format.
    """
    if X.ndim not in (3, 4) or codec.name != "images" or codec.tensor:
        return X
    images = X[..., None] if X.ndim == 3 else X
    channels, flat = codec.shape[0], len(codec.row_shape) == 2
    if images.shape[3] == 1 and channels > 1:
        images = images.repeat(3, axis=3)
    if images.shape[3] == 3 and channels == 4:
        opaque = 255 if images.dtype == np.uint8 else 1
        images = np.concatenate([images, np.full_like(images[..., :1], opaque)], axis=3)
    return images[..., 0] if flat and images.shape[3] == 1 else images
