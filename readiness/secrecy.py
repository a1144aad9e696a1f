"""Keeps the secrets of this process's environment out of all that is written: evidence, ledger, narration, errors.

What a run keeps may quote anything: a command's output, an error of AWS, a template. Secrets of the service are not
known here, because the harness never reads them; the fleet keeps those to itself (``loadgen/redacted_output.py``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from readiness.errors import UsageError

MASK: Final = "***"
_NAME = re.compile(
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PRIVATE_?KEY|API_?KEY|ACCESS_?KEY$|CREDENTIAL|AUTH(?!OR(?!I[SZ]))",
    re.IGNORECASE,
)
"""Authorization is a secret; an author or an authority is none."""
_PLACE = re.compile(
    r"(FILE|PATH|DIR|DIRECTORY|URI|URL|ENDPOINT|HOST|NAME|SOCK|TYPE|MODE|METHOD|ID|EMAIL|EXPIRATION|REGION|AUTHORITY)$",
    re.IGNORECASE,
)
"""Variables called so say where a secret is, whose, or until when, not what it is."""
_LEAST, _LEAST_OF_LETTERS = 8, 12


def secrets(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the values of the environment that are secret by the name of their variable, the longest first.

    What is too short, or a plain word or number, is left out: to mask it would spoil evidence and hide nothing.
    """
    return tuple(sorted(set(_named(os.environ if environ is None else environ).values()), key=len, reverse=True))


def _named(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if _NAME.search(name) and not _PLACE.search(name) and _tells_something(value)
    }


def _tells_something(value: str) -> bool:
    if value.isdigit() or len(value) < _LEAST:
        return False
    return len(value) >= _LEAST_OF_LETTERS or not value.isalpha()


def conceal(text: str) -> str:
    """Return *text* with every secret of the environment masked, also as JSON and URLs spell it."""
    for secret in secrets():
        for spelled in _spellings(secret):
            text = text.replace(spelled, MASK)
    return text


def conceal_bytes(data: bytes) -> bytes:
    """Return *data* with every secret of the environment masked; what is no text is searched all the same."""
    for secret in secrets():
        for spelled in _spellings(secret):
            data = data.replace(spelled.encode(errors="surrogateescape"), MASK.encode())
    return data


def refuse_secrets_in(files: Iterable[Path]) -> None:
    """Refuse files that decide a run and hold a secret: their copies in the evidence would say something else.

    Raises:
        UsageError: a file holds the value of a variable that is called like a secret.
    """
    for file in files:
        data = file.read_bytes() if file.exists() else b""
        for name, secret in sorted(_named(os.environ).items()):
            if any(spelled.encode(errors="surrogateescape") in data for spelled in _spellings(secret)):
                raise UsageError(
                    f"{file} holds the value of the environment variable {name}, which is masked in all evidence:"
                    " the copy in the bundle would be another file.",
                    hint=f"Take the secret out of the file; if it is none, unset {name}.",
                )


def _spellings(secret: str) -> set[str]:
    """Return a secret as it stands in text, in JSON and in a URL."""
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}
