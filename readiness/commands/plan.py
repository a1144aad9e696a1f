"""`readiness plan`: check the plan and show what it comes to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readiness import evidence
from readiness.commands.options import add_plan_option, add_target_option
from readiness.decide import ExitCode, not_registered
from readiness.model import Environment, Objective, Plan, spell_duration
from readiness.plan import digest, load_plan
from readiness.registration import register

if TYPE_CHECKING:  # the estimate imports the gates, and they the scanners: seconds that `--help` need not wait
    from readiness.estimate import Estimate, Part, Samples


def add(commands: Any) -> None:
    """Add `readiness plan`."""
    parser = commands.add_parser(
        "plan",
        help="check the plan and show what it comes to; touches nothing",
        description="Check the plan as `readiness run` does before it starts, and show what it decides and what a run "
        "will take. Exit code 2: an objective can never have its samples, or the time is too short.",
    )
    add_plan_option(parser)
    add_target_option(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the resolved plan as JSON instead")
    form.add_argument("--schema", action="store_true", help="print the JSON schema of plans instead")
    form.add_argument("--cost", action="store_true", help="synthesize, and say what a clone costs instead")
    form.add_argument("--reference", action="store_true", help="print the reference page of plans (Markdown) instead")
    parser.set_defaults(act=_plan)


def _plan(arguments: argparse.Namespace) -> int:
    if arguments.schema or arguments.reference:
        from readiness import plan_page, plan_schema

        print(plan_schema.as_json() if arguments.schema else plan_page.page(plan_schema.schema()), end="")
        return ExitCode.GO
    if arguments.cost:
        from readiness.priced import priced_plan

        print("\n".join(priced_plan(Path.cwd(), arguments.plan)))
        return ExitCode.GO
    plan = load_plan(arguments.plan)
    if arguments.json:
        print(evidence.to_json(Plan, plan).decode(), end="")
        print(f"{arguments.plan}: valid, {digest(arguments.plan)}", file=sys.stderr)
        return ExitCode.GO
    from readiness.estimate import estimate, findings
    from readiness.run import Request, check_gates, checked_workload_files

    request = Request(
        repository=Path.cwd(), plan_file=arguments.plan, waivers_file=Path("waivers.toml"), target=arguments.target
    )
    check_gates(plan, request)
    checked_workload_files(plan, request)
    environment = Environment.AWS if arguments.target == "aws" else Environment.EMULATED
    made = estimate(plan, environment)
    for line in _told(plan, made, arguments.plan, environment):
        print(line)
    for each in _uncommitted(arguments.plan):
        print(f"\nnot fixed yet: {each}; a run would be inconclusive")
    found = list(findings(plan, made))
    for each in found:
        print(f"\nfinding: {each}")
    return ExitCode.NO_GO if found else ExitCode.GO


def _uncommitted(file: Path) -> tuple[str, ...]:
    """Return why the plan is not in the commit that the repository is at, if it is not."""
    return not_registered(register(Path.cwd(), {file: (evidence.PLAN, file.read_bytes())}, allow_dirty=False))


def _told(plan: Plan, made: Estimate, file: Path, environment: Environment) -> Iterator[str]:
    service = plan.service
    yield f"{file}: valid, {digest(file)}"
    yield ""
    yield f"Service     {service.name}, image {service.image}, port {service.port}, health {service.health_path}"
    stores = [name for name, there in (("a database", plan.database), ("a cache", plan.cache)) if there is not None]
    least, most = made.service_tasks
    yield f"            {least} tasks ({most} while a release is under way), {' and '.join(stores) or 'no stores'}"
    yield f"Fleet       {made.fleet_tasks} tasks: a master and {plan.fleet.workers} workers"
    yield f"Required    {', '.join(plan.gates.required)}"
    yield f"Must sign   {', '.join(f'{role} ({owner.name})' for role, owner in plan.owners.items())}"
    yield ""
    yield from _table(
        ("objective", "promise", "samples expected", "wanted", ""),
        [_objective(each, made.samples) for each in plan.objectives],
    )
    yield ""
    yield from _table(
        ("part of the run", "if all goes well", "at most", "requests"), [_part(each) for each in made.parts]
    )
    yield ""
    yield from _in_all(plan, made, environment)


def _in_all(plan: Plan, made: Estimate, environment: Environment) -> Iterator[str]:
    where = "the embedded AWS" if environment is Environment.EMULATED else "AWS"
    yield f"On {where} load and drills take {_about(made.smooth)} if all goes well, at most {_about(made.most)}."
    yield "Scans, deployment and teardown come on top: the plan does not bound them."
    wall_clock = plan.budget.wall_clock
    cut = ", which cuts it short" if made.most > wall_clock else ""
    yield f"A run is ended after budget.wall_clock, {spell_duration(wall_clock)}{cut}."


def _objective(each: Objective, samples: tuple[Samples, ...]) -> tuple[str, ...]:
    found = next((sample for sample in samples if sample.objective == each.id), None)
    alarm = " (alarm)" if getattr(each, "alarm", None) is not None else ""
    if found is None:
        return each.id, _promise(each) + alarm, "", "", "alarm only"
    some = getattr(each, "part", "whole") != "whole" or each.kind == "cache-hits"  # answers that carry certain headers
    expected = "the users' pace decides" if found.expected is None else f"{'up to ' * some}{found.expected:,}"
    why = "" if found.why == "min_samples" else f", {found.why}"
    return each.id, _promise(each) + alarm, expected, f"{found.wanted:,}", found.standing + why


def _promise(each: Objective) -> str:
    of = next((f" of {name}" for name in (getattr(each, "scenario", None), getattr(each, "tag", None)) if name), "")
    part = getattr(each, "part", "whole")
    part = "" if part == "whole" else f", {part}"
    if each.kind == "latency":
        return f"p{each.percentile:g}{of}{part} at most {spell_duration(each.threshold)}"
    if each.kind == "latency-change":
        return f"p{each.percentile:g}{of}{part} at most {each.max_increase_ratio:+.0%} of the baseline"
    if each.kind == "errors":
        return f"errors{of} at most {each.max_ratio * 100:.4g} %"
    if each.kind == "throughput":
        return f"at least {each.min_per_s:g}/s{of}"
    if each.kind == "cache-hits":
        return f"cache hits{of} at least {each.min_ratio * 100:.4g} %"
    return f"at most {each.max_hosts} unhealthy hosts"


def _part(each: Part) -> tuple[str, ...]:
    if each.requests_smooth is None:
        requests = "the users' pace decides"
    elif each.requests_smooth == each.requests_most:
        requests = f"{each.requests_smooth:,}"
    else:
        requests = f"{each.requests_smooth:,} to {each.requests_most:,}"
    return each.name, _about(each.smooth), _about(each.most), requests


def _about(duration: timedelta) -> str:
    """Return a duration as a person says it: `40 s`, `3 min 20 s`, `1 h 5 min`."""
    seconds = round(duration.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    large, small, units = (
        (seconds // 3600, seconds % 3600 // 60, ("h", "min"))
        if seconds >= 3600
        else (seconds // 60, seconds % 60, ("min", "s"))
    )
    return f"{large} {units[0]}" + (f" {small} {units[1]}" if small else "")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
