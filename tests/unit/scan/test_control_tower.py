"""Control Tower's controls: every one of the package is classified, and nothing in our table is about another."""

from __future__ import annotations

import csv
from importlib import resources

import pytest

from readiness.scan.catalogue import catalogue
from readiness.scan.control_tower import controls
from readiness.scan.own_check import all_checks

TABLE = resources.files("readiness") / "data" / "control_tower_severity.csv"


def test_every_control_is_classified_and_every_row_is_a_control():
    rows = {f"control-tower/{row['control']}" for row in csv.DictReader(TABLE.read_text().splitlines())}

    assert {control.rule.id for control in controls()} == rows
    assert all(control.rule.severity and control.rule.family for control in controls())


def test_no_two_controls_are_called_the_same_by_guard():
    names = [name for control in controls() for name in control.guard_rules]

    assert len(names) == len(set(names)) >= len(controls()) > 200


@pytest.mark.parametrize("control", controls(), ids=lambda control: control.rule.id)
def test_a_control_tells_what_it_wants_why_and_how_to_mend_it(control):
    assert control.rule.claim
    assert control.rule.why
    assert control.rule.mend
    assert control.looks_at


def test_the_same_fault_is_one_of_a_rule_that_exists():
    known = {*catalogue(), *(check.rule for check in all_checks())}

    assert {same for control in controls() for same in control.rule.same_fault} <= known
