"""All that imbalanced-learn and scikit-learn demand of a sampler."""

from __future__ import annotations

import imblearn.utils.estimator_checks as imblearn_checks
import pytest
import sklearn.utils.estimator_checks as sklearn_checks

from ganaug import ConditionalGAN, GANOverSampler


def sampler():
    return GANOverSampler(ConditionalGAN(steps=2, random_state=0), random_state=0)


CHECKS = [
    *imblearn_checks.estimator_checks_generator(sampler()),
    *sklearn_checks.estimator_checks_generator(sampler()),
]


@pytest.mark.parametrize(
    ("estimator", "check"),
    CHECKS,
    ids=[f"{check.func.__module__.partition('.')[0]}-{check.func.__name__}" for _, check in CHECKS],
)
def test_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [imblearn_checks.check_param_validation, imblearn_checks.check_dataframe_column_names_consistency],
)
def test_check_beside_the_list(check):
    check("GANOverSampler", sampler())
