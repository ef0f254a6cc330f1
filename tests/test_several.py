from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ganaug import ConditionalGAN
from ganaug.networks import ARCHITECTURES
from ganaug.networks.layers import Networks
from ganaug.networks.several import GeneratorMixture, OriginClassifier, Projected, separate, several
from ganaug.training.discriminators import Discriminators
from ganaug.training.losses import LOSSES, PENALTIES
from tests.test_training import Affine, Discriminator, train

SHAPES = {
    "tabular": (5,),
    "features": (5,),
    "fully-connected": (3,),
    "time-warping": (2, 12),
    "recurrent": (2, 12),
}


def build(name, discriminators, generators):
    torch.manual_seed(0)
    shape = SHAPES.get(name, (1, 9, 8))
    return several(ARCHITECTURES[name], discriminators, generators)(shape, 3, 6, 4, torch.tanh), shape


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_can_have_several(name):
    networks, shape = build(name, 3, 2)
    samples, labels = torch.rand(8, *shape), torch.arange(8) % 3
    for discriminator in networks.discriminator:
        assert discriminator(samples, labels).shape == (8,)
    assert networks.classifier(samples).shape == (8, 2)
    assert len(networks.discriminator) == 3
    assert [type(one.generator) for one in separate(networks)] == [type(networks.generator[0])] * 2


def test_one_of_each_is_the_architecture_itself():
    assert several(ARCHITECTURES["dcgan"], 1, 1) is ARCHITECTURES["dcgan"]


def test_discriminators_see_different_projections_of_half_the_size():
    networks, shape = build("dcgan", 2, 1)
    first, second = networks.discriminator
    assert not torch.equal(first.weight, second.weight)
    assert torch.allclose(first.weight.flatten(1).norm(dim=1), torch.ones(1))
    images = torch.rand(4, *shape)
    seen = []
    first.discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    first(images, torch.zeros(4, dtype=torch.long))
    assert seen == [(4, 1, 4, 4)]
    assert "weight" not in dict(first.named_parameters())  # it is never trained


@pytest.mark.parametrize(("width", "expected"), [(3, 3), (12, 8), (40, 20)])
def test_short_samples_are_seen_whole(width, expected):
    projected = Projected(ARCHITECTURES["fully-connected"], (width,), 2, 4, 4)
    assert projected.weight.shape == (expected, width)


