"""What a scan saw, as it is kept in the evidence: raw enough that its findings can be made again from it."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Final

from readiness.model import ControlFamily, Severity, record


class CheckResult(StrEnum):
    """What a rule said of a part of a template."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Switched off by the template itself, with ``Metadata.checkov.skip`` or a comment."""


@record
class Rule:
    """A rule that was asked.

    Attributes:
        id: ``source/thing``, e.g. ``checkov/CKV_AWS_24``.
        claim: What it holds to be true of a good template.
        severity: None = nobody has classified it.
        family: The security control; None = unclassified, or no matter of security.
        why: Why it matters, or where its severity comes from.
        mend: How to mend what it finds.
        link: Its documentation.
        same_fault: Rules of other scanners that see the same fault.
    """

    id: str
    claim: str
    severity: Severity | None
    family: ControlFamily | None
    why: str = ""
    mend: str = ""
    link: str = ""
    same_fault: tuple[str, ...] = ()


@record
class Result:
    """What one rule said of one part of one template.

    Attributes:
        rule: Its id.
        template: The template's name.
        part: Logical id, ``Outputs.<name>``, ``Parameters.<name>``, or "" for the template as a whole.
        result: What it said.
        detail: What exactly is wrong, why it was skipped, or why a false alarm counts as passed.
    """

    rule: str
    template: str
    part: str
    result: CheckResult
    detail: str = ""


@record
class ScannerRun:
    """One scanner's whole answer.

    Attributes:
        scanner: Its name.
        version: Its version; "" if it never said.
        templates: The templates that it read.
        rules_loaded: How many rules it had.
        rules: Those of them that said something.
        results: What they said.
        errors: What it could not do. Each is a blindness.
        seconds: How long it took.
    """

    scanner: str
    version: str = ""
    templates: tuple[str, ...] = ()
    rules_loaded: int = 0
    rules: tuple[Rule, ...] = ()
    results: tuple[Result, ...] = ()
    errors: tuple[str, ...] = ()
    seconds: float = 0.0


CDK: Final = "cdk"
"""The scanner that reads what a cloud assembly tells: of a template that lies in none it is not asked."""


@record
class TemplateSeen:
    """A template that was read, and what is in it.

    Attributes:
        name: Its name.
        digest: SHA-256 of its bytes.
        resources: Logical id -> type.
        synthesized: It lies in a cloud assembly.
        construct_paths: Logical id -> where the CDK app made it; only of those that say.
        file: Its path below the folder in which the scan was started; "" if it lies elsewhere, or was synthesized.
        lines: Part -> the line on which it begins.
    """

    name: str
    digest: str
    resources: dict[str, str]
    synthesized: bool = False
    construct_paths: dict[str, str] = field(default_factory=dict)
    file: str = ""
    lines: dict[str, int] = field(default_factory=dict)


@record
class Scan:
    """Everything that was scanned, by which scanners, and what they said.

    Attributes:
        templates: What was read.
        unread: Template -> why it could not be read.
        runs: One per scanner that was asked, also if it did not answer.
        seconds: Wall clock of all of them, side by side.
    """

    templates: tuple[TemplateSeen, ...]
    unread: dict[str, str] = field(default_factory=dict)
    runs: tuple[ScannerRun, ...] = ()
    seconds: float = 0.0
