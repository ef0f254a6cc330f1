"""
What the measures of a report see
=================================

``quality_report`` compares synthetic samples with real ones, and with three bad generators. No single
measure tells good from bad.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer

from ganaug import ConditionalGAN, quality_report

X, y = load_breast_cancer(return_X_y=True)
gan = ConditionalGAN(steps=100, random_state=0).fit(X[::2], y[::2])
report = quality_report(gan, X[::2], y[::2], X[1::2], y[1::2], per_class=150)
print("\n".join(report["verdict"]))

# %%
# Each row is a measure, each dot what one source of rows scores. The black line is what real rows score
# against other real rows.

measures = ["precision", "density", "recall", "coverage", "diversity", "authenticity", "memorization"]
measures += ["membership_auc", "tstr"]
sources = {
    "value": ("this generator", "o", "tab:orange"),
    "train_copies": ("copies of the training rows", "s", "tab:red"),
    "single_mode": ("one row over and over", "^", "tab:blue"),
    "noise": ("noise: columns shuffled", "x", "tab:gray"),
}
figure, ax = plt.subplots(figsize=(8.5, 4.5))
for shift, (key, (name, marker, color)) in zip((-0.24, -0.08, 0.08, 0.24), sources.items(), strict=True):
    scores = [report["overall"][measure][key] for measure in measures]
    known = [(score, row + shift) for row, score in enumerate(scores) if score is not None]
    ax.plot(*zip(*known, strict=True), marker, color=color, label=name, markersize=7)
for row, measure in enumerate(measures):
    real = report["overall"][measure]["real"]
    if real is not None:
        ax.plot([real, real], [row - 0.35, row + 0.35], color="black", label=None if row else "real rows")
ax.set_yticks(range(len(measures)), measures)
ax.invert_yaxis()
ax.grid(alpha=0.3)
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
figure.tight_layout()
plt.show()

# %%
# Copies score as well as real rows, but for authenticity, memorization and membership. One row over and
# over has a high precision, and noise a high diversity and authenticity. Noise is told by precision and
# coverage.
