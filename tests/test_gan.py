from __future__ import annotations

import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import mixed_table
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ganaug import LOSSES, PENALTIES, ConditionalGAN
from ganaug.data.images import ImageCodec
from ganaug.networks import ARCHITECTURES, NOT_FOR_IMAGES
from ganaug.networks.dcgan import dcgan
from ganaug.networks.instance import LatentGenerator
from ganaug.networks.layers import Networks
from ganaug.networks.tinting import TintGenerator
from ganaug.networks.warping import WarpGenerator
from ganaug.training.loop import train_gan
from ganaug.training.losses import hinge, r1


def small(**parameters):
    few = {"architecture": "instance", "steps": 2, "base_channels": 4, "latent_dim": 4, "random_state": 0}
    return ConditionalGAN(**{**few, **parameters})


@pytest.mark.parametrize("conditioning", ["shared", "per-class"])
def test_one_sample_for_each_label_in_order(stripes, conditioning):
    """Train long enough that a sample shows its class by itself; of one step 0.4 do."""
    X, y = stripes
    steps = 60 if conditioning == "shared" else 20
    gan = ConditionalGAN(steps=steps, base_channels=8, conditioning=conditioning, random_state=0).fit(X, y)
    labels = np.random.default_rng(0).permutation(np.repeat([2, 0, 1], 40))
    rows = gan.sample(labels, random_state=0)
    assert rows.shape == (120, 8, 8)
    assert rows.dtype == np.uint8
    # Columns vary in class 0 and rows in class 1; both in class 2.
    across = rows.std(axis=2).mean(axis=1)
    down = rows.std(axis=1).mean(axis=1)
    assert (across[labels == 0] > down[labels == 0]).mean() > 0.9
    assert (across[labels == 1] < down[labels == 1]).mean() > 0.9
    assert np.mean(np.abs(np.log(across / down))[labels == 2] < 1) > 0.9


