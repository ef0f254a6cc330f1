#!/usr/bin/env bash
# imbalanced-learn takes a one-hot label of zeros alone for the first class, and drops columns of absent classes.
#
# Labels of one-hot form are accepted by every sampler. A row of zeros, of which no class is known, comes
# back as a sample of class 0, without a word. A column of a class that no row has is missing from what is
# returned, so that the columns after it stand for other classes than before; and the dtype becomes int64.
# A user of multi-label data, or of a data set with rows that nobody has labelled, resamples wrong labels.
#
# Seen with imbalanced-learn 0.14.2 and scikit-learn 1.9.1: `check_target_type` takes the argmax of each row,
# and the sampler's `fit_resample` binarises what is left.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q imbalanced-learn==0.14.2 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PY'
import imblearn
import numpy as np
import sklearn
from imblearn.over_sampling import RandomOverSampler

print("imbalanced-learn", imblearn.__version__, "scikit-learn", sklearn.__version__)
X = np.arange(12.0).reshape(6, 2)
y = np.zeros((6, 4), np.uint8)  # class 1 has no row
y[[0, 1, 2], 2] = 1
y[[3, 4], 3] = 1  # row 5 has no class
X_out, y_out = RandomOverSampler(random_state=0).fit_resample(X, y)
print("in ", y.shape, y.dtype, "row 5:", y[5])
print("out", y_out.shape, y_out.dtype, "row 5:", y_out[5])
assert y_out.shape[1] == 3, "columns are kept now"
assert y_out[5].tolist() == [1, 0, 0], "a row of zeros is no longer of the first class"
assert y_out.dtype == np.int64, "the dtype is kept now"
PY
