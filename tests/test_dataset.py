from __future__ import annotations

import pickle

import albumentations as A
import numpy as np
import pytest
import torch
from albumentations.pytorch import ToTensorV2
from conftest import StripeGenerator
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)
from torchvision import tv_tensors
from torchvision.datasets import ImageFolder, OxfordIIITPet, VisionDataset
from torchvision.transforms import v2

from ganaug import AugmentedDataset, ConditionalGAN, HDF5Dataset, as_arrays, write_hdf5
from ganaug.selection.candidates import Candidate
from ganaug.selection.recommendation import Recommendation

N_REAL = [9, 3]


def tensors(kind=lambda X: X, labels=lambda y: y):
    """Dark images of two classes, nine and three."""
    X = torch.zeros(sum(N_REAL), 3, 8, 10, dtype=torch.uint8)
    return TensorDataset(kind(X), labels(torch.arange(2).repeat_interleave(torch.tensor(N_REAL))))


def filled(dataset, gan, counts="balance", *arguments, **options):
    """An AugmentedDataset that is filled up: only the small class has synthetic images."""
    return AugmentedDataset(dataset, gan, counts, *arguments, **options)


def generator(classes=(0, 1)):
    return StripeGenerator(classes, (8, 10, 3))


def test_real_items_first_then_what_lacks_to_balance():
    real = tensors()
    data = filled(real, generator(), random_state=0)
    assert len(data) == 18
    assert data.synthetic.tolist() == [False] * 12 + [True] * 6
    assert data.labels.tolist() == [0] * 9 + [1] * 9
    for i in range(12):
        assert torch.equal(data[i][0], real[i][0])
    image, label = data[-1]
    assert image.min() >= 250
    assert image.dtype == torch.uint8
    assert torch.equal(label, torch.tensor(1))
    with pytest.raises(IndexError, match="18 items"):
        data[18]


@pytest.mark.parametrize(
    ("share", "size", "n_synthetic"), [(None, 45, 36), (0.5, 18, 9), (0, 9, 0), ({1: 0.5}, 9, [0, 4])]
)
def test_by_default_all_classes_are_even_and_have_the_same_share(share, size, n_synthetic, monkeypatch):
    monkeypatch.setattr("ganaug.adapters.pool.MIN_PER_CLASS", 2)
    monkeypatch.setattr("ganaug.adapters.pool.DEFAULT_PER_CLASS", 10)
    real = tensors()
    data = AugmentedDataset(real, generator(), synthetic_share=share)
    assert np.bincount(data.labels).tolist() == [size, size]
    n_synthetic = n_synthetic if isinstance(n_synthetic, list) else [n_synthetic, n_synthetic]
    assert np.bincount(data.labels[data.synthetic], minlength=2).tolist() == n_synthetic
    assert data.sample_weight == pytest.approx(np.full(2 * size, data.sample_weight[0]))
    # Real items first, then those that are repeated, in turns.
    assert data.source[: sum(N_REAL)].tolist() == list(range(sum(N_REAL)))
    repeats = np.bincount(data.source[~data.synthetic & (data.labels == 1)])[-3:]
    assert repeats.max() - repeats.min() <= 1
    for i in np.flatnonzero(~data.synthetic):
        image, label = data[i]
        assert image.max() == 0
        assert label == data.labels[i]
    synthetic = [data[i][0] for i in np.flatnonzero(data.synthetic & (data.labels == 1))]
    assert all(image.min() >= 250 for image in synthetic)
    # No more are generated than a pool holds.
    assert len({image.numpy().tobytes() for image in synthetic}) == min(10, len(synthetic))


def test_all_synthetic_is_not_even():
    with pytest.raises(ValueError, match="below 1"):
        AugmentedDataset(tensors(), generator(), synthetic_share=1.0)


@pytest.mark.parametrize(
    ("counts", "n_new"),
    [(4, [4, 4]), ({1: 7}, [0, 7]), ("balance", [0, 6]), (0, [0, 0]), ({0: 0}, [0, 0])],
)
def test_counts(counts, n_new):
    data = filled(tensors(), generator(), counts)
    assert np.bincount(data.labels[data.synthetic], minlength=2).tolist() == n_new
    assert len(list(data)) == sum(N_REAL) + sum(n_new)


def test_weights_draw_classes_evenly_and_synthetic_rows_by_their_share():
    for share, expected in ((None, [0.0, 6 / 9]), (0.25, [0.0, 0.25]), ({1: 0.9}, [0.0, 0.9])):
        data = filled(tensors(), generator(), synthetic_share=share)
        weight = data.sample_weight / data.sample_weight.sum()
        for label in (0, 1):
            assert weight[data.labels == label].sum() == pytest.approx(0.5)
            synthetic = weight[(data.labels == label) & data.synthetic].sum()
            assert synthetic == pytest.approx(expected[label] / 2)
    loader = DataLoader(data, batch_size=4, sampler=WeightedRandomSampler(data.sample_weight, 40))
    assert sum(len(labels) for _, labels in loader) == 40


def test_as_recommended():
    advice = Recommendation(np.array([0, 1]), np.array(N_REAL), Candidate("2x", 0.8), [], "", 1.0)
    data = filled(tensors(), generator(), advice)
    assert np.bincount(data.labels[data.synthetic]).tolist() == [18, 6]
    weight = data.sample_weight / data.sample_weight.sum()
    assert weight[data.synthetic].sum() == pytest.approx(0.8)


