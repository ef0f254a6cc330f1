"""AugmentedDataset: a data set with synthetic images after its real ones."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ganaug.adapters.pool import pool_size, sample_template
from ganaug.adapters.source import SourceDataset, variations_of
from ganaug.data.containers import channels_first
from ganaug.data.labels import expand_counts, label_indices
from ganaug.data.protocol import ConditionalGenerator, check_generator, check_makes_images, check_mode
from ganaug.data.weights import automatic_shares, balanced_weights, even_counts, in_turns
from ganaug.selection.recommendation import Recommendation
from ganaug.training.torch_state import fork_torch_rng


class AugmentedDataset(Dataset[Any]):
    """Append synthetic images to a data set, such as one whose transform never sees a label.

    By default every class ends at the same size, so that any loader that shuffles will do. Which is what
    imbalanced-learn calls over-sampling: small classes are filled up with their own real items, and as many
    synthetic ones are added to every class.

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
        A fitted `ConditionalGAN`, a `QualityGate`, or anything with ``classes_`` and ``sample``, of images.
        If it knows classes by name and the data set by number, they are matched by `classes`.
    counts : "even", "balance", int, dict of label to int, or Recommendation, default="even"
        Synthetic images to add to each class. "even": the same number for each, so many that they are
        `synthetic_share` of it, once real items have been repeated up to the largest class. No more are
        generated than `GANAugment` keeps in its pool; beyond that they are repeated too. All others repeat
        nothing. "balance": fill each class up to the largest with synthetic images.
    synthetic_share : "auto", float or dict of label to float, optional
        The share of a class's draws that is synthetic, by `sample_weight`. "auto": by the number of images
        of the smallest class, as `GANAugment` has it. None: "auto" for "even", as `counts` recommends for a
        `Recommendation`, or else all items of a class weigh the same; so do those of classes that a dict
        leaves out. A class gets no synthetic image if its share is 0.
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
        True for the synthetic items, which come last. Repeated real items come before them.
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
    (400, 320, torch.Size([1, 8, 8]), tensor(1))
    """

    def __init__(
        self,
        dataset: Any,
        gan: ConditionalGenerator,
        counts: int | Mapping[Any, int] | Recommendation | Literal["even", "balance"] = "even",
        synthetic_share: float | Mapping[Any, float] | Literal["auto"] | None = None,
        *,
        mode: Literal["replace", "vary"] = "replace",
        strength: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
        classes: Sequence[Any] | None = None,
    ) -> None:
        check_generator(gan)
        check_makes_images(gan)
        check_mode(mode, strength, gan)
        self.dataset = dataset
        # Transforms may draw random numbers: put torch's state back as the user had it.
        with fork_torch_rng():
            source = SourceDataset(dataset)
            known = gan.classes_
            y_real = label_indices(source.to_generator_labels(known, classes), known, "dataset")
            present, first = np.unique(y_real, return_index=True)
            additions = _Additions.of(
                counts, synthetic_share, known, np.bincount(y_real, minlength=len(known))
            )
            n_images = additions.n_generated(gan)
            y_image = np.repeat(np.arange(len(known)), n_images)
            y_added = np.repeat(np.arange(len(known)), additions.n_synthetic)
            repeated = in_turns(y_real, additions.n_repeated)
            self.labels: np.ndarray = known[np.concatenate([y_real, y_real[repeated], y_added])]
            self.synthetic: np.ndarray = np.arange(len(self.labels)) >= len(y_real) + len(repeated)
            self.sample_weight: np.ndarray = balanced_weights(
                self.labels, self.synthetic, additions.synthetic_shares(known)
            )
            self._source, self._image = source, in_turns(y_image, additions.n_synthetic)
            self.classes: Sequence[Any] | np.ndarray | None = source.classes if classes is None else classes
            self._class_to_target = dict(zip(present.tolist(), source.targets[first].tolist(), strict=True))
            varied = np.full(len(y_image), -1)
            if mode == "vary":
                varied = in_turns(y_real, n_images)
            self.source: np.ndarray = np.concatenate([np.arange(len(y_real)), repeated, varied[self._image]])
            if len(y_image):
                source.check_form()
            self._synthetic_classes = y_added
            self._synthetic_images = channels_first(
                gan.sample(known[y_image], random_state=random_state)
                if mode == "replace" or not len(y_image)
                else variations_of(gan, source, varied, known[y_image], strength, random_state)
            )
            if len(y_image):
                source.check_compatible(self._synthetic_images[0], self._class_to_target[int(y_image[0])])

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
            return self.dataset[int(self.source[i])]
        target = self._class_to_target[int(self._synthetic_classes[i - n_real])]
        return self._source.item(self._synthetic_images[self._image[i - n_real]], target)

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


@dataclass(frozen=True)
class _Additions:
    """What is added to the real items, for each class of the generator.

    Attributes
    ----------
    n_repeated, n_synthetic : ndarray of shape (n_classes,), int
    shares : ndarray of shape (n_classes,)
        The share of a class's draws that is synthetic.
    is_even : bool
        Whether synthetic images may be repeated too.
    """

    n_repeated: np.ndarray
    n_synthetic: np.ndarray
    shares: np.ndarray
    is_even: bool

    @classmethod
    def of(cls, counts: Any, synthetic_share: Any, classes: np.ndarray, n_real: np.ndarray) -> _Additions:
        """Return what the parameters of `AugmentedDataset` ask for."""
        is_even = isinstance(counts, str) and counts == "even"
        if isinstance(counts, Recommendation) and synthetic_share is None:
            synthetic_share = counts.synthetic_share
        if is_even and synthetic_share is None:
            synthetic_share = "auto"
        given = _given_shares(synthetic_share, classes, n_real)
        if is_even and (given == 1).any():
            raise ValueError(
                "`synthetic_share` must be below 1 with `counts` 'even', which keeps the real images, got 1."
            )
        if is_even:
            n_repeated, n_synthetic = even_counts(n_real, np.nan_to_num(given))
        else:
            n_repeated, n_synthetic = np.zeros_like(n_real), _to_add(counts, classes, n_real)
            n_synthetic[given == 0] = 0
        alike = n_synthetic / np.maximum(1, n_real + n_repeated + n_synthetic)
        # Even classes have their shares by number already: all of their items weigh the same.
        shares = np.where(np.isnan(given) | (n_synthetic == 0) | is_even, alike, given)
        return cls(n_repeated, n_synthetic, shares, is_even)

    def n_generated(self, gan: ConditionalGenerator) -> np.ndarray:
        """Return how many different images of each class are generated, (n_classes,)."""
        if not self.is_even or not self.n_synthetic.any():
            return self.n_synthetic
        return np.minimum(
            self.n_synthetic, pool_size(sample_template(gan), int((self.n_synthetic > 0).sum()))
        )

    def synthetic_shares(self, classes: np.ndarray) -> dict[Any, float]:
        """Return the share of a class's draws that is synthetic, by label."""
        return dict(zip(classes.tolist(), self.shares.tolist(), strict=True))


