"""Images above 64 pixels a side: networks at a size of their own, what they decide applied to the image."""

from __future__ import annotations

import argparse
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks import photograph_costs
from ganaug import AugmentedDataset, ConditionalGAN, GANAugment, HDF5Dataset, as_arrays, write_hdf5
from ganaug.adapters import pool
from ganaug.cli import main
from ganaug.data.containers import take
from ganaug.data.holdout import sample_digests
from ganaug.data.images import ImageCodec
from ganaug.data.working_size import working_sides
from ganaug.evaluation.classifiers import SmallCNNClassifier
from ganaug.evaluation.neighbours import Neighbours
from ganaug.io import blocks
from ganaug.io.arrays import as_samples
from ganaug.io.file_images import FileImages
from ganaug.io.image_rows import DatasetImages
from ganaug.networks.warps import warp, warp_sharply

Y = np.arange(12) % 2


def small(**parameters):
    few = {"steps": 1, "base_channels": 4, "latent_dim": 4, "batch_size": 4, "random_state": 0}
    return ConditionalGAN(**{**few, **parameters})


def photographs(n=12, sides=(80, 96)):
    """Return crops of scikit-learn's photographs at random places, uint8 (n, H, W, 3)."""
    rng = np.random.default_rng(0)
    images = load_sample_images().images
    height, width = sides
    crops = []
    for i in range(n):
        image = images[i % 2]
        top, left = rng.integers(0, image.shape[0] - height), rng.integers(0, image.shape[1] - width)
        crops.append(image[top : top + height, left : left + width])
    return np.stack(crops)


@pytest.fixture(scope="module")
def X():
    return photographs()


@pytest.fixture(scope="module")
def folder(X, tmp_path_factory):
    """Return a folder of class folders with these photographs as PNG files."""
    root = tmp_path_factory.mktemp("photos")
    for i, (image, label) in enumerate(zip(X, Y, strict=True)):
        (root / "ab"[label]).mkdir(exist_ok=True)
        Image.fromarray(image).save(root / "ab"[label] / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def gan(X):
    return small().fit(X, Y)


@pytest.fixture(scope="module")
def gan_of_files(folder):
    return small().fit(folder)


class Photos(Dataset):
    """The photographs as items (image, label), each made by `form`."""

    def __init__(self, X, form=Image.fromarray):
        self.X, self.form = X, form

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.form(self.X[i]), int(Y[i])


@pytest.mark.parametrize(
    ("sides", "working_size", "expected"),
    [
        ((8, 64), "auto", (8, 64)),
        ((64, 64), "auto", (64, 64)),
        ((65, 65), "auto", (32, 32)),
        ((224, 224), "auto", (32, 32)),
        ((192, 256), "auto", (32, 43)),
        ((100, 1024), "auto", (32, 64)),
        ((1024, 10), "auto", (64, 10)),
        ((224, 448), 24, (24, 48)),
        ((28, 28), 48, (28, 28)),
        ((64, 64), 16, (16, 16)),
        ((224, 100), (40, 64), (40, 64)),
        ((224, 20), [40, 64], (40, 20)),
    ],
)
def test_working_sides(sides, working_size, expected):
    assert working_sides(*sides, working_size) == expected


@pytest.mark.parametrize("value", [7, 65, (32, 65), (32, 32, 32), "small", True, 32.0, None])
def test_a_wrong_working_size(value):
    with pytest.raises(ValueError, match=r"`working_size` must be 'auto', an int .* 8 to 64 .*got"):
        small(working_size=value).fit(np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1])


def test_small_images_are_seen_as_they_are(X):
    images = X[:, :64, :64]
    samples = [
        small(working_size=working_size).fit(images, Y).sample([0, 1], random_state=0)
        for working_size in ("auto", 64)
    ]
    np.testing.assert_array_equal(*samples)
    codec = ImageCodec.fit(images)
    assert codec.working is codec


