"""The classifiers of the gain benchmark: all arms train the same one, with the same number of updates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from ganaug.data.containers import channels_first
from ganaug.data.images import ImageCodec

# The share of the updates after which deferred class weights set in.
DEFERRED_FROM = 0.8
# Images that go through a network at once outside training.
BLOCK_SIZE = 500


@dataclass(frozen=True)
class Settings:
    """Of a classifier; tuned once on validation data, for class-balanced sampling with augmentation."""

    network: str
    updates: int
    learning_rate: float
    batch_size: int = 64
    flip: bool = False  # whether augmentation mirrors images as well as shifting them


@dataclass(frozen=True)
class TrainingSet:
    """What an arm trains on, and how.

    Attributes
    ----------
    X : ndarray of shape (n, H, W) or (n, H, W, C), uint8
    y : ndarray of shape (n,), int
    sampling_weight : ndarray of shape (n,)
        The probability of drawing each image, up to a factor.
    class_weight : ndarray of shape (n_classes,), optional
        Multiplies the loss of a class in the last part of the updates (deferred re-weighting, Cao
        et al., NeurIPS 2019).
    mixup, cutmix : float, default=0.0
        The parameter alpha of its beta distribution (Zhang et al., ICLR 2018; Yun et al., ICCV 2019), 0 for
        none. With both, each batch has one of the two, by chance.
    others_weight : ndarray of shape (n,), optional
        The probability, up to a factor, of each image to be the other one that mixup and CutMix mix in.
        None: it is of the same batch.
    rand_augment : bool, default=False
        Change each image by RandAugment with its default parameters (Cubuk et al., NeurIPS 2020).
    transform : callable, optional
        Called with the images of each batch, (n, C, H, W) as they are stored, and their labels.
    loader : DataLoader, optional
        Gives the batches, (n, C, H, W) in [0, 1] with soft labels (n, n_classes), in the place of all this.
    extra : dict
        Kept with the results.
    """

    X: np.ndarray
    y: np.ndarray
    sampling_weight: np.ndarray
    class_weight: np.ndarray | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    others_weight: np.ndarray | None = None
    rand_augment: bool = False
    transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    loader: DataLoader | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Classifier:
    """A trained network."""

    def __init__(self, network: nn.Module, codec: ImageCodec) -> None:
        self.network, self.codec, self.updates = network, codec, 0

    @torch.no_grad()
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each class, (n, n_classes)."""
        self.network.eval()
        return self._in_blocks(self.network, X).double().softmax(1).cpu().numpy()

    @torch.no_grad()
    def features(self, X: np.ndarray) -> np.ndarray:
        """Return the input of the last layer for each image, (n, n_features)."""
        trunk = nn.Sequential(*list(self.network.children())[:-1]).eval()
        return self._in_blocks(trunk, X).flatten(1).cpu().numpy()

    def _in_blocks(self, network: nn.Module, X: np.ndarray) -> Tensor:
        device = next(self.network.parameters()).device
        blocks = [X[i : i + BLOCK_SIZE] for i in range(0, len(X), BLOCK_SIZE)]
        return torch.cat([network(self.codec.encode(block).to(device)) for block in blocks])


