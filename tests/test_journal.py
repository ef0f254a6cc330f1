"""Runs that are stopped while they write, and resumed."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import StripeGenerator, mixed_table

from ganaug import HDF5Dataset, as_arrays, write_hdf5
from ganaug.io.journal import Journal, WriterState, read_journal


def visible(folder):
    """Return the names in a folder, but for those of locks."""
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))


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
    monkeypatch.setattr("ganaug.io.hdf5_writer.SYNC_SECONDS", 0)

    def start(blocks=4, error=KeyboardInterrupt, **options):
        gan = Blocks([0, 1], blocks, error)
        with pytest.raises(error):
            write_hdf5(gan, tmp_path / "x.h5", 50, block_size=10, **options)
        assert visible(tmp_path) == ["x.h5.journal", "x.h5.partial"]
        return tmp_path / "x.h5"

    return start


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"layout": "nchw"}])
def test_a_stopped_run_goes_on_to_the_same_file(options, stopped, tmp_path):
    real = (np.full((25, 8, 8), 7, np.uint8), [0, 1] * 12 + [0])
    options = {"real": real, "sample_weight": lambda y, synthetic: y + 0.5, "random_state": 3, **options}
    path = stopped(5, **options)
    again = Blocks([0, 1], 2)  # the last finished block once more, and one that is new
    before = read_journal(path).blocks
    with pytest.raises(KeyboardInterrupt):
        write_hdf5(again, path, 50, block_size=10, resume=True, **options)
    assert read_journal(path).blocks == before + 1
    write_hdf5(Blocks([0, 1]), path, 50, block_size=10, resume=True, **options)
    assert visible(tmp_path) == ["x.h5"]
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
        write_hdf5(Blocks([0, 1]), path, 4, resume=True)
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


STATE = {"run": {"random_state": 0}, "blocks": 4, "checksum": 0, "columns": None, "rows": 40}


def entry(state):
    text = json.dumps(state).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no whole entry"),
        (b"\0", "no whole entry"),
        (b"[]", "no whole entry"),
        (b"\xff\xfe", "no whole entry"),
        (entry(STATE).replace(b"40", b"41"), "no whole entry"),
        (b"{}", "it must hold"),
        (b"{", "Expecting"),
        (entry([]), "it must hold"),
        (entry({**STATE, "more": 1}), "it must hold"),
        (entry({**STATE, "blocks": -1}), "`blocks` must be an int from 0 to"),
        (entry({**STATE, "blocks": "4"}), "`blocks` must be an int"),
        (entry({**STATE, "blocks": True}), "`blocks` must be an int"),
        (entry({**STATE, "rows": 4.0}), "`rows` must be an int"),
        (entry({**STATE, "rows": None}), "`rows` must be an int"),
        (entry({**STATE, "checksum": 2**64}), "`checksum` must be an int"),
        (entry({**STATE, "run": []}), "`run` must be an object"),
        (entry({**STATE, "run": {"random_state": "x"}}), "`random_state` must be an int"),
        (entry({**STATE, "run": {}}), "`random_state` must be an int"),
        (entry({**STATE, "columns": 3}), "`columns` must describe columns"),
        (entry({**STATE, "columns": [{"name": "a", "dtype": 3, "field": "<i4", "mask": 0}]}), "`columns`"),
    ],
)
def test_a_damaged_journal(content, why, stopped):
    path = stopped()
    journal, partial = path.with_name("x.h5.journal"), path.with_name("x.h5.partial")
    journal.write_bytes(content if content.startswith(b"{") else content + bytes(len(content)))
    before = partial.read_bytes()
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(ValueError, match=rf"x\.h5\.journal is damaged \(.*{why}.*\): move it and"):
            write_hdf5(Blocks([0, 1]), path, 50, block_size=10, **options)
    assert partial.read_bytes() == before


def change_state(path, **change):
    journal = path.with_name("x.h5.journal")
    content = entry(vars(read_journal(path)) | change)
    journal.write_bytes(content + bytes(len(content)))


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": 10**6},
        {"rows": 39},
        {"columns": [{"name": "a", "dtype": "int64", "field": "no dtype", "mask": False}]},
        {"columns": [{"name": "a", "dtype": "str", "field": "<i4", "mask": False, "values": [[]]}]},
        {"columns": [{"name": "a", "dtype": "int64", "field": "<i8", "mask": False}]},
    ],
)
def test_a_journal_that_does_not_fit_its_run(change, stopped):
    path = stopped(random_state=0)
    change_state(path, **change)
    before = path.with_name("x.h5.partial").read_bytes()
    with pytest.raises(ValueError, match="is damaged"):
        write_hdf5(Blocks([0, 1]), path, 50, block_size=10, resume=True, random_state=0)
    assert path.with_name("x.h5.partial").read_bytes() == before


def test_a_journal_of_an_earlier_version(stopped, tmp_path):
    path = stopped(random_state=0)
    state = vars(read_journal(path))
    path.with_name("x.h5.journal").write_text(json.dumps(state))
    again = Blocks([0, 1], 7)  # the last one again, and six that are missing
    write_hdf5(again, path, 50, block_size=10, resume=True, random_state=0)
    whole = write_hdf5(Blocks([0, 1]), tmp_path / "whole.h5", 50, block_size=10, random_state=0)
    assert path.read_bytes() == whole.read_bytes()


def test_an_entry_that_was_half_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "x.h5"
    path.with_name("x.h5.partial").touch()
    journal = Journal(path.with_name("x.h5.journal"), WriterState({"random_state": 0}, 1, rows=9), 0)
    journal.write(WriterState({"random_state": 0}, 2, rows=18))
    assert read_journal(path).blocks == 2
    content = journal.path.read_bytes()
    journal.path.write_bytes(content.replace(b'"rows": 18', b'"rows": 99'))
    assert (read_journal(path).blocks, read_journal(path).rows) == (1, 9)


def test_a_journal_keeps_its_place(tmp_path):
    """So a disk that fills up later does no harm: no entry takes more space."""
    path = tmp_path / "x.h5.journal"
    columns = [{"name": "a", "dtype": "str", "field": "<i4", "mask": False, "values": []}]
    space = 2 * len(json.dumps(columns))
    journal = Journal(path, WriterState({"random_state": 0}), space)
    path.with_name("x.h5.partial").touch()
    before = path.stat()
    for blocks in range(1, 20):
        columns[0]["values"] = ["x" * 3] * blocks
        state = WriterState({"random_state": 0}, blocks, 2**64 - 1, columns, 2**62)
        fits = len(json.dumps(columns)) <= space
        journal.write(state)
        assert read_journal(tmp_path / "x.h5") == state
        if fits:
            assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    assert before.st_blocks * 512 >= before.st_size
    assert not fits
    path.unlink()  # it is there again at the next block
    journal.write(state)
    assert read_journal(tmp_path / "x.h5") == state


def test_a_damaged_partial_file(stopped):
    path = stopped()
    path.with_name("x.h5.partial").write_text("x")
    with pytest.raises(ValueError, match=r"x\.h5\.partial is damaged: pass overwrite"):
        write_hdf5(Blocks([0, 1]), path, 50, block_size=10, resume=True)


def test_a_partial_file_that_is_open_elsewhere_is_kept(stopped):
    """By a program that knows nothing of our lock, but of that of HDF5."""
    path, context = stopped(), multiprocessing.get_context("fork")
    before, said = visible(path.parent), context.SimpleQueue()

    def write():
        try:
            write_hdf5(StripeGenerator([0, 1]), path, 3, overwrite=True)
        except Exception as exc:
            said.put(str(exc))
        else:
            said.put("ok")

    with path.with_name("x.h5.partial").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as HDF5 does
        run = context.Process(target=write)
        run.start()
        assert "x.h5.partial is being written by another run" in said.get()
        run.join()
    assert visible(path.parent) == before


def test_two_runs_at_once(tmp_path):
    """The second one stops at once, whatever it was told, and the first ends as if nothing had been."""
    refused, path, gan = [], tmp_path / "x.h5", StripeGenerator([0, 1])

    def sample(labels, random_state=None):
        for options in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(BlockingIOError, match=r"x\.h5 is in use by another run"):
                write_hdf5(StripeGenerator([0, 1]), path, 3, **options)
            refused.append(options)
        return StripeGenerator.sample(gan, labels, random_state)

    gan.sample = sample
    write_hdf5(gan, path, 5, random_state=0)
    assert len(refused) == 3
    whole = write_hdf5(StripeGenerator([0, 1]), tmp_path / "whole.h5", 5, random_state=0)
    assert path.read_bytes() == whole.read_bytes()


def test_many_runs_at_once(tmp_path):
    """One is through, the others say why they aren't, and none says in vain that it is."""
    context = multiprocessing.get_context("fork")
    for attempt in range(10):
        path, together, said = tmp_path / f"x{attempt}.h5", context.Barrier(3), context.SimpleQueue()

        def write(seed, path=path, together=together, said=said):
            together.wait()
            try:
                write_hdf5(StripeGenerator([0, 1]), path, 20, random_state=seed)
            except (BlockingIOError, FileExistsError) as exc:
                said.put((seed, str(exc)))
            else:
                said.put((seed, "ok"))

        runs = [context.Process(target=write, args=(seed,)) for seed in range(3)]
        for run in runs:
            run.start()
        errors = dict(said.get() for _ in runs)
        for run in runs:
            run.join()
        (through,) = [seed for seed, error in errors.items() if error == "ok"]
        del errors[through]
        assert all("is in use by another run" in text or ".h5 exists" in text for text in errors.values())
        with h5py.File(path) as file:
            assert file.attrs["seed"] == through
    assert visible(tmp_path) == [f"x{attempt}.h5" for attempt in range(10)]


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize("name", ["x.h5.partial", "x.h5.partial.partial"])
@pytest.mark.parametrize("kind", ["file", "link", "link to nothing", "folder", "pipe"])
def test_a_partial_file_of_somebody_else(kind, name, options, tmp_path):
    mine, partial = tmp_path / "mine.txt", tmp_path / name
    mine.write_text("precious")
    if kind == "file":
        partial.write_text("precious")
    elif kind == "folder":
        partial.mkdir()
    elif kind == "pipe":
        os.mkfifo(partial)
    else:
        partial.symlink_to(mine if kind == "link" else tmp_path / "missing")
    before = visible(tmp_path), partial.lstat()
    with pytest.raises(FileExistsError, match=rf"{name} (is|was not left) .*: move it away"):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 3, **options)
    after = visible(tmp_path), partial.lstat()
    assert before[0] == after[0]
    assert (before[1].st_ino, before[1].st_size) == (after[1].st_ino, after[1].st_size)
    assert mine.read_text() == "precious"


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_journal_of_somebody_else(kind, options, tmp_path):
    mine, journal = tmp_path / "mine.txt", tmp_path / "x.h5.journal"
    mine.write_text("Dear diary")
    if kind == "folder":
        journal.mkdir()
    elif kind == "link":
        journal.symlink_to(mine)
    else:
        journal.write_text("Dear diary")
    error = (ValueError, "is damaged") if kind == "file" else (FileExistsError, "no run has left: move it")
    with pytest.raises(error[0], match=error[1]):
        write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 3, **options)
    assert journal.is_dir() if kind == "folder" else journal.read_text() == "Dear diary"
    assert visible(tmp_path) == ["mine.txt", "x.h5.journal"]