def _to_add(counts: Any, classes: np.ndarray, n_real: np.ndarray) -> np.ndarray:
    """Return how many synthetic images go to each class, (n_classes,)."""
    present = np.flatnonzero(n_real)
    if isinstance(counts, Recommendation):
        counts = counts.to_add
    elif isinstance(counts, str) and counts == "balance":
        counts = dict(zip(classes[present].tolist(), (n_real.max() - n_real[present]).tolist(), strict=True))
    elif isinstance(counts, str):
        raise ValueError(
            f"`counts` must be 'even', 'balance', an int, a dict or a Recommendation, got {counts!r}."
        )
    elif not isinstance(counts, Mapping):
        counts = dict.fromkeys(classes[present].tolist(), counts)
    added = expand_counts(counts, classes)
    absent = sorted(set(np.flatnonzero(added).tolist()) - set(present.tolist()))
    if absent:
        raise ValueError(
            f"`counts` asks for class {classes.tolist()[absent[0]]!r}, of which `dataset` has no image."
        )
    return added


def _given_shares(share: Any, classes: np.ndarray, n_real: np.ndarray) -> np.ndarray:
    """Return the share of a class's draws that is to be synthetic, (n_classes,); NaN where none is given."""
    if isinstance(share, str) and share == "auto":
        return automatic_shares(n_real)
    shares = np.full(len(classes), np.nan)
    given = share if isinstance(share, Mapping) else dict.fromkeys(classes.tolist(), share)
    for label, value in given.items():
        if value is None:
            continue
        if not isinstance(value, Real) or not 0 <= float(value) <= 1:
            raise ValueError(
                f"`synthetic_share` must be 'auto', lie in [0, 1] or be a dict of such, got {value!r}."
            )
        shares[label_indices([label], classes, "synthetic_share")[0]] = value
    return shares
