"""
A first look: real digits, samples, variations
==============================================

A generator learns ten digits, of which some are rare. It makes new images of each.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from ganaug import ConditionalGAN

counts = [120, 90, 70, 50, 40, 30, 25, 20, 15, 10]  # training images of the digits 0 to 9
digits = load_digits()
kept = np.concatenate([np.flatnonzero(digits.target == k)[:n] for k, n in enumerate(counts)])
X, y = np.round(digits.images[kept] * 255 / 16).astype(np.uint8), digits.target[kept]

# %%
# ``architecture="warping"`` is one of the two that images of 8 pixels get by default. The default has 1,500
# steps, not 100.

gan = ConditionalGAN(architecture="warping", steps=100, random_state=0).fit(X, y)

# %%
# A *sample* starts from a random training image of its class. A *variation* starts from the image that is
# given: here from the real one in its row.

classes = np.arange(10)
real = np.stack([X[y == k][:5] for k in classes])
samples = gan.sample(np.repeat(classes, 5), random_state=0).reshape(10, 5, 8, 8)
varied = gan.vary(np.repeat(real[:, 0], 5, axis=0), np.repeat(classes, 5), random_state=0)
parts = {"real": real, "samples": samples, "variations of the first": varied.reshape(10, 5, 8, 8)}

figure, axes = plt.subplots(1, 3, figsize=(8.5, 5.6))
for ax, (title, images) in zip(axes, parts.items(), strict=True):
    framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=128)
    ax.imshow(framed.transpose(0, 2, 1, 3).reshape(100, 50), cmap="gray")
    ax.set(title=title, xticks=[], yticks=[])
axes[0].set(
    yticks=np.arange(10) * 10 + 4.5, yticklabels=[f"{k} ({n})" for k, n in enumerate(counts)], ylabel="digit"
)
figure.tight_layout()
plt.show()

# %%
# After so few steps some samples are blurred, and some are hard to read. The 8 and the 9 borrow differences
# from digits with more images. Whether all that helps a classifier, no picture can say.
