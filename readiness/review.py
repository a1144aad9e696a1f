"""``readiness scan``: the gates that need nothing deployed, on the stack's templates or on any others."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from readiness import decide, gates, shell, staging
from readiness.errors import ReadinessError
from readiness.evidence import BundleWriter
from readiness.gate import Context, Gate
from readiness.ledger import FILE, Ledger
from readiness.model import GateResult, Gates, Outcome, Plan, ScanTerms, Severity, Waiver
from readiness.plan import DEFAULT_FILE, load_plan
from readiness.run import blind, result_of, settings_of
from readiness.scan.template import find_templates
from readiness.waivers import load_waivers

SCANNING = ("cfn-lint", "security")


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a scan came to.

    Attributes:
        outcome: The worst of the gates.
        results: One for each scanning gate.
        templates: What was scanned.
        blocking: Severities of which an open finding fails a gate.
    """

    outcome: Outcome
    results: tuple[GateResult, ...]
    templates: tuple[Path, ...]
    blocking: tuple[Severity, ...]


def review(repository: Path, plan_file: Path, waivers_file: Path, templates: tuple[Path, ...]) -> Review:
    """Scan templates and dispose of the findings.

    Args:
        repository: Root folder of the repository.
        plan_file: The plan: region, blocking severities, settings of the gates. If templates are named and there is
            no file of the default name, the defaults serve.
        waivers_file: The waiver register.
        templates: Files, and folders with templates in them; none = synthesize this repository's stack.

    Raises:
        ReadinessError: a named file or folder does not exist.
    """
    plan = _terms(plan_file, alone=bool(templates))
    register = load_waivers(waivers_file, max_age=plan.max_waiver_age)
    with tempfile.TemporaryDirectory(prefix="scan-", dir=None if templates else _scratch(repository)) as scratch:
        folder = Path(scratch)
        if templates:
            templates = find_templates(templates)
        else:
            templates = staging.synthesize(repository, folder / "cdk.out", plan_file=plan_file, variables={}).templates
        context = Context(
            plan=cast("Plan", plan),  # the scanning gates ask it for its region alone
            repository=repository,
            templates=templates,
            clients=_no_clients,
            ledger=Ledger(folder / FILE),
            bundle=BundleWriter(folder / "bundle"),
        )
        asked = [(gate, settings_of(gate, plan, str(plan_file))) for gate in gates.all_gates() if gate.id in SCANNING]
        with ThreadPoolExecutor(max_workers=len(asked)) as side_by_side:
            told = side_by_side.map(lambda each: _ask(context, register, *each), asked)
            try:
                results = tuple(told)
            except BaseException:
                shell.kill_running()
                raise
    return Review(
        outcome=decide.worst(result.outcome for result in results),
        results=results,
        templates=templates,
        blocking=plan.blocking_severities,
    )


def _ask(context: Context, register: tuple[Waiver, ...], gate: Gate[Any, Any], settings: Any) -> GateResult:
    begun = datetime.now(UTC)
    try:
        judgement = gate.judge(gate.observe(context, settings), settings)
    except ReadinessError as error:
        judgement = blind(gate, str(error))
    return result_of(context.plan, register, gate, judgement, None, begun, datetime.now(UTC), begun)


def _terms(plan_file: Path, *, alone: bool) -> Plan | ScanTerms:
    """Return the plan; templates that are named need none, unless somebody names one."""
    if alone and plan_file == Path(DEFAULT_FILE) and not plan_file.exists():
        return ScanTerms(gates=Gates(required=SCANNING))
    return load_plan(plan_file)


def _scratch(repository: Path) -> Path:
    folder = repository / ".readiness"
    folder.mkdir(exist_ok=True)
    return folder


def _no_clients(service: str) -> object:
    raise ReadinessError(f"A scan asked for {service}, but nothing is deployed.")
