"""What a run leaves beside the file that it writes: its partial file, and a journal of what is durable.

The journal is there before the partial file is made, and goes after it. So a partial file without a
journal is never ours.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ganaug.io.disk import atomic_write, locked, preallocate, sync

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_BYTES = 2**28  # of a journal; no real one comes near
MAX_SEED = 2**63 - 1
NUMBER_BYTES = 200  # what the counts in a journal grow by
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


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

    @classmethod
    def of(cls, fields: Any) -> WriterState:
        """Return the state that a journal holds, or raise ValueError if it can't be one."""
        if not isinstance(fields, dict) or fields.keys() != cls.__dataclass_fields__.keys():
            raise ValueError(f"it must hold {list(cls.__dataclass_fields__)}")
        for name, most in (("blocks", MAX_SEED), ("rows", MAX_SEED), ("checksum", 2**64 - 1)):
            _check_int(name, fields[name], most)
        if not isinstance(fields["run"], dict):
            raise ValueError("`run` must be an object")
        _check_int("random_state", fields["run"].get("random_state"), MAX_SEED)
        columns = fields["columns"]
        if columns is not None and not (isinstance(columns, list) and all(map(_is_column, columns))):
            raise ValueError("`columns` must describe columns, or be null")
        return cls(**fields)


def _check_int(name: str, value: Any, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"`{name}` must be an int from 0 to {most}")


def _is_column(column: Any) -> bool:
    needed: Mapping[str, type] = {"dtype": str, "field": str, "mask": bool}
    return (
        isinstance(column, dict)
        and "name" in column
        and all(isinstance(column.get(name), kind) for name, kind in needed.items())
        and isinstance(column.get("values", []), list)
    )


class Sidecars(NamedTuple):
    """The files beside one that is being written."""

    partial: Path
    packed: Path  # for a moment at the end: the partial file, compressed
    journal: Path


def sidecar_paths(path: Path) -> Sidecars:
    """Return the paths of what a run that writes `path` has beside it."""
    return Sidecars(
        *(path.with_name(path.name + suffix) for suffix in (".partial", ".partial.partial", ".journal"))
    )


def shard_path(path: Path, index: int, n_shards: int) -> Path:
    """Return the path of a shard of the data set that `path` names."""
    return path.with_name(f"{path.stem}-{index:05d}-of-{n_shards:05d}{path.suffix}")


def check_place(path: Path) -> None:
    """Raise OSError unless `path` is free, or holds an HDF5 file, which may be replaced if asked for."""
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a folder: make it first.")
    if not os.path.lexists(path):
        return
    if not path.is_file():  # a link that leads to a file is one
        raise FileExistsError(f"{path} is {_kind(path)}, not a regular file: name another file.")
    with path.open("rb") as file:
        start = file.read(len(HDF5_SIGNATURE))
    if start not in (b"", HDF5_SIGNATURE):  # an empty file holds nothing to lose
        raise FileExistsError(
            f"{path} exists, and overwrite=True (--overwrite) replaces HDF5 files only: move it away, or name"
            " another file."
        )


def read_journal(path: Path) -> WriterState | None:
    """Return the state of a stopped run that wrote `path`, or None if there is nothing to resume.

    Raises
    ------
    FileExistsError
        If the name of its partial file or journal is taken by something that no run has left.
    ValueError
        If the journal is damaged.
    """
    sidecars = sidecar_paths(path)
    *working, journal = sidecars
    for sidecar in sidecars:
        if os.path.lexists(sidecar) and _kind(sidecar) is not None:
            raise FileExistsError(f"{sidecar} is {_kind(sidecar)}, which no run has left: move it away.")
    if not journal.exists():
        for file in working:
            if file.exists():
                raise FileExistsError(
                    f"{file} was not left by a run of ganaug, as {journal} is missing: move it away."
                    " overwrite=True (--overwrite) replaces only what a run has left."
                )
        return None
    try:
        state = _read(journal)
    except (ValueError, RecursionError) as exc:
        raise damaged_journal(path, exc) from exc
    return state if state.blocks and sidecars.partial.exists() else None


def check_target(path: Path, overwrite: bool, resume: bool) -> None:
    """Raise OSError if no file can be written at `path`, or if what is there may not be replaced.

    With `resume` a finished file is let through: only the run can tell whether it is its own.
    """
    check_place(path)
    # A run that is going on has a journal too, and isn't one that was stopped.
    with locked(path) if sidecar_paths(path).journal.is_file() else nullcontext():
        left_over(path, overwrite, resume)


