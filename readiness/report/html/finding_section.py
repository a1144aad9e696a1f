"""Findings and security controls: by severity and control family, open ones first, and what was not examined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from readiness import decide
from readiness.model import ControlFamily, Disposed, Disposition, Finding, Measurement, Record, Severity
from readiness.report.findings import in_order
from readiness.report.html import blocks
from readiness.report.html.blocks import Fold, Heading, Note, Section, Table, Text, Unobserved
from readiness.report.html.content import Content
from readiness.scan.observed import Scan

_MUST_EXAMINE = (ControlFamily.IAM, ControlFamily.SECRETS, ControlFamily.ENCRYPTION, ControlFamily.NETWORK)
_COVERAGE_UNIT = "results"
_SHOWN = Severity.MEDIUM
_SHOWN_AT_ONCE = 25
_NO_FAMILY = "no security control"


def section(content: Content) -> Section:
    """Return every finding of the run, and how much of each security control was looked at."""
    record = content.record
    id_, title = "findings", "Findings and security"
    if not record.results:
        why = "No gate was asked, so nothing is known of any finding or of any security control."
        return Section(id=id_, title=title, blocks=[Unobserved(why=why)])
    found = in_order(record.results)
    opened = [pair for pair in found if pair[1].disposition is Disposition.OPEN]
    disposed = [pair for pair in found if pair[1].disposition is not Disposition.OPEN]
    return Section(
        id=id_,
        title=title,
        blocks=[
            *_summary(found),
            *_limits(record),
            Heading(title="Open findings", id="open-findings"),
            *_listed(record, opened, "Open findings, worst first", f"No finding is open. {_basis(record)}"),
            Heading(title="Disposed of by the register", id="disposed-findings"),
            *_listed(
                record,
                disposed,
                "Findings that somebody accepted until a day, or proved to be none",
                "The register disposes of no finding.",
            ),
            *_fixed(record),
            Heading(title="Security controls", id="controls"),
            *_controls(record),
            *_scanners(content),
        ],
    )


def _basis(record: Record) -> str:
    blind = [result.gate for result in record.results if result.judgement.gaps or not result.judgement.examined]
    asked = f"{blocks.count(len(record.results), 'gate')} looked"
    return f"{asked}; of these, {', '.join(blind)} did not see everything." if blind else f"{asked}, none with a gap."


# --- summary ---------------------------------------------------------------------------------------------------------


def _summary(found: Sequence[tuple[str, Disposed]]) -> Iterator[Any]:
    families = [*(str(family) for family in ControlFamily), _NO_FAMILY]
    counts = Counter((each.finding.severity, _family(each.finding), each.disposition) for _, each in found)
    rows = [
        (str(severity).capitalize(), *(_count(counts, severity, family) for family in families))
        for severity in Severity
    ]
    yield Table(
        caption="Findings by severity and control family: open, and in brackets those that the register disposes of",
        head=("severity", *families),
        rows=rows,
        numeric=frozenset(range(1, len(families) + 1)),
        look="matrix",
        compact=True,
    )


def _family(finding: Finding) -> str:
    return _NO_FAMILY if finding.family is None else str(finding.family)


def _count(counts: Counter[tuple[Severity, str, Disposition]], severity: Severity, family: str) -> Markup:
    opened = counts[severity, family, Disposition.OPEN]
    disposed = sum(counts[severity, family, each] for each in Disposition if each is not Disposition.OPEN)
    words = f"{opened} ({disposed})" if disposed else str(opened)
    look = "some" if opened else "zero"
    return Markup('<span class="{}">{}</span>').format(look, words)


def _limits(record: Record) -> Iterator[Any]:
    """Yield each limit of the plan that more open findings exceed."""
    for result in record.results:
        for said in decide.exceeded(result.judgement.limits, result.findings):
            yield Note(tone="bad", words=f"Gate {result.gate}: {said}.")


# --- findings --------------------------------------------------------------------------------------------------------


def _listed(record: Record, found: Sequence[tuple[str, Disposed]], caption: str, none: str) -> Iterator[Any]:
    if not found:
        yield Text(words=none)
        return
    shown = [pair for pair in found if pair[1].finding.severity.rank <= _SHOWN.rank][:_SHOWN_AT_ONCE]
    rest = found[len(shown) :]
    if shown:
        yield _table(record, caption, shown)
    if rest:
        below = f"{len(rest):,}, all below {_SHOWN.capitalize()}"
        of = f"The other {len(rest):,} of {len(found):,}" if shown else below
        yield Fold(summary=of, blocks=[_table(record, f"{caption}, continued" if shown else caption, rest)])


def _table(record: Record, caption: str, found: Sequence[tuple[str, Disposed]]) -> Table:
    disposed = any(each.waiver is not None for _, each in found)
    return Table(
        caption=caption,
        head=("subject", "severity", "family", "what is wrong", *(("by the register",) if disposed else ())),
        rows=[
            (
                blocks.lines(blocks.code(each.finding.subject), blocks.small(f"gate {gate}")),
                _severity(record, each),
                _family(each.finding),
                _wrong(each.finding),
                *((_accepted(each),) if disposed else ()),
            )
            for gate, each in found
        ],
        look="findings",
    )


def _severity(record: Record, each: Disposed) -> Markup:
    """Return how bad a finding is, and whether the earlier run that this one is compared with had it not."""
    new = record.compared_with is not None and each.finding.mark not in record.known
    return blocks.lines(blocks.of_severity(each.finding.severity), blocks.small("new") if new else "")


def _wrong(finding: Finding) -> Markup:
    others = [source for source in finding.sources if source != finding.rule]
    return blocks.lines(
        finding.message,
        blocks.small(finding.help) if finding.help else "",
        blocks.small(blocks.code(finding.rule)),
        blocks.small(f"seen by {', '.join(others)} too") if others else "",
    )


def _accepted(each: Disposed) -> Markup:
    waiver = each.waiver
    if waiver is None:
        return blocks.nothing()
    return blocks.lines(
        f"{each.disposition} until {waiver.expires}",
        blocks.small(f"owner {waiver.owner}"),
        blocks.small(f"approved by {waiver.approver}"),
        blocks.small(waiver.ticket) if waiver.ticket else "",
        blocks.small(f"proof: {waiver.evidence}") if waiver.evidence else "",
    )


def _fixed(record: Record) -> Iterator[Any]:
    """Yield what the run that this one is compared with had found, and is gone."""
    yield Heading(title="Fixed findings", id="fixed-findings")
    if record.compared_with is None:
        yield Unobserved(why="There is no earlier run to compare with, so nobody knows what is new and what is fixed.")
        return
    if not record.fixed:
        yield Text(words=f"Nothing that run {record.compared_with} had found is gone.")
        return
    rows = [
        (
            blocks.lines(blocks.code(each.finding.subject), blocks.small(f"gate {each.gate}")),
            blocks.of_severity(each.finding.severity),
            _family(each.finding),
            _wrong(each.finding),
        )
        for each in record.fixed
    ]
    caption = f"Findings of run {record.compared_with} that are gone, although their gate saw everything"
    head = ("subject", "severity", "family", "what was wrong")
    table = Table(caption=caption, head=head, rows=rows, look="findings")
    yield Fold(summary=f"{blocks.count(len(rows), 'finding')} of run {record.compared_with}", blocks=[table])


# --- controls --------------------------------------------------------------------------------------------------------


def _controls(record: Record) -> Iterator[Any]:
    """Yield how much of each control family was looked at, and what was not."""
    rows: list[Sequence[str | Markup]] = []
    unseen: list[str] = []
    for result in record.results:
        for family, row in _coverage(result.judgement.measurements).items():
            examined = row["examined"].value if "examined" in row else 0.0
            if not examined and family in {str(each) for each in _MUST_EXAMINE}:
                unseen.append(f"{family} by the gate {result.gate}")
            disposed = sum(
                each.disposition is not Disposition.OPEN and str(each.finding.family) == family
                for each in result.findings
            )
            rows.append(
                (
                    family,
                    blocks.code(result.gate),
                    f"{next(iter(row.values())).samples:,}",
                    *(_answers(row.get(column), column) for column in ("examined", "passed", "failed", "skipped")),
                    str(disposed),
                )
            )
    if not rows:
        yield Unobserved(why="No security control was examined in this run.")
        return
    for each in unseen:
        yield Note(tone="unknown", words=f"Nothing was examined of {each}.")
    yield Table(
        caption="Answers of rules about resources, by control family",
        head=("family", "gate", "resources", "examined", "passed", "failed", "skipped", "disposed of"),
        rows=rows,
        numeric=frozenset(range(2, 8)),
    )


def _coverage(measurements: Sequence[Measurement]) -> dict[str, dict[str, Measurement]]:
    found: dict[str, dict[str, Measurement]] = {}
    for each in measurements:
        if each.unit == _COVERAGE_UNIT:
            family, _, what = each.name.rpartition(".")
            found.setdefault(family, {})[what] = each
    return found


def _answers(each: Measurement | None, column: str) -> Markup:
    if each is None:
        return blocks.nothing()
    if column == "examined" and not each.value:
        return blocks.badge("unknown", "none")
    return blocks.data(each.value, f"{each.value:,.0f}")


def _scanners(content: Content) -> Iterator[Any]:
    """Yield which scanners looked, and what each gate's scan could not."""
    rows = []
    unread: list[str] = []
    for gate, seen in content.observations().items():
        scan = getattr(seen, "scan", None)
        if not isinstance(scan, Scan):
            continue
        unread += [f"{name}: {why}" for name, why in scan.unread.items()]
        for run in scan.runs:
            troubles = "; ".join(run.errors)
            rows.append(
                (
                    run.scanner,
                    blocks.code(gate),
                    run.version or "not told",
                    f"{run.rules_loaded:,}",
                    blocks.badge("unknown", troubles) if troubles else "none",
                    f"{run.seconds:.1f} s",
                )
            )
    if not rows:
        yield Unobserved(why="The bundle holds no scanner's answer that can be read.")
        return
    yield Table(
        caption="Scanners",
        head=("scanner", "gate", "version", "rules", "errors", "took"),
        rows=rows,
        numeric=frozenset({3, 5}),
    )
    for each in unread:
        yield Note(tone="unknown", words=f"Could not be read, and so not scanned: {each}")
    untouched = [
        f"{each.value:,.0f} of {each.samples:,} resources (gate {result.gate})"
        for result in content.record.results
        for each in result.judgement.measurements
        if each.name == "resources.no-rule-looked-at"
    ]
    if untouched:
        yield Text(words=f"Resources that no rule is about: {'; '.join(untouched)}.")
