from __future__ import annotations

import numpy as np
import pytest
import torch

from ganaug import ConditionalGAN
from ganaug.model.held_out import MAX_HELD_OUT, hold_out
from ganaug.model.samples import Samples
from ganaug.training.early_stopping import EarlyStopping, energy_distance
from tests.test_training import train, weights


def normal(seed, n=400, mean=0.0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)) + mean


CLASSES = torch.arange(400) % 2


def test_the_energy_distance_is_of_distributions():
    same = [energy_distance(normal(2 * seed), normal(2 * seed + 1), CLASSES) for seed in range(8)]
    assert abs(np.mean(same)) < 0.005  # unbiased
    near = energy_distance(normal(0), normal(1, mean=0.2), CLASSES)
    far = energy_distance(normal(0), normal(1, mean=1.0), CLASSES)
    assert max(same) < near < far


def test_the_energy_distance_notices_classes_that_are_mixed_up():
    real = normal(0) + 3.0 * CLASSES[:, None]
    right, wrong = normal(1) + 3.0 * CLASSES[:, None], normal(1) + 3.0 * (1 - CLASSES)[:, None]
    assert energy_distance(real, right, CLASSES) < 0.02 < energy_distance(real, wrong, CLASSES)


def test_the_energy_distance_has_no_unit():
    near = energy_distance(normal(0), normal(1, mean=1.0), CLASSES)
    assert energy_distance(100 * normal(0), 100 * normal(1, mean=1.0), CLASSES) == pytest.approx(near)


def stopping(distances, patience=2):
    left = iter(distances)
    return EarlyStopping(lambda networks: next(left), patience)


def test_training_ends_with_the_best_weights():
    last, _ = train(200)
    seen = {}

    def remember(step, metrics):
        seen[step] = metrics["held_out_distance"]

    stopped, history = train(200, early_stopping=stopping([3, 2, 1, 4, 5, 0]), callbacks=[remember])
    assert [entry["held_out_distance"] for entry in history] == [3, 2, 1, 4, 5]
    assert list(seen) == [25, 50, 75, 100, 125]
    # As those of a run that ends at the next distance.
    at_75, _ = train(200, early_stopping=stopping([3, 2, 1, 4], patience=1))
    assert torch.equal(weights(stopped), weights(at_75))
    assert not torch.equal(weights(stopped), weights(last))


def test_a_stopped_run_remembers_the_best_weights(tmp_path):
    def stop(step, metrics):
        if step == 125:
            raise KeyboardInterrupt

    distances = [3, 1, 2, 2, 2, 2]
    with pytest.raises(KeyboardInterrupt):
        train(
            150,
            early_stopping=stopping(distances, 9),
            checkpoint=tmp_path / "state.pt",
            callbacks=[stop],
        )
    resumed, _ = train(150, early_stopping=stopping(distances[4:], 9), checkpoint=tmp_path / "state.pt")
    whole, _ = train(150, early_stopping=stopping(distances, 9))
    assert torch.equal(weights(resumed), weights(whole))


def test_a_run_that_is_over_does_not_go_on(tmp_path):
    path = tmp_path / "state.pt"
    first, _ = train(200, early_stopping=stopping([1, 2, 3]), checkpoint=path)
    again, history = train(200, early_stopping=stopping([]), checkpoint=path)
    assert history[-1]["step"] == 75
    assert torch.equal(weights(again), weights(first))


def test_a_tenth_of_each_class_is_held_out():
    labels = np.repeat([0, 1, 2], [19, 40, 3000])
    X = np.arange(len(labels))[:, None]
    trained_on, held_out = hold_out(Samples(X, X, labels), seed=0)
    assert np.bincount(held_out.labels, minlength=3).tolist() == [0, 4, MAX_HELD_OUT]
    assert sorted([*trained_on.X[:, 0], *held_out.X[:, 0]]) == list(range(len(labels)))
    assert (labels[held_out.X[:, 0]] == held_out.labels).all()


@pytest.mark.parametrize(
    "options", [{"architecture": "instance"}, {"architecture": "dcgan"}, {"generators": 2}]
)
def test_fit_stops_early(options, monkeypatch):
    """At the first distance that is no new minimum; of samples of the held-out classes."""
    seen = []

    def grow(real, fake, classes):
        seen.append((real, fake, classes))
        return float(len(seen))

    monkeypatch.setattr("ganaug.model.held_out.energy_distance", grow)
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    X = (0.4 * rng.random((80, 8, 8)) + 0.5 * y[:, None, None]).astype("float32")
    options = {"architecture": "instance", **options}
    gan = ConditionalGAN(steps=200, base_channels=4, early_stopping=1, random_state=0, **options).fit(X, y)
    assert [(entry["step"], entry["held_out_distance"]) for entry in gan.history_] == [(25, 1), (50, 2)]
    (real, fake, classes), (same, _, _) = seen
    assert real.shape == fake.shape == (8, 1, 8, 8)
    assert classes.bincount().tolist() == [4, 4]
    assert torch.equal(real, same)
    assert (fake[classes == 1].mean() > fake[classes == 0].mean()) or "dcgan" in options.values()
    assert len(gan.sample(y, 0)) == 80
    assert len(gan.members_[0].labels) == 80  # what was held out is kept for sampling


def test_nothing_to_hold_out():
    X, y = np.random.default_rng(0).random((20, 8, 8)), np.arange(20) % 2
    with pytest.raises(ValueError, match="`early_stopping` must be None where no class has 20 samples.* 10"):
        ConditionalGAN(steps=2, early_stopping=3).fit(X, y)


@pytest.mark.parametrize("value", [0, 1.5, True, "auto"])
def test_patience(value):
    with pytest.raises(ValueError, match="`early_stopping` must be None or an int of at least 1"):
        ConditionalGAN(early_stopping=value).check_parameters()
