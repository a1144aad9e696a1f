"""The plan: TOML -> typed records; every mistake names the file, the line, the table and the key."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from readiness import plan_checks, toml_lines
from readiness.errors import Fault, PlanError
from readiness.model import Plan
from readiness.plan_fields import Spot, spot
from readiness.spelling import did_you_mean, nearest

T = TypeVar("T")

DEFAULT_FILE = "readiness.toml"
_HINT = "docs/plan.md says what each key means; `readiness plan --schema` prints it for an editor."


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
        at = re.search(r"at line (\d+)", str(error))
        raise PlanError(str(path), "", f"is no valid TOML: {error}", line=int(at[1]) if at else None) from error


@contextmanager
def located(path: Path) -> Iterator[None]:
    """Tell the lines of the mistakes in a file that are found meanwhile.

    Raises:
        PlanError: the mistakes, each with its line; one whose key is missing, with the line of its table.
    """
    try:
        yield
    except PlanError as error:
        if error.file != str(path):
            raise
        lines = _lines(path)
        faults = [
            fault if fault.line or not fault.key else replace(fault, line=_line(fault.key, lines))
            for fault in error.faults
        ]
        raise PlanError.of(error.file, faults) from error.__cause__


def _lines(path: Path) -> dict[str, int]:
    """Return the line of each key, by the key as an error spells it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    lines: dict[str, int] = {}
    for place, line in toml_lines.lines(text).items():
        lines.setdefault(_spelled(place), line)
    return lines


def _spelled(place: toml_lines.Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _line(key: str, lines: Mapping[str, int]) -> int | None:
    """Return the line of a key, or of the innermost table around it that the file has."""
    while key and key not in lines:
        key = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]*)$", "", key)
    return lines.get(key)


def parse(kind: type[T], raw: object, file: str, prefix: str = "") -> T:
    """Return *raw* as a *kind*, or say which keys are wrong.

    Args:
        kind: A record of ``readiness.model``, or a settings record of a gate.
        raw: Tables as ``tomllib`` reads them.
        file: The file to name in an error.
        prefix: The table that *raw* was found under.

    Raises:
        PlanError: names every wrong key.
    """
    try:
        return TypeAdapter(kind).validate_python(raw)
    except ValidationError as error:
        raise PlanError.of(file, list(_faults(kind, error, prefix))) from None


def _faults(kind: Any, error: ValidationError, prefix: str) -> Iterator[Fault]:
    """Yield what pydantic found; a key that is missing because it is misspelt is told once, by its misspelling."""
    found = [(spot(kind, fault["loc"], prefix), fault) for fault in error.errors(include_url=False)]
    present = {(at.table, at.last) for at, fault in found if fault["type"] not in _MISSING}
    missing = {(at.table, at.last) for at, fault in found if fault["type"] in _MISSING}
    meant = {(at.table, nearest(at.last, at.keys)) for at, fault in found if fault["type"] in _UNKNOWN}
    for at, fault in found:
        if (at.table, at.last) in missing & meant - present:
            continue
        if fault["type"] == "too_short" and any(other.key.startswith(f"{at.key}[") for other, _ in found):
            continue  # its only elements are wrong, and told
        yield Fault(at.key, _words(at, fault), hint=_HINT)


_MISSING = ("missing", "missing_keyword_only_argument")
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def _words(at: Spot, fault: Any) -> str:
    """Return what was found, what is allowed, and what was probably meant."""
    kind, context, found = fault["type"], fault.get("ctx", {}), fault.get("input")
    if kind in _MISSING:
        return "is required and missing"
    if kind in _UNKNOWN:
        where = f"[{at.table}]" if at.table else "the plan"
        return f"is not a key of {where}{did_you_mean(at.last, at.keys)}"
    if kind == "union_tag_not_found":
        return "has no `kind`, which says what it is"
    if kind == "union_tag_invalid":
        return f"kind {context['tag']!r} is none of {context['expected_tags']}" + _meant(
            context["tag"], context["expected_tags"]
        )
    if kind == "value_error":
        return str(fault["msg"]).removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return f"is {_short(found)}; allowed is {_PATTERNS.get(pattern, f'what matches the pattern {pattern}')}"
    if kind in _ALLOWED:
        return f"is {_short(found)}; allowed is {_ALLOWED[kind]}"
    if kind in ("too_short", "string_too_short"):
        least = context["min_length"]
        return f"is {_short(found)}; it needs at least {least} {'element' if kind == 'too_short' else 'character'}" + (
            "s" if least != 1 else ""
        )
    words = str(fault["msg"]).replace("Input should be", "allowed is")
    return f"is {_short(found)}; {words}{_meant(found, context.get('expected', ''))}"


_PATTERNS = {
    r"^[a-z][a-z0-9-]{0,38}$": "an identifier: a lower-case letter, then at most 38 lower-case letters, digits and "
    "hyphens",
    r"^/": "a path, which begins with /",
    r"^\d{12}$": "the id of an account: 12 digits",
}
_ALLOWED = {
    "tuple_type": "a list: [ ... ]",
    "dict_type": "a table: { ... }",
    "dataclass_type": "a table: { ... }",
    "dataclass_exact_type": "a table: { ... }",
    "model_attributes_type": "a table: { ... }",
    "string_type": 'a text: "..."',
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}


def _meant(found: object, expected: str) -> str:
    """Return which of the texts that pydantic expected is near what was found."""
    return did_you_mean(found, re.findall(r"'([^']*)'", expected)) if isinstance(found, str) else ""


def _short(value: object) -> str:
    text = "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def load_plan(path: Path) -> Plan:
    """Read, check and return the plan.

    Raises:
        PlanError: a key is missing, unknown or wrong, or the plan contradicts itself.
    """
    with located(path):
        plan = parse(Plan, read_toml(path), str(path))
        plan_checks.check(plan, str(path))
        return plan


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
