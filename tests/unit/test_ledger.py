"""The ledger: a line is on the disk before its act, and a crash costs at most the line that it cut."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readiness.errors import EvidenceError
from readiness.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "runs" / "one" / "ledger.jsonl")


def test_what_is_about_to_be_made_is_written_with_its_details(ledger):
    ledger.about_to_create("stack", "readiness-one", region="eu-west-1", account="123456789012")

    (entry,) = ledger.entries()
    assert (entry.event, entry.kind, entry.name) == ("about-to-create", "stack", "readiness-one")
    assert entry.details == {"region": "eu-west-1", "account": "123456789012"}
    assert entry.at.tzinfo is not None


def test_a_file_in_the_way_of_its_folder_is_told(tmp_path):
    (tmp_path / ".readiness").write_text("")

    with pytest.raises(EvidenceError, match=r"\.readiness/runs/one cannot be made: Not a directory"):
        Ledger(tmp_path / ".readiness" / "runs" / "one" / "ledger.jsonl")


def test_a_line_is_on_the_disk_when_the_call_returns(ledger, monkeypatch):
    forced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: forced.append(ledger.path.read_text()))

    ledger.about_to_create("stack", "readiness-one")

    assert forced == [ledger.path.read_text()]
    assert forced[0].endswith("}\n")


def test_only_announcements_were_created(ledger):
    ledger.note("run-started", name="one")
    ledger.about_to_create("stack", "readiness-one")
    ledger.note("resource", kind="AWS::SQS::Queue", name="inbox")

    assert [entry.name for entry in ledger.created()] == ["readiness-one"]
    assert [entry.event for entry in ledger.entries()] == ["run-started", "about-to-create", "resource"]


def test_another_ledger_on_the_same_file_goes_on(ledger):
    ledger.note("run-started")

    Ledger(ledger.path).note("stack-deleted")

    assert [entry.event for entry in ledger.entries()] == ["run-started", "stack-deleted"]


@given(cut=st.integers(1, 200))
def test_a_line_that_a_crash_cut_costs_no_other(tmp_path_factory, cut):
    ledger = Ledger(tmp_path_factory.mktemp("cut") / "ledger.jsonl")
    ledger.note("run-started", name="one")
    whole = ledger.path.read_bytes()
    ledger.about_to_create("stack", "readiness-one")
    line = ledger.path.read_bytes()[len(whole) :]
    ledger.path.write_bytes(whole + line[: min(cut, len(line) - 2)])

    ledger.note("stack-deleted")

    assert [entry.event for entry in ledger.entries()] == ["run-started", "stack-deleted"]


@pytest.mark.parametrize("line", ["", "{", "null", "7", "[]", '{"at": 3}', '{"at": "yesterday"}', "\x00\x00", "é"])
def test_a_line_that_is_no_entry_is_left_out(ledger, line):
    ledger.note("run-started")
    with ledger.path.open("a") as file:
        file.write(line + "\n")
    ledger.note("run-decided")

    assert [entry.event for entry in ledger.entries()] == ["run-started", "run-decided"]


def test_bytes_that_are_no_text_are_left_out(ledger):
    ledger.path.write_bytes(b"\xff\xfe\n")
    ledger.note("run-started")

    assert [entry.event for entry in ledger.entries()] == ["run-started"]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_name_breaks_a_line(tmp_path_factory, name):
    ledger = Ledger(tmp_path_factory.mktemp("names") / "ledger.jsonl")
    ledger.about_to_create("queue", name, why=name)

    assert [(entry.name, entry.details) for entry in ledger.created()] == [(name, {"why": name})]


def test_a_ledger_that_cannot_be_written_forbids_the_act(ledger, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EvidenceError, match="cannot be written: No space left on device") as caught:
        ledger.about_to_create("stack", "readiness-one")
    assert "Nothing is made that could not be found again" in caught.value.hint


def test_a_missing_ledger_is_an_error_not_an_empty_one(ledger):
    with pytest.raises(EvidenceError, match="cannot be read: No such file"):
        ledger.entries()
