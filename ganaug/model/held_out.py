"""Held-out training samples, and how far generated ones are from them, for early stopping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ganaug.data.containers import take
from ganaug.model.generator import TrainedGenerator
from ganaug.model.samples import Samples
from ganaug.networks.layers import Networks
from ganaug.networks.several import separate
from ganaug.training.codec import Codec
from ganaug.training.early_stopping import energy_distance

# Of a class of so many samples or more, this share is held out, but no more than so many.
MIN_COUNT, HELD_OUT_SHARE, MAX_HELD_OUT = 20, 0.1, 100
# For each class: a generator encodes all of its sources anew at each distance.
MAX_SOURCES = 256


def hold_out(samples: Samples, seed: int) -> tuple[Samples, Samples]:
    """Return the samples to train on, and those that are held out, of each class at random.

    Raises
    ------
    ValueError
        If all classes are too small for any to be held out.
    """
    rng = np.random.default_rng(seed)
    held = np.zeros(len(samples.labels), bool)
    for count, c in zip(np.bincount(samples.labels), np.unique(samples.labels), strict=True):
        if count >= MIN_COUNT:
            own = np.flatnonzero(samples.labels == c)
            held[rng.choice(own, min(MAX_HELD_OUT, round(HELD_OUT_SHARE * count)), replace=False)] = True
    if not held.any():
        raise ValueError(
            f"`early_stopping` must be None where no class has {MIN_COUNT} samples, of which some can be held"
            f" out: the largest has {np.bincount(samples.labels).max()}."
        )
    return samples.subset(np.flatnonzero(~held)), samples.subset(np.flatnonzero(held))


def distance_from(
    held_out: Samples, trained_on: Samples, codec: Codec, seed: int, settings: dict[str, Any]
) -> Callable[[Networks], float]:
    """Return a function of trained networks: the energy distance of their samples from held-out ones.

    The samples are of the classes of the held-out ones, and are drawn by the same random numbers each time.
    `settings` are those of `TrainedGenerator`.
    """
    codec = codec.working
    real, classes = codec.encode(held_out.X), torch.from_numpy(held_out.labels)
    labels = trained_on.labels
    sources = np.concatenate([np.flatnonzero(labels == c)[:MAX_SOURCES] for c in np.unique(labels)])
    X = take(trained_on.X, sources)

    def distance(networks: Networks) -> float:
        fake = torch.empty_like(real)
        rng = torch.Generator().manual_seed(seed)
        each = separate(networks)
        for i, one in enumerate(each):
            generator = TrainedGenerator(one, codec, labels[sources], X, **settings)
            fake[i :: len(each)] = generator.sample(classes[i :: len(each)], rng)
        return energy_distance(real, fake, classes)

    return distance
