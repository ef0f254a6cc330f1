"""The arms of the gain benchmark: the ways to train on an imbalanced set of images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from benchmarks.classifier import TrainingSet
from benchmarks.deepsmote import deep_smote
from ganaug import ConditionalGAN, GANAugment, GANOverSampler, QualityGate, augmented_loader
from ganaug.adapters.pool import DEFAULT_PER_CLASS
from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE, balanced_weights

# Images added to every class by the arms that add the same number to each.
EXTRA_PER_CLASS = 1000
# Training steps of a generator in a run that only has to show that it works.
QUICK_STEPS = 100


class Context:
    """The training images of one seed, and the GAN that several arms share, fitted when first asked for."""

    def __init__(self, X: np.ndarray, y: np.ndarray, seed: int, *, quick: bool = False) -> None:
        self.X, self.y, self.seed, self.quick = X, y, seed, quick
        self.seconds = 0.0  # of fitting the GAN
        self._gan: ConditionalGAN | None = None

    @property
    def gan(self) -> ConditionalGAN:
        """A GAN with default parameters, fitted on the training images."""
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
        """Use a fitted GAN instead of the default one."""
        self._gan = gan


Arm = Callable[[Context], TrainingSet]


def instance_balanced(context: Context) -> TrainingSet:
    """Every image equally often: no resampling."""
    return TrainingSet(context.X, context.y, np.ones(len(context.y)))


def class_balanced(context: Context) -> TrainingSet:
    """Every class equally often."""
    return TrainingSet(context.X, context.y, _class_balanced_weights(context.y))


def drw(context: Context) -> TrainingSet:
    """Every image equally often; classes are weighted by effective number in the last part.

    Deferred re-weighting of Cao et al., NeurIPS 2019, with the weights of Cui et al., CVPR 2019
    (beta 0.9999).
    """
    counts = np.bincount(context.y)
    weight = (1 - 0.9999) / (1 - 0.9999**counts)
    weight *= len(counts) / weight.sum()
    return TrainingSet(context.X, context.y, np.ones(len(context.y)), class_weight=weight)


def mixup(context: Context) -> TrainingSet:
    """Class-balanced, images and labels mixed with alpha 0.2 (Zhang et al., ICLR 2018)."""
    return replace(class_balanced(context), mixup=0.2)


def mixup_stronger(context: Context) -> TrainingSet:
    """The same with alpha 0.8: the best of six alphas on validation images of other seeds of digits."""
    return replace(class_balanced(context), mixup=0.8)


def cutmix(context: Context) -> TrainingSet:
    """Class-balanced, a box of each image replaced by another's, alpha 1 (Yun et al., ICCV 2019)."""
    return replace(class_balanced(context), cutmix=1.0)


def pasted(context: Context) -> TrainingSet:
    """CutMix of images as they come, with boxes of others, of each class as often (Park et al., CVPR 2022).

    So small classes are shown on the backgrounds of large ones.
    """
    balanced = _class_balanced_weights(context.y)
    return replace(instance_balanced(context), cutmix=1.0, others_weight=balanced)


def rand_augment(context: Context) -> TrainingSet:
    """Class-balanced, each image changed by RandAugment (Cubuk et al., NeurIPS 2020), torchvision's own."""
    return replace(class_balanced(context), rand_augment=True)


def rand_augment_cutmix(context: Context) -> TrainingSet:
    """RandAugment of each image, then CutMix: what `augmented_loader` does to photographs, without a GAN."""
    return replace(rand_augment(context), cutmix=1.0)


def smote(context: Context) -> TrainingSet:
    """SMOTE on pixels, up to the size of the largest class."""
    neighbours = min(5, np.bincount(context.y).min() - 1)
    # SMOTE subtracts images, which would wrap around in uint8.
    flat = context.X.reshape(len(context.X), -1).astype(np.float64)
    resampled, y = SMOTE(k_neighbors=neighbours, random_state=context.seed).fit_resample(flat, context.y)
    X = resampled.round().astype(np.uint8).reshape(-1, *context.X.shape[1:])
    return TrainingSet(X, y, _class_balanced_weights(y))


