"""What writing and training survive: kills, damaged and hostile files, a million images.

    python -m benchmarks.endurance                 # all of it
    python -m benchmarks.endurance kills damage    # some of it

Results go to benchmarks/results/endurance.json. A part fails if a file or a model is not what it must
be. Damaged files are counted by what reading them gives.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.datasets import load_digits

import ganaug.io.hdf5_writer
import ganaug.training.loop
from benchmarks.gain import RESULTS
from benchmarks.hostile_readers import hostile_files
from benchmarks.interruptions import power_loss, signals
from ganaug import ConditionalGAN, HDF5Dataset, as_arrays, write_hdf5
from ganaug.io.export import export_images

OUTPUT = RESULTS / "endurance.json"
FORK = multiprocessing.get_context("fork")
KILLS, TRAINING_KILLS, DAMAGED_FILES = 100, 20, 1000
DAMAGES = ("one bit flipped", "bits flipped", "cut short", "other content")
# A reader of a damaged file that takes longer counts as one that hangs.
HANG_SECONDS = 60.0
N_IMAGES = 1_000_000
# Memory is compared with that after so many images, when all buffers are there.
N_FIRST = 10_000


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 300 of scikit-learn's digits."""
    bunch = load_digits()
    return np.round(bunch.images[:300] * (255 / 16)).astype(np.uint8), bunch.target[:300]


def killed(work: Callable[[], None], seconds: float) -> bool:
    """Run `work` in a child process, killed after so many seconds; return whether it was killed."""
    child = FORK.Process(target=work)
    child.start()
    child.join(seconds)
    alive = child.is_alive()
    child.kill()
    child.join()
    if not alive and child.exitcode:
        raise RuntimeError(f"a child failed by itself, with exit code {child.exitcode}")
    return alive


def kill_generation(folder: Path) -> dict[str, Any]:
    """Kill runs of `write_hdf5` at random moments and resume them, until there were `KILLS`."""
    gan = ConditionalGAN(steps=20, random_state=0).fit(*digits())
    # A run that is killed every half second has to get on; by default a kill can cost ten seconds of work.
    ganaug.io.hdf5_writer.SYNC_SECONDS = 0.02
    options = {"counts": 3000, "random_state": 0, "block_size": 128}
    start = time.monotonic()
    whole = write_hdf5(gan, folder / "whole.h5", **options).read_bytes()
    alone = time.monotonic() - start
    rng, kills, runs = np.random.default_rng(0), 0, 0
    while kills < KILLS:
        path = folder / f"run{runs}.h5"
        while not path.exists():
            write = partial(write_hdf5, gan, path, resume=True, **options)
            kills += killed(write, rng.uniform(0, alone))
            if path.exists() and path.read_bytes() != whole:
                raise RuntimeError(f"{path} differs from the undisturbed file after {kills} kills")
        runs += 1
        path.unlink()
    return {"kills": kills, "files": runs, "seconds_alone": round(alone, 2)}


def kill_training(folder: Path) -> dict[str, Any]:
    """Kill trainings at random moments and resume them, until there were `TRAINING_KILLS`."""
    X, y = digits()
    ganaug.training.loop.CHECKPOINT_INTERVAL = ganaug.training.loop.LOG_INTERVAL

    def train(checkpoint: Path, result: Path) -> None:
        gan = ConditionalGAN(steps=200, random_state=0).fit(X, y, checkpoint=checkpoint)
        (result.with_suffix(".partial")).write_text(gan.digest())
        result.with_suffix(".partial").rename(result)

    start = time.monotonic()
    train(folder / "whole", folder / "whole.txt")
    alone = time.monotonic() - start
    rng, kills, runs = np.random.default_rng(0), 0, 0
    while kills < TRAINING_KILLS:
        result = folder / f"run{runs}.txt"
        while not result.exists():
            kills += killed(partial(train, folder / f"run{runs}", result), rng.uniform(0.1, 0.8) * alone)
        if result.read_text() != (folder / "whole.txt").read_text():
            raise RuntimeError(f"the weights differ from the uninterrupted ones after {kills} kills")
        runs += 1
    return {"kills": kills, "trainings": runs, "seconds_alone": round(alone, 2)}


