from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from conftest import StripeGenerator
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from ganaug import AugmentedDataset, ConditionalGAN, augmented_loader
from ganaug.data.ground import is_photographic
from ganaug.selection.candidates import Candidate
from ganaug.selection.recommendation import Recommendation

COUNTS = np.array([90, 10])


@pytest.fixture(autouse=True)
def small_pool(monkeypatch):
    monkeypatch.setattr("ganaug.adapters.pool.DEFAULT_PER_CLASS", 30)
    monkeypatch.setattr("ganaug.adapters.pool.MIN_PER_CLASS", 30)


def images():
    """Black images of two classes, 90 and 10; what the generator makes of the second is white."""
    return np.zeros((100, 8, 8), np.uint8), np.repeat([0, 1], COUNTS)


def generator(classes=(0, 1)):
    return StripeGenerator(classes)


class Floats(StripeGenerator):
    """The same as Tensors of floats, (n, 1, 8, 8)."""

    def sample(self, labels, random_state=None):
        return torch.from_numpy(super().sample(labels, random_state))[:, None].float() / 255


class Photographs(StripeGenerator):
    """Images without an even ground, of the shape of the generator."""

    def sample(self, labels, random_state=None):
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (len(labels), *self.shape), dtype=np.uint8)


def drawn(loader, epochs=20):
    """Return images (n, 1, 8, 8) and labels of a few epochs."""
    torch.manual_seed(0)
    batches = [batch for _ in range(epochs) for batch in loader]
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


@pytest.mark.parametrize(
    ("class_weights", "expected"),
    [
        ("lean", 9**0.25 / (1 + 9**0.25)),
        ("balanced", 0.5),
        (None, 0.1),
        ({0: 1, 1: 3}, 0.75),
        ({1: 1}, 1.0),
    ],
)
def test_classes_are_drawn_by_their_weights(class_weights, expected):
    loader = augmented_loader(images(), generator(), class_weights=class_weights, mixup=0, cutmix=0)
    _, labels = drawn(loader)
    assert labels.dtype == torch.int64
    assert len(labels) == 20 * 100
    assert float((labels == 1).float().mean()) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ("auto", [0.8, 0.8]),
        (0.25, [0.25, 0.25]),
        (1, [1, 1]),
        (0, [0, 0]),
        ({1: 0.5}, [0, 0.5]),
        (Recommendation(np.array([0, 1]), COUNTS, Candidate("2x", 0.5), [], "", 1.0), [0.5, 0.5]),
    ],
)
def test_the_same_share_is_synthetic(p, expected):
    X, y = images()
    loader = augmented_loader((X + 77, y), generator(), p=p, mixup=0, cutmix=0, class_weights="balanced")
    seen, labels = drawn(loader)
    real = (seen == np.float32(77 / 255)).all(dim=(1, 2, 3))
    for label in (0, 1):
        assert float((~real[labels == label]).float().mean()) == pytest.approx(expected[label], abs=0.06)


@pytest.mark.parametrize("mixing", [{"mixup": 0.5, "cutmix": 0}, {"mixup": 0, "cutmix": 0.5}, {}])
def test_soft_labels_say_what_was_mixed(mixing):
    loader = augmented_loader(images(), generator(), p=1, batch_size=32, **mixing)
    seen, labels = drawn(loader)
    grey = ((seen > 0.1) & (seen < 0.9)).flatten(1).any(1).float().mean()
    assert {(0.5, 0): grey > 0.15, (0, 0.5): grey == 0}.get(tuple(mixing.values()), 0.02 < grey < 0.5)
    assert labels.shape == (2000, 2)
    assert labels.dtype == seen.dtype == torch.float32
    assert ((labels > 0.1) & (labels < 0.9)).any()
    # The two classes are black and white.
    assert torch.allclose(seen.mean((1, 2, 3)), labels[:, 1], atol=0.03)
    assert F.cross_entropy(torch.zeros(2000, 2), labels).item() == pytest.approx(np.log(2), rel=1e-4)


def test_it_is_made_of_the_parts_of_torch():
    X, y = images()
    generator_of_torch = torch.Generator()
    loader = augmented_loader(
        (X, y), generator(), batch_size=8, drop_last=True, generator=generator_of_torch, random_state=0
    )
    assert type(loader) is DataLoader
    assert isinstance(loader.dataset, AugmentedDataset)
    assert isinstance(loader.sampler, WeightedRandomSampler)
    assert len(loader) == 100 // 8
    epochs = []
    for _ in range(2):
        generator_of_torch.manual_seed(3)
        torch.manual_seed(4)  # of the mixing
        epochs.append([labels.argmax(1) for _, labels in loader])
    assert all(torch.equal(a, b) for a, b in zip(*epochs, strict=True))


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers(start):
    loader = augmented_loader(images(), generator(), num_workers=1, batch_size=50)
    loader.multiprocessing_context = start
    assert sum(len(labels) for _, labels in loader) == 100
    assert pickle.loads(pickle.dumps(loader.collate_fn)) is not None


