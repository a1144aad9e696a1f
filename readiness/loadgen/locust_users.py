"""Runs one worker's share of the users of a locustfile, with Locust as a library.

The file is not changed and knows nothing of us: its user classes, tasks, wait times and listeners run on Locust's own
local runner. So the workload is closed, at the file's own pace, and what its clients hide (redirects, repeated
requests) stays hidden. How many users there are, of which classes, and when each begins, is the plan's doing alone.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import locust
from gevent.event import Event
from locust import argument_parser
from locust.env import Environment
from locust.runners import STATE_CLEANUP, STATE_SPAWNING, STATE_STOPPED, STATE_STOPPING, LocalRunner
from locust.util.load_locustfile import load_locustfile

from readiness.errors import ReadinessError
from readiness.loadgen import workload_files
from readiness.loadgen.locust_requests import LocustRequests
from readiness.loadgen.order import Order
from readiness.loadgen.recorder import Recorder
from readiness.model import LocustfileArrivals

UserClass = type[locust.User]

_LOOK_EVERY_S = 0.1
_LATE_S = 1.0
_END_S = 2.0
_MOST_LOGGED = 20
_MAX_SAID = 160
_ENDED = frozenset({STATE_CLEANUP, STATE_STOPPING, STATE_STOPPED})
_LOGGERS = ("", "locust.user.task", "locust.user.users")
_COUNTED = "_readiness_counted"


def load(
    arrivals: LocustfileArrivals, digests: Mapping[str, str], folder: Path = Path(workload_files.FOLDER)
) -> list[UserClass]:
    """Load the file that a plan names, and return its user classes that are to run.

    Args:
        arrivals: The file, and its user classes.
        digests: File -> digest that the harness saw.
        folder: Where the fleet has its copies.

    Raises:
        ReadinessError: the file is not the one the harness has, cannot be imported, has not the users that are asked
            for, or wants to decide their number.
    """
    workload_files.read(arrivals.file, digests, folder)
    path = folder.resolve() / arrivals.file
    try:
        found, shapes = load_locustfile(str(path))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's file may raise anything
        raise ReadinessError(f"{arrivals.file} cannot be loaded: {said(error, folder)}") from None
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # for what its tasks import only when they run
    if shapes:
        raise ReadinessError(
            f"{arrivals.file} has a LoadTestShape, which decides the number of users; here the plan does.",
            hint="Remove the shape, or make it abstract; say the users and the ramp in the plan.",
        )
    there = ", ".join(sorted(found)) or "none"
    if not found:
        raise ReadinessError(f"{arrivals.file} has no user class: no subclass of User that is not abstract.")
    missing = [name for name in arrivals.user_classes if name not in found]
    if missing:
        module = sys.modules.get(path.stem)
        others = [name for name in missing if hasattr(module, name)]
        why = f" ({', '.join(others)}: no User, or an abstract one)" if others else ""
        raise ReadinessError(f"{arrivals.file} has no user class {', '.join(missing)}{why}; there is {there}.")
    return list(dict.fromkeys(found[name] for name in arrivals.user_classes or found))


def said(error: BaseException, folder: Path) -> str:
    """Return what an exception says, with the place in the user's files that it comes from."""
    text = f"{type(error).__name__}: {error}"[:_MAX_SAID]
    if isinstance(error, SyntaxError):
        return text if "line " in text else f"{text} (line {error.lineno})"
    within = folder.resolve()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(within):
            return f"{text} ({Path(frame.filename).relative_to(within)} line {frame.lineno})"
    return text


def spawn_order(classes: Sequence[UserClass], users: int) -> list[UserClass]:
    """Return the class of each user of the whole fleet, in the order in which they begin.

    Fixed numbers come first, as Locust has it; the others follow by weight, evenly mixed at any time of the ramp.

    Raises:
        ReadinessError: the classes cannot make up as many users.
    """
    order = [each for each in classes for _ in range(each.fixed_count)][:users]
    weights = {each: float(each.weight) for each in classes if not each.fixed_count and each.weight > 0}
    if not weights and len(order) < users:
        raise ReadinessError(
            f"The locustfile's user classes make up {len(order)} users, by their fixed_count and weight; "
            f"the plan asks for {users}."
        )
    credit = dict.fromkeys(weights, 0.0)
    while len(order) < users:
        for each, weight in weights.items():
            credit[each] += weight
        chosen = max(credit, key=credit.__getitem__)
        credit[chosen] -= sum(weights.values())
        order.append(chosen)
    return order


