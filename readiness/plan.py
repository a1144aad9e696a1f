"""The plan: TOML -> typed records; every mistake names the file, the table and the key."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from readiness import plan_checks
from readiness.errors import PlanError
from readiness.model import Plan

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
    plan_checks.check(plan, str(path))
    return plan


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
