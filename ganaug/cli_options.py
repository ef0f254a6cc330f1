"""Options and helpers that several commands of the command line share."""

from __future__ import annotations

import ast
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

from ganaug.io.disk import printable

# Modules that need torch are imported inside the functions: neither `ganaug --help` nor an error in a path
# need wait for it.

# These parameters of `ConditionalGAN` have no place on a command line.
NOT_OPTIONS = ("callbacks", "verbose")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
size = click.option("--size", type=click.IntRange(min=1), help="Resize images to this height and width.")
PATH = click.Path(path_type=Path)
resume_writing = click.option("--resume", is_flag=True, help="Go on where the same command was stopped.")
layout = click.option(
    "--layout",
    type=click.Choice(["nhwc", "nchw"]),
    default="nhwc",
    help="`images`, channels last; or `imgs`, channels first, for loaders like BigGAN's.",
)
compression = click.option("--compression", type=click.Choice(["gzip", "lzf"]), help="Compress the file.")


class OneLineErrors(click.Group):
    """A group whose commands report errors of bad input in one line, with exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        format_before, warnings.formatwarning = warnings.formatwarning, _format_warning
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except (ValueError, TypeError, OSError, RuntimeError, MemoryError, ImportError) as exc:
            raise click.ClickException(_one_line(exc)) from exc
        finally:
            warnings.formatwarning = format_before


def _one_line(message: object) -> str:
    return printable(" ".join(str(message).split()))


def _format_warning(message: Warning | str, *_: Any, **__: Any) -> str:
    return f"Warning: {_one_line(message)}\n"


class EstimatorCommand(click.Command):
    """A command with an option for each parameter of `ConditionalGAN`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options and the estimator's."""
        options: list[click.Parameter] = []
        for name, default in estimator_defaults().items():
            if name not in NOT_OPTIONS:
                flag = "--" + name.replace("_", "-")
                # Where the default is "auto" or None, a number may be given too.
                option_type: Any = NUMBER_OR_TEXT if name != "log_dir" else PATH
                if isinstance(default, int | float):
                    option_type = type(default)
                options.append(
                    click.Option([flag, name], type=option_type, default=default, help="See ConditionalGAN.")
                )
        return [*super().get_params(ctx), *options]


def estimator_defaults() -> dict[str, Any]:
    """Return the parameters of `ConditionalGAN` and their defaults, from its source: to import it is slow."""
    origin = find_spec("ganaug.model.gan").origin  # type: ignore[union-attr]
    tree = ast.parse(Path(str(origin)).read_text(encoding="utf-8"))
    (estimator,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "ConditionalGAN")
    (init,) = (n for n in estimator.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    pairs = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    return {argument.arg: ast.literal_eval(default) for argument, default in pairs if default is not None}


class _NumberOrText(click.ParamType):
    name = "number or text"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        for number in (int, float):
            try:
                return number(value)
            except (TypeError, ValueError):
                continue
        return value


NUMBER_OR_TEXT = _NumberOrText()


def deficit(y: np.ndarray, classes: np.ndarray) -> dict[Any, int]:
    """Return how many samples fill each of `classes` up to the largest."""
    from ganaug.data.labels import label_indices

    n = np.bincount(label_indices(y, classes, "DATA"), minlength=len(classes))
    return dict(zip(classes.tolist(), (n.max() - n).tolist(), strict=True))


def noun(X: Any) -> str:
    """Return what messages call the samples of `X`."""
    return "rows" if X.ndim == 2 else "images"


class EmptyGenerator:
    """A generator for a file to which nothing synthetic is added: it is never asked for samples."""

    def __init__(self, classes: np.ndarray) -> None:
        self.classes_, self.sample = classes, None

    def __repr__(self) -> str:
        return "none"


def read_real(
    data: Path, size: int | tuple[int, int] | None = None, gan: Any = None
) -> tuple[Any, np.ndarray]:
    """Return real samples and labels; of a folder the labels are class names, not indices.

    Images get the size and the channels of a fitted `gan`, if there is one. Synthetic images in a file that
    has real ones too are left out: a GAN shall not learn from itself.
    """
    from ganaug.data.containers import take
    from ganaug.io.arrays import as_arrays

    if gan is not None and gan.codec_.name != "table":
        size = gan.codec_.shape[1:]
    X, y = arrays = as_arrays(data, size=size)
    if isinstance(X, np.ndarray) and X.dtype.kind in "SU":
        raise ValueError(
            f"{data} holds a table of dtype {X.dtype}, whose columns are all strings: for columns of several"
            " kinds write a DataFrame by write_hdf5(..., real=(X, y))."
        )
    if arrays.class_names is not None and y.dtype.kind in "iu":
        y = np.array(arrays.class_names)[y]
    synthetic = arrays.synthetic
    if synthetic is not None and synthetic.any() and not synthetic.all():
        click.echo(f"Leaving out {synthetic.sum()} synthetic {noun(X)} of {printable(data)}.", err=True)
        X, y = take(X, ~synthetic), y[~synthetic]
    return X if gan is None else _with_channels(X, gan.codec_), y


def gan_and_data(
    data: Path, model: Path | None, size: int | None, parameters: dict[str, Any]
) -> tuple[Any, Any, np.ndarray]:
    """Return a GAN and the real samples and labels of `data`: the saved `model`, or an unfitted GAN.

    Raises
    ------
    ValueError
        If `model` was fitted on other data, or a parameter is not of the kind described.
    """
    from ganaug.data.labels import label_indices
    from ganaug.model.gan import ConditionalGAN

    if model is None:
        gan = ConditionalGAN(**parameters)
        X, y = read_real(data, size)
    else:
        gan = ConditionalGAN.load(model, device=parameters["device"])
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
    if X.ndim not in (3, 4) or codec.name == "table" or codec.tensor:
        return X
    images = X[..., None] if X.ndim == 3 else X
    channels, flat = codec.shape[0], len(codec.row_shape) == 2
    if images.shape[3] == 1 and channels > 1:
        images = images.repeat(3, axis=3)
    if images.shape[3] == 3 and channels == 4:
        opaque = 255 if images.dtype == np.uint8 else 1
        images = np.concatenate([images, np.full_like(images[..., :1], opaque)], axis=3)
    return images[..., 0] if flat and images.shape[3] == 1 else images


def refuse_beside_model(recommended: bool) -> None:
    """Raise UsageError if an option was given that has no effect with a fitted model."""
    if recommended:
        raise click.UsageError("--recommended fits GANs of its own on parts of DATA: drop --model.")
    context = click.get_current_context()
    used = {"data", "output", "model", "recommended", "random_state", "device"}
    used |= {"layout", "compression", "resume", "overwrite", "as_json"}
    given = [
        "--" + name.replace("_", "-")
        for name in context.params
        if name not in used and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"--model is already fitted: drop {', '.join(given)}, or --model.")


def say(*lines: str) -> None:
    """Print lines; what is not fit for a terminal in a path or a label is escaped."""
    click.echo("\n".join(map(printable, lines)))
