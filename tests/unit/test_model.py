"""The nouns: what they refuse when they are read, and what survives being written."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from readiness.model import Duration, Measurement, Severity, Span, Waiver, parse_duration, record, spell_duration
from tests.unit.samples import T0, a_finding, a_waiver


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("500ms", 0.5), ("30s", 30), ("1m30s", 90), ("1.5h", 5400), ("2h", 7200), ("90d", 90 * 86400)],
)
def test_a_duration_is_a_number_and_its_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", [30, 2.5, True])
def test_a_number_without_a_unit_is_no_duration(text):
    with pytest.raises(ValueError, match="has no unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "30", "30 s", "s", "30x", "-30s", "1,5h", "30s later", "1h 30m"])
def test_what_is_no_duration_says_how_to_write_one(text):
    with pytest.raises(ValueError, match="is no duration; write it as '30s'"):
        parse_duration(text)


def test_a_duration_beyond_all_bounds_is_refused_not_a_crash():
    with pytest.raises(ValueError, match="longer than any run"):
        parse_duration("999999999999d")


def test_a_negative_duration_is_refused_even_in_iso_8601():
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python("-PT1S")


@given(st.integers(min_value=0, max_value=10**12))
def test_a_duration_as_the_plan_spells_it_reads_back(ms):
    duration = timedelta(milliseconds=ms)

    assert parse_duration(spell_duration(duration)) == duration


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9999)))
def test_a_duration_as_evidence_spells_it_reads_back(duration):
    adapter = TypeAdapter(Duration)

    assert adapter.validate_json(adapter.dump_json(duration)) == duration


def test_a_record_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        a_finding().severity = Severity.INFO


def test_a_record_takes_keywords_only():
    with pytest.raises(TypeError):
        Measurement("p95", 1.0, "ms", 3)


def test_a_record_has_no_room_for_another_attribute():
    with pytest.raises((AttributeError, TypeError)):
        object.__setattr__(a_finding(), "colour", "red")


@record
class Figure:
    value: float
    other: float | None = None


@pytest.mark.parametrize(
    "raw",
    [{"value": 1, "colour": "red"}, {"value": "nan"}, {"value": float("nan")}, {"value": float("inf")}, {}],
    ids=["unknown key", "nan as text", "nan", "infinity", "missing"],
)
def test_a_record_refuses_what_is_no_figure(raw):
    with pytest.raises(ValidationError):
        TypeAdapter(Figure).validate_python(raw)


def test_severities_rank_from_the_worst():
    assert sorted(Severity, key=lambda each: each.rank) == ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"]


def test_a_waiver_needs_a_reason_that_is_more_than_a_word():
    raw = TypeAdapter(Waiver).dump_python(a_waiver()) | {"reason": "because"}

    with pytest.raises(ValidationError, match="reason"):
        TypeAdapter(Waiver).validate_python(raw)


def test_a_span_knows_how_long_it_took():
    assert Span(name="part", started_at=T0, ended_at=T0 + timedelta(minutes=1)).seconds == 60