def deepsmote(context: Context) -> TrainingSet:
    """DeepSMOTE, up to the size of the largest class."""
    few = {"steps": QUICK_STEPS} if context.quick else {}
    X, y = deep_smote(context.X, context.y, seed=context.seed, **few)
    return TrainingSet(X, y, _class_balanced_weights(y))


def random_oversampling(context: Context) -> TrainingSet:
    """The control of `oversampler_1000`: copies of real images instead of synthetic ones."""
    rng = np.random.default_rng(context.seed)
    copies = [rng.choice(np.flatnonzero(context.y == c), EXTRA_PER_CLASS) for c in np.unique(context.y)]
    indices = np.concatenate([np.arange(len(context.y)), *copies])
    y, copied = context.y[indices], np.arange(len(indices)) >= len(context.y)
    weight = _class_balanced_weights(y, copied, DEFAULT_SYNTHETIC_SHARE)
    return TrainingSet(context.X[indices], y, weight)


def oversampler(context: Context) -> TrainingSet:
    """`GANOverSampler` with its defaults; no weights."""
    return _oversampled(context)


def oversampler_filled_up(context: Context) -> TrainingSet:
    """The same, but only small classes get synthetic images, up to the largest: its default before."""
    return _oversampled(context, sampling_strategy="not majority")


def _oversampled(context: Context, **parameters: Any) -> TrainingSet:
    """Return what `fit_resample` does; its generator is one in a gate, as by default."""
    gate = QualityGate(context.gan, random_state=context.seed).fit(context.X, context.y)
    oversampler = GANOverSampler(FrozenEstimator(gate), random_state=context.seed, **parameters)
    X, y = oversampler.fit_resample(context.X, context.y)
    return TrainingSet(X, y, np.ones(len(y)))


def loader(context: Context) -> TrainingSet:
    """`augmented_loader` with its defaults."""
    batches = augmented_loader((context.X, context.y), context.gan, random_state=context.seed, drop_last=True)
    return TrainingSet(context.X, context.y, np.ones(len(context.y)), loader=batches)


def oversampler_1000(context: Context) -> TrainingSet:
    """As many synthetic images more for every class, at `DEFAULT_SYNTHETIC_SHARE` of its draws."""
    totals = {c: int(n) + EXTRA_PER_CLASS for c, n in enumerate(np.bincount(context.y))}
    oversampler = GANOverSampler(
        FrozenEstimator(context.gan), sampling_strategy=totals, random_state=context.seed
    )
    X, y = oversampler.fit_resample(context.X, context.y)
    return TrainingSet(X, y, _class_balanced_weights(y, oversampler.synthetic_mask_, DEFAULT_SYNTHETIC_SHARE))


def oversampler_recommended(context: Context) -> TrainingSet:
    """GANOverSampler, adding as much as it finds best by cross-validation, which may be nothing."""
    oversampler = GANOverSampler(
        QualityGate(context.unfitted()), sampling_strategy="recommended", random_state=context.seed
    )
    X, y = oversampler.fit_resample(context.X, context.y)
    found = oversampler.recommendation_
    extra = {"recommendation": str(found), "recommend_seconds": round(found.seconds, 1)}
    return TrainingSet(X, y, np.ones(len(y)), extra=extra)


def synthetic_only(context: Context, per_class: int = EXTRA_PER_CLASS) -> TrainingSet:
    """Synthetic images and no real one: train on synthetic, test on real."""
    labels = np.repeat(np.unique(context.y), per_class)
    X = context.gan.sample(labels, random_state=context.seed)
    return TrainingSet(X, labels, np.ones(len(labels)))


def synthetic_only_mixup(context: Context) -> TrainingSet:
    """`synthetic_only` with as many images as `GANAugment` has in its pool, and mixup."""
    return replace(synthetic_only(context, DEFAULT_PER_CLASS), mixup=mixup(context).mixup)


def augment(context: Context) -> TrainingSet:
    """`GANAugment` with its defaults, on class-balanced batches."""
    transform = GANAugment(context.gan, random_state=context.seed)
    return replace(class_balanced(context), transform=transform)


