"""What a member of the fleet is told to do, and how that travels in one environment variable."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import field
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from readiness.errors import ReadinessError
from readiness.model import Duration, Positive, Workload, record


@record
class Order:
    """One member's part of one drive.

    Attributes:
        role: The master tells the workers when to start, merges what they report and prints it; workers send requests.
        run_id: The run that the fleet works for.
        master_host: Where the workers find the master; the master itself ignores it.
        workers: How many workers drive together. None starts before all of them are ready.
        target: Base URL of the service, e.g. ``http://10.0.1.2:8080``.
        workload: What is offered. Its hold bounds the drive even when nobody stops it.
        files: File of the workload, below its folder -> digest that the fleet's copy must have.
        headers: Headers that every request carries besides its scenario's.
        secret_variables: Environment variables of the fleet whose values nothing printed may hold.
        until_stopped: Whether the drive is meant to end by being stopped; reaching the end of the hold is then a fault.
        seed: Of the arrivals and the choice of scenarios.
        ready_deadline: How long the master waits for all workers.
        silence: A worker that says nothing for this long is lost.
    """

    role: Literal["master", "worker"]
    run_id: str
    master_host: str = ""
    master_port: Annotated[int, Field(gt=0, lt=65536)]
    workers: Positive
    target: Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$")]
    workload: Workload
    files: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    secret_variables: tuple[str, ...] = ()
    until_stopped: bool = False
    seed: int = 0
    ready_deadline: Duration = timedelta(minutes=3)
    silence: Duration = timedelta(seconds=5)


_ORDER = TypeAdapter(Order)
_MAX_BYTES = 1 << 20


def encode(order: Order) -> str:
    """Return *order* as the text of one environment variable: JSON, zlib-compressed, base64."""
    return base64.b64encode(zlib.compress(_ORDER.dump_json(order), 9)).decode("ascii")


def decode(text: str) -> Order:
    """Return the order that *text* spells.

    Raises:
        ReadinessError: it is none.
    """
    try:
        plain = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MAX_BYTES)
        return _ORDER.validate_json(plain)
    except (binascii.Error, zlib.error, ValidationError, ValueError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ReadinessError(
            f"The fleet's order cannot be read: {reason}",
            hint="The harness and the fleet's image must be of the same version; deploy the stack again.",
        ) from None
