"""The arms of the benchmark of tables: what is done to a training half before a classifier is trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from imblearn.over_sampling import ADASYN, SMOTE, SMOTEN, SMOTENC, RandomOverSampler
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from benchmarks.baselines import (
    SMOTE_VARIANTS,
    adversarial_forest,
    as_stored,
    filled,
    forest_diffusion,
    smote_variant,
)
from ganaug import GANOverSampler

# The default of the package.
CTGAN_EPOCHS = 300
# On large tables the full training takes hours, so the time of a short one decides.
CTGAN_TRIAL_EPOCHS, CTGAN_MAX_SECONDS = 10, 1800
# CTGAN's condition only raises the probability of a class, so it is asked again and again.
CTGAN_MAX_CALLS = 30

Table = tuple[pd.DataFrame, np.ndarray]
WeightedTable = tuple[pd.DataFrame, np.ndarray, np.ndarray | None]  # rows, labels, weights


def numeric_encoder(X: pd.DataFrame) -> ColumnTransformer:
    """Return an encoder of numbers in standard deviations and of categories as integers."""
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


class TableOversampler:
    """SMOTE or ADASYN of imbalanced-learn, on scaled numbers and the codes of categories."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self.seed = kind, seed

    def __call__(self, X: pd.DataFrame, y: np.ndarray, totals: Any = "auto") -> Table:
        """Return rows and labels, `totals` of each class; "auto" is as many as the largest has."""
        encoder = numeric_encoder(X)
        rows = encoder.transform(X)
        numbers, categories = (encoder.named_transformers_[part] for part in ("numbers", "categories"))
        n_numbers = X.select_dtypes("number").shape[1]
        neighbours = min(5, int(np.unique(y, return_counts=True)[1].min()) - 1)
        settings: dict[str, Any] = {"sampling_strategy": totals, "random_state": self.seed}
        if self.kind == "SMOTE" and not n_numbers:
            oversampler = SMOTEN(k_neighbors=neighbours, **settings)
        elif self.kind == "SMOTE" and n_numbers < X.shape[1]:
            categorical = list(range(n_numbers, X.shape[1]))
            oversampler = SMOTENC(categorical, k_neighbors=neighbours, **settings)
        elif self.kind == "SMOTE":
            oversampler = SMOTE(k_neighbors=neighbours, **settings)
        else:
            oversampler = ADASYN(n_neighbors=neighbours, **settings)
        rows, y = oversampler.fit_resample(rows, y)
        decoded = {}
        if n_numbers:
            values = numbers[-1].inverse_transform(rows[:, :n_numbers])
            decoded |= dict(zip(X.select_dtypes("number").columns, values.T, strict=True))
        if n_numbers < X.shape[1]:
            values = categories[-1].inverse_transform(rows[:, n_numbers:])
            names = X.select_dtypes("category").columns
            decoded |= {
                name: pd.Categorical(column, dtype=X[name].dtype)
                for name, column in zip(names, values.T, strict=True)
            }
        return pd.DataFrame(decoded)[list(X.columns)], y


def ctgan(X: pd.DataFrame, y: np.ndarray, seed: int, epochs: int) -> Callable[[np.ndarray], pd.DataFrame]:
    """Fit CTGAN; return a function that samples one row for each label."""
    from ctgan import CTGAN

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the package draws from numpy's global state
    table = filled(X)
    table = table.astype({name: float if table[name].dtype.kind in "if" else object for name in X.columns})
    table["class"] = y
    model = CTGAN(epochs=epochs)
    model.fit(table, [*X.select_dtypes("category").columns, "class"])

    def sample(labels: np.ndarray) -> pd.DataFrame:
        parts = []
        for label, n in zip(*np.unique(labels, return_counts=True), strict=True):
            found: list[pd.DataFrame] = []
            for _ in range(CTGAN_MAX_CALLS):
                rows = model.sample(max(100, 2 * n), "class", label)
                found.append(rows[rows["class"] == label])
                if sum(map(len, found)) >= n:
                    break
            rows = pd.concat(found)[:n]
            if len(rows) < n:  # filled up with real rows, to its advantage
                rows = pd.concat(
                    [
                        rows,
                        X[y == label]
                        .assign(**{"class": label})
                        .sample(n - len(rows), replace=True, random_state=seed),
                    ]
                )
            parts.append(rows.drop(columns="class"))
        return as_stored(pd.concat(parts, ignore_index=True), X)

    return sample


