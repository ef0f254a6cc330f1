"""The command line: one command for each step."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ganaug.cli_embed import embed
from ganaug.cli_errors import OneLineErrors, on_interrupt
from ganaug.cli_estimator import NUMBER_OR_TEXT, PATH, EstimatorCommand
from ganaug.cli_options import (
    GO_ON,
    as_json,
    complain,
    compression,
    how_to_go_on_writing,
    layout,
    mode,
    overwrite,
    own_shard,
    resume_writing,
    say,
    shard,
    size,
    strict,
)
from ganaug.cli_resample import resample
from ganaug.cli_restore import restore
from ganaug.io import targets
from ganaug.io.disk import atomic_write
from ganaug.io.folders import check_source
from ganaug.io.journal import shard_path
from ganaug.model.signature import check_values
from ganaug.training.launch import launched

# What takes long to import, numpy and h5py too, is imported inside the commands, after the paths are checked:
# neither `ganaug --help` nor a wrong path need wait for it.


@click.group(
    cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(package_name="ganaug")
def main() -> None:
    """Augment data with conditional GANs, for classes with too few examples.

    DATA is a folder with one folder of images for each class, an HDF5 file that ganaug wrote, or
    an .npz file with arrays X and y. Files may hold tables.
    """


@main.command()
@click.option("--full", is_flag=True, help="All ten digits: three minutes on two cores.")
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    help="Repetitions; each draws its training images anew.  [default: 5; with --full 3]",
)
@click.option(
    "--steps", type=NUMBER_OR_TEXT, help="Updates of the generator.  [default: 400; with --full auto]"
)
@click.option(
    "--classifier-steps",
    type=click.IntRange(min=1),
    help="Updates of each classifier.  [default: 300; with --full 600]",
)
@click.option("-o", "--output", type=PATH, default=Path(), help="Folder for the two files it writes.")
@as_json
def demo(
    full: bool, seeds: int | None, steps: Any, classifier_steps: int | None, output: Path, as_json: bool
) -> None:
    """Train on digits of scikit-learn, of which some are rare, and measure whether ganaug helps."""
    targets.check_demo_target(output)
    if not as_json:  # at once: what is imported takes seconds
        digits = "Ten digits, some of them rare" if full else "Eighty ones and eight eights"
        say(f"{digits}, drawn anew for each seed; one generator and four classifiers are trained on them.")
    from ganaug.demo import run_demo

    result = run_demo(
        output,
        full=full,
        seeds=seeds,
        gan_steps=steps,
        classifier_steps=classifier_steps,
        verbose=not as_json,
    )
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"\n{'trained on':<20}{'balanced accuracy':>18}   ganaug minus it (95 % interval)")
    for arm, values in result["accuracy"].items():
        line = f"{arm:<20}{sum(values) / len(values):>17.2f}%"
        if arm in result["difference"]:
            mean, half = result["difference"][arm]["mean"], result["difference"][arm]["half_width"]
            line += f"   {mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"
        click.echo(line)
    say("", result["verdict"], f"Wrote {' and '.join(str(output / name) for name in targets.DEMO_FILES)}.")


@main.command(cls=EstimatorCommand)
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the model.")
@size
@mode
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of a run that was stopped.")
@click.option("--no-holdout", is_flag=True, help="Hold out no images for the report.")
@overwrite
@as_json
def fit(
    data: Path,
    output: Path,
    size: int | None,
    mode: str | None,
    resume: bool,
    no_holdout: bool,
    overwrite: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Train a GAN on DATA and save it.

    A tenth of each class of 200 images or more is held out at random, for `ganaug report` to compare
    with. Where images belong together, as the frames of a video do, pass --no-holdout, and give the report
    whole groups that you held out yourself. The model holds its training images: share it only as you
    would share those. Processes that torchrun starts train one model together.
    """
    process = launched()
    is_first = process is None or process.rank == 0  # which alone writes files and says things
    if is_first:
        targets.check_model_target(data, output, parameters["log_dir"], resume=resume, overwrite=overwrite)
    else:
        warnings.simplefilter("ignore")  # the first process gives the same warnings
    check_values(parameters)
    import numpy as np

    from ganaug.cli_data import announce_training, read_real
    from ganaug.data.containers import take
    from ganaug.data.holdout import holdout_mask
    from ganaug.evaluation.problems import find_problems
    from ganaug.io.holdout_file import save_holdout
    from ganaug.model.gan import ConditionalGAN

    checkpoint = output / "checkpoint"
    X, y = read_real(data, size, mode=mode, lazy=True)
    held_out = np.zeros(len(y), bool) if no_holdout else holdout_mask(X, y)
    unseen, X, y = (take(X, held_out), y[held_out]), take(X, ~held_out), y[~held_out]
    gan = ConditionalGAN(**parameters, distributed=process is not None, verbose=not as_json)
    if is_first and checkpoint.exists() and not resume:
        targets.remove_checkpoint(checkpoint)
    if not (as_json or resume or process):
        announce_training(gan, X, y)
    on_interrupt(lambda: GO_ON if checkpoint.exists() else None)
    gan.fit(X, y, checkpoint=checkpoint)
    if not is_first:
        return
    gan.save(output)
    if held_out.any():
        save_holdout(output, gan.digest(), unseen[0])
    problems = find_problems(gan, X, y, *unseen)
    if problems:
        save_holdout(output, gan.digest(), unseen[0], problems)
    with suppress(BlockingIOError):  # another run goes on from these states, and will remove them
        targets.remove_checkpoint(checkpoint)
    complain([f"{output}: {problem}" for problem in problems], strict=False)
    classes = dict(zip(gan.classes_.tolist(), gan.class_counts_.tolist(), strict=True))
    if as_json:
        named = {str(label): n for label, n in classes.items()}
        click.echo(json.dumps({"model": str(output), "classes": named, "held_out": int(held_out.sum())}))
    else:
        counts = ", ".join(f"{label}: {n}" for label, n in classes.items())
        rest = f" Held out {held_out.sum()} for `ganaug report`." if held_out.any() else ""
        say(f"Trained on {len(y)} {gan.codec_.noun} ({counts}).{rest} Wrote {output}.")


