from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse
from conftest import StripeGenerator
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as imblearn_pipeline
from scipy import stats
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

from ganaug import ConditionalGAN, QualityGate
from ganaug.selection.candidates import (
    DEFAULT_CANDIDATE,
    IMAGE_CANDIDATES,
    NO_AUGMENTATION,
    SYNTHETIC_ONLY,
    TABLE_CANDIDATES,
    Candidate,
)
from ganaug.selection.recommend import _select, recommend_counts
from ganaug.selection.recommendation import FidelityCheck
from ganaug.selection.trials import Trial, _systematic_resample, paired_trial

pytestmark = pytest.mark.trained_classifiers
COUNTS = [60, 30, 12]


def digits():
    """Rows of three digits, long-tailed, and the rows that are left."""
    X, y = load_digits(n_class=3, return_X_y=True)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(y == c)) for c in range(3)]
    inside = np.concatenate([own[:n] for own, n in zip(rows, COUNTS, strict=True)])
    outside = np.concatenate([own[n:] for own, n in zip(rows, COUNTS, strict=True)])
    return X[inside] / 16 + rng.normal(0, 0.5, (len(inside), 64)), y[inside], X[outside] / 16, y[outside]


X, Y, FRESH, FRESH_Y = digits()
FRESH = FRESH + np.random.default_rng(1).normal(0, 0.5, FRESH.shape)
SEEN: list[set] = []  # the rows that each fit of a generator has seen


class Generator(BaseEstimator):
    """Makes fresh real rows, or noise, or one row of each class over and over, or rows of other classes."""

    def __init__(self, kind="fresh", random_state=None):
        self.kind, self.random_state = kind, random_state

    def fit(self, X, y):
        self.classes_, self.X_, self.y_ = np.unique(y), X, y
        SEEN.append({row.tobytes() for row in X})
        return self

    def sample(self, labels, random_state=None):
        rng = np.random.default_rng(random_state)
        if self.kind == "noise":
            return rng.normal(0, 3, (len(labels), 64))
        if self.kind == "collapsed":
            return np.stack([self.X_[self.y_ == label][0] for label in labels])
        if self.kind == "wrong":
            labels = (np.asarray(labels) + 1) % 3
        return np.stack([FRESH[rng.choice(np.flatnonzero(FRESH_Y == label))] for label in labels])


