from __future__ import annotations

import copy
import importlib
import json
import os
import pickle
import random
import sys
import types

import albumentations as A
import numpy as np
import pytest
import torch
from conftest import StripeGenerator, shifting
from torch.utils.data import DataLoader, Dataset

from ganaug import ConditionalGAN, write_hdf5
from ganaug.album import GANReplace, GANVary


@pytest.fixture
def path(tmp_path):
    return write_hdf5(StripeGenerator([0, 1], (8, 9, 3)), tmp_path / "pool.h5", 30, random_state=0)


def black(dtype=np.uint8):
    return np.zeros((8, 9, 3), dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3)])
def test_an_image_of_the_same_class_and_kind(dtype, shape, tmp_path):
    generator = StripeGenerator(["a", "b"], (8, 9) if shape != (8, 9, 3) else shape)
    path = write_hdf5(generator, tmp_path / "x.h5", 30, random_state=0)
    compose = A.Compose([GANReplace(path, label_key="y", p=1)], strict=False)
    image = np.zeros(shape, dtype)
    new = compose(image=image, y="b")
    assert new["y"] == "b"
    assert (new["image"].dtype, new["image"].shape) == (image.dtype, image.shape)
    assert new["image"].min() >= (250 if dtype == np.uint8 else 250 / 255)
    assert compose(image=image, y="a")["image"].max() <= 5
    assert image.max() == 0


def test_classes_that_the_file_leaves_out(path):
    write_hdf5(StripeGenerator([0, 1], (8, 9, 3)), path, {1: 5}, overwrite=True)
    transform = GANReplace(path, p=1)
    assert transform(image=black(), label=0)["image"].max() == 0
    assert transform(image=black(), label=1)["image"].min() >= 250


def test_pickles(path):
    transform = pickle.loads(pickle.dumps(GANReplace(path, p=1)))
    path.unlink()  # it brought its images along
    assert transform(image=black(), label=1)["image"].min() >= 250


def test_a_file_that_changes_under_the_transform(path):
    transform = GANReplace(path, p=1)
    assert transform(image=black(), label=1)["image"].min() >= 250
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ValueError, match=r"pool\.h5 was changed from \d+ to \d+ bytes while in use"):
        transform(image=black(), label=1)


def test_labels_of_numpy_as_keys_of_class_p(path):
    transform = GANReplace(path, class_p=dict(zip(np.array([0, 1]), [0.0, 1.0], strict=True)), p=1)
    assert json.loads(json.dumps(A.to_dict(transform)))["transform"]["class_p"] == [[0, 0.0], [1, 1.0]]


def test_rates_by_class_survive_json(path):
    transform = GANReplace(path, class_p={0: 0.9, 1: 0.2}, p=1)
    again = A.from_dict(json.loads(json.dumps(A.to_dict(A.Compose([transform], strict=False)))))
    torch.manual_seed(0)
    for compose in (transform, again):
        for label, rate in ((0, 0.9), (1, 0.2)):
            gray = np.full((8, 9, 3), 100, np.uint8)
            replaced = [compose(image=gray, label=label)["image"][0, 0, 0] != 100 for _ in range(2000)]
            assert np.mean(replaced) == pytest.approx(rate, abs=0.03)


@pytest.mark.parametrize(
    ("class_p", "message"),
    [({7: 0.5}, r"`class_p` must be among"), ({0: 1.5}, "`class_p` must be a number in")],
)
def test_bad_class_p(class_p, message, path):
    with pytest.raises(ValueError, match=message):
        GANReplace(path, class_p=class_p)


def test_rate(path):
    transform = GANReplace(path, p=0.3)
    torch.manual_seed(0)
    replaced = [transform(image=black(), label=1)["image"].max() > 0 for _ in range(2000)]
    assert np.mean(replaced) == pytest.approx(0.3, abs=0.03)


def test_what_is_returned_may_be_changed(path):
    transform = GANReplace(path, p=1)
    for _ in range(200):
        image = transform(image=black(), label=1)["image"]
        assert image.min() >= 250
        image[:] = 0


