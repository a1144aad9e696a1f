"""Controls of the scanners themselves: a template with planted faults is scanned, and each scanner must find some."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from readiness import decide
from readiness.model import ControlShown
from readiness.review import review

_PLANTED = resources.files("readiness") / "data" / "selftest.template.json"
_SOURCES = ("checkov", "control-tower", "cloudformation-validate", "readiness")
"""Sources of rules of which each finds some of the planted faults."""


def controls(repository: Path, plan_file: Path) -> Iterator[ControlShown]:
    """Yield whether the gates of the templates, and each scanner, notice the planted template."""
    with resources.as_file(_PLANTED) as template:
        seen = review(repository, plan_file, Path("no-waivers.toml"), (template,))
    security = next(result for result in seen.results if result.gate == "security")
    said = next(iter(decide.causes(security.judgement, security.findings, security.outcome)), "")
    yield ControlShown(
        id="scan/planted-template", plants="a template with faults", came_to=security.outcome.value, said=said
    )
    for source in _SOURCES:
        found = [
            each.finding
            for each in security.findings
            if any(by.startswith(f"{source}/") for by in each.finding.sources)
        ]
        yield ControlShown(
            id=f"scan/{source}",
            plants=f"a template in which {source} has something to find",
            came_to="failed" if found else "passed",
            said=f"{len(found)} findings, e.g. {found[0].subject}: {found[0].message}" if found else "",
        )
