from __future__ import annotations

import errno
import json
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from conftest import StripeSampler, mixed_table

from ganaug import ConditionalGAN, HDF5Dataset, as_arrays, write_hdf5
from ganaug.adapters.pool import Pool
from ganaug.cli import main
from ganaug.io.records import Columns


def test_schema(tmp_path):
    path = write_hdf5(StripeSampler(["a", "b"], (8, 9, 3)), tmp_path / "x.h5", 20, random_state=7)
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


def test_bad_targets_and_seeds(tmp_path):
    with pytest.raises(FileExistsError, match="is a folder"):
        write_hdf5(StripeSampler([0, 1]), tmp_path, 2, overwrite=True)
    for seed in (-1, 2**70, "x"):
        with pytest.raises(ValueError, match="`random_state` must be"):
            write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 2, random_state=seed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("present", "block_size"), [([0, 1], 1), ([0, 0, 0, 1], 1), (range(2100), 1024)])
def test_no_block_is_empty(present, block_size, tmp_path):
    """Where most of many classes get nothing."""
    asked = []

    class Asked(StripeSampler):
        def sample(self, labels, random_state=None):
            asked.append(len(labels))
            return super().sample(labels, random_state)

    write_hdf5(Asked(np.arange(5000)), tmp_path / "x.h5", Counter(present), block_size=block_size)
    assert min(asked) > 0
    assert sum(asked) == len(present)


class Blocks(StripeSampler):
    """Stops the run after so many blocks."""

    def __init__(self, classes, blocks=None, error=KeyboardInterrupt):
        super().__init__(classes)
        self.left, self.error = blocks, error

    def sample(self, labels, random_state=None):
        if self.left == 0:
            raise self.error
        self.left = None if self.left is None else self.left - 1
        return super().sample(labels, random_state)


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """Return a function that starts a run of ten blocks and stops it."""
    monkeypatch.setattr("ganaug.io.writing.SYNC_SECONDS", 0)

    def start(blocks=4, error=KeyboardInterrupt, **options):
        sampler = Blocks([0, 1], blocks, error)
        with pytest.raises(error):
            write_hdf5(sampler, tmp_path / "x.h5", 50, block_size=10, **options)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["x.h5.journal", "x.h5.partial"]
        return tmp_path / "x.h5"

    return start


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"layout": "nchw"}])
def test_a_stopped_run_goes_on_to_the_same_file(options, stopped, tmp_path):
    real = (np.full((25, 8, 8), 7, np.uint8), [0, 1] * 12 + [0])
    options = {"real": real, "sample_weight": lambda y, synthetic: y + 0.5, "random_state": 3, **options}
    path = stopped(5, **options)
    again = Blocks([0, 1], 2)  # the last finished block once more, and one that is new
    before = json.loads(path.with_name("x.h5.journal").read_text())["blocks"]
    with pytest.raises(KeyboardInterrupt):
        write_hdf5(again, path, 50, block_size=10, resume=True, **options)
    assert json.loads(path.with_name("x.h5.journal").read_text())["blocks"] == before + 1
    write_hdf5(Blocks([0, 1]), path, 50, block_size=10, resume=True, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["x.h5"]
    whole = write_hdf5(Blocks([0, 1]), tmp_path / "whole.h5", 50, block_size=10, **options)
    assert path.read_bytes() == whole.read_bytes()
    assert len(as_arrays(path)[1]) == 125


def test_a_stopped_run_keeps_the_seed_that_nobody_gave(stopped):
    path = stopped()
    write_hdf5(Blocks([0, 1]), path, 50, block_size=10, resume=True)
    with h5py.File(path) as file:
        seed = int(file.attrs["seed"])
    whole = write_hdf5(Blocks([0, 1]), path.with_name("y"), 50, block_size=10, random_state=seed)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("how", ["little", "a quota"])
def test_no_room_is_found_out_before_anything_is_written(how, tmp_path, monkeypatch):
    if how == "little":
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20 + 10_000))
        message = "No room in .*: it takes 1.0 MiB, and 1.0 MiB are free"
    else:

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.posix_fallocate", full)
        message = r"No room for .*x\.h5\.partial, which takes 0.0 MiB"
    with pytest.raises(OSError, match=message):
        write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 100)
    assert list(tmp_path.iterdir()) == []


def test_a_second_file_takes_room_too(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**20 + 20_000))
    write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 100)
    with pytest.raises(OSError, match="No room in"):
        write_hdf5(StripeSampler([0, 1]), tmp_path / "y.h5", 100, compression="gzip")


