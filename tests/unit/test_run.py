"""A run, with small gates in place of ours and no AWS: what becomes of observations, mistakes and trouble."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from readiness import aftermath, contract, controls, decide, doctor, evidence, gates, registration, run, staging
from readiness.errors import CloudError, EvidenceError, PlanError, ReadinessError, TeardownError, UsageError
from readiness.gates import leftovers
from readiness.interruption import Interrupted, OutOfTime
from readiness.ledger import Ledger
from readiness.model import (
    ChecklistItem,
    Clone,
    Disposition,
    Environment,
    Gap,
    GateResult,
    Measurement,
    Outcome,
    Severity,
    Stage,
    Verdict,
)
from readiness.run import LEDGER_FILE, RUNS, Request, attempt, check_gates, conclude, deployable, freeze, remaining
from tests.unit.samples import (
    PLAN,
    T0,
    WAIVERS,
    Seen,
    a_context,
    a_finding,
    a_gate,
    a_judgement,
    a_narrator,
    a_plan,
    a_result,
)


@pytest.fixture
def known(monkeypatch):
    """The gates that there are; tests add to them."""
    found = [a_gate("numbers"), a_gate("words")]
    monkeypatch.setattr(gates, "all_gates", lambda: tuple(found))
    return found


@pytest.fixture
def begin(tmp_path, known):
    """Return a function that freezes a run in a folder of its own."""

    def freeze_one(plan=PLAN, waivers="", **changes):
        (tmp_path / "readiness.toml").write_text(plan)
        (tmp_path / "waivers.toml").write_text(waivers)
        return freeze(request_in(tmp_path, **changes), a_narrator()[0])

    return freeze_one


def request_in(folder: Path, **changes) -> Request:
    return Request(
        **{
            "repository": folder,
            "plan_file": folder / "readiness.toml",
            "waivers_file": folder / "waivers.toml",
            "target": "embedded",
            "allow_dirty": True,
        }
        | changes
    )


def asked(this, gate) -> GateResult:
    return attempt(this, gate, a_context(this.folder, bundle=this.bundle, ledger=this.ledger))


# --- attempt ---------------------------------------------------------------------------------------------------------


def test_what_was_seen_is_written_down_and_judged(begin):
    this = begin()

    result = asked(this, a_gate("numbers", (1.0, 11.0)))

    assert result.outcome is Outcome.FAILED
    assert result.observation == "observations/numbers.json"
    assert evidence.read_json(this.bundle.root, result.observation, Seen) == Seen(values=(1.0, 11.0))


def test_what_was_written_is_judged_not_what_was_seen(begin):
    """A gate that hands out more than it writes down is judged by what anybody can read."""

    class More(Seen):
        __slots__ = ("secret",)

    judged = []
    gate = a_gate("numbers", lambda ctx, settings: More(values=(1.0,)))
    asked(begin(), replace(gate, judge=lambda seen, settings: judged.append(seen) or a_judgement()))

    assert [type(seen) for seen in judged] == [Seen]


def test_a_gate_with_nothing_to_see_is_inconclusive(begin):
    assert asked(begin(), a_gate("numbers", ())).outcome is Outcome.INCONCLUSIVE


def test_an_error_while_observing_is_a_gap_with_its_message(begin):
    def observe(ctx, settings):
        raise CloudError("The inbox is gone.", hint="Deploy again.")

    result = asked(begin(), a_gate("numbers", observe))

    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.observation is None
    assert result.judgement.gaps == (Gap(what="Are the numbers good?", why="The inbox is gone.\n  Deploy again."),)


def test_a_bug_while_observing_is_a_gap_with_its_traceback_kept(begin):
    def observe(ctx, settings):
        raise KeyError("Stacks")

    this = begin()

    (gap,) = asked(this, a_gate("numbers", observe)).judgement.gaps

    assert gap.why == "the harness failed: KeyError('Stacks'); see artifacts/tracebacks/numbers.txt"
    assert "KeyError: 'Stacks'" in (this.bundle.root / "artifacts/tracebacks/numbers.txt").read_text()


def test_a_bug_while_judging_is_a_gap_and_the_observation_is_kept(begin):
    result = asked(begin(), a_gate("numbers", (666.0,)))

    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.observation == "observations/numbers.json"


@pytest.mark.parametrize("seen", [None, "nothing", Seen(values=(math.nan,)), Seen(values=("many",))])
def test_an_observation_that_does_not_read_back_is_a_gap(begin, seen):
    result = asked(begin(), a_gate("numbers", lambda ctx, settings: seen))

    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.judgement.gaps


def test_a_judgement_with_a_figure_that_is_no_number_is_a_gap(begin):
    endless = Measurement(name="p95", value=math.inf, unit="ms", samples=1)
    gate = a_gate("numbers", judge=lambda seen, settings: a_judgement(measurements=(endless,)))

    result = asked(begin(), gate)

    assert result.outcome is Outcome.INCONCLUSIVE
    assert "the judgement is no Judgement" in result.judgement.gaps[0].why


@pytest.mark.parametrize("error", [Interrupted, OutOfTime, KeyboardInterrupt, SystemExit])
def test_an_interruption_is_no_gap(begin, error):
    def observe(ctx, settings):
        raise error

    with pytest.raises(error):
        asked(begin(), a_gate("numbers", observe))


def test_the_settings_of_a_gate_come_from_the_plan(begin):
    this = begin(PLAN + "\n[gates.settings.numbers]\nlimit = 100\n")

    assert asked(this, a_gate("numbers", (99.0,))).outcome is Outcome.PASSED


def test_waivers_dispose_of_findings(begin):
    this = begin(waivers=WAIVERS)
    this.started_at = T0

    result = asked(this, a_gate("numbers", (11.0,)))

    assert [each.disposition for each in result.findings] == [Disposition.WAIVED]
    assert result.outcome is Outcome.PASSED


def test_a_waiver_that_expired_before_the_run_does_not(begin):
    this = begin(waivers=WAIVERS)
    this.started_at = T0.replace(year=2027)

    assert asked(this, a_gate("numbers", (11.0,))).outcome is Outcome.FAILED


def test_a_gate_that_the_plan_does_not_require_is_said_not_to_be(begin):
    this = begin()

    assert asked(this, a_gate("numbers")).required
    assert not asked(this, a_gate("extra")).required


# --- freeze ----------------------------------------------------------------------------------------------------------


def test_the_plan_is_written_down_before_anything_else(begin):
    this = begin(waivers=WAIVERS)

    (started,) = this.ledger.entries()
    assert started.event == "run-started"
    assert started.details["plan"] == evidence.sha256(PLAN.encode())
    assert started.details["target"] == "embedded"
    assert (this.bundle.root / "plan.toml").read_text() == PLAN
    assert (this.bundle.root / "waivers.toml").read_text() == WAIVERS


def test_without_a_waiver_register_nothing_is_waived_and_the_bundle_says_so(begin, tmp_path):
    this = begin(waivers_file=tmp_path / "none.toml")

    assert this.waivers == ()
    assert (this.bundle.root / "waivers.toml").read_bytes() == b""


def test_a_run_has_a_name_of_its_own(begin):
    one, other = begin(), begin()

    assert one.id != other.id
    assert one.folder != other.folder


def test_an_invalid_plan_makes_nothing(begin, tmp_path):
    with pytest.raises(PlanError):
        begin(PLAN.replace('hold = "10s"', ""))

    assert not (tmp_path / ".readiness").exists()


def test_an_invalid_register_makes_nothing(begin, tmp_path):
    with pytest.raises(PlanError, match=r"waivers\.toml"):
        begin(waivers=WAIVERS.replace("Grace", "Ada"))

    assert not (tmp_path / ".readiness").exists()


def test_a_plan_that_the_bundle_would_mask_makes_nothing(begin, tmp_path, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", 'hold = "10s"')

    with pytest.raises(UsageError, match="holds the value of the environment variable DB_PASSWORD"):
        begin()

    assert not (tmp_path / ".readiness").exists()


def test_evidence_goes_where_it_was_asked_to(begin, tmp_path):
    assert begin(evidence=tmp_path / "proof").bundle.root == tmp_path / "proof"


def test_an_empty_folder_may_take_the_evidence(begin, tmp_path):
    (tmp_path / "proof").mkdir()

    assert begin(evidence=tmp_path / "proof")


def test_evidence_is_not_mixed_with_what_a_folder_holds(begin, tmp_path):
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof" / "record.json").write_text("{}")

    with pytest.raises(EvidenceError, match="is not an empty folder") as caught:
        begin(evidence=tmp_path / "proof")
    assert "--evidence" in caught.value.hint


def test_without_git_the_commit_is_unknown_and_never_called_clean(tmp_path):
    assert registration.git_state(tmp_path) == ("unknown", True)


def test_the_commit_is_that_of_the_repository(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True).stdout

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", ".")
    git("commit", "-qm", "one")
    head = git("rev-parse", "HEAD").decode().strip()

    assert registration.git_state(tmp_path) == (head, False)
    (tmp_path / "file").write_text("2")
    assert registration.git_state(tmp_path) == (head, True)


def test_evidence_inside_of_the_repository_does_not_make_the_candidate_another_one(begin, tmp_path):
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        (tmp_path / "readiness.toml").write_text(PLAN)
        (tmp_path / "waivers.toml").write_text("")
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True)

    this = begin(evidence=tmp_path / "proof")

    assert not this.candidate.dirty
    assert this.ledger.entries()[0].details["dirty"] == "false"


# --- check_gates -----------------------------------------------------------------------------------------------------


def test_an_unknown_required_gate_is_named(known, tmp_path):
    frozen = a_plan()
    frozen = replace(frozen, gates=replace(frozen.gates, required=("numbers", "colours")))

    with pytest.raises(PlanError, match="there is no gate 'colours'\n  `readiness gates` lists them") as caught:
        check_gates(frozen, request_in(tmp_path))
    assert caught.value.key == "gates.required[1]"
    assert caught.value.file.endswith("readiness.toml")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"colours": {}}, "gates.settings.colours"),
        ({"numbers": {"colour": "red"}}, "gates.settings.numbers.colour"),
        ({"numbers": {"limit": math.nan}}, "gates.settings.numbers.limit"),
        ({"numbers": {"limit": "high"}}, "gates.settings.numbers.limit"),
    ],
)
def test_settings_that_no_gate_has_are_named(known, tmp_path, settings, key):
    frozen = a_plan()
    frozen = replace(frozen, gates=replace(frozen.gates, settings=settings))

    with pytest.raises(PlanError) as caught:
        check_gates(frozen, request_in(tmp_path))
    assert caught.value.key == key


def test_a_checklist_item_bound_to_no_gate_is_named(known, tmp_path):
    frozen = replace(a_plan(), checklist=(ChecklistItem(id="item", text="It works", gate="colours"),))

    with pytest.raises(PlanError) as caught:
        check_gates(frozen, request_in(tmp_path))
    assert caught.value.key == "checklist[0].gate"


def test_asking_for_an_unknown_gate_is_a_wrong_command_line_not_a_wrong_plan(known, tmp_path):
    with pytest.raises(UsageError, match="--only: there is no gate 'colours'"):
        check_gates(a_plan(), request_in(tmp_path, only=("colours",)))


# --- deployable, remaining -------------------------------------------------------------------------------------------


def test_a_required_gate_that_failed_keeps_anything_from_being_deployed(begin):
    this = begin()
    this.results.append(a_result("numbers", a_judgement(a_finding()), stage=Stage.BEFORE_DEPLOY))

    assert not deployable(this)


@pytest.mark.parametrize(
    "result",
    [
        a_result("numbers", a_judgement(examined=0)),
        a_result("numbers", a_judgement(a_finding()), required=False),
        a_result("numbers"),
    ],
    ids=["inconclusive", "failed, but not required", "passed"],
)
def test_anything_less_does_not(begin, result):
    this = begin()
    this.results.append(result)

    assert deployable(this)


def test_nothing_is_deployed_for_gates_that_need_no_clone(begin, known):
    known.append(a_gate("scan", stage=Stage.BEFORE_DEPLOY))
    known.append(a_gate("left", stage=Stage.AFTER_TEARDOWN))

    assert not deployable(begin(only=("scan",)))
    assert deployable(begin(only=("scan", "words")))


def test_what_is_asked_after_the_cutover_is_asked_by_no_run(begin, known):
    known.append(a_gate("live", stage=Stage.AFTER_CUTOVER))

    assert "live" not in [gate.id for gate in begin().asked]


def test_the_leftovers_are_asked_for_whatever_was_asked(begin, known):
    known.append(a_gate("left", stage=Stage.AFTER_TEARDOWN))

    assert [gate.id for gate in begin(only=("words",)).asked] == ["words", "left"]


def test_what_was_found_and_what_could_not_be_ruled_out_may_remain():
    after = a_result(
        "left",
        a_judgement(a_finding("queue"), gaps=(Gap(what="vpc", why="access denied"),)),
        stage=Stage.AFTER_TEARDOWN,
    )
    before = a_result("numbers", a_judgement(a_finding("p95")))

    assert remaining([before, after]) == ("queue", "vpc")


def test_nothing_remains_when_nothing_was_found():
    assert remaining([a_result("left", stage=Stage.AFTER_TEARDOWN)]) == ()


# --- conclude --------------------------------------------------------------------------------------------------------


def test_a_rehearsal_in_which_every_gate_passed_is_recorded_and_sealed(begin):
    this = begin()
    this.results += [a_result("numbers"), a_result("words")]

    record = conclude(this)

    assert (record.outcome, record.verdict) == (Outcome.PASSED, Verdict.NO_GO)
    assert evidence.read_record(this.bundle.root) == record
    assert evidence.check_manifest(this.bundle.root) == 13
    assert b'"2.1.0"' in (this.bundle.root / "findings.sarif").read_bytes()
    assert (this.bundle.root / "report.md").read_text().startswith("# shop: Rehearsal passed")
    assert "<title>shop: Rehearsal passed" in (this.bundle.root / "report.html").read_text()


def test_the_ledger_says_that_the_run_was_decided_and_on_which_evidence(begin):
    this = begin()

    conclude(this)

    decided = this.ledger.entries()[-1]
    assert decided.event == "run-decided"
    assert decided.details["bundle"] == evidence.sha256((this.bundle.root / "manifest.json").read_bytes())


def test_without_any_result_the_run_is_inconclusive(begin):
    record = conclude(begin())

    assert record.outcome is Outcome.INCONCLUSIVE
    assert record.reasons[:2] == ("numbers: was not asked", "words: was not asked")


def test_trouble_is_never_a_pass(begin):
    this = begin()
    this.results += [a_result("numbers"), a_result("words")]
    this.troubles.append("The harness failed")

    record = conclude(this)

    assert record.outcome is Outcome.INCONCLUSIVE
    assert record.reasons[0] == "The harness failed"
    assert decide.exit_code(record) == 1


def test_leftovers_are_named_once(begin):
    this = begin()
    this.leftovers.append("queue")
    this.results.append(a_result("left", a_judgement(a_finding("queue")), stage=Stage.AFTER_TEARDOWN))

    record = conclude(this)

    assert record.leftovers == ("queue",)
    assert decide.exit_code(record) == 4


def test_unused_waivers_are_recorded(begin):
    assert [waiver.subject for waiver in conclude(begin(waivers=WAIVERS)).unused_waivers] == ["value-0"]


# --- the whole story, with a staging and an account that are not there -----------------------------------------------


def press() -> None:
    """Press Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


