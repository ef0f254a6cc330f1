"""as_arrays: arrays, a torch Dataset, an image folder, an HDF5 file or an npz file -> X, y."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from ganaug.data.containers import as_container, is_dataframe, is_image_dtype
from ganaug.data.labels import check_labels
from ganaug.io import hdf5
from ganaug.io.disk import printable
from ganaug.io.folders import ImageFolder, check_source

# In a folder of `export_images`, the names of synthetic images begin with it.
SYNTHETIC_NAME = "synthetic-"
RESIZE_BLOCK = 1024  # images resized at once


class Arrays(tuple):
    """The pair ``(X, y)``, with metadata.

    Attributes
    ----------
    class_names : list of str, or None
        The names of classes 0, 1, ..., where the source has them.
    synthetic : ndarray of shape (n,), bool, or None
        Which samples are synthetic, where the source says so.
    """

    class_names: list[str] | None
    synthetic: np.ndarray | None

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Return the arguments that a copy is made with."""
        return (*self, self.class_names, self.synthetic)

    def __new__(
        cls, X: Any, y: Any, class_names: Sequence[str] | None = None, synthetic: np.ndarray | None = None
    ) -> Arrays:
        """Make the pair."""
        pair = super().__new__(cls, (X, y))
        pair.class_names = None if class_names is None else [str(name) for name in class_names]
        pair.synthetic = synthetic
        return pair


def as_arrays(source: Any, size: int | tuple[int, int] | None = None) -> Arrays:
    """Return the samples and labels of `source` as two arrays.

    Parameters
    ----------
    source : (X, y), torch Dataset, or path
        As arrays, X is an ndarray (N, H, W, C) or (N, H, W), a Tensor (N, C, H, W), or a table: an
        ndarray (N, n_features) or a pandas DataFrame. y is of length N.

        A torch Dataset yields (image, label). The image is a PIL image, an ndarray or a Tensor.

        A path leads to a folder with one folder of images for each class, to an HDF5 file that
        `write_hdf5` wrote, or to an ``.npz`` file with arrays ``X`` and ``y`` (or ``X_train`` and
        ``y_train``). Each real folder is read once, by whatever links lead to it; names that begin with a
        dot are skipped, with one warning.
    size : int or (int, int), optional
        Resize images to this height and width, in pixels. Default: as they are.

    Returns
    -------
    X : ndarray of shape (N, H, W, C) or (N, H, W), Tensor of shape (N, C, H, W), or table
        Containers and dtypes stay as they are; folders and PIL images give uint8 ndarrays.
    y : ndarray of shape (N,)
        Labels as they are. Those of a folder are int64, in the sorted order of its folders' names.

    The pair has two more attributes. ``class_names`` is the list of class names of a folder or a Dataset, or
    None. ``synthetic`` (N,) of bool says which samples are synthetic, or is None: an HDF5 file tells, and
    in a folder the names of synthetic images begin with "synthetic-".

    Raises
    ------
    ValueError
        If `source` can't be read as samples and labels. The message names the file or the item.
    FileNotFoundError
        If there is nothing at a path.
    TypeError
        If `source` is none of the kinds above.

    Examples
    --------
    >>> import numpy as np
    >>> from ganaug import as_arrays
    >>> X, y = as_arrays((np.zeros((2, 28, 28), np.uint8), ["cat", "dog"]), size=14)
    >>> X.shape, X.dtype, y.tolist()
    ((2, 14, 14), dtype('uint8'), ['cat', 'dog'])
    """
    height_width = _height_width(size)
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source), height_width)
    if isinstance(source, tuple | list) and len(source) == 2:
        X, y = source
        X = as_container(X)
        if X.ndim == 0:
            raise ValueError(f"`X` must be an array, a Tensor or a DataFrame of samples, got {source[0]!r}.")
        y = check_labels(y, len(X))
        names, synthetic = getattr(source, "class_names", None), getattr(source, "synthetic", None)
        return Arrays(_resize(X, height_width), y, names, synthetic)
    table = is_dataframe(source) or isinstance(source, Mapping)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not table:
        return _from_dataset(source, height_width)
    raise TypeError(
        "`source` must be (X, y), a torch Dataset of (image, label), or the path of a folder of class"
        f" folders, an HDF5 file or an .npz file, got {type(source).__name__}."
    )