@pytest.mark.parametrize("kind", [lambda X: X, lambda X: X.float() / 255, tv_tensors.Image])
def test_synthetic_items_are_of_the_kind_of_real_ones(kind):
    class Pairs(TensorDataset):
        def __getitem__(self, i):
            image, label = super().__getitem__(i)
            return kind(image), int(label)

    data = filled(Pairs(*tensors().tensors), generator())
    (real, label), (synthetic, other) = data[0], data[-1]
    assert type(synthetic) is type(real)
    assert synthetic.dtype == real.dtype
    assert synthetic.max() <= (1 if real.is_floating_point() else 255)
    assert type(other) is type(label) is int
    images, labels = next(iter(DataLoader(data, batch_size=18)))
    assert images.shape == (18, 3, 8, 10)
    assert labels.tolist() == data.labels.tolist()


@pytest.mark.parametrize("classes", [["cat", "dog"], [0, 1]])
def test_an_image_folder_with_its_transforms(classes, image_folder):
    (image_folder / "dog" / "2.png").unlink()
    folder = ImageFolder(
        image_folder,
        v2.Compose([v2.Resize((8, 10)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]),
        target_transform=lambda label: label + 10,
    )
    data = filled(folder, generator(classes), 3)
    assert data.labels.tolist() == [classes[i] for i in (0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1)]
    image, label = data[10]
    assert isinstance(image, tv_tensors.Image)
    assert image.min() > 0.95
    assert label == 11
    assert filled(ImageFolder(image_folder), generator(classes), 0)[0][0].size == (12, 10)


def test_a_subset_shares_the_transforms_of_what_it_is_of(image_folder):
    transform = v2.Compose(
        [v2.Resize((8, 10)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.25])]
    )
    folder = ImageFolder(image_folder, transform, target_transform=lambda label: label + 10)
    for part in (Subset(folder, [1, 4, 5]), Subset(Subset(folder, [0, 1, 4, 5]), [1, 2, 3])):
        data = filled(part, generator(["cat", "dog"]))
        assert data.labels.tolist() == ["cat", "dog", "dog", "cat"]
        assert data[3][0].max() < -1.9  # black, normalised
        assert data[3][1] == data[0][1] == 10


def test_labels_of_items_are_not_changed_again():
    class Items(TensorDataset):
        target_transform = staticmethod(lambda label: label + 10)

        def __getitem__(self, i):
            image, label = super().__getitem__(i)
            return image, self.target_transform(int(label))

    data = filled(Items(*tensors().tensors), generator((10, 11)))
    assert data[-1][1] == 11


def test_grey_and_flat_images(image_folder):
    folder = ImageFolder(image_folder, v2.Compose([v2.Resize((8, 10)), v2.PILToTensor()]))
    data = filled(folder, StripeGenerator([0, 1], (8, 10)), 1)
    assert data[-1][0].shape == data[0][0].shape == (3, 8, 10)
    flat = TensorDataset(torch.zeros(12, 8, 10, dtype=torch.uint8), tensors().tensors[1])
    assert filled(flat, StripeGenerator([0, 1], (8, 10)))[-1][0].shape == (8, 10)


def test_a_file_of_synthetic_images(tmp_path):
    write_hdf5(generator((1, 2)), tmp_path / "x.h5", {1: 4, 2: 2}, random_state=0)
    file = HDF5Dataset(tmp_path / "x.h5", transform=lambda image: image.float() / 255)
    data = filled(file, generator((0, 1, 2)))
    assert sorted(data.labels.tolist()) == [1] * 4 + [2] * 4
    image, label = data[-1]
    assert image.dtype == torch.float32
    assert file.classes[label] == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_a_file_are_those_of_the_generator(dtype, tmp_path):
    """Not its class indices, whatever the integers."""
    write_hdf5(generator(np.array([1, 2, 3], dtype)), tmp_path / "x.h5", {2: 4, 3: 2}, random_state=0)
    data = filled(HDF5Dataset(tmp_path / "x.h5"), generator(np.array([1, 2, 3], dtype)))
    assert sorted(data.labels.tolist()) == [2] * 4 + [3] * 4
    levels = [float(data[i][0].float().mean()) for i in range(len(data))]
    assert levels == pytest.approx([125 * (label - 1) for label in data.labels.tolist()], abs=5)


def test_global_random_state_is_left_alone():
    class Random(TensorDataset):
        def __getitem__(self, i):
            torch.rand(1)
            return super().__getitem__(i)

    before = torch.get_rng_state()
    filled(Random(*tensors().tensors), generator())
    assert torch.equal(before, torch.get_rng_state())