class World:
    """Stands for staging and the account; each step can be made to fail.

    Attributes:
        steps: What was done, in order.
        fail: Step -> what it raises.
        meanwhile: Step -> what happens during it.
        costs: Whether somebody must agree first.
        checks: What the preflight says of the account.
    """

    def __init__(self) -> None:
        self.steps = []
        self.fail = {}
        self.meanwhile = {}
        self.costs = False
        self.checks = ()
        self.template = {"Resources": {"Nat": {"Type": "AWS::EC2::NatGateway"}}}

    def step(self, name):
        self.steps.append(name)
        self.meanwhile.get(name, lambda: None)()
        if name in self.fail:
            raise self.fail[name]

    @contextmanager
    def connect(self, target, plan, **where):
        self.step("connect")
        yield SimpleNamespace(
            environment=Environment.EMULATED,
            time_scale=20.0,
            variables={},
            client=lambda name: None,
            account="123456789012",
            region="eu-west-1",
            costs=self.costs,
        )
        self.step("disconnect")

    def synthesize(self, repository, folder, **how):
        self.step("synthesize")
        folder.mkdir(parents=True)
        (folder / "shop.template.json").write_text(json.dumps(self.template))
        return staging.Assembly(folder=folder, templates=(folder / "shop.template.json",))

    def deploy(self, connection, assembly, **how):
        how["ledger"].about_to_create("stack", f"readiness-{how['run_id']}")
        self.step("deploy")
        return Clone(run_id=how["run_id"], stack_name="s", stack_id="s", outputs={}, expires_at=how["expires_at"])

    def destroy(self, clients, run_id, ledger, **how):
        self.step("destroy")
        return []


