"""Fixtures that several test files share."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganaug import ConditionalGAN
from ganaug.networks.layers import MAX_DISPLACEMENT

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # importing it would ask the package index
# The networks of the tests are small: threads would only wait for each other, and for other processes.
torch.set_num_threads(1)


class StripeGenerator:
    """A generator without a network: class k of n is a flat image of brightness k / (n - 1), plus noise."""

    def __init__(self, classes: Any, shape: tuple[int, ...] = (8, 8)) -> None:
        self.classes_ = np.asarray(classes)
        self.shape = shape

    def sample(self, labels: Any, random_state: Any = None) -> np.ndarray:
        index = np.searchsorted(self.classes_, np.asarray(labels))
        noise = np.random.default_rng(random_state).integers(0, 5, (len(index), *self.shape))
        level = index * 250 // max(1, len(self.classes_) - 1)
        return (level.reshape(-1, *[1] * len(self.shape)) + noise).astype(np.uint8)


def shifting(X: Any, y: Any, pixels: int = 2, **parameters: Any) -> ConditionalGAN:
    """Return a GAN of images (n, H, W) or (n, H, W, C) whose variations move to the right by some pixels."""
    gan = ConditionalGAN(steps=1, random_state=0, **parameters).fit(X, y)
    width = X.shape[2] if isinstance(X, np.ndarray) else X.shape[-1]
    for member in gan.members_:
        tints = hasattr(member.generator, "maps")
        layer = member.generator.maps if tints else member.generator.decode.convs[-1]
        for parameter in (*layer.parameters(), *(() if tints else member.generator.refine[-1].parameters())):
            torch.nn.init.zeros_(parameter)
        layer.bias[0] = float(np.arctanh(-2 * pixels / width / MAX_DISPLACEMENT))
        if not tints:
            layer.bias[2] = -50  # no new content
    return gan


def torchrun(*arguments: str, processes: int = 2) -> list[str]:
    """Return a command that has torchrun start ganaug, on a port that no other test has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    return [*start, "--master-port", str(port), "-m", "ganaug", *arguments]


def mixed_table(n: int = 200) -> Any:
    """A DataFrame of columns of every kind, some with missing values."""
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "income": rng.lognormal(10, 1, n),
            "age": rng.integers(18, 90, n),
            "small": rng.integers(0, 4, n).astype("int8"),
            "city": pd.Series(rng.choice(["Rome", "Oslo", "Bern"], n), dtype=object),
            "size": pd.Categorical(rng.choice(["S", "M"], n), categories=["S", "M", "L"], ordered=True),
            "code": pd.Categorical(rng.choice([10, 20], n)),
            "yes": rng.random(n) > 0.5,
            "maybe": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "text": pd.array(rng.choice(["a", "b"], n), dtype="string"),
            "sparse": pd.arrays.SparseArray(rng.integers(0, 3, n).astype(float)),
        }
    )
    table.loc[::4, "income"] = np.nan
    table.loc[::3, "city"] = None
    table.loc[::5, "maybe"] = pd.NA
    table.loc[::6, "size"] = np.nan
    return table


@pytest.fixture(autouse=True)
def short_classifiers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the classifiers that judge images for a few steps, but in tests of what they find.

    Those are marked `trained_classifiers`.
    """
    if request.node.get_closest_marker("trained_classifiers") is None:
        for module in ("evaluation.quality", "evaluation.two_sample", "selection.gate", "selection.trials"):
            monkeypatch.setattr(f"ganaug.{module}.CLASSIFIER_STEPS", 5)


@pytest.fixture(scope="session")
def stripes() -> tuple[np.ndarray, np.ndarray]:
    """60 uint8 images (8, 8) of three classes: vertical stripes, horizontal ones, a blob; 40, 15, 5."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [40, 15, 5])
    rows, columns = np.mgrid[:8, :8]
    images = []
    for label in y:
        phase, gain = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1)
        wave = [np.sin(columns * np.pi / 2 + phase), np.sin(rows * np.pi / 2 + phase)]
        blob = 2 * np.exp(-((rows - 4 + np.sin(phase)) ** 2 + (columns - 4 + np.cos(phase)) ** 2) / 6) - 1
        images.append(gain * [*wave, blob][label])
    return np.round((np.array(images) + 1) * 127.5).astype(np.uint8), y


@pytest.fixture(scope="session")
def fitted(stripes: tuple[np.ndarray, np.ndarray]) -> ConditionalGAN:
    """A GAN fitted on `stripes`; tests must not change it."""
    return ConditionalGAN(steps=20, random_state=0).fit(*stripes)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two class folders of three 10 x 12 PNGs each."""
    from PIL import Image

    for name, level in (("cat", 50), ("dog", 200)):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((10, 12, 3), level + i, np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "pets"
