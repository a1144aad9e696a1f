"""Runbooks: Markdown that an engineer on call follows, with what is checked about it in YAML front matter."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import field
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from readiness import runbook_steps, shell
from readiness.errors import ReadinessError, ToolError
from readiness.model import record

Day = date
"""The type, where a field has its name."""

SECTIONS: Final = ("Symptoms", "Impact", "Diagnose", "Mitigate", "Roll back", "Verify", "Escalate")
"""What every runbook has, as second-level headings, in any order."""

INDEX: Final = "README.md"
"""The file of the folder that is no runbook: it says what one is, and lists them."""

_FENCE = "---\n"
_HEADING = re.compile(r"^## +(.+?) *#* *$", re.MULTILINE)
_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<code>.*?)^``` *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]*$")
_SYNTAX_DEADLINE_S = 10.0


class RunbookError(ReadinessError):
    """A runbook cannot be read as one."""


@record
class Review:
    """Somebody read the runbook on a day, in the wording that has this hash."""

    name: str
    date: Day
    content_hash: str


@record
class FrontMatter:
    """What a runbook says of itself.

    Attributes:
        id: Its file's name without ``.md``.
        title: What it is for.
        service: The service it belongs to.
        owner: Who keeps it true.
        author: Who wrote it; their review does not count.
        alarms: Ids of the objectives whose alarms name it.
        inputs: Variable of its blocks -> where the engineer finds its value.
        reviewers: Who reviewed it, and which wording.
        rehearsed_in: The run in which it was last executed.
        next_review: When it must have been read again.
    """

    id: str
    title: str
    service: str
    owner: str
    author: str
    alarms: tuple[str, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)
    reviewers: tuple[Review, ...] = ()
    rehearsed_in: str | None = None
    next_review: date


@record
class Block:
    """Commands that can be executed: ```` ```bash name=find-revision inputs=CLUSTER,SERVICE outputs=PREVIOUS ````.

    Attributes:
        name: What it is called.
        line: Where it begins in the file, from 1.
        inputs: Variables it needs.
        outputs: Variables it sets, for the blocks after it.
        code: The commands.
        fault: Why it could not be executed: what ``bash -n`` or its attributes say; "" = nothing is wrong with it.
    """

    name: str
    line: int
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    code: str
    fault: str = ""


@record
class Runbook:
    """A runbook that was read.

    Attributes:
        path: Where, from the repository's root, with ``/``.
        about: Its front matter.
        content_hash: SHA-256 of its body.
        sections: Its second-level headings.
        blocks: Its executable blocks.
        dead_links: Links to files that are not there.
    """

    path: str
    about: FrontMatter
    content_hash: str
    sections: tuple[str, ...]
    blocks: tuple[Block, ...]
    dead_links: tuple[str, ...] = ()

    @property
    def missing_sections(self) -> tuple[str, ...]:
        """The required sections that it does not have."""
        return tuple(section for section in SECTIONS if section not in self.sections)

    def void_reviews(self, on: date, max_age: timedelta) -> dict[str, str]:
        """Return reviewer -> why their review does not count on a day; whoever is not named has a valid one."""
        return {review.name: why for review in self.about.reviewers if (why := self._void(review, on, max_age))}

    def _void(self, review: Review, on: date, max_age: timedelta) -> str:
        if _person(review.name) == _person(self.about.author):
            return "is the author"
        if review.content_hash != self.content_hash:
            return "reviewed another wording"
        if review.date > on:
            return f"reviewed on {review.date}, which is yet to come"
        if on - review.date > max_age:
            return f"reviewed on {review.date}, more than {max_age.days} days ago"
        return ""


_ABOUT = TypeAdapter(FrontMatter)


def load_runbooks(folder: Path, root: Path | None = None) -> tuple[Runbook, ...]:
    """Read every runbook of a folder.

    Args:
        folder: The folder; ``README.md`` in it is no runbook.
        root: The repository, from which paths are told; default: the folder's parent.

    Raises:
        RunbookError: one of them cannot be read.
    """
    return tuple(read_runbook(path, root or folder.parent) for path in runbook_files(folder))


def runbook_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder that are runbooks, by name; none if there is no such folder."""
    return tuple(path for path in sorted(folder.glob("*.md")) if path.name != INDEX)


def read_runbook(path: Path, root: Path) -> Runbook:
    """Read one runbook.

    Raises:
        RunbookError: it has no front matter, or a wrong one.
    """
    try:
        text = _normal(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RunbookError(f"{path}: cannot be read: {error}", hint="Write it as UTF-8 text.") from error
    front, body = _split(text, path)
    about = _about(front, path)
    first_line = text[: len(text) - len(body)].count("\n") + 1
    return Runbook(
        path=PurePosixPath(path.resolve().relative_to(root.resolve())).as_posix(),
        about=about,
        content_hash=content_hash(text),
        sections=tuple(match[1] for match in _HEADING.finditer(_without_blocks(body))),
        blocks=tuple(_blocks(body, first_line, about)),
        dead_links=tuple(_dead_links(_without_blocks(body), path, root)),
    )


def content_hash(text: str) -> str:
    """Return the hash that a review names: of all that follows the front matter, whatever ends its lines.

    Args:
        text: A runbook's text, with or without its front matter.
    """
    text = _normal(text)
    end = text.find("\n" + _FENCE, len(_FENCE) - 1) if text.startswith(_FENCE) else -1
    body = text if end < 0 else text[end + 1 + len(_FENCE) :]
    return "sha256:" + hashlib.sha256(body.strip("\n").encode()).hexdigest()


def sign(path: Path, reviewer: str, on: date) -> Review:
    """Write into a runbook that *reviewer* read it as it is now; an older review of theirs is replaced.

    Args:
        path: The runbook.
        reviewer: Who read it.
        on: The day.

    Raises:
        RunbookError: the reviewer is its author, or it cannot be read.
    """
    text = _normal(path.read_text(encoding="utf-8"))
    front, body = _split(text, path)
    about = _about(front, path)
    if not reviewer.strip():
        raise RunbookError(f"{path}: a review needs a name.", hint="Name the person who read the runbook.")
    if _person(reviewer) == _person(about.author):
        raise RunbookError(
            f"{path}: {reviewer} wrote it, and nobody reviews their own runbook.", hint="Have somebody else read it."
        )
    review = Review(name=reviewer, date=on, content_hash=content_hash(text))
    kept = [each for each in about.reviewers if _person(each.name) != _person(reviewer)]
    front["reviewers"] = [
        {"name": each.name, "date": each.date, "content_hash": each.content_hash} for each in (*kept, review)
    ]
    written = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=120)
    path.write_text(_FENCE + written + _FENCE + body, encoding="utf-8", newline="\n")
    return review


def _split(text: str, path: Path) -> tuple[dict[str, Any], str]:
    """Return the front matter's table and the body."""
    end = text.find("\n" + _FENCE, len(_FENCE) - 1)
    if not text.startswith(_FENCE) or end < 0:
        raise RunbookError(
            f"{path}: has no front matter.", hint="Begin it with a YAML table between two lines of `---`."
        )
    try:
        front = yaml.safe_load(text[len(_FENCE) : end + 1])
    except yaml.YAMLError as error:
        raise RunbookError(f"{path}: its front matter is no YAML: {error}", hint="Mend it.") from error
    if not isinstance(front, dict):
        raise RunbookError(f"{path}: its front matter is no table.", hint="Write `key: value` lines.")
    return front, text[end + 1 + len(_FENCE) :]


def _about(front: dict[str, Any], path: Path) -> FrontMatter:
    try:
        about = _ABOUT.validate_python(front)
    except ValidationError as error:
        words = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        )
        raise RunbookError(f"{path}: its front matter is wrong: {words}", hint="See runbooks/README.md.") from None
    if about.id != path.stem:
        raise RunbookError(f"{path}: its id is {about.id!r}.", hint=f"Name both alike: {path.stem!r}.")
    return about


def _blocks(body: str, first_line: int, about: FrontMatter) -> Iterator[Block]:
    """Yield the executable blocks, each checked for its syntax and for inputs that nothing gives it."""
    known = set(about.inputs)
    for match in _BLOCK.finditer(body):
        language, *words = match["info"].split() or [""]
        if language != "bash":
            continue
        if step := runbook_steps.STEP_ID.search(match["info"]):
            line = first_line + body[: match.start()].count("\n")
            yield Block(name=step[1], line=line, code=match["code"], fault="; ".join(_syntax_faults(match["code"])))
            continue
        attributes = dict(word.partition("=")[::2] for word in words)
        inputs, outputs = (_names(attributes.get(key, "")) for key in ("inputs", "outputs"))
        faults = [f"has an unknown attribute {key!r}" for key in attributes if key not in ("name", "inputs", "outputs")]
        if not attributes.get("name"):
            faults.append("has no name=")
        faults += [f"{name!r} is no variable name" for name in (*inputs, *outputs) if not _VARIABLE.match(name)]
        faults += [f"needs {name}, which nothing before it gives" for name in inputs if name not in known]
        faults += _syntax_faults(match["code"])
        known.update(outputs)
        yield Block(
            name=attributes.get("name", ""),
            line=first_line + body[: match.start()].count("\n"),
            inputs=inputs,
            outputs=outputs,
            code=match["code"],
            fault="; ".join(faults),
        )


def _syntax_faults(code: str) -> list[str]:
    """Return what ``bash -n`` says of commands, which it reads and does not run.

    Raises:
        ToolError: bash itself is missing or hangs.
    """
    try:
        shell.run(["bash", "-n"], deadline_s=_SYNTAX_DEADLINE_S, stdin=code.encode())
    except ToolError as error:
        if error.exit_code in (None, 127):
            raise
        return [f"is no bash: {error.stderr.strip()}"]
    return []


def _dead_links(body: str, path: Path, root: Path) -> Iterator[str]:
    """Yield each link to a file of the repository that is not there."""
    for match in _LINK.finditer(body):
        target = match["target"].partition("#")[0]
        if not target or re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        file = (path.parent / target).resolve()
        if not file.is_relative_to(root.resolve()) or not file.exists():
            yield match["target"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _without_blocks(body: str) -> str:
    return _BLOCK.sub("", body)


def _normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _person(name: str) -> str:
    """Return a name as it is compared: without case or spacing."""
    return " ".join(name.split()).casefold()