@pytest.fixture
def world(monkeypatch, known):
    """A world in which all goes well, and gates that write down when they are asked."""
    world = World()
    monkeypatch.setattr(doctor, "cheap", lambda connection, plan: world.checks)
    monkeypatch.setattr(run, "connect", world.connect)
    for name in ("synthesize", "deploy"):
        monkeypatch.setattr(staging, name, getattr(world, name))
    monkeypatch.setattr(run, "remove_run", world.destroy)

    def looking(name):
        def observe(ctx, settings):
            world.step(name)
            return Seen(values=(1.0,))

        return observe

    known[:] = [
        a_gate("numbers", looking("numbers"), stage=Stage.BEFORE_DEPLOY),
        a_gate("words", looking("words"), stage=Stage.STEADY),
        a_gate("storms", looking("storms"), stage=Stage.DISRUPTIVE),
        a_gate("left", looking("left"), stage=Stage.AFTER_TEARDOWN),
    ]
    return world


@pytest.fixture
def whole(world, tmp_path):
    """Return a function that does a whole run and returns its record."""

    def do(**changes):
        (tmp_path / "readiness.toml").write_text(PLAN)
        (tmp_path / "waivers.toml").write_text("")
        return run.run(request_in(tmp_path, **changes), a_narrator()[0])[0]

    return do


