"""Arms of the benchmark of tables by other packages: they are installed for it only, and run where named.

    pip install --no-deps smote-variants==1.0.1 ForestDiffusion==1.0.6 arfpy==0.1.1
    pip install xgboost lightgbm catboost seaborn metric-learn minisom statsmodels

Without its dependencies, as smote-variants asks for TensorFlow, which these arms don't use.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder

Table = tuple[pd.DataFrame, np.ndarray]
SMOTE_VARIANTS = {
    "polynom-fit-SMOTE": "polynom_fit_SMOTE_star",
    "ProWSyn": "ProWSyn",
    "SMOTE-IPF": "SMOTE_IPF",
    "Lee": "Lee",
    "SMOBD": "SMOBD",
    "G-SMOTE": "G_SMOTE",
}
# arfpy's rows come with labels by class frequency, so it is asked again and again.
MAX_CALLS = 50


def smote_variant(name: str, X: pd.DataFrame, y: np.ndarray, seed: int) -> Table:
    """Fill the rarer of two classes up by an oversampler of smote-variants.

    Numbers are scaled to [0, 1] and categories are one-hot for it. The largest of these is the category.
    """
    import smote_variants

    if len(np.unique(y)) != 2:
        raise ValueError(f"--arms {name} is for tables of two classes, got {len(np.unique(y))}: name others.")
    logging.disable(logging.INFO)  # it tells what it does, in many lines a call
    numbers, categories = _columns(X)
    whole = filled(X)
    scaler = MinMaxScaler().fit(whole[numbers]) if numbers else None
    blocks = [scaler.transform(whole[numbers])] if scaler else []
    levels = {c: whole[c].cat.categories for c in categories}
    blocks += [(whole[c].cat.codes.to_numpy()[:, None] == np.arange(len(levels[c]))) for c in categories]
    encoded = np.concatenate([np.asarray(block, float) for block in blocks], axis=1)
    oversampler = getattr(smote_variants, SMOTE_VARIANTS[name])(random_state=seed)
    with warnings.catch_warnings(), Path(os.devnull).open("w") as sink, contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        rows, targets = oversampler.sample(encoded, y)
    decoded, place = {}, len(numbers)
    if scaler:
        values = scaler.inverse_transform(rows[:, :place])
        decoded |= {c: values[:, i] for i, c in enumerate(numbers)}
    for c in categories:
        codes = rows[:, place : place + len(levels[c])].argmax(1)
        decoded[c] = pd.Categorical.from_codes(codes, dtype=X[c].dtype)
        place += len(levels[c])
    return pd.DataFrame(decoded)[list(X.columns)], targets


def forest_diffusion(X: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Return `n` rows of ForestDiffusion with its defaults, fitted on rows of one class."""
    from ForestDiffusion import ForestDiffusionModel

    numbers, categories = _columns(X)
    whole = filled(X)
    ordinal = OrdinalEncoder().fit(whole[categories]) if categories else None
    parts = [whole[numbers].to_numpy(float)] if numbers else []
    parts += [ordinal.transform(whole[categories])] if ordinal else []
    values = np.concatenate(parts, axis=1)
    first = len(numbers)
    varied = [i for i in range(first, values.shape[1]) if len(np.unique(values[:, i])) > 1]
    integers = [i for i, c in enumerate(numbers) if X[c].dtype.kind == "i"]
    model = ForestDiffusionModel(values, cat_indexes=varied, int_indexes=integers, n_jobs=1, seed=seed)
    rows = model.generate(batch_size=n)
    decoded = {c: rows[:, i] for i, c in enumerate(numbers)}
    if ordinal:
        codes = np.rint(rows[:, first:]).astype(int)
        for i, c in enumerate(categories):
            known = ordinal.categories_[i]
            decoded[c] = pd.Categorical(known[codes[:, i].clip(0, len(known) - 1)], dtype=X[c].dtype)
    return pd.DataFrame(decoded)[list(X.columns)]


def adversarial_forest(X: pd.DataFrame, y: np.ndarray, seed: int) -> Callable[[int, int], pd.DataFrame]:
    """Fit arfpy on rows and labels; return a function that makes `n` rows of a class."""
    from arfpy import arf

    if not hasattr(np, "in1d"):  # arfpy 0.1.1 calls what numpy 2.4 took away
        setattr(np, "in1d", np.isin)  # noqa: B010
    np.random.seed(seed)  # noqa: NPY002 - the package draws from numpy's global state
    table = filled(X)
    for c in _columns(X)[0]:
        table[c] = table[c].astype(float)
    table["class"] = pd.Categorical(y.astype(str))
    model = arf.arf(x=table, verbose=False, random_state=seed)
    model.forde()

    def sample(label: int, n: int) -> pd.DataFrame:
        found: list[pd.DataFrame] = []
        for _ in range(MAX_CALLS):
            rows = model.forge(n=min(20_000, int(1.5 * n / max((y == label).mean(), 0.01))))
            found.append(rows[rows["class"].astype(str) == str(label)])
            if sum(map(len, found)) >= n:
                break
        return as_stored(pd.concat(found)[:n].drop(columns="class"), X)

    return sample


def as_stored(rows: pd.DataFrame, X: pd.DataFrame) -> pd.DataFrame:
    """Return rows in the dtypes of `X`. Whole numbers are rounded: a cast alone would cut fractions off."""
    rounded = {c: rows[c].astype(float).round() for c in X.select_dtypes("integer").columns}
    return rows.assign(**rounded).astype(X.dtypes.to_dict())


def _columns(X: pd.DataFrame) -> tuple[list[str], list[str]]:
    numbers = list(X.select_dtypes("number").columns)
    return numbers, [c for c in X.columns if c not in numbers]


def filled(X: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without missing values: medians and the most frequent categories are in their place."""
    whole = X.copy()
    for c in X.columns:
        most = X[c].median() if X[c].dtype.kind in "if" else X[c].mode()[0]
        whole[c] = X[c].fillna(most)
    return whole
