from __future__ import annotations

import copy
import pickle
import re
import shutil
import struct
import weakref
import zlib
from typing import Any, ClassVar

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from conftest import StripeGenerator
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torchvision.datasets import FakeData, ImageFolder

from ganaug import GANAugment, HDF5Dataset, write_hdf5
from ganaug.io.arrays import as_arrays


class Items(Dataset):
    def __init__(self, items, classes=None):
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def test_arrays_come_back_as_they_are():
    X, y = np.zeros((3, 8, 8, 1), np.uint8), ["b", "a", "b"]
    out_X, out_y = as_arrays((X, y))
    assert out_X is X
    assert out_y.tolist() == y


def test_tensors_stay_tensors():
    X, y = as_arrays((torch.zeros(2, 3, 8, 8), torch.tensor([1, 0])))
    assert isinstance(X, torch.Tensor)
    assert y.tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(4, 8, 10), (4, 8, 10, 3)])
@pytest.mark.parametrize("tensor", [False, True])
def test_resize_keeps_kind_and_layout(shape, tensor):
    X = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    source = (
        torch.from_numpy(X).permute(0, 3, 1, 2)
        if tensor and X.ndim == 4
        else torch.from_numpy(X)
        if tensor
        else X
    )
    out, _ = as_arrays((source, [0, 1, 0, 1]), size=(16, 9))
    assert isinstance(out, type(source))
    assert out.dtype == source.dtype
    sides = out.shape[-2:] if tensor or X.ndim == 3 else out.shape[1:3]
    assert tuple(sides) == (16, 9)
    assert abs(float(out.astype(float).mean() if not tensor else out.float().mean()) - X.mean()) < 4


def test_folder(image_folder):
    arrays = as_arrays(image_folder)
    X, y = arrays
    assert X.shape == (6, 10, 12, 3)
    assert X.dtype == np.uint8
    assert y.dtype == np.int64
    assert arrays.class_names == ["cat", "dog"]
    expected = ImageFolder(image_folder)
    assert y.tolist() == expected.targets
    assert X[4, 0, 0].tolist() == [201] * 3


