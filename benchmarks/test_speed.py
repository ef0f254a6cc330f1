"""What must not be felt, as ratios within one run: ``pytest benchmarks/test_speed.py -s``."""

from __future__ import annotations

import itertools
import time
from statistics import median

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import ganaug.game
from ganaug import ConditionalGAN, QualityGate
from ganaug.images import ImageCodec
from ganaug.watch import Watch

ROUNDS, STEPS = 7, 20


def images(shape: tuple[int, ...], n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return noise; no network is faster or slower for what it sees."""
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % 10


def seconds_of_fit(X: np.ndarray, y: np.ndarray, steps: int) -> float:
    start = time.perf_counter()
    ConditionalGAN(steps=steps, random_state=0).fit(X, y)
    return time.perf_counter() - start


def seconds_per_step(X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of a step, without what a fit costs before and after its steps."""
    return (seconds_of_fit(X, y, STEPS + 1) - seconds_of_fit(X, y, 1)) / STEPS


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3)])
def test_a_training_step_is_its_passes(shape, monkeypatch):
    """Reading, shifting, the steps of Adam, running means and the watch: at most 0.15 on top."""
    X, y = images(shape)
    batch = ImageCodec.fit(X).encode(X[:128])
    whole, passes = [], []
    for _ in range(ROUNDS):
        whole.append(seconds_per_step(X, y))
        with monkeypatch.context() as patch:
            patch.setattr(ImageCodec, "augment", lambda self, rows, generator: rows)
            patch.setattr(ImageCodec, "encode", lambda self, rows: batch[: len(rows)])
            patch.setattr(ganaug.game, "take", lambda X, indices: indices)
            patch.setattr(ganaug.game.Game, "_average", lambda *_: None)
            patch.setattr(torch.optim.Adam, "step", lambda *_, **__: None)
            patch.setattr(Watch, "see", lambda *_: None)
            patch.setattr(Watch, "report", lambda _: ({}, None))
            passes.append(seconds_per_step(X, y))
    ratio = median(whole) / median(passes)
    print(f"\n{shape}: a step takes {1000 * median(whole):.0f} ms, {ratio:.3f} of its passes")
    assert ratio <= 1.15


class Trained:
    """Takes the time of a GAN, and gives rows as good as those of a trained one: real ones it has aside."""

    def __init__(self, gan: ConditionalGAN, X: np.ndarray, y: np.ndarray) -> None:
        self.gan, self.classes_ = gan, gan.classes_
        self.rows = {c: itertools.cycle(X[y == c]) for c in self.classes_.tolist()}

    def sample(self, labels: np.ndarray, random_state: int | None = None) -> np.ndarray:
        self.gan.sample(labels, random_state)
        return np.stack([next(self.rows[label]) for label in labels.tolist()])


def test_a_gate_costs_half_of_what_it_wraps() -> None:
    """`QualityGate.sample` against the sampling of the same rows without a gate."""
    digits = load_digits()
    X = np.kron(np.round(digits.images * 255 / 16), np.ones((3, 3))).astype(np.uint8)
    half = len(X) // 2
    gan = ConditionalGAN(steps=2, random_state=0).fit(X[:half], digits.target[:half])
    sampler = Trained(gan, X[half:], digits.target[half:])
    gate = QualityGate(sampler, random_state=0).fit(X[:half], digits.target[:half])
    labels = np.repeat(gan.classes_, 40)
    gated, bare = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        gate.sample(labels, random_state=0)
        gated.append(time.perf_counter() - start)
        proposed = [gate.report_[c]["proposed"] for c in gan.classes_]
        start = time.perf_counter()
        sampler.sample(np.repeat(gan.classes_, proposed))
        bare.append(time.perf_counter() - start)
    ratio = median(gated) / median(bare)
    print(
        f"\na gate takes {ratio:.2f} of the sampling it wraps, {sum(proposed) / len(labels):.2f} rows for one"
    )
    assert ratio <= 1.5
