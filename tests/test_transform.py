from __future__ import annotations

import copy
import gc
import pickle
import warnings

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from conftest import StripeGenerator
from PIL import Image
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from ganaug import ConditionalGAN, GANAugment, HDF5Dataset, write_hdf5
from ganaug.selection.candidates import Candidate
from ganaug.selection.recommendation import Recommendation


class Shades(Dataset):
    """Black images of two classes, through a transform that sees the label."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return self.transform(torch.zeros(1, 8, 8, dtype=torch.uint8), i % 2)


def generator(shape=(8, 8), classes=(0, 1)):
    return StripeGenerator(classes, shape)


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
    augment = GANAugment(generator((8, 10, 3)), p=1.0)
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
    assert GANAugment(generator((8, 10, 3)), p=0.0)(image, 1)[0] is image


@pytest.mark.parametrize("p", [0.3, {1: 0.5}, "auto"])
def test_rates_by_class(p):
    augment = GANAugment(generator(), p=p)
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
    augment = GANAugment(generator(), p=advice)
    assert augment._class_p.tolist() == [0.0, pytest.approx(2 / 3)]
    assert "p={0: 0.0, 1: 0.666" in repr(augment)


@pytest.mark.parametrize(
    "sample",
    [
        {"image": torch.zeros(1, 8, 8), "label": 1},
        (torch.zeros(1, 8, 8), 1, "name"),
        ["name", torch.zeros(1, 8, 8), 1],
        (torch.zeros(1, 8, 8), {"labels": 1, "id": 0}),
        (torch.zeros(2, 1, 8, 8), {"id": torch.tensor([0, 0]), "LABELS": torch.tensor([1, 1])}),
        {"FooLaBeLBar": 1, "x": torch.zeros(1, 8, 8)},
        {"label_quality": 0, "label": 1, "x": torch.zeros(1, 8, 8)},
        {"label": 0, "x": torch.zeros(1, 8, 8), "Labels": 1},
        {"Target": 1, "x": torch.zeros(1, 8, 8)},
        {3: "three", "__key__": "000", "png": torch.zeros(1, 8, 8), "cls": 1},
        {"x": torch.zeros(1, 8, 8), "label": 1, "embedding": torch.zeros(1, 8, 8)},
        ({"x": torch.zeros(1, 8, 8)}, 1),
        (torch.zeros(2, 1, 8, 8), torch.tensor([[1], [1]])),
        (torch.zeros(1, 8, 8), np.array([1])),
        (torch.zeros(1, 8, 8), [1]),
    ],
)
def test_layouts(sample):
    """The first image is replaced; all else, labels included, is the very object that came in."""
    leaves, spec = pytree.tree_flatten(sample)
    augment = GANAugment(generator(), p=1.0)
    again, spec_again = pytree.tree_flatten(augment(sample))
    assert spec == spec_again
    changed = [new for old, new in zip(leaves, again, strict=True) if old is not new]
    assert [image.min() > 0.9 for image in changed] == [True]
    if len(sample) == 2 and not isinstance(sample, dict):
        assert augment(*sample)[1] is sample[1] or isinstance(sample[1], dict | list)


@pytest.mark.parametrize("images", ["pil", "tv", "uint8"])
@pytest.mark.parametrize("kind", [list, tuple])
def test_batches_that_are_lists(images, kind):
    """What Hugging Face's `with_transform` hands over, and a `collate_fn` that only transposes."""
    batch = kind(image_of(images) for _ in range(4))
    augment = GANAugment(generator((8, 10, 3)), p={1: 1.0})
    for sample in ({"image": batch, "label": [0, 1, 0, 1]}, (batch, (0, 1, 0, 1))):
        new = augment(sample)
        new_images = new["image"] if isinstance(sample, dict) else new[0]
        assert type(new_images) is kind
        assert [np.asarray(image).max() > 200 for image in new_images] == [False, True] * 2
        assert {type(image) for image in new_images} == {type(batch[0])}
        assert new_images[0] is batch[0]
    with pytest.raises(ValueError, match="one label for each of 4 images, got 1"):
        augment(batch, 1)
    varying = GANAugment(Varying([0, 1], (8, 10, 3)), p={1: 1.0}, mode="vary", strength=3)
    if images == "pil":
        with pytest.raises(ValueError, match="Without a pool .* call GANAugment with .* after collation"):
            varying(batch, (0, 1, 0, 1))
        return
    new_images = varying(batch, (0, 1, 0, 1))[0]
    assert [int((new - old).max()) for new, old in zip(new_images, batch, strict=True)] == [0, 3] * 2
    assert [type(image) for image in new_images] == [type(batch[0])] * 4
    assert new_images[0] is batch[0] and type(new_images) is kind


