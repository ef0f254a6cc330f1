"""AugmentedDataset: a data set with synthetic images after its real ones."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np
from torch.utils.data import Dataset

from ganaug.adapters.source import SourceDataset, variations_of
from ganaug.data.containers import channels_first
from ganaug.data.labels import expand_counts, label_indices
from ganaug.data.protocol import ConditionalGenerator, check_generator, check_mode
from ganaug.data.weights import balanced_weights
from ganaug.selection.recommend import Recommendation
from ganaug.training.torch_state import fork_torch_rng


class AugmentedDataset(Dataset):
    """Append synthetic images to a data set, such as one whose transform never sees a label.

    The real items stay what and where they were. The synthetic images are generated here, once. They go
    through the ``transform`` and ``target_transform`` of the data set, or of what it is a ``Subset`` of,
    in the form in which those get the real images. They are held in memory, in the dtype of the
    generator. For more than fit, write them with `write_hdf5` and concatenate an `HDF5Dataset`.

    Parameters
    ----------
    dataset : Dataset
        Of (image, label), with a length: ``ImageFolder``, ``CIFAR10``, ``TensorDataset``, ...
        Labels are taken from its ``targets`` or ``labels``, or else from its items.
    gan : ConditionalGenerator
        A fitted `ConditionalGAN`, a `QualityGate`, or anything with ``classes_`` and ``sample``.
        If it knows classes by name and the data set by number, they are matched by the data set's
        ``classes``.
    counts : "balance", int, dict of label to int, or Recommendation, default="balance"
        Synthetic images to add to each class. "balance": fill each class up to the largest.
    synthetic_share : float or dict of label to float, optional
        The share of a class's draws that is synthetic, by `sample_weight`. None: as `counts` recommends,
        or else all items of a class weigh the same; so do those of classes that a dict leaves out.
    mode : {"replace", "vary"}, default="replace"
        "replace": synthetic images are new ones of their class. "vary": they are variations, by the
        generator's ``vary``, of images of `dataset`, which take turns in each class.
    strength : float, default=1.0
        In mode "vary", how far a variation may go: 1 as far as ``sample``; see `ConditionalGAN.vary`.
    random_state : int, RandomState or None
        Of the synthetic images.

    Attributes
    ----------
    labels : ndarray of shape (n,)
        The label of each item, as the generator knows it.
    synthetic : ndarray of shape (n,), bool
        True for the synthetic items, which come last.
    source : ndarray of shape (n,), int64
        The index in `dataset` of the item itself, or of what it is a variation of; -1 for other
        synthetic items.
    sample_weight : ndarray of shape (n,)
        Weights by which every class is drawn equally often, for ``WeightedRandomSampler``.
    classes : sequence or None
        That of `dataset`, if it has one.

    Raises
    ------
    ValueError
        If a parameter is not of the kind described, a label is unknown to the generator, or synthetic
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
        gan: ConditionalGenerator,
        counts: int | Mapping[Any, int] | Recommendation | Literal["balance"] = "balance",
        synthetic_share: float | Mapping[Any, float] | None = None,
        *,
        mode: Literal["replace", "vary"] = "replace",
        strength: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        check_generator(gan)
        check_mode(mode, strength, gan)
        self.dataset = dataset
        # Transforms may draw random numbers: put the state back as the user had it.
        with fork_torch_rng():
            source = SourceDataset(dataset)
            classes = gan.classes_
            y_real = label_indices(source.to_generator_labels(classes), classes, "dataset")
            present, first, n_real = np.unique(y_real, return_index=True, return_counts=True)
            n_new = _to_add(counts, classes, present, n_real)
            y_new = np.repeat(np.arange(len(classes)), n_new)
            if isinstance(counts, Recommendation) and synthetic_share is None:
                synthetic_share = counts.synthetic_share
            n_real_by_class = np.bincount(y_real, minlength=len(classes))
            shares = _synthetic_shares(synthetic_share, classes, n_real_by_class, n_new)
            self.labels = classes[np.concatenate([y_real, y_new])]
            self.synthetic = np.arange(len(self.labels)) >= len(y_real)
            self.sample_weight = balanced_weights(self.labels, self.synthetic, shares)
            self._synthetic_classes, self._source, self.classes = y_new, source, source.classes
            self._class_to_target = dict(zip(present.tolist(), source.targets[first].tolist(), strict=True))
            varied = np.full(len(y_new), -1)
            if mode == "vary":
                for c in np.flatnonzero(n_new):
                    varied[y_new == c] = np.resize(np.flatnonzero(y_real == c), n_new[c])
            self.source = np.concatenate([np.arange(len(y_real)), varied])
            self._synthetic_images = channels_first(
                gan.sample(classes[y_new], random_state=random_state)
                if mode == "replace" or not len(y_new)
                else variations_of(gan, source, varied, classes[y_new], strength, random_state)
            )
            if len(y_new):
                source.check_compatible(self._synthetic_images[0])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} items")
        index = int(index) % len(self)
        n_real = len(self) - len(self._synthetic_classes)
        if index < n_real:
            return self.dataset[index]
        i = index - n_real
        target = self._class_to_target[int(self._synthetic_classes[i])]
        return self._source.image(self._synthetic_images[i]), self._source.label(target)


def _to_add(counts: Any, classes: np.ndarray, present: np.ndarray, n_real: np.ndarray) -> np.ndarray:
    """Return how many synthetic images go to each class, (n_classes,)."""
    if isinstance(counts, Recommendation):
        counts = counts.to_add
    elif isinstance(counts, str) and counts == "balance":
        counts = dict(zip(classes[present].tolist(), (n_real.max() - n_real).tolist(), strict=True))
    elif isinstance(counts, str):
        raise ValueError(f"`counts` must be 'balance', an int, a dict or a Recommendation, got {counts!r}.")
    elif not isinstance(counts, Mapping):
        counts = dict.fromkeys(classes[present].tolist(), counts)
    added = expand_counts(counts, classes)
    absent = sorted(set(np.flatnonzero(added).tolist()) - set(present.tolist()))
    if absent:
        raise ValueError(
            f"`counts` asks for class {classes.tolist()[absent[0]]!r}, of which `dataset` has no image."
        )
    return added


def _synthetic_shares(
    share: Any, classes: np.ndarray, n_real: np.ndarray, n_new: np.ndarray
) -> dict[Any, float]:
    """Return the share of a class's draws that is synthetic, by label; 0 where none was added."""
    shares = n_new / np.maximum(1, n_real + n_new)
    given = share if isinstance(share, Mapping) else dict.fromkeys(classes.tolist(), share)
    for label, value in given.items():
        if value is None:
            continue
        if not isinstance(value, Real) or not 0 <= float(value) <= 1:
            raise ValueError(f"`synthetic_share` must lie in [0, 1] or be a dict of such, got {value!r}.")
        c = label_indices([label], classes, "synthetic_share")[0]
        shares[c] = value if n_new[c] else 0.0
    return dict(zip(classes.tolist(), shares.tolist(), strict=True))
