"""One Lambda function's child process, seen from the embedded AWS: starting it, calling it, ending it.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from readiness.embedded import function_host
from readiness.embedded.function_logs import LogShipper
from readiness.embedded.processes import Spawner, base_environment, signal_group

_INIT_TIMEOUT_S = 10.0


class FunctionError(Exception):
    """A function failed: an exception of its code, a timeout, or the end of its process.

    Attributes:
        payload: The JSON document that AWS answers Invoke with in that case.
        log_tail: What the invocation printed, if that was asked for and is known.
    """

    def __init__(self, payload: dict[str, Any], log_tail: str = "") -> None:
        super().__init__(f"{payload.get('errorType')}: {payload.get('errorMessage')}")
        self.payload = payload
        self.log_tail = log_tail


@dataclass(frozen=True, slots=True)
class Answer:
    """What an invocation returned."""

    result: Any
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class FunctionCode:
    """One version of one function, as its host needs it."""

    name: str
    version: str
    arn: str
    handler: str
    timeout_s: float
    memory_mb: int
    environment: Mapping[str, str]
    folder: Path
    log_group: str
    log_stream: str


class FunctionProcess:
    """A running child process of one function.

    Args:
        code: What it runs.
        spawner: Starts it.
        endpoint: Address of the embedded AWS, for the function's own clients.
        region: Region, for the same.
        logs: Takes the lines that it prints.
    """

    def __init__(self, code: FunctionCode, spawner: Spawner, endpoint: str, region: str, logs: LogShipper) -> None:
        self.code = code
        self._pending: dict[str, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._retired = False
        self.ended = False
        ours, theirs = socket.socketpair()
        try:
            self._process = spawner.spawn(
                [sys.executable, "-I", "-u", function_host.__file__, str(theirs.fileno())],
                env=_environment(code, endpoint, region),
                cwd=code.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
            )
        finally:
            theirs.close()
        self._channel = ours
        assert self._process.stdout is not None
        for target, argument in ((self._read_answers, None), (self._read_output, (self._process.stdout, logs))):
            arguments = argument or ()
            threading.Thread(target=target, args=arguments, name=f"function-{code.name}", daemon=True).start()

    def invoke(self, event: Any, *, with_tail: bool = False) -> Answer:
        """Run the function once.

        Raises:
            FunctionError: It failed, took too long, or its process ended.
        """
        request_id = str(uuid.uuid4())
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            self._pending[request_id] = answer
        try:
            if not self._ready.wait(_INIT_TIMEOUT_S):
                raise self._timed_out(request_id, _INIT_TIMEOUT_S)
            request = {
                "id": request_id,
                "arn": self.code.arn,
                "timeout_s": self.code.timeout_s,
                "tail": with_tail,
                "event": event,
            }
            self._send(json.dumps(request).encode() + b"\n", request_id)
            try:
                reply = answer.result(self.code.timeout_s)
            except TimeoutError:
                raise self._timed_out(request_id, self.code.timeout_s) from None
        finally:
            self._finish(request_id)
        if "failure" in reply:
            raise FunctionError(reply["failure"], reply.get("tail", ""))
        return Answer(reply["result"], reply.get("tail", ""))

    def retire(self, *, at_once: bool = False) -> None:
        """Let no more in; end the process when those inside are done, at the latest when their time is up."""
        with self._lock:
            self._retired = True
            idle = not self._pending
        if idle or at_once:
            self.close()
            return
        timer = threading.Timer(self.code.timeout_s + 1.0, self.close)
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """End the process now."""
        if self.ended and self._process.poll() is not None:
            return
        self.ended = True
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        signal_group(self._process, signal.SIGKILL)  # its code may ignore a gentler one
        self._process.wait(5.0)

    def _send(self, data: bytes, request_id: str) -> None:
        try:
            with self._lock:
                self._channel.sendall(data)
        except OSError as error:
            raise self._exited(request_id) from error

    def _finish(self, request_id: str) -> None:
        with self._lock:
            self._pending.pop(request_id, None)
            done = self._retired and not self._pending
        if done:
            self.close()

    def _timed_out(self, request_id: str, after_s: float) -> FunctionError:
        """A timeout ends the environment, as on AWS; other invocations that share the process may finish first."""
        self.ended = True
        self.retire()
        told = f"RequestId: {request_id} Error: Task timed out after {after_s:.2f} seconds"
        return FunctionError({"errorType": "Sandbox.Timedout", "errorMessage": told})

    def _exited(self, request_id: str) -> FunctionError:
        status = self._process.poll()
        how = f"signal: {-status}" if status is not None and status < 0 else f"exit status {status}"
        told = f"RequestId: {request_id} Error: Runtime exited with error: {how}"
        return FunctionError({"errorType": "Runtime.ExitError", "errorMessage": told})

    def _read_answers(self) -> None:
        with self._channel.makefile("rb") as answers, contextlib.suppress(OSError):
            for line in answers:
                reply = json.loads(line)
                if reply.get("ready"):
                    self._ready.set()
                    continue
                with self._lock:
                    waiting = self._pending.get(reply["id"])
                if waiting is not None:
                    waiting.set_result(reply)
        self.ended = True
        self._ready.set()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        with self._lock:
            waiting_ones = dict(self._pending)
        for request_id, future in waiting_ones.items():
            if not future.done():
                future.set_exception(self._exited(request_id))
        self._channel.close()

    def _read_output(self, output: IO[bytes], logs: LogShipper) -> None:
        with output:
            for line in output:
                logs.write(self.code.log_group, self.code.log_stream, line.decode("utf-8", "replace").rstrip("\n"))


def _environment(code: FunctionCode, endpoint: str, region: str) -> dict[str, str]:
    """Return a function's environment variables.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    AWS_ENDPOINT_URL makes the function's own AWS clients reach the embedded AWS.
    """
    reserved = {
        "_HANDLER": code.handler,
        "LAMBDA_TASK_ROOT": str(code.folder),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_LAMBDA_FUNCTION_NAME": code.name,
        "AWS_LAMBDA_FUNCTION_VERSION": code.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(code.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": code.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": code.log_stream,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "TZ": ":UTC",
    }
    return base_environment() | {"AWS_ENDPOINT_URL": endpoint} | dict(code.environment) | reserved
