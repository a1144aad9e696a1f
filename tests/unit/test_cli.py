"""The command line: arguments in, exit code out, and an error is a sentence, never a traceback."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

import readiness
from readiness import cli, doctor, gates
from readiness.cli import command
from readiness.decide import ExitCode
from readiness.decision import NOTHING_SIGNED, decided
from readiness.errors import CloudError, EvidenceError, PlanError, TeardownError
from readiness.evidence import RECORD, BundleWriter, from_json
from readiness.model import Environment, Gap, GateResult, Outcome, Plan, Record, Severity, Verdict
from readiness.waivers import load_waivers
from tests.unit.samples import PLAN, a_finding, a_gate, a_judgement, a_plan, a_record, a_result, a_waiver

REPOSITORY = Path(__file__).parents[2]
COMMANDS = (
    "run",
    "resume",
    "scan",
    "waive",
    "verify",
    "compare",
    "gates",
    "plan",
    "doctor",
    "teardown",
    "sweep",
    "aws",
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in a folder of its own that holds a plan."""
    (tmp_path / "readiness.toml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leave(arguments):
    """Return the exit code with which argparse left."""
    with pytest.raises(SystemExit) as caught:
        command(arguments)
    return caught.value.code


# --- help ------------------------------------------------------------------------------------------------------------


def test_the_help_names_every_command_and_every_exit_code(capsys):
    assert leave(["--help"]) == 0

    said = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^    {name} ", said, re.MULTILINE)
    for code in ExitCode:
        assert re.search(rf"^  {code.value} ", said, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name, capsys):
    assert leave([name, "--help"]) == 0
    assert f"usage: readiness {name}" in capsys.readouterr().out


def test_every_option_says_what_it_is():
    parser = cli.build_parser()
    (commands,) = [action for action in parser._actions if hasattr(action, "choices") and action.choices]

    for name, one in commands.choices.items():
        for action in one._actions:
            assert action.help or name in ("verify", "plan"), (name, action.dest)


def test_the_version_is_said(capsys):
    assert leave(["--version"]) == 0
    assert capsys.readouterr().out == f"readiness {readiness.__version__}\n"


def test_no_command_at_all_is_a_wrong_command_line_that_gets_help(capsys):
    assert command([]) == ExitCode.USAGE == 5
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["run", "--fly"], "unrecognized arguments: --fly"),
        (["run", "--target", "azure"], "invalid choice: 'azure'"),
        (["run", "--plan"], "expected one argument"),
        (["verify"], "required: BUNDLE"),
        (["verify", "one", "two"], "unrecognized arguments: two"),
        (["teardown"], "required: RUN_ID"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_wrong_with_it(arguments, words, capsys):
    assert leave(arguments) == ExitCode.USAGE

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: readiness")
    assert words in said.err.splitlines()[-1]


# --- plan ------------------------------------------------------------------------------------------------------------


def test_a_valid_plan_is_printed_resolved(capsys):
    assert command(["plan", "--json"]) == 0

    said = capsys.readouterr()
    assert from_json(Plan, said.out.encode(), "it") == a_plan()
    assert re.fullmatch(r"readiness\.toml: valid, sha256:[0-9a-f]{64}\n", said.err)


def test_the_schema_of_the_plan_is_printed(capsys):
    assert command(["plan", "--schema"]) == 0

    schema = json.loads(capsys.readouterr().out)
    assert {"service", "objectives", "workload", "drills", "gates", "owners"} <= set(schema["required"])
    assert schema["additionalProperties"] is False


def test_the_schema_and_the_reference_need_no_plan(folder, capsys):
    (folder / "readiness.toml").unlink()

    assert command(["plan", "--schema"]) == 0
    assert command(["plan", "--reference"]) == 0
    assert "## `[service]`" in capsys.readouterr().out


REAL = PLAN.replace('["numbers", "words"]', '["load"]')
"""The sample plan, with a gate that there is."""


def test_a_plan_is_shown_with_what_it_will_take(folder, capsys):
    (folder / "readiness.toml").write_text(REAL)

    assert command(["plan"]) == 0

    said = capsys.readouterr().out
    assert re.search(r"^latency +p95 at most 250ms \(alarm\) +200 +100 +enough$", said, re.MULTILINE)
    assert "rollback by the runbook, errors" in said
    assert "A run is ended after budget.wall_clock, 2h" in said
    assert "not fixed yet: pre-registration: readiness.toml is not in commit" in said


def test_an_objective_that_can_never_have_its_samples_is_found_before_the_run(folder, capsys):
    (folder / "readiness.toml").write_text(
        REAL.replace('threshold = "250ms"', 'threshold = "250ms"\nmin_samples = 9000')
    )

    assert command(["plan"]) == ExitCode.NO_GO

    assert (
        "finding: objective latency: at most 200 samples are expected, and 9000 are wanted" in capsys.readouterr().out
    )


def test_a_plan_that_a_run_would_refuse_is_refused(folder, capsys):
    (folder / "readiness.toml").write_text(REAL.replace('"load"', '"lod"'))

    assert command(["plan"]) == ExitCode.INVALID_PLAN

    assert "there is no gate 'lod'; did you mean 'load'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["plan", "run", "scan", "aws"])
def test_a_missing_plan_is_named_and_nothing_is_started(name, folder, capsys):
    assert command([name, "--plan", "none.toml"]) == ExitCode.INVALID_PLAN == 3

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "readiness: none.toml: there is no such file\n  Name another with --plan.\n"
    assert [file.name for file in folder.iterdir()] == ["readiness.toml"]


@pytest.mark.parametrize("name", ["plan", "run", "scan"])
def test_an_invalid_plan_is_told_its_wrong_key_without_a_traceback(name, folder, capsys):
    (folder / "readiness.toml").write_text(PLAN.replace('threshold = "250ms"', ""))

    assert command([name]) == ExitCode.INVALID_PLAN

    said = capsys.readouterr().err
    assert said.startswith("readiness: readiness.toml:8: objectives[0].threshold: is required and missing\n")
    assert "Traceback" not in said
    assert [file.name for file in folder.iterdir()] == ["readiness.toml"]


# --- gates -----------------------------------------------------------------------------------------------------------


def test_every_gate_is_listed_with_its_question(capsys):
    assert command(["gates"]) == 0

    said = capsys.readouterr().out
    for gate in gates.all_gates():
        assert f"{gate.id}  [{gate.stage}]\n    {gate.question}\n" in said


def test_a_setting_is_listed_as_the_plan_would_spell_it(monkeypatch, capsys):
    monkeypatch.setattr(gates, "all_gates", lambda: (a_gate("numbers"),))

    command(["gates"])

    assert capsys.readouterr().out.splitlines()[2:] == [
        "    gates.settings.numbers.limit = 10",
        '    gates.settings.numbers.patience = "90d"',
    ]


# --- run -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ran(monkeypatch, folder):
    """Let a run come to what a test wants, and keep what it was asked."""
    asked = SimpleNamespace(request=None, record=a_record(a_result()), error=None)

    def run(request, narrator):
        asked.request = request
        if asked.error:
            raise asked.error
        return asked.record, folder / "bundle"

    monkeypatch.setattr("readiness.run.run", run)
    return asked


def test_a_run_is_a_rehearsal_of_the_plan_in_this_folder_unless_told_otherwise(ran, folder):
    assert command(["run"]) == 0

    request = ran.request
    assert (request.target, request.only, request.evidence) == ("embedded", (), None)
    assert (request.repository, request.plan_file, request.waivers_file) == (
        folder,
        Path("readiness.toml"),
        Path("waivers.toml"),
    )


def test_what_a_run_is_told_reaches_it(ran):
    command(
        "run --plan p.toml --waivers w.toml --target aws --only load --only alarms --evidence proof".split()  # noqa: SIM905
    )

    request = ran.request
    assert (request.target, request.only, request.evidence) == ("aws", ("load", "alarms"), Path("proof"))
    assert (request.plan_file, request.waivers_file) == (Path("p.toml"), Path("w.toml"))


@pytest.mark.parametrize("name", ["run", "up"])
def test_what_costs_money_is_refused_as_a_wrong_command_line_where_nobody_can_be_asked(
    name, folder, monkeypatch, capsys
):
    monkeypatch.setattr("sys.stdin", io.StringIO("123456789012\n"))

    assert command([name, "--target", "aws"]) == 5

    assert "--yes" in capsys.readouterr().err
    assert not (folder / ".readiness").exists()


def test_an_agreement_on_the_command_line_reaches_the_run(ran):
    command(["run", "--target", "aws", "--yes"])
    assert ran.request.yes
    command(["run"])
    assert not ran.request.yes


def test_the_doctor_without_an_account_says_so_and_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "local", lambda repository: iter(()))

    assert command(["doctor", "--target", "aws"]) == 1

    said = capsys.readouterr().out
    assert "ok    plan" in said
    assert "FAULT credentials" in said
    assert "aws sso login" in said


