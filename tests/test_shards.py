"""A data set that several processes write, each a shard of it."""

from __future__ import annotations

import multiprocessing
import subprocess
import time

import h5py
import numpy as np
import pytest
from conftest import StripeGenerator, mixed_table, torchrun

from ganaug import ConditionalGAN, HDF5Dataset, as_arrays, write_hdf5
from ganaug.cli import main
from ganaug.io.export import export_images

REAL = (np.arange(30, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8), ["a"] * 20 + ["b"] * 10)
RUN = {
    "counts": {"a": 50, "b": 7},
    "real": REAL,
    "random_state": 3,
    "block_size": 8,
    # It depends on how many there are of a class in all, not in a shard.
    "sample_weight": lambda labels, synthetic: np.where(labels == "a", 1 / (labels == "a").sum(), 0.5),
}
GAN = StripeGenerator(["a", "b"])


def write_all(path, n_shards, order=None, gan=GAN, **options):
    indices = range(n_shards) if order is None else order
    return [write_hdf5(gan, path, shard=(i, n_shards), **{**RUN, **options}) for i in indices]


@pytest.mark.parametrize("options", [{}, {"layout": "nchw"}, {"compression": "gzip"}, {"real": None}])
@pytest.mark.parametrize("n_shards", [1, 3, 7])
def test_shards_hold_what_one_file_holds(n_shards, options, tmp_path):
    one = write_hdf5(GAN, tmp_path / "one.h5", **{**RUN, **options})
    path = tmp_path / "pets.h5"
    order = np.random.default_rng(0).permutation(n_shards).tolist()
    shards = write_all(path, n_shards, order, **options)
    assert sorted(shard.name for shard in shards) == [
        f"pets-{i:05d}-of-{n_shards:05d}.h5" for i in range(n_shards)
    ]
    # As the joined file is read by any program, by the data set, and whole.
    with h5py.File(one) as expected, h5py.File(path) as joined:
        for key in expected:
            assert np.array_equal(expected[key][:], joined[key][:]), key
        assert joined.attrs["seed"] == 3
    expected, joined = HDF5Dataset(one), HDF5Dataset(path)
    for name in ("targets", "synthetic", "sample_weight"):
        assert np.array_equal(getattr(expected, name), getattr(joined, name))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(expected, joined, strict=True))
    for got, wanted in zip(as_arrays(path), as_arrays(one), strict=True):
        assert np.array_equal(got, wanted)


