"""The report: verdict first, nothing that is missing left out, and text stays in its cell."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from readiness import report
from readiness.decision import decided
from readiness.model import (
    Candidate,
    ControlFamily,
    Disposed,
    Disposition,
    Environment,
    Fixed,
    Gap,
    Measurement,
    OpenLimit,
    Outcome,
    Severity,
    Verdict,
)
from readiness.report.figure import figure
from tests.unit.samples import T0, a_finding, a_judgement, a_plan, a_record, a_result, a_waiver

SOON = T0.date() + timedelta(days=7)


def rendered(*results, **changes):
    return told(a_record(*results, **changes))


def told(record):
    return report.markdown(record, a_plan(), decided(record, a_plan(), frozenset()))


def section(text, title):
    """Return the lines of a section."""
    return text.split(f"## {title}", 1)[1].split("\n## ", 1)[0].splitlines()


def cells(line):
    """Split a table row at its unescaped pipes."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


# --- the verdict -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outcome": Outcome.PASSED}, "Rehearsal passed (NO-GO for production)"),
        ({"outcome": Outcome.FAILED}, "Rehearsal failed (NO-GO for production)"),
        ({"outcome": Outcome.INCONCLUSIVE}, "Rehearsal inconclusive (NO-GO for production)"),
        ({"environment": Environment.AWS, "verdict": Verdict.GO}, "GO"),
        ({"environment": Environment.AWS, "verdict": Verdict.NO_GO}, "NO-GO"),
    ],
)
def test_the_verdict_comes_first(changes, words):
    record = a_record(a_result(), **changes)

    assert report.headline(record) == words
    assert told(record).splitlines()[0] == f"# shop: {words}"


def test_a_rehearsal_says_that_it_is_no_evidence_and_how_time_was_shortened():
    text = rendered(a_result())

    assert "> **Emulated.**" in text
    assert "shortened 20-fold" in text


def test_a_rehearsal_in_real_time_does_not_speak_of_shortening():
    assert "shortened" not in rendered(a_result(), time_scale=1.0)


def test_a_run_on_aws_is_not_called_emulated():
    assert "Emulated" not in rendered(a_result(), environment=Environment.AWS)


def test_a_dirty_commit_is_said_to_be():
    dirty = Candidate(commit="c0ffee" * 6, dirty=True, template_digests={}, image="shop:1")

    assert "`c0ffeec0ffee` with uncommitted changes" in rendered(a_result(), candidate=dirty)


def test_each_reason_is_said():
    text = rendered(a_result(), reasons=("load: failed: p95", "sign-off: nobody"))

    assert section(text, "Why it is not GO")[2:4] == ["- load: failed: p95", "- sign-off: nobody"]


def test_without_a_reason_nothing_stands_in_the_way():
    text = rendered(a_result(), environment=Environment.AWS, verdict=Verdict.GO, reasons=())

    assert "Nothing stands between this candidate and production." in text


def test_leftovers_are_named_before_the_reasons_with_what_to_do():
    text = rendered(a_result(), leftovers=("stack readiness-1", "queue|2"))

    assert text.index("## May still exist") < text.index("## Why it is not GO")
    assert section(text, "May still exist")[2:4] == ["- stack readiness-1", "- queue|2"]
    assert "`readiness teardown 20260301-120000-abcd`" in text


# --- silence ---------------------------------------------------------------------------------------------------------


def test_no_results_at_all_show_each_required_gate_as_not_asked():
    text = rendered(required=("load", "alarms"), outcome=Outcome.INCONCLUSIVE)

    rows = [cells(line) for line in section(text, "Gates")[4:] if line]
    assert [(row[0], row[2]) for row in rows] == [("`load`", "❔ not asked"), ("`alarms`", "❔ not asked")]
    assert "passed" not in text


