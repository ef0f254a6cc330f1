from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
import webdataset
from conftest import StripeGenerator

from ganaug import as_arrays, write_hdf5
from ganaug.io.export import export_images, export_tar


def names(folder):
    """Return what is in a folder, but for the hidden lock files of writers."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3), (8, 8, 4)])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_every_image_becomes_a_file(shape, layout, tmp_path):
    gan = StripeGenerator(["a", "b"], shape)
    real = (gan.sample(["b", "b"], 1), ["b", "b"])
    path = write_hdf5(gan, tmp_path / "x.h5", {"a": 200, "b": 100}, real=real, layout=layout)
    assert export_images(path, tmp_path / "png") == 302
    files = sorted(file.name for file in (tmp_path / "png" / "b").iterdir())
    assert files[:2] == ["000.png", "001.png"]
    assert files[2].startswith("synthetic-")
    X, y = as_arrays(path)
    images, labels = as_arrays(tmp_path / "png")
    assert labels.tolist() == [0] * 200 + [1] * 102
    expected = np.concatenate([X[y == "a"], X[y == "b"]]).reshape(images.shape)
    assert np.array_equal(images, expected)


@pytest.mark.parametrize("name", ["a/b", "..", "", "what?"])
def test_labels_that_are_no_folders(name, tmp_path):
    path = write_hdf5(StripeGenerator(sorted(["x", name])), tmp_path / "x.h5", 2)
    with pytest.raises(ValueError, match="can't be the name of a folder"):
        export_images(path, tmp_path / "png")
    assert names(tmp_path) == ["x.h5"]


def test_classes_without_images_get_no_folder(tmp_path):
    path = write_hdf5(StripeGenerator(["a", "b", "c"]), tmp_path / "x.h5", {"b": 2, "c": 3})
    export_images(path, tmp_path / "png")
    assert as_arrays(tmp_path / "png").class_names == ["b", "c"]


def test_a_damaged_file_is_not_exported(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 2)
    with h5py.File(path, "r+") as file:
        file["images"][1, 1, 1] ^= 4
    with pytest.raises(ValueError, match=r"x\.h5 is damaged, .* images are not what was written"):
        export_images(path, tmp_path / "png")
    assert names(tmp_path) == ["x.h5"]


def test_what_can_not_be_exported(tmp_path):
    class Floats(StripeGenerator):
        def sample(self, labels, random_state=None):
            return super().sample(labels, random_state) / 255

    path = write_hdf5(Floats([0, 1]), tmp_path / "x.h5", 2)
    with pytest.raises(ValueError, match="Only uint8 images"):
        export_images(path, tmp_path / "png")
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "y.h5", 2)
    (tmp_path / "png").mkdir()
    with pytest.raises(FileExistsError, match="name a new folder"):
        export_images(path, tmp_path / "png")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 2)
    (tmp_path / "png.partial").mkdir()
    (tmp_path / "png.partial" / "mine.txt").write_text("x")
    export_images(path, tmp_path / "png")
    assert (tmp_path / "png.partial" / "mine.txt").read_text() == "x"
    assert names(tmp_path) == ["png", "png.partial", "x.h5"]


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 2)
    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(OSError, match="no space left"):
        export_images(path, tmp_path / "png")
    assert names(tmp_path) == ["x.h5"]


def test_the_random_state_of_torch_stays_and_large_images_come_in_small_batches(tmp_path, monkeypatch):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 5, random_state=0)
    monkeypatch.setattr("ganaug.io.export.BATCH_BYTES", 3 * 64)
    before = torch.get_rng_state()
    export_images(path, tmp_path / "png")
    assert torch.equal(torch.get_rng_state(), before)
    images = np.concatenate([as_arrays(path)[0][as_arrays(path)[1] == c] for c in (0, 1)])
    assert np.array_equal(as_arrays(tmp_path / "png")[0][..., 0], images)


def test_control_characters_of_a_folder_are_escaped(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 2)
    (tmp_path / "a\x1bb").mkdir()
    with pytest.raises(FileExistsError, match=r"a\\x1bb exists"):
        export_images(path, tmp_path / "a\x1bb")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3)])
def test_tar_files_hold_what_the_folders_do(shape, tmp_path):
    gan = StripeGenerator(["a", "b"], shape)
    real = (gan.sample(["b", "b"], 1), ["b", "b"])
    path = write_hdf5(gan, tmp_path / "x.h5", {"a": 7, "b": 4}, real=real)
    folder = tmp_path / "100%d"
    assert export_tar(path, folder / "x-%03d.tar", images_per_file=5) == 13
    assert names(folder) == ["x-000.tar", "x-001.tar", "x-002.tar"]
    urls = [str(folder / f"x-{i:03d}.tar") for i in range(3)]
    found = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8" if len(shape) == 3 else "l8"))
    X, y = as_arrays(path)
    assert np.array_equal(np.stack([sample["png"] for sample in found]), X)
    assert [sample["cls"] for sample in found] == ["ab".index(label) for label in y]
    assert [sample["json"]["label"] for sample in found] == y.tolist()
    assert [sample["json"]["synthetic"] for sample in found] == [False] * 2 + [True] * 11
    assert [int(sample["__key__"]) for sample in found] == list(range(13))


@pytest.mark.parametrize("name", ["x.tar", "x-%d-%d.tar", "x-%s.tar", "x-%06d.tar.gz", "x-%%d.tar"])
def test_tar_files_need_a_number_in_their_names(name, tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 2)
    with pytest.raises(
        ValueError, match=r"`pattern` must be the name of tar files .* such as pets-%06d\.tar, got"
    ):
        export_tar(path, tmp_path / name)
    assert names(tmp_path) == ["x.h5"]


def test_no_tar_file_is_replaced(tmp_path, monkeypatch):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 6)
    (tmp_path / "x-1.tar").write_text("mine")
    with pytest.raises(FileExistsError, match=r"x-1\.tar exists: name new files"):
        export_tar(path, tmp_path / "x-%d.tar", images_per_file=5)
    assert names(tmp_path) == ["x-1.tar", "x.h5"]
    monkeypatch.setattr("ganaug.io.export.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'ganaug\[webdataset\]'"):
        export_tar(path, tmp_path / "y-%d.tar")