def test_through_json_and_back(path):
    compose = A.Compose([GANReplace(path, label_key="y", p=0.7), A.HorizontalFlip(p=0.5)])
    again = A.from_dict(json.loads(json.dumps(A.to_dict(compose))))
    assert again.transforms[0].p == 0.7
    assert again.transforms[0].label_key == "y"
    assert A.to_dict(again) == A.to_dict(compose)
    as_it_was = A.to_dict(compose)
    write_hdf5(StripeGenerator([0, 1], (8, 9, 3)), path, 30, random_state=1, overwrite=True)
    with pytest.raises(ValueError, match=r"pool\.h5 is another file"):
        A.from_dict(as_it_was)


@pytest.mark.filterwarnings("ignore:.*could work incorrectly in ReplayMode")
def test_replay_is_exact(path):
    compose = A.ReplayCompose([GANReplace(path, p=0.5)])
    for _ in range(20):
        first = compose(image=black(), label=1)
        replay = json.loads(json.dumps(first["replay"]))
        assert np.array_equal(A.ReplayCompose.replay(replay, image=black(), label=1)["image"], first["image"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"mask": np.zeros((8, 9))}, "has no 'mask': GANReplace takes `image` and `label`"),
        ({"bboxes": np.zeros((0, 4))}, "has no 'bboxes'"),
        ({"keypoints": np.zeros((1, 2))}, "has no 'keypoints'"),
        ({"label": 7}, r"among \[0, 1\], got 7"),
        (
            {"image": np.zeros((9, 9, 3), np.uint8)},
            r"shape, \(8, 9, 3\), got \(9, 9, 3\): .* or fit .*size=\(9, 9\)",
        ),
    ],
)
def test_what_is_refused(data, message, path):
    with pytest.raises(ValueError, match=message):
        GANReplace(path, p=1)(**{"image": black(), "label": 1, **data})


@pytest.mark.parametrize("target", ["mask", "image"])
def test_additional_targets_are_refused(target, path):
    compose = A.Compose([GANReplace(path, p=1)], additional_targets={"other": target}, strict=False)
    assert compose(image=black(), label=1)["image"].min() >= 250
    with pytest.raises(ValueError, match="has no 'other'"):
        compose(image=black(), label=1, other=black())


def test_normalised_images_are_refused(path):
    compose = A.Compose([A.Normalize(), GANReplace(path, p=1)], strict=False)
    with pytest.raises(ValueError, match="got values from -2.12 to -1.8: put GANReplace before `Normalize`"):
        compose(image=black(), label=1)


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, bool])
def test_images_of_other_dtypes_are_refused(dtype, path):
    """Their range is not known."""
    with pytest.raises(ValueError, match="Images must be of uint8 or floats, got torch"):
        GANReplace(path, p=1.0)(image=np.ones((8, 10, 3), dtype), label=1)


def test_masks_are_refused_even_where_nothing_is_replaced(path):
    with pytest.raises(ValueError, match="has no 'mask'"):
        GANReplace(path, p=0)(image=black(), label=1, mask=np.zeros((8, 9)))


def test_a_missing_label(path):
    with pytest.raises(ValueError, match="label"):
        A.Compose([GANReplace(path, p=1)])(image=black())


@pytest.mark.parametrize("label", [np.array([1]), np.int64(1), torch.tensor([1]), [1], [[1]]])
def test_labels_of_one_value(label, path):
    assert GANReplace(path, p=1)(image=black(), label=label)["image"].min() >= 250


def test_one_hot_labels_are_refused(path):
    with pytest.raises(ValueError, match="`label` must be one label, got 2"):
        GANReplace(path, p=1)(image=black(), label=np.array([0.0, 1.0]))


def stream(transform, n=40):
    """Return what a transform makes of `n` black images."""
    return np.stack([transform(image=black(), label=1)["image"] for _ in range(n)])


