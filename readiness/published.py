"""`python -m readiness.published`: write the schemas and the page that are made from the code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from readiness import plan_page, plan_schema
from readiness.record_schema import DIALECT, schema_of
from readiness.report.summary import Summary


def files() -> dict[str, str]:
    """Return what is published: path in the repository -> content."""
    return {
        "docs/plan.md": plan_page.page(plan_schema.schema()),
        "readiness/data/plan.schema.json": plan_schema.as_json(),
        "readiness/data/summary.schema.json": json.dumps(summary_schema(), indent=1, ensure_ascii=False) + "\n",
    }


def summary_schema() -> dict[str, Any]:
    """Return the schema of ``summary.json``: keys may be added to it, none is renamed or removed."""
    made: dict[str, Any] = _open(schema_of(Summary, "serialization"))
    return {"$schema": DIALECT, "$id": "urn:readiness:summary:v1", **made, "title": "What a run came to"}


def _open(made: Any) -> Any:
    """Return a schema that lets later versions add keys."""
    if isinstance(made, dict):
        return {name: _open(value) for name, value in made.items() if (name, value) != ("additionalProperties", False)}
    return [_open(each) for each in made] if isinstance(made, list) else made


if __name__ == "__main__":
    for name, content in files().items():
        Path(name).write_text(content, encoding="utf-8")
        sys.stdout.write(f"{name}\n")
