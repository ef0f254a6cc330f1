from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys

import click
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

from ganaug import ConditionalGAN, as_arrays, demo
from ganaug.cli import main
from ganaug.cli_errors import in_flags
from ganaug.cli_estimator import estimator_parameters
from ganaug.io.disk import locked
from ganaug.io.targets import remove_checkpoint
from ganaug.selection.candidates import Candidate
from ganaug.selection.recommendation import Recommendation
from ganaug.selection.trials import Trial

SMALL = ["--steps", "2", "--base-channels", "4", "--latent-dim", "4", "--random-state", "0"]


def names(folder):
    """Return the sorted names in a folder, but for hidden ones, as those of locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_fit_and_generate_from_a_folder(image_folder, tmp_path):
    model, file = tmp_path / "model", tmp_path / "x.h5"
    result = run("fit", image_folder, "-o", model, "--size", 8, *SMALL)
    assert result.exit_code == 0, result.output
    assert "Trained on 6 images (cat: 3, dog: 3)" in result.output
    assert names(model) == ["config.json", "model.safetensors"]
    assert ConditionalGAN.load(model).get_params()["steps"] == 2
    (image_folder / "dog" / "2.png").unlink()
    result = run("generate", model, "-o", file, "--balance", image_folder, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output) == {"file": str(file), "images": 1}
    X, y = as_arrays(file)
    assert X.shape == (1, 8, 8, 3)
    assert y.tolist() == ["dog"]


def test_per_class_and_overwrite(tmp_path, fitted):
    fitted.save(tmp_path / "m")
    file = tmp_path / "x.h5"
    assert run("generate", tmp_path / "m", "-o", file, "--per-class", 4, "--random-state", 3).exit_code == 0
    before = as_arrays(file)
    assert np.bincount(before[1]).tolist() == [4, 4, 4]
    result = run("generate", tmp_path / "m", "-o", file, "--per-class", 4)
    assert result.exit_code == 1
    assert "--overwrite" in result.output
    assert np.array_equal(as_arrays(file)[0], before[0])
    args = ("-o", file, "--per-class", 4, "--random-state", 3, "--overwrite")
    assert run("generate", tmp_path / "m", *args).exit_code == 0
    assert np.array_equal(as_arrays(file)[0], before[0])


def test_resample(tmp_path, image_folder):
    (image_folder / "dog" / "2.png").unlink()
    model, file = tmp_path / "model", tmp_path / "x.h5"
    assert run("fit", image_folder, "-o", model, "--size", 8, *SMALL).exit_code == 0
    for arguments in (["--size", 8, *SMALL], ["--model", model, "--random-state", 0, "--overwrite"]):
        result = run("resample", image_folder, "-o", file, *arguments)
        assert result.exit_code == 0, result.output
        said = "Wrote 5 images, 1 repeats of them and 24 synthetic ones (cat: 12, dog: 12)"
        assert said in result.output
        X, y = as_arrays(file)
        assert X.shape == (30, 8, 8, 3)
        assert y[:6].tolist() == ["cat"] * 3 + ["dog"] * 3
        assert np.array_equal(X[5], X[3])
    result = run("resample", image_folder, "-o", file)
    assert result.exit_code == 1
    assert "--overwrite" in result.output


@pytest.mark.filterwarnings("ignore:Class")  # two steps make few images that pass a gate
@pytest.mark.parametrize(("share", "size"), [(0, 40), (0.5, 80)])
def test_resample_with_a_share(share, size, npz, tmp_path):
    file = tmp_path / "x.h5"
    result = run("resample", npz, "-o", file, "--synthetic-share", share, "--json", *SMALL)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["added"] == dict.fromkeys("012", size - 40)
    assert (printed["real"], printed["repeated"]) == (60, 60)
    assert np.bincount(as_arrays(file)[1]).tolist() == [size] * 3
    assert run("resample", npz, "-o", file, "--synthetic-share", 1, *SMALL).exit_code == 2


@pytest.mark.filterwarnings("ignore:Class")
def test_resample_as_recommended(tmp_path, image_folder, stripes, monkeypatch):
    file = tmp_path / "x.h5"
    result = run("resample", image_folder, "-o", file, "--size", 8, "--recommended", "--json", *SMALL)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.output)
    assert printed["added"] == {"cat": 0, "dog": 0}
    assert "class cat has 3 samples" in printed["reason"]
    assert len(as_arrays(file)[1]) == 6

    X, y = stripes
    np.savez(tmp_path / "d.npz", X=X, y=y)
    trial = Trial(Candidate("1x", 0.5), 0.1, 0.05, 0.15)
    advice = Recommendation(np.unique(y), np.bincount(y), trial.candidate, [trial], "Add.", 1.0)
    monkeypatch.setattr("ganaug.selection.recommend.recommend_counts", lambda *_, **__: advice)
    result = run("resample", tmp_path / "d.npz", "-o", file, "--recommended", "--overwrite", *SMALL)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Add.")
    with h5py.File(file) as written:
        labels, synthetic = (written[name][:] for name in ("labels", "synthetic"))
    assert np.bincount(labels).tolist() == [80] * 3
    assert np.bincount(labels[synthetic]).tolist() == [40] * 3
    result = run("resample", tmp_path / "d.npz", "-o", file, "--recommended", "--model", tmp_path)
    assert result.exit_code == 2
    assert "drop --model" in result.output

    result = run("resample", file, "-o", tmp_path / "again.h5", *SMALL)
    assert result.exit_code == 0, result.output
    assert "Leaving out 120 synthetic images" in result.output
    assert "Leaving out 60 images of" in result.output
    assert "that repeat earlier ones" in result.output
    assert f"Wrote {len(y)} images" in result.output


def test_a_model_stands_for_all_that_was_its_training(tmp_path, fitted, stripes):
    fitted.save(tmp_path / "m")
    np.savez(tmp_path / "grey.npz", X=stripes[0], y=stripes[1])
    np.savez(tmp_path / "rgb.npz", X=np.repeat(stripes[0][..., None], 3, axis=3), y=stripes[1])
    with_model = ("-o", tmp_path / "x.h5", "--model", tmp_path / "m")
    result = run("resample", tmp_path / "grey.npz", *with_model, "--steps", 5, "--size", 16)
    assert result.exit_code == 2
    assert "drop --size, --steps, or --model" in result.output
    result = run("resample", tmp_path / "rgb.npz", *with_model)
    assert result.exit_code == 1
    assert "m was fitted on other data than" in result.output
    assert "(8, 8), as in fit, got an ndarray of uint8 rows of shape (8, 8, 3)" in result.output


def test_numbers_for_options_that_may_be_auto(tmp_path, image_folder):
    result = run("fit", image_folder, "-o", tmp_path / "m", "--size", 8, "--strength", "1.5", *SMALL)
    assert result.exit_code == 0, result.output
    assert ConditionalGAN.load(tmp_path / "m").strength == 1.5
    result = run("resample", image_folder, "-o", tmp_path / "x.h5", "--size", 8, "--loss", "hing")
    assert result.exit_code == 1
    assert "Did you mean 'hinge'?" in result.output


def test_resume(tmp_path, stripes, monkeypatch):
    monkeypatch.setattr("ganaug.training.loop.CHECKPOINT_INTERVAL", 1)
    X, y = stripes
    np.savez(tmp_path / "d.npz", X=X, y=y)
    fit = ("fit", tmp_path / "d.npz", "-o", tmp_path / "m", "--no-holdout", *SMALL)

    def stop(self, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ConditionalGAN, "save", stop)
        stopped = run(*fit)
    assert stopped.exit_code == 130
    assert stopped.output == "\nStopped. To go on, run the same command with --resume.\n"
    result = run(*fit)
    assert result.exit_code == 1
    assert "pass --resume" in result.output
    assert run(*fit, "--resume").exit_code == 0
    assert not (tmp_path / "m" / "checkpoint").exists()
    whole = ConditionalGAN(steps=2, base_channels=4, latent_dim=4, random_state=0).fit(X, y)
    assert np.array_equal(ConditionalGAN.load(tmp_path / "m").sample(y, 0), whole.sample(y, 0))


def test_a_trained_model_is_not_replaced_unasked(tmp_path, stripes):
    np.savez(tmp_path / "d.npz", X=stripes[0], y=stripes[1])
    fit = ("fit", tmp_path / "d.npz", "-o", tmp_path / "m", *SMALL[:-1])
    assert run(*fit, 0).exit_code == 0
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    for more in ([], ["--resume"]):
        result = run(*fit, 1, *more)
        assert result.exit_code == 1
        assert "m holds a trained model: pass --overwrite" in result.output
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    (tmp_path / "m" / "checkpoint").mkdir()
    (tmp_path / "m" / "checkpoint" / "state-0.pt").write_text("of another run")
    assert run(*fit, 1, "--overwrite").exit_code == 0
    assert (tmp_path / "m" / "model.safetensors").read_bytes() != before
    assert not (tmp_path / "m" / "checkpoint").exists()


def test_a_stopped_run_is_found_before_anything_is_trained(tmp_path, image_folder, monkeypatch):
    monkeypatch.setattr("ganaug.io.hdf5_writer.SYNC_SECONDS", 0)
    (image_folder / "dog" / "2.png").unlink()
    command = ("resample", image_folder, "-o", tmp_path / "x.h5", "--size", 8, *SMALL)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ganaug.io.hdf5_writer.rename_new", stop)
        result = run(*command)
        assert result.exit_code == 130
        assert "Stopped. To go on, run the same command with --resume." in result.output
    monkeypatch.setattr(ConditionalGAN, "fit", None)
    result = run(*command)
    assert result.exit_code == 1
    assert "stopped after 30 rows: pass --resume to go on, or --overwrite to start anew." in result.output


def test_what_a_file_says_of_its_generator(tmp_path, image_folder):
    file = tmp_path / "x.h5"
    assert run("resample", image_folder, "-o", file, "--size", 8, *SMALL).exit_code == 0
    with h5py.File(file) as stored:
        assert (stored.attrs["sampler"], stored.attrs["model"]) == ("none", "")  # nothing was lacking
    (image_folder / "dog" / "2.png").unlink()
    model = tmp_path / "m"
    assert run("fit", image_folder, "-o", model, "--size", 8, *SMALL).exit_code == 0
    assert run("resample", image_folder, "-o", file, "--model", model, "--overwrite").exit_code == 0
    with h5py.File(file) as stored:
        assert stored.attrs["model"] == ConditionalGAN.load(model).digest()


def test_balance_of_data_without_one_of_the_classes(tmp_path, fitted, stripes):
    fitted.save(tmp_path / "m")
    X, y = stripes
    np.savez(tmp_path / "d.npz", X=X[y < 2], y=y[y < 2])
    generate = ("generate", tmp_path / "m", "--balance", tmp_path / "d.npz", "-o", tmp_path / "x.h5")
    assert run(*generate).exit_code == 0
    largest = np.bincount(y[y < 2]).max()
    assert np.bincount(as_arrays(tmp_path / "x.h5")[1], minlength=3)[2] == largest
    one = [np.flatnonzero(y == c)[0] for c in range(3)]
    np.savez(tmp_path / "d.npz", X=X[one], y=y[one])
    assert "d.npz has as many as the largest: there is nothing to add" in run(*generate, "--overwrite").output


def test_exported_synthetic_images_are_not_trained_on(tmp_path, image_folder):
    (image_folder / "dog" / "2.png").unlink()
    file, folder = tmp_path / "x.h5", tmp_path / "png"
    assert run("resample", image_folder, "-o", file, "--size", 8, *SMALL).exit_code == 0
    assert run("export", file, "--to", folder).exit_code == 0
    assert as_arrays(folder).synthetic.sum() == 24
    result = run("fit", folder, "-o", tmp_path / "m", *SMALL)
    assert "Leaving out 24 synthetic images" in result.output
    assert "Trained on 5 images" in result.output


def test_writing_is_resumed(tmp_path, fitted, monkeypatch):
    fitted.save(tmp_path / "m")
    command = ("generate", tmp_path / "m", "--per-class", 1000, "--random-state", 1, "--layout", "nchw")
    assert run(*command, "-o", tmp_path / "whole.h5").exit_code == 0
    calls, sample = [], ConditionalGAN.sample

    def breaks(*arguments, **options):
        calls.append(1)
        if len(calls) > 2:
            raise OSError("no space left")
        return sample(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("ganaug.io.hdf5_writer.SYNC_SECONDS", 0)
        patch.setattr(ConditionalGAN, "sample", breaks)
        assert "no space left" in run(*command, "-o", tmp_path / "x.h5").output
    assert "pass --resume" in run(*command, "-o", tmp_path / "x.h5").output
    assert run(*command, "-o", tmp_path / "x.h5", "--resume").exit_code == 0
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["imgs"].shape == (3000, 1, 8, 8)


def test_resample_resumes_only_what_it_can_make_again(tmp_path, image_folder):
    result = run("resample", image_folder, "-o", tmp_path / "x.h5", "--resume")
    assert result.exit_code == 2
    assert "--resume needs the --model or the --random-state" in result.output
    more = ("--size", 8, *SMALL, "--resume", "--compression", "lzf")
    result = run("resample", image_folder, "-o", tmp_path / "x.h5", *more)
    assert result.exit_code == 0, result.output
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["images"].compression == "lzf"


def test_images_are_brought_to_the_channels_of_a_model(tmp_path, image_folder):
    """Those of a folder depend on each of its files, and the last axis on the format."""
    train, test, model = tmp_path / "train", tmp_path / "test", tmp_path / "model"
    for folder in (train, test):
        shutil.copytree(image_folder, folder)
    for path in test.rglob("*.png"):
        ImageOps.invert(Image.open(path)).save(path)
    for path in train.rglob("*.png"):
        Image.open(path).convert("RGBA").save(path)
    report = tmp_path / "report.html"
    commands = [
        ("fit", train, "-o", model, "--size", 8, *SMALL),
        ("report", model, train, "--test", test, "-o", report),
    ]
    grey = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "grey.npz", X=grey, y=np.arange(12) % 2)
    commands += [
        ("fit", tmp_path / "grey.npz", "-o", tmp_path / "flat", *SMALL),
        ("generate", tmp_path / "flat", "-o", tmp_path / "x.h5", "--per-class", 5, "--layout", "nchw"),
        ("report", tmp_path / "flat", tmp_path / "x.h5", "-o", report),
    ]
    for command in commands:
        result = run(*command)
        assert result.exit_code == 0, result.output


def test_export(tmp_path, image_folder):
    file, folder = tmp_path / "x.h5", tmp_path / "png"
    assert run("resample", image_folder, "-o", file, "--size", 8, *SMALL).exit_code == 0
    result = run("export", file, "--to", folder, "--json")
    assert json.loads(result.output) == {"folder": str(folder), "images": 6}
    before, after = as_arrays(file), as_arrays(folder)
    assert after.class_names == ["cat", "dog"]
    assert np.array_equal(np.sort(before[0], axis=None), np.sort(after[0], axis=None))
    assert "exists: name a new folder" in run("export", file, "--to", folder).output


@pytest.mark.parametrize(
    ("flags", "first", "digits"), [((), "Eighty ones", [1, 8]), (("--full",), "Ten", range(10))]
)
def test_demo(flags, first, digits, tmp_path):
    small = ("--steps", 3, "--seeds", 2, "--classifier-steps", 5)
    result = run("demo", "-o", tmp_path, *flags, *small)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(first)
    for word in ("instance-balanced", "class-balanced", "SMOTE", "ganaug", "interval"):
        assert word in result.output
    assert names(tmp_path) == ["digits-synthetic.h5", "digits-synthetic.png"]
    made = np.bincount(as_arrays(tmp_path / "digits-synthetic.h5")[1], minlength=10)
    assert made.tolist() == [300 if digit in digits else 0 for digit in range(10)]


def test_the_help_of_the_demo_tells_its_defaults():
    output = " ".join(run("demo", "--help").output.split())
    for name in ("seeds", "gan_steps", "classifier_steps"):
        small, full = (getattr(settings, name) for settings in (demo.SMALL, demo.FULL))
        assert f"[default: {small}; with --full {full}]" in output


def test_options_come_from_the_estimator():
    output = " ".join(run("fit", "--help").output.split())
    for flag in ("--steps", "--learning-rate", "--conditioning", "--architecture", "--device"):
        assert flag in output
    assert "--callbacks" not in output
    assert 'Updates of each network. "auto": 600, 1,500 for images with a side under 16 pixels' in output
    assert "See ConditionalGAN" not in output
    params = main.commands["fit"].get_params(click.Context(main.commands["fit"]))
    options = [param for param in params if isinstance(param, click.Option)]
    assert all(option.help for option in options)
    assert not any("callable" in option.help or "`" in option.help for option in options)
    assert all('"auto"' in option.help for option in options if option.default == "auto")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "{}/none", "-o", "{}/m"], 1, "No such file or folder"),
        (["fit", "{}", "-o", "{}/m"], 1, "no image was found"),
        (["fit", "{}/pets", "-o", "{}/m", "--loss", "hing"], 1, "Did you mean 'hinge'?"),
        (["fit", "{}/pets", "-o", "{}/m", "--steps", "x"], 1, "Error: --steps must be 'auto' or an int"),
        (["generate", "{}/none", "-o", "{}/x.h5", "--per-class", "3"], 1, "No such folder"),
        (["generate", "{}/none", "-o", "{}/x.h5"], 2, "either --per-class N or --balance DATA"),
        (["demo", "-o", "{}/none"], 1, "not a folder"),
        (["report", "{}/none", "{}/pets", "-o", "{}/pets"], 1, "is a folder: name a file"),
        (["fit", "{}/strings.npz", "-o", "{}/m"], 1, "dtype <U1, whose columns are all strings"),
        (
            ["fit", "{}/flat.npz", "-o", "{}/m", "--size", "8"],
            1,
            "flat.npz: --size is for images, got (8,",
        ),
    ],
)
def test_errors_are_one_line(arguments, code, message, image_folder, tmp_path):
    if arguments[1] == "{}":
        (tmp_path / "empty").mkdir()
        arguments = ["fit", str(tmp_path / "empty"), *arguments[2:]]
    np.savez(tmp_path / "strings.npz", X=np.array([["a", "b"], ["c", "d"]] * 3), y=[0, 1] * 3)
    np.savez(tmp_path / "flat.npz", X=np.eye(6), y=[0, 1] * 3)
    result = run(*(argument.format(tmp_path) for argument in arguments))
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output
    assert code == 2 or len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "x.h5").exists()


def kept(folder):
    """Return the content of each visible file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path: path.read_bytes() for path in files}


