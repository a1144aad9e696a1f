"""Log lines of functions on their way to CloudWatch Logs.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html

The log group is created with the first line, as AWS does, and nothing deletes it with the function: it is a leftover
that a teardown has to find.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

_BATCH_LINES = 1000
_FLUSH_INTERVAL_S = 0.5

_Line = tuple[str, str, int, str]


class LogShipper:
    """Takes lines from any thread and puts them in batches.

    Args:
        clients: Gives the boto3 client of a service.
    """

    def __init__(self, clients: Callable[[str], Any]) -> None:
        self._clients = clients
        self._lines: queue.SimpleQueue[_Line] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="function-logs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ship what waits, then stop."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def write(self, group: str, stream: str, line: str) -> None:
        """Take one line."""
        if line:
            self._lines.put((group, stream, round(time.time() * 1000), line))

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(_FLUSH_INTERVAL_S)
            while self._ship_batch():
                pass

    def _ship_batch(self) -> bool:
        """Ship up to a batch; return whether there was anything."""
        batch: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for _ in range(_BATCH_LINES):
            try:
                group, stream, at, line = self._lines.get_nowait()
            except queue.Empty:
                break
            batch[group, stream].append({"timestamp": at, "message": line})
        for (group, stream), events in batch.items():
            try:
                self._put(group, stream, events)
            except Exception as error:  # noqa: BLE001 - lost lines are told, and the others still go out
                told = f"embedded AWS: {len(events)} log lines of {group} are lost: {type(error).__name__}: {error}"
                print(told, file=sys.stderr)  # noqa: T201
        return bool(batch)

    def _put(self, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        logs = self._clients("logs")
        events.sort(key=lambda event: int(event["timestamp"]))
        try:
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        except logs.exceptions.ResourceNotFoundException:
            self._create(logs, group, stream)
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    def _create(self, logs: Any, group: str, stream: str) -> None:
        # another function, or a template, may have made either of them
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
