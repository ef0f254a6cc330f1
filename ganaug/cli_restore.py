"""The command `ganaug restore`: missing values of a table, or pixels of images, filled by a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganaug.cli_estimator import PATH
from ganaug.cli_options import as_json, overwrite, say, strict
from ganaug.io import targets
from ganaug.io.disk import atomic_write
from ganaug.io.folders import check_source

if TYPE_CHECKING:
    import numpy as np

# What takes long to import is imported inside the functions: an error in a path need not wait for it.


@click.command()
@click.argument("model", type=PATH)
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The file to write, of the kind of DATA.")
@click.option(
    "--draws", type=click.IntRange(min=1), help="Write so many draws in place of the values to expect."
)
@click.option("--random-state", type=int, help="Seed of the draws.")
@click.option("--device", default="auto", help="As for fit.")
@overwrite
@strict
@as_json
def restore(
    model: Path,
    data: Path,
    output: Path,
    draws: int | None,
    random_state: int | None,
    device: str,
    overwrite: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Write DATA with what is missing in it filled by MODEL, which was fitted on data of this kind.

    DATA is an .npz file with an array `X`: images, with a `mask` that is not 0 where a pixel is missing, or
    a table with NaN where a value is missing. Without a mask images are taken to be noisy. If it has labels
    `y`, then only samples of the class are looked for. Or it is an HDF5 file with a table and labels. With
    --draws the array `X` of the .npz file that is written has an axis of draws in front.
    """
    arrays = data.suffix.lower() == ".npz"
    if not arrays and draws is not None:
        raise click.UsageError("--draws needs an .npz file as DATA.")
    targets.check_model(model)
    if check_source(data) is not None:
        raise ValueError(f"{data} is a folder: name an .npz or an HDF5 file.")
    if arrays:
        targets.check_npz_target(output, [data], overwrite)
    else:
        targets.check_hdf5_target(output, [data], overwrite, False)
    from ganaug.cli_data import load_gan, noun, read_real
    from ganaug.model.restoration import why_not_restore

    gan = load_gan(model, device, strict=strict)
    if reason := why_not_restore(gan):
        raise ValueError(f"{model}: {reason}")
    if arrays:
        X, mask, y = _read(data)
    else:
        X, y = read_real(data, gan=gan)
        mask = None
        if X.ndim != 2:
            raise ValueError(f"{data} holds images: write them and their mask to an .npz file.")
    restored = gan.restore(X, mask, y, n_draws=draws, random_state=random_state)
    if arrays:
        _write(output, restored, y)
    else:
        _write_table(output, restored, y, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps({"file": str(output), "samples": len(X), "draws": draws}))
        return
    say(f"Wrote {len(X)} {noun(X)}{f', {draws} draws of each,' if draws else ''} to {output}.")


def _read(data: Path) -> tuple[np.ndarray, Any, Any]:
    """Return the arrays of an .npz file: samples, and a mask and labels if there are any."""
    import numpy as np

    try:
        with np.load(data, allow_pickle=False) as file:
            found = {name: file[name] for name in ("X", "mask", "y") if name in file}
    except Exception as exc:  # numpy raises whatever the zip and header parsers raise
        raise ValueError(f"{data} can't be read as an .npz file: {exc}") from exc
    if "X" not in found:
        raise ValueError(f"{data} must hold an array `X`, and may hold `mask` and `y`.")
    return found["X"], found.get("mask"), found.get("y")


def _write(output: Path, X: Any, y: Any) -> None:
    import numpy as np

    labels: dict[str, Any] = {} if y is None else {"y": y}
    with atomic_write(output.resolve()) as partial, partial.open("wb") as file:
        np.savez(file, ganaug=np.array("restored"), X=X, **labels)


def _write_table(output: Path, X: Any, y: Any, *, overwrite: bool) -> None:
    import numpy as np

    from ganaug.cli_data import EmptyGenerator
    from ganaug.io.writing import write_hdf5

    classes = np.unique(y)
    write_hdf5(
        EmptyGenerator(classes),  # type: ignore[arg-type]
        output,
        dict.fromkeys(classes.tolist(), 0),
        real=(X, y),
        random_state=0,
        overwrite=overwrite,
    )
