"""The decision: worst-of, and silence is never a pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readiness.decide import (
    ExitCode,
    covers,
    dispose,
    exceeded,
    exit_code,
    outcome,
    register_result,
    required_outcome,
    unused,
    verdict,
    worst,
)
from readiness.model import (
    ControlFamily,
    Disposition,
    Environment,
    Gap,
    Judgement,
    OpenLimit,
    Outcome,
    Severity,
    Verdict,
)
from tests.unit.samples import BLOCKING, T0, a_finding, a_judgement, a_record, a_result, a_waiver

TODAY = T0.date()
RANKS = list(Outcome)
GAP = Gap(what="the log", why="it was empty")

findings = st.lists(
    st.builds(
        a_finding,
        subject=st.sampled_from(["value-0", "value-1", "value-2"]),
        severity=st.sampled_from(Severity),
    ),
    max_size=6,
)
waivers = st.lists(
    st.builds(
        a_waiver,
        subject=st.sampled_from(["value-0", "value-1", "value-*"]),
        expires=st.dates(TODAY - timedelta(days=3), TODAY + timedelta(days=3)),
    ),
    max_size=3,
)
judgements = st.builds(
    Judgement,
    examined=st.integers(0, 3),
    findings=findings.map(tuple),
    gaps=st.lists(st.just(GAP), max_size=2).map(tuple),
)
results = st.lists(st.builds(a_result, st.sampled_from("abcdef"), judgements), max_size=6, unique_by=lambda r: r.gate)


def came_to(judgement, register=()):
    return outcome(judgement, dispose(judgement.findings, register, TODAY), BLOCKING)


# --- one gate --------------------------------------------------------------------------------------------------------


def test_nothing_examined_is_inconclusive():
    assert came_to(a_judgement(examined=0)) is Outcome.INCONCLUSIVE


def test_something_examined_and_nothing_found_passes():
    assert came_to(a_judgement(examined=1)) is Outcome.PASSED


def test_a_gap_is_inconclusive_however_much_was_examined():
    assert came_to(a_judgement(gaps=(GAP,), examined=1000)) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("severity", BLOCKING)
def test_an_open_blocking_finding_fails_even_beside_a_gap(severity):
    assert came_to(a_judgement(a_finding(severity=severity), gaps=(GAP,))) is Outcome.FAILED


def test_a_finding_fails_although_nothing_is_said_to_be_examined():
    assert came_to(a_judgement(a_finding(), examined=0)) is Outcome.FAILED


def test_a_lesser_finding_does_not_fail():
    assert came_to(a_judgement(a_finding(severity=Severity.MEDIUM))) is Outcome.PASSED


def test_the_plan_may_let_more_severities_block():
    judgement = a_judgement(a_finding(severity=Severity.LOW))

    assert outcome(judgement, dispose(judgement.findings, (), TODAY), (*BLOCKING, Severity.LOW)) is Outcome.FAILED


def test_a_waived_finding_does_not_fail():
    assert came_to(a_judgement(a_finding()), [a_waiver()]) is Outcome.PASSED


def test_a_waiver_does_not_fill_a_gap():
    assert came_to(a_judgement(a_finding(), gaps=(GAP,)), [a_waiver()]) is Outcome.INCONCLUSIVE


@given(judgements, waivers, st.sampled_from(Severity))
def test_one_more_finding_never_improves_an_outcome(judgement, register, severity):
    more = Judgement(
        examined=judgement.examined,
        findings=(*judgement.findings, a_finding("value-1", severity)),
        gaps=judgement.gaps,
    )

    assert RANKS.index(came_to(more, register)) <= RANKS.index(came_to(judgement, register))


@given(judgements, waivers)
def test_one_more_gap_never_improves_an_outcome(judgement, register):
    more = Judgement(examined=judgement.examined, findings=judgement.findings, gaps=(*judgement.gaps, GAP))

    assert RANKS.index(came_to(more, register)) <= RANKS.index(came_to(judgement, register))


@given(judgements, waivers, st.randoms())
def test_the_order_of_findings_and_waivers_does_not_matter(judgement, register, random):
    shuffled = list(judgement.findings)
    random.shuffle(shuffled)
    other = Judgement(examined=judgement.examined, findings=tuple(shuffled), gaps=judgement.gaps)
    random.shuffle(register)

    assert came_to(other, register) is came_to(judgement, list(reversed(register)))


@given(judgements, waivers)
def test_a_gate_passes_only_on_something_examined_and_no_gap(judgement, register):
    if came_to(judgement, register) is Outcome.PASSED:
        assert judgement.examined > 0
        assert not judgement.gaps


# --- waivers ---------------------------------------------------------------------------------------------------------


def standing(finding, *register, on=TODAY):
    return dispose([finding], register, on)[0].disposition


def test_a_waiver_is_in_force_from_its_first_day_to_the_end_of_its_last():
    waiver = a_waiver(created=date(2026, 2, 1), expires=date(2026, 3, 1))

    assert standing(a_finding(), waiver, on=date(2026, 1, 31)) is Disposition.OPEN
    assert standing(a_finding(), waiver, on=date(2026, 2, 1)) is Disposition.WAIVED
    assert standing(a_finding(), waiver, on=date(2026, 3, 1)) is Disposition.WAIVED
    assert standing(a_finding(), waiver, on=date(2026, 3, 2)) is Disposition.OPEN


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({}, True),
        ({"rule": "fake/*"}, True),
        ({"subject": "value-?"}, True),
        ({"rule": "FAKE/too-much"}, False),
        ({"rule": "fake/too"}, False),
        ({"subject": "value"}, False),
        ({"subject": "value-1"}, False),
    ],
)
def test_a_waiver_names_rule_and_subject_to_the_letter_or_as_a_glob(changes, covered):
    assert covers(a_waiver(**changes), a_finding()) is covered


def test_a_subject_with_brackets_can_be_spelled_out():
    subject = "Stack/Subnets[0]/Resource"

    assert covers(a_waiver(subject=subject), a_finding(subject))


def test_the_standing_names_the_waiver():
    assert dispose([a_finding()], [a_waiver()], TODAY)[0].waiver == a_waiver()


def test_a_waiver_that_disposed_of_nothing_is_unused():
    used, idle = a_waiver(), a_waiver(subject="value-7")
    result = a_result(judgement=a_judgement(a_finding()), waivers=(used, idle))

    assert unused([used, idle], [result]) == (idle,)


def test_an_expired_waiver_is_unused():
    expired = a_waiver(expires=TODAY - timedelta(days=1))
    result = a_result(judgement=a_judgement(a_finding()), waivers=(expired,))

    assert unused([expired], [result]) == (expired,)


def test_without_results_every_waiver_is_unused():
    assert unused([a_waiver()], []) == (a_waiver(),)


# --- all gates -------------------------------------------------------------------------------------------------------


def test_the_worst_of_no_outcome_is_inconclusive():
    assert worst([]) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("order", list(permutations(Outcome)))
def test_the_worst_outcome_wins_in_any_order(order):
    assert worst(order) is Outcome.FAILED
    assert worst(each for each in order if each is not Outcome.FAILED) is Outcome.INCONCLUSIVE


def test_no_results_are_inconclusive():
    reached, reasons = required_outcome([], ["load", "alarms"])

    assert reached is Outcome.INCONCLUSIVE
    assert reasons == ("load: was not asked", "alarms: was not asked")


def test_requiring_nothing_is_inconclusive():
    assert decided([a_result()], required=()) == (
        Outcome.INCONCLUSIVE,
        Verdict.NO_GO,
        ("no gate is required, so nothing was proven",),
    )


def test_a_gate_that_is_not_required_decides_nothing():
    failed = a_result("extra", a_judgement(a_finding()))

    assert required_outcome([a_result("load"), failed], ["load"]) == (Outcome.PASSED, ())


def test_one_gate_that_was_not_asked_makes_the_rest_inconclusive():
    assert required_outcome([a_result("load")], ["load", "alarms"])[0] is Outcome.INCONCLUSIVE


def test_the_reason_names_the_worst_open_finding_and_counts_the_rest():
    judgement = a_judgement(
        a_finding("small", Severity.LOW), a_finding("big", Severity.CRITICAL), a_finding("waived", Severity.CRITICAL)
    )
    result = a_result("load", judgement, (a_waiver(subject="waived"),))

    assert required_outcome([result], ["load"])[1] == ("load: failed: big: is too much (and 1 more)",)


def test_the_reason_names_the_first_gap():
    result = a_result("load", a_judgement(gaps=(GAP, GAP)))

    assert required_outcome([result], ["load"])[1] == ("load: inconclusive: the log: it was empty (and 1 more)",)


def test_the_reason_says_that_nothing_was_examined():
    result = a_result("load", a_judgement(examined=0))

    assert required_outcome([result], ["load"])[1] == ("load: inconclusive: nothing was examined",)


# --- the verdict -----------------------------------------------------------------------------------------------------


def decided(found=(), *, required=("numbers",), **changes):
    return verdict(found, required=required, environment=changes.pop("environment", Environment.AWS), **changes)


def test_everything_passed_and_nothing_missing_is_go():
    assert decided([a_result()]) == (Outcome.PASSED, Verdict.GO, ())


def test_what_people_have_not_done_is_no_go_and_no_fault_of_the_gates():
    assert decided([a_result()], missing=["sign-off: release has not signed"]) == (
        Outcome.PASSED,
        Verdict.NO_GO,
        ("sign-off: release has not signed",),
    )


def test_a_rehearsal_is_never_go():
    reached, decision, reasons = decided([a_result()], environment=Environment.EMULATED)

    assert (reached, decision) == (Outcome.PASSED, Verdict.NO_GO)
    assert reasons[-1].startswith("rehearsal")


def test_an_interrupted_run_is_inconclusive_although_every_gate_passed():
    assert decided([a_result()], interrupted=True) == (
        Outcome.INCONCLUSIVE,
        Verdict.NO_GO,
        ("the run was interrupted",),
    )


def test_an_interrupted_run_that_failed_stays_failed():
    assert decided([a_result(judgement=a_judgement(a_finding()))], interrupted=True)[0] is Outcome.FAILED


def test_a_harness_that_stumbled_is_inconclusive_although_every_gate_passed():
    assert decided([a_result()], troubles=("it stumbled",)) == (Outcome.INCONCLUSIVE, Verdict.NO_GO, ("it stumbled",))


@given(results, st.lists(st.sampled_from("abcdef"), unique=True), st.booleans(), st.booleans())
def test_go_means_that_every_required_gate_passed(found, required, signs, emulated):
    reached, decision, reasons = decided(
        found,
        required=required,
        missing=[] if signs else ["nobody signed"],
        environment=Environment.EMULATED if emulated else Environment.AWS,
    )
    passed = {result.gate for result in found if result.outcome is Outcome.PASSED}

    assert (decision is Verdict.GO) == (not reasons)
    assert (reached is Outcome.PASSED) == (bool(required) and set(required) <= passed)
    if decision is Verdict.GO:
        assert reached is Outcome.PASSED
        assert set(required) <= passed
        assert signs
        assert not emulated


@given(results, st.randoms())
def test_the_order_of_the_results_does_not_matter(found, random):
    required = sorted("abc")
    shuffled = list(found)
    random.shuffle(shuffled)

    assert required_outcome(shuffled, required) == required_outcome(found, required)


@given(results, st.sampled_from("abcdef"))
def test_leaving_out_a_result_never_makes_a_pass(found, dropped):
    rest = [result for result in found if result.gate != dropped]
    required = [result.gate for result in found]

    assert len(rest) == len(found) or required_outcome(rest, required)[0] is not Outcome.PASSED


# --- exit codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reached", Outcome)
@pytest.mark.parametrize("environment", Environment)
def test_leftovers_outrank_every_outcome(reached, environment):
    record = a_record(outcome=reached, environment=environment, leftovers=("a queue",))

    assert exit_code(record) is ExitCode.LEFTOVERS == 4


@pytest.mark.parametrize(
    ("environment", "reached", "decision", "code"),
    [
        (Environment.EMULATED, Outcome.PASSED, Verdict.NO_GO, 0),
        (Environment.EMULATED, Outcome.INCONCLUSIVE, Verdict.NO_GO, 1),
        (Environment.EMULATED, Outcome.FAILED, Verdict.NO_GO, 2),
        (Environment.AWS, Outcome.PASSED, Verdict.GO, 0),
        (Environment.AWS, Outcome.PASSED, Verdict.NO_GO, 1),
        (Environment.AWS, Outcome.INCONCLUSIVE, Verdict.NO_GO, 1),
        (Environment.AWS, Outcome.FAILED, Verdict.NO_GO, 2),
    ],
)
def test_the_shell_is_told_the_truth(environment, reached, decision, code):
    assert exit_code(a_record(environment=environment, outcome=reached, verdict=decision)) == code


# --- limits ----------------------------------------------------------------------------------------------------------


def limited(*limits, findings=()):
    return outcome(a_judgement(*findings, limits=limits), dispose(findings, (), TODAY), ())


def test_more_open_findings_than_a_limit_allows_fail():
    findings = (a_finding("a", Severity.MEDIUM), a_finding("b", Severity.MEDIUM))

    assert limited(OpenLimit(severity=Severity.MEDIUM, most=1), findings=findings) is Outcome.FAILED
    assert limited(OpenLimit(severity=Severity.MEDIUM, most=2), findings=findings) is Outcome.PASSED
    assert limited(OpenLimit(severity=Severity.LOW, most=0), findings=findings) is Outcome.PASSED


def test_a_limit_of_a_control_family_counts_only_its_findings():
    findings = (replace(a_finding("a", Severity.MEDIUM), family=ControlFamily.IAM), a_finding("b", Severity.MEDIUM))
    most = OpenLimit(severity=Severity.MEDIUM, most=0, family=ControlFamily.IAM)

    assert limited(most, findings=findings) is Outcome.FAILED
    assert limited(most, findings=findings[1:]) is Outcome.PASSED
    assert exceeded((most,), dispose(findings, (), TODAY)) == ("1 MEDIUM findings of iam are open, at most 0 may be",)


def test_what_the_register_disposes_of_counts_against_no_limit():
    findings = (a_finding("value-0", Severity.MEDIUM),)
    disposed = dispose(findings, (a_waiver(),), TODAY)

    assert exceeded((OpenLimit(severity=Severity.MEDIUM, most=0),), disposed) == ()


# --- the register ----------------------------------------------------------------------------------------------------


def told(waivers, *results, required=("numbers",)):
    return register_result(waivers, results, required, TODAY, T0)


def test_a_false_positive_is_disposed_of_as_one():
    entry = a_waiver(disposition="false-positive", evidence="There is no such port.")

    (disposed,) = dispose((a_finding(),), (entry,), TODAY)

    assert disposed.disposition is Disposition.FALSE_POSITIVE


def test_an_entry_that_disposes_of_nothing_is_a_finding_that_keeps_nobody_from_going_live():
    result = told((a_waiver(),), a_result("numbers"))

    (finding,) = result.judgement.findings
    assert (finding.rule, finding.severity) == ("readiness/unused-waiver", Severity.LOW)
    assert "fake/too-much on value-0" in finding.subject
    assert result.required is False
    assert result.outcome is Outcome.PASSED


def test_an_entry_in_use_is_none():
    used = a_result("numbers", a_judgement(a_finding()), (a_waiver(),))

    assert told((a_waiver(),), used).judgement.findings == ()


@pytest.mark.parametrize(
    "results",
    [
        (),
        (a_result("numbers", a_judgement(gaps=(Gap(what="a", why="b"),))),),
        (a_result("numbers", a_judgement(examined=0)),),
    ],
    ids=["not-asked", "gap", "nothing-examined"],
)
def test_where_a_gate_was_blind_nobody_can_call_an_entry_unused(results):
    result = told((a_waiver(),), *results)

    assert result.judgement.findings == ()
    assert [gap.what for gap in result.judgement.gaps] == ["fake/too-much on value-0"]
    assert result.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("days", "word"),
    [
        ({"created": date(2025, 12, 1), "expires": date(2026, 1, 1)}, "expired"),
        ({"created": date(2026, 3, 20)}, "begins"),
    ],
)
def test_an_entry_that_is_not_in_force_is_a_finding_also_where_a_gate_was_blind(days, word):
    (finding,) = told((a_waiver(**days),)).judgement.findings

    assert word in finding.message


def test_no_register_no_result():
    assert told((), a_result("numbers")) is None
