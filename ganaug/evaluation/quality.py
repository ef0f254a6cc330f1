"""quality_report: how realistic, diverse, new and useful synthetic samples are, class by class."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from ganaug.data.containers import as_container
from ganaug.data.labels import as_random_state, check_labels, encode_labels
from ganaug.data.protocol import modality_of
from ganaug.evaluation.classifiers import (
    LinearFeatureClassifier,
    SmallCNNClassifier,
    TreeEnsembleClassifier,
)
from ganaug.evaluation.comparison import (
    compare_distributions,
    downstream_scores,
    inception,
    match_class_frequencies,
    memorization,
)
from ganaug.evaluation.estimates import Entry, average_entries
from ganaug.evaluation.membership import membership
from ganaug.evaluation.neighbours import Neighbours
from ganaug.evaluation.report import write_page
from ganaug.evaluation.samples import (
    MIN_HELD_OUT,
    LabeledSamples,
    ReportedSamples,
    check_held_out,
    noise_like,
    synthetic_samples,
)
from ganaug.evaluation.series_classifier import SeriesClassifier
from ganaug.evaluation.verdict import verdict
from ganaug.io.progress import progress_bar

CLASSIFIER_STEPS = 600

Features = Callable[[Any], Any]


class QualityReport(dict[str, Any]):
    """What `quality_report` found: plain types, with ``to_json`` and ``to_html``.

    ``report["per_class"][label][measure]`` and ``report["overall"][measure]`` are entries of seven
    numbers. Each is None where it can't be measured.

    - "value": of the synthetic samples.
    - "low" and "high": the ends of its 95 % interval.
    - "real": what real samples score against other real samples.
    - "noise", "train_copies" and "single_mode": what three bad generators score. They return noise,
      training samples, and a single sample over and over.

    ``report["counts"]`` are the training samples of each class. ``report["verdict"]`` is a list of
    sentences, the first of which says whether to use the synthetic samples.
    """

    samples: ReportedSamples

    def to_json(self, path: str | Path | None = None) -> str:
        """Return all numbers as JSON, and write them to a file if one is named."""
        named = {key: {str(k): v for k, v in self[key].items()} for key in ("per_class", "counts")}
        text = json.dumps({**self, **named}, indent=1)
        if path is not None:
            Path(path).write_text(text + "\n")
        return text

    def to_html(self, path: str | Path) -> None:
        """Write a page that needs no other file: the verdict, figures, and all numbers."""
        write_page(Path(path), self, self.samples)


def quality_report(
    synthetic: Any,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    per_class: int = 500,
    features: Features | None = None,
    probabilities: Features | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: bool = False,
) -> QualityReport:
    """Compare synthetic samples with those a generator was trained on, and with held-out ones.

    Parameters
    ----------
    synthetic : ConditionalGenerator or (X, y)
        A fitted `ConditionalGAN`, `QualityGate` or anything with ``classes_`` and ``sample``; or
        samples and their labels, at least 2 of each class.
    X, y
        The training samples, as for `ConditionalGAN.fit`, and their labels.
    X_test, y_test : optional
        Samples that the generator never saw, and their labels. Images that are among `X` are left out.
        A class with fewer than 20 has no "memorization", "membership_auc", "membership_tpr", "tstr" and
        "augmentation_gain". Then the latter two are missing over all classes, too.
    per_class : int, default=500
        How many samples of each class to draw from a generator, and to use at most; from 2 up.
    features : callable, optional
        ``features(X) -> (n, n_features)``, in which distances are taken. None: of images those of a
        small classifier trained on `X` and `y`, so nothing is downloaded; of series those of random
        convolutions; of tables the encoded columns, of feature vectors these themselves.
    probabilities : callable, optional
        ``probabilities(X) -> (n, any number of classes)``, such as ``classifier.predict_proba``, of which
        the Inception Score is taken. None: those of the classifier that measures "trts", or that `features`
        are of by default. So without held-out samples, tables and vectors have no Inception Score.
    random_state : int, RandomState or None, default=0
    verbose : bool, default=False
        Show a progress bar, on terminals only.

    Returns
    -------
    QualityReport

    Raises
    ------
    ValueError
        If samples, labels, `per_class` or what `probabilities` returns are not as described, or if all
        images of `X_test` are among `X`.

    Warns
    -----
    UserWarning
        If images of `X_test` are among those of `X`.

    Notes
    -----
    The measures, of each class and over all:

    - "precision", "recall", "density", "coverage" and "authenticity": see
      `ganaug.evaluation.measures.prdc`.
    - "kernel_distance": the squared maximum mean discrepancy, of classes of at least 50 samples.
    - "frechet_distance": over all classes only.
    - "inception_score": how sure a classifier is of each sample, and how even its classes are over all of
      them. "real" is of `X_test`, "train_copies" of `X`. Over all classes only.
    - "diversity": the mean distance between two samples of a class, over that of real ones.
    - "memorization": the share of samples that are closer to a training sample than 5 % of held-out
      ones are.
    - "membership_auc" and "membership_tpr": how well the distance to the nearest synthetic sample tells
      training samples from held-out ones: the area under the ROC curve, and the share of training
      samples that are found where 1 % of held-out ones are taken for such. "real" is chance.
    - "tstr": the recall of a classifier trained on synthetic samples, tested on held-out ones. Its
      "real" is that of a classifier trained on `X`.
    - "trts": the recall of a classifier trained on `X`, tested on synthetic samples.
    - "augmentation_gain": by how much synthetic samples raise recall when they are added to `X`.

    Examples
    --------
    >>> import numpy as np
    >>> from ganaug import quality_report
    >>> X, y = np.random.default_rng(0).normal(size=(160, 3)), np.arange(160) % 2
    >>> copies = (X[:120], y[:120])
    >>> report = quality_report(copies, X[:120], y[:120], X[120:], y[120:])
    >>> report["overall"]["memorization"]["value"]
    1.0
    >>> print(report["verdict"][0])
    Do not use it: 100 % of them are memorised: closer to a training sample than 95 % of held-out samples.
    """
    _check_per_class(per_class)
    rng = as_random_state(random_state)
    X = as_container(X)
    classes, labels = encode_labels(check_labels(y, len(X)))
    train, n_classes = LabeledSamples(X, labels), len(classes)
    neighbours = Neighbours(X, modality_of(X, synthetic if hasattr(synthetic, "sample") else None))
    codec: Any = neighbours.codec
    held_out = check_held_out(X_test, y_test, X, classes, codec)
    bar = progress_bar(shown=verbose, desc="report", total=n_classes + 4)
    compared, generator = synthetic_samples(synthetic, classes, per_class, rng)
    reference = train.at_most(per_class, n_classes, rng)
    model = _classifier(X, codec, rng)
    bar.update()
    measurable = np.flatnonzero(np.bincount(held_out.y, minlength=n_classes) >= MIN_HELD_OUT)
    features, real_classifier = _features(features, model, X, labels, codec, tested=len(measurable) > 0)
    bar.update()
    sets = (reference, compared, LabeledSamples(noise_like(X, len(compared), rng, codec), compared.y))
    real, fake, noise = (_extract(features, samples) for samples in sets)
    points = neighbours.by_class(X, labels)
    # For later measures, so that all other numbers of a seed are the same with and without them.
    own_rng = np.random.RandomState(copy.deepcopy(rng).randint(2**31 - 1))
    found: dict[Any, dict[str, Entry]] = {}
    for c, label in enumerate(classes.tolist()):
        found[label] = compare_distributions(real.of_class(c), fake.of_class(c), noise.of_class(c), rng)
        new = held_out.of_class(c) if c in measurable else None
        found[label]["memorization"] = memorization(neighbours, points[c], compared.of_class(c), new, rng)
        bar.update()
    matched = match_class_frequencies(compared.y, reference.y)
    overall = compare_distributions(real.X, fake.X, noise.X, rng, matched=matched)
    overall |= _inception(probabilities, real_classifier, sets, held_out, copy.deepcopy(own_rng))
    for name in ("diversity", "memorization"):
        overall[name] = average_entries([entries[name] for entries in found.values()])
    overall |= _add_scores(found, membership(train, compared, held_out, own_rng, codec.name))
    bar.update()
    if len(measurable):
        tested = held_out.take(np.isin(held_out.y, measurable))
        scores = downstream_scores(real_classifier, train, compared, tested, n_classes, rng)
        averages = _add_scores(found, scores)
        # A mean over majority classes, which can spare held-out samples, hides what minorities gain.
        overall |= averages if len(measurable) == n_classes else {"trts": averages["trts"]}
    bar.update()
    bar.close()
    counts = dict(zip(found, np.bincount(labels).tolist(), strict=True))
    words = verdict(overall, found, counts)
    report = QualityReport(verdict=words, overall=overall, per_class=found, counts=counts)
    report.samples = ReportedSamples(classes, train, compared, real, fake, generator)
    return report


def _check_per_class(per_class: Any) -> None:
    if isinstance(per_class, bool) or not isinstance(per_class, int | np.integer) or per_class < 2:
        raise ValueError(f"`per_class` must be an integer from 2 up, got {per_class!r}.")


def _features(
    features: Features | None, model: Any, X: Any, labels: np.ndarray, codec: Any, *, tested: bool
) -> tuple[Features, Any]:
    """Return the features to measure in, and the classifier, fitted if it is tested or they are of it."""
    of_classifier = features is None and codec.name not in ("table", "features")
    classifier: Any = clone(model).fit(X, labels) if tested or of_classifier else None
    if of_classifier:
        features = classifier.features
    elif features is None:
        features = partial(codec.encode, strict=False) if codec.name == "table" else codec.encode
    return features, classifier


def _inception(
    probabilities: Features | None,
    classifier: Any,
    sets: tuple[LabeledSamples, LabeledSamples, LabeledSamples],
    held_out: LabeledSamples,
    rng: np.random.RandomState,
) -> dict[str, Entry]:
    """Return the Inception Score by the probabilities that are given, or else by the classifier, if any."""
    if probabilities is None:
        if classifier is None:
            return {}
        probabilities = classifier.predict_proba
    return {"inception_score": inception(partial(_extract, probabilities), *sets, held_out, rng)}


def _add_scores(
    found: dict[Any, dict[str, Entry]], scores: dict[str, tuple[list[Entry], Entry]]
) -> dict[str, Entry]:
    """Add the entries of each class to those found before, and return the averages over all classes."""
    for name, (by_class, _) in scores.items():
        for entries, entry in zip(found.values(), by_class, strict=True):
            entries[name] = entry
    return {name: average for name, (_, average) in scores.items()}


def _classifier(X: Any, codec: Any, rng: np.random.RandomState) -> Any:
    """Return the classifier, not fitted yet, that scores synthetic samples of the kind of `X`."""
    seed = int(rng.randint(2**31 - 1))
    if codec.name == "images":
        return SmallCNNClassifier(steps=CLASSIFIER_STEPS, random_state=seed)
    if codec.name == "series":
        return SeriesClassifier(codec=codec, random_state=seed)
    if codec.name == "features":
        return LinearFeatureClassifier(codec=codec)
    # A column that is constant in the synthetic samples has no codec of its own.
    return TreeEnsembleClassifier(codec=codec, random_state=seed)


def _extract(features: Features, samples: LabeledSamples) -> LabeledSamples:
    """Return the features of samples as a Tensor (n, n_features), float32."""
    values = features(samples.X)
    values = values.detach().cpu() if isinstance(values, Tensor) else np.asarray(values)
    return LabeledSamples(torch.as_tensor(values, dtype=torch.float32).flatten(1), samples.y)
