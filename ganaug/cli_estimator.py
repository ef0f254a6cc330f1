"""The options of `ganaug fit` and `ganaug resample` that are parameters of `ConditionalGAN`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ganaug.cli_errors import in_flags
from ganaug.model.signature import PARAMETERS, GANParameters

# These parameters of `ConditionalGAN` have no place on a command line.
NOT_OPTIONS = ("callbacks", "distributed", "verbose")
# What the docstring of `ConditionalGAN` takes for granted.
MORE_HELP = {
    "batch_size": "Samples in each step of training.",
    "random_state": "Seed; the same one trains the same model. Default: another one each time.",
    "device": "A device of PyTorch.",
}
PATH = click.Path(path_type=Path)


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # not generic in click 8.2


class _NumberOrText(_ParamType):
    name = "number or text"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        for number in (int, float):
            try:
                return number(value)
            except (TypeError, ValueError):
                continue
        return value


NUMBER_OR_TEXT: _NumberOrText = _NumberOrText()


class Parameter(NamedTuple):
    """A parameter of `ConditionalGAN`: its default, and what its docstring says of type and meaning."""

    default: Any
    kind: str
    meaning: str


class EstimatorCommand(click.Command):
    """A command with an option for each parameter of `ConditionalGAN`."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options and the estimator's."""
        options: list[click.Parameter] = []
        for name, parameter in estimator_parameters().items():
            if name not in NOT_OPTIONS:
                # Where the default is "auto" or None, a number may be given too.
                option_type: Any = NUMBER_OR_TEXT if name != "log_dir" else PATH
                if isinstance(parameter.default, int | float):
                    option_type = type(parameter.default)
                flag = "--" + name.replace("_", "-")
                words = _help(name, parameter)
                options.append(
                    click.Option([flag, name], type=option_type, default=parameter.default, help=words)
                )
        return [*super().get_params(ctx), *options]


def _help(name: str, parameter: Parameter) -> str:
    """Return in plain words what an option does: what the docstring says, less what only Python can pass."""
    choices = re.search(r"\{(.*)\}", parameter.kind)
    sentences = re.split(r"(?<=\.) (?=[A-Z\"`])", parameter.meaning)
    if choices is not None:
        sentences.insert(0, f"One of {choices[1]}.")
    elif "`" in parameter.kind:
        sentences.insert(0, "A wrong name lists all.")
    text = " ".join([MORE_HELP.get(name, ""), *(s for s in sentences if "callable" not in s)])
    return in_flags(text.replace("``", ""), None).replace("`X`", "DATA").replace("`", "").strip()


def estimator_parameters() -> dict[str, Parameter]:
    """Return the parameters of `ConditionalGAN`."""
    entries = re.findall(r"^    (\w+) : (.*)\n((?: {8}.*\n)*)", PARAMETERS, re.MULTILINE)
    documented = {name: (kind, " ".join(lines.split())) for name, kind, lines in entries}
    signature = inspect.signature(GANParameters).parameters
    return {name: Parameter(of.default, *documented[name]) for name, of in signature.items()}
