"""Synthetic images in a DataLoader: each batch trades some real images for synthetic ones."""

import argparse
from functools import partial

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler, default_collate
from torchvision.transforms import v2

from ganaug import ConditionalGAN, GANAugment


def collate(transform, items):
    return transform(*default_collate(items))


def main(steps: int | str) -> None:
    digits = load_digits()
    keep = (digits.target != 9) | (torch.arange(len(digits.target)).numpy() % 10 == 0)  # few nines
    images = torch.from_numpy(digits.images[keep] / 16).float()[:, None]
    labels = torch.from_numpy(digits.target[keep])

    gan = ConditionalGAN(steps=steps, random_state=0, verbose=True).fit(images, labels)
    augment = v2.Compose([GANAugment(gan), v2.Normalize(mean=[0.3], std=[0.35])])

    data, weights = TensorDataset(images, labels), 1 / labels.bincount()[labels]
    balanced = WeightedRandomSampler(weights.tolist(), num_samples=len(labels))  # classes equally often
    loader = DataLoader(data, batch_size=64, sampler=balanced, collate_fn=partial(collate, augment))
    for batch, batch_labels in loader:
        print(tuple(batch.shape), batch_labels.bincount(minlength=10).tolist())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default="auto")
    main(parser.parse_args().steps)
