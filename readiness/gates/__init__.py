"""The gates: one file, one question. The folder is walked; there is no registry."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from readiness.gate import Gate
from readiness.model import Stage


@cache
def all_gates() -> tuple[Gate[Any, Any], ...]:
    """Return every gate of the folder, in the order in which a run asks them.

    Raises:
        TypeError: a file holds no ``GATE``, or its gate's id is not the file's name.
    """
    found = []
    for module in pkgutil.iter_modules(__path__):
        gate = getattr(importlib.import_module(f"{__name__}.{module.name}"), "GATE", None)
        if not isinstance(gate, Gate):
            raise TypeError(f"readiness/gates/{module.name}.py holds no GATE")
        if gate.id != module.name.replace("_", "-"):
            raise TypeError(f"readiness/gates/{module.name}.py: its gate is called {gate.id!r}; name both alike")
        found.append(gate)
    stages = list(Stage)
    return tuple(sorted(found, key=lambda gate: (stages.index(gate.stage), gate.order, gate.id)))