def test_in_workers_splits_and_concatenations():
    data = filled(tensors(), generator())
    first, rest = random_split(data, [10, 8], generator=torch.Generator().manual_seed(0))
    both = ConcatDataset([first, rest, pickle.loads(pickle.dumps(data))])
    loader = DataLoader(both, batch_size=9, num_workers=2)
    assert sum(int((images[:, 0, 0, 0] >= 250).sum()) for images, _ in loader) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "mix"}, "`mode` must be .replace. or .vary., got .mix."),
        ({"mode": "vary"}, "must have a method `vary` .* got StripeGenerator"),
        ({"strength": -1}, "`strength` must be a number from 0 up, got -1"),
        ({"counts": -1}, "`counts` must be ints from 0 up, got -1"),
        ({"gan": ConditionalGAN()}, "`gan` must be a fitted ConditionalGAN"),
        ({"dataset": []}, "`dataset` must have a length and an item"),
        ({"dataset": [{"image": 1}]}, "`dataset` must hold .image, label., got dict"),
        ({"dataset": tensors(lambda X: X.float() - 2)}, r"images in \[0, 1\].* got values from -2 to -2"),
        (
            {"dataset": tensors(lambda X: X.long())},
            "Tensors of uint8 or floats, .* got Tensor of int64: convert them",
        ),
        (
            {"counts": "many"},
            "`counts` must be 'even', 'balance', an int, a dict or a Recommendation, got 'many'",
        ),
        (
            {"dataset": tensors(labels=torch.nn.functional.one_hot)},
            r"one label each, got one of shape \(2,\)",
        ),
        ({"counts": {1: 2.5}}, "got 2.5"),
        ({"counts": {5: 1}}, r"among \[0, 1, 2\], got 5"),
        ({"counts": {2: 1}}, "asks for class 2, of which `dataset` has no image"),
        ({"synthetic_share": 1.5}, r"`synthetic_share` must be 'auto', lie in \[0, 1\] .* got 1.5"),
        ({"synthetic_share": {0: "a"}}, "got 'a'"),
        (
            {"gan": StripeGenerator([0, 1], (9, 9))},
            r"Tensor \(3, 8, 10\) uint8, got Tensor \(3, 9, 9\) .* as_arrays\(dataset, size=\(8, 10\)\)",
        ),
        ({"gan": StripeGenerator([1, 2])}, r"Labels of `dataset` must be among \[1, 2\], got 0"),
        ({"dataset": [(np.zeros(8), 0), (np.zeros(8), 1)], "counts": 1}, r"got ndarray of float64 of shape"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        filled(**{"dataset": tensors(), "gan": generator((0, 1, 2)), **options})


class Brighter(StripeGenerator):
    """Variations are `strength` levels brighter."""

    def vary(self, X, y, strength=1.0, random_state=None):
        assert X.dtype == np.uint8
        assert X.shape[1:] == self.shape
        assert len(X) == len(y)
        return X + np.uint8(strength)


def test_variations_of_a_folder(image_folder):
    data = ImageFolder(image_folder, transform=v2.Compose([v2.Resize((8, 8)), v2.ToImage()]))
    subset = Subset(data, [5, 0, 1, 4])
    augmented = filled(
        subset, Brighter(["cat", "dog"], (8, 8, 3)), counts={"cat": 3, "dog": 1}, mode="vary", strength=7
    )
    assert augmented.source.tolist() == [0, 1, 2, 3, 1, 2, 1, 0]
    assert augmented.labels[4:].tolist() == ["cat"] * 3 + ["dog"]
    for item, source in zip(list(augmented)[4:], augmented.source[4:], strict=True):
        real = subset[source]
        assert torch.equal(item[0], real[0] + 7)
        assert item[1] == real[1]
    assert data.transform is not None


def test_variations_of_tensors_of_another_kind():
    X, y = torch.full((6, 1, 8, 8), 0.2), torch.tensor([0, 1] * 3)
    data = filled(TensorDataset(X, y), Brighter([0, 1]), counts=2, mode="vary", strength=51)
    assert data.source[6:].tolist() == [0, 2, 1, 3]
    assert data[-1][0].dtype == torch.float32
    assert data[-1][0].unique().tolist() == pytest.approx([0.4])
    assert filled(TensorDataset(X, y), StripeGenerator([0, 1]), counts=2).source[6:].tolist() == [-1] * 4


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_variations_of_arrays_behind_a_transform(dtype, channels):
    scale = 255 if dtype == np.uint8 else 1
    dataset = Attributed([], torch.as_tensor, lambda _: np.full((8, 8, *channels), 0.2 * scale, dtype))
    gan = Brighter([0, 1], (8, 8, *channels))
    data = filled(dataset, gan, counts=1, mode="vary", strength=51)
    assert data[-1][0].shape == (8, 8, *channels)
    assert (data[-1][0] / scale).unique().tolist() == pytest.approx([0.4])


def test_a_gan_varies_a_data_set(fitted, stripes):
    X, y = torch.from_numpy(stripes[0])[:, None], torch.from_numpy(stripes[1])
    data = filled(TensorDataset(X, y), fitted, counts="balance", mode="vary", random_state=0)
    assert np.bincount(data.labels).tolist() == [40, 40, 40]
    assert data[-1][0].dtype == torch.uint8
    assert data[-1][0].shape == (1, 8, 8)


class Labelled(TensorDataset):
    """Dark images with `classes` and `targets` that are whatever they are."""

    def __init__(self, targets, classes):
        super().__init__(torch.zeros(len(targets), 3, 8, 10, dtype=torch.uint8), torch.tensor(targets))
        self.targets, self.classes = targets, classes


@pytest.mark.parametrize("targets", [[1] * 4 + [3] * 2, [0] * 4 + [2] * 2])
def test_labels_that_are_classes_or_indices_into_them(targets):
    data = filled(Labelled(targets, [1, 2, 3]), generator((1, 2, 3)))
    assert data.labels.tolist() == [1] * 4 + [3] * 4
    assert data[-1][1] == targets[-1]
    assert data[-1][0].min() >= 250


def test_labels_that_may_be_either():
    with pytest.raises(
        ValueError, match=r"such as 1 may be classes of the generator, \[1, 2, 3\], or indices"
    ):
        filled(Labelled([1] * 4 + [2] * 2, [1, 2, 3]), generator((1, 2, 3)))


def test_a_generator_that_was_fitted_on_the_indices_of_a_file(tmp_path):
    write_hdf5(generator((8, 9)), tmp_path / "x.h5", {8: 4, 9: 2}, random_state=0)
    data = filled(HDF5Dataset(tmp_path / "x.h5"), generator((0, 1)))
    assert data.labels.tolist().count(1) == 4
    assert data[-1][0].min() >= 250
    assert data[-1][1] == 1


def test_labels_have_the_shape_of_real_ones():
    data = filled(tensors(labels=lambda y: y[:, None].float()), generator())
    assert default_collate([data[0], data[-1]])[1].tolist() == [[0.0], [1.0]]


def test_around_another():
    inner = filled(Labelled([0] * 6 + [1] * 4, ["cat", "dog"]), generator(("cat", "dog")))
    outer = filled(inner, generator(("cat", "dog")), 5)
    assert [int(outer[i][1]) for i in (0, 11, 12, -1)] == [0, 1, 0, 1]
    assert len(outer) == 22


class Attributed(TensorDataset):
    """Has an attribute `labels`, which is not what its items have."""

    def __init__(self, labels, transform=None, kind=torch.as_tensor, label=int):
        super().__init__(*tensors().tensors)
        self.labels, self.transform, self.kind, self.label = labels, transform, kind, label

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        image = self.kind(image)
        return image if self.transform is None else self.transform(image), self.label(label)


@pytest.mark.parametrize(
    "labels",
    [np.repeat([1, 2], N_REAL), np.repeat([1, 0], N_REAL), np.repeat(["cat", "dog"], N_REAL).tolist()],
)
@pytest.mark.parametrize("kind", [int, torch.as_tensor])
def test_labels_are_those_of_the_items(labels, kind):
    data = filled(Attributed(labels, label=kind), generator())
    assert data.labels.tolist() == [data[i][1] for i in range(len(data))] == [0] * 9 + [1] * 9


def last(image):
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("kind", "white"),
    [
        (torch.as_tensor, 250),
        (tv_tensors.Image, 250),
        (lambda image: image[0], 250),
        (lambda image: image.half(), 0.98),
        (lambda image: image.permute(1, 2, 0).double(), 0.98),
        (last, 250),
        (lambda image: last(image).astype(np.float32), 0.98),
        (lambda image: last(image).astype(np.float64)[..., 0], 0.98),
        (lambda image: last(image)[..., :1], 250),
        (lambda image: image.numpy() / 255, 0.98),
    ],
)
def test_a_transform_gets_what_it_gets_from_the_data_set(kind, white):
    seen = []

    def transform(image):
        seen.append((type(image), tuple(image.shape), image.dtype))
        return torch.as_tensor(image) + 0

    channels = (3,) if 3 in kind(torch.zeros(3, 8, 10, dtype=torch.uint8)).shape else ()
    gan = StripeGenerator((0, 1), (8, 10, *channels))
    for way in (transform, None):
        data = filled(Attributed(tensors().tensors[1], way, kind), gan)
        (real, _), (synthetic, _) = data[0], data[-1]
        assert (type(real), real.shape, real.dtype) == (type(synthetic), synthetic.shape, synthetic.dtype)
        assert real.max() == 0
        assert white <= synthetic.min() <= synthetic.max() <= white * 1.021
    assert len(set(seen)) == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_a_transform_gets_pil_images_of_the_mode_of_the_data_set(mode):
    seen = []

    def transform(image):
        seen.append(image.mode)
        return v2.functional.pil_to_tensor(image.convert("RGB"))

    def kind(image):
        return v2.functional.to_pil_image(image).convert(mode)

    data = filled(Attributed(tensors().tensors[1], transform, kind), generator())
    assert data[-1][0].min() >= 250
    assert data[0][0].max() == 0
    assert set(seen) == {mode} or (mode == "P" and seen[-2] == "RGB")  # the generator knows no palette


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (lambda image: last(image) + 255.0, r"in \[0, 1\].* got values from 255 to 255 before"),
        (lambda image: image - 1.0, r"in \[0, 1\].* got values from -1 to -1 before"),
        (lambda image: image + torch.nan, r"in \[0, 1\].* got values from nan to nan before"),
        (lambda image: image + 1, "must lie in 0 to 255, got none above 1: multiply by 255"),
        (lambda image: image.int(), "got Tensor of int32: convert"),
        (lambda image: last(image).astype(np.uint16), "got ndarray of uint16: convert"),
        (lambda image: image[None], r"got Tensor of uint8 of shape \(1, 3, 8, 10\)"),
        (
            lambda image: Image.fromarray(last(image)[..., 0].astype(np.uint16)),
            "8 bits .* PIL image of mode I",
        ),
    ],
)
def test_images_whose_range_or_kind_synthetic_ones_can_not_have(kind, message):
    dataset = Attributed(tensors().tensors[1], lambda image: np.asarray(image, np.float32) * 0, kind)
    with pytest.raises(ValueError, match=message):
        filled(dataset, generator())
    assert len(filled(dataset, generator(), 0)) == 12


