"""Only a bundle that is whole, was made in the same place and proved something is a baseline."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from readiness import baseline, evidence
from readiness.decision import decided
from readiness.errors import EvidenceError
from readiness.model import Decision, Environment, Outcome, Record, Verdict
from tests.unit.samples import a_plan, a_record


def a_bundle(folder: Path, **changes: Any) -> Path:
    passed: dict[str, Any] = {"outcome": Outcome.PASSED, "verdict": Verdict.NO_GO}
    writer = evidence.BundleWriter(folder)
    writer.put_json(evidence.RECORD, Record, a_record(**(passed | changes)))
    writer.seal()
    return folder


def test_a_rehearsal_that_passed_is_a_baseline_of_rehearsals_only(tmp_path: Path) -> None:
    bundle = a_bundle(tmp_path)
    assert baseline.checked(bundle, Environment.EMULATED).outcome is Outcome.PASSED
    with pytest.raises(EvidenceError, match="nothing can be compared"):
        baseline.checked(bundle, Environment.AWS)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE])
def test_a_run_that_did_not_pass_is_none(tmp_path: Path, outcome: Outcome) -> None:
    with pytest.raises(EvidenceError, match="is no baseline"):
        baseline.checked(a_bundle(tmp_path, outcome=outcome), Environment.EMULATED)


def test_on_aws_only_a_go_is_one(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="is no baseline"):
        baseline.checked(a_bundle(tmp_path / "a", environment=Environment.AWS), Environment.AWS)
    signed = a_bundle(tmp_path / "b", environment=Environment.AWS)
    record = evidence.read_record(signed)
    now = replace(decided(record, a_plan(), ()), verdict=Verdict.GO)
    evidence.BundleWriter(signed).put_json(evidence.DECISION, Decision, now)
    evidence.seal_after(signed, evidence.SIGN_OFF)
    assert baseline.checked(signed, Environment.AWS) == record

    shutil.copytree(signed / evidence.SIGN_OFF, tmp_path / "a" / evidence.SIGN_OFF)
    with (tmp_path / "a" / "manifest.json").open("a") as file:
        file.write(" ")
    with pytest.raises(EvidenceError):
        baseline.checked(tmp_path / "a", Environment.AWS)


def test_an_altered_bundle_is_none(tmp_path: Path) -> None:
    bundle = a_bundle(tmp_path)
    (bundle / "more.txt").write_text("x")
    with pytest.raises(EvidenceError, match="altered"):
        baseline.checked(bundle, Environment.EMULATED)


def test_the_newest_that_may_be_one_is_taken(tmp_path: Path) -> None:
    assert baseline.latest(tmp_path / "none", Environment.EMULATED) is None
    old = a_bundle(tmp_path / "20260101-000000-aaaa" / "bundle")
    a_bundle(tmp_path / "20260102-000000-aaaa" / "bundle", outcome=Outcome.FAILED)
    (tmp_path / "20260103-000000-aaaa").mkdir()
    assert baseline.latest(tmp_path, Environment.EMULATED) == old
    assert baseline.latest(tmp_path, Environment.AWS) is None
