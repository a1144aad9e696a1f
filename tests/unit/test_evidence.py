"""The bundle: what is written reads back, and no byte of it changes unnoticed."""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from readiness.errors import EvidenceError
from readiness.evidence import (
    MANIFEST,
    RECORD,
    SIGN_OFF,
    BundleWriter,
    bundle_digest,
    check_after,
    check_manifest,
    files,
    from_json,
    read_decision,
    read_json,
    read_record,
    seal_after,
    sha256,
    to_json,
)
from readiness.model import Disposed, Disposition, Finding, Gap, GateResult, Judgement, Measurement, Record, Severity
from tests.unit.samples import Seen, a_finding, a_judgement, a_record, a_result, a_waiver

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.floats(allow_nan=False, allow_infinity=False)
observations = st.builds(
    Seen,
    values=st.lists(numbers, max_size=5).map(tuple),
    at=st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - as it wants
    by_name=st.none() | st.dictionaries(text, st.timedeltas(timedelta(0), timedelta(days=99)), max_size=3),
)
judgements = st.builds(
    Judgement,
    examined=st.integers(0, 10**9),
    findings=st.lists(
        st.builds(Finding, rule=text, subject=text, severity=st.sampled_from(Severity), message=text), max_size=3
    ).map(tuple),
    gaps=st.lists(st.builds(Gap, what=text, why=text), max_size=3).map(tuple),
    measurements=st.lists(
        st.builds(Measurement, name=text, value=numbers, unit=text, samples=st.integers(0, 10**9)), max_size=3
    ).map(tuple),
)


@pytest.fixture
def bundle(tmp_path):
    """A sealed bundle of three files."""
    writer = BundleWriter(tmp_path / "bundle")
    writer.put("plan.toml", b"[service]\n")
    writer.put_json("observations/numbers.json", Seen, Seen(values=(1.0,)))
    writer.write("logs/fleet.txt", b"hello")
    writer.seal()
    return writer.root


# --- writing and reading ---------------------------------------------------------------------------------------------


@given(observations)
def test_an_observation_reads_back_as_it_was_written(seen):
    assert from_json(Seen, to_json(Seen, seen), "it") == seen


@given(judgements)
def test_a_judgement_reads_back_as_it_was_written(judgement):
    assert from_json(Judgement, to_json(Judgement, judgement), "it") == judgement


@settings(max_examples=25)
@given(judgements)
def test_a_record_reads_back_as_it_was_written(judgement):
    record = a_record(a_result(judgement=judgement), unused_waivers=(a_waiver(),))

    assert from_json(Record, to_json(Record, record), "it") == record


def test_a_waived_finding_reads_back_with_its_waiver():
    disposed = (Disposed(finding=a_finding(), disposition=Disposition.WAIVED, waiver=a_waiver()),)
    result = a_result(judgement=a_judgement(a_finding()), waivers=(a_waiver(),))

    assert result.findings == disposed
    assert from_json(GateResult, to_json(GateResult, result), "it") == result


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_does_not_survive_being_written(value):
    measurement = Measurement(name="p95", value=value, unit="ms", samples=1)

    with pytest.raises(EvidenceError, match=r"it is no Judgement: measurements\.0\.value"):
        from_json(Judgement, to_json(Judgement, a_judgement(measurements=(measurement,))), "it")


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b'{"values": [1], "colour": "red"}', b"\xff"])
def test_what_is_no_such_record_is_refused_by_name(tmp_path, data):
    (tmp_path / "seen.json").write_bytes(data)

    with pytest.raises(EvidenceError, match=r"seen\.json is no Seen: \S"):
        read_json(tmp_path, "seen.json", Seen)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(EvidenceError, match=r"none\.json cannot be read: No such file"):
        read_json(tmp_path, "none.json", Seen)


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc/passwd"])
def test_nothing_is_written_or_read_outside_the_bundle(tmp_path, path):
    with pytest.raises(EvidenceError, match="outside the evidence bundle"):
        BundleWriter(tmp_path / "bundle").put(path, b"")
    with pytest.raises(EvidenceError, match="outside the evidence bundle"):
        read_json(tmp_path, path, Seen)


