"""The command `ganaug resample`: real data, filled up with synthetic ones that pass a gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from ganaug.cli_errors import on_interrupt
from ganaug.cli_estimator import PATH, EstimatorCommand
from ganaug.cli_options import (
    EmptyGenerator,
    WatchedGate,
    announce_training,
    as_json,
    complain,
    compression,
    deficit,
    gan_and_data,
    how_to_go_on_writing,
    layout,
    mode,
    noun,
    overwrite,
    refuse_beside_model,
    resume_writing,
    say,
    size,
    strict,
)
from ganaug.io import targets
from ganaug.io.folders import check_source


@click.command(cls=EstimatorCommand)
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The HDF5 file to write.")
@click.option("--model", type=PATH, help="A model that was fitted on DATA. Without it one is fitted now.")
@click.option(
    "--recommended", is_flag=True, help="Let cross-validation decide how many to add to each class, if any."
)
@size
@mode
@layout
@compression
@resume_writing
@overwrite
@strict
@as_json
def resample(
    data: Path,
    output: Path,
    model: Path | None,
    recommended: bool,
    size: int | None,
    mode: str | None,
    layout: str,
    compression: str | None,
    resume: bool,
    overwrite: bool,
    strict: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Write DATA, filled up to balance with synthetic images, to an HDF5 file.

    Synthetic images pass a QualityGate, and the file says which they are. With --recommended,
    cross-validation decides how many are added to each class, and the file also holds the weight of
    each image. That takes several times as long.

    A run that was stopped while it wrote goes on with --resume. Without --model its GAN is trained
    anew, so --random-state has to be the same.
    """
    if model is not None:
        refuse_beside_model(recommended)
        targets.check_model(model)
    elif resume and parameters["random_state"] is None:
        raise click.UsageError("--resume needs the --model or the --random-state of the run to go on with.")
    check_source(data)
    targets.check_hdf5_target(output, [data], overwrite, resume)
    from ganaug.io.writing import write_hdf5
    from ganaug.selection.gate import QualityGate
    from ganaug.selection.recommend import recommend_counts

    seed = parameters["random_state"]
    gan, X, y = gan_and_data(data, model, size, mode, {**parameters, "verbose": not as_json}, strict=strict)
    to_add: dict[Any, int] = deficit(y, np.unique(y))
    sample_weight = reason = None
    if recommended:
        advice = recommend_counts(QualityGate(gan), X, y, random_state=seed, verbose=not as_json)
        to_add, sample_weight, reason = advice.to_add, advice.sample_weight, advice.reason
    generator: Any = EmptyGenerator(np.unique(y))  # with nothing to add, nothing is trained
    if any(to_add.values()):
        untimed = bool(model) or recommended or as_json
        generator = _fit_gate(gan, X, y, announce=not untimed, strict=strict)
    on_interrupt(lambda: how_to_go_on_writing(output, can_resume=model is not None or seed is not None))
    write_hdf5(
        generator,
        output,
        to_add,
        real=(X, y),
        sample_weight=sample_weight,
        random_state=seed,
        layout=layout,
        compression=compression,
        resume=resume,
        overwrite=overwrite,
        verbose=not as_json,
    )
    complain(generator.problems(), strict=False)
    if as_json:
        added = {str(label): n for label, n in to_add.items()}
        click.echo(json.dumps({"file": str(output), "real": len(y), "added": added, "reason": reason}))
        return
    if reason is not None:
        say(reason)
    counts = ", ".join(f"{label}: {n}" for label, n in to_add.items())
    say(f"Wrote {len(y)} {noun(X)} and {sum(to_add.values())} synthetic ones ({counts}) to {output}.")


def _fit_gate(gan: Any, X: Any, y: np.ndarray, *, announce: bool, strict: bool) -> WatchedGate:
    from ganaug.selection.gate import QualityGate

    if announce:
        announce_training(gan, X, y)
    return WatchedGate(QualityGate(gan).fit(X, y), strict=strict)
