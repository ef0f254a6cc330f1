from __future__ import annotations

import inspect
import random
import signal
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from ganaug import ConditionalGAN
from ganaug.networks.layers import Networks
from ganaug.training.loop import train_gan
from ganaug.training.losses import LOSSES, PENALTIES
from ganaug.training.monitor import MIN_PAIRS, TrainingMonitor
from ganaug.training.pairs import ClassIndex, perturb_deltas
from ganaug.training.trainer import GANTrainer


class NumberCodec:
    """Samples are single numbers, left as they are."""

    def encode(self, X):
        return torch.as_tensor(X, dtype=torch.float32)

    def output_activation(self, raw):
        return raw

    def augment(self, samples, rng):
        return samples

    cutout = augment

    def reconstruction_loss(self, generated, target):
        error = generated - target
        return error.abs().mean() + 0.5 * error.square().mean()

    def random_projections(self, samples, rng):
        return [samples[None]]


class Shift(nn.Module):
    """A generator that changes a sample by a learned multiple of the delta."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, samples, codes, deltas, labels):
        return samples + self.scale * deltas


class Affine(nn.Module):
    """A generator of scale * noise + offset, one of each for each class."""

    def __init__(self):
        super().__init__()
        self.scale, self.offset = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))

    def forward(self, noise, labels):
        return self.scale[labels, None] * noise + self.offset[labels, None]


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, samples, labels):
        return self.layers(torch.cat([samples, nn.functional.one_hot(labels, 2).float()], dim=1)).squeeze(1)


LOOP_PARAMETERS = set(inspect.signature(train_gan).parameters)


def train(steps=50, seed=0, encoder=False, networks=None, means=(2, -1), **options):
    torch.manual_seed(seed)
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(mean, 0.5, (200, 1)) for mean in means])
    labels = np.repeat([0, 1], [200, 200])
    loop_options = {name: options.pop(name) for name in LOOP_PARAMETERS & options.keys()}
    trainer = GANTrainer(
        X,
        labels,
        NumberCodec(),
        networks
        or (
            Networks(Shift(), Discriminator(), nn.Linear(1, 1))
            if encoder
            else Networks(Affine(), Discriminator())
        ),
        **{
            "loss": LOSSES["relativistic"],
            "penalty": PENALTIES["r1+r2"],
            "batch_size": 64,
            "latent_dim": 1,
            "latent_noise": 0.05,
            "device": torch.device("cpu"),
            "rng": torch.Generator().manual_seed(seed),
            **options,
        },
    )
    return train_gan(trainer, steps, **loop_options)


def weights(networks):
    state = networks.generator.state_dict()
    return torch.cat([value.flatten() for value in state.values()])


@pytest.mark.parametrize("loss", ["relativistic", "non-saturating"])
def test_two_gaussians_are_recovered(loss):
    networks, _ = train(
        1500, loss=LOSSES[loss], learning_rate=5e-3, discriminator_lr_ratio=1.0, penalty_weight=0.05
    )
    offset, scale = networks.generator.offset, networks.generator.scale.abs()
    assert offset.tolist() == pytest.approx([2, -1], abs=0.15)
    assert scale.tolist() == pytest.approx([0.5, 0.5], abs=0.3)  # it starts at 1


def test_weights_are_clipped_at_each_step():
    networks, _ = train(
        50, loss=LOSSES["wasserstein"], penalty=PENALTIES["weight-clipping"], penalty_interval=1000
    )
    largest = max(parameter.abs().max().item() for parameter in networks.discriminator.parameters())
    assert 0.005 < largest < 0.01 + 5 * 4e-4  # no update of Adam is longer than five learning rates


def test_one_learning_rate_scales_both_networks():
    """The discriminator stays as it was where either factor of its rate is zero."""
    start = train(1, learning_rate=0.0)[0].discriminator.state_dict()
    for options in ({"learning_rate": 0.0}, {"discriminator_lr_ratio": 0.0}):
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


def test_a_sample_is_turned_into_another():
    networks, _ = train(steps=600, encoder=True, learning_rate=1e-2)
    sources, targets = torch.tensor([[2.0], [2.5], [-1.5]]), torch.tensor([[3.0], [1.0], [-1.0]])
    codes = networks.encoder(sources)
    deltas = networks.encoder(targets) - codes
    generated = networks.generator(sources, codes, deltas, torch.tensor([0, 0, 1]))
    assert generated.flatten().tolist() == pytest.approx(targets.flatten().tolist(), abs=0.1)


class Scale(nn.Module):
    """A generator that multiplies a sample: to guess another of its class, best by zero."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, samples, codes, deltas, labels):
        return samples * self.scale


