"""Runbooks: Markdown that an engineer on call follows, with what is checked about it in YAML front matter."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import field
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from readiness import runbook_body, runbook_front, runbook_steps
from readiness.errors import ReadinessError
from readiness.model import Environment, record
from readiness.runbook_body import Block
from readiness.runbook_front import FrontError
from readiness.runbook_steps import StepsError

Day = date
"""The type, where a field has its name."""

SECTIONS: Final = ("Symptoms", "Impact", "Diagnose", "Mitigate", "Roll back", "Verify", "Escalate")
"""What every runbook has, as second-level headings, in any order."""

INDEX: Final = "README.md"
"""The file of the folder that is no runbook: it says what one is, and lists them."""


class RunbookError(ReadinessError):
    """A runbook cannot be read as one, or not be changed as asked."""


@record
class Review:
    """Somebody read the runbook on a day, in the wording that has this hash.

    Attributes:
        sample: It only shows what a review looks like: no person stands behind it.
    """

    name: str
    date: Day
    content_hash: str
    sample: bool = False


@record
class Rehearsed:
    """A run whose drill followed the runbook to its end.

    Attributes:
        run: The run's id.
        date: The day of it.
        environment: Where.
        content_hash: Of the wording that was followed.
        bundle: Digest of the evidence that proves it.
    """

    run: str
    date: Day
    environment: Environment
    content_hash: str
    bundle: str


@record
class FrontMatter:
    """What a runbook says of itself.

    Attributes:
        id: Its file's name without ``.md``.
        title: What it is for.
        service: The service it belongs to.
        owner: Who keeps it true.
        author: Who wrote it; their review does not count.
        alarms: The alarms that name it, by the ids of their objectives; or by their names or construct paths.
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
    rehearsed_in: Rehearsed | None = None
    next_review: date


@record
class Runbook:
    """A runbook that was read.

    Attributes:
        path: Where, from the repository's root, with ``/``.
        about: Its front matter.
        content_hash: SHA-256 of its body.
        sections: Its second-level headings.
        blocks: Its executable blocks.
        dead_links: Links to files or headings that are not there.
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

    def valid_reviews(self, on: date | None, max_age: timedelta, *, samples: bool = True) -> tuple[Review, ...]:
        """Return the reviews that count on a day, the newest first and people before samples.

        Args:
            on: The day; None = whatever the day, so that no review is too old.
            max_age: How old a review may be.
            samples: Whether samples count.
        """
        valid = [each for each in self.about.reviewers if not self._void(each, on, max_age, samples=samples)]
        return tuple(sorted(valid, key=lambda each: (each.sample, -each.date.toordinal())))

    def void_reviews(self, on: date | None, max_age: timedelta, *, samples: bool = True) -> dict[str, str]:
        """Return reviewer -> why their review does not count on a day."""
        voids = ((each.name, self._void(each, on, max_age, samples=samples)) for each in self.about.reviewers)
        return {name: why for name, why in voids if why}

    def _void(self, review: Review, on: date | None, max_age: timedelta, *, samples: bool) -> str:
        if not review.name.strip():
            return "is nobody"
        if same_person(review.name, self.about.author):
            return "is the author"
        if review.content_hash != self.content_hash:
            return "reviewed another wording"
        if on is not None and review.date > on:
            return f"reviewed on {review.date}, which is yet to come"
        if on is not None and on - review.date > max_age:
            return f"reviewed on {review.date}, more than {max_age.days} days ago"
        if review.sample and not samples:
            return "is a sample: no person stands behind it"
        return ""

    def unrehearsed(self, on: date | None, max_age: timedelta) -> str:
        """Return why no rehearsal of it counts on a day; "" = one does."""
        last = self.about.rehearsed_in
        if last is None:
            return "it was never rehearsed"
        if last.content_hash != self.content_hash:
            return f"another wording was rehearsed in run {last.run}"
        if on is not None and last.date > on:
            return f"it was rehearsed on {last.date}, which is yet to come"
        if on is not None and on - last.date > max_age:
            return f"it was rehearsed on {last.date}, more than {max_age.days} days ago"
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
        RunbookError: it has no front matter, or a wrong one, or steps that no drill could follow.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise RunbookError(
            f"{path}: lies outside of the repository.", hint="Keep the file itself there, no link to it."
        )
    text = read_text(path)
    about = front_matter(text, path)
    parts = runbook_front.split(_normal(text))
    body = parts.body if parts else ""
    first_line = _normal(text).count("\n") - body.count("\n") + 1
    tokens = runbook_body.parse(body)
    try:
        steps = runbook_steps.parse_steps(text, str(path)).steps
    except StepsError as error:
        raise RunbookError(error.message, hint=error.hint) from error
    return Runbook(
        path=PurePosixPath(path.resolve().relative_to(root.resolve())).as_posix(),
        about=about,
        content_hash=content_hash(text),
        sections=runbook_body.sections(tokens),
        blocks=tuple(runbook_body.blocks(tokens, first_line, about.inputs, {step.id for step in steps})),
        dead_links=runbook_body.dead_links(tokens, path, root),
    )


def read_text(path: Path) -> str:
    """Return a runbook's text, its line ends as they are.

    Raises:
        RunbookError: it is missing, or no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunbookError(f"{path}: cannot be read: {error}", hint="Write it as UTF-8 text.") from error


def front_matter(text: str, path: Path) -> FrontMatter:
    """Return what a runbook says of itself.

    Args:
        text: Its text.
        path: Its file, to be named in an error, and to have the name that its id says.

    Raises:
        RunbookError: it says nothing, or something wrong.
    """
    try:
        about = _ABOUT.validate_python(_known_keys(runbook_front.table(text)))
    except FrontError as error:
        raise RunbookError(f"{path}: {error.message}", hint=error.hint) from error
    except ValidationError as error:
        words = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        )
        raise RunbookError(f"{path}: its front matter is wrong: {words}", hint="See runbooks/README.md.") from None
    if about.id != path.stem:
        raise RunbookError(f"{path}: its id is {about.id!r}.", hint=f"Name both alike: {path.stem!r}.")
    return about


def _known_keys(table: dict[Any, Any]) -> dict[str, Any]:
    """Return a table with keys as text: YAML reads `no:` and `1:` as something else."""
    return {str(key): value for key, value in table.items()}


def content_hash(text: str) -> str:
    """Return the hash that a review names: of all that follows the front matter, whatever ends its lines.

    Args:
        text: A runbook's text, with or without its front matter.
    """
    text = _normal(text)
    parts = runbook_front.split(text)
    body = text if parts is None else parts.body
    return "sha256:" + hashlib.sha256(body.strip("\n").encode()).hexdigest()


def same_person(one: str, other: str) -> bool:
    """Say whether two names are alike but for case, spacing and how Unicode spells them."""
    return _person(one) == _person(other)


def _person(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _normal(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
