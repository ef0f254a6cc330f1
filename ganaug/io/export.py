"""export_images: writes the images of an HDF5 file as PNG files, in one folder for each class."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from ganaug.io.arrays import SYNTHETIC_NAME
from ganaug.io.disk import printable
from ganaug.io.hdf5 import check_images
from ganaug.io.hdf5_dataset import HDF5Dataset
from ganaug.io.shards import members

BATCH_SIZE = 256  # images written at once
BATCH_BYTES = 2**26  # fewer of them if they are so large


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
    for part, _ in members(Path(path)):
        check_images(part)
    data, folder = HDF5Dataset(path), Path(folder)
    if folder.exists():
        raise FileExistsError(f"{printable(folder)} exists: name a new folder.")
    names = [str(label) for label in data.classes]
    for name in names:
        if name in ("", ".", "..") or set(name) & set('/\\:*?"<>|\0'):
            raise ValueError(f"Class {name!r} can't be the name of a folder.")
    image = data[0][0]
    if image.dtype.itemsize != 1 or image.ndim != 3 or image.shape[0] not in (1, 3, 4):
        raise ValueError(
            "Only uint8 images of 1, 3 or 4 channels can be PNG files, got"
            f" {image.dtype} {tuple(image.shape)}."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".partial", f"{folder.name}-", folder.parent) as partial:
        _write(data, names, Path(partial) / folder.name)
        (Path(partial) / folder.name).rename(folder)
    return len(data)


def _write(data: HDF5Dataset, names: list[str], folder: Path) -> None:
    for c in np.unique(data.targets).tolist():  # an empty folder could not be read back
        (folder / names[c]).mkdir(parents=True)
    digits = len(str(len(data) - 1))
    number = 0
    # The generator is the loader's own: without it, torch's global random state would move on.
    batch_size = max(1, min(BATCH_SIZE, BATCH_BYTES // max(1, data[0][0].numel())))
    for images, labels in DataLoader(data, batch_size=batch_size, generator=torch.Generator()):
        for pixels, label in zip(images.permute(0, 2, 3, 1).numpy(), labels.tolist(), strict=True):
            prefix = SYNTHETIC_NAME if data.synthetic[number] else ""
            target = folder / names[label] / f"{prefix}{number:0{digits}}.png"
            Image.fromarray(np.squeeze(pixels, 2) if pixels.shape[2] == 1 else pixels).save(target)
            number += 1
