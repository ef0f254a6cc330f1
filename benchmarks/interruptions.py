"""Commands killed by signals or by a loss of power, and resumed: two parts of `benchmarks.endurance`.

A loss of power is simulated by what the file system owes to a program: the content of a file as it was when
it was last synced, under the names that its folder had when that was last synced. All else is lost.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import stat
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

import ganaug.io.hdf5_writer
import ganaug.selection.gate
import ganaug.training.loop
from ganaug import ConditionalGAN, write_hdf5
from ganaug.cli import main

FORK = multiprocessing.get_context("fork")
KILLS, POWER_LOSSES = 200, 100
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SMALL = ("--base-channels", "4", "--latent-dim", "4", "--steps", "20", "--random-state", "0")


def inputs(folder: Path) -> None:
    """Write what the commands work on."""
    bunch = load_digits()
    X, y = np.round(bunch.images[:200] * (255 / 16)).astype(np.uint8), np.minimum(bunch.target[:200], 1)
    np.savez(folder / "data.npz", X=X, y=y)
    ConditionalGAN(steps=20, random_state=0).fit(X, y).save(folder / "model")
    write_hdf5(ConditionalGAN.load(folder / "model"), folder / "data.h5", 400, random_state=0)


def commands(folder: Path) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return the arguments of each command, and the name of what it makes in the folder of a run."""
    data, model, file = (str(folder / name) for name in ("data.npz", "model", "data.h5"))
    return {
        "fit": (("fit", data, "-o", "OUT", "--resume", "--overwrite", "--no-holdout", *SMALL), "model"),
        "generate": (
            ("generate", model, "-o", "OUT", "--per-class", "1500", "--random-state", "0", "--resume"),
            "x.h5",
        ),
        "resample": (
            ("resample", data, "-o", "OUT", "--model", model, "--random-state", "0", "--resume"),
            "x.h5",
        ),
        "export": (("export", file, "--to", "OUT"), "png"),
    }


def digest(path: Path) -> str:
    """Return a digest of a file, or of the names and contents of a folder."""
    found = hashlib.sha256()
    if path.is_dir() and (path / "config.json").exists():
        return ConditionalGAN.load(path, device="cpu").digest()
    for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if part.is_file():
            found.update(part.name.encode() + part.read_bytes())
    return found.hexdigest()


