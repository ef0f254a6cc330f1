"""Labels, and what is given for each of them or drawn at random: checked, and as arrays of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from ganaug.data.containers import as_array, is_missing

MIN_CLASS_SIZE = 2
MAX_COUNT = 10**12  # samples asked for of a class; sums of so many fit in an int64
LABEL_TYPES: tuple[Any, ...] = (str, (bool, np.bool_), (int, float, np.number))


def check_labels(y: Any, n_rows: int, name: str = "y", of: str = "X") -> np.ndarray:
    """Return `y` as a 1-D ndarray, or raise ValueError if it can't label `n_rows` rows.

    `name` and `of` are what errors call the labels and the rows.
    """
    y = label_array(y)
    if y.ndim != 1 or len(y) != n_rows:
        raise ValueError(
            f"`{name}` must have one label for each of the {n_rows} rows of `{of}`, got shape"
            f" {y.shape}{_one_hot_advice(y, name)}."
        )
    if n_rows == 0:
        raise ValueError(f"`{of}` has no rows.")
    missing = np.isnan(y) if y.dtype.kind == "f" else np.array([is_missing(label) for label in y])
    if np.any(missing):
        raise ValueError(f"`{name}` has missing labels, the first at row {int(np.argmax(missing))}.")
    types = {type(label).__name__ for label in y.tolist()} if y.dtype == object else {y.dtype.name}
    got = " and ".join(sorted(types))
    if "str" in types and len(types) > 1:
        raise ValueError(f"`{name}` must hold labels of one type, got {got}.")
    if y.dtype.kind not in "biufUO" or (y.dtype == object and types - {"bool", "int", "float"}):
        raise ValueError(f"`{name}` must hold ints, strings, bools or floats, got {got}: convert them.")
    check_classification_targets(y)
    if y.dtype.kind == "U":
        _check_text(y, name)
    return y


def encode_labels(y: np.ndarray, least: int = MIN_CLASS_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes of `y` and the index of each label in them.

    Raises
    ------
    ValueError
        If there is only one class, or a class of fewer than `least` rows.
    """
    classes, indices, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"`y` must hold at least 2 classes, got one class: {classes.tolist()[0]!r}.")
    if counts.min() < least:
        smallest = counts.argmin()
        raise ValueError(
            f"Class {classes.tolist()[smallest]!r} has {counts[smallest]} row; each class needs at least"
            f" {least} to be learned from: add rows, or leave the class out."
        )
    return classes, indices.astype(np.int64)


def label_indices(labels: Any, classes: np.ndarray, name: str = "labels") -> np.ndarray:
    """Return the index in `classes` of each of `labels` (a sequence, an array, a tensor, a scalar).

    `name` is what errors call the labels.

    Raises
    ------
    ValueError
        If a label is not one of `classes`.
    """
    values, classes = np.atleast_1d(label_array(labels)), label_array(classes)
    if values.ndim != 1:
        raise ValueError(
            f"`{name}` must be one-dimensional, got shape {values.shape}{_one_hot_advice(values, name)}."
        )
    if len(values) == 0:
        return np.empty(0, np.int64)
    if values.dtype != object and (values.dtype.kind in "US") == (classes.dtype.kind in "US"):
        if values.dtype.kind in "iu" and classes.dtype.kind in "iu":
            cast = values.astype(classes.dtype)  # numpy compares signed and unsigned ones as floats
            values = cast if np.array_equal(cast, values) else values
        indices = np.minimum(np.searchsorted(classes, values), len(classes) - 1)
        unknown = classes[indices] != values
        if not np.any(unknown):
            return indices
        values = values[unknown]
    raise ValueError(f"Labels of `{name}` must be among {classes.tolist()}, got {values.tolist()[0]!r}.")


def expand_counts(counts: Any, classes: np.ndarray) -> np.ndarray:
    """Return a number of rows for each of `classes`, (n_classes,), from an int or a dict of label to int.

    Raises
    ------
    ValueError
        If a number is not an int from 0 to `MAX_COUNT`, or a label is unknown.
    """
    expanded = dict.fromkeys(range(len(classes)), counts)
    if isinstance(counts, Mapping):
        indices = [int(label_indices([label], classes, "counts")[0]) for label in counts]
        expanded = dict(zip(indices, counts.values(), strict=True))
    numbers = np.zeros(len(classes), np.int64)
    for index, count in expanded.items():
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 0:
            raise ValueError(
                f"`counts` must be ints from 0 up, got {count!r} for class {classes.tolist()[index]!r}."
            )
        if count > MAX_COUNT:
            raise ValueError(
                f"`counts` must be at most {MAX_COUNT}, got {count} for class {classes.tolist()[index]!r}."
            )
        numbers[index] = count
    return numbers


