"""The gate ``rollback``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from readiness import decide
from readiness.drill import Release, ServiceState
from readiness.drill_clients import ClientsSeen, SecondSeen, Watched
from readiness.drill_release import StoppedTask
from readiness.drill_timeline import Timeline
from readiness.gates import rollback as gate
from readiness.gates.rollback import Limits, Observation, Rehearsal, Settings, inputs_of, judge
from readiness.model import Outcome, Severity
from readiness.runbook import content_hash
from readiness.runbook_steps import StepRun

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ARN = "arn:aws:ecs:eu-west-1:123456789012:task-definition/"
GOOD, BAD = f"{ARN}s:1", f"{ARN}s-bad:1"
BLOCKING = (Severity.CRITICAL, Severity.HIGH)
WATCHED = (
    Watched(id="errors", kind="errors", max_ratio=0.01),
    Watched(id="latency", kind="latency", max_ratio=0.05, threshold_ms=250),
)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def second(number: int, failed: int = 0, slow: int = 0, requests: int = 50) -> SecondSeen:
    return SecondSeen(second=number, requests=requests, failed=failed, slow={"latency": slow}, p95_ms=30.0)


def clients(failed: dict[int, int], slow: dict[int, int] | None = None, requests: int = 50) -> ClientsSeen:
    seconds = tuple(second(each, failed.get(each, 0), (slow or {}).get(each, 0), requests) for each in range(100))
    return ClientsSeen(started_at=T0, watched=WATCHED, seconds=seconds, problems=())


# Seconds 0-10 steady, bad release at 10, taken back at 20; then steady to 40. By the runbook: 50, 65, 90.
FAILED = dict.fromkeys(range(13, 20), 5) | dict.fromkeys(range(52, 66), 25)
STATE = ServiceState(task_definition=GOOD, desired=2, tasks={"a": GOOD, "b": GOOD}, digests=("sha256:1",))
RELEASE = Release(
    status="ROLLBACK_SUCCESSFUL",
    reason="",
    started_at=at(11),
    rollback_reason="alarm",
    rollback_started_at=at(19),
    finished_at=at(22),
    alarms=("errors",),
    failed_tasks=0,
)
LIMITS = Limits(
    max_detect=timedelta(seconds=30), max_recover=timedelta(seconds=40), max_failed_ratio=0.6, max_failed_requests=400
)
AUTOMATIC = Rehearsal(
    way="automatic",
    kind="errors",
    limits=LIMITS,
    before=STATE,
    after=STATE,
    alarms_before={"errors": "OK"},
    bad_task_definition=BAD,
    begun_at=at(2),
    injected_at=at(10),
    detected_at=at(18),
    decided_at=at(19),
    rolled_back_at=at(22),
    restored_at=at(23),
    ended_at=at(40),
    failed_tasks=0,
    stopped=(),
    release=RELEASE,
)


def ran(step: str, fault: str = "", stderr: str = "") -> StepRun:
    return StepRun(
        id=step,
        started_at=at(60),
        ended_at=at(61),
        exit_code=1 if fault else 0,
        stdout="",
        stderr=stderr,
        fault=fault,
    )


RUNBOOK = replace(
    AUTOMATIC,
    way="runbook",
    begun_at=at(42),
    injected_at=at(50),
    effective_at=at(55),
    detected_at=at(57),
    decided_at=at(58),
    rolled_back_at=at(66),
    restored_at=at(67),
    ended_at=at(90),
    release=replace(RELEASE, status="SUCCESSFUL", alarms=()),
    runbook="runbooks/rollback.md",
    steps=(ran("find"), ran("deploy")),
    planned_steps=("find", "deploy"),
)
SEEN = Observation(
    rehearsals=(AUTOMATIC, RUNBOOK),
    clients=clients(FAILED),
    recovered_for=timedelta(seconds=5),
    artifact="artifacts/rollback/rows.json.gz",
)


def outcome(seen: Observation) -> Outcome:
    judgement = judge(seen, Settings())
    return decide.outcome(judgement, decide.dispose(judgement.findings, (), T0.date()), BLOCKING)


def rules(seen: Observation) -> set[str]:
    return {finding.rule for finding in judge(seen, Settings()).findings}


def gaps(seen: Observation) -> str:
    return "; ".join(f"{gap.what}: {gap.why}" for gap in judge(seen, Settings()).gaps)


def automatic(**changes) -> Observation:
    return replace(SEEN, rehearsals=(replace(AUTOMATIC, **changes), RUNBOOK))


def runbook(**changes) -> Observation:
    return replace(SEEN, rehearsals=(AUTOMATIC, replace(RUNBOOK, **changes)))


def test_releases_that_are_taken_back_in_time_pass():
    assert outcome(SEEN) is Outcome.PASSED, judge(SEEN, Settings())


def test_instants_and_lost_requests_are_measured_against_the_plan():
    measured = {each.name: each for each in judge(SEEN, Settings()).measurements if each.unit != "ratio"}

    automatic, by_runbook = "errors, rolled back by itself", "errors, taken back by the runbook"
    assert measured[f"{automatic}: order to detection"].value == 8
    assert measured[f"{automatic}: order to detection"].threshold == 30
    assert measured[f"{automatic}: failed"].value == 35
    assert measured[f"{automatic}: failed"].threshold == 400
    assert measured[f"{automatic}: order to recovery"].value == 10
    assert measured[f"{by_runbook}: order to fully out"].value == 5
    assert measured[f"{by_runbook}: order to recovery"].value == 16


def test_a_bad_release_that_ecs_calls_successful_fails():
    assert "rollback/not-rolled-back" in rules(automatic(release=replace(RELEASE, status="SUCCESSFUL")))


@pytest.mark.parametrize("change", [automatic, runbook])
def test_a_previous_revision_that_is_not_back_fails(change):
    assert "rollback/previous-revision-not-back" in rules(change(after=replace(STATE, task_definition=BAD)))
    assert "rollback/bad-task-left" in rules(change(after=replace(STATE, tasks={"a": GOOD, "b": BAD})))
    assert "rollback/too-few-tasks" in rules(change(after=replace(STATE, tasks={"a": GOOD})))
    assert "rollback/image-not-back" in rules(change(after=replace(STATE, digests=("sha256:2",))))
    assert outcome(change(after=replace(STATE, task_definition=BAD))) is Outcome.FAILED


def test_a_service_that_runs_nothing_afterwards_fails_even_if_nothing_is_wanted():
    assert "rollback/too-few-tasks" in rules(automatic(after=replace(STATE, desired=0, tasks={})))


@pytest.mark.parametrize(
    "limit",
    [
        {"max_detect": timedelta(seconds=5)},
        {"max_recover": timedelta(seconds=5)},
        {"max_failed_ratio": 0.01},
        {"max_failed_requests": 3},
    ],
)
@pytest.mark.parametrize("change", [automatic, runbook])
def test_each_limit_that_is_missed_fails(change, limit):
    seen = change(limits=replace(LIMITS, **limit))

    assert rules(seen) == {"rollback/limit-missed"}
    assert outcome(seen) is Outcome.FAILED


def test_a_fault_that_no_alarm_saw_fails():
    assert rules(runbook(detected_at=None)) == {"rollback/not-detected"}


def test_failures_that_never_end_fail_as_not_recovered():
    seen = replace(SEEN, clients=clients(dict.fromkeys(range(13, 100), 5)))

    assert "rollback/not-recovered" in rules(seen)
    assert "rollback/no-steady-state-after" in rules(seen)


def test_failures_that_come_back_at_the_end_fail():
    seen = replace(SEEN, clients=clients(FAILED | dict.fromkeys(range(36, 40), 20)))

    assert "rollback/no-steady-state-after" in rules(seen)


def test_a_step_that_fails_fails_the_gate_and_says_which_and_why():
    seen = runbook(steps=(ran("find", "it ended with exit code 254", "no such cluster"),))
    (finding,) = judge(seen, Settings()).findings

    assert outcome(seen) is Outcome.FAILED
    assert finding.subject == "runbooks/rollback.md#find"
    assert "it ended with exit code 254: no such cluster" in finding.message


def test_steps_that_were_not_followed_fail():
    assert rules(runbook(steps=(ran("find"),))) == {"rollback/runbook-step-failed"}


def test_a_runbook_that_cannot_be_followed_fails():
    seen = runbook(steps=(), planned_steps=(), runbook_fault="it asks for REGION_OF_MIND")

    assert outcome(seen) is Outcome.FAILED
    assert rules(seen) == {"rollback/runbook-unusable"}


def test_a_runbook_without_an_executable_step_is_a_gap_however_well_all_ended():
    seen = runbook(steps=(), planned_steps=())

    assert outcome(seen) is Outcome.INCONCLUSIVE
    assert "no executable step" in gaps(seen)


def test_a_bad_release_that_was_never_fully_out_proves_nothing_of_the_runbook():
    assert outcome(runbook(effective_at=None)) is Outcome.INCONCLUSIVE


def test_a_fault_that_never_took_effect_is_a_gap_whatever_ecs_says_of_it():
    harmless = replace(SEEN, clients=clients({}))

    assert outcome(harmless) is Outcome.INCONCLUSIVE
    assert judge(harmless, Settings()).findings == ()
    assert "never took effect" in gaps(harmless)


def test_one_failure_that_the_steady_state_explains_is_no_effect():
    seen = replace(SEEN, clients=clients({4: 1, 14: 1} | dict.fromkeys(range(52, 66), 25)))

    assert "errors, rolled back by itself: the bad release" in gaps(seen)


def test_a_slow_release_takes_effect_by_slow_requests():
    seen = replace(
        SEEN,
        rehearsals=(replace(AUTOMATIC, kind="slow"), RUNBOOK),
        clients=clients(dict.fromkeys(range(52, 66), 25), slow=dict.fromkeys(range(13, 20), 10)),
    )

    assert outcome(seen) is Outcome.PASSED, judge(seen, Settings())
    assert outcome(replace(seen, clients=clients(FAILED))) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("kind", ["crash", "never-healthy", "unpullable"])
def test_a_release_that_cannot_start_takes_effect_by_failed_tasks(kind):
    calm = clients(dict.fromkeys(range(52, 66), 25))
    stopped = (StoppedTask(task="t", code="TaskFailedToStart", reason="CannotPullContainerError"),)
    seen = replace(automatic(kind=kind, stopped=stopped), clients=calm)

    assert outcome(seen) is Outcome.PASSED, judge(seen, Settings())
    assert outcome(replace(automatic(kind=kind, failed_tasks=3), clients=calm)) is Outcome.PASSED
    assert outcome(replace(automatic(kind=kind), clients=calm)) is Outcome.INCONCLUSIVE


def test_failures_of_the_second_in_which_the_order_was_given_are_the_bad_releases():
    early = replace(AUTOMATIC, injected_at=at(10.1))
    seen = replace(SEEN, rehearsals=(early, RUNBOOK), clients=clients(FAILED | {10: 25}))

    assert outcome(seen) is Outcome.PASSED, judge(seen, Settings())


def test_no_steady_state_to_begin_with_is_a_gap():
    assert outcome(replace(SEEN, clients=clients(FAILED | dict.fromkeys(range(2, 10), 20)))) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("alarms", [{"errors": "ALARM"}, {"errors": "INSUFFICIENT_DATA"}, {}])
def test_alarms_that_were_not_ok_to_begin_with_are_a_gap(alarms):
    assert outcome(automatic(alarms_before=alarms)) is Outcome.INCONCLUSIVE


def test_what_the_fleet_did_not_see_is_a_gap():
    seen = replace(SEEN, clients=replace(SEEN.clients, problems=("a worker was lost",)))

    assert outcome(seen) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("kept", [(AUTOMATIC,), (RUNBOOK,)])
def test_a_way_back_that_was_not_rehearsed_is_a_gap(kept):
    assert outcome(replace(SEEN, rehearsals=kept)) is Outcome.INCONCLUSIVE


def test_nothing_at_all_is_inconclusive():
    nothing = ClientsSeen(started_at=T0, watched=(), seconds=(), problems=())

    assert outcome(replace(SEEN, rehearsals=(), clients=nothing)) is Outcome.INCONCLUSIVE
    assert outcome(replace(SEEN, clients=nothing)) is Outcome.INCONCLUSIVE
    assert outcome(replace(SEEN, clients=clients({}, requests=0))) is Outcome.INCONCLUSIVE


def test_outputs_of_the_stack_are_inputs_of_runbooks():
    assert inputs_of({"LoadBalancerArn": "a", "Cluster": "c"}) == {"LOAD_BALANCER_ARN": "a", "CLUSTER": "c"}


# --- following a runbook ---------------------------------------------------------------------------------------------

STEPS = """---
id: rollback
inputs: {CLUSTER: output Cluster of the stack}
---

