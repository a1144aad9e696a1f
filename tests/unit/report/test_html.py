"""The page: every figure is the record's, nothing that is missing looks like a pass, and text stays text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from readiness import decide, evidence, load_result, stats
from readiness.alarm_wiring import Subscriber
from readiness.load_figures import decoded, latencies_of
from readiness.loadgen import rows
from readiness.model import (
    ControlFamily,
    Environment,
    Fixed,
    Gap,
    GateResult,
    Judgement,
    OpenLimit,
    Severity,
    Stage,
    Verdict,
)
from readiness.report import html
from readiness.report.figure import figure
from readiness.report.html import page as page_module
from readiness.report.markdown import markdown
from readiness.report.text import visible
from readiness.report.thresholds import Standing, margin, thresholds
from tests.unit.report.bundles import (
    NASTY,
    T0,
    Story,
    a_drive,
    a_finding,
    a_signature,
    a_waiver,
    alarms_seen,
    content,
    coverage,
    load_seen,
    plan,
    rollback_seen,
    step_run,
)
from tests.unit.report.pages import Page

STYLE = (Path(page_module.__file__).parent / "templates" / "style.css").read_text()


def rendered(tmp_path, story=None, **changes):
    story = story or Story(**changes)
    made = content(tmp_path / "bundle", story)
    return Page(html.as_html(made).decode()), made


# --- figures ---------------------------------------------------------------------------------------------------------


def test_every_figure_of_the_threshold_table_is_the_record_s(tmp_path):
    page, made = rendered(tmp_path, drive=a_drive(failed=50))
    shown = {row[0].text: row for row in page.table("Thresholds").rows[1:]}
    held = {each.name: each for each in thresholds(made.record.results, made.plan)}
    recorded = [
        each for result in made.record.results for each in result.judgement.measurements if each.threshold is not None
    ]

    assert shown.keys() == held.keys()
    assert {each.name for each in recorded} <= shown.keys()
    assert {each.standing for each in held.values()} == {Standing.MET, Standing.MISSED, Standing.UNOBSERVED}
    for each in recorded:
        what, measured, limit, _, left, samples, interval, _ = shown[each.name]
        assert float(measured.values[0]) == each.value
        assert measured.text == figure(each.value, each.unit)
        assert float(limit.values[0]) == each.threshold
        assert int(samples.values[0]) == each.samples
        assert [float(value) for value in left.values] == ([] if margin(each) is None else [margin(each)])
        assert str(held[each.name].standing) in shown[each.name][3].text
        assert (" to " in interval.text) == (each.interval is not None), what.text


def test_every_figure_of_the_load_is_the_record_s(tmp_path):
    page, made = rendered(tmp_path)
    shown = {row[0].text: row for row in page.table("Figures of the gate load").rows[1:]}
    recorded = made.measurements("load")

    assert shown.keys() == recorded.keys()
    for name, each in recorded.items():
        assert float(shown[name][1].values[0]) == each.value
        assert shown[name][3].text == f"{each.samples:,}"


def test_the_numbers_of_the_latency_plot_are_those_of_the_evidence(tmp_path):
    drive = a_drive(silent=range(20, 23))
    page, _ = rendered(tmp_path, drive=drive)
    shown = page.table("Latency over time").rows[1:]

    assert [row[0].text for row in shown] == [str(second) for second in range(35)]
    for second, row in enumerate(shown):
        of_it = load_result.window(drive.rows, range(second, second + 1))
        for percent, cell in zip((50, 95, 99), row[1:], strict=True):
            if second in range(20, 23):
                assert cell.text == "–"
            else:
                assert float(cell.text) == pytest.approx(load_result.percentile_ms(of_it, percent), abs=5e-4)


def test_the_numbers_of_the_distribution_are_those_of_the_evidence(tmp_path):
    drive = a_drive()
    page, _ = rendered(tmp_path, drive=drive)
    seen = load_seen(drive, "")
    whole = rows.over_all({given.scenario: decoded(given) for given in seen.scenarios})
    shown = {row[0].text: row[1].text for row in page.table("Latency distribution").rows[1:]}

    assert shown.pop("samples") == f"{latencies_of(whole).total:,}"
    assert {"p50", "p95", "p99", "p99.9"} <= shown.keys()
    for name, text in shown.items():
        assert float(text) == pytest.approx(stats.percentile_ms(latencies_of(whole), float(name[1:])), abs=5e-4)


def test_the_numbers_of_the_throughput_plot_add_up_to_what_was_offered(tmp_path):
    page, _ = rendered(tmp_path)

    assert sum(float(row[1].text) for row in page.table("Throughput over time").rows[1:]) == 3500


def test_failed_requests_are_drawn_and_none_is_said(tmp_path):
    page, _ = rendered(tmp_path / "a", drive=a_drive(failed=50))
    assert sum(float(row[1].text) for row in page.table("Failed requests over time").rows[1:]) == 50

    page, _ = rendered(tmp_path / "b")
    assert "none of the 3,500 requests of the drive failed (at most 1.00%" in page.text


def test_the_same_bundle_makes_the_same_page(tmp_path):
    made = content(tmp_path / "bundle")

    assert html.as_html(made) == html.as_html(made)


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_the_verdict_comes_first_and_an_emulated_run_says_so_beside_it(tmp_path):
    page, _ = rendered(tmp_path)
    before_missing = page.text.split("What is missing")[0]

    assert "NO-GO" in before_missing
    assert "Emulated" in before_missing
    assert "20-fold" in before_missing
    assert "Rehearsal inconclusive" in before_missing


def test_a_go_on_aws_is_not_called_emulated(tmp_path):
    changes = {"environment": Environment.AWS, "verdict": Verdict.GO, "reasons": ()}
    made = content(tmp_path / "bundle", Story(changes=changes))
    signed = tuple(a_signature(role) for role in plan().owners)
    page = Page(html.as_html(replace(made, decision=replace(made.decision, signatures=signed))).decode())

    assert "mulated" not in page.text
    assert "NO-GO" not in page.text
    assert "Nothing stands between this candidate and production." in page.text
    assert "3 of 3" in page.text


def test_reasons_gaps_and_leftovers_are_named(tmp_path):
    gap = Gap(what="encryption", why="no rule looked at it")
    page, made = rendered(tmp_path, gaps=(gap,), changes={"leftovers": ("queue q-1",)})

    assert all(reason in page.text for reason in made.record.reasons)
    assert [cell.text for cell in page.table("Gaps").rows[-1]] == ["security", "encryption", "no rule looked at it"]
    assert page.table("What may still exist").rows[1][0].text == "queue q-1"
    assert "readiness teardown 20260301-120000-abcd" in page.text


def test_a_required_gate_that_was_not_asked_has_a_row(tmp_path):
    page, _ = rendered(tmp_path)
    shown = {row[0].text: row[2].text for row in page.table("Gates").rows[1:]}

    assert "not asked" in shown["leftovers"]
    assert "passed" in shown["rollback"]


def tiles(page):
    return [each.get("class") for each in page.named("li") if each.get("class") in ("good", "bad", "unknown")]


def test_figures_that_were_all_met_are_no_pass_while_a_required_gate_was_not_asked(tmp_path):
    some = replace(plan(), gates=replace(plan().gates, required=("alarms", "rollback", "leftovers")))
    page, _ = rendered(tmp_path / "a", plan=some, drive=None, runbooks=None)
    assert tiles(page) == ["unknown"] * 5
    assert page.text.count("; 1 required gate not asked") == 3

    some = replace(plan(), gates=replace(plan().gates, required=("alarms", "rollback")), objectives=())
    page, _ = rendered(tmp_path / "b", plan=some, drive=None, runbooks=None)
    assert tiles(page) == ["good"] * 4 + ["unknown"], "nobody has signed"
    assert "not asked" not in page.text.split("Load")[0]


# --- what is not there -----------------------------------------------------------------------------------------------


def test_a_run_that_saw_nothing_says_not_observed_and_never_looks_like_a_pass(tmp_path):
    page, _ = rendered(tmp_path, drive=None, rollback=None, alarms=None, runbooks=None)

    assert page.text.count("Not observed.") >= 5
    assert not [each for each in page.named("span") if (each.get("class") or "").startswith("badge good")]
    assert Counter(tiles(page)) == {"unknown": 5}
    assert "No gate was asked, so nothing is known of any finding" in page.text
    assert "No finding is open" not in page.text
    assert [each for each in page.named("svg") if "plot" in (each.get("class") or "")] == []


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("load", "What the gate load saw cannot be read"),
        ("rollback", "What the gate rollback saw cannot be read"),
        ("alarms", "What the gate alarms saw cannot be read"),
        ("runbooks", "What the gate runbooks saw cannot be read"),
    ],
)
@pytest.mark.parametrize("left", ["", "{}", None], ids=["cut short", "of another version", "missing"])
def test_an_observation_that_cannot_be_read_is_named_and_the_rest_is_told(tmp_path, gate, said, left):
    made = content(tmp_path / "bundle")
    file = made.root / evidence.observation_path(gate)
    file.unlink() if left is None else file.write_text(left)
    page = Page(html.as_html(made).decode())

    assert said in page.text
    assert page.text.count("saw cannot be read") == 1
    assert str(tmp_path) not in page.text
    assert "Thresholds, fixed before the run" in page.text


def test_seconds_that_cannot_be_read_are_named_and_the_figures_stay(tmp_path):
    made = content(tmp_path / "bundle")
    (made.root / "artifacts/load/rows.json.gz").write_bytes(b"\x1f\x8b")
    page = Page(html.as_html(made).decode())

    assert "The seconds of the drive cannot be read" in page.text
    assert page.table("The hold, by scenario and tag").rows[1][0].text == "all requests"


def test_a_drive_in_which_nothing_was_answered_has_no_latency(tmp_path):
    page, _ = rendered(tmp_path, drive=a_drive(silent=range(35)))

    assert "No request was answered" in page.text
    assert "No request ended, so nothing is known of errors." in page.text
    assert "none of the" not in page.text


def test_a_rollback_that_ecs_never_told_of_is_not_observed(tmp_path):
    page, _ = rendered(tmp_path, rollback=rollback_seen(release=None))

    assert "ECS listed no deployment of the bad release" in page.text


def test_a_step_of_an_alarm_that_was_never_seen_says_so(tmp_path):
    seen = alarms_seen()
    drilled = replace(seen.drills[0], alarm_message=None, ok_at=None, ok_message=None)
    page, _ = rendered(tmp_path, alarms=replace(seen, drills=(drilled,), undrilled={"other": "it is shy"}))

    row = page.table("Each alarm").rows[1]
    assert ["not seen" in cell.text for cell in row[3:]] == [False, True, True, True]
    assert "never seen: 3, 5, 6" in page.text
    assert "Alarms that were not drilled: other (it is shy)." in page.text


def test_a_control_of_which_nothing_was_examined_is_no_clean_bill(tmp_path):
    measurements = (*coverage("iam", 4), *coverage("network", 0))
    page, _ = rendered(tmp_path, measurements=measurements)

    assert "Nothing was examined of network by the gate security." in page.text
    assert "Nothing was examined of iam" not in page.text


# --- drills ----------------------------------------------------------------------------------------------------------


def test_the_instants_of_the_rollback_are_in_order_with_their_seconds(tmp_path):
    page, _ = rendered(tmp_path)
    told = re.findall(r"\+([\d.]+) s: (\w+)", page.text)

    automatic = [("0.0", "inject"), ("19.0", "detect"), ("20.0", "decide"), ("30.0", "recover"), ("30.0", "rolled")]
    assert told[:5] == automatic
    assert [word for _, word in told[5:11]] == ["inject", "effective", "detect", "decide", "recover", "rolled"]


def test_what_the_clients_saw_of_a_rehearsal_is_told_before_during_and_after(tmp_path):
    page, _ = rendered(tmp_path)

    rows = [[cell.text for cell in row] for row in page.table("What the clients saw").rows[1:]]
    assert [row[1:4] for row in rows[:3]] == [
        ["before", "320", "0"],
        ["from the order on", "1,240", "98"],
        ["after", "400", "0"],
    ]


def test_the_steps_of_a_runbook_that_was_followed_are_told_with_their_outcome(tmp_path):
    seen = rollback_seen()
    steps = (step_run("find-previous"), step_run("restore", "it ended with exit code 1"))
    failed = replace(seen.rehearsals[1], steps=steps)
    page, _ = rendered(tmp_path, rollback=replace(seen, rehearsals=(seen.rehearsals[0], failed)))

    rows = [[cell.text for cell in row] for row in page.table("Steps of runbooks/rollback.md").rows[1:]]
    assert [(row[0], row[2], row[3]) for row in rows] == [("find-previous", "0", "2.0 s"), ("restore", "1", "2.0 s")]
    assert "it ended with exit code 1" in rows[1][1]


def test_rate_errors_and_p95_of_the_rollback_are_those_of_its_seconds(tmp_path):
    kept = "artifacts/rollback/rows.json.gz"
    story = Story(rollback=rollback_seen(artifact=kept, injected_at=T0 + timedelta(seconds=8)))
    page, _ = rendered(tmp_path, story)
    drive = story.rollback_drive

    rate = page.table("Rollback: throughput over time").rows[1:]
    assert [row[0].text for row in rate] == [str(second - 8) for second in range(45)], "from the order of the release"
    assert sum(float(row[1].text) for row in rate) == 45 * 40
    assert sum(float(row[1].text) for row in page.table("Rollback: failed requests over time").rows[1:]) == 90
    for second, row in enumerate(page.table("Rollback: latency over time").rows[1:]):
        of_it = load_result.window(drive.rows, range(second, second + 1))
        answered = load_result.total(of_it).latencies().total
        shown = f"{load_result.percentile_ms(of_it, 95):.3f}".rstrip("0").rstrip(".") if answered else "–"
        assert row[1].text == shown
    assert "no request rate" not in page.text


def test_a_drill_whose_seconds_were_not_kept_says_so(tmp_path):
    page, _ = rendered(tmp_path)

    why = "Request rate, errors and latency by second. The bundle does not hold the seconds of this drill's load."
    assert why in page.text


def test_the_latencies_of_an_alarm_are_those_of_the_observation(tmp_path):
    page, _ = rendered(tmp_path)

    assert [cell.values for cell in page.table("Each alarm").rows[1][3:]] == [["6.0"], ["1.0"], ["5.0"], ["1.0"]]


def test_whom_each_alarm_tells_and_who_listens_is_told_with_what_is_wrong_of_it(tmp_path):
    seen = alarms_seen()
    (alarm,) = seen.wiring.alarms
    waiting = Subscriber(protocol="email", endpoint="bob@example.com", confirmed=False)
    muted = Subscriber(protocol="email", endpoint="eve@example.com", confirmed=True, filter_policy='{"a": ["b"]}')
    wiring = replace(
        seen.wiring,
        alarms=(replace(alarm, ok_actions=(), actions_enabled=False, runbook_found=False),),
        subscribers=(*seen.wiring.subscribers, waiting, muted),
    )
    page, _ = rendered(tmp_path, alarms=replace(seen, wiring=wiring, taken_as_confirmed=("ada@example.com",)))

    told = [cell.text for cell in page.table("Before the drills").rows[1]]
    assert [words.lstrip("✓✕? ") for words in told] == [
        "error-ratio",
        "to the topic",
        "not told",
        "disabled",
        "runbooks/high-error-rate.md",
    ]
    listeners = [[cell.text for cell in row] for row in page.table("Who listens").rows[1:]]
    assert "taken as confirmed: emulated" in listeners[0][3]
    assert "not confirmed: gets nothing" in listeners[1][3]
    assert listeners[2][4] == 'over MessageAttributes: {"a": ["b"]}'


def test_nobody_who_listens_is_said(tmp_path):
    seen = alarms_seen()
    page, _ = rendered(tmp_path, alarms=replace(seen, wiring=replace(seen.wiring, subscribers=())))

    assert "Nobody listens to the topic but the harness's own inbox." in page.text


def test_every_message_is_told_with_its_id_and_those_that_never_came_are_too(tmp_path):
    seen = alarms_seen()
    page, _ = rendered(tmp_path, alarms=replace(seen, drills=(replace(seen.drills[0], ok_message=None),)))

    rows = [[cell.text for cell in row] for row in page.table("Each message").rows[1:]]
    assert [row[2].lstrip("? ") for row in rows] == ["message-alarm", "none received"]


# --- findings --------------------------------------------------------------------------------------------------------


def test_findings_are_counted_by_severity_and_family(tmp_path):
    findings = tuple(a_finding(number) for number in range(40))
    page, made = rendered(tmp_path, findings=findings)
    head, *shown = page.table("Findings by severity and control family").rows
    families = [cell.text for cell in head[1:]]
    counted = Counter(
        (str(each.finding.severity).capitalize(), str(each.finding.family or "no security control"))
        for result in made.record.results
        for each in result.findings
    )

    assert families == [*(str(family) for family in ControlFamily), "no security control"]
    for row in shown:
        for family, cell in zip(families, row[1:], strict=True):
            assert cell.text == str(counted[row[0].text, family])
    assert counted.total() >= 40


def test_open_findings_come_first_and_a_waived_one_names_who_accepted_it_until_when(tmp_path):
    findings = (a_finding(0), a_finding(1), a_finding(2))
    page, _ = rendered(tmp_path, findings=findings, waivers=(a_waiver(),))

    opened = [row[0].text for row in page.table("Open findings").rows[1:]]
    assert "Stack/Thing/Number1gate security" in opened
    assert "Stack/Thing/Number0gate security" not in opened
    waived = page.table("Findings that somebody accepted until a day").rows[1]
    for words in ("waived until 2026-04-01", "owner Ada", "approved by Grace", "T-1"):
        assert words in waived[4].text
    assert page.table("In force").rows[1][4].text == "It is as much as it was last year."


def test_a_false_positive_shows_its_proof(tmp_path):
    proven = a_waiver(disposition="false-positive", evidence="See test T-9.")
    page, _ = rendered(tmp_path, findings=(a_finding(0),), waivers=(proven,))

    said = page.table("Findings that somebody accepted until a day").rows[1][4].text
    assert "false-positive until 2026-04-01" in said
    assert "proof: See test T-9." in said
    assert "proof: See test T-9." in page.table("In force").rows[1][4].text


def test_what_is_new_and_what_is_fixed_since_an_earlier_run_is_told(tmp_path):
    old, new, gone = a_finding(1), a_finding(6), a_finding(11)
    changes = {
        "compared_with": "20260228-120000-aaaa",
        "known": (old.mark,),
        "fixed": (Fixed(gate="security", finding=gone),),
    }
    page, _ = rendered(tmp_path, findings=(old, new), runbooks=None, drive=None, changes=changes)
    shown = {row[0].text: row[1].text for row in page.table("Open findings").rows[1:]}

    assert shown["Stack/Thing/Number1gate security"].endswith("High")
    assert shown["Stack/Thing/Number6gate security"].endswith("Highnew")
    fixed = page.table("Findings of run 20260228-120000-aaaa that are gone")
    assert [row[0].text for row in fixed.rows[1:]] == ["Stack/Thing/Number11gate security"]


def test_without_an_earlier_run_nothing_is_called_new_or_fixed(tmp_path):
    page, _ = rendered(tmp_path, findings=(a_finding(1),))

    assert "There is no earlier run to compare with" in page.text
    assert "new" not in {row[1].text[-3:] for row in page.table("Open findings").rows[1:]}


def test_more_open_findings_than_the_plan_allows_are_said(tmp_path):
    limit = OpenLimit(severity=Severity.LOW, most=1)
    page, _ = rendered(tmp_path, findings=(a_finding(3), a_finding(8)), limits=(limit,))

    assert "Gate security: 2 LOW findings are open, at most 1 may be." in page.text


def test_three_hundred_findings_are_all_there_and_the_worst_are_not_folded_away(tmp_path):
    page, _ = rendered(tmp_path, findings=tuple(a_finding(number) for number in range(300)))
    (shown,) = [table.rows for table in page.tables if table.caption == "Open findings, worst first"]
    subjects = {
        row[0].text for table in page.tables if table.caption.startswith("Open findings") for row in table.rows[1:]
    }

    assert len({each for each in subjects if each.startswith("Stack/Thing/Number")}) == 300
    assert {row[1].text[1:] for row in shown[1:]} == {"Critical"}


def test_no_findings_are_said_with_what_that_rests_on(tmp_path):
    page, _ = rendered(tmp_path, runbooks=None, drive=None)

    assert "No finding is open. 2 gates looked, none with a gap." in page.text


# --- text from elsewhere ---------------------------------------------------------------------------------------------


def nasty(tmp_path):
    findings = (
        a_finding(0, message=NASTY, subject=NASTY, rule=NASTY, help=NASTY, severity=Severity.HIGH),
        a_finding(1, subject=NASTY),
    )
    waivers = (a_waiver(rule="checkov/CKV_AWS_1", owner=NASTY, approver=NASTY[::-1], reason=NASTY, ticket=NASTY),)
    changes = {"leftovers": (NASTY,), "reasons": (NASTY,), "troubles": (NASTY,), "run_id": NASTY}
    return Story(findings=findings, gaps=(Gap(what=NASTY, why=NASTY),), waivers=waivers, changes=changes)


def test_text_from_elsewhere_stays_text(tmp_path):
    made = content(tmp_path / "bundle", nasty(tmp_path))
    text = html.as_html(made).decode()
    page = Page(text)

    assert len(page.named("script")) == 1
    assert "<script>alert" not in text
    assert page.text.count("<script>alert(1)</script>\"'&") >= 10
    assert page.unclosed == []
    assert not [tag for tag, attributes in page.tags if any(name.startswith("on") for name in attributes)]


def test_characters_that_turn_or_hide_text_are_spelled_out_and_letters_stay(tmp_path):
    text = html.as_html(content(tmp_path / "bundle", nasty(tmp_path))).decode()

    assert "‮" not in text
    assert "⟨U+202E⟩evil" in text
    assert "שלום" in text


def test_nothing_that_is_not_text_gets_into_the_page():
    assert visible("a\x00b\x1b[31m\ud800c\tд\n") == "a⟨U+0000⟩b⟨U+001B⟩[31m⟨U+D800⟩c\tд\n"


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_file_asks_for_nothing_from_elsewhere_and_its_policy_allows_only_its_own(tmp_path):
    page, _ = rendered(tmp_path, findings=(a_finding(1, help="https://docs.aws.amazon.com/x"),))
    (policy,) = [each["content"] for each in page.named("meta") if each.get("http-equiv")]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for name, attributes in page.tags:
        assert name not in ("link", "img", "iframe", "object", "base", "form", "audio", "video")
        assert "style" not in attributes, "the policy would block it"
        assert not attributes.keys() & {"src", "srcset", "action"}
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_the_document_is_well_formed_and_its_parts_are_named(tmp_path):
    page, _ = rendered(tmp_path, findings=tuple(a_finding(number) for number in range(40)))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]

    assert page.unclosed == []
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for attributes in page.named("a")} <= set(ids)
    referred = {each for _, attributes in page.tags for each in (attributes.get("aria-labelledby") or "").split()}
    assert referred <= set(ids)
    assert [len(page.named(tag)) for tag in ("h1", "main", "nav", "header", "footer")] == [1, 1, 1, 1, 1]
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(table.caption for table in page.tables)
    assert all(each.get("scope") in ("col", "row") for each in page.named("th"))


def test_every_plot_has_its_numbers_as_a_table(tmp_path):
    page, _ = rendered(tmp_path)

    plots = {each["aria-labelledby"].split("-wide")[0] for each in page.named("svg") if "wide" in each.get("class", "")}
    assert {"load-latency", "load-throughput", "latency-distribution", "split"} <= plots
    numbered = sum(table.caption.endswith(": the numbers") for table in page.tables)
    assert numbered == len(plots) - 1, "the alarms have a table of their own"


def colours(block):
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_every_text_has_a_contrast_of_at_least_4_5(scheme):
    found = [colours(block) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)]
    assert len(found) == 3
    of = found[0] | found[scheme]
    texts = ["text", "muted", "link", "limit", "good", "bad", "unknown", "warn", "s1", "s2", "s3", "s4", "s5"]
    pairs = [(name, back) for name in texts for back in ("page", "surface")]
    pairs += [(name, f"{name}-back") for name in ("good", "bad", "unknown", "warn", "plain")]
    pairs += [("page", "mark"), ("limit", "span"), ("muted", "span")]

    assert {
        pair: round(contrast(of[pair[0]], of[pair[1]]), 2) for pair in pairs if contrast(*(of[n] for n in pair)) < 4.5
    } == {}


# --- after the cutover -----------------------------------------------------------------------------------------------


def gone_live(*findings, gaps=()):
    """Return what a look at production came to."""
    judgement = Judgement(examined=3, findings=findings, gaps=gaps, notes=("rehearsal: no evidence of production",))
    disposed = decide.dispose(findings, (), T0.date())
    return GateResult(
        gate="go-live",
        question="Does production run what was approved, and is it healthy?",
        stage=Stage.AFTER_CUTOVER,
        required=False,
        outcome=decide.outcome(judgement, disposed, (Severity.HIGH,)),
        judgement=judgement,
        findings=disposed,
        observation="go-live/observation.json",
        started_at=T0,
        ended_at=T0 + timedelta(minutes=1),
    )


def test_what_was_found_in_production_is_told_where_somebody_has_looked(tmp_path):
    _, made = rendered(tmp_path)
    wrong = a_finding(1, rule="go-live/other-digest", subject="service", message=NASTY, severity=Severity.HIGH)
    found = gone_live(wrong, gaps=(Gap(what="probe", why="no answer from here"),))

    before = html.as_html(made).decode()
    page = Page(html.as_html(replace(made, gone_live=found)).decode())

    assert "After the cutover" not in before
    assert "After the cutover" in page.text
    assert "rehearsal: no evidence of production" in page.text
    assert page.table("Where production is not as approved").rows[1][0].text.startswith("service")
    assert page.table("What should have been seen in production").rows[1][1].text == "no answer from here"
    assert page.unclosed == []


def test_the_markdown_tells_it_too(tmp_path):
    _, made = rendered(tmp_path)

    told = markdown(
        made.record, made.plan, made.decision, gone_live=gone_live(gaps=(Gap(what="probe", why="silence"),))
    )

    assert "## After the cutover\n\n❔ inconclusive: production was looked at on 2026-03-01 12:01 UTC" in told
    assert "- not seen: probe: silence" in told
    assert "After the cutover" not in markdown(made.record, made.plan, made.decision)
