"""QualityGate: a generator around a generator that rejects wrong-class samples and duplicates."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_is_fitted

from ganaug.data.containers import concat, is_dataframe, take
from ganaug.data.features import FeatureCodec
from ganaug.data.labels import as_random_state, encode_labels, label_indices, seeded_clone
from ganaug.data.protocol import ConditionalGenerator, modality_of
from ganaug.data.series import SeriesCodec
from ganaug.data.tables import TableCodec
from ganaug.evaluation.classifiers import (
    LinearFeatureClassifier,
    SmallCNNClassifier,
    TreeEnsembleClassifier,
)
from ganaug.evaluation.neighbours import Neighbours, Points
from ganaug.evaluation.series_classifier import SeriesClassifier
from ganaug.model.estimator import (
    SampleEstimator,
    available_if,
    check_n_jobs,
    check_samples,
    set_feature_names,
)
from ganaug.selection.class_queue import ClassQueue
from ganaug.training.torch_state import default_torch_state

# Each fold is classified by a classifier that never saw it. Together they cost as much as one
# SmallCNNClassifier.
FOLDS = 3
CLASSIFIER_STEPS = 333
# The threshold on the class probability rejects this share of real samples under a wrong label,
TARGET_TRUE_REJECT_RATE = 0.985
# unless fewer than this share of a class would be accepted under their own.
MIN_TRUE_ACCEPT_RATE = 0.9
# A class of fewer samples is too small to tell a threshold of its own.
MIN_CLASS_SIZE = 20


class QualityGate(SampleEstimator):
    """Pass on only those samples of a generator that are of their class, and new.

    A sample is rejected as

    - *misclassified*, if classifiers trained on folds of the real data give another class a higher
      probability, and its own one below a threshold. The threshold rejects 985 of 1,000 real samples under
      a wrong label, but at most a tenth of any class under their own label. A class of fewer than 20
      samples counts together with the others;
    - *near_duplicate*, if it is closer to a training sample of its class than 1 % of real samples are to
      each other. Images may be shifted by a pixel. In a table, it also has to be closer than half of the
      usual distance; where few rows are possible, a twin is no copy, and none is rejected;
    - *duplicate*, if it is as close to an earlier sample of the same call.

    Rejected samples are replaced by new proposals until every label has its sample. After `max_rounds`
    duplicates, drawn at random, fill the places that are left, then the best of the misclassified, and a
    warning names the class. Looking for duplicates takes time by the square of the samples of a class in one
    call: 50,000 rows of 29 numbers, made of 92, take half a minute on one core.

    Parameters
    ----------
    gan : generator or estimator
        An estimator that is not fitted yet is cloned and fitted by `fit`. A fitted one, or a generator
        without ``fit``, is used as it is.
    classifier : classifier, optional
        Any with ``predict_proba``; cloned. None: `SmallCNNClassifier` for images, a balanced
        random forest for tables, logistic regression for features.
    max_rounds : int, default=5
    random_state : int, RandomState or None, default=0
        Of the folds; set on the classifiers too.
    n_jobs : int, optional
        Classifiers that `fit` trains side by side; as in joblib. None: 1, or what a surrounding
        ``joblib.parallel_config`` says. The result is the same, but for rounding.

    Attributes
    ----------
    gan_ : generator
    classes_ : ndarray of shape (n_classes,)
    min_class_probability_ : ndarray of shape (n_classes,)
        The probability of its class below which a sample is misclassified, if another class is likelier.
    n_features_in_, feature_names_in_ : as of ConditionalGAN
    duplicate_distance_ : float
        The distance up to which two samples count as duplicates.
    report_ : dict
        After `sample`: for each label asked for a dict of "proposed", "accepted", "fallback" and the
        reasons of rejection, in samples.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from ganaug import ConditionalGAN, QualityGate
    >>> X, y = load_wine(return_X_y=True)
    >>> gate = QualityGate(ConditionalGAN(steps=2, random_state=0)).fit(X, y)
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
        n_jobs: int | None = None,
    ) -> None:
        self.gan = gan
        self.classifier = classifier
        self.max_rounds = max_rounds
        self.random_state = random_state
        self.n_jobs = n_jobs

    @default_torch_state()
    def fit(self, X: Any, y: Any = None) -> QualityGate:
        """Learn from real samples what belongs to a class and what is a near duplicate.

        Parameters
        ----------
        X, y : as in ConditionalGAN.fit
            The samples that the GAN was, or is to be, trained on.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is not of the kind described, or a label is unknown to a fitted `gan`.
        """
        self._check_parameters()
        X, y = check_samples(X, y, self)
        classes, labels = encode_labels(y)
        self.gan_: ConditionalGenerator = _fitted_generator(self.gan, X, y)
        unknown = set(classes.tolist()) - set(np.asarray(self.gan_.classes_).tolist())
        if unknown:
            raise ValueError(f"`y` holds labels that `gan` doesn't know: {sorted(unknown)[:5]}.")
        self.classes_ = classes
        self.neighbours_: Neighbours = Neighbours(X, modality_of(X, self.gan_))
        set_feature_names(self, self.neighbours_.codec)
        self._fit_classifiers(X, labels)
        self.train_points_: list[Points] = self.neighbours_.by_class(X, labels)
        self.duplicate_distance_: float = self.neighbours_.near_duplicate_distance(self.train_points_)
        return self

    def _check_parameters(self) -> None:
        if not hasattr(self.gan, "sample"):
            raise ValueError(f"`gan` must be a generator or a ConditionalGAN, got {self.gan!r}.")
        rounds = self.max_rounds
        if isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or rounds < 1:
            raise ValueError(f"`max_rounds` must be an integer from 1 up, got {self.max_rounds!r}.")
        check_n_jobs(self.n_jobs)
        if self.classifier is not None and not hasattr(self.classifier, "predict_proba"):
            raise ValueError(f"`classifier` must have predict_proba, got {self.classifier!r}.")

    def _fit_classifiers(self, X: Any, labels: np.ndarray) -> None:
        """Fit a classifier without each fold, and set the threshold by what they say of the folds."""
        rng = as_random_state(self.random_state)
        model = self.classifier
        if model is None:
            codec = self.neighbours_.codec
            model = SmallCNNClassifier(steps=CLASSIFIER_STEPS)
            if isinstance(codec, TableCodec):
                model = TreeEnsembleClassifier(codec=codec)
            elif isinstance(codec, FeatureCodec):
                model = LinearFeatureClassifier(codec=codec)
            elif isinstance(codec, SeriesCodec):
                model = SeriesClassifier(codec=codec)
        n_folds = min(FOLDS, int(np.bincount(labels).min()))
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=rng.randint(2**31 - 1))
        splits = list(folds.split(np.zeros(len(labels)), labels))
        models = [seeded_clone(model, rng.randint(2**31 - 1)) for _ in splits]
        found = Parallel(self.n_jobs)(
            delayed(_fit_and_predict)(model, X, labels, *split)
            for model, split in zip(models, splits, strict=True)
        )
        self.classifiers_: list[Any] = [classifier for classifier, _ in found]
        proba = np.empty((len(labels), len(self.classes_)))
        for (_, test), (_, predicted) in zip(splits, found, strict=True):
            proba[test] = predicted
        own = np.arange(len(self.classes_)) == labels[:, None]
        # Be no stricter than that: of a small class, classifiers know less than the generator, and would
        # reject what they could learn from.
        accepting = np.full(len(self.classes_), np.quantile(proba[own], 1 - MIN_TRUE_ACCEPT_RATE))
        for c in np.flatnonzero(own.sum(0) >= MIN_CLASS_SIZE):
            accepting[c] = np.quantile(proba[own[:, c], c], 1 - MIN_TRUE_ACCEPT_RATE)
        rejecting = np.quantile(proba[~own], TARGET_TRUE_REJECT_RATE)
        self.min_class_probability_: np.ndarray = np.minimum(rejecting, accepting)

    @available_if(lambda self: hasattr(self.gan, "expected_seconds"))
    def expected_seconds(self, X: Any, y: Any = None) -> float:
        """Return about how long fitting the GAN would take; the classifiers take little."""
        return self.gan.expected_seconds(X, y)

    @default_torch_state()
    def sample(self, labels: Any, random_state: int | np.random.RandomState | None = None) -> Any:
        """Return one accepted sample for each of `labels`, in order; as ``gan.sample``.

        Warns
        -----
        UserWarning
            If rejected samples had to fill places after `max_rounds`.
        """
        check_is_fitted(self)
        wanted = label_indices(labels, self.classes_)
        rng = as_random_state(random_state)
        queues = [
            ClassQueue(self.neighbours_, np.flatnonzero(wanted == c), real, self.duplicate_distance_)
            for c, real in enumerate(self.train_points_)
        ]
        for _ in range(self.max_rounds):
            n_proposed = [queue.n_to_propose() for queue in queues]
            asked = np.repeat(np.arange(len(queues)), n_proposed)
            if not len(asked):
                break
            samples = self.gan_.sample(self.classes_[asked], random_state=rng.randint(2**31 - 1))
            score, misclassified = self._class_probability(samples, asked)
            for c in np.flatnonzero(n_proposed).tolist():
                own = asked == c
                queues[c].accept(take(samples, own), score[own], misclassified[own], rng)
        names = self.classes_.tolist()
        self.report_: dict[Any, dict[str, int]] = {
            names[c]: queue.report for c, queue in enumerate(queues) if len(queue.positions)
        }
        for c, queue in enumerate(queues):
            queue.fill(self.classes_[c], self.max_rounds)
        if not len(wanted):
            return self.gan_.sample(wanted)
        order = np.argsort(np.concatenate([queue.positions for queue in queues]))
        samples = take(concat([block for queue in queues for block in queue.accepted]), order)
        return concat([samples]) if is_dataframe(samples) else samples  # its index numbered anew

    def _class_probability(self, samples: Any, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of its class for each sample, and whether that makes it misclassified.

        The mean over all classifiers decides. Where the first alone lifts it to `min_class_probability_`,
        the others are not asked, and its own answer stands for the mean.
        """
        first, *others = self.classifiers_
        n = len(self.classifiers_)
        proba = np.array(first.predict_proba(samples))  # a copy: what a classifier gave is its own
        rows = np.arange(len(asked))
        undecided = np.flatnonzero(proba[rows, asked] < n * self.min_class_probability_[asked])
        if len(undecided):
            rest = sum(model.predict_proba(take(samples, undecided)) for model in others)
            proba[undecided] = (proba[undecided] + rest) / n
        score = proba[rows, asked]
        return score, (proba.argmax(1) != asked) & (score < self.min_class_probability_[asked])


def _fit_and_predict(
    model: Any, X: Any, labels: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[Any, np.ndarray]:
    """Return the model, fitted on one part of the samples, and what it says of the other."""
    model.fit(take(X, train), labels[train])
    return model, model.predict_proba(take(X, test))


def _fitted_generator(gan: Any, X: Any, y: np.ndarray) -> Any:
    """Return a generator as it is, an unfitted estimator cloned and fitted."""
    if isinstance(gan, FrozenEstimator) or not hasattr(gan, "fit"):
        return gan
    try:
        check_is_fitted(gan)
    except NotFittedError:
        return clone(gan).fit(X, y)
    return gan
