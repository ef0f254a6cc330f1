from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from conftest import StripeSampler
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from ganaug import ConditionalGAN, GANAugment
from ganaug.recommend import Candidate, Recommendation


class Shades(Dataset):
    """Black images of two classes, through a transform that sees the label."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return self.transform(torch.zeros(1, 8, 8, dtype=torch.uint8), i % 2)


def sampler(shape=(8, 8), classes=(0, 1)):
    return StripeSampler(classes, shape)


def image_of(kind):
    black = torch.zeros(3, 8, 10, dtype=torch.uint8)
    return {
        "pil": Image.new("RGB", (10, 8)),
        "uint8": black,
        "float": black / 255,
        "tv": tv_tensors.Image(black),
    }[kind]


@pytest.mark.parametrize("kind", ["pil", "uint8", "float", "tv"])
@pytest.mark.parametrize("label", [1, torch.tensor(1), torch.tensor([1]), np.int64(1)])
@pytest.mark.parametrize("pickled", [False, True])
def test_replaces_one_image(kind, label, pickled):
    augment = GANAugment(sampler((8, 10, 3)), p=1.0)
    augment = pickle.loads(pickle.dumps(augment)) if pickled else augment
    image = image_of(kind)
    new, same = augment(image, label)
    assert same is label
    assert type(new) is type(image)
    values = np.asarray(new)
    assert values.shape == np.asarray(image).shape
    assert values.dtype == np.asarray(image).dtype
    assert values.min() >= (250 / 255 if kind == "float" else 250)
    assert np.asarray(image).max() == 0


@pytest.mark.parametrize("kind", ["pil", "uint8", "float", "tv"])
def test_rate_zero_returns_the_same_object(kind):
    image = image_of(kind)
    assert GANAugment(sampler((8, 10, 3)), p=0.0)(image, 1)[0] is image


@pytest.mark.parametrize("p", [0.3, {1: 0.5}, "auto"])
def test_rates_by_class(p):
    augment = GANAugment(sampler(), p=p)
    images, labels = torch.zeros(4000, 1, 8, 8, dtype=torch.uint8), torch.arange(4000) % 2
    torch.manual_seed(0)
    new, same = augment(images, labels)
    assert same is labels
    replaced = new.flatten(1).max(1).values > 0
    expected = (0.0, 0.5) if isinstance(p, dict) else (0.8, 0.8) if p == "auto" else (p, p)
    for label in (0, 1):
        assert replaced[labels == label].float().mean().item() == pytest.approx(expected[label], abs=0.03)
    assert images.max() == 0
    assert (new[replaced & (labels == 1)] >= 250).all()


def test_rates_as_recommended():
    advice = Recommendation(np.array([0, 1]), np.array([30, 10]), Candidate("balance", None), [], "", 1.0)
    augment = GANAugment(sampler(), p=advice)
    assert augment._rates.tolist() == [0.0, pytest.approx(2 / 3)]
    assert "p={0: 0.0, 1: 0.666" in repr(augment)


@pytest.mark.parametrize(
    "sample",
    [
        {"image": torch.zeros(1, 8, 8), "label": 1},
        (torch.zeros(1, 8, 8), 1, "name"),
        ["name", torch.zeros(1, 8, 8), 1],
    ],
)
def test_layouts(sample):
    new = GANAugment(sampler(), p=1.0)(sample)
    assert type(new) is type(sample)
    before = list(sample.values() if isinstance(sample, dict) else sample)
    after = list(new.values() if isinstance(new, dict) else new)
    for old, item in zip(before, after, strict=True):
        assert item is old or (isinstance(item, torch.Tensor) and item.min() > 0.9)


def test_labels_getter():
    sample = {"class": torch.tensor([1, 1]), "x": torch.zeros(2, 1, 8, 8)}
    new = GANAugment(sampler(), p=1.0, labels_getter=lambda sample: sample["class"])(sample)
    assert new["x"].min() > 0.9
    assert new["class"] is sample["class"]


def test_the_pool_is_not_the_users_to_change():
    augment = GANAugment(sampler(), p=1.0, pool_size=1)
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    new, _ = augment(image, 1)
    again = new.clone()
    new.zero_()
    assert torch.equal(augment(image, 1)[0], again)


def test_the_loader_decides_the_stream():
    """A generator's seed gives the same stream again, different in each worker and epoch."""

    def epochs(seed):
        loader = DataLoader(
            Shades(GANAugment(sampler(), p=0.5, random_state=0)),
            batch_size=16,
            num_workers=2,
            generator=torch.Generator().manual_seed(seed),
            multiprocessing_context="fork",
        )
        return [torch.cat([images for images, _ in loader]) for _ in range(2)]

    first, again, other = epochs(0), epochs(0), epochs(1)
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])
    chosen = (first[0].flatten(1).max(1).values > 0).view(4, 16)  # batches of the two workers alternate
    assert not torch.equal(chosen[0], chosen[1])


