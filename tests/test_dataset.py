from __future__ import annotations

import pickle

import albumentations as A
import numpy as np
import pytest
import torch
from conftest import StripeGenerator
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)
from torchvision import tv_tensors
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from ganaug import AugmentedDataset, ConditionalGAN, HDF5Dataset, write_hdf5
from ganaug.selection.candidates import Candidate
from ganaug.selection.recommend import Recommendation

N_REAL = [9, 3]


def tensors(kind=lambda X: X, labels=lambda y: y):
    """Dark images of two classes, nine and three."""
    X = torch.zeros(sum(N_REAL), 3, 8, 10, dtype=torch.uint8)
    return TensorDataset(kind(X), labels(torch.arange(2).repeat_interleave(torch.tensor(N_REAL))))


def generator(classes=(0, 1)):
    return StripeGenerator(classes, (8, 10, 3))


def test_real_items_first_then_what_lacks_to_balance():
    real = tensors()
    data = AugmentedDataset(real, generator(), random_state=0)
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
    ("counts", "n_new"),
    [(4, [4, 4]), ({1: 7}, [0, 7]), ("balance", [0, 6]), (0, [0, 0]), ({0: 0}, [0, 0])],
)
def test_counts(counts, n_new):
    data = AugmentedDataset(tensors(), generator(), counts)
    assert np.bincount(data.labels[data.synthetic], minlength=2).tolist() == n_new
    assert len(list(data)) == sum(N_REAL) + sum(n_new)


def test_weights_draw_classes_evenly_and_synthetic_rows_by_their_share():
    for share, expected in ((None, [0.0, 6 / 9]), (0.25, [0.0, 0.25]), ({1: 0.9}, [0.0, 0.9])):
        data = AugmentedDataset(tensors(), generator(), synthetic_share=share)
        weight = data.sample_weight / data.sample_weight.sum()
        for label in (0, 1):
            assert weight[data.labels == label].sum() == pytest.approx(0.5)
            synthetic = weight[(data.labels == label) & data.synthetic].sum()
            assert synthetic == pytest.approx(expected[label] / 2)
    loader = DataLoader(data, batch_size=4, sampler=WeightedRandomSampler(data.sample_weight, 40))
    assert sum(len(labels) for _, labels in loader) == 40


def test_as_recommended():
    advice = Recommendation(np.array([0, 1]), np.array(N_REAL), Candidate("2x", 0.8), [], "", 1.0)
    data = AugmentedDataset(tensors(), generator(), advice)
    assert np.bincount(data.labels[data.synthetic]).tolist() == [18, 6]
    weight = data.sample_weight / data.sample_weight.sum()
    assert weight[data.synthetic].sum() == pytest.approx(0.8)


@pytest.mark.parametrize("kind", [lambda X: X, lambda X: X.float() / 255, tv_tensors.Image])
def test_synthetic_items_are_of_the_kind_of_real_ones(kind):
    class Pairs(TensorDataset):
        def __getitem__(self, i):
            image, label = super().__getitem__(i)
            return kind(image), int(label)

    data = AugmentedDataset(Pairs(*tensors().tensors), generator())
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
    data = AugmentedDataset(folder, generator(classes), 3)
    assert data.labels.tolist() == [classes[i] for i in (0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1)]
    image, label = data[10]
    assert isinstance(image, tv_tensors.Image)
    assert image.min() > 0.95
    assert label == 11
    assert AugmentedDataset(ImageFolder(image_folder), generator(classes), 0)[0][0].size == (12, 10)


def test_a_subset_shares_the_transforms_of_what_it_is_of(image_folder):
    transform = v2.Compose(
        [v2.Resize((8, 10)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.25])]
    )
    folder = ImageFolder(image_folder, transform, target_transform=lambda label: label + 10)
    for part in (Subset(folder, [1, 4, 5]), Subset(Subset(folder, [0, 1, 4, 5]), [1, 2, 3])):
        data = AugmentedDataset(part, generator(["cat", "dog"]))
        assert data.labels.tolist() == ["cat", "dog", "dog", "cat"]
        assert data[3][0].max() < -1.9  # black, normalised
        assert data[3][1] == data[0][1] == 10