ALL = [
    "connect",
    "synthesize",
    "numbers",
    "deploy",
    "words",
    "storms",
    "destroy",
    "left",
    "disconnect",
]


def test_a_run_that_goes_well_tells_its_story_in_order(world, whole):
    record = whole()

    assert world.steps == ALL
    assert record.outcome is Outcome.PASSED
    assert decide.exit_code(record) == 0
    assert record.candidate.template_digests == {
        "shop.template.json": evidence.sha256(json.dumps(world.template).encode())
    }
    assert record.time_scale == 20.0


@pytest.mark.parametrize("step", ["deploy", "words", "storms", "destroy", "left"])
@pytest.mark.parametrize("error", [Interrupted, OutOfTime, RuntimeError("a bug"), ReadinessError("no")], ids=repr)
def test_whatever_happens_after_the_deployment_began_the_clone_is_destroyed_and_looked_for(world, whole, step, error):
    world.fail[step] = error

    whole()

    assert "destroy" in world.steps
    assert world.steps.index("left") > world.steps.index("destroy")


@pytest.mark.parametrize("step", ["connect", "synthesize", "deploy", "destroy", "disconnect"])
@pytest.mark.parametrize("error", [OutOfTime, RuntimeError("a bug"), ReadinessError("no")], ids=repr)
def test_a_harness_that_fails_is_never_a_pass(world, whole, step, error):
    world.fail[step] = error

    record = whole()

    assert record.outcome is Outcome.INCONCLUSIVE
    assert record.troubles
    assert decide.exit_code(record) == 1


