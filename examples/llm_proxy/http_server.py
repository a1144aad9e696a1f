"""A small HTTP/1.1 server on asyncio streams: keep-alive, bodies by length or in chunks, an orderly stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

_MAX_HEAD_BYTES = 32 * 1024
_MAX_BODY_BYTES = 4 * 1024 * 1024
_IDLE_S = 120.0
_NO_BODY = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Request:
    """A request; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; length and connection headers are the server's business."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[Request], Awaitable[Response]]


class BadRequestError(Exception):
    """What came is no HTTP request that this server takes.

    Attributes:
        status: With which it is refused.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """Serves one function on one port."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._connections: dict[asyncio.Task[None], bool] = {}
        self._server: asyncio.Server | None = None
        self._stopping = False

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_MAX_HEAD_BYTES, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace_s: float) -> None:
        """Take no new connection, finish the requests that are under way, and close."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for task, busy in list(self._connections.items()):
            if not busy:
                task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace_s)
        for task in list(self._connections):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = False
        try:
            while not self._stopping:
                request = await _read_request(reader, writer)
                if request is None:
                    break
                self._connections[task] = True
                keep = request.headers.get("connection", "").lower() != "close" and not self._stopping
                response = await self._respond(request)
                keep = keep and not self._stopping
                _write(writer, response, keep=keep, head=request.method == "HEAD")
                await writer.drain()
                self._connections[task] = False
                if not keep:
                    break
        except BadRequestError as error:
            with contextlib.suppress(OSError):
                _write(writer, Response(error.status, str(error).encode()), keep=False)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            pass  # the client went away, or this server is stopping
        finally:
            del self._connections[task]
            writer.close()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """Return the next request, or None at the end of the connection."""
    try:
        async with asyncio.timeout(_IDLE_S):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise
        return None
    except asyncio.LimitOverrunError:
        raise BadRequestError(431, "The headers are too long.") from None
    method, path, headers = _parse_head(head)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return Request(method, path, headers, await _read_body(reader, headers))


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequestError(400, "The first line is no HTTP/1.1 request.")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        if not line:
            break
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise BadRequestError(400, "A header line is malformed.")
        headers[name.lower()] = value.strip()
    if parts[2] == "HTTP/1.0":
        headers["connection"] = "close"
    if "content-length" in headers and "transfer-encoding" in headers:
        raise BadRequestError(400, "The body has two lengths.")
    return parts[0], parts[1], headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    if "transfer-encoding" in headers:
        raise BadRequestError(501, "Of the transfer encodings only chunked is understood.")
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit():
        raise BadRequestError(400, "Content-Length is no number.")
    if int(text) > _MAX_BODY_BYTES:
        raise BadRequestError(413, "The body is too long.")
    return await reader.readexactly(int(text)) if text != "0" else b""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        try:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        except ValueError:
            raise BadRequestError(400, "The size of a chunk is no number.") from None
        if size < 0 or len(body) + size > _MAX_BODY_BYTES:
            raise BadRequestError(413, "The body is too long.")
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass  # trailers
            return bytes(body)
        body += (await reader.readexactly(size + 2))[:-2]


def _write(writer: asyncio.StreamWriter, response: Response, *, keep: bool, head: bool = False) -> None:
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = ""
    lines = [f"HTTP/1.1 {response.status} {phrase}"]
    lines.extend(f"{name}: {value}" for name, value in response.headers.items())
    if response.status not in _NO_BODY:
        lines.append(f"Content-Length: {len(response.body)}")
    lines.append(f"Connection: {'keep-alive' if keep else 'close'}")
    body = b"" if head or response.status in _NO_BODY else response.body
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
