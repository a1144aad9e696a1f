"""Scan templates for faults, with no deployment and no plan: each scanner in a process of its own, side by side.

``scan`` looks, ``readiness.scan.findings`` judges what it saw. A scanner that crashes, hangs, is missing or reads
nothing is a blindness that the judgement names; its silence is never a clean result.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Final

from readiness import shell
from readiness.scan.child import Order, ask
from readiness.scan.lines import lines_of
from readiness.scan.observed import CDK, Scan, TemplateSeen
from readiness.scan.template import NotATemplateError, Template, construct_path, find_templates, names, read_template

__all__ = ["CFN_LINT", "SCANNERS", "SECURITY", "NotATemplateError", "find_templates", "scan"]

CFN_LINT: Final = "cfn-lint"
CHECKOV: Final = "checkov"
"""checkov's CloudFormation checks, its secret detectors, and our own checks, which it runs."""
CLOUDFORMATION_VALIDATE: Final = "cloudformation-validate"
"""AWS's own security rules for templates, and the Guard rules of Control Tower, which it runs."""
SECURITY: Final = (CHECKOV, CLOUDFORMATION_VALIDATE, CDK)

SCANNERS: Final = {
    CFN_LINT: "readiness.scan.cfn_lint",
    CHECKOV: "readiness.scan.checkov",
    CLOUDFORMATION_VALIDATE: "readiness.scan.cloudformation_validate",
    CDK: "readiness.scan.cdk_report",
}
"""Scanner -> the module that scans when it is run."""

DEFAULT_DEADLINE: Final = timedelta(minutes=5)


def scan(
    templates: Sequence[Path],
    region: str,
    scanners: Sequence[str] = tuple(SCANNERS),
    deadline: timedelta = DEFAULT_DEADLINE,
    graph_checks: Sequence[Path] = (),
) -> Scan:
    """Look at templates with every scanner at once. Nothing is raised for what cannot be read: it is in the result.

    Args:
        templates: Files, as ``find_templates`` returns them.
        region: Where the stack would stand.
        scanners: Which of ``SCANNERS`` to ask.
        deadline: After which a scanner is killed.
        graph_checks: Folders of graph checks beside our own.
    """
    started = time.monotonic()
    read: list[Template] = []
    unread: dict[str, str] = {}
    for name, path in names(templates).items():
        try:
            read.append(read_template(path.absolute(), name))
        except NotATemplateError as error:
            unread[name] = error.message
    seen = tuple(_seen(template) for template in read)
    every = {template.name: str(template.path) for template in read}
    synthesized = {template.name: every[template.name] for template in seen if template.synthesized}
    folders = tuple(str(folder.absolute()) for folder in graph_checks)
    orders = {
        name: Order(templates=synthesized if name == CDK else every, region=region, graph_checks=folders)
        for name in scanners
    }
    asked = [name for name, order in orders.items() if order.templates]
    with ThreadPoolExecutor(max_workers=len(SCANNERS)) as pool:
        runs = pool.map(lambda name: ask(name, SCANNERS[name], orders[name], deadline.total_seconds()), asked)
        try:
            answers = tuple(runs)
        except BaseException:
            shell.kill_running()
            raise
    return Scan(templates=seen, unread=unread, runs=answers, seconds=time.monotonic() - started)


def _seen(template: Template) -> TemplateSeen:
    synthesized = (template.path.parent / "cdk.out").is_file()
    here = Path.cwd()
    near = not synthesized and template.path.is_relative_to(here)
    return TemplateSeen(
        name=template.name,
        digest=template.digest,
        resources={name: part.kind for name, part in template.resources.items()},
        synthesized=synthesized,
        construct_paths={name: path for name, part in template.resources.items() if (path := construct_path(part))},
        file=template.path.relative_to(here).as_posix() if near else "",
        lines=_lines(template.path),
    )


def _lines(path: Path) -> dict[str, int]:
    try:
        return lines_of(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):  # gone since it was read: the findings then name no line
        return {}
