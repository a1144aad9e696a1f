"""Story: what was approved goes live in another stack, and the wrong image there is told from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from readiness import drill_release, evidence, staging
from readiness.cloud import Connection, connect
from readiness.golive import verify_go_live
from readiness.ledger import Ledger
from readiness.model import Clone
from readiness.plan import load_plan
from tests.embedded import harness

OTHER = "llm-proxy:1.0.1"


def shortened(plan) -> None:
    plan["gates"]["required"] = ["fidelity", "leftovers"]
    plan["gates"]["settings"] = {"go-live": {"steady_for": "2s", "settle": "60s"}}
    plan["embedded"]["images"][OTHER] = plan["embedded"]["images"]["llm-proxy:1.0.0"]


@dataclass(frozen=True)
class Production:
    """A second stack, in an embedded AWS that outlives the run, and the bundle that approved it."""

    bundle: Path
    connection: Connection
    stack: Clone

    def go_live(self, *arguments: str, bundle: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Ask after the cutover, in a terminal with the exports of the embedded AWS."""
        command = [sys.executable, "-m", "readiness", "go-live", str(bundle or self.bundle)]
        return subprocess.run(
            [*command, "--target", "embedded-endpoint", "--stack", self.stack.stack_name, *arguments],
            cwd=harness.ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **self.connection.variables},
        )


@contextmanager
def production_of(folder: Path) -> Iterator[Production]:
    """Approve a clone, and then bring the same out as production, in an embedded AWS that the block ends."""
    plan_file = harness.write_plan(folder, shortened)
    ended = harness.run(plan_file, folder / "bundle", "--only", "fidelity")
    assert ended.exit_code == 0, ended.stderr
    ledger = Ledger(folder / "ledger.jsonl")
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    with connect(
        "embedded", load_plan(plan_file), repository=harness.ROOT, folder=folder / "aws", ledger=ledger
    ) as connection:
        assembly = staging.synthesize(
            harness.ROOT,
            folder / "cdk.out",
            plan_file=plan_file,
            variables=connection.variables,
            run_id="production",
            expires_at=expires_at,
        )
        stack = staging.deploy(
            connection,
            assembly,
            repository=harness.ROOT,
            run_id="production",
            expires_at=expires_at,
            ledger=ledger,
        )
        yield Production(ended.bundle, connection, stack)


def result_of(bundle: Path) -> dict:
    return json.loads((bundle / "go-live" / "result.json").read_text())


def test_the_approved_image_in_production_is_go_and_another_one_is_no_go(tmp_path):
    with production_of(tmp_path) as production:
        what_was_approved_is_live_and_well(production)
        what_cannot_be_asked_is_refused_in_a_sentence(production, tmp_path / "copy")
        another_image_than_the_approved_one_is_no_go(production)


def what_was_approved_is_live_and_well(production: Production) -> None:
    done = production.go_live()

    assert done.returncode == 0, done.stdout + done.stderr
    assert "go-live: passed (rehearsal: emulated)" in done.stdout
    assert harness.cli("verify", str(production.bundle)).returncode == 0  # the sealed evidence is as it was
    verified = verify_go_live(production.bundle)
    assert verified is not None
    assert verified.outcome == "passed"
    observation = json.loads((production.bundle / "go-live" / "observation.json").read_text())
    assert observation["environment"] == "emulated"
    assert {each["state"] for each in observation["alarms"]} == {"OK"}
    assert set(observation["probe"]["answers"]) == {"200"}
    manifest = json.loads((production.bundle / "go-live" / "manifest.json").read_text())
    assert manifest["bundle"] == evidence.bundle_digest(production.bundle)


def what_cannot_be_asked_is_refused_in_a_sentence(production: Production, copy: Path) -> None:
    shutil.copytree(production.bundle, copy)
    (copy / "plan.toml").write_bytes((copy / "plan.toml").read_bytes() + b"\n")

    nowhere = production.go_live("--stack", "nowhere")
    unknown = production.go_live("--service", "c/s")
    altered = production.go_live(bundle=copy)

    assert (nowhere.returncode, unknown.returncode, altered.returncode) == (5, 5, 1)
    assert "There is no stack 'nowhere' in eu-west-1" in nowhere.stderr
    assert "has no service c/s" in unknown.stderr
    assert "plan.toml was altered" in altered.stderr
    assert "Traceback" not in nowhere.stderr + unknown.stderr + altered.stderr


def another_image_than_the_approved_one_is_no_go(production: Production) -> None:
    ecs = production.connection.client("ecs")
    service = production.stack.outputs["Service"]
    cluster = production.stack.outputs["Cluster"]
    told = ecs.describe_services(cluster=cluster, services=[service])["services"][0]
    definition = ecs.describe_task_definition(taskDefinition=told["taskDefinition"])["taskDefinition"]
    kept = ("family", "taskRoleArn", "executionRoleArn", "networkMode", "requiresCompatibilities", "cpu", "memory")
    (container,) = definition["containerDefinitions"]
    made = ecs.register_task_definition(
        **{key: definition[key] for key in kept if key in definition},
        containerDefinitions=[{**container, "image": OTHER}],
    )
    unguarded = drill_release.unguarded(told["deploymentConfiguration"])
    drill_release.order(ecs, production.stack, made["taskDefinition"]["taskDefinitionArn"], unguarded)

    def deployed() -> bool:
        now = ecs.describe_services(cluster=cluster, services=[service])["services"][0]["deployments"]
        return len(now) == 1 and now[0]["rolloutState"] == "COMPLETED" and now[0]["taskDefinition"].endswith(":2")

    harness.wait_until(deployed, "the other image deployed", within_s=90)
    drill_release.configure(ecs, production.stack, told["deploymentConfiguration"])

    done = production.go_live()

    assert done.returncode == 2, done.stdout + done.stderr
    found = {each["finding"]["rule"]: each["finding"] for each in result_of(production.bundle)["findings"]}
    assert set(found) - {"go-live/uncommitted"} == {"go-live/other-digest", "go-live/not-as-approved"}
    assert "Production runs sha256:" in found["go-live/other-digest"]["message"]
    assert found["go-live/not-as-approved"]["subject"] == "container.service.image"
    assert "go-live: failed (rehearsal: emulated)" in done.stdout
    assert "CRITICAL service: Production runs sha256:" in done.stdout
