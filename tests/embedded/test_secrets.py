"""Story: no secret of the service and no credential of the user is written anywhere or seen in the process list."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from readiness.cloud import EMBEDDED_ID_VARIABLE
from readiness.permissions import Call, actions, actions_of, shipped
from tests.embedded import harness

VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "SHOP_API_KEY")
PLANTED = {name: f"canary-{number}-{os.urandom(12).hex()}" for number, name in enumerate(VARIABLES)}
"""The user's own credentials, as far as a run is concerned."""
_BAIT = 'echo "token $MANAGEMENT_TOKEN"; echo "token $MANAGEMENT_TOKEN" >&2; exec "$@"'
"""A service that tells its own log what it should not."""


class Watcher(threading.Thread):
    """Looks at the process list until it is told to stop.

    Attributes:
        lines: Every command line that was seen of any process.
        tokens: Id of an embedded AWS -> the service's secret, as its tasks and the fleet have it in their environment.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.lines: set[str] = set()
        self.tokens: dict[str, set[str]] = {}
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            for process in psutil.process_iter():
                with suppress(psutil.Error, OSError):
                    self.lines.add(" ".join(process.cmdline()))
                    variables = process.environ()
                    if "MANAGEMENT_TOKEN" in variables and EMBEDDED_ID_VARIABLE in variables:
                        tokens = self.tokens.setdefault(variables[EMBEDDED_ID_VARIABLE], set())
                        tokens.add(variables["MANAGEMENT_TOKEN"])


def test_no_secret_is_written_or_seen_in_the_process_list(tmp_path):
    def tell_tale(plan: dict) -> None:
        images = plan["embedded"]["images"]
        images["llm-proxy:1.0.0"] = ["sh", "-c", _BAIT, "sh", *images["llm-proxy:1.0.0"]]

    calls = tmp_path / "calls.jsonl"
    watcher = Watcher()
    watcher.start()
    process = harness.start(
        harness.write_plan(tmp_path, tell_tale),
        *("--only", "load", "--only", "live-security", "--only", "task-loss"),
        env={**PLANTED, "READINESS_RECORD_CALLS": str(calls)},
    )
    ended = harness.finish(process, tmp_path)
    watcher.over.set()
    watcher.join()

    assert ended.exit_code == 1, ended.stderr  # the other required gates were not asked
    folder = harness.ROOT / ".readiness" / "runs" / ended.run_id
    assert json.loads((folder / "bundle" / "record.json").read_text())["troubles"] == []
    ids = [each["name"] for each in harness.ledger_events(ended.run_id) if each["event"] == "embedded-aws-ready"]
    (token,) = watcher.tokens[ids[0]]  # the service and the fleet have the one secret in their environment
    canaries = [*PLANTED.values(), token]
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert {"ledger.jsonl", "embedded.log", "record.json", "load.json"} <= {path.name for path in written}
    assert not [path for path in written if _holds(path, canaries)]
    assert not [line for line in watcher.lines if any(canary in line for canary in canaries)]
    assert not [canary for canary in canaries if canary in ended.stdout + ended.stderr]

    made = {Call(**json.loads(line)) for line in calls.read_text().splitlines()}
    allowed = set(actions(shipped()))
    assert len(made) > 20
    assert not {call for call in made if not set(actions_of(call)) <= allowed}, "run `python docs/iam/write.py`"


def _holds(path: Path, canaries: list[str]) -> bool:
    data = path.read_bytes()
    return any(canary.encode() in data for canary in canaries)
