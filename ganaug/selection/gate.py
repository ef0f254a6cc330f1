"""QualityGate: a generator around a generator that rejects wrong-class rows, copies and repetitions."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ganaug.data.containers import as_container, concat, is_dataframe, take
from ganaug.data.labels import as_random_state, check_labels, encode_labels, label_indices, seeded_clone
from ganaug.data.protocol import ConditionalGenerator
from ganaug.data.tables import TableCodec
from ganaug.evaluation.classifiers import SmallCNNClassifier, TreeEnsembleClassifier
from ganaug.evaluation.neighbours import Neighbours, Points
from ganaug.training.torch_state import default_torch_state

FOLDS = 3  # of the data, each judged by a classifier that never saw it
CLASSIFIER_STEPS = 333  # of the classifier of a fold: together they cost one SmallCNNClassifier
CAUGHT = 0.985  # of the real rows, under a wrong label, a classifier that never saw them contradicts,
SPARED = 0.9  # as long as it spares as many of each class under their own
ENOUGH = 20  # rows of a class that tell which probability a tenth of them falls short of
HEADROOM = 1.1  # rows proposed for each one that is missing, beside those expected to be rejected
LEAST_RATE = 0.5  # of acceptance that is planned for: a hopeless generator shall not be asked without end
REASONS = ("misclassified", "near_duplicate", "duplicate")


class QualityGate(BaseEstimator):
    """Pass on only those rows of a generator that are of their class, and new.

    A row is rejected as

    - *misclassified*, if classifiers trained on folds of the real rows give another class more, and
      its own so little that no more than 985 of 1,000 real rows under a wrong label would be caught,
      and no more than a tenth of any class under their own (a class of fewer than 20 rows counts
      together with the others);
    - *near_duplicate*, if it lies as near to a training row of its class as hardly any two real rows (one in a
      hundred) lie to each other, and in a table nearer than half of their usual distance; images may be
      shifted by a pixel meanwhile, and in a table of few categories, where real rows have twins, no row
      is a copy;
    - *duplicate*, if it lies so near to an earlier row of the same call.

    What was rejected is proposed anew until every label has its row. After `max_rounds` the best
    of the rejected fill the places that are left, and a warning names the class. Looking for
    repetitions takes time by the square of the rows of a class in one call: 50,000 rows of 29 numbers,
    made of 92, take half a minute on one core.

    Parameters
    ----------
    gan : generator or estimator
        An estimator that is not fitted yet is cloned and fitted by `fit`; one that is, or a
        generator without ``fit``, is used as it is.
    classifier : classifier, optional
        Any with ``predict_proba``; cloned. None: `SmallCNNClassifier` for images, a balanced
        random forest for tables.
    max_rounds : int
    random_state : int, RandomState or None
        Of the folds; set on the classifiers too.

    Attributes
    ----------
    gan_ : generator
    classes_ : ndarray of shape (n_classes,)
    min_class_probability_ : ndarray of shape (n_classes,)
        The probability of its class under which a row is misclassified, if another is likelier.
    duplicate_distance_ : float
        The distance up to which two rows count as the same.
    report_ : dict
        After `sample`: for each label asked for a dict of "proposed", "accepted", "fallback" and the
        reasons of rejection, in rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from ganaug import ConditionalGAN, QualityGate
    >>> X = (load_digits().images / 16).astype("float32")
    >>> gate = QualityGate(ConditionalGAN(steps=2, random_state=0)).fit(X, load_digits().target)
    >>> bool((gate.min_class_probability_ < 1).all()) and gate.duplicate_distance_ > 0
    True
    """

    def __init__(
        self,
        gan: Any,
        *,
        classifier: Any = None,
        max_rounds: int = 5,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.gan = gan
        self.classifier = classifier
        self.max_rounds = max_rounds
        self.random_state = random_state

    @default_torch_state()
    def fit(self, X: Any, y: Any) -> QualityGate:
        """Learn from real rows what belongs to a class and what is a copy.

        Parameters
        ----------
        X : array or Tensor of shape (n, ...)
            The rows that the GAN was, or is to be, trained on: images as for `ConditionalGAN`, or
            a table, (n, n_features).
        y : array-like of shape (n,)

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is not of the kind described, or a label is unknown to a fitted `gan`.
        """
        if not hasattr(self.gan, "sample"):
            raise ValueError(f"`gan` must be a generator or a ConditionalGAN, got {self.gan!r}.")
        rounds = self.max_rounds
        if isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or rounds < 1:
            raise ValueError(f"`max_rounds` must be an integer from 1 up, got {self.max_rounds!r}.")
        if self.classifier is not None and not hasattr(self.classifier, "predict_proba"):
            raise ValueError(f"`classifier` must have predict_proba, got {self.classifier!r}.")
        X = as_container(X)
        y = check_labels(y, len(X))
        classes, labels = encode_labels(y)
        self.gan_: ConditionalGenerator = _fitted(self.gan, X, y)
        unknown = set(classes.tolist()) - set(np.asarray(self.gan_.classes_).tolist())
        if unknown:
            raise ValueError(f"`y` holds labels that `gan` doesn't know: {sorted(unknown)[:5]}.")
        self.classes_ = classes
        self.neighbours_ = Neighbours(X)
        self._fit_classifiers(X, labels)
        self.rows_ = self.neighbours_.by_class(X, labels)
        self.duplicate_distance_ = self.neighbours_.too_near(self.rows_)
        return self

    def _fit_classifiers(self, X: Any, labels: np.ndarray) -> None:
        random = as_random_state(self.random_state)
        model = self.classifier
        if model is None:
            codec = self.neighbours_.codec
            model = SmallCNNClassifier(steps=CLASSIFIER_STEPS)
            if isinstance(codec, TableCodec):
                model = TreeEnsembleClassifier(codec=codec)
        folds = min(FOLDS, int(np.bincount(labels).min()))
        split = StratifiedKFold(folds, shuffle=True, random_state=random.randint(2**31 - 1))
        self.classifiers_ = []
        proba = np.empty((len(labels), len(self.classes_)))
        for inside, outside in split.split(np.zeros(len(labels)), labels):
            classifier = seeded_clone(model, random.randint(2**31 - 1))
            self.classifiers_.append(classifier.fit(take(X, inside), labels[inside]))
            proba[outside] = classifier.predict_proba(take(X, outside))
        own = np.arange(len(self.classes_)) == labels[:, None]
        # No stricter than that: where a class is poor, classifiers know less than the generator,
        # and would reject what could teach them.
        spared = np.full(len(self.classes_), np.quantile(proba[own], 1 - SPARED))
        for c in np.flatnonzero(own.sum(0) >= ENOUGH):
            spared[c] = np.quantile(proba[own[:, c], c], 1 - SPARED)
        self.min_class_probability_ = np.minimum(np.quantile(proba[~own], CAUGHT), spared)

    @available_if(lambda self: hasattr(self.gan, "expected_seconds"))
    def expected_seconds(self, X: Any, y: Any) -> float:
        """Return about how long fitting the GAN would take; the classifiers take little."""
        return self.gan.expected_seconds(X, y)

    @default_torch_state()
    def sample(self, labels: Any, random_state: int | np.random.RandomState | None = None) -> Any:
        """Return one accepted row for each of `labels`, in order; as ``gan.sample``.

        Warns
        -----
        UserWarning
            If rejected rows had to fill places after `max_rounds`.
        """
        check_is_fitted(self)
        wanted = label_indices(labels, self.classes_)
        random = as_random_state(random_state)
        piles = [
            _ClassQueue(self.neighbours_, np.flatnonzero(wanted == c), real, self.duplicate_distance_)
            for c, real in enumerate(self.rows_)
        ]
        for _ in range(self.max_rounds):
            proposed = [pile.to_propose() for pile in piles]
            asked = np.repeat(np.arange(len(piles)), proposed)
            if not len(asked):
                break
            rows = self.gan_.sample(self.classes_[asked], random_state=random.randint(2**31 - 1))
            score, misclassified = self._judged(rows, asked)
            for c in np.flatnonzero(proposed).tolist():
                own = asked == c
                piles[c].judge(take(rows, own), score[own], misclassified[own])
        names = self.classes_.tolist()
        self.report_ = {names[c]: pile.report for c, pile in enumerate(piles) if len(pile.places)}
        for c, pile in enumerate(piles):
            pile.fill(self.classes_[c], self.max_rounds)
        if not len(wanted):
            return self.gan_.sample(wanted)
        order = np.argsort(np.concatenate([pile.places for pile in piles]))
        rows = take(concat([block for pile in piles for block in pile.accepted]), order)
        return concat([rows]) if is_dataframe(rows) else rows  # its index numbered anew

    def _judged(self, rows: Any, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of its class for each row, and whether another contradicts it.

        The mean of all classifiers decides. Where the first alone lifts it to `min_class_probability_`, the
        others are not asked, and its own answer stands for the mean.
        """
        first, *others = self.classifiers_
        n = len(self.classifiers_)
        proba = np.array(first.predict_proba(rows))  # a copy: what a classifier gave is its own
        open_ = np.flatnonzero(proba[np.arange(len(asked)), asked] < n * self.min_class_probability_[asked])
        if len(open_):
            proba[open_] = (
                proba[open_] + sum(model.predict_proba(take(rows, open_)) for model in others)
            ) / n
        score = proba[np.arange(len(asked)), asked]
        return score, (proba.argmax(1) != asked) & (score < self.min_class_probability_[asked])


