from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from ganaug.losses import LOSSES, PENALTIES
from ganaug.networks import Networks
from ganaug.training import ClassRows, loosen, train_gan


class NumberCodec:
    """Rows are single numbers, left as they are."""

    def encode(self, X):
        return torch.as_tensor(X, dtype=torch.float32)

    def activate(self, raw):
        return raw

    def augment(self, rows, generator):
        return rows

    corrupt = augment


class Shift(nn.Module):
    """A generator that changes a row by a learned multiple of the delta."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, rows, codes, deltas, labels):
        return rows + self.scale * deltas


class Affine(nn.Module):
    """A generator of scale * code + offset, one of each for each class."""

    def __init__(self):
        super().__init__()
        self.scale, self.offset = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))

    def forward(self, codes, labels):
        return self.scale[labels, None] * codes + self.offset[labels, None]


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, rows, labels):
        return self.layers(torch.cat([rows, nn.functional.one_hot(labels, 2).float()], dim=1)).squeeze(1)


def train(steps=50, seed=0, encoder=False, **options):
    torch.manual_seed(seed)
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(2, 0.5, (200, 1)), rng.normal(-1, 0.5, (200, 1))])
    labels = np.repeat([0, 1], [200, 200])
    return train_gan(
        X,
        labels,
        NumberCodec(),
        Networks(Shift(), Judge(), nn.Linear(1, 1)) if encoder else Networks(Affine(), Judge()),
        **{
            "loss": LOSSES["relativistic"],
            "penalty": PENALTIES["r1+r2"],
            "steps": steps,
            "batch_size": 64,
            "code_size": 1,
            "noise": 0.05,
            "fabric": Fabric(accelerator="cpu", devices=1),
            "generator": torch.Generator().manual_seed(seed),
            **options,
        },
    )


def weights(networks):
    state = networks.generator.state_dict()
    return torch.cat([value.flatten() for value in state.values()])


@pytest.mark.parametrize("loss", ["relativistic", "non-saturating"])
def test_two_gaussians_are_recovered(loss):
    networks, _ = train(
        1500, loss=LOSSES[loss], learning_rate=5e-3, discriminator_rate=1.0, penalty_weight=0.05
    )
    offset, scale = networks.generator.offset, networks.generator.scale.abs()
    assert offset.tolist() == pytest.approx([2, -1], abs=0.15)
    assert scale.tolist() == pytest.approx([0.5, 0.5], abs=0.3)  # it starts at 1


def test_weights_are_clipped_at_each_step():
    networks, _ = train(
        50, loss=LOSSES["wasserstein"], penalty=PENALTIES["weight-clipping"], penalty_every=1000
    )
    largest = max(parameter.abs().max().item() for parameter in networks.discriminator.parameters())
    assert 0.005 < largest < 0.01 + 5 * 4e-4  # no update of Adam is longer than five learning rates


def test_one_learning_rate_scales_both_sides():
    """The discriminator stays as it was where either factor of its rate is zero."""
    start = train(1, learning_rate=0.0)[0].discriminator.state_dict()
    for options in ({"learning_rate": 0.0}, {"discriminator_rate": 0.0}):
        state = train(5, **options)[0].discriminator.state_dict()
        assert all(torch.equal(state[name], start[name]) for name in start)
    assert any(
        not torch.equal(value, start[name]) for name, value in train(5)[0].discriminator.state_dict().items()
    )


@pytest.mark.parametrize("encoder", [False, True])
def test_a_seed_decides_the_weights(encoder):
    first, again, other = (weights(train(seed=seed, encoder=encoder)[0]) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_row_is_turned_into_another():
    networks, _ = train(steps=600, encoder=True, learning_rate=1e-2)
    rows, others = torch.tensor([[2.0], [2.5], [-1.5]]), torch.tensor([[3.0], [1.0], [-1.0]])
    codes = networks.encoder(rows)
    made = networks.generator(rows, codes, networks.encoder(others) - codes, torch.tensor([0, 0, 1]))
    assert made.flatten().tolist() == pytest.approx(others.flatten().tolist(), abs=0.1)


def test_global_states_are_left_alone():
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    networks = Networks(Affine(), Judge(), None)
    before, threads = states(), torch.get_num_threads()
    train_gan(
        np.zeros((4, 1)),
        np.array([0, 0, 1, 1]),
        NumberCodec(),
        networks,
        loss=LOSSES["hinge"],
        penalty=PENALTIES["none"],
        steps=3,
        batch_size=4,
        code_size=1,
        noise=0.0,
        fabric=Fabric(accelerator="cpu", devices=1),
        generator=torch.Generator().manual_seed(0),
    )
    assert states() == before
    assert torch.get_num_threads() == threads
    assert torch.get_default_dtype() == torch.float32


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.training.SAVE_EVERY", 20)

    class Stop(Exception):
        pass

    def stop(step, metrics):
        if step == 50:
            raise Stop

    path = tmp_path / "folder" / "state.pt"
    with pytest.raises(Stop):
        train(100, encoder=True, checkpoint=path, digest="a", callbacks=[stop])
    steps = []
    resumed, history = train(
        100, encoder=True, checkpoint=path, digest="a", callbacks=[lambda step, _: steps.append(step)]
    )
    assert steps == [50, 75, 100]  # from the checkpoint at 40
    whole, whole_history = train(100, encoder=True)
    assert torch.equal(weights(resumed), weights(whole))
    assert torch.equal(resumed.encoder.weight, whole.encoder.weight)
    assert history == whole_history
    assert [file.name for file in path.parent.iterdir()] == ["state.pt"]


def test_foreign_and_damaged_checkpoints(tmp_path):
    path = tmp_path / "state.pt"
    train(5, checkpoint=path, digest="a")
    with pytest.raises(ValueError, match="other data or other parameters"):
        train(5, checkpoint=path, digest="b")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="can't be read as a checkpoint"):
        train(5, checkpoint=path, digest="a")


def test_divergence_is_told():
    with pytest.raises(RuntimeError, match="diverged at step"):
        train(50, loss=lambda real, fake: (real.mean() * float("nan"), fake.mean()))


def test_history_and_callbacks():
    seen = []
    _, history = train(60, callbacks=[lambda step, metrics: seen.append((step, metrics))])
    assert [step for step, _ in seen] == [25, 50, 60]
    assert [{"step": step, **metrics} for step, metrics in seen] == history


def test_draw_pairs():
    labels = np.array([1, 0, 1, 0, 2, 1, 2])
    rows = ClassRows(labels)
    classes = torch.tensor([0, 1, 2] * 200)
    first, second = rows.draw_pairs(classes, torch.Generator().manual_seed(0))
    assert np.array_equal(labels[first], classes.numpy())
    assert np.array_equal(labels[second], classes.numpy())
    assert (first != second).all()
    assert set(first.tolist()) == set(second.tolist()) == set(range(7))


def test_draw_pairs_of_a_single_row():
    first, second = ClassRows(np.array([0, 1, 1])).draw_pairs(torch.tensor([0]), torch.Generator())
    assert first.tolist() == second.tolist() == [0]


@pytest.mark.parametrize(
    ("power", "expected"), [(0.0, [1 / 3] * 3), (0.5, [1 / 6, 2 / 6, 3 / 6]), (1.0, [1 / 14, 4 / 14, 9 / 14])]
)
def test_draw_classes(power, expected):
    rows = ClassRows(np.repeat([0, 1, 2], [1, 4, 9]))
    drawn = rows.draw_classes(20_000, power, torch.Generator().manual_seed(0))
    assert (drawn.bincount() / 20_000).tolist() == pytest.approx(expected, abs=0.015)


def test_loosen():
    loose = loosen(torch.ones(5000, 2), 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(loose[:, 0], loose[:, 1])
    assert loose.min() >= 0
    assert loose.max() <= 1
    assert loose.mean().item() == pytest.approx(0.5, abs=0.02)
    jittered = loosen(torch.zeros(5000, 1), 0.3, torch.Generator().manual_seed(0))
    assert jittered.std().item() == pytest.approx(0.3, abs=0.02)
