"""Drives load at the clone: runs the fleet's tasks, follows what the master prints, and never leaves a task behind.

It knows the fleet by the stack's outputs, ECS and CloudWatch Logs alone. Whatever is lost on the way (a worker, a line
of the log, the end of the story) is stated as a problem of the result; nothing is filled in.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter

from readiness import contract
from readiness.contract import Output
from readiness.errors import CloudError, DeadlineError, ReadinessError, TeardownError
from readiness.ledger import Ledger
from readiness.load_result import (
    LoadResult,
    Progress,
    Second,
    Validity,
    artifact,
    cache_hit_ratio,
    hold_seconds,
    per_second,
    percentile_ms,
    read_artifact,
    requests_between,
    seconds_between,
    step_seconds,
    total,
    window,
)
from readiness.load_tasks import MasterLog, Tasks
from readiness.loadgen import lines, rows, template, workload_files
from readiness.loadgen.order import Order, encode
from readiness.model import Clone, OpenArrivals, Plan, Workload

__all__ = [
    "Fleet",
    "Load",
    "LoadResult",
    "Progress",
    "Second",
    "Validity",
    "artifact",
    "cache_hit_ratio",
    "hold_seconds",
    "per_second",
    "percentile_ms",
    "read_artifact",
    "requests_between",
    "seconds_between",
    "step_seconds",
    "total",
    "window",
]

_MAX_OVERRIDES = 8192
"""Characters: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html"""
_MAX_TASKS_PER_CALL = 10
_POLL_S = 0.5
_LOOK_AT_TASKS_EVERY_S = 2.0
_STOPPED_DEADLINE_S = 120.0
_LATE_LINES_S = 30.0
_OVERDUE_S = 60.0


class Fleet:
    """The load generators of one clone."""

    def __init__(
        self,
        clients: Callable[[str], Any],
        clone: Clone,
        plan: Plan,
        ledger: Ledger,
        narrate: Callable[[str], None] = lambda _: None,
        *,
        repository: Path,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clients = clients
        self._clone = clone
        self._plan = plan
        self._ledger = ledger
        self._narrate = narrate
        self._repository = repository
        self._clock = clock
        self._sleep = sleep

    @contextmanager
    def drive(
        self,
        *,
        workload: Workload | None = None,
        rate_per_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        duration: timedelta | None = None,
        until_stopped: bool = False,
    ) -> Iterator[Load]:
        """Start a drive, hand it out once requests are being sent, and stop every task of it on the way out.

        Args:
            workload: What to offer; the plan's, if not given.
            rate_per_s: Offer this rate instead, as an open workload without steps.
            headers: Headers that every request carries besides its scenario's.
            duration: Hold for so long instead.
            until_stopped: The drive is meant to be stopped; *duration*, or else the plan's budget, is its bound.

        Raises:
            DeadlineError: the fleet did not start in time.
            CloudError: AWS refused a task, or a task of the fleet ended before the start.
        """
        offered = self._workload(workload or self._plan.workload, rate_per_s, duration, until_stopped=until_stopped)
        files = workload_files.contents(self._repository, offered)
        template.check(workload_files.inlined(offered, files), tuple(self._plan.fleet.secrets))
        tasks = Tasks(self._clients, self._clone, self._ledger)
        load = Load(
            tasks=tasks,
            log=MasterLog(self._clients("logs"), self._output(Output.FLEET_LOG_GROUP)),
            workload=offered,
            files=workload_files.digests(files),
            workers=self._plan.fleet.workers,
            clock=self._clock,
            sleep=self._sleep,
        )
        ended_well = False
        try:
            self._start(load, tasks, dict(headers or {}), until_stopped=until_stopped)
            yield load
            ended_well = True
        finally:
            self._stop_all(tasks, complain=ended_well)

    def _workload(
        self, workload: Workload, rate_per_s: float | None, duration: timedelta | None, *, until_stopped: bool
    ) -> Workload:
        """Return the workload with the overrides of this drive."""
        if rate_per_s is not None:
            given = workload.arrivals
            kind = given if isinstance(given, OpenArrivals) else OpenArrivals(kind="open", rate_per_s=rate_per_s)
            workload = replace(workload, arrivals=replace(kind, rate_per_s=rate_per_s, steps=()))
        if duration is None and until_stopped:
            duration = self._plan.budget.wall_clock
        return workload if duration is None else replace(workload, hold=duration)

    def _start(self, load: Load, tasks: Tasks, headers: dict[str, str], *, until_stopped: bool) -> None:
        """Start the master and, as soon as its address is known, the workers; return when requests are being sent."""
        wait = self._plan.fleet.start_deadline
        deadline = self._clock() + wait.total_seconds()
        order = Order(
            role="master",
            run_id=self._clone.run_id,
            master_port=contract.FLEET_MASTER_PORT,
            workers=self._plan.fleet.workers,
            target=self._output(Output.SERVICE_URL).rstrip("/"),
            workload=load.workload,
            files=load.files,
            headers=headers,
            secret_variables=tuple(self._plan.fleet.secrets),
            until_stopped=until_stopped,
            seed=zlib.crc32(self._clone.run_id.encode()),
            ready_deadline=wait,
        )
        self._narrate(f"Starting the fleet: one master and {order.workers} workers")
        self._run(tasks, "master", Output.FLEET_MASTER_TASK_DEFINITION, order, 1)
        master = tasks.of("master")[0]
        load.follow(master.id)
        while master.address is None:
            self._look(load, tasks, deadline, "the fleet's master to get an address")
        workers = replace(order, role="worker", master_host=master.address)
        self._run(tasks, "worker", Output.FLEET_WORKER_TASK_DEFINITION, workers, order.workers)
        while not load.started:
            self._look(load, tasks, deadline, "the fleet to start")
        self._narrate(f"All {order.workers} workers are ready; requests are being sent")

    def _look(self, load: Load, tasks: Tasks, deadline: float, what: str) -> None:
        """Look once at the fleet while it starts, and give up when there is nothing left to wait for."""
        self._sleep(_POLL_S)
        tasks.look()
        load.read_log()
        if load.failure is not None:
            raise CloudError(f"The fleet did not start: {load.failure}.", hint=_FLEET_HINT)
        ended = [task.say() for task in tasks.all if task.stopped]
        if ended and not load.started:
            raise CloudError(f"The fleet did not start: {'; '.join(ended)}{load.last_words()}", hint=_FLEET_HINT)
        if self._clock() > deadline and not load.started:
            waited = self._plan.fleet.start_deadline.total_seconds()
            raise DeadlineError(what, waited, "; ".join(task.say() for task in tasks.all), hint=_FLEET_HINT)

    def _run(self, tasks: Tasks, role: str, definition: str, order: Order, count: int) -> None:
        """Run *count* tasks of a role, in as many calls as ECS wants."""
        overrides = {
            "containerOverrides": [
                {
                    "name": contract.FLEET_CONTAINER,
                    "environment": [{"name": contract.FLEET_ORDER_VARIABLE, "value": encode(order)}],
                }
            ]
        }
        length = len(json.dumps(overrides, separators=(",", ":")))
        if length > _MAX_OVERRIDES:
            raise ReadinessError(
                f"The order for the fleet takes {length} characters; ECS allows {_MAX_OVERRIDES}.",
                hint="Shorten the workload's scenarios: fewer or shorter bodies and variable values.",
            )
        request = {
            "taskDefinition": self._output(definition),
            "launchType": "FARGATE",
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": self._output(Output.FLEET_SUBNETS).split(","),
                    "securityGroups": [self._output(Output.FLEET_SECURITY_GROUP)],
                    "assignPublicIp": "DISABLED",
                }
            },
            "overrides": overrides,
            "startedBy": self._clone.run_id,
            "tags": [
                {"key": contract.TAG_RUN_ID, "value": self._clone.run_id},
                {"key": contract.TAG_EXPIRES_AT, "value": self._clone.expires_at.astimezone(UTC).isoformat()},
            ],
            "propagateTags": "TASK_DEFINITION",
        }
        for first in range(0, count, _MAX_TASKS_PER_CALL):
            tasks.run(role, request, min(_MAX_TASKS_PER_CALL, count - first))

    def _stop_all(self, tasks: Tasks, *, complain: bool) -> None:
        """Stop what still runs and wait until it has stopped, whatever else went wrong."""
        deadline = self._clock() + _STOPPED_DEADLINE_S
        trouble = ""
        try:
            tasks.stop("the drive is over")
            while (running := tasks.running()) and self._clock() < deadline:
                self._sleep(_POLL_S)
                tasks.look()
        except (ClientError, BotoCoreError) as error:
            running, trouble = tasks.running(), f" ({error})"
        if running:
            names = [f"ECS task {task.arn}" for task in running]
            self._narrate(f"May still be running: {', '.join(names)}{trouble}")
            if complain:
                raise TeardownError(names, hint=f"`readiness teardown {self._clone.run_id}` stops them.")

    def _output(self, key: str) -> str:
        try:
            return self._clone.outputs[key]
        except KeyError:
            raise ReadinessError(
                f"Stack {self._clone.stack_name} has no output {key}.",
                hint="It was deployed by another version of the harness; deploy it again.",
            ) from None


_FLEET_HINT = "The fleet's log group has what its tasks said; the stack's subnets need a way to the image registry."


class Load:
    """A drive that is under way. Nothing happens in the background: it is up to date as of the last look.

    Attributes:
        files: File of the user's that the workload names -> digest.
        hold_so_far: Scenario -> what was measured in the hold up to now.
        started_at: Second 0; None before.
        failure: Why the master gave up; None if it did not.
    """

    def __init__(
        self,
        *,
        tasks: Tasks,
        log: MasterLog,
        workload: Workload,
        files: dict[str, str],
        workers: int,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._tasks = tasks
        self._log = log
        self._workload = workload
        self.files = files
        self._workers = workers
        self._clock = clock
        self._sleep = sleep
        self._looked_at = float("-inf")
        self._pieces: dict[int, list[rows.Row]] = {}
        self._hold = hold_seconds(workload)
        self.hold_so_far: dict[str, rows.Tally] = {}
        self._samples: dict[str, str] = {}
        self._problems: list[str] = []
        self._finished: dict[str, Any] | None = None
        self._stop_asked = False
        self._progress: Progress | None = None
        self.started_at: datetime | None = None
        self.failure: str | None = None

    @property
    def started(self) -> bool:
        """Whether the workers were told to start."""
        return self.started_at is not None

    @property
    def workload(self) -> Workload:
        """What is offered, with the overrides of this drive."""
        return self._workload

    def rows_of(self, seconds: range) -> Iterator[rows.Row]:
        """Yield what was measured of some seconds up to now; a row may come in pieces."""
        for second in seconds:
            yield from self._pieces.get(second, ())

    def follow(self, master_task_id: str) -> None:
        """Read the log of this task from now on."""
        self._log.follow(master_task_id)

    def progress(self) -> Progress | None:
        """Look, and return how the drive stands; None before its first second is over."""
        self.look()
        return self._progress

    def look(self) -> None:
        """Read what the master has printed since, and now and then how the tasks are."""
        self.read_log()
        if self._clock() - self._looked_at >= _LOOK_AT_TASKS_EVERY_S:
            self._looked_at = self._clock()
            self._tasks.look()

    def wait_until(self, reached: Callable[[Load], bool], deadline: timedelta, what: str) -> None:
        """Look again and again until *reached* says yes.

        Raises:
            DeadlineError: it did not in time.
            CloudError: the drive ended first.
        """
        end = self._clock() + deadline.total_seconds()
        while True:
            self.look()
            if reached(self):
                return
            if self._over():
                raise CloudError(
                    f"The load ended while waiting for {what}: {'; '.join(self._all_problems()) or 'done'}."
                )
            if self._clock() > end:
                raise DeadlineError(what, deadline.total_seconds(), f"load {self._progress}")
            self._sleep(_POLL_S)

    def finish(self, watch: Callable[[Progress], bool] = lambda _: False) -> LoadResult:
        """Wait for the drive's own end and return what it measured.

        Args:
            watch: Is told each second how the drive stands; yes as its answer stops the drive.
        """
        workload = self._workload
        self._wait_for_end((workload.length + workload.timeout).total_seconds() + _OVERDUE_S, watch)
        return self.result()

    def stop(self) -> LoadResult:
        """Stop sending requests, wait for the last answers, and return what was measured."""
        self._ask_to_stop()
        self._wait_for_end(self._workload.timeout.total_seconds() + _OVERDUE_S, lambda _: False)
        return self.result()

    def _ask_to_stop(self) -> None:
        if self._finished is None and not self._stop_asked:
            self._stop_asked = True
            self._tasks.stop("the drive is stopped", role="master")

    def result(self) -> LoadResult:
        """Return what is known up to now, with every reason why it may be less than all.

        Raises:
            ReadinessError: it has not started.
        """
        if self.started_at is None:
            raise ReadinessError("There is no result of a load that has not started.")
        ended = None if self._finished is None else datetime.fromtimestamp(self._finished["ended_at"], UTC)
        return LoadResult(
            started_at=self.started_at,
            ended_at=ended,
            workload=self._workload,
            rows=self._rows(),
            validity=self._validity(),
            problems=tuple(self._all_problems()),
            samples=dict(self._samples),
            files=self.files,
        )

    def _rows(self) -> tuple[rows.Row, ...]:
        return rows.joined(piece for pieces in self._pieces.values() for piece in pieces)

    # --- the master's lines -------------------------------------------------------------------------------------------

    def read_log(self) -> None:
        """Take in what the master has printed since."""
        for line in self._log.read():
            self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        kind = line["type"]
        if kind == "started":
            self.started_at = datetime.fromtimestamp(line["started_at"], UTC)
        elif kind == "progress":
            self._progress = _progress(line)
        elif kind == "rows":
            for piece in map(lines.row_of, line["rows"]):
                self._pieces.setdefault(piece.second, []).append(piece)
                if piece.second in self._hold:
                    self.hold_so_far.setdefault(piece.scenario, rows.Tally()).add(piece)
        elif kind == "sample":
            self._samples[line["key"]] = line["message"]
        elif kind == "worker-lost":
            self._problems.append(f"worker {line['worker']} was lost in second {line['second']}: {line['reason']}")
        elif kind == "worker-back":
            self._problems.append(f"worker {line['worker']} was silent for a while, until second {line['second']}")
        elif kind == "worker-failed":
            self._problems.append(f"worker {line['worker']} failed: {line['reason']}")
        elif kind == "failed":
            self.failure = str(line["reason"])
        elif kind == "finished":
            self._finished = dict(line)

    def last_words(self) -> str:
        """Return what the master said last that was none of its lines: mostly a traceback."""
        return "".join(f"\n    {text}" for text in self._log.raw)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _wait_for_end(self, seconds: float, watch: Callable[[Progress], bool]) -> None:
        deadline = self._clock() + seconds
        shown = -1
        while not self._over() and self._clock() <= deadline:
            self._sleep(_POLL_S)
            self.look()
            if self._progress is not None and self._progress.second != shown:
                shown = self._progress.second
                if watch(self._progress):
                    self._ask_to_stop()
        if self._finished is None:
            self._await_late_lines()

    def _over(self) -> bool:
        """Return whether nothing more can come: the end was told, or the master is no more."""
        return self._finished is not None or any(task.stopped for task in self._tasks.of("master"))

    def _await_late_lines(self) -> None:
        """Go on reading for a while after the master has stopped: its log may arrive after it."""
        deadline = self._clock() + _LATE_LINES_S
        while self._finished is None and self._clock() < deadline:
            self._sleep(_POLL_S)
            self.read_log()
        self._tasks.look()

    def _all_problems(self) -> list[str]:
        problems = list(self._problems)
        if self.failure is not None:
            problems.append(f"the master gave up: {self.failure}")
        if self._finished is None:
            problems.append(f"the master never told the end of the drive{self.last_words()}")
        problems.extend(task.say() for task in self._tasks.all if task.stopped and task.exit_code != 0)
        if self._log.missing:
            problems.append(f"{self._log.missing} lines of the master's log never arrived")
        return problems

    def _validity(self) -> Validity:
        told = self._finished
        if told is not None:
            told_of_it = {name: told[name] for name in _TOLD}
            return TypeAdapter(Validity).validate_python(
                {"finished": True, "missing_lines": self._log.missing, **told_of_it}
            )
        whole = total(self._rows())
        offered, dropped = whole.counts.get(rows.OFFERED, 0), whole.counts.get(rows.DROPPED, 0)
        return Validity(
            finished=False,
            stopped=self._stop_asked,
            ran_out=False,
            workers_expected=self._workers,
            workers_seen=self._workers if self.started else 0,
            workers_lost=(),
            workers_failed=(),
            offered=offered,
            sent=offered - dropped,
            recorded=whole.requests,
            dropped=dropped,
            unreported=max(0, offered - dropped - whole.requests),
            missing_reports=0,
            missing_lines=self._log.missing,
            reconnects=0,
            in_flight_max=0,
            generator_cpu_ratio=0.0,
            clock_skew_ms=0.0,
            dispatcher_lag_p99_ms=None,
        )


_TOLD = (
    "stopped",
    "ran_out",
    "workers_expected",
    "workers_seen",
    "workers_lost",
    "workers_failed",
    "offered",
    "sent",
    "recorded",
    "dropped",
    "unreported",
    "missing_reports",
    "reconnects",
    "in_flight_max",
    "generator_cpu_ratio",
    "clock_skew_ms",
    "dispatcher_lag_p99_ms",
)


def _progress(line: Mapping[str, Any]) -> Progress:
    return Progress(
        second=line["second"],
        rate_per_s=line["rate"],
        p50_ms=line["p50_ms"],
        p95_ms=line["p95_ms"],
        p99_ms=line["p99_ms"],
        requests=line["requests"],
        errors=line["errors"],
        dropped=line["dropped"],
        in_flight=line["in_flight"],
        workers=line["workers"],
    )