def test_sections_that_would_be_empty_are_left_out():
    text = rendered()

    for title in ("Measurements", "Findings", "Gaps", "Residual", "Waivers that waive nothing", "May still exist"):
        assert f"## {title}" not in text


def test_a_gap_says_what_was_not_seen_and_why():
    text = rendered(a_result(judgement=a_judgement(gaps=(Gap(what="the log", why="it was empty"),))))

    assert "| `numbers` | the log | it was empty |" in section(text, "Gaps")


def test_a_gate_without_an_observation_has_no_link():
    assert cells(section(rendered(a_result(observation=None)), "Gates")[4])[-1] == "none"


def test_the_observation_of_a_gate_is_linked():
    row = cells(section(rendered(a_result()), "Gates")[4])

    assert row == [
        "`numbers`",
        "Are the numbers good?",
        "✅ passed",
        "yes",
        "1",
        "2.0 s",
        "[observations/numbers.json](observations/numbers.json)",
    ]


# --- findings and waivers --------------------------------------------------------------------------------------------

ODD = [
    "a | b",
    "two\nlines",
    "windows\r\nlines",
    "<script>alert(1)</script>",
    "<!-- swallows the rest",
    "`code` and ``more``",
    "[bold]markup[/bold]",
    "ends with \\",
    "\\| already escaped",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_text_stays_in_its_cell(text):
    judgement = a_judgement(
        a_finding(f"subject {text}", rule=f"fake/{text}", message=text), gaps=(Gap(what=text, why=text),)
    )
    waiver = a_waiver(subject=f"idle {text}")
    record = a_record(
        a_result(judgement=judgement), leftovers=(text,), reasons=(text, "last"), unused_waivers=(waiver,)
    )

    lines = told(record).splitlines()

    tables = [list(rows) for is_row, rows in itertools.groupby(lines, lambda line: line.startswith("|")) if is_row]
    assert len(tables) > 5
    assert all(len({len(cells(row)) for row in rows}) == 1 for rows in tables)
    assert "- last" in lines
    assert all(row.endswith("|") for rows in tables for row in rows)
    prose = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", "\n".join(lines))
    assert "<" not in prose


def test_findings_come_worst_first_and_waived_ones_last():
    judgement = a_judgement(
        a_finding("low", Severity.LOW), a_finding("waived", Severity.CRITICAL), a_finding("high", Severity.HIGH)
    )
    text = rendered(a_result(judgement=judgement, waivers=(a_waiver(subject="waived"),)))

    rows = [cells(line) for line in section(text, "Findings") if "`fake/too-much`" in line]
    assert [row[3] for row in rows] == ["`high`", "`low`", "`waived`"]
    assert rows[-1][4:] == [
        "waived",
        "It is as much as it was last year. (owner Ada, approved by Grace)",
        "2026-04-01",
    ]


def test_an_open_finding_says_how_to_mend_it_and_none_is_said_to_be_none():
    judgement = a_judgement(replace(a_finding(), help="Encrypt it."))

    assert "| Encrypt it. |" in rendered(a_result(judgement=judgement))
    waived = rendered(a_result(judgement=judgement, waivers=(a_waiver(subject="*"),)))
    assert "### Open\n\nNone." in waived


def test_a_false_positive_shows_its_proof_and_an_end_that_is_near_is_marked():
    entry = replace(
        a_waiver(subject="*"), disposition="false-positive", evidence="The bucket holds a public key.", expires=SOON
    )
    text = rendered(a_result(judgement=a_judgement(a_finding()), waivers=(entry,)))

    (row,) = [cells(line) for line in section(text, "Findings") if "`fake/too-much`" in line]
    assert row[4] == "false-positive"
    assert "Proof: The bucket holds a public key." in row[5]
    assert row[6] == f"{SOON} ⚠ soon"


def test_open_findings_are_counted_by_severity_in_each_control_family():
    judgement = a_judgement(
        replace(a_finding("a"), family=ControlFamily.IAM),
        replace(a_finding("b", Severity.LOW), family=ControlFamily.IAM),
        a_finding("c"),
    )
    lines = section(rendered(a_result(judgement=judgement)), "Findings")

    assert ["iam", "0", "1", "0", "1", "0"] in [cells(line) for line in lines]
    assert ["no control", "0", "1", "0", "0", "0"] in [cells(line) for line in lines]


def test_what_is_fixed_is_told_with_the_run_that_had_it():
    fixed = (Fixed(gate="security", finding=a_finding("gone")),)
    text = told(a_record(a_result(), compared_with="20260101-000000-aaaa", fixed=fixed))

    assert "### Fixed since `20260101-000000-aaaa`" in text
    assert "| HIGH | `security` | `fake/too-much` | `gone` |" in text


def test_a_limit_that_is_exceeded_is_told():
    limited = replace(
        a_judgement(a_finding(severity=Severity.MEDIUM)), limits=(OpenLimit(severity=Severity.MEDIUM, most=0),)
    )

    assert "1 MEDIUM findings are open, at most 0 may be" in rendered(a_result(judgement=limited))


def test_critical_and_high_are_counted_even_when_there_are_none():
    text = rendered(a_result(judgement=a_judgement(a_finding(severity=Severity.LOW))))

    rows = [cells(line) for line in section(text, "Findings")[4:7]]
    assert rows == [["CRITICAL", *"0000"], ["HIGH", *"0000"], ["LOW", *"1000"]]


def test_more_findings_than_a_page_holds_are_counted():
    judgement = a_judgement(*(a_finding(f"subject-{index}") for index in range(60)))

    text = rendered(a_result(judgement=judgement))

    assert "… and 10 more, all in `findings.csv`." in text
    assert text.count("`fake/too-much`") == 50


def test_a_waiver_in_force_is_a_residual_risk_named_once():
    judgement = a_judgement(a_finding("value-0"), a_finding("value-1"))
    text = rendered(a_result(judgement=judgement, waivers=(a_waiver(subject="value-*"),)))

    rows = [cells(line) for line in section(text, "Accepted by waiver")[4:] if line]
    assert rows == [
        ["`fake/too-much`", "`value-*`", "It is as much as it was last year.", "Ada", "Grace", "2026-04-01"]
    ]


def test_a_waiver_that_waives_nothing_is_to_be_deleted():
    text = rendered(a_result(), unused_waivers=(a_waiver(),))

    assert "delete them" in text
    assert "| `fake/too-much` | `value-0` | Ada | 2026-04-01 |" in section(text, "Waivers that waive nothing")


# --- measurements ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "threshold", "comparison", "cell", "margin"),
    [
        (200, 250, "<=", "✅ ≤ 250 ms", "+20%"),
        (250, 250, "<=", "✅ ≤ 250 ms", "+0%"),
        (300, 250, "<=", "❌ ≤ 250 ms", "-20%"),
        (300, 250, ">=", "✅ ≥ 250 ms", "+20%"),
        (200, 250, ">=", "❌ ≥ 250 ms", "-20%"),
        (9, 10, "<", "✅ < 10 ms", "+10%"),
        (10, 10, "<", "❌ < 10 ms", "+0%"),
        (0, 0, "<=", "✅ ≤ 0 ms", ""),
        (1, 0, "<=", "❌ ≤ 0 ms", ""),
    ],
)
def test_a_measurement_is_held_against_its_threshold(value, threshold, comparison, cell, margin):
    measurement = Measurement(
        name="p95",
        value=value,
        unit="ms",
        samples=12345,
        threshold=threshold,
        comparison=comparison,
        interval=(210, 240),
    )

    row = cells(section(rendered(a_result(judgement=a_judgement(measurements=(measurement,)))), "Thresholds")[4])

    assert row == ["`numbers`", "p95", figure(value, "ms"), "210 to 240", cell, margin, "12,345"]


