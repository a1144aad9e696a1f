"""docs/emulation.md: every rule has AWS's documentation, code and a test, and none of them is made up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "emulation.md"
TESTS = (ROOT / "tests" / "unit" / "embedded", ROOT / "tests" / "embedded")
AWS = ("https://docs.aws.amazon.com/", "https://repost.aws/knowledge-center/")


def section(title: str) -> str:
    """Return the text below a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found, f"docs/emulation.md has no section {title!r}"
    return found[1]


def rows(title: str, columns: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a section's tables, without heads and rules."""
    for line in section(title).splitlines():
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        if not line.startswith("|") or set("".join(cells)) <= set("-") or cells[1] in ("rule", "AWS"):
            continue
        assert len(cells) == columns, f"{len(cells)} cells instead of {columns}: {line}"
        yield tuple(cells)


RULES = list(rows("The rules", 5))


@cache
def named_in(file: str) -> frozenset[str]:
    """Return the names of the tests in a file, wherever of the two folders it is."""
    found = [folder / file for folder in TESTS if (folder / file).is_file()]
    assert len(found) == 1, f"{file} is not in exactly one of {[str(folder.relative_to(ROOT)) for folder in TESTS]}"
    tree = ast.parse(found[0].read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_the_rules_are_numbered_and_none_is_told_twice() -> None:
    assert [row[0] for row in RULES] == [str(number) for number in range(1, len(RULES) + 1)]
    assert len({row[1] for row in RULES}) == len(RULES) > 80


@pytest.mark.parametrize("row", RULES, ids=lambda row: row[0])
def test_a_rule_names_aws_documentation_code_and_tests_that_are_there(row: tuple[str, ...]) -> None:
    _, rule, documentation, code, proof = row
    links = re.findall(r"\[[^\]]+\]\(([^)]+)\)", documentation)
    assert links, rule
    assert all(link.startswith(AWS) for link in links), rule
    files = re.findall(r"`([^`]+)`", code)
    assert files, rule
    assert [file for file in files if not (ROOT / "readiness" / "embedded" / file).is_file()] == []
    named = [test.partition("::")[::2] for test in re.findall(r"`([^`]+)`", proof)]
    assert named, rule
    assert [f"{file}::{test}" for file, test in named if test not in named_in(file)] == []


def test_the_modules_that_are_named_are_there() -> None:
    for _, _, modules in rows("Which parts there are", 3):
        names = re.findall(r"`([^`]+)`", modules)
        assert [name for name in names if not (ROOT / "readiness" / "embedded" / name).exists()] == []


def test_what_is_narrower_says_what_aws_does_and_what_is_done_here() -> None:
    narrower = list(rows("Narrower than AWS", 4))
    assert len({row[0] for row in narrower}) == len(narrower) > 30
    assert [row[0] for row in narrower if not all(row)] == []


def test_links_within_the_page_lead_somewhere() -> None:
    text = PAGE.read_text(encoding="utf-8")
    heads = {
        re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= heads
    files = {link.partition("#")[0] for link in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)}
    assert [file for file in files if not (PAGE.parent / file).exists()] == []
