"""Findings for other programs: every form tells all of them, with their standing, and what was not seen."""

from __future__ import annotations

import csv
import io
import json
from importlib import resources
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from readiness import report
from readiness.model import ControlFamily, Disposed, Disposition, Fixed, Gap, OpenLimit, Outcome, Severity
from readiness.report.findings import SCHEMA
from tests.unit.samples import BLOCKING, a_finding, a_judgement, a_result, a_waiver

WAIVER = a_waiver()
OPEN = a_finding("b/Bucket", Severity.HIGH, help="Set encryption.", family=ControlFamily.ENCRYPTION, fingerprint="f1")
WAIVED = a_finding("a/Topic", Severity.CRITICAL, fingerprint="f2")
MINOR = a_finding("c/Queue", Severity.LOW, fingerprint="f3")
GAP = Gap(what="checkov", why="it crashed")


def results(*gaps: Gap):
    judgement = a_judgement(OPEN, WAIVED, MINOR, gaps=gaps, examined=7)
    disposed = (
        Disposed(finding=WAIVED, disposition=Disposition.WAIVED, waiver=WAIVER),
        Disposed(finding=MINOR, disposition=Disposition.OPEN),
        Disposed(finding=OPEN, disposition=Disposition.OPEN),
    )
    return [a_result("security", outcome=Outcome.FAILED, judgement=judgement, findings=disposed), a_result("words")]


def files(*gaps: Gap):
    return report.findings_files(results(*gaps), BLOCKING)


def test_json_tells_open_findings_first_worst_first_and_what_was_not_seen():
    told = json.loads(files(GAP)["findings.json"])

    assert told["schema"] == SCHEMA
    assert [(each["subject"], each["disposition"]) for each in told["findings"]] == [
        ("b/Bucket", "open"),
        ("c/Queue", "open"),
        ("a/Topic", "waived"),
    ]
    assert told["findings"][2]["waiver"]["approver"] == WAIVER.approver
    assert told["gaps"] == [{"gate": "security", "what": "checkov", "why": "it crashed"}]
    assert [each["id"] for each in told["gates"]] == ["security", "words"]


def test_csv_has_a_row_for_each_finding():
    rows = list(csv.DictReader(io.StringIO(files()["findings.csv"].decode())))

    assert [row["subject"] for row in rows] == ["b/Bucket", "c/Queue", "a/Topic"]
    assert rows[0]["family"] == "encryption"
    assert rows[2]["waiver_expires"] == str(WAIVER.expires)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_a_spreadsheet_computes_nothing_of_it(text):
    judgement = a_judgement(a_finding(text))
    disposed = (Disposed(finding=a_finding(text), disposition=Disposition.OPEN),)
    made = report.findings_files([a_result("security", judgement=judgement, findings=disposed)], BLOCKING)

    (row,) = csv.DictReader(io.StringIO(made["findings.csv"].decode()))
    assert row["subject"] == "'" + text


def test_sarif_tells_level_fingerprint_and_suppression():
    (run,) = json.loads(files()["findings.sarif"])["runs"]

    bucket, queue, topic = run["results"]
    assert (bucket["level"], queue["level"], topic["level"]) == ("error", "note", "error")
    assert bucket["partialFingerprints"] == {"readiness/v1": "f1"}
    assert bucket["suppressions"] == []
    (suppression,) = topic["suppressions"]
    assert suppression["status"] == "accepted"
    assert WAIVER.reason in suppression["justification"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["invocations"][0]["executionSuccessful"] is True


def test_sarif_with_a_gap_is_no_clean_bill():
    (run,) = json.loads(files(GAP)["findings.sarif"])["runs"]
    (invocation,) = run["invocations"]

    assert invocation["executionSuccessful"] is False
    assert "it crashed" in invocation["toolExecutionNotifications"][0]["message"]["text"]
    (nothing,) = json.loads(report.findings_files([], BLOCKING)["findings.sarif"])["runs"]
    assert nothing["invocations"][0]["executionSuccessful"] is False


def test_junit_fails_on_open_blocking_findings_skips_waived_ones_and_errs_on_gaps():
    root = ET.fromstring(files(GAP)["findings.junit.xml"])
    security, words = root

    assert [security.get(name) for name in ("name", "tests", "failures", "errors", "skipped")] == [
        "security",
        "4",
        "1",
        "1",
        "1",
    ]
    assert WAIVER.reason in security.find("testcase/skipped").get("message")
    assert security.find("testcase/failure").get("message").startswith("HIGH: ")
    assert (words.get("tests"), words.get("failures"), words.get("errors")) == ("1", "0", "0")
    assert root.get("tests") == "5"


def test_junit_of_a_gate_that_examined_nothing_is_an_error():
    made = report.findings_files([a_result("words", judgement=a_judgement(examined=0))], BLOCKING)

    assert ET.fromstring(made["findings.junit.xml"]).get("errors") == "1"


def test_junit_holds_no_character_that_xml_cannot():
    judgement = a_judgement(gaps=(Gap(what="a\x00b", why="\x1b[31mred\ud800"),))
    made = report.findings_files([a_result("words", judgement=judgement)], BLOCKING)

    assert ET.fromstring(made["findings.junit.xml"]).find(".//error").get("message") == "�[31mred�"


LOCATED = a_finding("d/Key", Severity.HIGH, fingerprint="f4", template="infra/my stack.yaml", line=12)


def located():
    disposed = (Disposed(finding=LOCATED, disposition=Disposition.OPEN),)
    return report.findings_files(
        [a_result("security", judgement=a_judgement(LOCATED), findings=disposed)],
        BLOCKING,
        fixed=(Fixed(gate="security", finding=OPEN),),
        known=(),
    )


def test_sarif_tells_file_and_line_where_a_template_says_them():
    (run,) = json.loads(located()["findings.sarif"])["runs"]

    assert run["results"][0]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "infra/my%20stack.yaml"},
        "region": {"startLine": 12},
    }
    assert "physicalLocation" not in run["results"][1]["locations"][0]