def prepare(
    arm: str, X: pd.DataFrame, y: np.ndarray, seed: int
) -> tuple[WeightedTable, Table | None, dict[str, Any]]:
    """Return what an arm trains on, its synthetic rows only where it makes any, and notes.

    The synthetic rows are as many of each class as the largest class has.
    """
    labels, counts = np.unique(y, return_counts=True)
    alone = np.repeat(labels, counts.max())
    start = time.perf_counter()
    if arm == "no resampling":
        return (X, y, None), None, {}
    if arm == "class weights":
        return (X, y, (len(y) / len(labels) / counts)[np.searchsorted(labels, y)]), None, {}
    if arm == "random oversampling":
        return (*RandomOverSampler(random_state=seed).fit_resample(X, y), None), None, {}
    if arm in ("SMOTE", "ADASYN"):
        oversampler = TableOversampler(arm, seed)
        rows, targets = oversampler(X, y)
        notes = {"seconds": time.perf_counter() - start}
        synthetic_only = None
        if arm == "SMOTE":
            more, labelled = oversampler(X, y, dict(zip(labels, counts + counts.max(), strict=True)))
            synthetic_only = more[len(y) :], labelled[len(y) :]
        return (rows, targets, None), synthetic_only, notes
    if arm in SMOTE_VARIANTS:
        return (*smote_variant(arm, X, y, seed), None), None, {}
    if arm in GENERATORS:
        lacking = np.repeat(labels, counts.max() - counts)
        made = GENERATORS[arm](X, y, lacking, seed)
        rows = pd.concat([X, made], ignore_index=True).astype(X.dtypes.to_dict())
        return (rows, np.concatenate([y, lacking[: len(made)]]), None), None, {}
    if arm == "CTGAN":
        sample, notes = _timed_ctgan(X, y, seed)
        lacking = np.repeat(labels, counts.max() - counts)
        rows = pd.concat([X, sample(lacking)], ignore_index=True).astype(X.dtypes.to_dict())
        return (rows, np.concatenate([y, np.sort(lacking)]), None), (sample(alone), alone), notes
    if arm == "GANOverSampler":
        gan_oversampler = GANOverSampler(random_state=seed)
        rows, targets = gan_oversampler.fit_resample(X, y)
        seconds = time.perf_counter() - start
        synthetic_only = gan_oversampler.gan_.sample(alone, random_state=seed), alone
        return (rows, targets, None), synthetic_only, {"seconds": seconds}
    if arm == "GANOverSampler recommended":
        gan_oversampler = GANOverSampler(sampling_strategy="recommended", random_state=seed)
        rows, targets = gan_oversampler.fit_resample(X, y)
        recommendation = str(gan_oversampler.recommendation_)
        notes = {"seconds": time.perf_counter() - start, "recommendation": recommendation}
        return (rows, targets, None), None, notes
    raise ValueError(f"`--arms` must be among {list(ARMS)}, got {arm!r}.")


def _by_forest_diffusion(X: pd.DataFrame, y: np.ndarray, lacking: np.ndarray, seed: int) -> pd.DataFrame:
    parts = []
    for label, n in zip(*np.unique(lacking, return_counts=True), strict=True):
        parts.append(forest_diffusion(X[y == label].reset_index(drop=True), n, seed))
    return pd.concat(parts, ignore_index=True)


def _by_adversarial_forest(X: pd.DataFrame, y: np.ndarray, lacking: np.ndarray, seed: int) -> pd.DataFrame:
    sample = adversarial_forest(X, y, seed)
    parts = [sample(label, n) for label, n in zip(*np.unique(lacking, return_counts=True), strict=True)]
    return pd.concat(parts, ignore_index=True)


# They make rows of the classes that lack some.
GENERATORS: dict[str, Callable[..., pd.DataFrame]] = {
    "ForestDiffusion": _by_forest_diffusion,
    "adversarial forest": _by_adversarial_forest,
}


def _timed_ctgan(
    X: pd.DataFrame, y: np.ndarray, seed: int
) -> tuple[Callable[[np.ndarray], pd.DataFrame], dict[str, Any]]:
    """Return how to sample from CTGAN, and notes: the seconds and epochs of its training.

    It is first trained for `CTGAN_TRIAL_EPOCHS`. If all epochs would take longer than
    `CTGAN_MAX_SECONDS`, that one is used, and the seconds are what all epochs would have taken.
    """
    start = time.perf_counter()
    sample = ctgan(X, y, seed, CTGAN_TRIAL_EPOCHS)
    seconds = (time.perf_counter() - start) * CTGAN_EPOCHS / CTGAN_TRIAL_EPOCHS
    if seconds >= CTGAN_MAX_SECONDS:
        return sample, {"seconds": seconds, "epochs": CTGAN_TRIAL_EPOCHS}
    start = time.perf_counter()
    sample = ctgan(X, y, seed, CTGAN_EPOCHS)
    return sample, {"seconds": time.perf_counter() - start, "epochs": CTGAN_EPOCHS}


ARMS = (
    "no resampling",
    "class weights",
    "random oversampling",
    "SMOTE",
    "ADASYN",
    "GANOverSampler",
    "GANOverSampler recommended",
    "CTGAN",
    *SMOTE_VARIANTS,
    *GENERATORS,
)
# They need other packages, and some take minutes a fold, so they run only where `--arms` names them.
ON_REQUEST = ("CTGAN", *SMOTE_VARIANTS, *GENERATORS)
