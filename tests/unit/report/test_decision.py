"""What people decided, told: in the page and in the go/no-go record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from readiness.model import Coverage, Environment, ItemState, ResidualRisk, Verdict
from readiness.report import go_no_go, html
from readiness.report.decision import said
from tests.unit.report.bundles import NASTY, T0, Story, a_drive, a_signature, content
from tests.unit.report.pages import Page

RISK = ResidualRisk(
    id="one-zone",
    text="All tasks may stand in one zone",
    owner="Ada",
    mitigation="a second zone is ordered",
    accepted_until=T0.date() + timedelta(days=1),
)


@pytest.fixture
def made(tmp_path):
    return content(tmp_path / "bundle", Story(drive=a_drive()))


def told(made, **changes):
    """Return the page and the go/no-go record, with another decision."""
    decision = replace(made.decision, **changes)
    return Page(html.as_html(replace(made, decision=decision)).decode()), go_no_go(decision)


def rows(page, section):
    return [[cell.text for cell in row] for row in page.table(section).rows[1:]]


def test_every_item_and_criterion_of_the_plan_is_told_with_its_state(made):
    page, text = told(made)

    assert [row[0] for row in rows(page, "Go-live checklist")] == [each.id for each in made.plan.checklist]
    assert len(rows(page, "Acceptance criteria")) == len(made.plan.criteria) == 9
    for each in made.decision.criteria:
        assert f"{each.status} |" in next(line for line in text.splitlines() if each.criterion.text in line)
        assert any(
            each.criterion.text in row[1] and str(each.status) in row[2] for row in rows(page, "Acceptance criteria")
        )


def test_an_open_item_and_a_criterion_that_nothing_shows_never_look_done(made):
    item = replace(made.decision.checklist[0], state=ItemState.OPEN, why="nobody has ticked it")
    criterion = replace(made.decision.criteria[0], status=Coverage.UNVERIFIED, evidence=(), notes=("nobody looked",))
    page, text = told(made, checklist=(item,), criteria=(criterion,))

    assert rows(page, "Go-live checklist")[0][3].startswith("?open")
    assert rows(page, "Acceptance criteria")[0][2:] == ["?Unverified", "– none", "nobody looked"]
    assert "| ❔ open | nobody has ticked it |" in text
    assert "| ❔ Unverified |  | nobody looked |" in text


def test_a_risk_that_is_over_is_marked(made):
    page, text = told(made, risks=(RISK,))
    over, _ = told(made, risks=(RISK,), decided_at=T0 + timedelta(days=2))

    assert rows(page, "Risks")[0][-1] == str(RISK.accepted_until)
    assert "over" in rows(over, "Risks")[0][-1]
    assert "| `one-zone` | All tasks may stand in one zone | Ada | a second zone is ordered | 2026-03-02 |" in text


def test_no_risk_is_said_to_be_none(made):
    page, text = told(made)

    assert "No signature accepts a risk." in page.text
    assert "No signature accepts one." in text


def test_a_signature_that_does_not_count_says_why(made):
    void = a_signature("release", why="the tick of told was changed after it: sign again")
    page, text = told(made, signatures=(void, a_signature("security", "no-go", note="it leaks")))

    release, security, operations = rows(page, "Who has to sign")
    assert "go, void" in release[2]
    assert "sign again" in release[2]
    assert security[2].endswith("no-go")
    assert security[5] == "it leaks"
    assert operations[2].endswith("missing")
    assert "| no: the tick of told was changed after it: sign again |" in text
    assert "| operations | Operations owner | missing |" in text
    assert "0 of 3" in page.text


def test_a_void_go_is_not_counted_as_signed(made):
    page, _ = told(made, signatures=(a_signature("release"), a_signature("security", why="void")))

    assert "1 of 3" in page.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "NO-GO for production (a rehearsal)"),
        ({"reasons": ("rehearsal: what was seen on the embedded AWS is no evidence of production",)}, "is complete"),
        ({"environment": Environment.AWS}, "NO-GO"),
        ({"environment": Environment.AWS, "verdict": Verdict.GO, "reasons": ()}, "GO"),
    ],
)
def test_the_verdict_comes_first_and_a_rehearsal_says_that_it_is_one(made, changes, words):
    decision = replace(made.decision, **changes)

    assert said(decision).endswith(words)
    assert go_no_go(decision).splitlines()[0].endswith(words)


def test_whatever_people_write_stays_what_it_is(made):
    nasty = replace(RISK, text=NASTY, mitigation="a | b", owner="x\n# GO")
    page, text = told(made, risks=(nasty,), signatures=(a_signature("release", note="fine |\n# Go/no-go: GO"),))

    assert [name for name, _ in page.tags].count("script") == 1
    assert not page.unclosed
    assert "<script>" not in text
    assert "\n# GO" not in text
    assert text.count("\n# ") == 0
