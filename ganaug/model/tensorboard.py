"""tensorboard_callback: losses and images of samples for TensorBoard, while a GAN trains."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganaug.data.containers import take
from ganaug.data.images import ImageCodec
from ganaug.model.generator import TrainedGenerator
from ganaug.training.loop import CHECKPOINT_INTERVAL, Callback
from ganaug.training.trainer import GANTrainer

MAX_CLASSES, SAMPLES_PER_CLASS = 16, 8
# For each class. A generator encodes all of its training samples each time that it is made.
MAX_SOURCES = 64


@contextmanager
def tensorboard_callback(
    folder: str | Path,
    name: str,
    trainer: GANTrainer,
    labels: np.ndarray,
    steps: int,
    settings: dict[str, Any],
) -> Iterator[Callback]:
    """Yield a callback that writes metrics, and samples of images, to a new folder for each run.

    Parameters
    ----------
    folder, name
        The new folder is ``folder / name / "version_0"``, or the next number that is free.
    trainer : GANTrainer
        Whose networks are trained.
    labels : ndarray of shape (n,)
        Class indices of its samples.
    steps : int
        After which training ends.
    settings : dict
        Of `TrainedGenerator`.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(_new_folder(Path(folder) / re.sub(r"[^\w ,.-]", "_", name)))
    images = isinstance(trainer.codec, ImageCodec)
    sample_grid = _make_sample_grid(trainer, labels, settings) if images else None

    def log(step: int, metrics: dict[str, float]) -> None:
        for metric, value in metrics.items():
            writer.add_scalar(metric, value, step)
        if sample_grid is not None and (step % CHECKPOINT_INTERVAL == 0 or step == steps):
            writer.add_image("samples", sample_grid(), step)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()  # or two threads stay


def _new_folder(parent: Path) -> Path:
    """Make the first of "version_0", "version_1" and so on that is not there, and return it."""
    for number in count():
        with suppress(FileExistsError):
            (parent / f"version_{number}").mkdir(parents=True)
            break
    return parent / f"version_{number}"


def _make_sample_grid(
    trainer: GANTrainer, labels: np.ndarray, settings: dict[str, Any]
) -> Callable[[], Tensor]:
    """Return a function that draws samples with the current weights, from the same random numbers."""
    from torchvision.utils import make_grid

    all_labels = torch.from_numpy(labels)
    sources = torch.cat([(all_labels == c).nonzero().flatten()[:MAX_SOURCES] for c in all_labels.unique()])
    X, source_labels = take(trainer.X, sources), all_labels[sources].numpy()
    classes = all_labels.unique()[:MAX_CLASSES].repeat_interleave(SAMPLES_PER_CLASS)

    def sample_grid() -> Tensor:
        generator = TrainedGenerator(trainer.result(), trainer.codec, source_labels, X, **settings)
        images = generator.sample(classes, torch.Generator().manual_seed(0))
        return make_grid((images + 1) / 2, nrow=SAMPLES_PER_CLASS)

    return sample_grid
