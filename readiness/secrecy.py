"""Keeps the secrets of this process's environment out of all that is written: evidence, ledger, narration, errors.

What a run keeps may quote anything: a command's output, an error of AWS, a template. Secrets of the service are not
known here, because the harness never reads them; the fleet keeps those to itself (``loadgen/redacted_output.py``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

MASK: Final = "***"
_NAME = re.compile(
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PRIVATE_?KEY|API_?KEY|ACCESS_?KEY$|CREDENTIAL|AUTH", re.IGNORECASE
)
_PLACE = re.compile(r"(FILE|PATH|DIR|URI|URL|ENDPOINT|HOST|NAME|SOCK|TYPE|MODE|METHOD|ID)$", re.IGNORECASE)
"""Variables called so say where a secret is, not what it is."""
_LEAST, _LEAST_OF_LETTERS = 8, 12


def secrets(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the values of the environment that are secret by the name of their variable, the longest first.

    What is too short, or a plain word or number, is left out: to mask it would spoil evidence and hide nothing.
    """
    found = os.environ if environ is None else environ
    values = {
        value
        for name, value in found.items()
        if _NAME.search(name) and not _PLACE.search(name) and _tells_something(value)
    }
    return tuple(sorted(values, key=len, reverse=True))


def _tells_something(value: str) -> bool:
    if value.isdigit() or len(value) < _LEAST:
        return False
    return len(value) >= _LEAST_OF_LETTERS or not value.isalpha()


def conceal(text: str) -> str:
    """Return *text* with every secret of the environment masked, also as JSON and URLs spell it."""
    for secret in secrets():
        for spelled in {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}:
            text = text.replace(spelled, MASK)
    return text


def conceal_bytes(data: bytes) -> bytes:
    """Return *data* with every secret of the environment masked; what is no text is searched all the same."""
    for secret in secrets():
        for spelled in {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}:
            data = data.replace(spelled.encode(errors="surrogateescape"), MASK.encode())
    return data
