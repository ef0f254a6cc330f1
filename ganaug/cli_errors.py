"""How the command line words errors and warnings, and what it says when it is stopped."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import click

from ganaug.io.disk import printable

INTERRUPTED = 130  # what shells give a command that was stopped by Ctrl-C
HOW_TO_GO_ON = "ganaug.how_to_go_on"
# What errors call the data, which no command has as an option.
DATA_NAMES = {"X": "DATA", "y": "The labels of DATA", "counts": "--per-class or --balance"}


class OneLineErrors(click.Group):
    """A group whose commands report bad input in one line that speaks of flags, with exit code 1.

    Stopped by Ctrl-C, they say how to go on, with exit code 130.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""

        def one_line(message: object) -> str:
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            return printable(in_flags(" ".join(str(message).split()), command))

        format_before = warnings.formatwarning
        warnings.formatwarning = lambda message, *_, **__: f"Warning: {one_line(message)}\n"
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            how_to_go_on = ctx.meta.get(HOW_TO_GO_ON, lambda: None)()
            click.echo(f"\nStopped. {how_to_go_on or ''}".rstrip(), err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except (ValueError, TypeError, OSError, RuntimeError, MemoryError, ImportError) as exc:
            raise click.ClickException(one_line(exc)) from exc
        finally:
            warnings.formatwarning = format_before


def on_interrupt(how_to_go_on: Callable[[], str | None]) -> None:
    """Have Ctrl-C print what a function returns from now on, in this command."""
    click.get_current_context().meta[HOW_TO_GO_ON] = how_to_go_on


def in_flags(text: str, command: click.Command | None) -> str:
    """Return a message of the library in the words of a command: its flags in place of Python's parameters.

    Where a message has a flag in brackets, as in ``overwrite=True (--overwrite)``, the flag alone is left.
    """
    text = re.sub(r"[^\s(]+(?: of as_arrays)? \((--[a-z][^)]*)\)", r"\1", text)
    text = re.sub(r"as_arrays\(source, size=(\d+)\)", r"--size \1", text)
    text = re.sub(r",? or in Python [^ ].*?(?=\.(\s|$))", "", text)
    text = re.sub(r",? or a callable( for a table)?(?=[,. ])", "", text)
    parameters = [] if command is None else command.get_params(click.Context(command))
    flags = {str(parameter.name): _flag(parameter) for parameter in parameters}
    text = re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), text)
    text = re.sub(r"^`(\w+)`", lambda found: DATA_NAMES.get(found[1], found[0]), text)
    return re.sub(r" or None(?=[,.])", "", text) if text.startswith("--") else text


def _flag(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.human_readable_name
    return max(parameter.opts, key=len)
