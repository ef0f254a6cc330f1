#!/usr/bin/env bash
# With normalize=True torchmetrics' Inception Score hands a module of one's own bytes; FID and KID hand it floats.
#
# `normalize=True` says that images are floats in [0, 1]. The Inception network takes bytes, so they are multiplied
# by 255 and cut to uint8. For a module of one's own, FID, KID and MIFID skip that and hand on the floats;
# InceptionScore does not. A classifier that casts what it gets to the dtype of its weights, as for half precision,
# then sees values of up to 255 in place of 1, and its score is another, without a word: 2.49 in place of 1.01
# here. So leave `normalize` out for the Inception Score of one's own module.
#
# Seen with torchmetrics 1.9.0 and torch 2.15.0, in `InceptionScore.update`. In 1.6.0 MIFID hands on bytes, too.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch
import torchmetrics
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance

print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)


class Classifier(torch.nn.Module):
    num_features = 3

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 3)

    def forward(self, images):
        self.seen = f"{images.dtype}, up to {float(images.max()):.1f}"
        return self.linear(images.flatten(1).to(self.linear.weight.dtype))


torch.manual_seed(0)
classifier, images = Classifier().eval(), torch.rand(200, 1, 8, 8)
images[0] = 1
seen = {}
for metric in (
    FrechetInceptionDistance(feature=classifier, normalize=True),
    KernelInceptionDistance(feature=classifier, normalize=True, subset_size=50),
    MemorizationInformedFrechetInceptionDistance(feature=classifier, normalize=True),
    InceptionScore(feature=classifier, normalize=True),
):
    name = type(metric).__name__
    metric.update(images) if name == "InceptionScore" else metric.update(images, real=True)
    seen[name] = classifier.seen
    print(f"{name}: {classifier.seen}")
plain = InceptionScore(feature=classifier)
plain.update(images)
print(f"Inception Score {float(metric.compute()[0]):.2f}; without normalize {float(plain.compute()[0]):.2f}")
*others, last = seen.values()
assert set(others) == {"torch.float32, up to 1.0"}
assert last == "torch.uint8, up to 255.0", "it hands on floats now"
PY
