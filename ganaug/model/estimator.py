"""What scikit-learn asks of `ConditionalGAN` and `QualityGate`: tags, words for bad input, saving."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator

from ganaug.data.tables import TableCodec
from ganaug.io.arrays import as_arrays, as_samples
from ganaug.io.image_rows import ImageRows

if TYPE_CHECKING:
    _Method = TypeVar("_Method", bound=Callable[..., Any])

    def available_if(check: Callable[[Any], bool]) -> Callable[[_Method], _Method]:
        """Do as scikit-learn's, whose types hide the parameters of a method."""
else:
    from sklearn.utils.metaestimators import available_if as available_if


class SampleEstimator(BaseEstimator):
    """An estimator that is fitted on images or a table, and labels."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def __reduce_ex__(self, protocol: Any) -> Any:
        # What pickle, copy and joblib ask. Only so does `__reduce__` remain for skops alone.
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __reduce__(self) -> Any:
        """Refuse what skops would write and could not read again: networks."""
        if hasattr(self, "classes_"):
            raise ValueError(
                f"A fitted {type(self).__name__} holds networks, which skops can't read back: save the"
                " ConditionalGAN by its method `save`, use pickle or joblib, or dump it unfitted, as"
                " sklearn.base.clone returns it. A GANOverSampler can be dumped after `del sampler.gan_`."
            )
        return self.__reduce_ex__(2)


def check_samples(X: Any, y: Any, estimator: Any, *, lazy: bool = False) -> tuple[Any, Any]:
    """Return what `fit` was given as samples and labels; without `y`, a data set as `as_arrays` reads it.

    With `lazy`, large images of files and data sets are not read yet; see `as_samples`.

    Raises
    ------
    ValueError
        If they are not as `as_arrays` takes them; for what every estimator refuses in scikit-learn's words.
    """
    name, read = type(estimator).__name__, as_samples if lazy else as_arrays
    if not is_container(X):
        if y is None:
            return read(X)
        raise ValueError(
            f"`X` must be an array, a Tensor or a DataFrame of samples, got {X!r} and `y`: pass it without"
            " `y` if it is a data set that holds its labels, or else both as as_arrays(...) gives them."
        )
    if y is None:
        raise ValueError(f"This {name} estimator requires y to be passed, but the target y is None.")
    if isinstance(X, np.ndarray) and X.dtype.kind == "c":
        raise ValueError(f"`X` must hold real numbers, got {X.dtype}. Complex data not supported.")
    X, y = read((X, y))
    if X.ndim == 2 and X.shape[1] == 0:
        raise ValueError(
            f"`X` has 0 feature(s) (shape={tuple(X.shape)}) while a minimum of 1 is required by {name}."
        )
    return X, y


def check_n_jobs(n_jobs: Any) -> None:
    """Raise ValueError unless joblib takes it for a number of jobs."""
    integer = isinstance(n_jobs, int | np.integer) and not isinstance(n_jobs, bool)
    if n_jobs is not None and (not integer or n_jobs == 0):
        raise ValueError(f"`n_jobs` must be a non-zero int or None, got {n_jobs!r}.")


def is_container(X: Any) -> bool:
    """Return whether `X` holds samples alone, as an array does, rather than samples with their labels."""
    return isinstance(X, list | tuple | ImageRows) or scipy.sparse.issparse(X) or hasattr(X, "__array__")


def set_feature_names(estimator: Any, codec: Any) -> None:
    """Set scikit-learn's attributes of the features, as a codec has learned them."""
    estimator.n_features_in_ = codec.row_shape[0]
    estimator.__dict__.pop("feature_names_in_", None)
    if isinstance(codec, TableCodec) and codec.dtype is None:
        names = [column.name for column in codec.columns]
        if all(isinstance(name, str) for name in names):
            estimator.feature_names_in_ = np.array(names, dtype=object)
