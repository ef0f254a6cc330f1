"""as_arrays: whatever the user has (arrays, Dataset, image folder, HDF5, npz) -> X, y."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.v2 import functional as tvf

from ganaug import hdf5
from ganaug.kinds import as_array, as_rows, is_frame, is_missing, is_pixels

MIN_CLASS_SIZE = 2
KINDS: tuple[Any, ...] = (str, (bool, np.bool_), (int, float, np.number))  # of labels
SYNTHETIC_NAME = "synthetic-"  # how the names of synthetic images begin in folders of `export_images`


class Sampler(Protocol):
    """What everything after training sees of a generator.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels it can be asked for, sorted.
    """

    classes_: np.ndarray

    def sample(self, labels: Any, random_state: Any = None) -> Any:
        """Return exactly one row for each of `labels`, in order."""
        ...


class Arrays(tuple):
    """The pair ``(X, y)``, and what rides along.

    Attributes
    ----------
    class_names : list of str, or None
    synthetic : ndarray of shape (n,), bool, or None
        Which rows are synthetic, where the source says so.
    """

    class_names: list[str] | None
    synthetic: np.ndarray | None

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Return what a copy is made of."""
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
    """Return the images and labels of `source` as two arrays.

    Parameters
    ----------
    source : (X, y), torch Dataset, or path
        Arrays: X an ndarray (N, H, W, C) or (N, H, W), or a Tensor (N, C, H, W), or a table, as an
        ndarray (N, n_features) or a pandas DataFrame; y of length N.
        A torch Dataset yields (image, label), the image a PIL image, an ndarray or a Tensor. A
        path leads to a folder with one folder of images for each class, to an HDF5 file that
        `write_hdf5` wrote, or to an ``.npz`` file with arrays ``X`` and ``y`` (or ``X_train``
        and ``y_train``).
    size : int or (int, int), optional
        Resize to this height and width, in pixels.

    Returns
    -------
    X : ndarray of shape (N, H, W, C) or (N, H, W), Tensor of shape (N, C, H, W), or table
        What came in as one stays one, the dtype is kept; folders and PIL images give uint8 ndarrays.
    y : ndarray of shape (N,)
        Labels as they were; those of a folder are int64 in the sorted order of its folders'
        names, which ride along: ``as_arrays(...).class_names``. So does which rows are synthetic,
        where a file says so, or names of images in a folder, which begin with "synthetic-".

    Raises
    ------
    ValueError
        Where `source` can't be read as images and labels; names the file or the item.
    FileNotFoundError
        Where a path leads nowhere.
    TypeError
        Where `source` is none of the kinds above.
    """
    height_width = _height_width(size)
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source), height_width)
    if isinstance(source, tuple | list) and len(source) == 2:
        X, y = source
        X = as_rows(X)
        if X.ndim == 0:
            raise ValueError(f"`X` must be an array, a Tensor or a DataFrame of rows, got {source[0]!r}.")
        y = check_labels(y, len(X))
        names, synthetic = getattr(source, "class_names", None), getattr(source, "synthetic", None)
        return Arrays(_resize(X, height_width), y, names, synthetic)
    table = is_frame(source) or isinstance(source, Mapping)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not table:
        return _from_dataset(source, height_width)
    raise TypeError(
        "`source` must be (X, y), a torch Dataset of (image, label), or the path of a folder of class"
        f" folders, an HDF5 file or an .npz file, got {type(source).__name__}."
    )


def check_labels(y: Any, n_rows: int, name: str = "y", of: str = "X") -> np.ndarray:
    """Return `y` as a 1-D ndarray, or raise ValueError if it can't label `n_rows` rows.

    `name` and `of` are what errors call the labels and the rows.
    """
    y = _label_array(y)
    if y.ndim != 1 or len(y) != n_rows:
        raise ValueError(
            f"`{name}` must have one label for each of the {n_rows} rows of `{of}`, got shape {y.shape}."
        )
    if n_rows == 0:
        raise ValueError(f"`{of}` has no rows.")
    missing = y != y if y.dtype.kind == "f" else np.array([is_missing(label) for label in y])
    if np.any(missing):
        raise ValueError(f"`{name}` has missing labels, the first at row {int(np.argmax(missing))}.")
    kinds = {type(label).__name__ for label in y.tolist()} if y.dtype == object else {y.dtype.name}
    if "str" in kinds and len(kinds) > 1:
        raise ValueError(f"`{name}` must hold labels of one type, got {' and '.join(sorted(kinds))}.")
    if y.dtype.kind not in "biufUO" or (y.dtype == object and kinds - {"bool", "int", "float"}):
        raise ValueError(
            f"`{name}` must hold ints, strings, bools or floats, got {' and '.join(sorted(kinds))}: convert"
            " them."
        )
    check_classification_targets(y)
    return y