FORMS = {
    "colour": lambda X: X,
    "grey": lambda X: X[..., 0],
    "float Tensors": lambda X: torch.from_numpy(X).permute(0, 3, 1, 2).float() / 255,
    "alpha": lambda X: np.concatenate([X, X[..., :1]], axis=3).astype("float64") / 255,
    "a narrow strip": lambda X: X[:, :9],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("parameters", [{}, {"conditioning": "per-class"}, {"working_size": (16, 24)}])
def test_samples_have_the_size_of_the_images(X, form, parameters, tmp_path):
    images = FORMS[form](X)
    gan = small(**parameters).fit(images, Y)
    made = gan.sample([0, 1, 1], random_state=0), gan.vary(images[:3], Y[:3], random_state=0)
    for samples in made:
        assert (type(samples), samples.dtype, samples.shape) == (type(images), images.dtype, images[:3].shape)
    gan.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["stored"] == "arrays"
    again = ConditionalGAN.load(tmp_path / "model")
    np.testing.assert_array_equal(again.sample([0, 1, 1], random_state=0), made[0])
    np.testing.assert_array_equal(again.vary(images[:3], Y[:3], random_state=0), made[1])


def sharpness(images):
    """Return the mean absolute Laplacian."""
    values = images.astype(float)
    centre = values[:, 1:-1, 1:-1]
    around = values[:, :-2, 1:-1] + values[:, 2:, 1:-1] + values[:, 1:-1, :-2] + values[:, 1:-1, 2:]
    return np.abs(4 * centre - around).mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_variations_are_as_sharp_as_the_photographs(channels):
    images = photographs(12, (224, 224))[..., :channels]
    gan = small().fit(images, Y)
    varied = gan.vary(images, Y, random_state=0)
    assert not np.array_equal(varied, images)
    assert 0.9 < sharpness(varied) / sharpness(images) < 1.1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_warp_between_pixels_does_not_blur(channels):
    images = torch.from_numpy(photographs(4, (224, 224))[..., :channels]).permute(0, 3, 1, 2) / 127.5 - 1
    still = warp_sharply(images, torch.zeros(4, 2, 224, 224))
    torch.testing.assert_close(still, images, atol=1e-3, rtol=0)
    flow = torch.full((4, 2, 224, 224), 2.5 * 2 / 224)  # two pixels and a half, half a side being 112
    original, blurred, sharp = (
        sharpness(part.permute(0, 2, 3, 1).numpy())
        for part in (images, warp(images, flow), warp_sharply(images, flow))
    )
    assert blurred / original < 0.8
    assert 0.9 < sharp / original < 1.1


def test_what_is_painted_adds_no_sharpness():
    images = torch.from_numpy(photographs(4, (224, 224))).permute(0, 3, 1, 2) / 127.5 - 1
    flow = torch.full((4, 2, 224, 224), 2.5 * 2 / 224)
    painted = 0.05 * torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    original, together, after = (
        sharpness(part.permute(0, 2, 3, 1).numpy())
        for part in (images, warp_sharply(images, flow, painted), warp_sharply(images, flow) + painted)
    )
    assert after / original > 1.2
    assert 0.9 < together / original < 1.1


@pytest.mark.parametrize(("flow", "painted"), [(0.1, 0.0), (0.0, 0.1)])
def test_large_grey_images_have_no_pattern_of_the_networks(flow, painted):
    """What differs from one place to the next, as decoders like to paint, would be stairs and dots."""
    from ganaug.networks.warping import WarpGenerator

    generator = WarpGenerator((1, 16, 16), 2, 4, 4, lambda content: content).eval()
    every_other = (torch.arange(16.0) % 2).expand(1, 1, 16, 16)
    steps = torch.cat([torch.zeros(1, 1, 16, 16), flow * every_other], dim=1)
    mask, features = torch.full((1, 1, 16, 16), 20.0 if painted else -20.0), torch.zeros(1, 4, 16, 16)
    generator._decode_maps = lambda *given: (steps, mask, painted * every_other, features)
    ramp = torch.linspace(-0.9, 0.9, 160)[:, None].expand(1, 1, 160, 160)
    out = generator(torch.zeros(1, 1, 16, 16), *torch.zeros(2, 1, 4), torch.zeros(1, dtype=torch.long), ramp)
    wave = out[0, 0, 80, 20:-20]
    assert 0 < wave.max() - wave.min() < 0.25 * 0.1


def test_nothing_painted_changes_the_detail():
    """Where the flow is nothing, and what is painted is the same everywhere, differences stay to the bit."""
    from ganaug.networks.warping import WarpGenerator

    generator = WarpGenerator((1, 16, 16), 2, 4, 4, torch.tanh).eval()
    for parameter in generator.parameters():
        torch.nn.init.zeros_(parameter)
    generator.refine[-1].bias.data.fill_(0.25)
    full = torch.rand(2, 1, 100, 80) - 0.5
    small_images, codes = torch.zeros(2, 1, 16, 16), torch.zeros(2, 4)
    out = generator(small_images, codes, codes, torch.zeros(2, dtype=torch.long), full)
    torch.testing.assert_close(out, full + 0.25)


@pytest.mark.parametrize("name", ["warping", "tinting"])
def test_at_its_own_size_a_generator_does_the_same_with_a_full_image(name):
    """The enlarged maps are those at working size where the full size is the same."""
    from ganaug import ARCHITECTURES

    networks = ARCHITECTURES[name]((3, 32, 24), 2, 4, 4, torch.tanh)
    generator = networks.generator.eval()
    images, codes, labels = torch.rand(3, 3, 32, 24) * 1.6 - 0.8, torch.randn(3, 4), torch.tensor([0, 1, 0])
    own = generator(images, codes, codes, labels)
    # At full size values between pixels are means of two, and sharpened.
    difference = (generator(images, codes, codes, labels, images) - own).abs()
    assert difference.mean() < 0.05
    no_noise = torch.linspace(-0.5, 0.5, 24).expand(3, 3, 32, 24).contiguous()
    own = generator(no_noise, codes, codes, labels)
    again = generator(no_noise, codes, codes, labels, no_noise)
    torch.testing.assert_close(again, own, atol=0.02, rtol=0)


def test_reduced_rows(X, tmp_path):
    gan = small(stored_images="reduced").fit(X, Y)
    gan.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["stored"] == "reduced"
    rows = safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")["0.rows"]
    assert rows.shape == (12, 32, 38, 3)
    again = ConditionalGAN.load(tmp_path / "model")
    full = small().fit(X, Y)
    np.testing.assert_array_equal(
        again.vary(X, Y, random_state=0), full.vary(X, Y, random_state=0), "variations are those of all"
    )
    blurred = again.sample([0, 1], random_state=0)
    assert blurred.shape == (2, *X.shape[1:])
    assert sharpness(blurred) < 0.5 * sharpness(full.sample([0, 1], random_state=0))


@pytest.mark.parametrize("architecture", ["dcgan", "tinting+instance"])
def test_architectures_that_make_no_detail_are_refused(X, architecture, tmp_path):
    with pytest.raises(ValueError, match=r"for images of 80 x 96, as its networks work at 32 x 38, got"):
        small(architecture=architecture).fit(X, Y, checkpoint=tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_a_folder_paths_and_a_dataset_give_the_same(X, folder, gan, gan_of_files, monkeypatch):
    at_once = []
    read = FileImages.__getitem__
    monkeypatch.setattr(
        FileImages,
        "__getitem__",
        lambda self, which: at_once.append(len(self.positions(which))) or read(self, which),
    )
    monkeypatch.setattr("ganaug.data.images.VALUES_AT_ONCE", 5 * X[0].size)
    paths = sorted(folder.rglob("*.png"), key=lambda path: path.name)
    expected = gan.sample([0, 1, 1, 0], random_state=0)
    labels = np.array(["a", "b"])[Y]
    fitted = {
        "paths": small().fit(paths, labels),
        "names": small().fit([str(path) for path in paths], labels),
        "PIL": small().fit(Photos(X)),
        "arrays": small().fit(Photos(X, np.array)),
    }
    assert 0 < max(at_once) <= 5
    for name, other in fitted.items():
        classes = other.classes_[[0, 1, 1, 0]]
        np.testing.assert_array_equal(other.sample(classes, random_state=0), expected, name)
    assert gan_of_files.members_[0].storage == fitted["PIL"].members_[0].storage == "files"
    assert gan_of_files.members_[0].rows.contents[0] == paths[0].read_bytes()


def test_files_are_kept_as_they_are(folder, gan_of_files, tmp_path):
    gan_of_files.save(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["stored"] == "files"
    rows = safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")["0.rows"]
    assert rows.numpy().tobytes() == b"".join(path.read_bytes() for path in sorted(folder.rglob("*.png")))
    expected = gan_of_files.sample([0, 1], random_state=0)
    for again in (ConditionalGAN.load(tmp_path / "model"), pickle.loads(pickle.dumps(gan_of_files))):
        np.testing.assert_array_equal(again.sample([0, 1], random_state=0), expected)
        assert again.digest() == gan_of_files.digest()


@pytest.mark.parametrize("parameters", [{"conditioning": "per-class"}, {"architecture": "tinting+warping"}])
def test_files_of_several_networks(folder, parameters, tmp_path):
    gan = small(**parameters).fit(folder)
    gan.save(tmp_path / "model")
    again = ConditionalGAN.load(tmp_path / "model")
    labels = [0, 1] * 4
    np.testing.assert_array_equal(again.sample(labels, random_state=0), gan.sample(labels, random_state=0))


@pytest.mark.parametrize(
    "form",
    [
        lambda image: Image.fromarray(image[..., 0]),
        lambda image: image[..., 1],
        lambda image: v2.functional.to_image(image),
        lambda image: v2.functional.to_dtype(v2.functional.to_image(image), torch.float32, scale=True),
        lambda image: (image / 255).astype("float16"),
    ],
)
def test_a_dataset_is_read_item_by_item(X, form, tmp_path):
    data = Photos(X, form)
    images, y = as_samples(data)
    everything, _ = as_arrays(data)
    assert isinstance(images, DatasetImages)
    np.testing.assert_array_equal(y, Y)
    some = images[np.array([2, 7])]
    assert (type(some), some.dtype, some.shape[1:]) == (type(everything), everything.dtype, images.row_shape)
    np.testing.assert_allclose(some, everything[[2, 7]], rtol=1e-6)
    gan = small().fit(data)
    gan.save(tmp_path / "model")
    expected = gan.sample([0, 1], random_state=0)
    for again in (ConditionalGAN.load(tmp_path / "model"), pickle.loads(pickle.dumps(gan))):
        np.testing.assert_array_equal(again.sample([0, 1], random_state=0), expected)


def test_a_dataset_with_random_images_is_refused(X):
    data = Photos(X, lambda image: Image.fromarray(image[:, :: np.random.choice([1, -1])]))
    data.form = v2.Compose([Image.fromarray, v2.RandomRotation(20)])
    with pytest.raises(ValueError, match=r"Item 0 of the data set must be the same image each time"):
        small().fit(data)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda image: image / 254, r"must lie in \[0, 1\], got values"),
        (lambda image: image / 127.5 - 1, "take `Normalize` out"),
        (lambda image: image * np.nan, "NaN"),
        (lambda image: image % 2, "none above 1"),
        (lambda image: image.astype(int), "got dtype int64"),
        (lambda image: image[: 80 - image[0, 0, 0] % 2], r"differ in size: item 0 is .* item \d+ is"),
    ],
)
def test_a_dataset_of_bad_images(X, form, message):
    with pytest.raises(ValueError, match=message):
        small().fit(Photos(X, form))


