"""Pictures of what was synthesised, real beside synthetic, and the page that shows what it is worth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from ganaug.data.containers import concat, is_dataframe, is_missing, take
from ganaug.data.images import ImageCodec
from ganaug.data.tables import TableCodec


def contact_sheet(
    X: Any,
    y: np.ndarray,
    X_synthetic: Any,
    y_synthetic: np.ndarray,
    path: str | Path | BinaryIO,
    columns: int = 10,
) -> None:
    """Write a PNG with a row for each class: real images on the left, synthetic ones on the right.

    Parameters
    ----------
    X, X_synthetic : images as `ConditionalGAN.fit` takes them
    y, y_synthetic : ndarray of shape (n,)
        Their labels. The first `columns` images of each class are shown.
    path : path, or a file that is open
    columns : int
        Images of each kind in a row.
    """
    codec = ImageCodec.fit(X)
    classes = np.unique(y)
    _, height, width = codec.shape
    side = max(0.42, 0.14 * width / height)  # inches of a column: a row must hold the name of its class
    figure = Figure(figsize=(2 * columns * side + 1, len(classes) * side * height / width + 0.5), dpi=160)
    axes = figure.subplots(1, 2)
    sides = ((X, y, "real"), (X_synthetic, y_synthetic, "synthetic"))
    for axis, (images, labels, title) in zip(axes, sides, strict=True):
        sheet = torch.ones(codec.shape[0], len(classes) * (height + 1), columns * (width + 1))
        for row, label in enumerate(classes):
            shown = codec.encode(take(images, np.flatnonzero(labels == label)[:columns]))
            for column, image in enumerate((shown + 1) / 2):
                top, left = row * (height + 1), column * (width + 1)
                sheet[:, top : top + height, left : left + width] = image
        axis.imshow(sheet.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1, aspect="equal")
        axis.set_title(title)
        axis.set_xticks([])
        counts = [f"{_plain(label)} ({int(np.sum(labels == label))})" for label in classes]
        axis.set_yticks(
            np.arange(len(classes)) * (height + 1) + height / 2, counts if title == "real" else []
        )
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def _saved(figure: Figure) -> io.BytesIO:
    picture = io.BytesIO()
    figure.tight_layout()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture


def _grid(images: list[list[np.ndarray]], names: Sequence[Any]) -> io.BytesIO:
    """Draw images (H, W) or (H, W, C), floats in [0, 1], in rows with names."""
    most = max(map(len, images))
    figure = Figure(figsize=(0.5 * most + 1, 0.5 * len(images) + 0.2), dpi=130)
    for row, axes in enumerate(figure.subplots(len(images), most, squeeze=False)):
        for axis, image in zip(axes, images[row], strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
        for axis in axes[len(images[row]) :]:
            axis.set_visible(False)
        axes[0].set_ylabel(_plain(names[row]), rotation=0, ha="right", va="center")
    return _saved(figure)


def _plain(name: Any) -> str:
    """Return a name as matplotlib shows it: between two dollars it would expect mathematics."""
    return str(name).replace("$", r"\$")


def _pixels(codec: ImageCodec, images: Any) -> list[np.ndarray]:
    """Return images as matplotlib takes them."""
    return list(((codec.encode(images) + 1) / 2).permute(0, 2, 3, 1).squeeze(3).numpy())


def nearest_pairs(
    X: Any, labels: np.ndarray, made: Any, made_labels: np.ndarray, classes: np.ndarray
) -> io.BytesIO:
    codec, grid = ImageCodec.fit(X), []
    for c in range(len(classes)):
        some = take(made, np.flatnonzero(made_labels == c)[:5])
        own = take(X, np.flatnonzero(labels == c))
        near = torch.cdist(codec.encode(some).flatten(1), codec.encode(own).flatten(1)).argmin(1)
        pairs = zip(_pixels(codec, some), _pixels(codec, take(own, near)), strict=True)
        grid.append([image for pair in pairs for image in pair])
    return _grid(grid, classes.tolist())


def variation_grid(X: Any, labels: np.ndarray, classes: np.ndarray, gan: Any, n: int = 6) -> io.BytesIO:
    codec, grid = ImageCodec.fit(X), []
    for c in range(len(classes)):
        first = take(X, np.flatnonzero(labels == c)[:1])
        varied = gan.vary(concat([first] * n), np.repeat(classes[c : c + 1], n), random_state=c)
        grid.append([*_pixels(codec, first), *_pixels(codec, varied)])
    return _grid(grid, classes.tolist())


def loss_curves(history: list[dict[str, Any]]) -> io.BytesIO:
    figure = Figure(figsize=(7, 3), dpi=110)
    axis = figure.subplots()
    members = sorted({entry["member"] for entry in history})
    for color, name in enumerate(("generator", "discriminator", "spread")):
        for member in members:
            own = [entry for entry in history if entry["member"] == member and name in entry]
            axis.plot(
                [e["step"] for e in own],
                [e[name] for e in own],
                color=f"C{color}",
                linestyle=("-", "--", ":", "-.")[member % 4],
                label=name if member == 0 else None,
            )
    axis.set_xlabel("step")
    axis.legend()
    return _saved(figure)


def pca_scatter(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, made_labels: np.ndarray, classes: np.ndarray
) -> io.BytesIO:
    project = PCA(2 if real.shape[1] > 1 else 1, random_state=0).fit(real)
    figure = Figure(figsize=(7, 6), dpi=110)
    axis = figure.subplots()
    colors = colormaps["tab20"](np.linspace(0, 1, len(classes)))
    for c, color in enumerate(colors):
        for rows, own, mark in ((real, real_labels, "."), (fake, made_labels, "x")):
            points = project.transform(rows[own == c][:150])
            axis.plot(
                points[:, 0],
                points[:, -1],
                mark,
                color=color,
                alpha=0.6,
                # matplotlib leaves out what begins with "_".
                label="\u200b" + _plain(classes[c]) if mark == "." else None,
            )
    axis.legend(title="class", fontsize=7)
    axis.set_xticks([])
    axis.set_yticks([])
    return _saved(figure)


def histograms(X: Any, made: Any, most: int = 24) -> io.BytesIO:
    codec = TableCodec.fit(X)
    columns = codec.columns[:most]
    figure = Figure(figsize=(9, 1.7 * (-(-len(columns) // 4))), dpi=110)
    axes = figure.subplots(-(-len(columns) // 4), 4, squeeze=False).ravel()
    for axis in axes[len(columns) :]:
        axis.set_visible(False)
    for place, (axis, column) in enumerate(zip(axes, columns, strict=False)):
        real, ours = (_present(rows, place) for rows in (X, made))
        if column.ranks:
            edges = np.linspace(column.values[0], column.values[-1], 21) if len(column.values) > 1 else 5
            axis.hist(np.array(real, float), edges, density=True, alpha=0.5)
            axis.hist(np.array(ours, float), edges, density=True, histtype="step")
        else:
            shares = [
                [np.mean([value == known for value in values]) for known in column.values]
                for values in (real, ours)
            ]
            places = range(len(column.values))
            axis.bar(places, shares[0], alpha=0.5)
            axis.bar(places, shares[1], fill=False, edgecolor="C1")
            names = [_plain(str(value)[:9]) for value in column.values]
            axis.set_xticks(places, names) if len(names) <= 6 else axis.set_xticks([])
        axis.set_title(_plain(column.name), fontsize=7)
        axis.tick_params(labelsize=5)
    return _saved(figure)


def _present(rows: Any, place: int) -> list[Any]:
    """Return the values of a column that are not missing."""
    values = rows.iloc[:, place] if is_dataframe(rows) else rows[:, place]
    return [value for value in np.asarray(values, dtype=object) if not is_missing(value)]


def correlations(X: Any, made: Any) -> io.BytesIO:
    codec = TableCodec.fit(X)
    with np.errstate(invalid="ignore", divide="ignore"):
        real, ours = (
            np.nan_to_num(np.corrcoef(codec.encode(rows, strict=False).numpy().T)) for rows in (X, made)
        )
    figure = Figure(figsize=(9, 3), dpi=110)
    for axis, matrix, title in zip(
        figure.subplots(1, 3), (real, ours, ours - real), ("real", "synthetic", "difference"), strict=True
    ):
        axis.imshow(np.atleast_2d(matrix), cmap="coolwarm", vmin=-1, vmax=1)
        axis.set_title(title)
        axis.set_xticks([])
        axis.set_yticks([])
    return _saved(figure)
