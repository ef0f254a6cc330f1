from __future__ import annotations

import errno
import math
import os
import socket
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from conftest import StripeGenerator

from ganaug import ConditionalGAN, HDF5Dataset, as_arrays, write_hdf5
from ganaug.io.blocks import BlockPlan


def visible(folder):
    """Return the names in a folder, but for those of locks."""
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))


def test_schema(tmp_path):
    path = write_hdf5(StripeGenerator(["a", "b"], (8, 9, 3)), tmp_path / "x.h5", 20, random_state=7)
    with h5py.File(path) as file:
        assert sorted(file) == ["classes", "images", "labels", "synthetic"]
        assert file["synthetic"][:].all()
        assert file["images"].shape == (40, 8, 9, 3)
        assert file["images"].dtype == np.uint8
        assert file["images"].chunks is None
        assert file["labels"].dtype == np.int64
        assert file["classes"].asstr()[:].tolist() == ["a", "b"]
        assert file.attrs["seed"] == 7
        assert file.attrs["ganaug"]


@pytest.mark.parametrize("classes", [[0, 1, 2], ["x", "y", "z"], [-4, 7, 90]])
def test_round_trip(classes, tmp_path):
    counts = dict(zip(classes, (5, 0, 3000), strict=True))
    path = write_hdf5(StripeGenerator(classes), tmp_path / "x.h5", counts, random_state=0)
    X, y = as_arrays(path)
    values, n = np.unique(y, return_counts=True)
    assert dict(zip(values.tolist(), n.tolist(), strict=True)) == {classes[0]: 5, classes[2]: 3000}
    assert np.array_equal(X[:, 0, 0] > 200, y == classes[2])


def test_seeds(tmp_path):
    files = [
        as_arrays(write_hdf5(StripeGenerator([0, 1]), tmp_path / f"{i}.h5", 800, random_state=seed))
        for i, seed in enumerate((3, 3, 4))
    ]
    assert np.array_equal(files[0][0], files[1][0])
    assert np.array_equal(files[0][1], files[1][1])
    assert not np.array_equal(files[0][0], files[2][0])


def test_classes_are_mixed_over_the_file(tmp_path):
    counts = {0: 6000, 1: 600, **dict.fromkeys(range(2, 8), 1)}
    path = write_hdf5(StripeGenerator(range(8)), tmp_path / "x.h5", counts, random_state=0)
    y = as_arrays(path)[1]
    assert np.bincount(y).tolist() == [6000, 600, 1, 1, 1, 1, 1, 1]
    for part in np.array_split(y, 6):
        assert 0.07 < np.mean(part == 1) < 0.11
    rare = np.flatnonzero(y > 1)
    assert len(set(rare // 1200)) >= 4


@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3)])
def test_tensors_and_floats_are_stored_as_images(shape, tmp_path):
    class Floats(StripeGenerator):
        def sample(self, labels, random_state=None):
            rows = torch.from_numpy(super().sample(labels, random_state) / 255).float()
            return rows.permute(0, 3, 1, 2) if rows.ndim == 4 else rows

    X, _ = as_arrays(write_hdf5(Floats([0, 1], shape), tmp_path / "x.h5", 3))
    assert X.shape == (6, *shape)
    assert X.dtype == np.float32


@pytest.mark.parametrize("added", [0, 1500])
def test_real_rows_stand_first_with_their_weights(added, tmp_path):
    X, y = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8), np.array(["b", "a"])
    path = write_hdf5(
        StripeGenerator(["a", "b"]),
        tmp_path / "x.h5",
        {"b": added},
        real=(X, y),
        sample_weight=lambda labels, synthetic: np.where(synthetic, 0.5, labels == "a"),
    )
    assert np.array_equal(as_arrays(path)[0][:2], X)
    with h5py.File(path) as file:
        assert file["synthetic"][:].tolist() == [False] * 2 + [True] * added
        assert file["labels"][:].tolist() == [1, 0] + [1] * added
        assert file["weights"][:].tolist() == [0.0, 1.0] + [0.5] * added


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((2, 9, 9), np.uint8), [0, 1], r"uint8 \(8, 8\), got uint8 \(9, 9\)"),
        (np.zeros((2, 8, 8)), [0, 1], "uint8 .*, got float64"),
        (np.zeros((2, 8, 8), np.uint8), [0, 5], "got 5"),
        (np.zeros((2, 8, 8), np.uint8), [0], "one label for each of the 2 rows"),
    ],
)
def test_bad_real_rows(X, y, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 3, real=(X, y))
    assert visible(tmp_path) == []


