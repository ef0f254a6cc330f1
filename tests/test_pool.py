"""Where the images of a pool lie, and what becomes of them when files and processes go."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import StripeGenerator
from torch.utils.data import DataLoader, Dataset

from ganaug import GANAugment, write_hdf5
from ganaug.adapters.pool import ImagePool, TemporaryMemory
from ganaug.io.hdf5 import checksum

BLACK = torch.zeros(1, 8, 8, dtype=torch.uint8)
LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")


def made(**options):
    return GANAugment(StripeGenerator([0, 1]), p=1.0, pool_size=4, **options)


def pool_files(folder):
    """Return what a pool has left in a folder, by any process."""
    return [path.name for path in folder.iterdir() if path.name.startswith("ganaug-pool-")]


class Replaced(Dataset):
    def __init__(self, augment):
        self.augment = augment

    def __len__(self):
        return 16

    def __getitem__(self, i):
        return self.augment(BLACK, 1)[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder for temporary files, of this process and of those that it starts."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def path(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 30, random_state=0)
    os.utime(path, (1, 1))  # what is written to it from now on has another time, however soon
    return path


KEPT = []


def take_from(queue, answers):
    augment = queue.get()
    KEPT.append(augment)  # to the end of the process, which runs no destructor then
    answers.put((int(augment(BLACK, 1)[0].min()), augment._gan is not None))


def test_a_process_that_got_a_transform_by_a_queue_leaves_no_file(folder):
    context = multiprocessing.get_context("fork")
    queue, answers = context.Queue(), context.Queue()
    child = context.Process(target=take_from, args=(queue, answers))
    child.start()
    queue.put(made())
    darkest, has_generator = answers.get(timeout=120)
    child.join()
    assert child.exitcode == 0
    assert darkest >= 250
    assert has_generator
    assert not pool_files(folder)


def hold(answers):
    augment = made()
    copied = copy.deepcopy(augment)
    answers.put(int(copied(BLACK, 1)[0].min()))
    signal.pause()


def test_a_killed_process_leaves_no_file(folder):
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=hold, args=(answers,))
    child.start()
    assert answers.get() >= 250
    child.kill()
    child.join()
    assert not pool_files(folder)


@LINUX
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_descriptors_are_closed_with_the_pool_and_the_workers(start, folder):
    def opened():
        gc.collect()
        targets = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
        return len([target for target in targets if target.startswith(str(folder))])

    augment = made()
    alone = opened()
    workers = DataLoader(
        Replaced(augment), num_workers=1, persistent_workers=True, multiprocessing_context=start
    )
    assert min(int(images.min()) for images in workers) >= 250
    copied = copy.deepcopy(augment)
    assert opened() >= 2 * alone > 0
    del augment, copied, workers
    assert opened() == 0


class Twice(Dataset):
    """Pickled, it holds two pickles of its transform."""

    def __init__(self, *augments):
        self.augments = augments

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.stack([augment(BLACK, 1)[0] for augment in self.augments])

    def __getstate__(self):
        return {"pickles": [pickle.dumps(augment) for augment in self.augments]}

    def __setstate__(self, state):
        self.augments = [pickle.loads(content) for content in state["pickles"]]


@pytest.mark.slow
def test_a_pool_may_come_to_a_worker_twice():
    augment = made()
    loader = DataLoader(
        Twice(augment, augment), num_workers=1, persistent_workers=True, multiprocessing_context="spawn"
    )
    assert min(int(images.min()) for images in loader) >= 250
    augment._pool.images.fill_(7)  # all of them map the same file
    assert {int(images.max()) for images in loader} == {7}


@pytest.mark.parametrize("where", ["here", "worker"])
@pytest.mark.parametrize("change", ["cut short", "copied over", "replaced"])
def test_a_file_that_changes_under_a_transform(where, change, path):
    """Before a byte is read: a mapping of what was cut off ends the process."""
    augment = GANAugment(path, p=1.0)
    loader = DataLoader(
        Replaced(augment),
        num_workers=1 if where == "worker" else 0,
        persistent_workers=where == "worker",
        multiprocessing_context="fork" if where == "worker" else None,
    )
    assert min(int(images.min()) for images in loader) >= 250
    if change == "cut short":
        os.truncate(path, path.stat().st_size - 1)
    elif change == "copied over":
        with path.open("r+b") as file:
            file.write(path.read_bytes())
    else:
        other = path.with_name("other")
        other.write_bytes(path.read_bytes())
        other.replace(path)
    words = {
        "cut short": r"changed from \d+ to \d+ bytes",
        "copied over": "written to",
        "replaced": "replaced",
    }
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"x\.h5 was {words[change]}.* while in use"):
            next(iter(loader))
    images, labels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])
    for use in (lambda: augment(images, labels), lambda: pickle.dumps(augment)):
        with pytest.raises(ValueError, match=rf"x\.h5 was {words[change]}"):
            use()


def started(pool, monkeypatch):
    """Return a pool as a worker gets it that is started with spawn."""

    class Starting:
        DupFd = staticmethod(lambda fd: Handed(os.dup(fd)))
        duplicate_for_child = staticmethod(lambda fd: fd)

    with monkeypatch.context() as patch:
        patch.setattr("ganaug.adapters.pool.get_spawning_popen", lambda: starting)
        patch.setattr("multiprocessing.context.get_spawning_popen", lambda: starting)
        starting = Starting()
        return pickle.loads(pickle.dumps(pool))


class Handed:
    def __init__(self, fd):
        self.fd = fd

    def detach(self):
        return self.fd


def test_a_file_of_the_user_in_a_worker_that_starts_late(path, monkeypatch):
    pool = ImagePool.from_file(path)
    assert started(pool, monkeypatch).take_one(1, 0.5).min() >= 250
    content = path.read_bytes()
    write_hdf5(StripeGenerator([0, 1]), path, 30, random_state=1, overwrite=True)
    with pytest.raises(ValueError, match=r"x\.h5 was replaced since the pool was made"):
        started(pool, monkeypatch).take_one(1, 0.5)
    path.write_bytes(content[:100])
    with pytest.raises(ValueError, match=r"x\.h5 is too short"):
        started(pool, monkeypatch).take_one(1, 0.5)
    path.unlink()
    assert pool.take_one(1, 0.5).min() >= 250  # this process has it open
    with pytest.raises(FileNotFoundError, match=r"x\.h5"):
        started(pool, monkeypatch).take_one(1, 0.5)


def test_a_relative_path_stays_that_of_the_folder_it_was_given_in(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    pool = ImagePool.from_file(Path("x.h5"))
    monkeypatch.chdir("/")
    assert pool.take_one(1, 0.5).min() >= 250
    assert started(pool, monkeypatch).take_one(1, 0.5).min() >= 250


@pytest.mark.parametrize("nameless", [True, False])
def test_workers_share_the_memory(nameless, folder, monkeypatch):
    monkeypatch.setattr("ganaug.adapters.pool.NAMELESS", nameless)
    pool = made()._pool
    other = started(pool, monkeypatch)
    pool.images.fill_(9)
    assert other.take_one(1, 0.5).unique().tolist() == [9]
    del other
    gc.collect()
    assert len(pool_files(folder)) == (0 if nameless else 1)  # it is not the worker's to delete
    assert pool.take_one(1, 0.5).unique().tolist() == [9]


def test_a_named_file_that_was_cut_short_is_no_pool(folder, monkeypatch):
    monkeypatch.setattr("ganaug.adapters.pool.NAMELESS", False)
    memory = TemporaryMemory(5000)
    (name,) = pool_files(folder)
    os.truncate(folder / name, 4999)
    with pytest.raises(OSError, match="must be of 5000 bytes, got 4999"):
        started(memory, monkeypatch)


def test_memory_goes_to_workers_only():
    with pytest.raises(TypeError, match="a process that is being started"):
        pickle.dumps(TemporaryMemory(8))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((60, 8, 8, 1, 1), np.uint8), r"must hold images of 2 or 3 dimensions, got \(8, 8, 1, 1\)"),
        (np.zeros((60, 8, 8), ">f4"), "which torch doesn't have"),
    ],
)
def test_images_that_no_pool_has(images, message, path):
    with h5py.File(path, "r+") as file:
        attributes = dict(file["images"].attrs)
        del file["images"]
        file["images"] = images
        written = {"checksum": checksum(images), "dtype": str(images.dtype)}
        for name, value in {**attributes, **written}.items():
            file["images"].attrs[name] = np.uint64(value) if name == "checksum" else value
    with pytest.raises(ValueError, match=rf"x\.h5 .*{message}"):
        ImagePool.from_file(path)
