"""The plan: every mistake names the file, the table and the key."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from readiness import keys, plan
from readiness.errors import PlanError
from readiness.model import Objective, Plan
from tests.unit.samples import PLAN, Settings, a_plan, tables

REPOSITORY = Path(__file__).parents[2]


def toml_value(value: Any) -> str:
    """Return *value* as TOML spells it, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {toml_value(each)}' for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def put(path: str, value: Any) -> Any:
    """Return a change of the plan's tables: the key at *path* (dots and indices) gets *value*."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]

    def change(raw: Any) -> None:
        for parent in parents:
            raw = raw.setdefault(parent, {}) if isinstance(raw, dict) else raw[parent]
        raw[last] = value

    return change


def drop(path: str) -> Any:
    """Return a change of the plan's tables: there is no key at *path*."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]

    def change(raw: Any) -> None:
        for parent in parents:
            raw = raw[parent]
        del raw[last]

    return change


def drop_kind(kind: str) -> Any:
    def change(raw: Any) -> None:
        raw["objectives"] = [each for each in raw["objectives"] if each["kind"] != kind]
        raw["drills"]["alarms"]["each"][0]["objective"] = raw["objectives"][0]["id"]
        raw["objectives"][0].setdefault("alarm", {"runbook": "runbooks/a.md"})

    return change


def load(folder: Path, change: Any = lambda raw: None) -> Plan:
    """Write the sample plan with a change, and read it from its file as a user's would be."""
    raw = tables()
    change(raw)
    file = folder / "plan.toml"
    file.write_text("\n".join(f"{key} = {toml_value(value)}" for key, value in raw.items()))
    return plan.load_plan(file)


TOLD = {"id": "told", "text": "Everybody was told"}
GOOD = {"id": "good", "type": "acceptance", "text": "All is good", "go_live": True}


def refusal(folder: Path, change: Any) -> PlanError:
    with pytest.raises(PlanError) as caught:
        load(folder, change)
    assert str(caught.value).startswith(f"{folder / 'plan.toml'}: {caught.value.key}: ")
    return caught.value


def test_the_sample_plan_is_read_from_a_file_as_from_its_tables(tmp_path):
    assert load(tmp_path) == a_plan()


def test_the_plan_of_this_repository_is_valid():
    assert plan.load_plan(REPOSITORY / "readiness.toml").gates.required


MISSING = [
    "objectives",
    "objectives.0.threshold",
    "objectives.0.percentile",
    "objectives.0.id",
    "objectives.1.max_ratio",
    "objectives.2.min_per_s",
    "objectives.0.alarm.runbook",
    "service",
    "service.image",
    "workload",
    "workload.hold",
    "workload.arrivals.rate_per_s",
    "workload.scenarios",
    "workload.scenarios.0.path",
    "drills",
    "drills.alarms",
    "drills.alarms.each",
    "gates",
    "gates.required",
    "owners",
]


@pytest.mark.parametrize("path", MISSING)
def test_a_missing_key_is_named(tmp_path, path):
    key = ".".join(f"[{part}]" if part.isdigit() else part for part in path.split(".")).replace(".[", "[")

    error = refusal(tmp_path, drop(path))

    assert error.key == key
    assert "is required and missing" in error.message


