"""Story: a good candidate is rehearsed from end to end, and its evidence can be trusted."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
import tomlkit

from tests.embedded import harness


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("go")
    (harness.ROOT / ".readiness").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=harness.ROOT / ".readiness") as inside:  # a plan outside is in no commit
        plan = harness.write_plan(Path(inside))
        return harness.run(plan, folder / "bundle", env=harness.committed(folder / "git", plan))


def test_every_required_gate_passes_and_the_exit_code_is_0(ended):
    outcomes = {each["gate"]: each["outcome"] for each in ended.record["results"] if each["required"]}

    assert outcomes == dict.fromkeys(ended.record["required"], "passed"), ended.stderr
    assert ended.exit_code == 0


def test_it_is_marked_as_emulated_and_is_no_go_for_production(ended):
    assert ended.record["environment"] == "emulated"
    assert ended.record["verdict"] == "NO-GO"
    assert "Emulated" in (ended.bundle / "report.md").read_text()
    assert "<strong>Emulated</strong>" in (ended.bundle / "report.html").read_text()


def test_the_thresholds_were_frozen_before_anything_was_made(ended):
    events = harness.ledger_events(ended.run_id)

    assert events[0]["event"] == "run-started"
    assert events[0]["details"]["plan"] == ended.record["plan_digest"]


def test_the_reports_made_again_from_the_evidence_are_those_of_the_run(ended, tmp_path):
    done = harness.cli("report", str(ended.bundle), "--output", str(tmp_path))

    assert done.returncode == 0, done.stderr
    for name in ("report.html", "report.md"):
        assert (tmp_path / name).read_bytes() == (ended.bundle / name).read_bytes()


def test_the_page_has_a_picture_of_the_load_and_of_each_drill(ended):
    page = (ended.bundle / "report.html").read_text()

    for picture in ("load-latency", "load-throughput", "latency-distribution", "split", "alarm-drills"):
        assert f'<figure class="picture" id="{picture}">' in page
    for picture in ("rollback-throughput", "rollback-errors", "rollback-latency", "alarm-error-ratio-errors"):
        assert f'<figure class="picture" id="{picture}">' in page


def test_verify_confirms_the_bundle(ended):
    done = harness.cli("verify", str(ended.bundle))

    assert done.returncode == 0, done.stderr
    assert "confirmed" in done.stdout


def test_verify_refuses_the_bundle_after_one_byte_of_any_file_was_changed(ended, tmp_path):
    files = [file for file in sorted(ended.bundle.rglob("*")) if file.is_file()]
    assert len(files) > 8
    copy = tmp_path / "copy"
    shutil.copytree(ended.bundle, copy)
    from readiness.errors import EvidenceError, PlanError
    from readiness.verify import verify

    for file in files:
        target = copy / file.relative_to(ended.bundle)
        data = bytearray(file.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 1] = bytes([data[len(data) // 2] ^ 1]) if data else b"x"
        target.write_bytes(data)
        with pytest.raises((EvidenceError, PlanError)):
            verify(copy)
        target.write_bytes(file.read_bytes())
    assert verify(copy).record.run_id == ended.run_id


def test_no_fault_that_is_planted_in_its_evidence_gets_through(ended):
    done = harness.cli("selftest", "--json", str(ended.bundle))

    rows = json.loads(done.stdout)
    assert {row["id"]: row["came_to"] for row in rows if row["came_to"] in ("passed", "not shown")} == {}
    assert len(rows) >= 25
    assert done.returncode == 0, done.stderr


def test_the_whole_sign_off_can_be_rehearsed_and_stays_no_go(ended, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ended.bundle, copy)
    items = [each for each in tomlkit.parse((copy / "plan.toml").read_text())["checklist"] if "gate" not in each]
    assert items
    for item in items:
        done = harness.cli("tick", str(copy), item["id"], "--by", "Ada", "--evidence", "shown to the team")
        assert done.returncode == 1, done.stderr
    codes = []
    for role, name in (("release", "Ada"), ("security", "Grace"), ("operations", "Edsger")):
        done = harness.cli("sign", str(copy), "--as", role, "--name", name, "--decision", "go")
        codes.append(done.returncode)

    assert codes == [1, 1, 0], done.stderr
    assert "NO-GO for production; the rehearsal is complete" in done.stdout
    assert harness.cli("verify", str(copy), "--require-go").returncode == 0
    page = (copy / "sign-off" / "report.html").read_text()
    assert "The rehearsal is complete, sign-off included" in page
    decision = json.loads((copy / "sign-off" / "decision.json").read_text())
    assert {each["status"] for each in decision["criteria"]} == {"Partial", "Unverified"}
    assert [each["criterion"]["id"] for each in decision["criteria"] if each["status"] == "Unverified"] == [
        "production-deployment"
    ]


def test_a_slower_release_fails_against_it_as_baseline(ended, tmp_path):
    def slower(plan):
        plan["service"]["environment"]["PROXY_ADDED_LATENCY_MS"] = "40"
        change = {"kind": "latency-change", "percentile": 50, "min_samples": 100}
        plan["objectives"].append({**change, "id": "grown", "max_increase_ratio": 0.5})
        plan["objectives"].append({**change, "id": "grown-tenfold", "percentile": 95, "max_increase_ratio": 10})

    plan = harness.write_plan(tmp_path, slower)
    then = harness.run(plan, tmp_path / "bundle", "--only", "load", "--baseline", str(ended.bundle))

    assert then.exit_code == 2, then.stderr
    judgement = then.result("load")["judgement"]
    assert [each["finding"]["subject"] for each in then.result("load")["findings"]] == ["grown"]
    assert judgement["gaps"] == []
    measured = {each["name"]: each for each in judgement["measurements"]}
    assert measured["grown"]["value"] > 0.5
    assert 0 < measured["grown-tenfold"]["value"] < 10
    assert any(ended.run_id in note for note in judgement["notes"])


def test_nothing_is_left_of_it(ended):
    assert ended.record["leftovers"] == []
    assert ended.result("leftovers")["judgement"]["examined"] > 50
    done = harness.cli("teardown", ended.run_id)
    assert done.returncode == 0, done.stderr
