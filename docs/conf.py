"""Sphinx: `sphinx-build -W -b html docs docs/_build` and, for the examples, `-b doctest`."""

import importlib.metadata

project = "ganaug"
release = importlib.metadata.version("ganaug")
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.viewcode"]
extensions += ["sphinx_gallery.gen_gallery"]
html_theme = "furo"
html_title = "ganaug"
html_show_copyright = False
exclude_patterns = ["_build"]
# Links to headings of other pages.
myst_heading_anchors = 3
# Short: a signature stands in the page already, and members are methods worth a page.
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# What scikit-learn adds to every estimator, and albumentations asks of a transform.
inherited = (
    "set_fit_request, InitSchema, apply, apply_to_mask, apply_to_bboxes, apply_to_keypoints,"
    " apply_with_params, get_params_dependent_on_data, should_apply, targets_as_params"
)
autodoc_default_options = {"members": True, "exclude-members": inherited}
# Examples in docstrings are run by pytest.
doctest_test_doctest_blocks = ""
# Each script of examples/ is run, and shown with its pictures. One that raises an error ends the build.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "ExampleTitleSortKey",
    "abort_on_example_error": True,
    "copyfile_regex": "",
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
}
