"""The in-toto statement: what other tools gate on never says more than the record."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from readiness.model import Environment, Gap, Outcome
from readiness.report.statement import statement
from tests.unit.samples import a_finding, a_judgement, a_record, a_result

BLIND = a_judgement(gaps=(Gap(what="x", why="y"),))


def said(*results, **changes):
    return json.loads(statement(a_record(*results, **changes)))


def test_it_is_a_test_result_with_the_configuration_s_digests():
    told = said(a_result(), plan_digest="sha256:aa", waivers_digest="sha256:bb")

    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    plan, waivers = told["predicate"]["configuration"]
    assert (plan["name"], plan["digest"]) == ("plan.toml", {"sha256": "aa"})
    assert (waivers["name"], waivers["digest"]) == ("waivers.toml", {"sha256": "bb"})
    assert plan["annotations"]["environment"] == "emulated"


@pytest.mark.parametrize(
    ("outcome", "environment", "result"),
    [
        (Outcome.PASSED, Environment.AWS, "PASSED"),
        (Outcome.PASSED, Environment.EMULATED, "WARNED"),
        (Outcome.INCONCLUSIVE, Environment.AWS, "FAILED"),
        (Outcome.FAILED, Environment.EMULATED, "FAILED"),
    ],
)
def test_only_what_passed_on_aws_is_passed(outcome, environment, result):
    assert said(a_result(), outcome=outcome, environment=environment)["predicate"]["result"] == result


def test_a_gate_that_was_blind_or_not_asked_failed():
    results = (a_result("numbers"), a_result("words", BLIND), a_result("load", a_judgement(a_finding())))
    beside = (a_result("probe", required=False), a_result("waivers", BLIND, required=False))

    predicate = said(*results, *beside, required=("numbers", "words", "load", "alarms"))["predicate"]

    assert predicate["passedTests"] == ["numbers", "probe"]
    assert predicate["warnedTests"] == ["waivers"]
    assert predicate["failedTests"] == ["words", "load", "alarms"]


def test_its_subjects_are_what_was_judged():
    record = a_record(a_result())
    candidate = replace(
        record.candidate,
        commit="c0ffee" + "0" * 34,
        template_digests={"shop.template.json": "sha256:cc"},
        image="shop@sha256:dd",
    )

    subjects = json.loads(statement(replace(record, candidate=candidate)))["subject"]

    assert subjects == [
        {"name": "shop.template.json", "digest": {"sha256": "cc"}},
        {"name": "source", "digest": {"gitCommit": candidate.commit}},
        {"name": "shop", "digest": {"sha256": "dd"}},
    ]


def test_a_dirty_commit_is_no_subject():
    record = a_record(a_result())
    candidate = replace(record.candidate, commit="c" * 40, dirty=True, template_digests={"t": "sha256:cc"})

    assert [each["name"] for each in json.loads(statement(replace(record, candidate=candidate)))["subject"]] == ["t"]


def test_a_run_that_judged_nothing_with_a_digest_is_about_its_plan():
    told = said(a_result(), plan_digest="sha256:aa")

    assert told["subject"] == [{"name": "plan.toml", "digest": {"sha256": "aa"}}]
