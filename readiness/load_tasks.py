"""The fleet's tasks in ECS, and what their master prints, as CloudWatch Logs hands it out."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness import contract
from readiness.contract import Output
from readiness.errors import CloudError
from readiness.ledger import Ledger
from readiness.model import Clone

_KEPT_RAW_LINES = 10


@dataclass
class Task:
    """One task of the fleet, as it was last seen."""

    arn: str
    role: str
    status: str = "PROVISIONING"
    address: str | None = None
    exit_code: int | None = None
    reason: str = ""

    @property
    def id(self) -> str:
        """The last part of its ARN, which names its log stream too."""
        return self.arn.rpartition("/")[2]

    @property
    def stopped(self) -> bool:
        """Whether it is over."""
        return self.status == "STOPPED"

    def say(self) -> str:
        """Return how it is, for a person."""
        said = f"{self.role} task {self.id} is {self.status}"
        if self.stopped:
            said += f" with exit code {self.exit_code}" if self.exit_code is not None else " without an exit code"
        return f"{said} ({self.reason})" if self.reason else said

    def update(self, seen: Mapping[str, Any]) -> None:
        """Take in what ``describe_tasks`` says."""
        self.status = seen.get("lastStatus", self.status)
        reasons = [seen.get("stoppedReason", "")]
        for container in seen.get("containers", ()):
            reasons.append(container.get("reason", ""))
            if container.get("exitCode") is not None:
                self.exit_code = container["exitCode"]
        self.reason = "; ".join(dict.fromkeys(text for text in reasons if text))
        for attachment in seen.get("attachments", ()):
            for detail in attachment.get("details", ()):
                if detail.get("name") == "privateIPv4Address":
                    self.address = detail.get("value")


class Tasks:
    """The fleet's tasks in ECS."""

    def __init__(self, clients: Callable[[str], Any], clone: Clone, ledger: Ledger) -> None:
        self._ecs = clients("ecs")
        self._clone = clone
        self._ledger = ledger
        self.all: list[Task] = []

    @property
    def _cluster(self) -> str:
        return self._clone.outputs[Output.CLUSTER]

    def of(self, role: str) -> list[Task]:
        """Return the tasks of a role."""
        return [task for task in self.all if task.role == role]

    def running(self) -> list[Task]:
        """Return the tasks that have not stopped."""
        return [task for task in self.all if not task.stopped]

    def run(self, role: str, request: Mapping[str, Any], count: int) -> None:
        """Run tasks, and know them from then on."""
        name = f"{count} x fleet {role}"
        self._ledger.about_to_create("ecs-task", name, cluster=self._cluster, started_by=self._clone.run_id)
        try:
            answer = self._ecs.run_task(cluster=self._cluster, count=count, **request)
        except ClientError as error:
            raise CloudError(f"ECS refused to run the fleet's {role}: {error}") from error
        except BotoCoreError:
            self._find_unknown(role)
            raise
        for task in answer.get("tasks", ()):
            self.all.append(Task(arn=task["taskArn"], role=role))
            self.all[-1].update(task)
        failures = answer.get("failures", ())
        if failures or len(answer.get("tasks", ())) != count:
            reasons = ", ".join(f"{failure.get('reason')} {failure.get('detail', '')}".strip() for failure in failures)
            ran = len(answer.get("tasks", ()))
            raise CloudError(
                f"ECS ran {ran} of {count} tasks of the fleet's {role}: {reasons or 'no reason given'}.",
                hint="Run again later if it has no capacity; else check the cluster's capacity providers and quotas.",
            )

    def _find_unknown(self, role: str) -> None:
        """Learn of tasks that a call made whose answer never came."""
        known = {task.arn for task in self.all}
        for arn in self._ecs.list_tasks(cluster=self._cluster, startedBy=self._clone.run_id)["taskArns"]:
            if arn not in known:
                self.all.append(Task(arn=arn, role=role))

    def look(self) -> None:
        """Ask ECS how the tasks that have not stopped are."""
        asked = {task.arn: task for task in self.running()}
        arns = list(asked)
        for first in range(0, len(arns), 100):
            answer = self._ecs.describe_tasks(cluster=self._cluster, tasks=arns[first : first + 100])
            for seen in answer.get("tasks", ()):
                asked[seen["taskArn"]].update(seen)
            for failure in answer.get("failures", ()):
                if failure.get("reason") == "MISSING" and failure.get("arn") in asked:
                    asked[failure["arn"]].status = "STOPPED"
                    asked[failure["arn"]].reason = "ECS knows it no more"

    def stop(self, reason: str, role: str | None = None) -> None:
        """Ask ECS to stop the tasks that have not stopped; each gets SIGTERM first."""
        refused: Exception | None = None
        for task in self.running():
            if role in (None, task.role):
                try:
                    self._ecs.stop_task(cluster=self._cluster, task=task.arn, reason=reason)
                except (ClientError, BotoCoreError) as error:
                    refused = error  # the others must be stopped all the same
        if refused is not None:
            raise refused


@dataclass
class MasterLog:
    """The master's lines, as CloudWatch Logs hands them out.

    Attributes:
        raw: The last lines that were none of the master's own.
        missing: How many numbered lines were skipped.
    """

    client: Any
    group: str
    stream: str | None = None
    raw: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_RAW_LINES))
    missing: int = 0
    _token: str | None = None
    _seen: set[int] = field(default_factory=set)
    _highest: int = -1

    def follow(self, task_id: str) -> None:
        """Read the stream of this task from now on."""
        self.stream = f"{contract.FLEET_LOG_STREAM_PREFIX}/{contract.FLEET_CONTAINER}/{task_id}"

    def read(self) -> list[dict[str, Any]]:
        """Return the lines that are new, in order."""
        if self.stream is None:
            return []
        found: list[dict[str, Any]] = []
        while True:
            page = self._page(self.stream)
            if page is None:
                return found
            found.extend(line for event in page["events"] if (line := self._parse(event["message"])) is not None)
            token = page["nextForwardToken"]
            if token == self._token:
                return found
            self._token = token

    def _page(self, stream: str) -> dict[str, Any] | None:
        """Return the next page, or None as long as the stream is not there."""
        where = {"logGroupName": self.group, "logStreamName": stream, "startFromHead": True}
        if self._token is not None:
            where["nextToken"] = self._token
        try:
            page: dict[str, Any] = self.client.get_log_events(**where)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
                return None
            raise
        return page

    def _parse(self, text: str) -> dict[str, Any] | None:
        """Return a line of the master, once; anything else is kept for a person to read."""
        try:
            line = json.loads(text)
            number, kind = line["n"], line["type"]
        except (ValueError, KeyError, TypeError):
            self.raw.append(text[:300])
            return None
        if not isinstance(number, int) or not isinstance(kind, str) or number in self._seen:
            return None
        self._seen.add(number)
        self._highest = max(self._highest, number)
        self.missing = self._highest + 1 - len(self._seen)
        return dict(line)
