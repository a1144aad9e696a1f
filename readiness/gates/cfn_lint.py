"""Gate: would CloudFormation accept the templates, in this region?"""

from __future__ import annotations

from datetime import timedelta

from readiness.gate import Context, Gate
from readiness.model import Duration, Judgement, Stage, record
from readiness.scan import CFN_LINT, scan
from readiness.scan.findings import judge_correctness
from readiness.scan.observed import Scan


@record
class Settings:
    """The table ``[gates.settings.cfn-lint]`` of the plan."""

    deadline: Duration = timedelta(minutes=5)
    """After which the linter is killed."""


@record
class Observation:
    """What cfn-lint said of each template."""

    scan: Scan


def observe(ctx: Context, settings: Settings) -> Observation:
    """Lint every template of the cloud assembly for the plan's region."""
    ctx.narrate(f"cfn-lint looks at {len(ctx.templates)} template(s)")
    return Observation(scan=scan(ctx.templates, ctx.plan.aws.region, (CFN_LINT,), settings.deadline))


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Make a finding of each match: an error is HIGH, a warning LOW."""
    return judge_correctness(seen.scan, CFN_LINT)


GATE = Gate(
    id="cfn-lint",
    question="Would CloudFormation accept the templates?",
    stage=Stage.BEFORE_DEPLOY,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    order=10,
)