def test_a_seed_of_compose_governs(path):
    def compose(seed):
        return A.Compose([A.Sequential([GANReplace(path, p=0.5)], p=1), A.HorizontalFlip(p=0)], seed=seed)

    torch.manual_seed(0)
    first = stream(compose(7))
    assert 5 < np.sum(first.max((1, 2, 3)) > 0) < 35
    assert np.array_equal(stream(compose(7)), first)
    assert not np.array_equal(stream(compose(8)), first)
    assert not np.array_equal(stream(compose(None)), first)
    again = compose(None)
    again.set_random_seed(7)
    assert np.array_equal(stream(again), first)
    for copied in (copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))):
        half = compose(7)
        stream(half, 20)
        assert np.array_equal(stream(copied(half), 20), first[20:])


def test_a_seed_of_its_own_governs(path):
    transform = GANReplace(path, p=0.5)
    transform.set_random_seed(3)
    first = stream(transform)
    transform.set_random_seed(3)
    assert np.array_equal(stream(transform), first)
    transform.set_random_state(np.random.default_rng(3), random.Random(0))
    assert np.array_equal(stream(transform), first)
    state = torch.get_rng_state()
    stream(transform)
    assert torch.equal(torch.get_rng_state(), state)
    transform.set_random_seed(None)
    torch.manual_seed(0)
    first = stream(transform)
    torch.manual_seed(0)
    assert np.array_equal(stream(transform), first)


def test_a_seed_flips_no_image_because_it_replaces_it(path):
    """albumentations gives all transforms of a pipeline the same seed."""
    compose = A.Compose([GANReplace(path, p=0.5), A.HorizontalFlip(p=0.5)], seed=0, save_applied_params=True)
    applied = [
        [name for name, _ in compose(image=black(), label=1)["applied_transforms"]] for _ in range(200)
    ]
    both = sum(len(names) == 2 for names in applied)
    assert 30 < both < 70


class Replaced(Dataset):
    def __init__(self, path, seed=None):
        self.transform = A.Compose([GANReplace(path, p=0.5)], seed=seed)

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return torch.from_numpy(self.transform(image=black(), label=1)["image"])


@pytest.mark.parametrize("own_seed", [None, 7])
def test_workers_and_epochs_differ_and_a_seed_repeats_them(own_seed, path):
    def epochs(seed, own_seed=own_seed):
        loader = DataLoader(
            Replaced(path, own_seed),
            batch_size=16,
            num_workers=2,
            multiprocessing_context="fork",
            generator=torch.Generator().manual_seed(seed),
        )
        return [torch.stack(list(loader)) for _ in range(2)]

    first, second = epochs(0)
    assert not torch.equal(first[0], first[1])  # batches of different workers
    assert not torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(epochs(0), (first, second), strict=True))
    assert not torch.equal(epochs(0, 8)[0], first) or own_seed is None


def test_without_albumentations(monkeypatch):
    monkeypatch.delitem(sys.modules, "ganaug.album")
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(ImportError, match=r"ganaug\[albumentations\].*or albumentationsx 2.5.1 in its place"):
        importlib.import_module("ganaug.album")


def test_what_albumentationsx_calls(path, monkeypatch):
    """It has other names for what samples parameters, and a pipeline does not call the transform itself."""
    transform = GANReplace(path, p=1)
    module = types.SimpleNamespace(SampledParams=lambda params: params)
    monkeypatch.setitem(sys.modules, "albumentations.core.transform_params", module)
    sampling = types.SimpleNamespace(random_generator=np.random.default_rng(0))
    chosen = transform.sample_parameters({}, {"label": 1}, None, sampling)
    assert transform.apply(black(), **chosen).min() >= 250
    with pytest.raises(ValueError, match="has no 'mask'"):
        transform.apply_in_invocation(None, image=black(), label=1, mask=black())


SIDES = (16, 20)


