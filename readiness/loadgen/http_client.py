"""HTTP/1.1 over gevent sockets, with geventhttpclient's parser: one attempt per request, nothing retried in silence.

geventhttpclient's own client repeats a request whose connection broke, up to as often as it has connections; a load
generator that does that hides the faults it is looking for. Its connection check costs a call of ``select`` per
request and fails above 1,024 sockets. So the connections are kept here; parsing stays with the C parser.
"""

from __future__ import annotations

import contextlib
import select
import socket as plain_socket
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import gevent
import gevent.monkey
import gevent.socket
import gevent.ssl
from geventhttpclient.connectionpool import ConnectionPool
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketPoolResponse

from readiness.errors import ReadinessError
from readiness.loadgen.rows import CONNECT, RESET, TIMEOUT

_BLOCK_BYTES = 16 * 1024
_RESOLVE_EVERY_S = 30.0
# The system's own poll, which Locust's patching replaces by one that switches greenlets.
_original_poll = gevent.monkey.get_original("select", "poll")
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class RequestFailedError(Exception):
    """A request got no answer.

    Attributes:
        outcome: ``timeout``, ``connect`` or ``reset``.
    """

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(slots=True)
class Answer:
    """What came back: status, body, and the headers by any case of their names."""

    status: int
    body: bytes
    response: HTTPSocketPoolResponse

    def header(self, name: str) -> str | None:
        """Return a header's value; of several, the first."""
        value = self.response.get(name)
        if isinstance(value, list):
            return str(value[0])
        return None if value is None else str(value)


class Target:
    """The service under load: where it is, and the connections kept open to it.

    To the parser it is a connection pool: it is given back each connection, or told to close it.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ReadinessError(f"{base_url!r} is no http or https address of a service.")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = gevent.ssl.create_default_context() if parts.scheme == "https" else None
        self._timeout_s = timeout_s
        self._idle: list[gevent.socket.socket] = []
        self._addresses: list[tuple[int, tuple[object, ...]]] = []
        self._resolved_at = float("-inf")
        self._turn = 0
        self.host_header = parts.netloc.rpartition("@")[2]
        self.reconnects = 0

    def request(self, method: str, raw: bytes) -> Answer:
        """Send one request and return its answer.

        A kept connection that the service closed before the first byte of an answer is replaced once, for methods
        that may be repeated: keeping it was our choice, not the service's fault. ``reconnects`` counts that.

        Raises:
            RequestFailedError: no connection, no answer in time, or an answer cut short.
        """
        stage = CONNECT
        timer = gevent.Timeout(self._timeout_s)
        timer.start()
        try:
            connection, reused = self._take()
            stage = RESET
            try:
                return self._exchange(connection, method, raw)
            except (HTTPConnectionClosed, ConnectionResetError, BrokenPipeError):
                if not reused or method not in _IDEMPOTENT:
                    raise
            self.reconnects += 1
            stage = CONNECT
            connection = self._connect()
            stage = RESET
            return self._exchange(connection, method, raw)
        except gevent.Timeout as caught:
            if caught is not timer:
                raise
            waited = "connection" if stage == CONNECT else "answer"
            raise RequestFailedError(TIMEOUT, f"no {waited} within {self._timeout_s:g} s") from None
        except (OSError, HTTPParseError) as error:
            raise RequestFailedError(stage, f"{type(error).__name__}: {error}") from None
        finally:
            timer.close()

    def close(self) -> None:
        """Close the connections that nobody is using."""
        while self._idle:
            self._idle.pop().close()

    def return_socket(self, connection: gevent.socket.socket) -> None:
        """Keep a connection for later; the parser calls it after a whole answer."""
        self._idle.append(connection)

    def release_socket(self, connection: gevent.socket.socket) -> None:
        """Close a connection that is of no more use; the parser calls it."""
        with contextlib.suppress(OSError):
            connection.close()

    def _exchange(self, connection: gevent.socket.socket, method: str, raw: bytes) -> Answer:
        try:
            connection.sendall(raw)
        except BaseException:
            self.release_socket(connection)
            raise
        response = HTTPSocketPoolResponse(
            connection, cast(ConnectionPool, self), method=method, block_size=_BLOCK_BYTES
        )
        return Answer(response.get_code(), response.read(), response)

    def _take(self) -> tuple[gevent.socket.socket, bool]:
        """Return a connection, and whether it was used before. The one used last is the likeliest to be alive."""
        while self._idle:
            connection = self._idle.pop()
            if _is_quiet(connection):
                return connection, True
            self.release_socket(connection)
        return self._connect(), False

    def _connect(self) -> gevent.socket.socket:
        """Return a new connection, to each of the service's addresses in turn."""
        family, address = self._next_address()
        connection = gevent.socket.socket(family, plain_socket.SOCK_STREAM)
        try:
            connection.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
            connection.connect(address)
            if self._tls is not None:
                return self._tls.wrap_socket(connection, server_hostname=self._host)
        except BaseException:
            connection.close()
            raise
        return connection

    def _next_address(self) -> tuple[int, tuple[object, ...]]:
        """Return the next address of the service; a load balancer's change, so they are asked for again and again."""
        now = time.monotonic()
        if now - self._resolved_at > _RESOLVE_EVERY_S:
            found = gevent.socket.getaddrinfo(self._host, self._port, type=plain_socket.SOCK_STREAM)
            self._addresses = [(family, address) for family, _, _, _, address in found]
            self._resolved_at = now
        self._turn += 1
        return self._addresses[self._turn % len(self._addresses)]


def _is_quiet(connection: gevent.socket.socket) -> bool:
    """Return whether an idle connection is still open: it must have nothing to say, not even goodbye."""
    if connection.fileno() < 0:
        return False
    poller = _original_poll()
    poller.register(connection.fileno(), select.POLLIN)
    return not poller.poll(0)
