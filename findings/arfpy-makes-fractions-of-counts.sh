#!/usr/bin/env bash
# arfpy 0.1.1 makes fractions of whole numbers: counts, ages, codes that are stored as int64.
#
# Adversarial random forests (Watson et al., AISTATS 2023) draw rows as the leaves of their trees say. Columns of
# text and categories keep their values. All others are drawn from a truncated normal distribution in each leaf,
# int64 too, and nothing rounds them: of counts of about 60 most come back with a fraction, their column is float64,
# and no warning says so. The package of the same authors for R, arf 0.2.0, takes whole numbers for ordered
# categories, with a warning. A two-sample test tells such rows apart by one column alone, and an encoder
# of categories finds hundreds of new ones. So turn codes into text or categories before `arf`, and round counts
# after `forge`.
#
# Seen with arfpy 0.1.1, in `arf.forge`, with NumPy 2.3, as it calls `np.in1d`, which later versions lack.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-deps arfpy==0.1.1
"$folder/venv/bin/pip" install -q numpy==2.3.5 scikit-learn==1.7.2 pandas==2.3.3 scipy==1.16.3
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np
import pandas as pd
from arfpy import arf

print("arfpy", version("arfpy"))
rng = np.random.default_rng(0)
np.random.seed(0)
rows = pd.DataFrame({"count": rng.poisson(60, 400), "code": pd.Categorical(rng.choice([10, 20, 30], 400))})
forest = arf.arf(x=rows, num_trees=10, verbose=False)
forest.forde()
made = forest.forge(n=300)
whole = float((made["count"] % 1 == 0).mean())
print(f"int64 became {made['count'].dtype}: {made['count'].nunique()} different values of"
      f" {rows['count'].nunique()}, {100 * whole:.0f} % of the rows with whole numbers")
print(made["count"].head(4).round(3).tolist())
assert rows["count"].dtype == np.int64
assert made["count"].dtype == np.float64
assert whole < 0.5, "counts are whole numbers now"
assert set(made["code"]) <= {10, 20, 30}
PY
