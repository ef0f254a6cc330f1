"""What torchvision asks of every transform, asked of every public transform here."""

from __future__ import annotations

import copy
import functools
import pickle
import re

import numpy as np
import pytest
import torch
from conftest import StripeGenerator
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from ganaug import GANAugment, write_hdf5
from ganaug.album import GANReplace

SHAPES = {"gray": (8, 10), "colour": (8, 10, 3)}
N = 6


class Varying(StripeGenerator):
    def vary(self, X, y, strength=1.0, random_state=None):
        return self.sample(y, random_state)


def make(kind, folder, colour="colour", p=1.0):
    """Return one of the public transforms, as a callable of (image or images, label or labels)."""
    generator = Varying([0, 1], SHAPES[colour])
    if kind == "generator":
        return GANAugment(generator, p=p, pool_size=8, random_state=0)
    if kind == "no pool":
        return GANAugment(generator, p=p, pool_size=0)
    if kind == "vary":
        return GANAugment(generator, p=p, mode="vary")
    path = folder / "pool.h5"
    if not path.exists():
        write_hdf5(generator, path, 8, random_state=0)
    return GANAugment(path, p=p) if kind == "file" else GANReplace(path, p=p)


def make_input(kind, colour="colour"):
    """Return dark images of a kind, one or a batch, and what labels them."""
    channels = 3 if colour == "colour" else 1
    one = torch.full((channels, 8, 10), 7, dtype=torch.uint8)
    batch, labels = torch.stack([one] * N), torch.arange(N) % 2
    return {
        "pil": lambda: (Image.new("RGB" if channels == 3 else "L", (10, 8), (7,) * channels), 1),
        "uint8": lambda: (one, 1),
        "float": lambda: (one / 255, 1),
        "float16": lambda: ((one / 255).half(), 1),
        "tv": lambda: (tv_tensors.Image(one), 1),
        "batch": lambda: (batch, labels),
        "float batch": lambda: (batch / 255, labels),
        "float64 batch": lambda: (batch.double() / 255, labels),
        "tv batch": lambda: (tv_tensors.Image(batch), labels),
        "channels last": lambda: (batch.contiguous(memory_format=torch.channels_last), labels),
        "strided": lambda: (torch.cat([batch, batch])[::2], labels),
        "pil list": lambda: (
            [Image.new("RGB" if channels == 3 else "L", (10, 8), (7,) * channels)] * N,
            labels.tolist(),
        ),
    }[kind]()


SINGLE = ["pil", "uint8", "float", "float16", "tv"]
BATCHES = ["batch", "float batch", "float64 batch", "tv batch", "channels last", "strided"]
WITH_POOL = [(kind, input_) for kind in ("generator", "file") for input_ in [*SINGLE, *BATCHES, "pil list"]]
CASES = [*WITH_POOL, *((kind, input_) for kind in ("no pool", "vary") for input_ in BATCHES)]
TORCH_KINDS = ["generator", "file", "no pool", "vary"]
each_case = pytest.mark.parametrize(("kind", "given"), CASES)
each_kind = pytest.mark.parametrize("kind", TORCH_KINDS)


def values(image):
    images = image if isinstance(image, list) else [image]
    return np.stack([np.asarray(item) for item in images])


def level(image):
    """Return the mean brightness of all images, from 0 to 255."""
    found = values(image).astype(float)
    return found.mean() * (1 if values(image).dtype == np.uint8 else 255)


@each_case
def test_nothing_changes_at_p_0(kind, given, tmp_path):
    image, label = make_input(given)
    new, same = make(kind, tmp_path, p=0.0)(image, label)
    assert same is label or same == label
    if isinstance(image, list):
        assert all(a is b for a, b in zip(new, image, strict=True))
    else:
        assert new is image


