"""GANReplace: an albumentations transform that puts synthetic images in the place of some real ones."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info
from torchvision.transforms.v2 import functional as tvf

from ganaug.adapters.layouts import label_column
from ganaug.adapters.pool import ImagePool
from ganaug.data.containers import check_image_range
from ganaug.data.labels import expand_probabilities, label_indices
from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE

try:
    from albumentations import ImageOnlyTransform
    from albumentations.core.transforms_interface import BaseTransformInitSchema
except ImportError as exc:
    raise ImportError(
        "GANReplace needs albumentations from 2.0 on (pip install 'ganaug[albumentations]'), or"
        f" albumentationsx 2.5.1 in its place. Importing `albumentations` failed: {exc}"
    ) from exc

# These belong to the image that came in, and would not fit a synthetic one. Nor do additional targets.
UNSUPPORTED_TARGETS = (
    "mask",
    "masks",
    "bboxes",
    "keypoints",
    "images",
    "volume",
    "volumes",
    "mask3d",
    "masks3d",
)


class Hooks:
    """What albumentations and albumentationsx call; each has a name of its own for it.

    In a class of its own, as albumentationsx takes no transform that defines the other's.
    """

    _choose: Any
    _check_targets: Any
    _draw: Any

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Return what chooses an image."""
        return self._choose(data, self._draw(2))

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Return the parameters that `to_dict` writes; albumentations finds them by itself since 2.0.6."""
        return "path", "label_key", "digest", "class_p"

    def sample_parameters(self, params: Any, data: dict[str, Any], targets: Any, sampling: Any) -> Any:
        """Return what chooses an image, drawn as albumentationsx draws: there, workers differ."""
        from albumentations.core.transform_params import SampledParams

        return SampledParams(self._choose(data, sampling.random_generator.random(2).tolist()))

    def apply_in_invocation(self, invocation: Any, /, *args: Any, **data: Any) -> Any:
        """Return the data with another image, or the same: what a pipeline of albumentationsx calls."""
        self._check_targets(data)
        return super().apply_in_invocation(invocation, *args, **data)  # type: ignore[misc]


class GANReplace(Hooks, ImageOnlyTransform):
    """Replace an image, with probability `p`, by a synthetic one of the same class.

    For ``Compose``, before ``Normalize`` and after what resizes: called as
    ``transform(image=image, label=label)``. The synthetic images are those of a file. Needs the extra
    "albumentations".

    Whether an image is replaced, and by which, follows from ``Compose(seed=)`` or `set_random_seed` where
    a seed is given, and else from torch's global random state. The workers of a DataLoader always differ, and
    so do its epochs: to the seed, a worker adds its own, which ``DataLoader(generator=...)`` or
    ``torch.manual_seed`` governs. (albumentations 2.0.8 by itself draws the same in all forked workers.)
    With albumentationsx 2.5.1, an image is chosen from that library's random state, seed or not.

    Parameters
    ----------
    path : path
        An uncompressed file of `write_hdf5`; its synthetic images are used. Images of classes of
        which it has none are not replaced.
    label_key : str, default="label"
        The name under which the label is passed.
    digest : str, optional
        Of the file, as `to_dict` writes it; another file is refused. None: any.
    class_p : dict of label to float, or sequence of (label, float), optional
        The probability that an image of each class is replaced when the transform applies; classes left
        out are never replaced. None: 1 for every class.
    p : float, default=0.8
        The probability that the transform applies.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged, compressed, not of images, or not that of `digest`. When called: if the label
        is missing or unknown, if the image is of another shape than the synthetic ones, or not of uint8 or
        floats in [0, 1], or if another target comes with it, such as a mask or a second image.
    """

    random_generator: np.random.Generator

    class InitSchema(BaseTransformInitSchema):
        """The types of the parameters, which albumentations checks."""

        path: str | Path
        label_key: str
        digest: str | None
        class_p: dict[Any, float] | list[tuple[Any, float]] | None

    def __init__(
        self,
        path: str | Path,
        label_key: str = "label",
        digest: str | None = None,
        class_p: Mapping[Any, float] | Sequence[tuple[Any, float]] | None = None,
        p: float = DEFAULT_SYNTHETIC_SHARE,
    ) -> None:
        self._seeded = False
        self._worker_seed: int | None = None
        super().__init__(p=p)
        self._unsupported_targets = set(UNSUPPORTED_TARGETS)
        self.path, self.label_key = str(path), label_key
        self._pool = ImagePool.from_file(Path(path))
        if len(self._pool.shape) == 1:
            raise ValueError(
                f"`path` must be a file of images, got {path} of feature vectors of shape {self._pool.shape}:"
                " GANAugment takes those."
            )
        self.digest = self._pool.digest
        if digest not in (None, self.digest):
            raise ValueError(
                f"{path} is another file than the one this transform was made with: `digest` must be"
                f" {self.digest!r} or None, got {digest!r}."
            )
        # As pairs: JSON has no keys but strings.
        self.class_p = (
            None
            if class_p is None
            else [(k.item() if isinstance(k, np.generic) else k, float(v)) for k, v in dict(class_p).items()]
        )
        self._class_p_list = expand_probabilities(
            1.0 if self.class_p is None else dict(self.class_p), self._pool.classes_, "class_p"
        )

    @property
    def targets_as_params(self) -> list[str]:
        """The label."""
        return [self.label_key]

    def __call__(self, *args: Any, force_apply: bool = False, **data: Any) -> Any:
        """Return the data with another image, or the same."""
        self._check_targets(data)
        return super().__call__(*args, force_apply=force_apply, **data)

    def _check_targets(self, data: Mapping[str, Any]) -> None:
        unsupported = sorted(name for name in self._unsupported_targets if data.get(name) is not None)
        if unsupported:
            raise ValueError(
                f"A synthetic image has no {unsupported[0]!r}: GANReplace takes `image` and"
                f" `{self.label_key}`."
            )

    def add_targets(self, additional_targets: dict[str, str]) -> None:
        """Note what else a pipeline passes, to refuse it: two images would be replaced by the same one."""
        super().add_targets(additional_targets)
        self._unsupported_targets |= set(additional_targets)

    def set_random_seed(self, seed: int | None) -> None:
        """Draw from a seed from now on; None: from torch's global random state."""
        super().set_random_seed(seed)
        self._seeded, self._worker_seed = seed is not None, None

    def set_random_state(
        self, random_generator: np.random.Generator, py_random: random.Random, **options: Any
    ) -> None:
        """Draw from `random_generator` from now on."""
        super().set_random_state(random_generator, py_random, **options)
        self._seeded, self._worker_seed = True, None

    def should_apply(self, force_apply: bool = False) -> bool:
        """Return whether to replace the image at hand."""
        return force_apply or self._draw(1)[0] < self.p

    def _draw(self, n: int) -> list[float]:
        """Return `n` random numbers in [0, 1)."""
        if not self._seeded:
            return torch.rand(n, dtype=torch.float64).tolist()
        rng = self.random_generator
        worker = get_worker_info()
        if worker is not None and worker.seed != self._worker_seed:
            # All workers start with the same generator, and with the same again in the next epoch.
            rng = np.random.default_rng((int(rng.integers(2**63)), worker.seed))
            self.random_generator, self._worker_seed = rng, worker.seed
        return rng.random(n).tolist()

    def _choose(self, data: Mapping[str, Any], numbers: Sequence[float]) -> dict[str, Any]:
        """Return the class and what chooses an image of it, by two numbers: all that a replay needs."""
        indices = label_indices(label_column(data[self.label_key]), self._pool.classes_, self.label_key)
        if len(indices) != 1:
            raise ValueError(f"`{self.label_key}` must be one label, got {len(indices)}.")
        (c,), (chance, u) = indices.tolist(), numbers
        return {"class_index": c if self._pool.counts[c] and chance < self._class_p_list[c] else -1, "u": u}

    def apply(self, img: np.ndarray, class_index: int, u: float, **params: Any) -> np.ndarray:
        """Return a synthetic image of the dtype and shape of `img`, (H, W) or (H, W, C)."""
        if class_index < 0:
            return img
        like = torch.from_numpy(img.copy())  # a copy: of a read-only array torch warns
        check_image_range(like, "GANReplace")
        image = self._pool.take_one(class_index, u)
        new = tvf.to_dtype(image, like.dtype, scale=True).permute(1, 2, 0).numpy()
        new = new[:, :, 0] if img.ndim == 2 and new.shape[2] == 1 else new
        if new.shape != img.shape:
            raise ValueError(
                f"Images must have the synthetic ones' shape, {new.shape}, got {img.shape}: put GANReplace"
                f" after what resizes, or fit the generator on images of {img.shape[:2]}, as `as_arrays(...,"
                f" size={img.shape[:2]})` gives them; synthetic images are never resized."
            )
        return np.ascontiguousarray(new)
