"""GANOverSampler: an imbalanced-learn sampler that fills classes up with synthetic samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import validate_data
from torch import Tensor

from ganaug.adapters.label_forms import is_polars, plain_labels
from ganaug.adapters.pool import DEFAULT_PER_CLASS
from ganaug.data.containers import as_container, concat, is_dataframe, take
from ganaug.data.labels import as_random_state, check_labels, fit_clone
from ganaug.data.polars_frames import pandas_to_polars, polars_to_pandas
from ganaug.data.protocol import ConditionalGenerator, modality_of
from ganaug.data.weights import default_shares, even_counts, in_turns
from ganaug.model.estimator import is_container
from ganaug.model.gan import ConditionalGAN
from ganaug.selection.gate import QualityGate
from ganaug.selection.recommend import recommend_counts
from ganaug.selection.recommendation import Recommendation


class GANOverSampler(BaseOverSampler):
    """Over-sample the smaller classes of a table, of images or of series, with a conditional GAN.

    Parameters
    ----------
    gan : estimator or generator, optional
        None: ``QualityGate(ConditionalGAN())``. An estimator is cloned and fitted on the data at
        hand. One in a ``FrozenEstimator``, or a generator without ``fit``, is used as it is.
    sampling_strategy : float, str, dict or callable, default="auto"
        "auto": all classes end at the same size, and in a set of images the same share of each is
        synthetic; the real images of small classes are repeated for it. So any classifier can be trained on
        what comes out, and needs no weights. Of each class 4,096 synthetic images or series differ at
        most, and are repeated where there are to be more. Of a table, small classes are filled up with
        synthetic rows.
        Where all classes are of one size already, nothing is added.
        All else as everywhere in imbalanced-learn, and what is added is synthetic: "not majority" fills up,
        a dict gives the final number of samples of each class.
        "recommended": all classes end at the same size, and the share that is synthetic is what
        `recommend_counts` finds best by cross-validation. It may be 0.
    synthetic_share : "auto" or float in [0, 1), default="auto"
        With `sampling_strategy` "auto", the share of each class that is to be synthetic. "auto": of images as
        `GANAugment` has it, by how many the smallest class has; it may be 0, and then real images are
        repeated and no GAN is trained. Of tables only a number gives every class the same share.
    image_shape : (H, W) or (H, W, C), optional
        The shape of an image, where X holds one in each flat row; or ``(length, channels)`` of a series.
        Without it such an X is a table, or, if `gan` is of modality "series", series of one channel.
    random_state : int, RandomState or None
        If not None, set on the clone of `gan` too, and on what it holds.

    Attributes
    ----------
    sampling_strategy_ : dict
        How many samples were to be added to each class.
    recommendation_ : Recommendation
        With "recommended" only.
    synthetic_mask_ : ndarray of shape (n_samples_out,), bool
        True where a returned sample is synthetic. Real ones come first, and then those that are repeated.
    gan_ : generator
        What the samples came from; missing where there was nothing to add.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from ganaug import ConditionalGAN, GANOverSampler
    >>> X, y = load_digits(return_X_y=True)
    >>> X, y = X[:500] / 16, y[:500] == 9
    >>> sampler = GANOverSampler(ConditionalGAN(steps=2), image_shape=(8, 8), random_state=0)
    >>> X_balanced, y_balanced = sampler.fit_resample(X, y)
    >>> int(y.sum()), int(y_balanced.sum()), len(y_balanced)
    (48, 2260, 4520)
    """

    gan_: ConditionalGenerator
    recommendation_: Recommendation
    sampling_strategy: Any

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseOverSampler._parameter_constraints,
        "sampling_strategy": [
            *BaseOverSampler._parameter_constraints["sampling_strategy"],
            StrOptions({"recommended"}),
        ],
        "gan": [None, HasMethods("sample")],
        "synthetic_share": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "image_shape": [None, "array-like"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        gan: Any = None,
        *,
        sampling_strategy: float | str | Mapping[Any, int] | Callable[[Any], Mapping[Any, int]] = "auto",
        synthetic_share: float | Literal["auto"] = "auto",
        image_shape: Sequence[int] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.gan = gan
        self.synthetic_share = synthetic_share
        self.image_shape = image_shape
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> GANOverSampler:
        """Check `X`, `y` and the parameters; only `fit_resample` fits a GAN or asks for a recommendation."""
        _check_given(X, y)
        y, _ = plain_labels(y)
        if self.sampling_strategy != "recommended":
            with self._with_totals(X):
                return super().fit(X, y)
        self._validate_params()
        self._check_X_y(X, y)
        return self

    def fit_resample(self, X: Any, y: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the real samples, then the synthetic ones; and their labels.

        Parameters
        ----------
        X : table of shape (n, n_features), or ndarray of shape (n, H, W) or (n, H, W, C)
            A table is an ndarray, a pandas or polars DataFrame, a sparse matrix or a list. It holds
            numbers, booleans, categories and strings, some of which may be missing. With `image_shape`
            each of its rows is an image. Or series, (n, length) or (n, length, channels).
        y : array-like of shape (n,) or (n, 1), or one-hot of shape (n, n_classes)

        Returns
        -------
        X, y : of the types and dtypes of the input
            The index of a DataFrame is numbered anew. An array `y` of shape (n, 1) comes back as (n,), as
            everywhere in imbalanced-learn.

        Raises
        ------
        ValueError
            If a column or a class can't be learned from, a value is infinite, or a label missing. The
            message names it.
        """
        _check_given(X, y)
        if is_polars(X):
            frame: Any
            frame, labels = self.fit_resample(polars_to_pandas(X), y)
            return X.vstack(pandas_to_polars(frame.iloc[len(X) :], like=X)), labels
        y, restore = plain_labels(y)
        check_labels(y, X.shape[0] if hasattr(X, "shape") else len(X))
        if hasattr(self, "recommendation_"):
            del self.recommendation_  # of a call before
        with self._with_totals(X):
            X, y = super().fit_resample(X, y)
        return X, restore(y)

    @contextmanager
    def _with_totals(self, X: Any) -> Iterator[None]:
        """Have a function in the place of `sampling_strategy`, where imbalanced-learn doesn't know that.

        It asks a function for the totals, after it has checked y.
        """
        strategy = self.sampling_strategy
        self._n_repeated: dict[Any, int] = {}
        if isinstance(strategy, str) and strategy in ("auto", "recommended"):
            self.sampling_strategy = partial(self._even_totals, X, recommended=strategy == "recommended")
        elif self.synthetic_share != "auto":
            raise ValueError(
                "`synthetic_share` must be 'auto' unless `sampling_strategy` is 'auto', got"
                f" {self.synthetic_share!r} with {strategy!r}."
            )
        try:
            yield
        finally:
            self.sampling_strategy = strategy

    def _even_totals(self, X: Any, y: np.ndarray, *, recommended: bool) -> dict[Any, int]:
        classes, counts = np.unique(y, return_counts=True)
        if recommended:
            self.recommendation_ = recommend_counts(
                self._gan_or_default(), self._as_samples(X), y, random_state=self._seed()
            )
            shares = np.array([self.recommendation_.synthetic_share[label] for label in classes.tolist()])
        elif self.synthetic_share != "auto":
            shares = np.full(len(counts), self.synthetic_share)
        else:
            shares = default_shares(counts, table=self._is_table(X))
        n_repeated, n_synthetic = even_counts(counts, shares)
        self._n_repeated = dict(zip(classes.tolist(), n_repeated.tolist(), strict=True))
        grows = n_repeated + n_synthetic > 0  # as with imbalanced-learn's own "auto", others are not named
        totals = (counts + n_repeated + n_synthetic)[grows]
        return dict(zip(classes[grows].tolist(), totals.tolist(), strict=True))

    def _is_table(self, X: Any) -> bool:
        flat = self.image_shape is None and (scipy.sparse.issparse(X) or np.ndim(X) == 2)
        return flat and modality_of(np.empty((1, 1)), self.gan) != "series"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags

    def _check_X_y(self, X: Any, y: Any) -> tuple[Any, np.ndarray, bool]:
        if isinstance(X, Tensor):
            raise ValueError(
                "`X` must be an ndarray, a DataFrame, a sparse matrix or a list, got a Tensor: pass"
                " X.numpy(), or X.permute(0, 2, 3, 1).numpy() of images."
            )
        y, binarize_y = check_target_type(y, indicate_one_vs_all=True)
        if is_dataframe(X):
            validate_data(self, X=X, y=y, reset=True, skip_check_array=True)
            return X, y, binarize_y
        X, y = validate_data(
            self,
            X=as_container(X) if isinstance(X, list | tuple) else X,
            y=y,
            reset=True,
            dtype=None,
            allow_nd=True,
            accept_sparse=["csr", "csc"],
            ensure_all_finite=False,  # of infinite values, the codec's error names the column
        )
        return X, y, binarize_y

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        if hasattr(self, "gan_"):
            del self.gan_  # of a call before
        classes, indices = np.unique(y, return_inverse=True)
        n_added, n_repeated = (
            np.array([numbers.get(label, 0) for label in classes.tolist()], dtype=int)
            for numbers in (self.sampling_strategy_, self._n_repeated)
        )
        n_synthetic = n_added - n_repeated
        # Where images are repeated anyway, more that differ gain nothing, and cost what training does.
        repeat = self._n_repeated and not self._is_table(X)
        n_drawn = np.minimum(n_synthetic, DEFAULT_PER_CLASS) if repeat else n_synthetic
        labels = np.repeat(classes, n_drawn)
        turns = in_turns(np.repeat(np.arange(len(classes)), n_drawn), n_synthetic)
        kept = np.concatenate([np.arange(len(y)), in_turns(indices, n_repeated)])
        all_labels = np.concatenate([y[kept], labels[turns]])
        self.synthetic_mask_: np.ndarray = np.arange(len(all_labels)) >= len(kept)
        real = take(X, kept)
        if not len(labels):
            return real, all_labels
        samples = self._as_samples(X)
        self.gan_ = self._fitted_generator(samples, y)
        synthetic = self.gan_.sample(labels, random_state=self._seed())
        _check_same_type(synthetic, samples, len(labels))
        if not is_dataframe(samples):
            synthetic = synthetic.reshape(len(labels), *X.shape[1:])
        if len(turns) > len(labels):
            synthetic = take(synthetic, turns)
        if scipy.sparse.issparse(X):
            return scipy.sparse.vstack([real, synthetic], format=X.format, dtype=X.dtype), all_labels
        if is_dataframe(X) and not is_dataframe(synthetic):
            synthetic = type(X)(synthetic, columns=X.columns).astype(X.dtypes)
        return concat([real, synthetic]), all_labels

    def _as_samples(self, X: Any) -> Any:
        """Return the table, the images or the series that the GAN is trained on."""
        X = X.toarray() if scipy.sparse.issparse(X) else as_container(X)
        if self.image_shape is None:
            arrays = is_dataframe(X) and modality_of(X, self.gan) in ("features", "series")
            return X.to_numpy() if arrays else X
        shape = tuple(self.image_shape)
        if is_dataframe(X):
            if X.dtypes.nunique() != 1 or not isinstance(X.dtypes.iloc[0], np.dtype):
                dtypes = sorted({str(dtype) for dtype in X.dtypes})
                raise ValueError(
                    f"With `image_shape`, all columns of `X` must be of one numpy dtype, got {dtypes}."
                )
            X = X.to_numpy()
        if not all(isinstance(side, int | np.integer) and side > 0 for side in shape):
            raise ValueError(f"`image_shape` must be ints (H, W) or (H, W, C), from 1 up, got {shape}.")
        if int(np.prod(shape)) != int(np.prod(X.shape[1:])):
            raise ValueError(
                f"`image_shape` must hold as many values as a row of `X` {X.shape[1:]}, got {shape}."
            )
        return X.reshape(-1, *shape)

    def _seed(self) -> int | None:
        if self.random_state is None:
            return None
        return int(as_random_state(self.random_state).randint(2**31 - 1))

    def _gan_or_default(self) -> Any:
        return QualityGate(ConditionalGAN()) if self.gan is None else self.gan

    def _fitted_generator(self, samples: Any, y: np.ndarray) -> ConditionalGenerator:
        gan = self._gan_or_default()
        if isinstance(gan, FrozenEstimator) or not hasattr(gan, "fit"):
            return gan
        return fit_clone(gan, samples, y, self._seed())