def test_rows_and_batches_of_hugging_face():
    """In `with_transform` they are dicts of lists, in `map` mappings that are no dicts."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    columns = {"image": [image_of("pil")] * 4, "label": [0, 1, 0, 1], "name": list("abcd")}
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(2), "name": datasets.Value("string")}
    )
    rows = datasets.Dataset.from_dict(columns, features)
    augment = GANAugment(generator((8, 10, 3)), p={1: 1.0})
    expected = [False, True, False, True]
    for new in (
        rows.with_transform(augment),
        rows.map(augment, load_from_cache_file=False, keep_in_memory=True),
        rows.map(augment, batched=True, load_from_cache_file=False, keep_in_memory=True),
    ):
        assert [np.asarray(row["image"]).max() > 200 for row in new] == expected
        assert new[:]["label"] == columns["label"]
        assert new[:]["name"] == columns["name"]
    tensors = rows.with_format("torch")[:]
    assert augment(tensors)["image"].amax((1, 2, 3)).gt(200).tolist() == expected


def test_labels_getter():
    sample = {"class": torch.tensor([1, 1]), "x": torch.zeros(2, 1, 8, 8)}
    new = GANAugment(generator(), p=1.0, labels_getter=lambda sample: sample["class"])(sample)
    assert new["x"].min() > 0.9
    assert new["class"] is sample["class"]


def test_the_pool_is_not_the_users_to_change():
    augment = GANAugment(generator(), p=1.0, pool_size=1)
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    new, _ = augment(image, 1)
    again = new.clone()
    new.zero_()
    assert torch.equal(augment(image, 1)[0], again)


def test_the_loader_decides_the_stream():
    """A generator's seed gives the same stream again, different in each worker and epoch."""

    def epochs(seed):
        loader = DataLoader(
            Shades(GANAugment(generator(), p=0.5, random_state=0)),
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
    augment = v2.Compose([GANAugment(generator(), p=1.0), v2.Normalize([0.5], [0.5])])
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
    ("p", "room", "counts"),
    [
        (0.5, 2**28, [4096, 4096]),
        ({1: 0.5}, 2**28, [0, 4096]),  # none of a class that stays as it is
        (0.5, 64 * 1000, [500, 500]),  # images of 64 bytes, in a file that has room for 1000
        (0.5, 64, [256, 256]),
        ("nothing", 2**28, [0, 0]),
    ],
)
def test_size_of_the_pool(monkeypatch, p, room, counts):
    monkeypatch.setattr("ganaug.adapters.pool.MAX_BYTES", room)
    if p == "nothing":
        p = Recommendation(np.arange(2), np.array([5, 9]), Candidate("none", None), [], "", 0.0)
    augment = GANAugment(generator(), p=p)
    assert augment._pool.counts.tolist() == counts
    augment.refresh()
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    if not counts[0]:
        assert augment(image, 0)[0] is image


