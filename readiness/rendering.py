"""`readiness report`: the reports of a bundle, made again from its evidence, whatever its run came to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import readiness
from readiness import decide, evidence, gates, plan, report, sign_off, waivers
from readiness.decision import NOTHING_SIGNED, SignOff, decided
from readiness.errors import EvidenceError, PlanError, ReadinessError, UsageError
from readiness.gate import Gate
from readiness.ledger import FILE as LEDGER_FILE
from readiness.ledger import Ledger
from readiness.model import (
    Candidate,
    Decision,
    Environment,
    Gap,
    GateResult,
    Judgement,
    Outcome,
    Plan,
    Record,
    Verdict,
    Waiver,
)
from readiness.report.html import Content, as_html
from readiness.run import blind, checked, remaining, result_of, settings_of

_RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What a bundle was made into.

    Attributes:
        files: File name -> content.
        notices: What is wrong with the bundle; the page says it too.
    """

    files: Mapping[str, bytes]
    notices: tuple[str, ...]


def _page(content: Content) -> Mapping[str, bytes]:
    return {evidence.PAGE: as_html(content)}


def _markdown(content: Content) -> Mapping[str, bytes]:
    warning = "".join(f"> **Take care.** {notice}\n\n" for notice in content.notices)
    told = report.markdown(content.record, content.plan, content.decision, content.root, content.gone_live)
    return {evidence.REPORT: (warning + told).encode("utf-8", "replace")}


def _findings(name: str) -> Callable[[Content], Mapping[str, bytes]]:
    def form(content: Content) -> Mapping[str, bytes]:
        return {name: report.findings_of(content.record, content.plan.blocking_severities)[name]}

    return form


def _summary(content: Content) -> Mapping[str, bytes]:
    return {evidence.SUMMARY: report.as_summary(content.record, content.plan.service.name)}


FORMS: Mapping[str, Callable[[Content], Mapping[str, bytes]]] = {
    "html": _page,
    "md": _markdown,
    "json": _findings("findings.json"),
    "csv": _findings("findings.csv"),
    "sarif": _findings("findings.sarif"),
    "junit": _findings("findings.junit.xml"),
    "summary": _summary,
}
"""Form, as the command line names it -> what makes it."""


def render(bundle: Path, forms: Sequence[str], *, altered: bool = False) -> Rendered:
    """Return the reports of a bundle.

    Args:
        bundle: Its folder.
        forms: Which, by the keys of ``FORMS``.
        altered: Whether to report a bundle whose files are not those of its manifest, too.

    Raises:
        UsageError: there is no such form.
        EvidenceError: the folder is no bundle, or it was altered.
    """
    for form in forms:
        if form not in FORMS:
            raise UsageError(f"--format: there is no form {form!r}.", hint=f"There are: {', '.join(FORMS)}.")
    content = content_of(bundle, altered=altered)
    files: dict[str, bytes] = {}
    for form in forms:
        files |= FORMS[form](content)
    return Rendered(files=files, notices=content.notices)


def content_of(bundle: Path, *, altered: bool = False) -> Content:
    """Return what a bundle holds. One without a record is judged now, as far as its observations go."""
    if not bundle.is_dir():
        raise EvidenceError(f"{bundle} is no evidence bundle: there is no such folder.")
    notices = []
    if (bundle / evidence.MANIFEST).exists():
        try:
            evidence.check_manifest(bundle)
        except EvidenceError as error:
            if not altered:
                raise EvidenceError(
                    error.message,
                    hint="Nothing that it says can be relied on. --altered reports it all the same, and says so.",
                ) from error
            notices.append(f"This is no evidence: {error.message}")
    else:
        notices.append("This bundle was never sealed, so nothing shows whether its files are as the run left them.")
    frozen = _frozen(bundle)
    if (bundle / evidence.RECORD).exists():
        record = evidence.read_record(bundle)
    else:
        notices.append(
            "This bundle holds no record: its run was killed, or has not ended. What follows was judged now, from the "
            "observations that there are."
        )
        record = _unended(bundle, frozen)
    signed, go_live = _decided_since(bundle, frozen, notices, altered=altered)
    now = decided(record, frozen, evidence.files(bundle), signed, go_live, sign_off.GO_LIVE_RESULT)
    return told_by(record, frozen, now, bundle, tuple(notices), go_live)


def told_by(
    record: Record,
    frozen: Plan,
    now: Decision,
    bundle: Path,
    notices: tuple[str, ...] = (),
    gone_live: GateResult | None = None,
) -> Content:
    """Return what a report tells: verdict and reasons are those of the decision, which a record comes before."""
    told = replace(record, verdict=now.verdict, reasons=now.reasons)
    return Content(record=told, plan=frozen, decision=now, root=bundle, notices=notices, gone_live=gone_live)


def _decided_since(
    bundle: Path, frozen: Plan, notices: list[str], *, altered: bool
) -> tuple[SignOff, GateResult | None]:
    """Return what people wrote down since the bundle was sealed, and what was seen in production."""
    try:
        return sign_off.read(bundle, frozen), sign_off.read_go_live(bundle)
    except EvidenceError as error:
        if not altered:
            raise
        notices.append(f"Nothing that was decided since counts: {error.message}")
        return NOTHING_SIGNED, None


