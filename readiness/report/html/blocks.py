"""What a section is built of; the template shows each kind in its own way, and escapes all text in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from markupsafe import Markup, escape

from readiness.model import Measurement, Outcome, Severity
from readiness.report.figure import figure, interval
from readiness.report.thresholds import Standing

Tone = Literal["good", "bad", "unknown", "warn", "plain"]
_LONG = 22
_BREAKS = re.compile(r"(?<=[/:._-])(?=[^/:._-])")
_ICONS: dict[Tone, str] = {"good": "✓", "bad": "✕", "unknown": "?", "warn": "!", "plain": "·"}


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph."""

    words: str | Markup
    kind: str = "text"


@dataclass(frozen=True, kw_only=True)
class Note:
    """A paragraph in a box that is not to be overlooked."""

    tone: Tone
    words: str | Markup
    kind: str = "note"


@dataclass(frozen=True, kw_only=True)
class Unobserved:
    """Says that there is nothing to show, so that it never looks like nothing to complain about."""

    why: str
    kind: str = "unobserved"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """Begins a part of a section."""

    title: str
    id: str = ""
    kind: str = "heading"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells; the first cell of a row names it.

    Attributes:
        numeric: Columns whose cells are numbers, set flush right.
        look: Class of the table, for widths of columns.
        compact: Whether it stays a table where there is little room, as one of short numbers does; others become
            cards.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Markup]]
    numeric: frozenset[int] = frozenset()
    look: str = ""
    compact: bool = False
    kind: str = "table"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Terms and what they are; long ones each on a line of its own."""

    rows: Sequence[tuple[str, str | Markup]]
    long: bool = False
    kind: str = "facts"


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list; numbered where the numbers stand in a plot."""

    items: Sequence[str | Markup]
    numbered: bool = False
    kind: str = "items"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot with its title, what is to be seen, and its numbers as a table for those who want or need them."""

    id: str
    title: str
    told: str
    svg: Markup
    below: Sequence[Any] = ()
    data: Table | None = None
    at: Sequence[float] = ()
    """Where on the x axis each row of *data* lies."""
    kind: str = "picture"


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What is shown on demand."""

    summary: str
    blocks: Sequence[Any]
    kind: str = "fold"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report that the table of contents names."""

    id: str
    title: str
    blocks: Sequence[Any]
    lead: str = ""
    badge: Markup = field(default_factory=Markup)


# --- cells -----------------------------------------------------------------------------------------------------------


def badge(tone: Tone, words: str) -> Markup:
    """Return words with their icon in a tone; neither the colour nor the icon says anything that the words do not."""
    look = f"{tone} long" if len(words) > _LONG else tone
    return Markup('<span class="badge {}"><span class="icon" aria-hidden="true">{}</span>{}</span>').format(
        look, _ICONS[tone], words
    )


def code(text: str) -> Markup:
    """Return text as it is typed; a long name breaks where its parts meet."""
    return Markup("<code>{}</code>").format(Markup("<wbr>").join(_BREAKS.split(text)))


def data(value: float, words: str) -> Markup:
    """Return a number as a person reads it, with the number itself for programs."""
    return Markup('<data value="{}">{}</data>').format(repr(value), words)


def measured(each: Measurement | None) -> Markup:
    """Return a figure with its unit; a dash where there is none."""
    return nothing() if each is None else data(each.value, figure(each.value, each.unit))


def nothing() -> Markup:
    """Return what stands where there is nothing."""
    return Markup('<span class="none">–<span class="unseen"> none</span></span>')


def between(each: Measurement | None) -> str | Markup:
    """Return a figure's confidence interval."""
    if each is None or each.interval is None:
        return nothing()
    return interval(*each.interval, each.unit)


def lines(*parts: str | Markup) -> Markup:
    """Return parts below each other."""
    return Markup("<br>").join(escape(part) for part in parts if part)


def small(text: str | Markup) -> Markup:
    """Return text that is less important than what it stands with."""
    return Markup('<span class="small">{}</span>').format(text)


def of_outcome(outcome: Outcome) -> Markup:
    """Return an outcome as a badge."""
    tones: dict[Outcome, Tone] = {Outcome.PASSED: "good", Outcome.FAILED: "bad", Outcome.INCONCLUSIVE: "unknown"}
    return badge(tones[outcome], str(outcome))


def of_standing(standing: Standing) -> Markup:
    """Return the standing of a threshold as a badge."""
    tones: dict[Standing, Tone] = {
        Standing.MET: "good",
        Standing.MISSED: "bad",
        Standing.UNPROVEN: "unknown",
        Standing.UNOBSERVED: "unknown",
    }
    return badge(tones[standing], str(standing))


def of_severity(severity: Severity) -> Markup:
    """Return a severity as a badge."""
    tone: Tone = "bad" if severity.rank <= Severity.HIGH.rank else "warn" if severity is Severity.MEDIUM else "plain"
    return badge(tone, str(severity).capitalize())


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