@each_case
@pytest.mark.parametrize("colour", list(SHAPES))
def test_kinds_are_kept_and_inputs_too(kind, given, colour, tmp_path):
    """Type, dtype, shape and device of what comes out are those of what came in, which stays as it was."""
    image, label = make_input(given, colour)
    before = values(image).copy()
    new, same = make(kind, tmp_path, colour)(image, label)
    assert same is label or same == label
    assert type(new) is type(image)
    assert np.array_equal(values(image), before)
    assert (values(new).shape, values(new).dtype) == (before.shape, before.dtype)
    assert abs(level(new) - (127 if np.ndim(label) else 252)) < 5
    if isinstance(image, Image.Image):
        assert (new.mode, new.size) == (image.mode, image.size)
    if isinstance(image, torch.Tensor):
        assert (new.dtype, new.device) == (image.dtype, image.device)
        assert not np.shares_memory(values(new), values(image))
        new.zero_()  # neither the pool nor the next image is touched
        again = make(kind, tmp_path, colour)(image, label)[0]
        assert level(again) > 100


@each_case
def test_the_seed_of_torch_governs(kind, given, tmp_path):
    augment = make(kind, tmp_path, p=0.5)

    def stream():
        torch.manual_seed(0)
        return [values(augment(*make_input(given))[0]) for _ in range(12)]

    first, again = stream(), stream()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({array.tobytes() for array in first}) > 1


@each_case
@pytest.mark.parametrize("through", ["pickle", "deepcopy"])
def test_copies_do_the_same(kind, given, through, tmp_path):
    augment = make(kind, tmp_path, p=0.5)
    copied = copy.deepcopy(augment) if through == "deepcopy" else pickle.loads(pickle.dumps(augment))
    results = []
    for transform in (augment, copied):
        torch.manual_seed(1)
        results.append(values(transform(*make_input(given))[0]))
    assert np.array_equal(*results)
    assert repr(copied) == repr(augment)


@each_case
@pytest.mark.parametrize("container", ["compose", "sequential", "random apply"])
def test_in_containers_of_torchvision(kind, given, container, tmp_path):
    """`nn.Sequential` hands one object on, the others any number."""
    steps = [make(kind, tmp_path), v2.Identity()]
    compose = {
        "compose": lambda: v2.Compose(steps),
        "sequential": lambda: nn.Sequential(*steps),
        "random apply": lambda: v2.RandomApply(steps, p=1.0),
    }[container]()
    image, label = make_input(given)
    new, same = compose((image, label))
    assert np.array_equal(values(same), values(label))
    assert type(new) is type(image)
    assert level(new) > 100


@each_case
@pytest.mark.parametrize("layout", ["dict", "tuple", "list", "nested"])
def test_other_leaves_pass(kind, given, layout, tmp_path):
    image, label = make_input(given)
    others = ["text", None, 3, 2.5, np.zeros(3), torch.zeros(N), b"x", object()]
    sample = {
        "dict": {"image": image, "label": label, **dict(zip("abcdefgh", others, strict=True))},
        "tuple": (image, label, *others),
        "list": [image, label, *others],
        "nested": (image, {"labels": label, "others": others}),
    }[layout]
    new = make(kind, tmp_path)(sample)
    assert type(new) is type(sample)
    kept, image = (
        ([*new[1]["others"]], new[0])
        if layout == "nested"
        else ([*new.values()][2:], new["image"])
        if layout == "dict"
        else (list(new)[2:], new[0])
    )
    assert all(a is b for a, b in zip(kept, others, strict=True))
    assert level(image) > 100


@each_kind
def test_as_a_module(kind, tmp_path):
    """It has no parameters and no modes, and goes where the model goes."""
    augment = make(kind, tmp_path)
    assert isinstance(augment, nn.Module)
    assert not list(augment.parameters())
    assert not list(augment.buffers())
    assert augment.state_dict() == {}
    augment.load_state_dict({})
    batch = make_input("batch")
    for moved in (
        augment.eval(),
        augment.train(),
        augment.to("cpu"),
        augment.half(),
        augment.double(),
        augment.cpu(),
    ):
        assert moved is augment
        torch.manual_seed(0)
        assert level(moved(*batch)[0]) > 100
        assert moved(*batch)[0].dtype == torch.uint8
    assert re.fullmatch(
        r"GANAugment\(p=1.0, mode='\w+', classes=2, pool=\d+, shape=\(3, 8, 10\)\)", repr(augment)
    )
    assert repr(augment) in repr(nn.Sequential(augment))


