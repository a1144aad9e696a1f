"""The waiver register: TOML -> waivers; every mistake names the file, the table and the key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from readiness import contract
from readiness.approval import same_person
from readiness.decide import covers
from readiness.errors import Fault, PlanError
from readiness.model import Waiver
from readiness.plan import located, parse, read_toml

matches = covers
"""Which finding a waiver names: one rule, said in ``readiness.decide``."""

DEFAULT_FILE = "waivers.toml"
MAX_AGE = timedelta(days=90)

TABLE = "waivers"
"""The register is an array of tables: ``[[waivers]]``."""

_LEAST_EVIDENCE = 10

_HINT = "A waiver has rule, subject, reason, owner, approver (another person), ticket, created and expires."


def load_waivers(path: Path, max_age: timedelta = MAX_AGE) -> tuple[Waiver, ...]:
    """Read and check the register. One that expired is still read: it covers nothing, and is reported as unused.

    Args:
        path: The register; if there is no such file, nothing is waived.
        max_age: The longest that a waiver may run from its creation to its expiry; the plan's ``max_waiver_age``.

    Raises:
        PlanError: it is no TOML, or an entry is incomplete, self-approved or runs too long.
    """
    if not path.exists():
        return ()
    with located(path):
        return _read(read_toml(path), str(path), max_age)


def _read(raw: Mapping[str, Any], file: str, max_age: timedelta) -> tuple[Waiver, ...]:
    """Return the entries of a register; every entry is looked at before the faults of all are told."""
    faults = [
        Fault(key, f"is no table of the register; each waiver is a [[{TABLE}]]", hint=_HINT)
        for key in raw
        if key != TABLE
    ]
    entries = raw.get(TABLE, [])
    if not isinstance(entries, list):
        faults.append(Fault(TABLE, f"is one table; write [[{TABLE}]] with two brackets", hint=_HINT))
        entries = []
    waivers: list[Waiver] = []
    for index, entry in enumerate(entries):
        table = f"{TABLE}[{index}]"
        try:
            waiver = parse(Waiver, entry, file, table)
            check(waiver, file, table, max_age)
            _check_twin(waivers, waiver, file, table)
            waivers.append(waiver)
        except PlanError as error:
            faults += error.faults
    if faults:
        raise PlanError.of(file, faults)
    return tuple(waivers)


def add_waiver(path: Path, waiver: Waiver, max_age: timedelta = MAX_AGE) -> None:
    """Append a waiver to the register, which may not exist yet; comments and entries that are there stay as they are.

    Raises:
        PlanError: the register, or the entry, is not valid; the file is left as it was.
    """
    load_waivers(path, max_age)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    spaced = before + ("" if before.endswith("\n") or not before else "\n") + ("\n" if before else "")
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(spaced + _spelled(waiver), encoding="utf-8")
        try:
            load_waivers(partial, max_age)
        except PlanError as error:
            raise PlanError.of(str(path), [replace(fault, line=None) for fault in error.faults]) from None
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _spelled(waiver: Waiver) -> str:
    """Return an entry of the register. JSON's strings are TOML's basic strings."""
    names = ("rule", "subject", "disposition", "reason", "evidence", "owner", "approver", "ticket")
    texts = {name: getattr(waiver, name) for name in names if name != "disposition" or waiver.evidence}
    lines = [f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in texts.items() if text]
    return "\n".join([f"[[{TABLE}]]", *lines, f"created = {waiver.created}", f"expires = {waiver.expires}", ""])


def check(waiver: Waiver, file: str, table: str, max_age: timedelta) -> None:
    """Refuse what the types allow and the register does not.

    Raises:
        PlanError: names the file, the table and the key.
    """
    for key in ("rule", "subject", "owner", "approver"):
        if not getattr(waiver, key).strip():
            raise PlanError(file, f"{table}.{key}", "is empty", hint=_HINT)
    if same_person(waiver.owner, waiver.approver):
        raise PlanError(
            file,
            f"{table}.approver",
            f"{waiver.approver!r} is the owner: nobody approves their own waiver",
            hint="Have it approved by somebody who does not own the fault.",
        )
    if waiver.disposition == "false-positive" and len(waiver.evidence.strip()) < _LEAST_EVIDENCE:
        raise PlanError(
            file,
            f"{table}.evidence",
            "is missing: a false positive is one that somebody proved",
            hint="Write what proves it: the line of code, the document, the command and its output.",
        )
    if waiver.disposition == "waived" and waiver.evidence:
        raise PlanError(
            file,
            f"{table}.evidence",
            "is given, but the entry is a waiver, which accepts a fault that is there",
            hint='Write disposition = "false-positive" if there is no fault.',
        )
    if "/" not in waiver.rule:
        raise PlanError(
            file,
            f"{table}.rule",
            f"{waiver.rule!r} names no scanner, so it would waive too much",
            hint="Write the rule as the finding spells it: 'checkov/CKV_AWS_26', 'readiness/root-container'.",
        )
    covered = [rule for rule in contract.NEVER_WAIVED if fnmatchcase(rule, waiver.rule)]
    if covered:
        raise PlanError(
            file,
            f"{table}.rule",
            f"{waiver.rule!r} covers {', '.join(covered)}, which nobody can accept",
            hint="Name the rules that are meant.",
        )
    if waiver.expires < waiver.created:
        raise PlanError(file, f"{table}.expires", f"{waiver.expires} is before created, {waiver.created}")
    if waiver.expires - waiver.created > max_age:
        raise PlanError(
            file,
            f"{table}.expires",
            f"runs {(waiver.expires - waiver.created).days} days; the plan allows {max_age.days}",
            hint=f"Let it expire by {waiver.created + max_age}, or mend the fault.",
        )


def _check_twin(earlier: Sequence[Waiver], waiver: Waiver, file: str, table: str) -> None:
    """Refuse a second waiver of the same thing: nobody could say which of the two is in force."""
    for index, other in enumerate(earlier):
        if (other.rule, other.subject) == (waiver.rule, waiver.subject):
            raise PlanError(
                file, f"{table}.subject", f"{waiver.rule} on {waiver.subject!r} is already {TABLE}[{index}]"
            )
