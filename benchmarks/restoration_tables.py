"""The part of `benchmarks.restoration` about tables: what it reads, its baselines, and its measures."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from benchmarks.imbalanced_tables import load
from ganaug import ConditionalGAN, GANImputer
from ganaug.model.restorer import Restorer

# Rows that are learned from, and as many that are restored.
MAX_ROWS = 1000
MISSING_SHARE = 0.2
# IterativeImputer regresses on so many columns at most: with all one-hot columns of adult it takes an hour.
MAX_COLUMNS = 30


class Baseline:
    """An imputer of scikit-learn's on numbers in standard deviations and one-hot categories.

    A missing category is missing in all of its columns; the one of the largest value is taken.
    """

    def __init__(self, imputer: Any) -> None:
        self.imputer = imputer

    def fit(self, X: pd.DataFrame) -> Baseline:
        self.numbers = list(X.select_dtypes("number"))
        self.categories = {name: sorted(X[name].dropna().unique()) for name in X if name not in self.numbers}
        self.scaler = StandardScaler().fit(X[self.numbers])
        self.imputer.fit(self.encoded(X))
        return self

    def encoded(self, X: pd.DataFrame) -> np.ndarray:
        parts = [self.scaler.transform(X[self.numbers])]
        for name, values in self.categories.items():
            one_hot = (X[name].to_numpy(object)[:, None] == np.array(values, object)).astype(float)
            one_hot[X[name].isna()] = np.nan
            parts.append(one_hot)
        return np.concatenate(parts, axis=1)

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        filled, restored = self.imputer.transform(self.encoded(X)), X.copy()
        end = len(self.numbers)
        numbers = self.scaler.inverse_transform(filled[:, :end])
        restored[self.numbers] = X[self.numbers].fillna(
            pd.DataFrame(numbers, columns=self.numbers, index=X.index)
        )
        for name, values in self.categories.items():
            start, end = end, end + len(values)
            best = np.array(values, object)[filled[:, start:end].argmax(1)]
            restored[name] = X[name].where(X[name].notna(), pd.Series(best, index=X.index, dtype=object))
        return restored


def split(name: str, seed: int, path: Any) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Return rows and labels of a table to learn from, and to restore; nothing is missing in them."""
    if name in ("iris", "diabetes"):
        X, target = (load_iris if name == "iris" else load_diabetes)(return_X_y=True, as_frame=True)
        y = target.to_numpy() if name == "iris" else (target > target.median()).to_numpy().astype(int)
    else:
        X, y = load(name, path)
    complete = X.notna().all(axis=1).to_numpy()
    order = np.random.default_rng(seed).permutation(np.flatnonzero(complete))[: 2 * MAX_ROWS]
    X, y = X.iloc[order].reset_index(drop=True), y[order]
    X = X.apply(lambda column: column.astype(float if column.dtype.kind in "if" else object))
    half = len(y) // 2
    return X[:half], y[:half], X[half:].reset_index(drop=True), y[half:]


def with_holes(X: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table that lacks values at random, and which."""
    mask = rng.random(X.shape) < MISSING_SHARE
    return X.mask(mask), mask


def filled(
    incomplete: pd.DataFrame, to_fill: pd.DataFrame, n_columns: int, seed: int
) -> Iterator[tuple[str, pd.DataFrame, float]]:
    """Yield each arm's name, the table that it filled, and seconds; ours are of one fit."""
    nearest = None if n_columns <= MAX_COLUMNS else MAX_COLUMNS
    imputers = {
        "SimpleImputer": Baseline(SimpleImputer()),
        "KNNImputer": Baseline(KNNImputer()),
        "IterativeImputer": Baseline(IterativeImputer(random_state=seed, n_nearest_features=nearest)),
        "GANImputer": GANImputer(ConditionalGAN(random_state=seed), random_state=seed),
    }
    for arm, imputer in imputers.items():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            restored = imputer.fit(incomplete).transform(to_fill)
        yield arm, restored, time.perf_counter() - start
    ours = imputers["GANImputer"]
    start = time.perf_counter()
    drawn = ours.set_params(sample_posterior=True).transform(to_fill)
    yield "GANImputer, a draw", drawn, time.perf_counter() - start
    without_generator(ours.gan_)
    restored = ours.set_params(sample_posterior=False).transform(to_fill)
    yield "GANImputer without its generator", restored, time.perf_counter() - start


def without_generator(gan: ConditionalGAN) -> None:
    """Have `restore` take near samples alone, which shows what the generator adds."""
    gan._restorer = Restorer(gan.members_, gan.codec_, len(gan.classes_))
    gan._restorer.architectures = []


def run_table(name: str, seed: int, options: argparse.Namespace, done: set[Any]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each arm on a table of a seed."""
    X, y, X_test, y_test = split(name, seed, options.path)
    rng = np.random.default_rng([seed, 1])
    (incomplete, _), (to_fill, mask) = with_holes(X, rng), with_holes(X_test, rng)
    encoder = Baseline(SimpleImputer()).fit(X)
    classifier = RandomForestClassifier(200, random_state=0).fit(encoder.encoded(X), y)
    if (name, seed, "missing values", "GANImputer") in done:
        return
    for arm, restored, seconds in filled(incomplete, to_fill, encoder.encoded(X).shape[1], seed):
        yield {
            "data": name,
            "seed": seed,
            "damage": "missing values",
            "arm": arm,
            **errors(restored, X_test, mask, X),
            "accuracy": 100 * float(classifier.score(encoder.encoded(restored), y_test)),
            "undamaged": 100 * float(classifier.score(encoder.encoded(X_test), y_test)),
            "seconds": seconds,
        }


def errors(
    restored: pd.DataFrame, X: pd.DataFrame, mask: np.ndarray, train: pd.DataFrame
) -> dict[str, float | None]:
    """Return the RMSE of numbers in standard deviations, and the share of wrong categories in percent."""
    numbers = [i for i, name in enumerate(X) if X[name].dtype.kind == "f"]
    categories = [i for i in range(X.shape[1]) if i not in numbers]
    spread = train.iloc[:, numbers].std().replace(0, 1)
    error = ((restored.iloc[:, numbers] - X.iloc[:, numbers]) / spread).to_numpy()[mask[:, numbers]]
    wrong = (restored.iloc[:, categories] != X.iloc[:, categories]).to_numpy()[mask[:, categories]]
    return {
        "rmse": float(np.sqrt(np.square(error).mean())),
        "wrong": 100 * float(wrong.mean()) if categories else None,
    }
