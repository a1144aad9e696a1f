"""The plan's schema and its reference page: every key has a meaning, and what is committed is what the code says."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomlkit

from readiness import gates, plan, plan_page, plan_schema, published, record_schema
from readiness.errors import PlanError
from readiness.model import record

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return plan_schema.schema()


def keys(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for key, each in schema.get("properties", {}).items():
            yield f"{path}.{key}", each
        for name, each in schema.items():
            yield from keys(each, f"{path}/{name}")
    elif isinstance(schema, list):
        for each in schema:
            yield from keys(each, path)


def test_every_key_has_a_meaning(schema):
    found = list(keys(schema))

    assert len(found) > 150
    assert [path for path, each in found if not each.get("description", "").strip()] == []


def test_every_setting_of_every_gate_is_a_key(schema):
    settings = schema["$defs"]["Gates"]["properties"]["settings"]["properties"]

    assert set(settings) == {gate.id for gate in gates.all_gates()}
    assert "rate_tolerance_ratio" in settings["load"]["properties"]


@pytest.mark.parametrize("name", published.files())
def test_what_is_committed_is_what_the_records_say(name):
    assert (REPOSITORY / name).read_text() == published.files()[name], f"{name} is stale: run `make generate`"


def test_every_key_stands_on_the_page(schema):
    page = plan_page.page(schema)

    for path, _ in keys(schema):
        assert f"| `{path.rpartition('.')[2]}` |" in page or "/settings." in path


def test_every_link_of_the_page_leads_to_a_heading(schema):
    page = plan_page.page(schema)
    headings = {plan_page.anchor(line.lstrip("# ")) for line in page.splitlines() if line.startswith("#")}
    links = {part.partition(")")[0] for part in page.split("](#")[1:]}

    assert links - headings == set()
    assert len(links) > 40


def test_the_schema_is_one_and_the_plan_of_this_repository_is_valid_by_it(schema):
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.validate(tomllib.loads((REPOSITORY / "readiness.toml").read_text()), schema)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("service", "prot"), 8080),
        (("workload", "hold"), "30"),
        (("workload", "hold"), 30),
        (("service", "port"), 0),
        (("objectives", 0, "kind"), "speed"),
        (("workload", "arrivals", "kind"), "half-open"),
        (("gates", "settings"), {"load": {"max_lag": 1}}),
        (("gates", "settings"), {"colours": {}}),
        (("blocking_severities",), ["BAD"]),
        (("drills", "rollback", "bad"), []),
    ],
)
def test_what_the_harness_refuses_an_editor_marks(schema, path, value):
    raw = tomllib.loads((REPOSITORY / "readiness.toml").read_text())
    below = raw
    for part in path[:-1]:
        below = below.setdefault(part, {}) if isinstance(below, dict) else below[part]
    below[path[-1]] = value

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(raw, schema)


def test_the_plan_names_its_schema_for_editors():
    first = (REPOSITORY / "readiness.toml").read_text().splitlines()[0]

    assert first.startswith("#:schema ")
    assert (REPOSITORY / first.removeprefix("#:schema ")).is_file()


def test_a_default_is_what_the_harness_takes(schema):
    service = schema["$defs"]["Service"]["properties"]

    assert service["health_check_interval"]["default"] == "10s"
    assert "default" not in service["certificate_arn"]
    assert service["canary"]["default"] == {}


def test_words_come_from_the_list_of_attributes_and_from_below_a_field():
    @record
    class Some:
        """A thing.

        Attributes:
            one: The first,
                in two lines.
        """

        one: int
        two: int
        """The ``second``."""

    assert record_schema.described(Some) == {"one": "The first, in two lines.", "two": "The `second`."}
    assert record_schema.summary(Some) == "A thing."


# --- mistakes, with their lines --------------------------------------------------------------------------------------


def said(folder: Path, change) -> str:
    raw = tomlkit.parse((REPOSITORY / "readiness.toml").read_text())
    change(raw)
    file = folder / "readiness.toml"
    file.write_text(tomlkit.dumps(raw))
    with pytest.raises(PlanError) as caught:
        plan.load_plan(file)
    return str(caught.value).replace(f"{folder}/", "")


def line_of(folder: Path, text: str) -> int:
    rows = (folder / "readiness.toml").read_text().splitlines()
    return next(number for number, row in enumerate(rows, 1) if text in row)


def test_a_misspelt_key_is_told_once_with_its_line_and_the_right_spelling(tmp_path):
    def change(raw):
        raw["service"]["prot"] = raw["service"].pop("port")

    words = said(tmp_path, change)

    line = line_of(tmp_path, "prot = 8080")
    assert words.startswith(f"readiness.toml:{line}: service.prot: is not a key of [service]; did you mean 'port'?\n")
    assert "is required and missing" not in words


def test_a_misspelt_table_is_told_with_its_line(tmp_path):
    def change(raw):
        raw["budgt"] = raw.pop("budget")

    assert "budgt: is not a key of the plan; did you mean 'budget'?" in said(tmp_path, change)


def test_a_wrong_word_is_told_with_those_that_are_allowed_and_the_nearest(tmp_path):
    def change(raw):
        raw["drills"]["alarms"]["each"] = [{"objective": "error-ratio", "method": "fault-error"}]

    words = said(tmp_path, change)

    line = line_of(tmp_path, 'method = "fault-error"')
    assert f"readiness.toml:{line}: drills.alarms.each[0].method: is 'fault-error'; allowed is 'fault-errors'" in words
    assert "did you mean 'fault-errors'?" in words


def test_all_mistakes_are_told_at_once_each_on_its_line_in_the_order_of_the_file(tmp_path):
    def change(raw):
        raw["fleet"]["workers"] = "two"
        raw["service"]["port"] = 70000
        raw["objectives"][0]["percentil"] = 3

    lines = [row for row in said(tmp_path, change).splitlines() if row.startswith("readiness.toml:")]

    assert [int(row.split(":")[1]) for row in lines] == sorted(int(row.split(":")[1]) for row in lines)
    assert [row.split(": ")[1] for row in lines] == ["service.port", "objectives[0].percentil", "fleet.workers"]
    assert lines[0].endswith("is 70000; allowed is less than 65536")
    assert lines[2].endswith("is 'two'; allowed is a whole number")


def test_mistakes_that_only_the_whole_shows_are_told_at_once_too(tmp_path):
    def change(raw):
        raw["service"]["max_count"] = 1
        raw["drills"]["alarms"]["each"] = [{"objective": "latency-p59", "method": "set-state"}]
        raw["budget"]["wall_clock"] = "0s"

    words = said(tmp_path, change)

    assert "service.max_count: is 1, below service.desired_count (2)" in words
    assert "'latency-p59' has no alarm; did you mean 'latency-p95'?" in words
    assert "budget.wall_clock: is 0 s" in words
    assert words.count("readiness.toml:") == 3


def test_a_file_that_is_no_toml_is_told_with_its_line(tmp_path):
    file = tmp_path / "readiness.toml"
    file.write_text("[service]\nname = shop\n")

    with pytest.raises(PlanError, match=r"readiness\.toml:2: is no valid TOML"):
        plan.load_plan(file)