@each_kind
@pytest.mark.parametrize("given", BATCHES)
def test_gradients_and_layouts_of_memory(kind, given, tmp_path):
    """A batch keeps what the network expects: contiguous or channels last, without a gradient."""
    images, labels = make_input(given)
    new = make(kind, tmp_path)(images, labels)[0]
    assert not new.requires_grad
    last = given == "channels last"
    assert new.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


@pytest.mark.parametrize("kind", ["generator", "file"])
@pytest.mark.parametrize("given", ["uint8", "float", "tv"])
def test_one_image_is_contiguous(kind, given, tmp_path):
    assert make(kind, tmp_path)(*make_input(given))[0].is_contiguous()


class Items(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 16

    def __getitem__(self, i):
        image = torch.full((3, 8, 10), 7, dtype=torch.uint8)
        if isinstance(self.transform, GANReplace):
            return torch.from_numpy(
                self.transform(image=image.permute(1, 2, 0).numpy(), label=i % 2)["image"]
            ), i % 2
        return self.transform(image, i % 2)


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        *((kind, start) for kind in ("generator", "file", "album") for start in (None, "fork")),
        pytest.param("album", "spawn", marks=pytest.mark.slow),
    ],
)
def test_in_a_loader(kind, start, tmp_path):
    """Some images are replaced, each by one of its class, the same again with the same generator."""
    data = Items(make(kind, tmp_path, p=0.5))
    found = []
    for _ in range(2 if start != "spawn" else 1):
        loader = DataLoader(
            data,
            batch_size=4,
            num_workers={None: 0, "fork": 2, "spawn": 1}[start],
            multiprocessing_context=start,
            generator=torch.Generator().manual_seed(0),
        )
        torch.manual_seed(0)
        images, labels = (torch.cat(part) for part in zip(*loader, strict=True))
        means = images.flatten(1).float().mean(1)
        assert (((means == 7) | (means < 5)) == (labels == 0)).sum() >= 8
        assert 0 < (means == 7).sum() < 16
        found.append(images)
    assert torch.equal(found[0], found[-1])


def collated(transform, items):
    return transform(*default_collate(items))


@each_kind
def test_in_a_collate_function(kind, tmp_path):
    images, labels = make_input("batch")
    collate = functools.partial(collated, make(kind, tmp_path))
    (new, same), *_ = DataLoader(TensorDataset(images, labels), batch_size=N, collate_fn=collate)
    assert torch.equal(same, labels)
    assert new.flatten(1).float().mean(1).gt(200).tolist() == [False, True] * 3


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("colour", list(SHAPES))
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_arrays_through_albumentations(dtype, colour, p, tmp_path):
    """GANReplace takes arrays: kind, shape and input are kept, memory is contiguous, copies do the same."""
    transform = make("album", tmp_path, colour, p)
    image = np.full(SHAPES[colour], 7 / 255 if dtype == np.float32 else 7, dtype)
    before = image.copy()
    results = []
    for one in (transform, copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        torch.manual_seed(0)
        result = one(image=image, label=1, name="text", nothing=None)
        assert (result["label"], result["name"], result["nothing"]) == (1, "text", None)
        results.append(result["image"])
        assert repr(one) == repr(transform)
    assert all(np.array_equal(results[0], other) for other in results)
    assert np.array_equal(image, before)
    assert (results[0].dtype, results[0].shape) == (image.dtype, image.shape)
    assert results[0].flags.c_contiguous
    assert np.array_equal(results[0], image) if p == 0 else level(results[0]) > 245