def test_images_of_every_kind_and_labels_of_every_type():
    X, y = images()
    names = np.array(["cat", "dog"])
    gan = StripeGenerator(names)
    for given in (
        (X, names[y]),
        (X.astype(np.float32) / 255, names[y].tolist()),
        (torch.from_numpy(X)[:, None], names[y]),
    ):
        try:
            seen, labels = next(iter(augmented_loader(given, _like(gan, given[0]), mixup=0, cutmix=0)))
        except ValueError as exc:  # pragma: no cover
            raise AssertionError(given) from exc
        assert seen.dtype == torch.float32
        assert seen.shape == (64, 1, 8, 8)
        assert seen.max() <= 1
        assert set(labels.tolist()) == {0, 1}
    # Classes that the data lack keep their index, and their column.
    loader = augmented_loader((X, np.array([2, 5])[y]), StripeGenerator([2, 3, 5]))
    labels = next(iter(loader))[1]
    assert labels.shape == (64, 3)
    assert labels[:, 1].sum() == 0


def _like(gan, X):
    class Like:
        classes_ = gan.classes_

        def sample(self, labels, random_state=None):
            images = gan.sample(labels, random_state)
            if isinstance(X, torch.Tensor):
                return torch.from_numpy(images)[:, None]
            return images if X.dtype == np.uint8 else images.astype(np.float32) / 255

    return Like()


