"""The command line: arguments in, exit code out. The only printing to stdout."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape

import readiness
from readiness import decide, evidence, gates, report, triage
from readiness.decide import ExitCode
from readiness.errors import PlanError, ReadinessError, TeardownError, UsageError
from readiness.interruption import Interrupted, Signals
from readiness.model import Disposed, GateResult, Plan, Record, Waiver, spell_duration
from readiness.narrator import Narrator
from readiness.plan import DEFAULT_FILE, digest, load_plan, parse

_EPILOG = """\
exit codes:
  0    GO, or a rehearsal in which every required gate passed
  1    no reliable verdict: a gate was inconclusive, a signature is missing, or the harness failed
  2    NO-GO: a required gate failed
  3    the plan or the waivers are invalid; nothing was started
  4    something of the run may still exist (outranks 0, 1 and 2)
  5    the command line is wrong
  130  interrupted, and torn down

a first run, with no AWS account:
  readiness run                 rehearse everything on an AWS that is emulated on this machine
  readiness verify BUNDLE       recompute the verdict from its evidence
  readiness report BUNDLE       make the reports again from its evidence
"""


class _Parser(argparse.ArgumentParser):
    """argparse, with the exit code of this tool for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(ExitCode.USAGE)


def command(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code; an error is a sentence on stderr, never a traceback."""
    parsed = build_parser().parse_args(arguments)
    if not hasattr(parsed, "act"):
        build_parser().print_help()
        return ExitCode.USAGE
    try:
        return int(parsed.act(parsed))
    except PlanError as error:
        return _fail(error, ExitCode.INVALID_PLAN)
    except UsageError as error:
        return _fail(error, ExitCode.USAGE)
    except TeardownError as error:
        return _fail(error, ExitCode.LEFTOVERS)
    except ReadinessError as error:
        return _fail(error, ExitCode.NO_RELIABLE_VERDICT)
    except (KeyboardInterrupt, Interrupted):
        print("readiness: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.NO_RELIABLE_VERDICT


def _fail(error: ReadinessError, code: ExitCode) -> int:
    print(f"readiness: {error}", file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="readiness",
        description="Decides, on evidence, whether a system on AWS may go live.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"readiness {readiness.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    _add_run(commands)
    _add_scan(commands)
    _add_waive(commands)
    _add_readers(commands)
    _add_standing(commands)
    _add_teardown(commands)
    _add_aws(commands)
    return parser


def _add_plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", type=Path, default=Path(DEFAULT_FILE), metavar="FILE", help="default: %(default)s")


def _add_run(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        help="deploy the clone, ask every gate, tear down, decide",
        description="Scan the templates, deploy the clone, load it, drill it, tear it down, prove that nothing is "
        "left, and write the go/no-go record with its evidence.",
    )
    _add_plan_options(parser)
    parser.add_argument(
        "--waivers", type=Path, default=Path("waivers.toml"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "--target",
        choices=("embedded", "aws"),
        default="embedded",
        help="embedded (default): an AWS emulated on this machine; aws: the account of your credentials",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="GATE", help="ask this gate only (repeatable); never a GO"
    )
    parser.add_argument("--evidence", type=Path, metavar="DIR", help="where the evidence bundle goes")
    parser.add_argument(
        "--baseline", type=Path, metavar="BUNDLE", help="compare with this run; default: the newest that passed here"
    )
    parser.add_argument("--json", action="store_true", help="print the record as JSON on stdout")
    parser.set_defaults(act=_run)


def _add_scan(commands: Any) -> None:
    parser = commands.add_parser(
        "scan",
        help="synthesize and scan only",
        description="Scan the templates of this repository's stack, or those named, with every scanner. Deploys "
        "nothing and needs no account.",
    )
    _add_plan_options(parser)
    parser.add_argument(
        "--waivers", type=Path, default=Path("waivers.toml"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "templates", nargs="*", type=Path, metavar="TEMPLATE", help="template files, or folders of them; default: synth"
    )
    parser.add_argument("--diff", type=Path, metavar="BUNDLE", help="say what is new and what is fixed since this run")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write findings.json, .csv, .sarif and .junit.xml here"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON on stdout")
    parser.set_defaults(act=_scan)


def _add_waive(commands: Any) -> None:
    parser = commands.add_parser(
        "waive",
        help="accept a finding until a day, with somebody's name to it",
        description="Write an entry of the waiver register, after it was found to be a valid one. Nothing is waived "
        "without an owner, another person's approval, a reason and an end.",
    )
    _add_plan_options(parser)
    parser.add_argument(
        "--waivers", type=Path, default=Path("waivers.toml"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("rule", metavar="RULE", help="as the finding spells it, e.g. checkov/CKV_AWS_2")
    parser.add_argument("subject", metavar="SUBJECT", help="as the finding spells it, or a pattern with * and ?")
    parser.add_argument("--owner", required=True, help="who answers for the fault")
    parser.add_argument("--approver", required=True, help="who accepts it; another person")
    parser.add_argument("--reason", required=True, help="why it may stay; at least ten characters")
    parser.add_argument("--ticket", default="", help="where it is followed up")
    parser.add_argument("--expires", required=True, type=_day, metavar="YYYY-MM-DD", help="the last day it holds")
    parser.add_argument(
        "--false-positive", metavar="EVIDENCE", help="there is no fault: say what proves it; instead of accepting one"
    )
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument("--bundle", type=Path, metavar="BUNDLE", help="the run that found it; default: scan now")
    seen.add_argument(
        "--template", action="append", type=Path, default=[], metavar="PATH", help="scan this instead (repeatable)"
    )
    seen.add_argument("--unseen", action="store_true", help="write it even though nobody looked for the finding")
    parser.set_defaults(act=_waive)


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _add_readers(commands: Any) -> None:
    verify = commands.add_parser(
        "verify",
        help="recompute a verdict from its evidence, offline",
        description="Re-hash every file of a bundle, judge every observation again, decide again, and compare.",
    )
    verify.add_argument("bundle", type=Path, metavar="BUNDLE")
    verify.set_defaults(act=_verify)
    _add_report(commands)
    compare = commands.add_parser(
        "compare",
        help="say what moved between two runs",
        description="Hold the figures, outcomes and findings of two bundles against each other. A figure is called "
        "worse or better only where both runs' 95 % confidence intervals lie apart.",
    )
    compare.add_argument("old", type=Path, metavar="OLD", help="the bundle of the earlier run")
    compare.add_argument("new", type=Path, metavar="NEW", help="the bundle of the later run")
    compare.add_argument("--json", action="store_true", help="print the comparison as JSON on stdout")
    compare.set_defaults(act=_compare)
    listing = commands.add_parser("gates", help="list every gate, its question and its settings")
    listing.set_defaults(act=_gates)
    plan = commands.add_parser("plan", help="check the plan and print it resolved; touches nothing")
    _add_plan_options(plan)
    plan.add_argument("--schema", action="store_true", help="print the JSON schema of the plan instead")
    plan.set_defaults(act=_plan)


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="make the reports again from the evidence of any bundle",
        description="Make the reports of a bundle again from its evidence, whatever the run came to. A bundle that its "
        "run never sealed is reported as such; one that was altered is refused.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a run's evidence")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: a folder `report` beside the bundle")
    parser.add_argument(
        "--format",
        default="html,md",
        metavar="FORM[,FORM]",
        help="html, md, json, csv, sarif, junit; default: %(default)s",
    )
    parser.add_argument(
        "--altered", action="store_true", help="report a bundle that was altered all the same, and say so in the report"
    )
    parser.set_defaults(act=_report)


def _add_teardown(commands: Any) -> None:
    parser = commands.add_parser(
        "teardown",
        help="finish the teardown of a run that was killed",
        description="Remove what a run made and prove that it is gone, from its ledger.",
    )
    parser.add_argument("run_id", metavar="RUN_ID", help="the run, as its folder under .readiness/runs is called")
    parser.set_defaults(act=_teardown)


def _add_standing(commands: Any) -> None:
    parser = commands.add_parser(
        "up",
        help="deploy a clone and leave it up, for rehearsals by hand",
        description="Deploy a clone. On AWS this returns and the clone expires by itself; an embedded AWS lives as "
        "long as this command: until `readiness down`, Ctrl-C or the expiry.",
    )
    _add_plan_options(parser)
    parser.add_argument("--target", choices=("embedded", "aws"), default="embedded", help="default: %(default)s")
    parser.set_defaults(act=_up)
    drill = commands.add_parser(
        "drill",
        help="do one drill on a clone that is up",
        description="Drill the alarms, the rollback or the loss of a task on a clone that `readiness up` made.",
    )
    drill.add_argument(
        "name",
        choices=("alarms", "rollback", "task-loss"),
        metavar="alarms|rollback|task-loss",
        help="what is drilled: the gate of that name",
    )
    drill.add_argument("run_id", nargs="?", metavar="RUN_ID", help="default: the only clone that is up")
    drill.set_defaults(act=_drill)
    down = commands.add_parser(
        "down", help="take a clone down", description="Destroy a clone that `readiness up` made, and prove it."
    )
    down.add_argument("run_id", nargs="?", metavar="RUN_ID", help="default: the only clone that is up")
    down.set_defaults(act=_down)


def _add_aws(commands: Any) -> None:
    parser = commands.add_parser(
        "aws",
        help="start the embedded AWS in the foreground",
        description="Start an AWS on loopback and print the exports with which cdk and the AWS CLI reach it. "
        "Ctrl-C stops it and all it runs.",
    )
    _add_plan_options(parser)
    parser.set_defaults(act=_aws)


def _run(arguments: argparse.Namespace) -> int:
    from readiness.run import Request, run  # the gates import the scanners: seconds that `--help` need not wait

    request = Request(
        repository=Path.cwd(),
        plan_file=arguments.plan,
        waivers_file=arguments.waivers,
        target=arguments.target,
        only=tuple(arguments.only),
        evidence=arguments.evidence,
        baseline=arguments.baseline,
    )
    record, bundle = run(request, Narrator())
    if arguments.json:
        print(evidence.to_json(Record, record).decode(), end="")
    else:
        _print_verdict(record, bundle)
    code = decide.exit_code(record)
    if record.interrupted and code is not ExitCode.LEFTOVERS:
        return ExitCode.INTERRUPTED
    return code


def _print_verdict(record: Record, bundle: Path) -> None:
    print(report.headline(record))
    for reason in record.reasons:
        print(f"  - {reason}")
    for name in record.leftovers:
        print(f"  - may still exist: {name}; `readiness teardown {record.run_id}` goes on")
    page = bundle / evidence.PAGE
    print(f"report:   {page if page.exists() else bundle / evidence.REPORT}")
    print(f"evidence: {bundle}")


def _verify(arguments: argparse.Namespace) -> int:
    from readiness.verify import verify

    done = verify(arguments.bundle)
    print(f"{report.headline(done.record)}: confirmed.")
    print(f"  {done.files} files re-hashed, {done.judged} observations judged again, verdict decided again")
    if done.taken:
        print(f"  {done.taken} gates had seen nothing: taken as gaps")
    return ExitCode.GO


def _report(arguments: argparse.Namespace) -> int:
    from readiness.rendering import render

    rendered = render(arguments.bundle, tuple(arguments.format.split(",")), altered=arguments.altered)
    folder = arguments.output or arguments.bundle.resolve().parent / "report"
    if folder.resolve().is_relative_to(arguments.bundle.resolve()):
        raise UsageError(f"{folder} lies in the bundle, which a report would alter.", hint="Name another --output.")
    _write(folder, rendered.files)
    for notice in rendered.notices:
        print(f"readiness: {notice}", file=sys.stderr)
    for name in rendered.files:
        print(folder / name)
    return ExitCode.GO


def _compare(arguments: argparse.Namespace) -> int:
    from readiness.compare import Comparison, compare_bundles, told

    comparison = compare_bundles(arguments.old, arguments.new)
    if arguments.json:
        print(TypeAdapter(Comparison).dump_json(comparison, indent=1, exclude={"old", "new"}).decode())
    else:
        print("\n".join(told(comparison)))
    return ExitCode.GO


def _gates(arguments: argparse.Namespace) -> int:
    for gate in gates.all_gates():
        print(f"{gate.id}  [{gate.stage}]\n    {gate.question}")
        for field in fields(gate.settings):
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            print(f"    gates.settings.{gate.id}.{field.name} = {_setting(default)}")
    return ExitCode.GO


def _setting(value: object) -> str:
    if isinstance(value, timedelta):
        return f'"{spell_duration(value)}"'
    return json.dumps(value, default=str)


def _plan(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        print(json.dumps(TypeAdapter(Plan).json_schema(), indent=1))
        return ExitCode.GO
    plan = load_plan(arguments.plan)
    print(evidence.to_json(Plan, plan).decode(), end="")
    print(f"{arguments.plan}: valid, {digest(arguments.plan)}", file=sys.stderr)
    return ExitCode.GO


def _scan(arguments: argparse.Namespace) -> int:
    from readiness.review import review

    with Signals().caught(lambda _: None):
        seen = review(Path.cwd(), arguments.plan, arguments.waivers, tuple(arguments.templates))
    changed = None if arguments.diff is None else triage.since(arguments.diff, seen.results)
    if arguments.output is not None:
        fixed = changed.fixed if changed else ()
        known = [each.mark for each in changed.unchanged] if changed else None
        _write(arguments.output, report.findings_files(seen.results, seen.blocking, fixed, known))
    if arguments.json:
        print(TypeAdapter(tuple[GateResult, ...]).dump_json(seen.results, indent=1).decode())
    else:
        _print_findings(seen.results, seen.templates)
        if changed is not None:
            _print_diff(changed)
    return {"passed": ExitCode.GO, "failed": ExitCode.NO_GO}.get(seen.outcome, ExitCode.NO_RELIABLE_VERDICT)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise ReadinessError(f"{folder}: nothing can be written there: {error.strerror}.") from error


def _print_diff(diff: triage.Diff) -> None:
    for said, findings in (
        ("new", diff.new),
        ("fixed", tuple(each.finding for each in diff.fixed)),
        ("not found again, but its gate has gaps", diff.unseen),
    ):
        for finding in findings:
            print(f"{said}: {finding.severity} {finding.rule} {finding.subject}")
    print(f"{len(diff.new)} new, {len(diff.fixed)} fixed, {len(diff.unchanged)} unchanged, {len(diff.unseen)} unknown")


def _waive(arguments: argparse.Namespace) -> int:
    from readiness.waivers import add_waiver, check

    plan = load_plan(arguments.plan)
    names = ("rule", "subject", "owner", "approver", "reason", "ticket", "expires")
    given = {name: getattr(arguments, name) for name in names}
    if arguments.false_positive is not None:
        given |= {"disposition": "false-positive", "evidence": arguments.false_positive}
    today = datetime.now(UTC).date()
    waiver = parse(Waiver, {**given, "created": today}, str(arguments.waivers), "waivers[new]")
    check(waiver, str(arguments.waivers), "waivers[new]", plan.max_waiver_age)
    results = () if arguments.unseen else _seen_by(arguments)
    found = [(result.gate, each) for result in results for each in result.findings]
    covered = [(gate, each) for gate, each in found if decide.covers(waiver, each.finding)]
    if not covered and not arguments.unseen:
        raise UsageError(
            f"No finding is {waiver.rule} on {waiver.subject}: the entry would dispose of nothing.",
            hint="Spell both as the finding does. For a finding of a run name its bundle: --bundle BUNDLE.",
        )
    add_waiver(arguments.waivers, waiver, plan.max_waiver_age)
    held = f"until {waiver.expires}, for {(waiver.expires - today).days} days"
    print(f"{arguments.waivers}: {waiver.rule} on {waiver.subject} is {waiver.disposition} {held}.")
    for gate, each in covered:
        print(f"  {gate}: {each.finding.severity} {each.finding.subject} was {each.disposition}")
    for gate in dict.fromkeys(gate for gate, _ in covered):
        opened = [each for other, each in found if other == gate and each.disposition == "open"]
        left = sum(not decide.covers(waiver, each.finding) for each in opened)
        print(f"  {gate}: {len(opened)} findings were open, {left} are")
    return ExitCode.GO


def _seen_by(arguments: argparse.Namespace) -> Sequence[GateResult]:
    """Return where the finding that is waived is looked for: in a bundle, or in a scan that is made now."""
    if arguments.bundle is not None:
        evidence.check_manifest(arguments.bundle)
        return evidence.read_record(arguments.bundle).results
    from readiness.review import review

    with Signals().caught(lambda _: None):
        return review(Path.cwd(), arguments.plan, arguments.waivers, tuple(arguments.template)).results


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


def _teardown(arguments: argparse.Namespace) -> int:
    from readiness.aftermath import teardown

    narrator = Narrator()
    for line in teardown(Path.cwd(), arguments.run_id, narrator.say):
        print(line)
    return ExitCode.GO


def _up(arguments: argparse.Namespace) -> int:
    from readiness.run import Request
    from readiness.standing import up

    request = Request(
        repository=Path.cwd(), plan_file=arguments.plan, waivers_file=Path("waivers.toml"), target=arguments.target
    )
    print(up(request, Narrator()))
    return ExitCode.GO


def _drill(arguments: argparse.Namespace) -> int:
    from readiness.standing import drill

    result, folder = drill(Path.cwd(), arguments.name, arguments.run_id, Narrator())
    print(f"{result.gate}: {result.outcome}")
    print(f"evidence: {folder}")
    return {"passed": ExitCode.GO, "failed": ExitCode.NO_GO}.get(result.outcome, ExitCode.NO_RELIABLE_VERDICT)


def _down(arguments: argparse.Namespace) -> int:
    from readiness.standing import down

    for line in down(Path.cwd(), arguments.run_id):
        print(line)
    return ExitCode.GO


def _aws(arguments: argparse.Namespace) -> int:
    from readiness.foreground import serve

    serve(load_plan(arguments.plan), Path.cwd(), say=lambda line: print(line, flush=True))
    return ExitCode.GO