class _ClassQueue:
    """What was proposed for one class in a call: the accepted rows, and the best of the others.

    Parameters
    ----------
    places : ndarray of shape (n,)
        Where in the result the rows of the class go.
    real : Points
        The training rows of the class.
    nearest : float
    """

    def __init__(self, neighbours: Neighbours, places: np.ndarray, real: Points, nearest: float) -> None:
        self.neighbours, self.places, self.real, self.nearest = neighbours, places, real, nearest
        self.accepted: list[Any] = []  # blocks of rows
        self.spare: tuple[np.ndarray, Any] | None = None  # scores of rejected rows, best first, and the rows
        self.kept: Points | None = None  # of the accepted
        self.report = dict.fromkeys(("proposed", "accepted", *REASONS, "fallback"), 0)

    @property
    def missing(self) -> int:
        return len(self.places) - self.report["accepted"]

    def to_propose(self) -> int:
        """Return how many rows to ask for, by the rate of acceptance so far."""
        rate = self.report["accepted"] / self.report["proposed"] if self.report["proposed"] else 1.0
        return math.ceil(HEADROOM * self.missing / max(rate, LEAST_RATE))

    def judge(self, rows: Any, score: np.ndarray, misclassified: np.ndarray) -> None:
        """Accept as many of the rows as are missing and good."""
        points = self.neighbours.encode(rows)
        seen = points if self.kept is None else Points.concat(self.kept, points)
        near = partial(self.neighbours.nearest, points, limit=self.nearest)
        copied = (near(self.real, where=~misclassified) <= self.nearest).numpy()
        repeated = (near(seen, "earlier", where=~misclassified & ~copied) <= self.nearest).numpy()
        good = ~(misclassified | copied | repeated)
        self.report["proposed"] += len(rows)
        for reason, mask in zip(REASONS, (misclassified, copied, repeated), strict=True):
            self.report[reason] += int(mask.sum())
        taken = np.flatnonzero(good)[: self.missing]
        self.accepted.append(take(rows, taken))
        self.kept = points[taken] if self.kept is None else Points.concat(self.kept, points[taken])
        self.report["accepted"] += len(taken)
        # A copy adds nothing, but is of its class: another class's row is the last resort.
        score = np.where(misclassified, score - 1, score)
        spare, scores = take(rows, np.flatnonzero(~good)), score[~good]
        if self.spare is not None:
            spare, scores = concat([self.spare[1], spare]), np.concatenate([self.spare[0], scores])
        best = np.argsort(-scores, kind="stable")[: self.missing]
        self.spare = scores[best], take(spare, best)

    def fill(self, label: Any, rounds: int) -> None:
        """Take the best of the rejected for what is still missing."""
        if not self.missing:
            return
        self.report["fallback"] = self.missing
        most = max(REASONS, key=lambda reason: self.report[reason])
        warnings.warn(
            f"Class {label}: only {self.report['accepted']} of {len(self.places)} rows passed the gate in"
            f" {rounds} rounds, most of the others were {most}; the best of them fill up. Train longer,"
            " or add fewer rows to this class.",
            stacklevel=4,
        )
        if self.spare is not None:
            self.accepted.append(self.spare[1])


def _fitted(gan: Any, X: Any, y: np.ndarray) -> Any:
    if isinstance(gan, FrozenEstimator) or not hasattr(gan, "fit"):
        return gan
    try:
        check_is_fitted(gan)
    except NotFittedError:
        return clone(gan).fit(X, y)
    return gan
