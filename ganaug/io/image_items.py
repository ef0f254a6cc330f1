"""ImageItems: images one at a time, from whatever holds them, of any size and number."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from ganaug.data.containers import MAX_OVERSHOOT, is_image_dtype
from ganaug.data.user_warnings import warn_user
from ganaug.io.disk import check_regular, printable
from ganaug.io.folders import check_source
from ganaug.io.image_files import convert_image, load_image

CHANNELS = (1, 3, 4)
ACCEPTED = (
    "images (N, H, W) or (N, H, W, C), a Tensor (N, C, H, W), a list of paths or of images, a folder of class"
    " folders, or a torch Dataset"
)


class ImageItem(NamedTuple):
    """One image: what errors call it, and the path or the image itself."""

    name: str
    source: Path | Image.Image | np.ndarray | Tensor

    def digest(self) -> bytes:
        """Return the SHA-256 of a file's content, or of an image's pixels, shape and dtype."""
        if isinstance(self.source, Path):
            check_regular(self.source)
            try:
                with self.source.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").digest()
            except FileNotFoundError:
                raise FileNotFoundError(f"No such file: {self.name}") from None
        if isinstance(self.source, Image.Image):
            image = self.rgb()
            return hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()
        kind = f"{type(self.source).__name__} {tuple(self.source.shape)} {self.source.dtype} "
        if isinstance(self.source, Tensor):
            pixels = self.source.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
        else:
            pixels = self.source.tobytes()
        return hashlib.sha256(kind.encode() + pixels).digest()

    def rgb(self) -> Image.Image:
        """Return it as a colour image of 8 bits, a photograph turned as its EXIF orientation says.

        Raises
        ------
        ValueError
            If it can't be read, or has values or channels that no image has.
        """
        if isinstance(self.source, Path):
            check_regular(self.source)
            if not self.source.exists():
                raise FileNotFoundError(f"No such file: {self.name}")
            return load_image(self.source, "RGB", None)
        if isinstance(self.source, Image.Image):
            try:
                return convert_image(self.source, "RGB", None)
            except Exception as exc:  # an image that PIL opened is read only now, and may be damaged
                raise ValueError(f"{self.name} can't be converted: {exc}") from exc
        image = self._channels_first(self.source)
        if len(image) not in CHANNELS:
            raise ValueError(
                f"{self.name} must have 1, 3 or 4 channels, got an image of shape {tuple(self.source.shape)}:"
                " arrays have channels last, Tensors first."
            )
        if image.dtype.is_floating_point and image.numel():
            low, high = (float(value) for value in image.aminmax())
            if not (-MAX_OVERSHOOT <= low and high <= 1 + MAX_OVERSHOOT):
                raise ValueError(
                    f"{self.name} must be of uint8 or of floats in [0, 1], got values from {low:.3g} to"
                    f" {high:.3g}: preprocess=None takes images as they are."
                )
            image = (image.clamp(0, 1) * 255).round().to(torch.uint8)
        image = image[:3] if len(image) > 1 else image.expand(3, -1, -1)
        return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())

    def tensor(self) -> Tensor:
        """Return it as a float32 Tensor (C, H, W): integers scaled to [0, 1], floats as they are."""
        from torchvision.transforms.v2 import functional as tvf

        if isinstance(self.source, Path | Image.Image):
            return tvf.to_dtype(tvf.pil_to_tensor(self.rgb()), torch.float32, scale=True)
        return tvf.to_dtype(self._channels_first(self.source), torch.float32, scale=True)

    def _channels_first(self, image: np.ndarray | Tensor) -> Tensor:
        if image.ndim not in (2, 3) or 0 in image.shape:
            raise ValueError(
                f"{self.name} must be an image of shape (H, W), (H, W, C) in an array or (C, H, W) in a"
                f" Tensor, got {tuple(image.shape)}."
            )
        if isinstance(image, np.ndarray):
            native = image.astype(image.dtype.newbyteorder("="), copy=not image.flags.writeable)
            image = torch.from_numpy(np.ascontiguousarray(native))
            image = image.permute(2, 0, 1) if image.ndim == 3 else image
        image = image.detach().cpu().as_subclass(Tensor)
        if not is_image_dtype(image):
            raise ValueError(f"{self.name} must be of uint8 or floats, got {image.dtype}: convert it.")
        return image if image.ndim == 3 else image[None]


class ImageItems(Sequence[ImageItem]):
    """The images of an array, a list, a folder or a data set, of which one is in memory at a time.

    Parameters
    ----------
    X : ndarray, Tensor, sequence, path or torch Dataset
        An ndarray (N, H, W) or (N, H, W, C) or a Tensor (N, C, H, W) or (N, H, W); a list, array or Series of
        paths; a list of images, which may differ in size; the path of a folder of class folders; or a
        Dataset of images or of (image, label).

    Raises
    ------
    ValueError, TypeError
        If `X` is none of these, or holds nothing.
    FileNotFoundError
        If there is no such folder.
    """

    def __init__(self, X: Any) -> None:
        self._items = _as_items(X)
        if not len(self._items):
            raise ValueError("`X` must hold at least one image, got none.")

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, i: Any) -> Any:
        """Return one item, which a Dataset makes now."""
        item = self._items[i]
        if isinstance(item, tuple | list) and item:  # (image, label)
            item = item[0]
        if isinstance(item, str | os.PathLike):
            path = Path(item)
            return ImageItem(printable(path), path)
        name = f"item {i} of `X`"
        if not isinstance(item, Image.Image | np.ndarray | Tensor):
            keys = f" with the keys {list(item)}" if isinstance(item, Mapping) else ""
            raise TypeError(f"{name} must be a path or an image, got {type(item).__name__}{keys}.")
        return ImageItem(name, item)

    def __iter__(self) -> Iterator[ImageItem]:
        return (self[i] for i in range(len(self)))


def _as_items(X: Any) -> Any:
    if isinstance(X, str | os.PathLike):
        return _files(Path(X))
    if isinstance(X, Tensor):
        return _checked_array(X)
    if isinstance(X, list | tuple):
        return X
    if hasattr(X, "to_numpy"):  # a Series of paths, or a DataFrame with a column of them
        X = X.to_numpy()
    if isinstance(X, np.ndarray):
        if X.dtype.kind not in "OUT":
            return _checked_array(X)
        if X.ndim == 1 or (X.ndim == 2 and X.shape[1] == 1):
            return X.ravel().tolist() if X.dtype.kind != "O" else list(X.ravel())
        raise ValueError(f"`X` must hold one path or image in each row, got an array of shape {X.shape}.")
    if hasattr(X, "__getitem__") and hasattr(X, "__len__") and not isinstance(X, Mapping | IterableDataset):
        return X
    raise TypeError(f"`X` must be {ACCEPTED}, got {type(X).__name__}.")


def _checked_array(X: Any) -> Any:
    if X.ndim not in (3, 4):
        raise ValueError(f"`X` must be {ACCEPTED}, got an array of shape {tuple(X.shape)}.")
    return X


def _files(path: Path) -> list[Path]:
    found = None if path.is_file() else check_source(path)
    if found is None:
        raise ValueError(
            f"`X` must be {ACCEPTED}, got the file {printable(path)}: pass [path] for one photograph, or"
            " as_arrays(path)[0] for a data set."
        )
    if found.skipped:
        warn_user(f"{printable(path)}: skipped {found.skipped}.")
    return found.files
