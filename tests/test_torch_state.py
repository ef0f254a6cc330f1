import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from ganaug import ConditionalGAN, GANAugment, QualityGate
from ganaug.evaluation.classifiers import SmallCNNClassifier
from ganaug.training.torch_state import default_torch_state


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


STATES = {
    "float64": lambda: default_dtype(torch.float64),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference": torch.inference_mode,
    "another device": lambda: torch.device("meta"),
}
rng = np.random.default_rng(0)
IMAGES, LABELS = rng.random((40, 8, 8)).astype("float32"), np.arange(40) % 2
BATCH, BATCH_LABELS = torch.from_numpy(IMAGES[:8, None].copy()), torch.from_numpy(LABELS[:8])


def everything(folder):
    gan = ConditionalGAN(steps=3, random_state=0).fit(IMAGES, LABELS)
    gan.save(folder)
    gan = ConditionalGAN.load(folder)
    gate = QualityGate(gan, classifier=SmallCNNClassifier(steps=3)).fit(IMAGES, LABELS)
    gate._class_probability(IMAGES, LABELS)
    augmented = [GANAugment(gan, p=1.0, pool_size=n, random_state=0)(BATCH, BATCH_LABELS)[0] for n in (4, 0)]
    return gan.sample([0, 1], random_state=0), gan.vary(IMAGES, LABELS, random_state=0), *augmented


@pytest.mark.parametrize("state", STATES)
def test_whatever_a_training_loop_has_on_changes_no_image(tmp_path, state):
    torch.manual_seed(0)
    expected = everything(tmp_path / "as-usual")
    torch.manual_seed(0)
    with STATES[state]():
        found = everything(tmp_path / "in-state")
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_threads_leave_each_other_the_dtype():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with default_torch_state():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=other)
    with default_dtype(torch.float64):
        with default_torch_state():
            thread.start()
            assert inside.wait(30)
        assert torch.get_default_dtype() == torch.float32
        leave.set()
        thread.join()
        assert torch.get_default_dtype() == torch.float64


def test_it_is_on_again_afterwards():
    with default_dtype(torch.float64), torch.inference_mode(), torch.autocast("cpu"), torch.device("meta"):
        with pytest.raises(KeyError), default_torch_state():
            assert torch.get_default_dtype() == torch.float32
            assert not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
            assert torch.empty(1).device.type == "cpu"
            raise KeyError
        assert torch.get_default_dtype() == torch.float64
        assert torch.is_inference_mode_enabled() and torch.is_autocast_enabled("cpu")
        assert torch.empty(1).device.type == "meta"
