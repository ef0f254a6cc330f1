"""GANAugment: a torchvision transform that puts synthetic images in the place of some real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils import _pytree as pytree
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from ganaug.adapters.pool import Pool, an_image
from ganaug.data.containers import channels_first, check_image_range, images_like
from ganaug.data.labels import expand_probabilities, label_indices
from ganaug.data.protocol import ConditionalGenerator, check_generator, check_mode
from ganaug.selection.recommend import Recommendation

AUTO_RATE = 0.8
CPU, PLAIN = torch.device("cpu"), (int, str)  # made once: a call takes a few microseconds
LABEL_KEYS = ("label", "labels", "target", "targets")


class GANAugment(v2.Transform):
    """Replace images, each with probability `p`, by synthetic ones of the same class.

    Put it after ``Resize`` and before ``Normalize``. It needs the label: call it with
    ``(image, label)``, or on a whole batch ``(images, labels)``, for example in a DataLoader's
    ``collate_fn``, as torchvision's own MixUp.

    The synthetic images come from a pool that the generator fills once, here, and again at `refresh`;
    no network runs in a worker. Which one is taken is drawn from torch's global random state, as in
    torchvision, so that ``DataLoader(generator=...)`` governs it.

    Parameters
    ----------
    gan : ConditionalGenerator or path
        A fitted `ConditionalGAN`, or anything with ``classes_`` and ``sample``; or an uncompressed
        file of `write_hdf5`, whose synthetic images are the pool; classes of which it has none are
        left as they are. Images have the height, width and channels of those that come in.
    p : "auto", float in [0, 1], dict of label to float, or Recommendation
        How often an image is replaced. "auto": 0.8 in every class. A `Recommendation` of
        `recommend_counts` gives each class its synthetic share, for a loader that draws every
        class equally often. Rates that differ between classes teach a classifier to tell
        synthetic from real and to take that for the class: measured, in docs/recipe.md.
    labels_getter : "default" or callable
        How to find the labels in a sample. "default": the item after the image in a tuple or
        list, or the value under "label", "labels", "target" or "targets" in a dict.
    mode : {"replace", "vary"}
        "replace": by another image of the class. "vary": by a variation of the image that came in,
        made by the generator's ``vary`` there and then, so on batches only, outside of workers.
    pool_size : "auto" or int
        Synthetic images kept for each class that `p` replaces any of. They lie in a temporary file
        that processes map into memory, and that a killed process leaves behind: its size is this
        number times the number of those classes times the bytes of an image. "auto": 4,096, or as
        many as make a file of 256 MiB if that is less, but at least 256; on MNIST a classifier was
        the better for each step from 256 to 4,000 (docs/recipe.md). 0: no pool; images are generated
        for each batch as it comes, best on a GPU after the transfer.
    strength : float
        In mode "vary", how far a variation may go: 1 as far as ``sample``; see `ConditionalGAN.vary`.
    random_state : int, RandomState or None
        For filling the pool.
    classes : sequence of labels, optional
        What the loader's labels stand for, where they are indices and the generator knows names, or
        other numbers: pass the data set's own ``classes``, as those of `HDF5Dataset` and ``ImageFolder``.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1] or names a class that the generator doesn't know, as `classes` may; or
        if the generator can't do what `mode` asks for.
    """

    def __init__(
        self,
        gan: ConditionalGenerator | str | Path,
        p: float | Mapping[Any, float] | Recommendation | Literal["auto"] = "auto",
        labels_getter: Callable[[Any], Any] | Literal["default"] = "default",
        mode: Literal["replace", "vary"] = "replace",
        *,
        pool_size: int | Literal["auto"] = "auto",
        strength: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
        classes: Sequence[Any] | None = None,
    ) -> None:
        super().__init__()
        if not (labels_getter == "default" or callable(labels_getter)):
            raise ValueError(f"`labels_getter` must be 'default' or a callable, got {labels_getter!r}.")
        size: Any = None if isinstance(pool_size, str) and pool_size == "auto" else pool_size
        number = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if size is not None and (not number or size < 0):
            raise ValueError(f"`pool_size` must be 'auto' or an int from 0 up, got {pool_size!r}.")
        self.p, self.mode, self.labels_getter, self.strength = p, mode, labels_getter, strength
        self._gan: Any = None
        self._pool: Pool | None = None
        if isinstance(gan, str | Path):
            if mode == "vary":
                raise ValueError(f"`gan` must not be a file for mode 'vary', got {str(gan)!r}.")
            self._pool = Pool.of_file(Path(gan))
        else:
            check_generator(gan)
            self._gan = gan
        check_mode(mode, strength, self._gan)
        self.classes_ = (self._pool or self._gan).classes_
        rates: Any = p.synthetic_share if isinstance(p, Recommendation) else p
        rates = AUTO_RATE if isinstance(rates, str) and rates == "auto" else rates
        self._rates = torch.from_numpy(np.array(expand_probabilities(rates, self.classes_, "p")))
        if mode == "replace" and size != 0 and self._gan is not None:
            self._pool = Pool.filled(self._gan, (self._rates > 0).numpy(), size, random_state)
        if self._pool is not None:
            self._rates[self._pool.counts == 0] = 0.0  # classes that a file leaves out
        self._rate = self._rates.tolist()
        # Labels as they come, in order, and which of `classes_` each is.
        self._labels_in = self.classes_ if classes is None else np.arange(len(classes))
        self._which = np.arange(len(self.classes_))
        if classes is not None:
            self._which = label_indices(classes, self.classes_, "classes")
        self._index = dict(zip(self._labels_in.tolist(), self._which.tolist(), strict=True))
        self._like = None  # a row of the generator, where images are made into such rows
        if self._pool is None:
            self._like = an_image(self._gan)
        self._shape = tuple(channels_first(self._like).shape[1:]) if self._pool is None else self._pool.shape

    def refresh(self, random_state: int | np.random.RandomState | None = None) -> None:
        """Fill the pool with new images, between two epochs; persistent workers see them too.

        Parameters
        ----------
        random_state : int, RandomState or None

        Raises
        ------
        ValueError
            If there is no pool that a generator fills.
        """
        if self._pool is None or self._gan is None:
            raise ValueError(
                "`refresh` needs a pool that a generator fills: there is none here. (The generator stays in the"
                " process that made the transform: call it there, and all others see the new images.)"
            )
        self._pool.refill(self._gan, random_state)

    def __getstate__(self) -> dict[str, Any]:
        # A network is of no use to a worker that has a pool.
        needless = self._pool is not None and get_spawning_popen() is not None
        return {**self.__dict__, "_sampler": None} if needless else self.__dict__

    def extra_repr(self) -> str:
        """Describe the parameters for ``repr``."""
        rates = dict(zip(self.classes_.tolist(), self._rates.tolist(), strict=True))
        p = self.p if isinstance(self.p, int | float | str) else rates
        pool = 0 if self._pool is None else int(self._pool.counts.sum())
        return f"p={p}, mode={self.mode!r}, classes={len(self.classes_)}, pool={pool}, shape={self._shape}"

    def forward(self, *inputs: Any) -> Any:
        """Return the sample with its image, or some images of its batch, replaced."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        if type(sample) in (tuple, list) and len(sample) == 2 and self.labels_getter == "default":
            image, label = sample  # the common case, without what a general one costs in a worker
            if isinstance(label, PLAIN) and label in self._index and self._fits(image):
                return type(sample)((self._replaced_one(image, self._index[label]), label))
        labels = self._labels(sample)
        leaves, spec = pytree.tree_flatten(sample)
        where = _image_index([None if leaf is labels else leaf for leaf in leaves])
        if where is None:
            raise ValueError(
                "The sample has no image: expected a PIL image or a Tensor of at least 3 dimensions."
            )
        classes = torch.from_numpy(self._which[label_indices(labels, self._labels_in)])
        leaves[where] = self._replaced(leaves[where], classes)
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
            raise ValueError(
                f"`labels` must have one label for each of {n} images, got {len(classes)}: an image is"
                " (C, H, W), a batch (N, C, H, W)."
            )
        self._check_image(image)
        if single:
            return self._replaced_one(image, int(classes[0]))
        chosen = torch.rand(n, dtype=torch.float64, device=CPU) < self._rates[classes]
        u = torch.rand(n, dtype=torch.float32, device=CPU)
        if not chosen.any():
            return image
        images = image.as_subclass(Tensor)
        new = tvf.to_dtype(self._new(images[chosen], classes[chosen], u[chosen]), images.dtype, scale=True)
        out = images.clone()
        out[chosen] = new.to(out.device)
        return tv_tensors.wrap(out, like=image) if isinstance(image, tv_tensors.Image) else out

    def _replaced_one(self, image: Any, c: int) -> Any:
        if self._pool is None:
            raise ValueError(
                f"Images are generated as they come here (mode={self.mode!r}), which takes batches: call it"
                " with (images, labels) after collation."
            )
        chance, u = torch.rand(2, device=CPU).tolist()
        if chance >= self._rate[c]:
            return image
        new = self._pool.take_one(c, u)
        if isinstance(image, Image.Image):
            return tvf.to_pil_image(tvf.to_dtype(new, torch.uint8, scale=True))
        if new.dtype != image.dtype:
            new = tvf.to_dtype(new, image.dtype, scale=True)
        if image.device != CPU:
            new = new.to(image.device)
        return new.as_subclass(type(image)) if isinstance(image, tv_tensors.Image) else new

    def _new(self, images: Any, classes: Tensor, u: Tensor) -> Tensor:
        """Return one synthetic image (C, H, W) of each of `classes`, drawn by `u` from the pool."""
        if self._pool is not None:
            return self._pool.take(classes, u)
        labels, seed = self.classes_[classes.numpy()], int(torch.randint(2**31 - 1, (), device=CPU))
        if self.mode == "replace":
            return channels_first(self._gan.sample(labels, random_state=seed))
        rows = images_like(images, self._like)
        return channels_first(self._gan.vary(rows, labels, self.strength, random_state=seed))

    def _fits(self, item: Any) -> bool:
        """Return whether this is one image, of the synthetic ones' shape."""
        if isinstance(item, Image.Image):
            self._check_image(item)
            return True
        if not (isinstance(item, Tensor) and item.shape == self._shape):
            return False
        check_image_range(item, "GANAugment")
        return True

    def _check_image(self, image: Any) -> None:
        """Raise ValueError unless the synthetic images can stand in for this one, or for this batch."""
        wanted = self._shape
        if isinstance(image, Image.Image):
            got: tuple[int, ...] = (len(image.getbands()), image.height, image.width)
            if image.mode not in ("L", "RGB", "RGBA"):
                raise ValueError(
                    f"PIL images must be of mode L, RGB or RGBA, got mode {image.mode}: convert them."
                )
        else:
            got = tuple(image.shape[-3:])
            check_image_range(image, "GANAugment")
        if got != wanted:
            before = {1: "Grayscale", 3: "RGB"}.get(wanted[0]) if got[1:] == wanted[1:] else "Resize"
            advice = f"put GANAugment after `{before}`" if before else "convert them"
            raise ValueError(
                f"Images must have the synthetic ones' (channels, height, width), {wanted}, got {got}:"
                f" {advice}."
            )


def _image_index(items: Sequence[Any]) -> int | None:
    """Return where the image is: as torchvision does, a plain Tensor counts if nothing else is one."""
    for i, item in enumerate(items):
        if isinstance(item, Image.Image | tv_tensors.Image):
            return i
    for i, item in enumerate(items):
        if tvf.is_pure_tensor(item) and item.ndim in (3, 4):
            return i
    return None
