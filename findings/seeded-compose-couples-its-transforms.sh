#!/usr/bin/env bash
# In albumentations, Compose(seed=) gives all its transforms the same random numbers.
#
# Two transforms of equal probability then always apply together or not at all: of horizontal and vertical
# flips with p=0.5, a seeded pipeline makes images that are turned by 180 degrees, or left as they are, and
# never one that is flipped once. Without a seed the transforms draw independently. So a run that is made
# reproducible augments with half of the variety, or less.
#
# Seen with albumentations 2.0.8, the last release under the MIT licence: `Compose.set_random_seed` hands the
# same seed to each transform, which makes its own generator of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q albumentations==2.0.8 albucore==0.0.24
NO_ALBUMENTATIONS_UPDATE=1 "$folder/venv/bin/python" - <<'PY'
from collections import Counter

import albumentations as A
import numpy as np

image = np.array([[0, 1], [2, 3]], np.uint8)
names = {(0, 1, 2, 3): "none", (1, 0, 3, 2): "horizontal", (2, 3, 0, 1): "vertical", (3, 2, 1, 0): "both"}


def flips(**options):
    compose = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], **options)
    return Counter(names[tuple(compose(image=image)["image"].ravel().tolist())] for _ in range(400))


print("albumentations", A.__version__)
seeded, free = flips(seed=0), flips()
print("seed=0: ", dict(sorted(seeded.items())))
print("no seed:", dict(sorted(free.items())))
assert set(free) == {"none", "horizontal", "vertical", "both"}
assert set(seeded) == {"none", "both"}, "transforms of a seeded pipeline draw independently now"
PY
