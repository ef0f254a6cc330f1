"""The arms of the gain benchmark: what a user could train on instead of the data as it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from benchmarks.classifier import TrainingSet
from benchmarks.deepsmote import deep_smote
from ganaug import ConditionalGAN, GANAugment, GANOverSampler, QualityGate
from ganaug.adapters.pool import USUAL

SHARE = 0.8  # of the draws of a class that are synthetic, where an arm goes beyond balance
EXTRA_PER_CLASS = 1000  # synthetic images added to each class there
QUICK_STEPS = 100  # of training a generator, where a run shall only show that it runs


class Context:
    """The training rows of one seed, and what several arms share: made when first asked for."""

    def __init__(self, X: np.ndarray, y: np.ndarray, seed: int, *, quick: bool = False) -> None:
        self.X, self.y, self.seed, self.quick = X, y, seed, quick
        self.seconds = 0.0  # of fitting the GAN
        self._gan: ConditionalGAN | None = None

    @property
    def gan(self) -> ConditionalGAN:
        """A GAN with default parameters, fitted on the training rows."""
        if self._gan is None:
            start = time.perf_counter()
            self._gan = self.unfitted().fit(self.X, self.y)
            self.seconds = time.perf_counter() - start
        return self._gan

    def unfitted(self) -> ConditionalGAN:
        """Return a GAN with default parameters."""
        if self._gan is not None:
            return clone(self._gan)
        return ConditionalGAN(steps=QUICK_STEPS if self.quick else "auto", random_state=self.seed)

    def use(self, gan: ConditionalGAN) -> None:
        """Take a fitted GAN in the place of the default one."""
        self._gan = gan


Arm = Callable[[Context], TrainingSet]


def as_it_is(context: Context) -> TrainingSet:
    """Every row equally often."""
    return TrainingSet(context.X, context.y, np.ones(len(context.y)))


def balanced(context: Context) -> TrainingSet:
    """Every class equally often."""
    return TrainingSet(context.X, context.y, _evenly(context.y))


def deferred_weights(context: Context) -> TrainingSet:
    """Every row equally often; classes weighted by effective number in the last part.

    DRW of Cao et al., NeurIPS 2019, with the weights of Cui et al., CVPR 2019 (beta 0.9999).
    """
    counts = np.bincount(context.y)
    weight = (1 - 0.9999) / (1 - 0.9999**counts)
    weight *= len(counts) / weight.sum()
    return TrainingSet(context.X, context.y, np.ones(len(context.y)), class_weight=weight)


def mixup(context: Context) -> TrainingSet:
    """Every class equally often, images and labels mixed (Zhang et al., ICLR 2018)."""
    return TrainingSet(context.X, context.y, _evenly(context.y), mixup=0.2)


def mixup_more(context: Context) -> TrainingSet:
    """The same, mixed more evenly: the best of six alphas on validation images of other seeds of digits."""
    return TrainingSet(context.X, context.y, _evenly(context.y), mixup=0.8)


def smote(context: Context) -> TrainingSet:
    """SMOTE on pixels, filled up to the largest class."""
    neighbours = min(5, np.bincount(context.y).min() - 1)
    # Floats: SMOTE subtracts rows, which wraps around in uint8.
    flat = context.X.reshape(len(context.X), -1).astype(np.float64)
    rows, y = SMOTE(k_neighbors=neighbours, random_state=context.seed).fit_resample(flat, context.y)
    X = rows.round().astype(np.uint8).reshape(-1, *context.X.shape[1:])
    return TrainingSet(X, y, _evenly(y))


def deepsmote(context: Context) -> TrainingSet:
    """DeepSMOTE, filled up to the largest class."""
    few = {"steps": QUICK_STEPS} if context.quick else {}
    X, y = deep_smote(context.X, context.y, seed=context.seed, **few)
    return TrainingSet(X, y, _evenly(y))


def ganaug(context: Context) -> TrainingSet:
    """GANOverSampler with its defaults: filled up to the largest class."""
    gate = QualityGate(context.gan, random_state=context.seed).fit(context.X, context.y)
    sampler = GANOverSampler(FrozenEstimator(gate), random_state=context.seed)
    X, y = sampler.fit_resample(context.X, context.y)
    return TrainingSet(X, y, _evenly(y))


def ganaug_beyond(context: Context) -> TrainingSet:
    """Synthetic images for every class, the largest too, at `SHARE` of the draws."""
    totals = {c: int(n) + EXTRA_PER_CLASS for c, n in enumerate(np.bincount(context.y))}
    sampler = GANOverSampler(
        FrozenEstimator(context.gan), sampling_strategy=totals, random_state=context.seed
    )
    X, y = sampler.fit_resample(context.X, context.y)
    return TrainingSet(X, y, _shared(y, sampler.synthetic_mask_))


def ganaug_recommended(context: Context) -> TrainingSet:
    """GANOverSampler, adding as much as it finds best by cross-validation, which may be nothing."""
    sampler = GANOverSampler(
        QualityGate(context.unfitted()), sampling_strategy="recommended", random_state=context.seed
    )
    X, y = sampler.fit_resample(context.X, context.y)
    found = sampler.recommendation_
    extra = {"recommendation": str(found), "recommend_seconds": round(found.seconds, 1)}
    return TrainingSet(X, y, sampler.sample_weight_, extra=extra)


def duplicates(context: Context) -> TrainingSet:
    """The same as `ganaug_beyond` with copies of real images in the place of synthetic ones."""
    rng = np.random.default_rng(context.seed)
    copies = [rng.choice(np.flatnonzero(context.y == c), EXTRA_PER_CLASS) for c in np.unique(context.y)]
    rows = np.concatenate([np.arange(len(context.y)), *copies])
    mask = np.arange(len(rows)) >= len(context.y)
    return TrainingSet(context.X[rows], context.y[rows], _shared(context.y[rows], mask))


def only(context: Context, each: int = EXTRA_PER_CLASS) -> TrainingSet:
    """Synthetic images alone: train on synthetic, test on real."""
    labels = np.repeat(np.unique(context.y), each)
    X = context.gan.sample(labels, random_state=context.seed)
    return TrainingSet(X, labels, np.ones(len(labels)))


def transform(context: Context) -> TrainingSet:
    """`GANAugment` with its defaults, on batches in which every class comes equally often."""
    augment = GANAugment(context.gan, random_state=context.seed)
    return TrainingSet(context.X, context.y, _evenly(context.y), transform=augment)


def transform_vary(context: Context) -> TrainingSet:
    """The same, but variations of the images of the batch."""
    augment = GANAugment(context.gan, mode="vary")
    return TrainingSet(context.X, context.y, _evenly(context.y), transform=augment)


def transform_mixup(context: Context) -> TrainingSet:
    """`GANAugment`, then mixup as the arm "mixup" has it: what whoever uses mixup already would do."""
    return replace(transform(context), mixup=mixup(context).mixup)


def only_mixup(context: Context) -> TrainingSet:
    """`only` with as many images as `GANAugment` has in its pool, and mixup."""
    return replace(only(context, USUAL), mixup=mixup(context).mixup)


def leaning(arm: Arm, few: int = 30) -> Arm:
    """Return `arm`, drawing a class of n real images (1 + few / n) times as often as a large one."""

    def lean(context: Context) -> TrainingSet:
        even = arm(context)
        return replace(even, draw=even.draw * (1 + few / np.bincount(context.y)[even.y]))

    return lean


def _evenly(y: np.ndarray) -> np.ndarray:
    return 1 / np.bincount(y)[y]


def _shared(y: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Return draws by which every class is equally likely, and `SHARE` of its draws synthetic."""
    draw = np.empty(len(y))
    for part, share in ((~synthetic, 1 - SHARE), (synthetic, SHARE)):
        draw[part] = share / np.bincount(y[part])[y[part]]
    return draw


