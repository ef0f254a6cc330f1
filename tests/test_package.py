from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import ganaug
from ganaug import ARCHITECTURES, LOSSES, PENALTIES
from ganaug.cli import main as cli
from ganaug.model.parameters import (
    DEFAULTS,
    DEFAULTS_COLOUR,
    DEFAULTS_LOW_RES,
    DEFAULTS_SERIES,
    DEFAULTS_TABLE,
)

ROOT = Path(__file__).parents[1]
PACKAGE = Path(ganaug.__file__).parent
# A file may import from its own wing, and from those that stand before it here; so may the files beside.
WINGS = ["data", "networks", "io", "training", "model", "evaluation", "selection", "adapters"]
TOP = ["album_base", "album", "cli_errors", "cli_estimator", "cli_options", "cli_data", "demo"]
TOP += ["cli_resample", "cli_embed", "cli_restore", "cli", "__main__"]
MAX_FILE, MAX_FUNCTION = 350, 60  # lines; docstrings of functions are not counted
SURFACE = [
    "ARCHITECTURES",
    "LOSSES",
    "PENALTIES",
    "AugmentedDataset",
    "ConditionalGAN",
    "Embedder",
    "GANAugment",
    "GANImputer",
    "GANOverSampler",
    "HDF5Dataset",
    "QualityGate",
    "as_arrays",
    "augmented_loader",
    "quality_report",
    "recommend_counts",
    "write_hdf5",
]


def modules_imported(path):
    """Yield the modules of ganaug that a file imports, without the package's name; "" for others."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "ganaug":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield node.module.removeprefix("ganaug.") if node.module.startswith("ganaug.") else ""
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("ganaug.") for a in node.names if a.name.startswith("ganaug."))


def package_files():
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def test_layering():
    """No import climbs from a wing to one above it."""
    order = [*WINGS, *TOP]
    wings = {path: path.relative_to(PACKAGE).with_suffix("").parts[0] for path in package_files()}
    assert set(wings.values()) == set(order)
    for path, wing in wings.items():
        for module in filter(None, modules_imported(path)):
            other = module.partition(".")[0]
            assert order.index(other) <= order.index(wing), f"{path.relative_to(PACKAGE)} imports {module}"


@pytest.mark.parametrize("wing", WINGS)
def test_each_wing_says_what_it_may_import(wing):
    """In two sentences: what lives there, then the wings it may import, which are all below it."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / wing / "__init__.py").read_text()))
    what, may_import = docstring.split("\n\n")
    assert what.endswith(".")
    assert re.match(r"It may import [^.]+\.$", may_import)
    named = set(re.findall(r"`(\w+)`", may_import))
    assert named <= set(WINGS[: WINGS.index(wing)])
    modules = [module for path in (PACKAGE / wing).glob("*.py") for module in modules_imported(path)]
    assert {module.partition(".")[0] for module in modules if module} - {wing} == named


def test_no_import_of_private_names():
    """What another file needs is named without an underscore."""
    for path in package_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ganaug"):
                assert not [alias.name for alias in node.names if alias.name.startswith("_")], path