class TableGenerator:
    classes_ = np.arange(2)

    def sample(self, labels, random_state=None):
        return np.zeros((len(labels), 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 1.5}, r"`p` must be .* number in \[0, 1\] .* got 1.5"),
        ({"p": {1: -0.1}}, r"got -0.1"),
        ({"p": {7: 0.1}}, r"among \[0, 1\], got 7"),
        ({"p": {1: "a"}}, "got 'a'"),
        ({"p": None}, "got None"),
        ({"p": np.array([0.1, 0.2])}, "`p` must be .* got array"),
        ({"gan": ConditionalGAN()}, "`gan` must be a fitted ConditionalGAN"),
        ({"p": "often"}, "`p` must be .* got 'often'"),
        (
            {"gan": TableGenerator()},
            r"must make images or .*got one that makes rows of a table, \(1, 3\)",
        ),
        ({"gan": TableGenerator(), "pool_size": 0}, "got one that makes rows of a table"),
        ({"gan": "x.h5", "mode": "vary"}, "`gan` must not be a file for mode 'vary', got 'x.h5'"),
        ({"mode": "mix"}, "`mode` must be 'replace' or 'vary', got 'mix'"),
        ({"mode": "vary"}, "must have a method `vary` .* got StripeGenerator"),
        ({"strength": -1}, "`strength` must be a number from 0 up, got -1"),
        ({"labels_getter": "y"}, "`labels_getter` must be"),
        ({"classes": [0, 7]}, r"Labels of `classes` must be among \[0, 1\], got 7"),
        (
            {"classes": ["cat", "dog"]},
            r"which knows \[0, 1\], got names, \['cat', 'dog'\]: leave `classes` out",
        ),
        ({"classes": 2}, "`classes` must be a sequence with the generator's label .* got 2"),
        ({"classes": {0: "cat"}}, "`classes` must be a sequence .* got {0: 'cat'}"),
        ({"classes": {0, 1}}, "`classes` must be a sequence"),
        ({"classes": "01"}, "`classes` must be a sequence .* got '01'"),
        ({"classes": StripeGenerator([0]).sample}, "`classes` must be a sequence .* got <bound method"),
        ({"classes": [[0], [1]]}, "`classes` must be a sequence"),
        ({"classes": np.array(1)}, "`classes` must be a sequence"),
        ({"pool_size": -1}, "`pool_size` must be 'auto' or an int .* got -1"),
        ({"pool_size": "many"}, "`pool_size` must be .* got 'many'"),
        ({"pool_size": np.array([1, 2])}, "`pool_size` must be .* got array"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        GANAugment(**{"gan": generator(), **options})


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ((torch.zeros(1, 8, 8),), "needs the label.*use AugmentedDataset"),
        ((torch.zeros(1, 8, 8), 3), r"among \[0, 1\], got 3"),
        (
            (torch.zeros(1, 9, 8), 1),
            r"\(1, 8, 8\), got \(1, 9, 8\): put GANAugment after `Resize`, or fit the",
        ),
        ((torch.zeros(3, 9, 7), 1), r"of \(9, 7\), as `as_arrays\(..., size=\(9, 7\)\)` .* never resized"),
        ((torch.zeros(1, 8, 8), Image.new("L", (8, 8))), "takes one image|needs the label"),
        ((torch.zeros(1, 8, 8), {"id": 3}), "got a sample without one.*pass `labels_getter`"),
        ((torch.zeros(1, 8, 8), torch.tensor([0.0, 1.0])), "one label for each of 1 images, got 2"),
        ((torch.zeros(3, 8, 8), 1), r"got \(3, 8, 8\): put GANAugment after `Grayscale`"),
        ((Image.new("RGB", (8, 8)), 1), r"got \(3, 8, 8\)"),
        ((torch.zeros(4, 1, 8, 8), torch.tensor([1, 1])), "one label for each of 4 images, got 2"),
        ((Image.new("P", (8, 8)), 1), "L, RGB or RGBA, got mode P"),
        ((torch.zeros(1, 8, 8, dtype=torch.int64), 1), "uint8 or floats, got torch.int64: convert them"),
        ((torch.zeros(2, 1, 8, 8, dtype=torch.int32), torch.tensor([1, 1])), "got torch.int32"),
        ((torch.full((1, 8, 8), -0.5), 1), "from -0.5 to -0.5: put GANAugment before `Normalize`"),
        ((torch.full((4, 1, 8, 8), 200.0), torch.ones(4)), "from 200 to 200: put GANAugment before"),
    ],
)
def test_bad_samples(sample, message):
    with pytest.raises(ValueError, match=message):
        GANAugment(generator(), p=1.0)(*sample)


