"""What takes long to import is imported where it is needed: in new interpreters, told by `sys.modules`."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import ganaug
from ganaug.cli import main

# Those that take a twentieth of a second or more.
HEAVY = {"PIL", "albumentations", "filelock", "h5py", "imblearn", "joblib", "matplotlib", "torch._dynamo"}
HEAVY |= {
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "tensorboard",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
}
COMMAND = """
    from ganaug.cli import main
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        print("exit code", end.code)
"""


def run(code, *arguments, cwd=None):
    """Return the output of a new interpreter that runs `code`, and the heavy modules that it has then."""
    code = f"import sys\n{textwrap.dedent(code)}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, check=True, text=True, capture_output=True
    )
    *output, modules = done.stdout.splitlines()
    return "\n".join(output), HEAVY & set(modules.split()), done.stderr


def test_the_import_is_light():
    """`import ganaug` loads none of the libraries, and takes under 0.3 s over an empty interpreter."""
    assert run("import ganaug\ndir(ganaug)")[1] == set()

    def seconds(code):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds("import ganaug") - seconds("pass") < 0.3


@pytest.mark.parametrize("command", [None, *sorted(main.commands)])
def test_help_is_light(command):
    output, loaded, _ = run(COMMAND, *filter(None, [command]), "--help")
    assert output.startswith("Usage: ")
    assert output.endswith("exit code 0")
    assert not loaded


@pytest.mark.parametrize(
    "command",
    [
        ["fit", "none", "-o", "m"],
        ["fit", "d.npz", "-o", "d.npz"],
        ["generate", "none", "-o", "x.h5", "--per-class", "3"],
        ["generate", "d.npz", "-o", "x.h5", "--per-class", "3"],
        ["resample", "d.npz", "-o", "x.txt"],
        ["resample", "d.npz", "-o", "x.h5", "--model", "none"],
        ["report", "none", "d.npz"],
        ["report", "none", "none"],
        ["resample", "d.npz", "-o", "d.npz", "--overwrite"],
        ["resample", "none", "-o", "x.h5"],
        ["report", "m", "d.npz", "-o", "d.npz"],
        ["export", "none.h5", "--to", "new"],
        ["embed", "none", "-o", "x.h5"],
        ["generate", "none", "-o", "x.h5", "--balance", "d.npz"],
        ["fit", "d.npz", "-o", "m", "--batch-size", "1"],
        ["fit", "d.npz", "-o", "m", "--modality", "sound"],
        ["resample", "d.npz", "-o", "x.h5", "--strength", "-1"],
        ["demo", "-o", "none"],
    ],
)
def test_wrong_paths_and_numbers_are_found_before_anything_is_imported(command, tmp_path):
    np.savez(tmp_path / "d.npz", X=np.zeros((4, 8, 8), np.uint8), y=[0, 0, 1, 1])
    output, loaded, error = run(COMMAND, *command, cwd=tmp_path)
    assert output == "exit code 1"
    assert error.startswith("Error: ")
    assert not loaded
    assert [path.name for path in tmp_path.iterdir()] == ["d.npz"]


@pytest.mark.slow
def test_what_takes_longest_to_import_waits(fitted, tmp_path):
    """torchvision brings torch's compiler, and torchmetrics brings torchvision: seconds each."""
    transforms = {"AugmentedDataset", "Embedder", "GANAugment", "augmented_loader"}
    others = sorted({*ganaug.__all__} - transforms)
    late = {"albumentations", "tensorboard", "timm", "torchmetrics", "torchvision"}
    assert not run(f"from ganaug import {', '.join(others)}")[1] & late
    # Training needs optimizers, and with the first of them torch imports its compiler; sampling does not.
    fitted.save(tmp_path / "m")
    code = "from ganaug import ConditionalGAN\nConditionalGAN.load('m').sample([0, 1])"
    assert not run(code, cwd=tmp_path)[1] & {*late, "torch._dynamo"}
    # The processes of a DataLoader import it too.
    assert not run("from ganaug import HDF5Dataset")[1] & {*late, "sklearn", "pandas", "matplotlib"}


def test_star_import_and_pickles():
    names: dict = {}
    exec("from ganaug import *", names)
    assert names.keys() >= set(ganaug.__all__)
    gan = pickle.loads(pickle.dumps(names["ConditionalGAN"](steps=3)))
    assert gan.steps == 3 and isinstance(gan, ganaug.ConditionalGAN)
