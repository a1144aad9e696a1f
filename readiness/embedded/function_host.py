"""The process in which one Lambda function's code runs. Standard library only; started by ``functions.py``.

Usage: ``python function_host.py DESCRIPTOR``: requests come, one JSON document per line, over the socket with that file
descriptor, and answers go back the same way. Whatever the function prints goes to standard output, a line at a time.

Each invocation has a thread of its own, so that a slow one delays no other. (AWS gives concurrent invocations a process
each: here they share module globals.) The forms of errors are those of AWS's own runtime:
https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import resource
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any


class LineWriter:
    """Standard output that writes whole lines, so that those of concurrent invocations don't mix."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._local = threading.local()
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write the full lines of the text, and keep the rest of it for the same thread's next call."""
        waiting = getattr(self._local, "waiting", "") + text
        lines, newline, rest = waiting.rpartition("\n")
        self._local.waiting = rest
        if newline:
            self._write_out(lines + newline)
        return len(text)

    def flush(self) -> None:
        """Write what the calling thread has begun."""
        waiting = getattr(self._local, "waiting", "")
        if waiting:
            self._local.waiting = ""
            self._write_out(waiting + "\n")

    def keep_tail(self) -> None:
        """Keep what this thread writes from now on, for the caller who asked for the log's tail."""
        self._local.tail = []

    def tail(self) -> str:
        """Return what this thread wrote since ``keep_tail``."""
        kept: list[str] = getattr(self._local, "tail", [])
        return "".join(kept)

    def isatty(self) -> bool:
        """Return that this is no terminal."""
        return False

    def _write_out(self, text: str) -> None:
        if hasattr(self._local, "tail"):
            self._local.tail.append(text)
        data = text.encode("utf-8", "replace")
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


class Context:
    """The second argument of a handler.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    def __init__(self, request_id: str, arn: str, deadline: float) -> None:
        self.aws_request_id = request_id
        self.invoked_function_arn = arn
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function's timeout."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


Handler = Callable[[Any, Context], Any]
Failure = dict[str, Any]

_request_id = threading.local()


def failure_of(error: BaseException, request_id: str = "") -> Failure:
    """Return the JSON document that AWS's runtime makes of an exception."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__ and "importlib" not in frame.filename]
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_list(own),
    }


def load_handler(spelled: str) -> Handler | Failure:
    """Import ``module.function``; return it, or what every invocation is answered with."""
    module_name, dot, function_name = spelled.rpartition(".")
    if not dot:
        return {"errorType": "Runtime.MalformedHandlerName", "errorMessage": f"Bad handler '{spelled}'"}
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except SyntaxError as error:
        told = f"Syntax error in module '{module_name}': {error}"
        return failure_of(error) | {"errorType": "Runtime.UserCodeSyntaxError", "errorMessage": told}
    except ImportError as error:
        told = f"Unable to import module '{module_name}': {error}"
        return failure_of(error) | {"errorType": "Runtime.ImportModuleError", "errorMessage": told}
    except Exception as error:  # noqa: BLE001 - whatever the function's code raises is its answer
        return failure_of(error)
    handler: Handler | None = getattr(module, function_name, None)
    if handler is None:
        told = f"Handler '{function_name}' missing on module '{module_name}'"
        return {"errorType": "Runtime.HandlerNotFound", "errorMessage": told}
    return handler


class Host:
    """Takes requests from the socket and answers them.

    Args:
        channel: Connected socket.
        output: Where the function's output goes.
    """

    def __init__(self, channel: socket.socket, output: LineWriter) -> None:
        self._channel = channel
        self._output = output
        self._lock = threading.Lock()
        self._handler: Handler | Failure = {}

    def run(self) -> None:
        """Import the function, then serve until the other side closes the socket."""
        self._handler = load_handler(os.environ["_HANDLER"])
        self._output.flush()
        self._send({"ready": True})
        with self._channel.makefile("rb") as requests:
            for line in requests:
                threading.Thread(target=self._serve, args=(json.loads(line),), daemon=True).start()

    def _serve(self, request: dict[str, Any]) -> None:
        request_id = request["id"]
        _request_id.value = request_id
        if request.get("tail"):
            self._output.keep_tail()
        version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self._output.write(f"START RequestId: {request_id} Version: {version}\n")
        began = time.monotonic()
        answer = self._answer(request, began)
        self._output.flush()
        self._output.write(f"END RequestId: {request_id}\n{_report(request_id, time.monotonic() - began)}\n")
        self._send(answer | {"id": request_id, "tail": self._output.tail()})

    def _answer(self, request: dict[str, Any], began: float) -> dict[str, Any]:
        if isinstance(self._handler, dict):
            return self._failed(self._handler | {"requestId": request["id"]})
        context = Context(request["id"], request["arn"], began + request["timeout_s"])
        try:
            result = self._handler(request["event"], context)
        except Exception as error:  # noqa: BLE001 - whatever the function's code raises is its answer
            return self._failed(failure_of(error, request["id"]))
        try:
            json.dumps(result, allow_nan=False)
        except (TypeError, ValueError) as error:
            told = f"Unable to marshal response: {error}"
            return self._failed(
                failure_of(error, request["id"]) | {"errorType": "Runtime.MarshalError", "errorMessage": told}
            )
        return {"result": result}

    def _failed(self, failure: Failure) -> dict[str, Any]:
        trace = "".join(failure.get("stackTrace", ()))
        self._output.write(f"[ERROR] {failure['errorType']}: {failure['errorMessage']}\n")
        self._output.write(f"Traceback (most recent call last):\n{trace}" if trace else "")
        return {"failure": failure}

    def _send(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            self._channel.sendall(data)


def _report(request_id: str, seconds: float) -> str:
    """Return the line that closes an invocation's log."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return (
        f"REPORT RequestId: {request_id}\tDuration: {seconds * 1000:.2f} ms\tBilled Duration: "
        f"{int(seconds * 1000) + 1} ms\tMemory Size: {os.environ['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']} MB\t"
        f"Max Memory Used: {memory} MB\t"
    )


class _WithRequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Add the request's id to a log record."""
        record.aws_request_id = getattr(_request_id, "value", "")
        return True


def _log_as_lambda_does(output: LineWriter) -> None:
    """Give the root logger the handler that AWS's runtime gives it."""
    handler = logging.StreamHandler(output)
    form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
    formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(_WithRequestId())
    logging.getLogger().addHandler(handler)


def main() -> None:
    """Run until the socket is closed."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    output = LineWriter(1)
    sys.stdout = sys.stderr = output
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    _log_as_lambda_does(output)
    Host(channel, output).run()
    os._exit(0)  # invocations that still run are of nobody's interest any more


if __name__ == "__main__":
    main()
