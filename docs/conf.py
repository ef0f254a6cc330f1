"""Sphinx: `sphinx-build -W -b html docs docs/_build` and, for the examples, `-b doctest`."""

import importlib.metadata

project = "ganaug"
release = importlib.metadata.version("ganaug")
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "ganaug"
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 2
# Short: a signature stands in the page already, and members are methods worth a page.
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# scikit-learn adds set_..._request to every estimator.
autodoc_default_options = {"members": True, "exclude-members": "set_fit_request"}
# Examples in docstrings are run by pytest.
doctest_test_doctest_blocks = ""
