"""What photographs cost, and what becomes of them: ``python -m benchmarks.photograph_costs --trashnet ZIP``.

Four parts: the time of `fit` with 3,000 photographs of 224 pixels beside one with the same at 32 pixels; the
peak memory of `fit` with 20,000 files; the time of a variation beside RandAugment's, and how sharp it is;
pictures for docs/photographs.md. Each is measured with one thread, in a process of its own. Images of 224 and
512 pixels are random crops of the two photographs that come with scikit-learn; others are those of
TrashNet (Thung & Yang 2016), scaled to 256 x 192, as JPEG files in a zip file with a folder for each class.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.transforms import v2

from benchmarks.against_work import memory
from ganaug import ConditionalGAN

RESULTS = Path(__file__).parent / "results" / "photograph_costs.json"
PICTURES = Path(__file__).parents[1] / "docs" / "photographs"
N_PHOTOGRAPHS, N_FILES, BATCH, REPEATS = 3000, 20000, 64, 31
# What "auto" stands for; the time of so many steps is extrapolated from a few.
STEPS, TIMED_STEPS = 600, 12
PICTURED_CLASSES, VARIATIONS, SEED = 3, 3, 0


def crops(n: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random crops of scikit-learn's photographs, uint8 (n, H, W, 3), and which of the two each is."""
    rng, images = np.random.default_rng(SEED), load_sample_images().images
    labels = np.arange(n) % len(images)
    X = np.empty((n, height, width, 3), np.uint8)
    for crop, label in zip(X, labels, strict=True):
        top, left = (
            rng.integers(0, size - side + 1)
            for size, side in zip(images[label].shape, (height, width), strict=False)
        )
        crop[:] = images[label][top : top + height, left : left + width]
    return X, labels


def write_crops(folder: Path, n: int, side: int, distinct: int) -> None:
    """Write crops of 224 pixels as JPEG files in class folders, reduced to `side`; some of them are links."""
    X, labels = crops(distinct, 224, 224)
    for i in range(n):
        path = folder / f"{labels[i % distinct]}" / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i < distinct:
            Image.fromarray(X[i]).resize((side, side), Image.Resampling.BOX).save(path, quality=90)
        else:
            path.hardlink_to(folder / f"{labels[i % distinct]}" / f"{i % distinct:05}.jpg")


def trashnet(path: Path, grey: bool) -> tuple[list[Image.Image], list[str]]:
    """Return the photographs of TrashNet, 256 x 192, and their classes."""
    images, labels = [], []
    with zipfile.ZipFile(path) as file:
        for name in sorted(name for name in file.namelist() if name.endswith(".jpg")):
            images.append(Image.open(io.BytesIO(file.read(name))).convert("L" if grey else "RGB"))
            labels.append(name.partition("/")[0])
    return images, labels


def seconds_of_fit(folder: Path, steps: int) -> float:
    """Return the processor time of a fit."""
    start = time.process_time()
    ConditionalGAN(steps=steps, random_state=0).fit(folder)
    return time.process_time() - start