@pytest.mark.filterwarnings("ignore:Mode collapse. the samples of class 0, 1 are all alike")
@pytest.mark.parametrize(("sliced_wasserstein_weight", "least", "most"), [(0.0, 0.0, 0.2), (5.0, 0.8, 1.1)])
def test_the_sliced_wasserstein_loss_keeps_what_guessing_would_average_away(
    sliced_wasserstein_weight, least, most
):
    networks, _ = train(
        300,
        networks=Networks(Scale(), Discriminator(), nn.Linear(1, 1)),
        means=(0, 0),
        learning_rate=1e-2,
        adversarial_weight=0.0,
        sliced_wasserstein_weight=sliced_wasserstein_weight,
    )
    assert least <= abs(networks.generator.scale.item()) <= most


def test_global_states_are_left_alone():
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    networks = Networks(Affine(), Discriminator())
    torch.manual_seed(0)  # as `train` does, which is not under test
    before, threads = states(), torch.get_num_threads()
    train(3, networks=networks)
    assert states() == before
    assert torch.get_num_threads() == threads
    assert torch.get_default_dtype() == torch.float32


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.training.loop.CHECKPOINT_INTERVAL", 25)

    class Stop(Exception):
        pass

    def stop(step, metrics):
        if step == 75:
            raise Stop

    path = tmp_path / "folder" / "state.pt"
    with pytest.raises(Stop):
        train(100, encoder=True, checkpoint=path, fingerprint={"a": "1"}, callbacks=[stop])
    steps = []
    resumed, history = train(
        100,
        encoder=True,
        checkpoint=path,
        fingerprint={"a": "1"},
        callbacks=[lambda step, _: steps.append(step)],
    )
    assert steps == [75, 100]  # from the checkpoint at 50
    whole, whole_history = train(100, encoder=True)
    assert torch.equal(weights(resumed), weights(whole))
    assert torch.equal(resumed.encoder.weight, whole.encoder.weight)
    assert history == whole_history
    assert [file.name for file in path.parent.iterdir()] == ["state.pt"]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_for_a_checkpoint(number, tmp_path, monkeypatch):
    def handler(number, frame):
        raise Stopped

    def step(trainer, at, *settings):
        if at == 63:  # between two logs: the sums so far have to be kept too
            signal.raise_signal(number)
        return original(trainer, at, *settings)

    path, original = tmp_path / "state.pt", GANTrainer.step
    before = signal.signal(number, handler)
    try:
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(GANTrainer, "step", step)
            train(100, encoder=True, checkpoint=path)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert torch.load(path, weights_only=True)["current"]["step"] == 64
    resumed, history = train(100, encoder=True, checkpoint=path)
    whole, whole_history = train(100, encoder=True)
    assert torch.equal(weights(resumed), weights(whole))
    assert history == whole_history


def test_a_signal_that_is_ignored_stops_nothing(tmp_path, monkeypatch):
    def step(trainer, at, *settings):
        signal.raise_signal(signal.SIGHUP)
        return original(trainer, at, *settings)

    original = GANTrainer.step
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        monkeypatch.setattr(GANTrainer, "step", step)
        _, history = train(60, checkpoint=tmp_path / "state.pt")
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert history[-1]["step"] >= 50


def test_foreign_and_damaged_checkpoints(tmp_path):
    path = tmp_path / "state.pt"
    train(5, checkpoint=path, fingerprint={"a": "1"})
    with pytest.raises(ValueError, match="with a = 1, not 2: pass what"):
        train(5, checkpoint=path, fingerprint={"a": "2"})
    older = torch.load(path, weights_only=True)
    del older["current"]["trainer"]
    torch.save(older, path)
    with pytest.raises(ValueError, match="no checkpoint of this version"):
        train(5, checkpoint=path, fingerprint={"a": "1"})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="can't be read as a checkpoint"):
        train(5, checkpoint=path, fingerprint={"a": "1"})


def planted(step, harm, times):
    """Return a callback that does harm at `step` whenever it is reached, so many times at most."""
    left = [times]

    def callback(now, metrics):
        if now == step and left[0]:
            left[0] -= 1
            harm()

    return callback