def test_a_transform_that_changes_its_image_in_place():
    dataset = Attributed(tensors().tensors[1], lambda image: image.div_(255), lambda image: image + 255.0)
    with pytest.raises(ValueError, match="values from 255 to 255 before"):
        filled(dataset, generator())


def test_images_of_two_kinds_or_sizes():
    small, large = (Image.new("RGB", size) for size in ((10, 8), (12, 8)))
    with pytest.raises(ValueError, match="got PIL RGB 8 x 10 for item 0 and PIL RGB 8 x 12 for item 2: conv"):
        filled([(small, 0), (small, 1), (large, 0)], generator())
    pairs = [(np.zeros((8, 10, 3), np.uint8), 0), (np.zeros((8, 10, 3)), 1), (np.zeros((8, 10, 3)), 1)]
    with pytest.raises(ValueError, match="got ndarray of uint8 for item 0 and ndarray of float64 for item 1"):
        filled(pairs, generator())


def photographs(side, transform):
    dataset = Attributed(tensors().tensors[1], transform, lambda _: Image.new("RGB", (side, side)))
    return Subset(dataset, [0, 1, 9])


@pytest.mark.parametrize(
    ("side", "transform"),
    [
        (224, v2.Resize((32, 32))),
        (224, v2.Compose([v2.Resize((32, 32)), v2.ToImage()])),
        (224, v2.Compose([v2.Resize((32, 32)), v2.ToImage(), lambda image: (image, image)])),
        (9, v2.RandomResizedCrop(16)),
    ],
)
def test_synthetic_images_are_not_enlarged(side, transform):
    with pytest.raises(ValueError, match=r"8 x 8 pixels, .* enlarges to .*as_arrays\(dataset, size=\("):
        filled(photographs(side, transform), StripeGenerator([0, 1], (8, 8, 3)))


