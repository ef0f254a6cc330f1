"""Grey images of shapes with exact masks, drawn by code: what the segmentation benchmark is about."""

from __future__ import annotations

import numpy as np

SIDE = 16
# Points a side of a pixel at which a shape is sampled, so that its edge is smooth.
SUPERSAMPLING = 4
SHAPES = ("disc", "square", "triangle", "star")


def draw(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with one shape for each label, and its mask.

    Shapes differ in place, size, proportions, angle and outline, which is bent at random. Each lies on a
    texture, in light that comes from one side, and is brighter or darker than the ground. Two distractors,
    short bars, belong to the ground.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Indices into `SHAPES`.
    seed : int

    Returns
    -------
    images : ndarray of shape (n, 16, 16), uint8
    masks : ndarray of shape (n, 16, 16), uint8
        0 for the ground, 1 + label where the shape covers most of a pixel.
    """
    rng = np.random.default_rng(seed)
    images = np.empty((len(labels), SIDE, SIDE), np.uint8)
    masks = np.empty_like(images)
    for i, label in enumerate(labels):
        images[i], masks[i] = _draw_one(int(label), rng)
    return images, masks


def _draw_one(label: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    fine = (np.arange(SIDE * SUPERSAMPLING) + 0.5) / (SIDE * SUPERSAMPLING) * 2 - 1
    x, y = np.meshgrid(fine, fine)
    bars = np.zeros_like(x, bool)
    for _ in range(2):
        u, v = _own_axes(x, y, rng.uniform(-0.8, 0.8, 2), rng.uniform(0, np.pi))
        bars |= (abs(u) < rng.uniform(0.15, 0.3)) & (abs(v) < 0.06)
    u, v = _own_axes(x, y, rng.uniform(-0.4, 0.4, 2), rng.uniform(-0.5, 0.5))
    stretch = np.exp(rng.normal(0, 0.15))
    radius, angle = np.hypot(u * stretch, v / stretch), np.arctan2(v / stretch, u * stretch)
    bend = sum(rng.normal(0, 0.06) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3))
    inside = radius < rng.uniform(0.45, 0.7) * _outline(label, angle) * (1 + bend)
    covered, in_bars = (_coarse(part.astype(float)) for part in (inside, bars & ~inside))
    texture = _coarse(np.kron(rng.normal(0, 1, (SIDE // 4, SIDE // 4)), np.ones((16, 16))))
    light = rng.normal(0, 0.12, 2)
    ground = rng.uniform(0.2, 0.6)
    contrast = rng.uniform(0.2, 0.4)
    image = ground + 0.05 * texture + contrast * np.maximum(covered, in_bars)
    image += light[0] * _coarse(x) + light[1] * _coarse(y) + rng.normal(0, 0.04, image.shape)
    return np.round(255 * image.clip(0, 1)).astype(np.uint8), np.where(covered > 0.5, label + 1, 0)


def _own_axes(
    x: np.ndarray, y: np.ndarray, center: np.ndarray, angle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates from a center, along turned axes."""
    dx, dy = x - center[0], y - center[1]
    return np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx


def _outline(label: int, angle: np.ndarray) -> np.ndarray | float:
    """Return the distance of a shape's edge from its center by angle; areas are about the same."""
    if SHAPES[label] == "disc":
        return 1.0
    if SHAPES[label] == "star":
        return 0.95 + 0.35 * np.cos(5 * angle)
    corners, size = (4, 0.9) if SHAPES[label] == "square" else (3, 0.78)
    return size / np.cos((angle + np.pi / 2) % (2 * np.pi / corners) - np.pi / corners)


def _coarse(fine: np.ndarray) -> np.ndarray:
    """Return means over pixels."""
    return fine.reshape(SIDE, SUPERSAMPLING, SIDE, SUPERSAMPLING).mean((1, 3))
