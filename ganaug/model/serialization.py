"""A saved model: its JSON and its tensors in a folder, written whole, and read with the digest of both."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ganaug.data.tables import TableCodec
from ganaug.io.disk import atomic_write
from ganaug.model.fitting import build_networks, generator_settings, make_fabric, set_feature_names
from ganaug.model.generator import TrainedGenerator, n_members_per_architecture
from ganaug.model.parameters import CODECS, NOT_SAVED, AnyCodec, lookup_architectures, resolve
from ganaug.networks import Architecture

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
FORMAT_VERSION = 6
# Tensors of the data, which generators of several architectures have in common: written once.
SHARED_TENSORS = ("labels", "rows")
# What reading a damaged or foreign file, or making a model of it, may raise.
LOAD_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, safetensors.SafetensorError)


def load_model(cls: Any, folder: Path, device: str) -> Any:
    """Return a fitted `cls`, a `ConditionalGAN`, from what `write_model` wrote to `folder`.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files is missing.
    ValueError
        If a file is damaged or of another format, or there is no such `device`.
    """
    check_model(folder)
    make_fabric(device)  # so that a wrong device is not taken for a damaged file
    try:
        config, tensors = read_model(folder)
        gan = cls(**config["parameters"], device=device)
        gan.check_parameters()
        gan._parameters = gan.get_params()
        gan.history_ = config["history"]
        restore(gan, config, tensors)
        set_feature_names(gan)
        if gan.digest() != config["digest"]:
            raise ValueError("its files are not as they were saved")
    except LOAD_ERRORS as exc:
        raise ValueError(f"{folder} holds no model that this version of ganaug can read: {exc}") from exc
    return gan


def model_digest(config: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a model, in hexadecimal digits; raise ValueError if JSON can't hold `config`."""
    try:
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    except TypeError as exc:
        raise ValueError(f"A label or a parameter has no place in a JSON file: {exc}") from exc
    for name in sorted(tensors):
        values = tensors[name].contiguous().cpu()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_model(folder: Path, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a model to `folder`, made if missing; an old one is replaced once both files are written.

    That takes two renames. A process that dies between them leaves a folder that `load_model` refuses.
    """
    about = {"ganaug": version("ganaug"), "digest": model_digest(config, tensors)}
    text = json.dumps({**about, **config}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        atomic_write(folder / CONFIG_FILE) as partial_config,
        atomic_write(folder / WEIGHTS_FILE) as partial_weights,
    ):
        safetensors.torch.save_file(tensors, partial_weights)
        partial_config.write_text(text)


def check_model(folder: Path) -> None:
    """Raise FileNotFoundError if `folder` holds no model."""
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a saved model: it has no {name}.")


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what `write_model` wrote, config with its "digest", or raise one of `LOAD_ERRORS`.

    The caller must compare that digest with the one of the model it restores. Only so is a change
    noticed that leaves the files readable.
    """
    config = json.loads((folder / CONFIG_FILE).read_text())
    if config["format"] != FORMAT_VERSION:
        raise ValueError(f"format {config['format']} instead of {FORMAT_VERSION}")
    return config, safetensors.torch.load_file(folder / WEIGHTS_FILE)


def model_content(gan: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what is written of a fitted `ConditionalGAN`: JSON, and tensors by name."""
    check_is_fitted(gan)
    parameters = {k: v for k, v in gan._parameters.items() if k not in NOT_SAVED}
    for name, value in parameters.items():
        if callable(value):
            raise ValueError(
                f"`{name}` is a callable, which can't be saved: give it a name in ganaug's"
                " ARCHITECTURES, LOSSES or PENALTIES, before fit."
            )
    config = {
        "format": FORMAT_VERSION,
        "parameters": {k: v.item() if isinstance(v, np.generic) else v for k, v in parameters.items()},
        "classes": gan.classes_.tolist(),
        "classes_dtype": "str" if gan.classes_.dtype.kind == "U" else gan.classes_.dtype.name,
        "modality": gan.codec_.name,
        "codec": gan.codec_.to_config(),
        "members": len(gan.members_),
        "history": gan.history_,
    }
    tensors: dict[str, Tensor] = {}
    per_architecture = n_members_per_architecture(gan.members_, len(gan.classes_))
    for i, member in enumerate(gan.members_):
        for name, tensor in member.tensors().items():
            first = f"{i % per_architecture}.{name}"
            if i < per_architecture or name not in SHARED_TENSORS or first not in tensors:
                tensors[f"{i}.{name}"] = tensor
    return config, tensors


def restore(gan: Any, config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Set the fitted attributes of a `ConditionalGAN` from its content, or raise one of `LOAD_ERRORS`."""
    gan.codec_ = CODECS[config["modality"]].from_config(config["codec"])
    gan.classes_ = np.array(config["classes"], dtype=config["classes_dtype"])
    groups: list[dict[str, Tensor]] = [{} for _ in range(config["members"])]
    for name, tensor in tensors.items():
        member, _, name = name.partition(".")
        groups[int(member)][name] = tensor
    settings = resolve(gan.get_params(deep=False), gan.codec_)
    table = isinstance(gan.codec_, TableCodec)
    architectures = lookup_architectures(settings["architecture"], table=table)
    per_architecture, rest = divmod(len(groups), len(architectures))
    if rest or not per_architecture:
        raise ValueError(f"{len(groups)} networks for {len(architectures)} architectures")
    for i, group in enumerate(groups):
        first = groups[i % per_architecture]
        group.update({k: v for k, v in first.items() if k in SHARED_TENSORS and k not in group})
    gan.members_ = [
        _restore_member(group, architectures[i // per_architecture], gan.codec_, settings)
        for i, group in enumerate(groups)
    ]
    counts = [member.class_index.counts.numpy() for member in gan.members_]
    gan.class_counts_ = np.concatenate(counts[: n_members_per_architecture(gan.members_, len(gan.classes_))])
    n_classes = len(gan.class_counts_)
    if len(gan.classes_) != n_classes or not np.array_equal(gan.classes_, np.unique(gan.classes_)):
        raise ValueError(f"classes {gan.classes_.tolist()} for weights of {n_classes}")


def _restore_member(
    tensors: dict[str, Tensor], build: Architecture, codec: AnyCodec, settings: dict[str, Any]
) -> TrainedGenerator:
    networks = build_networks(build, codec, int(tensors["labels"].max()) + 1, settings, seed=0)
    device = make_fabric(settings["device"]).device
    networks.generator.to(device)
    if networks.encoder is not None:
        networks.encoder.to(device)
    return TrainedGenerator.from_tensors(tensors, networks, codec, **generator_settings(settings))
