"""HTTP/1.1 answers, taken in piece by piece and checked whole.

Usual answers (a length, kept alive) are checked by one regular expression; all others are fed to geventhttpclient's
parser, which costs three times as much.
"""

from __future__ import annotations

import re
from functools import lru_cache

from geventhttpclient.response import HTTPParseError, HTTPProtocolViolationError, HTTPResponse

_WITHOUT_BODY = frozenset({204, 304})
_TEXT = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5]\d\d)(?: " + _TEXT + rb")?\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:" + _TEXT + rb"\r\n)+\r\n"
)
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r")


class Answer:
    """What came back.

    Attributes:
        status: Of the final answer.
        body: Whole.
    """

    __slots__ = ("_head", "_lowered", "body", "status")

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self.body = body
        self._head = head
        self._lowered = b""

    def header(self, name: str) -> str | None:
        """Return a header's value, by any case of its name; of several, the first."""
        lowered = self._lowered or self._lower()
        wanted = _beginning_of(name)
        at = lowered.find(wanted)
        if at < 0:
            return None
        begin = at + len(wanted)
        return self._head[begin : self._head.find(b"\r", begin)].strip().decode("latin-1")

    def _lower(self) -> bytes:
        self._lowered = self._head.lower()
        return self._lowered


@lru_cache(maxsize=64)
def _beginning_of(name: str) -> bytes:
    return f"\n{name.lower()}:".encode("latin-1", "replace")


class AnswerReader:
    """Takes in the answers of one connection, one after the other.

    Attributes:
        begun: Whether a part of the present answer has come.
        keep: Whether the connection may be used again after the last answer.
    """

    __slots__ = ("_method", "_parser", "_partial", "_wanted", "begun", "keep")

    def __init__(self) -> None:
        self._partial = bytearray()
        self.expect("GET")

    def expect(self, method: str) -> None:
        """Make ready for the answer to a request of this method."""
        self._method = method
        self._parser: _Parser | None = None
        self._wanted = 0
        self.begun = False
        self.keep = True

    def take(self, data: bytes) -> Answer | None:
        """Return the answer if *data* completes it.

        Args:
            data: What was received; nothing = the other side has closed.

        Raises:
            HTTPParseError: what came is no answer, more than one, or cut off.
        """
        self.begun = True
        if self._parser is not None:
            return self._parsed(data)
        closed = not data
        if self._wanted:
            self._partial += data
            if len(self._partial) < self._wanted and not closed:
                return None
            data = bytes(self._partial)
            self._partial.clear()
        head = _HEAD.match(data)
        if head is not None and self._is_usual(head):
            begin = head.end()
            if len(data) == self._wanted:
                return Answer(int(head[1]), head[0], data[begin:])
            if len(data) < self._wanted and not closed:
                self._partial += data
                return None
        self._parser = _Parser(self._method)
        answer = self._parsed(data)
        return self._parsed(b"") if closed and data else answer

    def _is_usual(self, head: re.Match[bytes]) -> bool:
        """Return whether nothing but one length says where the answer ends; sets how long it is with its head."""
        lowered = head[0].lower()
        lengths = _LENGTH.findall(lowered)
        if len(lengths) != 1 or lowered.count(b"\ncontent-length:") != 1 or b"\ntransfer-encoding:" in lowered:
            return False
        says_how_it_ends = lowered.count(b"\nconnection:")
        if says_how_it_ends and (says_how_it_ends > 1 or b"\nconnection: keep-alive\r" not in lowered):
            return False
        if self._method == "HEAD" or int(head[1]) in _WITHOUT_BODY:
            return False
        self._wanted = head.end() + int(lengths[0])
        return True

    def _parsed(self, data: bytes) -> Answer | None:
        assert self._parser is not None
        answer = self._parser.take(data)
        self.keep = answer is None or not self._parser.should_close()
        return answer


class _Parser(HTTPResponse):
    """geventhttpclient's parser, for one answer and what interim answers come before it."""

    def take(self, data: bytes) -> Answer | None:
        self.feed(data)
        if self.headers_complete and self.message_complete and self.get_code() >= 200:
            head = "".join(f"\n{name}: {value}\r" for name, value in self.items())
            return Answer(self.get_code(), head.encode("latin-1", "replace"), bytes(self._body_buffer))
        if not data:
            raise HTTPParseError("connection closed before the end of the answer")
        return None

    def _on_message_begin(self) -> None:
        if self.message_complete and self.get_code() >= 200:
            raise HTTPProtocolViolationError("more came than one answer")
        super()._on_message_begin()
