"""A DataLoader of real and synthetic images: small classes a little more often, images mixed in pairs."""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from ganaug import ConditionalGAN, augmented_loader


def main(steps: int | str) -> None:
    digits = load_digits()
    nine = digits.target == 9
    train = (np.arange(len(nine)) < 900) & (~nine | (nine.cumsum() <= 10))  # ten nines are kept
    images, labels = (digits.images[train] / 16).astype(np.float32), digits.target[train]
    gan = ConditionalGAN(steps=steps, random_state=0, verbose=True).fit(images, labels)
    loader = augmented_loader((images, labels), gan, batch_size=64)

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(10):
        for batch, soft_labels in loader:
            loss = nn.functional.cross_entropy(model(batch), soft_labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    unseen = torch.from_numpy(digits.images[900:] / 16).float()
    right = model(unseen).argmax(1) == torch.from_numpy(digits.target[900:])
    print(f"{right.float().mean():.1%} of the digits that were not trained on are recognised")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default="auto")
    main(parser.parse_args().steps)
