from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from benchmarks import against, against_work
from benchmarks.tables.against import against_table


def test_both_versions_do_the_same_work_in_turns(tmp_path, monkeypatch):
    """In a checkout without history, as an archive is, there is no earlier commit."""
    seen = []

    def run(command, *, env, **options):
        seen.append((env["PYTHONPATH"], command[-1]))
        return subprocess.CompletedProcess(command, 0, stdout='{"seconds": 1, "memory": 8}\n')

    monkeypatch.setattr(against, "check_out", lambda commit, folder: None)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(against, "COMMANDS", ())
    output = tmp_path / "against.json"
    monkeypatch.setattr("sys.argv", ["against", "597fd2f", "--steps", "7", "--output", str(output)])
    against.main()
    result = json.loads(output.read_text())
    assert [(run["work"], run["data"]) for run in result["runs"][::3]] == [
        (work, data) for data, work, key in against.WORK if key in ("digits", "cancer")
    ]
    assert {steps for _, steps in seen} == {"7"}
    trees = [tree for tree, _ in seen]
    assert trees[1::2] == [str(against.ROOT)] * 9
    assert len(set(trees[::2])) == 1 and trees[0] != trees[1]


def test_some_of_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(against, "check_out", lambda commit, folder: None)
    monkeypatch.setattr(against, "work", lambda *arguments: {"seconds": 1, "memory": 8})
    monkeypatch.setattr(against, "command_seconds", lambda *arguments: 0.1)
    output = tmp_path / "against.json"
    command = ["against", "597fd2f", "--repeats", "1", "--output", str(output), "--only"]
    monkeypatch.setattr("sys.argv", [*command, "recommend_counts,ganaug --help"])
    against.main()
    runs = json.loads(output.read_text())["runs"]
    assert [run["work"] for run in runs] == ["recommend_counts", "ganaug --help"]
    monkeypatch.setattr("sys.argv", [*command, "fit_resample,ganaug --help,quality_report,fit"])
    against.main()
    runs = json.loads(output.read_text())["runs"]
    assert [run["work"] for run in runs] == ["fit", "fit", "recommend_counts", "ganaug --help"]
    monkeypatch.setattr("sys.argv", [*command, "fit", "--steps", "3"])
    with pytest.raises(SystemExit):
        against.main()
    assert "has results of other settings" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*command, "fit,sampel"])
    with pytest.raises(SystemExit):
        against.main()
    assert (
        "--only: ['sampel'] are unknown; there are ['fit', 'fit_resample', 'ganaug" in capsys.readouterr().err
    )


def test_the_table_has_medians_and_ratios():
    runs = [
        {
            "work": "fit",
            "data": "x",
            "before": {"seconds": a, "memory": 8},
            "now": {"seconds": b, "memory": 4},
        }
        for a, b in ((10, 5), (30, 6), (20, 90))
    ]
    runs.append({"work": "help", "data": "", "before": {"seconds": 8.0}, "now": {"seconds": 0.1}})
    table = against_table({"commit": "abc", "steps": None, "runs": runs}).splitlines()
    assert table[0] == "Commit abc and now; generators are trained for as many steps as by default."
    assert table[-2] == "| `fit` | x | 20 / 6 | 0.30 | 8 / 4 | 0.50 |"
    assert table[-1] == "| `help` |  | 8 / 0.1 | 0.01 |  |  |"


@pytest.mark.parametrize("work", list(against_work.WORK))
def test_the_work_is_done(work, tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    path = tmp_path / "d.npz"
    np.savez(path, X=rng.integers(0, 256, (60, 8, 8), np.uint8), y=np.repeat([0, 1, 2], [30, 20, 10]))
    monkeypatch.setattr("ganaug.selection.trials.N_BOOTSTRAP", 20)
    monkeypatch.setattr("sys.argv", ["against_work", work, str(path), "--steps", "1"])
    against_work.main()
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] > 0
    assert found["memory"] >= 0
