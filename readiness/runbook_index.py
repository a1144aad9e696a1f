"""The index of the runbooks: what each is for, who answers for it, who read it when, and when it was rehearsed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from readiness.errors import ReadinessError
from readiness.model import Environment, record
from readiness.runbook import Runbook

BEGIN: Final = "<!-- index: begin; written by `readiness runbooks index` -->"
END: Final = "<!-- index: end -->"
HEAD: Final = ("runbook", "alarm", "owner", "reviewer", "reviewed on", "rehearsed on", "status")

REVIEWED: Final = "reviewed"
SAMPLE: Final = "sample review"
UNREVIEWED: Final = "no valid review"


class MarksError(ReadinessError):
    """The index cannot be read or written."""


@record
class Entry:
    """A line of the index.

    Attributes:
        runbook: Its id.
        path: Where it is, from the repository's root.
        alarms: What it is for; none = it is a procedure.
        reviewer: Whoever reviewed it last in its present wording; "" = nobody did.
        rehearsed_in: The run that followed it; "" = none did.
        rehearsed: Where, and whether another wording was rehearsed, for a reader.
        status: How its review stands: one of the constants above.
        why: What is wrong with the reviews that do not count; "" = nothing, or there are none.
        due: Its next review is due on the day.
    """

    runbook: str
    title: str
    path: str
    alarms: tuple[str, ...]
    owner: str
    reviewer: str
    reviewed_on: date | None
    rehearsed_on: date | None
    rehearsed_in: str
    rehearsed: str
    status: str
    why: str
    due: bool


def entries(
    runbooks: Iterable[Runbook], on: date | None, max_age: timedelta, *, samples: bool = True
) -> tuple[Entry, ...]:
    """Return the index of runbooks as they stand on a day.

    Args:
        runbooks: The runbooks.
        on: The day; None = whatever the day, so that nothing runs out.
        max_age: How old a review may be.
        samples: Whether sample reviews count.
    """
    return tuple(_entry(runbook, on, max_age, samples) for runbook in runbooks)


def _entry(runbook: Runbook, on: date | None, max_age: timedelta, samples: bool) -> Entry:
    about = runbook.about
    review = next(iter(runbook.valid_reviews(on, max_age, samples=samples)), None)
    void = runbook.void_reviews(on, max_age, samples=samples)
    last = about.rehearsed_in
    where = "on the embedded AWS" if last and last.environment is Environment.EMULATED else "on AWS"
    old = "; another wording" if last and last.content_hash != runbook.content_hash else ""
    return Entry(
        runbook=about.id,
        title=about.title,
        path=runbook.path,
        alarms=about.alarms,
        owner=about.owner,
        reviewer=review.name if review else "",
        reviewed_on=review.date if review else None,
        rehearsed_on=last.date if last else None,
        rehearsed_in=last.run if last else "",
        rehearsed=f"{where}{old}" if last else "never",
        status=UNREVIEWED if review is None else SAMPLE if review.sample else REVIEWED,
        why="" if review else "; ".join(f"{name} {reason}" for name, reason in void.items()) or "nobody signed it",
        due=on is not None and about.next_review < on,
    )


def cells(entry: Entry) -> tuple[str, ...]:
    """Return an entry as text, a cell for each of ``HEAD``."""
    last = f"{entry.rehearsed_on} ({entry.rehearsed_in}, {entry.rehearsed})"
    rehearsed = last if entry.rehearsed_on else entry.rehearsed
    status = f"{entry.status}: {entry.why}" if entry.why else entry.status
    return (
        entry.runbook,
        ", ".join(entry.alarms),
        entry.owner,
        entry.reviewer or "nobody",
        str(entry.reviewed_on or ""),
        rehearsed,
        f"{status}; review due" if entry.due else status,
    )


# --- the index in the folder's README --------------------------------------------------------------------------------


def index_lines(listed: Iterable[Entry]) -> str:
    """Return the index as a Markdown table that links the runbooks of its own folder."""
    rows = []
    for entry in listed:
        texts = [_cell(text) for text in cells(entry)]
        name = f"[{entry.runbook}]({Path(entry.path).name}): {_cell(entry.title)}"
        alarms = ", ".join(f"`{alarm}`" for alarm in entry.alarms) or "none: a procedure"
        rows.append((name, alarms, *texts[2:]))
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def with_index(text: str, lines: str, name: str) -> str:
    """Return a text in which the index between the two marks is *lines*; all else stays.

    Raises:
        MarksError: it does not hold the two marks, each once, in this order.
    """
    begin, end = _between(text, name)
    newline = "\r\n" if "\r\n" in text else "\n"
    body = lines.replace("\n", newline)
    return f"{text[:begin]}{newline}{newline}{body}{newline}{newline}{text[end:]}"


def has_index(text: str) -> bool:
    """Say whether a text holds one of the marks of an index."""
    return BEGIN in text or END in text


def _between(text: str, name: str) -> tuple[int, int]:
    begin, end = text.find(BEGIN), text.find(END)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or end < begin:
        raise MarksError(
            f"{name}: does not say where the index stands.",
            hint=f"Put these two lines where it shall stand, each once:\n    {BEGIN}\n    {END}",
        )
    return begin + len(BEGIN), end


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
