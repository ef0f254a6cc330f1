"""benchmarks.scale: that it compares what it says, and notices a difference."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import StripeGenerator
from PIL import Image

from benchmarks import scale, scale_work
from ganaug import write_hdf5


def test_killed_shards_are_compared(monkeypatch):
    found = scale.measure_kills(quick=True)
    assert found["kills"] == 3
    assert found["data sets that were equal"] >= 1
    monkeypatch.setattr(scale, "same", lambda one, other: False)
    with pytest.raises(SystemExit, match="holds other samples"):
        scale.measure_kills(quick=True)


def test_data_sets_are_compared_sample_by_sample(tmp_path):
    gan = StripeGenerator([0, 1])
    one, again, other, more = (
        write_hdf5(gan, tmp_path / f"{i}.h5", n, random_state=seed)
        for i, (seed, n) in enumerate(((0, 3000), (0, 3000), (1, 3000), (0, 3001)))
    )
    assert scale.same(one, again)
    assert not scale.same(one, other)
    assert not scale.same(one, more)


def test_steps_and_memory_are_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scale_work, "N_IMAGES", 40)
    monkeypatch.setattr("ganaug.training.loop.LOG_INTERVAL", scale_work.LOG_INTERVAL)
    assert scale_work.images(9, 1)[0].shape == (40, 9, 9)
    found = scale_work.train(9, 3, 11, 8)
    assert found["seconds"] > 0
    assert found["calls"] == found["bytes"] == 0
    X = np.zeros((1, 9, 9), np.uint8) + np.arange(60, dtype=np.uint8)[:, None, None]

    class Real:
        classes_, sample = np.arange(2), None

    path = write_hdf5(Real(), tmp_path / "x.h5", 0, real=(X, np.arange(60) % 2))
    monkeypatch.setattr("sys.argv", ["scale_work", "disk", str(path), "11", "disk"])
    scale_work.main()
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"seconds", "seconds in all", "peak MiB", "MiB that are no part of the file"}


@pytest.mark.parametrize("where", ["folder", "memory"])
def test_steps_on_files_of_a_folder_are_measured(where, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ganaug.training.loop.LOG_INTERVAL", scale_work.LOG_INTERVAL)
    for i in range(20):
        (tmp_path / str(i % 2)).mkdir(exist_ok=True)
        Image.new("L", (9, 9), i).save(tmp_path / str(i % 2) / f"{i}.png")
    monkeypatch.setattr("sys.argv", ["scale_work", "folder", str(tmp_path), "11", where])
    scale_work.main()
    found = json.loads(capsys.readouterr().out)
    assert found["seconds in all"] > found["seconds"] > 0
