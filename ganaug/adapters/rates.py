"""automatic_p: how large a share of each class is to be synthetic, where the user doesn't say."""

from __future__ import annotations

from typing import Any

import numpy as np

from ganaug.data.containers import channels_first
from ganaug.data.ground import is_photographic
from ganaug.data.protocol import training_counts
from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE, automatic_shares

# So many images tell whether they are photographs.
N_LOOKED_AT = 64
# Of photographs that are mixed, so much of the share did better than all of it; docs/lab/adding.md.
OF_MIXED_PHOTOGRAPHS = 0.5


def makes_photographs(gan: Any) -> bool:
    """Return whether what a generator makes are images without an even ground, such as digits have."""
    labels = np.tile(gan.classes_, -(-N_LOOKED_AT // len(gan.classes_)))[:N_LOOKED_AT]
    return is_photographic(channels_first(gan.sample(labels, random_state=0)))


def automatic_p(gan: Any, *, mixed: bool = False) -> dict[Any, float]:
    """Return the share of each class's draws that is to be synthetic, by label.

    Parameters
    ----------
    gan : ConditionalGenerator
    mixed : bool, default=False
        Whether images are mixed afterwards, by mixup or CutMix.

    Notes
    -----
    By how many images a `ConditionalGAN` was trained on; see `automatic_shares`. What doesn't say how many
    has the share of few.
    """
    counts = training_counts(gan)
    share = np.full(len(gan.classes_), DEFAULT_SYNTHETIC_SHARE)
    if counts is not None:
        share = automatic_shares(np.asarray(counts))
    if mixed and share.any() and makes_photographs(gan):
        share = OF_MIXED_PHOTOGRAPHS * share
    return dict(zip(gan.classes_.tolist(), share.tolist(), strict=True))
