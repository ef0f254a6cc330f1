"""as_arrays: arrays, a torch Dataset, an image folder, an HDF5 file or an npz file -> X, y."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ganaug.data.containers import as_container, is_dataframe, is_image
from ganaug.data.labels import check_labels
from ganaug.data.user_warnings import warn_user
from ganaug.io.disk import printable
from ganaug.io.file_images import FileImages
from ganaug.io.folders import IMAGE_SUFFIXES, ImageFolder, check_source
from ganaug.io.hdf5_dataset import HDF5Dataset
from ganaug.io.hdf5_rows import HDF5Rows
from ganaug.io.image_files import (
    MODES,
    check_same_size,
    common_mode,
    convert_image,
    dataset_item,
    image_mode,
    load_image,
    preallocate_and_stack,
    read_header,
    resize_images,
    stack_images,
)
from ganaug.io.image_rows import DatasetImages, ImageRows, check_sides, is_large
from ganaug.io.shards import read_all

# In a folder of `export_images`, the names of synthetic images begin with it.
SYNTHETIC_NAME = "synthetic-"


class Arrays(tuple[Any, Any]):
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
        them, or of paths of image files. y is of length N.

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
    return _read(source, size, mode, lazy=False)


def as_samples(source: Any, *, mode: str | None = None) -> Arrays:
    """Return the samples and labels of `source` as `as_arrays` does, but large images as `ImageRows`.

    These are images above 64 pixels a side, of a folder, a list of paths or a torch Dataset. They are not
    read yet. Images of any size in HDF5 files without compression stay there.
    """
    return _read(source, None, mode, lazy=True)


def _read(source: Any, size: int | tuple[int, int] | None, mode: str | None, *, lazy: bool) -> Arrays:
    height_width = _height_width(size)
    if mode is not None and mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES} or None, got {mode!r}.")
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source), height_width, mode, lazy)
    if isinstance(source, tuple | list) and len(source) == 2 and not _are_items(source):
        X, y = source
        X = _images_or_container(X, height_width, mode, lazy)
        if X.ndim == 0:
            raise ValueError(f"`X` must be an array, a Tensor or a DataFrame of samples, got {source[0]!r}.")
        y = check_labels(y, len(X))
        return Arrays(resize_images(X, height_width), y, _class_names(source), _synthetic(source, len(X)))
    table = is_dataframe(source) or isinstance(source, Mapping)
    indexed = hasattr(source, "__getitem__") and not isinstance(source, IterableDataset)
    if indexed and hasattr(source, "__len__") and not table:
        return _from_dataset(source, height_width, mode, lazy)
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


def _are_paths(X: Any) -> bool:
    """Return whether these are the paths of image files, in a list or anything else of one dimension."""
    if isinstance(X, ImageRows) or not hasattr(X, "__len__") or getattr(X, "ndim", 1) != 1 or not len(X):
        return False
    entries = X.tolist() if hasattr(X, "tolist") else X
    return isinstance(entries, list | tuple) and all(
        isinstance(entry, os.PathLike) or (isinstance(entry, str) and entry.lower().endswith(IMAGE_SUFFIXES))
        for entry in entries
    )


def _images_or_container(X: Any, size: tuple[int, int] | None, mode: str | None, lazy: bool) -> Any:
    """Return `X` as a container; the images of a list, which may differ in size and kind, as one array."""
    if isinstance(X, ImageRows):
        return X
    if _are_paths(X):
        return _from_files([Path(entry) for entry in X], size, mode, lazy)
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and len(X) and all(map(is_image, X)):
        X = list(X)
    if isinstance(X, list | tuple) and X and all(map(is_image, X)):
        kinds = {(image.size, image.mode) if isinstance(image, Image.Image) else image.shape for image in X}
        indirect = any(isinstance(image, Image.Image) and image.mode not in MODES for image in X)
        if len(kinds) > 1 or indirect or mode is not None or (isinstance(X[0], Tensor) and X[0].ndim == 3):
            items = [_convert_item(image, size, mode, f"item {i}") for i, image in enumerate(X)]
            return stack_images(items, mode)
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


def _from_path(path: Path, size: tuple[int, int] | None, mode: str | None, lazy: bool) -> Arrays:
    try:
        found = check_source(path)
        if found is not None:
            return _from_folder(path, found, size, mode, lazy)
        _refuse_mode(mode, f"the file {printable(path)}")
        synthetic = None
        if path.suffix.lower() == ".npz" and not h5py.is_hdf5(path):
            X, y = _read_npz(path)
        else:
            rows = HDF5Rows.of_file(path) if lazy and size is None else None
            if rows is not None:
                return Arrays(rows, rows.labels, synthetic=rows.data.synthetic)
            X, y, synthetic = read_all(path)
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


def _from_folder(
    folder: Path, found: ImageFolder, size: tuple[int, int] | None, mode: str | None, lazy: bool
) -> Arrays:
    if found.skipped:
        warn_user(f"{printable(folder)}: skipped {found.skipped}.")
    X = _from_files(found.files, size, mode, lazy)
    synthetic = np.array([path.name.startswith(SYNTHETIC_NAME) for path in found.files])
    return Arrays(X, np.array(found.labels, dtype=np.int64), found.names, synthetic)


def _from_files(
    files: Sequence[Path], size: tuple[int, int] | None, mode: str | None, lazy: bool
) -> np.ndarray | FileImages:
    """Return the images of files, as an array; or if they are large, and `lazy`, not read yet."""
    headers = [read_header(path) for path in files]
    names = [printable(path) for path in files]
    if size is None:
        for (sides, _), name in zip(headers, names, strict=True):
            check_sides(*sides, name)
        check_same_size([sides for sides, _ in headers], names)
    common = mode or common_mode([own for _, own in headers], names)
    if lazy and size is None and is_large(*headers[0][0]):
        return FileImages(files, common, headers[0][0])
    images = (np.asarray(load_image(path, common, size)) for path in files)
    return preallocate_and_stack(images, len(files))


def _from_dataset(dataset: Any, size: tuple[int, int] | None, mode: str | None, lazy: bool) -> Arrays:
    if lazy and mode is None and isinstance(dataset, HDF5Dataset) and HDF5Rows.can_stay(dataset):
        y = check_labels(dataset.targets, len(dataset))
        return Arrays(HDF5Rows(dataset, tensor=True), y, _class_names(dataset), dataset.synthetic)
    images: Any = []
    labels = []
    for i in range(len(dataset)):
        image, label = dataset_item(dataset, i)
        image = _convert_item(image, size, None if lazy else mode, f"item {i}")
        if lazy and i == 0 and is_large(*_sides(image)):
            images = DatasetImages(dataset, mode)
        images.append(image)
        labels.append(label)
    if not labels:
        raise ValueError("The data set is empty.")
    y = check_labels(labels, len(labels))
    X = images.finish() if isinstance(images, DatasetImages) else stack_images(images, mode)
    return Arrays(X, y, _class_names(dataset), _synthetic(dataset, len(y)))


def _sides(image: Any) -> tuple[int, int]:
    """Return height and width of an image; 0 of what is a row of a table."""
    if isinstance(image, Image.Image):
        return image.height, image.width
    if image.ndim < 2:
        return 0, 0
    height, width = image.shape[-2:] if isinstance(image, Tensor) else image.shape[:2]
    return int(height), int(width)


def _convert_item(image: Any, size: tuple[int, int] | None, mode: str | None, name: str) -> Any:
    """Return an image, resized as soon as it is read: photographs take far more memory than small images."""
    if size is None:
        check_sides(*_sides(image), name)
    if isinstance(image, Image.Image):
        if size is None and mode is None:
            return image
        try:
            return convert_image(image, mode or common_mode([image_mode(image)], [name]), size)
        except ValueError as exc:
            raise ValueError(f"The image of {name} can't be converted: {exc}") from exc
    _refuse_mode(mode, f"{name}, of type {type(image).__name__}")
    return image if size is None else resize_images(image[None], size)[0]
