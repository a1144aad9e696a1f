"""`readiness report`: any bundle is told as what it is, and an altered one is refused."""

from __future__ import annotations

import json

import pytest

from readiness import evidence, rendering
from readiness.cli import command
from readiness.errors import EvidenceError, UsageError
from readiness.ledger import Ledger
from readiness.model import Environment, Outcome, Verdict
from readiness.rendering import FORMS, content_of, render
from tests.unit.report.bundles import a_bundle

ALL = tuple(FORMS)


@pytest.fixture
def bundle(tmp_path):
    return a_bundle(tmp_path / "run" / "bundle")


def test_every_form_is_made_of_a_sealed_bundle_without_a_notice(bundle):
    rendered = render(bundle, ALL)

    assert rendered.notices == ()
    assert sorted(rendered.files) == [
        "findings.csv",
        "findings.json",
        "findings.junit.xml",
        "findings.sarif",
        "report.html",
        "report.md",
        "summary.json",
    ]
    assert b"Take care" not in rendered.files["report.html"]


def test_rendering_leaves_the_bundle_as_it_is(bundle):
    before = evidence.check_manifest(bundle)
    render(bundle, ALL)

    assert evidence.check_manifest(bundle) == before


def test_a_form_that_there_is_not_is_refused_by_name(bundle):
    with pytest.raises(UsageError, match="no form 'pdf'"):
        render(bundle, ("html", "pdf"))


# --- altered bundles -------------------------------------------------------------------------------------------------


def test_an_altered_bundle_is_refused_with_the_file_that_was_altered(bundle):
    (bundle / "plan.toml").write_bytes((bundle / "plan.toml").read_bytes() + b"\n")

    with pytest.raises(EvidenceError, match=r"plan\.toml was altered"):
        render(bundle, ("html",))


def test_an_altered_bundle_is_told_on_demand_and_every_report_says_so(bundle):
    (bundle / "observations" / "rollback.json").unlink()
    rendered = render(bundle, ("html", "md"), altered=True)

    assert "observations/rollback.json is missing" in rendered.notices[0]
    assert b"This is no evidence" in rendered.files["report.html"]
    assert rendered.files["report.md"].startswith(b"> **Take care.** This is no evidence")


# --- runs that never ended -------------------------------------------------------------------------------------------


@pytest.fixture
def unended(bundle):
    (bundle / "record.json").unlink()
    (bundle / "manifest.json").unlink()
    return bundle


def test_a_run_that_never_ended_is_judged_by_what_it_had_seen_and_is_no_go(unended):
    made = content_of(unended)

    assert len(made.notices) == 2
    assert {result.gate for result in made.record.results} == {"load", "alarms", "rollback", "runbooks"}
    assert (made.record.verdict, made.record.interrupted) == (Verdict.NO_GO, True)
    assert made.record.outcome is not Outcome.PASSED
    assert "leftovers: was not asked" in made.record.reasons
    assert made.record.leftovers, "nothing shows that it was torn down"


def test_a_run_that_never_ended_has_all_reports(unended):
    rendered = render(unended, ALL)

    assert len(rendered.files) == 7
    assert b"was killed, or has not ended" in rendered.files["report.html"]
    assert b"never sealed" in rendered.files["report.md"]


def test_where_it_ran_is_read_from_its_ledger(unended):
    ledger = Ledger(unended.parent / "ledger.jsonl")
    ledger.note("run-started", name="20260301-120000-beef", target="aws", commit="abc", dirty="false")
    record = content_of(unended).record

    assert (record.run_id, record.environment, record.candidate.commit) == (
        "20260301-120000-beef",
        Environment.AWS,
        "abc",
    )


def test_where_it_ran_is_taken_as_emulated_when_nothing_tells(unended):
    record = content_of(unended).record

    assert record.environment is Environment.EMULATED
    assert record.run_id == "unknown"
    assert any("taken as emulated, which claims least" in trouble for trouble in record.troubles)


@pytest.mark.parametrize("left", ["", "{", '{"before": null}', "[]"])
def test_half_an_observation_is_a_gap_and_never_a_pass(unended, left):
    (unended / "observations" / "rollback.json").write_text(left)
    (rollback,) = [result for result in content_of(unended).record.results if result.gate == "rollback"]

    assert rollback.outcome is Outcome.INCONCLUSIVE
    assert rollback.judgement.gaps


def test_a_run_that_was_killed_before_its_first_gate_is_told(tmp_path, unended):
    for file in (unended / "observations").iterdir():
        file.unlink()
    rendered = render(unended, ("html", "md"))

    assert b"No gate was asked" in rendered.files["report.html"]


# --- what is no bundle -----------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_no_bundle(tmp_path):
    with pytest.raises(EvidenceError, match="no such folder"):
        render(tmp_path / "none", ("html",))


def test_a_folder_of_something_else_is_no_bundle(tmp_path):
    with pytest.raises(EvidenceError, match="no evidence bundle"):
        render(tmp_path, ("html",))


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_beside_the_bundle_and_names_the_files(bundle, capsys):
    assert command(["report", str(bundle)]) == 0

    folder = bundle.parent / "report"
    assert capsys.readouterr().out.splitlines() == [str(folder / "report.html"), str(folder / "report.md")]
    assert (folder / "report.html").read_bytes() == render(bundle, ("html",)).files["report.html"]


def test_the_command_writes_where_and_what_it_is_told(bundle, tmp_path, capsys):
    assert command(["report", str(bundle), "--output", str(tmp_path / "x"), "--format", "json"]) == 0

    assert [file.name for file in (tmp_path / "x").iterdir()] == ["findings.json"]
    json.loads((tmp_path / "x" / "findings.json").read_text())


def test_the_command_never_writes_into_the_bundle(bundle, capsys):
    assert command(["report", str(bundle), "--output", str(bundle / "report")]) == 5

    assert "which a report would alter" in capsys.readouterr().err
    evidence.check_manifest(bundle)


def test_the_command_tells_what_is_wrong_with_a_bundle_and_its_exit_code(bundle, capsys):
    (bundle / "waivers.toml").write_text("# another")
    assert command(["report", str(bundle)]) == 1
    assert "waivers.toml was altered" in capsys.readouterr().err

    assert command(["report", str(bundle), "--altered"]) == 0
    assert "This is no evidence" in capsys.readouterr().err


def test_the_forms_of_the_help_are_those_that_there_are(capsys):
    with pytest.raises(SystemExit):
        command(["report", "--help"])

    said = capsys.readouterr().out
    assert all(form in said for form in rendering.FORMS)
