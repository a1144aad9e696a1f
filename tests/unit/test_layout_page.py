"""What the pages say of the code's own shape is so: each file with its first line, each layer in its place."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYOUT = (ROOT / "docs" / "layout.md").read_text()
_SECTION = re.compile(r"^## `(readiness|stacks)/([\w/]*)`", re.MULTILINE)


def sections() -> list[tuple[str, str]]:
    """Return each folder that has a section of its own, with the section."""
    found = list(_SECTION.finditer(LAYOUT))
    ends = [each.start() for each in re.finditer(r"^## ", LAYOUT, re.MULTILINE)] + [len(LAYOUT)]
    return [
        (f"{each[1]}/{each[2]}".rstrip("/"), LAYOUT[each.start() : min(end for end in ends if end > each.start())])
        for each in found
    ]


SECTIONS = sections()


@pytest.mark.parametrize(("folder", "text"), SECTIONS, ids=[folder for folder, _ in SECTIONS])
def test_every_file_of_a_folder_is_named_with_the_first_line_of_its_docstring(folder, text):
    told = dict(re.findall(r"^\| `(\w+\.py)` \| (.*) \|$", text, re.MULTILINE))
    files = {
        file.name: (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines()[0]
        for file in (ROOT / folder).glob("*.py")
        if file.name != "__init__.py" or file.name in told
    }

    assert told == files


def test_every_folder_of_the_package_has_a_section():
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "readiness").rglob("__init__.py")}

    assert packages - {folder for folder, _ in SECTIONS} == set()


def test_the_layers_are_told_as_they_are_enforced():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer.replace("readiness.", "") for layer in contracts[0]["layers"]]
    page = (ROOT / "CONTRIBUTING.md").read_text().partition("## Imports go one way")[2]
    told = re.findall(r"^ {4}(?:  |> )(\w.*)$", page, re.MULTILINE)

    assert told == layers