@pytest.mark.parametrize(("standing", "code"), [("ok", 0), ("fault", 1), ("cannot tell", 1)])
def test_what_the_doctor_cannot_tell_is_not_fine(monkeypatch, capsys, standing, code):
    check = doctor.Check(name="disk", standing=standing, said="so it is")
    monkeypatch.setattr(doctor, "local", lambda repository: iter((check,)))
    monkeypatch.setattr(doctor, "for_embedded", lambda plan: iter(()))

    assert command(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)[1] == {
        "name": "disk",
        "standing": standing,
        "said": "so it is",
        "then": "",
    }


def test_a_plan_is_priced(monkeypatch, capsys):
    monkeypatch.setattr("readiness.priced.priced_plan", lambda repository, plan: ("a row", "in all 1 USD"))

    assert command(["plan", "--cost"]) == 0
    assert capsys.readouterr().out == "a row\nin all 1 USD\n"


def test_the_verdict_goes_to_stdout_with_its_reasons_and_where_the_report_is(ran, folder, capsys):
    ran.record = a_record(a_result(), reasons=("sign-off: release has not signed",), leftovers=("queue",))

    command(["run"])

    assert capsys.readouterr().out.splitlines() == [
        "Rehearsal passed (NO-GO for production)",
        "  - sign-off: release has not signed",
        "  - may still exist: queue; `readiness teardown 20260301-120000-abcd` goes on",
        f"report:   {folder}/bundle/report.md",
        f"evidence: {folder}/bundle",
    ]


