from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
import torch
from conftest import StripeGenerator
from torch.utils.data import ConcatDataset, DataLoader

from ganaug import HDF5Dataset, as_arrays, write_hdf5


@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3)])
def test_dataset(shape, tmp_path):
    path = write_hdf5(StripeGenerator(["a", "b"], shape), tmp_path / "x.h5", 10, random_state=0)
    data = HDF5Dataset(path)
    assert len(data) == 20
    assert data.classes == ["a", "b"]
    image, label = data[3]
    assert isinstance(label, int)
    assert image.shape == ((1, 8, 8) if len(shape) == 2 else (3, 8, 9))
    X, y = as_arrays(path)
    expected = X[3][None] if len(shape) == 2 else X[3].transpose(2, 0, 1)
    assert np.array_equal(image, expected)
    assert data.classes[label] == y[3]
    assert torch.equal(data[-17][0], image)
    for index in (20, -21):
        with pytest.raises(IndexError, match="out of range"):
            data[index]


def test_dataset_in_workers_and_pickles(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 32, random_state=0)
    data = HDF5Dataset(path, transform=lambda image: image.float())
    assert data[0][0].dtype == torch.float32  # the file is open now
    loader = DataLoader(data, batch_size=8, num_workers=2, multiprocessing_context="fork")
    labels = torch.cat([labels for _, labels in loader])
    assert labels.tolist() == as_arrays(path)[1].tolist()
    data.transform = None
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[5][0], data[5][0])


def test_dataset_refuses_other_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        HDF5Dataset(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("x")
    with pytest.raises(ValueError, match=r"text\.h5 is damaged, or not a data set that write_hdf5 wrote"):
        HDF5Dataset(tmp_path / "text.h5")


@pytest.fixture
def shards(tmp_path):
    return [
        write_hdf5(StripeGenerator(["a", "b", "c"]), tmp_path / f"{i}.h5", n, random_state=i)
        for i, n in enumerate((4, 7, 2))
    ]


def same(items, expected):
    assert [label for _, label in items] == [label for _, label in expected]
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(items, expected, strict=True))


def test_many_files_as_one(shards):
    parts = [HDF5Dataset(path) for path in shards]
    data = HDF5Dataset(shards)
    assert len(data) == 39
    same([data[i] for i in range(39)], list(ConcatDataset(parts)))
    assert data.targets.tolist() == [label for _, label in ConcatDataset(parts)]
    assert data.sample_weight is None


@pytest.mark.slow
def test_many_files_in_a_worker(shards):
    data = HDF5Dataset(shards)
    loader = DataLoader(data, batch_size=8, num_workers=1, multiprocessing_context="spawn")
    assert torch.cat([labels for _, labels in loader]).tolist() == data.targets.tolist()


def test_batches_are_read_as_single_items_are(shards):
    data = HDF5Dataset(shards)
    for indices in ([], [5], [3, 4, 5, 11, 12, 13], [38, 0, -1, 12, 12, 11, 0], range(39)):
        same(data.__getitems__(indices), [data[i] for i in indices])
    items = data.__getitems__([3, 3])
    items[0][0].zero_()
    assert items[1][0].any()  # drawn twice: each is a copy
    with pytest.raises(IndexError, match="index 39 is out of range"):
        data.__getitems__([0, 39])


def test_only_some_classes(shards):
    data, part = HDF5Dataset(shards), HDF5Dataset(shards, class_subset=["c", "a"])
    kept = [i for i, label in enumerate(data.targets) if label != 1]
    assert part.classes == ["a", "b", "c"]
    assert part.targets.tolist() == data.targets[kept].tolist()
    assert len(part.synthetic) == len(part) == 26
    same(part.__getitems__(range(26)), [data[i] for i in kept])
    same([part[-1]], [data[kept[-1]]])
    with pytest.raises(ValueError, match=r"among \['a', 'b', 'c'\], got \['d'\]"):
        HDF5Dataset(shards, class_subset=["d"])
    for labels in ("ab", 1):
        with pytest.raises(ValueError, match=f"`class_subset` must be a sequence of labels, got {labels!r}"):
            HDF5Dataset(shards, class_subset=labels)


def test_files_that_do_not_belong_together(shards, tmp_path):
    with pytest.raises(ValueError, match="must name at least one file"):
        HDF5Dataset([])
    with pytest.raises(FileNotFoundError):
        HDF5Dataset([*shards, tmp_path / "none.h5"])
    for name, other in {
        "classes": StripeGenerator(["a", "b", "d"]),
        "shape": StripeGenerator(["a", "b", "c"], (9, 9)),
    }.items():
        path = write_hdf5(other, tmp_path / name, 2)
        with pytest.raises(ValueError, match=rf"{name} must be like .*0\.h5: got uint8"):
            HDF5Dataset([*shards, path])
    shards[1].write_bytes(shards[1].read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"1\.h5 is damaged"):
        HDF5Dataset(shards)


@pytest.mark.parametrize("key", ["images", "labels", "synthetic", "weights", "classes"])
def test_a_changed_value_is_noticed(key, tmp_path):
    real = (np.zeros((2, 8, 8), np.uint8), ["b", "a"])
    path = write_hdf5(
        StripeGenerator(["a", "b"]), tmp_path / "x.h5", 2, real=real, sample_weight=lambda y, s: s + 1.0
    )
    with h5py.File(path, "r+") as file:
        values = file[key][:]
        values[1] = b"z" if key == "classes" else values[1] ^ 1 if key != "weights" else 7
        file[key][:] = values
    with pytest.raises(ValueError, match=f"damaged, .* `{key}` is not what was written"):
        as_arrays(path) if key != "weights" else HDF5Dataset(path)


def shorten(file, n):
    rows, about = file["images"][:n], dict(file["images"].attrs)
    del file["images"]
    file["images"] = rows
    file["images"].attrs.update(about)


def test_parts_that_do_not_fit_together(tmp_path):
    for change, message in (
        (lambda f: f.pop("images"), "holds none of"),
        (lambda f: f.pop("labels"), "labels"),
        (lambda f: (f.pop("labels"), f.update(labels=[0])), "checksum|different numbers"),
        (lambda f: (f.pop("images"), f.update(images=np.zeros((3, 8, 8)))), "attribute.*dtype"),
        (lambda f: shorten(f, 3), "different numbers"),
        (lambda f: f.create_dataset("weighs", data=[1.0]), r"it holds \['weighs'\]"),
    ):
        path = write_hdf5(StripeGenerator(["a", "b"]), tmp_path / "x.h5", 5, overwrite=True)
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(ValueError, match=message):
            HDF5Dataset(path)


def test_alike_images_compress_as_far_as_gzip_can(tmp_path):
    gan = FlatGenerator()
    write_hdf5(gan, tmp_path / "x.h5", 3000, compression="gzip", random_state=0)
    X, _ = as_arrays(tmp_path / "x.h5")
    assert X.shape == (6000, 64, 64, 3)
    assert write_hdf5(gan, tmp_path / "x.h5", 3000, compression="gzip", random_state=0, resume=True)


class FlatGenerator:
    """A generator whose images are all alike, and black."""

    classes_ = np.arange(2)

    def sample(self, labels, random_state=None):
        return np.zeros((len(labels), 64, 64, 3), np.uint8)
