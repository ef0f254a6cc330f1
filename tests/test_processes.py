"""Several processes that train one GAN together."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import traceback
import warnings
from functools import partial
from multiprocessing.connection import wait

import numpy as np
import pytest
import torch
from conftest import torchrun
from torch import distributed, nn

from ganaug import ConditionalGAN
from ganaug.data.features import FeatureCodec
from ganaug.data.images import ImageCodec
from ganaug.data.tables import TableCodec
from ganaug.networks import ARCHITECTURES
from ganaug.training.launch import launched
from ganaug.training.loop import train_gan
from ganaug.training.losses import LOSSES, PENALTIES
from ganaug.training.processes import Processes, find_device, training_processes
from ganaug.training.trainer import GANTrainer

FORK = multiprocessing.get_context("fork")
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 12, 12), np.uint8)
DATA = {
    "images": (ImageCodec, GREY),
    "colour": (ImageCodec, RNG.integers(0, 256, (40, 16, 16, 3), np.uint8)),
    "table": (TableCodec, RNG.normal(size=(40, 5))),
    "features": (FeatureCodec, RNG.normal(size=(40, 12))),
}
LABELS = np.arange(40) % 3


def together(work, size, folder):
    """Return what `work(rank)` returns in each of so many processes, or the text of what it raises."""
    connections = [FORK.Pipe() for _ in range(size)]
    store = folder / f"store-{len(list(folder.iterdir()))}"

    def run(rank):
        try:
            if size > 1:
                # As they run on one machine, but Gloo's choice of an address may need a name server.
                os.environ["GLOO_SOCKET_IFNAME"] = "lo"
                distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=size)
            result = work(rank)
        except BaseException as exc:
            result = "".join(traceback.format_exception_only(exc)).strip()
        connections[rank][1].send(result)
        os._exit(0)  # the parent's pytest must not go on here

    children = [FORK.Process(target=run, args=(rank,)) for rank in range(size)]
    for child in children:
        child.start()
    try:
        results = []
        for child, (own, _) in zip(children, connections, strict=True):
            wait([own, child.sentinel], timeout=300)
            results.append(own.recv() if own.poll() else "no answer")
    finally:
        for child in children:
            child.kill()
            child.join()
    return results


class DoubleCodec:
    """A codec in 64 bits, where rounding can't hide a mistake."""

    def __init__(self, codec):
        self._codec = codec

    def __getattr__(self, name):
        return getattr(self._codec, name)

    def encode(self, X):
        return self._codec.encode(X).double()


def trained_weights(rank, *, size, kind, architecture, loss="relativistic", penalty="r1+r2", steps=5):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    codec_class, X = DATA[kind]
    codec = codec_class.fit(X)
    trainer = GANTrainer(
        codec.prepare(X),
        LABELS,
        DoubleCodec(codec),
        ARCHITECTURES[architecture](codec.shape, 3, 8, 4, codec.output_activation),
        loss=LOSSES[loss],
        penalty=PENALTIES[penalty],
        batch_size=12,
        latent_dim=8,
        latent_noise=0.05,
        device=torch.device("cpu"),
        rng=torch.Generator().manual_seed(0),
        processes=Processes(rank, size),
    )
    networks, history = train_gan(trainer, steps)
    parts = [networks.generator, networks.discriminator, *filter(None, [networks.encoder])]
    state = {f"{i}.{k}": v.numpy() for i, part in enumerate(parts) for k, v in part.state_dict().items()}
    return state, history


@pytest.mark.parametrize(
    ("size", "kind", "architecture", "options"),
    [
        (3, "images", "warping", {}),
        (2, "images", "instance", {}),
        (2, "colour", "tinting", {}),
        (2, "images", "dcgan", {"loss": "non-saturating"}),  # batch norm in the discriminator as well
        (2, "images", "sngan", {"loss": "hinge", "penalty": "r1"}),
        (2, "images", "r3gan", {}),
        (3, "table", "tabular", {}),
        (2, "features", "features", {}),
    ],
)
def test_several_processes_train_what_one_does(size, kind, architecture, options, tmp_path):
    work = partial(trained_weights, kind=kind, architecture=architecture, **options)
    ((alone, history),) = together(partial(work, size=1), 1, tmp_path)
    results = together(partial(work, size=size), size, tmp_path)
    for state, others_history in results:
        for name, value in alone.items():
            np.testing.assert_allclose(state[name], value, rtol=1e-7, atol=1e-9, err_msg=name)
        for one, other in zip(history, others_history, strict=True):
            assert other == pytest.approx(one, rel=1e-7)
    # The processes themselves have the same bits.
    for name in alone:
        assert all(np.array_equal(results[0][0][name], state[name]) for state, _ in results[1:])


def test_batch_norm_sees_the_whole_batch(tmp_path):
    """In training, in its gradient, in its running statistics, and for rows and maps alike."""
    batch = torch.randn(12, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def work(rank, size):
        processes, norm = Processes(rank, size), nn.BatchNorm1d(5, momentum=None, dtype=torch.float64)
        processes.synchronize(norm)
        own = processes.own(batch.clone()).requires_grad_()
        for _ in range(2):
            out = norm(own)
        (gradient,) = torch.autograd.grad((out**3).sum(), own, create_graph=True)
        (second,) = torch.autograd.grad((gradient**2).sum(), own)
        values = (out, gradient, second, norm.running_mean, norm.running_var, norm.eval()(own))
        return [value.detach().numpy() for value in values]

    (alone,) = together(partial(work, size=1), 1, tmp_path)
    for rank, values in enumerate(together(partial(work, size=3), 3, tmp_path)):
        for value, whole in zip(values, alone, strict=True):
            expected = whole if len(whole) == 5 else whole[4 * rank : 4 * rank + 4]
            np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-9)


