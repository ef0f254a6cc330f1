"""What one process of `benchmarks.scale` does, alone or started by torchrun; it prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

import ganaug.training.loop
from benchmarks.photograph_costs import crops
from ganaug import ConditionalGAN, HDF5Dataset
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
    add_up: Callable[..., Any] = distributed.all_reduce

    def counted(tensor: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        counts["calls"] += 1
        counts["bytes"] += tensor.numel() * tensor.element_size()
        return add_up(tensor, *arguments, **options)

    distributed.all_reduce = counted
    return counts


def train(side: int, channels: int, steps: int, batch_size: int) -> dict[str, Any]:
    """Return the seconds of a step of training, and what the processes tell each other in one."""
    counts = count_collectives()
    together = launched() is not None
    gan = ConditionalGAN(steps=steps, batch_size=batch_size, random_state=0, distributed=together)
    seconds = fit_timed(gan, *images(side, channels))
    return {"seconds": seconds, **{name: count / steps for name, count in counts.items()}}


def peak() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def anonymous() -> float:
    """Return the memory of this process that is no part of a file, in MiB."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def from_disk(path: Path, steps: int, in_memory: bool) -> dict[str, Any]:
    """Return the seconds of a step with images in a file, left there or read; and what memory grows by."""
    gan = ConditionalGAN(steps=steps, max_rows_kept=1000, random_state=0)
    before, most = peak(), [anonymous()]
    start = most[0]
    data = HDF5Dataset(path)
    source = (data.read(np.arange(len(data))), data.targets) if in_memory else (data,)

    def look(step: int, metrics: Any) -> None:
        most.append(anonymous())

    ganaug.training.loop.LOG_INTERVAL = LOG_INTERVAL
    began = time.perf_counter()
    seconds = fit_timed(gan, *source)
    most.append(anonymous())
    return {
        "seconds": seconds,
        "seconds in all": time.perf_counter() - began,
        "peak MiB": peak() - before,
        "MiB that are no part of the file": max(most) - start,
    }


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["train", "disk"])
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if options.what == "train":
        found = train(*map(int, options.arguments))
    else:
        path, steps, where = options.arguments
        found = from_disk(Path(path), int(steps), where == "memory")
    process = launched()
    if process is None or process.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