def test_an_artifact_lies_below_artifacts(tmp_path):
    writer = BundleWriter(tmp_path / "bundle")

    assert writer.write("logs/fleet.txt", b"hello") == "artifacts/logs/fleet.txt"
    assert (writer.root / "artifacts/logs/fleet.txt").read_bytes() == b"hello"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    writer = BundleWriter(tmp_path)
    writer.put("record.json", b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EvidenceError, match="No space left on device") as caught:
        writer.put("record.json", b"new")

    assert "Free the disk" in caught.value.hint
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("record.json", b"old")]


def test_a_bundle_where_a_file_is_says_so(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(EvidenceError, match="Evidence cannot be written") as caught:
        BundleWriter(tmp_path / "file" / "bundle")
    assert "--evidence" in caught.value.hint


def test_a_folder_that_is_not_there_is_no_bundle(tmp_path):
    with pytest.raises(EvidenceError, match="is no evidence bundle: there is no such folder"):
        read_record(tmp_path / "none")


def test_the_record_is_read_from_its_file(tmp_path):
    record = a_record(a_result())
    BundleWriter(tmp_path).put_json(RECORD, Record, record)

    assert read_record(tmp_path) == record


# --- the manifest ----------------------------------------------------------------------------------------------------


def test_an_untouched_bundle_is_accepted_and_counted(bundle):
    assert check_manifest(bundle) == 3


def test_the_digest_of_a_bundle_is_that_of_its_manifest(tmp_path):
    writer = BundleWriter(tmp_path)
    writer.put("a", b"1")

    assert writer.seal() == sha256((tmp_path / MANIFEST).read_bytes())


def test_sealing_twice_says_the_same(tmp_path):
    writer = BundleWriter(tmp_path)
    writer.put("a", b"1")

    assert writer.seal() == writer.seal()


@pytest.mark.parametrize("name", ["plan.toml", "observations/numbers.json", "artifacts/logs/fleet.txt"])
def test_any_byte_of_any_file_matters(bundle, name):
    original = (bundle / name).read_bytes()
    for index in range(len(original)):
        changed = bytearray(original)
        changed[index] ^= 1
        (bundle / name).write_bytes(changed)
        with pytest.raises(EvidenceError, match=f"{name} was altered"):
            check_manifest(bundle)


def test_a_file_cut_to_nothing_is_altered(bundle):
    (bundle / "plan.toml").write_bytes(b"")

    with pytest.raises(EvidenceError, match=r"plan\.toml was altered"):
        check_manifest(bundle)


def test_an_added_file_is_named(bundle):
    (bundle / "observations" / "extra.json").write_text("{}")

    with pytest.raises(EvidenceError, match=r"observations/extra\.json was added"):
        check_manifest(bundle)


def test_a_removed_file_is_named(bundle):
    (bundle / "plan.toml").unlink()

    with pytest.raises(EvidenceError, match=r"plan\.toml is missing"):
        check_manifest(bundle)


def test_a_renamed_file_is_missing_and_added(bundle):
    (bundle / "plan.toml").rename(bundle / "plan2.toml")

    with pytest.raises(EvidenceError, match=r"plan\.toml is missing; plan2\.toml was added"):
        check_manifest(bundle)


def test_two_files_that_change_places_are_altered(bundle):
    one, other = bundle / "plan.toml", bundle / "artifacts/logs/fleet.txt"
    contents = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(contents)

    with pytest.raises(EvidenceError, match=r"fleet\.txt was altered; plan\.toml was altered"):
        check_manifest(bundle)


def test_a_manifest_that_says_the_same_in_other_bytes_is_refused(bundle):
    manifest = bundle / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text())))

    with pytest.raises(EvidenceError, match=r"manifest\.json was rewritten"):
        check_manifest(bundle)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b'{"files": [1]}', b'{"files": 3}', b"\xff"])