@pytest.mark.parametrize(
    ("path", "value", "key", "words"),
    [
        ("colour", "red", "colour", "is not a key of the plan"),
        ("service.colour", "red", "service.colour", "is not a key of the plan"),
        ("objectives.0.max_ratio", 0.1, "objectives[0].max_ratio", "is not a key of the plan"),
        ("workload.arrivals.users", 3, "workload.arrivals.users", "is not a key of the plan"),
        ("workload.hold", 30, "workload.hold", "has no unit"),
        ("workload.hold", "30", "workload.hold", "is no duration"),
        ("workload.hold", "-PT30S", "workload.hold", "greater than or equal"),
        ("workload.hold", "999999999999d", "workload.hold", "longer than any run"),
        ("workload.hold", "0s", "workload.hold", "nothing would be measured"),
        ("objectives.0.threshold", 250, "objectives[0].threshold", "has no unit"),
        ("objectives.0.percentile", 100, "objectives[0].percentile", "less than 100"),
        ("objectives.1.max_ratio", float("nan"), "objectives[1].max_ratio", "finite"),
        ("objectives.1.max_ratio", 1.01, "objectives[1].max_ratio", "less than or equal to 1"),
        ("objectives.2.min_per_s", float("inf"), "objectives[2].min_per_s", "finite"),
        ("objectives.2.min_per_s", 0, "objectives[2].min_per_s", "greater than 0"),
        ("objectives.0.min_samples", 0, "objectives[0].min_samples", "greater than 0"),
        ("objectives.0.kind", "speed", "objectives[0]", "kind 'speed' is none of 'latency'"),
        ("objectives.2.scenario", "checkout", "objectives[2].scenario", "'checkout' is not in workload.scenarios"),
        ("objectives.0.scenario", "home", "objectives[0].alarm", "the load balancer does not know it"),
        ("objectives.0.part", "proxy", "objectives[0].alarm", "of one part"),
        ("objectives.0.alarm.period", "30s", "objectives[0].alarm.period", "no multiple of 60 s"),
        ("objectives.2.tag", "chat", "objectives[2].tag", "no scenario has the tag 'chat'"),
        ("objectives.2.level", "warn", "objectives", "has no objective of kind 'throughput' that can fail the gate"),
        ("objectives.2.for", "11s", "objectives[2].for", "longer than workload.hold"),
        ("objectives.2.for", "1500ms", "objectives[2].for", "no whole number of seconds"),
        ("workload.hold", "999ms", "workload.hold", "below 1 s"),
        ("workload.cache_header", "X CACHE", "workload.cache_header", "no name of an HTTP header"),
        ("workload.arrivals.max_in_flight", 1, "workload.arrivals.max_in_flight", "below fleet.workers (2)"),
        ("workload.arrivals", {"kind": "closed", "users": 1}, "workload.arrivals.users", "below fleet.workers (2)"),
        (
            "workload.arrivals.steps",
            [{"rate_per_s": 5, "hold": "0s"}],
            "workload.arrivals.steps[0].hold",
            "would have no figures",
        ),
        ("workload.scenarios.0.unique_ratio", 0.5, "workload.scenarios[0].unique_ratio", "has none"),
        ("workload.scenarios.0.variables", {"a": []}, "workload.scenarios[0].variables.a", "has no values"),
        ("workload.scenarios.0.expect_status", [], "workload.scenarios[0].expect_status", "as expected"),
        ("workload.scenarios.0.body_file", "../secret", "workload.scenarios[0].body_file", "pattern"),
        ("workload.scenarios.0.expect_body_matches", "(", "workload.scenarios[0].expect_body_matches", "no regular"),
        ("workload.scenarios.0.headers", {"A:": "b"}, "workload.scenarios[0].headers", "no name of an HTTP header"),
        ("workload.scenarios.0.expect_headers", {"": "b"}, "workload.scenarios[0].expect_headers", "no name"),
        ("objectives.1.id", "latency", "objectives[1].id", "taken by an earlier objective"),
        ("objectives.0.id", "Not An Id", "objectives[0].id", "pattern"),
        ("objectives.0.alarm.datapoints_to_alarm", 2, "objectives[0].alarm.datapoints_to_alarm", "could not fire"),
        ("objectives", [], "objectives", "at least 1 item"),
        ("workload.arrivals.kind", "half-open", "workload.arrivals", "kind 'half-open' is none of 'open', 'closed'"),
        ("workload.scenarios", [], "workload.scenarios", "at least 1 item"),
        ("workload.scenarios.0.path", "home", "workload.scenarios[0].path", "pattern"),
        ("drills.alarms.each.0.objective", "throughput", "drills.alarms.each[0].objective", "has no alarm"),
        ("drills.alarms.each.0.objective", "nothing", "drills.alarms.each[0].objective", "has no alarm"),
        ("drills.alarms.each.0.method", "pray", "drills.alarms.each[0].method", "fault-errors"),
        ("drills.rollback.bad", [{"kind": "errors"}], "drills.rollback.bad[0]", "is no bad release"),
        ("drills.rollback.bad", [{"kind": "crash", "image": "x"}], "drills.rollback.bad", "no release of kind"),
        ("owners", {}, "owners", "names nobody"),
        ("owners.release.name", " ", "owners.release.name", "is empty"),
        ("owners.release.public_key", "ssh-rsa AAAA", "owners.release.public_key", "is no public key"),
        ("checklist", [TOLD, TOLD], "checklist[1].id", "taken by an earlier item"),
        ("checklist", [{**TOLD, "owner": "releaze"}], "checklist[0].owner", "did you mean 'release'?"),
        ("checklist", [{**TOLD, "measurement": "p95"}], "checklist[0].measurement", "without the gate"),
        ("criteria", [GOOD, GOOD], "criteria[1].id", "taken by an earlier criterion"),
        ("criteria", [{**GOOD, "go_live": False}], "criteria[0]", "names nothing that could show it"),
        ("criteria", [{**GOOD, "type": "wish"}], "criteria[0].type", "'acceptance' or 'definition-of-done'"),
        ("criteria", [{**GOOD, "checklist": ["told"]}], "criteria[0].checklist", "no item in [[checklist]] 'told'"),
        ("criteria", [{**GOOD, "checklist": ["*"]}], "criteria[0].checklist", "and the plan has none"),
        ("criteria", [{**GOOD, "signed": ["relase"]}], "criteria[0].signed", "did you mean 'release'?"),
        ("criteria", [{**GOOD, "figures": ["p95"]}], "criteria[0].figures[0]", "pattern"),
        ("criteria", [{**GOOD, "not_waived": ["CRITICAL"]}], "criteria[0].not_waived", "names none"),
        ("gates.required", [], "gates.required", "at least 1 item"),
        ("gates.required", "load", "gates.required", "tuple"),
        ("blocking_severities", [], "blocking_severities", "leaves out CRITICAL"),
        ("blocking_severities", ["CRITICAL"], "blocking_severities", "leaves out HIGH"),
        ("fleet.secrets", {"KEY": "NOT_THERE"}, "fleet.secrets.KEY", "'NOT_THERE', which service.secrets"),
        ("service.secrets.OTHER", "generated", "service.secrets.OTHER", "refers to no secret"),
        ("service.secrets.OTHER", "database-password", "service.secrets.OTHER", "the plan has no [database]"),
        ("service.secrets.OTHER", "cache-token", "service.secrets.OTHER", "the plan has no [cache]"),
        ("service.max_count", 1, "service.max_count", "below service.desired_count"),
        ("service.port", 65536, "service.port", "less than 65536"),
        ("service", 3, "service", "dictionary"),
        ("database", {"min_acu": 4, "max_acu": 2}, "database.max_acu", "below database.min_acu"),
        ("budget", {"clone_lifetime": "1h", "wall_clock": "2h"}, "budget.clone_lifetime", "would be reaped"),
        ("budget.wall_clock", "0s", "budget.wall_clock", "is 0 s"),
        ("aws.production_accounts", ["12"], "aws.production_accounts[0]", "pattern"),
        ("embedded.time_scale", 0.5, "embedded.time_scale", "greater than or equal to 1"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_wrong(tmp_path, path, value, key, words):
    error = refusal(tmp_path, put(path, value))

    assert error.key == key
    assert words in str(error)


def test_an_objective_without_a_kind_is_told_what_is_missing(tmp_path):
    error = refusal(tmp_path, drop("objectives.0.kind"))

    assert error.key == "objectives[0]"
    assert "has no `kind`" in error.message


@pytest.mark.parametrize("kind", ["latency", "errors", "throughput"])
def test_a_plan_without_a_threshold_of_each_kind_is_refused(tmp_path, kind):
    error = refusal(tmp_path, drop_kind(kind))

    assert error.key == "objectives"
    assert f"has no objective of kind {kind!r}" in error.message
    assert "fixed beforehand" in error.hint


def test_two_scenarios_of_one_name_are_refused(tmp_path):
    error = refusal(tmp_path, lambda raw: raw["workload"]["scenarios"].append({"name": "home", "path": "/2"}))

    assert error.key == "workload.scenarios[1].name"
    assert "taken by an earlier scenario" in error.message


def test_all_mistakes_are_named_at_once(tmp_path):
    def change(raw):
        raw["service"]["colour"] = "red"
        raw["workload"]["hold"] = 30

    error = refusal(tmp_path, change)

    assert error.key == "service.colour"
    assert "\n  also workload.hold: 30 has no unit" in error.message
    assert "--schema" in error.hint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("service.secrets.OTHER", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other"),
        ("drills.rollback", {"bad": [{"kind": "errors", "image": "shop:broken"}]}),
        ("blocking_severities", ["CRITICAL", "HIGH", "MEDIUM"]),
        ("objectives.2.scenario", "home"),
        ("objectives.2.for", "10s"),
        ("objectives.2.abort_on_breach", True),
        ("workload.arrivals", {"kind": "locustfile", "file": "locustfile.py", "users": 2}),
        ("workload.arrivals.steps", [{"rate_per_s": 5, "hold": "1s"}, {"rate_per_s": 9, "ramp": "1s", "hold": "2s"}]),
        ("workload.arrivals", {"kind": "closed", "users": 3, "think_time": "1s"}),
        ("workload.hold", "PT1M"),
        ("service.max_count", 2),
        ("database", {"min_acu": 2, "max_acu": 2}),
        ("budget", {"clone_lifetime": "2h", "wall_clock": "2h"}),
        ("objectives.0.alarm", {"runbook": "a.md", "evaluation_periods": 2, "datapoints_to_alarm": 2}),
    ],
)
def test_what_a_plan_may_say_is_accepted(tmp_path, path, value):
    load(tmp_path, put(path, value))


@pytest.mark.parametrize(("table", "source"), [("database", "database-password"), ("cache", "cache-token")])
def test_a_secret_of_a_store_that_the_plan_has_is_accepted(tmp_path, table, source):
    def change(raw):
        raw[table] = {}
        raw["service"]["secrets"]["OTHER"] = source

    assert load(tmp_path, change).service.secrets["OTHER"] == source


def test_an_alarm_on_hosts_needs_no_load_threshold(tmp_path):
    hosts = {"kind": "unhealthy-hosts", "id": "hosts", "max_hosts": 0, "alarm": {"runbook": "runbooks/hosts.md"}}

    found: tuple[Objective, ...] = load(tmp_path, lambda raw: raw["objectives"].append(hosts)).objectives

    assert found[-1].id == "hosts"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PlanError, match=r"none\.toml: there is no such file\n  Name another with --plan\."):
        plan.load_plan(tmp_path / "none.toml")


def test_a_folder_is_no_plan(tmp_path):
    with pytest.raises(PlanError, match="cannot be read"):
        plan.load_plan(tmp_path)


@pytest.mark.parametrize(
    ("data", "words"), [(b"[service", "is no valid TOML"), (b"\xff\xfe", "cannot be read"), (b"", "is required")]
)
def test_what_is_no_plan_is_refused(tmp_path, data, words):
    file = tmp_path / "plan.toml"
    file.write_bytes(data)

    with pytest.raises(PlanError, match=words):
        plan.load_plan(file)


def test_the_settings_of_a_gate_are_named_below_their_table():
    with pytest.raises(PlanError) as caught:
        plan.parse(Settings, {"limit": "high"}, "plan.toml", "gates.settings.numbers")

    assert caught.value.key == "gates.settings.numbers.limit"


def test_settings_are_read_as_the_plan_spells_them():
    assert plan.parse(Settings, {"patience": "2d"}, "plan.toml").patience == timedelta(days=2)


def test_the_digest_is_of_the_bytes(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(PLAN)
    other.write_text(PLAN + " ")

    assert plan.digest(one).startswith("sha256:")
    assert plan.digest(one) != plan.digest(other)


def test_an_objective_is_of_a_scenario_or_of_a_tag(tmp_path):
    def change(raw):
        raw["workload"]["scenarios"][0]["tags"] = ["front"]
        raw["objectives"][2] |= {"scenario": "home", "tag": "front"}

    assert refusal(tmp_path, change).key == "objectives[2].tag"


def test_a_body_has_one_source(tmp_path):
    change = put("workload.scenarios.0", {"name": "home", "path": "/", "body": "a", "body_file": "a.json"})

    assert refusal(tmp_path, change).key == "workload.scenarios[0].body_file"


def test_a_split_latency_needs_the_header_that_splits_it(tmp_path):
    proxy = {"kind": "latency", "id": "proxy", "percentile": 99, "threshold": "5ms", "part": "proxy"}

    def change(raw):
        raw["objectives"].append(proxy)

    assert load(tmp_path, change).objectives[-1].id == "proxy"


def test_a_hopeless_closed_load_is_told_by_lasting_breaches_alone(tmp_path):
    def change(raw):
        raw["workload"]["arrivals"] = {"kind": "closed", "users": 3}
        raw["objectives"][2]["abort_on_breach"] = True

    assert refusal(tmp_path, change).key == "objectives[2].abort_on_breach"
    assert load(tmp_path, lambda raw: (change(raw), put("objectives.2.for", "2s")(raw)))


def test_the_scenarios_of_a_locustfile_are_its_own(tmp_path):
    def change(raw):
        raw["workload"]["arrivals"] = {"kind": "locustfile", "file": "l.py", "users": 2}
        raw["objectives"][2]["scenario"] = "GET /cart"

    assert load(tmp_path, change).objectives[2].scenario == "GET /cart"


def test_one_key_for_two_roles_is_refused_however_it_is_written(tmp_path):
    _, public = keys.new_private()

    def change(raw):
        raw["owners"]["release"]["public_key"] = public
        raw["owners"]["security"] = {"name": "Grace", "public_key": f"{public} grace@example"}

    error = refusal(tmp_path, change)

    assert error.key == "owners.security.public_key"
    assert "is the key of release too" in str(error)
