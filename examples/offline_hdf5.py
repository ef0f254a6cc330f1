"""A synthetic data set on disk: train, save, write HDF5, read it back with a DataLoader."""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from ganaug import ConditionalGAN, HDF5Dataset, write_hdf5


def main(steps: int | str, folder: Path) -> None:
    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)
    gan = ConditionalGAN(steps=steps, random_state=0, verbose=True).fit(images, digits.target)
    gan.save(folder / "model")

    gan = ConditionalGAN.load(folder / "model")
    write_hdf5(gan, folder / "synthetic.h5", counts={8: 500, 9: 500}, random_state=0, verbose=True)

    data = HDF5Dataset(folder / "synthetic.h5")
    for batch, labels in DataLoader(data, batch_size=256, shuffle=True):
        print(tuple(batch.shape), batch.dtype, labels.bincount().tolist())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default="auto")
    with tempfile.TemporaryDirectory() as folder:
        main(parser.parse_args().steps, Path(folder))
