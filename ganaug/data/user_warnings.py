"""warn_user: a warning that names the line of the user's own code, whichever libraries called in between."""

from __future__ import annotations

import sys
import warnings

# Their calls lie between a user's line and ours, as in a pipeline's fit or a resampler's.
LIBRARIES = frozenset({"contextlib", "ganaug", "imblearn", "joblib", "sklearn", "torch", "torchvision"})


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line outside this package and the libraries that call it."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
