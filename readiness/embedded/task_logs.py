"""A container's output on its way to CloudWatch Logs, as the ``awslogs`` driver brings it there.

* the stream's name is prefix/container/task id
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html
* a batch is at most 10,000 events and 1 MiB, with 26 bytes added per event; an event is at most 256 KiB
  https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable, Iterator
from typing import Any

MAXIMUM_EVENT_BYTES = 256 * 1024 - 26
_EVENT_OVERHEAD_BYTES = 26
_MAXIMUM_BATCH_BYTES = 1_048_576
_MAXIMUM_BATCH_EVENTS = 10_000
_DELAY_S = 0.2
_READ_BYTES = 1 << 16

_log = logging.getLogger(__name__)

Send = Callable[[list[dict[str, Any]]], None]


def pieces(line: bytes, limit: int = MAXIMUM_EVENT_BYTES) -> Iterator[str]:
    """Split a line into texts of at most so many bytes, never within a character; an empty line is none."""
    text = line.decode("utf-8", "replace")
    encoded = text.encode()
    while encoded:
        end = min(limit, len(encoded))
        while end < len(encoded) and encoded[end] & 0xC0 == 0x80:
            end -= 1
        yield encoded[:end].decode()
        encoded = encoded[end:]


class Batches:
    """Collects events and says when a batch is due. Pure but for the clock that is passed in."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._bytes = 0
        self._since = 0.0
        self._ready: list[list[dict[str, Any]]] = []

    def add(self, line: bytes, now: float) -> None:
        """Add one line that was read at this instant (epoch seconds)."""
        for text in pieces(line.rstrip(b"\r")):
            size = len(text.encode()) + _EVENT_OVERHEAD_BYTES
            if self._bytes + size > _MAXIMUM_BATCH_BYTES or len(self._events) == _MAXIMUM_BATCH_EVENTS:
                self._close()
            if not self._events:
                self._since = now
            self._events.append({"timestamp": int(now * 1000), "message": text})
            self._bytes += size

    def due(self, now: float, *, everything: bool = False) -> list[list[dict[str, Any]]]:
        """Return and forget the batches that are to be sent now."""
        if self._events and (everything or now - self._since >= _DELAY_S):
            self._close()
        ready, self._ready = self._ready, []
        return ready

    def _close(self) -> None:
        self._ready.append(self._events)
        self._events, self._bytes = [], 0


def pump(descriptor: int, send: Send) -> None:
    """Read a container's output until it ends and send all of it, line by line, none later than about 0.2 s.

    What can't be sent is reported and dropped: a container must not hang on its log group.
    """
    batches, rest, ended = Batches(), b"", False
    while not ended:
        if select.select([descriptor], [], [], _DELAY_S)[0]:
            chunk = os.read(descriptor, _READ_BYTES)
            ended = not chunk
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAXIMUM_EVENT_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                batches.add(line, time.time())
        if ended:
            batches.add(rest, time.time())
        for batch in batches.due(time.time(), everything=ended):
            try:
                send(batch)
            except Exception as error:  # noqa: BLE001 - boto3 raises many kinds
                _log.error("%d lines of a container's output were not delivered: %s", len(batch), error)
