"""HTTP/1.1 without a greenlet per request: answers are taken in where the event loop reports them.

A request costs one ``send`` and one ``recv``; nothing else is asked of the system as long as connections are kept. One
attempt per request, nothing retried in silence: geventhttpclient's own client repeats a request whose connection broke,
as often as it has connections, which would hide the faults that a load generator is looking for.

An answer has come when the kernel got its last byte, not when this process found the time to read it: where the system
stamps what it receives (Linux does), a burst of answers does not look slower than it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket as plain_socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.hub
import gevent.monkey
import gevent.socket
from geventhttpclient.response import HTTPParseError

from readiness.errors import ReadinessError
from readiness.loadgen.answers import Answer, AnswerReader
from readiness.loadgen.rows import CONNECT, RESET, TIMEOUT

_BLOCK_BYTES = 64 * 1024
_RESOLVE_EVERY_S = 30.0
_LOOK_FOR_TIMEOUTS_EVERY_S = 0.05
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_GONE = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
_SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("ll")
_STAMP_ROOM = plain_socket.CMSG_SPACE(_STAMP.size)
# The system's own socket, which Locust's patching replaces by one that switches greenlets.
_Socket = gevent.monkey.get_original("socket", "socket")


class Exchange:
    """A request under way. Once, and only once, it is told how it ended.

    Attributes:
        method: Of the request.
        raw: The whole request.
        deadline: Of ``time.monotonic``.
    """

    __slots__ = ("_connecting", "_connection", "deadline", "method", "raw")

    def __init__(self, method: str, raw: bytes) -> None:
        self.method = method
        self.raw = raw
        self.deadline = 0.0
        self._connecting: gevent.Greenlet | None = None
        self._connection: _Connection | None = None

    def answered(self, answer: Answer, received_at: float) -> None:
        """Take the answer, whose last byte came at an instant of ``time.monotonic``. Must not wait for anything."""
        raise NotImplementedError

    def failed(self, outcome: str, message: str) -> None:
        """Take that there was none: ``timeout``, ``connect`` or ``reset``, and what happened."""
        raise NotImplementedError


class Target:
    """The service under load: where it is, and the connections kept open to it.

    Attributes:
        host_header: Value of ``Host``.
        reconnects: Kept connections that the service closed before the first byte of an answer, and that were replaced
            once, for methods that may be repeated: keeping them was our choice, not the service's fault.
    """

    def __init__(
        self,
        base_url: str,
        timeout_s: float,
        *,
        fault: Callable[[Exception], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Remember where the service is.

        Args:
            base_url: Scheme, host and port.
            timeout_s: From the moment at which a request is sent to the whole answer.
            fault: Told of errors that are neither the service's nor the network's.
            tls: Settings of an https service; those of the system, if not given.

        Raises:
            ReadinessError: the address is none.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ReadinessError(f"{base_url!r} is no http or https address of a service.")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._timeout_s = timeout_s
        self._fault = fault
        self._idle: list[_Connection] = []
        self._under_way: dict[Exchange, None] = {}
        self._watch: gevent.Greenlet | None = None
        self._addresses: list[tuple[int, tuple[object, ...]]] = []
        self._resolved_at = float("-inf")
        self._turn = 0
        self.host_header = parts.netloc.rpartition("@")[2]
        self.reconnects = 0

    def send(self, exchange: Exchange) -> None:
        """Send a request now, or as soon as a new connection stands; its answer comes later."""
        exchange.deadline = time.monotonic() + self._timeout_s
        self._under_way[exchange] = None
        if self._watch is None:
            self._watch = gevent.spawn(self._look_for_timeouts)
        while self._idle:  # the one used last is the likeliest to be alive
            connection = self._idle.pop()
            if connection.open:
                self._begin(connection, exchange)
                return
        exchange._connecting = gevent.spawn(self._connect, exchange)

    def close(self) -> None:
        """Close all connections; what is under way is never told how it ended."""
        if self._watch is not None:
            self._watch.kill(block=False)
        for exchange in self._under_way:
            self._let_go(exchange)
        for connection in self._idle:
            connection.close()
        self._under_way.clear()
        self._idle.clear()

    # --- one exchange -------------------------------------------------------------------------------------------------

    def _begin(self, connection: _Connection, exchange: Exchange) -> None:
        exchange._connection = connection
        connection.exchange = exchange
        connection.sent_at = time.monotonic()
        connection.reader.expect(exchange.method)
        try:
            connection.send(exchange.raw)
        except OSError as error:
            self._broke(connection, exchange, error)

    def _on_readable(self, connection: _Connection) -> None:
        """Take in what a connection has to say. The event loop calls, and would swallow an exception."""
        try:
            self._take(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer, and must be told
            self._fault(error)

    def _take(self, connection: _Connection) -> None:
        exchange = connection.exchange
        try:
            data = connection.receive()
        except OSError as error:
            if exchange is None:
                connection.close()
            else:
                self._broke(connection, exchange, error)
            return
        if data is None:
            return
        if exchange is None:  # goodbye, or something that nobody asked for
            connection.close()
            return
        if not data and not connection.reader.begun:
            self._broke(connection, exchange, ConnectionResetError(errno.ECONNRESET, "closed before an answer"))
            return
        try:
            answer = connection.reader.take(data)
        except HTTPParseError as error:
            connection.close()
            self._fail(exchange, RESET, f"{type(error).__name__}: {error}")
            return
        if answer is not None:
            self._end(connection, exchange, answer)

    def _end(self, connection: _Connection, exchange: Exchange, answer: Answer) -> None:
        connection.exchange = None
        connection.used = True
        if connection.reader.keep:
            self._idle.append(connection)
        else:
            connection.close()
        received_at = connection.received_at()
        if received_at > exchange.deadline:  # the watch has not come round yet
            self._fail(exchange, TIMEOUT, f"no answer within {self._timeout_s:g} s")
            return
        del self._under_way[exchange]
        exchange.answered(answer, received_at)

    def _broke(self, connection: _Connection, exchange: Exchange, error: OSError) -> None:
        """End an exchange whose connection is gone, or begin it once more if keeping the connection was to blame."""
        connection.close()
        unheard = connection.used and not connection.reader.begun
        if unheard and isinstance(error, _GONE) and exchange.method in _IDEMPOTENT:
            self.reconnects += 1
            exchange._connection = None
            exchange._connecting = gevent.spawn(self._connect, exchange)
        else:
            self._fail(exchange, RESET, f"{type(error).__name__}: {error}")

    def _fail(self, exchange: Exchange, outcome: str, message: str) -> None:
        if exchange in self._under_way:
            del self._under_way[exchange]
            exchange.failed(outcome, message)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _look_for_timeouts(self) -> None:
        """End what has waited too long; all wait equally long, so the oldest is the next."""
        while True:
            gevent.sleep(_LOOK_FOR_TIMEOUTS_EVERY_S)
            now = time.monotonic()
            try:
                while self._under_way and (oldest := next(iter(self._under_way))).deadline <= now:
                    waited = "connection" if oldest._connection is None else "answer"
                    self._let_go(oldest)
                    self._fail(oldest, TIMEOUT, f"no {waited} within {self._timeout_s:g} s")
            except Exception as error:  # noqa: BLE001 - a fault of ours; without this watch nothing would time out
                self._fault(error)

    @staticmethod
    def _let_go(exchange: Exchange) -> None:
        if exchange._connecting is not None:
            exchange._connecting.kill(block=False)
        if exchange._connection is not None:
            exchange._connection.close()

    # --- new connections ----------------------------------------------------------------------------------------------

    def _connect(self, exchange: Exchange) -> None:
        """Make a connection, cooperatively, and send the request over it."""
        try:
            self._send_over_new_connection(exchange)
        except Exception as error:  # noqa: BLE001 - a fault of ours; nobody waits for this greenlet
            self._fault(error)

    def _send_over_new_connection(self, exchange: Exchange) -> None:
        try:
            connection = self._open()
        except OSError as error:
            self._fail(exchange, CONNECT, f"{type(error).__name__}: {error}")
            return
        if exchange not in self._under_way:  # too late by a moment: it was told so
            connection.close()
            return
        exchange._connecting = None
        connection.listen(self._on_readable)
        self._begin(connection, exchange)

    def _open(self) -> _Connection:
        """Return a new connection, to each of the service's addresses in turn."""
        family, address = self._next_address()
        made = _Socket(family, plain_socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            with contextlib.suppress(OSError):
                made.setsockopt(plain_socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            made.setsockopt(plain_socket.IPPROTO_TCP, plain_socket.TCP_NODELAY, 1)
            _await_connection(made, address)
            if self._tls is None:
                return _Connection(made)
            return _TlsConnection(made, self._tls, self._host)
        except BaseException:
            made.close()
            raise

    def _next_address(self) -> tuple[int, tuple[object, ...]]:
        """Return the next address of the service; a load balancer's change, so they are asked for again and again."""
        now = time.monotonic()
        if now - self._resolved_at > _RESOLVE_EVERY_S:
            found = gevent.socket.getaddrinfo(self._host, self._port, type=plain_socket.SOCK_STREAM)
            self._addresses = [(family, address) for family, _, _, _, address in found]
            self._resolved_at = now
        self._turn += 1
        return self._addresses[self._turn % len(self._addresses)]


def _await_connection(made: Any, address: tuple[object, ...]) -> None:
    """Connect a socket that does not block, cooperatively.

    Raises:
        OSError: there is no way to the address, or nobody listens there.
    """
    code = made.connect_ex(address)
    if code == errno.EINPROGRESS:
        gevent.socket.wait_write(made.fileno())
        code = made.getsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


class _Connection:
    """A connection that stays open between requests; at most one request is under way on it.

    Attributes:
        exchange: Whose answer comes next; None = nobody waits.
        reader: Takes that answer in.
        sent_at: When the present request was sent, of ``time.monotonic``.
        used: Whether it has brought an answer before.
        open: Whether it may be used.
    """

    __slots__ = ("_flush", "_socket", "_stamp", "_unsent", "_watcher", "exchange", "open", "reader", "sent_at", "used")

    def __init__(self, connected: Any) -> None:
        self._socket = connected
        self._watcher: Any = None
        self._stamp = b""
        self.sent_at = 0.0
        self._unsent = bytearray()
        self._flush: gevent.Greenlet | None = None
        self.exchange: Exchange | None = None
        self.reader = AnswerReader()
        self.used = False
        self.open = True

    def listen(self, readable: Callable[[_Connection], None]) -> None:
        """Have *readable* called whenever there is something to receive, until the connection is closed."""
        self._watcher = gevent.hub.get_hub().loop.io(self._socket.fileno(), 1)
        self._watcher.start(readable, self)

    def send(self, raw: bytes) -> None:
        """Send *raw*; what the system does not take at once follows by itself.

        Raises:
            OSError: the connection is gone.
        """
        if self._unsent:
            self._unsent += raw
            return
        try:
            sent = self._socket.send(raw)
        except BlockingIOError:
            sent = 0
        if sent < len(raw):
            self._unsent += raw[sent:]
            self._flush = gevent.spawn(self._send_rest)

    def _send_rest(self) -> None:
        """Send the rest as the other side takes it; one that has gone away is noticed where its answer is awaited."""
        with contextlib.suppress(OSError):
            while self._unsent and self.open:
                gevent.socket.wait_write(self._socket.fileno())
                with contextlib.suppress(BlockingIOError):
                    del self._unsent[: self._socket.send(self._unsent[:_BLOCK_BYTES])]

    def receive(self) -> bytes | None:
        """Return what has come, nothing if the other side has closed, None if nothing has come.

        Raises:
            OSError: the connection is gone.
        """
        data: bytes
        try:
            data, stamps, _, _ = self._socket.recvmsg(_BLOCK_BYTES, _STAMP_ROOM)
        except BlockingIOError:
            return None
        self._stamp = stamps[0][2] if stamps else b""
        return data

    def received_at(self) -> float:
        """Return when the kernel got what was received last, of ``time.monotonic``; now, if it does not say."""
        wall = time.time()
        now = time.monotonic()  # in this order: held up between the two, it errs to a later instant, never an earlier
        if len(self._stamp) != _STAMP.size:
            return now
        seconds, nanoseconds = _STAMP.unpack(self._stamp)
        at = seconds + nanoseconds / 1e9 - wall + now
        # A clock that was set meanwhile must not make an answer come before its request, or after now.
        return at if self.sent_at <= at <= now else now

    def close(self) -> None:
        """Close it; whoever waits for an answer is not told."""
        if not self.open:
            return
        self.open = False
        self.exchange = None
        if self._flush is not None:
            self._flush.kill(block=False)
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
        self._socket.close()


class _TlsConnection(_Connection):
    """A connection whose bytes are enciphered on their way to the socket."""

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, connected: Any, settings: ssl.SSLContext, host: str) -> None:
        """Shake hands, cooperatively.

        Raises:
            OSError: the service's certificate is not trusted, or it speaks no TLS.
        """
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = settings.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send_enciphered()
                gevent.socket.wait_read(connected.fileno())
                self._receive_enciphered()
            else:
                self._send_enciphered()
                return

    def send(self, raw: bytes) -> None:
        self._tls.write(raw)
        self._send_enciphered()

    def _send_enciphered(self) -> None:
        if self._outgoing.pending:
            super().send(self._outgoing.read())

    def _receive_enciphered(self) -> bool:
        """Take in what has come; return whether anything has, the end included."""
        data = super().receive()
        if data:
            self._incoming.write(data)
        elif data is not None:
            self._incoming.write_eof()
        return data is not None

    def receive(self) -> bytes | None:
        if not self._receive_enciphered():
            return None
        plain = bytearray()
        try:
            while piece := self._tls.read(_BLOCK_BYTES):
                plain += piece
        except ssl.SSLWantReadError:
            return bytes(plain) or None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass
        return bytes(plain)
