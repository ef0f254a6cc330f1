"""How-to pages of other packages, block by block, with the packages that they name."""

from __future__ import annotations

import re
from pathlib import Path

import medmnist
import numpy as np
import pytest
import webdataset
from PIL import Image
from sklearn.datasets import load_digits

from ganaug import ConditionalGAN, GANOverSampler
from ganaug.adapters import pool
from ganaug.selection import gate

HOWTO = Path(__file__).parents[1] / "docs" / "howto"
PAGES = [HOWTO / name for name in ("ecosystem.md", "medmnist.md", "huggingface.md")]
# webdataset up to 1.0.2 leaves the last shard open. Before pytest 8.4 the message has several lines.
UNCLOSED = r"ignore:[\s\S]*digits-000000.tar:pytest.PytestUnraisableExceptionWarning"
pytestmark = pytest.mark.filterwarnings(UNCLOSED)
FEW_STEPS = "ConditionalGAN(steps=2, random_state=0)"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the blocks define, each run in a folder with the files that they read."""
    folder = tmp_path_factory.mktemp("ecosystem")
    pixels = np.round(load_digits().images[:60] * (255 / 16)).astype(np.uint8)
    write_inputs(folder, pixels)
    after = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(gate, "CLASSIFIER_STEPS", 5)
        patch.setattr(pool, "DEFAULT_PER_CLASS", 64)
        for page in PAGES:
            names: dict = {}
            for title, block in blocks(page):
                code = block.replace("ConditionalGAN(random_state=0)", FEW_STEPS)
                code = code.replace(
                    "GANOverSampler(random_state=0)", f"GANOverSampler({FEW_STEPS}, random_state=0)"
                )
                exec(compile(code, f"{page.name}: {title}", "exec"), names)
                after[title] = dict(names)
        yield after


def blocks(page: Path):
    """Return the blocks of Python, each with the heading that it stands under."""
    title, found = "", []
    for heading, block in re.findall(
        r"^##? (.*?)$|^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    ):
        if heading:
            title = heading
        else:
            found.append((title, block))
    return found


def write_inputs(folder: Path, pixels: np.ndarray) -> None:
    for i, image in enumerate(pixels[:12]):
        place = folder / "pets" / ("cat", "dog")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((16, 16)).save(place / f"{i}.png")
    arrays = {}
    for split, n in medmnist.INFO["breastmnist"]["n_samples"].items():
        scans = np.resize(pixels, (n, 8, 8)).repeat(4, 1).repeat(4, 2)[:, 2:30, 2:30]
        arrays |= {
            f"{split}_images": scans,
            f"{split}_labels": (np.arange(n) % 4 == 0).astype(np.uint8)[:, None],
        }
    np.savez(folder / "breastmnist.npz", **arrays)
    with webdataset.TarWriter(str(folder / "digits-000000.tar")) as tar:
        for i in range(4):
            tar.write({"__key__": str(i), "png": Image.fromarray(pixels[i]), "cls": i % 2})


def test_a_folder_of_torchvision(names):
    found = names["torchvision"]
    image, label = found["augmented"][-1]
    real, real_label = found["folder"][0]
    assert (image.shape, image.dtype, type(label)) == (real.shape, real.dtype, type(real_label))
    assert found["augmented"].synthetic.sum() == 40


def test_medmnist(names):
    found = names["MedMNIST"]
    image, label = found["augmented"][-1]
    real, real_label = found["scans"][0]
    assert (image.shape, image.dtype) == (real.shape, real.dtype)
    assert (label.shape, label.dtype, label.tolist()) == (real_label.shape, real_label.dtype, [1])


def test_hugging_face(names):
    batch = names["Hugging Face datasets"]["batch"]
    assert batch["label"] == names["Hugging Face datasets"]["y"][:8].tolist()
    assert [image.size for image in batch["image"]] == [(8, 8)] * 8


def test_webdataset(names):
    assert names["WebDataset"]["label"] == 1  # the last of four
    assert names["WebDataset"]["image"].size == (8, 8)


def test_skorch(names):
    found = names["PyTorch Lightning, skorch"]
    assert found["net"].predict_proba((found["X"][:2, None] / 255).astype(np.float32)).shape == (2, 2)


def test_a_pipeline(names):
    found = names["imbalanced-learn, scikit-learn, polars"]
    assert found["model"].predict(found["table"].to_pandas()).shape == (300,)
    sampler = GANOverSampler(ConditionalGAN(steps=2), random_state=0)
    frame, labels = sampler.fit_resample(found["table"][:100], found["y"][:100])
    assert type(frame).__module__.startswith("polars")
    assert len(frame) == len(labels)


def test_albumentations(names):
    assert names["albumentations"]["odd"].shape == (8, 8)
