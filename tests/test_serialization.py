"""Models, checkpoints and held-out samples in files that others made, and in folders that others use."""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
import time
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import mixed_table
from torch import nn

from ganaug import ARCHITECTURES, ConditionalGAN
from ganaug.data.images import ImageCodec
from ganaug.data.tables import TableCodec
from ganaug.io import disk
from ganaug.io.holdout_file import HOLDOUT_FILE, load_holdout_mask, save_holdout
from ganaug.model import config as model_config
from ganaug.model.fitting import blank_networks, build_networks, fit_codec
from ganaug.networks.dcgan import dcgan
from ganaug.networks.layers import Networks


def small(**parameters):
    few = {
        "architecture": "warping+dcgan",
        "steps": 1,
        "base_channels": 4,
        "latent_dim": 4,
        "random_state": 0,
    }
    return ConditionalGAN(**{**few, "random_state": 0, **parameters})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the folder of a model of images, that of a model of a table, and of one for each class."""
    folder = tmp_path_factory.mktemp("saved")
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    X = rng.random((30, 8, 8), np.float32)
    small().fit(X, y).save(folder / "images")
    small(conditioning="per-class").fit(X, y).save(folder / "per-class")
    small(architecture="auto").fit(mixed_table(), np.arange(200) % 2).save(folder / "table")
    return folder


@pytest.fixture
def model(saved, tmp_path, request):
    """Return a copy of one of these folders."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (saved / getattr(request, "param", "images")).iterdir():
        if not path.name.startswith("."):
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


of_table = pytest.mark.parametrize("model", ["table"], indirect=True)


