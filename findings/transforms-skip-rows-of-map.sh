#!/usr/bin/env bash
# torchvision's transforms leave rows of Hugging Face's `Dataset.map` as they are, without a word.
#
# torchvision.transforms.v2 takes dicts of images, and changes the images in them. The rows that `map` hands
# over look like dicts, but are LazyRow, which torch's pytree takes for one leaf that holds no image. So
# `dataset.map(transform)` runs through all rows and returns them unchanged, with no error and no warning. The
# same transform behind `with_transform`, or around `dict(row)`, works.
#
# Seen with datasets 5.2.0, torchvision 0.29.2 and torch 2.15.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datasets==5.2.0 torchvision==0.29.2 torch==2.15.0 pillow==13.0.0
HF_HOME="$folder/hf" HF_DATASETS_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import datasets
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

datasets.disable_progress_bars()
print("datasets", datasets.__version__, "torchvision", torchvision.__version__, "torch", torch.__version__)
grey = Image.new("L", (16, 16))
rows = datasets.Dataset.from_dict({"image": [grey], "label": [1]}, datasets.Features(
    {"image": datasets.Image(), "label": datasets.Value("int64")}
))
transform = v2.Resize(8)
seen = []


def noting(row):
    seen.append(type(row).__name__)
    return transform(row)


by_map = rows.map(noting)[0]["image"].size
by_dict = rows.map(lambda row: transform(dict(row)))[0]["image"].size
print("map hands over", seen[0])
print("size after map:", by_map, "after map with dict(row):", by_dict)
assert by_dict == (8, 8)
assert by_map == (16, 16), "rows of map are transformed now"
PY
