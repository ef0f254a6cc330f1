from __future__ import annotations

import numpy as np
from PIL import Image

from ganaug.report import contact_sheet


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
