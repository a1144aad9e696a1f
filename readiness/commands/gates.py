"""`readiness gates`: every gate, its question and its settings."""

from __future__ import annotations

import argparse
import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from datetime import timedelta
from typing import Any

from readiness import gates
from readiness.decide import ExitCode
from readiness.model import spell_duration


def add(commands: Any) -> None:
    """Add `readiness gates`."""
    parser = commands.add_parser(
        "gates",
        help="list every gate, its question and its settings",
        description="List every gate with its stage, its question and its settings, as they are without a plan.",
    )
    parser.set_defaults(act=_gates)


def _gates(arguments: argparse.Namespace) -> int:
    for gate in gates.all_gates():
        print(f"{gate.id}  [{gate.stage}]\n    {gate.question}")
        for field in fields(gate.settings):
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            print(f"    gates.settings.{gate.id}.{field.name} = {_setting(default)}")
    return ExitCode.GO


def _setting(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    """Return what JSON knows for a value of a plan that it does not know."""
    if isinstance(value, timedelta):
        return spell_duration(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