def test_csv_tells_file_and_line():
    located_row, fixed_row = csv.DictReader(io.StringIO(located()["findings.csv"].decode()))

    assert (located_row["template"], located_row["line"]) == ("infra/my stack.yaml", "12")
    assert (fixed_row["template"], fixed_row["line"]) == ("", "")


PUBLISHED = json.loads(resources.files("readiness").joinpath("data/findings.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("made", [files(), files(GAP), located(), report.findings_files([], BLOCKING)])
def test_json_is_as_its_published_schema_says(made):
    told = json.loads(made["findings.json"])

    jsonschema.Draft202012Validator(PUBLISHED).validate(told)
    assert set(told) == set(PUBLISHED["properties"])
    for each in told["findings"]:
        assert set(each) == set(PUBLISHED["$defs"]["finding"]["properties"])


@pytest.mark.parametrize(
    "change", [{"line": 0}, {"severity": "BAD"}, {"disposition": "fixed"}, {"disposition": "waived"}, {"sources": []}]
)
def test_the_published_schema_refuses_what_is_never_written(change):
    told = json.loads(located()["findings.json"])
    told["findings"][0] |= change

    assert not jsonschema.Draft202012Validator(PUBLISHED).is_valid(told)


def test_junit_fails_where_more_findings_are_open_than_a_limit_allows_though_none_of_them_blocks():
    limits = (OpenLimit(severity=Severity.LOW, most=0),)
    judgement = a_judgement(MINOR, examined=1, limits=limits)
    disposed = (Disposed(finding=MINOR, disposition=Disposition.OPEN),)
    result = a_result("security", outcome=Outcome.FAILED, judgement=judgement, findings=disposed)

    suite = ET.fromstring(report.findings_files([result], BLOCKING)["findings.junit.xml"]).find("testsuite")

    assert suite.get("failures") == "1"
    assert suite.find("testcase/failure").get("message") == "1 LOW findings are open, at most 0 may be"


def test_sarif_tells_the_logical_id_and_why_a_rule_matters():
    finding = a_finding("Stack/Bucket", logical_id="Bucket1A2B", why="Whoever gets at it reads it.")
    judgement = a_judgement(finding)
    disposed = (Disposed(finding=finding, disposition=Disposition.OPEN),)
    made = report.findings_files([a_result("security", judgement=judgement, findings=disposed)], BLOCKING)

    (run,) = json.loads(made["findings.sarif"])["runs"]
    (rule,), (result,) = run["tool"]["driver"]["rules"], run["results"]
    assert rule["fullDescription"] == {"text": "Whoever gets at it reads it."}
    (place,) = result["locations"][0]["logicalLocations"]
    assert (place["name"], place["fullyQualifiedName"]) == ("Bucket1A2B", "Stack/Bucket")


def test_sarif_says_what_is_new_unchanged_and_gone_since_an_earlier_run():
    gone = Fixed(gate="security", finding=a_finding("d/Gone", fingerprint="f4"))
    made = report.findings_files(results(), BLOCKING, fixed=(gone,), known=("f1",))

    (run,) = json.loads(made["findings.sarif"])["runs"]
    states = {each["partialFingerprints"]["readiness/v1"]: each["baselineState"] for each in run["results"]}
    assert states == {"f1": "unchanged", "f2": "new", "f3": "new", "f4": "absent"}
    assert len(run["tool"]["driver"]["rules"]) > max(each["ruleIndex"] for each in run["results"])
