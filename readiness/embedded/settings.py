"""What the embedded AWS is told when it starts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

ACCOUNT_ID = "123456789012"
"""The account that moto answers with; every ARN of the embedded AWS carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """The settings of one embedded AWS.

    Attributes:
        state_dir: Folder for everything it writes (HAProxy configurations, sockets, function code, task logs).
        images: Image name as a task definition spells it -> argv template of the local command that stands in for
            the container. ``{host}`` is the task's own loopback address, ``{port}`` its own free port.
        time_scale: Factor (>= 1) by which waiting times are shortened: alarm periods, health-check intervals, bake
            times and deregistration delays last 1/time_scale of what the template says. Timestamps stay real.
        region: The one region that it answers for.
        confirms: Addresses whose owner is taken to confirm a subscription at once; nobody is asked.
        refused_ratio: Share of its customers' API calls that it refuses, as a busy AWS does.
    """

    state_dir: Path
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    time_scale: float = 1.0
    region: str = "eu-west-1"
    confirms: tuple[str, ...] = ()
    refused_ratio: float = 0.0

    def to_json(self) -> str:
        """Return the settings as one JSON document, for the child process's command line or file."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> EmbeddedSettings:
        """Return the settings that ``to_json`` wrote."""
        raw = json.loads(text)
        return cls(
            state_dir=Path(raw["state_dir"]),
            images={name: tuple(argv) for name, argv in raw["images"].items()},
            time_scale=float(raw["time_scale"]),
            region=raw["region"],
            confirms=tuple(raw["confirms"]),
            refused_ratio=float(raw.get("refused_ratio", 0)),
        )
