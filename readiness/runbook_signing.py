"""What is written into a runbook: that somebody reviewed it, or that a run rehearsed it; all else in it stays."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

from readiness import runbook_front
from readiness.errors import UsageError
from readiness.runbook import (
    Rehearsed,
    Review,
    RunbookError,
    content_hash,
    front_matter,
    read_text,
    runbook_files,
    same_person,
)
from readiness.runbook_front import FrontError


def find_runbook(folder: Path, name: str) -> Path:
    """Return the file of the runbook with an id.

    Raises:
        UsageError: there is none; it names the one that was probably meant.
    """
    files = {path.stem: path for path in runbook_files(folder)}
    if name in files:
        return files[name]
    if not files:
        raise UsageError(f"There is no runbook in {folder}/.", hint="Name the folder: --folder FOLDER.")
    near = difflib.get_close_matches(name.removesuffix(".md").rpartition("/")[2], files, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(files)}."
    raise UsageError(f"There is no runbook {name!r} in {folder}/.", hint=hint)


def sign(path: Path, reviewer: str, on: date, *, sample: bool = False, next_review: date | None = None) -> Review:
    """Write into a runbook that *reviewer* read it as it is now; an older review of theirs is replaced.

    Args:
        path: The runbook.
        reviewer: Who read it.
        on: The day.
        sample: Whether nobody read it, and the review is only to show what one looks like.
        next_review: The day by which it must be read again; None = as it stands in the runbook.

    Raises:
        RunbookError: the reviewer is its author, or it cannot be read or written.
    """
    name = " ".join(reviewer.split())
    text = read_text(path)
    about = front_matter(text, path)
    if not name:
        raise RunbookError(f"{path}: a review needs a name.", hint="Name the person who read the runbook.")
    if same_person(name, about.author):
        raise RunbookError(
            f"{path}: {name} wrote it, and nobody reviews their own runbook.", hint="Have somebody else read it."
        )
    if next_review is not None and next_review <= on:
        raise RunbookError(
            f"{path}: the next review would be on {next_review}, which is not after this one.", hint="Name a later day."
        )
    review = Review(name=name, date=on, content_hash=content_hash(text), sample=sample)
    theirs = [index for index, each in enumerate(about.reviewers) if same_person(each.name, name)]
    if len(theirs) > 1:
        raise RunbookError(f"{path}: {name} stands in its reviewers twice.", hint="Delete the older entry.")
    spelled = {each.name: getattr(review, each.name) for each in fields(review) if each.name != "sample" or sample}

    def edit(text: str) -> str:
        text = runbook_front.with_item(text, "reviewers", theirs[0] if theirs else None, spelled)
        return text if next_review is None else runbook_front.with_value(text, "next_review", next_review)

    _write(path, text, edit)
    return review


def record_rehearsal(path: Path, rehearsed: Rehearsed) -> None:
    """Write into a runbook in which run it was last followed.

    Raises:
        RunbookError: the runbook reads otherwise than it was followed, or it cannot be read or written.
    """
    text = read_text(path)
    front_matter(text, path)
    if content_hash(text) != rehearsed.content_hash:
        raise RunbookError(
            f"{path}: run {rehearsed.run} followed another wording of it.", hint="Rehearse it as it is now."
        )
    spelled: dict[str, Any] = {each.name: getattr(rehearsed, each.name) for each in fields(rehearsed)}
    spelled["environment"] = str(rehearsed.environment)
    _write(path, text, lambda text: runbook_front.with_value(text, "rehearsed_in", spelled))


def _write(path: Path, text: str, edit: Callable[[str], str]) -> None:
    """Put a file's edited text in its place, whole or not at all.

    Raises:
        RunbookError: it cannot be edited, or cannot be written, or somebody else changed it meanwhile.
    """
    path = path.resolve()  # a link stays one
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(edit(text).encode())
        partial.chmod(path.stat().st_mode)
        if read_text(path) != text:
            raise RunbookError(f"{path}: was changed while it was edited.", hint="Try again.")
        partial.replace(path)
    except FrontError as error:
        raise RunbookError(f"{path}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise RunbookError(f"{path}: cannot be written: {error.strerror}.", hint="Mend its permissions.") from error
    finally:
        partial.unlink(missing_ok=True)
