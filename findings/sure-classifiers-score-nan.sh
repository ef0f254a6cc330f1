#!/usr/bin/env bash
# torchmetrics' Inception Score of a classifier that is very sure of all images is NaN, without a word.
#
# `InceptionScore(feature=module)` takes the logits of a module of one's own. Where a class has probability 0 in all
# images of a part, as it has in float32 from 104 below the largest logit on, the metric multiplies 0 by the
# logarithm of 0. By the formula such a class adds nothing, and with logits 90 below the largest it does so. There
# are ten parts by default, so the class need only be missing from one of them. Take `log_softmax` of the logits
# and `clamp(min=-80)` first, or hand on float64, whose bound is 745.
#
# Seen with torchmetrics 1.9.0 and torch 2.15.0, in `InceptionScore.compute`; that of 1.6.0 is the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch
import torchmetrics
from torchmetrics.image.inception import InceptionScore

print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)


class Classifier(torch.nn.Module):
    """Dark images are of class 0, light ones of class 1; class 2 does not occur here."""

    def __init__(self, margin):
        super().__init__()
        self.margin = margin

    def forward(self, images):
        light = images.mean(dim=(1, 2, 3)) > 0.5
        return torch.stack([~light, light, torch.zeros_like(light)], dim=1) * self.margin


torch.manual_seed(0)
images = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)]).repeat(50, 1, 1, 1)
scores = {}
for margin in (90.0, 120.0):
    metric = InceptionScore(feature=Classifier(margin), splits=2)
    metric.update(images)
    scores[margin] = float(metric.compute()[0])
    print("logits", margin, "apart:", scores[margin])
assert abs(scores[90.0] - 2) < 0.05, "two classes of equal frequency score 2, or a little less in parts"
assert scores[120.0] != scores[120.0], "it is a number now"
PY
