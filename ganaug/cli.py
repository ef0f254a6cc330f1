"""The command line: one command for each step."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np

from ganaug.cli_options import (
    NUMBER_OR_TEXT,
    PATH,
    EmptyGenerator,
    EstimatorCommand,
    OneLineErrors,
    as_json,
    compression,
    deficit,
    gan_and_data,
    layout,
    noun,
    overwrite,
    read_real,
    refuse_beside_model,
    resume_writing,
    say,
    size,
)
from ganaug.io import targets
from ganaug.io.disk import atomic_write
from ganaug.io.folders import check_source

# Modules that need torch are imported inside the commands, after the paths are checked: neither
# `ganaug --help` nor a wrong path need wait for it.


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
@click.option(
    "--seeds", type=click.IntRange(min=2), default=3, help="Repetitions; each draws its training images anew."
)
@click.option("--steps", type=NUMBER_OR_TEXT, default="auto", help="Updates of the generator.")
@click.option(
    "--classifier-steps", type=click.IntRange(min=1), default=600, help="Updates of each classifier."
)
@click.option("-o", "--output", type=PATH, default=Path(), help="Folder for the two files it writes.")
@as_json
def demo(seeds: int, steps: Any, classifier_steps: int, output: Path, as_json: bool) -> None:
    """Train on long-tailed digits of scikit-learn, and measure whether ganaug helps."""
    targets.check_demo_target(output)
    from ganaug.demo import run_demo

    result = run_demo(
        output, seeds=seeds, gan_steps=steps, classifier_steps=classifier_steps, verbose=not as_json
    )
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"\n{'trained on':<20}{'balanced accuracy':>18}   ganaug minus it (95 % interval)")
    for arm, values in result["accuracy"].items():
        line = f"{arm:<20}{np.mean(values):>17.2f}%"
        if arm in result["difference"]:
            mean, half = result["difference"][arm]["mean"], result["difference"][arm]["half_width"]
            line += f"   {mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"
        click.echo(line)
    say("", result["verdict"], f"Wrote {' and '.join(str(output / name) for name in targets.DEMO_FILES)}.")


@main.command(cls=EstimatorCommand)
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the model.")
@size
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of a run that was stopped.")
@click.option("--no-holdout", is_flag=True, help="Hold out no images for the report.")
@overwrite
@as_json
def fit(
    data: Path,
    output: Path,
    size: int | None,
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
    would share those.
    """
    targets.check_model_target(data, output, parameters["log_dir"], resume=resume, overwrite=overwrite)
    from ganaug.data.containers import take
    from ganaug.data.holdout import holdout_mask
    from ganaug.io.holdout_file import save_holdout
    from ganaug.model.gan import ConditionalGAN

    checkpoint = output / "checkpoint"
    X, y = read_real(data, size)
    held_out = np.zeros(len(y), bool) if no_holdout else holdout_mask(X, y)
    X_held_out, X, y = take(X, held_out), take(X, ~held_out), y[~held_out]
    gan = ConditionalGAN(**parameters, verbose=not as_json)
    if checkpoint.exists() and not resume:
        targets.remove_checkpoint(checkpoint)
    gan.fit(X, y, checkpoint=checkpoint)
    gan.save(output)
    if held_out.any():
        save_holdout(output, gan.digest(), X_held_out)
    with suppress(BlockingIOError):  # another run goes on from these states, and will remove them
        targets.remove_checkpoint(checkpoint)
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
@resume_writing
@overwrite
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
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Write synthetic images of MODEL to an HDF5 file.

    A run that was stopped, whatever stopped it, goes on with --resume and ends with the same file.
    """
    if (per_class is None) == (balance is None):
        raise click.UsageError("Pass either --per-class N or --balance DATA.")
    targets.check_model(model)
    if balance is not None:
        check_source(balance)
    targets.check_hdf5_target(output, [balance], overwrite, resume)
    from ganaug.io.writing import write_hdf5
    from ganaug.model.gan import ConditionalGAN

    gan = ConditionalGAN.load(model, device=device)
    if balance is None:
        counts = dict.fromkeys(gan.classes_.tolist(), per_class or 0)
    else:
        counts = deficit(read_real(balance, gan=gan)[1], gan.classes_)
        if not any(counts.values()):
            raise ValueError(f"Each class of {balance} has as many as the largest: there is nothing to add.")
    write_hdf5(
        gan,
        output,
        counts,
        random_state=random_state,
        layout=layout,
        compression=compression,
        resume=resume,
        overwrite=overwrite,
        verbose=not as_json,
    )
    total = sum(counts.values())
    if as_json:
        click.echo(json.dumps({"file": str(output), "images": total}))
    else:
        say(f"Wrote {total} {gan.codec_.noun} to {output}.")


@main.command(cls=EstimatorCommand)
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The HDF5 file to write.")
@click.option("--model", type=PATH, help="A model that was fitted on DATA. Without it one is fitted now.")
@click.option(
    "--recommended", is_flag=True, help="Let cross-validation decide how many to add to each class, if any."
)
@size
@layout
@compression
@resume_writing
@overwrite
@as_json
def resample(
    data: Path,
    output: Path,
    model: Path | None,
    recommended: bool,
    size: int | None,
    layout: str,
    compression: str | None,
    resume: bool,
    overwrite: bool,
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

    gan, X, y = gan_and_data(data, model, size, {**parameters, "verbose": not as_json})
    seed = parameters["random_state"]
    classes = np.unique(y)
    to_add: dict[Any, int] = deficit(y, classes)
    sample_weight = reason = None
    if recommended:
        advice = recommend_counts(QualityGate(gan), X, y, random_state=seed, verbose=not as_json)
        to_add, sample_weight, reason = advice.to_add, advice.sample_weight, advice.reason
    # With nothing to add, nothing is trained.
    generator: Any = QualityGate(gan).fit(X, y) if any(to_add.values()) else EmptyGenerator(classes)
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
    if as_json:
        added = {str(label): n for label, n in to_add.items()}
        click.echo(json.dumps({"file": str(output), "real": len(y), "added": added, "reason": reason}))
        return
    if reason is not None:
        say(reason)
    counts = ", ".join(f"{label}: {n}" for label, n in to_add.items())
    say(f"Wrote {len(y)} {noun(X)} and {sum(to_add.values())} synthetic ones ({counts}) to {output}.")


@main.command()
@click.argument("model", type=PATH)
@click.argument("data", type=PATH)
@click.option("-o", "--output", type=PATH, default=Path("report.html"), help="The page to write.")
@click.option("--test", type=PATH, metavar="DATA", help="Data that MODEL never saw.")
@click.option("--per-class", type=click.IntRange(min=10), default=500, help="Samples to draw of each class.")
@click.option("--random-state", type=int, default=0)
@overwrite
@as_json
def report(
    model: Path,
    data: Path,
    output: Path,
    test: Path | None,
    per_class: int,
    random_state: int,
    overwrite: bool,
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
    from ganaug.data.containers import take
    from ganaug.evaluation.quality import quality_report
    from ganaug.io.holdout_file import load_holdout_mask
    from ganaug.model.gan import ConditionalGAN

    gan = ConditionalGAN.load(model)
    X, y = read_real(data, gan=gan)
    held_out = load_holdout_mask(model, gan.digest(), X)
    unseen: tuple[Any, Any] = (take(X, held_out), y[held_out]) if held_out.any() else (None, None)
    if test is not None:
        unseen = read_real(test, gan=gan)
    X, y = take(X, ~held_out), y[~held_out]
    quality = quality_report(gan, X, y, *unseen, per_class=per_class, random_state=random_state)
    targets.check_page_target(output, [data, test], overwrite)  # there may be another file by now
    with atomic_write(output.resolve()) as partial:
        quality.to_html(partial)
    if as_json:
        click.echo(quality.to_json())
    else:
        say(*quality["verdict"], f"Wrote {output}.")


@main.command()
@click.argument("file", type=PATH)
@click.option("--to", "folder", type=PATH, required=True, help="Folder to make.")
@as_json
def export(file: Path, folder: Path, as_json: bool) -> None:
    """Write the images of an HDF5 FILE as PNG files, one folder for each class."""
    targets.check_new_folder(folder)
    if check_source(file) is not None:
        raise ValueError(f"{file} is a folder: name an HDF5 file.")
    from ganaug.io.export import export_images

    n = export_images(file, folder)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "images": n}))
    else:
        say(f"Wrote {n} images to {folder}.")
