"""quality_report: how real, varied, new and useful synthetic rows are, class by class."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor
from torchvision.transforms.v2 import functional as tvf

from ganaug.data.containers import as_container, is_dataframe, take
from ganaug.data.holdout import sample_digests
from ganaug.data.labels import as_random_state, check_labels, encode_labels, label_indices
from ganaug.data.protocol import check_generator
from ganaug.evaluation.classifiers import SmallCNNClassifier, TreeEnsembleClassifier
from ganaug.evaluation.comparison import (
    LEAST_HELD,
    Entry,
    compare_distributions,
    downstream_scores,
    match_class_frequencies,
    mean_entry,
    memorization,
)
from ganaug.evaluation.neighbours import Neighbours
from ganaug.evaluation.report import write_page
from ganaug.evaluation.verdict import verdict

CLASSIFIER_STEPS = 600

Features = Callable[[Any], Any]


class QualityReport(dict):
    """What `quality_report` found: plain types, with ``to_json`` and ``to_html``.

    ``report["per_class"][label][measure]`` and ``report["overall"][measure]`` hold "value", "low" and
    "high" of a 95 % interval, "real", which real rows score against real rows, and what bad
    generators score: "noise", "train_copies" and "single_mode". None where there is nothing to measure by.
    ``report["verdict"]`` is a list of sentences, the first of which says whether to use it.
    """

    pictures: dict[str, Any]

    def to_json(self, path: str | Path | None = None) -> str:
        """Return all numbers as JSON, and write them to a file if one is named."""
        named = {key: {str(k): v for k, v in self[key].items()} for key in ("per_class", "counts")}
        text = json.dumps({**self, **named}, indent=1)
        if path is not None:
            Path(path).write_text(text + "\n")
        return text

    def to_html(self, path: str | Path) -> None:
        """Write a page that needs no other file: the verdict, pictures, and all numbers."""
        write_page(Path(path), self, **self.pictures)


def quality_report(
    synthetic: Any,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    per_class: int = 500,
    features: Features | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> QualityReport:
    """Measure synthetic rows against the rows a generator was trained on, and against held-out ones.

    Parameters
    ----------
    synthetic : ConditionalGenerator or (X, y)
        A fitted `ConditionalGAN`, `QualityGate` or anything with ``classes_`` and ``sample``; or rows
        and their labels.
    X, y
        The training rows, as for `ConditionalGAN.fit`, and their labels.
    X_test, y_test : optional
        Rows that the generator never saw; images that are among `X` are left out. Without at least 20
        of a class neither copying nor usefulness can be measured of it, nor usefulness over all.
    per_class : int
        Rows to sample of each class, and at most to use of each.
    features : callable, optional
        ``features(rows) -> (n, n_features)``, in which distances are taken. None: a small classifier
        trained on `X` and `y`, nothing is downloaded; of tables their encoded columns.
    random_state : int, RandomState or None

    Returns
    -------
    QualityReport

    Raises
    ------
    ValueError
        If rows or labels are not of the kinds described.

    Warns
    -----
    UserWarning
        If images of `X_test` are among those of `X`.

    Notes
    -----
    Measures: "precision", "recall", "density", "coverage" and "authenticity" (see
    `ganaug.evaluation.measures.prdc`); "kernel_distance", of classes of at least 50 rows, and over all "frechet_distance";
    "diversity", the mean distance of two rows of a class over that of real ones; "memorization", the
    share of rows as near to a training row as only 5 % of held-out rows are. With held-out rows: "tstr",
    recall of a classifier trained on synthetic rows only, its floor that of one trained on real ones; "trts",
    recall on synthetic rows of the latter; "augmentation_gain", what recall gains where synthetic rows are
    added.
    """
    if isinstance(per_class, bool) or not isinstance(per_class, int | np.integer) or per_class < 2:
        raise ValueError(f"`per_class` must be an integer from 2 up, got {per_class!r}.")
    random = as_random_state(random_state)
    X = as_container(X)
    y = check_labels(y, len(X))
    classes, labels = encode_labels(y)
    space = Neighbours(X)
    codec: Any = space.codec
    X_test, test_labels = _held_out(X_test, y_test, X, classes, codec)
    made, made_labels, kept = _synthetic_rows(synthetic, classes, per_class, random)
    seen = np.concatenate(_some_of_each(labels, len(classes), per_class, random))
    model: Any = SmallCNNClassifier(steps=CLASSIFIER_STEPS)
    if X.ndim == 2:
        model = TreeEnsembleClassifier(codec=codec)  # synthetic rows alone may be all the same
    model.set_params(random_state=int(random.randint(2**31 - 1)))
    real_only = None  # a classifier of real rows
    if features is None:
        if X.ndim == 2:
            features = partial(codec.encode, strict=False)
        else:
            real_only = clone(model).fit(X, labels)
            features = real_only.features
    real, fake = (_matrix(features(rows)) for rows in (take(X, seen), made))
    real_labels = labels[seen]
    noise = _matrix(features(_noise(X, len(made), random)))
    points = space.by_class(X, labels)

    measurable = np.flatnonzero(np.bincount(test_labels, minlength=len(classes)) >= LEAST_HELD)
    found: dict[Any, dict[str, Entry]] = {}
    for c in range(len(classes)):
        own, ours = real[real_labels == c], fake[made_labels == c]
        measures = compare_distributions(own, ours, noise[made_labels == c], random)
        held = take(X_test, np.flatnonzero(test_labels == c)) if c in measurable else None
        rows = take(made, np.flatnonzero(made_labels == c))
        measures["memorization"] = memorization(space, points[c], rows, held, random)
        found[classes[c].item() if hasattr(classes[c], "item") else classes[c]] = measures
    overall = compare_distributions(
        real, fake, noise, random, mix=match_class_frequencies(made_labels, real_labels)
    )
    overall["diversity"] = mean_entry([m["diversity"] for m in found.values()])
    overall["memorization"] = mean_entry([m["memorization"] for m in found.values()])
    if len(measurable):
        seen_again = np.flatnonzero(np.isin(test_labels, measurable))
        held_out = take(X_test, seen_again), test_labels[seen_again]
        real_only = real_only or clone(model).fit(X, labels)
        useful = downstream_scores(real_only, X, labels, made, made_labels, *held_out, len(classes), random)
        for c, measures in enumerate(found.values()):
            measures |= {name: entry[c] for name, entry in useful.items()}
        # A mean over the rich classes, which have rows to hold out, would say nothing of what poor ones gain.
        known = useful if len(measurable) == len(classes) else {"trts"}
        overall |= {name: useful[name][-1] for name in known}
    counts = dict(zip(found, np.bincount(labels).tolist(), strict=True))
    report = QualityReport(
        verdict=verdict(overall, found, counts), overall=overall, per_class=found, counts=counts
    )
    report.pictures = {
        "X": X,
        "labels": labels,
        "made": made,
        "made_labels": made_labels,
        "classes": classes,
        "real_features": real.numpy(),
        "real_labels": real_labels,
        "fake_features": fake.numpy(),
        "gan": kept,
    }
    return report


def _held_out(X_test: Any, y_test: Any, X: Any, classes: np.ndarray, codec: Any) -> tuple[Any, np.ndarray]:
    """Return held-out rows and their class indices; without images that are among those of `X`."""
    if X_test is None:
        if y_test is not None:
            raise ValueError("`y_test` must be None without `X_test`, got labels.")
        return None, np.empty(0, np.int64)
    X_test = as_container(X_test)
    if not len(X_test):
        raise ValueError("`X_test` must be None or hold rows, got 0.")
    try:
        codec.check(X_test)
    except ValueError as exc:
        raise ValueError(f"`X_test` must be of the kind of `X`. {exc}") from exc
    labels = label_indices(check_labels(y_test, len(X_test), "y_test", "X_test"), classes, "y_test")
    if X_test.ndim == 2:  # whose rows may have twins
        return X_test, labels
    new = ~np.isin(sample_digests(X_test), sample_digests(X))
    if new.all():
        return X_test, labels
    told = f"{np.sum(~new)} of the {len(new)} images of `X_test` are among those of `X`"
    if not new.any():
        raise ValueError(f"`X_test` must hold images that the generator never saw: {told}.")
    warnings.warn(f"{told}: they are left out.", stacklevel=3)
    return take(X_test, new), labels[new]


def _synthetic_rows(
    synthetic: Any, classes: np.ndarray, per_class: int, random: np.random.RandomState
) -> tuple[Any, np.ndarray, Any]:
    """Return rows and class indices, and the generator if there is one."""
    if isinstance(synthetic, tuple | list) and len(synthetic) == 2:
        name = "synthetic"
        rows = as_container(synthetic[0])
        labels = label_indices(
            check_labels(synthetic[1], len(rows), f"{name}[1]", f"{name}[0]"), classes, name
        )
        mask = getattr(synthetic, "synthetic", None)
        if mask is not None and mask.any():  # real rows may stand beside them
            rows, labels = take(rows, mask), labels[mask]
        kept = np.concatenate(_some_of_each(labels, len(classes), per_class, random))
        least = np.bincount(labels, minlength=len(classes)).min()
        if least < 2:
            raise ValueError(f"`synthetic` must hold at least 2 rows of every class, got {least} of one.")
        return take(rows, kept), labels[kept], None
    check_generator(synthetic)
    label_indices(classes, synthetic.classes_, "y")
    labels = np.repeat(np.arange(len(classes)), per_class)
    return synthetic.sample(classes[labels], random_state=random.randint(2**31 - 1)), labels, synthetic


def _some_of_each(
    labels: np.ndarray, n_classes: int, most: int, random: np.random.RandomState
) -> list[np.ndarray]:
    """Return the indices of at most so many rows of each class, drawn at random, in order."""
    by_class = (np.flatnonzero(labels == c) for c in range(n_classes))
    return [np.sort(random.permutation(own)[:most]) for own in by_class]


def _matrix(features: Any) -> Tensor:
    rows = features.detach().cpu() if isinstance(features, Tensor) else np.asarray(features)
    return torch.as_tensor(rows, dtype=torch.float32).flatten(1)


def _noise(X: Any, n: int, random: np.random.RandomState) -> Any:
    """Return rows that have nothing of `X` but its range: pixels at random, or each column shuffled."""
    if X.ndim > 2:
        noise = random.randint(0, 256, (n, *X.shape[1:]), dtype=np.uint8)
        if isinstance(X, Tensor):
            return tvf.to_dtype(torch.from_numpy(noise), X.dtype, scale=True)
        return noise if X.dtype == np.uint8 else (noise / np.float32(255)).astype(X.dtype)
    rows = take(X, random.randint(len(X), size=n)).copy()
    for place in range(rows.shape[1]):
        order = random.permutation(n)
        if is_dataframe(rows):
            rows.isetitem(place, rows.iloc[order, place].array)
        else:
            rows[:, place] = rows[order, place]
    return rows
