"""Sphinx: `sphinx-build -W -b html docs docs/_build` and, for the examples, `-b doctest`."""

import importlib.metadata

project = "ganaug"
release = importlib.metadata.version("ganaug")
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "ganaug"
exclude_patterns = ["_build"]
# Links to headings of other pages.
myst_heading_anchors = 3
# Short: a signature stands in the page already, and members are methods worth a page.
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# What scikit-learn adds to every estimator, and albumentations asks of a transform.
inherited = (
    "set_fit_request, InitSchema, apply, get_params_dependent_on_data, should_apply, targets_as_params"
)
autodoc_default_options = {"members": True, "exclude-members": inherited}
# Examples in docstrings are run by pytest.
doctest_test_doctest_blocks = ""