def test_a_measurement_without_a_threshold_stands_apart():
    measurement = Measurement(name="throughput", value=1, unit="1/s", samples=12345)
    report = rendered(a_result(judgement=a_judgement(measurements=(measurement,))))

    assert cells(section(report, "Other figures")[4]) == ["`numbers`", "throughput", "1/s", "12,345"]
    assert "## Thresholds" not in report


def test_percentiles_are_one_row_of_each_distribution_with_what_they_are_sure_of():
    measurements = (
        Measurement(name="p50", value=1, unit="ms", samples=900, interval=(0.9, 1.1)),
        Measurement(name="p99.9", value=20, unit="ms", samples=900),
        Measurement(name="chat/cache-hit-p50", value=3, unit="ms", samples=12345),
        Measurement(name="chat/proxy-p95", value=4, unit="ms", samples=12),
    )
    report = rendered(a_result(judgement=a_judgement(measurements=measurements)))

    assert [cells(line) for line in section(report, "Percentiles") if line.startswith("| `")] == [
        ["`numbers`", "all", "1 ms (0.90 to 1.10)", "", "20 ms", "900"],
        ["`numbers`", "chat/cache-hit", "3 ms", "", "", "12,345"],
        ["`numbers`", "chat/proxy", "", "4 ms", "", "12"],
    ]
    assert "## Other figures" not in report


