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
from conftest import StripeGenerator
from torch.utils.data import DataLoader, Dataset

from ganaug import write_hdf5
from ganaug.album import GANReplace


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
