"""summary.json: small, complete, and as its published schema says."""

from __future__ import annotations

import json
from importlib import resources

import jsonschema
import pytest

from readiness.model import Disposed, Disposition, Gap, Measurement, Outcome, Severity
from readiness.report import as_summary
from tests.unit.samples import a_finding, a_judgement, a_record, a_result

PUBLISHED = json.loads(resources.files("readiness").joinpath("data/summary.schema.json").read_text("utf-8"))


def told(*results, **changes) -> dict:
    return json.loads(as_summary(a_record(*results, **changes), "shop"))


def full() -> dict:
    finding = a_finding("Shop/Bucket")
    judgement = a_judgement(
        finding,
        gaps=(Gap(what="the inbox", why="was silent"),),
        measurements=(
            Measurement(name="latency-p95", value=180.0, unit="ms", samples=900, threshold=250.0, comparison="<="),
            Measurement(name="plain", value=1.0, unit="ms", samples=1),
        ),
    )
    disposed = (
        Disposed(finding=finding, disposition=Disposition.OPEN),
        Disposed(finding=a_finding("Shop/Other"), disposition=Disposition.WAIVED),
    )
    return told(
        a_result("load", outcome=Outcome.FAILED, judgement=judgement, findings=disposed), required=("load", "alarms")
    )


@pytest.mark.parametrize("made", [told(), full()])
def test_it_is_as_its_published_schema_says(made):
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)
    jsonschema.Draft202012Validator(PUBLISHED).validate(made)
    assert set(made) == set(PUBLISHED["properties"]) == set(PUBLISHED["required"])


@pytest.mark.parametrize("change", [{"verdict": "MAYBE"}, {"outcome": "ok"}, {"schema": "other"}, {"gates": [{}]}])
def test_the_published_schema_refuses_what_is_never_written(change):
    assert not jsonschema.Draft202012Validator(PUBLISHED).is_valid(full() | change)


def test_a_later_version_may_add_keys():
    assert jsonschema.Draft202012Validator(PUBLISHED).is_valid(full() | {"more": 1})


def test_it_counts_findings_and_gaps_and_tells_thresholds_with_what_was_measured():
    made = full()

    assert made["findings"]["waived"] == 1
    assert sum(made["findings"]["open"].values()) == 1
    assert set(made["findings"]["open"]) == set(Severity)
    assert made["gaps"] == 1
    (threshold,) = made["thresholds"]
    assert (threshold["name"], threshold["value"], threshold["threshold"], threshold["met"]) == (
        "latency-p95",
        180.0,
        250.0,
        True,
    )


def test_a_required_gate_that_was_not_asked_is_told_as_such():
    assert [(each["id"], each["outcome"]) for each in full()["gates"]] == [("load", "failed"), ("alarms", "not-asked")]
