"""Labels in the forms that imbalanced-learn knows, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from imblearn.utils import check_target_type
from torch import Tensor

from ganaug.data.containers import is_dataframe


def is_polars(values: Any) -> bool:
    """Return whether this is a Series or a DataFrame of polars, without importing it."""
    return type(values).__module__.partition(".")[0] == "polars"


def plain_labels(y: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return labels in a form that imbalanced-learn takes, and what turns resampled ones back.

    imbalanced-learn knows neither Tensors nor polars, and gives one-hot labels of two classes back as one
    column.
    """
    if isinstance(y, Tensor):
        plain, restore = plain_labels(y.detach().cpu().numpy())
        return plain, lambda labels: torch.as_tensor(restore(labels), dtype=y.dtype)
    if is_polars(y):
        values = y.to_numpy()
        plain, restore = plain_labels(values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values)
        return plain, lambda labels: _polars_like(y, restore(labels))
    if is_dataframe(y) and y.shape[1] > 1:
        plain, restore = plain_labels(y.to_numpy())
        return plain, lambda labels: type(y)(restore(labels), columns=y.columns).astype(y.dtypes)
    if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] > 1:
        plain, one_hot = check_target_type(y, indicate_one_vs_all=True)
        if not one_hot or not y.any(axis=1).all():
            raise ValueError(f"`y` of shape {y.shape} must be one-hot, with one 1 in each row.")
        return plain, lambda labels: np.eye(y.shape[1], dtype=y.dtype)[labels]
    return y, lambda labels: labels


def _polars_like(y: Any, labels: np.ndarray) -> Any:
    """Return labels as a Series or DataFrame of polars like `y`."""
    if hasattr(y, "schema"):  # a DataFrame
        return type(y)(labels.reshape(len(labels), -1), schema=y.schema)
    return type(y)(y.name, labels.tolist(), dtype=y.dtype)