@pytest.fixture(scope="module", params=["colour", "grey", "tensor"])
def shifting_model(request, tmp_path_factory):
    """A saved model that moves images by two pixels to the right, and an image for it."""
    shape = (*SIDES, 3) if request.param == "colour" else SIDES
    X = np.random.default_rng(0).integers(0, 256, (12, *shape), np.uint8)
    given = torch.from_numpy(X)[:, None] / 255 if request.param == "tensor" else X
    folder = tmp_path_factory.mktemp("model")
    shifting(given, np.repeat(["a", "b"], 6)).save(folder)
    return folder, X[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved model whose variations differ from each other, and an image for it."""
    X = np.random.default_rng(0).integers(0, 256, (12, *SIDES), np.uint8)
    gan = ConditionalGAN(steps=1, strength=30.0, random_state=0).fit(X, np.arange(12) % 2)
    folder = tmp_path_factory.mktemp("model")
    gan.save(folder)
    return folder, X[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_all_that_lies_on_an_image_moves_with_it(dtype, shifting_model):
    folder, image = shifting_model
    image = image if dtype == np.uint8 else (image / 255).astype(dtype)
    mask = np.random.default_rng(0).integers(0, 9, SIDES)
    layers = np.stack([mask, mask + 100], axis=2)
    compose = A.Compose(
        [GANVary(folder, label_key="y", p=1)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["names"]),
        keypoint_params=A.KeypointParams("xyas", remove_invisible=False),
        additional_targets={"other": "mask"},
        strict=False,
    )
    data = {"mask": mask, "masks": np.stack([mask, mask + 10]), "other": layers, "image": image, "y": "b"}
    new = compose(**data, bboxes=[[2, 3, 8, 8], [12, 1, 20, 9]], names=["x", "z"], keypoints=[[5, 6, 0.5, 3]])
    assert (new["image"].dtype, new["image"].shape) == (image.dtype, image.shape)
    distance = np.abs(new["image"][:, 2:].astype(float) - image[:, :-2]).max()
    assert distance <= (3 if dtype == np.uint8 else 3 / 255)
    for name in ("mask", "other"):
        assert new[name].dtype == data[name].dtype and new[name].flags.c_contiguous
        assert np.array_equal(new[name][:, 2:], data[name][:, :-2])
    assert np.array_equal(new["masks"][:, :, 2:], data["masks"][:, :, :-2])
    assert np.allclose(new["bboxes"], [[4, 3, 10, 8], [14, 1, 20, 9]], atol=1e-3)
    assert new["names"] == ["x", "z"]
    assert np.allclose(new["keypoints"], [[7, 6, 0.5, 3]], atol=1e-3)
    still = A.Compose([GANVary(folder, label_key="y", p=0)], strict=False)(**data)
    assert all(still[name] is data[name] for name in ("mask", "image"))


def test_variations_survive_json_and_replay(model):
    folder, image = model
    compose = A.Compose([GANVary(folder, strength=0.7, p=0.9)])
    again = A.from_dict(json.loads(json.dumps(A.to_dict(compose))))
    found = []
    for one in (compose, again):
        one.set_random_seed(1)
        found.append(one(image=image, label=1)["image"])
    assert np.array_equal(*found) and not np.array_equal(found[0], image)
    assert (again.transforms[0].strength, again.transforms[0].p) == (0.7, 0.9)
    with pytest.raises(ValueError, match="is another file than the one this transform was made with"):
        GANVary(folder, digest="0" * 64)


@pytest.mark.filterwarnings("ignore:.*could work incorrectly in ReplayMode")
def test_a_replay_varies_alike(model):
    folder, image = model
    compose = A.ReplayCompose([GANVary(folder, p=1)])
    mask = np.arange(image.size).reshape(image.shape)
    first, second = (compose(image=image, mask=mask, label=1) for _ in range(2))
    assert not np.array_equal(first["image"], second["image"])
    replay = json.loads(json.dumps(first["replay"]))
    again = A.ReplayCompose.replay(replay, image=image, mask=mask, label=1)
    for name in ("image", "mask"):
        assert np.array_equal(again[name], first[name])


def test_draws_of_variations(model):
    """From torch's global state, as those of GANReplace; copies and pickles draw alike."""
    folder, image = model
    transform = GANVary(folder, p=0.5)
    found = []
    for one in (transform, copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        torch.manual_seed(0)
        found.append(np.stack([one(image=image, label=1)["image"] for _ in range(12)]))
        assert repr(one) == repr(transform)
    assert all(np.array_equal(found[0], other) for other in found)
    changed = [not np.array_equal(own, image) for own in found[0]]
    assert 2 < sum(changed) < 10
    assert len(np.unique(found[0], axis=0)) == sum(changed) + 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"images": np.zeros((2, 16, 20), np.uint8)},
            "has no 'images': GANVary takes `image`, `mask`, `masks`",
        ),
        ({"volume": np.zeros((2, 16, 20), np.uint8)}, "has no 'volume'"),
        ({"label": 7}, r"among \[0, 1\], got 7"),
        ({"label": [0, 1]}, "must be one label, got 2"),
        ({"image": np.zeros((9, 9), np.uint8)}, r"shape, \(16, 20\), got \(9, 9\): put GANVary after what"),
        ({"image": np.zeros((16, 20, 3), np.uint8)}, r"shape, \(16, 20, 1\), got \(16, 20, 3\)"),
        ({"image": np.full(SIDES, 2.5, np.float32)}, "put GANVary before `Normalize`"),
        ({"mask": np.zeros((9, 9))}, r"`masks` must be .* got \(1, 1, 9, 9\)"),
    ],
)
def test_what_can_not_be_varied(data, message, model):
    folder, image = model
    with pytest.raises(ValueError, match=message):
        GANVary(folder, p=1)(**{"image": image, "label": 1, **data})


