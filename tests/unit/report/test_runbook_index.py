"""The index of the runbooks in the reports: the page and Markdown say the same of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from readiness import evidence, report
from readiness.model import Environment
from readiness.report import html
from readiness.runbook import Rehearsed, Review
from tests.unit.report.bundles import NASTY, T0, Story, content, runbooks_seen
from tests.unit.report.pages import Page

HEAD = ["runbook", "alarm", "owner", "reviewer", "reviewed on", "rehearsed on", "status"]


def story() -> Story:
    """Return runbooks of every standing: reviewed and rehearsed, a sample, an edited one, an unreadable one."""
    seen = runbooks_seen()
    errors, deploy, rollback = seen.runbooks
    last = Rehearsed(
        run="20260228-120000-aaaa",
        date=date(2026, 2, 28),
        environment=Environment.EMULATED,
        content_hash="sha256:1",
        bundle="sha256:b",
    )
    sample = Review(name="Some role", date=T0.date(), content_hash="sha256:1", sample=True)
    books = (
        replace(errors, content_hash="sha256:2"),
        replace(deploy, about=replace(deploy.about, reviewers=(sample,))),
        replace(rollback, about=replace(rollback.about, rehearsed_in=last)),
    )
    unreadable = {"runbooks/odd.md": NASTY}
    return Story(runbooks=replace(seen, runbooks=books, unreadable=unreadable), drive=None, rollback=None, alarms=None)


def test_the_page_shows_who_reviewed_each_runbook_when_and_what_became_of_it(tmp_path):
    page = Page(html.as_html(content(tmp_path, story())).decode())
    head, *rows = [[cell.text for cell in row] for row in page.table("Runbooks in runbooks/, as they were on").rows]

    assert head == HEAD
    assert [row[0].rpartition("/")[2] for row in rows] == ["high-error-rate.md", "deploy.md", "rollback.md", "odd.md"]
    assert [row[3] for row in rows[:3]] == ["nobody", "Some role", "Bob"]
    assert [row[4] for row in rows[1:3]] == ["2026-03-01", "2026-02-01"]
    assert rows[0][5] == rows[1][5] == "never"
    assert rows[2][5].split() == ["2026-02-2820260228-120000-aaaaon", "the", "embedded", "AWS"]
    assert "no valid review" in rows[0][6]
    assert "Bob reviewed another wording" in rows[0][6]
    assert "sample review" in rows[1][6]
    assert "finding" not in rows[1][6], "the status says it already"
    assert "reviewed" in rows[2][6]
    assert "unreadable" in rows[3][6]
    assert "A sample review has no person behind it" in page.text
    assert "<script>alert" not in html.as_html(content(tmp_path / "again", story())).decode()


def test_markdown_shows_the_same_index(tmp_path):
    made = content(tmp_path, story())
    text = report.markdown(made.record, made.plan, made.decision, made.root)

    assert "| " + " | ".join(HEAD) + " |" in text
    assert "| `runbooks/high-error-rate.md` | error-ratio | Service team | nobody |  | never | no valid review:" in text
    assert "| `runbooks/deploy.md` |  | Service team | Some role | 2026-03-01 | never | sample review |" in text
    assert "(20260228-120000-aaaa, on the embedded AWS) | reviewed |" in text
    assert "| `runbooks/odd.md` |" in text
    assert "A sample review has no person behind it" in text


def test_on_aws_the_reports_count_no_sample(tmp_path):
    seen = story()
    assert seen.runbooks is not None
    seen.runbooks = replace(seen.runbooks, environment=Environment.AWS)
    made = content(tmp_path, seen)

    text = report.markdown(made.record, made.plan, made.decision, made.root)
    assert "nobody |  | never | no valid review: Some role is a sample: no person stands behind it |" in text


def test_without_the_evidence_markdown_says_nothing_or_that_it_cannot_be_read(tmp_path):
    made = content(tmp_path, story())
    assert "## Runbooks" not in report.markdown(made.record, made.plan, made.decision)

    (made.root / evidence.observation_path("runbooks")).write_text("{}")
    assert "What the gate `runbooks` saw cannot be read." in report.markdown(
        made.record, made.plan, made.decision, made.root
    )


def test_a_folder_without_runbooks_is_told(tmp_path):
    seen = replace(runbooks_seen(), runbooks=())
    made = content(tmp_path, Story(runbooks=seen, drive=None, rollback=None, alarms=None))

    assert "## Runbooks\n\nThere is none in `runbooks/`." in report.markdown(
        made.record, made.plan, made.decision, made.root
    )
