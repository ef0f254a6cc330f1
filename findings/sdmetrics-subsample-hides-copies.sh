#!/usr/bin/env bash
# sdmetrics 0.32 takes exact copies of the training rows for new ones, where it is asked for fewer rows.
#
# DCROverfittingProtection says whether synthetic rows lie nearer to the rows they were learned from than to a
# held-out set. `num_rows_subsample`, "to increase the speed", is said to be the number of rows drawn from the
# synthetic data. It also draws as few from the training and the held-out rows. Then most copies have lost the
# row they are a copy of, and are as far from the training sample as from the held-out one: the score rises from
# 0, the worst, to nearly 1, the best. So use it on all rows, or draw from the synthetic rows yourself.
#
# Seen with sdmetrics 0.32.0, in `compute_breakdown`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q sdmetrics==0.32.0 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import pandas as pd
import sdmetrics
from sdmetrics.single_table import DCROverfittingProtection

print("sdmetrics", sdmetrics.__version__)
np.random.seed(0)
training, held_out = (pd.DataFrame(np.random.normal(size=(2000, 3)), columns=list("abc")) for _ in range(2))
metadata = {"tables": {"t": {"columns": {name: {"sdtype": "numerical"} for name in "abc"}}}}
scores = {}
for rows in (None, 200):
    found = DCROverfittingProtection.compute_breakdown(
        training, training.copy(), held_out, metadata, "t", num_rows_subsample=rows
    )
    scores[rows] = found["score"]
    print(f"copies of all training rows, num_rows_subsample={rows}: score {found['score']:.3f},"
          f" nearer to training rows {found['synthetic_data_percentages']['closer_to_training']:.3f}")
assert scores[None] == 0, "copies are no longer found among all rows"
assert scores[200] > 0.5, "copies are found in a subsample now: that is better"
PY
