"""The parameters of `ConditionalGAN`: names, defaults and meanings.

Nothing here takes long to import, so that the command line can make its options of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Literal

    import numpy as np

    from ganaug.data.working_size import WorkingSize
    from ganaug.networks.layers import Architecture
    from ganaug.training.loop import Callback
    from ganaug.training.losses import GANLoss, Penalty
    from ganaug.training.optimizers import OptimizerFactory, Schedule

CHOICES: dict[str, tuple[str, ...]] = {
    "modality": ("auto", "images", "table", "features", "series"),
    "conditioning": ("shared", "per-class"),
    "stored_images": ("full", "reduced"),
    "discriminator_loss": ("mean", "hardest"),
}
INTEGER_MINIMA = {
    "steps": 1,
    "max_rows_kept": 2,
    "batch_size": 2,
    "latent_dim": 1,
    "base_channels": 1,
    "discriminators": 1,
    "generators": 1,
    "early_stopping": 1,
}
NON_NEGATIVE_NUMBERS = (
    "learning_rate",
    "adversarial_weight",
    "sliced_wasserstein_weight",
    "penalty_weight",
    "latent_noise",
    "strength",
)
SHARES = ("novelty",)
# Of these numbers, those that have a default for each kind of data.
WITH_AUTO = ("steps", "sliced_wasserstein_weight", "strength")
WITH_NONE = ("max_rows_kept", "early_stopping", "truncation")
# A section of the docstring of `ConditionalGAN`.
PARAMETERS = """\
    Parameters
    ----------
    modality : {"auto", "images", "table", "features", "series"}, default="auto"
        What `X` holds. "auto": a table if it is two-dimensional, or, if a Tensor, features: dense
        vectors, such as embeddings of a backbone; see `ganaug.training.calibration.Calibration`. Otherwise
        images: "series" (n, length, channels) or (n, length) have to be named.
    architecture : "auto", a name in `ARCHITECTURES`, or a callable, default="auto"
        ``callable(shape, n_classes, latent_dim, base_channels, output_activation) -> Networks``.
        Several names joined by "+" are trained one after another on the same data, and each sample
        comes from one of them at random. "auto": "warping" for grey images, "tinting" for colour
        images, "warping+instance" for images with a side under 16 pixels, "tabular" for tables,
        "features" for features and "time-warping" for series. Of the others, "fully-connected" also takes
        tables and series, "tabular" and "fully-connected" features, and "recurrent" series alone.
    loss : "auto", a name in `LOSSES`, or a callable, default="auto"
        ``callable(real_logits, fake_logits) -> (for_discriminator, for_generator)``. "auto":
        "relativistic".
    penalty : "auto", a name in `PENALTIES`, or a callable, default="auto"
        ``callable(discriminator, real, fake, labels) -> scalar``, evaluated every fourth step at
        four times its weight. "auto": "r1+r2".
    conditioning : {"shared", "per-class"}, default="shared"
        One network for all classes, or one for each. Only a shared one can lend the variety of a
        large class to a small one.
    steps : "auto" or int, default="auto"
        Updates of each network. "auto": 600, 1,500 for images with a side under 16 pixels, 400 for
        tables, 200 for series, 0 for features: what near classes lend is all, and more steps gained
        nothing.
    working_size : "auto", int or (int, int), default="auto"
        Height and width, 8 to 64 pixels, at which the networks see images. Larger images stay as they are:
        what the generator decides is enlarged and applied to them. An int is for the shorter side. "auto":
        the images' own size, or 32 for the shorter side where a side has more than 64 pixels.
    stored_images : {"full", "reduced"}, default="full"
        How a model keeps training images above its working size: as they are, files as the bytes of files;
        or "reduced" to working size, for `vary` alone, as what `sample` makes of them is blurred.
    max_rows_kept : int, optional
        How many samples of each class a model keeps, drawn at random, of which it makes new ones. All are
        trained on. Of millions, those it keeps take memory, and the encoder's time after training: 10,000
        are many. Default: all.
    batch_size : int, default=64
    latent_dim : int, default=32
        Size of the latent code of a sample.
    base_channels : int, default=32
        Channels of the first convolution; a quarter of the units of a hidden layer for tables.
    learning_rate : float, default=1e-3
        Of encoder and generator; the discriminator's is 0.4 of it.
    optimizer : {"adam", "rmsprop", "sgd"} or a callable, default="adam"
        ``callable(parameters, learning_rate) -> torch.optim.Optimizer``.
    schedule : "auto", a name, or a callable, default="auto"
        How both learning rates change: "constant", "cosine", "linear", "exponential", "step", or
        ``callable(optimizer, steps) -> LRScheduler``, whose optimizer has a rate of 1: both rates are
        multiplied by what becomes of it. "auto": that of encoder and generator falls to zero on a cosine, the
        discriminator's is constant.
    early_stopping : int, optional
        A tenth of each class of 20 samples or more is held out. Every 25 steps samples are compared with it
        (`ganaug.training.early_stopping.energy_distance`). Training ends after so many distances in a row
        that are no new minimum, and the model is that of the minimum. Default: train for all `steps`, on all.
    discriminators : int, default=1
        Several: each sees samples through a random projection of its own, to about half their size; see
        `ganaug.networks.several.several`.
    discriminator_loss : {"mean", "hardest"}, default="mean"
        What a generator learns from several discriminators: the mean of its losses, or the largest of them.
    generators : int, default=1
        Several share the batch out, and learn to be told apart by a classifier. Each sample comes from one of
        them at random.
    adversarial_weight : float, default=0.1
        Of the adversarial loss, beside the reconstruction of another sample of the class.
        Architectures that start from noise ("dcgan", "features", ...) have no other loss. They ignore
        this weight, `sliced_wasserstein_weight`, `latent_noise` and, but for "features", `strength`.
    sliced_wasserstein_weight : "auto" or float, default="auto"
        Of the distance between random projections of real and of generated samples. For images these
        are of patches, which keeps them sharp. "auto": 1, or 0 for images with a side under 16 pixels.
    penalty_weight : float, default=0.2
        Of the gradient penalty.
    truncation : float, optional
        Of architectures that start from noise: noise beyond it, in standard deviations, is drawn again in
        `sample`. Smaller is more typical and less varied (Brock et al., ICLR 2019). Default: any noise.
    latent_noise : float, default=0.05
        Standard deviation of the noise on a code difference.
    strength : "auto" or float, default="auto"
        Scale of the code difference in `sample` and `vary`; it is 1 in training. "auto": 1.5 for
        grey images and series, 0.5 for colour images, 1 for tables, features and sides under 16 pixels.
    novelty : float in [0, 1], default=0.75
        How far synthetic rows of a table go from the real row that each starts from, to other rows of its
        class near it; see `ganaug.model.near_rows.NearRows`. 0: they take nothing of those.
    callbacks : sequence of callable, optional
        Each called as ``callback(step, metrics)`` every 25 steps of training.
    log_dir : path, optional
        A folder for TensorBoard (``pip install 'ganaug[tensorboard]'``): losses, and samples of
        images, while training.
    random_state : int, RandomState or None, default=None
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps" or another device of PyTorch.
    distributed : bool, default=False
        Train together with all processes of `torch.distributed`, such as those that torchrun starts. Each has
        its part of every batch, and all end with the same model. All must call `fit` with the same data and
        parameters. The first one writes checkpoints.
    verbose : bool, default=False
        Show a progress bar with time left, losses and diversity, on terminals only.