def test_all_of_a_file_has_its_place_from_the_start(stopped):
    partial = stopped().with_name("x.h5.partial")
    assert partial.stat().st_blocks * 512 >= partial.stat().st_size


def test_what_a_stopped_run_left_is_not_lost(stopped):
    path = stopped(error=RuntimeError)
    with pytest.raises(FileExistsError, match="stopped after 40 rows: pass resume=True"):
        write_hdf5(Blocks([0, 1]), path, 50, block_size=10)
    write_hdf5(Blocks([0, 1]), path, 3, overwrite=True)
    assert len(HDF5Dataset(path)) == 6
    with pytest.raises(FileExistsError, match=r"x\.h5 exists: pass overwrite"):
        write_hdf5(Blocks([0, 1]), path, 3, resume=True)
    # With nothing to go on from, resume starts.
    assert write_hdf5(Blocks([0, 1]), path.with_name("new"), 3, resume=True).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": 51}, r"counts = \[50, 50\], not \[51, 51\]"),
        ({"random_state": 4}, "random_state = 3, not 4"),
        ({"layout": "nchw"}, "layout = nhwc, not nchw"),
        ({"real": (np.zeros((3, 8, 8), np.uint8), [0, 1, 0])}, "real = 2 rows .*, not 3 rows"),
        ({"real": (np.zeros((2, 8, 8), np.uint8), [1, 0])}, "real = 2 rows .*, not 2 rows"),
        ({"block_size": 11}, "block_size = 10, not 11"),
        ({"sampler": StripeSampler([0, 1, 2])}, r"counts = .50, 50., not .50, 50, 50."),
        ({"sampler": StripeSampler([0, 1], (8, 9))}, "`sampler` makes other rows now"),
    ],
)
def test_another_run_is_not_resumed(change, message, stopped):
    real = (np.zeros((2, 8, 8), np.uint8), [0, 1])
    path = stopped(random_state=3, real=real)
    before = path.with_name("x.h5.partial").read_bytes()
    run = {
        "sampler": Blocks([0, 1]),
        "counts": 50,
        "block_size": 10,
        "random_state": 3,
        "real": real,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        write_hdf5(path=path, resume=True, **run)
    assert path.with_name("x.h5.partial").read_bytes() == before
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"blocks": -1, "checksum": 0, "run": {}}', "\0"])
def test_a_damaged_journal(content, stopped):
    path = stopped()
    path.with_name("x.h5.journal").write_text(content)
    with pytest.raises(ValueError, match=r"x\.h5\.journal is damaged .*: delete it to start anew"):
        write_hdf5(Blocks([0, 1]), path, 50, block_size=10, resume=True)


def test_a_damaged_partial_file(stopped):
    path = stopped()
    path.with_name("x.h5.partial").write_text("x")
    with pytest.raises(ValueError, match=r"x\.h5\.partial is damaged: pass overwrite"):
        write_hdf5(Blocks([0, 1]), path, 50, block_size=10, resume=True)


def test_a_run_that_is_going_on_keeps_its_journal(stopped):
    path = stopped()
    journal = path.with_name("x.h5.journal")
    with h5py.File(path.with_name("x.h5.partial"), "r+") as other:
        assert other
        code = (
            "import sys; sys.path.insert(0, sys.argv[2]); from conftest import StripeSampler\n"
            "import ganaug; ganaug.write_hdf5(StripeSampler([0, 1]), sys.argv[1], 3, overwrite=True)"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, str(path), str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "is being written by another run" in run.stderr
    assert journal.exists()


def test_every_block_is_made_once(tmp_path):
    class Counted(StripeSampler):
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
    path = write_hdf5(StripeSampler(np.array([b"a", b"b"])), tmp_path / "x.h5", 2)
    assert HDF5Dataset(path).classes == ["a", "b"]


def test_weights_of_wrong_length(tmp_path):
    with pytest.raises(
        ValueError, match=r"`sample_weight` must return a weight for each of 6 rows, got shape"
    ):
        write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 3, sample_weight=lambda y, synthetic: [1.0])
    assert list(tmp_path.iterdir()) == []


def test_two_runs_at_once(tmp_path):
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "x.h5.partial")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(BlockingIOError, match="is being written by another run"):
            write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 3)
        other.communicate()
    assert (tmp_path / "x.h5.partial").exists()


