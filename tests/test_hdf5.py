from __future__ import annotations

import pickle
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from conftest import StripeSampler
from torch.utils.data import DataLoader

from ganaug import ConditionalGAN, HDF5Dataset, as_arrays, write_hdf5


def test_schema(tmp_path):
    path = write_hdf5(StripeSampler(["a", "b"], (8, 9, 3)), tmp_path / "x.h5", 20, random_state=7)
    with h5py.File(path) as file:
        assert sorted(file) == ["classes", "images", "labels", "synthetic"]
        assert file["synthetic"][:].all()
        assert file["images"].shape == (40, 8, 9, 3)
        assert file["images"].dtype == np.uint8
        assert file["images"].chunks == (16, 8, 9, 3)
        assert file["labels"].dtype == np.int64
        assert file["classes"].asstr()[:].tolist() == ["a", "b"]
        assert file.attrs["seed"] == 7
        assert file.attrs["ganaug"]


@pytest.mark.parametrize("classes", [[0, 1, 2], ["x", "y", "z"], [-4, 7, 90]])
def test_round_trip(classes, tmp_path):
    counts = dict(zip(classes, (5, 0, 3000), strict=True))
    path = write_hdf5(StripeSampler(classes), tmp_path / "x.h5", counts, random_state=0)
    X, y = as_arrays(path)
    values, n = np.unique(y, return_counts=True)
    assert dict(zip(values.tolist(), n.tolist(), strict=True)) == {classes[0]: 5, classes[2]: 3000}
    assert np.array_equal(X[:, 0, 0] > 200, y == classes[2])


def test_seeds(tmp_path):
    files = [
        as_arrays(write_hdf5(StripeSampler([0, 1]), tmp_path / f"{i}.h5", 800, random_state=seed))
        for i, seed in enumerate((3, 3, 4))
    ]
    assert np.array_equal(files[0][0], files[1][0])
    assert np.array_equal(files[0][1], files[1][1])
    assert not np.array_equal(files[0][0], files[2][0])


def test_classes_are_mixed_over_the_file(tmp_path):
    counts = {0: 6000, 1: 600, **dict.fromkeys(range(2, 8), 1)}
    path = write_hdf5(StripeSampler(range(8)), tmp_path / "x.h5", counts, random_state=0)
    y = as_arrays(path)[1]
    assert np.bincount(y).tolist() == [6000, 600, 1, 1, 1, 1, 1, 1]
    for part in np.array_split(y, 6):
        assert 0.07 < np.mean(part == 1) < 0.11
    rare = np.flatnonzero(y > 1)
    assert len(set(rare // 1200)) >= 4


@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3)])
def test_tensors_and_floats_are_stored_as_images(shape, tmp_path):
    class Floats(StripeSampler):
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
        StripeSampler(["a", "b"]),
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
        write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 3, real=(X, y))
    assert list(tmp_path.iterdir()) == []


def test_what_the_file_says_of_its_rows(tmp_path):
    real = (np.zeros((2, 8, 8), np.uint8), ["b", "a"])
    weigh = {"real": real, "sample_weight": lambda labels, synthetic: 1.0 + synthetic}
    data = HDF5Dataset(write_hdf5(StripeSampler(["a", "b"]), tmp_path / "x", 2, **weigh))
    assert data.targets[:2].tolist() == [1, 0]
    assert np.bincount(data.targets).tolist() == [3, 3]
    assert data.synthetic.tolist() == [False] * 2 + [True] * 4
    assert data.sample_weight.tolist() == [1.0] * 2 + [2.0] * 4
    arrays = as_arrays(tmp_path / "x")  # an HDF5 file whatever its name
    assert arrays.synthetic.tolist() == data.synthetic.tolist()
    assert HDF5Dataset(write_hdf5(StripeSampler([0, 1]), tmp_path / "y.h5", 2)).sample_weight is None


def test_as_recommended(tmp_path):
    advice = SimpleNamespace(to_add={0: 3, 1: 0})
    data = HDF5Dataset(write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", advice))
    assert data.targets.tolist() == [0, 0, 0]


def test_a_gan_that_is_not_fitted(tmp_path):
    with pytest.raises(ValueError, match="`sampler` must be a fitted ConditionalGAN"):
        write_hdf5(ConditionalGAN(), tmp_path / "x.h5", 3)


def test_a_failure_leaves_nothing(tmp_path):
    class Fails(StripeSampler):
        def sample(self, labels, random_state=None):
            if 1 not in labels:
                return super().sample(labels, random_state)
            raise RuntimeError("out of ideas")

    with pytest.raises(RuntimeError, match="out of ideas"):
        write_hdf5(Fails([0, 1]), tmp_path / "x.h5", {0: 5000, 1: 1})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "x.h5"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_hdf5(StripeSampler([0, 1]), path, 5)
    assert path.read_text() == "precious"
    write_hdf5(StripeSampler([0, 1]), path, 5, overwrite=True)
    assert len(HDF5Dataset(path)) == 10
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (-1, "ints from 0 up, got -1"),
        (0, "no rows at all"),
        ({0: 2.5}, "got 2.5 for class 0"),
        ({9: 2}, r"among \[0, 1\], got 9"),
    ],
)
def test_bad_counts(counts, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", counts)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        write_hdf5(StripeSampler([0, 1]), tmp_path / "no" / "x.h5", 2)


@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3)])
def test_dataset(shape, tmp_path):
    path = write_hdf5(StripeSampler(["a", "b"], shape), tmp_path / "x.h5", 10, random_state=0)
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
    path = write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 32, random_state=0)
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
    with pytest.raises(ValueError, match=r"text\.h5 is not a data set that write_hdf5 wrote"):
        HDF5Dataset(tmp_path / "text.h5")


def test_bad_targets_and_seeds(tmp_path):
    with pytest.raises(FileExistsError, match="is a folder"):
        write_hdf5(StripeSampler([0, 1]), tmp_path, 2, overwrite=True)
    for seed in (-1, 2**70, "x"):
        with pytest.raises(ValueError, match="`random_state` must be"):
            write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 2, random_state=seed)
    assert list(tmp_path.iterdir()) == []
