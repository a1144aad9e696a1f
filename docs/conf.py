"""How Sphinx makes the pages of the documentation: `make docs`.

The source folder is the repository's root, so that pages may link to the README, the runbooks and files of the code.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[1]

project = "readiness"
version = release = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
include_patterns = [
    "index.md",
    "docs/**.md",
    "runbooks/*.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "workload/README.md",
]
root_doc = "docs/index"
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"readiness {version}"
html_copy_source = False
html_show_sphinx = False
