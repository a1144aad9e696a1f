"""Start a few parts of the embedded AWS in this process: the API server, and what a story needs on top of it."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from readiness.embedded import moto_adapter
from readiness.embedded.clients import Clients
from readiness.embedded.cloudwatch import CloudWatch
from readiness.embedded.functions import Functions
from readiness.embedded.processes import Spawner
from readiness.embedded.scheduler import Scheduler
from readiness.embedded.service_permissions import Deliveries
from readiness.embedded.settings import EmbeddedSettings


@dataclass(frozen=True)
class Parts:
    """What was started."""

    clients: Clients
    functions: Functions
    cloudwatch: CloudWatch
    scheduler: Scheduler


@contextlib.contextmanager
def running(state_dir: Path, time_scale: float = 60.0) -> Iterator[Parts]:
    """Run API server, functions, CloudWatch and scheduler; all are gone afterwards."""
    settings = EmbeddedSettings(state_dir=state_dir, time_scale=time_scale)
    moto_adapter.forget_all()
    moto_adapter.reset_state()
    spawner = Spawner(str(uuid.uuid4()))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(moto_adapter.MotoServer(settings.region))
        stack.callback(moto_adapter.forget_all)
        spawner.start()
        stack.callback(spawner.stop)
        clients = Clients(server.endpoint, settings.region)
        functions = Functions(settings, spawner, clients)
        cloudwatch = CloudWatch(settings, clients)
        scheduler = Scheduler(settings, clients)
        moto_adapter.replace("cloudwatch", cloudwatch.actions["cloudwatch"])
        deliveries = Deliveries()
        for part in (deliveries, functions, scheduler):
            for service, actions in part.actions.items():
                moto_adapter.override(service, actions)
        for started in (deliveries, functions, cloudwatch, scheduler):
            started.start()
            stack.callback(started.stop)
        yield Parts(clients, functions, cloudwatch, scheduler)


def eventually(check: Callable[[], Any], deadline_s: float = 20.0) -> Any:
    """Return the first truthy value of the check; fail if none comes in time."""
    until = time.monotonic() + deadline_s
    while True:
        if value := check():
            return value
        assert time.monotonic() < until, f"nothing after {deadline_s} s of asking"
        time.sleep(0.05)
