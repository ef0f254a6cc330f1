"""ConditionalGAN: fit / sample / vary / restore / save / load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ganaug.data.containers import as_container, is_dataframe, take
from ganaug.data.labels import check_labels, label_indices
from ganaug.data.protocol import check_mode
from ganaug.model.estimator import SampleEstimator, available_if
from ganaug.model.fitting import draw_seed, expected_seconds, fit_gan
from ganaug.model.flow import Flow
from ganaug.model.generator import TrainedGenerator, generate_in_batches
from ganaug.model.parameters import check_parameters, resolve
from ganaug.model.restoration import restore_samples, why_not_restore
from ganaug.model.serialization import load_model, model_content, model_digest, write_model
from ganaug.model.signature import PARAMETERS, GANParameters
from ganaug.training.torch_state import default_torch_state


def _can_vary(gan: ConditionalGAN) -> bool:
    if hasattr(gan, "members_") and not all(member.can_vary for member in gan.members_):
        raise AttributeError("`vary` needs an instance-conditioned architecture, such as 'warping'.")
    return True


def _can_restore(gan: ConditionalGAN) -> bool:
    if hasattr(gan, "members_") and (reason := why_not_restore(gan)):
        raise AttributeError(reason)
    return True


class ConditionalGAN(GANParameters, SampleEstimator):  # noqa: D101 (the next line is its docstring)
    __doc__ = f"""A class-conditional GAN, trained on the user's own images, table, series or feature vectors.

    The default architecture is conditioned on real samples. An encoder gives each training sample a
    latent code. A new sample of a class is a training sample of it, changed by the difference of the
    codes of two others. These two share a class, which is drawn by class frequency, so that a small
    class borrows the variety of large ones. Related methods are the delta-encoder [1]_, DAGAN [2]_ and
    IC-GAN [3]_. A fitted model therefore keeps its training samples.

{PARAMETERS}
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
    codec_ : ImageCodec, TableCodec, FeatureCodec or SeriesCodec

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

    @default_torch_state()
    def fit(self, X: Any, y: Any = None, *, checkpoint: str | Path | None = None) -> ConditionalGAN:
        """Train on images, a table, series or features `X` with labels `y`.

        Parameters
        ----------
        X : ndarray of shape (N, H, W, C) or (N, H, W), or Tensor of shape (N, C, H, W)
            Images, uint8, or float in [0, 1]; 8 to 1,024 pixels a side; 1, 3 or 4 channels; or a list of
            paths of image files. Or a table, ndarray (N, n_features) or pandas DataFrame: numbers, booleans,
            categories and strings, some of them missing. Or features (N, n_features), or series
            (N, length, channels) or (N, length). Or without `y` what `as_arrays` reads. Images of files and
            Datasets above 64 pixels a side are read few at a time, as are those of uncompressed HDF5 files
            and of read-only memory maps.
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
        self,
        X: Any,
        y: Any,
        strength: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
        *,
        return_flow: bool = False,
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
        return_flow : bool, default=False
            Return the flow, too, along which images were warped: masks, boxes and key points follow by it.
            Of the architectures, "warping" and "tinting" have one. "warping" then only warps, and paints
            nothing into the images, as no mask would fit that.

        Returns
        -------
        X : as in fit
        flow : Flow
            With `return_flow`; see `ganaug.model.flow.Flow`.

        Raises
        ------
        ValueError
            If an argument is not as described, or `return_flow` asks for a flow of an architecture that
            has none: it doesn't warp.
        """
        check_is_fitted(self)
        check_mode("vary", strength, self)
        if return_flow:
            self._check_flow()
        X = as_container(X)
        self.codec_.check(X)
        y = check_labels(y, len(X)) if len(X) or np.size(y) else np.asarray(y)
        classes = torch.from_numpy(label_indices(y, self.classes_))
        rng = torch.Generator().manual_seed(draw_seed(random_state))
        fields: dict[int, Tensor] = {}

        def generate(member: TrainedGenerator, own: Tensor, indices: Tensor) -> Tensor:
            samples, flow = member.vary(take(X, indices), own, strength, rng, return_flow=return_flow)
            if flow is not None:
                fields.update(zip(indices.tolist(), flow, strict=True))
            return samples

        varied = self._generate(classes, rng, generate)
        if return_flow:
            in_order = [fields[i] for i in range(len(classes))]
            return varied, Flow(in_order, self.codec_.full_shape[1:], mirrored=self.codec_.is_reduced)
        return varied.set_axis(X.index, axis=0) if is_dataframe(X) else varied

    def _check_flow(self) -> None:
        """Raise ValueError unless all that varies an image warps it."""
        if all(member.has_flow for member in self.members_):
            return
        name = resolve(self.get_params(deep=False), self.codec_)["architecture"]
        raise ValueError(
            "`return_flow`, for masks, boxes and key points, needs an `architecture` that warps each image,"
            f" such as 'warping' or 'tinting', got {name!r}: fit ConditionalGAN(architecture='warping') on"
            " images."
        )

    @available_if(_can_restore)
    @default_torch_state()
    def restore(
        self,
        X: Any,
        mask: Any = None,
        y: Any = None,
        *,
        n_draws: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> Any:
        """Return samples in which what is missing or damaged is filled; all else stays bit for bit.

        Near training samples, and what the generator makes of them, say what to expect of the missing
        values, given the known ones; see `ganaug.model.restorer.Restorer`.

        Parameters
        ----------
        X : as in fit
            Images of 64 pixels a side or less; their damaged pixels may hold anything. Or a table, with NaN,
            None, pandas.NA or NaT where a value is missing.
        mask : array-like of bool, of the shape of `X`, or (N, H, W) of images; optional
            True, or not 0, where a value is to be filled, as for ``cv2.inpaint``. Default: the missing values
            of a table. Without it all pixels of images are taken to be noisy, and are estimated anew.
        y : array-like of shape (n,), optional
            Labels, if they are known: then only samples of the class are looked for. Default: of any class.
        n_draws : int, optional
            Return so many draws, which differ as the data leave open. Each looks like a sample.
            Default: the values to expect. They have the least error, as those of other imputers,
            and vary less than real ones.
        random_state : int, RandomState or None, default=None
            Of draws. The same int gives the same ones.

        Returns
        -------
        X : as in fit
            With `n_draws`, an array or Tensor of shape (n_draws, n, ...), or a list of DataFrames. Values
            of a table are such as the column may hold. A column that held none in fit stays as it is.

        Raises
        ------
        AttributeError
            If the model can't restore: its architecture has no encoder, its networks work at a smaller
            size than that of the images, or it makes features.
        ValueError
            If an argument is not as described.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from ganaug import ConditionalGAN
        >>> X = (load_digits().images / 16).astype("float32")
        >>> gan = ConditionalGAN(steps=2, random_state=0).fit(X[:1000], load_digits().target[:1000])
        >>> mask = X[1000:1003] != X[1000:1003]
        >>> mask[:, 2:6, 2:6] = True
        >>> gan.restore(X[1000:1003], mask).shape
        (3, 8, 8)
        """
        check_is_fitted(self)
        return restore_samples(self, X, mask, y, n_draws, random_state)

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
