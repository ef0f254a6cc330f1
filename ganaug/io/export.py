"""export_images: writes the images of an HDF5 file as PNG files, in folders or in tar files."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from ganaug.io.arrays import SYNTHETIC_NAME
from ganaug.io.disk import printable
from ganaug.io.hdf5_dataset import HDF5Dataset
from ganaug.io.shards import check_all_images

BATCH_SIZE = 256  # images written at once
BATCH_BYTES = 2**26  # fewer of them if they are so large
IMAGES_PER_TAR = 10_000


def export_images(path: str | Path, folder: str | Path) -> int:
    """Write the images of a file that `write_hdf5` wrote as ``folder/LABEL/NUMBER.png``.

    The number is the image's place in the file, after "synthetic-" for synthetic images. Until all
    images are written, they lie beside `folder` in one whose name ends in ``.partial``.

    Parameters
    ----------
    path : path
        The HDF5 file.
    folder : path
        The folder to make.

    Returns
    -------
    int
        How many images were written.

    Raises
    ------
    FileExistsError
        If `folder` exists.
    ValueError
        If the file is damaged, if its images are not uint8, or if a label can't name a folder.
    """
    data, folder = _images(Path(path)), Path(folder)
    if folder.exists():
        raise FileExistsError(f"{printable(folder)} exists: name a new folder.")
    names = [str(label) for label in data.classes]
    for name in names:
        if name in ("", ".", "..") or set(name) & set('/\\:*?"<>|\0'):
            raise ValueError(f"Class {name!r} can't be the name of a folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".partial", f"{folder.name}-", folder.parent) as partial:
        _write(data, names, Path(partial) / folder.name)
        (Path(partial) / folder.name).rename(folder)
    return len(data)


def export_tar(path: str | Path, pattern: str | Path, images_per_file: int = IMAGES_PER_TAR) -> int:
    """Write the images of a file that `write_hdf5` wrote to tar files in the format of WebDataset.

    Each image is ``NUMBER.png``, where the number is its place in the file. Beside it are ``NUMBER.cls``,
    its class index, and ``NUMBER.json``, its label and whether it is synthetic. Until all images are written,
    the tar files lie beside their place in a folder whose name ends in ``.partial``.

    Parameters
    ----------
    path : path
        The HDF5 file.
    pattern : path
        Of the tar files, with one placeholder for their number, as in ``pets-%06d.tar``.
    images_per_file : int, default=10,000
        The last file may hold fewer.

    Returns
    -------
    int
        How many images were written.

    Raises
    ------
    FileExistsError
        If there is something at the place of one of the files.
    ImportError
        If webdataset is not installed.
    ValueError
        If the file is damaged, if its images are not uint8, or if `pattern` has no such placeholder.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from ganaug import ConditionalGAN, write_hdf5
    >>> from ganaug.io.export import export_tar
    >>> X = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    >>> gan = ConditionalGAN(steps=1).fit(X, ["cat", "dog"] * 10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pets = write_hdf5(gan, folder + "/pets.h5", 3)
    ...     export_tar(pets, folder + "/pets-%06d.tar", images_per_file=4)
    6
    """
    pattern = Path(pattern)
    if len(re.findall("%", pattern.name)) != 1 or not re.search(r"%0?\d*d.*\.tar$", pattern.name):
        raise ValueError(
            f"`pattern` must be the name of tar files with one placeholder for their number, such as"
            f" pets-%06d.tar, got {printable(pattern)}."
        )
    if find_spec("webdataset") is None:
        raise ImportError("Tar files for WebDataset need its package: pip install 'ganaug[webdataset]'.")
    from webdataset import ShardWriter  # type: ignore[import-untyped]

    data = _images(Path(path))
    n_files = -(-len(data) // images_per_file)
    targets = [pattern.with_name(pattern.name % number) for number in range(n_files)]
    for target in targets:
        if os.path.lexists(target):
            raise FileExistsError(f"{printable(target)} exists: name new files, or move it away.")
    pattern.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".partial", pattern.name.partition("%")[0], pattern.parent) as partial:
        name = f"{partial.replace('%', '%%')}/{pattern.name}"
        with ShardWriter(name, maxcount=images_per_file, maxsize=2**60, verbose=0) as writer:
            for number, (image, label) in enumerate(_pictures(data)):
                about = {"label": data.classes[label], "synthetic": bool(data.synthetic[number])}
                content = io.BytesIO()
                image.save(content, "png")
                parts = {"png": content.getvalue(), "cls": label, "json": json.dumps(about).encode()}
                writer.write({"__key__": f"{number:09d}", **parts})
        for target in targets:
            (Path(partial) / target.name).rename(target)
    return len(data)


def _images(path: Path) -> HDF5Dataset:
    """Return the images of a file, each bit verified, if they can be PNG files."""
    check_all_images(path)
    data = HDF5Dataset(path)
    image = data[0][0]
    if data.layout == "series":
        raise ValueError("Only images can be PNG files, got series: read them by as_arrays.")
    if image.dtype.itemsize != 1 or image.ndim != 3 or image.shape[0] not in (1, 3, 4):
        raise ValueError(
            "Only uint8 images of 1, 3 or 4 channels can be PNG files, got"
            f" {image.dtype} {tuple(image.shape)}."
        )
    return data


def _write(data: HDF5Dataset, names: list[str], folder: Path) -> None:
    for c in np.unique(data.targets).tolist():  # an empty folder could not be read back
        (folder / names[c]).mkdir(parents=True)
    digits = len(str(len(data) - 1))
    for number, (image, label) in enumerate(_pictures(data)):
        prefix = SYNTHETIC_NAME if data.synthetic[number] else ""
        image.save(folder / names[label] / f"{prefix}{number:0{digits}}.png")


def _pictures(data: HDF5Dataset) -> Iterator[tuple[Image.Image, int]]:
    """Yield each image and its class index."""
    # The generator is the loader's own: without it, torch's global random state would move on.
    batch_size = max(1, min(BATCH_SIZE, BATCH_BYTES // max(1, data[0][0].numel())))
    for images, labels in DataLoader(data, batch_size=batch_size, generator=torch.Generator()):
        for pixels, label in zip(images.permute(0, 2, 3, 1).numpy(), labels.tolist(), strict=True):
            yield Image.fromarray(np.squeeze(pixels, 2) if pixels.shape[2] == 1 else pixels), label