def edit(folder, *keys, value):
    """Set, or with the value `edit` delete, what lies in a model's config under such keys."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    *parents, last = keys
    part = config
    for key in parents:
        part = part[key]
    if value is edit:
        del part[last]
    else:
        part[last] = value
    path.write_text(json.dumps(config))


def edit_tensors(folder, **changes):
    path = folder / "model.safetensors"
    tensors = {**safetensors.torch.load_file(path), **changes}
    safetensors.torch.save_file({k: v for k, v in tensors.items() if v is not None}, path)


def refused(folder, message):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=message) as caught:
        ConditionalGAN.load(folder)
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_blank_networks_have_the_tensors_of_real_ones(name):
    codec = fit_codec("images", np.zeros((2, 8, 12, 3), np.uint8))
    if name in ("time-warping", "recurrent"):
        codec = fit_codec("series", np.arange(72).reshape(2, 12, 3))
    settings = {"latent_dim": 5, "base_channels": 6}
    before = torch.get_rng_state()
    blank = blank_networks(ARCHITECTURES[name], codec, 3, settings)
    assert torch.equal(torch.get_rng_state(), before)
    real = build_networks(ARCHITECTURES[name], codec, 3, settings, 0)
    for part in ("generator", "encoder"):
        described = [
            [] if network is None else [(k, v.shape, v.dtype) for k, v in network.state_dict().items()]
            for network in (getattr(blank, part), getattr(real, part))
        ]
        assert described[0] == described[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB on Linux only")
@pytest.mark.parametrize("model", ["images", "table", "per-class"], indirect=True)
@pytest.mark.parametrize(
    ("name", "value"), [("base_channels", 10**5), ("latent_dim", 10**9), ("latent_dim", 2**62)]
)
def test_a_count_is_compared_with_the_tensors_before_memory_is_asked_for(model, name, value):
    edit(model, "parameters", name, value=value)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(model, "tensor|memory|overflow|storage|too large|Overflow|size")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("extra",), 1, r"config.json holds \['extra'\], which `save` never writes"),
        (("history",), edit, r"config.json lacks \['history'\]"),
        *[
            (("parameters", name), value, rf"`parameters` holds \['{name}'\], which `save` never writes")
            for name, value in {"log_dir": "logs", "callbacks": [], "device": "cpu", "verbose": True}.items()
        ],
        (("parameters", "steps"), edit, r"`parameters` lacks \['steps'\]"),
        (("parameters", "steps"), [1] * 100, r"parameter 'steps' is \[1, 1"),
        (("parameters", "steps"), True, "`steps` must be"),
        (("parameters", "architecture"), "x" * 10**6, "parameter 'architecture' is 'xxx"),
        (("parameters", "architecture"), "+".join(["dcgan"] * 99), "2 networks for 99 generators"),
        (("parameters", "batch_size"), 10**30, "parameter 'batch_size'"),
        (("parameters", "modality"), "table", "modality 'images', which is not"),
        (("modality",), ["images"], "modality"),
        (("members",), 10**9, "1000000000 networks for 2"),
        (("members",), True, "True networks"),
        (("digest",), 5, "digest 5"),
        (("classes",), [0, 1, 2] * 10**5, "different ones in ascending order"),
        (("classes",), list(range(10**5)), r"labels of shapes \[\(30,\)\] for 100000 classes"),
        (("classes",), [0, 1, True], r"classes \[0, 1, True\] of dtype 'int64'"),
        (("classes",), [0.0, 1.0, 2.0], "classes"),
        (("classes",), [0, 1, 2**70], "holds no model"),
        (("classes_dtype",), "object", "dtype 'object'"),
        (("class_counts",), [10], "class_counts"),
        (("class_counts",), None, "class_counts"),
        (("class_counts",), ["10", "10", "10"], "class_counts"),
        (("class_counts",), [10.0, 10.0, 10.0], "class_counts"),
        (("class_counts",), [2**70, 10, 10], "class_counts"),
        (("class_counts",), [11, 10, 10], "where .* samples were kept"),
        (("classes_dtype",), "U1000000", "dtype 'U1000000'"),
        (("history",), [1], "history"),
        (("history", 0, "step"), "1", "history with .*where numbers were saved"),
        (("history", 0, "step"), True, "history with"),
        (("codec", "more"), 1, "a codec with the entries .*more"),
        (("codec", "tensor"), 1, "tensor 1"),
        (("codec", "dtype"), "uint8", "'0.rows' is .*F32.*where .*U8"),
        (("codec", "row_shape"), [8, 10**6], "images of shape"),
        (("codec", "row_shape"), [8, True], "images of shape"),
        (("codec", "row_shape"), [8, 8, 8], "images of shape"),
        (("codec", "shape"), [3, 8, 8], "images of shape"),
    ],
)
def test_an_entry_that_save_never_writes_is_refused_by_name(model, keys, value, message):
    edit(model, *keys, value=value)
    refused(model, message)


def test_a_log_dir_of_a_stranger_is_never_written_to(model, tmp_path):
    edit(model, "parameters", "log_dir", value=str(tmp_path / "logs"))
    refused(model, "log_dir")
    assert not (tmp_path / "logs").exists()


@of_table
@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("more",), 1, "a column that lacks, or should lack, the entries .*more"),
        (("name",), 1.5, "with name 1.5"),
        (("dtype",), "x" * 10**5, "with dtype 'xxx"),
        (("dtype",), "no such", "no such"),
        (("dtype",), "datetime64[ns]", "of dtype 'datetime64"),
        (("dtype",), "Sparse[int64, [[0]]]", r"of dtype 'Sparse\[int64"),
        (("values",), [[1.0]], "with values"),
        (("values",), [1.0, 1.0], "with values"),
        (("values",), ["a"], "knots"),
        (("rank_intervals",), [[0.0, 2.0]], "with rank_intervals"),
        (("rank_intervals",), [[0.0, 1.0]], "knots"),
        (("rank_intervals",), [["0", "1"]], "with rank_intervals"),
        (("decimals",), 400, "with decimals 400"),
        (("decimals",), True, "with decimals True"),
        (("resolution",), 10**30, "with resolution"),
        (("missing",), "None of it", "with missing"),
        (("categories",), [1], "of dtype"),
        (("ordered",), 1, "with ordered 1"),
        (("python_int",), None, "with python_int None"),
        (("determinant",), -1, "with determinant -1"),
        (("determinant",), 0, "is not determined by"),
        (("determinant",), 10**6, "holds no model"),
        (("lookup",), [1.0], "looks up values, but nothing determines it"),
    ],
)
def test_a_column_that_fit_never_makes_is_refused_by_name(model, keys, value, message):
    columns = json.loads((model / "config.json").read_text())["codec"]["columns"]
    assert columns[0]["rank_intervals"] and columns[0]["determinant"] is None
    edit(model, "codec", "columns", 0, *keys, value=value)
    refused(model, message)


@of_table
def test_columns_agree_with_the_tensors(model):
    columns = json.loads((model / "config.json").read_text())["codec"]["columns"]
    edit(model, "codec", "columns", value=[{**columns[0], "name": str(i)} for i in range(300)])
    refused(model, "tensor '0.*' is")
    edit(model, "codec", "columns", value=[])
    refused(model, "a codec with")


def test_a_table_of_an_array_has_one_dtype():
    X = np.array([["a", "b"], ["c", "d"]] * 4)
    config = json.loads(json.dumps(TableCodec.fit(X).to_config()))
    assert np.array_equal(TableCodec.from_config(config).encode(X), TableCodec.fit(X).encode(X))
    for dtype in ("<U100000000", "V8", "<M8[ns]", 1, "int64"):
        with pytest.raises(ValueError, match="a table of dtype|column 0 of dtype"):
            TableCodec.from_config({**config, "dtype": dtype})


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
def test_a_number_that_is_none_is_refused(model, number):
    path = model / "config.json"
    path.write_text(path.read_text().replace('"penalty_weight": 0.2', f'"penalty_weight": {number}'))
    refused(model, "a number that is|parameter 'penalty_weight'")


@pytest.mark.parametrize("content", ["[" * 10**5, '{"format": ' + "9" * 10**4 + "}", "\x00", "null", "\xff"])
def test_what_is_no_json_is_refused(model, content):
    (model / "config.json").write_text(content, encoding="latin-1")
    refused(model, "holds no model")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["0.generator.embed.weight", "1.generator.embed.weight", "0.rows"])
def test_weights_that_are_not_finite_are_refused_by_name(model, name, value):
    tensor = safetensors.torch.load_file(model / "model.safetensors")[name]
    tensor.view(-1)[-1] = value
    edit_tensors(model, **{name: tensor})
    refused(model, f"tensor '{name}' holds values that are not finite")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.arange(30), "labels of 3 classes with values from 0 to 29"),
        (torch.arange(30) % 3 - 1, "labels of 3 classes with values from -1"),
        (torch.arange(30) % 2, "labels of 3 classes with values from 0 to 1"),
        ((torch.arange(30) % 3).int(), "'0.labels' is .*I32"),
        ((torch.arange(30) % 3)[None], "labels of shapes"),
        (torch.empty(0, dtype=torch.int64), "labels of shapes"),
        (torch.arange(31) % 3, "'0.rows' is"),
        (None, "labels of shapes"),
    ],
)
def test_labels_are_those_of_the_classes(model, labels, message):
    edit_tensors(model, **{"0.labels": labels})
    refused(model, message)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link to a pipe"])
def test_what_is_no_regular_file_is_not_waited_for(model, name, kind, tmp_path):
    (model / name).rename(tmp_path / "elsewhere")
    if kind == "pipe":
        os.mkfifo(model / name)
    elif kind == "link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        (model / name).symlink_to(tmp_path / "pipe")
    else:
        (model / name).mkdir()
    refused(model, f"{name} must be a regular file")


def test_a_config_larger_than_save_writes_is_not_read(model, monkeypatch, stripes):
    with (model / "config.json").open("r+b") as file:
        file.truncate(2**40)  # it takes no room on the disk
    refused(model, "must be a file of 268435456 bytes at most, got 1099511627776")
    monkeypatch.setattr("ganaug.model.serialization.MAX_CONFIG_SIZE", 100)
    with pytest.raises(ValueError, match=r"config\.json must be of 100 bytes at most"):
        small().fit(*stripes).save(model / "new")
    assert not (model / "new").exists()


def test_classes_take_no_more_room_than_their_names(monkeypatch):
    assert model_config.classes_from_config(["a", "bb"], "str").tolist() == ["a", "bb"]
    monkeypatch.setattr(model_config, "MAX_CLASSES_SIZE", 100)
    with pytest.raises(ValueError, match="classes"):
        model_config.classes_from_config(["a", "b" * 20], "str")


def test_a_loaded_model_outlives_its_files(model):
    gan = ConditionalGAN.load(model)
    before = gan.sample([0, 1, 2], 0)
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(10)
    assert np.array_equal(gan.sample([0, 1, 2], 0), before)


class OnlyReal(nn.Module):
    """Can't be built on the device "meta"."""

    def __init__(self, *arguments):
        super().__init__()
        torch.ones(1).item()
        self.generator = dcgan(*arguments).generator

    def forward(self, noise, labels):
        return self.generator(noise, labels)


