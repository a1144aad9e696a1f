"""What people wrote down: which of it counts, and what is still missing."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readiness import approval
from readiness.model import (
    ChecklistItem,
    Environment,
    FiledSignature,
    FiledTick,
    Gap,
    ItemState,
    Measurement,
    Owner,
    ResidualRisk,
    Signature,
    Tick,
)
from tests.unit.samples import T0, a_finding, a_judgement, a_result, a_waiver

OWNERS = {"release": Owner(name="Ada"), "security": Owner(name="Grace", deputies=("Edsger",))}
TODAY = T0.date()
RISK = ResidualRisk(
    id="one-zone",
    text="All tasks may stand in one zone",
    owner="Ada",
    mitigation="a second zone",
    accepted_until=TODAY + timedelta(days=30),
)


def a_tick(item="told", digest="sha256:1", **changes):
    tick = Tick(**{"bundle": "b", "plan": "p", "item": item, "name": "Ada", "at": T0, "evidence": "a mail"} | changes)
    return FiledTick(tick=tick, path=f"sign-off/ticks/0001-{item}.json", digest=digest)


def a_signature(role="release", decision="go", name="", key="", **changes):
    name = name or OWNERS.get(role, OWNERS["release"]).name
    signature = Signature(**{"role": role, "name": name, "decision": decision, "at": T0, "plan": "p"} | changes)
    return FiledSignature(signature=signature, path=f"sign-off/signatures/0001-{role}.dsse.json", key=key)


def missing(*signatures, ticks=(), owners=OWNERS, on=TODAY, items=()):
    standings = approval.signatures(owners, signatures, ticks)
    return (*approval.missing(owners, items, standings), *approval.lapsed(approval.risks(standings), (), on))


def items(item, result=None, ticks=(), environment=Environment.AWS):
    (standing,) = approval.checklist([item], [result] if result else [], environment, ticks)
    return standing


# --- the checklist ---------------------------------------------------------------------------------------------------

MANUAL = ChecklistItem(id="told", text="Everybody was told")
AUTOMATIC = ChecklistItem(id="auto", text="The numbers are good", gate="numbers")
MEASURED = ChecklistItem(id="fast", text="It is fast", gate="numbers", measurement="p95")


def measured(value, *, threshold=10.0, samples=5, **changes):
    figure = Measurement(name="p95", value=value, unit="ms", samples=samples, threshold=threshold, comparison="<=")
    return a_result("numbers", a_judgement(measurements=(figure,), **changes))


def test_a_manual_item_is_open_until_somebody_ticks_it():
    assert items(MANUAL).state is ItemState.OPEN
    done = items(MANUAL, ticks=(a_tick(),))
    assert (done.state, done.why) == (ItemState.DONE, "ticked by Ada on 2026-03-01: a mail")


def test_the_last_tick_counts():
    assert items(MANUAL, ticks=(a_tick(), a_tick(done=False))).state is ItemState.OPEN
    assert items(MANUAL, ticks=(a_tick(done=False), a_tick())).state is ItemState.DONE


def test_a_tick_does_nothing_to_an_automatic_item():
    assert items(AUTOMATIC, ticks=(a_tick("auto"),)).state is ItemState.OPEN


@pytest.mark.parametrize(
    ("result", "state", "why"),
    [
        (None, ItemState.OPEN, "the gate numbers was not asked"),
        (a_result(), ItemState.DONE, "the gate numbers passed"),
        (a_result(judgement=a_judgement(a_finding())), ItemState.OPEN, "the gate numbers came to failed"),
        (a_result(judgement=a_judgement(examined=0)), ItemState.OPEN, "the gate numbers came to inconclusive"),
    ],
)
def test_an_automatic_item_is_what_its_gate_came_to(result, state, why):
    standing = items(AUTOMATIC, result)

    assert (standing.state, standing.why) == (state, why)


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (measured(10.0), ItemState.DONE),
        (measured(10.1), ItemState.OPEN),
        (measured(1.0, samples=0), ItemState.OPEN),
        (measured(1.0, gaps=(Gap(what="a worker", why="was lost"),)), ItemState.OPEN),
        (a_result("numbers"), ItemState.OPEN),
    ],
    ids=["kept", "missed", "no samples", "a gap", "not measured"],
)
def test_an_item_of_a_measurement_is_done_only_if_that_was_proven(result, state):
    assert items(MEASURED, result).state is state


def test_a_measurement_that_is_held_against_nothing_proves_nothing():
    result = a_result("numbers", a_judgement(measurements=(Measurement(name="p95", value=1, unit="ms", samples=5),)))

    assert items(MEASURED, result).why == "the gate numbers held no p95 against a threshold"


def test_in_a_rehearsal_nothing_is_more_than_rehearsed():
    assert items(AUTOMATIC, a_result(), environment=Environment.EMULATED).state is ItemState.REHEARSED
    assert items(MANUAL, ticks=(a_tick(),), environment=Environment.EMULATED).state is ItemState.REHEARSED


# --- signatures ------------------------------------------------------------------------------------------------------


def test_two_people_who_signed_go_leave_nothing_missing():
    assert missing(a_signature(), a_signature("security")) == ()


def test_each_role_that_has_not_signed_is_named():
    assert missing() == ("sign-off: release has not signed", "sign-off: security has not signed")


def test_the_last_signature_of_a_role_counts():
    assert missing(a_signature(decision="no-go"), a_signature(), a_signature("security")) == ()
    assert missing(a_signature(), a_signature("security"), a_signature(decision="no-go", note="it leaks")) == (
        "sign-off: release signed no-go: it leaks",
    )


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        (a_signature("tourist"), "the plan has no role tourist"),
        (a_signature(name="Mallory"), "Mallory may not sign for it"),
        (a_signature(seen_ticks={"told": "sha256:other"}), "the tick of told was changed after it: sign again"),
        (a_signature(seen_ticks={"gone": "sha256:1"}), "the tick of gone was changed after it: sign again"),
    ],
)
def test_a_signature_that_does_not_count_says_why(signature, why):
    (standing,) = approval.signatures(OWNERS, [signature], [a_tick()])

    assert (standing.in_force, standing.why) == (False, why)


def test_a_tick_that_came_later_voids_nothing():
    (standing,) = approval.signatures(OWNERS, [a_signature()], [a_tick()])

    assert standing.in_force


def test_a_go_covers_only_the_risks_that_its_signer_knew():
    with_risk = a_signature("security", risks=(RISK,))

    assert missing(a_signature(), with_risk) == (
        "sign-off: the signature of release is void: the residual risk one-zone was accepted after it: sign again",
    )
    assert missing(with_risk, a_signature(seen_risks=(RISK,))) == ()


def test_a_risk_that_reads_otherwise_is_another_one():
    milder = ResidualRisk(
        id="one-zone", text="All tasks stand in one zone", owner="Ada", mitigation="none", accepted_until=TODAY
    )

    assert missing(a_signature("security", risks=(RISK,)), a_signature(seen_risks=(milder,)))


def test_a_no_go_needs_to_have_seen_nothing():
    standings = approval.signatures(OWNERS, [a_signature(decision="no-go"), a_signature("security", risks=(RISK,))], [])

    assert all(each.in_force for each in standings)


def test_a_role_that_signs_again_without_a_risk_withdraws_it():
    standings = approval.signatures(OWNERS, [a_signature(risks=(RISK,)), a_signature()], [])

    assert approval.risks(standings) == ()


@pytest.mark.parametrize(("days", "over"), [(29, False), (30, False), (31, True)])
def test_a_risk_is_accepted_until_its_last_day_is_over(days, over):
    reasons = missing(
        a_signature(risks=(RISK,)), a_signature("security", seen_risks=(RISK,)), on=TODAY + timedelta(days=days)
    )

    assert bool(reasons) is over


# --- two people ------------------------------------------------------------------------------------------------------

ANYBODY = {"release": Owner(name="Release", deputies=("*",)), "security": Owner(name="Security", deputies=("*",))}


@pytest.mark.parametrize("other", ["Ada", " ada ", "ＡＤＡ"])
def test_one_person_in_every_role_is_not_enough_however_the_name_is_written(other):
    reasons = missing(a_signature(name="Ada"), a_signature("security", name=other), owners=ANYBODY)

    assert reasons == ("sign-off: Ada signed for every role; 2 different people have to sign",)


def test_two_names_with_one_key_are_one_person():
    pair = (a_signature(name="Ada", key="SHA256:a"), a_signature("security", name="Grace", key="SHA256:a"))

    assert missing(*pair, owners=ANYBODY) == (
        "sign-off: one key signed for every role; 2 different people have to sign",
    )


def test_a_plan_with_one_owner_lacks_a_second_from_the_beginning():
    one = {"release": Owner(name="Ada")}

    assert missing(a_signature(), owners=one) == ("sign-off: the plan names 1 owner; 2 different people have to sign",)


@pytest.mark.parametrize(
    ("name", "may"), [("Grace", True), ("grace", True), ("Edsger", True), ("Ada", False), ("*", False), ("", False)]
)
def test_the_owner_and_the_deputies_may_answer_for_a_role(name, may):
    assert approval.may_answer(OWNERS["security"], name) is may


# --- nothing that goes wrong makes it better -------------------------------------------------------------------------

signatures = st.lists(
    st.builds(
        a_signature,
        st.sampled_from(["release", "security", "tourist"]),
        st.sampled_from(["go", "no-go"]),
        st.sampled_from(["", "Ada", "Mallory"]),
        risks=st.sampled_from([(), (RISK,)]),
        seen_risks=st.sampled_from([(), (RISK,)]),
        seen_ticks=st.sampled_from([{}, {"told": "sha256:1"}, {"told": "sha256:2"}]),
    ),
    max_size=5,
)
ticks = st.lists(st.builds(a_tick, digest=st.sampled_from(["sha256:1", "sha256:2"]), done=st.booleans()), max_size=3)


@given(signatures, ticks, st.dates(date(2026, 1, 1), date(2027, 1, 1)))
def test_nothing_is_missing_only_if_every_role_signed_go_two_people_did_and_no_risk_is_over(given_, ticked, on):
    standings = approval.signatures(OWNERS, given_, ticked)

    if approval.missing(OWNERS, (), standings) or approval.lapsed(approval.risks(standings), (), on):
        return
    counted = [each.filed.signature for each in standings if each.in_force]
    assert {each.role for each in counted if each.decision == "go"} == set(OWNERS)
    assert len({each.name for each in counted}) >= 2
    assert all(on <= risk.accepted_until for risk in approval.risks(standings))


@given(signatures, ticks, st.sampled_from(["release", "security"]))
def test_one_more_no_go_is_never_a_go(given_, ticked, role):
    assert approval.missing(OWNERS, (), approval.signatures(OWNERS, [*given_, a_signature(role, "no-go")], ticked))


@given(signatures, ticks, st.dates(date(2026, 1, 1), date(2027, 1, 1)), st.integers(0, 400))
def test_time_alone_never_makes_a_go(given_, ticked, on, days):
    accepted = approval.risks(approval.signatures(OWNERS, given_, ticked))
    register = (a_waiver(),)

    later = approval.lapsed(accepted, register, on + timedelta(days=days))
    assert set(approval.lapsed(accepted, register, on)) <= set(later)


def test_a_waiver_that_has_ended_accepts_nothing_any_more():
    waiver = a_waiver()

    assert approval.lapsed((), (waiver,), waiver.expires) == ()
    assert approval.lapsed((), (waiver,), waiver.expires + timedelta(days=1)) == (
        "waiver: fake/too-much on value-0 was waived until 2026-04-01, which is over",
    )
