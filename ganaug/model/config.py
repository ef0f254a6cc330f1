"""The config.json of a saved model, whoever wrote it: each entry checked for what `save` makes of it."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np

# In bytes. To parse such a file takes some ten times as much memory.
MAX_CONFIG_SIZE = 2**28
# Of a parameter, in characters; several architectures are joined to one name.
MAX_NAME = 1000
# Of all classes as an array, in which each name takes as much room as the longest.
MAX_CLASSES_SIZE = 2**28
CONFIG_KEYS = {
    "ganaug",
    "digest",
    "format",
    "parameters",
    "classes",
    "classes_dtype",
    "class_counts",
    "modality",
    "codec",
    "stored",
    "members",
    "history",
}
MODALITIES = ("images", "table", "features", "series")
# What Python type the classes of each dtype are in JSON.
CLASS_TYPES: dict[str, type] = {
    "str": str,
    "bool": bool,
    **{f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": float for bits in (16, 32, 64)},
}


def check_config(config: dict[str, Any], parameter_names: set[str]) -> None:
    """Raise ValueError unless `config` has the entries that `save` writes, and each is of its kind.

    What the codec and the classes hold is checked where they are restored, and the values of parameters
    by `check_parameters`, which is given no long string.

    Raises
    ------
    ValueError
        The message names the entry.
    """
    _check_keys("config.json", config, CONFIG_KEYS)
    _check_keys("the dict `parameters`", config["parameters"], parameter_names)
    for name, value in config["parameters"].items():
        text = type(value) is str and len(value) <= MAX_NAME
        if name == "working_size" and type(value) is list and len(value) == 2 and all(map(is_number, value)):
            continue
        if not text and value is not None and type(value) is not bool and not is_number(value):
            raise ValueError(f"parameter {name!r} is {reprlib.repr(value)}")
    if config["modality"] not in MODALITIES:
        raise ValueError(f"modality {reprlib.repr(config['modality'])}")
    if type(config["stored"]) is not str or len(config["stored"]) > MAX_NAME:
        raise ValueError(f"stored {reprlib.repr(config['stored'])}")
    if config["parameters"].get("modality") not in ("auto", config["modality"]):
        raise ValueError(f"modality {config['modality']!r}, which is not that of its parameters")
    if type(config["members"]) is not int or config["members"] < 1:
        raise ValueError(f"{reprlib.repr(config['members'])} networks")
    for name in ("ganaug", "digest"):
        if type(config[name]) is not str or len(config[name]) > MAX_NAME:
            raise ValueError(f"{name} {reprlib.repr(config[name])}")
    history = config["history"]
    if type(history) is not list or not all(type(entry) is dict for entry in history):
        raise ValueError(f"history {reprlib.repr(history)}, where a list of dicts was saved")
    for entry in history:
        if not all(map(is_number, entry.values())):
            raise ValueError(f"history with {reprlib.repr(entry)}, where numbers were saved")


def is_number(value: Any) -> bool:
    """Return whether a value is a finite float or an int of 64 bits, and no bool."""
    return (type(value) is float and math.isfinite(value)) or (type(value) is int and abs(value) < 2**63)


def _check_keys(what: str, values: Any, expected: set[str]) -> None:
    if type(values) is not dict:
        raise ValueError(f"{what} must be a dict, got {reprlib.repr(values)}")
    if unknown := sorted(values.keys() - expected):
        raise ValueError(f"{what} holds {reprlib.repr(unknown)}, which `save` never writes")
    if missing := sorted(expected - values.keys()):
        raise ValueError(f"{what} lacks {reprlib.repr(missing)}")


def classes_from_config(classes: Any, dtype: Any) -> np.ndarray:
    """Return the classes of a saved model, (n_classes,), or raise ValueError if `fit` has none such.

    These are two or more, ascending, and of one type.
    """
    kind = CLASS_TYPES.get(dtype) if type(dtype) is str else None
    valid = kind is not None and type(classes) is list and all(type(label) is kind for label in classes)
    if valid and kind is str:
        valid = 4 * len(classes) * max(map(len, classes), default=0) <= MAX_CLASSES_SIZE
    if not valid or len(classes) < 2:
        raise ValueError(f"classes {reprlib.repr(classes)} of dtype {reprlib.repr(dtype)}")
    array = np.array(classes, dtype=dtype)
    if not np.array_equal(array, np.unique(array)) or array.tolist() != classes:
        raise ValueError(f"classes {reprlib.repr(classes)}, which are not different ones in ascending order")
    return array


def counts_from_config(counts: Any, kept: np.ndarray, most: Any) -> np.ndarray:
    """Return how many samples of each class a model was trained on, (n_classes,).

    Raises
    ------
    ValueError
        If they are not numbers of which `kept` were kept, where no more than `most` are.
    """
    valid = type(counts) is list and len(counts) == len(kept) and all(map(is_number, counts))
    if not valid or not all(
        type(n) is int and own == (n if most is None else min(n, most))
        for n, own in zip(counts, kept.tolist(), strict=True)
    ):
        raise ValueError(f"class_counts {reprlib.repr(counts)}, where {kept.tolist()[:10]} samples were kept")
    return np.array(counts, np.int64)
