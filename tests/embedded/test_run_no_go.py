"""Stories: each candidate or plan that must not go live ends with the right exit code and says why."""

from __future__ import annotations

from tests.embedded import harness


def test_a_slow_candidate_is_no_go(tmp_path):
    plan = harness.write_plan(
        tmp_path, lambda plan: plan["service"]["environment"].update({"PROXY_ADDED_LATENCY_MS": "400"})
    )
    ended = harness.run(plan, tmp_path / "bundle", "--only", "load")

    assert ended.exit_code == 2, ended.stderr
    assert ended.result("load")["outcome"] == "failed"
    missed = {each["finding"]["subject"] for each in ended.result("load")["findings"]}
    assert {"latency-p50", "latency-p95"} <= missed
    assert "latency-p50" in ended.stdout


def test_a_candidate_that_errors_is_no_go(tmp_path):
    plan = harness.write_plan(
        tmp_path, lambda plan: plan["service"]["environment"].update({"PROXY_ERROR_RATIO": "0.2"})
    )
    ended = harness.run(plan, tmp_path / "bundle", "--only", "load")

    assert ended.exit_code == 2, ended.stderr
    assert "error-ratio" in ended.stdout


def test_a_plan_without_thresholds_does_not_start(tmp_path):
    def without_thresholds(plan):
        plan["objectives"] = [each for each in plan["objectives"] if each["kind"] != "latency"]
        plan["drills"]["alarms"]["each"] = [{"objective": "error-ratio", "method": "fault-errors"}]

    ended = harness.run(harness.write_plan(tmp_path, without_thresholds), tmp_path / "bundle")

    assert ended.exit_code == 3
    assert "objectives" in ended.stderr
    assert "latency" in ended.stderr
    assert not (tmp_path / "bundle").exists()


def test_a_service_that_never_becomes_healthy_yields_no_verdict_and_leaves_nothing(tmp_path):
    plan = harness.write_plan(tmp_path, lambda plan: plan["service"]["environment"].update({"PROXY_UNHEALTHY": "1"}))
    ended = harness.run(plan, tmp_path / "bundle")

    assert ended.exit_code == 1, ended.stderr
    assert "could not be deployed" in ended.stdout
    assert ended.record["leftovers"] == []


def test_no_traffic_is_not_a_pass(tmp_path):
    def silent(plan):
        plan["workload"]["arrivals"]["rate_per_s"] = 0.0001
        plan["workload"]["hold"] = "3s"

    ended = harness.run(harness.write_plan(tmp_path, silent), tmp_path / "bundle", "--only", "load")

    assert ended.exit_code == 1, ended.stderr
    assert ended.result("load")["outcome"] == "inconclusive"
