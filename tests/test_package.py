from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import ganaug
from ganaug.parameters import AUTO_SMALL

ROOT = Path(__file__).parents[1]
PACKAGE = Path(ganaug.__file__).parent
# A room imports only from rooms in rows above its own.
ROWS = [
    ["kinds", "dependences", "space", "torch_state"],
    ["columns"],
    ["hdf5", "networks", "losses", "watch", "measures", "saved", "identity"],
    ["data", "images", "tables", "rows"],
    ["writing", "game", "pool"],
    ["training", "generator", "probe", "neighbours", "aside"],
    ["logs", "parameters", "sound"],
    ["gan"],
    ["gate", "recommend"],
    ["transform", "album", "resample", "report"],
    ["demo", "dataset", "export", "quality"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: level for level, row in enumerate(ROWS) for room in row}
SURFACE = [
    "ARCHITECTURES",
    "LOSSES",
    "PENALTIES",
    "AugmentedDataset",
    "ConditionalGAN",
    "GANAugment",
    "GANOverSampler",
    "HDF5Dataset",
    "QualityGate",
    "as_arrays",
    "quality_report",
    "recommend_counts",
    "write_hdf5",
]


def rooms_imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("ganaug."))


def test_layering():
    files = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    rooms = {path: path.relative_to(PACKAGE).with_suffix("").parts[0] for path in files}
    assert set(rooms.values()) == set(LEVEL)
    for path, room in rooms.items():
        for other in rooms_imported(path):
            assert other == room or LEVEL[other] < LEVEL[room], f"{path.name} imports {other}"


def test_the_readme_names_each_room():
    named = re.findall(r"`ganaug/(\w+)(?:\.py|/)`", (ROOT / "README.md").read_text().partition("## Files")[2])
    there = [path for path in PACKAGE.iterdir() if path.name[0] != "_" and path.suffix in ("", ".py")]
    assert sorted(named) == sorted(path.stem for path in there)


def test_surface():
    assert ganaug.__all__ == SURFACE
    for name in SURFACE:
        assert getattr(ganaug, name) is not None
    assert set(SURFACE) <= set(dir(ganaug))
    with pytest.raises(AttributeError, match="no attribute 'GAN'"):
        ganaug.GAN  # noqa: B018


def test_the_import_is_light():
    """`import ganaug` loads none of the libraries, and takes under 0.3 s over an empty interpreter."""
    code = "import sys, ganaug; print([m for m in sys.modules if m in {'torch', 'sklearn', 'numpy', 'h5py'}])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"

    def seconds(code):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds("import ganaug") - seconds("pass") < 0.3


def test_nothing_contacts_the_network(tmp_path):
    """Neither the import nor a pipeline from fit to file and transform."""
    code = """
        import socket, numpy as np

        def refuse(*arguments):
            raise SystemExit(f"contacts {arguments[1:]}")

        socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
        from ganaug import ConditionalGAN, GANAugment, QualityGate, write_hdf5
        X, y = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8), np.arange(20) % 2
        gan = ConditionalGAN(steps=1).fit(X, y)
        write_hdf5(gan, "x.h5", 3)
        GANAugment("x.h5")
        QualityGate(gan).fit(X, y)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=tmp_path)


@pytest.mark.filterwarnings("ignore:Class")  # two steps make few images that pass a gate
def test_readme_snippets(tmp_path, monkeypatch):
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert snippets
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(AUTO_SMALL, "steps", 2)
    monkeypatch.setattr("ganaug.gate.PROBE_STEPS", 5)
    names: dict = {}
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples(example):
    assert len(example.read_text().splitlines()) < 40
    run = subprocess.run(
        [sys.executable, example, "--steps", "2"], capture_output=True, text=True, check=False, timeout=600
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout
