"""GANOverSampler: an imbalanced-learn sampler that fills classes up with synthetic rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data

from ganaug.data import Sampler
from ganaug.gan import ConditionalGAN
from ganaug.gate import QualityGate
from ganaug.recommend import fit_clone, recommend_counts


class GANOverSampler(BaseOverSampler):
    """Over-sample the smaller classes of a set of images with a conditional GAN.

    Parameters
    ----------
    gan : estimator or sampler, optional
        None: ``QualityGate(ConditionalGAN())``. An estimator is cloned and fitted on the data at
        hand. One in a ``FrozenEstimator``, or a sampler without ``fit``, is used as it is.
    sampling_strategy : float, str, dict or callable
        As everywhere in imbalanced-learn; a dict gives the final number of rows of each class.
        Or "recommended": as `recommend_counts` finds best, which may be to add nothing.
    image_shape : (H, W) or (H, W, C), optional
        The shape of an image, where X holds one in each flat row.
    random_state : int, RandomState or None
        If not None, set on the clone of `gan` too, and on what it holds.

    Attributes
    ----------
    sampling_strategy_ : dict
        How many rows were to be added to each class.
    sample_weight_ : ndarray of shape (n_rows_out,)
        With "recommended", the weight of each row for a classifier; otherwise 1.
    recommendation_ : Recommendation
        With "recommended" only.
    synthetic_mask_ : ndarray of shape (n_rows_out,), bool
        True where a returned row is synthetic.
    gan_ : sampler
        What the rows came from; missing where there was nothing to add.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from ganaug import ConditionalGAN, GANOverSampler
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = X[:500] / 16, y[:500] == 9
    >>> sampler = GANOverSampler(ConditionalGAN(steps=2), image_shape=(8, 8), random_state=0)
    >>> X_balanced, y_balanced = sampler.fit_resample(X, y)
    >>> int(y.sum()), int(y_balanced.sum()), len(y_balanced)
    (48, 452, 904)
    """

    gan_: Sampler
    sampling_strategy: Any

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseOverSampler._parameter_constraints,
        "sampling_strategy": [
            *BaseOverSampler._parameter_constraints["sampling_strategy"],
            StrOptions({"recommended"}),
        ],
        "gan": [None, object],
        "image_shape": [None, "array-like"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        gan: Any = None,
        *,
        sampling_strategy: float | str | Mapping[Any, int] | Callable[[Any], Mapping[Any, int]] = "auto",
        image_shape: Sequence[int] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.gan = gan
        self.image_shape = image_shape
        self.random_state = random_state

    def fit_resample(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that were there, then the new ones; and their labels.

        Parameters
        ----------
        X : ndarray of shape (n, H, W), (n, H, W, C), or (n, n_pixels) with `image_shape`
        y : array-like of shape (n,)

        Returns
        -------
        X, y : ndarray
        """
        if not (isinstance(self.sampling_strategy, str) and self.sampling_strategy == "recommended"):
            X, y = super().fit_resample(X, y)
            self.sample_weight_ = np.ones(len(X))
            return X, y

        def recommended(target: np.ndarray) -> dict[Any, int]:
            images = self._as_images(np.asarray(X))
            self.recommendation_ = recommend_counts(self._gan(), images, target, random_state=self._seed())
            return self.recommendation_.totals

        # imbalanced-learn asks a callable for the totals, after it has checked y.
        self.sampling_strategy = recommended
        try:
            X, y = super().fit_resample(X, y)
        finally:
            self.sampling_strategy = "recommended"
        self.sample_weight_ = self.recommendation_.sample_weight(y, self.synthetic_mask_)
        return X, y

    def _check_X_y(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray, bool]:
        y, binarize_y = check_target_type(y, indicate_one_vs_all=True)
        X, y = validate_data(self, X=X, y=y, reset=True, allow_nd=True)
        return X, y, binarize_y

    def _fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = self._as_images(X)
        n_new = sum(self.sampling_strategy_.values())
        if hasattr(self, "gan_"):
            del self.gan_  # of a call before
        self.synthetic_mask_ = np.arange(len(X) + n_new) >= len(X)
        if n_new == 0:
            return X.copy(), y.copy()
        self.gan_ = self._fitted_gan(images, y)
        labels = np.repeat(
            np.array(list(self.sampling_strategy_), dtype=y.dtype), list(self.sampling_strategy_.values())
        )
        synthetic = self.gan_.sample(labels, random_state=self._seed())
        _check_alike(synthetic, images, len(labels))
        return np.concatenate([X, synthetic.reshape(-1, *X.shape[1:])]), np.concatenate([y, labels])

    def _as_images(self, X: np.ndarray) -> np.ndarray:
        if self.image_shape is None:
            if X.ndim == 2:
                raise ValueError(
                    f"`X` of shape {X.shape} is a table, which this version does not take. If each row is a"
                    " flat image, pass `image_shape`, for example image_shape=(28, 28)."
                )
            return X
        shape = tuple(self.image_shape)
        if int(np.prod(shape)) != int(np.prod(X.shape[1:])):
            raise ValueError(
                f"`image_shape` must hold as many values as a row of `X` {X.shape[1:]}, got {shape}."
            )
        return X.reshape(-1, *shape)

    def _seed(self) -> int | None:
        if self.random_state is None:
            return None
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _gan(self) -> Any:
        return QualityGate(ConditionalGAN()) if self.gan is None else self.gan

    def _fitted_gan(self, images: np.ndarray, y: np.ndarray) -> Sampler:
        gan = self._gan()
        if not hasattr(gan, "sample"):
            raise ValueError(f"`gan` must be None, a ConditionalGAN or a sampler, got {gan!r}.")
        if isinstance(gan, FrozenEstimator) or not hasattr(gan, "fit"):
            return gan
        return fit_clone(gan, images, y, self._seed())


def _check_alike(synthetic: Any, images: np.ndarray, n: int) -> None:
    """Raise ValueError unless a sampler gave `n` rows of the kind of `images`."""
    got = (type(synthetic).__name__, str(synthetic.dtype), tuple(synthetic.shape))
    wanted = ("ndarray", str(images.dtype), (n, *images.shape[1:]))
    if got != wanted:
        raise ValueError(
            f"`gan` must make images of the kind of `X`, {wanted[0]} {wanted[1]} {wanted[2]},"
            f" got {got[0]} {got[1]} {got[2]}: fit it on such images."
        )
