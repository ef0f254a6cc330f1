"""Figures of real beside synthetic samples, as PNG files: images, series, columns, features and losses."""

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

from ganaug.data.column_data import iter_columns
from ganaug.data.columns import dates_from_numbers, present_values
from ganaug.data.containers import concat, take
from ganaug.data.images import ImageCodec
from ganaug.data.tables import TableCodec
from ganaug.evaluation.samples import LabeledSamples

MAX_SCATTERED = 150
# Series of a class that are drawn one over another.
MAX_CURVES = 5


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
    X, X_synthetic : array or Tensor of n images
        As `ConditionalGAN.fit` takes them.
    y, y_synthetic : ndarray of shape (n,)
        Their labels. The first `columns` images of each class are shown.
    path : str, Path or file
        The PNG to write, or a binary file that is open for writing.
    columns : int, default=10
        Real images in a row, and as many synthetic ones.
    """
    codec = ImageCodec.fit(X)
    classes = np.unique(y)
    _, height, width = codec.shape
    # In inches. A row must be high enough for the name of its class.
    column_width = max(0.42, 0.14 * width / height)
    row_height = column_width * height / width
    figure = Figure(figsize=(2 * columns * column_width + 1, len(classes) * row_height + 0.5), dpi=160)
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
        counts = [f"{_escape_mathtext(label)} ({int(np.sum(labels == label))})" for label in classes]
        axis.set_yticks(
            np.arange(len(classes)) * (height + 1) + height / 2, counts if title == "real" else []
        )
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def _to_png(figure: Figure) -> io.BytesIO:
    """Return a figure as a PNG file in memory."""
    picture = io.BytesIO()
    figure.tight_layout()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture


def _image_grid(images: list[list[np.ndarray]], names: Sequence[Any]) -> io.BytesIO:
    """Draw images (H, W) or (H, W, C), floats in [0, 1], in rows with names."""
    n_columns = max(map(len, images))
    figure = Figure(figsize=(0.5 * n_columns + 1, 0.5 * len(images) + 0.2), dpi=130)
    for row, axes in enumerate(figure.subplots(len(images), n_columns, squeeze=False)):
        for axis, image in zip(axes, images[row], strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
        for axis in axes[len(images[row]) :]:
            axis.set_visible(False)
        axes[0].set_ylabel(_escape_mathtext(names[row]), rotation=0, ha="right", va="center")
    return _to_png(figure)


def _escape_mathtext(name: Any) -> str:
    """Return a name as matplotlib is to be given it: between two dollars it would read mathematics."""
    return str(name).replace("$", r"\$")


def _pixels(codec: ImageCodec, images: Any) -> list[np.ndarray]:
    """Return images as matplotlib takes them: (H, W) or (H, W, C), floats in [0, 1]."""
    return list(((codec.encode(images) + 1) / 2).permute(0, 2, 3, 1).squeeze(3).numpy())


def nearest_pairs(
    train: LabeledSamples, synthetic: LabeledSamples, classes: np.ndarray, n: int = 5
) -> io.BytesIO:
    """Draw synthetic images of each class, each with the training image that is nearest by its pixels."""
    codec, grid = ImageCodec.fit(train.X), []
    for c in range(len(classes)):
        shown, real = synthetic.of_class(c)[:n], train.of_class(c)
        distances = torch.cdist(codec.encode(shown).flatten(1), codec.encode(real).flatten(1))
        nearest = take(real, distances.argmin(1))
        pairs = zip(_pixels(codec, shown), _pixels(codec, nearest), strict=True)
        grid.append([image for pair in pairs for image in pair])
    return _image_grid(grid, classes.tolist())


def variation_grid(train: LabeledSamples, classes: np.ndarray, gan: Any, n: int = 6) -> io.BytesIO:
    """Draw a training image of each class, and `n` variations of it by ``gan.vary``."""
    codec, grid = ImageCodec.fit(train.X), []
    for c in range(len(classes)):
        first = train.of_class(c)[:1]
        varied = gan.vary(concat([first] * n), np.repeat(classes[c : c + 1], n), random_state=c)
        grid.append([*_pixels(codec, first), *_pixels(codec, varied)])
    return _image_grid(grid, classes.tolist())


def loss_curves(history: list[dict[str, Any]]) -> io.BytesIO:
    """Draw losses and diversity by step, as ``history_`` of a `ConditionalGAN` holds them."""
    figure = Figure(figsize=(7, 3), dpi=110)
    axis = figure.subplots()
    members = sorted({entry["member"] for entry in history})
    for color, name in enumerate(("generator", "discriminator", "min_class_diversity")):
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
    return _to_png(figure)


def pca_scatter(real: LabeledSamples, synthetic: LabeledSamples, classes: np.ndarray) -> io.BytesIO:
    """Draw features along the first two principal components of the real samples."""
    X_real, X_synthetic = np.asarray(real.X), np.asarray(synthetic.X)
    pca = PCA(2 if X_real.shape[1] > 1 else 1, random_state=0).fit(X_real)
    figure = Figure(figsize=(7, 6), dpi=110)
    axis = figure.subplots()
    colors = colormaps["tab20"](np.linspace(0, 1, len(classes)))
    for c, color in enumerate(colors):
        for features, labels, marker in ((X_real, real.y, "."), (X_synthetic, synthetic.y, "x")):
            points = pca.transform(features[labels == c][:MAX_SCATTERED])
            axis.plot(
                points[:, 0],
                points[:, -1],
                marker,
                color=color,
                alpha=0.6,
                # matplotlib hides a label that begins with "_": begin with a space of no width.
                label="\u200b" + _escape_mathtext(classes[c]) if marker == "." else None,
            )
    axis.legend(title="class", fontsize=7)
    axis.set_xticks([])
    axis.set_yticks([])
    return _to_png(figure)


def series_curves(train: LabeledSamples, synthetic: LabeledSamples, classes: np.ndarray) -> io.BytesIO:
    """Draw a few series of each class, real ones on the left and synthetic ones on the right.

    Each channel has a colour of its own, and series of one class have one scale.
    """
    figure = Figure(figsize=(9, 1.2 * len(classes) + 0.5), dpi=110)
    rows = figure.subplots(len(classes), 2, squeeze=False, sharex=True, sharey="row")
    for c, axes in enumerate(rows):
        for axis, samples in zip(axes, (train, synthetic), strict=True):
            for one in np.asarray(samples.of_class(c))[:MAX_CURVES]:
                for channel, values in enumerate(one.reshape(len(one), -1).T):
                    axis.plot(values, color=f"C{channel % 10}", linewidth=0.7, alpha=0.6)
            axis.tick_params(labelsize=5)
        axes[0].set_ylabel(_escape_mathtext(classes[c]), rotation=0, ha="right", va="center")
    rows[0, 0].set_title("real")
    rows[0, 1].set_title("synthetic")
    return _to_png(figure)


def histograms(X: Any, X_synthetic: Any, max_columns: int = 24) -> io.BytesIO:
    """Draw the distribution of each column of two tables: numbers as histograms, categories as bars."""
    codec = TableCodec.fit(X)
    columns = codec.columns[:max_columns]
    n_rows = -(-len(columns) // 4)
    figure = Figure(figsize=(9, 1.7 * n_rows), dpi=110)
    axes = figure.subplots(n_rows, 4, squeeze=False).ravel()
    for axis in axes[len(columns) :]:
        axis.set_visible(False)
    for axis, column, *pair in zip(axes, columns, iter_columns(X), iter_columns(X_synthetic), strict=False):
        real, synthetic = (present_values(column, data) for data in pair)
        if column.is_numeric:
            edges = np.linspace(column.values[0], column.values[-1], 21) if len(column.values) > 1 else 5
            axis.hist(real, edges, density=True, alpha=0.5)
            axis.hist(synthetic, edges, density=True, histtype="step")
            if column.origin is not None:
                ends = np.array([column.values[0], column.values[-1]])
                axis.set_xticks(ends, [str(date)[:10] for date in dates_from_numbers(column, ends)])
        else:
            real_shares, synthetic_shares = (
                [np.mean([value == known for value in values]) for known in column.values]
                for values in (real, synthetic)
            )
            bars = range(len(column.values))
            axis.bar(bars, real_shares, alpha=0.5)
            axis.bar(bars, synthetic_shares, fill=False, edgecolor="C1")
            names = [_escape_mathtext(str(value)[:9]) for value in column.values]
            axis.set_xticks(bars, names) if len(names) <= 6 else axis.set_xticks([])
        axis.set_title(_escape_mathtext(column.name), fontsize=7)
        axis.tick_params(labelsize=5)
    return _to_png(figure)


def correlations(X: Any, X_synthetic: Any) -> io.BytesIO:
    """Draw the correlations of encoded columns in two tables, and their difference."""
    codec = TableCodec.fit(X)
    with np.errstate(invalid="ignore", divide="ignore"):
        real, synthetic = (
            np.nan_to_num(np.corrcoef(codec.encode(rows, strict=False).numpy().T))
            for rows in (X, X_synthetic)
        )
    panels = {"real": real, "synthetic": synthetic, "difference": synthetic - real}
    figure = Figure(figsize=(9, 3), dpi=110)
    for axis, (title, matrix) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axis.imshow(np.atleast_2d(matrix), cmap="coolwarm", vmin=-1, vmax=1)
        axis.set_title(title)
        axis.set_xticks([])
        axis.set_yticks([])
    return _to_png(figure)
