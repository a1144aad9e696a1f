"""The executable steps of a runbook: read from its fenced blocks, and followed as an engineer on call would.

A step is a block ```` ```bash step=restore timeout=60s expect="PRIMARY" ````. Each is a bash of its own (``bash -euo
pipefail``) with the runbook's inputs in its environment. Lines ``NAME=value`` that it appends to the file
``$STEP_OUTPUT`` become inputs of the steps after it. It succeeds if it ends with 0, in time, and its stdout holds what
is expected. Nothing that it started outlives it.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

import psutil
import yaml
from pydantic import TypeAdapter, ValidationError

from readiness.errors import ReadinessError
from readiness.loadgen.redacted_output import without_secrets
from readiness.model import Duration, Instant, record

STEP_ID: Final = re.compile(r"(?:^|\s)step=([A-Za-z0-9][A-Za-z0-9_.-]*)(?=\s|$)")
STEP_VARIABLE: Final = "READINESS_STEP_ID"
"""Every process of a step carries it, so that what left its process group is found too."""

_BLOCK = re.compile(r"^```bash(?P<info>[^\n`]*)\n(?P<code>.*?)^``` *$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_DEFAULT_TIMEOUT = "5m"
_KEPT_CHARACTERS = 16_000
_GRACE_S = 5.0
_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)
_SECRET = re.compile(
    r"""(?ix) ( (?:secret|password|token|private_?key|authorization)[\w-]* ["']? \s* [:=] \s* ["']? ) [^\s"',}]{6,}"""
)
_ACCESS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")


class StepsError(ReadinessError):
    """The steps of a runbook cannot be read."""


@record
class Step:
    """One executable step."""

    id: str
    line: int
    timeout: Duration
    expect: str
    code: str


@record
class Steps:
    """What a runbook has somebody do.

    Attributes:
        inputs: Variable -> where a person finds its value.
    """

    inputs: dict[str, str]
    steps: tuple[Step, ...]


@record
class StepRun:
    """What became of one step; its output is without secrets, and cut in the middle if it is long.

    Attributes:
        exit_code: None = it was killed at its deadline.
        outputs: Names of what it handed on.
        fault: Why it failed; "" = it did not.
    """

    id: str
    started_at: Instant
    ended_at: Instant
    exit_code: int | None
    stdout: str
    stderr: str
    outputs: tuple[str, ...] = ()
    fault: str = ""
    inputs: dict[str, str] = field(default_factory=dict)


def parse_steps(text: str, name: str) -> Steps:
    """Read the inputs and the executable steps of a runbook.

    Raises:
        StepsError: names the line.
    """
    text = text.replace("\r\n", "\n")
    steps: list[Step] = []
    for match in _BLOCK.finditer(text):
        line = text[: match.start()].count("\n") + 1
        attributes = _attributes(match["info"], name, line)
        if not attributes:
            continue
        if any(step.id == attributes["step"] for step in steps):
            raise StepsError(f"{name}:{line}: an earlier step is called {attributes['step']!r} too.")
        timeout = attributes.get("timeout", _DEFAULT_TIMEOUT)
        try:
            length = _DURATION.validate_python(timeout)
        except ValidationError:
            raise StepsError(f"{name}:{line}: timeout={timeout} is no duration.", hint="Write timeout=60s.") from None
        if not length:
            raise StepsError(f"{name}:{line}: timeout={timeout} leaves no time.", hint="Write timeout=60s.")
        steps.append(
            Step(
                id=attributes["step"],
                line=line,
                timeout=length,
                expect=attributes.get("expect", ""),
                code=match["code"],
            )
        )
    return Steps(inputs=_inputs(text, name), steps=tuple(steps))


def _attributes(info: str, name: str, line: int) -> dict[str, str]:
    """Return the attributes of a block; none = it is not meant to be executed."""
    try:
        words = shlex.split(info)
    except ValueError as error:
        raise StepsError(f"{name}:{line}: its attributes cannot be read: {error}.") from None
    found = dict(word.partition("=")[::2] for word in words)
    if not ({"step", "timeout", "expect"} & set(found)) or ("name" in found and "step" not in found):
        return {}  # a block for people
    if not STEP_ID.fullmatch(f"step={found.get('step', '')}"):
        raise StepsError(f"{name}:{line}: a step needs an id.", hint="Write step=what-it-does.")
    for key in found.keys() - {"step", "timeout", "expect"}:
        raise StepsError(f"{name}:{line}: a step has no attribute {key!r}.", hint="There are step, timeout, expect.")
    return found


def _inputs(text: str, name: str) -> dict[str, str]:
    if not text.startswith("---\n"):
        return {}
    try:
        front = yaml.safe_load(text[4:].partition("\n---\n")[0])
    except yaml.YAMLError as error:
        raise StepsError(f"{name}: its front matter is no YAML: {error}") from None
    inputs = (front if isinstance(front, dict) else {}).get("inputs") or {}
    if not isinstance(inputs, dict) or not all(_NAME.fullmatch(str(key)) for key in inputs):
        raise StepsError(f"{name}: `inputs` is no table of NAME: where to find it.")
    return {str(key): str(value) for key, value in inputs.items()}


def step_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of steps: ours with *variables*, and the AWS CLI of this environment first on the PATH.

    Where *variables* bring credentials, nobody's own profile or files are looked at.
    """
    inherited = dict(os.environ)
    if "AWS_ACCESS_KEY_ID" in variables:
        inherited = {key: value for key, value in inherited.items() if not key.startswith("AWS_")}
        inherited |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    ours = Path(sys.executable).parent
    path = f"{ours}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**inherited, **variables, "PATH": path, "AWS_PAGER": "", "AWS_CLI_AUTO_PROMPT": "off"}