def test_a_killed_run_goes_on_to_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.io.writing.SYNC_SECONDS", 0)

    class Slow(StripeSampler):
        def sample(self, labels, random_state=None):
            time.sleep(0.005)
            return super().sample(labels, random_state)

    def write(path):
        write_hdf5(Slow([0, 1]), path, 1500, block_size=10, random_state=0, resume=True)

    path, rng, kills = tmp_path / "x.h5", np.random.default_rng(0), 0
    while not path.exists():
        child = multiprocessing.get_context("fork").Process(target=write, args=(path,))
        child.start()
        child.join(rng.uniform(0, 1))
        kills += child.is_alive()
        child.kill()
        child.join()
        assert kills < 50
    assert kills > 1
    write(tmp_path / "whole.h5")
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
@pytest.mark.parametrize("shape", [(8, 8), (8, 9, 3)])
def test_layouts_and_compression(compression, shape, tmp_path):
    sampler, options = StripeSampler(["a", "b"], shape), {"random_state": 0, "compression": compression}
    files = {
        layout: write_hdf5(sampler, tmp_path / layout, 50, layout=layout, **options)
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
    assert len(list(tmp_path.iterdir())) == 2


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
        write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 2, **options)
    assert list(tmp_path.iterdir()) == []


def table_gan(n=200):
    X, y = mixed_table(n), np.repeat(["no", "yes"], [n * 4 // 5, n // 5])
    return ConditionalGAN(steps=3, width=8, random_state=0).fit(X, y), X, y


def test_a_table_is_written_and_read_back(tmp_path):
    gan, X, y = table_gan()
    path = write_hdf5(
        gan, tmp_path / "x.h5", {"yes": 300, "no": 5}, real=(X, y), random_state=0, block_size=100
    )
    rows, labels = found = as_arrays(path)
    assert rows.dtypes.equals(X.dtypes)
    assert list(rows.columns) == list(X.columns)
    assert rows[:200].equals(X)
    assert labels[:200].tolist() == y.tolist()
    assert (labels[200:] == "yes").sum() == 300
    assert found.synthetic.sum() == 305
    assert set(rows["city"].dropna()) <= set(X["city"].dropna())
    with pytest.raises(ValueError, match="holds a DataFrame: read it with as_arrays"):
        HDF5Dataset(path)
    with pytest.raises(ValueError, match="holds a table"):
        Pool.of_file(path)


class Dies:
    """A sampler that is killed in its third block, and what it would have given."""

    def __init__(self, sampler, blocks=3):
        self.sampler, self.left, self.classes_ = sampler, blocks, sampler.classes_

    def sample(self, labels, random_state=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.sampler.sample(labels, random_state)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_table_goes_on_where_it_stopped(compression, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.io.writing.SYNC_SECONDS", 0.0)
    gan, *_ = table_gan()
    arguments = {"random_state": 0, "block_size": 50, "compression": compression}
    whole = write_hdf5(gan, tmp_path / "whole.h5", 200, **arguments)
    with pytest.raises(KeyboardInterrupt):
        write_hdf5(Dies(gan), tmp_path / "x.h5", 200, **arguments)
    path = write_hdf5(Dies(gan, 99), tmp_path / "x.h5", 200, resume=True, **arguments)
    for ours, theirs in zip(as_arrays(path), as_arrays(whole), strict=True):
        assert ours.equals(theirs) if hasattr(ours, "equals") else np.array_equal(ours, theirs)


def test_an_array_of_numbers_is_a_data_set(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    gan = ConditionalGAN(steps=2, width=8).fit(X, np.arange(40) % 2)
    path = write_hdf5(gan, tmp_path / "x.h5", 30)
    row, label = HDF5Dataset(path)[0]
    assert (row.dtype, tuple(row.shape), label in (0, 1)) == (torch.float32, (3,), True)
    assert as_arrays(path)[0].shape == (60, 3)


def test_strings_that_need_too_much_room_and_rows_of_objects(tmp_path, monkeypatch):
    gan, X, y = table_gan()
    columns = Columns.of(X)
    columns.pack(X)
    monkeypatch.setattr("ganaug.io.writing.ROOM", 200 - 2 * len(columns.to_bytes()))
    with pytest.raises(ValueError, match="more than the .* set aside"):
        write_hdf5(gan, tmp_path / "x.h5", 50)
    monkeypatch.setattr("ganaug.io.writing._note_columns", None)  # at the first block, not at the end
    with pytest.raises(ValueError, match="more than the .* set aside"):
        write_hdf5(gan, tmp_path / "x.h5", 50)
    with pytest.raises(ValueError, match="dtype object"):
        write_hdf5(ConditionalGAN(steps=2).fit(X.astype(object).to_numpy(), y), tmp_path / "x.h5", 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["columns", "rows"])
def test_a_table_whose_parts_are_called_otherwise_is_damaged(name, tmp_path):
    gan, *_ = table_gan()
    path = write_hdf5(gan, tmp_path / "x.h5", 5)
    with h5py.File(path, "r+") as file:
        file.move(name, "else")
    with pytest.raises(ValueError, match="is damaged"):
        as_arrays(path)


def test_bytes_of_another_type_are_damage(tmp_path):
    path = write_hdf5(StripeSampler([0, 1]), tmp_path / "x.h5", 5)
    with h5py.File(path, "r+") as file:
        images, sums = file["images"][:].view(np.int8), dict(file["images"].attrs)
        del file["images"]
        file["images"] = images
        file["images"].attrs.update(sums)
    with pytest.raises(ValueError, match="is of int8, and was written as uint8"):
        as_arrays(path)


@pytest.mark.parametrize("change", [lambda X: X[X.columns[::-1]], lambda X: X.astype({"age": float})])
def test_real_rows_of_other_columns_than_the_synthetic_ones_are_refused(change, tmp_path):
    gan, X, y = table_gan()
    with pytest.raises(ValueError, match="All rows of a file must have the columns"):
        write_hdf5(gan, tmp_path / "x.h5", 5, real=(change(X), y))
    assert list(tmp_path.iterdir()) == []


def test_an_array_of_strings_is_refused(tmp_path):
    X = np.random.default_rng(0).choice(["a", "b"], (40, 3))
    with pytest.raises(ValueError, match="dtype <U1, which have no place in a file"):
        write_hdf5(ConditionalGAN(steps=2).fit(X, np.arange(40) % 2), tmp_path / "x.h5", 5)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_bit_in_a_table_is_noticed(place, tmp_path):
    gan, *_ = table_gan()
    path = write_hdf5(gan, tmp_path / "x.h5", 200, random_state=0)
    with h5py.File(path) as file:
        start = file["rows"].id.get_offset()
        size = file["rows"].nbytes
    content = bytearray(path.read_bytes())
    content[start + int(place * size)] ^= 8
    path.write_bytes(content)
    with pytest.raises(ValueError, match="`rows` is not what was written"):
        as_arrays(path)


def test_objects_keep_their_types(tmp_path):
    values = [True, 1, 0, False, 1.0, "a", np.int64(7), None]
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object), "n": np.arange(8.0)})
    columns = Columns.of(frame)
    again = Columns.from_bytes(columns.to_bytes())
    rows = columns.pack(frame)
    found = Columns.from_bytes(columns.to_bytes()).unpack(rows)["x"].tolist()
    assert [(type(value), value) for value in found] == [
        (type(value), value) for value in [True, 1, 0, False, 1.0, "a", 7, None]
    ]
    assert again.pack(frame).tobytes() == rows.tobytes()


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_what_is_missing_among_objects_stays_what_it_was(missing):
    frame = pd.DataFrame({"x": pd.Series(["a", missing, "b"], dtype=object), "n": np.arange(3.0)})
    columns = Columns.of(frame)
    rows = columns.pack(frame)
    assert Columns.from_bytes(columns.to_bytes()).unpack(rows)["x"].tolist()[1] is missing


def test_a_frame_without_pandas_says_what_to_install(tmp_path, monkeypatch):
    path = write_hdf5(table_gan()[0], tmp_path / "x.h5", 2, random_state=0)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        as_arrays(path)
    result = CliRunner().invoke(
        main, ["resample", str(path), "-o", str(tmp_path / "y.h5"), "--random-state", "0"]
    )
    assert result.exit_code == 1
    assert "pip install pandas" in result.output


def test_a_very_wide_table(tmp_path):
    """HDF5 has no room for the names of so many fields."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 1300))).assign(
        kind=["a", "b"] * 10, gone=pd.array([1, None] * 10)
    )
    gan = ConditionalGAN(steps=1, random_state=0).fit(frame, np.arange(20) % 2)
    path = write_hdf5(
        gan, tmp_path / "x.h5", 15, real=(frame, np.arange(20) % 2), random_state=0, block_size=10
    )
    rows, labels = as_arrays(path)
    assert rows[:20].equals(frame)
    assert len(rows) == len(labels) == 50
    with pytest.raises(ValueError, match="holds a DataFrame: read it with as_arrays"):
        HDF5Dataset(path)


@pytest.mark.parametrize("kind", ["category", "object"])
def test_values_that_have_no_place_in_a_file(kind):
    values = pd.Series(pd.cut([1, 2, 3], 2)).astype(kind)
    with pytest.raises(
        ValueError, match="Column 'x' of `X` must hold strings, numbers or booleans .* got Int"
    ):
        Columns.of(pd.DataFrame({"x": values})).pack(pd.DataFrame({"x": values}))