def test_an_architecture_of_the_users_own_is_still_read(stripes, tmp_path, monkeypatch):
    def own(*arguments):
        return Networks(OnlyReal(*arguments), dcgan(*arguments).discriminator)

    monkeypatch.setitem(ARCHITECTURES, "own", own)
    gan = small(architecture="own").fit(*stripes)
    gan.save(tmp_path)
    assert np.array_equal(ConditionalGAN.load(tmp_path).sample([0, 1], 0), gan.sample([0, 1], 0))
    edit_tensors(tmp_path, **{"0.x": torch.ones(1)})
    refused(tmp_path, "unexpected tensors")


def test_save_and_fit_are_locked_against_other_runs(stripes, tmp_path, monkeypatch):
    gan = small().fit(*stripes)
    (tmp_path / "m").mkdir()
    with (
        disk.locked(tmp_path / "m" / "config.json"),
        pytest.raises(BlockingIOError, match=r"m/config\.json is in use by another run"),
    ):
        gan.save(tmp_path / "m")
    assert [path.name for path in (tmp_path / "m").iterdir()] == [".config.json.lock"]
    with (
        disk.locked(tmp_path / "c"),
        pytest.raises(BlockingIOError, match="c is in use by another run"),
    ):
        small().fit(*stripes, checkpoint=tmp_path / "c")
    assert not list((tmp_path / "c").iterdir())
    (tmp_path / "link").symlink_to(tmp_path / "c")
    seen = []

    def second(step, metrics):
        with pytest.raises(BlockingIOError, match="c is in use by another run"):
            small().fit(*stripes, checkpoint=tmp_path / "link")
        seen.append(step)

    small(callbacks=[second]).fit(*stripes, checkpoint=tmp_path / "c")
    assert seen == [1, 1]
    monkeypatch.chdir(tmp_path / "m")
    gan.save(".")
    assert ConditionalGAN.load(".").digest() == gan.digest()