def train(
    data: TrainingSet, settings: Settings, *, augment: bool, seed: int, device: str = "cpu"
) -> Classifier:
    """Train a classifier on an arm's data for exactly ``settings.updates`` updates."""
    rng = torch.Generator().manual_seed(seed)
    n_classes = int(data.y.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        codec = ImageCodec.fit(data.X)
        classifier = Classifier(NETWORKS[settings.network](codec.shape, n_classes).to(device), codec)
        network = classifier.network.train()
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=1e-3, fused=True
        )

        def batches_of(drawn: TrainingSet) -> Iterator[tuple[Tensor, Tensor]]:
            loader = drawn.loader
            batches = _draw(drawn, settings.batch_size, codec, rng) if loader is None else _load(loader)
            for images, labels in batches:
                images = _augment(images, codec, settings, rng) if augment else images
                yield images.to(device), labels.to(device)

        batches = batches_of(data)
        others = batches_of(replace(data, sampling_weight=data.others_weight))
        for step in range(settings.updates):
            progress = step / settings.updates
            for group in optimizer.param_groups:
                group["lr"] = (
                    settings.learning_rate * min(1, (step + 1) / 50) * (1 + math.cos(math.pi * progress)) / 2
                )
            images, labels = next(batches)
            weight = None
            if data.class_weight is not None and progress >= DEFERRED_FROM:
                weight = torch.from_numpy(data.class_weight).float().to(device)
            if data.mixup or data.cutmix:
                if data.others_weight is None:
                    order = torch.randperm(len(images), generator=rng)
                    mixed_in, other_labels = images[order], labels[order]
                else:
                    mixed_in, other_labels = next(others)
                images, keep = _mix(data, images, mixed_in, np.random.default_rng([seed, step]))
                logits = network(images)
                loss = keep * F.cross_entropy(logits, labels, weight)
                loss = loss + (1 - keep) * F.cross_entropy(logits, other_labels, weight)
            else:
                loss = F.cross_entropy(network(images), labels, weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            classifier.updates += 1
    return classifier


def _draw(
    data: TrainingSet, batch_size: int, codec: ImageCodec, rng: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield encoded images and their labels, drawn by their weights, for ever."""
    targets = torch.from_numpy(data.y)
    bounds = torch.from_numpy(data.sampling_weight).double().cumsum(0)
    rand_augment = v2.RandAugment()
    while True:
        u = torch.rand(batch_size, generator=rng, dtype=torch.float64) * bounds[-1]
        indices = torch.searchsorted(bounds, u, right=True).clamp(max=len(targets) - 1)
        batch = data.X[indices.numpy()]
        if data.transform is not None or data.rand_augment:
            stored = channels_first(batch)
            if data.transform is not None:
                stored = data.transform(stored, targets[indices])[0]
            if data.rand_augment:
                stored = torch.stack([rand_augment(image) for image in stored])
            batch = stored.numpy()[:, 0] if batch.ndim == 3 else stored.numpy().transpose(0, 2, 3, 1)
        yield codec.encode(batch), targets[indices]


def _load(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of a loader, encoded, for ever."""
    while True:
        for images, labels in loader:
            yield 2 * images - 1, labels


def _augment(images: Tensor, codec: ImageCodec, settings: Settings, rng: torch.Generator) -> Tensor:
    """Return images that are shifted at random, and mirrored if that is what they stand."""
    images = codec.augment(images, rng)
    if settings.flip:
        mirrored = torch.rand(len(images), 1, 1, 1, generator=rng) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    return images


def _mix(data: TrainingSet, images: Tensor, others: Tensor, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Return images into which others are mixed, and the share that is left of their own."""
    by_mixup = bool(data.mixup) and (not data.cutmix or rng.random() < 0.5)
    alpha = data.mixup if by_mixup else data.cutmix
    keep = float(rng.beta(alpha, alpha))
    if by_mixup:
        return torch.lerp(others, images, keep), keep
    sides = np.array(images.shape[2:])
    half = np.rint(sides * math.sqrt(1 - keep) / 2).astype(int)
    center = rng.integers(sides)
    (top, left), (bottom, right) = np.maximum(center - half, 0), np.minimum(center + half, sides)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return mixed, 1 - float((bottom - top) * (right - left) / sides.prod())


def small(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Return three convolutions with batch norm, each pooled while both sides have 8 pixels or more."""
    channels, *sides = shape
    layers: list[nn.Module] = []
    for n_filters in (16, 32, 64):
        layers += [nn.Conv2d(channels, n_filters, 3, 1, 1), nn.BatchNorm2d(n_filters), nn.ReLU()]
        if min(sides) >= 8:
            layers.append(nn.MaxPool2d(2))
            sides = [side // 2 for side in sides]
        channels = n_filters
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels * math.prod(sides), n_classes)
    )


def resnet(shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Return a ResNet-18 whose stem keeps the resolution of small images."""
    network = torchvision.models.resnet18(weights=None, num_classes=n_classes)
    network.conv1 = nn.Conv2d(shape[0], 64, 3, 1, 1, bias=False)
    network.maxpool = nn.Identity()
    return network


NETWORKS = {"small": small, "resnet": resnet}