def test_wrong_images_are_refused_even_where_none_is_replaced():
    with pytest.raises(ValueError, match="after `Resize`"):
        GANAugment(generator(), p=0.0)(torch.zeros(1, 9, 8), 1)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            tv_tensors.Mask(torch.zeros(1, 8, 8)),
            "no Mask: GANAugment takes an image and its label, got a Mask",
        ),
        (tv_tensors.BoundingBoxes([[0, 0, 1, 1]], format="XYXY", canvas_size=(8, 8)), "no BoundingBoxes"),
        *(
            (getattr(tv_tensors, name)([[0, 0]], canvas_size=(8, 8)), f"no {name}")
            for name in ["KeyPoints"]
            if hasattr(tv_tensors, name)  # since torchvision 0.23
        ),
        (tv_tensors.Video(torch.zeros(2, 1, 8, 8)), "no Video"),
        (tv_tensors.Image(torch.zeros(1, 8, 8)), "takes one image with its label, got 2 in one sample"),
        (Image.new("L", (8, 8)), "got 2 in one sample"),
        ([Image.new("L", (8, 8))], "got 2 in one sample"),
        ({"deep": [tv_tensors.Mask(torch.zeros(1, 8, 8))]}, "no Mask"),
    ],
)
def test_what_belongs_to_the_image_is_refused(p, other, message):
    augment = GANAugment(generator(), p=p)
    image = tv_tensors.Image(torch.zeros(1, 8, 8))
    for sample in (
        {"other": other, "image": image, "label": 1},
        (image, 1, other),
        (image, {"labels": 1}, other),
    ):
        with pytest.raises(ValueError, match=message):
            augment(sample)


@pytest.mark.parametrize("item", [tv_tensors.Mask, tv_tensors.Video])
def test_masks_and_videos_are_no_images(item):
    with pytest.raises(ValueError, match=f"no {item.__name__}"):
        GANAugment(generator(), p=1.0)(item(torch.zeros(1, 1, 8, 8)), 1)
    with pytest.raises(ValueError, match="no Mask"):
        GANAugment(generator(), p=1.0)(tv_tensors.Mask(torch.zeros(1, 8, 8)), 1)  # of one image's shape


def test_after_mixup_no_class_is_left():
    images, labels = torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])
    augment, mix = GANAugment(generator(), p=1.0), v2.MixUp(num_classes=2)
    with pytest.raises(ValueError, match=r"got shape \(4, 2\), as one-hot .* put GANAugment before `MixUp`"):
        augment(*mix(images, labels))
    with pytest.raises(ValueError, match="put GANAugment before `MixUp`"):
        augment(images, {"labels": torch.eye(2)[labels].tolist()})
    assert mix(*augment(images, labels))[1].shape == (4, 2)


class Varying(StripeGenerator):
    """Variations are `strength` brighter; the rows that came in are kept to look at."""

    def vary(self, X, y, strength=1.0, random_state=None):
        assert len(X) == len(y)
        self.seen = X
        return X + type(X.flat[0])(strength)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_variations_of_what_came_in(shape, dtype):
    varying = Varying([0, 1], shape)
    augment = GANAugment(varying, p={1: 1.0}, mode="vary", strength=3.0)
    images = torch.full((6, 3 if len(shape) == 3 else 1, 8, 8), 100, dtype=torch.uint8)
    images = images if dtype == torch.uint8 else images / 255
    new, _ = augment(images, torch.tensor([0, 1] * 3))
    assert new.dtype == dtype
    assert varying.seen.shape == (3, *shape)
    assert varying.seen.dtype == np.uint8
    levels = new if dtype == torch.uint8 else (new * 255).round()
    assert levels.flatten(1).unique(dim=1).flatten().tolist() == [100, 103] * 3


@pytest.mark.parametrize("mode", ["vary", "replace"])
@pytest.mark.parametrize("tensor", [False, True])
def test_networks_work_on_batches(mode, tensor, stripes):
    X, y = stripes
    X = torch.from_numpy(X)[:, None] / 255 if tensor else X
    gan = ConditionalGAN(steps=2, architecture="warping", random_state=0).fit(X, y)
    augment = GANAugment(gan, p=1.0, mode=mode, pool_size=0)
    images, labels = torch.rand(5, 1, 8, 8), torch.tensor([0, 1, 2, 1, 0])
    torch.manual_seed(0)
    first = augment(images, labels)[0]
    assert first.shape == images.shape
    assert not torch.equal(first, images)
    assert not torch.equal(augment(images, labels)[0], first)
    torch.manual_seed(0)
    assert torch.equal(augment(images, labels)[0], first)
    torch.manual_seed(0)
    assert torch.equal(pickle.loads(pickle.dumps(augment))(images, labels)[0], first)
    with pytest.raises(ValueError, match="generated in batches"):
        augment(images[0], 1)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("shape", [(8, 8), (8, 10, 3)])