def test_what_was_looked_at_of_each_security_control_is_one_row():
    measurements = tuple(
        Measurement(name=f"{family}.{what}", value=value, unit="results", samples=7)
        for family, counts in (("iam", (174, 173, 1, 0)), ("resilience", (0, 0, 0, 0)))
        for what, value in zip(("examined", "passed", "failed", "skipped"), counts, strict=True)
    )
    waived = Disposed(finding=a_finding(family=ControlFamily.IAM), disposition=Disposition.WAIVED, waiver=a_waiver())
    report = rendered(a_result(judgement=a_judgement(measurements=measurements), findings=(waived,)))

    assert [cells(line) for line in section(report, "Security controls") if line.startswith("| `")] == [
        ["`numbers`", "iam", "7", "174", "173", "1", "0", "1"],
        ["`numbers`", "resilience", "7", "0", "0", "0", "0", "0"],
    ]
    assert "## Other figures" not in report


def test_what_a_gate_notes_is_told_with_it():
    report = rendered(a_result(judgement=a_judgement(notes=("Closed workload: 5 users.",))))

    assert "- `numbers`: Closed workload: 5 users." in section(report, "Gates")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "ratio", "1.23%"),
        (0, "ms", "0 ms"),
        (5.0, "s", "5 s"),
        (0.123, "s", "0.12 s"),
        (12.34, "ms", "12.3 ms"),
        (1234.5, "", "1,234"),
        (-12.34, "ms", "-12.3 ms"),
    ],
)
def test_a_figure_has_as_many_digits_as_a_person_reads(value, unit, text):
    assert figure(value, unit) == text


# --- who and on what -------------------------------------------------------------------------------------------------


def test_a_missing_signature_is_said_to_be():
    assert "| release | Ada | missing |  |  |  |  |" in section(rendered(a_result()), "Sign-off")


def test_the_report_names_every_digest_that_it_rests_on():
    record = a_record(a_result())
    candidate = replace(record.candidate, template_digests={"shop.template.json": "sha256:3"})

    text = told(replace(record, candidate=candidate))

    for digest in ("sha256:1", "sha256:2", "sha256:3"):
        assert f"`{digest}`" in text


def test_the_report_says_where_the_time_went():
    assert "| Deploy the clone | 30.0 s |" in section(rendered(a_result()), "Where the time went")


def test_the_length_of_the_run_is_said():
    assert "2026-03-01 12:00 UTC · 180 s ·" in rendered(a_result(), decided_at=T0 + timedelta(minutes=3))
