"""The plan: TOML -> typed records; every mistake names the file, the table and the key."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from readiness.errors import PlanError
from readiness.model import (
    ErrorObjective,
    LatencyObjective,
    Plan,
    Severity,
    ThroughputObjective,
    UnhealthyHostsObjective,
)

T = TypeVar("T")

DEFAULT_FILE = "readiness.toml"


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        PlanError: the file is missing, unreadable or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanError(str(path), "", "there is no such file", hint="Name another with --plan.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(str(path), "", f"cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise PlanError(str(path), "", f"is no valid TOML: {error}") from error


def parse(kind: type[T], raw: object, file: str, prefix: str = "") -> T:
    """Return *raw* as a *kind*, or say which keys are wrong.

    Args:
        kind: A record of ``readiness.model``, or a settings record of a gate.
        raw: Tables as ``tomllib`` reads them.
        file: The file to name in an error.
        prefix: The table that *raw* was found under.

    Raises:
        PlanError: names the first wrong key, and counts the rest.
    """
    try:
        return TypeAdapter(kind).validate_python(raw)
    except ValidationError as error:
        raise _plan_error(error, file, prefix) from None


def _plan_error(error: ValidationError, file: str, prefix: str) -> PlanError:
    """Return what pydantic found as one error that names every key."""
    lines = []
    for fault in error.errors(include_url=False):
        words = {
            "missing": "is required and missing",
            "missing_keyword_only_argument": "is required and missing",
            "unexpected_keyword_argument": "is not a key of the plan",
            "extra_forbidden": "is not a key of the plan",
            "union_tag_not_found": "has no `kind`, which says what it is",
            "union_tag_invalid": f"kind {fault.get('ctx', {}).get('tag')!r} is none of "
            f"{fault.get('ctx', {}).get('expected_tags')}",
        }.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        lines.append((_key(prefix, fault["loc"]), words))
    key, words = lines[0]
    rest = "".join(f"\n  also {key}: {words}" for key, words in lines[1:])
    return PlanError(file, key, words + rest, hint="`readiness plan --schema` prints every key with its meaning.")


_TAGS = frozenset(
    {
        "latency",
        "latency-change",
        "errors",
        "throughput",
        "cache-hits",
        "unhealthy-hosts",
        "open",
        "closed",
        "locustfile",
    }
)


def _key(prefix: str, location: Sequence[str | int]) -> str:
    """Return a location as TOML spells it: ``objectives[2].threshold``; union tags are left out."""
    key = prefix
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        elif part not in _TAGS:
            key += f".{part}" if key else part
    return key


def load_plan(path: Path) -> Plan:
    """Read, check and return the plan.

    Raises:
        PlanError: a key is missing, unknown or wrong, or the plan contradicts itself.
    """
    plan = parse(Plan, read_toml(path), str(path))
    _check(plan, str(path))
    return plan


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def _check(plan: Plan, file: str) -> None:
    """Refuse what each key allows and the whole does not."""
    _check_objectives(plan, file)
    _check_workload(plan, file)
    _check_drills(plan, file)
    if not plan.owners:
        raise PlanError(file, "owners", "names nobody: every decision needs an owner")
    dropped = [severity for severity in (Severity.CRITICAL, Severity.HIGH) if severity not in plan.blocking_severities]
    if dropped:
        raise PlanError(
            file,
            "blocking_severities",
            f"leaves out {dropped[0]}: a gate would pass whatever it found",
            hint="A plan may add severities; a single fault is accepted by a waiver.",
        )
    _check_secrets(plan, file)
    _check_sizes(plan, file)


def _check_secrets(plan: Plan, file: str) -> None:
    known = set(plan.service.secrets)
    for variable, source in plan.fleet.secrets.items():
        if source not in known:
            raise PlanError(
                file, f"fleet.secrets.{variable}", f"shares {source!r}, which service.secrets does not have"
            )
    for variable, source in plan.service.secrets.items():
        needed = {"database-password": plan.database, "cache-token": plan.cache}.get(source, True)
        if needed is None:
            table = source.split("-")[0]
            raise PlanError(file, f"service.secrets.{variable}", f"is {source!r}, but the plan has no [{table}]")
        if source not in _SECRET_SOURCES and not source.startswith("arn:"):
            raise PlanError(
                file,
                f"service.secrets.{variable}",
                f"is {source!r}, which refers to no secret",
                hint=f"Write {', '.join(_SECRET_SOURCES)}, or the ARN of a secret.",
            )


_SECRET_SOURCES = ("generate", "database-password", "cache-token")


def _check_sizes(plan: Plan, file: str) -> None:
    """Refuse bounds that are the wrong way round: AWS would, half-way through a deployment."""
    if plan.service.max_count < plan.service.desired_count:
        raise PlanError(file, "service.max_count", "is below service.desired_count")
    if plan.database is not None and plan.database.max_acu < plan.database.min_acu:
        raise PlanError(file, "database.max_acu", "is below database.min_acu")
    for index, objective in enumerate(plan.objectives):
        alarm = getattr(objective, "alarm", None)
        if alarm is not None and alarm.datapoints_to_alarm > alarm.evaluation_periods:
            raise PlanError(
                file, f"objectives[{index}].alarm.datapoints_to_alarm", "is above evaluation_periods: it could not fire"
            )


def _check_objectives(plan: Plan, file: str) -> None:
    ids = [objective.id for objective in plan.objectives]
    for index, name in enumerate(ids):
        if name in ids[:index]:
            raise PlanError(file, f"objectives[{index}].id", f"{name!r} is taken by an earlier objective")
    scenarios = {scenario.name for scenario in plan.workload.scenarios}
    for index, objective in enumerate(plan.objectives):
        scenario = None if isinstance(objective, UnhealthyHostsObjective) else objective.scenario
        if scenario is not None and scenario not in scenarios:
            raise PlanError(file, f"objectives[{index}].scenario", f"{scenario!r} is not in workload.scenarios")
    for kind, name in ((LatencyObjective, "latency"), (ErrorObjective, "errors"), (ThroughputObjective, "throughput")):
        if not any(isinstance(objective, kind) for objective in plan.objectives):
            raise PlanError(
                file,
                "objectives",
                f"has no objective of kind {name!r}",
                hint="Acceptable performance needs a latency, an error and a throughput threshold, fixed beforehand.",
            )


def _check_workload(plan: Plan, file: str) -> None:
    names = [scenario.name for scenario in plan.workload.scenarios]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise PlanError(file, f"workload.scenarios[{index}].name", f"{name!r} is taken by an earlier scenario")
    if not plan.workload.hold:
        raise PlanError(file, "workload.hold", "is 0 s: nothing would be measured")


def _check_drills(plan: Plan, file: str) -> None:
    alarmed = {objective.id for objective in plan.objectives if getattr(objective, "alarm", None) is not None}
    for index, drill in enumerate(plan.drills.alarms.each):
        if drill.objective not in alarmed:
            raise PlanError(file, f"drills.alarms.each[{index}].objective", f"{drill.objective!r} has no alarm")
    if not plan.drills.rollback.bad_environment and plan.drills.rollback.bad_image is None:
        raise PlanError(
            file,
            "drills.rollback",
            "names no bad release",
            hint="Give bad_environment (variables that make the service misbehave) or bad_image.",
        )
    if not plan.budget.wall_clock:
        raise PlanError(file, "budget.wall_clock", "is 0 s: no run could end in it")
    if plan.budget.clone_lifetime < plan.budget.wall_clock:
        raise PlanError(file, "budget.clone_lifetime", "is shorter than budget.wall_clock: the clone would be reaped")
