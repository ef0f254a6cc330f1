"""
How many to add, or nothing
===========================

``recommend_counts`` finds out by cross-validation whether synthetic rows help *your* classifier. "Add
nothing" is an answer.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ganaug import ConditionalGAN, recommend_counts

X, y = load_breast_cancer(return_X_y=True)
malignant = (y == 0).astype(int)
kept = (malignant == 0) | (malignant.cumsum() <= 20)  # 357 benign tumours, 20 malignant ones

# %%
# One table and one generator, two classifiers. ``None`` stands for the default, an ensemble of random
# trees.

classifiers = {
    "random trees": None,
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
}
found = {
    name: recommend_counts(
        ConditionalGAN(steps=100), X[kept], malignant[kept], classifier=classifier, random_state=0
    )
    for name, classifier in classifiers.items()
}
for name, recommendation in found.items():
    print(f"{name}: {recommendation.reason}\n  to add: {recommendation.to_add}")

# %%
# The three best candidates of each, with the gain in log-likelihood of unseen rows and its 95 % interval.
# *balance* fills the small class up, *balance+1000* adds 1,000 more to both, at a share of the draws. What
# is recommended (green) has an interval above 0.

figure, axes = plt.subplots(2, 1, figsize=(8.5, 4), sharex=True)
for ax, (name, recommendation) in zip(axes, found.items(), strict=True):
    for row, trial in enumerate(recommendation.trials):
        color = "tab:green" if trial.candidate == recommendation.candidate else "tab:gray"
        ax.plot([trial.low, trial.high], [row, row], color=color, linewidth=3)
        ax.plot(trial.gain, row, "o", color=color)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title=f"{name}: {recommendation.reason.partition(':')[0].lower()}", ylim=(2.6, -0.6))
    ax.set_yticks(range(3), [str(trial.candidate).partition(" of the")[0] for trial in recommendation.trials])
axes[1].set_xlabel("gain in balanced log-likelihood")
figure.tight_layout()
plt.show()
