"""as_arrays: whatever the user has (arrays, Dataset, image folder, HDF5, npz) -> X, y."""

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
KINDS: tuple[Any, ...] = (str, (bool, np.bool_), (int, float, np.number))  # of labels


def check_labels(y: Any, n_rows: int, name: str = "y", of: str = "X") -> np.ndarray:
    """Return `y` as a 1-D ndarray, or raise ValueError if it can't label `n_rows` rows.

    `name` and `of` are what errors call the labels and the rows.
    """
    y = _label_array(y)
    if y.ndim != 1 or len(y) != n_rows:
        raise ValueError(
            f"`{name}` must have one label for each of the {n_rows} rows of `{of}`, got shape {y.shape}."
        )
    if n_rows == 0:
        raise ValueError(f"`{of}` has no rows.")
    missing = y != y if y.dtype.kind == "f" else np.array([is_missing(label) for label in y])
    if np.any(missing):
        raise ValueError(f"`{name}` has missing labels, the first at row {int(np.argmax(missing))}.")
    kinds = {type(label).__name__ for label in y.tolist()} if y.dtype == object else {y.dtype.name}
    if "str" in kinds and len(kinds) > 1:
        raise ValueError(f"`{name}` must hold labels of one type, got {' and '.join(sorted(kinds))}.")
    if y.dtype.kind not in "biufUO" or (y.dtype == object and kinds - {"bool", "int", "float"}):
        raise ValueError(
            f"`{name}` must hold ints, strings, bools or floats, got {' and '.join(sorted(kinds))}: convert"
            " them."
        )
    check_classification_targets(y)
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
        which = counts.argmin()
        raise ValueError(
            f"Class {classes.tolist()[which]!r} has {counts[which]} row; each class needs at least"
            f" {least} to be learned from: add rows, or leave the class out."
        )
    return classes, indices.astype(np.int64)


def label_indices(labels: Any, classes: np.ndarray, name: str = "labels") -> np.ndarray:
    """Return the index in `classes` of each of `labels` (a sequence, an array, a tensor, a scalar).

    `name` is what errors call them.

    Raises
    ------
    ValueError
        If a label is not one of `classes`.
    """
    values, classes = np.atleast_1d(_label_array(labels)), _label_array(classes)
    if values.ndim != 1:
        raise ValueError(f"`{name}` must be one-dimensional, got shape {values.shape}.")
    if len(values) == 0:
        return np.empty(0, np.int64)
    if values.dtype != object and (values.dtype.kind in "US") == (classes.dtype.kind in "US"):
        if values.dtype.kind in "iu" and classes.dtype.kind in "iu":
            own = values.astype(classes.dtype)  # numpy compares signed and unsigned ones as floats
            values = own if np.array_equal(own, values) else values
        where = np.minimum(np.searchsorted(classes, values), len(classes) - 1)
        unknown = classes[where] != values
        if not np.any(unknown):
            return where
        values = values[unknown]
    raise ValueError(f"Labels of `{name}` must be among {classes.tolist()}, got {values.tolist()[0]!r}.")


def expand_counts(counts: Any, classes: np.ndarray) -> np.ndarray:
    """Return a number of rows for each of `classes`, (n_classes,), from an int or a dict of label to int.

    Raises
    ------
    ValueError
        If a number is not an int from 0 up, or a label is unknown.
    """
    wanted = dict.fromkeys(range(len(classes)), counts)
    if isinstance(counts, Mapping):
        wanted = {int(label_indices([label], classes, "counts")[0]): count for label, count in counts.items()}
    numbers = np.zeros(len(classes), np.int64)
    for index, count in wanted.items():
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 0:
            raise ValueError(
                f"`counts` must be ints from 0 up, got {count!r} for class {classes.tolist()[index]!r}."
            )
        numbers[index] = count
    return numbers


def expand_probabilities(rates: Any, classes: np.ndarray, name: str) -> list[float]:
    """Return a rate in [0, 1] for each of `classes`, from one for all or a dict of label to rate.

    Classes that a dict leaves out have 0. `name` is what errors call them.

    Raises
    ------
    ValueError
        If a rate is not one, or a label is unknown.
    """
    found: dict[int, Any] = dict.fromkeys(range(len(classes)), rates)
    if isinstance(rates, Mapping):
        found = dict.fromkeys(range(len(classes)), 0.0)
        found |= {int(label_indices([label], classes, name)[0]): rate for label, rate in rates.items()}
    for rate in found.values():
        if not isinstance(rate, int | float | np.number) or not 0 <= rate <= 1:
            raise ValueError(f"`{name}` must be a number in [0, 1] or a dict of such, got {rate!r}.")
    return [float(found[index]) for index in range(len(classes))]


def as_random_state(random_state: int | np.random.RandomState | None) -> np.random.RandomState:
    """Return what scikit-learn understands by `random_state`, but None leaves numpy's own state alone."""
    if random_state is None:
        return np.random.RandomState()
    try:
        return check_random_state(random_state)
    except ValueError as exc:
        raise ValueError(
            f"`random_state` must be an int from 0 to 2**32 - 1, a RandomState or None, got {random_state!r}."
        ) from exc


def seeded_clone(estimator: Any, seed: int) -> Any:
    """Return an unfitted copy of an estimator, `seed` set on it and on all it holds."""
    twin = clone(estimator)
    names = [name for name in twin.get_params() if name.split("__")[-1] == "random_state"]
    return twin.set_params(**dict.fromkeys(names, seed))


def _label_array(labels: Any) -> np.ndarray:
    """Return labels as an ndarray, of numpy's own types where they are of one kind, however they came."""
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else as_array(labels)
    if values.dtype == object and len({_kind(value) for value in values.flat}) == 1:
        plain = np.array(values.tolist())
        return plain if plain.shape == values.shape else values
    return values


def _kind(label: Any) -> Any:
    return next((kind for kind in KINDS if isinstance(label, kind)), type(label))


def fit_clone(gan: Any, X: Any, y: np.ndarray, seed: int | None) -> Any:
    """Return a clone of `gan`, fitted; `seed`, if not None, is set on it and on what it holds."""
    return (clone(gan) if seed is None else seeded_clone(gan, seed)).fit(X, y)