def test_in_compose_and_collate():
    augment = v2.Compose([GANAugment(sampler(), p=1.0), v2.Normalize([0.5], [0.5])])
    data = TensorDataset(torch.zeros(10, 1, 8, 8), torch.arange(10) % 2)
    loader = DataLoader(data, batch_size=5, collate_fn=lambda items: augment(*default_collate(items)))
    images, labels = next(iter(loader))
    assert images[labels == 1].min() > 0.9
    assert images[labels == 0].max() < -0.9


def test_a_fitted_gan(fitted, stripes):
    augment = GANAugment(fitted, p=1.0, pool_size=4)
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    assert augment(image, 2)[0].shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 1.5}, r"`p` must be .* number in \[0, 1\] .* got 1.5"),
        ({"p": {1: -0.1}}, r"got -0.1"),
        ({"p": {7: 0.1}}, r"among \[0, 1\], got 7"),
        ({"p": {1: "a"}}, "got 'a'"),
        ({"p": None}, "got None"),
        ({"p": np.array([0.1, 0.2])}, "`p` must be .* got array"),
        ({"sampler": ConditionalGAN()}, "`sampler` must be a fitted ConditionalGAN"),
        ({"p": "often"}, "`p` must be .* got 'often'"),
        ({"mode": "mix"}, "`mode` must be 'replace', got 'mix'"),
        ({"labels_getter": "y"}, "`labels_getter` must be"),
        ({"pool_size": 0}, "`pool_size` must be .* got 0"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        GANAugment(**{"sampler": sampler(), **options})


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((torch.zeros(1, 8, 8),), "needs the label.*use AugmentedDataset"),
        ((torch.zeros(1, 8, 8), 3), r"among \[0, 1\], got 3"),
        ((torch.zeros(1, 9, 8), 1), r"\(1, 8, 8\), got \(1, 9, 8\): put GANAugment after `Resize`"),
        ((torch.zeros(3, 8, 8), 1), r"got \(3, 8, 8\)"),
        ((Image.new("RGB", (8, 8)), 1), r"got \(3, 8, 8\)"),
        ((torch.zeros(4, 1, 8, 8), torch.tensor([1, 1])), "one label for each of 4 images, got 2"),
        ((Image.new("P", (8, 8)), 1), "L, RGB or RGBA, got mode P"),
    ],
)
def test_bad_samples(sample, message):
    with pytest.raises(ValueError, match=message):
        GANAugment(sampler(), p=1.0)(*sample)


def test_wrong_images_are_refused_even_where_none_is_replaced():
    with pytest.raises(ValueError, match="after `Resize`"):
        GANAugment(sampler(), p=0.0)(torch.zeros(1, 9, 8), 1)


def test_masks_are_no_images():
    mask = tv_tensors.Mask(torch.zeros(1, 8, 8))
    image = tv_tensors.Image(torch.zeros(1, 8, 8))
    new = GANAugment(sampler(), p=1.0)({"mask": mask, "image": image, "label": 1})
    assert new["mask"] is mask
    assert new["image"].min() > 0.9
