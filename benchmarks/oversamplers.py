"""The arms of the benchmark of tables: what may be done to a training half before a classifier sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from imblearn.over_sampling import ADASYN, SMOTE, SMOTENC, RandomOverSampler
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from ganaug import GANOverSampler
from ganaug.data.weights import balanced_weights

CTGAN_EPOCHS = 300  # its default

Table = tuple[pd.DataFrame, np.ndarray]
TrainingSet = tuple[pd.DataFrame, np.ndarray, np.ndarray | None]  # rows, labels, weights


def codes(X: pd.DataFrame) -> ColumnTransformer:
    """Return numbers in standard deviations and categories as integers, for what knows distances."""
    return ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(), StandardScaler()),
                make_column_selector(dtype_include="number"),
            ),
            (
                "categories",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder()),
                make_column_selector(dtype_include="category"),
            ),
        ]
    ).fit(X)


class InCodes:
    """A sampler of imbalanced-learn, on scaled numbers and the codes of categories."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self.seed = kind, seed

    def __call__(self, X: pd.DataFrame, y: np.ndarray, totals: Any = "auto") -> Table:
        """Return rows and labels, `totals` of each class."""
        transformer = codes(X)
        rows = transformer.transform(X)
        numbers, categories = (transformer.named_transformers_[part] for part in ("numbers", "categories"))
        n_numbers = X.select_dtypes("number").shape[1]
        neighbours = min(5, int(np.unique(y, return_counts=True)[1].min()) - 1)
        settings: dict[str, Any] = {"sampling_strategy": totals, "random_state": self.seed}
        if self.kind == "SMOTE" and n_numbers < X.shape[1]:
            which = list(range(n_numbers, X.shape[1]))
            sampler = SMOTENC(which, k_neighbors=neighbours, **settings)
        elif self.kind == "SMOTE":
            sampler = SMOTE(k_neighbors=neighbours, **settings)
        else:
            sampler = ADASYN(n_neighbors=neighbours, **settings)
        rows, y = sampler.fit_resample(rows, y)
        back = {}
        if n_numbers:
            values = numbers[-1].inverse_transform(rows[:, :n_numbers])
            back |= dict(zip(X.select_dtypes("number").columns, values.T, strict=True))
        if n_numbers < X.shape[1]:
            values = categories[-1].inverse_transform(rows[:, n_numbers:])
            names = X.select_dtypes("category").columns
            back |= {
                name: pd.Categorical(column, dtype=X[name].dtype)
                for name, column in zip(names, values.T, strict=True)
            }
        return pd.DataFrame(back)[list(X.columns)], y


def ctgan(X: pd.DataFrame, y: np.ndarray, seed: int, epochs: int) -> Callable[[np.ndarray], pd.DataFrame]:
    """Fit CTGAN; return a function that gives one row for each label asked for."""
    from ctgan import CTGAN

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the package draws from numpy's global state
    table = X.copy()
    for name in X.columns:
        if X[name].dtype.kind in "if":
            table[name] = X[name].fillna(X[name].median()).astype(float)
        else:
            table[name] = X[name].astype(object).fillna(X[name].mode()[0])
    table["class"] = y
    model = CTGAN(epochs=epochs)
    model.fit(table, [*X.select_dtypes("category").columns, "class"])

    def sample(labels: np.ndarray) -> pd.DataFrame:
        parts = []
        for label, n in zip(*np.unique(labels, return_counts=True), strict=True):
            found: list[pd.DataFrame] = []
            for _ in range(30):  # its condition only raises the probability of a class
                rows = model.sample(max(100, 2 * n), "class", label)
                found.append(rows[rows["class"] == label])
                if sum(map(len, found)) >= n:
                    break
            rows = pd.concat(found)[:n]
            if len(rows) < n:  # real rows of the class for those it did not find: to its advantage
                rows = pd.concat(
                    [
                        rows,
                        X[y == label]
                        .assign(**{"class": label})
                        .sample(n - len(rows), replace=True, random_state=seed),
                    ]
                )
            parts.append(rows.drop(columns="class"))
        return pd.concat(parts, ignore_index=True).astype(X.dtypes.to_dict())

    return sample


def prepare(
    arm: str, X: pd.DataFrame, y: np.ndarray, seed: int
) -> tuple[TrainingSet, Table | None, dict[str, Any]]:
    """Return what an arm trains on, synthetic rows alone where it makes any, and notes."""
    labels, counts = np.unique(y, return_counts=True)
    lacking = np.repeat(labels, counts.max() - counts)
    alone = np.repeat(labels, counts.max())
    start = time.perf_counter()
    if arm == "as it is":
        return (X, y, None), None, {}
    if arm == "class weights":
        return (X, y, (len(y) / len(labels) / counts)[np.searchsorted(labels, y)]), None, {}
    if arm == "random oversampling":
        rows, targets = RandomOverSampler(random_state=seed).fit_resample(X, y)
        return (rows, targets, None), None, {}
    if arm in ("SMOTE", "ADASYN"):
        sampler = InCodes(arm, seed)
        rows, targets = sampler(X, y)
        notes = {"seconds": time.perf_counter() - start}
        only = None
        if arm == "SMOTE":
            more, labelled = sampler(X, y, dict(zip(labels, counts + counts.max(), strict=True)))
            only = more[len(y) :], labelled[len(y) :]
        return (rows, targets, None), only, notes
    if arm == "CTGAN":
        # Ten epochs first: where all would take over half an hour, they stand for all.
        sample = ctgan(X, y, seed, 10)
        seconds = (time.perf_counter() - start) * CTGAN_EPOCHS / 10
        epochs = 10
        if seconds < 1800:
            start, epochs = time.perf_counter(), CTGAN_EPOCHS
            sample = ctgan(X, y, seed, epochs)
            seconds = time.perf_counter() - start
        rows = pd.concat([X, sample(lacking)], ignore_index=True).astype(X.dtypes.to_dict())
        notes = {"seconds": seconds, "epochs": epochs}
        return (rows, np.concatenate([y, np.sort(lacking)]), None), (sample(alone), alone), notes
    if arm == "ganaug":
        oversampler = GANOverSampler(random_state=seed)
        rows, targets = oversampler.fit_resample(X, y)
        seconds = time.perf_counter() - start
        only = oversampler.gan_.sample(alone, random_state=seed), alone
        return (rows, targets, None), only, {"seconds": seconds}
    if arm == "ganaug recommended":
        oversampler = GANOverSampler(sampling_strategy="recommended", random_state=seed)
        rows, targets = oversampler.fit_resample(X, y)
        notes = {"seconds": time.perf_counter() - start, "recommendation": str(oversampler.recommendation_)}
        if not oversampler.synthetic_mask_.any():
            return (
                (X, y, balanced_weights(y, np.zeros(len(y), bool), dict.fromkeys(labels, 0.0))),
                None,
                notes,
            )
        return (rows, targets, oversampler.sample_weight_), None, notes
    raise ValueError(f"`--arms` must be among {list(ARMS)}, got {arm!r}.")


ARMS = (
    "as it is",
    "class weights",
    "random oversampling",
    "SMOTE",
    "ADASYN",
    "ganaug",
    "ganaug recommended",
    "CTGAN",
)
