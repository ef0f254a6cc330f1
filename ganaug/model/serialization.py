"""A saved model: its JSON and its tensors in a folder, written whole, and read with the digest of both."""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ganaug.data.images import ImageCodec
from ganaug.data.working_size import working_sides
from ganaug.io.disk import atomic_write, locked, printable, read_regular
from ganaug.io.folders import MODEL_FILES
from ganaug.model.config import MAX_CONFIG_SIZE, check_config, classes_from_config, counts_from_config
from ganaug.model.estimator import set_feature_names
from ganaug.model.fitting import (
    build_networks,
    generator_settings,
)
from ganaug.model.generator import KEPT_SAMPLES, TrainedGenerator, n_members_per_architecture
from ganaug.model.parameters import CODECS, NOT_SAVED, AnyCodec, lookup_architectures, resolve
from ganaug.model.tensors import check_header, check_values
from ganaug.networks import Architecture
from ganaug.training.processes import find_device

CONFIG_FILE, WEIGHTS_FILE = MODEL_FILES
FORMAT_VERSION = 10
# Tensors of the data, which generators of several architectures have in common: written once.
SHARED_TENSORS: tuple[str, ...] = ("labels", *KEPT_SAMPLES)
# What reading a damaged or foreign file, or making a model of it, may raise.
LOAD_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    safetensors.SafetensorError,
)


def load_model(cls: Any, folder: Path, device: str) -> Any:
    """Return a fitted `cls`, a `ConditionalGAN`, from what `write_model` wrote to `folder`.

    Nothing that a file says is believed before it is checked against what `write_model` writes, and no
    more memory is asked for than the files take themselves.

    Raises
    ------
    FileNotFoundError
        If the folder or one of its files is missing.
    ValueError
        If a file is damaged or of another format, or there is no such `device`.
    """
    check_model(folder)
    find_device(device)  # so that a wrong device is not taken for a damaged file
    try:
        config = read_config(folder)
        check_config(config, set(cls().get_params(deep=False)) - set(NOT_SAVED))
        gan = cls(**config["parameters"], device=device)
        gan.check_parameters()
        gan._parameters = gan.get_params()
        gan.history_ = config["history"]
        restore(gan, config, folder / WEIGHTS_FILE)
        set_feature_names(gan, gan.codec_)
        if gan.digest() != config["digest"]:
            raise ValueError("its files are not as they were saved")
    except LOAD_ERRORS as exc:
        reason = str(exc).partition("\nException raised from")[0][:1000]  # without torch's own stack
        raise ValueError(f"{folder} holds no model that this version of ganaug can read: {reason}") from exc
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

    Raises
    ------
    BlockingIOError
        If another run writes to the folder.
    ValueError
        If `config` is larger than `load_model` reads.
    """
    about = {"ganaug": version("ganaug"), "digest": model_digest(config, tensors)}
    text = json.dumps({**about, **config}, indent=1)
    if len(text) > MAX_CONFIG_SIZE:
        raise ValueError(
            f"{CONFIG_FILE} must be of {MAX_CONFIG_SIZE} bytes at most, got {len(text)}: train on"
            " fewer columns."
        )
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        locked(folder / CONFIG_FILE),  # in the folder, as the one above it may not be writable
        atomic_write(folder / CONFIG_FILE) as partial_config,
        atomic_write(folder / WEIGHTS_FILE) as partial_weights,
    ):
        safetensors.torch.save_file(tensors, partial_weights)
        partial_config.write_text(text)


def check_model(folder: Path) -> None:
    """Raise FileNotFoundError if `folder` holds no model, ValueError if its files are pipes or folders."""
    for name in MODEL_FILES:
        if not os.path.lexists(folder / name):
            raise FileNotFoundError(f"{folder} is not a saved model: it has no {name}.")
        if not (folder / name).is_file():
            raise ValueError(f"{printable(folder / name)} must be a regular file.")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the JSON that `write_model` wrote, with its "digest", or raise one of `LOAD_ERRORS`.

    The caller must compare that digest with the one of the model it restores. Only so is a change
    noticed that leaves the files readable.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"a number that is {constant}")

    config = json.loads(read_regular(folder / CONFIG_FILE, MAX_CONFIG_SIZE), parse_constant=refuse)
    if config["format"] != FORMAT_VERSION:
        raise ValueError(f"format {reprlib.repr(config['format'])} instead of {FORMAT_VERSION}")
    return config


def model_content(gan: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what is written of a fitted `ConditionalGAN`: JSON, and tensors by name."""
    check_is_fitted(gan)
    parameters = {k: v for k, v in gan._parameters.items() if k not in NOT_SAVED}
    for name, value in parameters.items():
        if callable(value):
            raise ValueError(
                f"`{name}` is a callable, which can't be saved: give it a name in ganaug's"
                " registries, such as ARCHITECTURES, before fit."
            )
    config = {
        "format": FORMAT_VERSION,
        "parameters": {k: v.item() if isinstance(v, np.generic) else v for k, v in parameters.items()},
        "classes": gan.classes_.tolist(),
        "classes_dtype": "str" if gan.classes_.dtype.kind == "U" else gan.classes_.dtype.name,
        "class_counts": gan.class_counts_.tolist(),
        "modality": gan.codec_.name,
        "codec": gan.codec_.to_config(),
        "stored": _storage(gan.members_),
        "members": len(gan.members_),
        "history": gan.history_,
    }
    tensors: dict[str, Tensor] = {}
    per_architecture = n_members_per_architecture(gan.members_, len(gan.classes_))
    written: set[tuple[int, str]] = set()
    for i, member in enumerate(gan.members_):
        for name, tensor in member.tensors().items():
            if name in SHARED_TENSORS:
                if (i % per_architecture, name) in written:
                    continue
                written.add((i % per_architecture, name))
            tensors[f"{i}.{name}"] = tensor
    return config, tensors


