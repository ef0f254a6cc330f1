"""AugmentedDataset: a data set with synthetic images behind its real ones."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as tvf

from ganaug.data import Sampler, label_indices
from ganaug.recommend import Recommendation, balanced_weights
from ganaug.transform import channels_first


class AugmentedDataset(Dataset):
    """Append synthetic images to a data set, such as one whose transform never sees a label.

    The real items stay what and where they were. The synthetic images are made once, here, and go
    through the data set's own ``transform`` and ``target_transform``, if it has them, as PIL images,
    which is what torchvision's data sets hand to theirs. They are held in memory, as many bytes as
    they have pixels; for more than fit, write them with `write_hdf5` and concatenate an
    `HDF5Dataset`.

    Parameters
    ----------
    dataset : Dataset
        Of (image, label), with a length: ``ImageFolder``, ``CIFAR10``, ``TensorDataset``, ...
        Labels are taken from its ``targets`` or ``labels``, or else from its items.
    sampler : Sampler
        A fitted `ConditionalGAN`, a `QualityGate`, or anything with ``classes_`` and ``sample``.
        If it knows classes by name, and the data set by number, the data set's ``classes`` tell
        which is which.
    counts : "balance", int, dict of label to int, or Recommendation
        Synthetic images to add to each class. "balance": what it lacks to the largest.
    synthetic_share : float or dict of label to float, optional
        The share of a class's draws that is synthetic, by `sample_weight`. None: as `counts`
        recommends, or else every item of a class alike.
    random_state : int, RandomState or None
        Of the synthetic images.

    Attributes
    ----------
    labels : ndarray of shape (n,)
        The label of each item, as the sampler knows it.
    synthetic : ndarray of shape (n,), bool
        True for the synthetic items, which come last.
    sample_weight : ndarray of shape (n,)
        Draws by which every class is equally likely, for ``WeightedRandomSampler``.

    Raises
    ------
    ValueError
        If a parameter is not of the kind described, a label is unknown to the sampler, or synthetic
        images would differ from the real ones in kind or shape.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> from ganaug import AugmentedDataset, ConditionalGAN
    >>> X, y = torch.rand(50, 1, 8, 8), torch.arange(50) % 5 // 4
    >>> gan = ConditionalGAN(steps=2, random_state=0).fit(X, y)
    >>> data = AugmentedDataset(TensorDataset(X, y), gan, random_state=0)
    >>> len(data), int(data.synthetic.sum()), data[-1][0].shape, data[-1][1]
    (80, 30, torch.Size([1, 8, 8]), tensor(1))
    """

    def __init__(
        self,
        dataset: Any,
        sampler: Sampler,
        counts: int | Mapping[Any, int] | Recommendation | Literal["balance"] = "balance",
        synthetic_share: float | Mapping[Any, float] | None = None,
        *,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.dataset = dataset
        targets = _targets(dataset)
        classes = sampler.classes_
        known = label_indices(_as_known(targets, dataset, classes), classes)
        present, first, n_real = np.unique(known, return_index=True, return_counts=True)
        n_new = _to_add(counts, classes, present, n_real)
        added = np.repeat(np.arange(len(classes)), n_new)
        self.labels = classes[np.concatenate([known, added])]
        self.synthetic = np.arange(len(self.labels)) >= len(known)
        self._own = dict(zip(present.tolist(), targets[first].tolist(), strict=True))
        self._added = added
        if isinstance(counts, Recommendation) and synthetic_share is None:
            synthetic_share = counts.synthetic_share
        share = _shares(synthetic_share, classes, np.bincount(known, minlength=len(classes)), n_new)
        self.sample_weight = balanced_weights(self.labels, self.synthetic, share)
        self._like = dataset[0]
        self._pool = channels_first(sampler.sample(classes[added], random_state=random_state))
        if len(added):
            self._check_alike()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} items")
        index = int(index) % len(self)
        n_real = len(self) - len(self._added)
        if index < n_real:
            return self.dataset[index]
        return self._image(index - n_real), self._label(index - n_real)

    def _image(self, i: int) -> Any:
        image, like = self._pool[i], self._like[0]
        change = getattr(self.dataset, "transform", None)
        if change is not None or isinstance(like, Image.Image):
            pil = tvf.to_pil_image(tvf.to_dtype(image, torch.uint8, scale=True))
            return pil if change is None else change(pil)
        if not isinstance(like, Tensor):
            raise ValueError(
                "`dataset` must hold PIL images or Tensors, or have a `transform`, got"
                f" {type(like).__name__}."
            )
        image = tvf.to_dtype(image.clone(), like.dtype, scale=True)
        return tv_tensors.wrap(image, like=like) if isinstance(like, tv_tensors.Image) else image

    def _label(self, i: int) -> Any:
        label = self._own[int(self._added[i])]
        change = getattr(self.dataset, "target_transform", None)
        label = label if change is None else change(label)
        like = self._like[1]
        return torch.as_tensor(label, dtype=like.dtype) if isinstance(like, Tensor) else label

    def _check_alike(self) -> None:
        """Raise ValueError unless a synthetic image could stand in a batch with a real one."""
        wanted, got = (_kind(image) for image in (self._like[0], self._image(0)))
        if wanted != got:
            raise ValueError(
                f"`sampler` must make images like those of `dataset`, {wanted}, got {got}: fit it on"
                " as_arrays(dataset), with the size that the transform resizes to."
            )


def _targets(dataset: Any) -> np.ndarray:
    """Return the labels of a data set."""
    for name in ("targets", "labels"):
        targets = getattr(dataset, name, None)
        if targets is not None and len(targets) == len(dataset):
            return targets.numpy() if isinstance(targets, Tensor) else np.asarray(targets)
    labels = [dataset[i][1] for i in range(len(dataset))]
    return np.asarray([label.item() if isinstance(label, Tensor) else label for label in labels])


def _as_known(targets: np.ndarray, dataset: Any, classes: np.ndarray) -> np.ndarray:
    """Return labels by name where the sampler has names and the data set numbers."""
    names = getattr(dataset, "classes", None)
    if names is not None and classes.dtype.kind == "U" and targets.dtype.kind in "iu":
        return np.asarray(names)[targets]
    return targets


def _to_add(counts: Any, classes: np.ndarray, present: np.ndarray, n_real: np.ndarray) -> np.ndarray:
    """Return how many synthetic images go to each class, (n_classes,)."""
    added = np.zeros(len(classes), np.int64)
    if isinstance(counts, Recommendation):
        counts = counts.to_add
    if isinstance(counts, str) and counts == "balance":
        added[present] = n_real.max() - n_real
    elif isinstance(counts, Mapping):
        for label, count in counts.items():
            added[label_indices([label], classes)[0]] = _count(count)
    else:
        added[present] = _count(counts)
    absent = sorted(set(np.flatnonzero(added).tolist()) - set(present.tolist()))
    if absent:
        raise ValueError(
            f"`counts` asks for class {classes.tolist()[absent[0]]!r}, of which `dataset` has no image."
        )
    return added


def _count(value: Any) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
        raise ValueError(
            "`counts` must be 'balance', an int from 0 up, a dict of such or a Recommendation, got"
            f" {value!r}."
        )
    return int(value)


def _shares(share: Any, classes: np.ndarray, n_real: np.ndarray, n_new: np.ndarray) -> dict[Any, float]:
    """Return the share of a class's draws that is synthetic, by label; 0 where none was added."""
    natural = n_new / np.maximum(1, n_real + n_new)
    given = share if isinstance(share, Mapping) else dict.fromkeys(classes.tolist(), share)
    shares = natural.copy()
    for label, value in given.items():
        if value is None:
            continue
        if not isinstance(value, Real) or not 0 <= float(value) <= 1:
            raise ValueError(f"`synthetic_share` must lie in [0, 1] or be a dict of such, got {value!r}.")
        c = label_indices([label], classes)[0]
        shares[c] = value if n_new[c] else 0.0
    return dict(zip(classes.tolist(), shares.tolist(), strict=True))


def _kind(image: Any) -> str:
    """Return what a batch needs its images to have in common."""
    if isinstance(image, Image.Image):
        return f"PIL {image.mode} {image.height} x {image.width}"
    if isinstance(image, Tensor):
        return f"Tensor {tuple(image.shape)} {str(image.dtype).removeprefix('torch.')}"
    return type(image).__name__
