"""Warnings name the line of whoever called, not one of this package or of a library in between."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from ganaug import ConditionalGAN, GANOverSampler, QualityGate, as_arrays
from ganaug.data.user_warnings import warn_user

RNG = np.random.default_rng(0)
Y = np.repeat([0, 1], [60, 20])
CONSTANT = np.c_[RNG.normal(size=(80, 3)), np.ones((80, 9))]
NUMBERED = pd.DataFrame({"id": np.arange(80), "value": RNG.normal(size=80)})


def features():
    return ConditionalGAN(modality="features")


@pytest.mark.filterwarnings("ignore:Class")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: features().fit(CONSTANT, Y), "are constant"),
        (lambda: GANOverSampler(features()).fit_resample(CONSTANT, Y), "are constant"),
        (lambda: QualityGate(features()).fit(CONSTANT, Y), "are constant"),
        (
            lambda: make_pipeline(GANOverSampler(features()), LogisticRegression()).fit(CONSTANT, Y),
            "are constant",
        ),
        (
            lambda: cross_val_score(
                make_pipeline(GANOverSampler(features()), LogisticRegression()), CONSTANT, Y, cv=2
            ),
            "are constant",
        ),
        (lambda: GANOverSampler(ConditionalGAN(steps=1)).fit_resample(NUMBERED, Y), "identifier"),
    ],
)
def test_the_line_is_the_users(call, message):
    with pytest.warns(UserWarning, match=message) as caught:
        call()
    assert {warning.filename for warning in caught} == {__file__}


def test_of_files_too(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (9, 9)).save(tmp_path / name)
    (tmp_path / "b" / ".hidden.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped") as caught:
        as_arrays(tmp_path)
    assert caught[0].filename == __file__


def test_a_category_is_kept():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_user("beware", RuntimeWarning)
    assert (caught[0].category, caught[0].filename) == (RuntimeWarning, __file__)
