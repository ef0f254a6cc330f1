"""Losses and pictures of samples for TensorBoard, while a GAN trains."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.loggers import TensorBoardLogger
from torch import Tensor
from torchvision.utils import make_grid

from ganaug.data.containers import take
from ganaug.data.images import ImageCodec
from ganaug.model.generator import TrainedGenerator
from ganaug.training.loop import CHECKPOINT_INTERVAL, Callback
from ganaug.training.trainer import GANTrainer

CLASSES, SAMPLES = 16, 8  # in a picture: classes, a row for each, and samples of each
STARTS = 64  # rows of a class, at most, that they start from


@contextmanager
def tensorboard_callback(
    folder: str | Path, name: str, game: GANTrainer, labels: Any, steps: int, settings: dict[str, Any]
) -> Iterator[Callback]:
    """Yield a callback that writes what `train_gan` reports, and samples, to a new folder for each run.

    Parameters
    ----------
    folder, name
        It is ``folder / name / "version_0"``, or the next that is not there yet.
    game : GANTrainer
        That is played.
    labels : ndarray of shape (n,)
        Class indices of its rows.
    steps : int
        After which training ends.
    settings : dict
        Of `TrainedGenerator`.
    """
    logger = TensorBoardLogger(folder, name=re.sub(r"[^\w ,.-]", "_", name))
    draw = _drawing(game, labels, settings) if isinstance(game.codec, ImageCodec) else None

    def log(step: int, metrics: dict[str, float]) -> None:
        logger.log_metrics(metrics, step)
        if draw is not None and (step % CHECKPOINT_INTERVAL == 0 or step == steps):
            logger.experiment.add_image("samples", draw(), step)
        logger.save()

    try:
        yield log
    finally:
        logger.finalize("finished")  # or two threads stay


def _drawing(game: GANTrainer, labels: Any, settings: dict[str, Any]) -> Callable[[], Tensor]:
    """Return a function that draws samples with the weights of the moment, from the same random numbers."""
    owned = torch.from_numpy(labels)
    rows = torch.cat([(owned == c).nonzero().flatten()[:STARTS] for c in owned.unique()])
    X, own = take(game.X, rows), owned[rows].numpy()
    classes = owned.unique()[:CLASSES].repeat_interleave(SAMPLES)

    def draw() -> Tensor:
        trained = TrainedGenerator(game.result(), game.codec, own, X, **settings)
        return make_grid((trained.draw(classes, torch.Generator().manual_seed(0)) + 1) / 2, nrow=SAMPLES)

    return draw
