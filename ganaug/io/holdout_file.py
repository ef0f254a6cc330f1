"""The file beside a saved model that says which samples it was not trained on."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ganaug.data.holdout import sample_digests
from ganaug.io.disk import atomic_write, read_regular

HOLDOUT_FILE = "holdout.json"
# In bytes. To parse such a file takes some ten times as much memory.
MAX_HOLDOUT_SIZE = 2**28
DIGEST = re.compile("[0-9a-f]{64}")


def save_holdout(folder: Path, model_digest: str, X: Any) -> None:
    """Write the digests of held-out samples beside a saved model, with the digest of the model."""
    with atomic_write(folder / HOLDOUT_FILE) as partial:
        partial.write_text(json.dumps({"model": model_digest, "rows": sorted(sample_digests(X))}, indent=0))


def load_holdout_mask(folder: Path, model_digest: str, X: Any) -> np.ndarray:
    """Return which samples of `X` were held out when the model in `folder` was trained.

    None were if there is no such file, or if it is of another model.

    Returns
    -------
    mask : ndarray of shape (n,), bool

    Raises
    ------
    ValueError
        If the file is damaged.

    Warns
    -----
    UserWarning
        If some of the held-out samples are not among `X`.
    """
    path = folder / HOLDOUT_FILE
    if not os.path.lexists(path):
        return np.zeros(len(X), bool)
    try:
        content = json.loads(read_regular(path, MAX_HOLDOUT_SIZE))
        all_digests = [*content["rows"], content["model"]]
        if content.keys() != {"model", "rows"} or not all(map(DIGEST.fullmatch, all_digests)):
            raise ValueError("it must hold the digests of a model and of rows")
        held_out = set(content["rows"]) if content["model"] == model_digest else set()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise ValueError(f"{path} can't be read: delete it, or train anew. ({exc})") from exc
    digests = sample_digests(X)
    n_missing = len(held_out.difference(digests))
    if n_missing:
        warnings.warn(
            f"{n_missing} of the {len(held_out)} samples that were held out in training are not in the data:"
            " were they changed since?",
            stacklevel=2,
        )
    return np.isin(digests, list(held_out))