def expand_probabilities(probabilities: Any, classes: np.ndarray, name: str) -> list[float]:
    """Return a probability for each of `classes`, from one for all or a dict of label to probability.

    Classes that a dict leaves out have 0. `name` is what errors call the probabilities.

    Raises
    ------
    ValueError
        If a probability is no number in [0, 1], or a label is unknown.
    """
    expanded: dict[int, Any] = dict.fromkeys(range(len(classes)), probabilities)
    if isinstance(probabilities, Mapping):
        expanded = dict.fromkeys(range(len(classes)), 0.0)
        for label, probability in probabilities.items():
            expanded[int(label_indices([label], classes, name)[0])] = probability
    for probability in expanded.values():
        if not isinstance(probability, int | float | np.number) or not 0 <= probability <= 1:
            raise ValueError(f"`{name}` must be a number in [0, 1] or a dict of such, got {probability!r}.")
    return [float(expanded[index]) for index in range(len(classes))]


def as_random_state(random_state: int | np.random.RandomState | None) -> np.random.RandomState:
    """Return what scikit-learn's `check_random_state` does, but for None a RandomState of its own."""
    if random_state is None:
        return np.random.RandomState()
    try:
        return check_random_state(random_state)
    except ValueError as exc:
        raise ValueError(
            f"`random_state` must be an int from 0 to 2**32 - 1, a RandomState or None, got {random_state!r}."
        ) from exc


def seeded_clone(estimator: Any, seed: int) -> Any:
    """Return an unfitted copy of an estimator, with `seed` set on it and on all estimators in it."""
    copy = clone(estimator)
    names = [name for name in copy.get_params() if name.split("__")[-1] == "random_state"]
    return copy.set_params(**dict.fromkeys(names, seed))


def _check_text(y: np.ndarray, name: str) -> None:
    """Raise ValueError if a label can't be written to a file: one that is not UTF-8, or holds a NUL.

    A name of a file that is not UTF-8 comes from the system with surrogates.
    """
    if not y.dtype.itemsize:
        return
    codes = np.array(y, dtype=y.dtype.newbyteorder("="), order="C").view(np.uint32).reshape(len(y), -1)
    surrogate = ((codes >= 0xD800) & (codes <= 0xDFFF)).any(axis=1)
    nul = ((codes[:, :-1] == 0) & (codes[:, 1:] != 0)).any(axis=1)  # numpy fills up with NUL at the end
    for wrong, what in ((surrogate, "text that UTF-8 can hold"), (nul, "text without NUL characters")):
        if wrong.any():
            label = y[wrong.argmax()].item()
            raise ValueError(f"Labels of `{name}` must be {what}, got {label!r}: rename the class.")


def label_array(labels: Any) -> np.ndarray:
    """Return labels as an ndarray; those of shape (n, 1) as (n,).

    An array of objects of one type becomes one of numpy's own dtype.
    """
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else as_array(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype == object and len({_label_type(value) for value in values.flat}) == 1:
        typed = np.array(values.tolist())
        return typed if typed.shape == values.shape else values
    return values


def _one_hot_advice(values: np.ndarray, name: str) -> str:
    """Return which call takes one-hot labels, to be added to an error about other ones."""
    if values.ndim != 2 or values.dtype.kind not in "biuf" or values.shape[1] < 2:
        return ""
    one_hot = np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all()
    return f": of one-hot labels pass `{name}.argmax(1)`" if one_hot and len(values) else ""


def _label_type(label: Any) -> Any:
    return next((types for types in LABEL_TYPES if isinstance(label, types)), type(label))


def fit_clone(gan: Any, X: Any, y: np.ndarray, seed: int | None) -> Any:
    """Return a fitted clone of `gan`; `seed`, if not None, is set on it and on all estimators in it."""
    return (clone(gan) if seed is None else seeded_clone(gan, seed)).fit(X, y)