```bash step=one
echo "PREVIOUS=$CLUSTER-1" >> "$STEP_OUTPUT"
```

```bash step=two expect="back to shop-1"
echo "back to $PREVIOUS"
```
"""


def followed(repository: Path, text: str, **outputs: str) -> gate.Followed:
    (repository / "runbooks").mkdir()
    (repository / "runbooks" / "rollback.md").write_text(text)
    clone = SimpleNamespace(outputs=outputs)
    ctx: Any = SimpleNamespace(repository=repository, clone=clone, variables={})
    return gate.follow_runbook(ctx, "rollback", Timeline("x", lambda _: None, lambda _: None))


def test_a_runbook_is_followed_and_the_wording_that_was_followed_is_told(tmp_path: Path):
    seen = followed(tmp_path, STEPS, Cluster="shop")

    assert [(step.id, step.fault) for step in seen.steps] == [("one", ""), ("two", "")]
    assert (seen.planned_steps, seen.runbook_fault) == (("one", "two"), "")
    assert seen.runbook_hash == content_hash(STEPS)


def test_a_runbook_that_asks_for_what_no_output_gives_is_not_followed(tmp_path: Path):
    seen = followed(tmp_path, STEPS, Service="shop")

    assert seen.steps == ()
    assert seen.planned_steps == ("one", "two")
    assert "asks for CLUSTER, which no output of the stack gives" in seen.runbook_fault


def test_a_runbook_whose_steps_cannot_be_read_has_no_wording(tmp_path: Path):
    seen = followed(tmp_path, STEPS.replace("step=two", "step=one"), Cluster="shop")

    assert (seen.steps, seen.planned_steps, seen.runbook_hash) == ((), (), "")
    assert "an earlier step is called 'one' too" in seen.runbook_fault
