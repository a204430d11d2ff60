"""How Sphinx builds the documentation: `sphinx-build -W -b html examples/docs build/docs`."""

import sys
from pathlib import Path

from llmi2i_cli import __version__

sys.path.insert(0, str(Path(__file__).parent))  # of mathml.py

project = "llmi2i"
author = "the llmi2i developers"
copyright = "the llmi2i developers, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "mathml"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
nitpicky = True

html_theme = "furo"
html_title = f"llmi2i {version}"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
exclude_patterns = ["__pycache__"]