def run(arguments: tuple[str, ...], out: Path, recorded: Path | None = None) -> None:
    """Run a command in this process; `recorded` is where to note what is durable."""
    warnings.simplefilter("ignore")
    os.close(1)
    os.open(os.devnull, os.O_WRONLY)
    os.close(2)
    os.open(said_beside(out), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if recorded is not None:
        record(recorded, out.parent)
    # Progress is noted at every block and every few steps, so that there is something to resume.
    ganaug.io.hdf5_writer.SYNC_SECONDS = 0.0
    ganaug.training.loop.CHECKPOINT_INTERVAL = ganaug.training.loop.LOG_INTERVAL = 2
    ganaug.selection.gate.CLASSIFIER_STEPS = 10  # it is the writing that is interrupted
    main([str(out) if argument == "OUT" else argument for argument in arguments])


def said_beside(out: Path) -> Path:
    """Return the file that has what the command which makes `out` has said."""
    return out.parent.with_name("said")


def interrupted(
    arguments: tuple[str, ...], out: Path, seconds: float, by: signal.Signals, recorded: Path | None = None
) -> bool:
    """Run a command in a child, and send it a signal after so many seconds; return whether it still ran."""
    child = FORK.Process(target=run, args=(arguments, out, recorded))
    child.start()
    child.join(seconds)
    alive = child.is_alive()
    if alive and child.pid is not None:
        os.kill(child.pid, by)
        child.join(30)
    child.kill()
    child.join()
    if not alive and child.exitcode:
        said = said_beside(out).read_text()[-500:]
        raise RuntimeError(f"a command failed by itself, with exit code {child.exitcode}: {said}")
    return alive


def record(folder: Path, place: Path) -> None:
    """Note in `folder` what a loss of power would leave in `place`: what is there now, and what is synced."""
    real = os.fsync

    def note(path: Path, about: os.stat_result, where: Path) -> None:
        new = folder / f"{about.st_ino}.new"
        if stat.S_ISDIR(about.st_mode):
            names = {entry.name: entry.inode() for entry in os.scandir(path) if entry.is_file()}
            new.write_text(json.dumps({"path": str(where), "names": names}))
        else:
            shutil.copyfile(path, new)
        new.rename(new.with_suffix(".names" if stat.S_ISDIR(about.st_mode) else ".content"))

    def fsync(descriptor: int) -> None:
        real(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}")
        note(path, os.fstat(descriptor), path.readlink())

    for path in (place, *place.rglob("*")):
        note(path, path.stat(), path)
    os.fsync = fsync


def lose_power(place: Path, recorded: Path) -> None:
    """Make of the folder of a run what a loss of power would have left; files never synced are empty."""
    durable = [json.loads(note.read_text()) for note in recorded.glob("*.names")]
    contents = {path.stem: path.read_bytes() for path in recorded.glob("*.content")}
    for note in durable:
        note["files"] = {name: contents.get(str(inode), b"") for name, inode in note["names"].items()}
    shutil.rmtree(place)
    place.mkdir()
    for note in durable:
        folder = Path(note["path"])
        if folder == place or place in folder.parents:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in note["files"].items():
                (folder / name).write_bytes(content)
    shutil.rmtree(recorded)


def until_it_is_through(
    arguments: tuple[str, ...], out: Path, alone: float, rng: np.random.Generator, *, power: bool
) -> int:
    """Interrupt a command until it has made `out`; return how often."""
    count, recorded = 0, out.parent.with_name("recorded")
    while True:
        if power:
            shutil.rmtree(recorded, ignore_errors=True)
            recorded.mkdir()
        by = signal.SIGKILL if power else SIGNALS[int(rng.integers(len(SIGNALS)))]
        # A command that can't resume must have a chance to end.
        seconds = rng.uniform(0.05, 1.1 if count < 3 else 3.0) * alone
        if not interrupted(arguments, out, seconds, by, recorded if power else None):
            return count
        count += 1
        if power:
            lose_power(out.parent, recorded)
        if out.exists() and not (out / "checkpoint").exists() and (out.is_file() or any(out.iterdir())):
            digest(out)  # what has its final name can be read
            if arguments[0] != "fit":
                return count


def interruptions(folder: Path, n: int, *, power: bool) -> dict[str, Any]:
    """Interrupt each command until there were `n` interruptions in all; compare with undisturbed results."""
    torch.set_num_threads(1)
    inputs(folder)
    rng, counts, results = np.random.default_rng(1 if power else 0), {}, 0
    known = commands(folder)
    if power:
        del known["export"]  # it has nothing to resume, and makes a folder of many files
    for name, (arguments, made) in known.items():
        whole = folder / f"whole-{name}"
        whole.mkdir()
        start = time.monotonic()
        if interrupted(arguments, whole / made, 600, signal.SIGKILL):
            raise RuntimeError(f"{name} takes more than ten minutes")
        alone, expected = time.monotonic() - start, digest(whole / made)
        counts[name] = 0
        while counts[name] < -(-n // len(known)):
            place = folder / "run"
            place.mkdir()
            counts[name] += until_it_is_through(arguments, place / made, alone, rng, power=power)
            if digest(place / made) != expected:
                raise RuntimeError(f"{name}: another result after {counts[name]} interruptions")
            results += 1
            shutil.rmtree(place)
    return {"interruptions": sum(counts.values()), "by_command": counts, "results_equal": results}


def signals(folder: Path) -> dict[str, Any]:
    """Kill commands by signals."""
    return interruptions(folder, KILLS, power=False)


def power_loss(folder: Path) -> dict[str, Any]:
    """Resume commands from what a loss of power leaves."""
    return interruptions(folder, POWER_LOSSES, power=True)