class Flat(LogisticRegression):
    """Takes images."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X.reshape(len(X), -1) / 255, y, sample_weight)

    def predict_proba(self, X):
        return super().predict_proba(X.reshape(len(X), -1) / 255)


def recommend(gan, **options):
    options = {"classifier": LogisticRegression(C=0.1, max_iter=200), "random_state": 0, **options}
    return recommend_counts(gan, X, Y, **options)


def test_a_generator_that_helps_is_recommended():
    result = recommend(Generator())
    assert sum(result.to_add.values()) > 0
    assert result.totals == {c: COUNTS[c] + result.to_add[c] for c in range(3)}
    assert result.reason.startswith(f"Add {result.candidate}")
    surest = max(result.trials, key=lambda trial: trial.low)
    assert surest.low > 0
    assert surest.candidate == result.candidate
    assert "(+" in str(result)


@pytest.mark.parametrize("kind", ["noise", "collapsed", "wrong"])
def test_one_that_harms_is_not(kind):
    result = recommend(Generator(kind))
    assert set(result.to_add.values()) == {0}
    assert set(result.synthetic_share.values()) == {0.0}
    assert result.totals == dict(enumerate(COUNTS))
    assert "Add nothing" in result.reason
    assert "Draw every class equally often" in result.reason


@pytest.mark.parametrize(("low", "added"), [(-0.01, False), (0.01, True)])
def test_a_gain_in_doubt_is_not_taken(low, added, monkeypatch):
    """Nor is one that gains more, but less surely."""
    gains = iter([0.02, 0.03, 0.02])
    lows = iter([low, -0.02, -0.03])
    monkeypatch.setattr(
        "ganaug.selection.trials.paired_trial",
        lambda candidate, *_: Trial(candidate, next(gains), next(lows), 0.05),
    )
    result = recommend(Generator())
    assert result.candidate == (result.trials[0].candidate if added else NO_AUGMENTATION)


SHRUNK = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5)


class Copies(Generator):
    def sample(self, labels, random_state=None):
        rng = np.random.default_rng(random_state)
        return np.stack([self.X_[rng.choice(np.flatnonzero(self.y_ == label))] for label in labels])


@pytest.mark.parametrize(
    "classifier", [SHRUNK, make_pipeline(StandardScaler(), SHRUNK)], ids=["alone", "last step"]
)
def test_copies_gain_nothing_with_a_classifier_that_takes_no_weights(classifier):
    """Rows are drawn for it: adding nothing may not mean that real rows are left out."""
    result = recommend(Copies(), classifier=classifier)
    assert result.candidate == NO_AUGMENTATION
    assert max(trial.gain for trial in result.trials) < 0.05


def test_where_rows_are_drawn_adding_nothing_leaves_none_out():
    fits = []

    class Recording(LinearDiscriminantAnalysis):
        def fit(self, X, y):
            fits.append({row.tobytes() for row in X})
            return super().fit(X, y)

    SEEN.clear()
    recommend(Generator(), classifier=Recording(solver="lsqr", shrinkage=0.5))
    assert all(fold in fits for fold in SEEN)


def test_the_last_step_of_a_pipeline_takes_the_weights():
    weighed = recommend(Generator(), classifier=LogisticRegression(C=0.1, max_iter=200))
    in_steps = recommend(Generator(), classifier=make_pipeline(LogisticRegression(C=0.1, max_iter=200)))
    assert in_steps.trials == weighed.trials
    with config_context(enable_metadata_routing=True):  # there it is the user's to say
        recommend(Generator(), classifier=make_pipeline(LogisticRegression(C=0.1, max_iter=200)))


def test_rows_are_drawn_for_what_would_lose_weights_or_has_steps_of_another_kind():
    """A sampler in a pipeline makes other rows; the steps of a classifier of one's own may be a number."""

    class Stepwise(LinearDiscriminantAnalysis):
        steps = 3

    resampled = imblearn_pipeline(RandomOverSampler(random_state=0), LogisticRegression(C=0.1, max_iter=200))
    for classifier in (resampled, Stepwise(solver="lsqr", shrinkage=0.5)):
        assert recommend(Generator(), classifier=classifier).trials


@pytest.mark.parametrize("weight", [[1, 2, 5], [0.01, 1, 1], [3, 0, 1]])
def test_rows_come_as_often_as_they_weigh(weight):
    found = np.bincount(_systematic_resample(np.array(weight, float), 100, seed=0), minlength=3)
    assert found.sum() == 100
    assert np.all(np.abs(found - 100 * np.array(weight) / np.sum(weight)) < 1 + 1e-9)


def test_a_seed_is_set_on_all_that_a_classifier_holds():
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(10))
    first, second = (recommend(Generator(), classifier=forest) for _ in range(2))
    assert first.trials == second.trials


def test_no_generator_sees_the_rows_it_is_tested_on():
    SEEN.clear()
    tested: list[set] = []

    class Spy(LogisticRegression):
        def predict_proba(self, X):
            tested.append({row.tobytes() for row in X})
            return super().predict_proba(X)

    recommend(Generator(), classifier=Spy(C=0.1, max_iter=200))
    assert len(SEEN) == 3
    first = 1 + len(TABLE_CANDIDATES)
    for rows, seen in zip(tested[:first] + tested[first::4], [SEEN[0]] * first + SEEN[1:], strict=True):
        assert not rows & seen
    assert len(set.union(*tested)) == len(X)