class Surprise(StripeGenerator):
    """While it samples, a file turns up."""

    def __init__(self, path, content):
        super().__init__([0, 1])
        self.path, self.content = path, content

    def sample(self, labels, random_state=None):
        self.path.write_bytes(self.content)
        return super().sample(labels, random_state)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize(("overwrite", "content"), [(False, b"\x89HDF\r\n\x1a\nmine"), (True, b"mine")])
def test_a_file_that_turns_up_is_kept_and_the_samples_too(compression, overwrite, content, tmp_path):
    path, options = tmp_path / "x.h5", {"random_state": 0, "compression": compression}
    with pytest.raises(FileExistsError, match=r"x\.h5 turned up .* stays in .*x\.h5\.partial"):
        write_hdf5(Surprise(path, content), path, 5, overwrite=overwrite, **options)
    assert path.read_bytes() == content
    assert visible(tmp_path) == ["x.h5", "x.h5.journal", "x.h5.partial"]
    path.unlink()
    write_hdf5(Blocks([0, 1], 1), path, 5, resume=True, **options)  # the last block again, and no other
    whole = write_hdf5(Surprise(tmp_path / "else", b""), tmp_path / "whole.h5", 5, **options)
    assert path.read_bytes() == whole.read_bytes()


def test_a_data_set_that_turns_up_is_replaced_if_asked(tmp_path):
    other = write_hdf5(StripeGenerator([0, 1]), tmp_path / "other.h5", 2).read_bytes()
    path = tmp_path / "x.h5"
    write_hdf5(Surprise(path, other), path, 5, overwrite=True)
    assert len(HDF5Dataset(path)) == 10


