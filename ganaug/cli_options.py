"""The command line: one verb for each step."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

# Rooms that need torch are imported inside the commands: `ganaug --help` need not wait for it.

NOT_OPTIONS = ("callbacks", "verbose")  # parameters of `ConditionalGAN` with no place on a command line
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
size = click.option("--size", type=click.IntRange(min=1), help="Resize images to this height and width.")
PATH = click.Path(path_type=Path)
resume_writing = click.option("--resume", is_flag=True, help="Go on where the same command was stopped.")
layout = click.option(
    "--layout",
    type=click.Choice(["nhwc", "nchw"]),
    default="nhwc",
    help="`images`, channels last; or `imgs`, channels first, for loaders of BigGAN's kind.",
)
compression = click.option("--compression", type=click.Choice(["gzip", "lzf"]), help="Of the file.")


class OneLineErrors(click.Group):
    """A group whose commands turn the errors of bad input into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except (ValueError, TypeError, OSError, RuntimeError, MemoryError, ImportError) as exc:
            raise click.ClickException(" ".join(str(exc).split())) from exc


class EstimatorCommand(click.Command):
    """A command with an option for each parameter of `ConditionalGAN`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options and the estimator's."""
        from ganaug.model.gan import ConditionalGAN

        options: list[click.Parameter] = []
        for name, parameter in inspect.signature(ConditionalGAN).parameters.items():
            if name not in NOT_OPTIONS:
                flag = "--" + name.replace("_", "-")
                # "auto" and None may stand for a number: numbers are recognised by their looks.
                kind: Any = AUTO if name != "log_dir" else PATH
                if isinstance(parameter.default, int | float):
                    kind = type(parameter.default)
                options.append(
                    click.Option(
                        [flag, name], type=kind, default=parameter.default, help="See ConditionalGAN."
                    )
                )
        return [*super().get_params(ctx), *options]


class _Auto(click.ParamType):
    name = "text or number"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        for kind in (int, float):
            try:
                return kind(value)
            except (TypeError, ValueError):
                continue
        return value


AUTO = _Auto()


def deficit(y: np.ndarray, classes: np.ndarray) -> dict[Any, int]:
    """Return what each of `classes` lacks to the largest."""
    from ganaug.data.labels import label_indices

    n = np.bincount(label_indices(y, classes, "DATA"), minlength=len(classes))
    return dict(zip(classes.tolist(), (n.max() - n).tolist(), strict=True))


class EmptyGenerator:
    """A generator that is asked for nothing."""

    def __init__(self, classes: np.ndarray) -> None:
        self.classes_, self.sample = classes, None

    def __repr__(self) -> str:
        return "none"


def read_real(
    data: Path, size: int | tuple[int, int] | None = None, gan: Any = None
) -> tuple[Any, np.ndarray]:
    """Return images and labels; those of a folder by their names, which mean more than their order.

    Where a fitted `gan` is given, with the size and the channels of its own. Synthetic images that
    stand beside real ones are left out: a GAN shall not learn from itself.
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
        rows = "rows" if X.ndim == 2 else "images"
        click.echo(f"Leaving out {synthetic.sum()} synthetic {rows} of {data}.", err=True)
        X, y = take(X, ~synthetic), y[~synthetic]
    return X if gan is None else _with_channels(X, gan.codec_), y


def _with_channels(X: Any, codec: Any) -> Any:
    """Return images with the channels of a model's: grey ones as colour, and opaque where those have alpha.

    How many a folder has depends on each of its files, and whether the last axis is there on its format.
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
    """Raise UsageError if an option was given that a fitted model has no use for."""
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
        raise click.UsageError(f"--model is fitted already: drop {', '.join(given)}, or --model.")
