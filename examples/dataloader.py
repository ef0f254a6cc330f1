"""
In a loader: a batch of augmented_loader
========================================

``augmented_loader`` draws small classes more often, replaces some images by synthetic ones, and mixes the
images of a batch.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from ganaug import ConditionalGAN, augmented_loader

counts = [120, 60, 30, 15, 8]  # training images of the digits 0 to 4
digits = load_digits()
kept = np.concatenate([np.flatnonzero(digits.target == k)[:n] for k, n in enumerate(counts)])
X, y = (digits.images[kept] / 16).astype(np.float32), digits.target[kept]
gan = ConditionalGAN(architecture="warping", steps=60, random_state=0).fit(X, y)
loader = augmented_loader((X, y), gan, batch_size=64, generator=torch.Generator().manual_seed(0))

# %%
# Each batch has mixup or CutMix, by chance. Labels are soft: a row of ``labels`` says how much of each
# class is in an image. ``cross_entropy`` takes them as they are. The upper half is of one batch, the lower
# half of another.

torch.manual_seed(43)  # one of each
batches = [next(iter(loader)) for _ in range(2)]
figure, axes = plt.subplots(4, 8, figsize=(8.5, 5.2))
for rows, (images, labels) in zip((axes[:2], axes[2:]), batches, strict=True):
    for ax, image, label in zip(rows.flat, images, labels, strict=False):
        ax.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
        parts = [f"{k}: {share:.0%}" for k, share in enumerate(label.tolist()) if share > 0.005]
        ax.set_title(", ".join(parts), fontsize=8)
        ax.axis("off")
figure.tight_layout()
plt.show()

# %%
# How often each digit is drawn, beside how often it is in the data, and what is synthetic of it.

data = loader.dataset
odds = np.asarray(loader.sampler.weights)
drawn = np.bincount(data.labels, odds) / odds.sum()
synthetic = np.bincount(data.labels, odds * data.synthetic) / odds.sum()

figure, ax = plt.subplots(figsize=(8.5, 3))
ax.bar(np.arange(5) - 0.2, 100 * np.array(counts) / sum(counts), 0.4, color="lightgray", label="in the data")
ax.bar(np.arange(5) + 0.2, 100 * drawn, 0.4, color="tab:blue", label="drawn, real")
ax.bar(np.arange(5) + 0.2, 100 * synthetic, 0.4, color="tab:orange", label="drawn, synthetic")
ax.set(xlabel="digit", ylabel="% of images", xticks=range(5))
ax.legend()
figure.tight_layout()
plt.show()

# %%
# The share that is synthetic is the same for every digit. Otherwise a classifier would take "synthetic" for
# the mark of a rare one.
