"""A small plan, small gates and small records for the tests of the core."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import tomllib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from readiness import decide
from readiness.evidence import BundleWriter
from readiness.gate import Context, Gate
from readiness.ledger import Ledger
from readiness.model import (
    Candidate,
    Disposed,
    Environment,
    Finding,
    Gap,
    GateResult,
    Judgement,
    Measurement,
    Plan,
    Record,
    RegisteredFile,
    Registration,
    Severity,
    Span,
    Stage,
    Verdict,
    Waiver,
    record,
)
from readiness.narrator import Narrator
from readiness.plan import parse

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
BLOCKING = (Severity.CRITICAL, Severity.HIGH)

PLAN = """
[service]
name = "shop"
image = "shop:1"
port = 8080
secrets = { TOKEN = "generate" }

[[objectives]]
id = "latency"
kind = "latency"
percentile = 95
threshold = "250ms"
alarm = { runbook = "runbooks/latency.md" }

[[objectives]]
id = "errors"
kind = "errors"
max_ratio = 0.01

[[objectives]]
id = "throughput"
kind = "throughput"
min_per_s = 10

[workload]
ramp = "1s"
hold = "10s"
arrivals = { kind = "open", rate_per_s = 20 }

[[workload.scenarios]]
name = "home"
path = "/"

[fleet]
secrets = { TOKEN = "TOKEN" }

[drills.alarms]
each = [{ objective = "latency", method = "fault-slow" }]

[drills.rollback]
bad = [{ kind = "errors", environment = { BROKEN = "yes" } }]

[gates]
required = ["numbers", "words"]

