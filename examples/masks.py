"""
Images and their masks, varied together
=======================================

A generator learns digits, and never sees a mask. The masks of varied digits follow by the flow.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from ganaug import ConditionalGAN

digits = load_digits()
X, y = np.round(digits.images[:400] * 255 / 16).astype(np.uint8), digits.target[:400]

# %%
# Images of 8 pixels get two architectures by default. One of them does not warp, so it is left out here. The
# default has 1,500 steps, not 100.

gan = ConditionalGAN(architecture="warping", steps=100, random_state=0).fit(X, y)

# %%
# A mask is drawn once, of the real image: here where it is bright. Values 1 and 2 are its upper and its lower
# half.

chosen = np.array([np.flatnonzero(y == k)[0] for k in (0, 2, 3, 6, 9)])
masks = np.where(X[chosen] > 100, 1, 0)
masks[:, 4:] *= 2
columns = [(X[chosen], masks)]
for seed in range(4):
    varied, flow = gan.vary(X[chosen], y[chosen], strength=1.5, random_state=seed, return_flow=True)
    columns.append((varied, flow.warp_masks(masks)))

figure, axes = plt.subplots(len(chosen), 2 * len(columns), figsize=(8.5, 4.6))
for column, (images, own) in enumerate(columns):
    for row, (image, mask) in enumerate(zip(images, own, strict=True)):
        axes[row, 2 * column].imshow(image, cmap="gray", vmin=0, vmax=255)
        axes[row, 2 * column + 1].imshow(mask, cmap="viridis", vmin=0, vmax=2)
    axes[0, 2 * column].set_title("real" if column == 0 else f"variation {column}", fontsize=9, loc="left")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
figure.tight_layout(pad=0.3)
plt.show()

# %%
# Each mask has the values 0, 1 and 2 and no others: its pixels are those of the real mask, at other places.
# Nothing is painted into these images, as no mask would fit that.
