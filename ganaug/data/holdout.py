"""The samples that a model is not trained on, chosen by their digests."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from ganaug.data.column_data import iter_category_keys
from ganaug.data.containers import is_dataframe

# Fewer than 20 held-out samples would say nothing of a class (see `ganaug.evaluation.quality`), and a
# smaller class has none to spare: one in ten of 200.
MIN_CLASS_SIZE, ONE_IN = 200, 10


def sample_digests(X: Any) -> np.ndarray:
    """Return a digest of each sample, (n,) of str: equal where samples are, to the bit."""
    if is_dataframe(X):
        samples: Any = X.astype(object).to_numpy()
    elif hasattr(X, "subset"):  # images that are not read yet: one at a time
        samples = (np.asarray(X[i : i + 1])[0] for i in range(len(X)))
    else:
        samples = np.asarray(X)
    contents = (repr(row.tolist()).encode() if row.dtype == object else row.tobytes() for row in samples)
    return np.array([hashlib.sha256(content).hexdigest() for content in contents])


def holdout_mask(X: Any, y: np.ndarray) -> np.ndarray:
    """Choose a tenth of each class of 200 samples or more: those with the least digests.

    A digest is as good as a random number, and it does not depend on the order of samples. Of equal
    samples all are chosen or none. So more than a tenth may be chosen, or none, if the equal ones are
    more than a tenth of a class. Nor are all rows of a table chosen that hold some category, or that
    lack a value in some column: a model has to see such rows.

    Returns
    -------
    mask : ndarray of shape (n,), bool
    """
    _, group, group_size = np.unique(sample_digests(X), return_inverse=True, return_counts=True)
    _, labels, class_size = np.unique(y, return_inverse=True, return_counts=True)
    wanted = np.where(class_size >= MIN_CLASS_SIZE, class_size // ONE_IN, 0)
    taken = np.zeros_like(wanted)
    chosen = np.zeros(len(group_size), bool)
    for candidate, members in enumerate(np.split(np.argsort(group), group_size.cumsum()[:-1])):
        classes, counts = np.unique(labels[members], return_counts=True)
        if np.all(counts <= wanted[classes]) and np.all(taken[classes] < wanted[classes]):
            chosen[candidate] = True
            taken[classes] += counts
    mask = chosen[group]
    for keys in iter_category_keys(X) if X.ndim == 2 else []:
        kept = set(keys[~mask].tolist())
        mask &= np.array([key in kept for key in keys.tolist()], bool)
    return mask
