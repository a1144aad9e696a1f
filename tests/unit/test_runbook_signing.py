"""Reviews and rehearsals are written into a runbook, and nothing else of it is touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from readiness import runbook_signing
from readiness.errors import UsageError
from readiness.model import Environment
from readiness.runbook import Rehearsed, Review, Runbook, RunbookError, content_hash, read_runbook
from readiness.runbook_signing import find_runbook, record_rehearsal, sign

ON = date(2026, 6, 1)
AGE = timedelta(days=180)
FRONT = """---
# Who changes this asks the service team first.
id: it
title: "It"      # quoted
owner: Service team
service:   s
author: Ada
alarms: [error-ratio]   # one
inputs:
    CLUSTER: 'output Cluster: of the stack'
reviewers: []
rehearsed_in: null      # not yet
next_review: 2026-12-01
---
"""
BODY = "\n# It\n\n## Symptoms\n\nNone.\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "runbooks").mkdir()
    file = tmp_path / "runbooks" / "it.md"
    file.write_text(FRONT + BODY, encoding="utf-8")
    return file


def read(path: Path) -> Runbook:
    return read_runbook(path, path.parents[1])


def test_a_review_is_written_and_every_other_byte_stays(path: Path):
    review = sign(path, "Bob", ON)

    assert review == Review(name="Bob", date=ON, content_hash=content_hash(BODY))
    lines = f"reviewers:\n- name: Bob\n  date: 2026-06-01\n  content_hash: {content_hash(BODY)}\n"
    assert path.read_text(encoding="utf-8") == FRONT.replace("reviewers: []\n", lines) + BODY
    assert read(path).about.reviewers == (review,)
    assert [each.name for each in path.parent.iterdir()] == ["it.md"]


def test_a_second_review_by_the_same_person_replaces_the_first(path: Path):
    sign(path, "Bob", ON)
    sign(path, "Eve", ON)
    sign(path, " BOB ", ON + timedelta(days=9))

    assert [(each.name, each.date.day) for each in read(path).about.reviewers] == [("BOB", 10), ("Eve", 1)]


def test_a_person_replaces_the_sample_under_the_same_name(path: Path):
    sign(path, "Bob", ON, sample=True)
    assert "  sample: true\n" in path.read_text(encoding="utf-8")

    sign(path, "Bob", ON)

    assert "sample" not in path.read_text(encoding="utf-8")
    assert len(read(path).valid_reviews(ON, AGE, samples=False)) == 1


def test_an_edit_voids_a_review_and_a_new_one_heals_it(path: Path):
    sign(path, "Bob", ON)
    path.write_text(path.read_text(encoding="utf-8").replace("None.", "Some."), encoding="utf-8")

    assert read(path).void_reviews(ON, AGE) == {"Bob": "reviewed another wording"}

    sign(path, "Bob", ON)

    assert read(path).void_reviews(ON, AGE) == {}


def test_a_review_can_say_when_the_next_one_is_due(path: Path):
    sign(path, "Bob", ON, next_review=date(2027, 1, 1))

    assert read(path).about.next_review == date(2027, 1, 1)
    with pytest.raises(RunbookError, match="not after this one"):
        sign(path, "Bob", ON, next_review=ON)


@pytest.mark.parametrize("name", ["Ada", " ADA ", "ａｄａ"])
def test_the_author_cannot_review_however_the_name_is_spelled(path: Path, name: str):
    with pytest.raises(RunbookError, match="nobody reviews their own"):
        sign(path, name, ON)
    assert path.read_text(encoding="utf-8") == FRONT + BODY


@pytest.mark.parametrize("name", ["", "  ", "\t"])
def test_a_review_needs_a_name(path: Path, name: str):
    with pytest.raises(RunbookError, match="needs a name"):
        sign(path, name, ON)


def test_two_entries_of_one_person_are_not_guessed_at(path: Path):
    text = FRONT.replace("reviewers: []", "reviewers: [&a {name: Bob, date: 2026-01-01, content_hash: x}, *a]")
    path.write_text(text + BODY, encoding="utf-8")

    with pytest.raises(RunbookError, match="Bob stands in its reviewers twice"):
        sign(path, "Bob", ON)


def test_front_matter_in_one_line_is_refused_by_name_and_left_alone(path: Path):
    keys = "id: it, title: It, service: s, owner: o, author: Ada, next_review: 2026-12-01"
    path.write_text(f"---\n{{{keys}}}\n---\n{BODY}", encoding="utf-8")

    with pytest.raises(RunbookError, match=r"it\.md: its front matter is written in one line"):
        sign(path, "Bob", ON)
    assert "Bob" not in path.read_text(encoding="utf-8")


def test_a_file_that_somebody_else_changes_meanwhile_keeps_their_change(path: Path, monkeypatch: pytest.MonkeyPatch):
    read_text, reads = runbook_signing.read_text, []

    def meddled(file: Path) -> str:
        text = read_text(file)
        reads.append(text)
        if len(reads) == 1:
            path.write_text(text + "theirs\n", encoding="utf-8")
        return text

    monkeypatch.setattr(runbook_signing, "read_text", meddled)
    with pytest.raises(RunbookError, match="was changed while it was edited"):
        sign(path, "Bob", ON)
    assert path.read_text(encoding="utf-8") == FRONT + BODY + "theirs\n"
    assert [each.name for each in path.parent.iterdir()] == ["it.md"]


def test_a_rehearsal_is_recorded_and_does_not_void_the_review(path: Path):
    sign(path, "Bob", ON)
    last = Rehearsed(
        run="20260601-120000-abcd",
        date=ON,
        environment=Environment.EMULATED,
        content_hash=content_hash(BODY),
        bundle="sha256:b",
    )

    record_rehearsal(path, last)
    record_rehearsal(path, replace(last, run="20260602-120000-abcd"))

    assert read(path).about.rehearsed_in == replace(last, run="20260602-120000-abcd")
    assert read(path).void_reviews(ON, AGE) == {}
    text = path.read_text(encoding="utf-8")
    assert "rehearsed_in:      # not yet\n  run: 20260602-120000-abcd\n" in text
    assert text.endswith("next_review: 2026-12-01\n---\n" + BODY)


def test_a_rehearsal_of_another_wording_is_not_recorded(path: Path):
    other = Rehearsed(run="r", date=ON, environment=Environment.AWS, content_hash="sha256:2", bundle="sha256:b")

    with pytest.raises(RunbookError, match="followed another wording"):
        record_rehearsal(path, other)
    assert path.read_text(encoding="utf-8") == FRONT + BODY


@pytest.mark.parametrize("name", ["ti", "it.md", "runbooks/it", "IT"])
def test_an_unknown_id_is_told_with_the_nearest_right_spelling(path: Path, name: str):
    with pytest.raises(UsageError) as caught:
        find_runbook(path.parent, name)
    assert caught.value.message.startswith(f"There is no runbook {name!r}")
    assert "'it'" in caught.value.hint or "There are: it." in caught.value.hint


def test_an_id_that_is_like_no_other_is_told_what_there_is(path: Path):
    with pytest.raises(UsageError) as caught:
        find_runbook(path.parent, "zebra")
    assert caught.value.hint == "There are: it."


def test_a_folder_without_runbooks_says_so(tmp_path: Path):
    with pytest.raises(UsageError, match="There is no runbook in"):
        find_runbook(tmp_path, "it")
