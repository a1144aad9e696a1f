"""checkov's checks, its secret detectors, and our own checks. Run as a module by ``readiness.scan.child``."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import traceback
from base64 import b32encode
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from readiness.scan import graph_check
from readiness.scan.catalogue import catalogue, classified
from readiness.scan.child import Order, answer
from readiness.scan.corrections import false_alarm
from readiness.scan.observed import CheckResult, Result, Rule, ScannerRun
from readiness.scan.own_check import OwnCheck, all_checks
from readiness.scan.template import OUTPUTS, PARAMETERS, WHOLE_TEMPLATE, Template, read_template

SCANNER = "checkov"

_SECRETS = "checkov/CKV_SECRET_"
_LARGEST_BYTES = 50_000_000
_WORTH_FORKING = 8
_ALLOWLIST = "allowlist secret"
"""A comment with which a line hides from the secret detectors, and which checkov does not report."""


class _Answer:
    """A run that is being filled.

    Attributes:
        templates: Absolute path -> template.
    """

    def __init__(self, order: Order) -> None:
        self.templates = {path: read_template(Path(path), name) for name, path in order.templates.items()}
        self.rules: dict[str, Rule] = {}
        self.results: list[Result] = []
        self.errors: list[str] = []

    def add(self, rule: Rule, template: Template, part: str, result: CheckResult, detail: str = "") -> None:
        self.rules.setdefault(rule.id, rule)
        self.results.append(Result(rule=rule.id, template=template.name, part=part, result=result, detail=detail))

    def attempt(self, what: str, act: Callable[[], None]) -> None:
        """Do one part of the scan; if it raises, the others still count, and this one is a blindness."""
        try:
            act()
        except Exception:  # noqa: BLE001 - whatever checkov raises means that it could not look
            self.errors.append(f"{what} crashed:\n{traceback.format_exc(limit=-8)}")


def scan(order: Order) -> ScannerRun:
    """Scan each template."""
    started = time.monotonic()
    said = _Answer(order)
    own = {check.rule: check for check in all_checks()}
    _stay_in_one_process(len(said.templates))
    _notice_crashes(said.errors)
    lines: dict[str, dict[str, tuple[int, int]]] = {}
    graph = [graph_check.OUR_FOLDER, *map(Path, order.graph_checks)]
    said.attempt("the CloudFormation checks", lambda: lines.update(_scan_resources(said, own, graph)))
    said.attempt("our checks of outputs and parameters", lambda: _scan_sections(said, own.values()))
    said.attempt("the secret detectors", lambda: _scan_secrets(said, lines))
    read = {result.template for result in said.results if not result.rule.startswith(_SECRETS)}
    return ScannerRun(
        scanner=SCANNER,
        version=version("checkov"),
        templates=tuple(name for name in order.templates if name in read),
        rules_loaded=len(catalogue()) + len(own),
        rules=tuple(said.rules.values()),
        results=tuple(said.results),
        errors=tuple(said.errors),
        seconds=time.monotonic() - started,
    )


def _notice_crashes(errors: list[str]) -> None:
    """Have each check that crashes noted: checkov goes on without it and reports nothing."""
    from checkov.common.checks.base_check import BaseCheck

    def note(self: Any, scanned_file: str, entity_type: str, entity_name: str, entity_configuration: Any) -> None:
        why = traceback.format_exc(limit=-1).strip().splitlines()[-1]
        errors.append(f"{self.id} crashed on {entity_name} ({entity_type}): {why}")

    BaseCheck.log_check_error = note  # type: ignore[method-assign]


def _stay_in_one_process(templates: int) -> None:
    """Keep checkov from forking for a handful of files: other scanners have the other cores."""
    if templates < _WORTH_FORKING:
        os.environ["CHECKOV_PARALLELIZATION_TYPE"] = "none"


def _scan_resources(
    said: _Answer, own: Mapping[str, OwnCheck], graph: Iterable[Path]
) -> dict[str, dict[str, tuple[int, int]]]:
    """Ask checkov's checks and ours of every resource; return the lines where each resource stands, by path."""
    from checkov.cloudformation.runner import Runner
    from checkov.runner_filter import RunnerFilter

    details: dict[tuple[str, str, str], str] = {}
    by_file = {f"/{os.path.relpath(path)}": template for path, template in said.templates.items()}  # as checkov says it
    for check in own.values():
        _register(check, by_file, details)
    runner = Runner()
    of_graph: dict[str, Rule] = {}
    for loaded in graph_check.load(runner.graph_registry, graph):
        if isinstance(loaded, str):
            said.errors.append(f"graph check {loaded}")
        else:
            of_graph[loaded.id] = loaded
    report: Any = runner.run(
        root_folder=None, files=list(said.templates), runner_filter=RunnerFilter(framework=["cloudformation"])
    )
    seen: dict[str, set[str]] = {path: set() for path in said.templates}
    for each in report.extra_resources:
        seen[each.file_abs_path].add(each.resource.rpartition(".")[2])
    for row in (*report.passed_checks, *report.failed_checks, *report.skipped_checks):
        template = said.templates[row.file_abs_path]
        part = row.resource.rpartition(".")[2]
        seen[row.file_abs_path].add(part)
        ours = row.check_id in own or row.check_id in of_graph
        check_id = row.check_id if ours else f"{SCANNER}/{row.check_id}"
        if check_id in own:
            rule = _own_rule(own[check_id])
        else:
            rule = of_graph.get(check_id) or classified(check_id, row.check_name, row.guideline or "")
        result = CheckResult(row.check_result["result"].value.lower())
        detail = ""
        if result is CheckResult.FAILED:
            detail = details.get((check_id, template.name, part), "")
            correction = false_alarm(check_id, template.resources[part])
            if correction:
                result, detail = CheckResult.PASSED, correction
        elif result is CheckResult.SKIPPED:
            detail = row.check_result.get("suppress_comment", "")
        said.add(rule, template, part, result, detail)
    for path, template in said.templates.items():
        unseen = sorted(set(template.resources) - seen[path])
        if unseen:
            said.errors.append(
                f"{template.name}: checkov did not look at {len(unseen)} of {len(template.resources)} resources "
                f"({', '.join(unseen[:3])}{', ...' if len(unseen) > 3 else ''})"
            )
    return {
        path: {
            name: (lines["start_line"], lines["end_line"])
            for name, lines in runner.context.get(path, {}).get("Resources", {}).items()
        }
        for path in said.templates
    }