def test_the_record_can_be_had_as_json(ran, capsys):
    command(["run", "--json"])

    assert from_json(Record, capsys.readouterr().out.encode(), "it") == ran.record


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"outcome": Outcome.PASSED}, 0),
        ({"outcome": Outcome.INCONCLUSIVE}, 1),
        ({"outcome": Outcome.FAILED}, 2),
        ({"outcome": Outcome.PASSED, "leftovers": ("queue",)}, 4),
        ({"outcome": Outcome.FAILED, "leftovers": ("queue",)}, 4),
        ({"outcome": Outcome.INCONCLUSIVE, "interrupted": True}, 130),
        ({"outcome": Outcome.FAILED, "interrupted": True}, 130),
        ({"outcome": Outcome.INCONCLUSIVE, "interrupted": True, "leftovers": ("queue",)}, 4),
        ({"environment": Environment.AWS, "outcome": Outcome.PASSED, "verdict": Verdict.GO}, 0),
        ({"environment": Environment.AWS, "outcome": Outcome.PASSED, "verdict": Verdict.NO_GO}, 1),
    ],
)
def test_the_exit_code_of_a_run_tells_what_it_came_to(ran, changes, code):
    ran.record = a_record(a_result(), **changes)

    assert command(["run"]) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PlanError("readiness.toml", "gates", "no"), 3),
        (EvidenceError("The disk is full."), 1),
        (CloudError("no"), 1),
        (TeardownError(["queue"]), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_of_an_error_tells_what_kind_it_is(ran, error, code, capsys):
    ran.error = error

    assert command(["run"]) == code
    assert capsys.readouterr().err.startswith("readiness: ")


def test_asking_for_a_gate_that_there_is_not_is_a_wrong_command_line(folder, capsys, monkeypatch):
    monkeypatch.setattr(gates, "all_gates", lambda: (a_gate("numbers"), a_gate("words")))

    assert command(["run", "--only", "colours"]) == ExitCode.USAGE
    assert (
        capsys.readouterr().err == "readiness: --only: there is no gate 'colours'.\n  `readiness gates` lists them.\n"
    )
    assert not (folder / ".readiness").exists()


def test_a_required_gate_that_there_is_not_is_an_invalid_plan(capsys):
    assert command(["run"]) == ExitCode.INVALID_PLAN
    assert "gates.required[0]: there is no gate 'numbers'" in capsys.readouterr().err


# --- verify ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".", "none", "readiness.toml"])
def test_what_is_no_bundle_is_refused_in_a_sentence(name, capsys):
    assert command(["verify", name]) == ExitCode.NO_RELIABLE_VERDICT == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert "is no evidence bundle" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("taken", [0, 2])
def test_a_confirmed_verdict_says_what_was_gone_through(monkeypatch, taken, capsys):
    record = a_record(a_result())
    done = SimpleNamespace(
        record=record,
        decision=decided(record, a_plan(), ()),
        sign_off=NOTHING_SIGNED,
        files=9,
        judged=3,
        taken=taken,
        live=None,
    )
    monkeypatch.setattr("readiness.verify.verify", lambda bundle: done)

    assert command(["verify", "bundle"]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "Rehearsal passed (NO-GO for production): confirmed.",
        "  9 files re-hashed, 3 observations judged again, verdict decided again",
    ]
    assert said[2:] == (["  2 gates had seen nothing: taken as gaps"] if taken else [])


# --- scan ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scanned(monkeypatch):
    """Let a scan find what a test wants."""
    found = SimpleNamespace(outcome=Outcome.PASSED, results=(), templates=(Path("a.json"),))
    monkeypatch.setattr("readiness.review.review", lambda *asked: found)
    return found


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.PASSED, 0), (Outcome.INCONCLUSIVE, 1), (Outcome.FAILED, 2)])
def test_the_exit_code_of_a_scan_tells_what_it_came_to(scanned, outcome, code):
    scanned.outcome = outcome

    assert command(["scan"]) == code