def write_image(path, height, width):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((height, width), np.uint8)).save(path)


@pytest.mark.parametrize("read", [lambda data: small().fit(data), as_arrays])
def test_a_folder_of_bad_images(folder, tmp_path, read):
    for name in "abc":
        write_image(tmp_path / name / "x.png", 80, 96)
    write_image(tmp_path / "b" / "y.png", 96, 80)
    with pytest.raises(ValueError, match=r"x\.png is 80 x 96, .*y\.png is 96 x 80\. Pass `size`"):
        read(tmp_path)
    write_image(tmp_path / "b" / "y.png", 3888, 5184)
    with pytest.raises(ValueError, match=r"b/y\.png is 3888 x 5184: .* 8 to 1,024 .*\(source, size=224\)"):
        read(tmp_path)
    (tmp_path / "b" / "y.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b/y\.png can't be read as an image"):
        read(tmp_path)


def test_images_of_many_sizes_in_one_array():
    images = [np.zeros((80, 96), np.uint8), np.zeros((96, 80), np.uint8)] * 2
    ragged = np.empty(4, object)
    ragged[:] = images
    for X in (images, ragged):
        with pytest.raises(ValueError, match=r"item 0 is 80 x 96, item 1 is 96 x 80\. Pass `size`"):
            small().fit(X, [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"item 1 is 1025 x 80: images must be 8 to 1,024"):
        as_arrays(([images[0], np.zeros((1025, 80), np.uint8)], [0, 1]))


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(ValueError, match=r"none\.jpg can't be read as an image"):
        small().fit([str(tmp_path / "none.jpg")] * 4, [0, 0, 1, 1])


def test_a_file_that_changes_is_read_as_it_was(folder, X, tmp_path):
    paths = []
    for i, image in enumerate(X):
        paths.append(tmp_path / f"{i:02}.png")
        Image.fromarray(image).save(paths[-1])
    gan = small().fit(paths, Y)
    expected = gan.sample([0, 1], random_state=0)
    for path in paths:
        path.unlink()
    np.testing.assert_array_equal(gan.sample([0, 1], random_state=0), expected)


def as_png(height, width, kind="png"):
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(file, kind)
    return file.getvalue()


def edit_files(model, change):
    path = model / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    ends = tensors["0.row_ends"].tolist()
    data = tensors["0.rows"].numpy().tobytes()
    files = [data[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    change(files)
    tensors["0.rows"] = torch.frombuffer(bytearray(b"".join(files)), dtype=torch.uint8)
    tensors["0.row_ends"] = torch.tensor(np.cumsum([len(file) for file in files]))
    safetensors.torch.save_file(tensors, path)


@pytest.fixture
def model(gan_of_files, tmp_path):
    gan_of_files.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (as_png(20000, 20000 // 40), r"image 3 of 20000 x 500 among those of 80 x 96"),
        (as_png(80, 96, "eps"), "image 3 can't be read as an image"),
        (b"nothing", "image 3 can't be read as an image"),
        (b"", "files that end at"),
    ],
)
def test_a_model_with_other_files_is_refused(model, content, message):
    edit_files(model, lambda files: files.__setitem__(3, content))
    with pytest.raises(ValueError, match=message):
        ConditionalGAN.load(model)


def test_a_model_with_one_file_changed_is_refused(model):
    edit_files(model, lambda files: files.__setitem__(3, files[4]))
    with pytest.raises(ValueError, match="not as they were saved"):
        ConditionalGAN.load(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.row_ends": torch.zeros(12, dtype=torch.int64)}, "files that end at 0"),
        ({"0.row_ends": torch.full((12,), 2**62)}, "files that end at"),
        ({"0.row_ends": torch.zeros(11, dtype=torch.int64)}, r"'0.row_ends' is \('I64', \(11,\)\)"),
        ({"0.rows": torch.zeros(12, 80, 96, 3, dtype=torch.uint8)}, "'0.rows' is"),
        ({"0.reduced": torch.zeros(12, 80, 96, 3, dtype=torch.uint8)}, "'0.reduced' is"),
    ],
)
def test_tensors_that_save_never_writes(model, change, message):
    path = model / "model.safetensors"
    safetensors.torch.save_file({**safetensors.torch.load_file(path), **change}, path)
    with pytest.raises(ValueError, match=message):
        ConditionalGAN.load(model)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("stored",), "reduced", "stored 'reduced', where `save` writes one of"),
        (("stored",), "none", "stored 'none'"),
        (("stored",), ["files"], r"stored \['files'\]"),
        (("stored",), "arrays", "unexpected tensors"),
        (("codec", "shape"), [3, 32, 32], r"networks of \(32, 32\) for images of \(80, 96\)"),
        (("codec", "shape"), [3, 80, 96], "a codec of images of shape"),
        (("codec", "shape"), [1, 32, 38], "a codec of images of shape"),
        (("codec", "row_shape"), [80, 1025, 3], "a codec of images of shape"),
        (("parameters", "working_size"), [32, 38], "not as they were saved"),
        (("parameters", "working_size"), [32, "38"], "parameter 'working_size'"),
        (("parameters", "working_size"), [1e9, 38], "`working_size` must be"),
        (("parameters", "stored_images"), "reduced", "stored 'files'"),
        (("parameters", "stored_images"), "x", "`stored_images` must be one of"),
    ],
)
def test_entries_that_save_never_writes(model, keys, value, message):
    config = json.loads((model / "config.json").read_text())
    part = config
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        ConditionalGAN.load(model)


