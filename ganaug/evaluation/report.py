"""Pictures of what was synthesised, real beside synthetic, and the page that shows what it is worth."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from ganaug.images import ImageCodec
from ganaug.kinds import is_frame, is_missing, join, take
from ganaug.tables import TableCodec


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


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ganaug report</title><style>
:root {{ color-scheme: light dark;
  --ink: #1a1a1a; --paper: #ffffff; --line: #c8c8c8; --good: #146c2e; --bad: #a3150f; }}
@media (prefers-color-scheme: dark) {{ :root {{
  --ink: #ececec; --paper: #161616; --line: #4a4a4a; --good: #7fd89a; --bad: #ff9a90; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; max-width: 60rem; padding: 1rem; overflow-wrap: anywhere; }}
h1, h2 {{ line-height: 1.2; }}
.verdict li:first-child {{ font-size: 1.25rem; font-weight: 600; }}
.good {{ color: var(--good); }} .bad {{ color: var(--bad); }}
figure {{ margin: 1rem 0; }}
img {{ max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }}
th, td {{ border-bottom: 1px solid var(--line); padding: 0.25rem 0.6rem;
  text-align: right; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
</style></head><body>
<h1>Synthetic data: what they are worth</h1>
<ul class="verdict">{verdict}</ul>
{figures}
{tables}
<h2>What the numbers mean</h2>
<p>Beside each value stands its 95&nbsp;% interval; then what real rows score against real rows
(<em>real</em>), and what bad generators would: pixels or columns at random (<em>noise</em>), training rows
again (<em>copies</em>), one row over and over (<em>one mode</em>).</p>
<dl>{meanings}</dl>
</body></html>
"""
MEANINGS = {
    "precision": "share of synthetic rows that lie among real ones of their class",
    "recall": "share of real rows that lie among synthetic ones",
    "density": "how many real neighbourhoods a synthetic row lies in, 1 as real rows do",
    "coverage": "share of real rows that have a synthetic one near them",
    "authenticity": "share of synthetic rows that are no nearer to a training row than that is to others",
    "diversity": "how much synthetic rows of a class differ, 1 as much as real ones",
    "kid": "kernel distance of the two sets, 0 is the same; of classes of 50 rows or more",
    "fid": "Frechet distance of the two sets; in the features used here, so not to be compared with others'",
    "memorised": "share of rows as near to a training row as only 5 % of held-out rows are",
    "tstr": "recall on held-out rows of a classifier trained on synthetic rows alone; 'real': on real ones",
    "trts": "recall on synthetic rows of a classifier trained on real ones",
    "usefulness": "what recall on held-out rows gains where synthetic rows are added",
}


def write_page(
    path: Path,
    report: Mapping[str, Any],
    *,
    X: Any,
    labels: np.ndarray,
    made: Any,
    made_labels: np.ndarray,
    classes: np.ndarray,
    real_features: np.ndarray,
    real_labels: np.ndarray,
    fake_features: np.ndarray,
    sampler: Any,
) -> None:
    """Write a self-contained HTML page of a `ganaug.quality.QualityReport`."""
    figures = []
    if X.ndim > 2:
        sheet = io.BytesIO()
        contact_sheet(X, classes[labels], made, classes[made_labels], sheet)
        figures.append(_shown(sheet, "Real images on the left, synthetic ones on the right, by class"))
        figures.append(
            _shown(
                _nearest(X, labels, made, made_labels, classes),
                "Synthetic images (left of each pair) and their nearest training image (right)",
            )
        )
        if hasattr(sampler, "vary"):
            figures.append(
                _shown(
                    _variations(X, labels, classes, sampler),
                    "Training images (left column) and variations of them",
                )
            )
    else:
        figures.append(_shown(_histograms(X, made), "Columns: real (filled) and synthetic (line)"))
        figures.append(
            _shown(_correlations(X, made), "Correlations of encoded columns: real, synthetic, difference")
        )
    if getattr(sampler, "history_", None):
        figures.append(_shown(_curves(sampler.history_), "Losses while training"))
    figures.append(
        _shown(
            _embedding(real_features, real_labels, fake_features, made_labels, classes),
            "Features in two dimensions: real (dots) and synthetic (crosses)",
        )
    )
    colors = {"Do not use": "bad", "Nothing speaks": "good"}  # of what the verdict begins with
    lines = [
        f'<li class="{next((c for start, c in colors.items() if line.startswith(start)), "")}">'
        f"{html.escape(line)}</li>"
        for line in report["verdict"]
    ]
    sections = [_table("All classes", report["overall"])]
    sections += [
        _table(f"Class {label} ({report['counts'][label]} training rows)", m)
        for label, m in report["per_class"].items()
    ]
    tables = (report["overall"], *report["per_class"].values())
    used = [name for name in MEANINGS if any(name in table for table in tables)]
    path.write_text(
        PAGE.format(
            verdict="".join(lines),
            figures="".join(figures),
            tables="".join(sections),
            meanings="".join(f"<dt><strong>{name}</strong></dt><dd>{MEANINGS[name]}</dd>" for name in used),
        ),
        encoding="utf-8",
    )


def _table(title: str, measures: Mapping[str, Mapping[str, float | None]]) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    rows = []
    for name, entry in measures.items():
        interval = "" if entry["low"] is None else f"{number(entry['low'])} to {number(entry['high'])}"
        value = number(entry["value"]) or "not measurable"
        others = "".join(f"<td>{number(entry[key])}</td>" for key in ("floor", "noise", "copies", "one mode"))
        rows.append(f"<tr><td>{name}</td><td>{value}</td><td>{interval}</td>{others}</tr>")
    head = "".join(
        f"<th>{name}</th>" for name in ("measure", "value", "interval", "real", "noise", "copies", "one mode")
    )
    return (
        f'<h2>{html.escape(title)}</h2><div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
    )


def _shown(picture: io.BytesIO, words: str) -> str:
    data = base64.b64encode(picture.getvalue()).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{words}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


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


def _nearest(
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


def _variations(X: Any, labels: np.ndarray, classes: np.ndarray, sampler: Any, n: int = 6) -> io.BytesIO:
    codec, grid = ImageCodec.fit(X), []
    for c in range(len(classes)):
        first = take(X, np.flatnonzero(labels == c)[:1])
        varied = sampler.vary(join([first] * n), np.repeat(classes[c : c + 1], n), random_state=c)
        grid.append([*_pixels(codec, first), *_pixels(codec, varied)])
    return _grid(grid, classes.tolist())


def _curves(history: list[dict[str, Any]]) -> io.BytesIO:
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


def _embedding(
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


def _histograms(X: Any, made: Any, most: int = 24) -> io.BytesIO:
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
    values = rows.iloc[:, place] if is_frame(rows) else rows[:, place]
    return [value for value in np.asarray(values, dtype=object) if not is_missing(value)]


def _correlations(X: Any, made: Any) -> io.BytesIO:
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