def test_labels_of_items_are_not_changed_again():
    class Items(TensorDataset):
        target_transform = staticmethod(lambda label: label + 10)

        def __getitem__(self, i):
            image, label = super().__getitem__(i)
            return image, self.target_transform(int(label))

    data = AugmentedDataset(Items(*tensors().tensors), generator((10, 11)))
    assert data[-1][1] == 11


def test_grey_and_flat_images(image_folder):
    folder = ImageFolder(image_folder, v2.Compose([v2.Resize((8, 10)), v2.PILToTensor()]))
    data = AugmentedDataset(folder, StripeGenerator([0, 1], (8, 10)), 1)
    assert data[-1][0].shape == data[0][0].shape == (3, 8, 10)
    flat = TensorDataset(torch.zeros(12, 8, 10, dtype=torch.uint8), tensors().tensors[1])
    assert AugmentedDataset(flat, StripeGenerator([0, 1], (8, 10)))[-1][0].shape == (8, 10)


def test_a_file_of_synthetic_images(tmp_path):
    write_hdf5(generator((1, 2)), tmp_path / "x.h5", {1: 4, 2: 2}, random_state=0)
    file = HDF5Dataset(tmp_path / "x.h5", transform=lambda image: image.float() / 255)
    data = AugmentedDataset(file, generator((0, 1, 2)))
    assert sorted(data.labels.tolist()) == [1] * 4 + [2] * 4
    image, label = data[-1]
    assert image.dtype == torch.float32
    assert file.classes[label] == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_a_file_are_those_of_the_generator(dtype, tmp_path):
    """Not its class indices, whatever the integers."""
    write_hdf5(generator(np.array([1, 2, 3], dtype)), tmp_path / "x.h5", {2: 4, 3: 2}, random_state=0)
    data = AugmentedDataset(HDF5Dataset(tmp_path / "x.h5"), generator(np.array([1, 2, 3], dtype)))
    assert sorted(data.labels.tolist()) == [2] * 4 + [3] * 4
    levels = [float(data[i][0].float().mean()) for i in range(len(data))]
    assert levels == pytest.approx([125 * (label - 1) for label in data.labels.tolist()], abs=5)


def test_global_random_state_is_left_alone():
    class Random(TensorDataset):
        def __getitem__(self, i):
            torch.rand(1)
            return super().__getitem__(i)

    before = torch.get_rng_state()
    AugmentedDataset(Random(*tensors().tensors), generator())
    assert torch.equal(before, torch.get_rng_state())