COMPLETE = {
    "counts": {0: 5, 1: 7},
    "random_state": 3,
    "compression": "gzip",
    "real": (np.full((3, 8, 8), 9, np.uint8), [0, 1, 1]),
    "sample_weight": lambda labels, synthetic: labels + 0.5,
}


@pytest.mark.parametrize("state", ["alone", "journal", "all"])
@pytest.mark.parametrize("change", [{}, {"random_state": None}, {"block_size": 4}])
def test_a_finished_file_is_already_complete(change, state, tmp_path, capsys):
    """Also where the run was killed just before it would have cleaned up."""
    path = tmp_path / "x.h5"
    with pytest.MonkeyPatch.context() as patch:
        if state != "alone":
            patch.setattr("ganaug.io.hdf5_writer.remove_left_over", lambda path: None)
        write_hdf5(StripeGenerator([0, 1]), path, **COMPLETE)
    if state == "journal":
        path.with_name("x.h5.partial").unlink()
    before = path.read_bytes()
    options = {**COMPLETE, **change, "resume": True}
    assert write_hdf5(Blocks([0, 1], 0), path, **options, verbose=True) == path
    assert "x.h5 is already complete." in capsys.readouterr().err
    assert path.read_bytes() == before
    kept = state == "all" and "block_size" in change  # what is left is of another run
    assert visible(tmp_path) == (["x.h5", "x.h5.journal", "x.h5.partial"] if kept else ["x.h5"])


