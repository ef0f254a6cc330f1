#!/usr/bin/env bash
# SMOBD of smote-variants 1.0.1 returns a table as imbalanced as it was, and says so in a log line only.
#
# SMOBD makes few rows where a class is thin: by the core distance and the density of OPTICS. Where one of the two
# is not positive it returns a copy of its input, with a message of level INFO, "returning copies". Six normally
# distributed rows beside sixty are such a case; SMOTE, ProWSyn and Lee fill up. In a
# comparison of methods SMOBD then stands for no resampling, and a pipeline goes on with 6 rows beside 60. So
# compare the labels that come back with those that went in.
#
# Seen with smote-variants 1.0.1, in `SMOBD.sampling_algorithm`. It is installed without TensorFlow, which it asks
# for and does not need here.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-deps smote-variants==1.0.1
"$folder/venv/bin/pip" install -q numpy==2.4.6 scikit-learn==1.9.1 pandas==2.3.3 minisom==2.3.6 metric-learn==0.7.0 \
  seaborn==0.13.2 statsmodels==0.15.0
cd "$folder"
"$folder/venv/bin/python" 2> log.txt - <<'PY'
from importlib.metadata import version

import numpy as np
import smote_variants

print("smote-variants", version("smote-variants"))
rng = np.random.default_rng(0)
X = np.concatenate([rng.normal(size=(60, 4)), rng.normal(2, 1, size=(6, 4))])
y = np.repeat([0, 1], [60, 6])
counts = {}
for name in ("SMOBD", "SMOTE", "ProWSyn", "Lee"):
    counts[name] = np.bincount(getattr(smote_variants, name)(random_state=0).sample(X, y)[1]).tolist()
    print(name, counts[name])
assert counts["SMOBD"] == [60, 6], "it fills up now"
assert counts["SMOTE"] == [60, 60]
PY
grep -o "INFO:SMOBD: returning copies.*" "$folder/log.txt"
