"""is_photographic: whether images fill their frame, or show something on an even ground."""

from __future__ import annotations

import torch
from torch import Tensor

# Of all values, so many lie close to the most frequent one where there is an even ground. It is half of
# them in scikit-learn's digits, three quarters in MNIST, and a thirtieth in CIFAR-10's photographs.
MIN_GROUND = 0.2
LEVELS_AROUND = 2


def is_photographic(images: Tensor) -> bool:
    """Return whether images have no even ground, such as paper, a dark sky or the border of a scan.

    Parameters
    ----------
    images : Tensor of shape (n, C, H, W)
        uint8, or floats in [0, 1].

    Examples
    --------
    >>> is_photographic(torch.rand(4, 3, 8, 8)), is_photographic(torch.zeros(4, 1, 8, 8))
    (True, False)
    """
    from torchvision.transforms.v2 import functional as tvf

    images = images.clamp(0, 1) if images.is_floating_point() else images
    levels = tvf.to_dtype(images, torch.uint8, scale=True)
    counts = torch.bincount(levels.flatten().long(), minlength=256).float()
    padded = torch.nn.functional.pad(counts, (LEVELS_AROUND, LEVELS_AROUND))
    around = padded.unfold(0, 2 * LEVELS_AROUND + 1, 1).sum(1)
    return bool(around.max() < MIN_GROUND * counts.sum())