def measure_fit(options: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of `fit` with photographs of 224 pixels, and with the same at 32."""
    n = 60 if options.quick else N_PHOTOGRAPHS
    found: dict[str, Any] = {"photographs": n, "steps": STEPS}
    for side in (32, 224):
        with tempfile.TemporaryDirectory() as folder:
            write_crops(Path(folder), n, side, distinct=n)
            seconds_of_fit(Path(folder), 1)
            one, more = (seconds_of_fit(Path(folder), steps) for steps in (1, 1 + TIMED_STEPS))
        step = (more - one) / TIMED_STEPS
        found[f"at {side} pixels"] = {
            "seconds before the first step": round(one - step, 2),
            "seconds of a step": round(step, 4),
            "seconds in all": round(one + (STEPS - 1) * step, 1),
        }
    found["ratio"] = round(
        found["at 224 pixels"]["seconds in all"] / found["at 32 pixels"]["seconds in all"], 3
    )
    return found


def measure_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Return by how much the peak memory grows in `fit` with files of 224 pixels."""
    n = 100 if options.quick else N_FILES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_crops(folder, n, 224, distinct=min(n, 1000))
        size = sum(path.stat().st_size for path in folder.rglob("*.jpg"))
        before = memory("VmHWM")
        seconds = seconds_of_fit(folder, 5)
        peak = memory("VmHWM")
    return {
        "files": n,
        "MiB of files": round(size / 2**20, 1),
        "MiB as pixels": round(n * 224 * 224 * 3 / 2**20, 1),
        "MiB of peak over start": round(peak - before, 1),
        "seconds": round(seconds, 1),
    }


def sharpness(images: np.ndarray) -> float:
    """Return the mean absolute Laplacian of images (n, H, W) or (n, H, W, C)."""
    values = images.astype(np.float32)
    around = values[:, :-2, 1:-1] + values[:, 2:, 1:-1] + values[:, 1:-1, :-2] + values[:, 1:-1, 2:]
    return float(np.abs(4 * values[:, 1:-1, 1:-1] - around).mean())


def milliseconds(calls: dict[str, Callable[[], Any]], n: int, repeats: int) -> dict[str, float]:
    """Return the median processor time of each call for one of `n` images; calls take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: round(float(np.median(of)) / n * 1e3, 2) for name, of in times.items()}


def measure_time(options: argparse.Namespace) -> dict[str, Any]:
    """Return milliseconds of a variation and of RandAugment, for an image of 224 pixels."""
    n, repeats = (8, 2) if options.quick else (BATCH, REPEATS)
    X, y = crops(n, 224, 224)
    gan = ConditionalGAN(steps=1, random_state=0).fit(X, y)
    batch, transform = torch.from_numpy(X).permute(0, 3, 1, 2).contiguous(), v2.RandAugment()
    gan.vary(X, y, random_state=0)
    calls = {
        "variation": lambda: gan.vary(X, y, random_state=0),
        "RandAugment of each image": lambda: [transform(image) for image in batch],
        "RandAugment of the batch, one choice for all": lambda: transform(batch),
    }
    found = milliseconds(calls, n, repeats)
    ratio = round(found["variation"] / found["RandAugment of each image"], 2)
    return {"images": n, **found, "ratio": ratio}


def measure_sharpness(options: argparse.Namespace) -> dict[str, Any]:
    """Return the sharpness of variations and samples by that of originals, for photographs of 256 x 192."""
    if options.trashnet is None:
        raise SystemExit("The part 'sharpness' needs --trashnet, the zip file of its photographs.")
    found: dict[str, Any] = {"steps": options.steps}
    for name, grey in (("colour", False), ("grey", True)):
        images, labels = trashnet(options.trashnet, grey)
        chosen = np.random.default_rng(SEED).permutation(len(labels))[: 40 if options.quick else None]
        X, y = np.stack([np.asarray(images[i]) for i in chosen]), np.array(labels)[chosen]
        gan = ConditionalGAN(steps=options.steps, random_state=0).fit(X, y)
        shown = slice(0, 200)
        original = sharpness(X[shown])
        found[name] = {
            "variations": round(sharpness(gan.vary(X[shown], y[shown], random_state=0)) / original, 3),
            "samples": round(sharpness(gan.sample(y[shown], random_state=0)) / original, 3),
        }
        draw(PICTURES / ("trashnet-grey.jpg" if grey else "trashnet.jpg"), X, y, gan, options)
    return found


def draw_crops(options: argparse.Namespace) -> dict[str, Any]:
    """Draw variations of crops of 224 x 224 and of 512 x 384 pixels, and return how sharp they are."""
    found: dict[str, Any] = {"steps": options.steps}
    for height, width, variations in ((224, 224, VARIATIONS), (384, 512, 1)):
        X, y = crops(8 if options.quick else 60, height, width)
        gan = ConditionalGAN(steps=options.steps, random_state=0).fit(X, y)
        draw(PICTURES / f"crops-{width}.jpg", X, y, gan, options, variations)
        ratio = sharpness(gan.vary(X, y, random_state=0)) / sharpness(X)
        found[f"variations at {width} x {height}"] = round(ratio, 3)
    return found


def draw(
    path: Path,
    X: np.ndarray,
    y: np.ndarray,
    gan: Any,
    options: argparse.Namespace,
    variations: int = VARIATIONS,
) -> None:
    """Write a sheet: an original of some classes in each row, and variations of it. A seed chooses them."""
    if options.quick:
        return
    rng = np.random.default_rng(SEED)
    classes = gan.classes_[:PICTURED_CLASSES]
    rows = []
    for label in classes:
        image = X[rng.choice(np.flatnonzero(y == label))][None]
        varied = gan.vary(image.repeat(variations, 0), [label] * variations, random_state=SEED)
        rows.append(np.concatenate(list(np.concatenate([image, varied])), axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path, quality=88)


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "fit": measure_fit,
    "memory": measure_memory,
    "time": measure_time,
    "sharpness": measure_sharpness,
    "crops": draw_crops,
}


def _run(part: str, options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    return PARTS[part](options)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write what was found to a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A few images and steps; draws no pictures.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="Default: all.")
    parser.add_argument("--steps", type=int, default=STEPS, help="Of generators whose images are judged.")
    parser.add_argument("--trashnet", type=Path, help="Zip file with a folder of JPEG files for each class.")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    options.steps = 2 if options.quick else options.steps
    found = json.loads(options.output.read_text()) if options.output.exists() else {}
    context = multiprocessing.get_context("spawn")
    for part in options.parts:
        with context.Pool(1) as pool:  # a process of its own: its peak memory is that of this part
            found[part] = pool.apply(_run, (part, options))
        print(part, json.dumps(found[part]), file=sys.stderr)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps({"torch": torch.__version__, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
