"""Sphinx: the repository is the source folder, so that every link is the same here, on GitHub and in an editor.

``make docs`` builds ``docs/_build/html``. Nothing is fetched and nothing is started: pages are Markdown, the reference
comes from docstrings, and ``generated.py`` writes what the code knows better (options, YAML keys, tables of contents).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Importing the operators imports Airflow, which writes a configuration file where it thinks it is at home.
os.environ["AIRFLOW_HOME"] = str(HERE / "_build" / "airflow")
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
sys.path.insert(0, str(HERE))

import generated

from quant_framework import __version__

project = "quant_framework"
release = version = __version__
author = "the quant_framework authors"
html_show_copyright = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**"]
# Whole folders are named so that they are not walked.
exclude_patterns = [".*", "benches", "dist", "docs/_build", "proptest-regressions", "python", "src", "target", "tests"]

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

# The type `bytes` is also the name of a key of several results.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
viewcode_line_numbers = True

nitpicky = True
nitpick_ignore_regex = [
    # Other people's names: no inventory of theirs is fetched, because a build needs no network.
    (r"py:.*", r"(_?pytest|airflow|argparse|collections|concurrent|datetime|importlib|os|pathlib|types|typing)\..*"),
    (
        r"py:(class|obj|data)",
        r"(Any|Awaitable|Callable|Iter\w+|Mapping|Path|PathLike|Sequence|datetime|timedelta)",
    ),
    # Internal names in signatures and bases: the class that is documented says all there is.
    (r"py:class", r"(quant_framework\.orchestration\..*\.)?(Builder|Held|IStage|Stage|Staged|\w+Options|_\w+)"),
    (r"py:class", r"(quant_framework\.)?(_core\..*|testing\.limits\.(Verdict|Window|Limits.*))"),
    (r"py:obj", r"quant_framework\.orchestration\.ports\.T"),
]

html_theme = "furo"
html_title = "quant_framework"
html_additional_pages = {"index": "redirect.html"}
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["quant_framework.css"]
html_theme_options = {"navigation_with_keys": False, "footer_icons": []}
html_copy_source = False
html_show_sphinx = False
# Code in pages is highlighted as what its fence says; a fence that says nothing is no Python.
highlight_language = "none"

# External links are looked at where there is a network: `make docs-links`.
linkcheck_timeout = 20
linkcheck_anchors = False
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1).*", r"https://[^/]*example\.com.*"]


def setup(app) -> None:
    """Write what is generated into the pages as they are read."""
    app.connect("source-read", generated.fill)
    app.connect("autodoc-process-docstring", whole_sentence, priority=400)


def whole_sentence(app, what: str, name: str, thing, options, lines: list[str]) -> None:
    """Keep napoleon from taking what stands before a colon in the docstring of a value for its type."""
    if what in ("property", "attribute", "data") and lines:
        lines[0] = lines[0].replace(": ", " - ", 1)
