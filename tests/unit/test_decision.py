"""The decision: a pure function of the record, the plan, and what people wrote down since."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from readiness.decide import REHEARSAL, ExitCode, decision_exit_code, rehearsal_complete
from readiness.decision import SignOff, decided, lapsed_since
from readiness.model import (
    Environment,
    FiledSignature,
    Gap,
    Outcome,
    Owner,
    ResidualRisk,
    Signature,
    SignatureStanding,
    Verdict,
)
from tests.unit.samples import T0, a_finding, a_judgement, a_plan, a_record, a_result, a_waiver

PLAN = replace(a_plan(), owners={"release": Owner(name="Ada"), "security": Owner(name="Grace")})
DECIDED_AT = T0 + timedelta(minutes=3)


def a_signature(role, decision="go", at=T0 + timedelta(hours=1), **changes):
    signature = Signature(role=role, name=PLAN.owners[role].name, decision=decision, at=at, plan="sha256:1", **changes)
    return FiledSignature(signature=signature, path=f"sign-off/signatures/0001-{role}.dsse.json")


def signed(*signatures):
    return SignOff(bundle="sha256:b", signatures=signatures)


BOTH = signed(a_signature("release"), a_signature("security"))


def decision(*results, sign_off=BOTH, plan=PLAN, environment=Environment.AWS, **changes):
    return decided(a_record(*(results or (a_result(),)), environment=environment, **changes), plan, (), sign_off)


def test_a_run_that_passed_on_aws_and_that_two_people_signed_is_go():
    now = decision()

    assert (now.outcome, now.verdict, now.reasons) == (Outcome.PASSED, Verdict.GO, ())


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: decision(a_result(judgement=a_judgement(a_finding()))), "numbers: failed: value-0: is too much"),
        (lambda: decision(a_result(judgement=a_judgement(gaps=(Gap(what="x", why="y"),)))), "numbers: inconclusive"),
        (lambda: decision(required=("numbers", "words")), "words: was not asked"),
        (lambda: decision(interrupted=True), "the run was interrupted"),
        (lambda: decision(troubles=("It stumbled",)), "It stumbled"),
        (lambda: decision(leftovers=("a role",)), "leftovers: 1 may still exist: a role"),
        (lambda: decision(candidate=replace(a_record().candidate, dirty=True)), "candidate: the work tree had"),
        (
            lambda: decision(registration=replace(a_record().registration, allow_dirty=True)),
            "pre-registration: the run was begun with --allow-dirty",
        ),
        (lambda: decision(sign_off=SignOff()), "sign-off: release has not signed"),
        (lambda: decision(sign_off=signed(a_signature("release"))), "sign-off: security has not signed"),
        (lambda: decision(environment=Environment.EMULATED), REHEARSAL),
    ],
)
def test_whatever_is_missing_is_no_go_and_named(made, reason):
    now = made()

    assert now.verdict is Verdict.NO_GO
    assert any(each.startswith(reason) for each in now.reasons)


def test_what_the_record_says_of_itself_is_not_believed():
    """A record that calls itself GO is decided by its results."""
    bad = a_result(judgement=a_judgement(a_finding()))

    now = decision(bad, outcome=Outcome.PASSED, verdict=Verdict.GO, reasons=())

    assert (now.outcome, now.verdict) == (Outcome.FAILED, Verdict.NO_GO)


def test_its_clock_is_the_last_thing_that_was_done():
    assert decision(sign_off=SignOff()).decided_at == DECIDED_AT
    assert decision().decided_at == T0 + timedelta(hours=1)


def test_a_waiver_that_ended_before_the_last_signature_accepts_nothing():
    waiver = a_waiver()
    waived = a_result(judgement=a_judgement(a_finding()), waivers=(waiver,))
    in_time = decision(waived)
    assert (in_time.verdict, in_time.waivers) == (Verdict.GO, (waiver,))

    after = T0 + timedelta(days=60)
    late = decision(waived, sign_off=signed(a_signature("release"), a_signature("security", at=after)))

    assert late.reasons == ("waiver: fake/too-much on value-0 was waived until 2026-04-01, which is over",)
    assert lapsed_since(in_time, after.date()) == late.reasons
    assert lapsed_since(late, after.date()) == ()


def test_a_waiver_of_a_gate_that_is_not_required_keeps_nobody():
    beside = a_result("beside", a_judgement(a_finding()), waivers=(a_waiver(),), required=False)
    late = T0 + timedelta(days=60)

    now = decision(
        a_result(),
        beside,
        required=("numbers",),
        sign_off=signed(a_signature("release"), a_signature("security", at=late)),
    )

    assert (now.verdict, now.waivers) == (Verdict.GO, ())


def test_a_risk_that_ends_after_a_go_is_told_of_the_days_after_it():
    risk = ResidualRisk(
        id="one-zone", text="All tasks in one zone", owner="Ada", mitigation="none", accepted_until=T0.date()
    )
    now = decision(sign_off=signed(a_signature("release", risks=(risk,)), a_signature("security", seen_risks=(risk,))))

    assert now.verdict is Verdict.GO
    assert lapsed_since(now, T0.date()) == ()
    assert lapsed_since(now, T0.date() + timedelta(days=1)) == (
        "residual risk: one-zone was accepted until 2026-03-01, which is over",
    )


def against(now):
    return replace(now, signatures=(SignatureStanding(filed=a_signature("release", "no-go")),))


def void(now):
    return replace(now, signatures=(SignatureStanding(filed=a_signature("release", "no-go"), why="superseded"),))


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (lambda: decision(), ExitCode.GO),
        (lambda: decision(leftovers=("queue q-1",)), ExitCode.LEFTOVERS),
        (lambda: decision(a_result(judgement=a_judgement(a_finding()))), ExitCode.NO_GO),
        (lambda: decision(a_result(judgement=a_judgement(examined=0))), ExitCode.NO_RELIABLE_VERDICT),
        (lambda: decision(sign_off=SignOff()), ExitCode.NO_RELIABLE_VERDICT),
        (lambda: against(decision(sign_off=SignOff())), ExitCode.NO_GO),
        (lambda: void(decision(sign_off=SignOff())), ExitCode.NO_RELIABLE_VERDICT),
        (lambda: decision(environment=Environment.EMULATED), ExitCode.GO),
        (lambda: decision(environment=Environment.EMULATED, sign_off=SignOff()), ExitCode.NO_RELIABLE_VERDICT),
    ],
    ids=["GO", "left", "failed", "blind", "unsigned", "no-go", "void no-go", "rehearsed", "rehearsed, unsigned"],
)
def test_the_shell_is_told_what_the_decision_is(made, code):
    assert decision_exit_code(made()) is code


def test_only_a_rehearsal_can_be_complete_as_one():
    assert rehearsal_complete(decision(environment=Environment.EMULATED))
    assert not rehearsal_complete(decision(environment=Environment.EMULATED, sign_off=SignOff()))
    assert not rehearsal_complete(decision())