def test_a_file_as_pool(layout, shape, tmp_path):
    varying = StripeGenerator(["a", "b"], shape)
    real = (np.full((3, *shape), 99, np.uint8), ["a", "b", "b"])
    path = write_hdf5(varying, tmp_path / "x.h5", {"a": 5, "b": 40}, real=real, layout=layout)
    augment = GANAugment(path, p=1.0)
    images = torch.zeros(400, 3 if len(shape) == 3 else 1, *shape[:2], dtype=torch.uint8)
    new, _ = augment(images, np.array(["a", "b"] * 200))
    levels = new.flatten(1).float().mean(1)
    assert (levels[::2] < 5).all()
    assert (levels[1::2] > 249).all()
    assert len(new[::2].unique(dim=0)) == 5
    assert 30 < len(new[1::2].unique(dim=0)) <= 40
    write_hdf5(varying, path, {"b": 3}, layout=layout, overwrite=True)
    new, _ = GANAugment(path, p=1.0)(images, np.array(["a", "b"] * 200))
    assert new[::2].max() == 0  # none of that class is there
    assert new[1::2].min() >= 250
    with pytest.raises(ValueError, match="`refresh` needs a pool"):
        augment.refresh()


def test_a_file_is_only_read(tmp_path):
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 30, random_state=0)
    content = path.read_bytes()
    augment = GANAugment(path, p=1.0)
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    augment(images, torch.tensor([0, 1, 0, 1]))[0].zero_()
    assert path.read_bytes() == content
    late = pickle.loads(pickle.dumps(HDF5Dataset(path)))
    other = GANAugment(path, p=1.0)
    write_hdf5(StripeGenerator([0, 1]), path, {1: 5}, random_state=1, overwrite=True)
    with pytest.raises(ValueError, match=r"x\.h5 was replaced by another file while in use"):
        other(images, torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ValueError, match=r"x\.h5 was replaced since"):
        late[0]