@pytest.mark.parametrize(
    ("side", "transform"),
    [
        (224, v2.Resize((8, 8))),
        (224, v2.Compose([v2.Resize((6, 4)), v2.ToImage(), torch.flatten])),
        (8, v2.Resize((32, 32))),  # as large as real ones before it
        (8, v2.Pad(2)),
    ],
)
def test_synthetic_images_are_made_smaller_or_treated_as_real_ones(side, transform):
    data = filled(photographs(side, transform), StripeGenerator([0, 1], (8, 8, 3)))
    assert len(data) == 4
    assert type(data[-1][0]) is type(data[0][0])


class Joint(VisionDataset):
    """Calls `transforms`, with the image and the label."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        image, label = Image.new("RGB", (10, 8)), int(index >= 9)
        return (image, label) if self.transforms is None else self.transforms(image, label)


# It is of PIL images; of floats in [0, 1] it would make black ones.
TO_FLOAT = v2.Compose([v2.PILToTensor(), v2.Lambda(lambda image: image / 255, torch.Tensor)])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"transform": TO_FLOAT, "target_transform": lambda label: label + 10}, 11),
        ({"transform": TO_FLOAT}, 1),
        ({"transforms": v2.Compose([TO_FLOAT, v2.Lambda(lambda label: label + 10, int)])}, 11),
        ({"transforms": TO_FLOAT}, 1),
        ({}, 1),
    ],
)
def test_a_data_set_that_calls_its_joint_transforms(options, expected):
    dataset = Joint(None, **options)
    before = dict(vars(dataset))
    data = filled(dataset, generator())
    assert vars(dataset) == before
    (real, label), (synthetic, other) = data[11], data[-1]
    assert type(synthetic) is type(real)
    assert np.asarray(synthetic).min() >= (0.98 if options else 250)
    assert other == label == expected


@pytest.mark.parametrize("joint", [False, True])
def test_oxford_pets(joint, tmp_path):
    pets = tmp_path / "oxford-iiit-pet"
    (pets / "images").mkdir(parents=True)
    (pets / "annotations").mkdir()
    names = [f"Abyssinian_{i}" for i in range(3)] + ["beagle_1"]
    for i, name in enumerate(names):
        Image.new("RGB", (20, 16)).save(pets / "images" / f"{name}.jpg")
        names[i] = f"{name} {1 + (i == 3)} {1 + (i == 3)} 1"
    (pets / "annotations" / "trainval.txt").write_text("\n".join(names))
    change = v2.Compose([v2.Resize((8, 10)), TO_FLOAT])
    dataset = OxfordIIITPet(tmp_path, **({"transforms": change} if joint else {"transform": change}))
    for known in (["Abyssinian", "Beagle"], [0, 1]):
        data = filled(dataset, generator(known))
        assert data.labels.tolist() == [known[i] for i in (0, 0, 0, 1, 1, 1)]
        image, label = data[-1]
        assert image.min() > 0.97
        assert data[0][0].max() == 0
        assert label == 1


def test_labels_from_before_or_after_the_target_transform():
    """A generator that was fitted on as_arrays(dataset) knows those after it."""

    class Known(Attributed):
        target_transform = staticmethod(lambda label: label + 10)

        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image, self.target_transform(label)

    for labels in (tensors().tensors[1], []):
        for known in ((0, 1), (10, 11)):
            data = filled(Known(labels), generator(known))
            assert data.labels.tolist() == [known[0]] * 9 + [known[1]] * 9
            assert data[-1][1] == data[11][1] == 11
        with pytest.raises(
            ValueError, match="before its `target_transform` and after it, such as (0|10) and"
        ):
            filled(Known(labels), generator((0, 1, 10, 11)))


def test_a_data_set_that_keeps_its_items():
    class Keeping(Attributed):
        kept = None

        def __getitem__(self, index):
            self.kept = self.kept or {}
            if index not in self.kept:
                self.kept[index] = super().__getitem__(index)
            return self.kept[index]

    for labels in ([], tensors().tensors[1]):
        dataset = Keeping(labels, lambda image: image / 255)
        for _ in range(2):
            assert filled(dataset, generator())[-1][0].min() >= 0.98


def test_a_data_set_that_changes_what_its_transform_returned():
    class Normalised(Attributed):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return (image - 0.5) / 0.5, label

    with pytest.raises(
        ValueError, match="item 0 of `dataset` is not what its `transform` returned: do the rest"
    ):
        filled(Normalised(tensors().tensors[1], lambda image: image / 255), generator())


def test_a_subset_with_a_transform_of_its_own():
    class Part(Subset):
        transform = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])])

        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return self.transform(image), label

        def __getitems__(self, indices):
            return [self[index] for index in indices]

    part = Part(tensors(), [0, 1, 9])
    data = filled(part, generator())
    assert "transform" not in vars(part)
    assert data[-1][0].min() > 0.95
    assert data[0][0].max() == -1


@pytest.mark.parametrize(
    "kind",
    [
        np.float32,
        np.int32,
        np.uint8,
        np.bool_,
        float,
        bool,
        str,
        lambda label: torch.tensor(label, dtype=torch.int32),
        lambda label: torch.tensor([label], dtype=torch.float32),
        lambda label: np.array([label], np.int16),
        lambda label: [label],
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_labels_keep_their_type(kind, before):
    """In any item: what a batch becomes goes by the label that stands first in it."""

    class Pairs(TensorDataset):
        target_transform = staticmethod(kind) if before else None

        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image, kind(int(label))

    dataset = Pairs(*tensors().tensors)
    if before:
        dataset.targets = dataset.tensors[1]
    known = [str(kind(0)), str(kind(1))] if kind is str else [0, 1]
    data = filled(dataset, generator(known), 1)
    for real, synthetic in ((0, 12), (11, 13)):
        label, other = data[real][1], data[synthetic][1]
        assert type(other) is type(label)
        assert np.array_equal(label, other)
        if isinstance(label, torch.Tensor | np.ndarray | np.generic):
            assert (other.dtype, other.shape) == (label.dtype, label.shape)
    changeable = isinstance(data[13][1], torch.Tensor | np.ndarray)
    if changeable:
        data[13][1].fill(5) if isinstance(data[13][1], np.ndarray) else data[13][1].fill_(5)
        assert data[13][1] == 1


class WithAttributes(TensorDataset):
    def __init__(self, **attributes):
        super().__init__(*tensors().tensors)
        vars(self).update(attributes)


@pytest.mark.parametrize(
    "value",
    [
        12,
        {0: 9, 1: 3},
        dict.fromkeys(range(12)),
        int,
        [0] * 5,
        "012345678901",
        None,
        [[0, 1]] * 12,
        [int] * 12,
    ],
)
@pytest.mark.parametrize("name", ["targets", "labels", "classes"])
def test_attributes_that_mean_something_else(name, value):
    data = filled(WithAttributes(**{name: value}), generator())
    assert data.labels.tolist() == [0] * 9 + [1] * 9
    assert data[-1][1] == 1


def test_attributes_that_raise_or_are_methods():
    class Raises(TensorDataset):
        @property
        def targets(self):
            raise RuntimeError("not loaded")

        classes = transform = targets

        def labels(self):
            return [0] * 12

    data = filled(Raises(*tensors().tensors), generator())
    assert data.labels.tolist() == [0] * 9 + [1] * 9


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray, lambda y: y.tolist()])
def test_labels_in_a_column(kind):
    column = kind(tensors().tensors[1][:, None])
    data = filled(WithAttributes(labels=column), generator())
    assert data.labels.tolist() == [0] * 9 + [1] * 9
    data = filled(tensors(labels=lambda y: y[:, None]), generator())
    assert data[-1][1].tolist() == [1]


def test_one_hot_labels_come_from_the_target_transform_or_not_at_all():
    def one_hot(label):
        return torch.nn.functional.one_hot(torch.as_tensor(label), 2).float()

    class Pairs(TensorDataset):
        target_transform = staticmethod(one_hot)

        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image, self.target_transform(label)

    data = filled(Pairs(*tensors().tensors), generator())
    assert data[-1][1].tolist() == [0.0, 1.0]
    with pytest.raises(
        ValueError, match=r"if it is one-hot, give `dataset` the index, label.argmax\(\), and call"
    ):
        filled(tensors(labels=lambda y: one_hot(y)), generator())
    with pytest.raises(ValueError, match="must have one label each, .* got Image"):
        filled([(Image.new("L", (8, 8)), Image.new("L", (8, 8)))], generator())


def test_classes_are_the_labels_of_the_generator_for_each_index():
    for classes in (["dog", "cat"], np.array(["dog", "cat", "eel"])):
        data = filled(tensors(), generator(["cat", "dog"]), classes=classes)
        assert data.labels.tolist() == ["dog"] * 9 + ["cat"] * 9
        assert data[-1][0].max() < 5
        assert data[-1][1] == 1
        assert data.classes is classes
    data = filled(Labelled([1] * 4 + [2] * 2, [1, 2, 3]), generator((1, 2, 3)), classes=[0, 1, 2])
    assert data.labels.tolist() == [1] * 4 + [2] * 4


@pytest.mark.parametrize(
    ("classes", "known", "message"),
    [
        ("cd", "cd", "`classes` must be the generator's label for each index of `dataset`, got 'cd'"),
        (5, [0, 1], "`classes` must be the generator's label for each index of `dataset`, got 5"),
        (["c"], ["c", "d"], "must be indices into its 1 entries, got 1"),
        (["c", "e"], ["c", "d"], r"Labels of `classes` must be among \['c', 'd'\], got 'e'"),
        (None, ["c", "d"], r"such as 0 may be indices of .* classes, \['c', 'd'\]: pass `classes`"),
        (["c", "d"], [0, 1], r"labels of the generator, \[0, 1\], got \['c', 'd'\]: leave it out"),
    ],
)
def test_wrong_classes(classes, known, message):
    with pytest.raises(ValueError, match=message):
        filled(tensors(), generator(list(known)), classes=classes)


@pytest.mark.parametrize("rgb", [False, True])
def test_medmnist(rgb, tmp_path):
    medmnist = pytest.importorskip("medmnist")
    arrays = {}
    for split in ("train", "val", "test"):
        n = medmnist.INFO["breastmnist"]["n_samples"][split]
        arrays[f"{split}_images"] = np.zeros((n, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n) < 9).astype(np.uint8)[:, None]
    np.savez(tmp_path / "breastmnist.npz", **arrays)
    for options in ({}, {"target_transform": lambda label: int(label[0])}, {"transform": v2.ToImage()}):
        dataset = medmnist.BreastMNIST("val", root=tmp_path, as_rgb=rgb, **options)
        data = filled(dataset, StripeGenerator([0, 1], (28, 28)))
        assert np.bincount(data.labels).tolist() == [69, 69]
        (image, label), (real, other) = data[-1], data[0]
        assert (type(image), type(label)) == (type(real), type(other))
        assert np.asarray(image).shape == np.asarray(real).shape
        assert np.asarray(image).min() >= 250
        if isinstance(label, np.ndarray):
            assert (label.dtype, label.shape) == (other.dtype, other.shape)
        assert label == other == 1


def rows(transform=None, **columns):
    """A data set of the package `datasets`, of dark images."""
    datasets = pytest.importorskip("datasets")
    columns = {"image": [Image.new("RGB", (10, 8))] * 5, "label": [0, 0, 0, 1, 1], **columns}
    features = {name: datasets.Value("int64") for name in columns}
    features |= {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    dataset = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    return dataset if transform is None else dataset.with_transform(transform)


def test_rows_of_dicts():
    for dataset in (
        rows(),
        rows().with_format("torch"),
        rows().with_format("numpy"),
        Subset(rows(), range(5)),
    ):
        data = filled(dataset, generator())
        assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
        real, synthetic = data[4], data[-1]
        assert list(synthetic) == ["image", "label"]
        assert type(synthetic["label"]) is type(real["label"])
        assert synthetic["label"] == real["label"] == 1
        assert np.asarray(synthetic["image"]).shape == np.asarray(real["image"]).shape
        assert np.asarray(synthetic["image"]).min() >= 250
    names = rows().features["label"].names
    assert filled(rows(), generator(["cat", "dog"]), classes=names).labels.tolist()[-1] == "dog"


def test_rows_with_a_transform():
    seen = []

    def transform(batch):
        seen.extend(type(batch["image"][0]).__mro__[-2] for _ in batch["label"])
        images = [v2.functional.pil_to_tensor(image) / 255 for image in batch["image"]]
        return {"pixel_values": torch.stack(images), "labels": torch.tensor(batch["label"])}

    in_place = rows()
    in_place.set_transform(transform)
    wider = rows(number=[1, 2, 3, 4, 5]).with_transform(transform)
    for dataset in (rows(transform), in_place, wider, Subset(rows(transform), [4, 0, 1])):
        data = filled(dataset, generator())
        synthetic = data[-1]
        assert list(synthetic) == ["pixel_values", "labels"]
        assert synthetic["labels"] == torch.tensor(1)
        assert synthetic["pixel_values"].min() > 0.97
        assert dataset[0]["pixel_values"].max() == 0
        batch = next(iter(DataLoader(data, batch_size=len(data))))
        assert batch["pixel_values"].shape == (len(data), 3, 8, 10)
        assert batch["labels"].tolist() == data.labels.tolist()
    assert len(set(seen)) == 1
    varied = filled(rows(transform), Brighter([0, 1], (8, 10, 3)), counts=1, mode="vary", strength=51)
    assert varied[-1]["pixel_values"].unique().tolist() == pytest.approx([0.2])


class Dicts(TensorDataset):
    """Items are dicts, some of more than an image and a label; its transform may take all of a dict."""

    def __init__(self, transform=None, whole=False, **others):
        super().__init__(*tensors().tensors)
        self.transform, self.whole, self.others = transform, whole, others

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        if self.whole:
            return self.transform({"image": image, "label": label, **self.others})
        image = image if self.transform is None else self.transform(image)
        return {"label": int(label), "x": image, **self.others}


def test_dicts_of_an_image_and_a_label():
    for transform in (None, v2.ToDtype(torch.float32, scale=True)):
        data = filled(Dicts(transform), generator())
        assert data[-1]["label"] == data[11]["label"] == 1
        assert data[-1]["x"].dtype == data[0]["x"].dtype
        assert data[-1]["x"].float().mean() > 0.97
    data = filled(Dicts(v2.ToDtype({torch.Tensor: torch.float32}, scale=True), whole=True), generator())
    assert data[-1]["image"].min() > 0.97
    assert data[-1]["label"] == 1


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Dicts(box=torch.zeros(4)), r"got dict of \['label', 'x', 'box'\] for item 0"),
        (Dicts(mask=torch.zeros(8, 10)), r"got dict of \['label', 'x', 'mask'\] for item 0"),
        (
            Dicts(lambda d: {"image": d["image"], "label": d["label"]}, whole=True, mask=torch.zeros(8, 10)),
            r"The `transform` of `dataset` must get one image, .* got 2 for item 0, in \(dict\)",
        ),
        ([(torch.zeros(3, 8, 10), 0, 1)] * 2, "got tuple of 3 for item 0"),
    ],
)
def test_items_of_more_than_an_image_and_a_label(dataset, message):
    with pytest.raises(ValueError, match=message):
        filled(dataset, generator())


@pytest.mark.parametrize(
    "index",
    [[0, -1], (0, 17), np.array([0, 17]), torch.tensor([0, 17]), slice(0, 18, 17), np.arange(18) % 17 == 0],
)
def test_several_indices_give_a_batch(index):
    data = filled(tensors(), generator())
    images, labels = data[index]
    assert labels.tolist() == [0, 1]
    assert images.shape == (2, 3, 8, 10)
    assert torch.equal(images[1], data[17][0])
    loader = DataLoader(data, sampler=BatchSampler(range(18), 6, drop_last=False), batch_size=None)
    assert [tuple(images.shape) for images, _ in loader] == [(6, 3, 8, 10)] * 3
    assert data[torch.tensor([17])][0].shape == (1, 3, 8, 10)


@pytest.mark.parametrize("index", [-1, 17, np.int64(17), np.uint8(17), torch.tensor(17), np.array(-1)])
def test_an_index_of_any_integer_type(index):
    data = filled(tensors(), generator())
    assert data[index][0].shape == (3, 8, 10)
    assert data[index][1] == 1


@pytest.mark.parametrize("index", [[0, 18], "image", 1.5, [], None, slice(0, 0), [True]])
def test_what_is_no_index(index):
    data = filled(tensors(), generator())
    with pytest.raises(IndexError, match="[Aa]n index must|index 18"):
        data[index]
    pictures = filled(Attributed([], None, v2.functional.to_pil_image), generator())
    with pytest.raises(TypeError, match="give `dataset` a transform to Tensors"):
        pictures[[0, 1]]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(tensors())


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (DataLoader(tensors()), "got DataLoader: pass its `dataset`"),
        (Stream(), "items by index, got Stream, .* use GANAugment"),
        (iter([]), "items by index, got list_iterator"),
        (5, "must have a length and an item, got int"),
        ({"train": tensors()}, "must have a length and an item, got dict"),
        (ChainDataset([Stream()]), "items by index, got ChainDataset"),
    ],
)
def test_what_is_no_data_set_of_indexed_items(dataset, message):
    with pytest.raises(ValueError, match=message):
        filled(dataset, generator())


@pytest.mark.parametrize("careful", [True, False])
def test_a_transform_of_albumentations(careful):
    class Arrays:
        def __init__(self, transform):
            self.transform = transform

        def __len__(self):
            return 12

        def __getitem__(self, index):
            image = np.zeros((8, 10, 3), np.uint8)
            if self.transform is not None or not careful:
                image = self.transform(image=image)["image"]
            return image, int(index >= 9)

    data = filled(Arrays(A.Compose([A.InvertImg(p=1), ToTensorV2()])), generator())
    assert [int(data[i][0].float().mean().round(decimals=-1)) for i in (0, -1)] == [260, 0]
    assert data[0][0].shape == data[-1][0].shape == (3, 8, 10)


def test_a_data_set_that_does_more_with_what_its_transform_returns(image_folder):
    class Batched(ImageFolder):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image.contiguous(), label  # which no PIL image has

    folder = Batched(image_folder, v2.Compose([v2.Resize((8, 10)), v2.PILToTensor()]))
    data = filled(folder, generator(["cat", "dog"]), 1)
    assert data[-1][0].shape == data[0][0].shape == (3, 8, 10)


def test_a_data_set_that_kept_some_items_before():
    class Cached(Dataset):
        def __init__(self):
            self.transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
            self.kept = {}

        def __len__(self):
            return 12

        def __getitem__(self, index):
            if index not in self.kept:
                level = 20 * index + 10
                self.kept[index] = self.transform(Image.new("L", (8, 8), level)), index % 2
            return self.kept[index]

    X = np.repeat(np.arange(10, 250, 20, dtype=np.uint8), 64).reshape(12, 8, 8)
    gan = ConditionalGAN(steps=1, random_state=0).fit(X, np.arange(12) % 2)
    data = Cached()
    data[0], data[3]  # as a user does who looks at some first
    augmented = filled(data, gan, counts=3, random_state=0)
    for image, _ in (augmented[0], augmented[-1], augmented[-4]):
        assert (image.dtype, tuple(image.shape)) == (torch.float32, (1, 8, 8))
        assert 0 <= image.min() <= image.max() <= 1


def test_names_of_classes_are_those_before_the_target_transform(tmp_path):
    for i, name in enumerate("abc" * 3):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("L", (8, 8), 20 * i + 10).save(tmp_path / name / f"{i}.png")
    X, y = as_arrays(tmp_path)
    gan = ConditionalGAN(steps=1, random_state=0).fit(X, np.array(list("abc"))[y])
    folder = ImageFolder(tmp_path, transform=v2.Grayscale(), target_transform=lambda y: int(y == 2))
    augmented = filled(folder, gan, counts=1, random_state=0)
    assert [label for _, label in (augmented[-3], augmented[-2], augmented[-1])] == [0, 0, 1]