ODD = ["[bold]not bold[/bold]", "[/closing nothing]", "ends with \\", ":key: 100%", "a|b"]


@pytest.mark.parametrize("text", ODD)
def test_what_a_scanner_says_is_printed_to_the_letter(scanned, text, capsys):
    judgement = a_judgement(a_finding(text, rule=f"x/{text}", message=text), gaps=(Gap(what=text, why=text),))
    scanned.results = (a_result("security", judgement),)

    command(["scan"])

    assert capsys.readouterr().out.count(text) == 5


def test_findings_are_printed_worst_first_once_a_rule_with_waiver_and_counts(scanned, capsys):
    judgement = a_judgement(
        a_finding("low", Severity.LOW), a_finding("two"), a_finding("one"), a_finding("waived"), examined=7
    )
    scanned.results = (a_result("security", judgement, (a_waiver(subject="waived"),)),)

    command(["scan"])

    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "HIGH     fake/too-much: is too much",
        "open   two",
        "open   one",
        "waived waived until 2026-04-01, by Grace: It is as much as it was last year.",
        "LOW      fake/too-much: is too much",
        "open   low",
        "security: failed (7 examined)",
        "1 template scanned",
    ]


def test_a_scan_can_be_had_as_json(scanned, capsys):
    scanned.results = (a_result("security"),)

    command(["scan", "--json"])

    (raw,) = json.loads(capsys.readouterr().out)
    assert from_json(GateResult, json.dumps(raw).encode(), "it") == a_result("security")


# --- teardown, aws ---------------------------------------------------------------------------------------------------


