"""The command `ganaug resample`: real data, made even with synthetic ones that pass a gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganaug.cli_errors import on_interrupt
from ganaug.cli_estimator import PATH, EstimatorCommand
from ganaug.cli_options import (
    as_json,
    complain,
    compression,
    how_to_go_on_writing,
    layout,
    mode,
    overwrite,
    refuse_beside_model,
    resume_writing,
    say,
    size,
    strict,
)
from ganaug.io import targets
from ganaug.io.folders import check_source
from ganaug.model.signature import check_values

if TYPE_CHECKING:
    import numpy as np

    from ganaug.cli_data import WatchedGate


@click.command(cls=EstimatorCommand)
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The HDF5 file to write.")
@click.option("--model", type=PATH, help="A model that was fitted on DATA. Without it one is fitted now.")
@click.option(
    "--recommended", is_flag=True, help="Let cross-validation decide how many to add to each class, if any."
)
@click.option(
    "--synthetic-share",
    type=click.FloatRange(0, 1, max_open=True),
    help="The share of each class that is to be synthetic. Default: of images by how many the smallest class"
    " has, of tables as much as fills each class up.",
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
    synthetic_share: float | None,
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
    """Write DATA and synthetic images to an HDF5 file, in which all classes are of one size.

    The same share of every class is synthetic, and real images of small classes are repeated. So any
    classifier can be trained on the file. Of a table, small classes are filled up with synthetic rows.
    Synthetic images pass a QualityGate, and the file says which they are. With --recommended,
    cross-validation decides how large their share is. That takes more than twice as long.

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
    check_values(parameters)
    import numpy as np

    from ganaug.cli_data import EmptyGenerator, gan_and_data, noun
    from ganaug.data.containers import take
    from ganaug.io.writing import write_hdf5
    from ganaug.selection.gate import QualityGate
    from ganaug.selection.recommend import recommend_counts

    seed = parameters["random_state"]
    gan, X, y = gan_and_data(data, model, size, mode, {**parameters, "verbose": not as_json}, strict=strict)
    reason = None
    shares: float | dict[Any, float] | None = synthetic_share
    if recommended:
        advice = recommend_counts(QualityGate(gan), X, y, random_state=seed, verbose=not as_json)
        shares, reason = advice.synthetic_share, advice.reason
    kept, to_add = _make_even(y, shares, table=noun(X, gan) == "rows")
    generator: Any = EmptyGenerator(np.unique(y))  # with nothing to add, nothing is trained
    if any(to_add.values()):
        untimed = bool(model) or recommended or as_json
        generator = _fit_gate(gan, X, y, announce=not untimed, strict=strict)
    on_interrupt(lambda: how_to_go_on_writing(output, can_resume=model is not None or seed is not None))
    write_hdf5(
        generator,
        output,
        to_add,
        real=(take(X, kept), y[kept]),
        random_state=seed,
        layout=layout,
        compression=compression,
        resume=resume,
        overwrite=overwrite,
        verbose=not as_json,
    )
    complain(generator.problems(), strict=False)
    _say_what_was_written(output, X, gan, len(kept) - len(y), to_add, reason, as_json=as_json)


def _make_even(
    y: np.ndarray, shares: float | dict[Any, float] | None, *, table: bool
) -> tuple[np.ndarray, dict[Any, int]]:
    """Return which real samples to write, some of them repeatedly, and how many to add to each class.

    `shares` is the share of each class that is to be synthetic, of all or by label; None: by default.
    """
    import numpy as np

    from ganaug.data.weights import default_shares, even_counts, in_turns

    classes, indices, counts = np.unique(y, return_inverse=True, return_counts=True)
    if isinstance(shares, dict):
        of_classes = np.array([shares[label] for label in classes.tolist()])
    elif shares is not None:
        of_classes = np.full(len(counts), shares)
    else:
        of_classes = default_shares(counts, table=table)
    n_repeated, n_synthetic = even_counts(counts, of_classes)
    kept = np.concatenate([np.arange(len(y)), in_turns(indices, n_repeated)])
    return kept, dict(zip(classes.tolist(), n_synthetic.tolist(), strict=True))


def _say_what_was_written(
    output: Path,
    X: Any,
    gan: Any,
    n_repeats: int,
    to_add: dict[Any, int],
    reason: str | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        added = {str(label): n for label, n in to_add.items()}
        what = {"file": str(output), "real": len(X), "repeated": n_repeats, "added": added, "reason": reason}
        click.echo(json.dumps(what))
        return
    if reason is not None:
        say(reason)
    from ganaug.cli_data import noun

    by_class = ", ".join(f"{label}: {n}" for label, n in to_add.items())
    repeats = f", {n_repeats} repeats of them" if n_repeats else ""
    n_added = sum(to_add.values())
    say(f"Wrote {len(X)} {noun(X, gan)}{repeats} and {n_added} synthetic ones ({by_class}) to {output}.")


def _fit_gate(gan: Any, X: Any, y: np.ndarray, *, announce: bool, strict: bool) -> WatchedGate:
    from ganaug.cli_data import WatchedGate, announce_training
    from ganaug.selection.gate import QualityGate

    if announce:
        announce_training(gan, X, y)
    return WatchedGate(QualityGate(gan).fit(X, y), strict=strict)