def test_a_bug_of_the_harness_keeps_its_traceback(world, whole, tmp_path):
    world.fail["synthesize"] = RuntimeError("a bug")

    record = whole(evidence=tmp_path / "proof")

    assert record.troubles == ("The harness failed: RuntimeError('a bug'); see artifacts/traceback.txt",)
    assert "RuntimeError: a bug" in (tmp_path / "proof/artifacts/traceback.txt").read_text()


def test_a_required_gate_that_fails_before_the_deployment_ends_the_run(world, whole, known):
    known[0] = a_gate("numbers", (11.0,), stage=Stage.BEFORE_DEPLOY)

    record = whole()

    assert "deploy" not in world.steps
    assert record.outcome is Outcome.FAILED
    assert decide.exit_code(record) == 2


def test_a_stack_that_cannot_be_deleted_is_a_leftover(world, whole):
    world.fail["destroy"] = TeardownError(["stack readiness-1"])

    record = whole()

    assert record.leftovers == ("stack readiness-1",)
    assert decide.exit_code(record) == 4


@pytest.mark.parametrize("step", ["connect", "synthesize", "numbers", "deploy", "words", "storms"])
def test_a_signal_is_recorded_and_what_was_made_is_torn_down(world, whole, step):
    world.meanwhile[step] = press

    record = whole()

    made = "deploy" in world.steps
    assert ("destroy" in world.steps) == made
    assert ("left" in world.steps) == made
    assert record.interrupted
    assert record.outcome is Outcome.INCONCLUSIVE
    assert record.leftovers == ()


