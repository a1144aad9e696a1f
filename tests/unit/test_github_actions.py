"""GitHub Actions is told what a run came to, and a file that cannot be written changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from readiness import evidence
from readiness.evidence import BundleWriter
from readiness.github_actions import SUMMARY_LIMIT, tell
from readiness.report.cut import cut
from tests.unit.samples import a_record


@pytest.fixture
def bundle(tmp_path) -> Path:
    writer = BundleWriter(tmp_path / "bundle")
    writer.put(evidence.REPORT, b"# shop: GO\n")
    writer.seal()
    return writer.root


def test_the_report_is_appended_to_the_summary(bundle, tmp_path):
    page = tmp_path / "summary.md"
    page.write_text("before\n")

    assert list(tell({"GITHUB_STEP_SUMMARY": str(page)}, a_record(), bundle)) == []

    assert page.read_text() == "before\n# shop: GO\n\n"


def test_a_summary_never_exceeds_what_github_takes(bundle, tmp_path):
    page = tmp_path / "summary.md"
    page.write_text("x" * 5000)
    (bundle / evidence.REPORT).write_text("| é |\n" * 300_000)

    list(tell({"GITHUB_STEP_SUMMARY": str(page)}, a_record(), bundle))

    assert SUMMARY_LIMIT - 100 < page.stat().st_size <= SUMMARY_LIMIT
    assert "> **Cut.** The whole report is report.md" in page.read_text()


def test_a_summary_that_is_full_is_left_alone(bundle, tmp_path):
    page = tmp_path / "summary.md"
    page.write_text("x" * SUMMARY_LIMIT)

    list(tell({"GITHUB_STEP_SUMMARY": str(page)}, a_record(), bundle))

    assert page.stat().st_size <= SUMMARY_LIMIT + 1


def test_the_steps_that_follow_have_the_verdict_and_the_evidence(bundle, tmp_path):
    file = tmp_path / "output"

    list(tell({"GITHUB_OUTPUT": str(file)}, a_record(), bundle))

    said = dict(line.split("=", 1) for line in file.read_text().splitlines())
    record = a_record()
    assert (said["verdict"], said["outcome"]) == (record.verdict, record.outcome)
    assert said["bundle"] == str(bundle.resolve())
    assert said["bundle-digest"] == evidence.bundle_digest(bundle)


def test_elsewhere_nothing_is_written(bundle, tmp_path):
    assert list(tell({}, a_record(), bundle)) == []
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]


def test_what_cannot_be_written_is_told(bundle, tmp_path):
    (told,) = tell({"GITHUB_OUTPUT": str(tmp_path / "no" / "output")}, a_record(), bundle)

    assert "GITHUB_OUTPUT" in told


def test_a_text_that_fits_is_left_as_it_is():
    assert cut("a\nb\n", 4, "no") == "a\nb\n"


@pytest.mark.parametrize("room", range(0, 60, 7))
def test_what_is_cut_never_exceeds_its_room(room):
    assert len(cut("line é\n" * 50, room, "More.").encode()) <= room