def test_the_joined_file_comes_last_and_moves_with_its_shards(tmp_path):
    path = tmp_path / "pets.h5"
    write_all(path, 3, [2, 0])
    assert not path.exists()
    write_all(path, 3, [1])
    n = len(HDF5Dataset(path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in tmp_path.glob("pets*.h5"):
        file.rename(elsewhere / file.name)
    assert len(HDF5Dataset(elsewhere / "pets.h5")) == n
    assert len(as_arrays(elsewhere / "pets.h5")[1]) == n
    assert export_images(elsewhere / "pets.h5", tmp_path / "pngs") == n


def test_a_missing_or_replaced_shard(tmp_path, monkeypatch):
    path = tmp_path / "pets.h5"
    shards = write_all(path, 3)
    shards[1].rename(tmp_path / "away.h5")
    # HDF5 itself reads zeros there, or what has that name in the working directory, without a word.
    with h5py.File(path) as joined:
        assert not joined["images"][30:40].any()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    write_all(elsewhere / "pets.h5", 3, random_state=4)
    for read in (HDF5Dataset, as_arrays, lambda path: export_images(path, tmp_path / "pngs")):
        with pytest.raises(
            FileNotFoundError, match=r"joins 3 shards, of which 1 are missing, such as pets-0"
        ):
            read(path)
    write_hdf5(GAN, shards[1], 5, random_state=1)
    for read in (HDF5Dataset, as_arrays):
        with pytest.raises(ValueError, match=r"pets-00001-of-00003\.h5 was replaced since its shards were"):
            read(path)


@pytest.mark.parametrize("name", ["../x.h5", "/x.h5", "a\\x.h5", "..", ""])
def test_a_joined_file_names_nothing_elsewhere(name, tmp_path):
    path = tmp_path / "pets.h5"
    write_all(path, 2)
    with h5py.File(path, "r+") as file:
        del file["shards"]
        file["shards"] = np.array([name, "pets-00001-of-00002.h5"], dtype=object)
        from ganaug.io.hdf5 import text_checksum

        file["shards"].attrs["checksum"] = np.uint64(text_checksum(file["shards"].asstr()[:]))
    with pytest.raises(ValueError, match="which is no file beside it"):
        HDF5Dataset(path)


def test_damage_of_the_names_is_noticed(tmp_path):
    path = tmp_path / "pets.h5"
    write_all(path, 2)
    content = path.read_bytes()
    # HDF5's own mapping has the name, too.
    for place in [i for i in range(len(content)) if content.startswith(b"pets-00001-of-00002.h5", i)]:
        path.write_bytes(content[: place + 9] + b"7" + content[place + 10 :])
        try:
            assert len(HDF5Dataset(path)) == 87
        except (ValueError, OSError):
            continue


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shard": (3, 3)}, ValueError, r"`shard` must be \(index, number\).* got \(3, 3\)"),
        ({"shard": (-1, 3)}, ValueError, "index from 0"),
        ({"shard": (True, 3)}, ValueError, "index from 0"),
        ({"shard": "0/3"}, ValueError, "index from 0"),
        ({"shard": (0, 1, 2)}, ValueError, "index from 0"),
        ({"random_state": None}, ValueError, "`random_state` must be an int where `shard` is given"),
        ({"shard": (0, 300)}, ValueError, r"at most \d+, the number of blocks of 8 samples, got 300"),
        ({"block_size": 1024}, ValueError, "at most 2, the number of blocks of 1024 samples, got 3"),
    ],
)
def test_what_no_shard_can_be(change, error, message, tmp_path):
    with pytest.raises(error, match=message):
        write_hdf5(GAN, tmp_path / "pets.h5", **{**RUN, "shard": (0, 3), **change})
    assert not list(tmp_path.glob("pets*"))


def test_no_shards_of_a_dataframe(tmp_path):
    X = mixed_table(60)
    gan = ConditionalGAN(steps=1, random_state=0).fit(X, [0, 1] * 30)
    with pytest.raises(ValueError, match="`shard` must be None for a DataFrame"):
        write_hdf5(gan, tmp_path / "x.h5", 50, random_state=0, block_size=10, shard=(0, 2))
    assert not list(tmp_path.glob("x*"))


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "pets.h5"
    write_all(path, 2)
    joined = path.read_bytes()
    for options in ({}, {"random_state": 4, "resume": True}):
        with pytest.raises(FileExistsError, match=r"pets.*\.h5 exists: pass overwrite=True"):
            write_all(path, 2, **options)
    assert path.read_bytes() == joined
    # A process that is late meets the shards of the run before, which do not belong to its own.
    write_all(path, 2, [0], random_state=4, overwrite=True)
    with pytest.raises(ValueError, match="was replaced"):
        HDF5Dataset(path)
    write_all(path, 2, [1], random_state=4, overwrite=True)
    fresh = write_hdf5(GAN, tmp_path / "one.h5", **{**RUN, "random_state": 4})
    assert np.array_equal(as_arrays(path)[0], as_arrays(fresh)[0])


def test_another_file_in_the_place_of_the_joined_one(tmp_path):
    path = tmp_path / "pets.h5"
    write_all(path, 2, [0])
    other = write_hdf5(GAN, path, 5, random_state=9).read_bytes()
    with pytest.raises(FileExistsError, match="does not join these shards"):
        write_all(path, 2, [1], resume=True)
    assert path.read_bytes() == other
    write_all(path, 2, [1], overwrite=True)
    assert len(HDF5Dataset(path)) == 87


