from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import collapse
from benchmarks.tables.collapse import collapse_table


def test_real_samples_are_of_all_modes():
    rng = np.random.default_rng(0)
    points, images = collapse.gaussians(rng), collapse.stacked_digits(rng)
    assert collapse.found_of_gaussians(points) == {"modes": 25, "good": pytest.approx(100, abs=0.1)}
    found = collapse.found_of_digits(images)
    assert found["modes"] > 980
    assert found["divergence"] == pytest.approx(0.05, abs=0.02)  # that of 10,000 draws of 1,000


def test_collapsed_samples_are_of_one():
    rng = np.random.default_rng(0)
    point = np.repeat(collapse.CENTRES[:1], 50, axis=0)
    assert collapse.found_of_gaussians(point) == {"modes": 1, "good": 100}
    assert collapse.found_of_gaussians(point + 0.5) == {"modes": 0, "good": 0}
    image = np.repeat(collapse.stacked_digits(rng)[:1], 50, axis=0)
    assert collapse.found_of_digits(image) == {"modes": 1, "divergence": pytest.approx(np.log(1000))}


def test_a_mode_with_few_samples_is_not_found():
    points = np.repeat(collapse.CENTRES[:2], [997, 3], axis=0)  # a tenth of its share would be 4
    assert collapse.found_of_gaussians(points)["modes"] == 1


def test_the_benchmark_runs_what_is_missing(tmp_path, monkeypatch, capsys):
    for options in collapse.DATA.values():
        monkeypatch.setitem(options, "steps", 2)
    monkeypatch.setattr(collapse, "N_SAMPLES", 40)
    monkeypatch.setattr(collapse, "N_STACKED", 40)
    path = tmp_path / "collapse.json"
    monkeypatch.setattr("sys.argv", ["collapse", "--seeds", "1", "--output", str(path)])
    collapse.main()
    n_runs = len(collapse.DATA) * len(collapse.ARMS)
    assert len(capsys.readouterr().out.splitlines()) == n_runs
    collapse.main()
    assert not capsys.readouterr().out
    result = json.loads(path.read_text())
    table = collapse_table(result).splitlines()
    assert table[0] == "Means over seeds: 1 of 25 Gaussians and 1 of stacked digits."
    assert [line.split(" | ")[0].strip("| ") for line in table[4:]] == list(collapse.ARMS)
