import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Outlive"
author = "The Outlive authors"
copyright = "The Outlive authors"
version = release = installed_version("outlive")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "outlive_reference"]
exclude_patterns = ["_build", "_ext"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
# Docstrings are plain sentences with `code` in single quotes.
default_role = "code"
# Two dashes begin an option.
smartquotes = False

html_theme = "furo"
html_title = f"Outlive {release}"
html_show_sphinx = False
html_copy_source = False