def test_in_workers_splits_and_concatenations():
    data = AugmentedDataset(tensors(), generator())
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
            "images of uint8 or floats, got torch.int64: convert them",
        ),
        ({"counts": "many"}, "`counts` must be 'balance', an int, a dict or a Recommendation, got 'many'"),
        (
            {"dataset": tensors(labels=torch.nn.functional.one_hot)},
            r"one label each, got one of shape \(2,\)",
        ),
        ({"counts": {1: 2.5}}, "got 2.5"),
        ({"counts": {5: 1}}, r"among \[0, 1, 2\], got 5"),
        ({"counts": {2: 1}}, "asks for class 2, of which `dataset` has no image"),
        ({"synthetic_share": 1.5}, r"`synthetic_share` must lie in \[0, 1\] .* got 1.5"),
        ({"synthetic_share": {0: "a"}}, "got 'a'"),
        ({"gan": StripeGenerator([0, 1], (9, 9))}, r"Tensor \(3, 8, 10\) uint8, got Tensor \(1, 9, 9\)"),
        ({"gan": StripeGenerator([1, 2])}, r"Labels of `dataset` must be among \[1, 2\], got 0"),
        ({"dataset": [(np.zeros((8, 10, 3)), 0), (np.zeros((8, 10, 3)), 1)], "counts": 1}, "got ndarray"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        AugmentedDataset(**{"dataset": tensors(), "gan": generator((0, 1, 2)), **options})


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
    augmented = AugmentedDataset(
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
    data = AugmentedDataset(TensorDataset(X, y), Brighter([0, 1]), counts=2, mode="vary", strength=51)
    assert data.source[6:].tolist() == [0, 2, 1, 3]
    assert data[-1][0].dtype == torch.float32
    assert data[-1][0].unique().tolist() == pytest.approx([0.4])
    assert (
        AugmentedDataset(TensorDataset(X, y), StripeGenerator([0, 1]), counts=2).source[6:].tolist()
        == [-1] * 4
    )


def test_a_gan_varies_a_data_set(fitted, stripes):
    X, y = torch.from_numpy(stripes[0])[:, None], torch.from_numpy(stripes[1])
    data = AugmentedDataset(TensorDataset(X, y), fitted, counts="balance", mode="vary", random_state=0)
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
    data = AugmentedDataset(Labelled(targets, [1, 2, 3]), generator((1, 2, 3)))
    assert data.labels.tolist() == [1] * 4 + [3] * 4
    assert data[-1][1] == targets[-1]
    assert data[-1][0].min() >= 250


def test_labels_that_may_be_either():
    with pytest.raises(
        ValueError, match=r"such as 1 may be classes of the generator, \[1, 2, 3\], or indices"
    ):
        AugmentedDataset(Labelled([1] * 4 + [2] * 2, [1, 2, 3]), generator((1, 2, 3)))


def test_a_generator_that_was_fitted_on_the_indices_of_a_file(tmp_path):
    write_hdf5(generator((8, 9)), tmp_path / "x.h5", {8: 4, 9: 2}, random_state=0)
    data = AugmentedDataset(HDF5Dataset(tmp_path / "x.h5"), generator((0, 1)))
    assert data.labels.tolist().count(1) == 4
    assert data[-1][0].min() >= 250
    assert data[-1][1] == 1


def test_labels_have_the_shape_of_real_ones():
    data = AugmentedDataset(tensors(labels=lambda y: y[:, None].float()), generator())
    assert default_collate([data[0], data[-1]])[1].tolist() == [[0.0], [1.0]]


def test_around_another():
    inner = AugmentedDataset(Labelled([0] * 6 + [1] * 4, ["cat", "dog"]), generator(("cat", "dog")))
    outer = AugmentedDataset(inner, generator(("cat", "dog")), 5)
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
    data = AugmentedDataset(Attributed(labels, label=kind), generator())
    assert data.labels.tolist() == [data[i][1] for i in range(len(data))] == [0] * 9 + [1] * 9


@pytest.mark.parametrize(
    "kind", [torch.as_tensor, tv_tensors.Image, lambda image: image.permute(1, 2, 0).numpy()]
)
def test_a_transform_gets_what_it_gets_from_the_data_set(kind):
    seen = []

    def transform(image):
        seen.append((type(image), image.shape, image.dtype))
        return torch.as_tensor(image) / 255

    data = AugmentedDataset(Attributed(tensors().tensors[1], transform, kind), generator())
    assert data[0][0].shape == data[-1][0].shape
    assert len(set(seen)) == 1


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

    data = AugmentedDataset(Arrays(A.Compose([A.InvertImg(p=1), A.ToTensorV2()])), generator())
    assert [int(data[i][0].float().mean().round(decimals=-1)) for i in (0, -1)] == [260, 0]
    assert data[0][0].shape == data[-1][0].shape == (3, 8, 10)


def test_a_data_set_that_does_more_with_what_its_transform_returns(image_folder):
    class Batched(ImageFolder):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image.contiguous(), label  # which no PIL image has

    folder = Batched(image_folder, v2.Compose([v2.Resize((8, 10)), v2.PILToTensor()]))
    data = AugmentedDataset(folder, generator(["cat", "dog"]), 1)
    assert data[-1][0].shape == data[0][0].shape == (3, 8, 10)
