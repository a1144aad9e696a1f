"""`readiness scan`: synthesize and scan only."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape

from readiness import decide, report, triage
from readiness.commands.options import add_plan_option, add_waivers_option, write_files
from readiness.commands.output import say
from readiness.decide import ExitCode
from readiness.interruption import Signals
from readiness.model import Disposed, GateResult


def add(commands: Any) -> None:
    """Add `readiness scan`."""
    parser = commands.add_parser(
        "scan",
        help="synthesize and scan only",
        description="Scan the templates of this repository's stack, or those named, with every scanner. Deploys "
        "nothing and needs no account.",
    )
    add_plan_option(parser)
    add_waivers_option(parser)
    parser.add_argument(
        "templates", nargs="*", type=Path, metavar="TEMPLATE", help="template files, or folders of them; default: synth"
    )
    parser.add_argument("--diff", type=Path, metavar="BUNDLE", help="say what is new and what is fixed since this run")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write findings.json, .csv, .sarif and .junit.xml here"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON on stdout")
    parser.set_defaults(act=_scan)


def _scan(arguments: argparse.Namespace) -> int:
    from readiness.review import review

    with Signals().caught(lambda _: None):
        seen = review(Path.cwd(), arguments.plan, arguments.waivers, tuple(arguments.templates))
    changed = None if arguments.diff is None else triage.since(arguments.diff, seen.results)
    if arguments.output is not None:
        fixed = changed.fixed if changed else ()
        known = [each.mark for each in changed.unchanged] if changed else None
        write_files(arguments.output, report.findings_files(seen.results, seen.blocking, fixed, known))
    if arguments.json:
        print(TypeAdapter(tuple[GateResult, ...]).dump_json(seen.results, indent=1).decode())
    else:
        _print_findings(seen.results, seen.templates)
        if changed is not None:
            _print_diff(changed)
    return {"passed": ExitCode.GO, "failed": ExitCode.NO_GO}.get(seen.outcome, ExitCode.NO_RELIABLE_VERDICT)


def _print_diff(diff: triage.Diff) -> None:
    for said, findings in (
        ("new", diff.new),
        ("fixed", tuple(each.finding for each in diff.fixed)),
        ("not found again, but its gate has gaps", diff.unseen),
    ):
        for finding in findings:
            say(f"{said}: {finding.severity} {finding.rule} {finding.subject}")
    print(f"{len(diff.new)} new, {len(diff.fixed)} fixed, {len(diff.unchanged)} unchanged, {len(diff.unseen)} unknown")


def _print_findings(results: Sequence[GateResult], scanned: Sequence[Path]) -> None:
    """Print the findings, worst first, each rule once with all its subjects: a table would not fit a terminal."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    by_rule: dict[tuple[int, str, str], list[Disposed]] = {}
    for each in (each for result in results for each in result.findings):
        finding = each.finding
        by_rule.setdefault((finding.severity.rank, finding.rule, finding.message), []).append(each)
    for (_, rule, message), disposed in sorted(by_rule.items()):
        finding = disposed[0].finding
        console.print(f"[bold]{finding.severity:8}[/bold] {escape(rule)}: {escape(message)}")
        for each in disposed:
            waiver = each.waiver
            why = f" until {waiver.expires}, by {waiver.approver}: {waiver.reason}" if waiver else ""
            why += f" Proof: {waiver.evidence}" if waiver and waiver.evidence else ""
            console.print(escape(f"         {each.disposition:6} {each.finding.subject}{why}"))
    for result in results:
        for said in decide.exceeded(result.judgement.limits, result.findings):
            console.print(f"limit: {said}")
        for gap in result.judgement.gaps:
            console.print(escape(f"gap: {gap.what}: {gap.why}"))
        console.print(escape(f"{result.gate}: {result.outcome} ({result.judgement.examined} examined)"))
    console.print(f"{len(scanned)} template{'s' if len(scanned) != 1 else ''} scanned")
