"""The file beside a saved model: which samples it was not trained on, and what speaks against it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganaug.data.holdout import sample_digests
from ganaug.data.user_warnings import warn_user
from ganaug.io.disk import atomic_write, read_regular

HOLDOUT_FILE = "holdout.json"
# In bytes. To parse such a file takes some ten times as much memory.
MAX_HOLDOUT_SIZE = 2**28
DIGEST = re.compile("[0-9a-f]{64}")
# Sentences, and characters in one.
MAX_PROBLEMS, MAX_SENTENCE = 20, 1000


class _Content(NamedTuple):
    rows: frozenset[str]
    problems: list[str]


def save_holdout(folder: Path, model_digest: str, X: Any, problems: Sequence[str] = ()) -> None:
    """Write the digests of held-out samples beside a saved model, with the digest of the model.

    Parameters
    ----------
    folder : Path
        Of the model.
    model_digest : str
    X : samples
        Those held out, maybe none.
    problems : sequence of str
        What speaks against the model, in sentences.
    """
    content: dict[str, Any] = {"model": model_digest, "rows": sorted(sample_digests(X)) if len(X) else []}
    if problems:
        content["problems"] = [sentence[:MAX_SENTENCE] for sentence in problems[:MAX_PROBLEMS]]
    with atomic_write(folder / HOLDOUT_FILE) as partial:
        partial.write_text(json.dumps(content, indent=0))


def load_problems(folder: Path, model_digest: str) -> list[str]:
    """Return the sentences on what speaks against the model in `folder`; none if that is not known.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    return _load(folder, model_digest).problems


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
    held_out = _load(folder, model_digest).rows
    if not held_out:
        return np.zeros(len(X), bool)
    digests = sample_digests(X)
    n_missing = len(held_out.difference(digests))
    if n_missing:
        warn_user(
            f"{n_missing} of the {len(held_out)} samples that were held out in training are not in the data:"
            " were they changed since?",
        )
    return np.isin(digests, list(held_out))


def _load(folder: Path, model_digest: str) -> _Content:
    """Return what the file in `folder` says of a model: nothing if there is none, or it is of another."""
    path, nothing = folder / HOLDOUT_FILE, _Content(frozenset(), [])
    if not os.path.lexists(path):
        return nothing
    try:
        content = json.loads(read_regular(path, MAX_HOLDOUT_SIZE))
        all_digests = [*content["rows"], content["model"]]
        known = {"model", "rows", "problems"}
        if content.keys() | {"problems"} != known or not all(map(DIGEST.fullmatch, all_digests)):
            raise ValueError("it must hold the digests of a model and of rows")
        problems = content.get("problems", [])
        if not isinstance(problems, list) or not all(map(_is_sentence, problems)):
            raise ValueError("its problems must be sentences")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise ValueError(f"{path} can't be read: delete it, or train anew. ({exc})") from exc
    if content["model"] != model_digest:
        return nothing
    return _Content(frozenset(content["rows"]), problems[:MAX_PROBLEMS])


def _is_sentence(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_SENTENCE