def augment_vary(context: Context) -> TrainingSet:
    """The same, but variations of the images of the batch."""
    return replace(class_balanced(context), transform=GANAugment(context.gan, mode="vary"))


def augment_mixup(context: Context) -> TrainingSet:
    """`GANAugment`, then mixup as the arm "mixup" has it."""
    return replace(augment(context), mixup=mixup(context).mixup)


def tail_weighted(arm: Arm, k: float = 30) -> Arm:
    """Return `arm` with tail-weighted sampling.

    A class of n real images is drawn with probability proportional to 1 + k/n; k = 0 is
    class-balanced sampling.
    """

    def weighted(context: Context) -> TrainingSet:
        balanced = arm(context)
        odds = 1 + k / np.bincount(context.y)[balanced.y]
        return replace(balanced, sampling_weight=balanced.sampling_weight * odds)

    return weighted


def leaning(arm: Arm, power: float = 0.25) -> Arm:
    """Return `arm` with classes of n real images drawn in proportion to n to the -`power`."""

    def weighted(context: Context) -> TrainingSet:
        balanced = arm(context)
        odds = np.bincount(context.y).astype(float)[balanced.y] ** -power
        return replace(balanced, sampling_weight=balanced.sampling_weight * odds)

    return weighted


def _class_balanced_weights(
    y: np.ndarray, synthetic: np.ndarray | None = None, share: float = 0.0
) -> np.ndarray:
    """Return sampling weights by which classes are equally likely, `share` of each of them synthetic."""
    if synthetic is None:
        synthetic = np.zeros(len(y), bool)
    return balanced_weights(y, synthetic, dict.fromkeys(np.unique(y).tolist(), share))


ARMS: dict[str, Arm] = {
    "instance-balanced": instance_balanced,
    "class-balanced": class_balanced,
    "DRW": drw,
    "mixup": mixup,
    "mixup 0.8": mixup_stronger,
    "CutMix": cutmix,
    "pasted": pasted,
    "RandAugment": rand_augment,
    "SMOTE": smote,
    "DeepSMOTE": deepsmote,
    "random oversampling": random_oversampling,
    "fit_resample": oversampler,
    "fit_resample filled up": oversampler_filled_up,
    "augmented_loader": loader,
    "GANOverSampler +1000": oversampler_1000,
    "synthetic only": synthetic_only,
    "GANAugment": augment,
    "GANAugment vary": augment_vary,
    "GANAugment + mixup": augment_mixup,
    "leaning mixup": leaning(mixup),
    "leaning mixup 0.8": leaning(mixup_stronger),
    "leaning CutMix": leaning(cutmix),
    "leaning RandAugment": leaning(rand_augment),
    "leaning RandAugment + CutMix": leaning(rand_augment_cutmix),
    "tail-weighted 30 mixup": tail_weighted(mixup),
    "tail-weighted 30 mixup 0.8": tail_weighted(mixup_stronger),
    "tail-weighted 10 mixup": tail_weighted(mixup, 10),
    "tail-weighted 10 mixup 0.8": tail_weighted(mixup_stronger, 10),
    "tail-weighted 30 GANAugment + mixup": tail_weighted(augment_mixup),
    "tail-weighted 10 GANAugment + mixup": tail_weighted(augment_mixup, 10),
    "tail-weighted 30 synthetic only + mixup": tail_weighted(synthetic_only_mixup),
    "GANOverSampler recommended": oversampler_recommended,
}
# Arms that use this package's generators; the strongest baseline is chosen among the others.
OURS = (
    "fit_resample",
    "fit_resample filled up",
    "augmented_loader",
    "GANOverSampler +1000",
    "synthetic only",
    "GANAugment",
    "GANAugment vary",
    "GANAugment + mixup",
    "tail-weighted 30 GANAugment + mixup",
    "tail-weighted 10 GANAugment + mixup",
    "tail-weighted 30 synthetic only + mixup",
    "GANOverSampler recommended",
)
# It fits several GANs, so it runs only where `--arms` names it.
ON_REQUEST = ("GANOverSampler recommended",)
# A control is no baseline: no user would pick it.
CONTROLS = ("random oversampling",)
