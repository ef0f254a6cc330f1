"""What one process of `benchmarks.scale` does, alone or started by torchrun; it prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

import ganaug.training.loop
from benchmarks.against_work import memory
from benchmarks.photograph_costs import crops
from ganaug import ConditionalGAN, HDF5Dataset, as_arrays
from ganaug.training.launch import launched

LOG_INTERVAL = 5  # steps between two looks at the clock
N_IMAGES = 1000


def images(side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return crops of scikit-learn's photographs, grey or coloured."""
    X, y = crops(N_IMAGES, side, side)
    return (X if channels == 3 else X.mean(axis=3).astype(np.uint8)), y


def fit_timed(gan: ConditionalGAN, *data: Any) -> float:
    """Fit, and return the seconds of a step, after the first few."""
    ganaug.training.loop.LOG_INTERVAL = LOG_INTERVAL
    seen: list[tuple[int, float]] = []
    gan.set_params(callbacks=[lambda step, metrics: seen.append((step, time.perf_counter()))]).fit(*data)
    (first, start), (last, end) = seen[0], seen[-1]
    return (end - start) / (last - first)


def count_collectives() -> dict[str, int]:
    """Return a dict that counts, from now on, what processes tell each other."""
    counts = {"calls": 0, "bytes": 0}

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*tensors: Any) -> Any:
            counts["calls"] += 1
            counts["bytes"] += tensors[-1].numel() * tensors[-1].element_size()
            return call(*tensors)

        return count

    distributed.all_reduce = counted(distributed.all_reduce)
    distributed.all_gather = counted(distributed.all_gather)
    return counts


def train(side: int, channels: int, steps: int, batch_size: int) -> dict[str, Any]:
    """Return the seconds of a step of training, and what the processes tell each other in one."""
    counts = count_collectives()
    together = launched() is not None
    gan = ConditionalGAN(steps=steps, batch_size=batch_size, random_state=0, distributed=together)
    seconds = fit_timed(gan, *images(side, channels))
    return {"seconds": seconds, **{name: count / steps for name, count in counts.items()}}


def from_disk(path: Path, steps: int, in_memory: bool) -> dict[str, Any]:
    """Return the seconds of a step with images in a file, left there or read; and what memory grows by."""
    gan = ConditionalGAN(steps=steps, max_rows_kept=1000, random_state=0)
    before, most = memory("VmHWM"), [memory("RssAnon")]
    start = most[0]
    data = HDF5Dataset(path)
    source = (data.read(np.arange(len(data))), data.targets) if in_memory else (data,)

    def look(step: int, metrics: Any) -> None:
        most.append(memory("RssAnon"))

    ganaug.training.loop.LOG_INTERVAL = LOG_INTERVAL
    began = time.perf_counter()
    seconds = fit_timed(gan, *source)
    most.append(memory("RssAnon"))
    return {
        "seconds": seconds,
        "seconds in all": time.perf_counter() - began,
        "peak MiB": memory("VmHWM") - before,
        "MiB that are no part of the file": max(most) - start,
    }


def from_folder(path: Path, steps: int, in_memory: bool) -> dict[str, Any]:
    """Return the seconds of a step, and of all, with images in a folder, or read before the clock starts."""
    gan = ConditionalGAN(steps=steps, max_rows_kept=1000, random_state=0)
    read = as_arrays(path) if in_memory else None
    began = time.perf_counter()
    seconds = fit_timed(gan, *(as_arrays(path) if read is None else read))
    return {"seconds": seconds, "seconds in all": time.perf_counter() - began}


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["train", "disk", "folder"])
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if options.what == "train":
        found = train(*map(int, options.arguments))
    else:
        path, steps, where = options.arguments
        measure = from_disk if options.what == "disk" else from_folder
        found = measure(Path(path), int(steps), where == "memory")
    process = launched()
    if process is None or process.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