@main.command()
@click.argument("model", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The HDF5 file to write.")
@click.option("--per-class", type=click.IntRange(min=1), help="Images of each class.")
@click.option(
    "--balance", type=PATH, metavar="DATA", help="Write what fills each class of DATA up to the largest."
)
@click.option("--random-state", type=int, help="Seed; the same one writes the same images.")
@click.option("--device", default="auto", help="As for fit.")
@layout
@compression
@shard
@resume_writing
@overwrite
@strict
@as_json
def generate(
    model: Path,
    output: Path,
    per_class: int | None,
    balance: Path | None,
    random_state: int | None,
    device: str,
    layout: str,
    compression: str | None,
    shard: tuple[int, int] | None,
    resume: bool,
    overwrite: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Write synthetic images of MODEL to an HDF5 file.

    A run that was stopped, whatever stopped it, goes on with --resume and ends with the same file. Several
    processes that torchrun starts write a shard each, and OUTPUT joins them.
    """
    shard = own_shard(shard, random_state)
    if (per_class is None) == (balance is None):
        raise click.UsageError("Pass either --per-class N or --balance DATA.")
    targets.check_model(model)
    if balance is not None:
        check_source(balance)
    targets.check_hdf5_target(output, [balance], overwrite, resume)
    written = output if shard is None else shard_path(output, *shard)
    targets.check_hdf5_target(written, [balance], overwrite, resume)
    from ganaug.cli_data import deficit, load_gan, read_real
    from ganaug.io.writing import write_hdf5

    gan = load_gan(model, device, strict=strict)
    if balance is None:
        counts = dict.fromkeys(gan.classes_.tolist(), per_class or 0)
    else:
        counts = deficit(read_real(balance, gan=gan)[1], gan.classes_)
        if not any(counts.values()):
            raise ValueError(f"Each class of {balance} has as many as the largest: there is nothing to add.")
    on_interrupt(lambda: how_to_go_on_writing(written))
    write_hdf5(
        gan,
        output,
        counts,
        random_state=random_state,
        layout=layout,
        compression=compression,
        shard=shard,
        resume=resume,
        overwrite=overwrite,
        verbose=not as_json,
    )
    total = sum(counts.values())
    if as_json:
        click.echo(json.dumps({"file": str(written), "images": total}))
    else:
        what = "" if shard is None else f"shard {shard[0]}/{shard[1]} of "
        say(f"Wrote {what}{total} {gan.codec_.noun} to {written}.")


@main.command()
@click.argument("model", type=PATH)
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, default=Path("report.html"), help="The page to write.")
@click.option("--test", type=PATH, metavar="DATA", help="Data that MODEL never saw.")
@click.option("--per-class", type=click.IntRange(min=10), default=500, help="Samples to draw of each class.")
@click.option("--random-state", type=int, default=0)
@overwrite
@strict
@as_json
def report(
    model: Path,
    data: Path,
    output: Path,
    test: Path | None,
    per_class: int,
    random_state: int,
    overwrite: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Compare synthetic data of MODEL with DATA, which it was trained on, and write a page.

    Memorization and the gain of a classifier are measured on data that MODEL never saw: those of --test,
    or those of DATA that `ganaug fit` held out. An older page of ganaug is replaced; with --overwrite, any
    HTML file.
    """
    targets.check_page_target(output, [data, test], overwrite)
    targets.check_model(model)
    for source in filter(None, (data, test)):
        check_source(source)
    from ganaug.cli_data import load_gan, read_real
    from ganaug.data.containers import take
    from ganaug.evaluation.quality import quality_report
    from ganaug.io.holdout_file import load_holdout_mask

    gan = load_gan(model, "auto", strict=strict)
    X, y = read_real(data, gan=gan)
    held_out = load_holdout_mask(model, gan.digest(), X)
    unseen: tuple[Any, Any] = (take(X, held_out), y[held_out]) if held_out.any() else (None, None)
    if test is not None:
        unseen = read_real(test, gan=gan)
    X, y = take(X, ~held_out), y[~held_out]
    quality = quality_report(
        gan, X, y, *unseen, per_class=per_class, random_state=random_state, verbose=not as_json
    )
    targets.check_page_target(output, [data, test], overwrite)  # there may be another file by now
    with atomic_write(output.resolve()) as partial:
        quality.to_html(partial)
    if as_json:
        click.echo(quality.to_json())
    else:
        say(*quality["verdict"], f"Wrote {output}.")


@main.command()
@click.argument("file", type=PATH)
@click.option(
    "--to",
    "folder",
    type=PATH,
    required=True,
    help="Folder to make; or names such as pets-%06d.tar, of tar files for WebDataset.",
)
@as_json
def export(file: Path, folder: Path, as_json: bool) -> None:
    """Write the images of an HDF5 FILE as PNG files, one folder for each class, or as tar files."""
    targets.check_new_folder(folder)
    if check_source(file) is not None:
        raise ValueError(f"{file} is a folder: name an HDF5 file.")
    from ganaug.io.export import export_images, export_tar

    n = (export_tar if folder.suffix == ".tar" else export_images)(file, folder)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "images": n}))
    else:
        say(f"Wrote {n} images to {folder}.")


main.add_command(embed)
main.add_command(resample)
main.add_command(restore)
