"""Samples in the containers that users have them in: indexed, concatenated and converted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch
from PIL import Image
from torch import Tensor

# Interpolation carries resized floats so far beyond [0, 1].
MAX_OVERSHOOT = 0.25


def is_dataframe(X: Any) -> bool:
    """Return whether `X` is a pandas DataFrame, without importing pandas."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def import_pandas() -> Any:
    """Return pandas, or raise an ImportError that says how to install it."""
    try:
        import pandas as pd
    except ImportError as exc:
        raise ImportError("A DataFrame needs pandas: pip install pandas.") from exc
    return pd


def column_name(name: Any) -> str | int:
    """Return the name of a column as a str or an int, or raise ValueError if it is neither."""
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
    """Return the missing value that `missing_token` gives this name."""
    if name == "NA":
        return import_pandas().NA
    return None if name == "None" else np.nan


def as_container(X: Any) -> Any:
    """Return `X` as a Tensor on the CPU, a DataFrame or an ndarray: what the functions here take."""
    if scipy.sparse.issparse(X):
        raise ValueError(f"`X` must be dense, got {type(X).__name__}: of sparse data pass X.toarray().")
    if isinstance(X, Tensor):
        return X.detach().cpu() if X.requires_grad or X.device.type != "cpu" else X
    return X if is_dataframe(X) else as_array(X)


def as_array(values: Any) -> np.ndarray:
    """Return what `numpy.asarray` does, in native byte order; a list that holds strings becomes objects."""
    array = np.asarray(values)
    if isinstance(values, list | tuple) and array.dtype.kind in "US":
        array = np.array(values, dtype=object)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def take(X: Any, which: Any) -> Any:
    """Return some samples of a Tensor, an array or a DataFrame; of images not read yet, such images.

    Parameters
    ----------
    which : array or Tensor of shape (n,), or slice
        Indices or a mask; a Tensor of indices only.
    """
    if isinstance(X, Tensor):
        return X[which]
    which = which.numpy() if isinstance(which, Tensor) else which
    if is_dataframe(X):
        return X.iloc[which]
    return X.subset(which) if hasattr(X, "subset") else X[which]  # rows of `ganaug.io.image_rows`


def concat(blocks: Sequence[Any]) -> Any:
    """Return blocks of samples, all in one kind of container, as one."""
    if is_dataframe(blocks[0]):
        import pandas as pd

        return pd.concat(blocks, ignore_index=True)
    return torch.cat(list(blocks)) if isinstance(blocks[0], Tensor) else np.concatenate(blocks)


def channels_first(images: Any) -> Tensor:
    """Return a Tensor (n, C, H, W) or (n, H, W), or an ndarray (n, H, W, C) or (n, H, W), as (n, C, H, W)."""
    if isinstance(images, Tensor):
        return images if images.ndim == 4 else images[:, None]
    images = torch.from_numpy(images)
    return images.permute(0, 3, 1, 2).contiguous() if images.ndim == 4 else images[:, None]


def as_batch(samples: Any) -> Tensor:
    """Return feature vectors (n, n_features) as a Tensor, and images as `channels_first` does."""
    if samples.ndim != 2:
        return channels_first(samples)
    return samples if isinstance(samples, Tensor) else torch.from_numpy(samples)


def is_image(value: Any) -> bool:
    """Return whether a value is an image: a PIL image, or an ndarray or Tensor of 2 dimensions or more."""
    return isinstance(value, Image.Image) or (isinstance(value, Tensor | np.ndarray) and value.ndim >= 2)


def is_image_dtype(image: Tensor) -> bool:
    """Return whether torchvision can convert the values of such images: uint8, or floats."""
    return image.dtype == torch.uint8 or image.dtype.is_floating_point


def check_image_range(image: Tensor, name: str) -> None:
    """Raise ValueError unless an image is uint8, or floats in [0, 1], give or take an overshoot.

    `name` is the transform that it was passed to.
    """
    if not is_image_dtype(image):
        raise ValueError(f"Images must be of uint8 or floats, got {image.dtype}: convert them.")
    if image.dtype.is_floating_point and image.numel():  # half the time of asking a tv_tensor itself
        low, high = (float(value) for value in image.aminmax())
        if not (-MAX_OVERSHOOT <= low and high <= 1 + MAX_OVERSHOOT):
            raise ValueError(
                f"Images must be uint8 or floats in [0, 1], got values from {low:.3g} to {high:.3g}: put"
                f" {name} before `Normalize`."
            )


def images_like(images: Tensor, like: Any) -> Any:
    """Return images (n, C, H, W) or vectors (n, d) in the container, dtype and layout of those `like`."""
    from torchvision.transforms.v2 import functional as tvf  # imports torch's compiler: seconds

    dtype = like.dtype if isinstance(like, Tensor) else torch.from_numpy(like).dtype
    if like.ndim == 2:
        vectors = images.detach().cpu().to(dtype)
        return vectors if isinstance(like, Tensor) else vectors.numpy()
    images = tvf.to_dtype(images.detach().cpu(), dtype, scale=True)
    images = images[:, 0] if like.ndim == 3 else images
    if isinstance(like, Tensor):
        return images
    return np.ascontiguousarray((images.permute(0, 2, 3, 1) if images.ndim == 4 else images).numpy())
