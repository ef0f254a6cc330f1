"""Pictures of what was synthesised, real beside synthetic, and the page that shows what it is worth."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganaug.evaluation.pictures import (
    contact_sheet,
    correlations,
    histograms,
    loss_curves,
    nearest_pairs,
    pca_scatter,
    variation_grid,
)

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
    "kernel_distance": "kernel distance of the two sets, 0 is the same; of classes of 50 rows or more",
    "frechet_distance": "Frechet distance of the two sets; in the features used here, so not to be compared with others'",
    "memorization": "share of rows as near to a training row as only 5 % of held-out rows are",
    "tstr": "recall on held-out rows of a classifier trained on synthetic rows alone; 'real': on real ones",
    "trts": "recall on synthetic rows of a classifier trained on real ones",
    "augmentation_gain": "what recall on held-out rows gains where synthetic rows are added",
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
    gan: Any,
) -> None:
    """Write a self-contained HTML page of a `ganaug.evaluation.quality.QualityReport`."""
    figures = []
    if X.ndim > 2:
        sheet = io.BytesIO()
        contact_sheet(X, classes[labels], made, classes[made_labels], sheet)
        figures.append(_shown(sheet, "Real images on the left, synthetic ones on the right, by class"))
        figures.append(
            _shown(
                nearest_pairs(X, labels, made, made_labels, classes),
                "Synthetic images (left of each pair) and their nearest training image (right)",
            )
        )
        if hasattr(gan, "vary"):
            figures.append(
                _shown(
                    variation_grid(X, labels, classes, gan),
                    "Training images (left column) and variations of them",
                )
            )
    else:
        figures.append(_shown(histograms(X, made), "Columns: real (filled) and synthetic (line)"))
        figures.append(
            _shown(correlations(X, made), "Correlations of encoded columns: real, synthetic, difference")
        )
    if getattr(gan, "history_", None):
        figures.append(_shown(loss_curves(gan.history_), "Losses while training"))
    figures.append(
        _shown(
            pca_scatter(real_features, real_labels, fake_features, made_labels, classes),
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
        others = "".join(
            f"<td>{number(entry[key])}</td>" for key in ("real", "noise", "train_copies", "single_mode")
        )
        rows.append(f"<tr><td>{name}</td><td>{value}</td><td>{interval}</td>{others}</tr>")
    head = "".join(
        f"<th>{name}</th>"
        for name in ("measure", "value", "interval", "real", "noise", "train_copies", "single_mode")
    )
    return (
        f'<h2>{html.escape(title)}</h2><div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
    )


def _shown(picture: io.BytesIO, words: str) -> str:
    data = base64.b64encode(picture.getvalue()).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{words}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"