def test_a_signal_during_the_teardown_does_not_cut_it_off(world, whole):
    world.meanwhile["destroy"] = press

    record = whole()

    assert world.steps == ALL
    assert not record.interrupted
    assert record.outcome is Outcome.PASSED


def test_an_interruption_is_recorded_although_the_teardown_fails_after_it(world, whole):
    world.meanwhile["words"] = press
    world.fail["destroy"] = CloudError("no")

    record = whole()

    assert record.interrupted
    assert record.troubles == ("no",)


def test_a_teardown_that_is_given_up_leaves_something(world, whole):
    world.meanwhile["destroy"] = lambda: (press(), press())

    record = whole()

    assert record.interrupted
    assert record.leftovers == (f"stack readiness-{record.run_id} (the teardown was given up)",)
    assert decide.exit_code(record) == 4


# --- what it costs, and whose it is ----------------------------------------------------------------------------------


def test_what_costs_money_is_not_made_unless_somebody_agrees(world, whole, monkeypatch):
    world.costs = True
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))

    with pytest.raises(UsageError, match="no terminal to ask"):
        whole()

    assert world.steps == ["connect", "synthesize"]


def test_what_is_agreed_to_beforehand_is_made_and_the_agreement_is_in_the_ledger(world, whole, tmp_path):
    world.costs = True

    record = whole(yes=True)

    assert world.steps == ALL
    events = {each.event: each for each in Ledger(tmp_path / RUNS / record.run_id / LEDGER_FILE).entries()}
    assert events["agreed"].details == {"how": "--yes"}
    assert float(events["estimated"].details["usd_per_hour"]) > 0


def test_a_run_on_aws_without_a_terminal_is_refused_before_anything_is_written(world, whole, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))

    with pytest.raises(UsageError, match="no terminal to ask"):
        whole(target="aws")

    assert world.steps == []
    assert not (tmp_path / RUNS).exists()