@pytest.mark.parametrize("shape", [(8, 8), (9, 12, 1), (12, 9, 3), (8, 8, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("tensor", [False, True])
def test_what_comes_out_is_what_went_in(shape, dtype, tensor):
    X = np.random.default_rng(0).integers(0, 256, (12, *shape), dtype=np.uint8)
    X = X if dtype == "uint8" else (X / 255).astype(dtype)
    if tensor:
        X = torch.from_numpy(X)
        X = X.permute(0, 3, 1, 2) if X.dim() == 4 else X
    y = np.array(["a", "b", "c"] * 4)
    gan = small().fit(X, y)
    for rows in (gan.sample(["c", "a"]), gan.vary(X[:2], y[:2])):
        assert type(rows) is type(X)
        assert rows.dtype == X.dtype
        assert rows.shape == (2, *X.shape[1:])
        assert rows.min() >= 0
        assert rows.max() <= (255 if dtype == "uint8" else 1)


@pytest.mark.parametrize("y", [[0, 5, -2] * 4, ["x", "y", "z"] * 4, [True, False, True] * 4])
def test_labels_come_back(y, stripes):
    gan = small().fit(stripes[0][:12], y)
    assert gan.classes_.tolist() == sorted(set(y))
    assert gan.class_counts_.tolist() == [y.count(label) for label in sorted(set(y))]
    for labels in (y, np.array(y)):
        assert len(gan.sample(labels)) == 12


def test_seeds(fitted):
    labels = [0, 1, 2] * 200  # more than a chunk
    first = fitted.sample(labels, random_state=3)
    assert np.array_equal(first, fitted.sample(labels, random_state=3))
    assert not np.array_equal(first, fitted.sample(labels, random_state=4))
    assert not np.array_equal(fitted.sample(labels), fitted.sample(labels))
    assert fitted.sample([]).shape == (0, 8, 8)


def test_the_same_seed_fits_the_same(stripes):
    labels = [0, 1, 2]
    first, again, other = (small(random_state=seed).fit(*stripes).sample(labels, 0) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_global_states_are_left_alone(stripes):
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before, threads = states(), torch.get_num_threads()
    gan = small(random_state=None).fit(*stripes)
    gan.vary(*stripes)
    gan.sample([0, 1])
    assert states() == before
    assert torch.get_num_threads() == threads


def test_vary_keeps_near_at_small_strength(stripes):
    X, y = stripes
    gan = ConditionalGAN(architecture="warping", steps=60, random_state=0).fit(X, y)

    def distance(strength):
        return np.abs(gan.vary(X, y, strength, random_state=0).astype(float) - X).mean()

    assert distance(0) < distance(0.5) < distance(2)
    assert distance(0) < 25
    assert np.array_equal(gan.vary(X, y, 0, random_state=0), gan.vary(X, y, 0, random_state=1))


def test_strength_is_that_of_sample_and_vary(stripes):
    X, y = stripes
    gentle, strong = (small(steps=20, strength=strength).fit(X, y) for strength in (0.5, 1.0))
    assert np.array_equal(gentle.vary(X, y, 1.0, random_state=0), strong.vary(X, y, 0.5, random_state=0))
    rows = [gan.sample(y, random_state=0).astype(float) for gan in (gentle, strong)]
    assert not np.array_equal(*rows)


@pytest.mark.parametrize(
    ("shape", "architectures", "strength", "sliced_wasserstein_weight"),
    [
        ((15, 20), [WarpGenerator, LatentGenerator], 1.0, 0.0),
        ((16, 20), [WarpGenerator], 1.5, 1.0),
        ((15, 20, 3), [WarpGenerator, LatentGenerator], 1.0, 0.0),
        ((16, 20, 3), [TintGenerator], 0.5, 1.0),
    ],
)
def test_auto_goes_by_the_shorter_side_and_colour(
    shape, architectures, strength, sliced_wasserstein_weight, monkeypatch
):
    weights = []
    train = train_gan
    monkeypatch.setattr(
        "ganaug.model.fitting.train_gan",
        lambda trainer, *args, **options: (
            weights.append(trainer.sliced_wasserstein_weight),
            train(trainer, *args, **options),
        )[1],
    )
    X = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    gan = ConditionalGAN(steps=1, base_channels=4, random_state=0).fit(X, [0, 1] * 4)
    assert [type(member.generator) for member in gan.members_] == architectures
    assert gan.members_[0].strength == strength
    assert weights == [sliced_wasserstein_weight] * len(architectures)


def test_a_small_class_borrows_the_brightness_of_a_large_one():
    """Images of a class of 200 are brighter or darker; those of a class of 4 are all alike."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(60, 100, (2, 16, 16, 3))
    X = np.concatenate(
        [
            pattern[[0] * 200] + rng.integers(-50, 120, (200, 1, 1, 1)),
            pattern[[1] * 4] + np.zeros((4, 1, 1, 1)),
        ]
    ).astype(np.uint8)
    y = np.repeat([0, 1], [200, 4])
    gan = ConditionalGAN(steps=60, base_channels=8, batch_size=32, strength=1.0, random_state=0).fit(X, y)
    generated = gan.sample([1] * 200, random_state=0).astype(float)
    assert generated.mean((1, 2, 3)).std() > 10
    own, other = (
        np.mean([np.corrcoef(image.ravel(), which.ravel())[0, 1] for image in generated])
        for which in pattern[::-1]
    )
    assert own > 0.7
    assert other < 0.3


def test_tinting_reconstructs_means_of_squares(monkeypatch):
    seen, loss = [], ImageCodec.reconstruction_loss
    monkeypatch.setattr(
        ImageCodec,
        "reconstruction_loss",
        lambda self, generated, target: (seen.append((generated, target)), loss(self, generated, target))[1],
    )
    X = np.full((4, 16, 20, 3), 100, dtype=np.uint8)
    X[:, ::4, ::4] = 116  # a sixteenth of the pixels, which shifts leave so
    ConditionalGAN(steps=1, base_channels=4, random_state=0).fit(X, [0, 1] * 2)
    ((generated, target),) = seen
    assert generated.shape[1:] == target.shape[1:] == (3, 4, 5)
    assert (target[:, :, 1:-1, 1:-1] - (101 / 127.5 - 1)).abs().max() < 1e-3


@pytest.mark.parametrize("conditioning", ["shared", "per-class"])
def test_samples_come_from_every_generator(conditioning, stripes, tmp_path):
    X, y = stripes
    gan = small(architecture="warping+instance", conditioning=conditioning).fit(X, y)
    assert len(gan.members_) == (2 if conditioning == "shared" else 6)
    labels = np.array([2, 0, 1] * 40)
    # A generator that is broken changes half of the samples of every class, and no others.
    before = gan.sample(labels, 0)
    for member in gan.members_[len(gan.members_) // 2 :]:
        member.generator.forward = lambda *inputs: torch.zeros(len(inputs[-1]), 1, 8, 8)
    after = gan.sample(labels, 0)
    for label in range(3):
        broken = (after[labels == label] != before[labels == label]).any((1, 2))
        assert 0.25 < broken.mean() < 0.75
    assert gan.class_counts_.tolist() == [40, 15, 5]


def test_vary_needs_an_encoder(stripes):
    assert not hasattr(small(architecture="warping+dcgan").fit(*stripes), "vary")
    gan = small(architecture="dcgan").fit(*stripes)
    assert not hasattr(gan, "vary")
    assert hasattr(small(), "vary")


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in ARCHITECTURES if name not in NOT_FOR_IMAGES),
        "warping+instance",
        "dcgan+dcgan",
        "dcgan+instance+instance",
    ],
)
@pytest.mark.parametrize("conditioning", ["shared", "per-class"])
def test_save_and_load(name, conditioning, stripes, tmp_path):
    X, y = stripes
    names = np.array(["a", "b", "c"])[y]
    gan = small(architecture=name, conditioning=conditioning).fit(X, names)
    gan.save(tmp_path / "model")
    again = ConditionalGAN.load(tmp_path / "model")
    assert np.array_equal(again.sample(names, 0), gan.sample(names, 0))
    assert again.classes_.tolist() == ["a", "b", "c"]
    assert again.class_counts_.tolist() == gan.class_counts_.tolist()
    assert again.history_ == gan.history_
    assert again.get_params()["architecture"] == name
    assert sorted(file.name for file in (tmp_path / "model").iterdir() if file.name[0] != ".") == [
        "config.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize("y", [[0, 5, 9] * 4, [True, False] * 6, ["x", "yy"] * 6, [0.0, 1.0] * 6])
def test_labels_survive_saving(y, stripes, tmp_path):
    gan = small().fit(stripes[0][:12], y)
    gan.save(tmp_path)
    classes = ConditionalGAN.load(tmp_path).classes_
    assert classes.dtype == gan.classes_.dtype
    assert classes.tolist() == gan.classes_.tolist()


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_parameters(folder, **changes):
    parameters = json.loads((folder / "config.json").read_text())["parameters"]
    edit_config(folder, parameters={**parameters, **changes})


def edit_codec(folder, **changes):
    codec = json.loads((folder / "config.json").read_text())["codec"]
    edit_config(folder, codec={**codec, **changes})


def edit_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: (f / "config.json").unlink(), FileNotFoundError, "has no config.json"),
        (lambda f: (f / "model.safetensors").unlink(), FileNotFoundError, "has no model.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), ValueError, "holds no model"),
        (lambda f: (f / "config.json").write_text("[]"), ValueError, "holds no model"),
        (lambda f: edit_config(f, format=99), ValueError, "format 99 instead of 10"),
        (lambda f: edit_parameters(f, latent_dmi=3), ValueError, "latent_dmi"),
        (lambda f: edit_config(f, classes=[0, 1]), ValueError, "generator.embed.weight"),
        (lambda f: edit_config(f, classes=[1, 0, 2]), ValueError, "classes"),
        (lambda f: edit_codec(f, dtype="banana"), ValueError, "banana"),
        (lambda f: edit_parameters(f, latent_noise=-5), ValueError, "`latent_noise` must be"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 50), ValueError, "holds no model"),
        (
            lambda f: edit_tensors(f, lambda t: t.pop("0.generator.decode.start.bias")),
            ValueError,
            "start.bias",
        ),
        (lambda f: edit_tensors(f, lambda t: t.pop("0.rows")), ValueError, "rows"),
        (
            lambda f: edit_tensors(f, lambda t: t.update({"0.x": torch.ones(1)})),
            ValueError,
            "unexpected tensors.*x",
        ),
        (lambda f: edit_tensors(f, lambda t: t.update({"7.x": torch.ones(1)})), ValueError, "holds no model"),
    ],
)
def test_damaged_models(damage, error, message, stripes, tmp_path):
    small().fit(*stripes).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=message):
        ConditionalGAN.load(tmp_path)


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << (at % 8)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_flipped_bit_is_noticed(name, stripes, tmp_path):
    gan = small().fit(*stripes)
    gan.save(tmp_path)
    assert ConditionalGAN.load(tmp_path).digest() == gan.digest()
    path, rng = tmp_path / name, np.random.default_rng(0)
    whole = path.read_bytes()
    for at in rng.integers(len(whole), size=40):
        flip(path, int(at))
        try:
            digest = ConditionalGAN.load(tmp_path).digest()
        except ValueError as exc:
            assert "holds no model" in str(exc)
        else:  # a space, or the version of ganaug
            assert digest == gan.digest()
        path.write_bytes(whole)


def test_a_callable_is_not_saved(stripes, tmp_path):
    gan = small(loss=hinge).fit(*stripes)
    with pytest.raises(ValueError, match="`loss` is a callable"):
        gan.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("by_name", "by_callable"),
    [
        ({"loss": "hinge"}, {"loss": hinge}),
        ({"penalty": "r1"}, {"penalty": r1}),
        ({"architecture": "dcgan"}, {"architecture": dcgan}),
    ],
)
def test_plug_ins_by_name_and_by_callable(by_name, by_callable, stripes):
    rows = [small(**p).fit(*stripes).sample([0, 1, 2], 0) for p in (by_name, by_callable)]
    assert np.array_equal(*rows)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_every_loss_with_every_penalty(loss, penalty, stripes):
    gan = small(loss=loss, penalty=penalty).fit(*stripes)
    assert all(np.isfinite(entry["generator"]) for entry in gan.history_)


def test_an_architecture_may_be_the_users_own(stripes):
    built = []

    def own_architecture(shape, n_classes, latent_dim, base_channels, output_activation):
        built.append((shape, n_classes, latent_dim, base_channels))
        networks = dcgan(shape, n_classes, latent_dim, base_channels, output_activation)
        return Networks(networks.generator, networks.discriminator)

    small(architecture=own_architecture).fit(*stripes)
    assert built == [((1, 8, 8), 3, 4, 4)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"loss": "hing"},
            r"`loss` must be 'auto', one of \['relativistic'.*got 'hing'\. Did you mean 'hinge'",
        ),
        ({"architecture": "warping+"}, r"names joined by '\+', got 'warping\+'"),
        ({"architecture": "auto+dcgan"}, r"names joined by '\+', got 'auto\+dcgan'"),
        ({"callbacks": print}, "`callbacks` must be a sequence of callables or None, got <built-in"),
        ({"callbacks": [3]}, r"`callbacks` must be .* got \[3\]"),
        ({"log_dir": __file__}, "`log_dir` must be a folder, got the file"),
        ({"penalty": "r3"}, "`penalty` must be"),
        ({"architecture": 3}, "`architecture` must be .* got 3"),
        ({"steps": 0}, "`steps` must be 'auto' or an int of at least 1, got 0"),
        ({"architecture": "warping+instanse"}, "`architecture` .* got 'instanse'. Did you mean 'instance'"),
        ({"steps": "many"}, "`steps` must be .*'many'"),
        ({"batch_size": 1}, "`batch_size` must be an int of at least 2, got 1"),
        ({"latent_dim": 2.5}, "`latent_dim` .* got 2.5"),
        ({"base_channels": True}, "`base_channels` .* got True"),
        ({"conditioning": "class"}, r"`conditioning` must be one of \['shared', 'per-class'\], got 'class'"),
        ({"modality": "sound"}, "`modality` must be"),
        ({"learning_rate": -1e-3}, "`learning_rate` must be a number from 0 up, got -0.001"),
        (
            {"sliced_wasserstein_weight": "some"},
            "`sliced_wasserstein_weight` must be 'auto' or a number from 0 up, got 'some'",
        ),
        ({"strength": -1}, "`strength` must be 'auto' or a number from 0 up, got -1"),
        ({"latent_noise": "some"}, "`latent_noise` must be a number from 0 up, got 'some'"),
        ({"novelty": 1.5}, "`novelty` must be a number from 0 to 1, got 1.5"),
        ({"novelty": True}, "`novelty` must be a number from 0 to 1, got True"),
        ({"penalty_weight": float("nan")}, "`penalty_weight` .* got nan"),
        ({"random_state": -1}, "`random_state` must be an int from 0 .* got -1"),
        ({"device": "abacus"}, "`device` must be .* got 'abacus'"),
    ],
)
def test_bad_parameters(parameters, message, stripes):
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(*stripes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y[:-1]), "one label for each of the 60 rows"),
        (lambda X, y: (X, y * 0), "at least 2 classes, got one class: 0"),
        (lambda X, y: (X, np.where(np.arange(60) == 0, 7, y)), "Class 7 has 1 row"),
        (lambda X, y: (X / 255 * np.nan, y), "NaN"),
        (lambda X, y: (X[:, 0, 0], y), "must hold images"),
        (lambda X, y: (X[:0], y[:0]), "no rows"),
        (lambda X, y: (X // 128, y), "uint8 must lie in 0 to 255, got none above 1: multiply by 255"),
        (
            lambda X, y: ("folder", y),
            "`X` must be an array, a Tensor or a DataFrame of samples, got 'folder'",
        ),
    ],
)
def test_bad_data(change, message, stripes):
    with pytest.raises(ValueError, match=message):
        small().fit(*change(*stripes))


def test_bad_calls(fitted, stripes):
    X, y = stripes
    with pytest.raises(NotFittedError):
        small().sample([0])
    with pytest.raises(ValueError, match=r"among \[0, 1, 2\], got 3"):
        fitted.sample([0, 3])
    with pytest.raises(ValueError, match="`strength`.*-1"):
        fitted.vary(X, y, strength=-1)
    with pytest.raises(ValueError, match=r"must be an ndarray of uint8 rows of shape \(8, 8\)"):
        fitted.vary(X[:, :, :, None], y)
    with pytest.raises(ValueError, match=r"must be an ndarray of uint8 rows .* as in fit, got a DataFrame"):
        fitted.vary(mixed_table(), np.zeros(200, int))
    assert fitted.vary(X[:0], y[:0]).shape == (0, 8, 8)
    with pytest.raises(ValueError, match="one label for each of the 0 rows"):
        fitted.vary(X[:0], y)


def test_scikit_learn_conventions(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.sample([0])


def test_checkpoint_resumes_and_refuses_others(stripes, tmp_path, monkeypatch):
    X, y = stripes
    monkeypatch.setattr("ganaug.training.loop.LOG_INTERVAL", 5)
    monkeypatch.setattr("ganaug.training.loop.CHECKPOINT_INTERVAL", 20)

    def stop(step, metrics):
        raise KeyboardInterrupt

    whole = small(steps=40).fit(X, y)
    with pytest.raises(KeyboardInterrupt):
        small(steps=40, callbacks=[lambda step, _: stop(step, _) if step == 35 else None]).fit(
            X, y, checkpoint=tmp_path / "c"
        )
    steps = []
    resumed = small(steps=40, callbacks=[lambda step, _: steps.append(step)])
    resumed.fit(X, y, checkpoint=tmp_path / "c")
    assert steps == [25, 30, 35, 40]
    assert np.array_equal(resumed.sample(y, 0), whole.sample(y, 0))
    with pytest.raises(ValueError, match=r"with X = \(.*\) \w+, not \(.*\) \w+: pass what"):
        small(steps=40).fit(255 - X, y, checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match="`checkpoint` must be a folder, got the file"):
        small(steps=40).fit(X, y, checkpoint=__file__)
    with pytest.raises(ValueError, match="with steps = 40, not 61: pass what it was made with"):
        small(steps=61).fit(X, y, checkpoint=tmp_path / "c")


def test_a_checkpoint_keeps_the_seed_that_nobody_gave(stripes, tmp_path):
    first, again, other = (
        small(random_state=None).fit(*stripes, checkpoint=tmp_path / name).sample([0, 1, 2], 0)
        for name in ("a", "a", "b")
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_failed_save_leaves_nothing(stripes, tmp_path):
    gan = small(loss=LOSSES["hinge"]).fit(*stripes)
    with pytest.raises(ValueError, match="`loss` is a callable, which can't be saved"):
        gan.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("bad", [{"architecture": "warping"}, {"random_state": 1.5}, {"steps": 0}])
def test_what_is_refused_leaves_no_checkpoint(bad, tmp_path):
    X, y = mixed_table(), np.repeat(["no", "yes"], [160, 40])
    with pytest.raises(ValueError, match=f"`{next(iter(bad))}` must"):
        ConditionalGAN(**bad).fit(X, y, checkpoint=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_checkpoint_names_its_own_seed(stripes, tmp_path):
    first = small(random_state=3).fit(*stripes, checkpoint=tmp_path / "c").sample([0, 1], 0)
    resumed = small(random_state=None).fit(*stripes, checkpoint=tmp_path / "c").sample([0, 1], 0)
    assert np.array_equal(first, resumed)


def test_expected_seconds(stripes):
    gan = small(steps=150)
    assert gan.expected_seconds(*stripes) >= 0
    assert gan.steps == 150


@pytest.mark.parametrize("held_up", [0, 1, 3])
def test_expected_seconds_of_a_machine_that_is_busy_for_a_while(stripes, monkeypatch, held_up):
    """A first fit may be slow, as libraries start, and a later one may have to wait."""
    calls, clock = itertools.count(), [0.0]

    def fit(self, X, y):
        clock[0] += 3 + 0.25 * self.steps + (20 if next(calls) == held_up else 0)
        return self

    monkeypatch.setattr(ConditionalGAN, "fit", fit)
    monkeypatch.setattr("ganaug.model.fitting.time.perf_counter", lambda: clock[0])
    assert small(steps=80).expected_seconds(*stripes) == pytest.approx(20)


def test_a_table_is_fitted_sampled_varied_and_saved(tmp_path):
    X, y = mixed_table(), np.repeat(["no", "yes"], [160, 40])
    gan = ConditionalGAN(steps=5, base_channels=8, random_state=0).fit(X, y)
    rows = gan.sample(["yes", "no", "yes"], random_state=1)
    assert rows.dtypes.equals(X.dtypes)
    assert gan.n_features_in_ == X.shape[1]
    gan.save(tmp_path)
    again = ConditionalGAN.load(tmp_path)
    assert again.sample(["yes", "no", "yes"], random_state=1).equals(rows)
    varied = again.vary(X[:4], y[:4], random_state=1)
    assert varied.equals(gan.vary(X[:4], y[:4], random_state=1))
    assert varied["income"].isna().tolist() == X["income"][:4].isna().tolist()
    assert again.vary(X[5:8], y[5:8]).index.tolist() == [5, 6, 7]
    assert len(gan.sample([])) == len(gan.vary(X[:0], y[:0])) == 0
    assert again.feature_names_in_.tolist() == gan.feature_names_in_.tolist() == X.columns.tolist()
    assert not hasattr(gan.fit(X[["age", "income"]].to_numpy(float), y), "feature_names_in_")


def test_rows_of_a_class_of_a_table_are_of_that_class():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 15])
    X = rng.normal(size=(315, 4)) + 4 * y[:, None] * np.array([1, -1, 0, 0])
    gan = ConditionalGAN(steps=200, random_state=0).fit(X, y)
    rows = gan.sample(np.repeat([0, 1], 200), random_state=0)
    assert np.mean((rows[:, 0] - rows[:, 1] > 4) == np.repeat([False, True], 200)) > 0.9
    # More than the 15 that were there: what lies between them, and beyond.
    assert len(np.unique(rows[200:].round(3), axis=0)) > 150


def test_an_architecture_for_images_is_refused_for_a_table():
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(ValueError, match=r"'tabular', 'fully-connected'.*for a table, got 'warping'"):
        ConditionalGAN(architecture="warping").fit(X, np.arange(20) % 2)


def test_an_architecture_for_features_is_refused_for_images(stripes):
    with pytest.raises(ValueError, match=r"'warping', 'tinting'.*for images, got 'features'"):
        ConditionalGAN(architecture="features").fit(*stripes)


def test_what_is_saved_is_what_was_fitted(stripes, tmp_path):
    gan = small().fit(*stripes)
    rows, digest = gan.sample([0, 1, 2], 0), gan.digest()
    gan.set_params(latent_dim=16, strength=9.0, architecture="dcgan")
    assert gan.digest() == digest
    gan.save(tmp_path / "m")
    loaded = ConditionalGAN.load(tmp_path / "m")
    assert np.array_equal(loaded.sample([0, 1, 2], 0), rows)
    assert loaded.latent_dim == 4
    loaded.set_params(strength=9.0)
    assert loaded.digest() == digest


def scaled_hinge(factor, real, fake):
    return tuple(factor * loss for loss in hinge(real, fake))


class ScaledHinge(torch.nn.Module):
    """Holds an array, whose hash two runs can compare, and a Tensor, whose hash they can't."""

    def __init__(self, factor):
        super().__init__()
        self.factor = np.array(factor)

    def forward(self, real, fake):
        return scaled_hinge(float(self.factor), real, fake)

    def as_closure(self):
        factor = self.factor
        return lambda real, fake: scaled_hinge(float(factor), real, fake)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (partial(scaled_hinge, 1.0), partial(scaled_hinge, 2.0)),
        (lambda real, fake: scaled_hinge(1.0, real, fake), lambda real, fake: scaled_hinge(2.0, real, fake)),
        (*((lambda real, fake, k=k: scaled_hinge(k, real, fake)) for k in (1.0, 2.0)),),
        (ScaledHinge(1.0), ScaledHinge(2.0)),
        (ScaledHinge(1.0).as_closure(), ScaledHinge(2.0).as_closure()),
    ],
)
def test_a_checkpoint_tells_callables_apart(one, other, stripes, tmp_path):
    small(loss=one).fit(*stripes, checkpoint=tmp_path)
    small(loss=one).fit(*stripes, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="is a checkpoint of a training with loss = "):
        small(loss=other).fit(*stripes, checkpoint=tmp_path)


def test_what_differs_in_each_run_is_no_difference(stripes, tmp_path):
    """How a Tensor is pickled, for example, differs in each run."""

    def loss():
        held = torch.ones(1)
        return lambda real, fake: scaled_hinge(held, real, fake)

    def itself():
        def again(real, fake, times=2):
            return again(real, fake, times - 1) if times else scaled_hinge(1.0, real, fake)

        return again

    for kind in (loss, itself):
        for _ in range(2):
            small(loss=kind()).fit(*stripes, checkpoint=tmp_path / kind.__name__)


def test_training_samples_are_kept_and_saved_once(stripes, tmp_path):
    gan = small(architecture="instance+warping").fit(*stripes)
    first, second = gan.members_
    assert np.shares_memory(first.X, second.X) and not np.shares_memory(first.X, stripes[0])
    gan.save(tmp_path)
    names = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert [name for name in names if name.endswith((".rows", ".labels"))] == ["0.labels", "0.rows"]


def test_fits_in_threads_are_those_of_one_after_another(stripes):
    def rows(seed):
        return small(random_state=seed, architecture="warping+instance").fit(*stripes).sample([0, 1, 2], 0)

    state = torch.get_rng_state()
    alone = [rows(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(rows, range(6)))
    assert np.array_equal(alone, together)
    assert torch.equal(torch.get_rng_state(), state)


def test_fit_trains_where_gradients_are_off(stripes):
    with torch.no_grad():
        gan = small().fit(*stripes)
    assert np.array_equal(gan.sample([0, 1], 0), small().fit(*stripes).sample([0, 1], 0))


def test_wrong_kinds_are_named(stripes, fitted):
    with pytest.raises(ValueError, match="`modality` must be 'auto' or 'table' for a DataFrame"):
        ConditionalGAN(modality="images").fit(mixed_table(), np.arange(200) % 2)
    with pytest.raises(ValueError, match="`strength` must be a number from 0 up, got '1'"):
        fitted.vary(stripes[0][:2], stripes[1][:2], "1")
    with pytest.raises(ValueError, match="`modality` must be one of"):
        ConditionalGAN(modality="foo").expected_seconds(*stripes)