@pytest.fixture
def npz(tmp_path, stripes):
    np.savez(tmp_path / "d.npz", X=stripes[0], y=stripes[1])
    return tmp_path / "d.npz"


def test_options_are_those_of_the_estimator():
    parameters = inspect.signature(ConditionalGAN).parameters
    found = {name: parameter.default for name, parameter in estimator_parameters().items()}
    assert found == {name: parameter.default for name, parameter in parameters.items()}


@pytest.mark.parametrize("option", [[], ["--overwrite"], ["--resume"]])
@pytest.mark.parametrize("name", ["notes.txt", "state-0.pt.old", "seed/mine.png", ".hidden"])
def test_a_folder_named_checkpoint_with_other_files_is_refused(name, option, npz, tmp_path, monkeypatch):
    monkeypatch.setattr(ConditionalGAN, "fit", None)
    for path in (tmp_path / "m" / "checkpoint" / name, tmp_path / "m" / "checkpoint" / "state-0.pt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    before = kept(tmp_path)
    result = run("fit", npz, "-o", tmp_path / "m", *SMALL, *option)
    assert result.exit_code == 1
    assert f"checkpoint/{name.partition('/')[0]} is not of a stopped run" in result.output
    assert kept(tmp_path) == before


def test_only_own_files_of_a_checkpoint_are_removed(tmp_path):
    folder = tmp_path / "checkpoint"
    for name in (
        "state-0.pt",
        "state-11.pt",
        ".state-1.pt.new",
        "seed",
        ".seed.new",
        "state-x.pt",
        "a",
    ):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("")
    remove_checkpoint(folder)
    assert names(folder) == ["a", "state-x.pt"]
    with locked(folder), pytest.raises(BlockingIOError, match="checkpoint is in use by another run"):
        remove_checkpoint(folder)
    for path in folder.iterdir():
        path.unlink()
    remove_checkpoint(folder)
    assert not folder.exists()


@pytest.mark.parametrize(
    "output", ["pets", "pets/new", "pets/cat", "pets/.hidden/m", "link/m", "elsewhere/m"]
)
def test_a_model_is_not_put_among_the_images(output, image_folder, tmp_path):
    (tmp_path / "link").symlink_to(image_folder / "dog")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(image_folder / "cat" / "0.png", tmp_path / "elsewhere")
    (image_folder / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    before = kept(tmp_path)
    for flags in (["-o", tmp_path / output], ["-o", tmp_path / "m", "--log-dir", tmp_path / output]):
        result = run("fit", image_folder, *flags, "--size", 8, "--overwrite", *SMALL)
        assert result.exit_code == 1
        assert "whose images are read: name a folder outside of it" in result.output
    assert kept(tmp_path) == before


def test_data_are_not_kept_in_the_folder_of_a_checkpoint(image_folder, tmp_path):
    image_folder.rename(tmp_path / "checkpoint")
    before = kept(tmp_path)
    result = run("fit", tmp_path / "checkpoint", "-o", tmp_path, "--size", 8, "--overwrite", *SMALL)
    assert "is in" in result.output and result.exit_code == 1
    assert kept(tmp_path) == before


def test_a_model_is_put_beside_other_files_but_not_over_them(npz, tmp_path, monkeypatch):
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert run("fit", npz, "-o", folder, *SMALL).exit_code == 0
    assert run("fit", npz, "-o", folder, *SMALL, "--overwrite").exit_code == 0
    assert names(folder) == ["config.json", "model.safetensors", "notes.txt"]
    monkeypatch.setattr(ConditionalGAN, "fit", None)
    for name in ("config.json", "model.safetensors", "holdout.json"):
        other = tmp_path / f"of {name}"
        other.mkdir()
        (other / name).write_text('{"name": "a project"}')
        result = run("fit", npz, "-o", other, *SMALL, "--overwrite")
        assert f"{name} is not of a model that ganaug wrote" in result.output
        assert (other / name).read_text() == '{"name": "a project"}'


def test_only_hdf5_files_are_replaced_by_one(npz, tmp_path, fitted):
    fitted.save(tmp_path / "m")
    shutil.copy(npz, tmp_path / "other.npz")
    before = kept(tmp_path)
    (tmp_path / "notes.h5").write_text("mine")
    before = kept(tmp_path)
    messages = {"notes.h5": "--overwrite replaces HDF5 files only"}
    for name in ("other.npz", "m/config.json", "x.txt", "x"):
        messages[name] = f"{name} must end in .h5, .hdf5 or .hdf"
    for name, message in messages.items():
        result = run("generate", tmp_path / "m", "-o", tmp_path / name, "--per-class", 4, "--overwrite")
        assert message in result.output
    assert kept(tmp_path) == before
    for number, word in ((1, ["--per-class", 4]), (2, ["--balance", tmp_path / "x.h5", "--overwrite"])):
        result = run("generate", tmp_path / "m", "-o", tmp_path / "x.h5", *word)
        assert result.exit_code == number - 1
    assert "x.h5 is what the command reads" in result.output
    os.mkfifo(tmp_path / "pipe.h5")
    result = run("generate", tmp_path / "m", "-o", tmp_path / "pipe.h5", "--per-class", 4, "--overwrite")
    assert "not a regular file" in result.output


def test_a_page_replaces_only_pages(npz, tmp_path, fitted, monkeypatch):
    class Page(dict):
        def to_html(self, path):
            path.write_text("<title>ganaug report</title>")

    monkeypatch.setattr("ganaug.evaluation.quality.quality_report", lambda *_, **__: Page(verdict=["Good."]))
    fitted.save(tmp_path / "m")
    page = tmp_path / "report.html"

    def report(output, *more):
        return run("report", tmp_path / "m", npz, "-o", output, "--per-class", 10, *more)

    before = npz.read_bytes()
    for output in (npz, tmp_path / "page.txt", tmp_path / "page"):
        assert "must end in .html or .htm" in report(output, "--overwrite").output
    (tmp_path / "link.html").symlink_to(npz)
    assert "must end in .html or .htm" in report(tmp_path / "link.html", "--overwrite").output
    (tmp_path / "data.html").hardlink_to(npz)
    assert "data.html is what the command reads" in report(tmp_path / "data.html", "--overwrite").output
    page.write_text("<title>mine</title>")
    assert "report.html is no page that ganaug wrote: pass" in report(page).output
    assert page.read_text() == "<title>mine</title>"
    for more in (["--overwrite"], []):
        result = report(page, *more)
        assert result.exit_code == 0, result.output
        assert "<title>ganaug report</title>" in page.read_text()
    assert npz.read_bytes() == before


def test_the_demo_replaces_only_its_own_files(tmp_path):
    picture, file = tmp_path / "digits-synthetic.png", tmp_path / "digits-synthetic.h5"
    Image.new("L", (8, 8)).save(picture)
    assert "digits-synthetic.png is no file of the demo" in run("demo", "-o", tmp_path).output
    picture.unlink()
    with h5py.File(file, "w") as mine:
        mine["x"] = 1
    before = file.read_bytes()
    assert "digits-synthetic.h5 is no file of the demo" in run("demo", "-o", tmp_path).output
    assert file.read_bytes() == before
    file.unlink()
    small = ("demo", "-o", tmp_path, "--steps", 2, "--seeds", 2, "--classifier-steps", 2)
    for _ in range(2):
        result = run(*small)
        assert result.exit_code == 0, result.output


def test_what_is_printed_is_escaped_and_one_line(image_folder, tmp_path):
    result = run("fit", tmp_path / "no\x1b[31m\nne", "-o", tmp_path / "m")
    assert "no\\x1b[31m\\nne" in result.output and "\x1b" not in result.output
    assert len(result.output.strip().splitlines()) == 1
    (image_folder / "dog").rename(image_folder / "d\x1bg")
    (image_folder / "cat" / ".0.png").write_text("no image")
    with pytest.warns(UserWarning, match="skipped 1 whose names"):
        result = run("fit", image_folder, "-o", tmp_path / "m\x07", "--size", 8, *SMALL)
    assert result.exit_code == 0, result.output
    assert "(cat: 3, d\\x1bg: 3)" in result.output


@pytest.mark.slow
def test_warnings_are_printed_in_one_line(image_folder, tmp_path):
    (image_folder / "cat" / ".0.png").write_text("no image")
    command = [sys.executable, "-m", "ganaug", "fit", image_folder, "-o", tmp_path / "n", "--loss", "hing"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
    assert lines[0] == f"Warning: {image_folder}: skipped 1 whose names begin with a dot."
    assert len(lines) == 2 and lines[1].startswith("Error: ")


@pytest.mark.filterwarnings("ignore:Class")
def test_a_table_from_file_to_file(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.repeat(["a", "b"], [45, 15])
    np.savez(tmp_path / "data.npz", X=X, y=y)
    run("fit", tmp_path / "data.npz", "-o", tmp_path / "model", "--steps", 2)
    result = run("generate", tmp_path / "model", "-o", tmp_path / "x.h5", "--balance", tmp_path / "data.npz")
    assert "Wrote 30 rows" in result.output
    rows, labels = as_arrays(tmp_path / "x.h5")
    assert rows.shape == (30, 3)
    assert set(labels) == {"b"}
    run("resample", tmp_path / "data.npz", "-o", tmp_path / "both.h5", "--steps", 2, "--random-state", 0)
    assert np.array_equal(as_arrays(tmp_path / "both.h5")[0][:60], X)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "x.h5 exists: pass overwrite=True (--overwrite) to replace it.",
            "x.h5 exists: pass --overwrite to replace it.",
        ),
        ("Lower `learning_rate`.", "Lower --learning-rate."),
        ("`y` must hold at least 2 classes.", "The labels of DATA must hold at least 2 classes."),
        ("x.npz must hold arrays `X` and `y`.", "x.npz must hold arrays `X` and `y`."),
        (
            "`loss` must be 'auto', one of ['a'] or a callable, got 'b'.",
            "--loss must be 'auto', one of ['a'], got 'b'.",
        ),
        ("Pass `size` of as_arrays (--size) to resize them.", "Pass --size to resize them."),
        ("Pass mode='L' (--mode L).", "Pass --mode L."),
        ("Resize with as_arrays(source, size=32).", "Resize with --size 32."),
        ("Use `ganaug generate`, or in Python use ConditionalGAN.load(path).", "Use `ganaug generate`."),
    ],
)
def test_messages_speak_of_flags(message, words):
    assert in_flags(message, main.commands["fit"]) == words


def test_a_model_is_no_data(tmp_path, fitted, npz):
    fitted.save(tmp_path / "m")
    commands = [
        ("export", tmp_path / "m", "--to", tmp_path / "png"),
        ("fit", tmp_path / "m", "-o", tmp_path / "n"),
        ("report", tmp_path / "m", tmp_path / "m", "-o", tmp_path / "r.html"),
        ("generate", tmp_path / "m", "-o", tmp_path / "x.h5", "--balance", tmp_path / "m"),
    ]
    for command in commands:
        result = run(*command)
        assert result.exit_code == 1
        assert (
            "m is a model, not samples: write samples of it to a file with `ganaug generate`."
            in result.output
        )
    result = run("generate", npz, "-o", tmp_path / "x.h5", "--per-class", 3)
    assert "d.npz is a file: name the folder that `ganaug fit` wrote" in result.output


def test_a_folder_with_an_image_of_16_bits(image_folder, tmp_path):
    for path in image_folder.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    Image.fromarray(np.full((10, 12), 200 * 257, np.uint16)).save(image_folder / "dog" / "deep.png")
    model = tmp_path / "m"
    result = run("fit", image_folder, "-o", model, "--size", 8, *SMALL)
    assert result.exit_code == 1
    assert "dog/deep.png has more than 8 bits a channel" in result.output
    assert "pass --mode L to scale 16 bits to 8" in result.output
    result = run("fit", image_folder, "-o", model, "--size", 8, "--mode", "L", *SMALL)
    assert result.exit_code == 0, result.output
    # With a model, images become what its own are.
    result = run("resample", image_folder, "-o", tmp_path / "x.h5", "--model", model, "--random-state", 0)
    assert result.exit_code == 0, result.output
    X, y = as_arrays(tmp_path / "x.h5")
    assert X.shape[1:] == (8, 8, 1)
    assert set(X[:7][y[:7] == "dog"].ravel()) == {200, 201, 202}
    result = run("resample", image_folder, "-o", tmp_path / "y.h5", "--model", model, "--mode", "L")
    assert "drop --mode, or --model" in result.output


def test_fit_says_how_long_it_takes(npz, tmp_path, monkeypatch):
    expected = []

    def seconds(self, X, y):
        expected.append(len(y))
        return 200

    monkeypatch.setattr(ConditionalGAN, "expected_seconds", seconds)
    monkeypatch.setattr("ganaug.cli_data.TIMED_PER_CLASS", 6)
    monkeypatch.setattr("ganaug.cli_data.MIN_STEPS_ANNOUNCED", 3)
    fit = ("fit", npz, "--overwrite", "--base-channels", 4, "-o")
    for steps, flags, words in ((3, [], True), (3, ["--json"], False), (2, [], False)):
        result = run(*fit, tmp_path / "m", "--steps", steps, *flags)
        assert result.exit_code == 0, result.output
        assert ("Training takes about 3.3 minutes on this machine." in result.stderr) == words
    assert expected == [17]  # of 40, 15 and 5 images


class TestGate:
    """`resample` where the gate lets too few samples through."""

    @pytest.fixture(autouse=True)
    def copies(self, monkeypatch, npz):
        def sample(self, labels, random_state=None):
            with np.load(npz) as data:
                return data["X"][[np.flatnonzero(data["y"] == label)[0] for label in labels]]

        monkeypatch.setattr(ConditionalGAN, "sample", sample)

    def test_one_line(self, npz, tmp_path):
        result = run("resample", npz, "-o", tmp_path / "x.h5", *SMALL)
        assert result.exit_code == 0, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith(
            "Warning: Only 0 of 480 synthetic samples passed the gate (0: 0 of 160, 1: 0 of 160, 2: 0 of 160)"
        )

    def test_strict(self, npz, tmp_path):
        before = names(tmp_path)
        result = run("resample", npz, "-o", tmp_path / "x.h5", "--strict", *SMALL)
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: Only 0 of 480 synthetic samples passed the gate")
        assert names(tmp_path) == before


def test_ctrl_c_where_nothing_can_go_on(npz, tmp_path, fitted, monkeypatch):
    fitted.save(tmp_path / "m")

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ConditionalGAN, "load", stop)
    result = run("generate", tmp_path / "m", "-o", tmp_path / "x.h5", "--per-class", 2)
    assert result.exit_code == 130
    assert result.stderr == "\nStopped.\n"