def encode_labels(y: np.ndarray, least: int = MIN_CLASS_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes of `y` and the index of each label in them.

    Raises
    ------
    ValueError
        If there is only one class, or a class of fewer than `least` rows.
    """
    classes, indices, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"`y` must hold at least 2 classes, got one class: {classes.tolist()[0]!r}.")
    if counts.min() < least:
        which = counts.argmin()
        raise ValueError(
            f"Class {classes.tolist()[which]!r} has {counts[which]} row; each class needs at least"
            f" {least} to be learned from: add rows, or leave the class out."
        )
    return classes, indices.astype(np.int64)


def check_mode(mode: Any, strength: Any, sampler: Any) -> None:
    """Raise ValueError unless a sampler can "replace" images, or "vary" them so far."""
    if mode not in ("replace", "vary"):
        raise ValueError(f"`mode` must be 'replace' or 'vary', got {mode!r}.")
    if not isinstance(strength, int | float | np.number) or not 0 <= strength < np.inf:
        raise ValueError(f"`strength` must be a number from 0 up, got {strength!r}.")
    if mode == "vary" and not hasattr(sampler, "vary"):
        raise ValueError(
            "`sampler` must have a method `vary` for mode 'vary', as a ConditionalGAN has, got"
            f" {type(sampler).__name__}."
        )


def label_indices(labels: Any, classes: np.ndarray, name: str = "labels") -> np.ndarray:
    """Return the index in `classes` of each of `labels` (a sequence, an array, a tensor, a scalar).

    `name` is what errors call them.

    Raises
    ------
    ValueError
        If a label is not one of `classes`.
    """
    values, classes = np.atleast_1d(_label_array(labels)), _label_array(classes)
    if values.ndim != 1:
        raise ValueError(f"`{name}` must be one-dimensional, got shape {values.shape}.")
    if len(values) == 0:
        return np.empty(0, np.int64)
    if values.dtype != object and (values.dtype.kind in "US") == (classes.dtype.kind in "US"):
        if values.dtype.kind in "iu" and classes.dtype.kind in "iu":
            own = values.astype(classes.dtype)  # numpy compares signed and unsigned ones as floats
            values = own if np.array_equal(own, values) else values
        where = np.minimum(np.searchsorted(classes, values), len(classes) - 1)
        unknown = classes[where] != values
        if not np.any(unknown):
            return where
        values = values[unknown]
    raise ValueError(f"Labels of `{name}` must be among {classes.tolist()}, got {values.tolist()[0]!r}.")


def per_class(counts: Any, classes: np.ndarray) -> np.ndarray:
    """Return a number of rows for each of `classes`, (n_classes,), from an int or a dict of label to int.

    Raises
    ------
    ValueError
        If a number is not an int from 0 up, or a label is unknown.
    """
    wanted = dict.fromkeys(range(len(classes)), counts)
    if isinstance(counts, Mapping):
        wanted = {int(label_indices([label], classes, "counts")[0]): count for label, count in counts.items()}
    numbers = np.zeros(len(classes), np.int64)
    for index, count in wanted.items():
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 0:
            raise ValueError(
                f"`counts` must be ints from 0 up, got {count!r} for class {classes.tolist()[index]!r}."
            )
        numbers[index] = count
    return numbers


def class_rates(rates: Any, classes: np.ndarray, name: str) -> list[float]:
    """Return a rate in [0, 1] for each of `classes`, from one for all or a dict of label to rate.

    Classes that a dict leaves out have 0. `name` is what errors call them.

    Raises
    ------
    ValueError
        If a rate is not one, or a label is unknown.
    """
    found: dict[int, Any] = dict.fromkeys(range(len(classes)), rates)
    if isinstance(rates, Mapping):
        found = dict.fromkeys(range(len(classes)), 0.0)
        found |= {int(label_indices([label], classes, name)[0]): rate for label, rate in rates.items()}
    for rate in found.values():
        if not isinstance(rate, int | float | np.number) or not 0 <= rate <= 1:
            raise ValueError(f"`{name}` must be a number in [0, 1] or a dict of such, got {rate!r}.")
    return [float(found[index]) for index in range(len(classes))]


def as_random(random_state: int | np.random.RandomState | None) -> np.random.RandomState:
    """Return what scikit-learn understands by `random_state`, but None leaves numpy's own state alone."""
    if random_state is None:
        return np.random.RandomState()
    try:
        return check_random_state(random_state)
    except ValueError as exc:
        raise ValueError(
            f"`random_state` must be an int from 0 to 2**32 - 1, a RandomState or None, got {random_state!r}."
        ) from exc


def seeded_clone(estimator: Any, seed: int) -> Any:
    """Return an unfitted copy of an estimator, `seed` set on it and on all it holds."""
    twin = clone(estimator)
    names = [name for name in twin.get_params() if name.split("__")[-1] == "random_state"]
    return twin.set_params(**dict.fromkeys(names, seed))


def check_sampler(sampler: Any) -> None:
    """Raise ValueError unless `sampler` is one, ready to be asked for rows."""
    if not hasattr(sampler, "classes_") or not hasattr(sampler, "sample"):
        raise ValueError(
            "`sampler` must be a fitted ConditionalGAN or QualityGate, or have `classes_` and `sample`, got"
            f" {sampler!r}."
        )


def _label_array(labels: Any) -> np.ndarray:
    """Return labels as an ndarray, of numpy's own types where they are of one kind, however they came."""
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else as_array(labels)
    if values.dtype == object and len({_kind(value) for value in values.flat}) == 1:
        plain = np.array(values.tolist())
        return plain if plain.shape == values.shape else values
    return values


def _kind(label: Any) -> Any:
    return next((kind for kind in KINDS if isinstance(label, kind)), type(label))


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
    tensor, flat = isinstance(X, Tensor), X.ndim == 3
    rows = X if tensor else torch.from_numpy(np.ascontiguousarray(X))
    if not is_pixels(rows):
        raise ValueError(f"`X` must be images of uint8 or floats to be resized, got {X.dtype}: convert them.")
    rows = rows[:, None] if flat else rows if tensor else rows.permute(0, 3, 1, 2)
    if tuple(rows.shape[2:]) == size:
        return X
    rows = torch.cat([_resize_tensor(block, size) for block in rows.split(1024)])
    rows = rows[:, 0] if flat else rows if tensor else rows.permute(0, 2, 3, 1)
    return rows if tensor else np.ascontiguousarray(rows.numpy())


def _resize_tensor(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (..., C, H, W); rounding may not carry floats out of the range they had."""
    return tvf.resize(rows, list(size), antialias=True).clamp(rows.min(), rows.max())


def _from_path(path: Path, size: tuple[int, int] | None) -> Arrays:
    if not path.exists():
        raise FileNotFoundError(f"No such file or folder: {path}")
    if path.is_dir():
        return _from_folder(path, size)
    synthetic = None
    if path.suffix in hdf5.SUFFIXES or h5py.is_hdf5(path):
        X, y, synthetic = hdf5.read_arrays(path)
    elif path.suffix == ".npz":
        X, y = _read_npz(path)
    else:
        raise ValueError(
            f"{path}: expected a folder of class folders, or a file ending in .h5, .hdf5 or .npz."
        )
    return Arrays(_resize(X, size), check_labels(y, len(X)), synthetic=synthetic)


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            for names in (("X", "y"), ("X_train", "y_train")):
                if all(name in file for name in names):
                    return file[names[0]], file[names[1]]
            found = sorted(file)
    except Exception as exc:  # numpy raises whatever the zip and header parsers raise
        raise ValueError(f"{path} can't be read as an .npz file: {exc}") from exc
    raise ValueError(f"{path} must hold arrays `X` and `y` (or `X_train`, `y_train`), found {found}.")


def _from_folder(folder: Path, size: tuple[int, int] | None) -> Arrays:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    files = [
        (path, label)
        for label, name in enumerate(names)
        for path in _files(folder / name)
        if path.suffix.lower() in IMG_EXTENSIONS
    ]
    if not files:
        raise ValueError(f"{folder} must hold one folder of images for each class; no image was found in it.")
    labels = np.array([label for _, label in files], dtype=np.int64)
    for label, name in enumerate(names):
        if not np.any(labels == label):
            raise ValueError(
                f"{folder / name} holds no image; remove it, or put the images of its class in it."
            )
    headers = [_header(path) for path, _ in files]
    if size is None:
        _check_same_size([shape for shape, _ in headers], [str(path) for path, _ in files])
    mode = _common_mode([mode for _, mode in headers])
    images = (np.asarray(_load(path, mode, size)) for path, _ in files)
    synthetic = np.array([path.name.startswith(SYNTHETIC_NAME) for path, _ in files])
    return Arrays(_fill(images, len(files)), labels, names, synthetic)


def _files(folder: Path) -> list[Path]:
    """Return all files in a folder and below it, sorted; links are followed, as torchvision's folders do."""
    return sorted(Path(root, name) for root, _, names in os.walk(folder, followlinks=True) for name in names)


def _header(path: Path) -> tuple[tuple[int, int], str]:
    try:
        with Image.open(path) as image:
            mode = _mode(image)
            shape = (image.height, image.width)
            image.verify()  # loading does not look at the checksums of a PNG file
            return shape, mode
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise ValueError(f"{path} can't be read as an image.") from exc


def _load(path: Path, mode: str, size: tuple[int, int] | None) -> Image.Image:
    try:
        with Image.open(path) as image:
            return _converted(image, mode, size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise ValueError(f"{path} can't be read as an image: {exc}") from exc


def _converted(image: Image.Image, mode: str, size: tuple[int, int] | None) -> Image.Image:
    image = image.convert(mode)
    return image if size is None else image.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _common_mode(modes: Sequence[str]) -> str:
    """Return the PIL mode that loses nothing of any of `modes`: grey, colour, or colour with alpha."""
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


def _fill(images: Any, n: int) -> np.ndarray:
    """Stack `n` images (H, W) or (H, W, C) into one array, with never more than one at hand."""
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
        images.append(_small(image, size))
        labels.append(label.item() if isinstance(label, Tensor | np.generic | np.ndarray) else label)
    if not images:
        raise ValueError("The data set is empty.")
    y = check_labels(labels, len(images))
    names, synthetic = getattr(dataset, "classes", None), getattr(dataset, "synthetic", None)
    return Arrays(_stack(images, size), y, names, synthetic)


def _small(image: Any, size: tuple[int, int] | None) -> Any:
    """Return an image resized, if it is to be: one by one, for photographs take much more room."""
    if size is None:
        return image
    if isinstance(image, Image.Image):
        return _converted(image, _common_mode([_mode(image)]), size)
    return _resize(image[None], size)[0]


def _stack(images: list[Any], size: tuple[int, int] | None) -> Any:
    """Stack images of one kind (PIL, ndarray or Tensor), which were resized if `size` is given."""
    items = [f"item {i}" for i in range(len(images))]
    kinds = {
        kind for image in images for kind in (Image.Image, Tensor, np.ndarray) if isinstance(image, kind)
    }
    if len(kinds) > 1:
        raise ValueError("The images of a data set must all be of one kind: PIL images, ndarrays or Tensors.")
    if kinds == {Image.Image}:
        if size is None:
            _check_same_size([(image.height, image.width) for image in images], items)
        mode = _common_mode([_mode(image) for image in images])
        return _fill((np.asarray(image.convert(mode)) for image in images), len(images))
    tensors = kinds == {Tensor}
    _check_same_size([tuple(image.shape[-2:] if tensors else image.shape[:2]) for image in images], items)
    for image, item in zip(images, items, strict=True):
        if (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
            raise ValueError(
                f"Images differ in kind: item 0 is {images[0].dtype} {tuple(images[0].shape)}, {item} is"
                f" {image.dtype} {tuple(image.shape)}."
            )
    return torch.stack([image.as_subclass(Tensor) for image in images]) if tensors else np.stack(images)


def _mode(image: Image.Image) -> str:
    """Return an image's mode; RGBA of a palette with transparency, and I of colours of 16 bits."""
    if re.search(";16[BLN]", str(getattr(image, "tile", ""))):  # of which PIL keeps 8
        return "I;16"
    return "RGBA" if image.mode == "P" and "transparency" in image.info else image.mode
