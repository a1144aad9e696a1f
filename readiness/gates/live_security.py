"""Gate: is the deployed clone as safe as its templates say? Asked of AWS's own APIs, in the same control families."""

from __future__ import annotations

from dataclasses import field

from readiness.gate import Context, Gate
from readiness.live import review
from readiness.model import ControlFamily, Judgement, MaxOpen, Stage, record
from readiness.scan.findings import judge_security, open_limits
from readiness.scan.observed import Scan
from readiness.scan.template import construct_path, read_template


@record
class Settings:
    """The table ``[gates.settings.live-security]`` of the plan."""

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


@record
class Observation:
    """What each check said of each resource, as it was in the account. The resources themselves are not kept."""

    scan: Scan


def observe(ctx: Context, settings: Settings) -> Observation:
    """Read the clone's resources back and ask the checks of each."""
    parts = [part for path in ctx.templates for part in read_template(path).resources.values()]
    paths = {part.name: path for part in parts if (path := construct_path(part))}
    ctx.narrate("Reading the deployed resources back")
    return Observation(scan=review.look(ctx.clients, ctx.clone.stack_id, paths))


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Make a finding of what failed, and a gap of what could not be read and of each control that nobody looked at."""
    return judge_security(
        seen.scan, (review.SCANNER,), settings.required_families, open_limits(settings.max_open, settings.max_open_of)
    )


GATE = Gate(
    id="live-security",
    question="Is the deployed clone as safe as its templates say?",
    stage=Stage.STEADY,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    order=10,
)
