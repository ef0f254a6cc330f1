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

from ganaug.adapters.annotations import Annotation, find_annotations
from ganaug.adapters.layouts import (
    as_tree,
    check_classes,
    find_labels,
    flatten,
    image_index,
    label_column,
)
from ganaug.adapters.pool import ImagePool, sample_template
from ganaug.adapters.rates import automatic_p
from ganaug.data.containers import as_batch, check_image_range, images_like
from ganaug.data.labels import expand_probabilities, label_indices
from ganaug.data.protocol import ConditionalGenerator, check_generator, check_mode
from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE
from ganaug.selection.recommendation import Recommendation

# A call of the transform takes a few microseconds, so these are made once.
CPU, SCALAR_LABEL_TYPES = torch.device("cpu"), (int, str, np.integer)
# These very types: masks and videos are Tensors too.
IMAGE_TENSORS: tuple[type, ...] = (Tensor, tv_tensors.Image)


class GANAugment(v2.Transform):
    """Replace images, each with probability `p`, by synthetic ones of the same class.

    Put it after ``Resize`` and before ``Normalize``. It needs the label: call it with
    ``(image, label)``, or on a whole batch ``(images, labels)``, for example in a DataLoader's
    ``collate_fn``, as torchvision's own MixUp, and before that: what MixUp returns has no class. What belongs
    to the image that came in, as a mask, boxes, a video or a second image, is refused beside it; masks, boxes
    and key points are welcome in mode "vary".
    A generator of features replaces vectors alike: ``(vector, label)``, or a batch (N, n_features).

    The synthetic images come from a pool that the generator fills here once, and again at `refresh`. No
    network runs in a worker. Which image is taken is drawn from torch's global random state, as in
    torchvision, so ``DataLoader(generator=...)`` governs it.

    Parameters
    ----------
    gan : ConditionalGenerator or path
        A fitted `ConditionalGAN`, or anything with ``classes_`` and ``sample``. Or an uncompressed file
        of `write_hdf5`, whose synthetic images are the pool; images of classes of which it has none are
        not replaced. Synthetic images must have the height, width and channels of those that come in.
    p : "auto", float in [0, 1], dict of label to float, or Recommendation, default="auto"
        How often an image is replaced. "auto": the same in every class, by how many images of the smallest
        one a `ConditionalGAN` was trained on: 0.8 up to 150, 0 from 500 on, in between less the more there
        are. Of other generators and of files: 0.8. A `Recommendation` of `recommend_counts` gives each
        class its synthetic share, for a loader that draws every class equally often. If `p` differs between
        classes, a classifier learns to distinguish synthetic from real images and takes that for the class;
        docs/lab/adding.md has the measurements.
    labels_getter : "default" or callable, default="default"
        How to find the labels in a sample. "default": as torchvision does, the item after the image in a
        tuple or list; in a dict, or in the dict that this item is, the value under "labels", else "label",
        else the first key that contains "label"; then "target", "targets" or "cls", in any case of letters.
    mode : {"replace", "vary"}, default="replace"
        "replace": by another image of the class. "vary": by a variation of the image that came in. The
        generator's ``vary`` makes it during the call, so on batches only, outside of workers. A ``Mask``,
        ``BoundingBoxes`` and ``KeyPoints`` of torchvision go with it: (N, ...) beside a batch, or in a list
        with an item for each image, as the targets of a detector are; images are then only warped and tinted.
        See docs/howto/segmentation.md.
    pool_size : "auto" or int, default="auto"
        Synthetic images kept for each class that `p` replaces any of. They lie in a temporary file that
        processes map into memory, without a name where the system has such files. "auto": 4,096, or as
        many as make a file of 256 MiB if that is less, but at least 256; of images above 64 pixels a side
        as many as make a file of 1 GiB. On MNIST each step from 256 to 4,000 made the classifier better
        (docs/lab/adding.md). 0: no pool; images are generated for each batch as it comes, best on a GPU after
        the transfer.
    strength : float, default=1.0
        In mode "vary", how far a variation may go: 1 as far as ``sample``; see `ConditionalGAN.vary`.
    random_state : int, RandomState or None
        For filling the pool.
    classes : sequence of labels, optional
        The generator's label for each label of the loader, where those are indices: pass the data set's
        own ``classes``, as those of `HDF5Dataset` and ``ImageFolder``. Leave it out where the generator knows
        the indices themselves.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1], `p` or `classes` names a class that the generator doesn't know, or the
        generator can't do what `mode` asks for.

    Examples
    --------
    >>> import torch
    >>> from ganaug import ConditionalGAN, GANAugment
    >>> X, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 2
    >>> gan = ConditionalGAN(steps=2, random_state=0).fit(X, y)
    >>> augment = GANAugment(gan, pool_size=16, random_state=0)
    >>> images, labels = augment(X, y)
    >>> images.shape, labels is y
    (torch.Size([20, 1, 8, 8]), True)
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
        self.p, self.mode, self.labels_getter = p, mode, labels_getter
        self.strength = strength
        self._gan: Any = None
        self._pool: ImagePool | None = None
        if isinstance(gan, str | Path):
            if mode == "vary":
                raise ValueError(f"`gan` must not be a file for mode 'vary', got {str(gan)!r}.")
            self._pool = ImagePool.from_file(Path(gan))
        else:
            check_generator(gan)
            self._gan = gan
        check_mode(mode, strength, self._gan)
        self.classes_: np.ndarray = (self._pool or self._gan).classes_
        class_p: Any = p.synthetic_share if isinstance(p, Recommendation) else p
        if isinstance(class_p, str) and class_p == "auto":
            class_p = DEFAULT_SYNTHETIC_SHARE if self._gan is None else automatic_p(self._gan)
        self._class_p = torch.from_numpy(np.array(expand_probabilities(class_p, self.classes_, "p")))
        if mode == "replace" and size != 0 and self._gan is not None:
            self._pool = ImagePool.from_generator(self._gan, (self._class_p > 0).numpy(), size, random_state)
        if self._pool is not None:
            self._class_p[self._pool.counts == 0] = 0.0  # classes that a file leaves out
        self._class_p_list = self._class_p.tolist()
        if classes is not None:
            check_classes(classes, self.classes_)
        # The labels that may come in, sorted, and the index in `classes_` of each.
        self._input_labels = self.classes_ if classes is None else np.arange(len(classes))
        self._input_classes = np.arange(len(self.classes_))
        if classes is not None:
            self._input_classes = label_indices(classes, self.classes_, "classes")
        self._class_index = dict(zip(self._input_labels.tolist(), self._input_classes.tolist(), strict=True))
        self._template = None if self._pool is not None else sample_template(self._gan)
        self._shape = (
            self._pool.shape if self._pool is not None else tuple(as_batch(self._template).shape[1:])
        )

    def refresh(self, random_state: int | np.random.RandomState | None = None) -> None:
        """Refill the image pool, between two epochs; persistent workers see the new images too.

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
                "`refresh` needs a pool that a generator fills: there is none here. The generator stays in"
                " the process that made the transform. Call `refresh` there: all others see the new images."
            )
        self._pool.refill(self._gan, random_state)

    def __getstate__(self) -> dict[str, Any]:
        # A worker that has a pool needs no network.
        pool_is_enough = self._pool is not None and get_spawning_popen() is not None
        return {**self.__dict__, "_gan": None} if pool_is_enough else self.__dict__

    def extra_repr(self) -> str:
        """Describe the parameters for ``repr``."""
        class_p = dict(zip(self.classes_.tolist(), self._class_p.tolist(), strict=True))
        p = self.p if isinstance(self.p, int | float | str) else class_p
        pool = 0 if self._pool is None else int(self._pool.counts.sum())
        return f"p={p}, mode={self.mode!r}, classes={len(self.classes_)}, pool={pool}, shape={self._shape}"

    def forward(self, *inputs: Any) -> Any:
        """Return the sample with its image, or some images of its batch, replaced."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        if type(sample) in (tuple, list) and len(sample) == 2 and self.labels_getter == "default":
            image, label = sample  # a shortcut for the common case, which is faster in a worker
            known = isinstance(label, SCALAR_LABEL_TYPES) and label in self._class_index
            if known and self._is_compatible(image):
                return type(sample)((self._replace_one(image, self._class_index[label]), label))
        sample = as_tree(sample)
        annotated = self.mode == "vary" and len(self._shape) == 3
        leaves, spec = flatten(sample, annotated=annotated)
        labels = self.labels_getter(sample) if callable(self.labels_getter) else find_labels(sample)
        others = [None if leaf is labels else leaf for leaf in leaves]
        where = self._vector_index(others) if len(self._shape) == 1 else image_index(others)
        if where is None:
            raise ValueError(
                f"The sample has no feature vector: expected a Tensor of floats of shape {self._shape}, or a"
                " batch of such."
                if len(self._shape) == 1
                else "The sample has no image: expected a PIL image or a Tensor of at least 3 dimensions."
            )
        column = label_column(labels)
        classes = torch.from_numpy(self._input_classes[label_indices(column, self._input_labels)])
        image, annotations = leaves[where], []
        if annotated and self._is_batch(image):
            annotations = find_annotations(sample, image, self._gan)
        leaves[where] = self._replace(image, classes, annotations, leaves)
        return pytree.tree_unflatten(leaves, spec)

    def _replace(self, image: Any, classes: Tensor, annotations: list[Annotation], leaves: list[Any]) -> Any:
        """Return an image or a batch with some images replaced; in `leaves`, annotations go with these."""
        several = isinstance(image, list | tuple)
        single = isinstance(image, Image.Image) or (not several and image.ndim == len(self._shape))
        n = 1 if single else len(image)
        if len(classes) != n:
            raise ValueError(
                f"`labels` must have one label for each of {n} images, got {len(classes)}: an image is"
                " (C, H, W), a batch (N, C, H, W)."
            )
        for item in image if several else (image,):
            self._check_image(item)
        if single:
            return self._replace_one(image, int(classes[0]))
        if several and (self._pool is not None or not self._is_batch(image)):
            return type(image)(map(self._replace_one, image, classes.tolist()))
        chosen = torch.rand(n, dtype=torch.float64, device=CPU) < self._class_p[classes]
        u = torch.rand(n, dtype=torch.float32, device=CPU)
        if not chosen.any():
            return image
        images = torch.stack(image) if several else image
        images = images.as_subclass(Tensor)
        synthetic, flow = self._draw(
            images[chosen], classes[chosen], u[chosen], return_flow=bool(annotations)
        )
        for annotation in annotations:
            leaves[annotation.where] = annotation.warped(chosen, flow)
        out = images.clone()
        out[chosen] = tvf.to_dtype(synthetic, images.dtype, scale=True).to(out.device)
        if several:
            changed = zip(out, image, chosen, strict=True)
            return type(image)(_wrapped(new, old) if c else old for new, old, c in changed)
        return _wrapped(out, image)

    def _replace_one(self, image: Any, c: int) -> Any:
        if self._pool is None:
            raise ValueError(
                f"Without a pool (mode={self.mode!r}) images are generated in batches, got one image: call"
                " GANAugment with (images, labels) after collation."
            )
        chance, u = torch.rand(2, device=CPU).tolist()
        if chance >= self._class_p_list[c]:
            return image
        new = self._pool.take_one(c, u)
        if isinstance(image, Image.Image):
            return tvf.to_pil_image(tvf.to_dtype(new, torch.uint8, scale=True))
        if new.dtype != image.dtype:
            new = tvf.to_dtype(new, image.dtype, scale=True)
        if image.device != CPU:
            new = new.to(image.device)
        return new.as_subclass(type(image)) if isinstance(image, tv_tensors.Image) else new

    def _draw(self, images: Any, classes: Tensor, u: Tensor, *, return_flow: bool) -> tuple[Tensor, Any]:
        """Return one synthetic image (C, H, W) of each of `classes`, drawn by `u` from the pool.

        In mode "vary" the flow along which they were warped comes too, if asked for.
        """
        if self._pool is not None:
            return self._pool.take(classes, u), None
        labels, seed = self.classes_[classes.numpy()], int(torch.randint(2**31 - 1, (), device=CPU))
        if self.mode == "replace":
            return as_batch(self._gan.sample(labels, random_state=seed)), None
        originals = images_like(images, self._template)
        if not return_flow:
            return as_batch(self._gan.vary(originals, labels, self.strength, random_state=seed)), None
        varied, flow = self._gan.vary(originals, labels, self.strength, random_state=seed, return_flow=True)
        return as_batch(varied), flow

    def _is_batch(self, image: Any) -> bool:
        """Return whether images are Tensors that go through a network together."""
        if isinstance(image, list | tuple):
            return isinstance(image[0], Tensor)
        return isinstance(image, Tensor) and image.ndim > len(self._shape)

    def _is_compatible(self, item: Any) -> bool:
        """Return whether this is one image, of the synthetic ones' shape."""
        if isinstance(item, Image.Image):
            self._check_image(item)
            return True
        if not (type(item) in IMAGE_TENSORS and item.shape == self._shape):
            return False
        if len(self._shape) == 1:
            return item.dtype.is_floating_point
        check_image_range(item, "GANAugment")
        return True

    def _vector_index(self, items: list[Any]) -> int | None:
        """Return where the feature vector is, or the batch of such; None if there is none."""
        for i, item in enumerate(items):
            if isinstance(item, Tensor) and item.ndim in (1, 2) and item.shape[-1:] == self._shape:
                return i if item.dtype.is_floating_point else None
        return None

    def _check_image(self, image: Any) -> None:
        """Raise ValueError unless the synthetic images can stand in for this one, or for this batch."""
        wanted = self._shape
        if len(wanted) == 1:
            return  # `_vector_index` has looked at it
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
            earlier = {1: "Grayscale", 3: "RGB"}.get(wanted[0])
            if got[1:] != wanted[1:]:
                advice = (
                    f"put GANAugment after `Resize`, or fit the generator on images of {got[1:]}, as"
                    f" `as_arrays(..., size={got[1:]})` gives them; synthetic images are never resized"
                )
            else:
                advice = f"put GANAugment after `{earlier}`" if earlier else "convert them"
            raise ValueError(
                f"Images must have the synthetic ones' (channels, height, width), {wanted}, got {got}:"
                f" {advice}."
            )


def _wrapped(new: Tensor, like: Tensor) -> Tensor:
    return tv_tensors.wrap(new, like=like) if isinstance(like, tv_tensors.Image) else new
