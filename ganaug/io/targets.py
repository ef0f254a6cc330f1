"""What the commands may write, replace and remove, told by names and first bytes before torch is imported."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ganaug.io import journal
from ganaug.io.disk import locked
from ganaug.io.folders import HDF5_SUFFIXES, MODEL_FILES, check_source, identity

# What a command may replace begins so; the expressions are searched in the first kilobyte of a file.
HDF5_START, PNG_START = rb"\A" + re.escape(journal.HDF5_SIGNATURE), rb"\A\x89PNG\r\n\x1a\n"
PAGE_START = rb"<title>ganaug report</title>"
# The first array in an .npz file of `ganaug restore` is called so.
NPZ_START = rb"\APK\x03\x04(?s:.{26})ganaug\.npy"
MODEL_STARTS = {
    "config.json": rb'"ganaug": "',
    "model.safetensors": rb'\A(?s:.{8})\{"\d+\.',
    "holdout.json": rb'\A\{\s*"model": "[0-9a-f]{64}"',
}
CHECKPOINT_FILES = r"(state-\d+\.pt|seed)|\.(state-\d+\.pt|seed)\.new"
MAX_DEMO_BYTES = 2**24
DEMO_FILES = {"digits-synthetic.h5": HDF5_START, "digits-synthetic.png": PNG_START}


def check_model(folder: Path) -> None:
    """Raise FileNotFoundError if `folder` holds no model."""
    if not folder.exists():
        raise FileNotFoundError(f"No such folder: {folder}")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is a file: name the folder that `ganaug fit` wrote.")
    for name in MODEL_FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a saved model: it has no {name}.")


def check_target(
    output: Path,
    inputs: Sequence[Path | None],
    starts: bytes,
    kind: str,
    *,
    replace: bool,
    twice: bool = True,
) -> None:
    """Raise OSError unless a file can be written to `output`, and loses nobody what is there.

    Parameters
    ----------
    output : Path
    inputs : sequence of Path or None
        What the command reads: it is never replaced.
    starts : bytes
        A regular expression for the first kilobyte of a file of our own `kind`.
    kind : str
        What errors call such a file.
    replace : bool
        Whether the user asked to replace a file.
    twice : bool, default=True
        Whether a file of our own kind is replaced only if the user asked for it, and another never. Otherwise
        our own is always replaced, and another if the user asked for it.
    """
    _check_place(output, inputs)
    if not os.path.lexists(output):
        return
    own = begins(output, starts)
    if twice and not own:
        raise FileExistsError(f"{output} is no {kind}, and is not replaced: name another file, or remove it.")
    if not replace and (twice or not own):
        what = "exists" if own else f"is no {kind}"
        raise FileExistsError(f"{output} {what}: pass overwrite=True (--overwrite) to replace it.")


def _check_place(output: Path, inputs: Sequence[Path | None]) -> None:
    """Raise OSError unless a file can be written to `output`, which is none of the `inputs`."""
    if output.is_dir():
        raise FileExistsError(f"{output} is a folder: name a file.")
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(f"{output.parent} is not a folder: make it first.")
    if not os.access(output.absolute().parent, os.W_OK):
        raise PermissionError(f"{output.parent} can't be written to: name another folder.")
    if not os.path.lexists(output):
        return
    if not output.is_file():
        raise FileExistsError(f"{output} is not a regular file: name another file.")
    if any(path is not None and path.exists() and path.samefile(output) for path in inputs):
        raise FileExistsError(f"{output} is what the command reads: name another file.")


def check_hdf5_target(output: Path, inputs: Sequence[Path | None], overwrite: bool, resume: bool) -> None:
    """Raise OSError or ValueError unless an HDF5 file can be written to `output`, over another at most."""
    if not output.is_dir() and output.suffix.lower() not in HDF5_SUFFIXES:
        raise ValueError(
            f"{output} must end in {', '.join(HDF5_SUFFIXES[:-1])} or {HDF5_SUFFIXES[-1]}: what is written is"
            " an HDF5 file."
        )
    _check_place(output, inputs)
    journal.check_target(output, overwrite, resume)


def check_npz_target(output: Path, inputs: Sequence[Path | None], overwrite: bool) -> None:
    """Raise OSError or ValueError unless arrays can be written to `output`, over such a file at most."""
    if not output.is_dir() and output.suffix.lower() != ".npz":
        raise ValueError(f"{output} must end in .npz: what is written are arrays, as those that are read.")
    check_target(output, inputs, NPZ_START, "file that `ganaug restore` wrote", replace=overwrite)


def check_new_folder(folder: Path) -> None:
    """Raise FileExistsError if there is anything at `folder`, or it can't be made."""
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder} exists: name a new folder.")
    _check_writable(folder)