def test_pools_and_loaders_have_full_size(X, gan, monkeypatch):
    monkeypatch.setattr(pool, "MAX_BYTES_LARGE", 2 * 5 * X[0].nbytes)
    images = torch.from_numpy(X).permute(0, 3, 1, 2)
    augment = GANAugment(gan, p=1.0, random_state=0)
    assert augment._pool.counts.tolist() == [5, 5]
    assert augment(images, torch.from_numpy(Y))[0].shape == images.shape
    varied, _ = GANAugment(gan, p=1.0, mode="vary")(images, torch.from_numpy(Y))
    assert varied.shape == images.shape
    assert 0.9 < sharpness(varied.permute(0, 2, 3, 1).numpy()) / sharpness(X) < 1.1


def test_a_data_set_gets_variations_of_full_size(X, folder, gan_of_files):
    data = ImageFolder(folder, v2.ToImage())
    data = AugmentedDataset(data, gan_of_files, counts=2, mode="vary", random_state=0)
    image, label = data[-1]
    assert (tuple(image.shape), label, len(data)) == ((3, 80, 96), 1, 16)


@pytest.mark.parametrize("compression", [None, "lzf"])
def test_files_of_full_size_are_written_in_smaller_blocks(X, gan, tmp_path, monkeypatch, compression):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 3 * X[0].nbytes)
    monkeypatch.setattr("ganaug.io.hdf5_layout.CHUNK_BYTES", 2 * X[0].nbytes)
    assert blocks.fitting_block_size(gan, 1024) == 3
    sizes = []
    sample = gan.sample

    def counted(labels, **rest):
        sizes.append(len(labels))
        return sample(labels, **rest)

    monkeypatch.setattr(gan, "sample", counted)
    path = write_hdf5(gan, tmp_path / "x.h5", 4, real=(X, Y), random_state=0, compression=compression)
    assert max(sizes) <= 3
    images, _ = as_arrays(path)
    assert images.shape == (20, 80, 96, 3)
    np.testing.assert_array_equal(images[:12], X)
    assert HDF5Dataset(path)[15][0].shape == (3, 80, 96)


