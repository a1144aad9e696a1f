"""The Markdown of a runbook: its sections, its executable blocks with their faults, its links that lead nowhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from readiness import runbook_steps, shell
from readiness.errors import ToolError
from readiness.model import record

_VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]*$")
_USED = re.compile(r"\$\{?(?P<name>[A-Z][A-Z0-9_]*)")
_SET = re.compile(r"(?<![\w${])([A-Z][A-Z0-9_]*)\+?=|\bfor ([A-Z][A-Z0-9_]*) in\b")
_READ = re.compile(r"\bread\b(?P<names>[^&|;\n]*)")
_GIVEN = re.compile(r"AWS_[A-Z_]+|HOME|PATH|PWD|USER|SHELL|TMPDIR|RANDOM|SECONDS|IFS|STEP_OUTPUT|N[FR]")
"""What a shell has by itself, and two that are awk's."""
_ATTRIBUTES = ("name", "inputs", "outputs", "expect")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HTML_ANCHOR = re.compile(r"""\b(?:id|name)=["']([^"']+)["']""")
_SYNTAX_DEADLINE_S = 10.0


@record
class Block:
    """Commands that can be executed: ```` ```bash name=find-tasks inputs=CLUSTER outputs=TASKS expect="arn:" ````.

    Attributes:
        name: What it is called.
        line: Where it begins in the file, from 1.
        inputs: Variables it needs.
        outputs: Variables it sets, for the blocks after it.
        expect: What its output holds when all is well; "" = the text around it says what to look for.
        code: The commands.
        fault: Why it could not be executed: what ``bash -n`` or its attributes say; "" = nothing is wrong with it.
    """

    name: str
    line: int
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    expect: str = ""
    code: str
    fault: str = ""


def parse(markdown: str) -> list[Token]:
    """Return the tokens of a Markdown text (CommonMark, with tables)."""
    return MarkdownIt("commonmark").enable("table").parse(markdown)


def sections(tokens: Sequence[Token]) -> tuple[str, ...]:
    """Return the second-level headings."""
    return tuple(
        _words(tokens[index + 1])
        for index, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag == "h2" and token.level == 0
    )


# --- links -----------------------------------------------------------------------------------------------------------


def dead_links(tokens: Sequence[Token], path: Path, root: Path) -> tuple[str, ...]:
    """Return each link into the repository that leads nowhere: no such file, outside of it, or no such heading.

    Args:
        tokens: The file's Markdown.
        path: The file.
        root: The repository.
    """
    return tuple(target for target in _links(tokens) if _is_dead(target, tokens, path, root))


