"""Training on images that stay in their file, and models that keep a part of what they were trained on."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from ganaug import ConditionalGAN, HDF5Dataset, as_arrays, write_hdf5
from ganaug.data.images import ImageCodec
from ganaug.io.arrays import as_samples
from ganaug.io.hdf5_rows import HDF5Rows
from ganaug.model.samples import prepare

LABELS = np.array(["a", "b", "c"] * 20)
RNG = np.random.default_rng(0)


class Real:
    """It has classes, and is never asked for samples."""

    classes_ = np.array(["a", "b", "c"])
    sample = None


def pixels(*shape):
    return RNG.integers(0, 256, (60, *shape), np.uint8)


def stored(path, X, y=LABELS, **options):
    return write_hdf5(Real(), path, 0, real=(X, y), **options)


def fit(*data, **options):
    return ConditionalGAN(steps=2, base_channels=8, random_state=0, **options).fit(*data)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 1), (16, 17, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_file_is_trained_on_as_its_arrays_are(dtype, shape, layout, tmp_path):
    X = pixels(*shape)
    path = stored(tmp_path / "x.h5", X if dtype == "uint8" else X.astype(dtype) / 255, layout=layout)
    assert fit(path).digest() == fit(*as_arrays(path)).digest()
    data = HDF5Dataset(path)
    assert fit(data).digest() == fit(*as_arrays(data)).digest()


@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 3)])
def test_rows_are_indexed_as_arrays_are(shape, layout, tensor, tmp_path):
    path = stored(tmp_path / "x.h5", pixels(*shape), layout=layout)
    data = HDF5Dataset(path, class_subset=["b", "c"])
    rows, X = HDF5Rows(data, tensor), as_arrays(data)[0]
    X = X if tensor else as_arrays(path)[0][LABELS != "a"]
    assert (rows.shape, rows.ndim, rows.dtype) == (tuple(X.shape), X.ndim, "uint8")
    for which in (
        slice(3, 9),
        slice(None),
        np.array([5, 0, 5]),
        torch.tensor([4, 2]),
        np.arange(40) % 3 == 0,
    ):
        expected = X[which] if isinstance(which, slice) else X[np.asarray(which)]
        for got in (rows[which], rows.subset(which)[:]):
            assert type(got) is type(expected)
            assert np.array_equal(got, expected)
    full = X[7].permute(1, 2, 0).numpy() if tensor else X[7].reshape(*X.shape[1:3], -1)
    assert np.array_equal(rows.pixels(7), full)
    assert np.array_equal(rows.stored()[:], X)
    assert np.array_equal(pickle.loads(pickle.dumps(rows)), X)
    assert rows.labels.tolist() == LABELS[LABELS != "a"].tolist()


def test_which_files_are_read_at_once(tmp_path):
    """Those whose images can't be read one by one, or not be saved without loss."""
    stays = stored(tmp_path / "stays.h5", pixels(9, 9))
    assert isinstance(as_samples(stays)[0], HDF5Rows)
    packed = stored(tmp_path / "packed.h5", pixels(9, 9), compression="gzip")
    table = stored(tmp_path / "table.h5", RNG.normal(size=(60, 4)))
    floats = stored(tmp_path / "floats.h5", pixels(70, 70) / np.float32(255))
    for path in (packed, table, floats):
        assert isinstance(as_samples(path)[0], np.ndarray)
        assert fit(path).digest() == fit(*as_arrays(path)).digest()
    changed = HDF5Dataset(stays, transform=lambda image: image // 2)
    assert isinstance(as_samples(changed)[0], torch.Tensor)


def test_shards_are_trained_on(tmp_path):
    X, kept = pixels(9, 9), {"random_state": 0, "block_size": 8}
    for index in range(3):
        stored(tmp_path / "x.h5", X, shard=(index, 3), **kept)
    whole = stored(tmp_path / "y.h5", X)
    assert fit(tmp_path / "x.h5").digest() == fit(whole).digest()
    assert fit(HDF5Dataset(sorted(tmp_path.glob("x-*.h5")))).digest() == fit(HDF5Dataset(whole)).digest()


def test_photographs_in_a_file(tmp_path):
    X = pixels(80, 72, 3)
    path = stored(tmp_path / "x.h5", X)
    gan, whole = fit(path), fit(X, LABELS)
    assert np.array_equal(gan.sample(LABELS[:9], 0), whole.sample(LABELS[:9], 0))
    gan.save(tmp_path / "m")
    assert np.array_equal(
        ConditionalGAN.load(tmp_path / "m").sample(LABELS[:9], 0), whole.sample(LABELS[:9], 0)
    )


def test_a_model_needs_its_file_no_more(tmp_path):
    path = stored(tmp_path / "x.h5", pixels(9, 9))
    gan = fit(path)
    expected = gan.sample(LABELS[:6], 0)
    path.write_bytes(b"something else")
    assert np.array_equal(gan.sample(LABELS[:6], 0), expected)


def test_a_file_that_changes_meanwhile(tmp_path):
    path = stored(tmp_path / "x.h5", pixels(9, 9))

    def change(step, metrics):
        path.write_bytes(path.read_bytes()[:-7])

    with pytest.raises(ValueError, match=r"x\.h5 was .* while in use: open it anew"):
        ConditionalGAN(steps=60, base_channels=8, random_state=0, callbacks=[change]).fit(path)


def test_a_damaged_file_is_not_trained_on(tmp_path):
    path = stored(tmp_path / "x.h5", pixels(9, 9))
    with h5py.File(path, "r+") as file:
        file["images"][30, 4, 4] ^= 1
    with pytest.raises(ValueError, match="not what was written"):
        fit(path)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((60, 9, 9), np.uint8), "must lie in 0 to 255, got none above 1"),
        (np.full((60, 9, 9), 2, np.float32), "got values up to 2: divide"),
        (np.full((60, 9, 9), -1, np.float32), r"got values from -1 to -1"),
        (np.full((60, 9, 9), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_values_in_a_file_are_checked(X, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit(stored(tmp_path / "x.h5", X))


def test_a_read_only_map_is_not_copied(tmp_path):
    X = pixels(9, 9)
    np.save(tmp_path / "x.npy", X)
    codec = ImageCodec.fit(X)
    for mode, copied in (("r", False), ("r+", True), ("c", True)):
        mapped = as_samples((np.load(tmp_path / "x.npy", mmap_mode=mode), LABELS))[0]
        assert np.shares_memory(prepare(mapped, codec, "full")[0], mapped) is not copied
    gan = fit(np.load(tmp_path / "x.npy", mmap_mode="r"), LABELS)
    assert gan.digest() == fit(X, LABELS).digest()
    assert not np.shares_memory(gan.members_[0].X, mapped)


def test_a_model_keeps_so_many_rows_of_a_class(tmp_path):
    X = pixels(9, 9)
    y = np.repeat(["a", "b", "c"], [30, 26, 4])
    gan = fit(X, y, max_rows_kept=10)
    member = gan.members_[0]
    assert member.class_index.counts.tolist() == [10, 10, 4]
    assert len(member.codes) == len(member.X) == 24
    # Of all that it was trained on, at random, each with its label.
    places = [next(i for i in range(60) if np.array_equal(X[i], row)) for row in member.X]
    assert len(set(places)) == 24
    assert max(places[:10]) - min(places[:10]) > 10
    assert np.array_equal(y[places], gan.classes_[member.labels])
    # The second architecture has the same, and no copy of its own.
    assert gan.members_[1].X is member.X
    assert gan.class_counts_.tolist() == [30, 26, 4]
    assert fit(X, y, max_rows_kept=10).digest() == gan.digest()
    assert fit(X, y, max_rows_kept=30).members_[0].X.shape == (60, 9, 9)
    gan.save(tmp_path / "m")
    again = ConditionalGAN.load(tmp_path / "m")
    assert (again.digest(), again.class_counts_.tolist()) == (gan.digest(), [30, 26, 4])
    assert np.array_equal(again.sample(["a", "c"], 0), gan.sample(["a", "c"], 0))


@pytest.mark.parametrize(
    ("X", "options"),
    [
        (RNG.normal(size=(60, 4)), {}),
        (torch.rand(60, 20), {}),
        (pixels(80, 72), {}),
        (pixels(80, 72), {"stored_images": "reduced"}),
        (pixels(9, 9), {"conditioning": "per-class"}),
        (pixels(9, 9), {"architecture": "dcgan"}),
    ],
)
def test_rows_of_any_kind_are_left_out(X, options, tmp_path):
    gan = fit(X, LABELS, max_rows_kept=7, **options)
    gan.save(tmp_path / "m")
    again = ConditionalGAN.load(tmp_path / "m")
    assert sum(len(member.labels) for member in again.members_) % 21 == 0
    assert again.class_counts_.tolist() == [20] * 3
    assert len(again.sample(LABELS)) == 60


def test_files_of_photographs_are_left_out(tmp_path):
    for i, image in enumerate(pixels(80, 72, 3)[:12]):
        path = tmp_path / "data" / LABELS[i] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    gan = fit(tmp_path / "data", max_rows_kept=2)
    assert len(gan.members_[0].rows) == 6
    assert gan.sample([0, 1]).shape == (2, 80, 72, 3)


@pytest.mark.parametrize("value", [1, 0, -3, 2.5, "auto", True])
def test_what_is_no_number_of_rows(value):
    with pytest.raises(
        ValueError, match=rf"`max_rows_kept` must be None or an int of at least 2, got {value!r}"
    ):
        fit(pixels(9, 9), LABELS, max_rows_kept=value)
