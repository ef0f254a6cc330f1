"""GANAugment: a torchvision transform that puts synthetic images in the place of some real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils import _pytree as pytree
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from ganaug.data import Sampler, check_sampler, label_indices
from ganaug.recommend import Recommendation

AUTO_RATE = 0.8
LABEL_KEYS = ("label", "labels", "target", "targets")


class GANAugment(v2.Transform):
    """Replace images, each with probability `p`, by synthetic ones of the same class.

    Put it after ``Resize`` and before ``Normalize``. It needs the label: call it with
    ``(image, label)``, or on a whole batch ``(images, labels)``, for example in a DataLoader's
    ``collate_fn``, as torchvision's own MixUp.

    The synthetic images come from a pool that the sampler fills once, here; no network runs in a
    worker. Which one is taken is drawn from torch's global random state, as in torchvision, so
    that ``DataLoader(generator=...)`` governs it.

    Parameters
    ----------
    sampler : Sampler
        A fitted `ConditionalGAN`, or anything with ``classes_`` and ``sample``. Its images have
        the height, width and channels of those that come in.
    p : "auto", float in [0, 1], dict of label to float, or Recommendation
        How often an image is replaced. "auto": 0.8 in every class. A `Recommendation` of
        `recommend_counts` gives each class its synthetic share, for a loader that draws every
        class equally often. Rates that differ between classes teach a classifier to tell
        synthetic from real and to take that for the class: measured, in docs/recipe.md.
    labels_getter : "default" or callable
        How to find the labels in a sample. "default": the item after the image in a tuple or
        list, or the value under "label", "labels", "target" or "targets" in a dict.
    mode : {"replace"}
    pool_size : int
        Synthetic images kept for each class; memory is their number times the bytes of one.
    random_state : int, RandomState or None
        For filling the pool.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1] or names a class that the sampler doesn't know.
    """

    def __init__(
        self,
        sampler: Sampler,
        p: float | Mapping[Any, float] | Recommendation | Literal["auto"] = "auto",
        labels_getter: Callable[[Any], Any] | Literal["default"] = "default",
        mode: Literal["replace"] = "replace",
        *,
        pool_size: int = 256,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__()
        check_sampler(sampler)
        if mode != "replace":
            raise ValueError(f"`mode` must be 'replace', got {mode!r}.")
        if not (labels_getter == "default" or callable(labels_getter)):
            raise ValueError(f"`labels_getter` must be 'default' or a callable, got {labels_getter!r}.")
        if not isinstance(pool_size, int) or pool_size < 1:
            raise ValueError(f"`pool_size` must be an int of at least 1, got {pool_size!r}.")
        self.p, self.mode, self.labels_getter = p, mode, labels_getter
        self.classes_ = sampler.classes_
        self._rates = torch.tensor(_rates(p, sampler), dtype=torch.float64)
        labels = np.repeat(self.classes_, pool_size)
        pool = channels_first(sampler.sample(labels, random_state=random_state))
        self._pool = pool.view(len(self.classes_), pool_size, *pool.shape[1:])

    def extra_repr(self) -> str:
        """Describe the parameters for ``repr``."""
        rates = dict(zip(self.classes_.tolist(), self._rates.tolist(), strict=True))
        p = self.p if isinstance(self.p, int | float | str) else rates
        return f"p={p}, mode={self.mode!r}, classes={len(self.classes_)}, pool={tuple(self._pool.shape)}"

    def forward(self, *inputs: Any) -> Any:
        """Return the sample with its image, or some images of its batch, replaced."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        labels = self._labels(sample)
        leaves, spec = pytree.tree_flatten(sample)
        where = _image_index([None if leaf is labels else leaf for leaf in leaves])
        if where is None:
            raise ValueError(
                "The sample has no image: expected a PIL image or a Tensor of at least 3 dimensions."
            )
        leaves[where] = self._replaced(leaves[where], torch.from_numpy(label_indices(labels, self.classes_)))
        return pytree.tree_unflatten(leaves, spec)

    def _labels(self, sample: Any) -> Any:
        if callable(self.labels_getter):
            return self.labels_getter(sample)
        if isinstance(sample, Mapping):
            for key in LABEL_KEYS:
                if key in sample:
                    return sample[key]
        if isinstance(sample, tuple | list):
            image = _image_index(sample)
            if image is not None and image + 1 < len(sample):
                return sample[image + 1]
        raise ValueError(
            "GANAugment needs the label beside the image, got a sample without one. Call it with"
            " (image, label), or on batches in the DataLoader's `collate_fn`. Data sets such as ImageFolder"
            " never show their `transform` the label: use AugmentedDataset there. For other layouts pass"
            " `labels_getter`."
        )

    def _replaced(self, image: Any, classes: Tensor) -> Any:
        single = isinstance(image, Image.Image) or image.ndim == 3
        n = 1 if single else len(image)
        if len(classes) != n:
            raise ValueError(f"`labels` must have one label for each of {n} images, got {len(classes)}.")
        self._check_image(image)
        chosen = torch.rand(n, dtype=torch.float64) < self._rates[classes]
        which = torch.randint(self._pool.shape[1], (n,))
        if not chosen.any():
            return image
        if isinstance(image, Image.Image):
            return tvf.to_pil_image(tvf.to_dtype(self._pool[classes[0], which[0]], torch.uint8, scale=True))
        images = image[None] if single else image
        new = tvf.to_dtype(self._pool[classes[chosen], which[chosen]], images.dtype, scale=True)
        out = images.as_subclass(Tensor).clone()
        out[chosen] = new.to(out.device)
        out = out[0] if single else out
        return tv_tensors.wrap(out, like=image) if isinstance(image, tv_tensors.Image) else out

    def _check_image(self, image: Any) -> None:
        """Raise ValueError unless the synthetic images can stand in for this one, or for this batch."""
        wanted = tuple(self._pool.shape[2:])
        if isinstance(image, Image.Image):
            got: tuple[int, ...] = (len(image.getbands()), image.height, image.width)
            if image.mode not in ("L", "RGB", "RGBA"):
                raise ValueError(
                    f"PIL images must be of mode L, RGB or RGBA, got mode {image.mode}: convert them."
                )
        else:
            got = tuple(image.shape[-3:])
        if got != wanted:
            raise ValueError(
                f"Images must have the synthetic ones' (channels, height, width), {wanted}, got {got}: put"
                " GANAugment after `Resize`."
            )


