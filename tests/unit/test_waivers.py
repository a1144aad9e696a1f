"""The waiver register: every mistake names the file, the table and the key."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from readiness.decide import covers
from readiness.errors import PlanError
from readiness.model import Finding, Severity, Waiver
from readiness.waivers import add_waiver, load_waivers

ENTRY = {
    "rule": '"checkov/CKV_AWS_2"',
    "subject": '"ReadinessStack/Balancer/*"',
    "reason": '"the clone is reachable from its own network only"',
    "owner": '"Service team"',
    "approver": '"Security reviewer"',
    "ticket": '"SEC-1"',
    "created": "2026-01-01",
    "expires": "2026-03-01",
}


def register(folder: Path, *entries: dict[str, str], before: str = "") -> Path:
    path = folder / "waivers.toml"
    tables = ("[[waivers]]\n" + "".join(f"{key} = {value}\n" for key, value in entry.items()) for entry in entries)
    path.write_text(before + "\n".join(tables), encoding="utf-8")
    return path


def finding(rule: str = "checkov/CKV_AWS_2", subject: str = "ReadinessStack/Balancer/Listener") -> Finding:
    return Finding(rule=rule, subject=subject, severity=Severity.HIGH, message="plain")


def test_no_register_waives_nothing(tmp_path: Path):
    assert load_waivers(tmp_path / "none.toml") == ()


def test_an_empty_register_waives_nothing(tmp_path: Path):
    assert load_waivers(register(tmp_path)) == ()


def test_a_whole_entry_is_a_waiver(tmp_path: Path):
    (waiver,) = load_waivers(register(tmp_path, ENTRY))

    assert (waiver.owner, waiver.approver, waiver.expires) == ("Service team", "Security reviewer", date(2026, 3, 1))


def test_an_expired_waiver_is_read_all_the_same(tmp_path: Path):
    assert len(load_waivers(register(tmp_path, ENTRY | {"created": "2020-01-01", "expires": "2020-01-02"}))) == 1


@pytest.mark.parametrize("key", [key for key in ENTRY if key != "ticket"])
def test_an_entry_without_a_key_is_refused_by_its_name(tmp_path: Path, key: str):
    entry = {name: value for name, value in ENTRY.items() if name != key}

    with pytest.raises(PlanError, match=rf"waivers\.toml:\d+: waivers\[1\]\.{key}: is required and missing"):
        load_waivers(register(tmp_path, ENTRY | {"rule": '"a/b"'}, entry))


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"approver": '"service  TEAM"'}, "approver", "nobody approves their own"),
        ({"approver": '""'}, "approver", "is empty"),
        ({"owner": '" "'}, "owner", "is empty"),
        ({"subject": '""'}, "subject", "is empty"),
        ({"rule": '"*"'}, "rule", "names no scanner"),
        ({"expires": "2025-12-31"}, "expires", "is before created"),
        ({"expires": "2026-04-02"}, "expires", "runs 91 days; the plan allows 90"),
        ({"reason": '"because"'}, "reason", "at least 10 characters"),
        ({"expires": '"soon"'}, "expires", "date"),
        ({"colour": '"red"'}, "colour", "is not a key"),
    ],
)
def test_a_wrong_entry_is_refused_with_table_and_key(tmp_path: Path, change: dict[str, str], key: str, words: str):
    with pytest.raises(PlanError, match=words) as caught:
        load_waivers(register(tmp_path, ENTRY | change))

    assert caught.value.key == f"waivers[0].{key}"
    assert caught.value.file.endswith("waivers.toml")


def test_the_plan_says_how_long_a_waiver_may_run(tmp_path: Path):
    path = register(tmp_path, ENTRY)

    assert load_waivers(path, max_age=timedelta(days=59))
    with pytest.raises(PlanError, match="the plan allows 58"):
        load_waivers(path, max_age=timedelta(days=58))


def test_the_same_waiver_twice_is_refused(tmp_path: Path):
    with pytest.raises(PlanError, match=r"waivers\[1\]\.subject: .* is already waivers\[0\]"):
        load_waivers(register(tmp_path, ENTRY, ENTRY | {"owner": '"Somebody"'}))


@pytest.mark.parametrize("before", ["[waiver]\nrule = 'a/b'\n", "rule = 'a/b'\n"])
def test_another_table_is_refused(tmp_path: Path, before: str):
    with pytest.raises(PlanError, match=r"\[\[waivers\]\]"):
        load_waivers(register(tmp_path, before=before))


def test_what_is_no_toml_is_refused(tmp_path: Path):
    with pytest.raises(PlanError, match="is no valid TOML"):
        load_waivers(register(tmp_path, before="[[waivers"))


@pytest.mark.parametrize(
    ("change", "other", "is_named"),
    [
        ({}, finding(), True),
        ({"rule": '"checkov/*"'}, finding(), True),
        ({"subject": '"ReadinessStack/Balancer/Listener"'}, finding(), True),
        ({"subject": '"Logs[0]"'}, finding(subject="Logs[0]"), True),
        ({"subject": '"readinessstack/*"'}, finding(), False),
        ({}, finding(rule="checkov/CKV_AWS_20"), False),
        ({}, finding(subject="Other/Listener"), False),
    ],
)
def test_a_waiver_names_a_finding_by_rule_and_subject(
    tmp_path: Path, change: dict[str, str], other: Finding, is_named: bool
):
    (waiver,) = load_waivers(register(tmp_path, ENTRY | change))

    assert covers(waiver, other) is is_named


# --- writing ---------------------------------------------------------------------------------------------------------


def a_new_waiver(**changes: object) -> Waiver:
    given = {
        "rule": "checkov/CKV_AWS_9",
        "subject": 'Stack/"odd\\name"/*',
        "reason": "two lines\nof a reason – with a dash",
        "owner": "Service team",
        "approver": "Security reviewer",
        "created": date(2026, 1, 1),
        "expires": date(2026, 2, 1),
    }
    return Waiver(**{**given, **changes})  # type: ignore[arg-type]


def test_a_waiver_is_added_and_what_was_there_stays_as_it_was(tmp_path: Path):
    path = register(tmp_path, ENTRY, before="# why this file exists\n")
    before = path.read_text(encoding="utf-8")

    add_waiver(path, a_new_waiver())

    assert path.read_text(encoding="utf-8").startswith(before)
    assert load_waivers(path)[1] == a_new_waiver()
    assert [each.name for each in tmp_path.iterdir()] == ["waivers.toml"]


def test_the_first_waiver_makes_the_register(tmp_path: Path):
    add_waiver(tmp_path / "waivers.toml", a_new_waiver(ticket="SEC-2"))

    assert load_waivers(tmp_path / "waivers.toml") == (a_new_waiver(ticket="SEC-2"),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"approver": " service  TEAM"}, "is the owner"),
        ({"expires": date(2026, 12, 1)}, "the plan allows 90"),
        ({"expires": date(2025, 12, 1)}, "is before created"),
        ({"rule": "CKV_AWS_9"}, "names no scanner"),
        ({"rule": "checkov/CKV_AWS_2", "subject": "ReadinessStack/Balancer/*"}, "is already"),
    ],
)
def test_a_waiver_that_is_not_valid_is_refused_and_the_register_left_alone(
    tmp_path: Path, changes: dict[str, object], words: str
):
    path = register(tmp_path, ENTRY)
    before = path.read_bytes()

    with pytest.raises(PlanError, match=rf"waivers\.toml: waivers\[2?1?\]\.\w+: .*{words}"):
        add_waiver(path, a_new_waiver(**changes))

    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["waivers.toml"]


# --- false positives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"disposition": '"false-positive"'}, "waivers[0].evidence: is missing"),
        ({"disposition": '"false-positive"', "evidence": '"        no       "'}, "waivers[0].evidence: is missing"),
        ({"evidence": '"the code says otherwise"'}, "waivers[0].evidence: is given"),
        ({"disposition": '"fixed"'}, "waivers[0].disposition"),
    ],
)
def test_a_false_positive_needs_its_proof_and_only_it_may_have_one(tmp_path: Path, change: dict[str, str], key: str):
    with pytest.raises(PlanError) as caught:
        load_waivers(register(tmp_path, ENTRY | change))
    assert key in str(caught.value)


def test_a_false_positive_is_written_and_read(tmp_path: Path):
    proof = {"disposition": '"false-positive"', "evidence": '"the listener redirects, see stacks/service.py"'}
    (entry,) = load_waivers(register(tmp_path, ENTRY | proof))

    add_waiver(tmp_path / "again.toml", entry)

    assert load_waivers(tmp_path / "again.toml") == (entry,)
    assert entry.disposition == "false-positive"


@pytest.mark.parametrize(
    "approver", ["service team", " Service  team ", "ＳＥＲＶＩＣＥ team", "Service\u200b team", "Ser\u00advice team"]
)
def test_nobody_approves_their_own_however_they_write_their_name(tmp_path: Path, approver: str):
    with pytest.raises(PlanError, match="nobody approves"):
        load_waivers(register(tmp_path, ENTRY | {"approver": f'"{approver}"'}))


@pytest.mark.parametrize("rule", ["go-live/*", "*/*", "go-live/not-go", "go-live/other-digest"])
def test_nobody_waives_that_something_else_is_live_than_was_approved(tmp_path: Path, rule: str):
    with pytest.raises(PlanError, match="which nobody can accept"):
        load_waivers(register(tmp_path, ENTRY | {"rule": f'"{rule}"'}))
