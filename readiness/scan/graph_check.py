"""Checks of connections between resources: checkov's graph checks in YAML, one file for one fault.

To add one, copy a file of ``readiness/scan/graph_checks/``, or put it into the folder that the plan names with
``gates.settings.security.graph_checks``. Its metadata has checkov's own keys, and tells severity, control family, why
the fault matters, how to mend it, and where to read on. checkov passes over a file that it cannot use; here that is an
error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from readiness.model import ControlFamily, Severity
from readiness.scan.observed import Rule
from readiness.scan.values import as_table

OUR_FOLDER = Path(__file__).with_name("graph_checks")
_ENDINGS = (".yaml", ".yml")


class NotACheckError(Exception):
    """A file of a folder of checks that is none."""


def files(folder: Path) -> tuple[Path, ...]:
    """Return the checks of a folder.

    Raises:
        NotACheckError: there is no such folder, or it holds none.
    """
    found = tuple(sorted(path for path in folder.glob("*") if path.suffix in _ENDINGS)) if folder.is_dir() else ()
    if not found:
        raise NotACheckError(f"{folder} is no folder with graph checks in it (*.yaml)")
    return found


def rule(path: Path) -> Rule:
    """Return what a file says of its check.

    Raises:
        NotACheckError: it is no graph check, or its id does not name its source.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise NotACheckError(f"{path.name} cannot be read: {error}") from error
    told = as_table(as_table(raw).get("metadata"))
    missing = [key for key in ("id", "name", "category") if not isinstance(told.get(key), str)]
    if missing or not as_table(raw).get("definition"):
        raise NotACheckError(
            f"{path.name} has no {', '.join([f'metadata.{key}' for key in missing] or ['definition'])}"
        )
    if "/" not in told["id"]:
        raise NotACheckError(
            f"{path.name}: metadata.id {told['id']!r} names no source; write it as 'ours/what-is-wrong'"
        )
    try:
        severity = None if told.get("severity") is None else Severity(told["severity"])
        family = None if told.get("control_family") is None else ControlFamily(told["control_family"])
    except ValueError as error:
        raise NotACheckError(f"{path.name}: {error}") from error
    return Rule(
        id=told["id"],
        claim=told["name"],
        severity=severity,
        family=family,
        why=str(told.get("why", "")),
        mend=str(told.get("mend", "")),
        link=str(told.get("link", "")),
    )


def load(registry: Any, folders: Iterable[Path]) -> Iterator[Rule | str]:
    """Load every check of some folders into checkov's registry; yield the rule of each, or why it is none."""
    for folder in folders:
        try:
            found = files(folder)
            registry.load_external_checks(str(folder))
        except NotACheckError as error:
            yield str(error)
            continue
        loaded = {check.id for check in registry.checks}
        for path in found:
            try:
                told = rule(path)
            except NotACheckError as error:
                yield str(error)
            else:
                yield told if told.id in loaded else f"{path.name}: checkov could not use it"
