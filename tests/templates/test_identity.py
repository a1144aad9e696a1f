"""Whose clone it is: what the context says, and what holds without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aws_cdk import App

from readiness import contract
from readiness.plan import load_plan
from stacks.readiness_stack import identity
from tests.templates.conftest import PLANS, REPOSITORY


def _identity(**context: str) -> tuple[str, datetime]:
    found = identity(App(context=context).node, load_plan(PLANS["default"]))
    return found.run_id, found.expires_at


def test_an_expiry_in_another_zone_becomes_utc_without_fractions() -> None:
    _, expires_at = _identity(run_id="r1", expires_at="2026-11-24T02:00:00.123456+01:00")
    assert expires_at == datetime(2026, 11, 24, 1, 0, 0, tzinfo=UTC)


def test_without_an_expiry_the_clone_lives_as_long_as_the_plan_allows() -> None:
    lifetime = load_plan(PLANS["default"]).budget.clone_lifetime
    _, expires_at = _identity()
    assert abs(expires_at - datetime.now(UTC) - lifetime) < timedelta(minutes=1)


def test_without_a_run_id_it_is_the_same_stack_every_time() -> None:
    assert _identity()[0] == _identity()[0]
    assert _identity()[0].startswith("manual-")


@pytest.mark.parametrize("run_id", ["With-Capitals", "under_score", "-leading", "x" * 61, "sp ace"])
def test_a_run_id_that_no_stack_name_can_hold_is_refused(run_id: str) -> None:
    with pytest.raises(ValueError, match="run_id"):
        _identity(run_id=run_id)


def test_an_expiry_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="say the offset"):
        _identity(expires_at="2026-11-24T02:00:00")


def test_the_app_synthesizes_with_no_credentials_and_no_context(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "READINESS_"))}
    flags = json.loads((REPOSITORY / "cdk.json").read_text(encoding="utf-8"))["context"]
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=REPOSITORY,
        env={**bare, "CDK_OUTDIR": str(tmp_path), "CDK_CONTEXT_JSON": json.dumps(flags)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    stack = manifest["artifacts"][contract.STACK_ID]
    assert stack["environment"] == "aws://unknown-account/unknown-region"
    assert stack["properties"]["stackName"].startswith(f"{contract.STACK_NAME_PREFIX}manual-")
    assert "missing" not in manifest, "nothing was looked up in an account"


def test_a_stack_that_the_plan_calls_production_is_not_even_synthesized() -> None:
    plan = load_plan(PLANS["default"])
    forbidden = replace(plan, aws=replace(plan.aws, production_stacks=("*-live",)))

    with pytest.raises(ValueError, match="production_stacks"):
        identity(App(context={"run_id": "shop-live"}).node, forbidden)
    assert identity(App(context={"run_id": "shop-test"}).node, forbidden).run_id == "shop-test"
