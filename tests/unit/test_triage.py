"""What became of findings since an earlier run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from readiness.errors import EvidenceError
from readiness.evidence import RECORD, BundleWriter
from readiness.model import Disposed, Disposition, Fixed, Gap, Record
from readiness.triage import compared, since
from tests.unit.samples import a_finding, a_judgement, a_record, a_result

OLD, SAME, NEW = (a_finding(name, fingerprint=name) for name in ("old", "same", "new"))


def result(*findings, gaps=(), gate="security", examined=1):
    disposed = tuple(Disposed(finding=each, disposition=Disposition.OPEN) for each in findings)
    return a_result(gate, judgement=a_judgement(*findings, gaps=gaps, examined=examined), findings=disposed)


def subjects(findings):
    return [each.finding.subject if isinstance(each, Fixed) else each.subject for each in findings]


def test_new_fixed_and_unchanged_are_told_apart():
    diff = compared([result(OLD, SAME)], [result(SAME, NEW)])

    assert [subjects(each) for each in (diff.new, diff.fixed, diff.unchanged, diff.unseen)] == [
        ["new"],
        ["old"],
        ["same"],
        [],
    ]


@pytest.mark.parametrize("now", [result(gaps=(Gap(what="checkov", why="it crashed"),)), result(examined=0)])
def test_what_a_blind_gate_does_not_find_is_not_fixed(now):
    diff = compared([result(OLD)], [now])

    assert (subjects(diff.fixed), subjects(diff.unseen)) == ([], ["old"])


def test_the_same_fault_told_in_other_words_is_unchanged():
    diff = compared([result(SAME)], [result(replace(SAME, message="in other words"))])

    assert subjects(diff.unchanged) == ["same"]


def test_only_gates_that_were_asked_again_are_compared(tmp_path):
    bundle = BundleWriter(tmp_path / "bundle")
    bundle.put_json(RECORD, Record, a_record(result(OLD), result(a_finding("load"), gate="load")))
    bundle.seal()

    diff = since(tmp_path / "bundle", [result(NEW)])

    assert (subjects(diff.new), subjects(diff.fixed), subjects(diff.unseen)) == (["new"], ["old"], [])


def test_an_altered_bundle_is_nothing_to_compare_with(tmp_path):
    bundle = BundleWriter(tmp_path / "bundle")
    bundle.put_json(RECORD, Record, a_record(result(OLD)))
    bundle.seal()
    (tmp_path / "bundle" / RECORD).write_text("{}")

    with pytest.raises(EvidenceError, match="was altered"):
        since(tmp_path / "bundle", [result(NEW)])
