"""The versions of other packages that pyproject.toml asks for."""

from __future__ import annotations

import os
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
RUNTIME = list(map(Requirement, PROJECT["dependencies"]))
INSTALLED = [
    *RUNTIME,
    *(Requirement(line) for extra in set(EXTRAS) - {"docs", "dev"} for line in EXTRAS[extra]),
]


def lower_bound(requirement):
    (bound,) = requirement.specifier
    assert bound.operator == ">=", f"{requirement} is no lower bound"
    return Version(bound.version)


@pytest.mark.parametrize("requirement", RUNTIME, ids=lambda requirement: requirement.name)
def test_a_requirement_has_a_lower_bound_and_no_upper_one(requirement):
    assert lower_bound(requirement) <= Version(version(requirement.name))


@pytest.mark.skipif(os.environ.get("GANAUG_LOWEST") != "1", reason="GANAUG_LOWEST is not 1")
def test_lowest_means_the_lower_bounds():
    """Where CI says that it runs with the lowest versions, it does."""
    direct = {r.name: lower_bound(r) for r in INSTALLED if r.name != PROJECT["name"]}
    assert {name: Version(version(name)) for name in direct} == direct
