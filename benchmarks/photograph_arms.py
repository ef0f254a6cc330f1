"""The arms of the benchmark of photographs: what a classifier of a backbone's features is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
import torch
from imblearn.over_sampling import SMOTE
from PIL import Image
from sklearn.decomposition import PCA
from torchvision.transforms import v2

from ganaug import ConditionalGAN, GANOverSampler

# Of each image, by the arms that add views of images.
VIEWS = 3
# The weight of all rows of a class together: so C means the same in all arms.
CLASS_WEIGHT = 100.0
# The weight of two images in their mixture is drawn from Beta(alpha, alpha), as for the images of `gain`.
MIXUP_ALPHA = 0.2
# Of the image that stays, as a share of the area, where boxes are pasted.
CUTMIX_ALPHA = 1.0
# Class odds of "leaning" arms are n to the minus this, as `augmented_loader` has it.
LEANING = 0.25
# Classes that lend their distribution, as in the paper.
N_LENDERS = 2


class Space:
    """Where a classifier is trained: principal components of features, or of a power of them, in one scale.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Of the training images.
    power : float
        Taken of each feature (Tukey's ladder of powers).
    n_components : int, optional
        None: all that the images span.
    """

    def __init__(self, X: np.ndarray, power: float = 1.0, n_components: int | None = None) -> None:
        self.power = power
        largest = min(len(X) - 1, X.shape[1])
        self.pca = PCA(min(n_components or largest, largest), svd_solver="covariance_eigh")
        self.scale = self.pca.fit_transform(self._raised(X)).std()

    def __call__(self, X: np.ndarray) -> np.ndarray:
        return (self.pca.transform(self._raised(X)) / self.scale).astype(np.float32)

    def _raised(self, X: np.ndarray) -> np.ndarray:
        return np.sign(X) * np.abs(X).astype(float) ** self.power


@dataclass
class Rows:
    """What a classifier is trained on, in a space: weights are those of the sum of losses."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    space: Callable[[np.ndarray], np.ndarray]


class Context:
    """The training images of a split and their features; and what several arms need.

    Parameters
    ----------
    images : ndarray of shape (n, H, W, 3), uint8
    X : ndarray of shape (n, n_features)
        Their features.
    y : ndarray of shape (n,)
        Class indices.
    places : ndarray of shape (n,)
        Of the images in the data set: an image has the same random views in all splits.
    seed : int
    embed : callable
        Makes features of images.
    n_components : int, optional
        Of the space that arms have without asking for another.
    """

    def __init__(
        self,
        images: np.ndarray,
        X: np.ndarray,
        y: np.ndarray,
        places: np.ndarray,
        seed: int,
        embed: Callable[[np.ndarray], np.ndarray],
        n_components: int | None = None,
    ) -> None:
        self.images, self.X, self.y, self.places, self.seed, self.embed = images, X, y, places, seed, embed
        self.counts, self.largest = np.bincount(y), int(np.bincount(y).max())
        # Each space is fitted once.
        self.space = cache(partial(Space, X))
        self.default_space = {"n_components": n_components}

    def rng(self) -> np.random.Generator:
        """Return a generator of random numbers that the seed decides."""
        return np.random.default_rng(self.seed)

    def rows(self, X: np.ndarray, y: np.ndarray, space: Space | None = None) -> Rows:
        """Return rows by which every class weighs the same; without `space`, `X` are features."""
        weight = CLASS_WEIGHT / np.bincount(y)[y]
        if space is None:
            space = self.space(**self.default_space)
            X = space(X)
        return Rows(X, y, weight, space)

    def with_views(self, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the features, and after them those of views of each image, and their labels."""
        return np.concatenate([self.X, views]), np.tile(self.y, VIEWS + 1)

    @cached_property
    def varied(self) -> np.ndarray:
        """Features of variations of each image, by a GAN that was fitted on the images."""
        gan = ConditionalGAN(random_state=self.seed).fit(self.images, self.y)
        views = [gan.vary(self.images, self.y, random_state=VIEWS * self.seed + i) for i in range(VIEWS)]
        return self.embed(np.concatenate(views))

    def oversampled(self, times: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the features with synthetic ones: each class `times` as large as the largest is now."""
        strategy = "auto" if times == 1 else dict.fromkeys(range(len(self.counts)), times * self.largest)
        gan = ConditionalGAN(modality="features")
        sampler = GANOverSampler(gan, sampling_strategy=strategy, random_state=self.seed)
        return sampler.fit_resample(self.X, self.y)


Arm = Callable[[Context], Rows]


def class_weights(context: Context) -> Rows:
    """The features as they are; every class weighs the same."""
    return context.rows(context.X, context.y)


def smote(context: Context) -> Rows:
    """Features interpolated between neighbours, up to the largest class."""
    neighbours = min(5, context.counts.min() - 1)
    return context.rows(
        *SMOTE(k_neighbors=neighbours, random_state=context.seed).fit_resample(context.X, context.y)
    )


def mixup(context: Context, leaning: float = 0.0) -> Rows:
    """Mixtures of two features, each with both labels; a class is drawn in proportion to n ** -leaning."""
    odds = context.counts.astype(float) ** (-leaning - 1)
    probability = odds[context.y] / odds[context.y].sum()
    n, rng = len(context.counts) * context.largest, context.rng()
    first, second = rng.choice(len(context.y), (2, n), p=probability)
    share = rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, n)
    mixed = share[:, None] * context.X[first] + (1 - share[:, None]) * context.X[second]
    rows = context.rows(np.tile(mixed, (2, 1)), np.concatenate([context.y[first], context.y[second]]))
    rows.weight = CLASS_WEIGHT * len(context.counts) / n * np.concatenate([share, 1 - share])
    return rows


def rand_augment(context: Context) -> Rows:
    """Views of each image by torchvision's RandAugment with its defaults (Cubuk et al. 2020)."""
    transform, views = v2.RandAugment(), []
    with torch.random.fork_rng(devices=[]):
        for view in range(VIEWS):
            for image, place in zip(context.images, context.places.tolist(), strict=True):
                torch.manual_seed(VIEWS * place + view)
                views.append(np.asarray(transform(Image.fromarray(image))))
    return context.rows(*context.with_views(context.embed(np.stack(views))))


def pasted(context: Context) -> Rows:
    """Boxes of images, each class as often, pasted on any images, beside them (Park et al., CVPR 2022).

    A small class is so shown on the backgrounds of large ones. As in CutMix, both labels count, by area.
    """
    n, rng = VIEWS * len(context.y), context.rng()
    below = rng.integers(len(context.y), size=n)
    odds = 1 / context.counts[context.y]
    above = rng.choice(len(context.y), n, p=odds / odds.sum())
    images = context.images[below]
    height, width = images.shape[1:3]
    left = np.empty(n)  # of the image below, a share of its area
    for i, share in enumerate(np.sqrt(1 - rng.beta(CUTMIX_ALPHA, CUTMIX_ALPHA, n)) / 2):
        y, x = rng.integers(height), rng.integers(width)
        rows = slice(max(0, round(y - share * height)), round(y + share * height))
        columns = slice(max(0, round(x - share * width)), round(x + share * width))
        box = images[i, rows, columns]
        box[:] = context.images[above[i], rows, columns]
        left[i] = 1 - box[..., 0].size / (height * width)
    X, labels = context.embed(images), context.y
    shares = np.concatenate([np.ones(len(labels)), left, 1 - left])
    found = context.rows(
        np.concatenate([context.X, X, X]), np.concatenate([labels, labels[below], labels[above]])
    )
    found.weight = CLASS_WEIGHT * shares / np.bincount(found.y, shares)[found.y]
    return found


def calibration(
    context: Context, times: int, rich: int, power: float = 1.0, n_components: int | None = None
) -> Rows:
    """Distribution calibration (Yang, Liu & Xu, ICLR 2021) of the classes with fewer than `rich` images.

    Each vector of a poor class has a Gaussian. Its mean is that of the vector and of the means of the rich
    classes that are nearest to the class. Its covariance is the mean of theirs.
    """
    space = context.space(power=power, n_components=n_components)
    X, y, rng = space(context.X), context.y, context.rng()
    means = np.stack([X[y == c].mean(0) for c in range(len(context.counts))])
    is_rich = context.counts >= min(rich, np.sort(context.counts)[-N_LENDERS])
    drawn, labels = [X], [y]
    for c in np.flatnonzero(~is_rich):
        distances = np.where(is_rich, np.linalg.norm(means - means[c], axis=1), np.inf)
        lenders = distances.argsort()[:N_LENDERS]
        n = times * context.largest - context.counts[c]
        own = X[y == c][np.arange(n) % context.counts[c]]
        noise = np.zeros_like(own)
        for lender in lenders:
            deviations = X[y == lender] - means[lender]
            size = len(deviations)
            # Sums of deviations have their covariance, which is never formed.
            noise += rng.standard_normal((n, size)) @ deviations / np.sqrt((size - 1) * N_LENDERS)
        drawn.append((own + means[lenders].sum(0)) / (N_LENDERS + 1) + noise)
        labels.append(np.full(n, c))
    return context.rows(np.concatenate(drawn).astype(np.float32), np.concatenate(labels), space)


def gan_oversampler(context: Context, times: int = 1) -> Rows:
    """Synthetic features of `GANOverSampler(ConditionalGAN(modality="features"))`."""
    return context.rows(*context.oversampled(times))


def of_roots(context: Context, arm: Arm) -> Rows:
    """An arm, of square roots of the features, as scikit-learn's ``FunctionTransformer(np.sqrt)`` makes."""
    roots = Context(
        context.images,
        np.sqrt(context.X),
        context.y,
        context.places,
        context.seed,
        lambda images: np.sqrt(context.embed(images)),
        context.default_space["n_components"],
    )
    rows = arm(roots)
    space = rows.space
    return Rows(rows.X, rows.y, rows.weight, lambda X: space(np.sqrt(X)))


def gan_views(context: Context) -> Rows:
    """Views of each image by `ConditionalGAN(...).vary`."""
    return context.rows(*context.with_views(context.varied))


def gan_views_and_oversampler(context: Context, times: int = 3) -> Rows:
    """Both: the views' features beside the synthetic ones."""
    X, y = context.with_views(context.varied)
    more, labels = context.oversampled(times)
    n = len(context.y)
    return context.rows(np.concatenate([X, more[n:]]), np.concatenate([y, labels[n:]]))


ARMS: dict[str, Arm] = {
    "class weights": class_weights,
    "SMOTE": smote,
    "mixup": mixup,
    "leaning mixup": partial(mixup, leaning=LEANING),
    "RandAugment": rand_augment,
    "pasted": pasted,
    "calibration": partial(calibration, times=1, rich=20, power=0.5),
    "calibration 3x": partial(calibration, times=3, rich=20, power=0.5),
    "calibration 256": partial(calibration, times=3, rich=40, n_components=256),
    "GANOverSampler": gan_oversampler,
    "GANOverSampler 3x": partial(gan_oversampler, times=3),
    "class weights of roots": partial(of_roots, arm=class_weights),
    "SMOTE of roots": partial(of_roots, arm=smote),
    "leaning mixup of roots": partial(of_roots, arm=partial(mixup, leaning=LEANING)),
    "GANOverSampler of roots": partial(of_roots, arm=gan_oversampler),
    "GANOverSampler 3x of roots": partial(of_roots, arm=partial(gan_oversampler, times=3)),
    "GAN views": gan_views,
    "GAN views + GANOverSampler 3x": gan_views_and_oversampler,
}
# These run only where they are named, as each fits a GAN on photographs in every split.
ON_REQUEST = ("GAN views", "GAN views + GANOverSampler 3x")
OURS = (
    "GANOverSampler",
    "GANOverSampler 3x",
    "GANOverSampler of roots",
    "GANOverSampler 3x of roots",
    *ON_REQUEST,
)
CALIBRATIONS = ("calibration", "calibration 3x", "calibration 256")
