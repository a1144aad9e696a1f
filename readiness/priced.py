"""What the clone of a plan would cost, in lines: synthesized and estimated, with nothing deployed and nobody asked."""

from __future__ import annotations

import tempfile
from pathlib import Path

from readiness import cost, staging
from readiness.folders import make_folder
from readiness.gates import cost as gate
from readiness.plan import load_plan, parse


def priced_plan(repository: Path, plan_file: Path) -> tuple[str, ...]:
    """Return each thing that costs, the dearest first, and the sum.

    Raises:
        PlanError: the plan is invalid.
        ReadinessError: the stack could not be synthesized.
        EvidenceError: there is no folder to do so in.
    """
    plan = load_plan(plan_file)
    settings = parse(gate.Settings, plan.gates.settings.get("cost", {}), str(plan_file), "gates.settings.cost")
    scratch = repository / ".readiness"
    make_folder(scratch)
    with tempfile.TemporaryDirectory(prefix="cost-", dir=scratch) as folder:
        assembly = staging.synthesize(repository, Path(folder), plan_file=plan_file, variables={})
        found = gate.price(plan, repository, assembly.templates, settings)
    return (*cost.table(found), cost.summary(found))
