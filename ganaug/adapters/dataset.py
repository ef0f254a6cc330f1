"""AugmentedDataset: a data set with synthetic images after its real ones."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, default_collate

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
    through the ``transform`` or ``transforms`` of the data set, or of what it is a ``Subset`` of, in the
    form in which that gets the real images: their kind, dtype and range. Their labels are those of real
    items, of the same type. They are held in memory, in the dtype of the generator. For more than fit,
    write them with `write_hdf5` and concatenate an `HDF5Dataset`.

    An int as index gives an item; a list, an array, a mask or a slice gives a batch, as of a
    ``TensorDataset``, for a DataLoader with ``batch_size=None`` and a ``BatchSampler``.

    Parameters
    ----------
    dataset : Dataset
        Of (image, label), with a length: ``ImageFolder``, ``CIFAR10``, ``TensorDataset``, ... Or of dicts
        of one image and one label, as data sets of the package ``datasets``. Labels are taken from its
        ``targets`` or ``labels``, or else from its items. Before its transform, images are PIL images, or
        ndarrays or Tensors of uint8 or of floats in [0, 1]. The generator's may not be enlarged.
    gan : ConditionalGenerator
        A fitted `ConditionalGAN`, a `QualityGate`, or anything with ``classes_`` and ``sample``.
        If it knows classes by name and the data set by number, they are matched by `classes`.
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
    classes : sequence of labels, optional
        The generator's label for each label of `dataset`, where those are indices. Default: the
        ``classes`` of `dataset`, where the generator knows those.

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
        The parameter, or that of `dataset`, if it has one.

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
        classes: Sequence[Any] | None = None,
    ) -> None:
        check_generator(gan)
        check_mode(mode, strength, gan)
        self.dataset = dataset
        # Transforms may draw random numbers: put torch's state back as the user had it.
        with fork_torch_rng():
            source = SourceDataset(dataset)
            known = gan.classes_
            y_real = label_indices(source.to_generator_labels(known, classes), known, "dataset")
            present, first, n_real = np.unique(y_real, return_index=True, return_counts=True)
            n_new = _to_add(counts, known, present, n_real)
            y_new = np.repeat(np.arange(len(known)), n_new)
            if isinstance(counts, Recommendation) and synthetic_share is None:
                synthetic_share = counts.synthetic_share
            n_real_by_class = np.bincount(y_real, minlength=len(known))
            shares = _synthetic_shares(synthetic_share, known, n_real_by_class, n_new)
            self.labels = known[np.concatenate([y_real, y_new])]
            self.synthetic = np.arange(len(self.labels)) >= len(y_real)
            self.sample_weight = balanced_weights(self.labels, self.synthetic, shares)
            self._synthetic_classes, self._source = y_new, source
            self.classes = source.classes if classes is None else classes
            self._class_to_target = dict(zip(present.tolist(), source.targets[first].tolist(), strict=True))
            varied = np.full(len(y_new), -1)
            if mode == "vary":
                for c in np.flatnonzero(n_new):
                    varied[y_new == c] = np.resize(np.flatnonzero(y_real == c), n_new[c])
            self.source = np.concatenate([np.arange(len(y_real)), varied])
            if len(y_new):
                source.check_form()
            self._synthetic_images = channels_first(
                gan.sample(known[y_new], random_state=random_state)
                if mode == "replace" or not len(y_new)
                else variations_of(gan, source, varied, known[y_new], strength, random_state)
            )
            if len(y_new):
                source.check_compatible(self._synthetic_images[0], self._class_to_target[int(y_new[0])])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, Tensor) and index.ndim:
            index = index.numpy()  # a Tensor of one entry would pass for an int
        try:
            i = operator.index(index)
        except TypeError:
            return self._batch(index)
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range for {len(self)} items")
        i %= len(self)
        n_real = len(self) - len(self._synthetic_classes)
        if i < n_real:
            return self.dataset[i]
        target = self._class_to_target[int(self._synthetic_classes[i - n_real])]
        return self._source.item(self._synthetic_images[i - n_real], target)

    def _batch(self, index: Any) -> Any:
        """Return the items of a slice, or of a list, an array or a mask of indices, as one batch."""
        try:
            which = index if isinstance(index, slice) else np.asarray(index)
            items = [self[i] for i in np.arange(len(self))[which].tolist()]
        except IndexError as exc:
            raise IndexError(
                f"An index must be an int from {-len(self)} to {len(self) - 1}, or a slice, a list, an array"
                f" or a mask of such, got {index!r}."
            ) from exc
        if not items:
            raise IndexError(f"An index must lead to an item at least, got {index!r}.")
        try:
            return default_collate(items)
        except TypeError as exc:
            raise TypeError(
                "Several indices give a batch, for which items must hold Tensors, arrays or numbers: give"
                " `dataset` a transform to Tensors, or index one item at a time."
            ) from exc


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
