#!/usr/bin/env bash
# torchvision's MixUp mixes the labels of a batch and not its images, where a dict has the labels first.
#
# Batches of data sets of dicts, as Hugging Face's and many of one's own, have their keys in the order of the
# items. With {"image": ..., "label": ...} MixUp mixes both, with {"label": ..., "image": ...} it returns soft
# labels beside images of one class each, without a word: every target is wrong from then on. CutMix raises a
# TypeError about the dimensions of a tensor there, which are those of the labels.
#
# Seen with torchvision 0.29.2: where no item is of its own type for images, the first plain tensor is taken
# for the image. The labels are found by their name, and mixed as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchvision==0.29.2
"$folder/venv/bin/python" - <<'PY'
import torch
import torchvision
from torchvision.transforms import v2

print("torchvision", torchvision.__version__)
images, labels = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)]), torch.tensor([0, 1])
mix = v2.MixUp(alpha=1.0, num_classes=2)
changed = {}
for name, batch in (
    ("image first", {"image": images, "label": labels}),
    ("label first", {"label": labels, "image": images}),
):
    torch.manual_seed(0)
    out = mix(batch)
    changed[name] = not torch.equal(out["image"], images)
    print(f"{name}: images mixed: {changed[name]}, labels {out['label'][0].tolist()}")
    assert 0.01 < float(out["label"].min()) < 0.5, "labels are no longer mixed"
assert changed == {"image first": True, "label first": False}, "images are mixed now, or no longer"
PY
