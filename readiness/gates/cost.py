"""Gate: does a run stay within its budget? Estimated from the templates and a dated price table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from readiness import cost
from readiness.cost import Estimate
from readiness.gate import Context, Gate
from readiness.model import Duration, Finding, Gap, Judgement, Measurement, Plan, Severity, Stage, record
from readiness.prices import load_prices
from readiness.scan.template import read_template


@record
class Settings:
    """The table ``[gates.settings.cost]`` of the plan."""

    prices: str = ""
    """CSV of the repository whose rows outrank the package's price table; "" = there is none."""
    max_price_age: Duration = timedelta(days=365)
    """Older prices are told as a finding that does not block."""


@record
class Observation:
    """What the templates cost, what may be spent, and on which day that was asked."""

    estimate: Estimate
    budget_usd: float | None
    on: date


def observe(ctx: Context, settings: Settings) -> Observation:
    """Estimate what the templates cost."""
    found = price(ctx.plan, ctx.repository, ctx.templates, settings)
    ctx.narrate(cost.summary(found))
    return Observation(estimate=found, budget_usd=ctx.plan.budget.usd, on=datetime.now(UTC).date())


def price(plan: Plan, repository: Path, templates: Iterable[Path], settings: Settings) -> Estimate:
    """Return what these templates cost.

    Raises:
        ReadinessError: a template or the user's price table cannot be read.
    """
    own = repository / settings.prices if settings.prices else None
    return cost.estimate([read_template(path).body for path in templates], plan, load_prices(own))


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Hold the estimate against the budget. Without a budget nothing is examined."""
    found = seen.estimate
    if seen.budget_usd is None:
        return Judgement(examined=0, notes=(f"The plan has no budget.usd. {cost.summary(found)}.",))
    gaps = tuple(Gap(what=each.subject, why=each.why) for each in found.unpriced)
    if not found.lines and not found.free:
        gaps = (*gaps, Gap(what="cost", why="the templates hold no resource"))
    return Judgement(
        examined=len(found.lines) + sum(found.free.values()),
        findings=(*_over(found, seen.budget_usd), *_old(found, seen.on, settings.max_price_age)),
        gaps=gaps,
        measurements=_measurements(found, seen.budget_usd),
        notes=tuple(_notes(found)),
    )


def _over(found: Estimate, budget_usd: float) -> tuple[Finding, ...]:
    if found.usd_per_run <= budget_usd:
        return ()
    dearest = max(found.lines, key=lambda line: line.usd_per_hour_most)
    return (
        Finding(
            rule="cost/over-budget",
            subject="budget.usd",
            severity=Severity.HIGH,
            message=f"a run may cost {found.usd_per_run:.2f} USD, the budget is {budget_usd:.2f} USD; the dearest: "
            f"{dearest.subject}, {dearest.usd_per_hour_most:.2f} USD an hour",
            help="Make the clone smaller, shorten budget.wall_clock, or raise budget.usd.",
        ),
    )


def _old(found: Estimate, on: date, max_age: timedelta) -> tuple[Finding, ...]:
    if found.oldest is None or on - found.oldest <= max_age:
        return ()
    return (
        Finding(
            rule="cost/old-prices",
            subject=found.region,
            severity=Severity.LOW,
            message=f"the oldest price is of {found.oldest}",
            help="Upgrade readiness, or name a table of your own: gates.settings.cost.prices.",
        ),
    )


def _measurements(found: Estimate, budget_usd: float) -> tuple[Measurement, ...]:
    if not found.lines:
        return ()
    samples = len(found.lines)
    return (
        Measurement(
            name="cost of a run, at most",
            value=found.usd_per_run,
            unit="USD",
            samples=samples,
            threshold=budget_usd,
            comparison="<=",
        ),
        Measurement(name="cost of an hour, idle", value=found.usd_per_hour_least, unit="USD", samples=samples),
        Measurement(name="cost of an hour, at most", value=found.usd_per_hour_most, unit="USD", samples=samples),
    )


def _notes(found: Estimate) -> list[str]:
    """Return what a reader must know of the estimate."""
    unsure = sum(line.price.confirmed == "no" for line in found.lines)
    said = [
        f"An estimate from list prices, the oldest of {found.oldest}, for {found.hours:g} hours in {found.region}; "
        "data transfer between zones and to the internet, taxes, discounts and free tiers are left out."
    ]
    if unsure:
        said.append(f"{unsure} of {len(found.lines)} prices are not confirmed; they are set too high, not too low.")
    return said


GATE = Gate(
    id="cost",
    question="Does a run stay within its budget?",
    stage=Stage.BEFORE_DEPLOY,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    terms=lambda plan: {"budget_usd": plan.budget.usd},
    order=5,
)