def test_all_files_are_synced_before_they_are_renamed(stripes, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(disk, "sync", synced.append)
    gan = small(architecture="dcgan").fit(*stripes, checkpoint=tmp_path / "c")
    gan.save(tmp_path / "m")
    save_holdout(tmp_path / "m", gan.digest(), stripes[0])
    names = {path.name.removeprefix(".").removesuffix(".new") for path in synced}
    assert names == {"seed", "state-0.pt", "config.json", "model.safetensors", HOLDOUT_FILE, "c", "m"}


def test_a_checkpoint_folder_keeps_the_files_of_others(stripes, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "state-of-the-art.pt").write_text("mine too")
    small(architecture="dcgan").fit(*stripes, checkpoint=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt",
        "seed",
        "state-0.pt",
        "state-of-the-art.pt",
    ]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    for name in ("seed", "state-0.pt"):
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_text("not of a run")
        with pytest.raises(ValueError, match=f"{name} (must hold the seed|can't be read as a checkpoint)"):
            small(architecture="dcgan", random_state=None).fit(*stripes, checkpoint=tmp_path)
        assert (tmp_path / name).read_text() == "not of a run"
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match="must be a regular file"):
            small(architecture="dcgan", random_state=None).fit(*stripes, checkpoint=tmp_path)
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(before)


@pytest.fixture
def checkpoint(stripes, tmp_path):
    small(architecture="dcgan").fit(*stripes, checkpoint=tmp_path / "c")
    return tmp_path / "c" / "state-0.pt"


