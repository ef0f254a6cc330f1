"""Runs that are stopped while they write, and resumed."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import StripeGenerator

from ganaug import HDF5Dataset, as_arrays, write_hdf5


class Blocks(StripeGenerator):
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
        gan = Blocks([0, 1], blocks, error)
        with pytest.raises(error):
            write_hdf5(gan, tmp_path / "x.h5", 50, block_size=10, **options)
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
        ({"gan": StripeGenerator([0, 1, 2])}, r"counts = .50, 50., not .50, 50, 50."),
        ({"gan": StripeGenerator([0, 1], (8, 9))}, "`gan` makes other samples now"),
    ],
)
def test_another_run_is_not_resumed(change, message, stopped):
    real = (np.zeros((2, 8, 8), np.uint8), [0, 1])
    path = stopped(random_state=3, real=real)
    before = path.with_name("x.h5.partial").read_bytes()
    run = {
        "gan": Blocks([0, 1]),
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
            "import sys; sys.path.insert(0, sys.argv[2]); from conftest import StripeGenerator\n"
            "import ganaug; ganaug.write_hdf5(StripeGenerator([0, 1]), sys.argv[1], 3, overwrite=True)"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, str(path), str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "is being written by another run" in run.stderr
    assert journal.exists()


def test_two_runs_at_once(tmp_path):
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "x.h5.partial")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(BlockingIOError, match="is being written by another run"):
            write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 3)
        other.communicate()
    assert (tmp_path / "x.h5.partial").exists()


def test_a_killed_run_goes_on_to_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.io.writing.SYNC_SECONDS", 0)

    class Slow(StripeGenerator):
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