def test_tearing_down_a_run_that_there_is_not_says_so(capsys):
    assert command(["teardown", "20260301-120000-abcd"]) == 1
    assert "There is no run '20260301-120000-abcd'" in capsys.readouterr().err


def test_what_was_torn_down_is_said_line_by_line(monkeypatch, capsys):
    monkeypatch.setattr("readiness.aftermath.teardown", lambda repository, run_id, narrate: ["one", "two"])

    assert command(["teardown", "20260301-120000-abcd"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"


def test_what_could_not_be_torn_down_is_a_leftover(monkeypatch, capsys):
    def fail(repository, run_id, narrate):
        raise TeardownError(["queue"], hint="Mend the cause.")

    monkeypatch.setattr("readiness.aftermath.teardown", fail)

    assert command(["teardown", "20260301-120000-abcd"]) == ExitCode.LEFTOVERS == 4
    assert capsys.readouterr().err == "readiness: May still exist: queue\n  Mend the cause.\n"


def test_the_embedded_aws_says_how_to_reach_it(monkeypatch, capsys):
    monkeypatch.setattr("readiness.foreground.serve", lambda plan, repository, say: say("export AWS_ENDPOINT_URL=x"))

    assert command(["aws"]) == 0
    assert capsys.readouterr().out == "export AWS_ENDPOINT_URL=x\n"


# --- as a program ----------------------------------------------------------------------------------------------------


def program(*arguments, **how):
    return subprocess.Popen(
        [sys.executable, "-m", "readiness", *arguments], cwd=REPOSITORY, stderr=subprocess.PIPE, **how
    )


def test_it_runs_as_a_module_and_ends_with_its_exit_code():
    process = program("plan", "--plan", "none.toml", stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (3, b"")
    assert err.startswith(b"readiness: none.toml: there is no such file")


def test_a_reader_that_goes_away_causes_no_traceback():
    process = program("plan", "--schema", stdout=subprocess.PIPE)
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err == b""


# --- waive -----------------------------------------------------------------------------------------------------------

WAIVE = [
    "waive",
    "checkov/CKV_AWS_2",
    "Stack/*",
    "--owner",
    "Service team",
    "--approver",
    "Security reviewer",
    "--reason",
    "nobody outside can reach it",
]


@pytest.fixture
def listener(scanned):
    """A scan that finds what ``WAIVE`` waives, and something else."""
    findings = [
        a_finding("Stack/Listener", rule="checkov/CKV_AWS_2"),
        a_finding("Stack/Bucket", rule="checkov/CKV_AWS_18"),
    ]
    scanned.results = (a_result("security", a_judgement(*findings)),)
    return scanned


def test_a_waiver_is_written_and_its_end_and_its_effect_are_said(folder, listener, capsys):
    until = datetime.now(UTC).date() + timedelta(days=30)

    assert command([*WAIVE, "--expires", str(until)]) == 0

    said = capsys.readouterr().out
    assert f"is waived until {until}, for 30 days" in said
    assert "security: HIGH Stack/Listener was open" in said
    assert "security: 2 findings were open, 1 are" in said
    (waiver,) = load_waivers(folder / "waivers.toml")
    assert (waiver.rule, waiver.approver, waiver.expires) == ("checkov/CKV_AWS_2", "Security reviewer", until)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--expires", "2999-01-01"], "the plan allows 90"),
        (["--expires", "2020-01-01"], "is before created"),
        (["--expires", str(datetime.now(UTC).date()), "--approver", "service team"], "nobody approves their own"),
        (["--expires", str(datetime.now(UTC).date()), "--reason", "short"], "waivers[new].reason"),
    ],
)
def test_a_waiver_that_is_not_valid_is_refused_and_nothing_is_written(change, words, folder, capsys):
    assert command([*WAIVE, *change]) == ExitCode.INVALID_PLAN

    assert words in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == ["readiness.toml"]


def test_a_waiver_of_what_nobody_finds_is_refused_unless_asked_for(folder, scanned, capsys):
    until = str(datetime.now(UTC).date() + timedelta(days=30))

    assert command([*WAIVE, "--expires", until]) == ExitCode.USAGE
    assert "would dispose of nothing" in capsys.readouterr().err
    assert not (folder / "waivers.toml").exists()

    assert command([*WAIVE, "--expires", until, "--unseen"]) == 0
    assert len(load_waivers(folder / "waivers.toml")) == 1


def test_a_finding_of_a_run_is_looked_for_in_its_bundle(folder, tmp_path, capsys):
    bundle = BundleWriter(tmp_path / "bundle")
    found = a_result("live-security", a_judgement(a_finding("Stack/Role", rule="checkov/CKV_AWS_2")))
    bundle.put_json(RECORD, Record, a_record(found))
    bundle.seal()
    until = str(datetime.now(UTC).date() + timedelta(days=30))

    assert command([*WAIVE, "--expires", until, "--bundle", str(tmp_path / "bundle")]) == 0
    assert "live-security: HIGH Stack/Role was open" in capsys.readouterr().out


def test_a_false_positive_is_written_with_its_proof(folder, listener):
    until = str(datetime.now(UTC).date() + timedelta(days=30))

    assert command([*WAIVE, "--expires", until, "--false-positive", "The listener redirects to HTTPS."]) == 0

    (entry,) = load_waivers(folder / "waivers.toml")
    assert (entry.disposition, entry.evidence) == ("false-positive", "The listener redirects to HTTPS.")


def test_a_false_positive_without_proof_is_refused(folder, listener, capsys):
    until = str(datetime.now(UTC).date() + timedelta(days=30))

    assert command([*WAIVE, "--expires", until, "--false-positive", "no"]) == ExitCode.INVALID_PLAN
    assert "waivers[new].evidence" in capsys.readouterr().err


def test_a_day_that_is_none_is_a_wrong_command_line(capsys):
    assert leave([*WAIVE, "--expires", "tomorrow"]) == ExitCode.USAGE
    assert "tomorrow" in capsys.readouterr().err


def test_a_full_disk_behind_stdout_and_stderr_changes_no_exit_code(tmp_path):
    """What is left must be told to the pipeline by the exit code, whatever becomes of the words."""
    program = """
from argparse import ArgumentParser
from readiness import __main__, cli
from readiness.commands.output import tell
from readiness.errors import TeardownError

def act(arguments):
    tell("a verdict")
    raise TeardownError(["stack"])

parser = ArgumentParser()
parser.set_defaults(act=act)
cli.build_parser = lambda: parser
__main__.main()
"""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, stdout=full, stderr=full, check=False)

    assert ended.returncode == ExitCode.LEFTOVERS


