"""A Lambda function as a load balancer's target: HTTP in, ALB event to the function, its answer as HTTP out.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html (413, 502)

Left out: multi-value headers (the attribute is off, as by default: of a header or query parameter given several times
the last value counts). x-forwarded-for, -port and -proto and x-amzn-trace-id are the load balancer's to add.

Where the function fails, the answer is the load balancer's own and carries a mark, by which its metrics tell it from an
answer of the function. Clients never see the mark, and functions can't set it.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from readiness.embedded.haproxy_config import OWN_ANSWER
from readiness.embedded.processes import own_loopback_address

MAX_BODY_BYTES: Final = 1024 * 1024
"""Largest request body, and largest JSON answer, of a Lambda target."""

_ASK_AGAIN_S = 5.0
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_TEXT_TYPES: Final = ("text/", "application/json", "application/javascript", "application/xml")

Invoke = Callable[[str, Any], Any]


class BadAnswerError(Exception):
    """What the function returned is not an answer that a load balancer takes; the message says why."""


def event_of(
    method: str, target: str, headers: Mapping[str, str], body: bytes, target_group_arn: str
) -> dict[str, Any]:
    """Return the event of one request.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html#receive-event-from-load-balancer:
    header names in lower case; query parameters as they were sent (not decoded); the body as text for text/*, JSON,
    JavaScript and XML without a content encoding, otherwise in base64.
    """
    path, _, query = target.partition("?")
    is_text = "content-encoding" not in headers and headers.get("content-type", "text/").startswith(_TEXT_TYPES)
    decoded: str | None = None
    if is_text or not body:
        try:
            decoded = body.decode()
        except UnicodeDecodeError:
            decoded = None
    return {
        "requestContext": {"elb": {"targetGroupArn": target_group_arn}},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {part.partition("=")[0]: part.partition("=")[2] for part in query.split("&") if part},
        "headers": dict(headers),
        "body": decoded if decoded is not None else base64.b64encode(body).decode(),
        "isBase64Encoded": decoded is None,
    }


def answer_of(result: Any) -> tuple[int, str, dict[str, str], bytes]:
    """Return status, reason, headers and body of a function's answer.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html#respond-to-load-balancer

    Raises:
        BadAnswerError: It is not of the documented form, or larger than 1 MB.
    """
    if not isinstance(result, dict):
        raise BadAnswerError(f"the answer is {type(result).__name__}, not a JSON object")
    status = result.get("statusCode")
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        raise BadAnswerError(f"statusCode is {status!r}, not an HTTP status")
    headers, body = result.get("headers") or {}, result.get("body")
    body = "" if body is None else body
    if not isinstance(body, str):
        raise BadAnswerError(f"body is {type(body).__name__}, not a string")
    texts = isinstance(headers, dict) and all(isinstance(part, str) for pair in headers.items() for part in pair)
    if not texts or any("\r" in part or "\n" in part for pair in headers.items() for part in pair):
        raise BadAnswerError("headers is not an object of one-line strings")
    if len(json.dumps(result)) > MAX_BODY_BYTES:
        raise BadAnswerError(f"the answer is larger than {MAX_BODY_BYTES} bytes")
    reason = str(result.get("statusDescription") or "").partition(" ")[2] or _phrase(status)
    kept = {name: value for name, value in headers.items() if name.lower() != OWN_ANSWER}
    return status, reason.replace("\r", " ").replace("\n", " "), kept, _decoded(result, body)


def _decoded(result: Mapping[str, Any], body: str) -> bytes:
    if not result.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadAnswerError(f"isBase64Encoded is true, but the body is not base64: {error}") from error


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class FunctionServer:
    """Listens on a loopback address of its own and hands each request to the function.

    Args:
        function_arn: The function.
        invoke: Invokes it with an event and returns its answer; raises if it fails.
        find_target_group: Returns the target group's ARN, or an empty string; asked until it knows one.
    """

    def __init__(self, function_arn: str, invoke: Invoke, find_target_group: Callable[[str], str]) -> None:
        self.function_arn = function_arn
        self._invoke = invoke
        self._find_target_group = find_target_group
        self._target_group = ""
        self._ask_again_at = 0.0
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._server = _Server((own_loopback_address(), 0), self)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Serve from a thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="function-http", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, Any, bytes]:
        """Answer one request; whatever goes wrong in the function is 502, as the load balancer documents it."""
        try:
            event = event_of(method, target, headers, body, self.target_group())
            return answer_of(self._invoke(self.function_arn, event))
        except Exception as error:  # noqa: BLE001 - error, timeout, throttling, malformed or too large: all are 502
            self._tell(f"{type(error).__name__}: {error}")
            return _plain(HTTPStatus.BAD_GATEWAY)

    def _tell(self, what: str) -> None:
        """Say once on standard error why requests are answered with 502."""
        kind = what.split("RequestId:")[0]
        if kind not in self._told:
            self._told.add(kind)
            told = f"embedded AWS: 502 for {self.function_arn}: {what}"
            print(told, file=sys.stderr)  # noqa: T201

    def target_group(self) -> str:
        """Return the target group's ARN; an empty string while the function is in none (asked again after a while)."""
        if not self._target_group and time.monotonic() >= self._ask_again_at:
            with self._lock:
                if not self._target_group and time.monotonic() >= self._ask_again_at:
                    self._target_group = self._find_target_group(self.function_arn)
                    self._ask_again_at = time.monotonic() + _ASK_AGAIN_S
        return self._target_group


def _plain(status: HTTPStatus) -> tuple[int, str, Any, bytes]:
    """Return an answer of the load balancer's own."""
    title = f"{status.value} {status.phrase}"
    head, body = f"<head><title>{title}</title></head>", f"<center><h1>{title}</h1></center>"
    page = f"<html>\r\n{head}\r\n<body>\r\n{body}\r\n</body>\r\n</html>"
    return status.value, status.phrase, {"content-type": "text/html", OWN_ANSWER: "1"}, page.encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], function: FunctionServer) -> None:
        self.function = function
        super().__init__(address, _RequestHandler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that broke: the load balancer counts those."""


class _RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 300
    server: _Server

    def __getattr__(self, name: str) -> Any:
        """Handle every method alike."""
        if name.startswith("do_"):
            return self._handle_request
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""

    def _handle_request(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = self._body(headers)
        except _TooLargeError:
            self.close_connection = True
            self._reply(*_plain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            return
        except (TimeoutError, ValueError):
            self.close_connection = True
            self._reply(*_plain(HTTPStatus.BAD_REQUEST))
            return
        passed = {name: value for name, value in headers.items() if name not in _HOP_BY_HOP}
        self._reply(*self.server.function.answer(self.command, self.path, passed, body))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunked_body()
        length = int(headers.get("content-length") or 0)
        if length > MAX_BODY_BYTES:
            raise _TooLargeError
        return self.rfile.read(length) if length else b""

    def _chunked_body(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            if len(body) + size > MAX_BODY_BYTES:
                raise _TooLargeError
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def _reply(self, status: int, reason: str, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status, reason)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP and name.lower() != "content-length":
                self.send_header(name, value)
        bodiless = status < 200 or status in (204, 304)
        if not bodiless:
            self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD" and not bodiless:
            self.wfile.write(body)
        self.wfile.flush()


class _TooLargeError(Exception):
    """The request's body is larger than a Lambda target takes."""
