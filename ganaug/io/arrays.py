"""as_arrays: arrays, a torch Dataset, an image folder, an HDF5 file or an npz file -> X, y."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ganaug.data.containers import as_container, is_dataframe, is_image
from ganaug.data.labels import check_labels
from ganaug.io import hdf5
from ganaug.io.disk import printable
from ganaug.io.folders import ImageFolder, check_source
from ganaug.io.image_files import (
    MODES,
    common_mode,
    convert_image,
    image_mode,
    load_image,
    read_header,
    resize_images,
)

# In a folder of `export_images`, the names of synthetic images begin with it.
SYNTHETIC_NAME = "synthetic-"


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


def as_arrays(source: Any, size: int | tuple[int, int] | None = None, *, mode: str | None = None) -> Arrays:
    """Return the samples and labels of `source` as two arrays.

    Parameters
    ----------
    source : (X, y), torch Dataset, or path
        As arrays, X is an ndarray (N, H, W, C) or (N, H, W), a Tensor (N, C, H, W), or a table: an
        ndarray (N, n_features) or a pandas DataFrame. X may be a list of images, PIL images among
        them. y is of length N.

        A torch Dataset yields (image, label). The image is a PIL image, an ndarray or a Tensor.

        A path leads to a folder with one folder of images for each class, to an HDF5 file that
        `write_hdf5` wrote, or to an ``.npz`` file with arrays ``X`` and ``y`` (or ``X_train`` and
        ``y_train``). Each real folder is read once, by whatever links lead to it; names that begin with a
        dot are skipped, with one warning. Photographs are turned as their EXIF orientation says.
    size : int or (int, int), optional
        Resize images to this height and width, in pixels. Default: as they are.
    mode : {"L", "RGB", "RGBA"}, optional
        Make the images of files, or PIL images, grey, colour, or colour with alpha. Grey of 16 bits is
        scaled to 8. Default: grey if all are grey, with alpha if all have it, else colour.

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

    Warns
    -----
    UserWarning
        If some images have transparency and others have none: then it is dropped.

    Examples
    --------
    >>> import numpy as np
    >>> from ganaug import as_arrays
    >>> X, y = as_arrays((np.zeros((2, 28, 28), np.uint8), ["cat", "dog"]), size=14)
    >>> X.shape, X.dtype, y.tolist()
    ((2, 14, 14), dtype('uint8'), ['cat', 'dog'])
    """
    height_width = _height_width(size)
    if mode is not None and mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES} or None, got {mode!r}.")
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source), height_width, mode)
    if isinstance(source, tuple | list) and len(source) == 2 and not _are_items(source):
        X, y = source
        X = _images_or_container(X, height_width, mode)
        if X.ndim == 0:
            raise ValueError(f"`X` must be an array, a Tensor or a DataFrame of samples, got {source[0]!r}.")
        y = check_labels(y, len(X))
        return Arrays(resize_images(X, height_width), y, _class_names(source), _synthetic(source, len(X)))
    table = is_dataframe(source) or isinstance(source, Mapping)
    indexed = hasattr(source, "__getitem__") and not isinstance(source, IterableDataset)
    if indexed and hasattr(source, "__len__") and not table:
        return _from_dataset(source, height_width, mode)
    raise TypeError(
        "`source` must be (X, y), a torch Dataset of (image, label), or the path of a folder of class"
        f" folders, an HDF5 file or an .npz file, got {type(source).__name__}{_advice(source)}."
    )


def _advice(source: Any) -> str:
    """Return what to pass in place of a source that has its items in another form."""
    if isinstance(source, DataLoader):
        return ": pass its `dataset`, whose items are single images"
    if hasattr(source, "__iter__") and not is_dataframe(source) and not isinstance(source, Mapping):
        return (
            ", which has no index: pass list(...) of it, or list(itertools.islice(..., n)) of the first n"
            " items"
        )
    return ""


def _are_items(source: Any) -> bool:
    """Return whether a pair is a list of two items (image, label), and not (X, y)."""
    return isinstance(source, list) and all(
        isinstance(item, tuple) and len(item) == 2 and is_image(item[0]) for item in source
    )


def _images_or_container(X: Any, size: tuple[int, int] | None, mode: str | None) -> Any:
    """Return `X` as a container; the images of a list, which may differ in size and kind, as one array."""
    if isinstance(X, list | tuple) and X and all(map(is_image, X)):
        kinds = {(image.size, image.mode) if isinstance(image, Image.Image) else image.shape for image in X}
        indirect = any(isinstance(image, Image.Image) and image.mode not in MODES for image in X)
        if len(kinds) > 1 or indirect or mode is not None or (isinstance(X[0], Tensor) and X[0].ndim == 3):
            return _stack([_convert_item(image, size, mode, f"item {i}") for i, image in enumerate(X)], mode)
    _refuse_mode(mode, "arrays")
    return as_container(X)


def _refuse_mode(mode: str | None, what: str) -> None:
    if mode is not None:
        raise ValueError(f"`mode` (--mode) converts PIL images and image files, got {mode!r} for {what}.")


def _class_names(source: Any) -> Any:
    """Return the class names of a data set; what is called so may also be a number, a dict or a method."""
    names = getattr(source, "classes", None)
    names = getattr(source, "class_names", names)
    return names if isinstance(names, list | tuple | np.ndarray) else None


def _synthetic(source: Any, n: int) -> np.ndarray | None:
    synthetic = getattr(source, "synthetic", None)
    return synthetic if isinstance(synthetic, np.ndarray) and synthetic.shape == (n,) else None


def _height_width(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int | np.integer) and side > 0 for side in pair):
        raise ValueError(f"`size` must be a positive int or (height, width), got {size!r}.")
    return int(pair[0]), int(pair[1])


def _from_path(path: Path, size: tuple[int, int] | None, mode: str | None) -> Arrays:
    try:
        found = check_source(path)
        if found is not None:
            return _from_folder(path, found, size, mode)
        _refuse_mode(mode, f"the file {printable(path)}")
        synthetic = None
        if path.suffix.lower() == ".npz" and not h5py.is_hdf5(path):
            X, y = _read_npz(path)
        else:
            X, y, synthetic = hdf5.read_arrays(path)
        return Arrays(resize_images(X, size), check_labels(y, len(X)), synthetic=synthetic)
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


def _from_folder(folder: Path, found: ImageFolder, size: tuple[int, int] | None, mode: str | None) -> Arrays:
    if found.skipped:
        warnings.warn(f"{printable(folder)}: skipped {found.skipped}.", stacklevel=4)
    headers = [read_header(path) for path in found.files]
    names = [printable(path) for path in found.files]
    if size is None:
        _check_same_size([shape for shape, _ in headers], names)
    common = mode or common_mode([own for _, own in headers], names)
    images = (np.asarray(load_image(path, common, size)) for path in found.files)
    synthetic = np.array([path.name.startswith(SYNTHETIC_NAME) for path in found.files])
    labels = np.array(found.labels, dtype=np.int64)
    return Arrays(_preallocate_and_stack(images, len(found.files)), labels, found.names, synthetic)


def _check_same_size(sizes: Sequence[tuple[int, int]], names: Sequence[str]) -> None:
    for size, name in zip(sizes, names, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"Images differ in size: {names[0]} is {sizes[0][0]} x {sizes[0][1]}, {name} is"
                f" {size[0]} x {size[1]}. Pass `size` of as_arrays (--size) to resize them all."
            )


def _preallocate_and_stack(images: Iterator[Any], n: int) -> np.ndarray:
    """Stack `n` images (H, W) or (H, W, C) into one array, with one of them in memory at a time."""
    first = next(images)
    X = np.empty((n, *first.shape), first.dtype)
    X[0] = first
    for i, image in enumerate(images, start=1):
        X[i] = image
    return X if X.ndim == 4 else X[..., None]


def _from_dataset(dataset: Any, size: tuple[int, int] | None, mode: str | None) -> Arrays:
    images: list[Any] = []
    labels = []
    for i in range(len(dataset)):
        item = dataset[i]
        if not isinstance(item, tuple | list) or len(item) != 2:
            keys = f" with the keys {list(item)}" if isinstance(item, Mapping) else ""
            raise ValueError(
                f"Item {i} of the data set must be (image, label), got {type(item).__name__}{keys}: pass"
                " as_arrays the pair (X, y), or a list of (image, label)."
            )
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
        images.append(_convert_item(image, size, mode, f"item {i}"))
        labels.append(label.item() if isinstance(label, Tensor | np.generic | np.ndarray) else label)
    if not images:
        raise ValueError("The data set is empty.")
    y = check_labels(labels, len(images))
    names = _class_names(dataset)
    return Arrays(_stack(images, mode), y, names, _synthetic(dataset, len(y)))


def _convert_item(image: Any, size: tuple[int, int] | None, mode: str | None, name: str) -> Any:
    """Return an image, resized as soon as it is read: photographs take far more memory than small images."""
    if isinstance(image, Image.Image):
        if size is None and mode is None:
            return image
        try:
            return convert_image(image, mode or common_mode([image_mode(image)], [name]), size)
        except ValueError as exc:
            raise ValueError(f"The image of {name} can't be converted: {exc}") from exc
    _refuse_mode(mode, f"{name}, of type {type(image).__name__}")
    return image if size is None else resize_images(image[None], size)[0]


def _stack(images: list[Any], mode: str | None) -> Any:
    """Stack images of one type (PIL, ndarray or Tensor)."""
    items = [f"item {i}" for i in range(len(images))]
    types = {
        kind for image in images for kind in (Image.Image, Tensor, np.ndarray) if isinstance(image, kind)
    }
    if len(types) > 1:
        raise ValueError("The images of a data set must all be of one kind: PIL images, ndarrays or Tensors.")
    if types == {Image.Image}:
        _check_same_size([(image.height, image.width) for image in images], items)
        mode = mode or common_mode([image_mode(image) for image in images], items)
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