def test_colours_of_16_bits_are_refused(image_folder):
    """PIL would drop the lower half of each."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = np.zeros((10, 1 + 12 * 6), np.uint8)
    header = struct.pack(">IIBBBBB", 12, 10, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    (image_folder / "cat" / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    with pytest.raises(
        ValueError,
        match=r"cat/deep\.png has more than 8 bits a channel \(PIL mode I;16\).* pass mode='L' \(--mode L\)",
    ):
        as_arrays(image_folder)
    assert as_arrays(image_folder, mode="RGB")[0].shape == (7, 10, 12, 3)


@pytest.mark.parametrize(("suffix", "mode"), [("png", "I;16"), ("tif", "I;16"), ("pgm", "I")])
def test_grey_of_16_bits_is_scaled(suffix, mode, image_folder):
    values = np.arange(120).reshape(10, 12) * 257 * 2
    path = image_folder / "cat" / f"deep.{suffix}"
    Image.fromarray(values.astype(np.uint16)).save(path)
    with Image.open(path) as image:
        assert image.mode == mode
        deep = image.copy()
    X, _ = as_arrays(image_folder, mode="L")
    assert X.shape == (7, 10, 12, 1)
    assert np.array_equal(X[3, :, :, 0], values // 257)
    items = [(deep, 0), (Image.new("RGB", (12, 10), "white"), 1)]
    with pytest.raises(ValueError, match="item 0 has more than 8 bits a channel"):
        as_arrays(Items(items))
    assert np.array_equal(as_arrays(Items(items), mode="L")[0][0, :, :, 0], values // 257)


def test_pixels_without_a_known_range_are_named(image_folder):
    Image.fromarray(np.full((10, 12), 0.5, np.float32)).save(image_folder / "cat" / "deep.tif")
    with pytest.raises(
        ValueError, match=r"deep\.tif can't be read .* float32 from 0\.5 to 0\.5 are not of 8 or 16"
    ):
        as_arrays(image_folder, mode="L")


@pytest.mark.parametrize("source", [(np.zeros((2, 8, 8), np.uint8), [0, 1]), [(torch.zeros(1, 8, 8), 0)] * 3])
def test_only_pil_images_have_a_mode(source):
    with pytest.raises(
        ValueError, match=r"`mode` \(--mode\) converts PIL images and image files, got 'L' for"
    ):
        as_arrays(source, mode="L")
    with pytest.raises(ValueError, match="`mode` must be one of"):
        as_arrays(source, mode="P")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_photographs_are_turned_as_they_are_seen(suffix, image_folder):
    for path in image_folder.rglob("*.png"):
        path.unlink()
    seen = np.zeros((10, 12, 3), np.uint8)
    seen[:5, :6] = 250
    turned = {1: seen, 3: seen[::-1, ::-1], 6: np.rot90(seen), 8: np.rot90(seen, -1)}
    exif = Image.Exif()
    for orientation, pixels in turned.items():
        exif[ExifTags.Base.Orientation] = orientation
        for name in ("cat", "dog"):
            path = image_folder / name / f"{orientation}.{suffix}"
            Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=exif, quality=100)
    X, _ = as_arrays(image_folder)
    assert X.shape == (8, 10, 12, 3)
    assert (np.abs(X.astype(int) - seen) < 30).mean() > 0.9


def test_images_in_linked_folders_count(image_folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(image_folder / "cat" / "0.png", elsewhere)
    (image_folder / "cat" / "more").symlink_to(elsewhere)
    assert len(as_arrays(image_folder)[0]) == 7


def test_grey_folder_has_one_channel(image_folder):
    for path in image_folder.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert as_arrays(image_folder)[0].shape == (6, 10, 12, 1)


def test_alpha_is_kept_where_all_have_it(image_folder):
    paths = sorted(image_folder.rglob("*.png"))
    Image.open(paths[0]).convert("RGBA").save(paths[0])
    Image.open(paths[1]).convert("LA").save(paths[1])
    Image.open(paths[2]).convert("P").save(paths[2])
    with pytest.warns(
        UserWarning, match=r"2 of 6 images have transparency .* read as RGB\. Pass mode='RGBA'"
    ):
        assert as_arrays(image_folder)[0].shape == (6, 10, 12, 3)
    assert as_arrays(image_folder, mode="RGBA")[0].shape == (6, 10, 12, 4)
    for path in paths:
        Image.open(path).convert("RGBA").save(path)
    assert as_arrays(image_folder)[0].shape == (6, 10, 12, 4)


def test_folder_of_other_sizes(image_folder):
    Image.new("RGB", (20, 20)).save(image_folder / "dog" / "big.png")
    with pytest.raises(ValueError, match=r"0\.png is 10 x 12.*big\.png is 20 x 20.*Pass `size`"):
        as_arrays(image_folder)
    assert as_arrays(image_folder, size=16)[0].shape == (7, 16, 16, 3)


def test_unreadable_image_is_named(image_folder):
    (image_folder / "cat" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"broken\.png can't be read as an image"):
        as_arrays(image_folder)


def test_truncated_image_is_named(image_folder):
    path = image_folder / "cat" / "0.png"
    Image.effect_noise((12, 10), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:120])
    with pytest.raises(ValueError, match=r"0\.png can't be read as an image"):
        as_arrays(image_folder)


def test_an_image_that_claims_to_be_huge_is_named(image_folder, monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 4)
    with pytest.raises(ValueError, match=r"can't be read as an image"):
        as_arrays(image_folder)


def test_grey_tensors_of_a_data_set_are_resized():
    data = [(torch.full((10, 12), 7, dtype=torch.uint8), i % 2) for i in range(4)]
    X, _ = as_arrays(data, size=(8, 9))
    assert X.shape == (4, 8, 9)
    assert (X == 7).all()


def test_empty_folders(tmp_path, image_folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no image was found"):
        as_arrays(tmp_path / "empty")
    (image_folder / "bird").mkdir()
    with pytest.raises(ValueError, match="bird holds no image"):
        as_arrays(image_folder)


def test_datasets():
    X, y = as_arrays(FakeData(6, (3, 9, 11), num_classes=2))
    assert X.shape == (6, 9, 11, 3)
    assert X.dtype == np.uint8
    tensors = TensorDataset(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 1, 0]))
    X, y = as_arrays(tensors)
    assert torch.equal(X, tensors.tensors[0])
    assert y.tolist() == [0, 1, 1, 0]
    arrays = as_arrays(
        Items([(np.zeros((8, 8), np.uint8), "x"), (np.ones((8, 8), np.uint8), "y")], ["p", "q"])
    )
    assert arrays[0].shape == (2, 8, 8)
    assert arrays.class_names == ["p", "q"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "empty"),
        ([torch.zeros(1, 8, 8)], r"Item 0 .* must be \(image, label\)"),
        ([("path.png", 0)], "Item 0 .* got str"),
        ([(torch.zeros(1, 8, 8), 0), (torch.zeros(1, 8, 9), 1)], "item 1 is 8 x 9.*Pass `size`"),
        ([(np.zeros((8, 8)), 0), (torch.zeros(1, 8, 9), 1)], "all be of one kind"),
        ([(np.zeros((8, 8)), None)], "missing labels, the first at row 0"),
    ],
)
def test_bad_datasets(items, message):
    with pytest.raises(ValueError, match=message):
        as_arrays(Items(items))


def test_npz(tmp_path):
    X, y = np.zeros((2, 8, 8), np.uint8), np.array([0, 1])
    np.savez(tmp_path / "a.npz", X=X, y=y)
    assert as_arrays(tmp_path / "a.npz")[0].shape == (2, 8, 8)
    np.savez(tmp_path / "b.npz", X_train=X, y_train=y, X_test=X[:1], y_test=y[:1])
    assert as_arrays(tmp_path / "b.npz")[0].shape == (2, 8, 8)
    np.savez(tmp_path / "c.npz", images=X)
    with pytest.raises(ValueError, match=r"must hold arrays `X` and `y`.*\['images'\]"):
        as_arrays(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", X=np.array([{}], dtype=object), y=y)
    with pytest.raises(ValueError, match=r"d\.npz can't be read"):
        as_arrays(tmp_path / "d.npz")


def test_a_data_set_may_have_keys():
    class Stored(Items):
        keys: ClassVar = ["a", "b"]

    assert len(as_arrays(Stored([(np.zeros((8, 8), np.uint8), 0), (np.ones((8, 8), np.uint8), 1)]))[0]) == 2


@pytest.mark.parametrize("source", [{"X": [[1]], "y": [0]}, pd.DataFrame({"a": [1, 2]})])
def test_what_is_no_data_set_is_refused(source):
    with pytest.raises(TypeError, match="`source` must be"):
        as_arrays(source)


@pytest.mark.parametrize("dtype", [np.uint16, bool])
def test_only_pixels_are_resized(dtype):
    with pytest.raises(ValueError, match=f"uint8 or floats to be resized, got {np.dtype(dtype)}"):
        as_arrays((np.zeros((4, 10, 12), dtype), [0, 1, 0, 1]), size=8)


def test_which_are_synthetic_is_passed_on(tmp_path):
    path = write_hdf5(StripeGenerator((0, 1), (8, 10, 3)), tmp_path / "x.h5", 2)
    for source in (as_arrays(path), HDF5Dataset(path)):
        assert as_arrays(source).synthetic.tolist() == [True] * 4


def test_bad_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        as_arrays(tmp_path / "nowhere")
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"x\.csv: expected a folder"):
        as_arrays(tmp_path / "x.csv")
    (tmp_path / "x.h5").write_text("1,2")
    with pytest.raises(ValueError, match=r"x\.h5 is damaged, or not a data set"):
        as_arrays(tmp_path / "x.h5")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["images"] = np.zeros((2, 8, 8))
    with pytest.raises(ValueError, match=r"y\.h5 is damaged, or not a data set"):
        as_arrays(tmp_path / "y.h5")
    with pytest.raises(TypeError, match="must be .*, got int"):
        as_arrays(3)


@pytest.mark.parametrize("size", [0, (8,), (8, 8, 8), "8", (8.0, 8)])
def test_bad_sizes(size):
    with pytest.raises(ValueError, match="`size` must be"):
        as_arrays((np.zeros((2, 8, 8), np.uint8), [0, 1]), size=size)


def test_a_sparse_matrix_is_refused_by_name():
    with pytest.raises(ValueError, match="`X` must be dense, got .*csr_matrix"):
        as_arrays((scipy.sparse.csr_matrix(np.eye(4)), [0, 0, 1, 1]))


def test_numbers_beside_strings_in_a_list_stay_numbers():
    X, _ = as_arrays(([[0, "a"], [1.5, "b"]], [0, 1]))
    assert X.tolist() == [[0, "a"], [1.5, "b"]]


def test_resized_floats_stay_in_range():
    X = as_arrays((np.ones((5, 28, 28), np.float32), [0, 1, 0, 1, 0]), size=17)[0]
    assert X.max() == 1


def test_the_pair_is_pickled_with_its_metadata(image_folder):
    pair = as_arrays(image_folder)
    for again in (pickle.loads(pickle.dumps(pair)), copy.deepcopy(pair)):
        assert np.array_equal(again[0], pair[0])
        assert again.class_names == ["cat", "dog"]
        assert not again.synthetic.any()


def test_photographs_are_resized_one_by_one():
    class Photographs:
        alive: ClassVar[list[Any]] = []

        def __len__(self):
            return 10

        def __getitem__(self, i):
            assert sum(reference() is not None for reference in self.alive) <= 2
            image = Image.new(["RGB", "L", "P", "RGBA"][i % 4], (100, 80), i)
            self.alive.append(weakref.ref(image))
            return image, i % 2

    with pytest.warns(UserWarning, match="2 of 10 images have transparency"):
        X, _ = as_arrays(Photographs(), size=8)
    assert X.shape == (10, 8, 8, 3)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([(torch.zeros(1, 8, 8), 0), (torch.zeros(3, 8, 8), 1)], r"item 1 is torch.float32 \(3, 8, 8\)"),
        ([(np.zeros((8, 8)), 0), (np.zeros((8, 8, 3)), 1)], "differ in kind: item 0 is float64"),
        (
            [(torch.zeros(1, 8, 8), torch.tensor([0, 1]))],
            r"have one label, got an array of shape \(2,\)",
        ),
    ],
)
def test_items_of_several_kinds(items, message):
    with pytest.raises(ValueError, match=message):
        as_arrays(Items(items))


@pytest.mark.parametrize(
    ("X", "y"), [(np.zeros((2, 8, 8), np.uint8), np.zeros(3)), (np.zeros(()), np.zeros(()))]
)
def test_errors_of_an_npz_file_name_it(X, y, tmp_path):
    np.savez(tmp_path / "data.npz", X=X, y=y)
    with pytest.raises(ValueError, match="data.npz"):
        as_arrays(tmp_path / "data.npz")


def test_errors_of_a_folder_name_a_file_or_it(image_folder):
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(image_folder / "cat" / "deep.png")
    with pytest.raises(ValueError, match=re.escape(str(image_folder))):
        as_arrays(image_folder)


def test_whatever_an_image_reader_raises_names_the_file(image_folder, monkeypatch):
    def verify(image):
        raise IndexError("list index out of range")

    monkeypatch.setattr(PngImageFile, "verify", verify)
    with pytest.raises(ValueError, match="0.png can't be read as an image"):
        as_arrays(image_folder)


def test_lists_of_images_of_several_sizes():
    arrays = [np.full((8, 8), 3, np.uint8), np.full((9, 8), 3, np.uint8)]
    with pytest.raises(
        ValueError, match=r"Images differ in size: item 0 is 8 x 8, item 1 is 9 x 8\. Pass `size`"
    ):
        as_arrays((arrays, [0, 1]))
    assert (as_arrays((arrays, [0, 1]), size=8)[0] == np.full((2, 8, 8), 3)).all()
    images = [Image.new("RGB", (8, 10)), Image.new("L", (9, 10))]
    with pytest.raises(ValueError, match="item 0 is 10 x 8, item 1 is 10 x 9"):
        as_arrays((images, [0, 1]))
    assert as_arrays((images, [0, 1]), size=8)[0].shape == (2, 8, 8, 3)
    assert as_arrays((images, [0, 1]), size=8, mode="L")[0].shape == (2, 8, 8, 1)
    tensors = [torch.zeros(3, 8, 8), torch.zeros(3, 9, 8)]
    assert as_arrays((tensors, [0, 1]), size=8)[0].shape == (2, 3, 8, 8)
    assert as_arrays((tensors[:1] * 2, [0, 1]))[0].shape == (2, 3, 8, 8)


def test_a_list_of_two_items_is_no_pair_of_arrays():
    X, y = as_arrays([(np.zeros((8, 8), np.uint8), "a"), (np.ones((8, 8), np.uint8), "b")])
    assert X.shape == (2, 8, 8)
    assert y.tolist() == ["a", "b"]


def test_what_has_no_index_is_refused_in_words():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(torch.zeros(1, 8, 8), 0)])

    class Counted(Stream):
        def __len__(self):
            return 1

    for source in (Stream(), Counted(), iter(Stream())):
        with pytest.raises(TypeError, match=r"which has no index: pass list\(\.\.\.\) of it"):
            as_arrays(source)
    with pytest.raises(TypeError, match="got DataLoader: pass its `dataset`"):
        as_arrays(DataLoader(TensorDataset(torch.zeros(4, 1, 8, 8), torch.arange(4))))
    with pytest.raises(
        ValueError, match=r"got dict with the keys \['image', 'label'\]: pass as_arrays the pair"
    ):
        as_arrays([{"image": np.zeros((8, 8)), "label": 0}] * 3)


@pytest.mark.parametrize("value", [3, {"a": 0}, len, "ab"])
def test_what_is_called_classes_may_be_something_else(value):
    items = Items([(np.zeros((8, 8), np.uint8), 0), (np.ones((8, 8), np.uint8), 1)], value)
    items.synthetic = value
    arrays = as_arrays(items)
    assert arrays.class_names is None
    assert arrays.synthetic is None


@pytest.mark.parametrize("read", [as_arrays, HDF5Dataset, GANAugment])
def test_a_model_is_no_data(read, fitted, tmp_path):
    fitted.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"m is a model, not samples.*use ConditionalGAN\.load\(path\)"):
        read(tmp_path / "m")


def test_palettes_become_colours():
    colours = Image.new("RGB", (8, 8), (200, 30, 90))
    palette = [colours.convert("P", palette=Image.Palette.ADAPTIVE)] * 2
    assert np.array_equal(as_arrays((palette, [0, 1]))[0], np.array([colours, colours]))
