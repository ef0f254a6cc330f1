"""Recommendation: how many synthetic samples to add to each class, at what weight, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ganaug.data.labels import label_array
from ganaug.data.weights import balanced_weights
from ganaug.selection.candidates import Candidate
from ganaug.selection.trials import Trial

# Images pass the fidelity checks up to these values. The checks count where the data are too few to show
# a significant gain.
MAX_C2ST_AUC = 0.9
MAX_NEAR_DUPLICATES = 0.5


@dataclass(frozen=True)
class FidelityCheck:
    """What speaks for and against the synthetic images themselves, over all folds.

    Attributes
    ----------
    c2st_auc : float
        Of a classifier two-sample test against held-out real images: the area under the ROC curve, from
        0.5 (indistinguishable) to 1.
    near_duplicate_rate : float
        The share that are near duplicates of training images: closer to one than 1 % of real images are
        to each other.
    tstr_gain : Trial
        Train on synthetic, test on real: what a classifier trained on synthetic images alone gains over
        one trained on real ones.
    """

    c2st_auc: float
    near_duplicate_rate: float
    tstr_gain: Trial

    def failed_checks(self) -> list[str]:
        """Return the checks that the images fail, in plain words."""
        failed = []
        if self.c2st_auc > MAX_C2ST_AUC:
            failed.append(f"a classifier distinguishes them from real ones (C2ST AUC {self.c2st_auc:.2f})")
        if self.near_duplicate_rate > MAX_NEAR_DUPLICATES:
            failed.append(f"{self.near_duplicate_rate:.0%} are near duplicates of training images")
        if self.tstr_gain.high < 0:
            failed.append("a classifier trained on them alone does worse than one trained on real ones")
        return failed

    def __str__(self) -> str:
        gain = self.tstr_gain
        return (
            f"C2ST AUC {self.c2st_auc:.3f}, {self.near_duplicate_rate:.0%} near duplicates, trained on them"
            f" alone {gain.gain:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        )


class Recommendation:
    """How many synthetic samples to add to each class, and at what weight.

    Attributes
    ----------
    candidate : Candidate
        What is recommended.
    to_add : dict of label to int
        Samples to add; all 0 where nothing is to be added.
    totals : dict of label to int
        Final numbers of samples, which imbalanced-learn takes as `sampling_strategy`.
    synthetic_share : dict of label to float
        The share of a class's draws that is synthetic.
    trials : list of Trial
        Of the candidates that all folds tried.
    reason : str
        Why, in plain words.
    seconds : float
        What it took.
    fidelity : FidelityCheck or None
        Of images only: the checks that count where no candidate gained significantly.
    """

    def __init__(
        self,
        classes: np.ndarray,
        counts: np.ndarray,
        candidate: Candidate,
        trials: list[Trial],
        reason: str,
        seconds: float,
        fidelity: FidelityCheck | None = None,
    ) -> None:
        added, shares = candidate.to_add(counts), candidate.synthetic_shares(counts)
        labels = classes.tolist()
        self.candidate = candidate
        self.trials = trials
        self.reason = reason
        self.seconds = seconds
        self.fidelity = fidelity
        self.to_add: dict[Any, int] = dict(zip(labels, added.tolist(), strict=True))
        self.totals: dict[Any, int] = dict(zip(labels, (counts + added).tolist(), strict=True))
        self.synthetic_share: dict[Any, float] = dict(zip(labels, shares.tolist(), strict=True))

    def sample_weight(self, y: Any, synthetic: Any) -> np.ndarray:
        """Return weights, (n,), by which all classes count alike, and synthetic samples their share.

        Parameters
        ----------
        y : array-like of shape (n,)
            Labels of real and synthetic samples.
        synthetic : array-like of shape (n,), bool

        Raises
        ------
        ValueError
            If a label is not one of those that were recommended for, or no sample is real.
        """
        y = label_array(y)
        unknown = set(np.unique(y).tolist()) - set(self.synthetic_share)
        if unknown:
            raise ValueError(
                f"`y` must hold labels among {list(self.synthetic_share)}, got {sorted(unknown)[:5]}."
            )
        if np.all(synthetic):
            raise ValueError("`synthetic` must be False for some samples, got only True.")
        return balanced_weights(y, np.asarray(synthetic, dtype=bool), self.synthetic_share)

    def __str__(self) -> str:
        lines = [self.reason]
        lines += [
            f"  {trial.candidate}: {trial.gain:+.4f} ({trial.low:+.4f} to {trial.high:+.4f})"
            for trial in self.trials
        ]
        lines += [f"  Fidelity: {self.fidelity}"] if self.fidelity else []
        return "\n".join(lines)