def fit(rank, X=GREY, y=LABELS, change=lambda rank: {}, **options):
    warnings.simplefilter("ignore")
    options = {"steps": 3, "batch_size": 12, "latent_dim": 8, "base_channels": 4, **options, **change(rank)}
    checkpoint = options.pop("checkpoint", None)
    gan = ConditionalGAN(distributed=True, **options).fit(X, y, checkpoint=checkpoint)
    return gan.digest(), gan.history_


@pytest.mark.parametrize("options", [{}, {"conditioning": "per-class"}, {"architecture": "dcgan+instance"}])
def test_all_processes_end_with_the_same_model(options, tmp_path):
    """Also without a seed: the first process's is that of all."""
    first, second = together(partial(fit, **options), 2, tmp_path)
    assert first == second
    assert len(first[0]) == 64


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (
            lambda rank: fit(rank, GREY + np.uint8(rank)),
            "ValueError: `X` must be the same in all processes that train together: process 0 has (40, 12",
        ),
        (
            lambda rank: fit(rank, y=np.roll(LABELS, rank)),
            "ValueError: `y` must be the same in all processes",
        ),
        (
            partial(fit, change=lambda rank: {"latent_noise": 0.1 * rank}),
            "ValueError: `latent_noise` must be the same in all processes that train together: process 0 has"
            " 0.0, process 1 has 0.1.",
        ),
        (
            partial(fit, change=lambda rank: {"steps": 3 + rank}),
            "ValueError: `steps` must be the same in all processes that train together: process 0 has 3, p",
        ),
        (partial(fit, batch_size=13), "ValueError: `batch_size` must be a multiple of the 2 processes"),
    ],
)
def test_processes_that_differ_end_with_one_line(work, message, tmp_path):
    for result in together(work, 2, tmp_path):
        assert result.startswith(message)


def test_the_others_end_when_one_dies(tmp_path):
    def work(rank):
        return fit(rank, callbacks=[lambda step, metrics: rank == 1 and os._exit(1)], steps=200)

    first, _ = together(work, 2, tmp_path)
    assert first.startswith("RuntimeError: Process 0 lost those that it trains with: one of them has ended")


@pytest.mark.parametrize("name", ["abacus", "meta", "gpu", "cuda:x"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ValueError, match=f"device of this machine, got '{name}'; PyTorch finds cpu"):
        find_device(name)


def test_together_needs_others():
    with pytest.raises(ValueError, match="`distributed` must be False in a process that was started alone"):
        ConditionalGAN(steps=1, distributed=True).fit(GREY, LABELS)


@pytest.mark.parametrize("size", [1, 2])
def test_a_stopped_run_goes_on_with_any_number_of_processes(size, tmp_path, monkeypatch):
    monkeypatch.setattr("ganaug.training.loop.LOG_INTERVAL", 2)
    monkeypatch.setattr("ganaug.training.loop.CHECKPOINT_INTERVAL", 4)
    (tmp_path / "stores").mkdir()

    def stop(step, metrics):
        if step == 6:
            raise KeyboardInterrupt

    options = {"steps": 8, "random_state": 0}
    stopped = partial(fit, callbacks=[stop], checkpoint=tmp_path / "c", **options)
    assert together(stopped, 2, tmp_path / "stores") == ["KeyboardInterrupt"] * 2
    steps = []
    whole = together(partial(fit, **options), 2, tmp_path / "stores")[0]
    if size == 1:
        gan = ConditionalGAN(
            batch_size=12, latent_dim=8, base_channels=4, callbacks=[lambda s, m: steps.append(s)], **options
        ).fit(GREY, LABELS, checkpoint=tmp_path / "c")
        assert steps[:2] == [6, 8]
        assert gan.history_[-1] == pytest.approx(whole[1][-1], rel=0.05)
    else:
        resumed = together(partial(fit, checkpoint=tmp_path / "c", **options), 2, tmp_path / "stores")
        assert resumed == [whole, whole]


@pytest.mark.slow
def test_torchrun_fits_one_model(tmp_path):
    np.savez(tmp_path / "d.npz", X=GREY, y=LABELS)
    options = ("--steps", "2", "--batch-size", "8", "--random-state", "0")
    command = torchrun("fit", "d.npz", "-o", "m", *options)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Trained on 40 images") == 1
    assert len(ConditionalGAN.load(tmp_path / "m").sample([0, 1])) == 2
    # Bad input: each says so, none waits for another.
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert done.returncode != 0
    assert "Error: m holds a trained model: pass --overwrite to replace it." in done.stderr


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    """As no machine of the tests has one: what torch is asked for."""
    asked = {}
    monkeypatch.setattr(torch, "empty", lambda size, device: asked.update(device=device))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: asked.update(current=device))
    monkeypatch.setattr(distributed, "init_process_group", lambda backend: asked.update(backend=backend))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: asked.update(destroyed=True))
    monkeypatch.setattr(distributed, "get_rank", lambda: 11)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 16)
    started = {"TORCHELASTIC_RUN_ID": "1", "RANK": "11", "WORLD_SIZE": "16", "LOCAL_RANK": "3"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    device = find_device("auto")
    with training_processes(True, device) as processes:
        assert (processes.rank, processes.size, processes.is_first) == (11, 16, False)
    assert device == asked["device"] == torch.device("cuda", 3)
    assert find_device("cuda:1") == torch.device("cuda", 1)
    assert (asked["current"], asked["backend"], asked["destroyed"]) == (device, "nccl", True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launched() is None