def networks_with(harm):
    torch.manual_seed(0)
    networks = Networks(Affine(), Discriminator())
    return networks, lambda: harm(networks)


def set_nan(networks):
    networks.discriminator.layers[0].weight.data.fill_(float("nan"))


def explode(networks):
    networks.discriminator.layers[-1].weight.data.mul_(1e6)


def collapse(networks):
    networks.generator.scale.data[1] = 0.0


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (set_nan, "no longer finite"),
        (explode, "diverged"),
        (collapse, "mode collapse, the samples of class nine became all alike"),
    ],
)
def test_an_instability_is_rolled_back(harm, words):
    networks, act = networks_with(harm)
    with pytest.warns(ConvergenceWarning, match=rf"step 175: .*{words}.* It resumes from step 100"):
        trained, history = train(
            300,
            networks=networks,
            class_names=["four", "nine"],
            learning_rate=1e-4,  # too slow to mend what was planted
            callbacks=[planted(150, act, 1)],
        )
    assert [entry["step"] for entry in history] == list(range(25, 301, 25))
    assert all(np.isfinite(list(entry.values())).all() for entry in history)
    assert trained.generator.scale.abs().min() > 0.5
    assert torch.isfinite(trained.discriminator.layers[0].weight).all()


def test_a_run_stopped_after_a_rollback_goes_on_to_the_same_weights(tmp_path):
    def run(callback=None, **options):
        networks, act = networks_with(set_nan)
        callbacks = [planted(150, act, 1), *([callback] if callback else [])]
        return train(300, networks=networks, learning_rate=1e-4, callbacks=callbacks, **options)

    def stop(step, metrics):
        if step == 225:
            raise KeyboardInterrupt

    path = tmp_path / "state.pt"
    with pytest.warns(ConvergenceWarning):
        whole, whole_history = run()
    with pytest.warns(ConvergenceWarning), pytest.raises(KeyboardInterrupt):
        run(stop, checkpoint=path)
    resumed, history = run(checkpoint=path)  # from 200: past what is planted, at lower rates already
    assert torch.equal(weights(resumed), weights(whole))
    assert history == whole_history


def test_learning_rates_are_halved_and_the_penalty_doubled(monkeypatch):
    networks, act = networks_with(set_nan)
    rates = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *a: (rates.append(self.param_groups[0]["lr"]), step(self, *a))
    )
    with pytest.warns(ConvergenceWarning):
        _, history = train(
            200,
            networks=networks,
            learning_rate=1e-4,
            penalty=lambda discriminator, real, fake, labels: 1 + 0 * discriminator(real, labels).sum(),
            penalty_interval=1,
            loss=lambda real, fake: (0 * real.sum(), -fake.mean()),
            callbacks=[planted(150, act, 2)],
        )
    discriminator_rates = rates[::2]
    assert [discriminator_rates[0], discriminator_rates[-1]] == pytest.approx([4e-5, 1e-5])
    assert [history[0]["discriminator"], history[-1]["discriminator"]] == pytest.approx([0.2, 0.8])


@pytest.mark.parametrize("harm", [set_nan, explode])
def test_lasting_divergence_is_an_error(harm):
    networks, act = networks_with(harm)
    with (
        pytest.warns(ConvergenceWarning),
        pytest.raises(RuntimeError, match="3 retries at lower learning rates failed. Lower `learning_rate`"),
    ):
        train(300, networks=networks, callbacks=[planted(150, act, 99)])


def test_lasting_collapse_ends_with_the_last_stable_state():
    networks, act = networks_with(collapse)
    with warnings.catch_warnings(record=True, action="always") as caught:
        trained, history = train(
            300, networks=networks, learning_rate=1e-4, callbacks=[planted(150, act, 99)]
        )
    assert len(caught) == 4
    assert "stops with the last stable state, that of step 100. Lower" in str(caught[-1].message)
    assert history[-1]["step"] == 100
    assert trained.generator.scale.abs().min() > 0.5


def test_a_generator_that_was_never_diverse_is_left_to_learn():
    networks, _ = networks_with(collapse)
    networks.generator.scale.data.zero_()
    _, history = train(100, networks=networks, learning_rate=1e-4)
    assert history[0]["min_class_diversity"] < 0.15
    assert len(history) == 4