def test_what_the_file_says_of_its_rows(tmp_path):
    real = (np.zeros((2, 8, 8), np.uint8), ["b", "a"])
    weigh = {"real": real, "sample_weight": lambda labels, synthetic: 1.0 + synthetic}
    data = HDF5Dataset(write_hdf5(StripeGenerator(["a", "b"]), tmp_path / "x", 2, **weigh))
    assert data.targets[:2].tolist() == [1, 0]
    assert np.bincount(data.targets).tolist() == [3, 3]
    assert data.synthetic.tolist() == [False] * 2 + [True] * 4
    assert data.sample_weight.tolist() == [1.0] * 2 + [2.0] * 4
    arrays = as_arrays(tmp_path / "x")  # an HDF5 file whatever its name
    assert arrays.synthetic.tolist() == data.synthetic.tolist()
    assert HDF5Dataset(write_hdf5(StripeGenerator([0, 1]), tmp_path / "y.h5", 2)).sample_weight is None


def test_as_recommended(tmp_path):
    advice = SimpleNamespace(to_add={0: 3, 1: 0})
    data = HDF5Dataset(write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", advice))
    assert data.targets.tolist() == [0, 0, 0]


def test_a_gan_that_is_not_fitted(tmp_path):
    with pytest.raises(ValueError, match="`gan` must be a fitted ConditionalGAN"):
        write_hdf5(ConditionalGAN(), tmp_path / "x.h5", 3)


def test_a_failure_leaves_nothing(tmp_path):
    class Fails(StripeGenerator):
        def sample(self, labels, random_state=None):
            if 1 not in labels:
                return super().sample(labels, random_state)
            raise RuntimeError("out of ideas")

    with pytest.raises(RuntimeError, match="out of ideas"):
        write_hdf5(Fails([0, 1]), tmp_path / "x.h5", {0: 5000, 1: 1})
    assert visible(tmp_path) == []


def test_an_existing_file_is_kept(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 3)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_hdf5(StripeGenerator([0, 1]), path, 5)
    assert path.read_bytes() == before
    write_hdf5(StripeGenerator([0, 1]), path, 5, overwrite=True)
    assert len(HDF5Dataset(path)) == 10
    path.write_bytes(b"")  # holds nothing to lose
    write_hdf5(StripeGenerator([0, 1]), path, 4, overwrite=True)
    assert len(HDF5Dataset(path)) == 8
    assert visible(tmp_path) == ["x.h5"]


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "exists, and overwrite=True .* replaces HDF5 files only"),
        ("folder", "is a folder: name a file"),
        ("pipe", "is a named pipe, not a regular file"),
        ("socket", "is a socket, not a regular file"),
        ("link to nothing", "is a symbolic link, not a regular file"),
        ("link to a device", "is a symbolic link, not a regular file"),
        ("link to text", "exists, and overwrite=True .* replaces HDF5 files only"),
    ],
)
def test_what_is_no_file_of_ours_is_never_replaced(kind, message, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    path, text = Path("x.h5"), Path("mine.txt")
    text.write_text("precious")
    if kind == "text":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    else:
        path.symlink_to({"nothing": "missing", "a device": os.devnull, "text": text}[kind[8:]])
    before = path.lstat()
    with pytest.raises(FileExistsError, match=message):
        write_hdf5(StripeGenerator([0, 1]), path, 5, **options)
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert text.read_text() == "precious"
    assert visible(tmp_path) == ["mine.txt", "x.h5"]


def test_a_link_to_a_data_set_is_replaced_itself(tmp_path):
    real = write_hdf5(StripeGenerator([0, 1]), tmp_path / "real.h5", 3)
    before = real.read_bytes()
    (tmp_path / "x.h5").symlink_to(real)
    write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 5, overwrite=True)
    assert len(HDF5Dataset(tmp_path / "x.h5")) == 10
    assert real.read_bytes() == before


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (-1, "ints from 0 up, got -1"),
        (0, "got no samples at all"),
        ({0: 2.5}, "got 2.5 for class 0"),
        ({9: 2}, r"among \[0, 1\], got 9"),
        (10**18, r"`counts` must .*at most \d+.*, got 10{18}"),
        (10**30, r"`counts` must .*at most \d+.*, got 10{30}"),
        ({0: 10**12, 1: 3}, r"at most 48592007999 samples in all where `block_size` is 1024, got 10{11}3"),
    ],
)
def test_bad_counts(counts, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", counts)
    assert visible(tmp_path) == []


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "no" / "x.h5", 2)