def test_what_is_no_manifest_is_refused(bundle, data):
    (bundle / MANIFEST).write_bytes(data)

    with pytest.raises(EvidenceError, match="it is no manifest"):
        check_manifest(bundle)


def test_a_manifest_that_names_no_file_names_what_was_added(bundle):
    (bundle / MANIFEST).write_text('{"files": {}}')

    with pytest.raises(EvidenceError, match=r"plan\.toml was added"):
        check_manifest(bundle)


def test_a_bundle_without_a_manifest_never_ended(tmp_path):
    with pytest.raises(EvidenceError, match=r"holds no manifest\.json: it is no evidence bundle") as caught:
        check_manifest(tmp_path)
    assert "readiness teardown" in caught.value.hint


def test_the_schema_of_a_record_is_named_in_it():
    raw = TypeAdapter(Record).dump_python(a_record(), mode="json") | {"schema": "readiness.record/v0"}

    with pytest.raises(EvidenceError, match="it is no Record: schema"):
        from_json(Record, json.dumps(raw).encode(), "it")


# --- what is written after the seal ----------------------------------------------------------------------------------


@pytest.fixture
def decided_on(tmp_path):
    """A sealed bundle with a file that people put beside it."""
    writer = BundleWriter(tmp_path)
    writer.put("plan.toml", b"x")
    writer.put("report.html", b"x")
    writer.seal()
    writer.put("sign-off/ticks/0001-told.json", b"{}")
    seal_after(tmp_path, SIGN_OFF)
    return tmp_path


def test_what_comes_after_the_seal_is_no_part_of_the_bundle(decided_on):
    before = bundle_digest(decided_on)

    check_after(decided_on, SIGN_OFF)
    assert check_manifest(decided_on) == 2
    (decided_on / "sign-off" / "more").write_text("x")
    assert check_manifest(decided_on) == 2
    assert bundle_digest(decided_on) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "more").write_text("x"), "sign-off/more was added"),
        (lambda folder: (folder / "ticks/0001-told.json").write_text("x"), "told.json was altered"),
        (lambda folder: (folder / "ticks/0001-told.json").unlink(), "told.json is missing"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), "it is no manifest"),
        (lambda folder: (folder / MANIFEST).unlink(), "cannot be read"),
        (lambda folder: (folder.parent / MANIFEST).write_text("x"), "is about another bundle"),
    ],
    ids=["added", "altered", "missing", "no manifest", "none", "another bundle"],
)
def test_what_comes_after_the_seal_is_checked_against_its_own_manifest(decided_on, change, words):
    change(decided_on / "sign-off")

    with pytest.raises(EvidenceError, match=words):
        check_after(decided_on, SIGN_OFF)


def test_a_bundle_that_was_never_sealed_cannot_be_decided_on(tmp_path):
    BundleWriter(tmp_path).put("sign-off/ticks/0001-told.json", b"{}")

    with pytest.raises(EvidenceError, match=r"manifest\.json cannot be read"):
        seal_after(tmp_path, SIGN_OFF)


def test_a_bundle_that_nobody_decided_on_has_no_decision(tmp_path):
    assert read_decision(tmp_path) is None


def test_a_decision_that_is_unreadable_is_refused(decided_on):
    with pytest.raises(EvidenceError, match=r"decision\.json cannot be read"):
        read_decision(decided_on)


def test_the_files_of_a_bundle_are_the_same_before_and_after_it_is_sealed_and_decided_on(tmp_path):
    writer = BundleWriter(tmp_path)
    writer.put("plan.toml", b"x")
    before = files(tmp_path)
    for path in ("record.json", "report.html", "report.md", "go-no-go.md", "sign-off/x", "go-live/y"):
        writer.put(path, b"x")
    writer.seal()

    assert files(tmp_path) == before
    assert {"plan.toml", "report.md", "record.json"} <= before
    assert "report.html" not in before
