"""Rows that a model was not trained on, chosen and remembered by their digests."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ganaug.data.columns import iter_category_keys
from ganaug.data.containers import is_dataframe

HOLDOUT_FILE = "holdout_mask.json"  # beside a model
# A tenth of each class of so many rows: fewer than twenty held-out rows would say nothing of a
# class (see `ganaug.quality`), and small classes have none to spare.
LEAST_CLASS, PART = 200, 10


def sample_digests(X: Any) -> np.ndarray:
    """Return a digest of each row, (n,) of str: equal where rows are, to the bit."""
    rows = X.astype(object).to_numpy() if is_dataframe(X) else np.asarray(X)
    contents = (repr(row.tolist()).encode() if row.dtype == object else row.tobytes() for row in rows)
    return np.array([hashlib.sha256(content).hexdigest() for content in contents])


def holdout_mask(X: Any, y: np.ndarray) -> np.ndarray:
    """Choose a tenth of each class of 200 rows or more: those with the least digests, as good as by chance.

    Whatever the order of rows, the same ones are chosen. Of equal rows all are or none, so it may be
    somewhat more than a tenth; none if they are more than a tenth of a class, or if all that hold a
    category, or lack a value in some column, were chosen: a model has to see those.

    Returns
    -------
    mask : ndarray of shape (n,)
    """
    _, group, size = np.unique(sample_digests(X), return_inverse=True, return_counts=True)
    _, labels, n = np.unique(y, return_inverse=True, return_counts=True)
    wanted = np.where(n >= LEAST_CLASS, n // PART, 0)
    taken = np.zeros_like(wanted)
    chosen = np.zeros(len(size), bool)
    for candidate, rows in enumerate(np.split(np.argsort(group), size.cumsum()[:-1])):
        own, times = np.unique(labels[rows], return_counts=True)
        if np.all(times <= wanted[own]) and np.all(taken[own] < wanted[own]):
            chosen[candidate] = True
            taken[own] += times
    mask = chosen[group]
    for kinds in iter_category_keys(X) if X.ndim == 2 else []:
        kept = set(kinds[~mask].tolist())
        mask &= np.array([kind in kept for kind in kinds.tolist()], bool)
    return mask


def save_holdout(folder: Path, model: str, X: Any) -> None:
    """Write beside a saved model, by its digest, which rows were set aside."""
    text = json.dumps({"model": model, "rows": sorted(sample_digests(X))}, indent=0)
    partial = folder / (HOLDOUT_FILE + ".partial")
    partial.write_text(text)
    partial.replace(folder / HOLDOUT_FILE)


def load_holdout_mask(folder: Path, model: str, X: Any) -> np.ndarray:
    """Return which of the rows of `X` were set aside when the model in `folder` was trained.

    None were if the folder says nothing of it, or speaks of another model.

    Raises
    ------
    ValueError
        If the file that says so is damaged.

    Warns
    -----
    UserWarning
        If some of the rows that were set aside are not among `X`.
    """
    path = folder / HOLDOUT_FILE
    if not path.exists():
        return np.zeros(len(X), bool)
    try:
        found = json.loads(path.read_text())
        rows = set(found["rows"]) if found["model"] == model else set()
    except (ValueError, LookupError, TypeError) as exc:
        raise ValueError(f"{path} can't be read: delete it, or train anew. ({exc})") from exc
    digests = sample_digests(X)
    missing = len(rows.difference(digests))
    if missing:
        warnings.warn(
            f"{missing} of the {len(rows)} rows that were set aside in training are not in the data: were"
            " they changed since?",
            stacklevel=2,
        )
    return np.isin(digests, list(rows))
