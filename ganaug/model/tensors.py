"""What tensors the file of a saved model must hold, and whether a stranger's file does."""

from __future__ import annotations

import reprlib
from typing import Any

import torch
from torch import Tensor

from ganaug.data.tables import TableCodec
from ganaug.model.fitting import blank_networks
from ganaug.model.generator import STORAGES
from ganaug.model.parameters import AnyCodec
from ganaug.networks import Architecture

# What the header of a safetensors file calls dtypes.
DTYPE_NAMES = {
    torch.uint8: "U8",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.bfloat16: "BF16",
    torch.bool: "BOOL",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
}
# The dtype and shape of each tensor of a file, by name.
Header = dict[str, tuple[str, tuple[int, ...]]]


def check_header(
    header: Header,
    architectures: list[Architecture],
    per_architecture: int,
    n_classes: int,
    codec: AnyCodec,
    settings: dict[str, Any],
    storage: str,
) -> None:
    """Raise ValueError unless a file holds just the tensors of such a model, in its dtypes and shapes.

    `n_classes` is the number of classes of each network. What the networks hold is found on torch's
    device "meta", which takes no memory.
    """
    n_labels = [header.get(f"{i}.labels", ("", ()))[1] for i in range(per_architecture)]
    if not all(len(shape) == 1 and shape[0] >= n_classes for shape in n_labels):
        raise ValueError(f"labels of shapes {reprlib.repr(n_labels)} for {n_classes} classes in each")
    expected: Header = {}
    seen: set[tuple[int, str]] = set()
    for a, build in enumerate(architectures):
        networks = blank_networks(build, codec, n_classes, settings)
        own: Header = {}
        modules = {} if networks is None else {"generator": networks.generator, "encoder": networks.encoder}
        for part, module in modules.items():
            for name, tensor in ({} if module is None else module.state_dict()).items():
                own[f"{part}.{name}"] = (DTYPE_NAMES.get(tensor.dtype, "?"), tuple(tensor.shape))
        for i in range(a * per_architecture, (a + 1) * per_architecture):
            n = n_labels[i % per_architecture]
            entries: Header = {"labels": ("I64", n)}
            if networks is None:
                own = {k.partition(".")[2]: v for k, v in header.items() if k.startswith(f"{i}.")}
            elif networks.keeps_samples:
                entries |= _kept_tensors(n[0], codec, storage, header.get(f"{i}.rows"))
            wanted = {k: v for k, v in entries.items() if (i % per_architecture, k) not in seen}
            seen |= {(i % per_architecture, name) for name in wanted}
            expected |= {f"{i}.{name}": entry for name, entry in {**own, **wanted}.items()}
    if missing := sorted(expected.keys() - header.keys()):
        raise ValueError(f"it lacks the tensors {reprlib.repr(missing)}")
    if unexpected := sorted(header.keys() - expected.keys()):
        raise ValueError(f"unexpected tensors: {reprlib.repr(unexpected)}")
    for name, entry in expected.items():
        if header[name] != entry:
            raise ValueError(f"tensor {name!r} is {header[name]}, where {entry} was saved")


def _kept_tensors(n: int, codec: AnyCodec, storage: str, rows: Any) -> Header:
    """Return the tensors of `n` training samples that are kept so; `rows` is what the file says of them.

    Of files, the number of their bytes can be any: where each ends is checked as they are restored.
    """
    dtype, shape, small = "F32", tuple(codec.shape), tuple(codec.shape)
    if not isinstance(codec, TableCodec):
        dtype = DTYPE_NAMES[getattr(torch, codec.dtype)]
        shape, small = codec.row_shape, codec.working.row_shape
    entries: Header = {"rows": (dtype, (n, *(small if storage == "reduced" else shape)))}
    if storage == "files":
        n_bytes = rows[1] if rows is not None and len(rows[1]) == 1 else (0,)
        entries = {"rows": ("U8", n_bytes), "row_ends": ("I64", (n,)), "reduced": (dtype, (n, *small))}
    return {name: entries[name] for name in STORAGES[storage]}


def check_values(tensors: dict[str, Tensor], n_classes: int) -> None:
    """Raise ValueError unless all numbers are finite, and labels those of so many classes."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"tensor {name!r} holds values that are not finite")
        if name.endswith(".labels") and "." not in name.removesuffix(".labels"):
            low, high = int(tensor.min()), int(tensor.max())
            if low < 0 or high >= n_classes or not torch.bincount(tensor, minlength=n_classes).all():
                raise ValueError(f"labels of {n_classes} classes with values from {low} to {high}")