def _register(check: OwnCheck, by_file: Mapping[str, Template], details: dict[tuple[str, str, str], str]) -> None:
    """Make one of our checks a check of checkov's. It looks at the template as it is written, not at checkov's copy."""
    from checkov.cloudformation.checks.resource.base_resource_check import BaseResourceCheck
    from checkov.common.models.enums import CheckCategories
    from checkov.common.models.enums import CheckResult as Said

    types = [kind for kind in check.looks_at if kind not in (OUTPUTS, PARAMETERS)]
    if not types:
        return

    class Registered(BaseResourceCheck):
        def run(self, scanned_file: str, entity_configuration: Any, entity_name: str, *rest: Any, **more: Any) -> Any:
            self.asked = scanned_file, entity_name
            return super().run(scanned_file, entity_configuration, entity_name, *rest, **more)

        def scan_resource_conf(self, conf: Any) -> Any:
            file, name = self.asked
            template = by_file[file]
            faults = "; ".join(check.faults(template.resources[name]))
            details[check.rule, template.name, name] = faults
            return Said.FAILED if faults else Said.PASSED

    Registered(name=check.claim, id=check.rule, categories=[CheckCategories.CONVENTION], supported_resources=types)


def _own_rule(check: OwnCheck) -> Rule:
    return Rule(
        id=check.rule,
        claim=check.claim,
        severity=check.severity,
        family=check.family,
        why=check.why,
        mend=check.mend,
        link=check.link,
        same_fault=check.same_fault,
    )


def _scan_sections(said: _Answer, checks: Iterable[OwnCheck]) -> None:
    """Ask our checks of outputs and parameters, at which checkov does not look."""
    for check in checks:
        for template in said.templates.values():
            for part in template.parts():
                if part.kind in (OUTPUTS, PARAMETERS) and part.kind in check.looks_at:
                    faults = "; ".join(check.faults(part))
                    result = CheckResult.FAILED if faults else CheckResult.PASSED
                    said.add(_own_rule(check), template, part.key, result, faults)


def _scan_secrets(said: _Answer, lines: Mapping[str, Mapping[str, tuple[int, int]]]) -> None:
    """Ask the secret detectors of every template, and of a plant that shows whether they see at all."""
    import checkov.secrets.runner as secrets
    from checkov.runner_filter import RunnerFilter

    secrets.MAX_FILE_SIZE = _LARGEST_BYTES
    with tempfile.TemporaryDirectory() as folder:
        plant = Path(folder) / "plant.yaml"
        plant.write_text(f"Key: {_planted_key()}\n", encoding="utf-8")
        report = secrets.Runner().run(
            root_folder=None,
            files=[*said.templates, str(plant)],
            runner_filter=RunnerFilter(framework=["secrets"]),
        )
        found = [*report.failed_checks, *report.skipped_checks]
        if not any(row.file_abs_path == str(plant) for row in found):
            raise RuntimeError("the secret detectors did not see a key that was planted for them")
    for path, template in said.templates.items():
        text = template.path.read_text(encoding="utf-8-sig")
        if len(text) > _LARGEST_BYTES:
            said.errors.append(f"{template.name}: is larger than the secret detectors read")
        if _ALLOWLIST in text:
            said.errors.append(f"{template.name}: a comment `{_ALLOWLIST}` hides lines from the secret detectors")
        rows = [row for row in found if row.file_abs_path == path]
        for row in rows:
            number = row.file_line_range[0]
            places = lines.get(path, {}).items()
            part = next((name for name, (first, last) in places if first <= number <= last), WHOLE_TEMPLATE)
            skipped = row in report.skipped_checks
            said.add(
                classified(f"{SCANNER}/{row.check_id}", row.check_name),
                template,
                part,
                CheckResult.SKIPPED if skipped else CheckResult.FAILED,
                row.check_result.get("suppress_comment", "") if skipped else f"{row.check_name} at line {number}",
            )
        silent = {f"{SCANNER}/{row.check_id}" for row in rows}
        for rule in catalogue().values():
            if rule.id.startswith(_SECRETS) and rule.id not in silent:
                said.add(rule, template, WHOLE_TEMPLATE, CheckResult.PASSED)


def _planted_key() -> str:
    """Return what has the form of an access key id and is none; it is made, so that no file of ours holds one."""
    return "AKIA" + b32encode(hashlib.sha256(b"plant").digest()).decode()[:16]


if __name__ == "__main__":
    answer(SCANNER, scan)
