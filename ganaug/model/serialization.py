"""A saved model: its JSON and its tensors in a folder, written whole, and read with the digest of both."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
FORMAT = 5  # of what is written
# What reading a damaged or foreign file, or making a model of it, may raise.
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, safetensors.SafetensorError)


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
    """Write a model to `folder`, made if missing; one that is there is replaced when all is written.

    By two renames, one after the other: whoever dies between them leaves a folder that `read_model` refuses.
    """
    about = {"ganaug": version("ganaug"), "digest": model_digest(config, tensors)}
    text = json.dumps({**about, **config}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    partials = [folder / (name + ".partial") for name in (WEIGHTS_FILE, CONFIG_FILE)]
    try:
        safetensors.torch.save_file(tensors, partials[0])
        partials[1].write_text(text)
        for partial in partials:
            partial.replace(partial.with_suffix(""))
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


def check_model(folder: Path) -> None:
    """Raise FileNotFoundError if `folder` holds no model."""
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a saved model: it has no {name}.")


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what `write_model` wrote, config with its "digest", or raise one of `DAMAGE`.

    What a model restored from it has as its digest must be compared with that: it is then that a
    change is seen which leaves the files readable.
    """
    config = json.loads((folder / CONFIG_FILE).read_text())
    if config["format"] != FORMAT:
        raise ValueError(f"format {config['format']} instead of {FORMAT}")
    return config, safetensors.torch.load_file(folder / WEIGHTS_FILE)
