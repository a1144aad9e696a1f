"""The JSON schema of the plan, for editors and for the reference page: each key with the words of its docstring."""

from __future__ import annotations

import json
from typing import Any

from readiness import gates
from readiness.model import Plan
from readiness.record_schema import DIALECT, schema_of

ID = "urn:readiness:plan:v1"


def schema() -> dict[str, Any]:
    """Return the JSON schema of the plan, the settings of every gate included."""
    made = schema_of(Plan)
    settings: dict[str, Any] = {}
    for gate in gates.all_gates():
        own = schema_of(gate.settings)
        made["$defs"] |= own.pop("$defs", {})
        settings[gate.id] = {**own, "title": f"Settings of {gate.id}", "description": gate.question}
    table = made["$defs"]["Gates"]["properties"]["settings"]
    table |= {"properties": settings, "additionalProperties": False}
    return {"$schema": DIALECT, "$id": ID, **made, "title": "The plan of a run"}


def as_json() -> str:
    """Return the schema as it is committed and as the command prints it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