def share_of(order: Sequence[UserClass], worker: int, workers: int) -> list[int]:
    """Return which users a worker runs, by their place in *order*: an even share of every class."""
    rank = {each: number for number, each in enumerate(dict.fromkeys(order))}
    by_class = sorted(range(len(order)), key=lambda user: rank[order[user]])
    return sorted(by_class[worker::workers])


class LocustDriver:
    """One worker's share of the users of a locustfile.

    Attributes:
        failure: Why what was driven is not what the plan says.
        reconnects: Unknown of these clients, so none.
    """

    reconnects = 0

    def __init__(
        self,
        order: Order,
        recorder: Recorder,
        secrets: Collection[str],
        folder: Path = Path(workload_files.FOLDER),
    ) -> None:
        """Load the file.

        Raises:
            ReadinessError: it cannot run as the plan says.
        """
        assert isinstance(order.workload.arrivals, LocustfileArrivals)
        self._arrivals = order.workload.arrivals
        self._workload = order.workload
        self._workers = order.workers
        self._recorder = recorder
        self._folder = folder
        self._target = order.target.rstrip("/")
        self._events: Any = locust.events
        if order.headers:
            raise ReadinessError(f"No headers can be given to the requests of {self._arrivals.file}.")
        self._requests = LocustRequests(recorder, self._target, order.workload.timeout.total_seconds(), secrets)
        classes = load(self._arrivals, order.files, folder)
        self._order = spawn_order(classes, self._arrivals.users)
        self._environment = self._make_environment(classes)
        self._runner: LocalRunner = self._environment.create_local_runner()
        self._share: list[int] = []
        self._spawned = 0
        self._complaints: list[str] = []
        self._told = self._complaints.append
        self._stopping = Event()
        self.failure: str | None = None

    def _make_environment(self, classes: list[UserClass]) -> Environment:
        """Return what Locust's own command line would have made, for a test without workers of its own."""
        options = self._options()
        options.host = self._target
        options.num_users = self._arrivals.users
        options.headless = True
        for each in classes:
            each.host = self._target
        try:
            return Environment(
                user_classes=[each for each in classes if each in self._order],
                locustfile=self._arrivals.file,
                events=self._events,
                host=self._target,
                stop_timeout=self._workload.timeout.total_seconds(),
                parsed_options=options,
            )
        except ValueError as error:  # two classes of one name
            raise ReadinessError(f"{self._arrivals.file}: {error}") from None

    def _options(self) -> Any:
        """Return Locust's options and the file's own, with their defaults and what the environment sets."""
        try:
            options, _ = argument_parser.get_parser(default_config_files=[]).parse_known_args(args=[])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - listeners of the file's add options
            why = said(error, self._folder)
            raise ReadinessError(f"{self._arrivals.file}: its command line options have no defaults: {why}") from None
        return options

    # --- what the worker asks for -------------------------------------------------------------------------------------

    def prepare(self, worker: int) -> None:
        """Let the file set up what it needs, before any worker starts.

        Args:
            worker: The number that Locust gave this worker.

        Raises:
            ReadinessError: a listener of ``init`` raised.
        """
        self._runner.worker_index = worker
        self._runner.worker_count = self._workers
        with self._overheard():
            try:
                self._events.init.fire(environment=self._environment, runner=self._runner, web_ui=None)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - Locust lets some of them through
                self._complaints.append(said(error, self._folder))
        if self._complaints:
            raise ReadinessError(f"{self._arrivals.file}: a listener of init raised {self._complaints[0]}")

    def take_share(self, worker: int) -> None:
        """Take the part of the users that falls to the worker of this number."""
        self._share = share_of(self._order, worker, self._workers)

    def stop(self) -> None:
        """End the users."""
        self._stopping.set()

    def drive(self, start: float) -> None:
        """Run the users from *start* (of ``time.monotonic``) to the end of the hold."""
        self._recorder.start_at(start)
        self._told = self._recorder.user_error
        with self._overheard(), self._requests.recorded(self._events):
            self._events.user_error.add_listener(self._on_user_error)
            self._guarded(lambda: self._run(start))
            self._guarded(self._end)
            self._events.user_error.remove_listener(self._on_user_error)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do *act*; whatever it raises makes the drive worthless, and is told."""
        try:
            act()
        except SystemExit as error:  # of a task: gevent raises it here
            self._fail(f"{self._arrivals.file} ended the process: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the master
            self._fail(f"{self._arrivals.file}: {said(error, self._folder)}")

    def _fail(self, reason: str) -> None:
        self.failure = self.failure or reason
        self._stopping.set()

    # --- users --------------------------------------------------------------------------------------------------------

    def _run(self, start: float) -> None:
        """Spawn each user when it is its turn, and watch over them to the end of the hold."""
        runner, ramp_s = self._runner, self._workload.ramp.total_seconds()
        runner.target_user_count = len(self._share)
        self._environment._filter_tasks_by_tags()
        self._events.test_start.fire(environment=self._environment)
        runner.update_state(STATE_SPAWNING)
        for number in self._share:
            if not self._wait_until(start + ramp_s * number / len(self._order)):
                return
            self._spawn(self._order[number])
        late_s = time.monotonic() - start - ramp_s
        if late_s > _LATE_S:
            self._fail(
                f"its {self._spawned} users were spawned {late_s:.1f} s after the ramp: they take too long to make"
            )
            return
        runner.target_user_classes_count = runner.user_classes_count
        self._events.spawning_complete.fire(user_count=self._spawned)
        if self._wait_until(start + self._workload.length.total_seconds()):
            self._look_for_ended()

    def _spawn(self, user_class: UserClass) -> None:
        user = user_class(self._environment)
        user.start(self._runner.user_greenlets).link_exception(self._on_user_died)
        self._spawned += 1

    def _wait_until(self, instant: float) -> bool:
        """Wait, and return whether the users are still to go on then."""
        while (left := instant - time.monotonic()) > 0 and not self._stopping.is_set():
            if self._runner.state in _ENDED:
                self._fail(f"{self._arrivals.file} stopped the test itself, {left:.1f} s before its time")
            elif self._spawned == len(self._share) > 0 and not self._runner.user_greenlets:
                self._look_for_ended()
            else:
                self._stopping.wait(min(left, _LOOK_EVERY_S))
        return not self._stopping.is_set()

    def _look_for_ended(self) -> None:
        """Complain of users that are gone: nobody would offer their part of the load, and nobody would notice."""
        gone = self._spawned - len(self._runner.user_greenlets)
        if gone:
            self._fail(f"{gone} of this worker's {self._spawned} users ended by themselves before the end of the hold")

    def _end(self) -> None:
        """Stop the users: each may end its task, within the timeout; none may keep the worker for ever."""
        ending = gevent.spawn(self._stop_users)
        ending.join(self._workload.timeout.total_seconds() + _END_S)
        if not ending.dead:  # in on_stop, perhaps, where a request can hang as well
            self._runner.user_greenlets.kill(block=False)
            ending.join(_END_S / 2)
        if not ending.dead:
            self._told(f"users or listeners of {self._arrivals.file} did not end when they were stopped")
            ending.kill(block=False)
        self._runner.greenlet.kill(block=False)

    def _stop_users(self) -> None:
        self._requests.end()
        self._runner.stop()
        self._events.quitting.fire(environment=self._environment, reverse=True)

    # --- what goes wrong in the file ----------------------------------------------------------------------------------

    def _on_user_error(self, *, exception: BaseException, **_: Any) -> None:
        """Count an exception that a task let out."""
        self._count(exception)
        self._requests.task_raised(exception)

    def _on_user_died(self, greenlet: gevent.Greenlet) -> None:
        """Count an exception that ended a user, if Locust has not told of it."""
        if isinstance(greenlet.exception, Exception):
            self._count(greenlet.exception)

    def _count(self, error: BaseException) -> None:
        if getattr(error, _COUNTED, False):
            return
        with contextlib.suppress(AttributeError, TypeError):
            setattr(error, _COUNTED, True)
        self._told(said(error, self._folder))

    @contextmanager
    def _overheard(self) -> Iterator[None]:
        """Hear of exceptions in listeners, which Locust only logs."""
        ears = [(logging.getLogger(name), _Ear(self._told)) for name in _LOGGERS]
        for logger, ear in ears:
            logger.addFilter(ear)
        try:
            yield
        finally:
            for logger, ear in ears:
                logger.removeFilter(ear)


class _Ear(logging.Filter):
    """Listens to a log for exceptions in listeners and ``on_stop``, and cuts short what would repeat itself."""

    def __init__(self, tell: Any) -> None:
        super().__init__()
        self._tell = tell
        self._logged = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged."""
        if isinstance(record.msg, str) and record.msg.startswith("Uncaught exception in"):
            lines = record.getMessage().strip().splitlines()
            self._tell(f"{lines[0].removeprefix('Uncaught exception in ').rstrip(': ')}: {lines[-1]}"[:_MAX_SAID])
        if record.levelno < logging.ERROR:
            return True
        self._logged += 1
        return self._logged <= _MOST_LOGGED
