"""Pictures of what was synthesised, real beside synthetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from ganaug.images import ImageCodec


def contact_sheet(
    X: Any, y: np.ndarray, X_synthetic: Any, y_synthetic: np.ndarray, path: str | Path, columns: int = 10
) -> None:
    """Write a PNG with a row for each class: real images on the left, synthetic ones on the right.

    Parameters
    ----------
    X, X_synthetic : images as `ConditionalGAN.fit` takes them
    y, y_synthetic : ndarray of shape (n,)
        Their labels. The first `columns` images of each class are shown.
    path : path
    columns : int
        Images of each kind in a row.
    """
    codec = ImageCodec.fit(X)
    classes = np.unique(y)
    _, height, width = codec.shape
    figure = Figure(figsize=(2 * columns * 0.42 + 1, len(classes) * 0.42 * height / width + 0.5), dpi=160)
    axes = figure.subplots(1, 2)
    sides = ((X, y, "real"), (X_synthetic, y_synthetic, "synthetic"))
    for axis, (images, labels, title) in zip(axes, sides, strict=True):
        sheet = torch.ones(codec.shape[0], len(classes) * (height + 1), columns * (width + 1))
        for row, label in enumerate(classes):
            shown = codec.encode(images[np.flatnonzero(labels == label)[:columns]])
            for column, image in enumerate((shown + 1) / 2):
                top, left = row * (height + 1), column * (width + 1)
                sheet[:, top : top + height, left : left + width] = image
        axis.imshow(sheet.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1, aspect="equal")
        axis.set_title(title)
        axis.set_xticks([])
        counts = [f"{label} ({int(np.sum(labels == label))})" for label in classes]
        axis.set_yticks(
            np.arange(len(classes)) * (height + 1) + height / 2, counts if title == "real" else []
        )
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