def test_any_classifier_and_scorer():
    calls = []

    def train(X, y, sample_weight):
        calls.append(sample_weight.sum())
        return LogisticRegression(C=0.1, max_iter=200).fit(X, y, sample_weight)

    def accuracy(y, proba):
        return float((proba.argmax(1) == y).mean())

    result = recommend(Generator("wrong"), classifier=train, scorer=accuracy)
    n_inside = 2 * len(X) / 3
    assert calls == pytest.approx([n_inside] * 19, abs=1)
    assert result.candidate == NO_AUGMENTATION
    assert all(abs(trial.gain * len(X) % 1) < 1e-6 or trial.gain < 0 for trial in result.trials)
    assert recommend(Generator("wrong"), classifier=KNeighborsClassifier()).candidate == NO_AUGMENTATION


def test_a_small_pool_weighs_as_much_as_all_that_is_to_be_added(monkeypatch):
    monkeypatch.setattr("ganaug.selection.folds.MAX_PER_CLASS", 4)
    shares = []

    def train(X, y, sample_weight):
        synthetic = np.arange(len(y)) >= 2 * len(Y) // 3
        assert np.bincount(y[synthetic], minlength=3).max() <= 4
        shares.append(sample_weight[synthetic & (y == 2)].sum() / sample_weight[y == 2].sum())
        return LogisticRegression(C=0.1, max_iter=200).fit(X, y, sample_weight)

    recommend(Generator(), classifier=train)
    counts = np.array(COUNTS) * 2 // 3
    expected = [candidate.synthetic_shares(counts)[2] for candidate in (NO_AUGMENTATION, *TABLE_CANDIDATES)]
    assert shares[:11] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:Class")  # two steps make few images that pass a gate
def test_a_gated_gan_on_images(capsys, monkeypatch):
    monkeypatch.setattr("ganaug.evaluation.two_sample.CLASSIFIER_STEPS", 10)

    def train(X, y, sample_weight):
        assert X.shape[1:] == (8, 8)
        return Flat(C=0.1, max_iter=200).fit(X, y, sample_weight)

    images = (255 * (X - X.min()) / (X.max() - X.min())).astype(np.uint8).reshape(-1, 8, 8)
    gate = QualityGate(ConditionalGAN(steps=2, base_channels=4), classifier=Flat(C=0.1, max_iter=200))
    result = recommend_counts(gate, images, Y, classifier=train, random_state=0, verbose=True)
    assert [trial.candidate for trial in result.trials] == list(IMAGE_CANDIDATES)
    assert result.candidate in (NO_AUGMENTATION, *IMAGE_CANDIDATES)
    assert capsys.readouterr().out.startswith("1 fit of the GAN and 5 of the classifier: about ")


@pytest.mark.parametrize("n_fits", [None, 1, 2, 3])
def test_images_take_one_fit_unless_more_are_asked_for(n_fits, monkeypatch):
    monkeypatch.setattr("ganaug.evaluation.two_sample.CLASSIFIER_STEPS", 5)
    Images.fits.clear()
    result = recommend_counts(
        Images(), IMAGES, IMAGES_Y, n_fits=n_fits, classifier=Flat(C=1, max_iter=200), random_state=0
    )
    assert len(Images.fits) == (n_fits or 1)
    assert [trial.candidate for trial in result.trials] == list(IMAGE_CANDIDATES)
    n_tested = len(IMAGES) - Images.fits[0]
    assert n_tested == pytest.approx(len(IMAGES) / 3, abs=1)


def test_folds_side_by_side_find_the_same():
    one, two = (
        recommend_counts(
            ConditionalGAN(steps=1), X, Y, n_jobs=n, classifier=LogisticRegression(C=0.1), random_state=0
        )
        for n in (1, 2)
    )
    assert one.candidate == two.candidate
    assert [trial.candidate for trial in one.trials] == [trial.candidate for trial in two.trials]
    # A worker may sum with another number of threads: the last digits differ.
    for a, b in zip(one.trials, two.trials, strict=True):
        assert (a.gain, a.low, a.high) == pytest.approx((b.gain, b.low, b.high), abs=1e-6)


