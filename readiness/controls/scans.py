"""Controls of the gates that read scanners: a planted finding, a scanner that was silent, a template nobody read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from readiness.controls.control import AnyControl, Control
from readiness.controls.planted import spoiled
from readiness.model import Severity
from readiness.scan.observed import CheckResult, Scan, ScannerRun

_BLOCKING = (Severity.CRITICAL, Severity.HIGH)


def _finding(scan: Scan) -> Scan:
    """Turn one thing that a rule of a blocking severity passed into one that it failed."""
    worst = {rule.id for run in scan.runs for rule in run.rules if rule.severity in _BLOCKING}

    def passed(run: ScannerRun) -> bool:
        return any(each.rule in worst and each.result is CheckResult.PASSED for each in run.results)

    def spoil(run: ScannerRun) -> ScannerRun:
        results = spoiled(
            run.results,
            lambda each: replace(each, result=CheckResult.FAILED, detail="planted by the selftest"),
            lambda each: each.rule in worst and each.result is CheckResult.PASSED,
            what="passed rule of a blocking severity",
        )
        return replace(run, results=results)

    return replace(scan, runs=spoiled(scan.runs, spoil, passed, what="passed rule of a blocking severity"))


def _error(scan: Scan) -> Scan:
    return replace(scan, runs=spoiled(scan.runs, lambda run: replace(run, errors=("it was killed",)), what="scanner"))


def _missing(scan: Scan) -> Scan:
    return replace(scan, runs=scan.runs[1:])


def _unread(scan: Scan) -> Scan:
    return replace(scan, unread={"Another.template.json": "it is no template"})


def _nothing(scan: Scan) -> Scan:
    return replace(scan, templates=(), runs=())


_OF_TEMPLATES = (
    ("scanner-missing", "a scanner was never asked", _missing),
    ("scanner-killed", "a scanner died before it had answered", _error),
    ("unread-template", "a template could not be read", _unread),
    ("no-templates", "there was no template at all", _nothing),
)
_OF_SECURITY = (*_OF_TEMPLATES, ("planted-finding", "a rule of a blocking severity failed on one resource", _finding))
_OF_THE_CLONE = (
    ("planted-finding", "a deployed resource is open where its template is not", _finding),
    ("reader-failed", "a resource could not be read back", _error),
    ("nothing-deployed", "no resource was read back", _nothing),
)


def _planted(plant: Callable[[Scan], Scan]) -> Callable[[Any], Any]:
    """Return what plants a fault in the scan of an observation."""
    return lambda seen: replace(seen, scan=plant(seen.scan))


CONTROLS: tuple[AnyControl, ...] = tuple(
    Control(id=f"{gate}/{name}", plants=said, plant=_planted(plant))
    for gate, plants in (("cfn-lint", _OF_TEMPLATES), ("security", _OF_SECURITY), ("live-security", _OF_THE_CLONE))
    for name, said, plant in plants
)