def _links(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        for child in token.children or ():
            target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
            if target:
                yield unquote(str(target))


def _is_dead(target: str, tokens: Sequence[Token], path: Path, root: Path) -> bool:
    if _SCHEME.match(target) or target.startswith("//"):
        return False
    name, _, anchor = target.partition("#")
    file = (root / name.lstrip("/") if name.startswith("/") else path.parent / name).resolve() if name else path
    if not file.resolve().is_relative_to(root.resolve()) or not file.exists():
        return True
    if not anchor or (name and file.suffix != ".md"):
        return False
    there = tokens if not name else parse(file.read_text(encoding="utf-8", errors="replace"))
    return anchor not in anchors(there)


def anchors(tokens: Sequence[Token]) -> frozenset[str]:
    """Return what a link may name after ``#``: headings as GitHub spells them, and HTML's own ids."""
    found: set[str] = set()
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            found.add(_slug(_words(tokens[index + 1]), found))
        for part in (token, *(token.children or ())):
            if part.type in ("html_block", "html_inline"):
                found.update(_HTML_ANCHOR.findall(part.content))
    return frozenset(found)


def _slug(heading: str, taken: Collection[str]) -> str:
    slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
    copies = (slug if not number else f"{slug}-{number}" for number in range(len(taken) + 1))
    return next(each for each in copies if each not in taken)


def _words(inline: Token) -> str:
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


# --- executable blocks -----------------------------------------------------------------------------------------------


def blocks(tokens: Sequence[Token], first_line: int, given: Collection[str], steps: Collection[str]) -> Iterator[Block]:
    """Yield the executable blocks, each checked for its syntax and for variables that nothing gives it.

    Args:
        tokens: The Markdown.
        first_line: Line of the file at which the Markdown begins, from 1.
        given: The runbook's inputs.
        steps: Ids of the steps that a drill would follow.
    """
    known = set(given)
    for token in tokens:
        if token.type != "fence" or token.info.split()[:1] != ["bash"]:
            continue
        line = first_line + (token.map[0] if token.map else 0)
        if step := runbook_steps.STEP_ID.search(token.info):
            block = _step(step[1], line, token.content, known, steps)
            known |= _set_in(token.content)
        else:
            block = _named(token.info, line, token.content, known)
            known.update(block.outputs)
        yield block


def _step(name: str, line: int, code: str, known: Collection[str], steps: Collection[str]) -> Block:
    """Return a step: it has all inputs of the runbook, and what earlier steps handed on."""
    faults = [f"uses {each}, which nothing before it gives" for each in _unknown(code, known)]
    if name not in steps:
        faults.append("is no step to a drill: begin the line with three backticks")
    return Block(name=name, line=line, code=code, fault="; ".join([*faults, *_syntax_faults(code)]))


def _named(info: str, line: int, code: str, known: Collection[str]) -> Block:
    try:
        attributes = dict(word.partition("=")[::2] for word in shlex.split(info)[1:])
    except ValueError as error:
        return Block(name="", line=line, code=code, fault=f"has attributes that cannot be read: {error}")
    inputs, outputs = (_names(attributes.get(key, "")) for key in ("inputs", "outputs"))
    faults = [f"has an unknown attribute {key!r}" for key in attributes if key not in _ATTRIBUTES]
    if not attributes.get("name"):
        faults.append("has no name=")
    faults += [f"{name!r} is no variable name" for name in (*inputs, *outputs) if not _VARIABLE.match(name)]
    faults += [f"needs {name}, which nothing before it gives" for name in inputs if name not in known]
    faults += [f"uses {name}, which is none of its inputs" for name in _unknown(code, inputs)]
    faults += [
        f"says that it gives {name}, and never sets it"
        for name in outputs
        if _VARIABLE.match(name) and name not in _set_in(code)
    ]
    return Block(
        name=attributes.get("name", ""),
        line=line,
        inputs=inputs,
        outputs=outputs,
        expect=attributes.get("expect", ""),
        code=code,
        fault="; ".join([*faults, *_syntax_faults(code)]),
    )


def _unknown(code: str, known: Collection[str]) -> list[str]:
    """Return the variables that code uses, that it does not set, and that nobody gives it."""
    used = dict.fromkeys(match["name"] for match in _USED.finditer(code))
    own = _set_in(code)
    return [name for name in used if name not in known and name not in own and not _GIVEN.fullmatch(name)]


def _set_in(code: str) -> set[str]:
    found = {match[1] or match[2] for match in _SET.finditer(code)}
    return found.union(*(re.findall(r"\b[A-Z][A-Z0-9_]*\b", match["names"]) for match in _READ.finditer(code)))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


@lru_cache(maxsize=1024)
def _syntax_faults(code: str) -> tuple[str, ...]:
    """Return what ``bash -n`` says of commands, which it reads and does not run.

    Raises:
        ToolError: bash itself is missing or hangs.
    """
    try:
        shell.run(["bash", "-n"], deadline_s=_SYNTAX_DEADLINE_S, stdin=code.encode())
    except ToolError as error:
        if error.exit_code in (None, 127):
            raise
        return (f"is no bash: {error.stderr.strip()}",)
    return ()