def _height_width(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in pair):
        raise ValueError(f"`size` must be a positive int or (height, width), got {size!r}.")
    return int(pair[0]), int(pair[1])


def _resize(X: Any, size: tuple[int, int] | None) -> Any:
    if size is None:
        return X
    if X.ndim not in (3, 4):
        raise ValueError(
            f"`size` (--size) is for images, got {size} for `X` of shape {tuple(X.shape)}: leave it out, or"
            " reshape `X` to (N, H, W) or (N, H, W, C)."
        )
    channels_last = X.ndim == 4 and not isinstance(X, Tensor)
    images = X if isinstance(X, Tensor) else torch.from_numpy(np.ascontiguousarray(X))
    if not is_image_dtype(images):
        raise ValueError(f"`X` must be images of uint8 or floats to be resized, got {X.dtype}: convert them.")
    images = images.permute(0, 3, 1, 2) if channels_last else images
    images = images[:, None] if X.ndim == 3 else images
    if tuple(images.shape[2:]) == size:
        return X
    images = torch.cat([_resize_tensor(block, size) for block in images.split(RESIZE_BLOCK)])
    images = images[:, 0] if X.ndim == 3 else images
    images = images.permute(0, 2, 3, 1) if channels_last else images
    return images if isinstance(X, Tensor) else np.ascontiguousarray(images.numpy())


