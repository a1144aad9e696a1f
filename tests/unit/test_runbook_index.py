"""The index: what it says of each runbook, and how it is written into the folder's README."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from readiness.model import Environment
from readiness.runbook import SECTIONS, FrontMatter, Rehearsed, Review, Runbook, load_runbooks, read_text
from readiness.runbook_index import (
    BEGIN,
    END,
    HEAD,
    REVIEWED,
    SAMPLE,
    UNREVIEWED,
    Entry,
    MarksError,
    cells,
    entries,
    has_index,
    index_lines,
    with_index,
)

ROOT = Path(__file__).parents[2]
ON = date(2026, 6, 1)
AGE = timedelta(days=180)
REVIEW = Review(name="Bob", date=ON, content_hash="sha256:1")
LAST = Rehearsed(run="run-1", date=ON, environment=Environment.EMULATED, content_hash="sha256:1", bundle="sha256:b")


def entry(on: date | None = ON, *, samples: bool = True, **about: Any) -> Entry:
    front = FrontMatter(
        id="it", title="It", service="s", owner="Kim", author="Ada", alarms=("slow",), next_review=date(2026, 12, 1)
    )
    runbook = Runbook(
        path="runbooks/it.md",
        about=replace(front, **about),
        content_hash="sha256:1",
        sections=SECTIONS,
        blocks=(),
    )
    (found,) = entries([runbook], on, AGE, samples=samples)
    return found


def test_the_index_in_the_repository_is_not_stale():
    """Mended by: readiness runbooks index."""
    path = ROOT / "runbooks" / "README.md"
    text = read_text(path)
    runbooks = load_runbooks(path.parent, ROOT)

    assert len(runbooks) == 11
    assert with_index(text, index_lines(entries(runbooks, None, AGE)), str(path)) == text


@pytest.mark.parametrize(
    ("reviews", "samples", "status", "reviewer", "why"),
    [
        ((), True, UNREVIEWED, "", "nobody signed it"),
        ((REVIEW,), True, REVIEWED, "Bob", ""),
        ((REVIEW,), False, REVIEWED, "Bob", ""),
        ((replace(REVIEW, sample=True),), True, SAMPLE, "Bob", ""),
        ((replace(REVIEW, sample=True),), False, UNREVIEWED, "", "Bob is a sample: no person stands behind it"),
        ((replace(REVIEW, content_hash="sha256:0"),), True, UNREVIEWED, "", "Bob reviewed another wording"),
        ((replace(REVIEW, name="ada"),), True, UNREVIEWED, "", "ada is the author"),
        ((replace(REVIEW, sample=True), replace(REVIEW, name="Eve")), True, REVIEWED, "Eve", ""),
    ],
)
def test_the_status_says_how_the_review_stands(
    reviews: tuple[Review, ...], samples: bool, status: str, reviewer: str, why: str
):
    found = entry(samples=samples, reviewers=reviews)

    assert (found.status, found.reviewer, found.why) == (status, reviewer, why)


def test_a_review_runs_out_on_a_day_and_never_without_one():
    late = ON + timedelta(days=400)

    assert entry(late, reviewers=(REVIEW,)).status == UNREVIEWED
    assert entry(None, reviewers=(REVIEW,)).status == REVIEWED
    assert (entry(late).due, entry(None).due, entry(ON).due) == (True, False, False)


def test_a_rehearsal_says_where_and_whether_of_the_present_wording():
    assert entry().rehearsed == "never"
    assert entry(rehearsed_in=LAST).rehearsed == "on the embedded AWS"
    changed = replace(LAST, content_hash="sha256:0", environment=Environment.AWS)
    assert entry(rehearsed_in=changed).rehearsed == "on AWS; another wording"
    assert (entry(rehearsed_in=LAST).rehearsed_on, entry(rehearsed_in=LAST).rehearsed_in) == (ON, "run-1")


def test_every_entry_has_a_cell_for_each_column():
    found = entry(ON + timedelta(days=200), reviewers=(REVIEW,), rehearsed_in=LAST)

    assert len(cells(found)) == len(HEAD)
    assert dict(zip(HEAD, cells(found), strict=True))["status"] == (
        "no valid review: Bob reviewed on 2026-06-01, more than 180 days ago; review due"
    )


def test_text_that_would_break_the_table_does_not():
    lines = index_lines([entry(owner="a | b <c>\nd", title="x|y")]).splitlines()

    assert len(lines) == 3
    assert "a \\| b &lt;c> d" in lines[2]


def test_the_index_is_written_between_its_marks_and_nothing_else_changes():
    text = f"# A\n\n{BEGIN}\nold\n{END}\n\nmore"

    written = with_index(text, "new", "README.md")

    assert written == f"# A\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore"
    assert with_index(written, "new", "README.md") == written
    assert with_index(text.replace("\n", "\r\n"), "n\new", "r").count("\n") == with_index(
        text.replace("\n", "\r\n"), "n\new", "r"
    ).count("\r\n")


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_text_that_does_not_say_where_the_index_stands_is_refused(text: str):
    with pytest.raises(MarksError, match=r"README\.md: does not say where") as caught:
        with_index(text, "new", "README.md")
    assert BEGIN in caught.value.hint
    assert has_index(text) == bool(text)
