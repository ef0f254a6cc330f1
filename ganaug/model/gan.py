"""ConditionalGAN: fit / sample / vary / save / load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ganaug.data.containers import as_container, is_dataframe, take
from ganaug.data.labels import check_labels, label_indices
from ganaug.data.protocol import check_mode
from ganaug.data.working_size import WorkingSize
from ganaug.model.estimator import SampleEstimator
from ganaug.model.fitting import draw_seed, expected_seconds, fit_gan
from ganaug.model.generator import generate_in_batches
from ganaug.model.parameters import check_parameters
from ganaug.model.serialization import load_model, model_content, model_digest, write_model
from ganaug.networks.layers import Architecture
from ganaug.training.loop import Callback
from ganaug.training.losses import GANLoss, Penalty
from ganaug.training.torch_state import default_torch_state


def _can_vary(gan: ConditionalGAN) -> bool:
    if hasattr(gan, "members_") and not all(member.can_vary for member in gan.members_):
        raise AttributeError("`vary` needs an instance-conditioned architecture, such as 'warping'.")
    return True


class ConditionalGAN(SampleEstimator):
    """A class-conditional GAN, trained on the user's own images, table or feature vectors.

    The default architecture is conditioned on real samples. An encoder gives each training sample a
    latent code. A new sample of a class is a training sample of it, changed by the difference of the
    codes of two others. These two share a class, which is drawn by class frequency, so that a small
    class borrows the variety of large ones. Related methods are the delta-encoder [1]_, DAGAN [2]_ and
    IC-GAN [3]_. A fitted model therefore keeps its training samples.

    Parameters
    ----------
    modality : {"auto", "images", "table", "features"}, default="auto"
        What `X` holds. "auto": a table if it is two-dimensional, or, if a Tensor, features: dense
        vectors, such as embeddings of a backbone; see `ganaug.training.calibration.Calibration`.
    architecture : "auto", a name in `ARCHITECTURES`, or a callable, default="auto"
        ``callable(shape, n_classes, latent_dim, base_channels, output_activation) -> Networks``.
        Several names joined by "+" are trained one after another on the same data, and each sample
        comes from one of them at random. "auto": "warping" for grey images, "tinting" for colour
        images, "warping+instance" for images with a side under 16 pixels, "tabular" for tables and
        "features" for features. Of the others, "fully-connected" also takes tables, and both features.
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
        tables, 0 for features: what near classes lend is all, and more steps gained nothing.
    working_size : "auto", int or (int, int), default="auto"
        Height and width, 8 to 64 pixels, at which the networks see images. Larger images stay as they are:
        what the generator decides is enlarged and applied to them. An int is for the shorter side. "auto":
        the images' own size, or 32 for the shorter side where a side has more than 64 pixels.
    stored_images : {"full", "reduced"}, default="full"
        How a model keeps training images above its working size: as they are, files as the bytes of files;
        or "reduced" to working size, for `vary` alone, as what `sample` makes of them is blurred.
    batch_size : int, default=64
    latent_dim : int, default=32
        Size of the latent code of a sample.
    base_channels : int, default=32
        Channels of the first convolution; a quarter of the units of a hidden layer for tables.
    learning_rate : float, default=1e-3
        Of encoder and generator; the discriminator's is 0.4 of it.
    adversarial_weight : float, default=0.1
        Of the adversarial loss, beside the reconstruction of another sample of the class.
        Architectures that start from noise ("dcgan", "features", ...) have no other loss. They ignore
        this weight, `sliced_wasserstein_weight`, `latent_noise` and, but for "features", `strength`.
    sliced_wasserstein_weight : "auto" or float, default="auto"
        Of the distance between random projections of real and of generated samples. For images these
        are of patches, which keeps them sharp. "auto": 1, or 0 for images with a side under 16 pixels.
    penalty_weight : float, default=0.2
        Of the gradient penalty.
    latent_noise : float, default=0.05
        Standard deviation of the noise on a code difference.
    strength : "auto" or float, default="auto"
        Scale of the code difference in `sample` and `vary`; it is 1 in training. "auto": 1.5 for
        grey images, 0.5 for colour images, 1 for tables, features and sides under 16 pixels.
    callbacks : sequence of callable, optional
        Each called as ``callback(step, metrics)`` every 25 steps of training.
    log_dir : path, optional
        A folder for TensorBoard (``pip install 'ganaug[tensorboard]'``): losses, and samples of
        images, while training.
    random_state : int, RandomState or None, default=None
    device : str, default="auto"
        "auto", "cpu", "cuda", "mps" or any accelerator of Lightning Fabric.
    verbose : bool, default=False
        Show a progress bar with time left, losses and diversity, on terminals only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    class_counts_ : ndarray of shape (n_classes,)
        Training samples of each class.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only for a DataFrame whose columns are all named by strings.
    history_ : list of dict
        One entry every 25 steps: "step", the "generator" and the "discriminator" loss, the index of
        the "member" that was trained, and "min_class_diversity". This is the diversity of the least
        diverse class: 1 where generated samples differ as much as real ones, 0 where all are equal.
    codec_ : ImageCodec, TableCodec or FeatureCodec

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
        modality: Literal["auto", "images", "table", "features"] = "auto",
        architecture: str | Architecture = "auto",
        loss: str | GANLoss = "auto",
        penalty: str | Penalty = "auto",
        conditioning: Literal["shared", "per-class"] = "shared",
        steps: int | Literal["auto"] = "auto",
        working_size: WorkingSize = "auto",
        stored_images: Literal["full", "reduced"] = "full",
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
        self.working_size = working_size
        self.stored_images = stored_images
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
    def fit(self, X: Any, y: Any = None, *, checkpoint: str | Path | None = None) -> ConditionalGAN:
        """Train on images, a table or features `X` with labels `y`.

        Parameters
        ----------
        X : ndarray of shape (N, H, W, C) or (N, H, W), or Tensor of shape (N, C, H, W)
            Images, uint8, or float in [0, 1]; 8 to 1,024 pixels a side; 1, 3 or 4 channels; or a list of
            paths of image files. Or a table, ndarray (N, n_features) or pandas DataFrame: numbers, booleans,
            categories and strings, some of them missing. Or features (N, n_features). Or without `y` what
            `as_arrays` reads. Images of files and Datasets above 64 pixels a side are read few at a time.
        y : array-like of shape (N,) or (N, 1)
            Labels: ints, strings, bools. At least two classes, each with at least two samples.
        checkpoint : path, optional
            A folder for the full state of training, made if missing. If it holds one, training
            resumes from there. On a CPU, with as many threads, the weights are then the same as
            without the interruption. (On a GPU some of torch's operations are not deterministic.)

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X, y or a parameter is not as described, or if `checkpoint` belongs to other data or
            parameters.
        BlockingIOError
            If another run uses the folder `checkpoint`.
        RuntimeError
            If training keeps diverging.

        Warns
        -----
        ConvergenceWarning
            Where training became unstable and resumes from its last stable state, with lower learning
            rates; and where a class ends in mode collapse. See `ganaug.training.loop.train_gan`.
        """
        fit_gan(self, X, y, checkpoint)
        return self

    def check_parameters(self) -> None:
        """Raise ValueError if a parameter is not as described; `fit` does so first."""
        check_parameters(self.get_params(deep=False))

    def expected_seconds(self, X: Any, y: Any = None) -> float:
        """Estimate, in seconds, how long `fit` would take on such data, from a few of its steps."""
        self.check_parameters()
        return expected_seconds(self, X, y)

    @default_torch_state()
    def sample(self, labels: Any, random_state: int | np.random.RandomState | None = None) -> Any:
        """Return one synthetic sample for each of `labels`, in order.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Among ``classes_``; a sequence, an array, a tensor, or a single label.
        random_state : int, RandomState or None, default=None
            The same int gives the same samples.

        Returns
        -------
        X : as in fit
            Of the same type, dtype, range and shape as the training data.
        """
        check_is_fitted(self)
        classes = torch.from_numpy(label_indices(labels, self.classes_))
        rng = torch.Generator().manual_seed(draw_seed(random_state))
        return self._generate(classes, rng, lambda member, own, indices: member.sample(own, rng))

    @available_if(_can_vary)
    @default_torch_state()
    def vary(
        self, X: Any, y: Any, strength: float = 1.0, random_state: int | np.random.RandomState | None = None
    ) -> Any:
        """Return a variation of each of the given samples.

        Parameters
        ----------
        X : as in fit
            Samples, of the training set or not.
        y : array-like of shape (n,)
            Their labels.
        strength : float, default=1.0
            How far a variation may go: 1 as far as `sample`. At 0 it is the generator's own
            reconstruction of the sample, which differs from it slightly.
        random_state : int, RandomState or None, default=None

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
            lambda member, own, indices: member.vary(take(X, indices), own, strength, rng),
        )
        return varied.set_axis(X.index, axis=0) if is_dataframe(X) else varied

    def _generate(self, classes: Tensor, rng: torch.Generator, generate: Any) -> Any:
        n_classes = len(self.classes_)
        return generate_in_batches(self.members_, self.codec_, n_classes, classes, rng, generate)

    @default_torch_state()
    def save(self, path: str | Path) -> None:
        """Write the fitted model to the folder `path`: config.json and model.safetensors.

        The model holds its training samples: share it only as you would share them.

        Parameters
        ----------
        path : path
            A folder, made if missing; a model in it is replaced.

        Raises
        ------
        ValueError
            If a parameter is a callable, which can't be saved.
        BlockingIOError
            If another run saves to this folder.
        """
        write_model(Path(path), *model_content(self))

    @default_torch_state()
    def digest(self) -> str:
        """Return a SHA-256 in hexadecimal digits, equal for fitted models that `save` writes alike."""
        return model_digest(*model_content(self))

    @classmethod
    @default_torch_state()
    def load(cls, path: str | Path, device: str = "auto") -> ConditionalGAN:
        """Read a model that `save` wrote, whoever sent it: no code in it is run.

        All that the files say is checked before it is used, and takes no more memory than they do.

        Parameters
        ----------
        path : path
            The folder.
        device : str, default="auto"
            Where to sample; as in the constructor.

        Returns
        -------
        ConditionalGAN

        Raises
        ------
        FileNotFoundError
            If the folder or one of its files is missing.
        ValueError
            If a file is damaged, not a regular file, or holds what `save` never writes.
        """
        return load_model(cls, Path(path), device)