def _resize_tensor(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (..., C, H, W); rounding may not carry floats out of the range they had."""
    return tvf.resize(images, list(size), antialias=True).clamp(images.min(), images.max())


def _from_path(path: Path, size: tuple[int, int] | None) -> Arrays:
    try:
        found = check_source(path)
        if found is not None:
            return _from_folder(path, found, size)
        synthetic = None
        if path.suffix == ".npz" and not h5py.is_hdf5(path):
            X, y = _read_npz(path)
        else:
            X, y, synthetic = hdf5.read_arrays(path)
        return Arrays(_resize(X, size), check_labels(y, len(X)), synthetic=synthetic)
    except ValueError as exc:
        if printable(path) in str(exc):
            raise
        raise ValueError(f"{printable(path)}: {exc}") from exc


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            for names in (("X", "y"), ("X_train", "y_train")):
                if all(name in file for name in names):
                    X, y = file[names[0]], file[names[1]]
                    if not X.ndim or not y.ndim:
                        raise ValueError(f"`{names[0]}` and `{names[1]}` must be arrays, got a scalar")
                    return X, y
            found = sorted(file)
    except Exception as exc:  # numpy raises whatever the zip and header parsers raise
        raise ValueError(f"{printable(path)} can't be read as an .npz file: {exc}") from exc
    raise ValueError(
        f"{printable(path)} must hold arrays `X` and `y` (or `X_train`, `y_train`), found {found}."
    )


def _from_folder(folder: Path, found: ImageFolder, size: tuple[int, int] | None) -> Arrays:
    if found.skipped:
        warnings.warn(f"{printable(folder)}: skipped {found.skipped}.", stacklevel=4)
    headers = [_header(path) for path in found.files]
    if size is None:
        _check_same_size([shape for shape, _ in headers], [printable(path) for path in found.files])
    mode = _common_mode([mode for _, mode in headers])
    images = (np.asarray(_load(path, mode, size)) for path in found.files)
    synthetic = np.array([path.name.startswith(SYNTHETIC_NAME) for path in found.files])
    labels = np.array(found.labels, dtype=np.int64)
    return Arrays(_preallocate_and_stack(images, len(found.files)), labels, found.names, synthetic)


def _header(path: Path) -> tuple[tuple[int, int], str]:
    try:
        with Image.open(path) as image:
            mode = _mode(image)
            shape = (image.height, image.width)
            image.verify()  # loading does not look at the checksums of a PNG file
            return shape, mode
    except Exception as exc:  # Pillow raises whatever its parsers run into
        raise ValueError(f"{printable(path)} can't be read as an image.") from exc


def _load(path: Path, mode: str, size: tuple[int, int] | None) -> Image.Image:
    try:
        with Image.open(path) as image:
            return _convert_and_resize(image, mode, size)
    except Exception as exc:
        raise ValueError(f"{printable(path)} can't be read as an image: {exc}") from exc


def _convert_and_resize(image: Image.Image, mode: str, size: tuple[int, int] | None) -> Image.Image:
    image = image.convert(mode)
    return image if size is None else image.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _common_mode(modes: Sequence[str]) -> str:
    """Return the PIL mode that holds images of all `modes` without loss: grey, colour, or with alpha."""
    found = set(modes)
    if any(mode.startswith(("I", "F")) for mode in found):
        raise ValueError(
            f"Images must have 8 bits a channel, got PIL mode {sorted(found)}: convert them first."
        )
    if found & {"RGBA", "LA", "PA"}:
        return "RGBA"
    return "L" if found <= {"L", "1"} else "RGB"


def _check_same_size(sizes: Sequence[tuple[int, int]], names: Sequence[str]) -> None:
    for size, name in zip(sizes, names, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"Images differ in size: {names[0]} is {sizes[0][0]} x {sizes[0][1]}, {name} is"
                f" {size[0]} x {size[1]}. Pass `size=` (as --size on the command line) to resize them all."
            )


def _preallocate_and_stack(images: Iterator[Any], n: int) -> np.ndarray:
    """Stack `n` images (H, W) or (H, W, C) into one array, with one of them in memory at a time."""
    first = next(images)
    X = np.empty((n, *first.shape), first.dtype)
    X[0] = first
    for i, image in enumerate(images, start=1):
        X[i] = image
    return X if X.ndim == 4 else X[..., None]


def _from_dataset(dataset: Any, size: tuple[int, int] | None) -> Arrays:
    images: list[Any] = []
    labels = []
    for i in range(len(dataset)):
        item = dataset[i]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ValueError(f"Item {i} of the data set must be (image, label), got {type(item).__name__}.")
        image, label = item
        if not isinstance(image, Image.Image | np.ndarray | Tensor):
            raise ValueError(
                f"Item {i} of the data set must hold a PIL image, an ndarray or a Tensor,"
                f" got {type(image).__name__}."
            )
        if isinstance(label, Tensor | np.ndarray) and np.prod(label.shape) != 1:
            raise ValueError(
                f"Item {i} of the data set must have one label, got an array of shape {tuple(label.shape)}."
            )
        images.append(_resize_item(image, size))
        labels.append(label.item() if isinstance(label, Tensor | np.generic | np.ndarray) else label)
    if not images:
        raise ValueError("The data set is empty.")
    y = check_labels(labels, len(images))
    names, synthetic = getattr(dataset, "classes", None), getattr(dataset, "synthetic", None)
    return Arrays(_stack(images, size), y, names, synthetic)


def _resize_item(image: Any, size: tuple[int, int] | None) -> Any:
    """Return an image, resized as soon as it is read: photographs take far more memory than small images."""
    if size is None:
        return image
    if isinstance(image, Image.Image):
        return _convert_and_resize(image, _common_mode([_mode(image)]), size)
    return _resize(image[None], size)[0]


def _stack(images: list[Any], size: tuple[int, int] | None) -> Any:
    """Stack images of one type (PIL, ndarray or Tensor), which were resized if `size` is given."""
    items = [f"item {i}" for i in range(len(images))]
    types = {
        kind for image in images for kind in (Image.Image, Tensor, np.ndarray) if isinstance(image, kind)
    }
    if len(types) > 1:
        raise ValueError("The images of a data set must all be of one kind: PIL images, ndarrays or Tensors.")
    if types == {Image.Image}:
        if size is None:
            _check_same_size([(image.height, image.width) for image in images], items)
        mode = _common_mode([_mode(image) for image in images])
        return _preallocate_and_stack((np.asarray(image.convert(mode)) for image in images), len(images))
    tensors = types == {Tensor}
    _check_same_size([tuple(image.shape[-2:] if tensors else image.shape[:2]) for image in images], items)
    for image, item in zip(images, items, strict=True):
        if (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
            raise ValueError(
                f"Images differ in kind: item 0 is {images[0].dtype} {tuple(images[0].shape)}, {item} is"
                f" {image.dtype} {tuple(image.shape)}."
            )
    return torch.stack([image.as_subclass(Tensor) for image in images]) if tensors else np.stack(images)


def _mode(image: Image.Image) -> str:
    """Return an image's mode: for a palette with transparency RGBA, for colours of 16 bits I;16."""
    if re.search(";16[BLN]", str(getattr(image, "tile", ""))):  # PIL says RGB, and would keep 8 bits
        return "I;16"
    return "RGBA" if image.mode == "P" and "transparency" in image.info else image.mode