def test_what_is_not_read_yet_counts_as_if_it_were(X, folder):
    rows, labels = as_samples(folder)
    images = as_arrays(folder)[0]
    assert rows.shape == images.shape
    mask = labels == 1
    np.testing.assert_array_equal(take(rows, mask)[:], images[mask])
    assert sample_digests(rows).tolist() == sample_digests(images).tolist()
    neighbours = Neighbours(rows)
    ours, theirs = (neighbours.encode(take(part, np.arange(4))).fine for part in (rows, images))
    assert torch.equal(ours, theirs)
    assert ConditionalGAN(base_channels=4).expected_seconds(rows, labels) > 0


@pytest.mark.parametrize("part", ["time", "crops"])
def test_the_benchmark_of_photographs(part):
    found = photograph_costs.PARTS[part](argparse.Namespace(quick=True, steps=2, trashnet=None))
    assert all(value > 0 for value in found.values())


def test_measures_look_at_reduced_images(X):
    classifier = SmallCNNClassifier(steps=2).fit(X, Y)
    assert classifier.predict_proba(X).shape == (12, 2)
    assert classifier.codec_.shape == (3, 32, 38)
    assert Neighbours(X).encode(X).fine.shape == (12, 3, 32, 38)


def test_the_command_line(folder, tmp_path):
    few = ["--steps", "1", "--base-channels", "4", "--latent-dim", "4", "--random-state", "0"]
    model, file = str(tmp_path / "model"), str(tmp_path / "x.h5")
    for arguments in (
        ["fit", str(folder), "-o", model, "--working-size", "24", *few],
        ["generate", model, "-o", file, "--per-class", "2"],
        ["resample", str(folder), "-o", str(tmp_path / "y.h5"), "--model", model],
    ):
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    gan = ConditionalGAN.load(model)
    assert (gan.working_size, gan.codec_.shape, gan.members_[0].storage) == (24, (3, 24, 29), "files")
    assert as_arrays(file)[0].shape == (4, 80, 96, 3)