def _storage(members: list[TrainedGenerator]) -> str:
    """Return how the training samples are kept; generators from noise beside others keep none."""
    return next((member.storage for member in members if member.storage != "none"), "none")


def _check_storage(storage: str, codec: AnyCodec, settings: dict[str, Any]) -> None:
    """Raise ValueError unless a model with such parameters keeps its training samples so."""
    allowed = {"arrays", "none"}
    if isinstance(codec, ImageCodec):
        if codec.is_reduced:
            allowed = {"reduced"} if settings["stored_images"] == "reduced" else {"arrays", "files"}
        _, height, width = codec.full_shape
        sides = working_sides(height, width, settings["working_size"])
        if codec.shape[1:] != sides:
            raise ValueError(f"networks of {codec.shape[1:]} for images of {codec.full_shape[1:]}")
    if storage not in allowed:
        raise ValueError(f"stored {reprlib.repr(storage)}, where `save` writes one of {sorted(allowed)}")


def restore(gan: Any, config: dict[str, Any], path: Path) -> None:
    """Set the fitted attributes of a `ConditionalGAN` from its files, or raise one of `LOAD_ERRORS`."""
    gan.codec_ = CODECS[config["modality"]].from_config(config["codec"])
    gan.classes_ = classes_from_config(config["classes"], config["classes_dtype"])
    settings = resolve(gan.get_params(deep=False), gan.codec_)
    storage = config["stored"]
    _check_storage(storage, gan.codec_, settings)
    architectures = lookup_architectures(settings["architecture"], gan.codec_)
    n_classes = len(gan.classes_)
    per_architecture, own_classes = (1, n_classes) if gan.conditioning == "shared" else (n_classes, 1)
    n_generators = len(architectures) * settings["generators"]
    if config["members"] != per_architecture * n_generators:
        raise ValueError(f"{config['members']} networks for {n_generators} generators")
    with safetensors.safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
        header = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
        if config["members"] > len(header):
            raise ValueError(f"{len(header)} tensors for {config['members']} networks")
        # Each generator of several was saved as one of its own.
        architectures = [build for build in architectures for _ in range(settings["generators"])]
        check_header(header, architectures, per_architecture, own_classes, gan.codec_, settings, storage)
        # Copies: the file is mapped to memory, which would go with the file.
        tensors = {name: file.get_tensor(name).clone() for name in header}
    check_values(tensors, own_classes)
    groups: list[dict[str, Tensor]] = [{} for _ in range(config["members"])]
    for name, tensor in tensors.items():
        member, _, name = name.partition(".")
        groups[int(member)][name] = tensor
    shared: list[dict[str, Tensor]] = [{} for _ in range(per_architecture)]
    for i, group in enumerate(groups):
        own = shared[i % per_architecture]
        own |= {name: tensor for name, tensor in group.items() if name in SHARED_TENSORS}
        group |= own
    gan.members_ = [
        _restore_member(
            group, architectures[i // per_architecture], own_classes, gan.codec_, settings, storage
        )
        for i, group in enumerate(groups)
    ]
    kept = np.concatenate([member.class_index.counts.numpy() for member in gan.members_[:per_architecture]])
    gan.class_counts_ = counts_from_config(config["class_counts"], kept, gan.max_rows_kept)


def _restore_member(
    tensors: dict[str, Tensor],
    build: Architecture,
    n_classes: int,
    codec: AnyCodec,
    settings: dict[str, Any],
    storage: str,
) -> TrainedGenerator:
    networks = build_networks(build, codec, n_classes, settings, seed=0)
    device = find_device(settings["device"])
    networks.generator.to(device)
    if networks.encoder is not None:
        networks.encoder.to(device)
    member = TrainedGenerator.from_tensors(tensors, networks, codec, storage, **generator_settings(settings))
    calibration = member.calibration
    for found in (member.codes, None if calibration is None else calibration.targets):
        if found is not None and not found.isfinite().all():
            raise ValueError("the codes of its samples are not finite")
    return member
