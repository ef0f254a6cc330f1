"""What synthetic time series are worth to a classifier, beside the usual augmentations of series.

    python -m benchmarks.series --path aeon-1.6.0-py3-none-any.whl

Two sets are generated: noisy *sines* of three frequencies, and *cylinder-bell-funnel* (Saito, 1994). The
others are real sets of the UCR and UEA archives, read from the wheel of `aeon`, which is not installed (`pip
download --no-deps aeon`). Without `--path` the generated ones are run alone. Half of the classes, drawn at
random, are small. What was not drawn to train on tests.

Each arm that makes series makes as many of each class, and half of what a classifier sees of a class is of
them. Classifiers are a small convolutional network, whose draws are even over classes, and logistic
regression on random convolutions. Settings were chosen on seeds from 20 on.
"""

from __future__ import annotations

import argparse
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from imblearn.over_sampling import SMOTE
from sklearn.metrics import recall_score
from torch import Tensor, nn
from torch.nn import functional as F

from ganaug import ConditionalGAN
from ganaug.data.series import SeriesCodec
from ganaug.evaluation.series_classifier import SeriesClassifier

RESULTS = Path(__file__).parent / "results" / "series.json"
# Training series of a large and of a small class.
SIZES = {
    "sines": (60, 15),
    "cylinder-bell-funnel": (60, 15),
    "ItalyPowerDemand": (100, 10),
    "JapaneseVowels": (30, 10),
}
# Files of the wheel, where series were made equally long.
FILES = {"JapaneseVowels": "JapaneseVowels/JapaneseVowels_eq"}
LENGTH, N_GENERATED = 64, 900
N_SYNTHETIC = 200  # series that an arm makes of each class
UPDATES, BATCH_SIZE, CHANNELS, LEARNING_RATE = 250, 64, 24, 2e-3
MIXUP_ALPHA = 0.4

Labelled = tuple[np.ndarray, np.ndarray]


def sines(seed: int) -> Labelled:
    """Return series (n, length, 1) whose classes differ by frequency, in noise, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(N_GENERATED) % 3
    frequency = np.array([2.0, 2.6, 3.3])[y] * rng.uniform(0.9, 1.1, len(y))
    turns = frequency[:, None] * np.arange(LENGTH) / LENGTH + rng.random((len(y), 1))
    X = rng.uniform(0.5, 1.5, (len(y), 1)) * np.sin(2 * np.pi * turns) + 0.3 * rng.normal(size=turns.shape)
    return X[:, :, None].astype(np.float32), y


def cylinder_bell_funnel(seed: int) -> Labelled:
    """Return series (n, length, 1) with a plateau, a rise or a fall somewhere, in noise, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(N_GENERATED) % 3
    start = rng.uniform(8, 24, (len(y), 1))
    end = start + rng.uniform(16, 32, (len(y), 1))
    place = (np.arange(LENGTH) - start) / (end - start)
    shape = np.select([y[:, None] == 0, y[:, None] == 1], [np.ones_like(place), place], 1 - place)
    height = rng.normal(3, 0.5, (len(y), 1)) * ((0 <= place) & (place <= 1))
    return (height * shape + rng.normal(size=place.shape))[:, :, None].astype(np.float32), y


GENERATED: dict[str, Callable[[int], Labelled]] = {
    "sines": sines,
    "cylinder-bell-funnel": cylinder_bell_funnel,
}


def read_wheel(path: Path, name: str) -> Labelled:
    """Return all series (n, length, channels) of a data set of the archives, and their class indices."""
    series, labels = [], []
    with zipfile.ZipFile(path) as wheel:
        for split in ("TRAIN", "TEST"):
            text = wheel.read(f"aeon/datasets/data/{FILES.get(name, f'{name}/{name}')}_{split}.ts").decode()
            for line in text.splitlines():
                if not line.strip() or line[0] in "@#":
                    continue
                *channels, label = line.strip().split(":")
                series.append([[float(value) for value in channel.split(",")] for channel in channels])
                labels.append(label)
    X = np.array(series, np.float32).transpose(0, 2, 1)
    return X, np.unique(labels, return_inverse=True)[1]