def test_files_are_read_when_they_are_asked_for(X, folder, monkeypatch):
    rows = as_samples(folder)[0]
    assert isinstance(rows, FileImages)
    whole = as_arrays(folder)[0]
    which = np.array([5, 0, 5])
    for got in (rows[which], rows.subset(which)[:], rows.subset(which).stored()[:]):
        assert np.array_equal(got, whole[which])
    assert np.array_equal(pickle.loads(pickle.dumps(rows))[:], whole)
    monkeypatch.chdir(folder.parent)
    relative = as_samples(([Path(path.relative_to(folder.parent)) for path in rows.paths], Y))[0]
    monkeypatch.chdir("/")
    assert np.array_equal(relative[:3], whole[:3])


def test_a_file_that_changes_meanwhile_is_refused(X, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.training.loop.LOG_INTERVAL", 2)
    for i in range(4):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(X[i]).save(path)

    def change(step, metrics):
        Image.fromarray(X[5][::-1]).save(path)

    gan = ConditionalGAN(steps=10, base_channels=4, random_state=0, callbacks=[change])
    with pytest.raises(ValueError, match=r"3\.png has changed while in use: start anew"):
        gan.fit(tmp_path / "data")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        FileImages([path], "RGB", X.shape[1:3])
    path.write_bytes(b" " * (2**24 + 1))
    with pytest.raises(ValueError, match="must be a file of 16777216 bytes at most, got 16777217"):
        FileImages([path], "RGB", X.shape[1:3])


def test_no_file_of_a_reduced_model_is_kept(X, folder):
    gan = small(stored_images="reduced", max_rows_kept=3).fit(folder)
    assert gan.members_[0].rows is gan.members_[0].X
    assert len(gan.members_[0].X) == 6
