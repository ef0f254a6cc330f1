"""augmented_loader: a DataLoader that draws, replaces and mixes images as did best in docs/lab/adding.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from ganaug.adapters.dataset import AugmentedDataset
from ganaug.adapters.layouts import as_tree, find_labels, flatten, image_index, label_column
from ganaug.adapters.pool import pool_size, sample_template
from ganaug.adapters.rates import automatic_p, makes_photographs
from ganaug.data.containers import as_container, channels_first, is_dataframe
from ganaug.data.labels import expand_probabilities, label_indices
from ganaug.data.protocol import ConditionalGenerator, check_generator
from ganaug.data.weights import scarcity
from ganaug.io.arrays import as_arrays
from ganaug.selection.recommendation import Recommendation

# A class of n images is drawn in proportion to n to this power; docs/lab/adding.md says why.
LEAN_POWER = -0.25
RAND_AUGMENT_CHANNELS = (1, 3)
# These arguments of a DataLoader say which items it draws, which is decided here.
DRAWING = ("shuffle", "sampler", "batch_sampler")


def augmented_loader(
    data: Any,
    gan: ConditionalGenerator,
    *,
    class_weights: Literal["lean", "balanced"] | Mapping[Any, float] | None = "lean",
    mixup: float = 0.2,
    cutmix: float = 1.0,
    rand_augment: bool | Literal["auto"] = "auto",
    p: float | Mapping[Any, float] | Recommendation | Literal["auto"] = "auto",
    classes: Sequence[Any] | None = None,
    num_classes: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    batch_size: int = 64,
    collate_fn: Callable[[list[Any]], Any] = default_collate,
    **options: Any,
) -> DataLoader[Any]:
    """Return a DataLoader of real and synthetic images, drawn and mixed as did best in docs/lab/adding.md.

    Small classes are drawn a little more often than large ones, the same share of each class is
    synthetic, and the images of a batch are mixed in pairs, by mixup (Zhang et al., ICLR 2018) or by CutMix
    (Yun et al., ICCV 2019). An epoch has as many images as `data`. It is made of an `AugmentedDataset`,
    torch's ``WeightedRandomSampler`` and torchvision's ``MixUp`` and ``CutMix``. Use it for training only.

    Parameters
    ----------
    data : Dataset, or tuple of images and labels
        As `AugmentedDataset` takes it: the synthetic images go through its transforms. Or ``(X, y)``, as
        for `ConditionalGAN.fit`: X is an ndarray (n, H, W) or (n, H, W, C) or a Tensor (n, C, H, W).
    gan : ConditionalGenerator
        A fitted `ConditionalGAN`, a `QualityGate`, or anything with ``classes_`` and ``sample``.
    class_weights : {"lean", "balanced"}, dict of label to float, or None, default="lean"
        How often a class is drawn. "lean": in proportion to n to the power of -0.25, if it has n real images
        and the smallest class has 150 or fewer; with more in the smallest the power falls, to 0 at 500.
        "balanced": every class equally often. None: in proportion to n. A dict: in proportion to its values.
    mixup, cutmix : float, default=0.2 and 1.0
        The parameter alpha of each, 0 for none. With both, each batch has one of the two, by chance. Labels
        are then soft: of shape (batch, `num_classes`), float32, as ``torch.nn.functional.cross_entropy``
        takes them. If both are 0, nothing is mixed, and labels stay as they are.
    rand_augment : "auto" or bool, default="auto"
        Whether each image, real or synthetic, is changed by torchvision's ``RandAugment`` (Cubuk et al.,
        NeurIPS 2020) before it is mixed. Images must then have one channel or three, and be uint8 or from 0
        to 1. "auto": photographs are, if `data` is ``(X, y)``: all where the smallest class has 150 or fewer,
        none where it has 500. A Dataset has transforms of its own. False is better where colours or shades
        tell the classes apart.
    p : "auto", float in [0, 1], dict of label to float, or Recommendation, default="auto"
        The share of a class's draws that is synthetic; as in `GANAugment`. But "auto" is half of that for
        photographs that are mixed, which did better (docs/lab/adding.md). Photographs are images without an
        even ground, such as digits have.
    classes : sequence of labels, optional
        The generator's label for each label of `data`; as in `AugmentedDataset`.
    num_classes : int, optional
        Columns of soft labels. Default: as many as `data` has ``classes``, or else as `gan` has, or as its
        largest label needs.
    random_state : int, RandomState or None
        Of the synthetic images. Which are drawn is governed by ``generator``, as in every DataLoader, and how
        they are mixed by torch's global random state.
    batch_size : int, default=64
    collate_fn : callable, optional
        Makes a batch of items, before it is mixed. Default: torch's ``default_collate``.
    **options
        Of ``torch.utils.data.DataLoader``: ``num_workers``, ``generator``, ``drop_last`` and so on.

    Returns
    -------
    DataLoader
        Of batches (images, labels), or in whatever form `data` has its items. Images are float32 in [0, 1],
        where they come from `data` as uint8. Labels of ``(X, y)`` are indices into ``gan.classes_``, int64.
        Its ``dataset`` is the `AugmentedDataset`.

    Raises
    ------
    ValueError
        If a parameter is not of the kind described, or as `AugmentedDataset` does.

    Examples
    --------
    >>> import numpy as np
    >>> from ganaug import ConditionalGAN, augmented_loader
    >>> X, y = np.random.default_rng(0).random((60, 8, 8), np.float32), np.arange(60) % 6 // 5
    >>> gan = ConditionalGAN(steps=2, random_state=0).fit(X, y)
    >>> images, labels = next(iter(augmented_loader((X, y), gan, batch_size=16)))
    >>> images.shape, labels.shape, labels.sum(1).allclose(labels.new_ones(16))
    (torch.Size([16, 1, 8, 8]), torch.Size([16, 2]), True)
    """
    check_generator(gan)
    _check_parameters(mixup, cutmix, num_classes, options)
    given = isinstance(data, tuple)
    if given:
        data = _Images(data, gan.classes_)
        classes = gan.classes_.tolist() if classes is None else classes
    if isinstance(p, Recommendation):
        p = p.synthetic_share
    if isinstance(p, str) and p == "auto":
        p = automatic_p(gan, mixed=bool(mixup or cutmix))
    # A class that a dict leaves out has none.
    shares = dict(zip(gan.classes_.tolist(), expand_probabilities(p, gan.classes_, "p"), strict=True))
    template = sample_template(gan)
    size = pool_size(template, len(gan.classes_))
    augmented = AugmentedDataset(data, gan, size, shares, random_state=random_state, classes=classes)
    real = label_indices(augmented.labels[~augmented.synthetic], gan.classes_)
    counts = np.bincount(real, minlength=len(gan.classes_))
    changed = _share_changed(rand_augment, given * scarcity(counts), gan, channels_first(template).shape[1])
    odds = _class_odds(class_weights, counts, gan.classes_)
    weights = augmented.sample_weight * odds[label_indices(augmented.labels, gan.classes_)]
    sampler = WeightedRandomSampler(weights.tolist(), len(data), generator=options.get("generator"))
    if num_classes is None:
        num_classes = len(gan.classes_ if augmented.classes is None else augmented.classes)
    options_of_mixing = {"num_classes": num_classes, "labels_getter": find_labels}
    mixing = [
        transform(alpha=alpha, **options_of_mixing)
        for transform, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix))
        if alpha
    ]
    collate = _Collate(
        collate_fn,
        _changing(changed),
        v2.RandomChoice(mixing) if mixing else None,
    )
    return DataLoader(augmented, batch_size, sampler=sampler, collate_fn=collate, **options)


class _Images(Dataset[Any]):
    """Images and labels that are given as arrays or Tensors, as (image, index of the class).

    Attributes
    ----------
    targets : list of int
        Indices into `classes`.
    classes : list
    """

    def __init__(self, data: tuple[Any, ...], classes: np.ndarray) -> None:
        if len(data) != 2:
            raise ValueError(f"`data` must be a Dataset or (X, y), got a tuple of {len(data)}.")
        X, y = as_arrays((as_container(data[0]), data[1]))
        if is_dataframe(X) or X.ndim == 2:
            raise ValueError(f"`data` must hold images, got a table of shape {tuple(X.shape)}.")
        self._images = channels_first(X)
        self.targets = label_indices(y, classes, "data").tolist()
        self.classes = classes.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._images[index], self.targets[index]


class _Collate:
    """Make a batch of items, with images of uint8 as floats, change and mix it; sent to workers as it is."""

    def __init__(
        self,
        collate: Callable[[list[Any]], Any],
        change: Callable[[Any], Any] | None,
        mix: Callable[[Any], Any] | None,
    ) -> None:
        self._collate, self._change, self._mix = collate, change, mix

    def __call__(self, items: list[Any]) -> Any:
        batch = as_tree(self._collate(items))
        leaves, spec = flatten(batch)
        labels = find_labels(batch)
        where = image_index([None if leaf is labels else leaf for leaf in leaves])
        if where is None or not isinstance(leaves[where], Tensor):
            raise ValueError(
                "`collate_fn` must return batches of images as one Tensor with their labels, got none: give"
                " `data` a transform to Tensors, such as torchvision's ToImage."
            )
        images = leaves[where].as_subclass(Tensor)
        if self._change is not None:
            images = torch.stack([self._change(image) for image in images])
        images = tvf.to_dtype(images, torch.float32, scale=True)
        if self._mix is None:
            leaves[where] = images
            return pytree.tree_unflatten(leaves, spec)
        # They take a column of labels, (N, 1), for soft labels of a single class.
        leaves = [label_column(leaf) if leaf is labels else leaf for leaf in leaves]
        # MixUp and CutMix take the first plain Tensor for the image. In a dict that may be the labels.
        leaves[where] = tv_tensors.Image(images)
        mixed, spec = pytree.tree_flatten(self._mix(pytree.tree_unflatten(leaves, spec)))
        mixed[where] = mixed[where].as_subclass(Tensor)
        return pytree.tree_unflatten(mixed, spec)


def _share_changed(rand_augment: Any, advised: float, gan: ConditionalGenerator, channels: int) -> float:
    """Return the share of images that go through RandAugment: of photographs as many as are `advised`."""
    automatic = isinstance(rand_augment, str) and rand_augment == "auto"
    if not automatic and not isinstance(rand_augment, bool):
        raise ValueError(f"`rand_augment` must be 'auto', True or False, got {rand_augment!r}.")
    if channels not in RAND_AUGMENT_CHANNELS:
        if rand_augment is True:
            raise ValueError(
                f"`rand_augment` must be 'auto' or False for images of {channels} channels, got True:"
                " torchvision's RandAugment takes one or three."
            )
        return 0.0
    if not automatic:
        return float(rand_augment)
    return advised if advised and makes_photographs(gan) else 0.0


def _changing(share: float) -> Callable[[Any], Any] | None:
    """Return what changes so large a share of images; None if none is to be changed."""
    if not share:
        return None
    change = v2.RandAugment()
    return change if share == 1 else v2.RandomApply([change], share)


def _class_odds(class_weights: Any, counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return how often each class is drawn, up to a factor, (n_classes,)."""
    if class_weights is None:
        return counts.astype(float)
    if isinstance(class_weights, str) and class_weights in ("lean", "balanced"):
        return np.maximum(1.0, counts) ** (LEAN_POWER * scarcity(counts) if class_weights == "lean" else 0)
    if not isinstance(class_weights, Mapping):
        raise ValueError(
            "`class_weights` must be 'lean', 'balanced', a dict of label to weight, or None, got"
            f" {class_weights!r}."
        )
    odds = np.zeros(len(classes))
    for label, weight in class_weights.items():
        if not isinstance(weight, Real) or not 0 <= float(weight) < np.inf:
            raise ValueError(f"`class_weights` must be numbers from 0 up, got {weight!r} for {label!r}.")
        odds[label_indices([label], classes, "class_weights")[0]] = weight
    if not odds[counts > 0].any():
        raise ValueError("`class_weights` must be above 0 for a class of `data`, got 0 for all of them.")
    return odds


def _check_parameters(mixup: Any, cutmix: Any, num_classes: Any, options: Mapping[str, Any]) -> None:
    """Raise ValueError unless these parameters of `augmented_loader` are of the kind described."""
    for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
        if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 <= float(alpha) < np.inf:
            raise ValueError(f"`{name}` must be a number from 0 up, got {alpha!r}.")
    integer = isinstance(num_classes, int | np.integer) and not isinstance(num_classes, bool)
    if num_classes is not None and not (integer and num_classes > 0):
        raise ValueError(f"`num_classes` must be an int from 1 up or None, got {num_classes!r}.")
    given = [name for name in DRAWING if name in options]
    if given:
        raise ValueError(
            f"`{given[0]}` can't be passed, as `class_weights` says how often each class is drawn: leave it"
            " out, or make a DataLoader of an AugmentedDataset of your own."
        )
