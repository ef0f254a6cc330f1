"""Files that are written whole or not at all, by one run at a time."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import stat
import threading

import pytest

from ganaug.io.disk import atomic_write, locked, preallocate, rename_new


def test_a_file_is_renamed_only_to_a_free_name(tmp_path):
    source, target = tmp_path / "new", tmp_path / "x"
    source.write_text("new")
    target.write_text("old")
    with pytest.raises(FileExistsError):
        rename_new(source, target)
    assert (source.read_text(), target.read_text()) == ("new", "old")
    target.unlink()
    rename_new(source, target)
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert target.read_text() == "new"


def test_a_link_to_nothing_is_no_free_name(tmp_path):
    source, target = tmp_path / "new", tmp_path / "x"
    source.write_text("new")
    target.symlink_to(tmp_path / "missing")
    with pytest.raises(FileExistsError):
        rename_new(source, target)
    assert target.is_symlink()


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    source, target = tmp_path / "new", tmp_path / "x"
    source.write_text("new")
    target.write_text("old")
    with pytest.raises(FileExistsError, match="x exists"):
        rename_new(source, target)
    assert target.read_text() == "old"
    target.unlink()
    rename_new(source, target)
    assert target.read_text() == "new"
    assert not source.exists()


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_what_is_written_is_durable_before_it_has_its_name(tmp_path, monkeypatch):
    events, fsync, path = [], os.fsync, tmp_path / "x"

    def spy(descriptor):
        events.append((os.path.samestat(os.fstat(descriptor), tmp_path.stat()), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", spy)
    with atomic_write(path) as partial:
        partial.write_text("new")
    assert events == [(False, False), (True, True)]  # the file, then its name in the folder
    events.clear()
    rename_new(path, tmp_path / "y")
    assert [of_folder for of_folder, _ in events] == [False, True]


def test_a_lock_keeps_threads_and_processes_away(tmp_path):
    path, found = tmp_path / "x", []

    def enter():
        try:
            with locked(path):
                found.append("in")
        except BlockingIOError as exc:
            found.append(str(exc))

    with locked(path):
        enter()
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert found == [f"{path} is in use by another run, which holds {tmp_path / '.x.lock'}."] * 2
    enter()
    assert found[2:] == ["in"]


def test_a_lock_ends_with_its_process(tmp_path):
    path, context = tmp_path / "x", multiprocessing.get_context("fork")
    inside = context.Event()

    def hold():
        with locked(path):
            inside.set()
            threading.Event().wait()

    child = context.Process(target=hold)
    child.start()
    assert inside.wait(30)
    with pytest.raises(BlockingIOError, match="in use"), locked(path):
        pass
    child.kill()
    child.join()
    with locked(path):
        assert [file.name for file in tmp_path.iterdir()] == [".x.lock"]


@pytest.mark.parametrize(("number", "refused"), [(errno.ENOSPC, True), (errno.EOPNOTSUPP, False)])
def test_space_is_set_aside_where_the_system_can(number, refused, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(number, "no")

    monkeypatch.setattr("os.posix_fallocate", fail, raising=False)
    with (tmp_path / "x").open("wb") as file:
        if not refused:
            preallocate(file.fileno(), 2**20, "x")
            return
        with pytest.raises(OSError, match=r"No room for x, which takes 1\.0 MiB: free some\."):
            preallocate(file.fileno(), 2**20, "x", ": free some")


def test_other_files_beside_one_that_is_written_stay(tmp_path):
    (tmp_path / "x.partial").write_text("mine")
    (tmp_path / ".x.new").symlink_to(tmp_path / "x.partial")  # left by nobody knows whom
    with atomic_write(tmp_path / "x") as partial:
        partial.write_text("new")
    assert (tmp_path / "x.partial").read_text() == "mine"
    assert (tmp_path / "x").read_text() == "new"


def test_a_file_system_that_cannot_sync_folders(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "x") as partial:
        partial.write_text("new")
    rename_new(tmp_path / "x", tmp_path / "y")
    assert (tmp_path / "y").read_text() == "new"


def test_all_users_of_a_folder_may_lock(tmp_path):
    before = os.umask(0o022)
    try:
        with locked(tmp_path / "x"):
            assert stat.S_IMODE((tmp_path / ".x.lock").stat().st_mode) == 0o666
    finally:
        os.umask(before)


def test_a_lock_that_cannot_be_is_named(tmp_path, monkeypatch):
    (tmp_path / ".x.lock").mkdir()
    with pytest.raises(OSError, match=r"x can't be locked") as caught, locked(tmp_path / "x"):
        pass
    assert ".x.lock" in str(caught.value)
    assert not isinstance(caught.value, BlockingIOError)


@pytest.mark.filterwarnings("ignore:flock not supported")  # as filelock 3.24 to 3.29 do
def test_no_file_stands_for_a_lock(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    for _ in range(2):
        with pytest.raises(OSError, match=r"x can't be locked") as caught, locked(tmp_path / "x"):
            pass
        assert not isinstance(caught.value, BlockingIOError)
