"""Options that several commands share, and what these say; `cli_data` has what they do with data."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from ganaug.io.disk import printable
from ganaug.io.journal import sidecar_paths
from ganaug.training.launch import launched

GO_ON = "To go on, run the same command with --resume."

as_json: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)
overwrite: Final = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
size: Final = click.option(
    "--size", type=click.IntRange(min=1), help="Resize images to this height and width."
)
mode: Final = click.option(
    "--mode",
    type=click.Choice(["L", "RGB", "RGBA"]),
    help="Make the images of a folder grey (L), colour, or colour with transparency; grey of 16 bits is"
    " scaled to 8. Default: what all of them have.",
)
strict: Final = click.option(
    "--strict", is_flag=True, help="Write nothing, with exit code 1, where it would warn of bad samples."
)
resume_writing: Final = click.option(
    "--resume", is_flag=True, help="Go on where the same command was stopped."
)
layout: Final = click.option(
    "--layout",
    type=click.Choice(["nhwc", "nchw"]),
    default="nhwc",
    help="`images`, channels last; or `imgs`, channels first, for loaders like BigGAN's.",
)
compression: Final = click.option(
    "--compression", type=click.Choice(["gzip", "lzf"]), help="Compress the file."
)


if TYPE_CHECKING:
    _ParamType = click.ParamType[tuple[int, int]]
else:
    _ParamType = click.ParamType  # not generic in click 8.2


class ShardType(_ParamType):
    """A shard as I/N: its index, from 0, and how many there are."""

    name = "I/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return the two numbers, or fail in one line."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", value)
        if found is None or not int(found[1]) < int(found[2]):
            self.fail(f"must be I/N with I from 0 to N - 1, such as 0/4, got {value!r}.", param, ctx)
        return int(found[1]), int(found[2])


shard: Final = click.option(
    "--shard",
    type=ShardType(),
    help="Write only part I of N, from 0, to a file of its own, so that several processes share the work. The"
    " processes that torchrun starts do so unasked. Needs --random-state.",
)


def own_shard(given: tuple[int, int] | None, random_state: int | None) -> tuple[int, int] | None:
    """Return the shard that this process is to write: the one `given`, or one for each that torchrun started.

    Raises
    ------
    UsageError
        If there are shards, and no seed that all of them share.
    """
    process = launched()
    found = given or (None if process is None else (process.rank, process.world_size))
    if found is not None and random_state is None:
        raise click.UsageError("Shards need one seed for all of them: pass --random-state N.")
    return found


def complain(problems: list[str], *, strict: bool) -> None:
    """Say on stderr what the problems are, each in one line; raise ValueError instead if `strict`."""
    if problems and strict:
        raise ValueError(f"{' '.join(problems)} Leave out --strict to write it nevertheless.")
    for problem in problems:
        click.echo(f"Warning: {printable(problem)}", err=True)


def how_to_go_on_writing(output: Path, *, can_resume: bool = True) -> str | None:
    """Return how to go on with a file that was being written, if there is anything of it."""
    if not os.path.lexists(sidecar_paths(output).journal):
        return None
    if can_resume:
        return GO_ON
    return "To start anew, run it with --overwrite; with --random-state it could go on."


def refuse_beside_model(recommended: bool) -> None:
    """Raise UsageError if an option was given that has no effect with a fitted model."""
    if recommended:
        raise click.UsageError("--recommended fits GANs of its own on parts of DATA: drop --model.")
    context = click.get_current_context()
    used = {"data", "output", "model", "recommended", "random_state", "device"}
    used |= {"layout", "compression", "resume", "overwrite", "strict", "as_json"}
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