def _rates(p: Any, sampler: Sampler) -> list[float]:
    """Return the rate of replacement for each class."""
    classes = sampler.classes_.tolist()
    if isinstance(p, Recommendation):
        p = p.synthetic_share
    if isinstance(p, Mapping):
        rates = dict.fromkeys(range(len(classes)), 0.0)
        rates |= {int(label_indices([label], sampler.classes_, "p")[0]): rate for label, rate in p.items()}
    else:
        rate = AUTO_RATE if isinstance(p, str) and p == "auto" else p
        rates = dict.fromkeys(range(len(classes)), rate)
    for rate in rates.values():
        if not isinstance(rate, Real) or not 0 <= rate <= 1:
            raise ValueError(
                f"`p` must be 'auto', a Recommendation, a number in [0, 1] or a dict of such, got {rate!r}."
            )
    return [float(rates[index]) for index in range(len(classes))]


def _image_index(items: Sequence[Any]) -> int | None:
    """Return where the image is: as torchvision does, a plain Tensor counts if nothing else is one."""
    for i, item in enumerate(items):
        if isinstance(item, Image.Image | tv_tensors.Image):
            return i
    for i, item in enumerate(items):
        if tvf.is_pure_tensor(item) and item.ndim in (3, 4):
            return i
    return None


def channels_first(rows: Any) -> Tensor:
    """Return images in any layout of a sampler as a Tensor (n, C, H, W)."""
    if isinstance(rows, Tensor):
        return rows if rows.ndim == 4 else rows[:, None]
    rows = torch.from_numpy(rows)
    return rows.permute(0, 3, 1, 2).contiguous() if rows.ndim == 4 else rows[:, None]
