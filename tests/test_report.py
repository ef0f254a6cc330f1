from __future__ import annotations

import numpy as np
from PIL import Image

from ganaug.evaluation.pictures import contact_sheet, pca_scatter
from ganaug.evaluation.samples import LabeledSamples


def test_contact_sheet_shows_both_sides(tmp_path):
    y = np.repeat([0, 1], 4)
    real = np.full((8, 12, 10, 3), (255, 0, 0), np.uint8)
    synthetic = np.full((8, 12, 10, 3), (0, 0, 255), np.uint8)
    contact_sheet(real, y, synthetic, y, tmp_path / "x.png", columns=4)
    picture = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(int)
    left, right = np.array_split(picture, 2, axis=1)
    red, blue = ((side[..., i] - side[..., 2 - i] > 200).mean() for side, i in ((left, 0), (right, 2)))
    assert red > 0.2
    assert blue > 0.2


def test_the_legend_names_each_class(monkeypatch):
    """Also those that matplotlib would hide."""
    monkeypatch.setattr("ganaug.evaluation.pictures._to_png", lambda figure: figure)
    features, labels = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    real, synthetic = LabeledSamples(features, labels), LabeledSamples(features + 1, labels)
    figure = pca_scatter(real, synthetic, np.array(["_background_", "cat"]))
    shown = [text.get_text().strip("\u200b") for text in figure.axes[0].get_legend().get_texts()]
    assert shown == ["_background_", "cat"]