def test_a_run_whose_budget_is_used_up_is_torn_down_and_says_so(world, tmp_path, monkeypatch):
    """A budget of a hundredth of a cent pays for less than a second of this stack."""
    (tmp_path / "readiness.toml").write_text(PLAN + "\n[budget]\nusd = 0.00001\n")
    (tmp_path / "waivers.toml").write_text("")
    world.meanwhile["words"] = lambda: signal.pause()

    record = run.run(request_in(tmp_path), a_narrator()[0])[0]

    assert "storms" not in world.steps
    assert world.steps[-2:] == ["destroy", "left"]
    assert record.troubles == ("The run has cost budget.usd (1e-05 USD), by the estimate",)
    assert record.outcome is Outcome.INCONCLUSIVE


def test_a_gate_that_acts_is_not_asked_of_a_clone_that_is_not_shown_to_be_this_runs(begin):
    """Whatever it would have done is not done, and that is a gap."""
    done = []
    gate = replace(a_gate("numbers", lambda ctx, settings: done.append(1)), acts=True)
    this = begin()
    clone = Clone(run_id=this.id, stack_name="s", stack_id="s", outputs={}, expires_at=T0)
    theirs = {"Stacks": [{"StackName": "s", "Tags": [{"Key": "readiness:run-id", "Value": "another"}]}]}
    clients = {"cloudformation": SimpleNamespace(describe_stacks=lambda StackName: theirs)}
    context = a_context(this.folder, bundle=this.bundle, ledger=this.ledger, deployed=clone, clients=clients.get)

    result = attempt(this, gate, context)

    assert result.outcome is Outcome.INCONCLUSIVE
    assert "is not drilled" in result.judgement.gaps[0].why
    assert not done
    theirs["Stacks"][0]["Tags"][0]["Value"] = this.id
    attempt(this, gate, context)
    assert done


def test_what_would_end_a_deployment_half_way_ends_the_run_before_anything_is_made(world, whole):
    world.costs = True
    world.checks = (doctor.Check(name="CDK bootstrap", standing="fault", said="there is none", then="cdk bootstrap"),)

    record = whole(yes=True)

    assert world.steps == ["connect"]
    assert "CDK bootstrap: there is none" in record.troubles[0]
    assert record.outcome is Outcome.INCONCLUSIVE


# --- trouble in the middle -------------------------------------------------------------------------------------------


def test_credentials_that_expire_in_mid_run_leave_the_stack_named_with_the_way_to_go_on(world, whole):
    """Neither the teardown nor the search for leftovers can be done; the verdict is none, and the exit code 4."""
    expired = CloudError("Describing stack failed: ExpiredToken", hint="Renew your credentials and go on.")
    for step in ("words", "storms", "destroy", "left"):
        world.fail[step] = expired

    record = whole()

    assert record.leftovers == (f"stack readiness-{record.run_id} (nobody could look for it)",)
    assert "ExpiredToken" in record.troubles[0]
    assert record.outcome is Outcome.INCONCLUSIVE
    assert decide.exit_code(record) == 4


class Disk:
    """A disk on which evidence, or the ledger, cannot be written from a step on."""

    def __init__(self, world, step, monkeypatch, *kinds):
        world.meanwhile[step] = lambda: [self.fill(kind, method, monkeypatch) for kind, method in kinds]

    @staticmethod
    def fill(kind, method, monkeypatch):
        def full(*args, **details):
            raise EvidenceError("It cannot be written: No space left on device.")

        monkeypatch.setattr(kind, method, full)


EVIDENCE = (evidence.BundleWriter, "put")
LEDGER = (Ledger, "note")


