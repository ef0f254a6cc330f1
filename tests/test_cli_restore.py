"""`ganaug restore`: what it reads, writes and replaces."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import mixed_table

from ganaug import ConditionalGAN, as_arrays, write_hdf5
from ganaug.cli import main


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def images():
    """A GAN, images, labels and a mask."""
    X, y = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8), np.arange(20) % 2
    gan = ConditionalGAN(steps=1, base_channels=4, latent_dim=4, random_state=0).fit(X, y)
    mask = np.zeros(X.shape, bool)
    mask[:, 2:5, 2:5] = True
    return gan, X, y, mask


def test_images(images, tmp_path):
    gan, X, y, mask = images
    gan.save(tmp_path / "m")
    np.savez(tmp_path / "d.npz", X=X, mask=mask, y=y)
    result = run("restore", tmp_path / "m", tmp_path / "d.npz", "-o", tmp_path / "x.npz")
    assert result.exit_code == 0, result.output
    assert f"Wrote 20 images to {tmp_path / 'x.npz'}" in result.output
    restored, labels = as_arrays(tmp_path / "x.npz")
    assert np.array_equal(restored, gan.restore(X, mask, y)) and labels.tolist() == y.tolist()
    command = ("restore", tmp_path / "m", tmp_path / "d.npz", "-o", tmp_path / "x.npz", "--json")
    result = run(*command, "--draws", 3, "--random-state", 5)
    assert result.exit_code == 1 and "exists: pass --overwrite" in result.stderr
    result = run(*command, "--draws", 3, "--random-state", 5, "--overwrite")
    assert json.loads(result.output) == {"file": str(tmp_path / "x.npz"), "samples": 20, "draws": 3}
    with np.load(tmp_path / "x.npz") as file:
        assert np.array_equal(file["X"], gan.restore(X, mask, y, n_draws=3, random_state=5))


def test_noisy_images_without_labels(images, tmp_path):
    gan, X, _, _ = images
    gan.save(tmp_path / "m")
    np.savez(tmp_path / "d.npz", X=X)
    assert run("restore", tmp_path / "m", tmp_path / "d.npz", "-o", tmp_path / "x.npz").exit_code == 0
    with np.load(tmp_path / "x.npz") as file:
        assert sorted(file) == ["X", "ganaug"] and np.array_equal(file["X"], gan.restore(X))


def test_a_table_in_an_hdf5_file(tmp_path):
    X, y = mixed_table(60), np.arange(60) % 2
    gan = ConditionalGAN(steps=1, base_channels=4, latent_dim=4, random_state=0).fit(X, y)
    gan.save(tmp_path / "m")
    write_hdf5(gan, tmp_path / "d.h5", {0: 0, 1: 0}, real=(X, y), random_state=0)
    result = run("restore", tmp_path / "m", tmp_path / "d.h5", "-o", tmp_path / "x.h5")
    assert result.exit_code == 0, result.output
    restored, labels = as_arrays(tmp_path / "x.h5")
    assert not restored.isna().to_numpy().any() and (restored.dtypes == X.dtypes).all()
    assert labels.tolist() == y.tolist()
    assert (
        run("restore", tmp_path / "m", tmp_path / "d.h5", "-o", tmp_path / "y.h5", "--draws", 2).exit_code
        == 2
    )


def test_what_is_refused(images, tmp_path):
    gan, X, y, mask = images
    gan.save(tmp_path / "m")
    np.savez(tmp_path / "d.npz", X=X, mask=mask[:3])
    np.savez(tmp_path / "other.npz", mask=mask)
    write_hdf5(gan, tmp_path / "images.h5", 2)
    (tmp_path / "broken.npz").write_text("no arrays")
    dcgan = ConditionalGAN(steps=1, base_channels=4, latent_dim=4, architecture="dcgan").fit(X, y)
    dcgan.save(tmp_path / "noise")
    model, output = tmp_path / "m", tmp_path / "x.npz"
    for arguments, message in (
        ((model, tmp_path / "d.npz", "-o", output), "`mask` must hold bools"),
        ((model, tmp_path / "other.npz", "-o", output), "must hold an array `X`"),
        ((model, tmp_path / "broken.npz", "-o", output), "can't be read as an .npz file"),
        ((model, tmp_path / "nothing.npz", "-o", output), "No such file"),
        ((model, tmp_path, "-o", output), "must hold one folder of images for each class"),
        ((model, tmp_path / "d.npz", "-o", tmp_path / "x.h5"), "must end in .npz"),
        ((model, tmp_path / "d.npz", "-o", tmp_path / "other.npz"), "is no file that `ganaug restore` wrote"),
        ((model, tmp_path / "images.h5", "-o", tmp_path / "x.h5"), "holds images"),
        ((tmp_path / "noise", tmp_path / "d.npz", "-o", output), "needs an architecture with an encoder"),
        ((tmp_path / "none", tmp_path / "d.npz", "-o", output), "No such folder"),
    ):
        before = sorted(path for path in tmp_path.iterdir() if not path.name.startswith("."))
        result = run("restore", *arguments, "--overwrite")
        assert result.exit_code == 1 and message in result.stderr, result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert sorted(path for path in tmp_path.iterdir() if not path.name.startswith(".")) == before