ON_DASK = """
import joblib
from dask.distributed import Client, LocalCluster
from sklearn.linear_model import LogisticRegression
from test_recommend import X, Y
from ganaug import ConditionalGAN, recommend_counts

def recommend(n_jobs):
    model = LogisticRegression(C=0.1)
    return recommend_counts(ConditionalGAN(steps=1), X, Y, n_jobs=n_jobs, classifier=model, random_state=0)

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        with joblib.parallel_config("dask"):
            found = recommend(-1)
    for one, two in zip(recommend(1).trials, found.trials, strict=True):
        assert one.candidate == two.candidate
        assert abs(one.gain - two.gain) < 1e-6, (one, two)
    print("the same")
"""


@pytest.mark.slow
def test_folds_on_a_dask_cluster_find_the_same(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ON_DASK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, text=True, capture_output=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the same"


class Images(BaseEstimator):
    """Makes images that no fold has, or noise, copies, or images of another class."""

    fits: ClassVar[list[int]] = []  # how many images each was fitted on

    def __init__(self, kind="fresh", random_state=None):
        self.kind, self.random_state = kind, random_state

    def fit(self, X, y):
        self.fits.append(len(X))
        self.classes_, self.X_, self.y_ = np.unique(y), X, y
        return self

    def sample(self, labels, random_state=None):
        rng = np.random.default_rng(random_state)
        if self.kind == "noise":
            return rng.integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
        X, y = (self.X_, self.y_) if self.kind == "copies" else (SPARE, SPARE_Y)
        labels = (np.asarray(labels) + (self.kind == "wrong")) % 3
        return np.stack([X[rng.choice(np.flatnonzero(y == label))] for label in labels])


DIGITS = shuffle(*load_digits(n_class=3, return_X_y=True), random_state=0)
IMAGES, IMAGES_Y = (a[:120] for a in DIGITS)
SPARE, SPARE_Y = (a[120:] for a in DIGITS)
IMAGES, SPARE = (np.round(a * 255 / 16).astype(np.uint8).reshape(-1, 8, 8) for a in (IMAGES, SPARE))


@pytest.mark.parametrize(
    ("kind", "gain", "doubt"),
    [
        ("fresh", 0.01, None),
        (
            "fresh",
            -0.01,
            "no candidate gained significantly in cross-validation. Draw",
        ),  # it passes the checks, but did worse
        ("noise", 0.01, "a classifier distinguishes them from real ones (C2ST AUC 1.00)"),
        ("copies", 0.01, "100% are near duplicates of training images"),
        ("wrong", 0.01, "a classifier trained on them alone does worse than one trained on real ones"),
    ],
)
def test_without_a_significant_gain_images_must_pass_the_fidelity_checks(kind, gain, doubt, monkeypatch):
    def trial(candidate, *rest):
        return (
            true_trial(candidate, *rest) if candidate == SYNTHETIC_ONLY else Trial(candidate, gain, -1.0, 1.0)
        )

    from ganaug.selection.trials import paired_trial as true_trial

    monkeypatch.setattr("ganaug.selection.trials.paired_trial", trial)
    monkeypatch.setattr("ganaug.evaluation.two_sample.CLASSIFIER_STEPS", 100)
    classifier = Flat(C=1, max_iter=200)
    result = recommend_counts(Images(kind), IMAGES, IMAGES_Y, classifier=classifier, random_state=0)
    if doubt is None:
        assert result.candidate != NO_AUGMENTATION
        assert "the images pass the fidelity checks" in result.reason
        assert result.fidelity.c2st_auc < 0.8
        assert result.fidelity.near_duplicate_rate < 0.05
    else:
        assert result.candidate == NO_AUGMENTATION
        assert doubt in result.reason
    # All folds try it, and of noise it does worst on the first.
    assert DEFAULT_CANDIDATE in [trial.candidate for trial in result.trials]
    assert "near duplicates, trained on them alone " in str(result)


def test_a_sparse_table_is_refused():
    with pytest.raises(ValueError, match="`X` must be dense, got csr_matrix"):
        recommend_counts(Generator(), scipy.sparse.csr_matrix(X), Y)


def test_the_interval_is_as_wide_as_that_of_a_t_test():
    """Of two classes of eight rows: the mean of their means, three times looked at."""
    labels = np.repeat([0, 1], 8)
    rng = np.random.default_rng(0)
    gain, base = rng.normal(size=16), np.zeros((16, 2))
    proba = np.column_stack([gain, gain])

    def score(y, proba):
        return np.mean([proba[y == c, 0].mean() for c in (0, 1)])

    trial = paired_trial(DEFAULT_CANDIDATE, labels, proba, base, score, 0)
    error = np.sqrt(sum(gain[labels == c].var(ddof=1) / 8 for c in (0, 1))) / 2
    assert trial.gain == pytest.approx(gain.mean())
    assert trial.gain - trial.low == pytest.approx(trial.high - trial.gain)
    assert trial.high - trial.gain == pytest.approx(stats.t.ppf(1 - 0.025 / 3, 7) * error, rel=0.08)


BALANCE = Candidate("balance", None)


@pytest.mark.parametrize(
    (("default", "balance", "auc", "preferred", "expected")),
    [
        (
            (0.02, -0.02),
            (0.05, 0.01),
            0.6,
            [DEFAULT_CANDIDATE],
            DEFAULT_CANDIDATE,
        ),  # which of the two is better, is not significant
        ((0.02, -0.02), (0.05, -0.01), 0.6, [DEFAULT_CANDIDATE], DEFAULT_CANDIDATE),
        ((0.02, 0.01), (0.05, 0.02), 0.6, [BALANCE], BALANCE),  # it is
        ((-0.01, -0.1), (0.05, 0.01), 0.6, [DEFAULT_CANDIDATE], BALANCE),
        (
            (-0.01, -0.1),
            (0.05, -0.01),
            0.6,
            [DEFAULT_CANDIDATE],
            NO_AUGMENTATION,
        ),  # only the default needs no significant gain
        ((-0.01, -0.1), (-0.01, -0.2), 0.6, [DEFAULT_CANDIDATE], NO_AUGMENTATION),
        (
            (0.02, -0.02),
            (0.05, 0.01),
            0.95,
            [DEFAULT_CANDIDATE],
            BALANCE,
        ),  # of images that fail only a significant gain counts
        ((0.02, -0.02), (0.05, -0.01), 0.95, [DEFAULT_CANDIDATE], NO_AUGMENTATION),
        ((0.02, 0.01), (0.05, 0.02), None, [], BALANCE),  # tables: the surest
        ((0.02, -0.01), (0.05, -0.02), None, [], NO_AUGMENTATION),
    ],
)
def test_the_default_is_recommended_unless_another_is_significantly_better(
    default, balance, auc, preferred, expected
):
    trials = [Trial(DEFAULT_CANDIDATE, *default, 0.1), Trial(BALANCE, *balance, 0.1)]
    fidelity = None if auc is None else FidelityCheck(auc, 0.0, Trial(SYNTHETIC_ONLY, 0.0, -0.1, 0.1))
    candidate, reason = _select(trials, fidelity, preferred)
    assert candidate == expected
    assert reason.startswith("Add nothing" if expected == NO_AUGMENTATION else f"Add {candidate}")


def test_what_is_significantly_better_than_the_default_is_preferred(monkeypatch):
    """Compared with it sample by sample, not by how far each is above no augmentation."""
    better = Candidate("5x", 0.5)

    def trial(candidate, labels, proba, base, *_):
        shown = candidate == better and np.array_equal(seen[DEFAULT_CANDIDATE], base)
        seen[candidate] = proba
        return Trial(candidate, 0.01, 0.01 if shown else -1.0, 1.0)

    seen = {}
    monkeypatch.setattr("ganaug.selection.trials.paired_trial", trial)
    monkeypatch.setattr("ganaug.selection.recommend.IMAGE_CANDIDATES", (DEFAULT_CANDIDATE, BALANCE, better))
    monkeypatch.setattr("ganaug.evaluation.two_sample.CLASSIFIER_STEPS", 100)
    classifier = Flat(C=1, max_iter=200)
    result = recommend_counts(Images(), IMAGES, IMAGES_Y, classifier=classifier, random_state=0)
    assert result.candidate == better


def test_a_seed_decides():
    first, again = (recommend(Generator(), random_state=3) for _ in range(2))
    assert first.trials == again.trials
    assert first.candidate == again.candidate


def test_weights():
    result = recommend(Generator())
    y = np.array([0, 0, 0, 1, 2, 2])
    synthetic = np.array([False, False, True, False, True, False])
    result.synthetic_share = {0: 0.8, 1: 0.0, 2: 0.5}
    weight = result.sample_weight(y, synthetic)
    assert weight == pytest.approx(np.array([0.1, 0.1, 0.8, 1.0, 0.5, 0.5]) * 4 / 3)
    with pytest.raises(ValueError, match=r"`y` must hold labels among \[0, 1, 2\], got \['0'"):
        result.sample_weight(y.astype(str), synthetic)
    with pytest.raises(ValueError, match="`synthetic` must be False for some samples"):
        result.sample_weight(y, np.ones(6, bool))


@pytest.mark.parametrize(
    ("candidate", "added", "shares"),
    [
        (Candidate("0.5x", 0.5), [20, 5, 1], [0.5, 0.5, 0.5]),
        (Candidate("balance", None), [0, 30, 38], [0, 0.75, 0.95]),
        (Candidate("balance+1000", 0.8), [1000, 1030, 1038], [0.8, 0.8, 0.8]),
        (NO_AUGMENTATION, [0, 0, 0], [0, 0, 0]),
    ],
)
def test_candidates(candidate, added, shares):
    counts = np.array([40, 10, 2])
    assert candidate.to_add(counts).tolist() == added
    assert candidate.synthetic_shares(counts).tolist() == pytest.approx(shares)


def test_too_few_rows_or_seconds_are_told():
    few = recommend_counts(Generator(), X[:95], Y[:95])
    assert few.reason.startswith("Add nothing: class 2 has 5 samples, fewer than the 6")
    assert few.to_add == {0: 0, 1: 0, 2: 0}
    single = recommend_counts(Generator(), X[:91], Y[:91])
    assert "class 2 has 1 sample, fewer" in single.reason
    SEEN.clear()
    late = recommend(Generator(), budget=0)
    assert "more than the budget of 0 s. Draw every class" in late.reason
    assert not SEEN


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"gan": FrozenEstimator(Generator().fit(X, Y))},
            "`gan` must be an estimator that can be fitted anew",
        ),
        (
            {"gan": QualityGate(FrozenEstimator(Generator().fit(X, Y)))},
            "`gan` must be an estimator that can be fitted anew",
        ),
        (
            {"gan": QualityGate(StripeGenerator(range(3)))},
            "`gan` must be an estimator that can be fitted anew",
        ),
        ({"gan": 5}, "`gan` must be an estimator"),
        ({"scorer": "accuracy"}, "`scorer` must be a callable .* got 'accuracy'"),
        ({"budget": "10"}, "`budget` must be a number of seconds or None, got '10'"),
        ({"random_state": -1}, "`random_state` must be .* got -1"),
        ({"cv": 1}, "`cv` must be an integer from 2 up, got 1"),
        ({"n_fits": 4}, "`n_fits` must be an integer from 1 to `cv`, 3, or None, got 4"),
        ({"n_fits": 0}, "`n_fits`"),
        ({"n_jobs": 0}, "`n_jobs` must be a non-zero int or None, got 0"),
        ({"classifier": 5}, "`classifier` must have predict_proba"),
    ],
)
def test_bad_parameters(change, message):
    with pytest.raises(ValueError, match=message):
        recommend(**{"gan": Generator(), **change})
