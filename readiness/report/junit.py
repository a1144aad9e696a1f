"""Gates as JUnit XML, which continuous integration shows: a test suite for each gate.

A finding is a test case: open ones fail, waived ones are skipped with their reason. A gap is an error. A gate that saw
everything and found nothing has one test case, that passes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from xml.etree import ElementTree as ET

from readiness import decide
from readiness.model import Disposed, Disposition, Gap, GateResult, Severity

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(results: Sequence[GateResult], blocking: Collection[Severity]) -> bytes:
    """Return a test suite for each gate.

    Args:
        results: What the gates came to.
        blocking: Severities of which an open finding fails its gate; others are told in the output of a passing case.
    """
    root = ET.Element("testsuites", name="readiness")
    for result in results:
        root.append(_suite(result, blocking))
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root, " ")
    return b"%s\n" % ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _suite(result: GateResult, blocking: Collection[Severity]) -> ET.Element:
    cases = [_of_finding(result.gate, each, blocking) for each in result.findings]
    cases += [_of_limit(result.gate, said) for said in decide.exceeded(result.judgement.limits, result.findings)]
    cases += [_of_gap(result.gate, gap) for gap in result.judgement.gaps]
    if not cases:
        cases = [ET.Element("testcase", classname=result.gate, name=_text(result.question))]
        if result.judgement.examined <= 0:
            ET.SubElement(cases[0], "error", message="nothing was examined", type="gap")
    seconds = (result.ended_at - result.started_at).total_seconds()
    suite = ET.Element(
        "testsuite",
        name=result.gate,
        timestamp=result.started_at.strftime("%Y-%m-%dT%H:%M:%S"),
        time=f"{seconds:.3f}",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
    )
    suite.extend(cases)
    return suite


def _of_finding(gate: str, each: Disposed, blocking: Collection[Severity]) -> ET.Element:
    finding, waiver = each.finding, each.waiver
    case = ET.Element("testcase", classname=gate, name=_text(f"{finding.rule} {finding.subject}"))
    said = f"{finding.severity}: {finding.message}"
    if each.disposition is not Disposition.OPEN and waiver is not None:
        proof = f" Proof: {waiver.evidence}" if waiver.evidence else ""
        why = f"{each.disposition} until {waiver.expires} by {waiver.approver}: {waiver.reason}{proof}"
        ET.SubElement(case, "skipped", message=_text(why))
    elif finding.severity in blocking:
        failure = ET.SubElement(case, "failure", message=_text(said), type=str(finding.severity))
        failure.text = _text(finding.help)
    else:
        ET.SubElement(case, "system-out").text = _text(said)
    return case


def _of_limit(gate: str, said: str) -> ET.Element:
    """Return a case for a limit of the plan that more open findings exceed, whatever each of them is."""
    case = ET.Element("testcase", classname=gate, name="no more findings are open than the plan allows")
    ET.SubElement(case, "failure", message=_text(said), type="limit")
    return case


def _of_gap(gate: str, gap: Gap) -> ET.Element:
    case = ET.Element("testcase", classname=gate, name=_text(gap.what))
    ET.SubElement(case, "error", message=_text(gap.why), type="gap")
    return case


def _text(text: str) -> str:
    """Return *text* without characters that XML cannot hold."""
    return _NOT_XML.sub("�", text)
