"""Every command that a page names is one: the parser takes it, the Makefile has it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from readiness.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "runbooks/*.md", "benchmarks/*.md", "workload/*.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts
)
PIPELINES = (ROOT / "action.yml", *ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("examples/ci/*.yml"))
_FENCE = re.compile(r"^ *```(?:sh|bash)\b[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_PROGRAM = ("readiness", ".venv/bin/readiness")
_PLACEHOLDERS = {'"$(basename "$run")"': "RUN_ID", '"${more[@]}"': "", '"$READINESS_TARGET"': "aws", "…": "2030-01-01"}
"""What stands for a value in a page -> a value that every option takes."""


def commands(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each `readiness` command in shell text; ends of lines that are escaped are joined."""
    text = text.replace("\\\n", " ")
    for mark, value in _PLACEHOLDERS.items():
        text = text.replace(mark, value)
    for line in text.splitlines():
        if any(program in line for program in _PROGRAM):
            yield from commands_of(words(line))


def words(line: str) -> list[str]:
    """Return the words and the operators of a line of shell; of one that is none, such as a YAML key, nothing."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return []


def commands_of(line: list[str]) -> Iterator[list[str]]:
    """Yield the arguments of each `readiness` among words, up to the operator that ends it."""
    starts = [index for index, word in enumerate(line) if word in _PROGRAM]
    for start in starts:
        if (
            start
            and not set(line[start - 1]) <= set("();<>|&-")
            and line[start - 1] not in ("do", "then", "else", "run:")
        ):
            continue  # the name of something else, as in `name: readiness`
        rest = line[start + 1 :]
        end = next((index for index, word in enumerate(rest) if set(word) <= set("();<>|&")), len(rest))
        if end:
            yield rest[:end]


def documented() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for block in _FENCE.findall(page.read_text()):
            for arguments in commands(block):
                yield str(page.relative_to(ROOT)), arguments
    for file in PIPELINES:
        for arguments in commands(file.read_text()):
            yield str(file.relative_to(ROOT)), arguments


def taken(arguments: list[str]) -> bool:
    """Say whether the parser takes it; `--help` and `--version` leave with 0."""
    try:
        build_parser().parse_args(arguments)
    except SystemExit as left:
        return left.code == 0
    return True


ALL = list(documented())


def test_there_are_commands_to_look_at():
    assert len(ALL) > 15
    assert {"README.md", "docs/guide.md", "action.yml"} <= {where for where, _ in ALL}


@pytest.mark.parametrize(("where", "arguments"), ALL, ids=[f"{where}: {' '.join(said)}" for where, said in ALL])
def test_the_command_line_takes_what_a_page_says(where, arguments):
    assert taken(arguments), f"{where}: readiness {' '.join(arguments)}"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_make_target_that_a_page_names_is_there(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    for target in re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", page.read_text(), re.MULTILINE):
        assert (target[0] or target[1]) in targets