@pytest.mark.parametrize("nameless", [True, False])
def test_no_room_for_a_pool(nameless, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.adapters.pool.NAMELESS", nameless)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match=r"No room for a pool in .*, which takes 0.0 MiB: lower `pool_size`"):
        GANAugment(generator(), pool_size=4)
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_pool(tmp_path):
    varying = StripeGenerator([0, 1])
    path = write_hdf5(varying, tmp_path / "gzip.h5", 3, compression="gzip")
    with pytest.raises(ValueError, match=r"gzip\.h5 is compressed"):
        GANAugment(path)
    path = write_hdf5(varying, tmp_path / "real.h5", 0, real=(np.zeros((2, 8, 8), np.uint8), [0, 1]))
    with pytest.raises(ValueError, match=r"real\.h5 holds no synthetic image"):
        GANAugment(path)
    with pytest.raises(FileNotFoundError):
        GANAugment(tmp_path / "none.h5")


class Numbered(StripeGenerator):
    """Every call makes images one level brighter."""

    calls = 0

    def sample(self, labels, random_state=None):
        type(self).calls += 1
        return np.full((len(labels), 8, 8), type(self).calls, np.uint8)


@pytest.mark.parametrize(
    "start", ["fork", *(pytest.param(start, marks=pytest.mark.slow) for start in ("forkserver", "spawn"))]
)
def test_persistent_workers_see_a_refresh(start):
    augment = GANAugment(Numbered([0, 1]), p=1.0, pool_size=4)
    loader = DataLoader(
        Shades(augment), batch_size=16, num_workers=1, persistent_workers=True, multiprocessing_context=start
    )
    first = torch.cat([images for images, _ in loader])
    augment.refresh()
    second = torch.cat([images for images, _ in loader])
    assert first.unique().tolist() == [Numbered.calls - 1]
    assert second.unique().tolist() == [Numbered.calls]


@pytest.mark.parametrize("nameless", [True, False])
def test_the_file_of_a_pool_goes_with_it(nameless, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ganaug.adapters.pool.NAMELESS", nameless)
    augment = GANAugment(generator(), p=1.0, pool_size=4)
    content = pickle.dumps(augment)
    assert len(list(tmp_path.iterdir())) == (0 if nameless else 1)
    del augment
    gc.collect()
    assert not list(tmp_path.iterdir())
    again = copy.deepcopy(pickle.loads(content))  # it brought its images along, and its generator
    assert again(torch.zeros(1, 8, 8, dtype=torch.uint8), 1)[0].min() >= 250
    again.refresh()
    del again
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_in_a_trainer_of_lightning(tmp_path):
    """The loader stays as it is: `GANAugment` collates, a compiled network learns from the batches."""

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.compile(torch.nn.Linear(64, 2), backend="eager")
            self.levels = []

        def training_step(self, batch, index):
            images, labels = batch
            self.levels += images.flatten(1).amax(1).tolist()
            return torch.nn.functional.cross_entropy(self.layer(images.float().flatten(1)), labels)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 1e-3)

    augment = GANAugment(generator(), p=0.5)
    data = TensorDataset(torch.full((64, 1, 8, 8), 100, dtype=torch.uint8), torch.arange(64) % 2)
    loader = DataLoader(data, batch_size=16, collate_fn=lambda items: augment(*default_collate(items)))
    model = Model()
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own advice on the number of workers
        trainer.fit(model, loader)
    assert len(model.levels) == 128
    assert 0.3 < np.mean(np.array(model.levels) == 100) < 0.7


def test_no_array_of_a_pool_points_into_a_tensor():
    """torch moves the tensors that it sends to a spawned worker, and frees where they were."""
    pool = GANAugment(generator(), pool_size=4)._pool
    arrays = [value for value in vars(pool).values() if isinstance(value, np.ndarray)]
    tensors = [value.numpy() for value in vars(pool).values() if isinstance(value, torch.Tensor)]
    assert len(arrays) >= 2
    assert len(tensors) >= 3
    assert not any(np.shares_memory(array, tensor) for array in arrays for tensor in tensors)


def test_labels_that_are_indices_into_classes(tmp_path):
    path = write_hdf5(StripeGenerator([1, 2, 3]), tmp_path / "x.h5", 20, random_state=0)
    data = HDF5Dataset(path, class_subset=[2, 3])
    images, labels = default_collate([data[i] for i in range(40)])
    new, same = GANAugment(path, p=1.0, classes=data.classes)(images, labels)
    assert same is labels
    assert (new.float().mean((1, 2, 3)) - images.float().mean((1, 2, 3))).abs().max() < 3
    for same in (np.array([2, 3]), torch.tensor([2, 3]), (2, 3), range(2, 4)):
        assert GANAugment(path, classes=same)._class_index == {0: 1, 1: 2}
    named = GANAugment(generator(classes=("cat", "dog")), p={"dog": 1.0}, classes=["dog", "cat"])
    black = torch.zeros(1, 8, 8, dtype=torch.uint8)
    assert named(black, 0)[0].min() >= 250
    assert named(black, 1)[0] is black


def test_a_pickle_holds_no_real_image(tmp_path):
    real = np.full((500, 8, 8), 77, np.uint8), np.repeat([0, 1], 250)
    path = write_hdf5(StripeGenerator([0, 1]), tmp_path / "x.h5", 10, real=real)
    content = pickle.dumps(GANAugment(path, p=1.0))
    assert len(content) < 20 * 64 + 4000
    assert bytes([77] * 64) not in content
    augment = pickle.loads(content)
    path.unlink()
    images, labels = torch.zeros(50, 1, 8, 8, dtype=torch.uint8), torch.arange(50) % 2
    new, _ = augment(images, labels)
    assert new[labels == 1].min() >= 250
    assert new[labels == 0].max() < 5
    assert augment(images[0], 1)[0].min() >= 250


@pytest.mark.parametrize(
    ("smallest", "expected"), [(2, 0.8), (150, 0.8), (325, 0.4), (500, 0.0), (9000, 0.0)]
)
def test_the_share_falls_to_none_where_real_images_are_enough(smallest, expected):
    class Trained(StripeGenerator):
        class_counts_ = np.array([10_000, smallest])

    class Gate(StripeGenerator):
        gan_ = Trained([0, 1])

    for generator in (Trained([0, 1]), Gate([0, 1])):
        augment = GANAugment(generator, pool_size=4)
        X, y = torch.full((4000, 1, 8, 8), 77, dtype=torch.uint8), torch.arange(4000) % 2
        replaced = (augment(X, y)[0] != X).flatten(1).any(1)
        for label in (0, 1):
            assert float(replaced[y == label].float().mean()) == pytest.approx(expected, abs=0.04)
    # Of what doesn't say how many there were, as a file, it stays.
    assert GANAugment(StripeGenerator([0, 1]), pool_size=4)._class_p.tolist() == [0.8, 0.8]
