"""Every reader and command of ganaug, and what becomes of a file of `benchmarks.hostile` in each."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner

import ganaug.selection.gate
from benchmarks import hostile
from ganaug import ConditionalGAN, GANAugment, HDF5Dataset, as_arrays
from ganaug.album import GANReplace
from ganaug.cli import main

FILES = 3000
MAX_SECONDS, MAX_GROWTH_MIB = 5.0, 500  # of CPU time: the machine may be shared
HANGS_AFTER = 60  # seconds of CPU time; ten times as long where it only waits
FORK = multiprocessing.get_context("fork")
Reader = Callable[[Path], Any]


def items(path: Path) -> None:
    """Read single items and a batch, as a DataLoader does."""
    data = HDF5Dataset(path)
    for index in range(min(2, len(data))):
        data[index]
    data.__getitems__(list(range(len(data)))[:64])


def replaced(path: Path) -> None:
    """Replace a batch by images of a file."""
    augment = GANAugment(path, p=1.0)
    shape = tuple(augment._shape)
    augment(torch.zeros(len(augment.classes_), *shape, dtype=torch.uint8), torch.from_numpy(augment.classes_))


def replaced_in_album(path: Path) -> None:
    """The same in albumentations."""
    replace = GANReplace(path, p=1.0)
    _, *sides = replace._pool.shape
    replace(image=np.zeros(sides, np.uint8), label=replace._pool.classes_[0])


def loaded(folder: Path) -> None:
    """Load a model and sample from it."""
    gan = ConditionalGAN.load(folder, device="cpu")
    gan.sample(gan.classes_[:2], random_state=0)


def command(*arguments: str) -> Reader:
    """Return a reader that runs a command; "IN" and "OUT" stand for the file and a new name."""

    def run(path: Path) -> None:
        out = path.parent / "out"
        names = {
            "IN": str(path),
            "OUT": str(out / "x.h5"),
            "FOLDER": str(out / "x"),
            "PAGE": str(out / "x.html"),
        }
        out.mkdir(exist_ok=True)
        result = CliRunner().invoke(main, [names.get(argument, argument) for argument in arguments])
        if result.exit_code == 1 and isinstance(result.exception, SystemExit):
            lines = result.output.strip().splitlines()
            if not lines or not lines[-1].startswith("Error: "):
                raise AssertionError(f"not an error in words: {result.output[-200:]}")
            raise ValueError(f"{path}: {lines[-1]}")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception

    return run


SMALL = ("--steps", "1", "--base-channels", "4", "--latent-dim", "4", "--random-state", "0")
FIT = command("fit", "IN", "-o", "FOLDER", *SMALL)
RESAMPLE = command("resample", "IN", "-o", "OUT", *SMALL)
READERS: dict[str, tuple[Reader, ...]] = {
    "data.h5": (as_arrays, items, replaced, replaced_in_album),
    "model": (loaded,),
    "arrays.npz": (as_arrays,),
    "images": (as_arrays,),
}
COMMANDS: dict[str, tuple[Reader, ...]] = {
    "data.h5": (command("export", "IN", "--to", "FOLDER"), FIT, RESAMPLE),
    "model": (
        command("generate", "IN", "-o", "OUT", "--per-class", "2"),
        command("report", "IN", "IN", "-o", "PAGE"),
    ),
    "arrays.npz": (FIT, RESAMPLE),
    "images": (FIT, RESAMPLE),
}


def read(readers: list[Reader], path: Path, pipe: Any) -> None:
    """Put a file through readers; send the outcomes, the CPU seconds of the slowest, and the MiB of all."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (HANGS_AFTER, HANGS_AFTER))
    ganaug.selection.gate.CLASSIFIER_STEPS = 10  # what takes time is reading, not training
    start_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    outcomes, slowest = [], 0.0
    for reader in readers:
        start = time.process_time()
        try:
            reader(path)
            outcomes.append("read")
        except (ValueError, OSError, MemoryError) as exc:
            named = str(path) in str(exc) or str(path.parent) in str(exc)
            outcomes.append("an error in words" if named else f"an error that names no file: {exc}")
        except BaseException as exc:
            outcomes.append(f"{type(exc).__name__}: {exc}")
        slowest = max(slowest, time.process_time() - start)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - start_mib
    pipe.send((outcomes, slowest, growth))


def put_through(kind: str, seed: int, whole: Path, folder: Path) -> tuple[list[str], float, int]:
    """Make one case and read it in a child; return outcomes, seconds and MiB."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    copy = folder / whole.name
    (shutil.copytree if whole.is_dir() else shutil.copy)(whole, copy)
    hostile.CHANGES[kind](np.random.default_rng(seed), copy)
    commands = COMMANDS[kind]
    readers = [*READERS[kind], commands[seed // 8 % len(commands)]]
    receiving, sending = FORK.Pipe(duplex=False)
    child = FORK.Process(target=read, args=(readers, copy, sending))
    child.start()
    sending.close()
    try:
        found = receiving.recv() if receiving.poll(10 * HANGS_AFTER) else None
    except EOFError:
        child.join()
        hangs = child.exitcode == -signal.SIGXCPU
        return ["hangs" if hangs else f"crash, exit code {child.exitcode}"], 0.0, 0
    if found is None:
        child.kill()
        found = ["hangs"], float(HANGS_AFTER), 0
    child.join()
    return found


def hostile_files(folder: Path, n: int = FILES) -> dict[str, Any]:
    """Put `n` files through the readers; what is neither read nor refused in words is printed."""
    torch.set_num_threads(1)
    wholes = hostile.valid(folder)
    outcomes: Counter[str] = Counter()
    slow, large, slowest, largest = 0, 0, 0.0, 0
    for kind, seed in hostile.cases(n):
        found, seconds, growth = put_through(kind, seed, wholes[kind], folder / "case")
        outcomes.update(found)
        slow, large = slow + (seconds > MAX_SECONDS), large + (growth > MAX_GROWTH_MIB)
        slowest, largest = max(slowest, seconds), max(largest, growth)
        odd = [outcome for outcome in found if outcome not in ("read", "an error in words")]
        if odd or seconds > MAX_SECONDS or growth > MAX_GROWTH_MIB:
            print(f"{kind} {seed}: {odd}, {seconds:.1f} s, {growth} MiB", flush=True)
    return {
        "files": n,
        "outcomes": dict(outcomes),
        "above_5_cpu_seconds": slow,
        "above_500_mib": large,
        "slowest_cpu_seconds": round(slowest, 1),
        "largest_growth_mib": largest,
    }