def test_bad_targets_and_seeds(tmp_path):
    with pytest.raises(FileExistsError, match="is a folder"):
        write_hdf5(StripeGenerator([0, 1]), tmp_path, 2, overwrite=True)
    for seed in (-1, 2**70, "x"):
        with pytest.raises(ValueError, match="`random_state` must be"):
            write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 2, random_state=seed)
    assert visible(tmp_path) == []


@pytest.mark.parametrize(("present", "block_size"), [([0, 1], 1), ([0, 0, 0, 1], 1), (range(2100), 1024)])
def test_no_block_is_empty(present, block_size, tmp_path):
    """Where most of many classes get nothing."""
    asked = []

    class Asked(StripeGenerator):
        def sample(self, labels, random_state=None):
            asked.append(len(labels))
            return super().sample(labels, random_state)

    write_hdf5(Asked(np.arange(5000)), tmp_path / "x.h5", Counter(present), block_size=block_size)
    assert min(asked) > 0
    assert sum(asked) == len(present)


def test_the_largest_counts_are_counted_right():
    most = math.isqrt(2**61)
    plan = BlockPlan(StripeGenerator([0, 1]), np.array([most - 1, 1]), None, "nhwc", 1)
    assert plan.start(len(plan)) == most
    assert plan.length(len(plan) - 1) in (0, 1, 2)


def test_more_samples_than_the_disk_holds(tmp_path):
    with pytest.raises(OSError, match="No room in .*: the file takes"):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 2 * 10**10)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("how", ["little", "a quota", "a quota that the journal fits in"])
def test_no_room_is_found_out_before_anything_is_written(how, tmp_path, monkeypatch):
    if how == "little":
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20 + 10_000))
        message = "No room in .*: the file takes 1.0 MiB, and 1.0 MiB are free"
    else:

        def full(descriptor, offset, size):
            if size > 4096 or how == "a quota":
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.posix_fallocate", full)
        name = "journal" if how == "a quota" else "partial"
        message = rf"No room for .*x\.h5\.{name}, which takes 0.0 MiB"
    with pytest.raises(OSError, match=message):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 100)
    assert visible(tmp_path) == []


def test_a_second_file_takes_room_too(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20 + 20_000))
    write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 100)
    with pytest.raises(OSError, match="No room in"):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "y.h5", 100, compression="gzip")


def test_every_block_is_made_once(tmp_path):
    class Counted(StripeGenerator):
        made = 0

        def sample(self, labels, random_state=None):
            type(self).made += len(labels)
            return super().sample(labels, random_state)

    write_hdf5(Counted([0, 1]), tmp_path / "x.h5", 1500)
    assert Counted.made == 3000