def test_generators_share_a_batch_in_turn():
    class Constant(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = nn.Parameter(torch.tensor(float(value)))

        def forward(self, noise, labels):
            return noise + self.value

    mixture = GeneratorMixture([Constant(0), Constant(100), Constant(200)])
    noise = torch.arange(8.0)[:, None]
    made = mixture(noise, torch.zeros(8))
    assert made[:, 0].tolist() == [0, 101, 202, 3, 104, 205, 6, 107]
    assert mixture.origins(8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def adversarial(discriminators, *, hardest, classifier=None, generator=None):
    networks = Networks(generator or Affine(), discriminators, classifier=classifier)
    return Discriminators(
        networks,
        loss=LOSSES["wasserstein"],
        penalty=PENALTIES["none"],
        penalty_interval=1,
        hardest=hardest,
    )


class Fixed(nn.Module):
    """A discriminator that finds real samples so much better than generated ones."""

    def __init__(self, margin):
        super().__init__()
        self.margin = nn.Parameter(torch.tensor(float(margin)))

    def forward(self, samples, labels):
        return self.margin * (samples[:, 0] > 0)


@pytest.mark.parametrize(("hardest", "expected"), [(False, -2.0), (True, -1.0)])
def test_the_generator_learns_from_all_or_from_the_hardest(hardest, expected):
    from ganaug.networks.several import SeveralDiscriminators

    judges = adversarial(SeveralDiscriminators([Fixed(1), Fixed(3)]), hardest=hardest)
    real, fake, classes = -torch.ones(4, 1), torch.ones(4, 1), torch.zeros(4, dtype=torch.long)
    assert judges.loss_of_generator(real, fake, classes).item() == expected
    # Each discriminator has its own loss, whatever the generator learns from.
    assert judges.loss_of_discriminators(real, fake, classes, None).item() == 4.0


def test_a_classifier_learns_which_generator_made_a_sample(monkeypatch):
    """Where two generators start alike, the classifier drives them apart."""
    monkeypatch.setattr("ganaug.training.discriminators.ORIGIN_WEIGHT", 1.0)

    def run(mixture, classifier):
        networks = Networks(mixture, Discriminator(), classifier=classifier)
        trained, _ = train(400, networks=networks, loss=LOSSES["non-saturating"], learning_rate=5e-3)
        return [one.generator.offset.detach() for one in separate(trained)]

    torch.manual_seed(0)
    alone = run(GeneratorMixture([Affine(), Affine()]), None)
    torch.manual_seed(0)
    told_apart = run(GeneratorMixture([Affine(), Affine()]), OriginClassifier(Discriminator(), 2))
    distance = [(a - b).abs().max().item() for a, b in (alone, told_apart)]
    assert distance[0] < 0.2 < 0.5 < distance[1]


@pytest.mark.parametrize("conditioning", ["shared", "per-class"])
@pytest.mark.parametrize("architecture", ["auto", "dcgan", "style-based", "dcgan+instance"])
def test_a_model_with_several_of_both_is_saved(architecture, conditioning, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.random((24, 8, 8)).astype("float32"), np.arange(24) % 3
    gan = ConditionalGAN(
        architecture=architecture,
        conditioning=conditioning,
        generators=2,
        discriminators=2,
        steps=2,
        batch_size=8,
        base_channels=4,
        random_state=0,
    ).fit(X, y)
    n_architectures = 2 if architecture in ("auto", "dcgan+instance") else 1
    assert len(gan.members_) == n_architectures * 2 * (3 if conditioning == "per-class" else 1)
    gan.save(tmp_path)
    again = ConditionalGAN.load(tmp_path)
    labels = np.repeat([2, 0, 1], 20)
    assert np.array_equal(again.sample(labels, 0), gan.sample(labels, 0))
    for member in gan.members_:  # those of one class make nothing of another
        member.generator.forward = lambda *inputs: torch.zeros(len(inputs[-1]), 1, 8, 8)
    broken = gan.members_[0 if conditioning == "shared" else 2]
    broken.generator.forward = lambda *inputs: torch.ones(len(inputs[-1]), 1, 8, 8)
    bright = (gan.sample(labels, 0) == 1).all(axis=(1, 2))
    own = labels == 2 if conditioning == "per-class" else labels >= 0
    assert 0.5 / (n_architectures * 2) < bright[own].mean() < 1.6 / (n_architectures * 2)
    assert not bright[~own].any()


@pytest.mark.parametrize("modality", ["table", "features"])
def test_tables_and_features_can_have_several(modality):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)).astype("float32"), np.arange(40) % 2
    gan = ConditionalGAN(modality=modality, generators=2, discriminators=2, steps=3, random_state=0).fit(X, y)
    assert gan.sample(y, 0).shape == X.shape


def test_more_networks_than_a_file_has_are_refused(tmp_path):
    import json

    rng = np.random.default_rng(0)
    ConditionalGAN(steps=1, base_channels=2, architecture="dcgan").fit(
        rng.random((12, 8, 8)), np.arange(12) % 2
    ).save(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["members"] = config["parameters"]["generators"] = 10**9
    config["parameters"]["batch_size"] = 2 * 10**9
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="tensors for 1000000000 networks"):
        ConditionalGAN.load(tmp_path)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"discriminators": 0}, "`discriminators` must be an int of at least 1, got 0"),
        ({"generators": 1.5}, "`generators` must be an int of at least 1, got 1.5"),
        (
            {"discriminator_loss": "max"},
            r"`discriminator_loss` must be one of \['mean', 'hardest'\], got 'max'",
        ),
        ({"generators": 5, "batch_size": 8}, "`batch_size` must be at least 10 for 5 generators"),
    ],
)
def test_wrong_numbers(parameters, message):
    with pytest.raises(ValueError, match=message):
        ConditionalGAN(**parameters).check_parameters()
