"""Runs the users of a locustfile as Locust does, and records their requests as ours are.

The file is not changed and knows nothing of us: its user classes, tasks, wait times and listeners run on Locust's own
local runner, which reports each request when it has ended. So the workload is closed, at the file's own pace, and what
its clients hide (redirects, repeated requests) stays hidden.
"""

from __future__ import annotations

import errno
import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import locust
from gevent.event import Event
from locust.env import Environment
from locust.exception import CatchResponseError
from locust.runners import LocalRunner
from locust.util.load_locustfile import load_locustfile

from readiness.errors import ReadinessError
from readiness.loadgen import rows
from readiness.loadgen.order import Order
from readiness.loadgen.recorder import Recorder
from readiness.loadgen.workload_files import FOLDER
from readiness.model import LocustfileArrivals

_MAX_NAME = 80
_MAX_NAMES = 200
_OTHERS = "(other)"
_NO_CONNECTION = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})


@dataclass(frozen=True)
class Locustfile:
    """A locustfile that was loaded."""

    arrivals: LocustfileArrivals
    user_classes: tuple[type[locust.User], ...]


def load(arrivals: LocustfileArrivals, folder: Path = Path(FOLDER)) -> Locustfile:
    """Load the file that a plan names.

    Raises:
        ReadinessError: it cannot be imported, has not the users that are asked for, or wants to decide their number.
    """
    path = folder.resolve() / arrivals.file
    try:
        found, shapes = load_locustfile(str(path))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's file may raise anything
        raise ReadinessError(f"{arrivals.file} cannot be loaded: {_where(error, path)}") from None
    if shapes:
        raise ReadinessError(
            f"{arrivals.file} has a LoadTestShape, which decides the number of users; here the plan does.",
            hint="Remove it, and say the users and the ramp in the plan.",
        )
    missing = [name for name in arrivals.user_classes if name not in found]
    if missing or not found:
        there = ", ".join(sorted(found)) or "none"
        raise ReadinessError(f"{arrivals.file} has no user class {', '.join(missing) or 'at all'}; there is {there}.")
    chosen = arrivals.user_classes or tuple(found)
    return Locustfile(arrivals, tuple(found[name] for name in chosen))


def _where(error: BaseException, path: Path) -> str:
    """Return what an error says, with the line of the file that it comes from."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return said
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{said} (line {lines[-1]})" if lines else said


class LocustDriver:
    """One worker's share of the users of a locustfile.

    Attributes:
        failure: What went wrong in the generator itself.
        reconnects: Unknown of these clients, so none.
    """

    reconnects = 0

    def __init__(self, order: Order, worker: int, recorder: Recorder, file: Locustfile) -> None:
        self._order = order
        self._recorder = recorder
        self._file = file
        self._share = len(range(worker, file.arrivals.users, order.workers))
        self._target = urlsplit(order.target)
        self._names: set[str] = set()
        self._stopping = Event()
        self.failure: str | None = None

    def stop(self) -> None:
        """End the users."""
        self._stopping.set()

    def drive(self, start: float) -> None:
        """Run the users from *start* (of ``time.monotonic``) to the end of the hold."""
        self._recorder.start_at(start)
        workload = self._order.workload
        events: Any = locust.events
        environment = Environment(
            user_classes=list(self._file.user_classes),
            events=events,
            host=self._order.target,
            stop_timeout=workload.timeout.total_seconds(),
        )
        runner = environment.create_local_runner()
        events.request.add_listener(self._on_request)
        events.user_error.add_listener(self._on_user_error)
        events.init.fire(environment=environment, runner=runner, web_ui=None)
        self._stopping.wait(max(0.0, start - time.monotonic()))
        if not self._stopping.is_set():
            self._run(runner, start + workload.length.total_seconds(), workload.ramp.total_seconds())
        events.quitting.fire(environment=environment, reverse=True)
        runner.quit()

    def _run(self, runner: LocalRunner, end: float, ramp_s: float) -> None:
        """Spawn the users over the ramp, and stop them at the end."""
        if self._share:
            runner.start(self._share, spawn_rate=self._share / ramp_s if ramp_s else self._share)
        while (left := end - time.monotonic()) > 0 and not self._stopping.is_set():
            self._stopping.wait(min(left, 1.0))
        runner.stop()

    # --- what Locust reports ------------------------------------------------------------------------------------------

    def _on_request(
        self,
        *,
        name: str,
        response_time: float | None = None,
        exception: BaseException | None = None,
        response: Any = None,
        url: str | None = None,
        **_: Any,
    ) -> None:
        """Record a request that has ended."""
        scenario = self._scenario(str(name))
        status = getattr(response, "status_code", None) or None
        outcome = rows.OK if exception is None else _outcome(exception, status)
        headers = getattr(response, "headers", None)
        self._recorder.reported(
            scenario,
            max(0.0, (response_time or 0.0) / 1000),
            outcome,
            message="" if exception is None else f"{type(exception).__name__}: {exception}",
            status=status if isinstance(status, int) else None,
            headers=headers if isinstance(headers, Mapping) else {},
            elsewhere=self._is_elsewhere(url),
        )

    def _scenario(self, name: str) -> str:
        """Return the name to record a request under: as Locust gives it, but neither endless nor endlessly many."""
        name = name[:_MAX_NAME] or _OTHERS
        if name not in self._names and len(self._names) >= _MAX_NAMES:
            return _OTHERS
        self._names.add(name)
        return name

    def _is_elsewhere(self, url: str | None) -> bool:
        """Return whether a request went to another host; clients that are none of HTTP name no address."""
        if not url:
            return False
        parts = urlsplit(str(url))
        return (parts.scheme, parts.netloc) != (self._target.scheme, self._target.netloc)

    def _on_user_error(self, *, exception: BaseException, **_: Any) -> None:
        """Count an exception that a task let out."""
        self._recorder.user_error(f"{type(exception).__name__}: {exception}")


def _outcome(exception: BaseException, status: int | None) -> str:
    """Return which class of failure an exception belongs to; clients wrap what happened several times."""
    if status is not None and status >= 400:
        return rows.STATUS
    if isinstance(exception, CatchResponseError):  # the file itself says that the answer is wrong
        return rows.ASSERTION
    chain = list(_chain(exception))
    if any(isinstance(each, TimeoutError | gevent.Timeout) or "Timeout" in type(each).__name__ for each in chain):
        return rows.TIMEOUT
    if any(_is_no_connection(each) for each in chain):
        return rows.CONNECT
    if any(isinstance(each, OSError) for each in chain) or type(exception).__module__.startswith("geventhttpclient"):
        return rows.RESET
    return rows.ASSERTION


def _is_no_connection(error: BaseException) -> bool:
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        return True
    if isinstance(error, OSError) and error.errno in _NO_CONNECTION:
        return True
    return type(error).__name__ in ("NewConnectionError", "NameResolutionError")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it was raised from, or that it carries."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        named = [getattr(each, name, None) for name in ("reason", "original", "__cause__", "__context__")]
        carried = [*each.args, *named]
        waiting += [inner for inner in carried if isinstance(inner, BaseException)]
