"""ConditionalGAN: fit / sample / vary / save / load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ganaug.data.containers import as_container, is_dataframe, take
from ganaug.data.labels import check_labels, encode_labels, label_indices
from ganaug.data.protocol import check_mode
from ganaug.data.tables import TableCodec
from ganaug.io.arrays import as_arrays
from ganaug.model.fitting import (
    Run,
    draw_seed,
    expected_seconds,
    fit_members,
    load_or_create_seed,
    make_fabric,
)
from ganaug.model.generator import generate_in_batches
from ganaug.model.parameters import check_parameters, fit_codec, lookup_architectures, resolved
from ganaug.model.serialization import (
    LOAD_ERRORS,
    check_model,
    model_content,
    model_digest,
    read_model,
    restore,
    write_model,
)
from ganaug.networks.layers import Architecture
from ganaug.training.loop import Callback
from ganaug.training.losses import GANLoss, Penalty
from ganaug.training.torch_state import default_torch_state


def _varies(gan: ConditionalGAN) -> bool:
    if hasattr(gan, "members_") and any(member.encoder is None for member in gan.members_):
        raise AttributeError("`vary` needs an instance-conditioned architecture, such as 'warping'.")
    return True


class ConditionalGAN(BaseEstimator):
    """A conditional GAN, trained on the user's own data, class by class.

    The default architecture is conditioned on real rows: an encoder gives each training row a
    code, and a sample of a class is one of its rows, changed by the difference of the codes of
    two rows of one class, richer ones more often. Relatives in print are the delta-encoder [1]_, DAGAN [2]_
    and IC-GAN [3]_. A fitted model therefore keeps its training rows.

    Parameters
    ----------
    modality : {"auto", "images", "table"}
        What `X` holds. "auto": a table if it is two-dimensional.
    architecture : "auto", a name in `ARCHITECTURES`, or a callable
        ``callable(shape, n_classes, latent_dim, base_channels, output_activation) -> Networks``. Names joined by "+"
        are trained one after another on the same rows, and each row sampled comes from one of them,
        by chance. "auto": "warping" for grey images, "tinting" for those in colour,
        "warping+instance" for images with a side under 16 pixels, or "tabular" for tables, which
        "fully-connected" also takes.
    loss : "auto", a name in `LOSSES`, or a callable
        ``callable(real_logits, fake_logits) -> (for_discriminator, for_generator)``. "auto":
        "relativistic".
    penalty : "auto", a name in `PENALTIES`, or a callable
        ``callable(discriminator, real, fake, labels) -> scalar``, taken every fourth step at four times
        its weight. "auto": "r1+r2".
    conditioning : {"shared", "per-class"}
        One network for all classes, or one for each. Only a shared one can borrow the variety
        of a rich class for a poor one.
    steps : "auto" or int
        Updates of each network. "auto": 600, 1,500 for images with a side under 16 pixels, 400 for
        tables.
    batch_size : int
    latent_dim : int
        Numbers in the code of a row.
    base_channels : int
        Channels of the first convolution; a quarter of the units of a hidden layer for tables.
    learning_rate : float
        Of encoder and generator; the discriminator's is 0.4 of it.
    adversarial_weight : float
        Of the adversarial loss, beside the loss of turning a row into another of its class. Without such
        a row, as in architectures that start from noise ("dcgan", ...), there is no other loss: this
        one, `sliced_wasserstein_weight`, `latent_noise` and `strength` are for the others.
    sliced_wasserstein_weight : "auto" or float
        Of the distance between real and generated rows along random directions; of images between
        their patches, which keeps them sharp. "auto": 1, or 0 for images with a side under 16
        pixels.
    penalty_weight : float
        Of the gradient penalty.
    latent_noise : float
        Standard deviation of the noise on a code.
    strength : "auto" or float
        How far `sample` and `vary` may change a row: the largest part of the difference of two
        others. In training it is 1. "auto": 1.5 for grey images, 0.5 for those in colour, 1 for tables
        and images with a side under 16 pixels.
    callbacks : sequence of callable, optional
        Each called as ``callback(step, metrics)`` while training.
    log_dir : path, optional
        A folder for TensorBoard (``pip install 'ganaug[tensorboard]'``): losses, and samples of
        images, while training.
    random_state : int, RandomState or None
    device : str
        "auto", "cpu", "cuda", "mps" or any accelerator of Lightning Fabric.
    verbose : bool
        Show a progress bar with time left, losses and spread, on terminals only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    class_counts_ : ndarray of shape (n_classes,)
        Training rows of each class.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Of a DataFrame whose columns are all named by strings.
    history_ : list of dict
        Losses by step, and the "spread" of the class that varies least: 1 where generated rows
        differ as much as real ones.
    codec_ : ImageCodec or TableCodec

    References
    ----------
    .. [1] Schwartz et al., "Delta-encoder", NeurIPS 2018.
    .. [2] Antoniou et al., "Data augmentation generative adversarial networks", 2017.
    .. [3] Casanova et al., "Instance-conditioned GAN", NeurIPS 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from ganaug import ConditionalGAN
    >>> X = (load_digits().images / 16).astype("float32")
    >>> gan = ConditionalGAN(steps=2, random_state=0).fit(X, load_digits().target)
    >>> gan.sample([9, 9, 3], random_state=0).shape
    (3, 8, 8)
    """

    def __init__(
        self,
        *,
        modality: Literal["auto", "images", "table"] = "auto",
        architecture: str | Architecture = "auto",
        loss: str | GANLoss = "auto",
        penalty: str | Penalty = "auto",
        conditioning: Literal["shared", "per-class"] = "shared",
        steps: int | Literal["auto"] = "auto",
        batch_size: int = 64,
        latent_dim: int = 32,
        base_channels: int = 32,
        learning_rate: float = 1e-3,
        adversarial_weight: float = 0.1,
        sliced_wasserstein_weight: float | Literal["auto"] = "auto",
        penalty_weight: float = 0.2,
        latent_noise: float = 0.05,
        strength: float | Literal["auto"] = "auto",
        callbacks: Sequence[Callback] | None = None,
        log_dir: str | Path | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.modality = modality
        self.architecture = architecture
        self.loss = loss
        self.penalty = penalty
        self.conditioning = conditioning
        self.steps = steps
        self.batch_size = batch_size
        self.latent_dim = latent_dim
        self.base_channels = base_channels
        self.learning_rate = learning_rate
        self.adversarial_weight = adversarial_weight
        self.sliced_wasserstein_weight = sliced_wasserstein_weight
        self.penalty_weight = penalty_weight
        self.latent_noise = latent_noise
        self.strength = strength
        self.callbacks = callbacks
        self.log_dir = log_dir
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @default_torch_state()
    def fit(self, X: Any, y: Any, *, checkpoint: str | Path | None = None) -> ConditionalGAN:
        """Train on images or a table `X` with labels `y`.

        Parameters
        ----------
        X : ndarray of shape (N, H, W, C) or (N, H, W), or Tensor of shape (N, C, H, W)
            Images, uint8, or float in [0, 1]; 8 to 64 pixels a side; 1, 3 or 4 channels. Or a
            table, ndarray of shape (N, n_features) or pandas DataFrame: numbers, booleans,
            categories and strings, of which some may be missing.
        y : array-like of shape (N,)
            Labels: ints, strings, bools. At least two classes, each of at least two rows.
        checkpoint : path, optional
            A folder for the full state of training, made if missing; if it holds one, training
            goes on from there and ends, on a CPU with as many threads, with the same weights as if
            never interrupted. (On a GPU some of torch's operations round by chance.)

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X, y or a parameter is not of the kind described, or if `checkpoint` belongs to
            other data or parameters.
        RuntimeError
            If training diverges again and again.

        Warns
        -----
        ConvergenceWarning
            Where training went wrong and goes on from its last good state with gentler settings;
            see `ganaug.training.loop.train_gan`.
        """
        X, y = as_arrays((X, y))
        self.check_parameters()
        codec = fit_codec(self.modality, X)
        X = codec.prepare(X)
        classes, labels = encode_labels(y)
        settings = resolved(self.get_params(deep=False), codec)
        architectures = lookup_architectures(settings["architecture"], table=isinstance(codec, TableCodec))
        fabric = make_fabric(self.device)
        # Files are made from here on: what was passed has been checked.
        folder = None if checkpoint is None else Path(checkpoint)
        seed = (
            draw_seed(self.random_state) if folder is None else load_or_create_seed(folder, self.random_state)
        )
        run = Run(X, labels, classes, codec, settings, fabric, seed, folder)
        self.members_, self.history_ = fit_members(
            run, architectures, by_class=self.conditioning == "per-class"
        )
        self.codec_, self.classes_ = codec, classes
        self.class_counts_ = np.bincount(labels)
        self._set_features()
        self._parameters = self.get_params()  # `save` writes these, whatever is set later
        return self

    def _set_features(self) -> None:
        self.n_features_in_ = self.codec_.row_shape[0]
        self.__dict__.pop("feature_names_in_", None)
        if isinstance(self.codec_, TableCodec) and self.codec_.dtype is None:
            names = [column.name for column in self.codec_.columns]
            if all(isinstance(name, str) for name in names):
                self.feature_names_in_ = np.array(names, dtype=object)

    def check_parameters(self) -> None:
        """Raise ValueError if a parameter is not of the kind described; `fit` does so first."""
        check_parameters(self.get_params(deep=False))

    def expected_seconds(self, X: Any, y: Any) -> float:
        """Return about how long `fit` would take on such rows, by a few of its steps."""
        self.check_parameters()
        return expected_seconds(self, X, y)

    @default_torch_state()
    def sample(self, labels: Any, random_state: int | np.random.RandomState | None = None) -> Any:
        """Return one synthetic row for each of `labels`, in order.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Among ``classes_``; a sequence, an array, a tensor, or a single label.
        random_state : int, RandomState or None
            The same int gives the same rows.

        Returns
        -------
        X : as in fit
            Of the kind, dtype, range and shape of the rows that were fitted.
        """
        check_is_fitted(self)
        classes = torch.from_numpy(label_indices(labels, self.classes_))
        rng = torch.Generator().manual_seed(draw_seed(random_state))
        return self._generate(classes, rng, lambda member, own, rows: member.draw(own, rng))

    @available_if(_varies)
    @default_torch_state()
    def vary(
        self, X: Any, y: Any, strength: float = 1.0, random_state: int | np.random.RandomState | None = None
    ) -> Any:
        """Return a variation of each of the given rows.

        Parameters
        ----------
        X : as in fit
            Rows, of the training set or not.
        y : array-like of shape (n,)
            Their labels.
        strength : float
            How far a variation may go: 1 as far as `sample`; 0 no farther than the generator's own
            rendering of the row, which is not it to the pixel.
        random_state : int, RandomState or None

        Returns
        -------
        X : as in fit
        """
        check_is_fitted(self)
        check_mode("vary", strength, self)
        X = as_container(X)
        self.codec_.check(X)
        y = check_labels(y, len(X)) if len(X) or np.size(y) else np.asarray(y)
        classes = torch.from_numpy(label_indices(y, self.classes_))
        rng = torch.Generator().manual_seed(draw_seed(random_state))
        varied = self._generate(
            classes,
            rng,
            lambda member, own, rows: member.vary(take(X, rows), own, strength, rng),
        )
        return varied.set_axis(X.index, axis=0) if is_dataframe(X) else varied

    def _generate(self, classes: Tensor, rng: torch.Generator, generate: Any) -> Any:
        n_classes = len(self.classes_)
        return generate_in_batches(self.members_, self.codec_, n_classes, classes, rng, generate)

    @default_torch_state()
    def save(self, path: str | Path) -> None:
        """Write the fitted model to the folder `path`: config.json and model.safetensors.

        The model holds its training rows: share it only as you would share them.

        Parameters
        ----------
        path : path
            A folder; made if missing, and its model replaced.

        Raises
        ------
        ValueError
            If a parameter is a callable, which has no place in a file.
        """
        write_model(Path(path), *model_content(self))

    @default_torch_state()
    def digest(self) -> str:
        """Return a digest of the fitted model: equal for models that `save` writes alike.

        Returns
        -------
        str
            SHA-256, in hexadecimal digits.
        """
        return model_digest(*model_content(self))

    @classmethod
    @default_torch_state()
    def load(cls, path: str | Path, device: str = "auto") -> ConditionalGAN:
        """Read a model that `save` wrote. No code in it is run.

        Parameters
        ----------
        path : path
            The folder.
        device : str
            Where to sample; as in the constructor.

        Raises
        ------
        FileNotFoundError
            If the folder or one of its files is missing.
        ValueError
            If a file is damaged or of another format.
        """
        folder = Path(path)
        check_model(folder)
        make_fabric(device)  # so that a wrong device is not taken for a damaged file
        try:
            config, tensors = read_model(folder)
            gan = cls(**config["parameters"], device=device)
            gan.check_parameters()
            gan._parameters = gan.get_params()
            gan.history_ = config["history"]
            restore(gan, config, tensors)
            gan._set_features()
            if gan.digest() != config["digest"]:
                raise ValueError("its files are not as they were saved")
        except LOAD_ERRORS as exc:
            raise ValueError(f"{folder} holds no model that this version of ganaug can read: {exc}") from exc
        return gan