def _check_same_type(synthetic: Any, real: Any, n: int) -> None:
    """Raise ValueError unless a generator gave `n` samples of the type, shape and dtypes of the real ones."""
    got, wanted = _describe(synthetic), _describe(real)
    wanted["shape"] = (n, *real.shape[1:])
    for what, value in wanted.items():
        if got.get(what) != value:
            raise ValueError(
                f"`gan` must make samples like those of `X`, of {what} {value}, got {got.get(what)}: fit it"
                " on such samples."
            )


def _describe(samples: Any) -> dict[str, Any]:
    about = {"type": type(samples).__name__, "shape": tuple(samples.shape)}
    if not is_dataframe(samples):
        return {**about, "dtype": str(samples.dtype)}
    return {**about, **{f"column {name!r}": str(dtype) for name, dtype in samples.dtypes.items()}}


def _check_given(X: Any, y: Any) -> None:
    """Raise ValueError if samples or labels were not given as such."""
    if not is_container(X):
        raise ValueError(
            f"`X` must be an ndarray, a DataFrame, a sparse matrix or a list, got {X!r}: of a data set pass"
            " X, y = as_arrays(...), or wrap it in an AugmentedDataset."
        )
    if y is None:
        raise ValueError("This GANOverSampler estimator requires y to be passed, but the target y is None.")
