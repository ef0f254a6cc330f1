"""backbone_digest: what tells one backbone and its transform from others, for the features kept of them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

import joblib
import torch
from torch import nn

from ganaug.training.fingerprint import callable_fingerprint


def backbone_digest(backbone: Any, transform: Any) -> str:
    """Return a SHA-256, in hexadecimal digits, of a network and of the transform before it.

    Of a network it covers the weights and buffers, the structure, the code of its own classes and their plain
    attributes; of a transform, its type and attributes.

    Raises
    ------
    ValueError
        If the backbone is a function or the like, whose weights can't be found, or the transform has no
        digest that is the same in each process.
    """
    if not isinstance(backbone, nn.Module):
        raise ValueError(
            "`cache` needs a `backbone` whose weights can be told from others, got a"
            f" {type(backbone).__name__}: wrap it in a torch.nn.Module, or pass cache=None."
        )
    digest = hashlib.sha256()
    for part in _structure(backbone):
        digest.update(part.encode() + b"\0")
    for name, tensor in chain(backbone.named_parameters(), backbone.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu().contiguous()
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    digest.update(_transform_digest(transform).encode())
    return digest.hexdigest()


def _structure(backbone: nn.Module) -> Iterator[str]:
    """Yield what a network is made of, beside its weights."""
    common = vars(nn.Module())  # what each network has, such as whether it is being trained
    for name, module in backbone.named_modules():
        own = [(k, v) for k, v in sorted(vars(module).items()) if k not in common and _is_plain(v)]
        yield f"{name} {type(module).__qualname__} {module.extra_repr()} {own}"
    classes = {cls for module in backbone.modules() for cls in type(module).__mro__}
    for cls in sorted(classes, key=lambda cls: f"{cls.__module__} {cls.__qualname__}"):
        if cls.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        for name, method in sorted(vars(cls).items()):
            if hasattr(method, "__code__"):
                yield f"{cls.__qualname__}.{name} {callable_fingerprint(method)}"


def _is_plain(value: Any) -> bool:
    """Return whether the `repr` of a value is all that there is to it."""
    if isinstance(value, dict):
        return all(map(_is_plain, chain(value, value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float | None)


def _transform_digest(transform: Any) -> str:
    if transform is None:
        return "none"
    if not hasattr(transform, "__code__") and not isinstance(transform, partial):  # of those only the name
        with suppress(Exception):  # what can't be pickled
            digest = joblib.hash(transform)
            if digest == joblib.hash(copy.deepcopy(transform)):
                return f"{type(transform).__qualname__} {digest}"
    raise ValueError(
        "`cache` needs a `preprocess` that can be told from others by its attributes, as torchvision's and"
        f" timm's can, got {transform!r}: pass one of these, a torch.nn.Module, or cache=None."
    )
