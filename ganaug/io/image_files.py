"""Images that PIL reads: their size and mode as they are seen, and all of them in one mode and size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from ganaug.data.containers import is_image_dtype
from ganaug.data.user_warnings import warn_user
from ganaug.io.disk import printable

MODES = ("L", "RGB", "RGBA")
GREY_MODES = ("1", "L", "LA")
ALPHA_MODES = ("RGBA", "LA", "PA")
# Those of the suffixes that folders are searched for, and what is often found under them. PIL knows others,
# and hands PostScript to another program.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
RESIZE_BLOCK = 1024  # images resized at once
MAX_16_BITS = 2**16 - 1


def read_header(source: Path | BinaryIO, name: str | None = None) -> tuple[tuple[int, int], str]:
    """Return (height, width) and the mode of an image file, or raise ValueError if it is damaged.

    `name` is what the message calls a file that is open already.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
            mode, shape = image_mode(image), _upright_sides(image)
            image.verify()  # loading does not look at the checksums of a PNG file
            return shape, mode
    except Exception as exc:  # Pillow raises whatever its parsers run into
        raise ValueError(f"{name or printable(source)} can't be read as an image.") from exc


def load_image(
    source: Path | BinaryIO,
    mode: str,
    size: tuple[int, int] | None,
    name: str | None = None,
    sides: tuple[int, int] | None = None,
) -> Image.Image:
    """Return the image in a file as it is seen: turned as its camera was held, and converted.

    Where `sides` are given, a file of another height and width is refused before its pixels are read.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
            found = _upright_sides(image)
            if sides is not None and found != sides:
                raise ValueError(f"it is {found[0]} x {found[1]}, and must be {sides[0]} x {sides[1]}")
            upright = image if _orientation(image) == 1 else ImageOps.exif_transpose(image)
            return convert_image(upright, mode, size)
    except Exception as exc:  # Pillow raises whatever its parsers run into
        raise ValueError(f"{name or printable(source)} can't be read as an image: {exc}") from exc


def _upright_sides(image: Image.Image) -> tuple[int, int]:
    """Return height and width as the image is seen."""
    turned = _orientation(image) >= 5  # by a quarter
    return (image.width, image.height) if turned else (image.height, image.width)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation that PIL leaves to be applied; 1 if there is none."""
    # Of a TIFF file PIL applies it itself. In a PNG file PIL would read all pixels to look for one that
    # stands behind them.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata are no reason to refuse the pixels, and PIL raises all sorts
        return 1
    return orientation if orientation in range(1, 9) else 1


def image_mode(image: Image.Image) -> str:
    """Return an image's mode: for a palette with transparency RGBA, for colours of 16 bits I;16."""
    if re.search(";16[BLN]", str(getattr(image, "tile", ""))):  # PIL says RGB, and would keep 8 bits
        return "I;16"
    return "RGBA" if image.mode == "P" and "transparency" in image.info else image.mode


def common_mode(modes: Sequence[str], names: Sequence[str]) -> str:
    """Return the PIL mode for images of all `modes`: grey, colour, or with alpha if each of them has it.

    Raises
    ------
    ValueError
        If one has more than 8 bits a channel; the message has its name among `names`.

    Warns
    -----
    UserWarning
        If some images have transparency and others have none: it will be dropped.
    """
    for mode, name in zip(modes, names, strict=True):
        if mode.startswith(("I", "F")):
            raise ValueError(
                f"{name} has more than 8 bits a channel (PIL mode {mode}), which no image may have: convert"
                " it, or pass mode='L' (--mode L) to scale 16 bits to 8."
            )
    n_alpha = sum(mode in ALPHA_MODES for mode in modes)
    if n_alpha == len(modes):
        return "RGBA"
    common = "L" if set(modes) <= set(GREY_MODES) else "RGB"
    if n_alpha:
        warn_user(
            f"{n_alpha} of {len(modes)} images have transparency and the others none: all are read as"
            f" {common}. Pass mode='RGBA' (--mode RGBA) to keep it.",
        )
    return common


def convert_image(image: Image.Image, mode: str, size: tuple[int, int] | None) -> Image.Image:
    """Return an image of a mode of 8 bits, of `size` (height, width) if that is given."""
    image = _to_8_bits(image).convert(mode)
    return image if size is None else image.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits: grey of 16 bits is scaled, as PIL itself would clip it."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F" or low < 0 or high > MAX_16_BITS:
        raise ValueError(
            f"its values of {values.dtype} from {low} to {high} are not of 8 or 16 bits: convert it"
        )
    scaled = (values.astype(np.uint32) * 255 + MAX_16_BITS // 2) // MAX_16_BITS
    return Image.fromarray(scaled.astype(np.uint8))


def resize_images(X: Any, size: tuple[int, int] | None) -> Any:
    """Return images, an array (N, H, W) or (N, H, W, C) or a Tensor (N, C, H, W), at a size (H, W)."""
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
    from torchvision.transforms.v2 import functional as tvf

    return tvf.resize(images, list(size), antialias=True).clamp(images.min(), images.max())


def check_same_size(sizes: Sequence[tuple[int, int]], names: Sequence[str]) -> None:
    """Raise ValueError, with the names of two images, unless all are of one height and width."""
    for size, name in zip(sizes, names, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"Images differ in size: {names[0]} is {sizes[0][0]} x {sizes[0][1]}, {name} is"
                f" {size[0]} x {size[1]}. Pass `size` of as_arrays (--size) to resize them all."
            )


def preallocate_and_stack(images: Iterator[Any], n: int) -> np.ndarray:
    """Stack `n` images (H, W) or (H, W, C) into one array, with one of them in memory at a time."""
    first = next(images)
    X = np.empty((n, *first.shape), first.dtype)
    X[0] = first
    for i, image in enumerate(images, start=1):
        X[i] = image
    return X if X.ndim == 4 else X[..., None]


def dataset_item(dataset: Any, i: int) -> tuple[Any, Any]:
    """Return the image and the label of an item, or raise ValueError unless it has one of each."""
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
    return image, label.item() if isinstance(label, Tensor | np.generic | np.ndarray) else label


def stack_images(images: list[Any], mode: str | None) -> Any:
    """Stack images of one type (PIL, ndarray or Tensor)."""
    items = [f"item {i}" for i in range(len(images))]
    types = {
        kind for image in images for kind in (Image.Image, Tensor, np.ndarray) if isinstance(image, kind)
    }
    if len(types) > 1:
        raise ValueError("The images of a data set must all be of one kind: PIL images, ndarrays or Tensors.")
    if types == {Image.Image}:
        check_same_size([(image.height, image.width) for image in images], items)
        mode = mode or common_mode([image_mode(image) for image in images], items)
        return preallocate_and_stack((np.asarray(image.convert(mode)) for image in images), len(images))
    tensors = types == {Tensor}
    check_same_size([tuple(image.shape[-2:] if tensors else image.shape[:2]) for image in images], items)
    for image, item in zip(images, items, strict=True):
        if (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
            raise ValueError(
                f"Images differ in kind: item 0 is {images[0].dtype} {tuple(images[0].shape)}, {item} is"
                f" {image.dtype} {tuple(image.shape)}."
            )
    return torch.stack([image.as_subclass(Tensor) for image in images]) if tensors else np.stack(images)