ARMS: dict[str, Arm] = {
    "as it is": as_it_is,
    "balanced": balanced,
    "deferred weights": deferred_weights,
    "mixup": mixup,
    "mixup 0.8": mixup_more,
    "SMOTE": smote,
    "DeepSMOTE": deepsmote,
    "duplicates": duplicates,
    "ganaug": ganaug,
    "ganaug beyond": ganaug_beyond,
    "ganaug only": only,
    "GANAugment": transform,
    "GANAugment vary": transform_vary,
    "GANAugment + mixup": transform_mixup,
    "leaning mixup": leaning(mixup),
    "leaning mixup 0.8": leaning(mixup_more),
    "leaning 10 mixup": leaning(mixup, 10),
    "leaning 10 mixup 0.8": leaning(mixup_more, 10),
    "leaning GANAugment + mixup": leaning(transform_mixup),
    "leaning 10 GANAugment + mixup": leaning(transform_mixup, 10),
    "leaning ganaug only + mixup": leaning(only_mixup),
    "ganaug recommended": ganaug_recommended,
}
OURS = (
    "ganaug",
    "ganaug beyond",
    "ganaug only",
    "GANAugment",
    "GANAugment vary",
    "GANAugment + mixup",
    "leaning GANAugment + mixup",
    "leaning 10 GANAugment + mixup",
    "leaning ganaug only + mixup",
    "ganaug recommended",
)
ON_REQUEST = ("ganaug recommended",)  # takes several fits of the GAN
CONTROLS = ("duplicates",)
