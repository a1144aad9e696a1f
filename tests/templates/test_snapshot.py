"""The whole template, so that a review sees every change of it.

``READINESS_UPDATE_SNAPSHOT=1 pytest tests/templates/test_snapshot.py`` writes it anew: read the difference first.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from tests.templates.conftest import Synthesized

SNAPSHOT = Path(__file__).parent / "snapshots" / "readiness-stack.yaml"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _normalised(stack: Synthesized) -> str:
    """Return the template without what changes by itself (digests) and what other tests say better (tags, paths)."""
    document: dict[str, Any] = stack.document
    for resource in document["Resources"].values():
        resource.pop("Metadata", None)
        resource.pop("DeletionPolicy")
        resource.pop("UpdateReplacePolicy")
        resource["Properties"].pop("Tags", None)
    text = yaml.safe_dump(document, sort_keys=True, width=120, allow_unicode=True)
    return _DIGEST.sub("<digest>", text)


def test_the_template_is_the_one_that_was_reviewed(default: Synthesized) -> None:
    text = _normalised(default)
    if os.environ.get("READINESS_UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8"), (
        "The template changed. If it should, run this test with READINESS_UPDATE_SNAPSHOT=1 and review the difference."
    )