def split(name: str, data: Labelled, seed: int) -> tuple[Labelled, Labelled]:
    """Return what is trained on, in which half of the classes are small, and what is left to test."""
    X, y = data
    rng = np.random.default_rng(seed)
    n_classes = int(y.max()) + 1
    small = rng.permutation(n_classes)[: n_classes // 2]
    chosen = np.zeros(len(y), bool)
    for c in range(n_classes):
        own = rng.permutation(np.flatnonzero(y == c))
        most = SIZES[name][int(c in small)]
        chosen[own[: min(most, len(own) // 2)]] = True
    return (X[chosen], y[chosen]), (X[~chosen], y[~chosen])


def drawn(X: np.ndarray, y: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random series of each of the classes `labels`."""
    return np.stack([X[rng.choice(np.flatnonzero(y == label))] for label in labels])


def jitter(X: np.ndarray, y: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Scale each channel of a series at random, and add noise (Um et al., ICMI 2017)."""
    rng = np.random.default_rng(seed)
    series = drawn(X, y, labels, rng)
    factors = rng.normal(1, 0.15, (len(series), 1, X.shape[2]))
    return factors * series + 0.05 * X.std(axis=(0, 1)) * rng.normal(size=series.shape)


def time_warp(X: np.ndarray, y: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Run through a series at a speed that changes smoothly at random (Um et al., ICMI 2017)."""
    rng = np.random.default_rng(seed)
    series, steps = drawn(X, y, labels, rng), np.arange(X.shape[1])
    knots = np.linspace(0, len(steps) - 1, 6)
    for one in series:
        when = np.cumsum(np.interp(steps, knots, np.exp(rng.normal(0, 0.25, 6))))
        when = (when - when[0]) / (when[-1] - when[0]) * (len(steps) - 1)
        one[:] = np.stack([np.interp(when, steps, channel) for channel in one.T], axis=1)
    return series


def smote(X: np.ndarray, y: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Interpolate between a series and a near one of its class, each as one vector."""
    classes, counts = np.unique(y, return_counts=True)
    totals = dict(zip(classes, counts + N_SYNTHETIC, strict=True))
    sampler = SMOTE(sampling_strategy=totals, k_neighbors=min(5, counts.min() - 1), random_state=seed)
    rows, targets = sampler.fit_resample(X.reshape(len(X), -1), y)
    order = np.argsort(targets[len(y) :], kind="stable")
    return rows[len(y) :][order].reshape(-1, *X.shape[1:])


def gan(architecture: str) -> Callable[..., np.ndarray]:
    """Return a function that samples from a GAN of an architecture, whose other parameters are defaults."""

    def sample(X: np.ndarray, y: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
        fitted = ConditionalGAN(modality="series", architecture=architecture, random_state=seed).fit(X, y)
        return fitted.sample(labels, random_state=seed)

    return sample


# What makes series; None: real ones alone.
ARMS: dict[str, Callable[..., np.ndarray] | None] = {
    "class weights": None,
    "random oversampling": None,
    "mixup": None,
    "SMOTE": smote,
    "jitter and scaling": jitter,
    "time warping": time_warp,
    "ConditionalGAN": gan("auto"),
    "ConditionalGAN recurrent": gan("recurrent"),
}
# To logistic regression repeats are weights, and it draws no batches that could be mixed.
OF_NETWORKS = ("random oversampling", "mixup")


def network(channels: int, n_classes: int) -> nn.Sequential:
    """Return three convolutions over time, and a linear layer on means of quarters of the series."""
    layers: list[nn.Module] = []
    for before, after, size in ((channels, 1, 7), (1, 2, 5), (2, 2, 3)):
        n_inputs = before if size == 7 else before * CHANNELS
        layers += [nn.Conv1d(n_inputs, after * CHANNELS, size, padding=size // 2)]
        layers += [nn.BatchNorm1d(after * CHANNELS), nn.ReLU(), nn.MaxPool1d(2)]
    layers[-1] = nn.AdaptiveAvgPool1d(4)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(8 * CHANNELS, n_classes))


def network_predictions(
    X: Tensor, y: np.ndarray, weight: np.ndarray, X_test: Tensor, arm: str, seed: int
) -> np.ndarray:
    """Train a network on encoded series, drawn by their weights, and return the classes of others."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    n_classes, targets = int(y.max()) + 1, torch.from_numpy(y)
    odds, of_class = torch.from_numpy(weight), None
    if arm == "class weights":
        odds = torch.ones(len(y))
        of_class = torch.tensor(len(y) / n_classes / np.bincount(y), dtype=torch.float32)
    model = network(X.shape[1], n_classes)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    mixing = np.random.default_rng(seed)
    for _ in range(UPDATES):
        index = torch.multinomial(odds, BATCH_SIZE, replacement=True, generator=rng)
        series, labels = X[index], F.one_hot(targets[index], n_classes).float()
        if arm == "mixup":
            share = float(mixing.beta(MIXUP_ALPHA, MIXUP_ALPHA))
            series, labels = (share * part + (1 - share) * part.flip(0) for part in (series, labels))
        loss = F.cross_entropy(model(series), labels, weight=of_class)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        return torch.cat([model(block).argmax(1) for block in X_test.split(256)]).numpy()


def run(name: str, train: Labelled, test: Labelled, arm: str, seed: int) -> dict:
    """Return the recalls of both classifiers that an arm comes to."""
    (X, y), (X_test, y_test) = train, test
    start = time.perf_counter()
    make, labels = ARMS[arm], np.repeat(np.unique(y), N_SYNTHETIC)
    made = X[:0] if make is None else make(X, y, labels, seed).astype(np.float32)
    seconds = time.perf_counter() - start
    series, targets = np.concatenate([X, made]), np.concatenate([y, labels[: len(made)]])
    real = np.arange(len(targets)) < len(y)
    group = 2 * targets + real
    weight = 1 / np.bincount(group)[group]  # even over classes, and half of each synthetic
    codec = SeriesCodec.fit(X)
    found = network_predictions(codec.encode(series), targets, weight, codec.encode(X_test), arm, seed)
    predictions = {"network": found}
    if arm not in OF_NETWORKS:
        model = SeriesClassifier(codec=codec, balanced=False, random_state=seed).fit(series, targets, weight)
        predictions["random convolutions"] = model.predict(X_test)
    recalls = {
        kind: (100 * recall_score(y_test, predicted, average=None)).tolist()
        for kind, predicted in predictions.items()
    }
    return {"data": name, "seed": seed, "arm": arm, "seconds": seconds, "recall": recalls}


def main() -> None:
    """Run each arm on each data set and seed, unless its result is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--path", type=Path, help="the wheel of aeon")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    runs = json.loads(options.output.read_text())["runs"] if options.output.exists() else []
    done = {(one["data"], one["seed"], one["arm"]) for one in runs}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in SIZES if options.path else GENERATED:
            data = GENERATED[name](seed) if name in GENERATED else read_wheel(options.path, name)
            train, test = split(name, data, seed)
            for arm in options.arms.split(","):
                if (name, seed, arm) not in done:
                    runs.append(run(name, train, test, arm, seed))
                    means = {kind: round(float(np.mean(own)), 1) for kind, own in runs[-1]["recall"].items()}
                    print(name, seed, arm, means, f"{runs[-1]['seconds']:.0f} s", flush=True)
                    options.output.write_text(json.dumps({"runs": runs}, indent=0) + "\n")


if __name__ == "__main__":
    main()