# --- sweep -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def found(monkeypatch):
    """What a survey finds; tests add to it. What was torn down is kept."""
    from readiness import cloud, sweep

    world = SimpleNamespace(found=[], asked=[], swept=[], errors={})
    connection = SimpleNamespace(account="123456789012", region="eu-west-1")

    def survey(connection, repository, *, now, older_than):
        world.asked.append(older_than)
        return world.found

    def tear_down(connection, repository, found, narrate):
        for each in found:
            if each.choice == "sweep":
                world.swept.append(each.name)
                yield each, [f"{each.run_id}: none is left"], world.errors.get(each.name)

    monkeypatch.setattr(cloud, "connect_aws", lambda region, production: connection)
    monkeypatch.setattr(sweep, "survey", survey)
    monkeypatch.setattr(sweep, "sweep", tear_down)
    return world


def a_find(name, choice):
    from readiness.sweep import Found

    return Found(name=name, run_id=name, choice=choice, why="it expired")


def test_a_sweep_deletes_nothing_unless_it_is_told_to(found, capsys):
    found.found = [a_find("old", "sweep"), a_find("young", "leave"), a_find("billing", "refuse")]

    assert command(["sweep"]) == ExitCode.LEFTOVERS

    said = capsys.readouterr()
    assert [line.split()[:2] for line in said.out.splitlines()] == [
        ["sweep", "old"],
        ["leave", "young"],
        ["refuse", "billing"],
    ]
    assert "Nothing was deleted. `readiness sweep --yes`" in said.err
    assert found.swept == []