"""


class GANParameters:
    """What `ConditionalGAN` is configured by; `PARAMETERS` describes each parameter."""

    # Of those that `__init__` sets two at a time: type checkers take no type from a pair.
    loss: str | GANLoss
    penalty: str | Penalty
    batch_size: int
    latent_dim: int
    optimizer: str | OptimizerFactory
    schedule: str | Schedule
    discriminators: int
    discriminator_loss: Literal["mean", "hardest"]
    truncation: float | None
    latent_noise: float
    callbacks: Sequence[Callback] | None
    log_dir: str | Path | None
    random_state: int | np.random.RandomState | None
    device: str
    distributed: bool
    verbose: bool

    def __init__(
        self,
        *,
        modality: Literal["auto", "images", "table", "features", "series"] = "auto",
        architecture: str | Architecture = "auto",
        loss: str | GANLoss = "auto",
        penalty: str | Penalty = "auto",
        conditioning: Literal["shared", "per-class"] = "shared",
        steps: int | Literal["auto"] = "auto",
        working_size: WorkingSize = "auto",
        stored_images: Literal["full", "reduced"] = "full",
        max_rows_kept: int | None = None,
        batch_size: int = 64,
        latent_dim: int = 32,
        base_channels: int = 32,
        learning_rate: float = 1e-3,
        optimizer: str | OptimizerFactory = "adam",
        schedule: str | Schedule = "auto",
        early_stopping: int | None = None,
        discriminators: int = 1,
        discriminator_loss: Literal["mean", "hardest"] = "mean",
        generators: int = 1,
        adversarial_weight: float = 0.1,
        sliced_wasserstein_weight: float | Literal["auto"] = "auto",
        penalty_weight: float = 0.2,
        truncation: float | None = None,
        latent_noise: float = 0.05,
        strength: float | Literal["auto"] = "auto",
        novelty: float = 0.75,
        callbacks: Sequence[Callback] | None = None,
        log_dir: str | Path | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        distributed: bool = False,
        verbose: bool = False,
    ) -> None:
        self.modality = modality
        self.architecture = architecture
        self.loss, self.penalty = loss, penalty
        self.conditioning = conditioning
        self.steps = steps
        self.working_size, self.stored_images = working_size, stored_images
        self.max_rows_kept = max_rows_kept
        self.batch_size, self.latent_dim = batch_size, latent_dim
        self.base_channels = base_channels
        self.learning_rate = learning_rate
        self.optimizer, self.schedule = optimizer, schedule
        self.early_stopping = early_stopping
        self.discriminators, self.discriminator_loss = discriminators, discriminator_loss
        self.generators = generators
        self.adversarial_weight = adversarial_weight
        self.sliced_wasserstein_weight = sliced_wasserstein_weight
        self.penalty_weight = penalty_weight
        self.truncation, self.latent_noise = truncation, latent_noise
        self.strength = strength
        self.novelty = novelty
        self.callbacks, self.log_dir = callbacks, log_dir
        self.random_state, self.device = random_state, device
        self.distributed, self.verbose = distributed, verbose


def is_auto(value: Any) -> bool:
    """Return whether a parameter is left to its default for the data."""
    return isinstance(value, str) and value == "auto"


def check_values(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError if a number or a choice is not as `ConditionalGAN` describes it.

    The others can't be checked before torch is imported; see `ganaug.model.parameters`.
    """
    for name, value in parameters.items():
        if (name in WITH_AUTO and is_auto(value)) or (name in WITH_NONE and value is None):
            continue
        auto = "'auto' or " if name in WITH_AUTO else "None or " if name in WITH_NONE else ""
        if name in INTEGER_MINIMA:
            integer = isinstance(value, Integral) and not isinstance(value, bool)
            # Of features alone there is something to sample before the first step.
            features = name == "steps" and parameters["modality"] == "features"
            minimum = 0 if features else INTEGER_MINIMA[name]
            if not integer or value < minimum:
                raise ValueError(f"`{name}` must be {auto}an int of at least {minimum}, got {value!r}.")
        elif name in NON_NEGATIVE_NUMBERS:
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be {auto}a number from 0 up, got {value!r}.")
        elif name == "truncation":
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be {auto}a number above 0, got {value!r}.")
        elif name in SHARES:
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 <= value <= 1:
                raise ValueError(f"`{name}` must be a number from 0 to 1, got {value!r}.")
        elif name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"`{name}` must be one of {list(CHOICES[name])}, got {value!r}.")