def begins(path: Path, starts: bytes) -> bool:
    """Return whether the regular expression `starts` is found in the first kilobyte of a file."""
    with path.open("rb") as file:
        return re.search(starts, file.read(1024)) is not None


def check_page_target(output: Path, inputs: Sequence[Path | None], overwrite: bool) -> None:
    """Raise OSError or ValueError unless a page can be written to `output`: see `check_target`."""
    suffixes = {path.suffix.lower() for path in (output, output.resolve())}
    if not output.is_dir() and not suffixes <= {".html", ".htm"}:
        raise ValueError(f"{output} must end in .html or .htm: what is written is a page.")
    check_target(output, inputs, PAGE_START, "page that ganaug wrote", replace=overwrite, twice=False)


def check_demo_target(folder: Path) -> None:
    """Raise OSError unless the two files of the demo can be written to `folder`, over their own kind only."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: make it first.")
    for name, starts in DEMO_FILES.items():
        check_target(folder / name, [], starts, "file of the demo", replace=True)
    data, picture = (folder / name for name in DEMO_FILES)
    ours = data.exists() and data.stat().st_size < MAX_DEMO_BYTES and b"ganaug\0" in data.read_bytes()
    for path in filter(Path.exists, (data, picture)):  # the picture says nothing of who made it
        if not ours:
            raise FileExistsError(f"{path} is no file of the demo: name another folder, or move it away.")


def check_model_target(
    data: Path, output: Path, log_dir: Path | None, *, resume: bool, overwrite: bool
) -> None:
    """Raise OSError or ValueError unless a model can be trained on `data` and saved in `output`."""
    found = check_source(data)
    for folder in filter(None, (output, log_dir)):
        _check_writable(folder)
        if found is not None and found.folders & set(map(identity, _chain(folder))):
            raise ValueError(f"{folder} is in {data}, whose images are read: name a folder outside of it.")
    checkpoint = output / "checkpoint"
    stopped = os.path.lexists(checkpoint)
    if stopped:
        _check_checkpoint(data, checkpoint)
    if stopped and not (resume or overwrite):
        raise ValueError(
            f"{checkpoint} is left of a run that was stopped: pass --resume to go on, or --overwrite."
        )
    present = [name for name in MODEL_STARTS if os.path.lexists(output / name)]
    for name in present:
        path = output / name
        if not path.is_file() or not begins(path, MODEL_STARTS[name]):
            raise FileExistsError(
                f"{path} is not of a model that ganaug wrote: name another folder, or remove it."
            )
    if present and not (overwrite or stopped):
        raise FileExistsError(f"{output} holds a trained model: pass --overwrite to replace it.")


def _check_writable(folder: Path) -> None:
    """Raise FileExistsError if a folder is none, or can neither be written to nor made."""
    leads_nowhere = folder.is_symlink() and not folder.exists()
    innermost = _chain(folder)[0]
    if leads_nowhere or not innermost.is_dir() or not os.access(innermost, os.W_OK):
        raise FileExistsError(f"{folder} can't be made or written to: name another folder.")


def _chain(path: Path) -> list[Path]:
    """Return those of a path and the folders above it that exist, links resolved, the innermost first."""
    real = path.resolve()
    return [folder for folder in (real, *real.parents) if folder.exists()]


def _check_checkpoint(data: Path, checkpoint: Path) -> None:
    """Raise ValueError unless `checkpoint` is a folder that holds files of a stopped run and nothing else."""
    if checkpoint.is_symlink() or not checkpoint.is_dir():
        raise ValueError(
            f"{checkpoint} is no folder of a stopped run: move it away, or name another --output."
        )
    if identity(checkpoint) in map(identity, _chain(data)):
        raise ValueError(f"{data} is in {checkpoint}, where the state of the training is kept: move it away.")
    for path in sorted(checkpoint.iterdir()):
        if not _is_checkpoint_file(path):
            raise ValueError(f"{path} is not of a stopped run: move it away, or name another --output.")


def _is_checkpoint_file(path: Path) -> bool:
    return bool(re.fullmatch(CHECKPOINT_FILES, path.name)) and path.is_file() and not path.is_symlink()


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove the files of a stopped or finished run, and then their folder if it is empty.

    Raises
    ------
    BlockingIOError
        If another run uses them.
    """
    with locked(checkpoint):
        for path in checkpoint.iterdir():
            if _is_checkpoint_file(path):
                path.unlink()
        with suppress(OSError):  # it holds other files by now
            checkpoint.rmdir()