def test_history_and_callbacks():
    seen = []
    _, history = train(60, callbacks=[lambda step, metrics: seen.append((step, metrics))])
    assert [step for step, _ in seen] == [25, 50, 60]
    assert [{"step": step, **metrics} for step, metrics in seen] == history


def test_sample_pairs():
    labels = np.array([1, 0, 1, 0, 2, 1, 2])
    class_index = ClassIndex(labels)
    classes = torch.tensor([0, 1, 2] * 200)
    first, second = class_index.sample_pairs(classes, torch.Generator().manual_seed(0))
    assert np.array_equal(labels[first], classes.numpy())
    assert np.array_equal(labels[second], classes.numpy())
    assert (first != second).all()
    assert set(first.tolist()) == set(second.tolist()) == set(range(7))


def test_sample_pairs_of_a_single_sample():
    first, second = ClassIndex(np.array([0, 1, 1])).sample_pairs(torch.tensor([0]), torch.Generator())
    assert first.tolist() == second.tolist() == [0]


@pytest.mark.parametrize(
    ("frequency_exponent", "expected"),
    [(0.0, [1 / 3] * 3), (0.5, [1 / 6, 2 / 6, 3 / 6]), (1.0, [1 / 14, 4 / 14, 9 / 14])],
)
def test_sample_classes(frequency_exponent, expected):
    class_index = ClassIndex(np.repeat([0, 1, 2], [1, 4, 9]))
    drawn = class_index.sample_classes(20_000, frequency_exponent, torch.Generator().manual_seed(0))
    assert (drawn.bincount() / 20_000).tolist() == pytest.approx(expected, abs=0.015)


def test_perturb_deltas():
    scaled = perturb_deltas(torch.ones(5000, 2), 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(scaled[:, 0], scaled[:, 1])
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    assert scaled.mean().item() == pytest.approx(0.5, abs=0.02)
    noisy = perturb_deltas(torch.zeros(5000, 1), 0.3, torch.Generator().manual_seed(0))
    assert noisy.std().item() == pytest.approx(0.3, abs=0.02)


def test_a_loss_that_diverges_at_once():
    networks, act = networks_with(explode)
    act()
    with pytest.warns(ConvergenceWarning, match="step 25: the discriminator loss diverged to"):
        with pytest.raises(RuntimeError, match="3 retries at lower learning rates failed"):
            train(50, networks=networks, learning_rate=0.0)


def test_a_class_that_was_never_diverse_is_reported_at_the_end():
    networks, act = networks_with(collapse)
    act()
    with pytest.warns(ConvergenceWarning, match="the samples of class nine are all alike") as caught:
        train(200, networks=networks, class_names=["four", "nine"], learning_rate=0.0)
    assert caught[0].filename == __file__  # whoever called, not a library in between
    train(175, networks=networks, class_names=["four", "nine"], learning_rate=0.0)  # too short to know


def test_of_many_classes_none_has_collapsed():
    """Few of a class are drawn together: two that happen to be alike say nothing."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(120), 4)
    X = rng.normal(0, 3, (120, 6))[y] + rng.normal(0, 1, (480, 6))
    gan = ConditionalGAN(steps=200, random_state=0).fit(X, y)
    assert len(gan.history_) == 8


def test_the_diversity_of_a_class_is_kept_until_enough_was_seen():
    monitor = TrainingMonitor(["a", "b"], torch.device("cpu"))
    real, fake = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    for number in range(MIN_PAIRS):
        assert float(monitor.diversity[0]) == 1.0
        monitor.update({}, real, fake, torch.tensor([0, 0]))
        metrics, instability = monitor.compute()
        assert instability is None
        assert metrics["min_class_diversity"] == (0.5 if number == MIN_PAIRS - 1 else 1.0)
    monitor.update({}, real, fake, torch.tensor([0, 0]))
    monitor.compute()
    assert monitor.pair_distance_sums[2].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("encoder", [False, True])
def test_real_samples_need_no_gradient_in_the_step_of_the_generator(encoder, loss):
    found = []
    for judges_apart in (False, True):
        torch.manual_seed(0)
        parts = (Shift(), Discriminator(), nn.Linear(1, 1)) if encoder else (Affine(), Discriminator())
        networks, history = train(
            steps=10, loss=LOSSES[loss], networks=Networks(*parts, judges_apart=judges_apart)
        )
        found.append((weights(networks), torch.tensor([history[-1]["generator"]])))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)
