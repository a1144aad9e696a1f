"""A killed run is gone on with where its evidence and its clone still belong together, and refused elsewhere."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from readiness import aftermath, decide, gates, progress, resume, run, runner, staging
from readiness.errors import CloudError, EvidenceError, ReadinessError
from readiness.ledger import Ledger
from readiness.model import Clone, Environment, Outcome, Stage
from readiness.run import RUNS, Request
from tests.unit.samples import PLAN, WAIVERS, FakeClient, Seen, a_gate, a_narrator, a_plan

STAGES = {
    "numbers": Stage.BEFORE_DEPLOY,
    "words": Stage.STEADY,
    "pictures": Stage.STEADY,
    "storms": Stage.DISRUPTIVE,
    "left": Stage.AFTER_TEARDOWN,
}
TEMPLATE = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'


class Killed(BaseException):
    """Stands for kill -9: nothing that the harness would do on the way out is done."""


class World:
    """An account, and gates that say when they are asked; a run can be killed at any step.

    Attributes:
        steps: What was done, in order, since the last start.
        kill_at: The step at which the run is killed.
        stack: Status of the run's stack; None = there is none.
    """

    def __init__(self) -> None:
        self.steps = []
        self.kill_at = None
        self.stack = None

    def step(self, name):
        self.steps.append(name)
        if name == self.kill_at:
            raise Killed

    def client(self, service):
        if service == "ecs":
            return FakeClient(list_clusters={"clusterArns": []})
        listed = [{"StackId": "arn:stack", "StackStatus": self.stack}] if self.stack else []
        return FakeClient(list_stacks={"StackSummaries": listed})

    @property
    def connection(self):
        return SimpleNamespace(
            environment=Environment.EMULATED,
            time_scale=1.0,
            variables={},
            client=self.client,
            region="eu-west-1",
            costs=False,
        )

    def synthesize(self, repository, folder, **how):
        self.step("synthesize")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "shop.template.json").write_text(TEMPLATE)
        return staging.Assembly(folder=folder, templates=(folder / "shop.template.json",))

    def deploy(self, connection, assembly, *, ledger, run_id, expires_at, **how):
        ledger.about_to_create("stack", staging.stack_name(run_id))
        self.stack = "CREATE_IN_PROGRESS"
        self.step("deploy")
        self.stack = "CREATE_COMPLETE"
        ledger.note("stack-deployed", kind="stack", name="arn:stack")
        return Clone(run_id=run_id, stack_name="s", stack_id="arn:stack", outputs={}, expires_at=expires_at)

    def describe(self, cloudformation, stack, run_id, expires_at):
        return Clone(run_id=run_id, stack_name="s", stack_id=stack, outputs={}, expires_at=expires_at)

    def remove(self, clients, run_id, ledger, **how):
        if self.stack == "CREATE_COMPLETE":
            self.stack = "DELETE_IN_PROGRESS"
        self.step("destroy")
        self.stack = None
        return []


@pytest.fixture
def world(monkeypatch):
    world = World()

    def looking(name):
        def observe(ctx, settings):
            world.step(name)
            return Seen(values=(1.0,))

        return observe

    known = tuple(a_gate(name, looking(name), stage=stage) for name, stage in STAGES.items())
    monkeypatch.setattr(gates, "all_gates", lambda: known)
    monkeypatch.setattr(run, "connect", lambda *_, **__: _Entered(world.connection))
    monkeypatch.setattr(resume, "reach_again", lambda region, entries, production: world.connection)
    monkeypatch.setattr(run, "remove_run", world.remove)
    monkeypatch.setattr(aftermath, "end_programs", lambda run_id: None)
    for module in (run, resume):
        monkeypatch.setattr(module, "git_state", lambda repository: ("c0ffee", False))
    for name in ("synthesize", "deploy", "describe"):
        monkeypatch.setattr(staging, name, getattr(world, name))
    return world


class _Entered:
    def __init__(self, connection):
        self.connection = connection

    def __enter__(self):
        return self.connection

    def __exit__(self, *error):
        return False


@pytest.fixture
def killed(world, tmp_path, monkeypatch):
    """Return a function that kills a run at a step and returns its id."""

    def kill(step, target="aws", plan=PLAN):
        (tmp_path / "readiness.toml").write_text(plan)
        (tmp_path / "waivers.toml").write_text("")
        request = Request(
            repository=tmp_path,
            plan_file=tmp_path / "readiness.toml",
            waivers_file=tmp_path / "waivers.toml",
            target=target,
            yes=True,
            allow_dirty=True,
        )
        world.kill_at = step
        before = {key: getattr(world, key) for key in ("stack",)}
        seen = []
        # What a dead process does not do: the way out of every block is cut off by killing there as well.
        real = world.step

        def dead(name):
            if seen:
                raise Killed
            if name == step:
                seen.append(name)
                before["stack"] = world.stack
            real(name)

        monkeypatch.setattr(world, "step", dead)
        with pytest.raises(Killed):
            run.run(request, a_narrator()[0])
        monkeypatch.setattr(world, "step", real)
        world.stack, world.kill_at, world.steps = before["stack"], None, []
        (folder,) = (tmp_path / RUNS).iterdir()
        died(folder)
        return folder.name

    return kill


def died(folder):
    """Make the ledger that of a process that is not there any more."""
    path = folder / "ledger.jsonl"
    path.write_text(path.read_text().replace(f'"pid": "{runner.mark()["pid"]}"', '"pid": "0"'))


@pytest.fixture
def again(tmp_path):
    """Return a function that resumes a run and returns its record."""
    return lambda run_id: resume.resume(tmp_path, run_id, a_narrator()[0])[0]


def refused(again, run_id, why):
    with pytest.raises(ReadinessError, match=why) as caught:
        again(run_id)
    assert f"readiness teardown {run_id}" in caught.value.hint


@pytest.mark.parametrize(
    ("step", "then"),
    [
        ("synthesize", ["synthesize", "numbers", "deploy", "words", "pictures", "storms", "destroy", "left"]),
        ("numbers", ["numbers", "deploy", "words", "pictures", "storms", "destroy", "left"]),
        ("deploy", ["destroy", "deploy", "words", "pictures", "storms", "destroy", "left"]),
        ("words", ["words", "pictures", "storms", "destroy", "left"]),
        ("pictures", ["pictures", "storms", "destroy", "left"]),
        ("destroy", ["destroy", "left"]),
        ("left", ["destroy", "left"]),
    ],
)
def test_a_killed_run_goes_on_from_its_last_finished_stage(world, killed, again, step, then):
    run_id = killed(step)

    record = again(run_id)

    assert world.steps == then
    assert {result.gate for result in record.results} == set(STAGES)
    assert record.outcome is Outcome.PASSED
    assert decide.exit_code(record) == 0
    assert any("killed, and resumed" in span.name for span in record.spans)


def test_a_run_killed_while_something_was_broken_on_purpose_is_not_gone_on_with(world, killed, again):
    refused(again, killed("storms"), "killed during storms, which breaks the clone on purpose")
    assert world.steps == []


def test_a_run_killed_with_a_fault_in_the_clone_is_not_gone_on_with(world, killed, again, tmp_path):
    run_id = killed("words")
    ledger = Ledger(tmp_path / RUNS / run_id / "ledger.jsonl")
    ledger.note("about-to-inject", kind="target", name="10.0.0.1:1")

    refused(again, run_id, "killed during words, which breaks the clone on purpose")
    assert world.steps == []


@pytest.mark.parametrize(("second", "waits"), [(0, 60), (29, 31), (30, 90), (45, 75)])
def test_requests_of_a_load_that_was_cut_off_are_not_counted_with_the_next(
    world, killed, again, tmp_path, monkeypatch, second, waits
):
    slept = []
    run_id = killed("words")
    ledger = Ledger(tmp_path / RUNS / run_id / "ledger.jsonl")
    ledger.about_to_create("ecs-task", "1 x fleet master", started_by=run_id)
    now = datetime.now(UTC).replace(second=second, microsecond=0)
    monkeypatch.setattr(resume, "datetime", SimpleNamespace(now=lambda zone: now))
    monkeypatch.setattr(resume.time, "sleep", lambda seconds: slept.append((seconds, list(world.steps))))

    again(run_id)

    assert slept == [(waits, [])]


def test_what_is_left_is_looked_for_again(world, killed, again, tmp_path):
    run_id = killed("left")
    folder, now = tmp_path / RUNS / run_id, datetime.now(UTC)
    gate = next(gate for gate in gates.all_gates() if gate.id == "left")
    blind = run.result_of(a_plan(), (), gate, run.blind(gate, "credentials expired"), None, now, now, now)
    progress.keep(folder, Ledger(folder / "ledger.jsonl"), folder / "bundle", blind)

    assert again(run_id).outcome is Outcome.PASSED
    assert world.steps == ["destroy", "left"]


def test_evidence_of_a_clone_that_is_gone_is_not_mixed_with_anothers(world, killed, again):
    run_id = killed("pictures")
    world.stack = None

    refused(again, run_id, "its clone is gone, and pictures, storms would be asked of another one")


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS", "ROLLBACK_FAILED"])
def test_a_clone_that_is_not_whole_counts_as_gone(world, killed, again, status):
    run_id = killed("pictures")
    world.stack = status

    refused(again, run_id, "its clone is gone")


def test_on_the_embedded_aws_the_clone_went_with_its_runner(killed, again):
    refused(again, killed("words", target="embedded"), "its embedded AWS ended with its runner")


def test_a_run_that_was_decided_is_over(world, killed, again):
    run_id = killed("words")
    again(run_id)

    refused(again, run_id, "it was decided")


def test_a_run_that_is_still_at_work_is_not_resumed_beside_itself(killed, again, tmp_path):
    run_id = killed("words")
    Ledger(tmp_path / RUNS / run_id / "ledger.jsonl").note("run-resumed", **runner.mark())

    with pytest.raises(ReadinessError, match="still at work"):
        again(run_id)


def test_another_commit_is_another_candidate(killed, again, monkeypatch):
    run_id = killed("words")
    monkeypatch.setattr(resume, "git_state", lambda repository: ("badcafe", False))

    refused(again, run_id, "the candidate is another")


@pytest.mark.parametrize("state", [("c0ffee", True), ("unknown", True)])
def test_a_candidate_that_was_not_committed_may_be_another_one(killed, again, monkeypatch, state):
    for module in (run, resume):
        monkeypatch.setattr(module, "git_state", lambda repository: state)

    refused(again, killed("words"), "its candidate was not committed")


def test_a_plan_that_was_changed_meanwhile_is_refused(killed, again, tmp_path):
    run_id = killed("words")
    (tmp_path / RUNS / run_id / "bundle" / "plan.toml").write_text(PLAN + "\n")

    refused(again, run_id, "the plan that it froze is not in")


@pytest.mark.parametrize("path", ["bundle/observations/numbers.json", "progress/numbers.json"])
def test_evidence_that_was_changed_meanwhile_is_refused(killed, again, tmp_path, path):
    run_id = killed("words")
    file = tmp_path / RUNS / run_id / path
    file.write_text(file.read_text().replace("1.0", "2.0"))

    with pytest.raises(EvidenceError, match=r"numbers .* was changed"):
        again(run_id)


def test_a_template_that_was_changed_meanwhile_is_refused(world, killed, again, tmp_path):
    run_id = killed("words")
    (tmp_path / RUNS / run_id / "cdk.out" / "shop.template.json").write_text('{"Resources": {}}')

    refused(again, run_id, "does not hold the templates that were looked at")
    assert world.steps == []


@pytest.mark.parametrize("folders", [["cdk.out"], ["bundle/templates"], ["cdk.out", "bundle/templates"]])
def test_templates_that_are_gone_are_not_made_anew_once_gates_were_asked(world, killed, again, tmp_path, folders):
    run_id = killed("words")
    for folder in folders:
        shutil.rmtree(tmp_path / RUNS / run_id / folder)

    refused(again, run_id, "does not hold the templates that were looked at")
    assert world.steps == []


def test_waivers_that_were_changed_meanwhile_are_refused(killed, again, tmp_path):
    run_id = killed("words")
    (tmp_path / RUNS / run_id / "bundle" / "waivers.toml").write_text(WAIVERS)

    refused(again, run_id, "waivers.toml in .* is not the file that it froze")


def test_whatever_keeps_a_resumed_run_from_going_on_its_clone_is_torn_down(world, killed, again, monkeypatch):
    run_id = killed("words")

    def fail(this, connection):
        raise CloudError("no")

    monkeypatch.setattr(resume, "_stop_load", fail)

    record = again(run_id)

    assert world.steps == ["destroy", "left"]
    assert record.troubles == ("no",)
    assert record.outcome is Outcome.INCONCLUSIVE


def test_time_that_is_over_is_not_given_again_but_for_the_teardown(world, killed, again, monkeypatch):
    later = datetime.now(UTC) + timedelta(hours=3)
    run_id = killed("words")
    monkeypatch.setattr(resume, "datetime", SimpleNamespace(now=lambda zone: later))

    refused(again, run_id, "budget.wall_clock is over")


def test_what_the_clone_cost_before_is_not_given_again(world, killed, again, tmp_path, monkeypatch):
    """It has stood for an hour at a dollar an hour, of a budget of one."""
    priced = SimpleNamespace(usd_per_hour_most=1.0)
    monkeypatch.setattr(run, "estimated", lambda this, assembly: priced)
    run_id = killed("pictures", plan=PLAN + "\n[budget]\nusd = 1.0\n")
    path = tmp_path / RUNS / run_id / "ledger.jsonl"
    for at in {json.loads(line)["at"] for line in path.read_text().splitlines()}:
        earlier = (datetime.fromisoformat(at) - timedelta(hours=1)).isoformat()
        path.write_text(path.read_text().replace(at, earlier))
    monkeypatch.setattr(world, "step", _slow(world.step))

    record = again(run_id)

    assert "storms" not in world.steps
    assert world.steps[-2:] == ["destroy", "left"]
    assert record.troubles == ("The run has cost budget.usd (1.0 USD), by the estimate",)


def _slow(step):
    def slow(name):
        step(name)
        if name == "pictures":
            time.sleep(1)

    return slow


def test_a_resumed_run_is_compared_with_what_it_was_compared_with_before(killed, again, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(run.triage, "since_baseline", lambda bundle, results: seen.append(bundle) or (None, None))
    monkeypatch.setattr(run.baseline, "latest", lambda runs, environment: tmp_path / "before")
    run_id = killed("words")
    monkeypatch.setattr(run.baseline, "latest", lambda runs, environment: tmp_path / "since")

    again(run_id)

    assert seen == [tmp_path / "before"]


def test_a_teardown_that_was_cut_off_is_finished_however_late(world, killed, again, monkeypatch):
    run_id = killed("destroy")
    later = datetime.now(UTC) + timedelta(hours=9)
    monkeypatch.setattr(resume, "datetime", SimpleNamespace(now=lambda zone: later))

    assert again(run_id).outcome is Outcome.PASSED
    assert world.steps == ["destroy", "left"]


def test_what_a_gate_came_to_and_what_was_only_begun_is_told_apart(tmp_path, killed):
    ledger = Ledger(tmp_path / RUNS / killed("pictures") / "ledger.jsonl")

    assert progress.begun(ledger) == ("pictures",)
    assert [entry.name for entry in ledger.entries() if entry.event == progress.FINISHED] == ["numbers", "words"]
