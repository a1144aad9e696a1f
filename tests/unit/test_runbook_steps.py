"""Steps of runbooks: read, and followed in real shells that nothing outlives."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import psutil
import pytest

from readiness import runbook_steps
from readiness.runbook_steps import Step, StepsError, follow, parse_steps, step_environment

ENV = {"PATH": os.environ["PATH"]}


def block(info: str, code: str = "true") -> str:
    return f"```bash {info}\n{code}\n```\n"


def step(code: str, timeout_s: float = 10, expect: str = "", name: str = "s") -> Step:
    return Step(id=name, line=1, timeout=timedelta(seconds=timeout_s), expect=expect, code=code)


def run(tmp_path, *steps: Step, inputs: dict[str, str] | None = None, environment: dict[str, str] | None = None):
    made = runbook_steps.Steps(inputs={}, steps=steps)
    return follow(made, inputs or {}, environment or ENV, cwd=tmp_path)


def test_steps_are_the_blocks_that_say_so():
    text = "---\ninputs:\n  CLUSTER: the stack's output\n---\n" + "".join(
        [block('step=one timeout=90s expect="a b"', "echo a b"), "```bash\nrm -rf /\n```\n", block("step=two")]
    )

    steps = parse_steps(text, "r.md")

    assert steps.inputs == {"CLUSTER": "the stack's output"}
    assert [(each.id, each.timeout, each.expect) for each in steps.steps] == [
        ("one", timedelta(seconds=90), "a b"),
        ("two", timedelta(minutes=5), ""),
    ]
    assert steps.steps[0].code == "echo a b\n"
    assert steps.steps[0].line == 5


def test_a_runbook_of_words_has_no_steps():
    assert parse_steps("# Rollback\n\nPhone somebody.\n", "r.md").steps == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (block("timeout=5s"), "a step needs an id"),
        (block("step=a") + block("step=a"), "r.md:4: an earlier step is called 'a'"),
        (block("step=a timeout=5"), "timeout=5 is no duration"),
        (block("step=a timeout=0s"), "leaves no time"),
        (block("step=a retries=3"), "no attribute 'retries'"),
        (block('step=a expect="open'), "cannot be read"),
        ("---\ninputs: [CLUSTER]\n---\n", "`inputs` is no table"),
        ("---\ninputs: [\n---\n", "no YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text, message):
    with pytest.raises(StepsError, match=message):
        parse_steps(text, "r.md")


def test_a_step_gets_the_inputs_and_hands_values_on(tmp_path):
    ran = run(
        tmp_path,
        step('echo "NEXT=$CLUSTER-2" >> "$STEP_OUTPUT"', name="a"),
        step('echo "got $NEXT"', expect="got c-2", name="b"),
        inputs={"CLUSTER": "c"},
    )

    assert [(each.id, each.fault, each.exit_code) for each in ran] == [("a", "", 0), ("b", "", 0)]
    assert ran[0].outputs == ("NEXT",)
    assert ran[1].stdout == "got c-2\n"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("exit 3", "exit code 3"),
        ("false; echo on", "exit code 1"),
        ("false | true; echo on", "exit code 1"),
        ('echo "$NOBODY_SET_THIS"', "exit code 127"),
        ("no-such-command-at-all", "exit code 127"),
        ("echo nonsense >> $STEP_OUTPUT", "no NAME=value"),
    ],
)
def test_a_step_that_goes_wrong_ends_the_story(tmp_path, code, fault):
    ran = run(tmp_path, step(code), step("echo never", name="b"))

    assert len(ran) == 1
    assert fault in ran[0].fault or (fault == "exit code 127" and "exit code 1" in ran[0].fault)


def test_output_that_does_not_hold_what_is_expected_is_a_fault(tmp_path):
    (ran,) = run(tmp_path, step("echo ACTIVE", expect="PRIMARY"))

    assert ran.exit_code == 0
    assert ran.fault == "its output does not hold 'PRIMARY'"


def test_at_its_deadline_a_step_is_killed_with_all_its_children(tmp_path):
    begun = time.monotonic()
    (ran,) = run(tmp_path, step("setsid sleep 300 & sleep 300 & echo on; sleep 300", timeout_s=0.7))

    assert time.monotonic() - begun < 30
    assert ran.exit_code is None
    assert "killed after 0.7 s" in ran.fault
    assert ran.stdout == "on\n"
    assert not _sleepers()


def test_what_a_step_leaves_in_the_background_is_ended_too(tmp_path):
    (ran,) = run(tmp_path, step("setsid sleep 300 >/dev/null 2>&1 & sleep 300 & echo on"))

    assert ran.fault == ""
    assert not _sleepers()


def test_an_interruption_kills_the_step(tmp_path, monkeypatch):
    def interrupted(self, timeout=None):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(runbook_steps.subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, step("sleep 300"))
    assert not _sleepers()


def _sleepers() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            ours = runbook_steps.STEP_VARIABLE in process.environ() and "300" in process.cmdline()
        except (psutil.Error, OSError):
            continue
        if ours and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_secrets_are_kept_out_of_the_evidence(tmp_path):
    environment = {**ENV, "AWS_SECRET_ACCESS_KEY": "hush-hush"}
    code = 'echo "$AWS_SECRET_ACCESS_KEY AKIAABCDEFGHIJKLMNOP"; echo "\\"Password\\": \\"swordfish\\"" >&2'

    (ran,) = run(tmp_path, step(code), environment=environment)

    assert "hush" not in ran.stdout
    assert "AKIA" not in ran.stdout
    assert "swordfish" not in ran.stderr
    assert ran.stdout == "*** ***\n"


def test_long_output_is_cut_in_the_middle_and_says_so(tmp_path):
    (ran,) = run(tmp_path, step("echo first; head -c 100000 /dev/zero | tr '\\0' x; echo last"))

    assert len(ran.stdout) < 20_000
    assert ran.stdout.startswith("first")
    assert "characters are left out" in ran.stdout
    assert ran.stdout.endswith("last\n")


def test_where_credentials_are_given_nobodys_own_are_looked_at(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "mine")

    found = step_environment({"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"})

    assert "AWS_PROFILE" not in found
    assert "AWS_SESSION_TOKEN" not in found
    assert found["AWS_CONFIG_FILE"] == os.devnull
    assert step_environment({"AWS_REGION": "x"})["AWS_PROFILE"] == "production"