def test_a_finished_shard_is_already_complete(tmp_path, capsys):
    path = tmp_path / "pets.h5"
    shards = write_all(path, 2)
    before = [file.read_bytes() for file in (*shards, path)]
    write_all(path, 2, resume=True, verbose=True)
    assert capsys.readouterr().err.count("is already complete") == 2
    assert [file.read_bytes() for file in (*shards, path)] == before
    # One of other arguments is not: fewer samples, in other blocks, of another seed.
    for change in ({"counts": {"a": 49, "b": 7}}, {"block_size": 9}, {"random_state": 4}, {"real": None}):
        with pytest.raises(FileExistsError):
            write_all(path, 2, [1], resume=True, **change)


class SlowGenerator(StripeGenerator):
    """One that takes its time, so that it can be killed while it writes."""

    def sample(self, labels, random_state=None):
        time.sleep(0.01)
        return super().sample(labels, random_state)


def test_a_killed_process_resumes_its_shard(tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.io.hdf5_writer.SYNC_SECONDS", 0)
    path, gan = tmp_path / "pets.h5", SlowGenerator(["a", "b"])
    fork = multiprocessing.get_context("fork")
    for wait in (0.02, 0.05, 0.1):
        child = fork.Process(target=write_all, args=(path, 2, [1]), kwargs={"gan": gan, "resume": True})
        child.start()
        time.sleep(wait)
        child.kill()
        child.join()
    write_all(path, 2, gan=gan, resume=True)
    one = write_hdf5(GAN, tmp_path / "one.h5", **RUN)
    assert np.array_equal(as_arrays(path)[0], as_arrays(one)[0])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    rng = np.random.default_rng(0)
    gan = ConditionalGAN(steps=1, random_state=0)
    gan.fit(rng.integers(0, 256, (20, 8, 8), np.uint8), ["cat", "dog"] * 10).save(folder)
    return folder


@pytest.mark.slow
def test_torchrun_writes_shards(model, tmp_path):
    """Each process that torchrun starts writes its own."""
    options = ("-o", "pets.h5", "--per-class", "1100", "--random-state", "0")
    command = torchrun("generate", str(model), *options)
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=True)
    assert "Wrote shard 0/2 of 2200 images to pets-00000-of-00002.h5" in done.stdout
    assert "Wrote shard 1/2 of 2200 images to pets-00001-of-00002.h5" in done.stdout
    one = write_hdf5(ConditionalGAN.load(model), tmp_path / "one.h5", 1100, random_state=0)
    assert np.array_equal(as_arrays(tmp_path / "pets.h5")[0], as_arrays(one)[0])


def test_the_command_line_has_shards(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def generate(*options):
        with pytest.raises(SystemExit) as end:
            main(["generate", str(model), "-o", "pets.h5", "--per-class", "1100", *options])
        return end.value.code, capsys.readouterr()

    seed = ("--random-state", "0")
    assert "such as 0/4, got '2/2'" in generate("--shard", "2/2", *seed)[1].err
    assert "such as 0/4, got 'x'" in generate("--shard", "x", *seed)[1].err
    code, output = generate("--shard", "0/2")
    assert code == 2
    assert "Shards need one seed for all of them: pass --random-state N." in output.err
    code, output = generate("--shard", "0/9", *seed)
    assert code == 1
    assert output.err.startswith("Error: --shard must be one of at most 3")
    for shard in ("0/2", "1/2"):
        code, output = generate("--shard", shard, *seed)
        assert code == 0
        assert f"Wrote shard {shard} of 2200 images to pets-0000{shard[0]}-of-00002.h5." in output.out
    assert "pets.h5 joins all 2 shards" in output.err
    assert len(HDF5Dataset("pets.h5")) == 2200
    code, output = generate("--shard", "0/2", *seed)
    assert (code, output.err) == (1, "Error: pets.h5 exists: pass --overwrite to replace it.\n")
