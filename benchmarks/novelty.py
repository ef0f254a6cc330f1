"""How near synthetic rows lie to the rows they were learned from, and what that costs, by `novelty`.

    python -m benchmarks.novelty --path adult-train.csv

Needs `sdmetrics`. 8,000 rows of adult are learned from, 8,000 are held out, the others test classifiers that
are trained on synthetic rows alone. *Nearer* is the share of synthetic rows that lie nearer to a training row
than to any held-out one, by SDMetrics' distance: 50 % if nothing was memorised. *Quality* is the score of
SDMetrics' QualityReport, which compares distributions of columns and of pairs of columns.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from benchmarks.imbalanced_tables import load, models
from benchmarks.oversamplers import TableOversampler
from ganaug import ConditionalGAN

RESULTS = Path(__file__).parent / "results" / "novelty.json"
N_ROWS = 8000
NOVELTIES = (0.0, 0.25, 0.5, 0.75, 1.0)


def synthetic(arm: str, X: pd.DataFrame, y: np.ndarray, seed: int) -> pd.DataFrame:
    """Return as many rows of each class as there are, by an arm."""
    if arm == "SMOTE":
        labels, counts = np.unique(y, return_counts=True)
        rows, targets = TableOversampler("SMOTE", seed)(X, y, dict(zip(labels, 2 * counts, strict=True)))
        rows, targets = rows[len(y) :], targets[len(y) :]
        return rows.iloc[np.argsort(targets, kind="stable")]
    gan = ConditionalGAN(novelty=float(arm.removeprefix("novelty ")), random_state=seed).fit(X, y)
    return gan.sample(np.sort(y), random_state=seed)


def measures(rows: pd.DataFrame, y: np.ndarray, real: dict[str, Any], seed: int) -> dict[str, float]:
    """Return nearness, quality, and the scores of classifiers trained on the rows, labels `y`."""
    from sdmetrics.reports.single_table import QualityReport

    labelled = as_text(rows, y)
    columns = {
        name: {"sdtype": "numerical" if labelled[name].dtype.kind in "if" else "categorical"}
        for name in labelled
    }
    metadata = {"columns": columns}
    report = QualityReport()
    report.generate(real["train"], labelled, metadata, verbose=False)
    found = {
        "nearer": 100 * nearer_to_training(labelled, real["train"], real["held_out"]),
        "quality": float(report.get_score()),
    }
    X_test, y_test = real["test"]
    scores = []
    for model in models(rows, seed).values():
        order = np.random.default_rng(seed).permutation(len(y))
        proba = model.fit(rows.iloc[order], y[order]).predict_proba(X_test)
        truth = np.searchsorted(np.unique(y), y_test)
        scores.append(
            (balanced_accuracy_score(truth, proba.argmax(1)), average_precision_score(truth, proba[:, 1]))
        )
    accuracy, precision = 100 * np.mean(scores, axis=0)
    return {**found, "balanced_accuracy": float(accuracy), "average_precision": float(precision)}


def nearer_to_training(rows: pd.DataFrame, train: pd.DataFrame, held_out: pd.DataFrame) -> float:
    """Return the share of rows that lie nearer to a training row than to any held-out one; ties count half.

    Distances are those of SDMetrics' DCROverfittingProtection, which is slow and counts ties as held out:
    numbers differ by their distance over the range, categories by 0 or 1, and rows by the sum.
    """
    numbers = [name for name in rows if rows[name].dtype.kind in "if"]
    categories = [name for name in rows if name not in numbers]
    low, high = train[numbers].min(), train[numbers].max()

    def encoded(table: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
        codes = [pd.Categorical(table[name], sorted(set(train[name]))).codes for name in categories]
        scaled = np.array((table[numbers] - low) / (high - low), np.float32)
        return torch.from_numpy(scaled), torch.from_numpy(np.stack(codes, axis=1))

    def nearest(
        scaled: torch.Tensor, codes: torch.Tensor, others: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        distance = torch.cdist(scaled, others[0], p=1)
        for place in range(codes.shape[1]):
            distance += codes[:, place, None] != others[1][:, place]
        return distance.amin(1)

    real = encoded(train), encoded(held_out)
    shares = []
    for block in zip(*(part.split(200) for part in encoded(rows)), strict=True):
        to_train, to_held_out = (nearest(*block, others) for others in real)
        shares.append((to_train < to_held_out).float() + 0.5 * (to_train == to_held_out).float())
    return float(torch.cat(shares).mean())


def as_text(X: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
    """Return rows and labels in one table, categories as strings."""
    numbers = X.select_dtypes("number").columns
    table = X.apply(
        lambda c: c if c.name in numbers else c.astype(object).where(c.notna(), "missing").astype(str)
    )
    return table.assign(label=y.astype(str)).reset_index(drop=True)


def main() -> None:
    """Write the measures of each arm and seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--path", type=Path, required=True, help="adult-train.csv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    logging.disable(logging.INFO)
    X, y = load(options.path.stem, options.path.parent)
    runs = []
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(len(y))
        parts = [order[:N_ROWS], order[N_ROWS : 2 * N_ROWS], order[2 * N_ROWS :]]
        train, held_out, test = [(X.iloc[own].reset_index(drop=True), y[own]) for own in parts]
        real = {"train": as_text(*train), "held_out": as_text(*held_out), "test": test}
        for arm in ("real", "held out", "SMOTE", *(f"novelty {novelty}" for novelty in NOVELTIES)):
            if arm in ("real", "held out"):
                rows, labels = train if arm == "real" else held_out
            else:
                rows, labels = synthetic(arm, *train, seed), np.sort(train[1])
            runs.append({"seed": seed, "arm": arm, **measures(rows, labels, real, seed)})
            print(runs[-1], flush=True)
            options.output.write_text(json.dumps({"runs": runs}, indent=0) + "\n")


if __name__ == "__main__":
    main()