def test_where_nothing_is_to_be_swept_a_sweep_ends_well(found):
    found.found = [a_find("young", "leave"), a_find("billing", "refuse")]

    assert command(["sweep", "--yes"]) == 0
    assert found.swept == []


def test_a_sweep_that_is_told_to_tears_down_what_it_found(found, capsys):
    found.found = [a_find("old", "sweep"), a_find("billing", "refuse")]

    assert command(["sweep", "--yes", "--older-than", "6h"]) == 0
    assert found.swept == ["old"]
    assert found.asked == [timedelta(hours=6)]
    assert "swept   old  old: none is left" in capsys.readouterr().out


def test_a_sweep_that_leaves_something_says_so_to_the_pipeline(found, capsys):
    found.found = [a_find("old", "sweep"), a_find("older", "sweep")]
    found.errors = {"old": TeardownError(["a queue"])}

    assert command(["sweep", "--yes"]) == ExitCode.LEFTOVERS
    assert found.swept == ["old", "older"]
    assert "May still exist: a queue" in capsys.readouterr().err


@pytest.mark.parametrize(("times", "code"), [(1, 0), (2, ExitCode.LEFTOVERS)])
def test_a_sweep_takes_two_interruptions_to_give_up_and_then_names_what_it_did_not_come_to(
    found, monkeypatch, capsys, times, code
):
    def tear_down(connection, repository, found, narrate):
        yield found[0], ["none is left"], None
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        yield found[1], ["none is left"], None

    monkeypatch.setattr("readiness.sweep.sweep", tear_down)
    found.found = [a_find("old", "sweep"), a_find("older", "sweep")]

    assert command(["sweep", "--yes"]) == code
    assert ("May still exist: older (the sweep was given up)" in capsys.readouterr().err) == (times > 1)


def test_a_sweep_works_in_no_other_account_than_it_was_told(found, capsys):
    found.found = [a_find("old", "sweep")]

    assert command(["sweep", "--yes", "--account", "999999999999"]) == ExitCode.USAGE
    assert found.swept == []
    assert "your credentials are for 123456789012" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["6", "soon", ""])
def test_an_age_that_is_none_is_a_wrong_command_line(found, text):
    assert leave(["sweep", "--older-than", text]) == ExitCode.USAGE


@pytest.mark.parametrize("arguments", [["plan", "--cost"], ["aws"]])
def test_a_file_called_like_our_folder_is_told_in_a_sentence(folder, capsys, arguments):
    (folder / ".readiness").write_text("")

    assert command(arguments) == ExitCode.NO_RELIABLE_VERDICT
    assert "cannot be made: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("init --output other.toml <&-", ExitCode.USAGE, "--name and --image must be given"),
        ("run --target aws <&-", ExitCode.USAGE, "there is no terminal to ask you on"),
        ("gates 2>&-", ExitCode.GO, ""),
        ("gates >&-", ExitCode.GO, ""),
        ("gates >/dev/full", ExitCode.NO_RELIABLE_VERDICT, "No space left on device"),
        ("plan --reference >/dev/full", ExitCode.NO_RELIABLE_VERDICT, "No space left on device"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback_and_changes_no_other_exit_code(folder, line, code, said):
    program = f"exec {shlex.quote(sys.executable)} -m readiness {line}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    ended = subprocess.run(["sh", "-c", program], cwd=folder, env=environment, capture_output=True, text=True)

    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
    assert said in ended.stderr


def test_the_exit_code_of_a_result_that_nobody_can_read_is_kept(folder):
    program = (
        "import sys\n"
        "from readiness import __main__, cli\n"
        "from readiness.commands.output import tell\n"
        "cli.command = lambda arguments: tell('left') or 4\n"
        "__main__.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    ended = subprocess.run(
        ["sh", "-c", f"exec {shlex.quote(sys.executable)} -c {shlex.quote(program)} >&-"], env=environment
    )

    assert ended.returncode == ExitCode.LEFTOVERS