def function_lines(function):
    """Return the lines of a function, less its docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_nothing_outgrows_its_bounds():
    for path in [*package_files(), *(ROOT / "benchmarks").rglob("*.py")]:
        length = path.read_text().count("\n")
        assert length <= MAX_FILE, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert function_lines(node) <= MAX_FUNCTION, f"{path}: {node.name}"


def test_surface():
    assert ganaug.__all__ == SURFACE
    for name in SURFACE:
        assert getattr(ganaug, name) is not None
    assert set(SURFACE) <= set(dir(ganaug))
    with pytest.raises(AttributeError, match="no attribute 'GAN'"):
        ganaug.GAN  # noqa: B018


@pytest.mark.slow
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


# tests/test_ecosystem.py runs the blocks of these.
PAGES_ELSEWHERE = {"ecosystem.md", "medmnist.md", "huggingface.md"}
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}


@pytest.fixture
def few_steps(monkeypatch):
    """Generators and classifiers that are trained for a moment."""
    for defaults in (DEFAULTS_LOW_RES, DEFAULTS, DEFAULTS_COLOUR, DEFAULTS_TABLE, DEFAULTS_SERIES):
        monkeypatch.setitem(defaults, "steps", 2)
    monkeypatch.setattr("ganaug.adapters.pool.DEFAULT_PER_CLASS", 64)
    monkeypatch.setattr("ganaug.selection.folds.MAX_PER_CLASS", 100)
    monkeypatch.setattr("ganaug.selection.trials.N_BOOTSTRAP", 20)


@pytest.mark.filterwarnings("ignore:Class")  # two steps make few images that pass a gate
@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize(
    "page", [p for p, text in PAGES.items() if "```python" in text and Path(p).name not in PAGES_ELSEWHERE]
)
def test_snippets(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_photographs(tmp_path / "photographs", (96, 72))
    write_photographs(tmp_path / "scans", (80, 80))
    names: dict = {}
    for snippet in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        exec(compile(snippet, page, "exec"), names)


def commands(text):
    """Yield the commands of ganaug in the blocks of a page, without their comments."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language in ("", "bash", "console"):
            for line in block.splitlines():
                for command in line.partition("#")[0].split("&&"):
                    if command.split()[:1] == ["ganaug"]:
                        yield shlex.split(command)[1:]


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if any(commands(text))])
def test_commands_of_pages_are_commands(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DATA", "MODEL", "PHOTOGRAPHS", "balanced.h5"):
        (tmp_path / name).mkdir() if name.isupper() else (tmp_path / name).touch()
    for name, *arguments in commands(PAGES[page]):
        cli.commands[name].make_context(name, arguments)


def test_the_readme_names_flags_of_fit_for_each_name(tmp_path):
    """A value without a flag belongs to the flag before it."""
    table = PAGES["README.md"].partition("| name | flag |\n|---|---|\n")[2].partition("\n\n")[0]
    (tmp_path / "DATA").mkdir()
    flags = []
    for row in table.splitlines():
        for words in map(str.split, re.findall("`(.*?)`", row.split("|")[2])):
            flag = words if words[0].startswith("--") else [flags[-1][0], *words]
            flags.append(flag)
            cli.commands["fit"].make_context("fit", [str(tmp_path / "DATA"), "-o", "MODEL", *flag])
    named = {value for _, value, *_ in flags}
    own = {"auto", "none", "instance", "warping", "tinting", "tabular", "features", "time-warping"}
    assert named >= {*ARCHITECTURES, *LOSSES, *PENALTIES} - own


def write_photographs(folder, size):
    rng = np.random.default_rng(0)
    for label, photograph, n in zip(("glass", "metal"), load_sample_images().images, (12, 6), strict=True):
        (folder / label).mkdir(parents=True)
        for i in range(n):
            top, left = rng.integers(0, (150, 300))
            crop = Image.fromarray(photograph[top : top + 240, left : left + 320])
            crop.resize(size).save(folder / label / f"{i}.jpg")


def test_the_readme_is_short_and_soon_shows_code():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    assert len(readme.split()) <= 900
    assert len(readme[: readme.index("```")].split()) <= 40


@pytest.mark.filterwarnings("ignore:Class")
@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples(example, monkeypatch):
    """The build of the documentation runs them as they are."""
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    code = re.sub(r"steps=\d+", "steps=2", example.read_text())
    exec(compile(code, example.name, "exec"), {"__name__": "__main__"})
    plt.close("all")
    assert len(code.splitlines()) < 80
    assert shown


def test_the_architecture_page_names_each_file():
    page = (ROOT / "docs" / "architecture.md").read_text()
    for path in package_files():
        if path.parent.name != "networks" and path.stem not in ("__init__", "__main__"):
            assert re.search(rf"`{path.stem}`|[/ ]{path.stem}\b", page), path.relative_to(PACKAGE)


def test_each_promise_names_a_test_that_exists():
    lines = [line for line in (ROOT / "docs" / "promises.md").read_text().splitlines() if line[:2] == "| "]
    there = {
        name
        for path in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    promised = [line.split(" | ")[-1] for line in lines]
    assert set(re.findall(r"`(test_\w+)`", " ".join(promised))) <= there
    tables = len([line for line in lines if line.endswith("| test |")])
    without = [
        line for line in lines if "`test_" not in line.split(" | ")[-1] and not line.endswith("| test |")
    ]
    assert tables == 6
    assert [line.split(" | ")[0] for line in without] == ["| while PNG files are exported"]
