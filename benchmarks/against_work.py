"""One piece of work by whichever ganaug is on the path: `benchmarks.against` runs it in a process of its own.

It uses only what the package had at commit 597fd2f, and no other file of benchmarks/. It prints one line of
JSON: CPU seconds of the work, those of imports and data left out, and the MiB of its peak over the start.
"""

from __future__ import annotations

import argparse
import json
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganaug import ConditionalGAN, GANOverSampler, quality_report, recommend_counts

SEED = 0


def read(path: Path) -> tuple[Any, Any]:
    """Return samples and labels of an .npz file, or of a table whose last column is the class."""
    if path.suffix == ".npz":
        with np.load(path) as data:
            return data["X"], data["y"]
    import pandas as pd

    table = pd.read_csv(path, header=None)
    return table.iloc[:, :-1].add_prefix("column "), table.iloc[:, -1].to_numpy()


def gan(steps: int | None) -> ConditionalGAN:
    """Return an unfitted GAN with default parameters, but for the steps if there are any."""
    return ConditionalGAN(random_state=SEED, **({} if steps is None else {"steps": steps}))


def report(X: Any, y: Any, steps: int | None) -> None:
    """Compare a half of the samples with the other half, all of them."""
    X, y, X_other, y_other = X[::2], y[::2], X[1::2], y[1::2]
    quality_report((X_other, y_other), X, y, per_class=np.bincount(y).max(), random_state=SEED)


WORK: dict[str, Callable[[Any, Any, int | None], Any]] = {
    "fit": lambda X, y, steps: gan(steps).fit(X, y),
    "fit_resample": lambda X, y, steps: GANOverSampler(gan(steps), random_state=SEED).fit_resample(X, y),
    "recommend_counts": lambda X, y, steps: recommend_counts(gan(steps), X, y, random_state=SEED),
    "quality_report": report,
}


def cpu_seconds() -> float:
    """Return what this process and those that it waited for have used."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def memory(which: str) -> float:
    """Return the memory of this process in MiB.

    "VmRSS" is what it has, "RssAnon" that without parts of files, "VmHWM" the most it had. `ru_maxrss` would
    count that of its parent, too.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(which)) / 1024


def main() -> None:
    """Do the work, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=WORK)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    X, y = read(options.data)
    warnings.simplefilter("ignore")
    # What functions import is not part of the work: it is loaded by a fit that needs little memory.
    some = slice(None, None, max(1, len(X) // 200))
    ConditionalGAN(steps=1, batch_size=16).fit(X[some], y[some])
    start, at_the_start = cpu_seconds(), memory("VmRSS")
    WORK[options.work](X, y, options.steps)
    seconds, grown = cpu_seconds() - start, memory("VmHWM") - at_the_start
    print(json.dumps({"seconds": round(seconds, 2), "memory": round(grown, 1)}))


if __name__ == "__main__":
    main()
