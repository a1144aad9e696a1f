"""Gate: is the deployed clone as safe as its templates say? Asked of AWS's own APIs, in the same control families."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace

from readiness.gate import Context, Gate
from readiness.live import review
from readiness.live.review import Look
from readiness.model import ControlFamily, Gap, Judgement, MaxOpen, Measurement, Stage, record
from readiness.scan.findings import judge_security, open_limits
from readiness.scan.template import read_template


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


def observe(ctx: Context, settings: Settings) -> Look:
    """Read the clone's resources back and ask the checks of each."""
    ctx.narrate("Reading the deployed resources back")
    templates = [read_template(path) for path in ctx.templates]
    return review.look(ctx.clients, ctx.clone.stack_id, templates)


def judge(seen: Look, settings: Settings) -> Judgement:
    """Make a finding of what failed, and a gap of what could not be read and of each control that nobody looked at."""
    limits = open_limits(settings.max_open, settings.max_open_of)
    judged = judge_security(seen.scan, (review.SCANNER,), settings.required_families, limits)
    resources = sum(seen.unread.values())
    values = seen.compared + seen.not_compared
    gaps = judged.gaps
    if not seen.compared:
        gaps = (*gaps, Gap(what="drift", why="no value of the template could be compared with the account's"))
    return replace(
        judged,
        gaps=gaps,
        measurements=(
            *judged.measurements,
            Measurement(name="drift.compared", value=seen.compared, unit="values", samples=values),
            Measurement(name="drift.not-compared", value=seen.not_compared, unit="values", samples=values),
            Measurement(name="resources.no-reader", value=resources, unit="resources", samples=resources),
        ),
        notes=tuple(_notes(seen)),
    )


def _notes(look: Look) -> Iterator[str]:
    for secret, roles in look.secret_readers.items():
        yield f"secret {secret} may be read by {', '.join(roles) or 'no role of the stack'}"
    if look.unread:
        yield "not read back: " + ", ".join(f"{count} x {kind}" for kind, count in look.unread.items())


GATE = Gate(
    id="live-security",
    question="Is the deployed clone as safe as its templates say?",
    stage=Stage.STEADY,
    settings=Settings,
    observation=Look,
    observe=observe,
    judge=judge,
    order=10,
)
