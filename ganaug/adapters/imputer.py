"""GANImputer: a scikit-learn transformer that fills the missing values of a table."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods, MissingValues
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ganaug.adapters.label_forms import is_polars
from ganaug.data.containers import as_container, is_dataframe, is_missing
from ganaug.data.labels import MIN_CLASS_SIZE, as_random_state, fit_clone
from ganaug.data.polars_frames import pandas_to_polars, polars_to_pandas
from ganaug.model.gan import ConditionalGAN
from ganaug.model.restoration import missing_cells, paste


class GANImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill the missing values of a table by `ConditionalGAN.restore`.

    Parameters
    ----------
    gan : ConditionalGAN, optional
        Cloned, and fitted on the table with its missing values. One in a ``FrozenEstimator`` is used as it
        is. Default: ``ConditionalGAN()``.
    missing_values : int, float, str, None or pandas.NA, default=nan
        What stands for a missing value, beside NaN, None, pandas.NA and NaT, which always do.
    sample_posterior : bool, default=False
        Fill by a draw instead of by the values to expect, as scikit-learn's IterativeImputer does: several
        tables, with several values of `random_state`, are multiple imputations.
    random_state : int, RandomState or None, default=None
        If not None, set on the clone of `gan` too.

    Attributes
    ----------
    gan_ : ConditionalGAN
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only for a DataFrame whose columns are all named by strings.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from ganaug import ConditionalGAN, GANImputer
    >>> X = load_iris().data
    >>> X[::10, 2] = np.nan
    >>> imputer = GANImputer(ConditionalGAN(steps=2), random_state=0)
    >>> imputer.fit_transform(X).shape, int(np.isnan(imputer.transform(X)).sum())
    ((150, 4), 0)
    """

    gan_: ConditionalGAN

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "gan": [HasMethods(["fit", "restore"]), None],
        "missing_values": [MissingValues()],
        "sample_posterior": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        gan: Any = None,
        *,
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.gan = gan
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> GANImputer:
        """Fit the GAN on a table with missing values.

        Parameters
        ----------
        X : table of shape (n, n_features)
            An ndarray, a pandas or polars DataFrame, or a list: numbers, booleans, categories and strings; in
            DataFrames dates too.
        y : array-like of shape (n,), optional
            Labels, which teach the GAN what rows of a class share. `transform` doesn't know them. What are no
            labels, such as the targets of a regression, or are of classes of one row, is ignored.

        Raises
        ------
        ValueError
            If a column can't be learned from. The message names it.
        """
        self._validate_params()
        X, _ = _hidden(self._check(X, reset=True), self.missing_values)
        gan = ConditionalGAN() if self.gan is None else self.gan
        if isinstance(gan, FrozenEstimator):
            gan.estimator.codec_.check(X)
            self.gan_ = gan.estimator
        else:
            seed = None if self.random_state is None else self._seed()
            self.gan_ = fit_clone(gan, X, _labels(y, len(X)), seed)
        return self

    def transform(self, X: Any) -> Any:
        """Return the table with its missing values filled; all else as it is.

        Parameters
        ----------
        X : table of shape (n, n_features), as in fit

        Returns
        -------
        X : of the type and dtypes of the input
            Arrays of ints keep their dtype, as values are such as a column may hold. A column that held no
            value in fit stays as it is.
        """
        check_is_fitted(self)
        if is_polars(X):
            return pandas_to_polars(self._filled(self._check(X, reset=False)), like=X)
        return self._filled(self._check(X, reset=False))

    def _filled(self, X: Any) -> Any:
        hidden, cells = _hidden(X, self.missing_values)
        n_draws = 1 if self.sample_posterior else None
        restored = self.gan_.restore(hidden, n_draws=n_draws, random_state=self._seed())
        restored = restored if n_draws is None else restored[0]
        return paste(X, restored, torch.arange(len(X)), cells & ~missing_cells(restored))

    def _check(self, X: Any, *, reset: bool) -> Any:
        """Return a table as an ndarray or a pandas DataFrame."""
        if isinstance(X, Tensor):
            raise ValueError("`X` must be an ndarray, a DataFrame or a list, got a Tensor: pass X.numpy().")
        if is_dataframe(X) or is_polars(X):
            validate_data(self, X=X, reset=reset, skip_check_array=True)
            return polars_to_pandas(X) if is_polars(X) else X
        X = as_container(X)
        return validate_data(self, X=X, reset=reset, dtype=None, ensure_all_finite=False)

    def _seed(self) -> int:
        return int(as_random_state(self.random_state).randint(2**31 - 1))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _hidden(X: Any, missing_values: Any) -> tuple[Any, np.ndarray]:
    """Return a table in which NaN or None stands for all that is missing, and where that is."""
    cells = missing_cells(X)
    if is_missing(missing_values):
        return X, cells
    if is_dataframe(X):
        found = (X == missing_values).fillna(False).to_numpy(bool)
        return X.mask(found), cells | found
    found = X == missing_values
    hidden = (
        X.astype(np.float64) if X.dtype.kind in "iub" else X.astype(object) if X.dtype.kind in "US" else X
    )
    return np.where(found, None if hidden.dtype == object else np.nan, hidden), cells | found


def _labels(y: Any, n: int) -> np.ndarray:
    """Return labels to fit a GAN with: its generator asks for two classes, whatever they mean."""
    if y is not None and type_of_target(y) in ("binary", "multiclass"):
        labels = np.asarray(y)
        counts = np.unique(labels, return_counts=True)[1]
        if len(labels) == n and len(counts) > 1 and bool((counts >= MIN_CLASS_SIZE).all()):
            return labels
    return np.arange(n) % 2
