"""Bounds on the cost of what the package adds, as ratios within one run.

pytest benchmarks/test_speed.py -s
"""

from __future__ import annotations

import gc
import itertools
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from ganaug import ConditionalGAN, GANAugment, HDF5Dataset, QualityGate, write_hdf5
from ganaug.adapters.pool import ImagePool
from ganaug.data.images import ImageCodec
from ganaug.training.monitor import TrainingMonitor
from ganaug.training.trainer import GANTrainer

ROUNDS, STEPS, EPOCHS = 7, 20, 9
# Workers are started so often because each start is up to a tenth faster or slower than another.
WORKER_STARTS = 5


def images(shape: tuple[int, ...], n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return random images and labels; the speed of a network does not depend on what it sees."""
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % 10


def seconds_of_fit(X: np.ndarray, y: np.ndarray, steps: int) -> float:
    start = time.perf_counter()
    ConditionalGAN(steps=steps, random_state=0).fit(X, y)
    return time.perf_counter() - start


def seconds_per_step(X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of a step, without the cost of a fit before and after its steps."""
    return (seconds_of_fit(X, y, STEPS + 1) - seconds_of_fit(X, y, 1)) / STEPS


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3)])
def test_a_training_step_is_its_passes(shape, monkeypatch):
    """Reading, shifting, the steps of Adam, the EMA and the monitor cost 0.15 of the passes at most."""
    X, y = images(shape)
    batch = ImageCodec.fit(X).encode(X[:128])
    whole, passes = [], []
    for _ in range(ROUNDS):
        whole.append(seconds_per_step(X, y))
        with monkeypatch.context() as patch:
            patch.setattr(ImageCodec, "augment", lambda self, images, rng: images)
            patch.setattr(ImageCodec, "encode", lambda self, X: batch[: len(X)])
            patch.setattr("ganaug.training.trainer.take", lambda X, indices: indices)
            patch.setattr(GANTrainer, "_update_ema", lambda *_: None)
            patch.setattr(torch.optim.Adam, "step", lambda *_, **__: None)
            patch.setattr(TrainingMonitor, "update", lambda *_: None)
            patch.setattr(TrainingMonitor, "compute", lambda _: ({}, None))
            passes.append(seconds_per_step(X, y))
    ratio = median(whole) / median(passes)
    print(f"\n{shape}: a step takes {1000 * median(whole):.0f} ms, {ratio:.3f} of its passes")
    assert ratio <= 1.15


class SlowReplay:
    """Takes the time of a GAN and returns real images, which pass a gate as those of a trained GAN do."""

    def __init__(self, gan: ConditionalGAN, X: np.ndarray, y: np.ndarray) -> None:
        self.gan, self.classes_ = gan, gan.classes_
        self.images = {c: itertools.cycle(X[y == c]) for c in self.classes_.tolist()}

    def sample(self, labels: np.ndarray, random_state: int | None = None) -> np.ndarray:
        self.gan.sample(labels, random_state)
        return np.stack([next(self.images[label]) for label in labels.tolist()])


def test_a_gate_costs_half_of_what_it_wraps() -> None:
    """`QualityGate.sample` against sampling the same images without a gate."""
    digits = load_digits()
    X = np.kron(np.round(digits.images * 255 / 16), np.ones((3, 3))).astype(np.uint8)
    half = len(X) // 2
    gan = ConditionalGAN(steps=2, random_state=0).fit(X[:half], digits.target[:half])
    generator = SlowReplay(gan, X[half:], digits.target[half:])
    gate = QualityGate(generator, random_state=0).fit(X[:half], digits.target[:half])
    labels = np.repeat(gan.classes_, 40)
    gated, bare = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        gate.sample(labels, random_state=0)
        gated.append(time.perf_counter() - start)
        proposed = [gate.report_[c]["proposed"] for c in gan.classes_]
        start = time.perf_counter()
        generator.sample(np.repeat(gan.classes_, proposed))
        bare.append(time.perf_counter() - start)
    ratio = median(gated) / median(bare)
    per_image = sum(proposed) / len(labels)
    print(f"\na gate takes {ratio:.2f} of the sampling it wraps, {per_image:.2f} proposals an image")
    assert ratio <= 1.5


