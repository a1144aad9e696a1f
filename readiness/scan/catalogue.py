"""Severity and control family of checkov's rules, which it does not tell without a vendor's key."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

from readiness.model import ControlFamily, Severity
from readiness.scan.observed import Rule

_FILES = ("checkov_cfn_severity.csv", "checkov_secret_severity.csv")


@cache
def catalogue() -> dict[str, Rule]:
    """Return checkov's rules as we classify them, by ``checkov/<id>``. The files' columns say where each comes from."""
    found = {}
    for name in _FILES:
        text = (resources.files("readiness") / "data" / name).read_text(encoding="utf-8")
        for row in csv.DictReader(text.splitlines()):
            rule = f"checkov/{row['check_id']}"
            found[rule] = Rule(
                id=rule,
                claim=row["name"] if "_SECRET_" not in rule else f"The template holds no {row['name']}",
                severity=Severity(row["severity"]),
                family=ControlFamily(row["control_family"]),
                why=row.get("rationale_source") or row["rationale"],
            )
    return found


def classified(rule: str, claim: str, link: str = "") -> Rule:
    """Return a rule of checkov as we classify it; with no severity and no family if the catalogue does not have it."""
    known = catalogue().get(rule)
    if known is None:
        return Rule(id=rule, claim=claim, severity=None, family=None, link=link)
    return Rule(id=rule, claim=known.claim, severity=known.severity, family=known.family, why=known.why, link=link)
