"""A run is a rehearsal of a runbook only if its evidence shows that the steps were followed, and worked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from readiness import evidence
from readiness.errors import EvidenceError
from readiness.model import Environment
from readiness.runbook import FrontMatter, Rehearsed, Runbook
from readiness.runbook_rehearsal import rehearsed_by
from tests.unit.report.bundles import T0, Story, a_bundle, rollback_seen, step_run

HASH = "sha256:1"
RUNBOOK = Runbook(
    path="runbooks/rollback.md",
    about=FrontMatter(id="rollback", title="t", service="s", owner="o", author="a", next_review=T0.date()),
    content_hash=HASH,
    sections=(),
    blocks=(),
)


def bundle(folder: Path, **changes: Any) -> Path:
    """Return a bundle in which the runbook was followed as *changes* say."""
    seen = rollback_seen()
    automatic, followed = seen.rehearsals
    followed = replace(followed, **{"runbook_hash": HASH} | changes)
    story = Story(drive=None, rollback=replace(seen, rehearsals=(automatic, followed)))
    return a_bundle(folder / "bundle", story)


def test_a_run_that_followed_every_step_is_a_rehearsal(tmp_path: Path):
    root = bundle(tmp_path)

    assert rehearsed_by(RUNBOOK, root) == Rehearsed(
        run="20260301-120000-abcd",
        date=T0.date(),
        environment=Environment.EMULATED,
        content_hash=HASH,
        bundle=evidence.bundle_digest(root),
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runbook_hash": ""}, "does not say which wording"),
        ({"runbook_hash": "sha256:2"}, "another wording was followed"),
        ({"runbook_fault": "it asks for X"}, "could not be followed: it asks for X"),
        ({"steps": (), "planned_steps": ()}, "it had no step"),
        ({"steps": (step_run("find-previous"),)}, "1 of its 2 steps were followed"),
        (
            {"steps": (step_run("find-previous"), step_run("restore", "exit code 1"))},
            "step restore failed: exit code 1",
        ),
        ({"effective_at": None}, "no bad release"),
        ({"put_back": True}, "did not bring the previous revision back"),
        ({"runbook": "runbooks/other.md"}, "it followed runbooks/other.md"),
        ({"way": "automatic", "runbook": ""}, "it followed none"),
    ],
)
def test_a_run_that_did_not_is_none_and_says_why(tmp_path: Path, changes: dict[str, Any], words: str):
    with pytest.raises(EvidenceError) as caught:
        rehearsed_by(RUNBOOK, bundle(tmp_path, **changes))
    assert words in caught.value.message


def test_a_previous_revision_that_is_not_back_is_no_rehearsal(tmp_path: Path):
    other = replace(rollback_seen().rehearsals[1].after, task_definition="arn:other")

    with pytest.raises(EvidenceError, match="did not bring the previous revision back"):
        rehearsed_by(RUNBOOK, bundle(tmp_path, after=other))


def test_a_run_without_the_drill_rehearsed_nothing(tmp_path: Path):
    root = a_bundle(tmp_path / "bundle", Story(drive=None, rollback=None))

    with pytest.raises(EvidenceError, match="rehearsed no runbook"):
        rehearsed_by(RUNBOOK, root)


def test_a_bundle_that_was_altered_proves_nothing(tmp_path: Path):
    root = bundle(tmp_path, runbook_hash="sha256:2")
    file = root / evidence.observation_path("rollback")
    file.write_bytes(file.read_bytes().replace(b"sha256:2", b"sha256:1"))

    with pytest.raises(EvidenceError, match=r"observations/rollback\.json was altered"):
        rehearsed_by(RUNBOOK, root)


def test_a_folder_that_is_no_bundle_is_told(tmp_path: Path):
    with pytest.raises(EvidenceError, match="is no evidence bundle"):
        rehearsed_by(RUNBOOK, tmp_path)
