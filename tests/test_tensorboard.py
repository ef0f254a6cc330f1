"""What is written for TensorBoard while a GAN trains."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from ganaug import ConditionalGAN

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def logged(folder):
    events = accumulator.EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return events


def fit(X, y, **settings):
    return ConditionalGAN(steps=30, base_channels=4, latent_dim=4, random_state=0, **settings).fit(X, y)


def test_losses_and_samples(stripes, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.model.tensorboard.CHECKPOINT_INTERVAL", 25)
    X, y = stripes
    plain = fit(X, y, architecture="warping+instance")
    seen = fit(X, y, architecture="warping+instance", log_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["training 1 of 2", "training 2 of 2"]
    for member in (0, 1):
        events = logged(tmp_path / f"training {member + 1} of 2" / "version_0")
        history = [entry for entry in seen.history_ if entry["member"] == member]
        for name in ("generator", "discriminator", "min_class_diversity"):
            found = events.Scalars(name)
            assert [event.step for event in found] == [25, 30]
            assert [e.value for e in found] == pytest.approx([entry[name] for entry in history], rel=1e-5)
        grids = events.Images("samples")
        assert [grid.step for grid in grids] == [25, 30]
        assert grids[0].height == 3 * (8 + 2) + 2  # a line for each of three classes
    # Logging changes no sample.
    assert np.array_equal(plain.sample(y, 0), seen.sample(y, 0))


def test_no_thread_stays(stripes, tmp_path):
    before = threading.active_count()
    fit(*stripes, architecture="instance", log_dir=tmp_path)
    assert threading.active_count() == before


def test_a_table_has_no_samples_to_show(tmp_path):
    rng = np.random.default_rng(0)
    fit(rng.normal(size=(40, 3)), np.arange(40) % 2, log_dir=tmp_path)
    events = logged(tmp_path / "training" / "version_0")
    assert len(events.Scalars("generator")) == 2
    assert events.Tags()["images"] == []


def test_each_fit_has_a_folder_of_its_own_inside(stripes, tmp_path):
    X, y = stripes
    names = np.array(["../../up", "a/b", "c"])[y]
    for _ in range(2):
        fit(X, names, architecture="instance", conditioning="per-class", log_dir=tmp_path / "logs")
    runs = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("version_*"))
    kinds = ["training, class .._.._up", "training, class a_b", "training, class c"]
    assert runs == [f"logs/{kind}/version_{n}" for kind in kinds for n in (0, 1)]


@pytest.mark.parametrize(
    ("log_dir", "installed", "message"),
    [
        ("runs", False, r"`log_dir` needs TensorBoard: pip install 'ganaug\[tensorboard\]'"),
        (3, True, "`log_dir` must be a path or None, got 3"),
    ],
)
def test_bad_log_dir(log_dir, installed, message, stripes, tmp_path, monkeypatch):
    if not installed:
        monkeypatch.setattr("ganaug.model.parameters.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=message):
        ConditionalGAN(log_dir=log_dir).fit(*stripes, checkpoint=tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()
