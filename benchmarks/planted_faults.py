"""Which scanner finds which planted fault, and what each says of a template without one.

Run: ``python -m benchmarks.planted_faults``. It prints Markdown. A source has found a fault if a rule of it that is
about this fault failed on this resource, as ``readiness scan`` merges what several see.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from readiness.model import Finding, Severity
from readiness.scan import scan
from readiness.scan.findings import findings
from readiness.toolchain import node_folder

TEMPLATES = Path(__file__).parents[1] / "tests" / "data" / "templates"
SOURCES = ("checkov", "secrets", "cfn-lint", "cloudformation-validate", "control-tower", "cdk-nag", "readiness")
REGION = "eu-west-1"

_APP = """
import sys
from aws_cdk import App, Stack
from aws_cdk.cloudformation_include import CfnInclude
from stacks.advice import advise

app = App(outdir=sys.argv[2], context={"aws:cdk:enable-path-metadata": True})
CfnInclude(Stack(app, "Stack"), "Template", template_file=sys.argv[1])
advise(app)
app.synth()
"""
"""Reads a template into a CDK app, so that cdk-nag can look at it."""


def main() -> None:
    """Print the table of faults, what each source found, and the false alarms."""
    planted, clean = seen(TEMPLATES / "planted.yaml"), seen(TEMPLATES / "clean.template.json")
    with (TEMPLATES / "planted.csv").open(encoding="utf-8") as rows:
        faults = [(row["rule"], row["subject"]) for row in csv.DictReader(rows)]
    found = {fault: finding_of(planted, *fault) for fault in faults}
    sys.stdout.write(f"| resource | fault | control | {' | '.join(SOURCES)} |" + "\n")
    sys.stdout.write(f"|---|---|---|{'---|' * len(SOURCES)}" + "\n")
    for (rule, subject), finding in found.items():
        marks = sources(finding)
        claim = finding.message.partition(": ")[0] if finding else rule
        control = finding.family if finding and finding.family else ""
        sys.stdout.write(
            f"| {subject} | {claim} | {control} | {' | '.join('x' if each in marks else '' for each in SOURCES)} |"
            + "\n"
        )
    count(f"found of {len(faults)}", [each for each in found.values() if each])
    count("on the template without a fault", clean)
    count("of these Critical or High", [each for each in clean if each.severity.rank <= Severity.HIGH.rank])


def count(what: str, counted: Iterable[Finding]) -> None:
    """Print how many findings each source has, and how many there are."""
    listed = list(counted)
    tally = Counter(source for each in listed for source in sources(each))
    sys.stdout.write(
        f"| **{what}** | {len(listed)} by any | | {' | '.join(f'**{tally[each]}**' for each in SOURCES)} |" + "\n"
    )


def seen(template: Path) -> tuple[Finding, ...]:
    """Return what all scanners find in a template, each told of the logical id."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cdk.out"
        node = node_folder() / "node"
        environment = {**os.environ, "JSII_NODE": str(node), "PYTHONPATH": str(Path.cwd())}
        subprocess.run(
            [sys.executable, "-c", _APP, str(template), str(out)], check=True, capture_output=True, env=environment
        )
        (synthesized,) = out.glob("*.template.json")
        resources = json.loads(synthesized.read_text(encoding="utf-8"))["Resources"]
        told = scan([synthesized], REGION)
    blind = [f"{run.scanner}: {error}" for run in told.runs for error in run.errors]
    if blind:
        raise SystemExit("a scanner was blind, so there is nothing to compare:\n" + "\n".join(blind))
    paths = {name: part.get("Metadata", {}).get("aws:cdk:path", name) for name, part in resources.items()}
    ids = {path.removesuffix("/Resource"): name for name, path in paths.items()}
    return tuple(replace(each, subject=ids.get(each.subject, each.subject)) for each in findings(told))


def finding_of(found: Iterable[Finding], rule: str, subject: str) -> Finding | None:
    """Return the finding that tells of a fault."""
    return next((each for each in found if each.subject == subject and rule in each.sources), None)


def sources(finding: Finding | None) -> set[str]:
    """Return who saw a finding."""
    if finding is None:
        return set()
    return {"secrets" if rule.startswith("checkov/CKV_SECRET_") else rule.partition("/")[0] for rule in finding.sources}


if __name__ == "__main__":
    main()
