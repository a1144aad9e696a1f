"""Negative controls: what they report when a gate gates, when it does not, and when there is nothing to spoil."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from readiness import controls, gates
from readiness.controls import CONTROLS, decision, on_evidence
from readiness.controls.control import Control, NothingToSpoilError
from readiness.controls.planted import spoiled
from readiness.evidence import BundleWriter, observation_path
from readiness.model import Outcome, Owner, Verdict
from tests.unit.samples import T0, Seen, a_gate, a_judgement, a_plan, a_record, a_result, a_waiver

ON = date(2026, 3, 1)
NAMES = {gate.id for gate in gates.all_gates()}


def spoil(seen: Seen) -> Seen:
    return replace(seen, values=(11.0,))


@pytest.fixture
def bundle(tmp_path):
    writer = BundleWriter(tmp_path / "bundle")
    writer.put_json(observation_path("numbers"), Seen, Seen(values=(1.0,)))
    return writer.root


def rows(monkeypatch, bundle, plant=spoil, *, gate=None, result=None, register=()):
    """Return the rows of one control of a gate `numbers`, whose observation passed."""
    monkeypatch.setattr(gates, "all_gates", lambda: (gate or a_gate("numbers"),))
    monkeypatch.setattr(controls, "CONTROLS", (Control(id="numbers/planted", plants="a number too high", plant=plant),))
    result = result or a_result("numbers", observation=observation_path("numbers"))
    record = replace(a_record(result), started_at=T0)
    told = on_evidence(bundle, record, a_plan(), register, lambda gate: gate.settings())
    return [each for each in told if each.id == "numbers/planted"]


def test_a_fault_that_the_gate_finds_is_kept_from_passing(monkeypatch, bundle):
    (row,) = rows(monkeypatch, bundle)

    assert (row.came_to, row.noticed) == ("failed", True)
    assert row.said


def test_a_gate_that_lets_everything_pass_is_found_out(monkeypatch, bundle):
    blind = replace(a_gate("numbers"), judge=lambda seen, settings: a_judgement())

    (row,) = rows(monkeypatch, bundle, gate=blind)

    assert (row.came_to, row.noticed) == ("passed", False)


def test_a_waiver_that_covers_too_much_is_found_out(monkeypatch, bundle):
    wide = a_waiver(rule="*/*", subject="*", created=ON, expires=ON)

    (row,) = rows(monkeypatch, bundle, register=(wide,))

    assert row.came_to == "passed"


def test_what_cannot_be_judged_is_inconclusive(monkeypatch, bundle):
    from readiness.errors import EvidenceError

    def judge(seen, settings):
        raise EvidenceError("a histogram cannot be read")

    (row,) = rows(monkeypatch, bundle, gate=replace(a_gate("numbers"), judge=judge))

    assert (row.came_to, row.said) == ("inconclusive", "a histogram cannot be read")


def test_nothing_to_spoil_is_not_shown_and_not_noticed(monkeypatch, bundle):
    def plant(seen):
        raise NothingToSpoilError("the evidence has no drill")

    (row,) = rows(monkeypatch, bundle, plant)

    assert (row.came_to, row.said, row.noticed) == ("not shown", "the evidence has no drill", False)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE])
def test_a_gate_that_did_not_pass_has_nothing_to_lose(monkeypatch, bundle, outcome):
    result = replace(a_result("numbers", observation=observation_path("numbers")), outcome=outcome)

    (row,) = rows(monkeypatch, bundle, result=result)

    assert row.came_to == "not shown"


def test_a_gate_that_was_not_asked_is_not_shown(monkeypatch, bundle):
    (row,) = rows(monkeypatch, bundle, result=a_result("words"))

    assert (row.came_to, row.said) == ("not shown", "the gate numbers was not asked")


def test_every_control_is_of_a_gate_and_named_once():
    assert len({control.id for control in CONTROLS}) == len(CONTROLS) >= 25
    assert {control.gate for control in CONTROLS} <= NAMES


def test_only_the_first_thing_that_fits_is_spoiled():
    assert spoiled((1, 2, 4), lambda each: -each, lambda each: each % 2 == 0, what="even number") == (1, -2, 4)
    with pytest.raises(NothingToSpoilError, match="no even number"):
        spoiled((1, 3), lambda each: -each, lambda each: each % 2 == 0, what="even number")


# --- the decision ----------------------------------------------------------------------------------------------------

OWNED = replace(a_plan(), owners={"release": Owner(name="Ada"), "security": Owner(name="Grace")})


def decided(*results, plan=OWNED):
    record = replace(a_record(*results), required=tuple(result.gate for result in results))
    return {row.id.partition("/")[2]: row for row in decision.controls(record, plan, frozenset())}


def test_the_decision_notices_every_planted_fault():
    told = decided(a_result("numbers"), a_result("words"))

    assert len(told) >= 14
    assert {name for name, row in told.items() if not row.noticed} == set()
    assert all(row.said for row in told.values())


def test_where_the_evidence_without_a_fault_is_no_go_nothing_is_shown():
    told = decided(a_result("numbers"), plan=replace(OWNED, owners={"release": Owner(name="Ada")}))

    shown = {name for name, row in told.items() if row.came_to != "not shown"}
    assert shown == {"expired-waiver", "self-approved-waiver"}
    assert "2 different people have to sign" in told["unsigned"].said


def test_a_decision_that_accepts_anything_is_found_out(monkeypatch):
    from readiness import decide

    monkeypatch.setattr(decide, "verdict", lambda *args, **kwargs: (Outcome.PASSED, Verdict.GO, ()))
    monkeypatch.setattr(decide, "dispose", lambda findings, waivers, on: ())

    told = decided(a_result("numbers"))

    assert {name for name, row in told.items() if row.came_to == "passed"} == set(told) - {"self-approved-waiver"}
