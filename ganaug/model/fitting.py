"""ConditionalGAN: fit / sample / vary / save / load."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from sklearn.base import BaseEstimator, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ganaug.data import as_arrays, as_random, check_labels, check_mode, encode_labels, label_indices
from ganaug.game import Game
from ganaug.generator import TrainedGenerator
from ganaug.identity import run_identity
from ganaug.images import ImageCodec
from ganaug.kinds import as_rows, is_frame, join, take
from ganaug.logs import tensorboard_callback
from ganaug.losses import GANLoss, Penalty
from ganaug.networks import Architecture, Networks
from ganaug.parameters import CODECS, auto_for, check_parameters, choose, choose_architectures, is_auto
from ganaug.saved import DAMAGE, FORMAT, check_model, model_digest, read_model, write_model
from ganaug.tables import TableCodec
from ganaug.torch_state import plain, seeded
from ganaug.training import Callback, train_gan

SEED_FILE = "seed"
TIMED_STEPS = 8  # by which `expected_seconds` goes: two of them with the penalty
COMMON = ("labels", "rows")  # what generators of several architectures have in common
NOT_SAVED = ("callbacks", "log_dir", "device", "verbose", "random_state")


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
        ``callable(shape, n_classes, code_size, width, activate) -> Networks``. Names joined by "+"
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
    code_size : int
        Numbers in the code of a row.
    width : int
        Channels of the first convolution; a quarter of the units of a hidden layer for tables.
    learning_rate : float
        Of encoder and generator; the discriminator's is 0.4 of it.
    adversarial_weight : float
        Of the adversarial loss, beside the loss of turning a row into another of its class. Without such
        a row, as in architectures that start from noise ("dcgan", ...), there is no other loss: this
        one, `detail_weight`, `noise` and `strength` are for the others.
    detail_weight : "auto" or float
        Of the distance between real and generated rows along random directions; of images between
        their patches, which keeps them sharp. "auto": 1, or 0 for images with a side under 16
        pixels.
    penalty_weight : float
        Of the gradient penalty.
    noise : float
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
        code_size: int = 32,
        width: int = 32,
        learning_rate: float = 1e-3,
        adversarial_weight: float = 0.1,
        detail_weight: float | Literal["auto"] = "auto",
        penalty_weight: float = 0.2,
        noise: float = 0.05,
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
        self.code_size = code_size
        self.width = width
        self.learning_rate = learning_rate
        self.adversarial_weight = adversarial_weight
        self.detail_weight = detail_weight
        self.penalty_weight = penalty_weight
        self.noise = noise
        self.strength = strength
        self.callbacks = callbacks
        self.log_dir = log_dir
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @plain()
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
            see `ganaug.training.train_gan`.
        """
        X, y = as_arrays((X, y))
        self.check_parameters()
        codec = self._codec(X)
        X = codec.prepare(X)
        classes, labels = encode_labels(y)
        architectures = self._architectures(codec)
        fabric = _fabric(self.device)
        # Files are made from here on: what was passed has been checked.
        folder = None if checkpoint is None else Path(checkpoint)
        seed = _seed(self.random_state) if folder is None else _kept_seed(folder, self.random_state)
        identity = {} if folder is None else self._identity(X, labels, codec, seed)
        if self.conditioning == "shared":
            parts = [np.arange(len(labels))]
        else:
            parts = [np.flatnonzero(labels == c) for c in range(len(classes))]
        members, history = [], []
        for i, (build, (c, part)) in enumerate(itertools.product(architectures, enumerate(parts))):
            whole = len(parts) == 1
            n = len(architectures)
            member, losses = self._fit_member(
                X if whole else X[part],
                labels if whole else np.zeros(len(part), np.int64),
                codec,
                fabric,
                build=build,
                seed=seed + i,
                checkpoint=None if folder is None else folder / f"state-{i}.pt",
                identity=identity,
                names=[str(label) for label in (classes if whole else [classes[c]])],
                title="training"
                + (f" {i // len(parts) + 1} of {n}" if n > 1 else "")
                + ("" if whole else f", class {classes[c]}"),
            )
            members.append(member)
            history += [{"member": i, **entry} for entry in losses]
        self.codec_, self.classes_, self.members_, self.history_ = codec, classes, members, history
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

    def _codec(self, X: Any) -> ImageCodec | TableCodec:
        modality = ("table" if X.ndim == 2 else "images") if self.modality == "auto" else self.modality
        if modality == "images" and is_frame(X):
            raise ValueError("`modality` must be 'auto' or 'table' for a DataFrame, got 'images'.")
        return CODECS[modality].fit(X)

    def _fit_member(
        self,
        X: Any,
        labels: np.ndarray,
        codec: ImageCodec | TableCodec,
        fabric: Fabric,
        *,
        build: Architecture,
        seed: int,
        checkpoint: Path | None,
        identity: dict[str, str],
        names: list[str],
        title: str,
    ) -> tuple[TrainedGenerator, list[dict[str, Any]]]:
        game = Game(
            X,
            labels,
            codec,
            self._build(build, codec, int(labels.max()) + 1, seed),
            loss=choose("loss", self._settled("loss", codec)),
            penalty=choose("penalty", self._settled("penalty", codec)),
            batch_size=self.batch_size,
            code_size=self.code_size,
            noise=self.noise,
            learning_rate=self.learning_rate,
            adversarial_weight=self.adversarial_weight,
            detail_weight=self._settled("detail_weight", codec),
            penalty_weight=self.penalty_weight,
            fabric=fabric,
            generator=torch.Generator().manual_seed(seed),
        )
        steps, settings = self._settled("steps", codec), self._generator_settings(codec)
        callbacks = list(self.callbacks or ())
        with ExitStack() as stack:
            stack.enter_context(torch.enable_grad())
            if self.log_dir is not None:
                log = tensorboard_callback(self.log_dir, title, game, labels, steps, settings)
                callbacks.append(stack.enter_context(log))
            trained, history = train_gan(
                game,
                steps,
                class_names=names,
                checkpoint=checkpoint,
                identity=identity,
                callbacks=callbacks,
                progress=title if self.verbose else None,
            )
        return TrainedGenerator(trained, codec, labels, X, **settings), history

    def check_parameters(self) -> None:
        """Raise ValueError if a parameter is not of the kind described; `fit` does so first."""
        check_parameters(self.get_params(deep=False))

    def _settled(self, name: str, codec: ImageCodec | TableCodec) -> Any:
        """Return a parameter, or what "auto" stands for with such rows."""
        value = getattr(self, name)
        return auto_for(codec)[name] if is_auto(value) else value

    def _generator_settings(self, codec: ImageCodec | TableCodec) -> dict[str, Any]:
        strength = self._settled("strength", codec)
        return {"code_size": self.code_size, "noise": self.noise, "strength": strength}

    def _architectures(self, codec: ImageCodec | TableCodec) -> list[Architecture]:
        chosen = self._settled("architecture", codec)
        return choose_architectures(chosen, table=isinstance(codec, TableCodec))

    def _build(
        self, build: Architecture, codec: ImageCodec | TableCodec, n_classes: int, seed: int
    ) -> Networks:
        with seeded(seed):  # initial weights come from torch's global state
            return build(codec.shape, n_classes, self.code_size, self.width, codec.activate)

    def _identity(
        self, X: Any, labels: np.ndarray, codec: ImageCodec | TableCodec, seed: int
    ) -> dict[str, str]:
        settings = self.get_params(deep=False)
        settings = {k: self._settled(k, codec) if k in auto_for(codec) else v for k, v in settings.items()}
        return run_identity({k: v for k, v in settings.items() if k not in NOT_SAVED}, X, labels, seed)

    def expected_seconds(self, X: Any, y: Any) -> float:
        """Return about how long `fit` would take on such rows, by a few of its steps."""
        self.check_parameters()
        codec = self._codec(as_arrays((X, y))[0])
        few = clone(self).set_params(callbacks=None, log_dir=None, verbose=False)

        def seconds(steps: int) -> float:
            start = time.perf_counter()
            few.set_params(steps=steps).fit(X, y)
            return time.perf_counter() - start

        # The first fit warms up, and any may be held up by other processes: the faster one counts.
        one, more = (min(seconds(steps) for _ in range(2)) for steps in (1, 1 + TIMED_STEPS))
        return self._settled("steps", codec) * max(0.0, more - one) / TIMED_STEPS

    @plain()
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
        generator = torch.Generator().manual_seed(_seed(random_state))
        return self._in_blocks(classes, generator, lambda member, own, rows: member.draw(own, generator))

    @available_if(_varies)
    @plain()
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
        X = as_rows(X)
        self.codec_.check(X)
        y = check_labels(y, len(X)) if len(X) or np.size(y) else np.asarray(y)
        classes = torch.from_numpy(label_indices(y, self.classes_))
        generator = torch.Generator().manual_seed(_seed(random_state))
        varied = self._in_blocks(
            classes,
            generator,
            lambda member, own, rows: member.vary(take(X, rows), own, strength, generator),
        )
        return varied.set_axis(X.index, axis=0) if is_frame(X) else varied

    def _in_blocks(
        self,
        classes: Tensor,
        generator: torch.Generator,
        generate: Callable[[TrainedGenerator, Tensor, Tensor], Tensor],
    ) -> Any:
        """Return rows of `classes`, made by ``generate(member, its classes, indices of the rows)``."""
        shared = _shared(self.members_)
        copies = len(self.members_) // self._n_parts()
        blocks = []
        for start in range(0, len(classes), self.codec_.block):
            own = classes[start : start + self.codec_.block]
            rows = torch.arange(start, start + len(own))
            makers = torch.zeros_like(own)
            if copies > 1:
                makers = torch.randint(copies, own.shape, generator=generator)
            if not shared:
                makers = makers * len(self.classes_) + own
                own = torch.zeros_like(own)
            encoded = torch.empty(len(own), *self.codec_.shape)
            for maker in makers.unique():
                mine = makers == maker
                encoded[mine] = generate(self.members_[maker], own[mine], rows[mine])
            blocks.append(self.codec_.decode(encoded))
        return join(blocks or [self.codec_.decode(torch.empty(0, *self.codec_.shape))])

    @plain()
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
        write_model(Path(path), *self._content())

    @plain()
    def digest(self) -> str:
        """Return a digest of the fitted model: equal for models that `save` writes alike.

        Returns
        -------
        str
            SHA-256, in hexadecimal digits.
        """
        return model_digest(*self._content())

    def _content(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what `save` writes: JSON, and tensors by name."""
        check_is_fitted(self)
        parameters = {k: v for k, v in self._parameters.items() if k not in NOT_SAVED}
        for name, value in parameters.items():
            if callable(value):
                raise ValueError(
                    f"`{name}` is a callable, which can't be saved: give it a name in ganaug's"
                    " ARCHITECTURES, LOSSES or PENALTIES, before fit."
                )
        config = {
            "format": FORMAT,
            "parameters": {k: v.item() if isinstance(v, np.generic) else v for k, v in parameters.items()},
            "classes": self.classes_.tolist(),
            "classes_dtype": "str" if self.classes_.dtype.kind == "U" else self.classes_.dtype.name,
            "modality": self.codec_.name,
            "codec": self.codec_.to_config(),
            "members": len(self.members_),
            "history": self.history_,
        }
        tensors: dict[str, Tensor] = {}
        parts = self._n_parts()
        for i, member in enumerate(self.members_):
            for name, tensor in member.tensors().items():
                # What architectures have in common, their rows, is written once.
                if i < parts or name not in COMMON or f"{i % parts}.{name}" not in tensors:
                    tensors[f"{i}.{name}"] = tensor
        return config, tensors

    def _n_parts(self) -> int:
        """Return how many networks of one architecture there are: one, or one for each class."""
        return 1 if _shared(self.members_) else len(self.classes_)

    @classmethod
    @plain()
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
        _fabric(device)  # so that a wrong device is not taken for a damaged file
        try:
            config, tensors = read_model(folder)
            gan = cls(**config["parameters"], device=device)
            gan.check_parameters()
            gan._parameters = gan.get_params()
            gan.codec_ = CODECS[config["modality"]].from_config(config["codec"])
            gan.classes_ = np.array(config["classes"], dtype=config["classes_dtype"])
            gan.history_ = config["history"]
            gan._set_features()
            groups: list[dict[str, Tensor]] = [{} for _ in range(config["members"])]
            for name, tensor in tensors.items():
                member, _, name = name.partition(".")
                groups[int(member)][name] = tensor
            architectures = gan._architectures(gan.codec_)
            each, rest = divmod(len(groups), len(architectures))
            if rest or not each:
                raise ValueError(f"{len(groups)} networks for {len(architectures)} architectures")
            for i, group in enumerate(groups):
                group.update({k: v for k, v in groups[i % each].items() if k in COMMON and k not in group})
            gan.members_ = [gan._restored(g, architectures[i // each]) for i, g in enumerate(groups)]
            counts = [member.rows.counts.numpy() for member in gan.members_]
            gan.class_counts_ = np.concatenate(counts[: gan._n_parts()])
            n_classes = len(gan.class_counts_)
            if len(gan.classes_) != n_classes or not np.array_equal(gan.classes_, np.unique(gan.classes_)):
                raise ValueError(f"classes {gan.classes_.tolist()} for weights of {n_classes}")
            if gan.digest() != config["digest"]:
                raise ValueError("its files are not as they were saved")
        except DAMAGE as exc:
            raise ValueError(f"{folder} holds no model that this version of ganaug can read: {exc}") from exc
        return gan

    def _restored(self, tensors: dict[str, Tensor], build: Architecture) -> TrainedGenerator:
        networks = self._build(build, self.codec_, int(tensors["labels"].max()) + 1, seed=0)
        device = _fabric(self.device).device
        networks.generator.to(device)
        if networks.encoder is not None:
            networks.encoder.to(device)
        settings = self._generator_settings(self.codec_)
        return TrainedGenerator.from_tensors(tensors, networks, self.codec_, **settings)


def _shared(members: Sequence[TrainedGenerator]) -> bool:
    """Return whether each of them makes rows of all classes."""
    return len(members[0].rows.counts) > 1


def _seed(random_state: int | np.random.RandomState | None) -> int:
    return int(as_random(random_state).randint(2**31 - 1))


def _kept_seed(folder: Path, random_state: int | np.random.RandomState | None) -> int:
    """Return a seed; without a `random_state` that of the run whose checkpoints are in `folder`."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`checkpoint` must be a folder, got the file {folder}.")
    path = folder / SEED_FILE
    seed = _seed(random_state)
    folder.mkdir(parents=True, exist_ok=True)
    if random_state is None and path.exists():
        try:
            return int(path.read_text())
        except ValueError as exc:
            raise ValueError(f"{path} must hold the seed of a run: delete {folder} to start anew.") from exc
    if not path.exists():
        path.write_text(str(seed))
    return seed


def _fabric(device: str) -> Fabric:
    try:
        # Of this process alone, also where a cluster's scheduler started several.
        return Fabric(accelerator=device, devices=1, plugins=LightningEnvironment())
    except Exception as exc:  # Fabric raises another type for each device that is missing
        raise ValueError(
            f"`device` must be 'auto' or a device of this machine, got {device!r}: {exc}"
        ) from exc