def left_over(path: Path, overwrite: bool, resume: bool) -> WriterState | None:
    """Return the state of a run to resume, if there is one; raise OSError as `check_target` does."""
    check_place(path)
    if os.path.lexists(path) and not (overwrite or resume):
        raise target_exists(path)
    state = read_journal(path)
    if state is not None and not (overwrite or resume):
        raise FileExistsError(
            f"{sidecar_paths(path).partial} is of a run that was stopped after {state.rows} rows: pass"
            " resume=True (--resume) to go on, or overwrite=True (--overwrite) to start anew."
        )
    return state if resume else None


def target_exists(path: Path) -> FileExistsError:
    """Return the error that says that a file is not replaced unasked."""
    return FileExistsError(f"{path} exists: pass overwrite=True (--overwrite) to replace it.")


def damaged_journal(path: Path, why: object) -> ValueError:
    """Return the error that says that the journal of a run that writes `path` can't be used."""
    partial, _, journal = sidecar_paths(path)
    return ValueError(f"{journal} is damaged ({why}): move it and {partial.name} away to start anew.")


def remove_left_over(path: Path) -> None:
    """Delete what a run that wrote `path` has left, the journal last: without it the rest is nobody's."""
    *working, journal = sidecar_paths(path)
    found = [file for file in working if file.exists()]
    for file in found:
        file.unlink()
    if found:
        sync(path.parent)
    journal.unlink(missing_ok=True)


def check_same_run(run: dict[str, Any], state: WriterState, path: Path) -> None:
    """Raise ValueError unless a run has the arguments of the one that it resumes."""
    for name, value in run.items():
        before = state.run.get(name)
        if before != value:
            raise ValueError(
                f"{sidecar_paths(path).journal} is of a run with {name} = {before}, not {value}: resume with"
                " the same arguments, or pass overwrite=True (--overwrite) in place of resume to start anew."
            )


class Journal:
    """The journal of a run, which keeps its size: a disk that fills up later does no harm to it.

    It holds two entries, of which the older is written over. So a kill leaves either this state of the run
    or the one before.

    Parameters
    ----------
    path : Path
        Of the journal. What is there, of an earlier run, is replaced.
    state : WriterState
        Of the run so far.
    space : int
        Bytes that its `columns` can grow to.

    Attributes
    ----------
    blocks : int
        How many blocks the journal counts.
    """

    def __init__(self, path: Path, state: WriterState, space: int) -> None:
        self.path = path
        self._space = max(space, 0) + NUMBER_BYTES
        self._newer = 0  # which of the two entries
        self._create(state)

    def write(self, state: WriterState) -> None:
        """Have the journal hold a state, durably."""
        entry = _entry(state)
        if len(entry) > self._size or not self.path.exists():
            self._create(state)
            return
        self._newer = 1 - self._newer
        with self.path.open("r+b") as file:
            file.seek(self._newer * self._size)
            file.write(entry)
            file.flush()
            os.fsync(file.fileno())
        self.blocks: int = state.blocks

    def _create(self, state: WriterState) -> None:
        entry = _entry(state)
        size = len(entry) + self._space
        with atomic_write(self.path) as new, new.open("xb") as file:
            preallocate(file.fileno(), 2 * size, str(self.path))
            file.write(entry.ljust(2 * size, b"\0"))
        self._size, self._newer = size, 0
        self.blocks = state.blocks


def _entry(state: WriterState) -> bytes:
    """Return the line that stands for a state. By its checksum one that was half written is known."""
    text = json.dumps(asdict(state)).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _read(journal: Path) -> WriterState:
    size = journal.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"it has {size} bytes")
    content = journal.read_bytes()
    if content.startswith(b"{"):  # the whole of it, as earlier versions wrote it
        return WriterState.of(json.loads(content))
    states = []
    for entry in (content[: size // 2], content[size // 2 :]):
        checksum, _, text = entry.partition(b"\n")[0].partition(b" ")
        if checksum == b"%08x" % zlib.crc32(text):
            states.append(WriterState.of(json.loads(text)))
    if not states:
        raise ValueError("it holds no whole entry")
    return max(states, key=lambda state: state.blocks)


def _kind(path: Path) -> str | None:
    """Return what there is at a path; None for a regular file."""
    mode = path.lstat().st_mode
    return None if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "a device")
