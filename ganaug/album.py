"""GANReplace and GANVary: albumentations transforms that replace or vary some of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.transforms.v2 import functional as tvf

from ganaug.adapters.pool import ImagePool, sample_template
from ganaug.album_base import LabelledTransform, check_digest
from ganaug.data.containers import as_batch, check_image_range, images_like
from ganaug.data.labels import expand_probabilities
from ganaug.data.protocol import check_makes_images, check_mode
from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE
from ganaug.model.flow import Flow
from ganaug.model.gan import ConditionalGAN

try:
    from albumentations import DualTransform, ImageOnlyTransform
    from albumentations.core.transforms_interface import BaseTransformInitSchema

    try:
        from albumentations.core.type_definitions import Targets
    except ImportError:  # in 2.0.0
        from albumentations.core.types import Targets
except ImportError as _exc:
    raise ImportError(
        "GANReplace and GANVary need albumentations from 2.0 on (pip install 'ganaug[albumentations]'), or"
        f" albumentationsx 2.5.1 in its place. Importing `albumentations` failed: {_exc}"
    ) from _exc

# What can lie in the plane of one image, by albumentations' names, and what is no single flat image.
FLAT_TARGETS = ("IMAGE", "MASK", "MASKS", "BBOXES", "KEYPOINTS")
NO_FLAT_IMAGES = ("images", "volume", "volumes", "mask3d", "masks3d")


class GANReplace(LabelledTransform, ImageOnlyTransform):
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

    argument_names: tuple[str, ...] = ("path", "label_key", "digest", "class_p")
    refused: tuple[str, ...] = ("mask", "masks", "bboxes", "keypoints", *NO_FLAT_IMAGES)

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
        super().__init__(p=p)
        self.path: str = str(path)
        self.label_key: str = label_key
        self._pool = ImagePool.from_file(Path(path))
        if len(self._pool.shape) == 1:
            raise ValueError(
                f"`path` must be a file of images, got {path} of feature vectors of shape {self._pool.shape}:"
                " GANAugment takes those."
            )
        self.digest: str = self._pool.digest
        check_digest(path, digest, self.digest)
        # As pairs: JSON has no keys but strings.
        self.class_p: list[tuple[Any, float]] | None = (
            None
            if class_p is None
            else [(k.item() if isinstance(k, np.generic) else k, float(v)) for k, v in dict(class_p).items()]
        )
        self._class_p_list = expand_probabilities(
            1.0 if self.class_p is None else dict(self.class_p), self._pool.classes_, "class_p"
        )

    def _choose(self, data: Mapping[str, Any], numbers: Sequence[float]) -> dict[str, Any]:
        """Return the class and what chooses an image of it, by two numbers: all that a replay needs."""
        c, (chance, u) = self._class_index(data, self._pool.classes_), numbers
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
        _check_shape(img, new.shape, "GANReplace")
        return np.ascontiguousarray(new)


class GANVary(LabelledTransform, DualTransform):
    """Vary an image, with probability `p`, and all that lies on it by the same flow.

    For ``Compose``, before ``Normalize`` and after what resizes: called as ``transform(image=image,
    label=label, mask=mask)``. ``mask`` and ``masks`` are warped by nearest neighbours, so their values stay
    what they were; ``bboxes`` and ``keypoints`` move with the image, which is only warped and tinted; see
    `ConditionalGAN.vary` and `ganaug.model.flow.Flow`. Needs the extra "albumentations".

    A network runs for each image, in each worker of a DataLoader: a few milliseconds on one thread. Each
    worker has the model, with its training samples, in memory; where workers are forked they share it.
    Randomness is that of `GANReplace`.

    Parameters
    ----------
    path : path
        A folder that `ConditionalGAN.save` wrote, with a model of images, of an architecture that warps them:
        the default one for images from 16 pixels a side up.
    label_key : str, default="label"
        The name under which the label is passed.
    digest : str, optional
        Of the model, as `to_dict` writes it; another model is refused. None: any.
    strength : float, default=1.0
        How far a variation may go; see `ConditionalGAN.vary`.
    p : float, default=0.8
        The probability that the transform applies.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the model is damaged, not of images, has no flow, or is not that of `digest`. When called: if the
        label is missing or unknown, if the image is of another shape than the model's, or not of uint8 or
        floats in [0, 1], or if another image or a volume comes with it.
    """

    argument_names: tuple[str, ...] = ("path", "label_key", "digest", "strength")
    refused: tuple[str, ...] = NO_FLAT_IMAGES
    followed: tuple[str, ...] = ("mask", "masks", "bboxes", "keypoints")
    # By name, as albumentationsx also has some of masks; it takes no target that is not declared.
    _targets = tuple(target for target in Targets if target.name in FLAT_TARGETS)

    class InitSchema(BaseTransformInitSchema):
        """The types of the parameters, which albumentations checks."""

        path: str | Path
        label_key: str
        digest: str | None
        strength: float

    def __init__(
        self,
        path: str | Path,
        label_key: str = "label",
        digest: str | None = None,
        strength: float = 1.0,
        p: float = DEFAULT_SYNTHETIC_SHARE,
    ) -> None:
        super().__init__(p=p)
        self.path: str = str(path)
        self.label_key: str = label_key
        self.strength = strength
        self._gan = ConditionalGAN.load(path, device="cpu")
        check_makes_images(self._gan)
        check_mode("vary", strength, self._gan)
        self._template = sample_template(self._gan)
        self._gan.vary(self._template, self._gan.classes_[:1], return_flow=True)  # or it has no flow
        self.digest: str = self._gan.digest()
        check_digest(path, digest, self.digest)
        self._varied: tuple[np.ndarray, Flow] | None = None

    def _choose(self, data: Mapping[str, Any], numbers: Sequence[float]) -> dict[str, Any]:
        """Return the class and the seed of a variation: all that a replay needs."""
        c = self._class_index(data, self._gan.classes_)
        return {"class_index": c, "seed": int(numbers[0] * (2**31 - 1))}

    def apply_with_params(self, params: Any, *args: Any, **data: Any) -> dict[str, Any]:
        """Vary the image first, whatever the order of the targets, then let all of them have their part."""
        chosen = getattr(params, "params", params)  # albumentationsx has them in an object
        self._varied = self._vary(data["image"], chosen["class_index"], chosen["seed"])
        try:
            return super().apply_with_params(params, *args, **data)
        finally:
            self._varied = None

    def _vary(self, img: np.ndarray, class_index: int, seed: int) -> tuple[np.ndarray, Flow]:
        """Return a variation of an image (H, W) or (H, W, C), and its flow."""
        like = torch.from_numpy(img.copy())
        check_image_range(like, "GANVary")
        channels, *sides = as_batch(self._template).shape[1:]
        _check_shape(img, (*sides, channels)[: 2 if img.ndim == 2 and channels == 1 else 3], "GANVary")
        image = (like if like.ndim == 3 else like[:, :, None]).permute(2, 0, 1)
        label = self._gan.classes_[class_index : class_index + 1]
        one = images_like(image[None], self._template)
        varied, flow = self._gan.vary(one, label, self.strength, random_state=seed, return_flow=True)
        new = tvf.to_dtype(as_batch(varied)[0], like.dtype, scale=True).permute(1, 2, 0).numpy()
        return np.ascontiguousarray(new).reshape(img.shape), flow

    def _current(self) -> tuple[np.ndarray, Flow]:
        assert self._varied is not None  # noqa: S101 - `apply_with_params` has set it
        return self._varied

    def apply(self, img: np.ndarray, **params: Any) -> np.ndarray:
        """Return the variation of the image."""
        return self._current()[0]

    def apply_to_mask(self, mask: np.ndarray, **params: Any) -> np.ndarray:
        """Return a mask, (H, W) or (H, W, C), warped as the image was."""
        flow = self._current()[1]
        channels_first = (mask if mask.ndim == 3 else mask[:, :, None]).transpose(2, 0, 1)
        new = flow.warp_masks(channels_first[None])[0].transpose(1, 2, 0)
        return np.ascontiguousarray(new).reshape(mask.shape)

    def apply_to_bboxes(self, bboxes: np.ndarray, **params: Any) -> np.ndarray:
        """Return boxes (n, 4 or more), in shares of the image's sides, as `Flow.warp_boxes` has them."""
        flow, new = self._current()[1], bboxes.copy()
        sides = np.array([*flow.sides[::-1]] * 2)
        new[:, :4] = flow.warp_boxes([bboxes[:, :4] * sides])[0] / sides
        return new

    def apply_to_keypoints(self, keypoints: np.ndarray, **params: Any) -> np.ndarray:
        """Return key points (n, 2 or more) at their new places; angle and scale stay as they were."""
        new = keypoints.copy()
        new[:, :2] = self._current()[1].warp_points([keypoints[:, :2]])[0]
        return new


def _check_shape(img: np.ndarray, wanted: tuple[int, ...], name: str) -> None:
    """Raise ValueError unless an image has the shape of the synthetic ones."""
    if img.shape != wanted:
        raise ValueError(
            f"Images must have the synthetic ones' shape, {wanted}, got {img.shape}: put {name} after what"
            f" resizes, or fit the generator on images of {img.shape[:2]}, as `as_arrays(...,"
            f" size={img.shape[:2]})` gives them; synthetic images are never resized."
        )
