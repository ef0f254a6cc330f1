"""The journal of a file that is being written: how much of it is durable, and with which arguments."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganaug.io.disk import atomic_write


@dataclass
class WriterState:
    """How far a run has got; what its journal holds, under the same names.

    Attributes
    ----------
    run : dict
        The arguments of the run, with its seed.
    blocks, rows : int
        How many blocks have been written, and how many samples they hold.
    checksum : int
        Of the samples written.
    columns : list of dict, or None
        The schema of a DataFrame, with the values seen so far.
    """

    run: dict[str, Any]
    blocks: int = 0
    checksum: int = 0
    columns: list[dict[str, Any]] | None = None
    rows: int = 0


def sidecar_paths(path: Path) -> tuple[Path, Path]:
    """Return the paths of the partial file and the journal of a run that writes `path`."""
    return path.with_name(path.name + ".partial"), path.with_name(path.name + ".journal")


def read_journal(path: Path) -> WriterState | None:
    """Return the state of a stopped run that wrote `path`, or None if there is nothing to resume.

    Raises
    ------
    ValueError
        If the journal is damaged.
    """
    partial, journal = sidecar_paths(path)
    if not (partial.exists() and journal.exists()):
        return None
    try:
        state = WriterState(**json.loads(journal.read_text()))
        if min(state.blocks, state.rows) < 1 or state.checksum < 0 or not isinstance(state.run, dict):
            raise ValueError("it holds impossible values")
    except (ValueError, LookupError, TypeError) as exc:
        raise ValueError(f"{journal} is damaged ({exc}): delete it to start anew.") from exc
    return state


def write_journal(journal: Path, state: WriterState) -> None:
    """Write the journal of a run, so that a kill leaves either this state of it or the one before."""
    with atomic_write(journal) as partial, partial.open("w") as file:
        json.dump(vars(state), file)
        file.flush()
        os.fsync(file.fileno())


def check_same_run(run: dict[str, Any], state: WriterState, journal: Path) -> None:
    """Raise ValueError unless a run has the arguments of the one that it resumes."""
    for name, value in run.items():
        before = state.run.get(name)
        if before != value:
            raise ValueError(
                f"{journal} is of a run with {name} = {before}, not {value}: resume with the same arguments,"
                " or pass overwrite=True (--overwrite) in place of resume to start anew."
            )