def replaced(state, keys, value):
    for key in keys[:-1]:
        state = state[key]
    state[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("trainer", "ema", "generator.embed.weight"), torch.ones(3, 5), "ema.generator.embed.weight is"),
        (("trainer", "ema", "generator.embed.weight"), torch.ones(3, 16).double(), "embed.weight is"),
        (("trainer", "ema", "generator.embed.weight"), torch.ones(1).expand(10**9, 16), "embed.weight is"),
        (("trainer", "ema", "more"), torch.ones(1), "trainer.ema has the entries"),
        (("trainer", "ema"), 5, "trainer.ema is 5, not of type"),
        (("trainer", "generator_optimizer", "state", 0, "exp_avg"), torch.ones(1), "exp_avg is"),
        (("trainer", "generator_optimizer", "state", 999), {}, "999"),
        (("trainer", "generator_optimizer", "param_groups"), [], "param_groups has 0 entries instead of 1"),
        (("monitor", "max_diversity"), torch.ones(2), "max_diversity is"),
        (("monitor", "largest_losses"), {"generator": "1"}, "largest_losses.generator is '1'"),
        (("monitor", "loss_sums"), {"generator": torch.ones(3)}, "loss_sums.generator is"),
        (("rng",), torch.zeros(3, dtype=torch.uint8), "rng is"),
        (("rng",), torch.zeros_like(torch.get_rng_state()), "holds no state of a random generator"),
        (("step",), -1, "step is -1"),
        (("step",), "1", "step is '1'"),
        (("rollbacks",), 1.5, "rollbacks is 1.5"),
        (("history",), [{"step": "1"}], "history with"),
        (("history",), [1], "no checkpoint of this training"),
    ],
)
def test_a_foreign_checkpoint_is_refused_in_words(checkpoint, stripes, keys, value, message):
    content = torch.load(checkpoint, weights_only=True)
    replaced(content["current"], keys, value)
    torch.save(content, checkpoint)
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=message) as caught:
        small(architecture="dcgan").fit(*stripes, checkpoint=checkpoint.parent)
    assert str(checkpoint) in str(caught.value)
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_that_was_compressed_is_refused(checkpoint, stripes):
    with zipfile.ZipFile(checkpoint) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(checkpoint, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, "archive/data/more": bytes(10**6)}.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="its parts are larger than the file"):
        small(architecture="dcgan").fit(*stripes, checkpoint=checkpoint.parent)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"rows": []}',
        '{"model": 1, "rows": []}',
        '{"model": "m", "rows": ["x"]}',
        '{"model": "%s", "rows": [1]}' % ("0" * 64),
        '{"model": "%s", "rows": {"a": 1}}' % ("0" * 64),
        '{"model": "%s", "rows": [], "more": 1}' % ("0" * 64),
        "[" * 10**5,
    ],
)
def test_a_foreign_holdout_file_is_named(content, tmp_path):
    (tmp_path / HOLDOUT_FILE).write_text(content)
    with pytest.raises(ValueError, match=f"{HOLDOUT_FILE} can't be read: delete it, or train anew"):
        load_holdout_mask(tmp_path, "0" * 64, np.zeros((3, 2)))


def test_a_holdout_file_is_a_regular_one(tmp_path):
    os.mkfifo(tmp_path / HOLDOUT_FILE)
    with pytest.raises(ValueError, match="must be a regular file"):
        load_holdout_mask(tmp_path, "0" * 64, np.zeros((3, 2)))
    (tmp_path / "file").write_bytes(b"12345")
    assert disk.read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ValueError, match="of 4 bytes at most, got 5"):
        disk.read_regular(tmp_path / "file", 4)


@pytest.mark.parametrize("shape", [(8, 8), (9, 12, 3)])
@pytest.mark.parametrize("tensor", [False, True])
def test_codecs_of_images_come_back(shape, tensor):
    X = np.zeros((2, *shape), np.float32)
    X = torch.from_numpy(X.transpose(0, 3, 1, 2).copy() if len(shape) == 3 else X) if tensor else X
    codec = ImageCodec.fit(X)
    again = ImageCodec.from_config(json.loads(json.dumps(codec.to_config())))
    assert vars(again) == vars(codec)


def test_an_error_in_save_keeps_the_old_model(model, stripes, monkeypatch):
    old = ConditionalGAN.load(model).digest()
    other = small(random_state=1).fit(*stripes)
    names = {path.name for path in model.iterdir()}

    def replace(self, target):
        raise OSError(errno.EIO, "Input/output error", str(target))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr(type(model), "replace", replace)
        other.save(model)
    assert ConditionalGAN.load(model).digest() == old
    assert {path.name for path in model.iterdir()} - {".config.json.lock"} == names
    other.save(model)
    assert ConditionalGAN.load(model).digest() == other.digest()


def test_a_model_whose_files_are_links_to_files_is_read(model, tmp_path):
    (tmp_path / "store").mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).rename(tmp_path / "store" / name)
        (model / name).symlink_to(tmp_path / "store" / name)
    assert ConditionalGAN.load(model).classes_.tolist()