@pytest.mark.parametrize("step", ["numbers", "deploy", "words", "storms", "destroy", "left"])
@pytest.mark.parametrize("kinds", [(EVIDENCE,), (LEDGER,), (EVIDENCE, LEDGER)], ids=["evidence", "ledger", "both"])
def test_a_full_disk_is_never_a_pass_and_keeps_no_clone_standing(world, whole, monkeypatch, step, kinds):
    Disk(world, step, monkeypatch, *kinds)

    try:
        code = decide.exit_code(whole())
    except TeardownError:
        code = 4
    except EvidenceError:
        code = 1

    if "deploy" in world.steps:
        assert "destroy" in world.steps
        assert "left" in world.steps
    assert code in (1, 4)


def test_leftovers_outrank_a_record_that_cannot_be_written(world, whole, monkeypatch):
    Disk(world, "left", monkeypatch, EVIDENCE)
    world.fail["destroy"] = TeardownError(["stack readiness-1"])

    with pytest.raises(TeardownError, match="stack readiness-1") as caught:
        whole()
    assert "No space left on device" in caught.value.hint
    assert "readiness teardown" in caught.value.hint


def bug(*args):
    raise KeyError("x")


def test_a_bug_in_a_control_costs_the_verdict_and_neither_the_record_nor_the_leftovers(world, whole, monkeypatch):
    world.fail["destroy"] = TeardownError(["stack readiness-1"])
    monkeypatch.setattr(controls, "on_evidence", bug)

    record = whole()

    assert record.leftovers == ("stack readiness-1",)
    assert record.troubles[-1] == (
        "Nobody knows whether the gates notice a planted fault: KeyError('x'); see artifacts/tracebacks/controls.txt"
    )
    assert decide.exit_code(record) == 4


def test_one_signal_while_the_run_is_decided_does_not_cost_the_record(world, whole, monkeypatch):
    monkeypatch.setattr(run, "unnoticed", lambda *_: press() or [])

    record = whole()

    assert record.outcome is Outcome.PASSED
    assert not record.interrupted


@pytest.mark.parametrize("end", [bug, lambda *_: (press(), press())], ids=["bug", "signals"])
def test_leftovers_are_named_although_something_ends_the_decision(world, whole, monkeypatch, end):
    world.fail["destroy"] = TeardownError(["stack readiness-1"])
    monkeypatch.setattr(run, "put_reports", end)

    with pytest.raises(TeardownError, match="stack readiness-1") as caught:
        whole()
    assert "readiness teardown" in caught.value.hint


def test_two_signals_end_a_decision_that_has_nothing_to_tell(world, whole, monkeypatch):
    monkeypatch.setattr(run, "put_reports", lambda *_: (press(), press()))

    with pytest.raises(Interrupted):
        whole()


def test_a_bug_whose_traceback_cannot_be_kept_is_told(world, whole, monkeypatch):
    def full(self, path, data):
        raise EvidenceError("It cannot be written: No space left on device.")

    world.fail["synthesize"] = RuntimeError("a bug")
    monkeypatch.setattr(evidence.BundleWriter, "write", full)

    assert whole().troubles == ("The harness failed: RuntimeError('a bug')",)


def test_what_stays_on_purpose_is_no_leftover(begin):
    told = a_finding("archive", severity=Severity.INFO, rule=contract.RETAINED_RULE)
    missing = a_finding("snapshot", rule=contract.RETAINED_MISSING_RULE)
    judgement = a_judgement(told, missing, a_finding("queue", rule="leftovers/stack"))

    assert remaining([a_result("left", judgement, stage=Stage.AFTER_TEARDOWN)]) == ("queue",)


def test_what_the_plan_retains_is_written_down_before_anything_is_made(begin, known):
    known.append(a_gate("leftovers", settings=leftovers.Settings))
    this = begin(PLAN + '\n[gates.settings.leftovers]\nretained = ["archive"]\n')

    assert aftermath.retained_by_plan(this.ledger) == ("archive",)


def test_two_runs_that_begin_at_once_share_nothing(begin, tmp_path):
    one, other = begin(), begin()

    assert one.id != other.id
    assert one.folder != other.folder
    assert one.bundle.root != other.bundle.root
    assert staging.stack_name(one.id) != staging.stack_name(other.id)