def test_a_model_that_can_not_be_saved(stripes, tmp_path):
    gan = ConditionalGAN(steps=1, loss=lambda real, fake: (real.mean(), fake.mean())).fit(*stripes)
    with h5py.File(write_hdf5(gan, tmp_path / "x.h5", 2)) as file:
        assert file.attrs["model"] == ""


def test_labels_of_bytes(tmp_path):
    path = write_hdf5(StripeGenerator(np.array([b"a", b"b"])), tmp_path / "x.h5", 2)
    assert HDF5Dataset(path).classes == ["a", "b"]


def test_weights_of_wrong_length(tmp_path):
    with pytest.raises(
        ValueError, match=r"`sample_weight` must return one weight for each of 6 samples, got shape"
    ):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 3, sample_weight=lambda y, synthetic: [1.0])
    assert visible(tmp_path) == []


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3)])
def test_layouts_and_compression(compression, shape, tmp_path):
    gan, options = StripeGenerator(["a", "b"], shape), {"random_state": 0, "compression": compression}
    files = {
        layout: write_hdf5(gan, tmp_path / layout, 50, layout=layout, **options)
        for layout in ("nhwc", "nchw")
    }
    arrays = [as_arrays(path) for path in files.values()]
    assert np.array_equal(arrays[0][0], arrays[1][0].reshape(arrays[0][0].shape))
    assert np.array_equal(arrays[0][1], arrays[1][1])
    items = [HDF5Dataset(path)[7] for path in files.values()]
    assert torch.equal(items[0][0], items[1][0])
    with h5py.File(files["nchw"]) as file:
        assert file["imgs"].shape == ((100, 1, 8, 8) if len(shape) == 2 else (100, 3, 8, 9))
        assert file["imgs"].compression == compression
    assert len(visible(tmp_path)) == 2


def test_the_file_says_what_made_it(stripes, tmp_path):
    gan = ConditionalGAN(steps=1, random_state=0).fit(*stripes)
    with h5py.File(write_hdf5(gan, tmp_path / "x.h5", 2, random_state=5)) as file:
        said = dict(file.attrs)
    assert said["model"] == gan.digest()
    assert said["sampler"] == repr(gan)
    assert said["seed"] == 5
    assert {"ganaug", "torch", "numpy", "h5py"} < said.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "hwc"}, r"`layout` must be one of \['nhwc', 'nchw'\], got 'hwc'"),
        ({"compression": "zip"}, r"`compression` must be one of \[None, 'gzip', 'lzf'\], got 'zip'"),
        ({"block_size": 0}, "`block_size` must be an int of at least 1, got 0"),
    ],
)
def test_bad_options(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 2, **options)
    assert visible(tmp_path) == []


def test_an_array_of_numbers_is_a_data_set(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    gan = ConditionalGAN(steps=2, base_channels=8).fit(X, np.arange(40) % 2)
    path = write_hdf5(gan, tmp_path / "x.h5", 30)
    row, label = HDF5Dataset(path)[0]
    assert (row.dtype, tuple(row.shape), label in (0, 1)) == (torch.float32, (3,), True)
    assert as_arrays(path)[0].shape == (60, 3)


def test_bytes_of_another_type_are_damage(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 5)
    with h5py.File(path, "r+") as file:
        images, sums = file["images"][:].view(np.int8), dict(file["images"].attrs)
        del file["images"]
        file["images"] = images
        file["images"].attrs.update(sums)
    with pytest.raises(ValueError, match="is of int8, and was written as uint8"):
        as_arrays(path)


def test_an_array_of_strings_is_refused(tmp_path):
    X = np.random.default_rng(0).choice(["a", "b"], (40, 3))
    with pytest.raises(
        ValueError, match="`gan` must make samples of numbers to be stored in a file, got dtype <U1"
    ):
        write_hdf5(ConditionalGAN(steps=2).fit(X, np.arange(40) % 2), tmp_path / "x.h5", 5)
