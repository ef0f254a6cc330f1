"""Rows in the form that the user has them: taking, joining and converting them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

OVERSHOOT = 0.25  # of resized images, beyond [0, 1]


def is_dataframe(X: Any) -> bool:
    """Return whether `X` is a pandas DataFrame, without a need of pandas."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def import_pandas() -> Any:
    """Return pandas; raise ImportError, in plain words, where a DataFrame is to be made without it."""
    try:
        import pandas as pd
    except ImportError as exc:
        raise ImportError("To make a DataFrame takes pandas: pip install pandas.") from exc
    return pd


def column_name(name: Any) -> str | int:
    """Return the name of a column in JSON's types; raise ValueError if it is no string and no int."""
    if isinstance(name, str):
        return name
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        return int(name)
    raise ValueError(f"Columns of `X` must be named by strings or ints, got {name!r}: rename it.")


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN or pandas.NA."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def missing_token(value: Any) -> str:
    """Return what kind of missing value this is: "None", "nan" or "NA"."""
    return "None" if value is None else "NA" if type(value).__name__ == "NAType" else "nan"


def missing_value(name: str | None) -> Any:
    """Return the missing value that `missing_token` calls so."""
    if name == "NA":
        return import_pandas().NA
    return None if name == "None" else np.nan


def pandas_dtype(name: str, categories: list[Any] | None = None, ordered: bool = False) -> Any:
    """Return the dtype that pandas shows by a name, of which it reads only some."""
    pd = import_pandas()
    if categories is not None:
        return pd.CategoricalDtype(categories, ordered)
    if name.startswith("Sparse["):
        kind, fill = name.removeprefix("Sparse[").removesuffix("]").split(", ")
        fill = fill.rpartition("(")[2].rstrip(")")  # of "np.float32(0.0)"
        return pd.SparseDtype(kind, np.nan if fill == "nan" else ast.literal_eval(fill))
    return pd.api.types.pandas_dtype(name)


def numpy_dtype(dtype: Any) -> Any:
    """Return numpy's dtype of the values of a pandas column that has one."""
    return getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))


def make_dataframe(columns: Iterable[tuple[str | int, np.ndarray, Any]]) -> Any:
    """Return a DataFrame of columns, each a name, its values and the dtype they are to have."""
    pd = import_pandas()
    names, values, dtypes = zip(*columns, strict=True)
    series = [pd.Series(v, dtype=v.dtype).astype(dtype) for v, dtype in zip(values, dtypes, strict=True)]
    return pd.concat(series, axis=1).set_axis(list(names), axis=1)


def as_container(X: Any) -> Any:
    """Return `X` as what the functions here take: a Tensor on the CPU, a DataFrame or an ndarray."""
    if scipy.sparse.issparse(X):
        raise ValueError(f"`X` must be dense, got {type(X).__name__}: pass X.toarray().")
    if isinstance(X, Tensor):
        return X.detach().cpu() if X.requires_grad or X.device.type != "cpu" else X
    return X if is_dataframe(X) else as_array(X)


def as_array(values: Any) -> np.ndarray:
    """Return what `numpy.asarray` does; native byte order, and of a list of several types objects."""
    array = np.asarray(values)
    if isinstance(values, list | tuple) and array.dtype.kind in "US":
        array = np.array(values, dtype=object)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def take(X: Any, which: Any) -> Any:
    """Return some rows of a Tensor, an array or a DataFrame.

    Parameters
    ----------
    which : array or Tensor of shape (n,), or slice
        Indices or a mask; a Tensor of indices only.
    """
    if isinstance(X, Tensor):
        return X[which]
    which = which.numpy() if isinstance(which, Tensor) else which
    return X.iloc[which] if is_dataframe(X) else X[which]


def concat(blocks: Sequence[Any]) -> Any:
    """Return rows of one kind, one block after the other."""
    if is_dataframe(blocks[0]):
        import pandas as pd

        return pd.concat(blocks, ignore_index=True)
    return torch.cat(list(blocks)) if isinstance(blocks[0], Tensor) else np.concatenate(blocks)


def channels_first(rows: Any) -> Tensor:
    """Return images in any layout of a generator as a Tensor (n, C, H, W)."""
    if isinstance(rows, Tensor):
        return rows if rows.ndim == 4 else rows[:, None]
    rows = torch.from_numpy(rows)
    return rows.permute(0, 3, 1, 2).contiguous() if rows.ndim == 4 else rows[:, None]


def is_image_dtype(image: Tensor) -> bool:
    """Return whether torchvision can scale the values from and to those of synthetic images."""
    return image.dtype == torch.uint8 or image.dtype.is_floating_point


def check_image_range(image: Tensor, name: str) -> None:
    """Raise ValueError unless these are uint8, or floats in [0, 1]: interpolation may overshoot a little.

    `name` is the transform that they were passed to.
    """
    if not is_image_dtype(image):
        raise ValueError(f"Images must be of uint8 or floats, got {image.dtype}: convert them.")
    if image.dtype.is_floating_point and image.numel():  # half the time of asking a tv_tensor itself
        low, high = (float(value) for value in image.aminmax())
        if not (-OVERSHOOT <= low and high <= 1 + OVERSHOOT):
            raise ValueError(
                f"Images must be uint8 or floats in [0, 1], got values from {low:.3g} to {high:.3g}: put"
                f" {name} before `Normalize`."
            )


def images_like(images: Tensor, like: Any) -> Any:
    """Return images (n, C, H, W) as the rows that `like` is one of."""
    dtype = like.dtype if isinstance(like, Tensor) else torch.from_numpy(like).dtype
    rows = tvf.to_dtype(images.detach().cpu(), dtype, scale=True)
    rows = rows[:, 0] if like.ndim == 3 else rows
    if isinstance(like, Tensor):
        return rows
    return np.ascontiguousarray((rows.permute(0, 2, 3, 1) if rows.ndim == 4 else rows).numpy())
