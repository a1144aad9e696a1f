"""The proactive controls of AWS Control Tower: Guard rules, as AWS ships them for the CDK, and how we classify them."""

from __future__ import annotations

import csv
import json
import re
import tarfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.metadata import distribution
from typing import Any

from readiness.model import ControlFamily, Severity
from readiness.scan.observed import Rule

SOURCE = "control-tower"

_PACKAGE = "cdklabs.cdk-validator-cfnguard"
_FILE = re.compile(r"/rules/control-tower/(?P<kind>cfn-guard|metadata)/\w+/(?P<name>[\w-]+)\.(?:guard|metadata\.json)$")
_RULE = re.compile(r"^rule (\w+) when", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One proactive control.

    Attributes:
        rule: As findings tell it.
        guard_rules: What Guard calls it; one control may be several rules.
        text: Its source, in Guard's language.
        looks_at: Resource types.
    """

    rule: Rule
    guard_rules: frozenset[str]
    text: str
    looks_at: frozenset[str]


@cache
def controls() -> tuple[Control, ...]:
    """Return every control, by id.

    The package is a wrapper around JavaScript, which Node would have to run; the rules in it are plain files.

    Raises:
        FileNotFoundError: the package is there and holds no rules.
        PackageNotFoundError: it is not installed.
    """
    package = distribution(_PACKAGE)
    archive = next((each for each in package.files or () if each.name.endswith(".jsii.tgz")), None)
    if archive is None:
        raise FileNotFoundError(f"{_PACKAGE} {package.version} holds no archive of rules")
    rules: dict[str, str] = {}
    told: dict[str, dict[str, Any]] = {}
    with tarfile.open(str(package.locate_file(archive))) as files:
        for member in files:
            match = _FILE.search(member.name)
            file = files.extractfile(member) if match else None
            if match and file is not None:
                text = file.read().decode()
                if match["kind"] == "metadata":
                    told[match["name"]] = json.loads(text)
                else:
                    rules[match["name"]] = text
    if not rules or rules.keys() != told.keys():
        raise FileNotFoundError(f"{_PACKAGE} {package.version} does not hold the rules and what they are about")
    return tuple(_control(told[name], rules[name]) for name in sorted(rules))


def _control(told: dict[str, Any], text: str) -> Control:
    links = [each["Url"] for each in told.get("DocumentationReferences", ())]
    row = _classified().get(told["Id"], {})
    return Control(
        rule=Rule(
            id=f"{SOURCE}/{told['Id']}",
            claim=told["DisplayName"],
            severity=Severity(row["severity"]) if row else None,
            family=ControlFamily(row["control_family"]) if row else None,
            why=told["Description"],
            mend=told["RemediationMessage"],
            link=links[0] if links else "",
            same_fault=tuple(row["same_fault"].split()) if row else (),
        ),
        guard_rules=frozenset(_RULE.findall(text)),
        text=text,
        looks_at=frozenset(told["EvaluatedResourceTypes"]),
    )


@cache
def _classified() -> dict[str, dict[str, str]]:
    """Return the rows of our table, by control. Its columns say where each severity comes from."""
    text = (resources.files("readiness") / "data" / "control_tower_severity.csv").read_text(encoding="utf-8")
    return {row["control"]: row for row in csv.DictReader(text.splitlines())}
