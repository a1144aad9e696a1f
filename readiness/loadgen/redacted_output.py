"""Keeps secrets out of what a worker prints: a locustfile may print anything, and tracebacks quote what they like."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Collection
from typing import Any

from readiness.loadgen.template import redact

_CREDENTIAL = re.compile(r"\b(Bearer|Basic) +[\w.~+/=-]{4,}")
_MAX_LINE = 8192


def hide(secrets: Collection[str]) -> None:
    """Let nothing that this process prints or logs from now on give a secret away."""
    sys.stdout = RedactedStream(sys.stdout, secrets)
    sys.stderr = RedactedStream(sys.stderr, secrets)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_RedactedFormatter(secrets))
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Return *text* without any of *secrets*, and without what looks like a credential of HTTP."""
    return _CREDENTIAL.sub(r"\1 ***", redact(text, secrets))


class RedactedStream(io.TextIOBase):
    """A stream whose text goes out by whole lines, so that no secret slips through in two pieces."""

    def __init__(self, stream: Any, secrets: Collection[str]) -> None:
        self._stream = stream
        self._secrets = secrets
        self._line = ""

    def write(self, text: str) -> int:
        """Take text in; whole lines, and what is too long to wait for its end, go out."""
        whole, newline, self._line = (self._line + text).rpartition("\n")
        if len(self._line) > _MAX_LINE:
            whole, newline, self._line = whole + newline + self._line, "", ""
        if whole or newline:
            self._stream.write(without_secrets(whole + newline, self._secrets))
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Let out what there is of a line."""
        if self._line:
            self._stream.write(without_secrets(self._line, self._secrets))
            self._line = ""
        self._stream.flush()

    def fileno(self) -> int:
        """Return the descriptor that the text goes to."""
        return int(self._stream.fileno())

    def isatty(self) -> bool:
        """Return whether somebody reads along."""
        return bool(self._stream.isatty())

    def writable(self) -> bool:
        """Return that it may be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream below."""
        return str(self._stream.encoding)


class _RedactedFormatter(logging.Formatter):
    """Writes a log record, traceback included, without secrets, also those of several lines."""

    def __init__(self, secrets: Collection[str]) -> None:
        super().__init__("%(name)s: %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines."""
        return without_secrets(super().format(record), self._secrets)
