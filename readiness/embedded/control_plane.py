"""One embedded AWS: the API server, and the parts that make its resources act."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

from readiness.embedded import moto_adapter
from readiness.embedded.balancer import Balancers
from readiness.embedded.busy import Busy
from readiness.embedded.clients import Clients
from readiness.embedded.cloudformation import CloudFormation
from readiness.embedded.cloudwatch import CloudWatch
from readiness.embedded.ecs import Ecs
from readiness.embedded.elasticache import ElastiCache
from readiness.embedded.functions import Functions
from readiness.embedded.moto_adapter import Action, MotoServer
from readiness.embedded.processes import Spawner
from readiness.embedded.rds import Rds
from readiness.embedded.scheduler import Scheduler
from readiness.embedded.service_permissions import Deliveries
from readiness.embedded.settings import EmbeddedSettings
from readiness.embedded.subscriptions import Subscriptions
from readiness.embedded.tag_index import TagIndex

STOP_DEADLINE_S = 15.0
"""How long one part may take to stop before the next one is stopped all the same."""

_WHOLE = frozenset({"cloudwatch", "cloudformation"})
"""Services that are ours entirely: an operation that we do not have is refused, never answered by moto."""


class Part(Protocol):
    """Something that answers API operations and does what they order."""

    actions: Mapping[str, Mapping[str, Action]]

    def start(self) -> None:
        """Begin to act."""

    def stop(self) -> None:
        """End all that it runs."""


class EmbeddedAws:
    """An AWS of one account and region on loopback.

    Attributes:
        id: Every process of it carries it in its environment.
        endpoint: Address of its API, e.g. ``http://localhost:4566``.
    """

    def __init__(self, settings: EmbeddedSettings, port: int = 0) -> None:
        self.settings = settings
        self.id = str(uuid.uuid4())
        self.endpoint = ""
        self._port = port
        self._running = ExitStack()

    def start(self) -> None:
        """Start the API server, then the parts, each of which may call those before it.

        Raises:
            ServerError: the port is taken.
        """
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as starting:
            starting.callback(moto_adapter.forget_all)
            server = MotoServer(self.settings.region, self._port, Busy(self.settings.refused_ratio).refusal)
            server.start()
            starting.callback(_stopped, "the API server", server.stop)
            spawner = Spawner(self.id)
            spawner.start()
            starting.callback(_stopped, "the child processes", spawner.stop)
            for part in self._parts(spawner, Clients(server.endpoint, self.settings.region)):
                _register(part.actions)
                part.start()
                starting.callback(_stopped, type(part).__name__, part.stop)
            self.endpoint = server.endpoint
            self._running = starting.pop_all()

    def stop(self) -> None:
        """Stop the parts in reverse order, then the processes that are left, then the API server."""
        self._running.close()

    def __enter__(self) -> EmbeddedAws:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _parts(self, spawner: Spawner, clients: Clients) -> tuple[Part, ...]:
        """Return the parts in the order in which they start."""
        settings = self.settings
        functions = Functions(settings, spawner, clients)
        cloudwatch = CloudWatch(settings, clients)
        balancers = Balancers(settings, spawner, clients, cloudwatch.put, functions.http_address)
        ecs = Ecs(settings, spawner, clients, balancers, cloudwatch.put, cloudwatch.alarm_state)
        return (
            Deliveries(),
            functions,
            cloudwatch,
            balancers,
            ecs,
            Scheduler(settings, clients),
            ElastiCache(settings),
            Rds(),
            Subscriptions(settings),
            TagIndex(settings, [cloudwatch.tags]),
            CloudFormation(settings, clients),
        )


def _register(actions: Mapping[str, Mapping[str, Action]]) -> None:
    """Make the API server answer operations by our actions."""
    for service, ours in actions.items():
        (moto_adapter.replace if service in _WHOLE else moto_adapter.override)(service, ours)


def _stopped(name: str, stop: Callable[[], Any]) -> None:
    """Stop one part within its deadline; whatever goes wrong with it, the others are stopped after it."""
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            stop()
        except Exception as error:  # noqa: BLE001 - the parts below it must still be stopped
            failures.append(error)

    thread = threading.Thread(target=attempt, name=f"stop {name}", daemon=True)
    thread.start()
    thread.join(STOP_DEADLINE_S)
    if thread.is_alive():
        sys.stderr.write(f"embedded AWS: {name} did not stop in {STOP_DEADLINE_S:g} s\n")
    for error in failures:
        sys.stderr.write(f"embedded AWS: {name} did not stop cleanly: {error!r}\n")