def follow(
    steps: Steps,
    inputs: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    cwd: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[StepRun, ...]:
    """Run the steps one after the other, as long as they succeed.

    Args:
        steps: What to do.
        inputs: Values of the runbook's inputs.
        environment: Whole environment besides them.
        cwd: Where they run.
        tell: Says one sentence about each step that begins.
    """
    known = dict(inputs)
    secrets = [value for key, value in environment.items() if "SECRET" in key or "TOKEN" in key or "PASSWORD" in key]
    done: list[StepRun] = []
    for step in steps.steps:
        tell(f"runbook step {step.id}")
        ran, given = run_step(step, known, environment, cwd=cwd, secrets=[each for each in secrets if len(each) >= 4])
        known |= given
        done.append(ran)
        if ran.fault:
            break
    return tuple(done)


def run_step(
    step: Step, inputs: Mapping[str, str], environment: Mapping[str, str], *, cwd: Path, secrets: Collection[str] = ()
) -> tuple[StepRun, dict[str, str]]:
    """Run one step to its end, or to its deadline; return what became of it and what it handed on."""
    marker = uuid.uuid4().hex
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="readiness-step-") as folder:
        handed = Path(folder) / "output"
        handed.touch()
        env = {**environment, **inputs, STEP_VARIABLE: marker, "STEP_OUTPUT": str(handed)}
        # Files, not pipes: a child that stays behind cannot hold them open.
        with (Path(folder) / "stdout").open("w+b") as out, (Path(folder) / "stderr").open("w+b") as err:
            exit_code = _run(step, env, cwd, out, err, marker)
            stdout, stderr = _text(out), _text(err)
        given, faults = _handed_on(handed)
    if exit_code is None:
        faults = [f"it was killed after {step.timeout.total_seconds():g} s"]
    elif exit_code:
        faults = [f"it ended with exit code {exit_code}"]
    elif step.expect and step.expect not in stdout:
        faults = [*faults, f"its output does not hold {step.expect!r}"]
    ran = StepRun(
        id=step.id,
        started_at=began,
        ended_at=datetime.now(UTC),
        exit_code=exit_code,
        stdout=_kept(stdout, secrets),
        stderr=_kept(stderr, secrets),
        outputs=tuple(given),
        fault="; ".join(faults),
        inputs={key: _kept(value, secrets) for key, value in inputs.items()},
    )
    return ran, given


def _run(step: Step, env: Mapping[str, str], cwd: Path, out: IO[bytes], err: IO[bytes], marker: str) -> int | None:
    """Return the exit code; None = it did not end in time. Whatever happens, nothing of it is left."""
    argv = ["bash", "-euo", "pipefail", "-c", step.code]
    try:
        process = subprocess.Popen(
            argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
    except OSError as error:
        err.write(f"bash cannot be started: {error.strerror}\n".encode())
        return 127
    try:
        return process.wait(timeout=step.timeout.total_seconds())
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=_GRACE_S)
        _end_strays(marker)


def _end_strays(marker: str) -> None:
    """End what left the step's process group."""
    until = time.monotonic() + _GRACE_S
    while (found := _carrying(marker)) and time.monotonic() < until:
        for stray in found:
            with suppress(psutil.Error):
                stray.kill()
        psutil.wait_procs(found, timeout=1)


def _carrying(marker: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(STEP_VARIABLE) == marker and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(4 * 1024 * 1024).decode(errors="replace")


def _handed_on(file: Path) -> tuple[dict[str, str], list[str]]:
    """Return what a step handed on, and what of it could not be read."""
    given: dict[str, str] = {}
    faults = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        name, equals, value = line.partition("=")
        if equals and _NAME.fullmatch(name) and name not in ("PATH", "STEP_OUTPUT"):
            given[name] = value
        elif line.strip():
            faults.append(f"it handed on {line[:40]!r}, which is no NAME=value")
    return given, faults


def _kept(text: str, secrets: Collection[str]) -> str:
    """Return output as it is kept in evidence: without secrets, and not too long."""
    text = _ACCESS_KEY.sub("***", _SECRET.sub(r"\1***", without_secrets(text, secrets)))
    if len(text) <= _KEPT_CHARACTERS:
        return text
    half = _KEPT_CHARACTERS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters are left out ...]\n{text[-half:]}"
