"""The gate ``go-live``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from readiness import decide
from readiness.cutover import Approved, Stack
from readiness.errors import PlanError, ReadinessError
from readiness.gates.go_live import AlarmSeen, Observation, Settings, Watch, alarm_states, judge, observe
from readiness.model import Environment, Outcome, Severity, Verdict
from readiness.plan import parse
from readiness.probe import CanaryRun, ProbeSeen
from tests.unit.deployed import CONTENT, GOOD, NOTHING, OTHER, a_deployment, a_service, a_task, content
from tests.unit.samples import BLOCKING, T0, FakeClient, a_context

DEFAULTS = Settings()
COMMIT = "c0ffee" * 6 + "c0ff"
APPROVED = Approved(
    bundle="sha256:1",
    as_of=T0,
    run_id="20260301-120000-abcd",
    harness_version="0.1.0",
    environment=Environment.AWS,
    outcome=Outcome.PASSED,
    verdict=Verdict.GO,
    reasons=(),
    decided_at=T0 - timedelta(days=1),
    commit=COMMIT,
    dirty=False,
    fidelity=Outcome.PASSED,
    service=CONTENT,
    digests={"service": (GOOD,)},
    desired=2,
    zones=2,
)
STACK = Stack(
    name="shop-production",
    status="UPDATE_COMPLETE",
    account="123456789012",
    region="eu-west-1",
    outputs={},
    alarms=("errors",),
    canaries=(),
)
SEEN = Observation(
    approved=APPROVED,
    environment=Environment.AWS,
    stack=STACK,
    production_accounts=(),
    commit=COMMIT,
    begun_at=T0 - timedelta(minutes=2),
    asked_at=T0,
    service=a_service(),
    steady_since=T0 - timedelta(minutes=2),
    unsteady="",
    looks=24,
    alarms=(AlarmSeen(name="errors", state="OK"),),
    probe=ProbeSeen(url="http://shop/health", answers={"200": 24}),
)
EMPTY = Observation(
    approved=replace(APPROVED, fidelity=None, service={}, digests={}, desired=0, zones=0),
    environment=Environment.AWS,
    stack=replace(STACK, alarms=()),
    production_accounts=(),
    commit="unknown",
    begun_at=T0,
    asked_at=T0,
    service=NOTHING,
    steady_since=None,
    unsteady="",
    looks=0,
    alarms=(),
    probe=ProbeSeen(url=""),
)


def outcome(seen: Observation, settings: Settings = DEFAULTS) -> Outcome:
    judgement = judge(seen, settings)
    return decide.outcome(judgement, decide.dispose(judgement.findings, (), T0.date()), BLOCKING)


def rules(seen: Observation, settings: Settings = DEFAULTS) -> set[str]:
    return {each.rule.partition("/")[2] for each in judge(seen, settings).findings}


def gaps(seen: Observation) -> set[str]:
    return {each.what for each in judge(seen, Settings()).gaps}


def message(seen: Observation, settings: Settings = DEFAULTS) -> str:
    (finding,) = judge(seen, settings).findings
    return finding.message


def with_service(**changes) -> Observation:
    return replace(SEEN, service=a_service(**changes))


def approved(**changes) -> Observation:
    return replace(SEEN, approved=replace(APPROVED, **changes))


def test_production_that_is_what_was_approved_and_is_well_passes():
    judgement = judge(SEEN, Settings())

    assert outcome(SEEN) is Outcome.PASSED
    assert (judgement.findings, judgement.gaps, judgement.notes) == ((), (), ())
    assert judgement.examined > len(CONTENT)


def test_nothing_at_all_is_inconclusive_not_live():
    assert outcome(EMPTY) is Outcome.INCONCLUSIVE
    assert judge(EMPTY, Settings()).examined == 0
    assert {"what was approved", "the approved service", "tasks", "alarms", "targets", "probe"} <= gaps(EMPTY)


# --- what runs -------------------------------------------------------------------------------------------------------


def test_another_image_than_the_approved_one_fails_and_names_both():
    tasks = (a_task("t1", digests={"service": OTHER}), a_task("t2", "eu-west-1b", digests={"service": OTHER}))
    seen = with_service(tasks=tasks)

    assert outcome(seen) is Outcome.FAILED
    assert message(seen) == f"Production runs {OTHER}; approved was {GOOD}"
    assert judge(seen, Settings()).findings[0].severity is Severity.CRITICAL


def test_one_task_with_another_image_fails():
    assert rules(with_service(tasks=(a_task("t1"), a_task("t2", "eu-west-1b", digests={"service": OTHER})))) == {
        "other-digest"
    }


def test_another_image_fails_even_where_its_name_may_differ():
    tasks = (a_task("t1", digests={"service": OTHER}), a_task("t2", "eu-west-1b"))
    settings = Settings(may_differ=("*",))

    assert rules(with_service(tasks=tasks), settings) == {"other-digest"}


@pytest.mark.parametrize("digests", [{"service": ""}, {}, {"service": GOOD, "sidecar": GOOD}])
def test_an_image_that_is_not_known_or_was_never_approved_is_a_gap(digests):
    seen = with_service(tasks=(a_task("t1"), a_task("t2", "eu-west-1b", digests=digests)))

    assert outcome(seen) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "changed",
    [
        {"task__cpu": "256"},
        {"container__service__environment__LEVEL": "sha256:2"},
        {"container__service__environment__DEBUG": "sha256:2"},
        {"container__service__secret__TOKEN": ""},
        {"container__sidecar__image": "miner:1"},
        {"task__enableFaultInjection": "true"},
        {"target__primary__healthCheckPath": "/"},
    ],
)
def test_a_changed_task_definition_fails_unless_the_plan_says_that_it_may(changed):
    seen = with_service(content=content(**changed))
    (path,) = (each.replace("__", ".") for each in changed)

    assert rules(seen) == {"not-as-approved"}
    assert judge(seen, Settings()).findings[0].subject == path
    assert outcome(seen) is Outcome.FAILED
    allowed = judge(seen, Settings(may_differ=(path,)))
    assert allowed.findings == ()
    assert any(path in note for note in allowed.notes)


def test_more_tasks_than_approved_are_no_fault_and_fewer_are():
    more = with_service(
        desired=4,
        running=4,
        targets={"primary": {"healthy": 4}},
        tasks=tuple(a_task(f"t{at}", "ab"[at % 2]) for at in range(4)),
    )

    assert outcome(more) is Outcome.PASSED
    assert rules(with_service(desired=1, running=1)) == {"too-few-wanted"}


def test_tasks_in_fewer_zones_than_approved_fail():
    assert rules(with_service(tasks=(a_task("t1"), a_task("t2")))) == {"too-few-zones"}


def test_a_task_of_another_revision_fails():
    assert rules(with_service(tasks=(a_task("t1"), a_task("t2", "b", task_definition="shop:2")))) == {"other-revision"}


# --- whether it is well ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"running": 1},
        {"pending": 1},
        {"deployments": ()},
        {"deployments": (a_deployment(), a_deployment(status="ACTIVE"))},
        {"deployments": (a_deployment(rollout="FAILED"),)},
    ],
)
def test_a_service_that_is_not_steady_fails(changes):
    assert rules(with_service(**changes)) == {"not-steady"}


def test_a_service_that_was_not_steady_for_long_enough_fails_and_says_what_it_was_before():
    seen = replace(SEEN, steady_since=T0 - timedelta(seconds=20), unsteady="1 of 2 tasks run, 0 are pending")

    assert rules(seen) == {"not-steady"}
    assert "steady for 20 s only; before, 1 of 2 tasks run" in message(seen)
    assert outcome(seen, Settings(steady_for=timedelta(seconds=20))) is Outcome.PASSED


def test_a_service_that_the_last_look_did_not_find_steady_fails_however_short_it_has_to_be():
    seen = replace(SEEN, steady_since=None, unsteady="1 of 2 tasks run, 0 are pending")

    assert outcome(seen, Settings(steady_for=timedelta(0))) is Outcome.FAILED


def test_a_glob_names_something():
    assert parse(Settings, {"may_differ": ["task.*"]}, "plan.toml", "x").may_differ == ("task.*",)


@pytest.mark.parametrize("entry", ["*", "**", "*.*", "?*"])
def test_a_glob_that_names_nothing_is_refused(entry):
    with pytest.raises(PlanError, match="may_differ"):
        parse(Settings, {"may_differ": [entry]}, "plan.toml", "x")


def test_an_alarm_that_rings_fails():
    seen = replace(SEEN, alarms=(AlarmSeen(name="errors", state="ALARM", reason="Threshold crossed"),))

    assert outcome(seen) is Outcome.FAILED
    assert message(seen) == "Is in ALARM: Threshold crossed"


@pytest.mark.parametrize("state", ["INSUFFICIENT_DATA", ""])
def test_an_alarm_without_data_or_that_is_gone_is_a_gap(state):
    seen = replace(SEEN, alarms=(AlarmSeen(name="errors", state=state),))

    assert gaps(seen) == {"alarm errors"}
    assert outcome(seen) is Outcome.INCONCLUSIVE


def test_no_alarm_at_all_is_a_gap():
    assert outcome(replace(SEEN, alarms=())) is Outcome.INCONCLUSIVE


def test_an_alarm_that_would_wake_nobody_is_told():
    seen = replace(SEEN, alarms=(AlarmSeen(name="errors", state="OK", acts=False),))

    assert rules(seen) == {"alarm-muted"}
    assert outcome(seen) is Outcome.PASSED


@pytest.mark.parametrize("states", [{"healthy": 1}, {"healthy": 2, "unhealthy": 1}, {}])
def test_targets_that_are_not_healthy_fail(states):
    assert rules(with_service(targets={"primary": states})) == {"targets"}


def test_a_service_without_targets_is_a_gap():
    assert outcome(with_service(targets={})) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "probe",
    [
        ProbeSeen(url="http://shop/health", answers={"200": 20, "503": 1}),
        ProbeSeen(url="http://shop/health", answers={"200": 20}, errors={"TimeoutError: timed out": 2}),
        ProbeSeen(url="http://shop/health", answers={"301": 20}),
    ],
)
def test_an_answer_that_is_not_200_or_none_at_times_fails(probe):
    assert rules(replace(SEEN, probe=probe)) == {"probe"}


UNREACHED = ProbeSeen(url="http://internal/health", errors={"gaierror: unknown": 20})


def run_of(state: str, minutes_ago: int) -> CanaryRun:
    return CanaryRun(canary="shop", state=state, reason="why", ended_at=T0 - timedelta(minutes=minutes_ago))


def test_what_cannot_be_reached_from_here_is_a_gap_unless_a_canary_has_passed_since_the_deployment():
    def with_canary(*runs: CanaryRun) -> Observation:
        return replace(SEEN, probe=replace(UNREACHED, canaries=runs))

    assert outcome(with_canary()) is Outcome.INCONCLUSIVE
    assert outcome(with_canary(run_of("PASSED", 5))) is Outcome.PASSED
    assert outcome(with_canary(run_of("PASSED", 90))) is Outcome.INCONCLUSIVE  # of what ran before
    assert outcome(with_canary(run_of("RUNNING", 5))) is Outcome.INCONCLUSIVE
    assert rules(with_canary(run_of("FAILED", 5))) == {"probe"}
    assert rules(with_canary(run_of("FAILED", 90))) == set()


# --- whether the approval still holds --------------------------------------------------------------------------------


def test_a_verdict_that_is_not_go_fails_and_says_why():
    seen = approved(verdict=Verdict.NO_GO, reasons=("sign-off: security has not signed",))

    assert outcome(seen) is Outcome.FAILED
    assert message(seen) == "The verdict is NO-GO: sign-off: security has not signed"


def test_a_decision_that_is_too_old_fails_and_one_of_the_last_minute_does_not():
    assert rules(approved(decided_at=T0 - timedelta(days=7, seconds=1))) == {"stale-go"}
    assert outcome(approved(decided_at=T0 - timedelta(days=7))) is Outcome.PASSED
    assert rules(approved(decided_at=T0 - timedelta(hours=2)), Settings(max_age=timedelta(hours=1))) == {"stale-go"}
    assert rules(approved(decided_at=T0 + timedelta(seconds=1))) == {"future-go"}


def test_another_commit_fails_and_the_beginning_of_the_approved_one_does_not():
    assert rules(replace(SEEN, commit="d" * 40)) == {"other-commit"}
    assert outcome(replace(SEEN, commit=COMMIT[:7])) is Outcome.PASSED
    assert rules(replace(SEEN, commit=COMMIT[:3])) == {"other-commit"}


@pytest.mark.parametrize("seen", [replace(SEEN, commit="unknown"), approved(commit="unknown")])
def test_a_commit_that_nobody_knows_is_a_gap(seen):
    assert outcome(seen) is Outcome.INCONCLUSIVE


def test_uncommitted_changes_are_told():
    assert rules(approved(dirty=True)) == {"uncommitted"}
    assert outcome(approved(dirty=True)) is Outcome.PASSED


@pytest.mark.parametrize("fidelity", [None, Outcome.FAILED, Outcome.INCONCLUSIVE])
def test_a_clone_that_nobody_knows_to_be_what_was_meant_approves_nothing(fidelity):
    assert outcome(approved(fidelity=fidelity)) is Outcome.INCONCLUSIVE


def test_a_rehearsal_approves_nothing_on_aws():
    seen = approved(environment=Environment.EMULATED, verdict=Verdict.NO_GO)

    assert rules(seen) == {"other-environment"}
    assert outcome(seen) is Outcome.FAILED


def test_a_rehearsal_that_passed_may_rehearse_the_cutover_and_says_that_it_is_none():
    rehearsed = approved(environment=Environment.EMULATED, verdict=Verdict.NO_GO)
    seen = replace(rehearsed, environment=Environment.EMULATED)

    assert outcome(seen) is Outcome.PASSED
    assert "rehearsal" in judge(seen, Settings()).notes[0]
    assert rules(replace(seen, approved=replace(seen.approved, outcome=Outcome.FAILED))) == {"not-passed"}


def test_a_run_on_aws_cannot_be_shown_live_on_an_embedded_aws():
    assert rules(replace(SEEN, environment=Environment.EMULATED)) == {"other-environment"}


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE", "DELETE_FAILED"])
def test_a_stack_whose_update_did_not_end_well_fails(status):
    assert rules(replace(SEEN, stack=replace(STACK, status=status))) == {"stack-unfinished"}


def test_an_account_that_the_plan_does_not_call_production_fails():
    assert rules(replace(SEEN, production_accounts=("999999999999",))) == {"other-account"}
    assert outcome(replace(SEEN, production_accounts=("123456789012",))) is Outcome.PASSED


# --- observing -------------------------------------------------------------------------------------------------------


class Day:
    """A clock that sleeping moves, and what there is to see at each look."""

    def __init__(self, looks: list[str], states: list[str]) -> None:
        self.now = T0
        self.looks, self.states = looks, states
        self.asked = 0

    def watch(self) -> Watch:
        return Watch(
            look=lambda: self.looks.pop(0) if len(self.looks) > 1 else self.looks[0],
            alarms=lambda: (
                AlarmSeen(name="errors", state=self.states.pop(0) if len(self.states) > 1 else self.states[0]),
            ),
            ask=self.ask,
            now=lambda: self.now,
            sleep=self.sleep,
        )

    def ask(self) -> None:
        self.asked += 1

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def watched(looks: list[str], states: list[str]) -> tuple[Watch, Day]:
    day = Day(looks, states)
    watch = day.watch()
    watch.until_settled(Settings(steady_for=timedelta(seconds=60), settle=timedelta(minutes=5)), lambda figures: None)
    return watch, day


def test_it_looks_until_the_service_was_steady_for_long_enough():
    watch, day = watched(["1 of 2 tasks run", ""], ["OK"])

    assert day.now - T0 == timedelta(seconds=63)
    assert watch.steady_since == T0 + timedelta(seconds=3)
    assert watch.unsteady == "1 of 2 tasks run"
    assert day.asked == watch.looks == 22


def test_it_waits_for_alarms_to_have_data_but_not_for_one_that_rings_to_stop():
    _, patient = watched([""], ["INSUFFICIENT_DATA"] * 40 + ["OK"])
    _, at_once = watched([""], ["ALARM"])

    assert patient.now - T0 == timedelta(seconds=120)
    assert at_once.now == T0


def test_it_gives_up_in_time_and_tells_what_it_saw_last():
    watch, day = watched(["it has 2 deployments"], ["OK"])

    assert day.now - T0 == timedelta(minutes=5)
    assert watch.steady_since is None


def test_alarms_of_both_kinds_are_asked_for_and_one_that_is_not_there_has_no_state():
    cloudwatch = FakeClient(
        describe_alarms={
            "MetricAlarms": [{"AlarmName": "a", "StateValue": "OK", "ActionsEnabled": False}],
            "CompositeAlarms": [{"AlarmName": "b", "StateValue": "ALARM", "StateReason": "why"}],
        }
    )

    assert alarm_states(cloudwatch, ("a", "b", "c", "a")) == (
        AlarmSeen(name="a", state="OK", acts=False),
        AlarmSeen(name="b", state="ALARM", reason="why"),
        AlarmSeen(name="c", state=""),
    )
    assert alarm_states(FakeClient(), ()) == ()


def test_in_a_run_it_has_nothing_to_ask(tmp_path):
    with pytest.raises(ReadinessError, match="Nothing has gone live"):
        observe(a_context(tmp_path), Settings())
