"""The versions of other packages that pyproject.toml asks for."""

from __future__ import annotations

import os
import re
import tomllib
from importlib.metadata import distribution, version
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


# What users may install with it must leave them free to sell what they make.
PERMISSIVE = re.compile(r"\b(MIT|BSD|Unlicense|Apache|PSF|Python Software Foundation|HPND|MPL|Mozilla)\b")


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


@pytest.mark.parametrize(
    "name", sorted({r.name for r in INSTALLED} - {Requirement(line).name for line in EXTRAS["test"]})
)
def test_licences_are_permissive(name):
    package = distribution(name)
    about = package.metadata
    said = [about.get("License-Expression", ""), about.get("License", "")[:60]]
    said += [line for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    # Where the metadata names none, the file's first words do.
    files = [path for path in package.files or [] if path.name.startswith("LICENSE")]
    said += [path.read_text()[:200] for path in files[:1]]
    assert PERMISSIVE.search(" ".join(said)), f"{name}: {said!r}"
    assert not re.search(r"\bA?GPL", " ".join(said))