def intact_files(folder: Path) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """Write an intact file or folder of each kind; return its place and what reads it."""
    X, y = digits()
    ConditionalGAN(steps=1, random_state=0).fit(X, y).save(folder / "model")
    np.savez(folder / "arrays.npz", X=X, y=y)
    real = (X, y)
    write_hdf5(ConditionalGAN.load(folder / "model"), folder / "data.h5", 3, real=real, random_state=0)
    write_hdf5(
        ConditionalGAN.load(folder / "model"), folder / "gzip.h5", 3, random_state=0, compression="gzip"
    )
    table = pd.DataFrame({"n": X[:, 0, 0] / 7, "k": y, "s": np.where(X[:, 1, 1] > 99, "dark", "light")})
    ConditionalGAN(steps=1, random_state=0).fit(table, y).save(folder / "tables")
    write_hdf5(
        ConditionalGAN.load(folder / "tables"), folder / "table.h5", 9, real=(table, y), random_state=0
    )
    for i in range(12):
        (folder / "images" / str(y[i] % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(X[i]).save(folder / "images" / str(y[i] % 2) / f"{i}.png")

    def model(path: Path) -> Any:
        return ConditionalGAN.load(path).sample([0, 1, 2], random_state=0)

    def items(path: Path) -> Any:
        data = HDF5Dataset(path)
        return [data.classes, data.targets, data.synthetic, len(data)]

    def exported(path: Path) -> Any:
        export_images(path, _emptied(folder / "exported") / "png")
        return as_arrays(folder / "exported" / "png")

    return {
        "export": (folder / "data.h5", exported),
        "model": (folder / "model", model),
        "HDF5 file": (folder / "data.h5", as_arrays),
        "compressed HDF5 file": (folder / "gzip.h5", as_arrays),
        "labels of an HDF5 file": (folder / "data.h5", items),
        "model of tables": (folder / "tables", model),
        "HDF5 file of a table": (folder / "table.h5", as_arrays),
        "npz": (folder / "arrays.npz", as_arrays),
        "images": (folder / "images", as_arrays),
    }


def damage_file(path: Path, rng: np.random.Generator) -> str:
    """Damage a file, or a random file of a folder; return how."""
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
    file = files[rng.integers(len(files))]
    content = bytearray(file.read_bytes())
    how = str(rng.choice(DAMAGES, p=[0.4, 0.3, 0.2, 0.1]))
    if how == "cut short":
        content = content[: rng.integers(len(content))]
    elif how == "other content":
        content = bytearray(rng.bytes(rng.integers(2000)))
    else:
        # Half of the flips hit the first kilobyte, which holds the structure.
        reach = min(len(content), 1024) if rng.random() < 0.5 else len(content)
        for offset in rng.integers(reach, size=1 if how.startswith("one") else rng.integers(2, 50)):
            content[offset] ^= 1 << rng.integers(8)
    file.write_bytes(content)
    return how


def read_damaged(read: Callable[[Path], Any], path: Path, expected: str, pipe: Any) -> None:
    """Send the outcome of reading: "error", "as before", or a text about what must not happen."""
    try:
        same = _text(read(path)) == expected
        pipe.send("as before" if same else "other content, without an error")
    except (ValueError, OSError, MemoryError) as exc:
        pipe.send("error" if str(path) in str(exc) else f"an error that names no file: {exc}")
    except BaseException as exc:
        pipe.send(f"{type(exc).__name__}: {exc}")


def _text(content: Any) -> str:
    with np.printoptions(threshold=10**9):
        if hasattr(content, "to_csv"):
            content = [content]
        plain = [part.to_csv() if hasattr(part, "to_csv") else part for part in content]
        return repr([part.tolist() if hasattr(part, "tolist") else part for part in plain])


def damage(folder: Path) -> dict[str, Any]:
    """Read damaged files, each in a child: allowed is an error that names the file, or the intact content."""
    torch.set_num_threads(1)
    kinds = intact_files(folder)
    expected = {name: _text(read(path)) for name, (path, read) in kinds.items()}
    rng, outcomes = np.random.default_rng(0), Counter()
    for number in range(DAMAGED_FILES):
        name = list(kinds)[number % len(kinds)]
        path, read = kinds[name]
        copy = folder / "copy" / path.name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, _emptied(copy.parent) / path.name)
        how = damage_file(copy, rng)
        receiving, sending = FORK.Pipe(duplex=False)
        child = FORK.Process(target=read_damaged, args=(read, copy, expected[name], sending))
        child.start()
        child.join(HANG_SECONDS)
        outcome = receiving.recv() if receiving.poll() else f"crash, exit code {child.exitcode}"
        if child.is_alive():
            child.kill()
            outcome = "hangs"
        child.join()
        outcomes[outcome] += 1
        if outcome not in ("error", "as before"):
            print(f"number {number}: {name}, {how}: {outcome}", flush=True)
    return {"files": DAMAGED_FILES, "outcomes": dict(outcomes)}


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


class FreeGenerator:
    """A generator that costs next to nothing, as its images are there already."""

    classes_ = np.arange(10)

    def __init__(self) -> None:
        self.images = np.random.default_rng(0).integers(0, 256, (4096, 32, 32, 3), dtype=np.uint8)
        self.marks: list[tuple[float, int]] = []  # seconds and MiB at each call

    def sample(self, labels: np.ndarray, random_state: int | None = None) -> np.ndarray:
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.marks.append((used.ru_utime, used.ru_maxrss // 1024))
        start = (random_state or 0) % (len(self.images) - len(labels))
        return self.images[start : start + len(labels)]


def million(folder: Path) -> dict[str, Any]:
    """Write a million images: memory must not grow, and the second half not take longer than the first.

    Only the program's own time counts. The kernel's grows once gigabytes wait to go to the disk, for
    a bare loop over h5py too: its second half took two to five times its first.
    """
    generator = FreeGenerator()
    start = time.monotonic()
    write_hdf5(generator, folder / "million.h5", N_IMAGES // 10, random_state=0)
    seconds = time.monotonic() - start
    times, memory = zip(*generator.marks, strict=True)
    first = N_FIRST * len(times) // N_IMAGES
    halves = np.diff([times[0], times[len(times) // 2], times[-1]])
    return {
        "rows": N_IMAGES,
        "seconds": round(seconds, 1),
        "second_half_over_first": round(float(halves[1] / halves[0]), 2),
        "growth_mib": memory[-1] - memory[first],
    }


def gan_images(folder: Path) -> dict[str, Any]:
    """Write 50,000 images of a GAN."""
    gan = ConditionalGAN(steps=20, random_state=0).fit(*digits())
    write_hdf5(gan, folder / "first.h5", N_FIRST // 10, random_state=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    write_hdf5(gan, folder / "real.h5", 5000, random_state=0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    return {"rows": 50_000, "seconds": round(time.monotonic() - start, 1), "growth_mib": grown}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "kills": kill_generation,
    "training": kill_training,
    "damage": damage,
    "million": million,
    "real": gan_images,
    "hostile": hostile_files,
    "signals": signals,
    "power": power_loss,
}


def main() -> None:
    """Run the parts asked for, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"among {', '.join(PARTS)}; default: all")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"{sorted(unknown)} are unknown; there are {list(PARTS)}")
    for name in parts:
        with tempfile.TemporaryDirectory() as folder:
            receiving, sending = multiprocessing.get_context("spawn").Pipe(duplex=False)
            child = multiprocessing.get_context("spawn").Process(target=_run, args=(name, folder, sending))
            child.start()
            child.join()
        if child.exitcode:
            raise SystemExit(f"{name} failed")
        result = receiving.recv()
        print(name, result, flush=True)
        old = json.loads(OUTPUT.read_text()) if OUTPUT.exists() else {}
        OUTPUT.write_text(json.dumps({**old, name: result}, indent=1) + "\n")


def _run(name: str, folder: str, pipe: Any) -> None:
    torch.set_num_threads(1)
    pipe.send(PARTS[name](Path(folder)))


if __name__ == "__main__":
    main()