@pytest.mark.parametrize(
    "change",
    [
        {"counts": {0: 5, 1: 8}},
        {"random_state": 4},
        {"compression": None},
        {"layout": "nchw"},
        {"real": None},
        {"real": (np.full((3, 8, 8), 9, np.uint8), [0, 1, 0])},
        {"real": (np.full((3, 8, 8), 8, np.uint8), [0, 1, 1])},
        {"sample_weight": None},
        {"gan": StripeGenerator([0, 1, 2])},
    ],
)
def test_a_file_of_another_run_is_not_complete(change, tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", **COMPLETE)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"x\.h5 exists: pass overwrite"):
        write_hdf5(**{"gan": StripeGenerator([0, 1]), **COMPLETE, **change}, path=path, resume=True)
    assert path.read_bytes() == before
    assert visible(tmp_path) == ["x.h5"]


def test_a_damaged_file_is_not_complete(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 20, random_state=0)
    with h5py.File(path, "r+") as file:
        file["images"][7, 3, 3] += 1
    with pytest.raises(FileExistsError, match=r"x\.h5 exists: pass overwrite"):
        write_hdf5(StripeGenerator([0, 1]), path, 20, random_state=0, resume=True)


def test_a_finished_table_is_already_complete(tmp_path):
    X, y = mixed_table(40), np.arange(40) % 2

    class Rows(StripeGenerator):
        def sample(self, labels, random_state=None):
            return X.iloc[np.random.default_rng(random_state).integers(0, 40, len(labels))]

    options = {"real": (X, y), "random_state": 0}
    path = write_hdf5(Rows([0, 1]), tmp_path / "x.h5", 30, **options)
    assert write_hdf5(Blocks([0, 1], 0), path, 30, **options, resume=True) == path
    options["real"] = (X[::-1], y)
    with pytest.raises(FileExistsError, match=r"x\.h5 exists"):
        write_hdf5(Rows([0, 1]), path, 30, **options, resume=True)


def test_a_run_that_got_nowhere_starts_anew(tmp_path):
    """Its journal counts no block, so what it left may be replaced unasked."""
    path = tmp_path / "x.h5"
    for resume in (False, True):
        Journal(path.with_name("x.h5.journal"), WriterState({"random_state": 5}), 0)
        path.with_name("x.h5.partial").write_bytes(b"half")
        write_hdf5(StripeGenerator([0, 1]), path, 5, random_state=0, resume=resume)
        assert visible(tmp_path) == ["x.h5"]
        path.unlink()


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_file_is_durable_before_it_has_its_name(compression, tmp_path, monkeypatch):
    """And the journal before the partial file is there."""
    events = []
    for module, name in ((os, "fsync"), (os, "link"), (h5py, "File")):
        monkeypatch.setattr(module, name, spy(events, name, getattr(module, name)))
    write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 5, compression=compression)
    done = "x.h5.partial" if compression is None else "x.h5.partial.partial"
    named = events.index(("link", done))
    assert ("fsync", done) in events[:named]
    assert events[named + 1] == ("fsync", tmp_path.name)
    opened = events.index(("File", "x.h5.partial"))
    assert events[:opened] == [("fsync", ".x.h5.journal.new"), ("fsync", tmp_path.name)]


def spy(events, name, function):
    def call(first, *arguments, **options):
        place = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else first
        events.append((name, Path(place).name))
        return function(first, *arguments, **options)

    return call


def test_a_killed_run_goes_on_to_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.io.hdf5_writer.SYNC_SECONDS", 0)

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