def test_synthetic_images_go_through_the_transform_of_a_folder(image_folder):
    transform = v2.Compose(
        [
            v2.Resize((8, 8)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    data = ImageFolder(image_folder, transform)
    gan = StripeGenerator(data.classes, (8, 8, 3))
    images, labels = drawn(augmented_loader(data, gan, p=1, mixup=0, cutmix=0))
    assert images[labels == 1].mean() > 0.95  # white, after Normalize
    assert images[labels == 0].mean() < -0.95
    assert augmented_loader(data, gan, p=1, num_classes=7).collate_fn is not None
    assert next(iter(augmented_loader(data, gan, num_classes=7)))[1].shape[1] == 7


@pytest.mark.parametrize("mixing", [{"mixup": 1.0, "cutmix": 0}, {"mixup": 0, "cutmix": 1.0}])
def test_dicts_whose_label_comes_first(mixing):
    class Rows(Dataset):
        def __len__(self):
            return 100

        def __getitem__(self, i):
            return {"label": int(i >= 90), "image": torch.zeros(1, 8, 8)}

    batch = next(iter(augmented_loader(Rows(), Floats([0, 1]), p=1, **mixing)))
    assert set(batch) == {"label", "image"}
    assert type(batch["image"]) is torch.Tensor
    assert torch.allclose(batch["image"].mean((1, 2, 3)), batch["label"][:, 1], atol=0.03)


def test_columns_of_labels_are_mixed():
    """Those of MedMNIST, (n, 1); where nothing is mixed they keep that shape."""
    X, y = images()
    data = TensorDataset(torch.from_numpy(X)[:, None] / 255, torch.from_numpy(y)[:, None])
    seen, labels = drawn(augmented_loader(data, Floats([0, 1]), p=1))
    assert labels.shape == (2000, 2)
    assert torch.allclose(seen.mean((1, 2, 3)), labels[:, 1], atol=0.03)
    assert drawn(augmented_loader(data, Floats([0, 1]), p=1, mixup=0, cutmix=0))[1].shape == (2000, 1)


def test_a_trained_gan(fitted, stripes):
    loader = augmented_loader(stripes, fitted, random_state=0)
    images, labels = next(iter(loader))
    assert images.shape == (60, 1, 8, 8)
    assert labels.shape == (60, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixup": -1}, "`mixup` must be a number from 0 up, got -1"),
        ({"cutmix": True}, "`cutmix`"),
        ({"p": 1.5}, r"\[0, 1\].*1.5"),
        ({"p": "all"}, "`p` must be a number"),
        ({"class_weights": "heavy"}, "`class_weights` must be 'lean', 'balanced'"),
        ({"class_weights": {0: -1}}, "`class_weights` must be numbers from 0 up, got -1 for 0"),
        ({"class_weights": {7: 1}}, "class_weights"),
        ({"class_weights": {0: 0}}, "above 0"),
        ({"num_classes": 0}, "`num_classes`"),
        ({"rand_augment": "yes"}, "`rand_augment` must be 'auto', True or False, got 'yes'"),
        ({"shuffle": True}, "`shuffle` can't be passed"),
        ({"sampler": [1]}, "`sampler` can't be passed"),
        ({"data": (np.zeros((4, 3)), [0, 0, 1, 1])}, "`data` must hold images, got a table"),
        ({"data": (1, 2, 3)}, "tuple of 3"),
        ({"gan": ConditionalGAN()}, "fitted"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        augmented_loader(**{"data": images(), "gan": generator(), **options})


def test_batches_without_a_tensor_of_images():
    data = TensorDataset(torch.zeros(10, 1, 8, 8), torch.arange(10) % 2)

    loader = augmented_loader(data, Floats([0, 1]), collate_fn=list)
    with pytest.raises(ValueError, match="label"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("options", "share"), [({}, 0.4), ({"p": 0.5}, 0.5), ({"mixup": 0, "cutmix": 0}, 0.8)]
)
def test_photographs_that_are_mixed_get_half_as_many(options, share):
    loader = augmented_loader(images(), Photographs([0, 1]), **options)
    weight = loader.dataset.sample_weight
    assert weight[loader.dataset.synthetic].sum() / weight.sum() == pytest.approx(share)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("form", ["arrays", "floats", "dataset"])
@pytest.mark.parametrize("photographs", [True, False])
def test_rand_augment_changes_photographs_without_transforms_of_their_own(photographs, form, channels):
    gan = Photographs([0, 1], (8, 8, channels)) if photographs else StripeGenerator([0, 1], (8, 8, channels))
    X, y = gan.sample(np.repeat([0, 1], COUNTS)), np.repeat([0, 1], COUNTS)
    tensors = torch.from_numpy(X).permute(0, 3, 1, 2)
    data = {
        "arrays": (X, y),
        "floats": ((X / 255).astype(np.float32), y),
        "dataset": TensorDataset(tensors, torch.from_numpy(y)),
    }[form]
    known = {image.tobytes() for image in X}

    def changed(**options):
        torch.manual_seed(0)
        loader = augmented_loader(data, gan, mixup=0, cutmix=0, p=0, **options)
        found = torch.cat([batch for batch, _ in loader])
        assert found.dtype == torch.float32 and 0 <= found.min() and found.max() <= 1
        back = (found * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return np.mean([image.tobytes() not in known for image in back])

    assert (changed() > 0.5) == (photographs and form != "dataset" and channels != 2)
    assert changed(rand_augment=False) == 0
    if channels == 2:
        with pytest.raises(
            ValueError, match="`rand_augment` must be 'auto' or False for images of 2 channels"
        ):
            changed(rand_augment=True)
    else:
        assert changed(rand_augment=True) > 0.5


@pytest.mark.parametrize(("smallest", "share"), [(150, 1.0), (325, 0.5), (500, 0.0)])
def test_what_is_done_for_small_classes_fades_as_these_grow(smallest, share):
    counts = [600, smallest]
    gan = Photographs([0, 1], (8, 8, 1))
    X, y = gan.sample(np.repeat([0, 1], counts)), np.repeat([0, 1], counts)
    loader = augmented_loader((X, y), gan, mixup=0, cutmix=0, p=0)
    known, images = {image.tobytes() for image in X}, torch.cat([batch for batch, _ in loader])
    back = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    changed = np.mean([image.tobytes() not in known for image in back])
    assert share * 0.6 <= changed <= share
    weights = loader.sampler.weights.numpy()
    odds = [weights[np.asarray(loader.dataset.labels) == c].sum() for c in (0, 1)]
    assert odds[1] / odds[0] == pytest.approx((smallest / 600) ** (-0.25 * share))


@pytest.mark.parametrize(("dtype", "scale"), [(torch.uint8, 1), (torch.float32, 1 / 255)])
def test_what_is_a_photograph(dtype, scale):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (8, 3, 16, 16), generator=generator)
    ground = noise.clone()
    ground[:, :, :4] = 250 + ground[:, :, :4] % 5  # paper, a quarter of the image
    assert is_photographic((noise * scale).to(dtype))
    assert not is_photographic((ground * scale).to(dtype))