[owners]
release = { name = "Ada" }
"""

WAIVERS = """
[[waivers]]
rule = "fake/too-much"
subject = "value-0"
reason = "It is as much as it was last year."
owner = "Ada"
approver = "Grace"
created = 2026-02-01
expires = 2026-04-01
"""


def tables() -> dict[str, Any]:
    """Return the tables of the plan, to be spoilt."""
    return copy.deepcopy(tomllib.loads(PLAN))


def a_plan() -> Plan:
    return parse(Plan, tables(), "plan.toml")


def a_finding(subject: str = "value-0", severity: Severity = Severity.HIGH, **changes: Any) -> Finding:
    return Finding(
        **{"rule": "fake/too-much", "subject": subject, "severity": severity, "message": "is too much"} | changes
    )


def a_waiver(**changes: Any) -> Waiver:
    return Waiver(
        **{
            "rule": "fake/too-much",
            "subject": "value-0",
            "reason": "It is as much as it was last year.",
            "owner": "Ada",
            "approver": "Grace",
            "created": date(2026, 2, 1),
            "expires": date(2026, 4, 1),
        }
        | changes
    )


def a_judgement(*findings: Finding, gaps: tuple[Gap, ...] = (), examined: int = 1, **changes: Any) -> Judgement:
    return Judgement(examined=examined, findings=findings, gaps=gaps, **changes)


def a_result(
    gate: str = "numbers", judgement: Judgement | None = None, waivers: tuple[Waiver, ...] = (), **changes: Any
) -> GateResult:
    """Return a result that is consistent in itself; its observation is not part of it."""
    judgement = judgement or a_judgement()
    findings: tuple[Disposed, ...] = decide.dispose(judgement.findings, waivers, T0.date())
    return GateResult(
        **{
            "gate": gate,
            "question": f"Are the {gate} good?",
            "stage": Stage.STEADY,
            "required": True,
            "outcome": decide.outcome(judgement, findings, BLOCKING),
            "judgement": judgement,
            "findings": findings,
            "observation": f"observations/{gate}.json",
            "started_at": T0,
            "ended_at": T0 + timedelta(seconds=2),
        }
        | changes
    )


REGISTERED = Registration(
    commit="c0ffee" * 6,
    files=(RegisteredFile(path="readiness.toml", kept="plan.toml", digest="sha256:1", committed="sha256:1"),),
)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it says."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    argv = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def commit_all(folder: Path) -> None:
    """Make a folder a repository in which everything is committed."""
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "the plan")


def a_record(*results: GateResult, **changes: Any) -> Record:
    return Record(
        **{
            "run_id": "20260301-120000-abcd",
            "harness_version": "0.1.0",
            "environment": Environment.EMULATED,
            "time_scale": 20.0,
            "candidate": Candidate(commit="c0ffee" * 6, dirty=False, template_digests={}, image="shop:1"),
            "plan_digest": "sha256:1",
            "registration": REGISTERED,
            "waivers_digest": "sha256:2",
            "started_at": T0,
            "decided_at": T0 + timedelta(minutes=3),
            "results": results,
            "leftovers": (),
            "spans": (Span(name="Deploy the clone", started_at=T0, ended_at=T0 + timedelta(seconds=30)),),
            "required": tuple(result.gate for result in results),
            "unused_waivers": (),
            "interrupted": False,
            "troubles": (),
            "outcome": decide.worst(result.outcome for result in results),
            "verdict": Verdict.NO_GO,
            "reasons": ("sign-off: release has not signed",),
        }
        | changes
    )


# --- a gate that judges numbers --------------------------------------------------------------------------------------


@record
class Settings:
    limit: float = 10
    patience: timedelta = timedelta(days=90)


@record
class Seen:
    values: tuple[float, ...]
    at: datetime = T0
    by_name: dict[str, timedelta] | None = None


def judge(seen: Seen, settings: Settings) -> Judgement:
    """Find each value above the limit; a value of exactly 666 is more than the judge can take."""
    if 666 in seen.values:
        raise ZeroDivisionError("666")
    return Judgement(
        examined=len(seen.values),
        findings=tuple(
            a_finding(f"value-{index}") for index, value in enumerate(seen.values) if value > settings.limit
        ),
        gaps=tuple(Gap(what="a value", why="is negative") for value in seen.values if value < 0),
        measurements=tuple(Measurement(name="value", value=value, unit="ms", samples=1) for value in seen.values),
    )


def a_gate(
    gate_id: str, observe: Callable[[Context, Settings], Any] | tuple[float, ...] = (1.0,), **changes: Any
) -> Gate[Settings, Seen]:
    """Return a gate that sees what *observe* returns, or these values."""
    look = observe if callable(observe) else lambda ctx, settings: Seen(values=observe)
    return Gate(
        **{
            "id": gate_id,
            "question": f"Are the {gate_id} good?",
            "stage": Stage.STEADY,
            "settings": Settings,
            "observation": Seen,
            "observe": look,
            "judge": judge,
        }
        | changes
    )


def a_context(folder: Path, **changes: Any) -> Context:
    return Context(
        **{
            "plan": a_plan(),
            "repository": folder,
            "templates": (),
            "clients": lambda service: None,
            "ledger": Ledger(folder / "ledger.jsonl"),
            "bundle": BundleWriter(folder / "bundle"),
        }
        | changes
    )


def a_narrator(**options: Any) -> tuple[Narrator, io.StringIO]:
    """Return a narrator and what it says."""
    said = io.StringIO()
    return Narrator(Console(**{"file": said, "width": 200, "emoji": False, "highlight": False} | options)), said


# --- boto3, as far as a test needs it --------------------------------------------------------------------------------


def client_error(code: str, message: str = "no", operation: str = "Describe") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class FakeClient:
    """A boto3 client that answers each operation with a value, an exception, or what a function returns.

    Attributes:
        calls: (operation, parameters) of each call, in order.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation not in self.answers:
            raise AssertionError(f"unexpected call of {operation}")

        def call(**parameters: Any) -> Any:
            self.calls.append((operation, parameters))
            answer = self.answers[operation]
            if callable(answer):
                answer = answer(**parameters)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def get_paginator(self, operation: str) -> FakePaginator:
        return FakePaginator(getattr(self, operation))

    def called(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for name, parameters in self.calls if name == operation]


class FakePaginator:
    """All pages of an operation: an answer that is a list is its pages."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def paginate(self, **parameters: Any) -> list[Any]:
        answer = self.call(**parameters)
        return answer if isinstance(answer, list) else [answer]


class FakeClock:
    """Stands for the module ``time``: sleeping only moves its hands."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file in place."""
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw, indent=1) + "\n")