def test_a_second_image_is_refused(model):
    folder, image = model
    compose = A.Compose([GANVary(folder, p=1)], additional_targets={"other": "image"}, strict=False)
    with pytest.raises(ValueError, match="has no 'other'"):
        compose(image=image, label=1, other=image)


def test_models_that_can_not_vary_an_image(tmp_path, stripes):
    rng = np.random.default_rng(0)
    ConditionalGAN(steps=1).fit(rng.normal(size=(20, 3)), np.arange(20) % 2).save(tmp_path / "table")
    ConditionalGAN(steps=1).fit(*stripes).save(tmp_path / "small")
    ConditionalGAN(steps=1, architecture="dcgan").fit(*stripes).save(tmp_path / "noise")
    for name, message in (
        ("table", "must make images, got one that makes rows of a table"),
        ("small", r"'warping' or 'tinting', got 'warping\+instance'"),
        ("noise", "must have a method `vary`"),
    ):
        with pytest.raises(ValueError, match=message):
            GANVary(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        GANVary(tmp_path / "none")


class Varied(Dataset):
    def __init__(self, model):
        self.transform, self.image = GANVary(model[0], p=1), model[1]

    def __len__(self):
        return 8

    def __getitem__(self, i):
        mask = np.arange(self.image.size).reshape(self.image.shape)
        new = self.transform(image=self.image, mask=mask, label=1)
        return torch.from_numpy(new["image"]), torch.from_numpy(new["mask"])


def test_workers_vary_differently(model):
    loader = DataLoader(
        Varied(model),
        batch_size=4,
        num_workers=2,
        multiprocessing_context="fork",
        generator=torch.Generator().manual_seed(0),
    )
    for _ in range(2):
        images = torch.cat([images for images, _ in loader])
        assert len(images.unique(dim=0)) == 8


def test_what_albumentationsx_calls_of_a_variation(model, monkeypatch):
    """It hands parameters over in an object of its own."""
    folder, image = model
    transform = GANVary(folder, p=1)
    module = types.SimpleNamespace(SampledParams=lambda params: types.SimpleNamespace(params=params))
    monkeypatch.setitem(sys.modules, "albumentations.core.transform_params", module)
    sampling = types.SimpleNamespace(random_generator=np.random.default_rng(0))
    chosen = transform.sample_parameters({}, {"label": 1}, None, sampling)
    monkeypatch.setattr(
        A.DualTransform,
        "apply_with_params",
        lambda self, params, **data: {name: self.targets[name](value) for name, value in data.items()},
    )
    new = transform.apply_with_params(chosen, mask=image, image=image)
    assert not np.array_equal(new["image"], image)
    assert new["mask"].shape == image.shape
