"""The page of a report: the verdict, figures and tables in one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ganaug.data.protocol import modality_of
from ganaug.evaluation.estimates import REFERENCES, Entry
from ganaug.evaluation.pictures import (
    contact_sheet,
    correlations,
    histograms,
    loss_curves,
    nearest_pairs,
    pca_scatter,
    series_curves,
    variation_grid,
)
from ganaug.evaluation.samples import ReportedSamples
from ganaug.evaluation.verdict import DO_NOT_USE, NOTHING_AGAINST

# Filled in by `str.format`: a brace of the style sheet is doubled.
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
<h1>What the synthetic data are worth</h1>
<ul class="verdict">{verdict}</ul>
{figures}
{tables}
<h2>What the numbers mean</h2>
<p>Each value has a 95&nbsp;% interval beside it. Then come reference scores. <em>Real</em> is what real
samples score against other real samples. The others are what bad generators score: random values or shuffled
columns (<em>noise</em>), the training samples themselves (<em>training copies</em>), and one sample over and
over (<em>single mode</em>). The neighbourhood of a sample reaches to its fifth nearest neighbour.</p>
<dl>{meanings}</dl>
</body></html>
"""
MEANINGS = {
    "precision": "share of synthetic samples in the neighbourhood of a real sample of their class",
    "recall": "share of real samples in the neighbourhood of a synthetic sample",
    "density": "mean number of real neighbourhoods around a synthetic sample, over five; real samples"
    " score about 1",
    "coverage": "share of real samples with a synthetic sample in their neighbourhood",
    "authenticity": "share of synthetic samples that are farther from their nearest training sample than that"
    " one is from other training samples",
    "diversity": "mean distance between two synthetic samples of a class, over that between two real ones",
    "kernel_distance": "distance of the two sets by a kernel (squared MMD, as in KID); 0 is equal; of classes"
    " of 50 samples or more",
    "frechet_distance": "Fréchet distance of the two sets, as in FID, but in the features of this report: do"
    " not compare it with a published FID",
    "inception_score": "how sure a classifier is of each sample, and how even its classes are over all of"
    " them: from 1 to the number of classes; 'real' is of held-out samples. Do not compare it with a score"
    " that was published",
    "memorization": "share of synthetic samples that are closer to a training sample than 5 % of held-out"
    " samples are",
    "membership_auc": "how well the distance to the nearest synthetic sample tells training samples from"
    " held-out ones (area under the ROC curve): 0.5 is chance, 1 tells every one",
    "membership_tpr": "share of training samples that this distance finds, where 1 % of held-out ones are"
    " taken for training samples; 'real' is chance, above 0.01 where few are held out",
    "tstr": "train on synthetic, test on real: recall on held-out samples of a classifier trained on"
    " synthetic samples; 'real' is that of one trained on real samples",
    "trts": "train on real, test on synthetic: recall on synthetic samples of a classifier trained on real"
    " samples",
    "augmentation_gain": "gain in recall on held-out samples when synthetic samples are added to the training"
    " samples",
}


def write_page(path: Path, report: Mapping[str, Any], samples: ReportedSamples) -> None:
    """Write a self-contained HTML page of a `ganaug.evaluation.quality.QualityReport`."""
    overall, per_class, counts = (report[key] for key in ("overall", "per_class", "counts"))
    tables = [_table("All classes", overall)]
    tables += [
        _table(f"Class {label} ({counts[label]} training samples)", measures)
        for label, measures in per_class.items()
    ]
    measured = {name for measures in (overall, *per_class.values()) for name in measures}
    meanings = (
        f"<dt><strong>{name}</strong></dt><dd>{html.escape(meaning)}</dd>"
        for name, meaning in MEANINGS.items()
        if name in measured
    )
    page = PAGE.format(
        verdict="".join(map(_verdict_item, report["verdict"])),
        figures="".join(_figure_html(picture, words) for picture, words in _figures(samples)),
        tables="".join(tables),
        meanings="".join(meanings),
    )
    path.write_text(page, encoding="utf-8")


def _verdict_item(sentence: str) -> str:
    colors = {DO_NOT_USE: "bad", NOTHING_AGAINST: "good"}
    color = next((color for start, color in colors.items() if sentence.startswith(start)), "")
    return f'<li class="{color}">{html.escape(sentence)}</li>'


def _figures(samples: ReportedSamples) -> Iterable[tuple[io.BytesIO, str]]:
    """Yield the figures of a page, as PNG files, with their captions."""
    train, synthetic, classes = samples.train, samples.synthetic, samples.classes
    generator = samples.generator
    modality = modality_of(train.X, generator)
    if modality == "images":
        sheet = io.BytesIO()
        contact_sheet(train.X, classes[train.y], synthetic.X, classes[synthetic.y], sheet)
        yield sheet, "Real images on the left, synthetic ones on the right, by class"
        yield (
            nearest_pairs(train, synthetic, classes),
            "Synthetic images (left of each pair) and their nearest training image (right)",
        )
        if hasattr(generator, "vary"):
            yield (
                variation_grid(train, classes, generator),
                "Training images (left column) and variations of them",
            )
    elif modality == "series":
        yield (
            series_curves(train, synthetic, classes),
            "Real series on the left, synthetic ones on the right, by class; a colour for each channel",
        )
    elif modality == "table":
        yield histograms(train.X, synthetic.X), "Columns: real (filled) and synthetic (line)"
        yield (
            correlations(train.X, synthetic.X),
            "Correlations of encoded columns: real, synthetic, difference",
        )
    if getattr(generator, "history_", None):
        yield (
            loss_curves(generator.history_),
            "Losses during training, and the diversity of the least diverse class",
        )
    yield (
        pca_scatter(samples.train_features, samples.synthetic_features, classes),
        "Features in two dimensions (principal components): real (dots) and synthetic (crosses)",
    )


def _figure_html(picture: io.BytesIO, words: str) -> str:
    data = base64.b64encode(picture.getvalue()).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{words}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def _table(title: str, measures: Mapping[str, Entry]) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    rows = []
    for name, entry in measures.items():
        interval = "" if entry["low"] is None else f"{number(entry['low'])} to {number(entry['high'])}"
        cells = [name, number(entry["value"]) or "not measurable", interval]
        cells += [number(entry[key]) for key in REFERENCES]
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    names = ("measure", "value", "interval", "real", "noise", "training copies", "single mode")
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<h2>{html.escape(title)}</h2><div class="wide"><table><tr>{head}</tr>{body}</table></div>'
