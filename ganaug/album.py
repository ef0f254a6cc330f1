"""GANReplace: an albumentations transform that puts synthetic images in the place of some real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from albumentations import ImageOnlyTransform
from albumentations.core.transforms_interface import BaseTransformInitSchema
from torchvision.transforms.v2 import functional as tvf

from ganaug.adapters.pool import ImagePool
from ganaug.data.containers import check_image_range
from ganaug.data.labels import expand_probabilities, label_indices
from ganaug.data.weights import DEFAULT_SYNTHETIC_SHARE

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


class GANReplace(ImageOnlyTransform):
    """Replace an image, with probability `p`, by a synthetic one of the same class.

    For ``Compose``, before ``Normalize`` and after what resizes: called as
    ``transform(image=image, label=label)``. The synthetic images are those of a file. Whether one is
    taken, and which, is drawn from torch's global random state. So the workers of a DataLoader differ, and
    ``DataLoader(generator=...)`` governs them; albumentations 2.0.8 by itself draws the same in all forked
    workers. Needs the extra "albumentations".

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
        If the file is damaged, compressed, or not that of `digest`. When called: if the label is missing
        or unknown, if the image is of another shape than the synthetic ones, or not of uint8 or floats in
        [0, 1], or if another target comes with it, such as a mask or a second image.
    """

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
        self._unsupported_targets = set(UNSUPPORTED_TARGETS)
        self.path, self.label_key = str(path), label_key
        self._pool = ImagePool.from_file(Path(path))
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
        unsupported = sorted(name for name in self._unsupported_targets if data.get(name) is not None)
        if unsupported:
            raise ValueError(
                f"A synthetic image has no {unsupported[0]!r}: GANReplace takes `image` and"
                f" `{self.label_key}`."
            )
        return super().__call__(*args, force_apply=force_apply, **data)

    def add_targets(self, additional_targets: dict[str, str]) -> None:
        """Note what else a pipeline passes, to refuse it: two images would be replaced by the same one."""
        super().add_targets(additional_targets)
        self._unsupported_targets |= set(additional_targets)

    def should_apply(self, force_apply: bool = False) -> bool:
        """Return whether to replace the image at hand."""
        return force_apply or float(torch.rand((), dtype=torch.float64)) < self.p

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Return the class, and what chooses an image of it: all that a replay needs."""
        (c,) = label_indices([data[self.label_key]], self._pool.classes_).tolist()
        chance, u = torch.rand(2, dtype=torch.float64).tolist()
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
                " after what resizes."
            )
        return np.ascontiguousarray(new)
