"""Gate: do the templates hold a security fault? In four control families: IAM, secrets, encryption, network."""

from __future__ import annotations

from dataclasses import field
from datetime import timedelta

from readiness.gate import Context, Gate
from readiness.model import ControlFamily, Duration, Judgement, MaxOpen, Stage, record
from readiness.scan import SECURITY, scan
from readiness.scan.findings import judge_security, open_limits
from readiness.scan.observed import Scan


@record
class Settings:
    """The table ``[gates.settings.security]`` of the plan."""

    required_families: tuple[ControlFamily, ...] = (
        ControlFamily.IAM,
        ControlFamily.SECRETS,
        ControlFamily.ENCRYPTION,
        ControlFamily.NETWORK,
    )
    """Controls of which something must have been examined."""
    max_open: MaxOpen = field(default_factory=dict)
    """How many findings of a severity may be open, beside the rule that none of a blocking severity may."""
    max_open_of: dict[ControlFamily, MaxOpen] = field(default_factory=dict)
    """The same for the findings of one control family."""
    graph_checks: str = ""
    """Folder of the repository with graph checks of your own; "" = there are none."""
    deadline: Duration = timedelta(minutes=5)
    """After which a scanner is killed."""


@record
class Observation:
    """What each rule of each scanner said of each resource."""

    scan: Scan


def observe(ctx: Context, settings: Settings) -> Observation:
    """Scan every template of the cloud assembly."""
    own = (ctx.repository / settings.graph_checks,) if settings.graph_checks else ()
    ctx.narrate(f"{', '.join(SECURITY)} and our own checks look at {len(ctx.templates)} template(s)")
    return Observation(scan=scan(ctx.templates, ctx.plan.aws.region, SECURITY, settings.deadline, own))


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Make a finding of what failed or was skipped, and a gap of each control that nobody looked at."""
    return judge_security(
        seen.scan, SECURITY, settings.required_families, open_limits(settings.max_open, settings.max_open_of)
    )


GATE = Gate(
    id="security",
    question="Do the templates hold a security fault?",
    stage=Stage.BEFORE_DEPLOY,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    order=20,
)