def _frozen(bundle: Path) -> Plan:
    try:
        return plan.load_plan(bundle / evidence.PLAN)
    except PlanError as error:
        raise EvidenceError(
            f"{bundle} is no evidence bundle that this version can read: {error.message}",
            hint="A bundle holds the plan of its run as plan.toml. Another version of readiness may read it.",
        ) from error


# --- a run that never ended ------------------------------------------------------------------------------------------


def _unended(bundle: Path, frozen: Plan) -> Record:
    """Return the record that a run would have had if it had been decided by what it had seen so far."""
    begun = _told_by_ledger(bundle)
    plan_file = bundle / evidence.PLAN
    started_at = datetime.fromtimestamp(plan_file.stat().st_mtime, UTC)
    register = _register(bundle, frozen)
    known = gates.all_gates()
    results = tuple(
        _judged_now(bundle, gate, frozen, register, started_at)
        for gate in known
        if (bundle / evidence.observation_path(gate.id)).exists()
    )
    entries = decide.register_result(register, results, frozen.gates.required, started_at.date(), _newest(bundle))
    environment = Environment.AWS if begun.get("target") == "aws" else Environment.EMULATED
    told = "" if "target" in begun else " Where it ran is not known: it is taken as emulated, which claims least."
    troubles = (f"The run never came to a decision.{told}",)
    left = ("what the run had made: nothing shows that it was torn down",)
    templates = {file.name: evidence.sha256(file.read_bytes()) for file in (bundle / evidence.TEMPLATES).glob("*")}
    record = Record(
        run_id=begun.get("name") or _run_id(bundle),
        harness_version=readiness.__version__,
        environment=environment,
        time_scale=frozen.embedded.time_scale if environment is Environment.EMULATED else 1.0,
        candidate=Candidate(
            commit=begun.get("commit", _UNKNOWN),
            dirty=begun.get("dirty") == "true",
            template_digests=templates,
            image=frozen.service.image,
        ),
        plan_digest=plan.digest(plan_file),
        waivers_digest=plan.digest(bundle / evidence.WAIVERS) if (bundle / evidence.WAIVERS).exists() else _UNKNOWN,
        started_at=started_at,
        decided_at=_newest(bundle),
        results=(*results, *([entries] if entries else [])),
        leftovers=tuple(dict.fromkeys((*left, *remaining(list(results))))),
        spans=(),
        required=frozen.gates.required,
        unused_waivers=decide.unused(register, results),
        interrupted=True,
        troubles=troubles,
        outcome=Outcome.INCONCLUSIVE,
        verdict=Verdict.NO_GO,
        reasons=(),
    )
    now = decided(record, frozen, evidence.files(bundle))
    return replace(record, outcome=now.outcome, verdict=now.verdict, reasons=now.reasons)


def _judged_now(
    bundle: Path, gate: Gate[Any, Any], frozen: Plan, register: tuple[Waiver, ...], started_at: datetime
) -> GateResult:
    """Return what a gate makes of what it had seen; what cannot be read or judged is a gap."""
    path = evidence.observation_path(gate.id)
    try:
        observation = evidence.read_json(bundle, path, gate.observation)
        judgement = checked(gate.judge(observation, settings_of(gate, frozen, evidence.PLAN)))
    except ReadinessError as error:
        judgement = blind(gate, error.message)
    except Exception as error:  # noqa: BLE001 - half an observation may be anything; it must never read as a pass
        judgement = Judgement(examined=0, gaps=(Gap(what=gate.question, why=f"it cannot be judged: {error!r}"),))
    seen_at = datetime.fromtimestamp((bundle / path).stat().st_mtime, UTC)
    # When the gate was asked is not known, only when it had seen enough: so no time that it took.
    return result_of(frozen, register, gate, judgement, path, seen_at, seen_at, started_at)


def _register(bundle: Path, frozen: Plan) -> tuple[Waiver, ...]:
    """Return the waivers of the bundle; none if they cannot be read: then nothing is waived."""
    try:
        return waivers.load_waivers(bundle / evidence.WAIVERS, max_age=frozen.max_waiver_age)
    except (OSError, ReadinessError):
        return ()


def _told_by_ledger(bundle: Path) -> dict[str, str]:
    """Return how the run's ledger, which lies beside a bundle that was not put elsewhere, says that it began."""
    file = bundle.resolve().parent / LEDGER_FILE
    try:
        entries = Ledger(file).entries() if file.exists() else ()
    except ReadinessError:
        return {}
    return next(({"name": entry.name, **entry.details} for entry in entries if entry.event == "run-started"), {})


def _run_id(bundle: Path) -> str:
    match = _RUN_ID.search(str(bundle.resolve()))
    return match.group() if match else _UNKNOWN


def _newest(bundle: Path) -> datetime:
    """Return when the last file of a bundle was written."""
    return datetime.fromtimestamp(max(file.stat().st_mtime for file in bundle.rglob("*") if file.is_file()), UTC)
