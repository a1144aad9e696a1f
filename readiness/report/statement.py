"""A record as an in-toto statement of the predicate ``test-result/v0.1``, for tools that gate on attestations.

https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from readiness import evidence
from readiness.model import Environment, GateResult, Outcome, Record

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"


def statement(record: Record) -> bytes:
    """Return the statement. A gate that did not pass, or was not asked, failed.

    Its subjects are what was judged; if none of that has a digest, the plan that the run followed.
    """
    by_id = {result.gate: result for result in record.results}
    passed = [gate for gate in record.required if _passed(by_id.get(gate))]
    beside = [result for result in record.results if result.gate not in record.required]
    predicate = {
        "result": _result(record),
        "configuration": list(_configuration(record)),
        "passedTests": passed + [each.gate for each in beside if _passed(each)],
        "warnedTests": [each.gate for each in beside if not _passed(each)],
        "failedTests": [gate for gate in record.required if gate not in passed],
    }
    said = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": list(_subjects(record)) or [_described(evidence.PLAN, record.plan_digest)],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    return json.dumps(said, indent=1, ensure_ascii=False).encode() + b"\n"


def _result(record: Record) -> str:
    """Return PASSED, WARNED or FAILED. A rehearsal is WARNED at best: its tests met no AWS."""
    if record.outcome is not Outcome.PASSED:
        return "FAILED"
    return "WARNED" if record.environment is Environment.EMULATED else "PASSED"


def _passed(result: GateResult | None) -> bool:
    return result is not None and result.outcome is Outcome.PASSED


def _subjects(record: Record) -> Iterable[dict[str, Any]]:
    """Yield what was judged, as far as it has a digest: templates, commit, image."""
    candidate = record.candidate
    for name, digest in sorted(candidate.template_digests.items()):
        yield _described(name, digest)
    if len(candidate.commit) in (40, 64) and not candidate.dirty:
        yield {"name": "source", "digest": {"gitCommit": candidate.commit}}
    name, _, digest = candidate.image.partition("@")
    if digest:
        yield _described(name, digest)


def _configuration(record: Record) -> Iterable[dict[str, Any]]:
    """Yield what the tests depended on."""
    yield {
        **_described(evidence.PLAN, record.plan_digest),
        "annotations": {
            "environment": str(record.environment),
            "run": record.run_id,
            "harness": f"readiness {record.harness_version}",
            "image": record.candidate.image,
            "commit": record.candidate.commit + (" with uncommitted changes" if record.candidate.dirty else ""),
        },
    }
    yield _described(evidence.WAIVERS, record.waivers_digest)


def _described(name: str, digest: str) -> dict[str, Any]:
    kind, _, hexadecimal = digest.partition(":")
    return {"name": name, "digest": {kind: hexadecimal}}
