"""``readiness scan``: the gates that need nothing deployed, on the stack's templates or on any others."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from readiness import decide, gates, staging
from readiness.errors import ReadinessError
from readiness.evidence import BundleWriter
from readiness.gate import Context
from readiness.ledger import FILE, Ledger
from readiness.model import GateResult, Outcome
from readiness.plan import load_plan
from readiness.run import blind, result_of, settings_of
from readiness.waivers import load_waivers

SCANNING = ("cfn-lint", "security")


def review(
    repository: Path, plan_file: Path, waivers_file: Path, templates: tuple[Path, ...]
) -> tuple[Outcome, tuple[GateResult, ...], tuple[Path, ...]]:
    """Scan templates and dispose of the findings.

    Args:
        repository: Root folder of the repository.
        plan_file: The plan: region, blocking severities, settings of the gates.
        waivers_file: The waiver register.
        templates: What to scan; none = synthesize this repository's stack.

    Returns:
        The worst outcome, the result of each scanning gate, and the templates that were scanned.
    """
    plan = load_plan(plan_file)
    register = load_waivers(waivers_file, max_age=plan.max_waiver_age)
    with tempfile.TemporaryDirectory(prefix="scan-", dir=_scratch(repository)) as scratch:
        folder = Path(scratch)
        if not templates:
            templates = staging.synthesize(repository, folder / "cdk.out", plan_file=plan_file, variables={}).templates
        context = Context(
            plan=plan,
            repository=repository,
            templates=templates,
            clients=_no_clients,
            ledger=Ledger(folder / FILE),
            bundle=BundleWriter(folder / "bundle"),
        )
        results = []
        for gate in gates.all_gates():
            if gate.id in SCANNING:
                begun = datetime.now(UTC)
                settings = settings_of(gate, plan, str(plan_file))
                try:
                    judgement = gate.judge(gate.observe(context, settings), settings)
                except ReadinessError as error:
                    judgement = blind(gate, str(error))
                results.append(result_of(plan, register, gate, judgement, None, begun, datetime.now(UTC), begun))
    return decide.worst(result.outcome for result in results), tuple(results), templates


def _scratch(repository: Path) -> Path:
    folder = repository / ".readiness"
    folder.mkdir(exist_ok=True)
    return folder


def _no_clients(service: str) -> object:
    raise ReadinessError(f"A scan asked for {service}, but nothing is deployed.")