class FreeGenerator:
    """A generator whose images are there already."""

    def __init__(self, n: int, shape: tuple[int, ...] = (32, 32, 3)) -> None:
        self.images, self.classes_ = images(shape, n)[0], np.arange(10)

    def sample(self, labels: np.ndarray, random_state: int | None = None) -> np.ndarray:
        return self.images[: len(labels)]


def test_writing_is_writing(tmp_path: Path) -> None:
    """`write_hdf5` against a loop that writes the same bytes with h5py; both until the disk has them."""
    # 630 MB, so that opening the file and creating its datasets hardly counts.
    generator, n, size = FreeGenerator(1024), 200 * 1024, 1024

    def ours() -> None:
        write_hdf5(generator, tmp_path / "ours.h5", n // 10)

    def raw() -> None:
        with h5py.File(tmp_path / "raw.h5", "w") as file:
            data = file.create_dataset("images", (n, 32, 32, 3), np.uint8)
            for row in range(0, n, size):
                data[row : row + size] = generator.images
            file.flush()
            os.fsync(file.id.get_vfd_handle())

    seconds: dict[Any, list[float]] = {ours: [], raw: []}
    for number in range(3 * ROUNDS):  # many and in turns, as the speed of a disk changes by the second
        for write in (ours, raw) if number % 2 else (raw, ours):
            start = time.perf_counter()
            write()
            seconds[write].append(time.perf_counter() - start)
            for path in tmp_path.iterdir():
                path.unlink()
    took = median(seconds[ours])
    ratio = median(seconds[raw]) / took
    print(f"\nwrite_hdf5 writes {n * 3072 / 1e6 / took:.0f} MB/s, {ratio:.2f} of what h5py does")
    assert ratio >= 0.9


def test_generating_is_the_passes_of_the_generator(tmp_path: Path) -> None:
    """`write_hdf5` of a GAN against its generator's forward passes alone, in the same blocks."""
    X, y = images((28, 28), 200)
    gan = ConditionalGAN(steps=1, random_state=0).fit(X, y)
    network, n, inputs = gan.members_[0].generator, 4096, []
    handle = network.register_forward_pre_hook(lambda _, block: inputs.append(block))
    write_hdf5(gan, tmp_path / "x.h5", n // 10)
    handle.remove()
    whole, passes = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        write_hdf5(gan, tmp_path / "x.h5", n // 10, overwrite=True)
        whole.append(time.perf_counter() - start)
        start = time.perf_counter()
        with torch.no_grad():
            for block in inputs:
                network(*block)
        passes.append(time.perf_counter() - start)
    ratio = median(passes) / median(whole)
    print(f"\ngenerating and writing {n / median(whole):.0f} images/s, {ratio:.2f} of the bare generator")
    assert ratio >= 0.9


def test_reading_is_reading(tmp_path: Path) -> None:
    """`HDF5Dataset` in random order against a loop over h5py that returns the same, item by item."""
    path = write_hdf5(FreeGenerator(1024), tmp_path / "x.h5", 2048, random_state=0)
    data = HDF5Dataset(path)
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    items, batches, raw = [], [], []
    with h5py.File(path) as file:
        stored, labels = file["images"], file["labels"][:]
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for index in order:
                torch.from_numpy(stored[index]).permute(2, 0, 1), int(labels[index])
            raw.append(time.perf_counter() - start)
            start = time.perf_counter()
            for index in order:
                data[index]
            items.append(time.perf_counter() - start)
            start = time.perf_counter()
            for begin in range(0, len(order), 64):
                data.__getitems__(order[begin : begin + 64])
            batches.append(time.perf_counter() - start)
    ratio, batch_ratio = median(raw) / median(items), median(raw) / median(batches)
    print(f"\nrandom items at {ratio:.2f} of a bare loop's speed, in batches of 64 at {batch_ratio:.2f}")
    assert ratio >= 0.8
    assert batch_ratio > ratio


class Photos(Dataset):
    """64x64 PNG files in colour, in ten classes."""

    def __init__(self, folder: Path, transform: Any, n: int = 1024) -> None:
        self.files = [folder / f"{i}.png" for i in range(n)]
        self.transform = transform
        if not folder.exists():
            folder.mkdir()
            for file, pixels in zip(self.files, images((64, 64, 3), n)[0], strict=True):
                Image.fromarray(pixels).save(file)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        return self.transform(v2.functional.to_image(Image.open(self.files[index])), index % 10)


def test_an_epoch_with_the_transform(tmp_path: Path) -> None:
    """Two workers, flip and normalise: with and without `GANAugment`, and with `RandAugment`.

    Calling a transform that does nothing costs torchvision 3 to 7 % of so short an epoch, 8 us of 170 an
    image. The bound of 5 % is on what `GANAugment` costs beyond that.
    """
    end = [v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])]
    pipelines = {
        "without": v2.Compose(end),
        "Identity": v2.Compose([v2.Identity(), *end]),  # the cost of calling any transform
        "ours": v2.Compose([GANAugment(FreeGenerator(10240, (64, 64, 3)), p=0.5), *end]),
        "RandAugment": v2.Compose([v2.RandAugment(), *end]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(WORKER_STARTS):
        loaders = {
            name: DataLoader(
                Photos(tmp_path / "photos", pipeline), batch_size=32, num_workers=2, persistent_workers=True
            )
            for name, pipeline in pipelines.items()
        }
        for epoch in range(EPOCHS + 1):
            for name, loader in loaders.items():
                start = time.perf_counter()
                for _ in loader:
                    pass
                if epoch:  # the first one starts the workers
                    seconds[name].append(time.perf_counter() - start)
    without, identity, ours, rand = (median(seconds[name]) for name in pipelines)
    print(
        f"\nan epoch takes {ours / without:.3f} with GANAugment, {identity / without:.3f} with Identity,"
        f" {rand / without:.3f} with RandAugment"
    )
    assert ours <= 1.05 * identity
    assert ours < rand


def test_drawing_from_the_pool_is_indexing() -> None:
    """A batch of 256 labels against `index_select` of as many images."""
    generator = FreeGenerator(10240, (64, 64, 3))
    pool = ImagePool.from_generator(generator, np.ones(len(generator.classes_), bool), 256)
    classes = torch.arange(256) % 10
    drawn, bare = [], []
    for _ in range(200):
        start = time.perf_counter()
        pool.take(classes, torch.rand(256))
        drawn.append(time.perf_counter() - start)
        indices = torch.randint(2560, (256,))  # new ones each time, as the last ones are in the cache
        start = time.perf_counter()
        pool.images.index_select(0, indices)
        bare.append(time.perf_counter() - start)
    ratio = median(drawn) / median(bare)
    print(f"\ndrawing 256 labels from a pool takes {ratio:.2f} of index_select")
    assert ratio <= 1.5


class MemoryGrowth(Dataset):
    """Its items are the MiB by which the private memory of their process grew since its first one."""

    def __init__(self, augment: GANAugment) -> None:
        self.augment, self.before = augment, -1.0

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> float:
        image = torch.zeros(3, 64, 64, dtype=torch.uint8)
        if self.before < 0:
            gc.disable()  # it writes to every object, by which a fork gets its own copy of all pages
            self.augment(image, 0)  # the first image costs more
            self.before = private_mib()
        for label in torch.randint(10, (3000,)).tolist():
            self.augment(image, label)
        return private_mib() - self.before


def private_mib() -> float:
    """Return the memory that this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_share_the_pool(start: str) -> None:
    """With four workers the memory of each grows by less than a tenth of the pool's size."""
    augment = GANAugment(FreeGenerator(10240, (64, 64, 3)), p=1.0, pool_size=1024)
    size = 10240 * 64 * 64 * 3 / 2**20
    loader = DataLoader(MemoryGrowth(augment), batch_size=1, num_workers=4, multiprocessing_context=start)
    grown = max(float(value) for value in loader)
    print(f"\n{start}: a worker grows by {grown:.1f} MiB, the pool has {size:.0f} MiB")
    assert grown < 0.1 * size
