"""Lambda functions of the embedded AWS: inline Python code, run in a child process per function.

https://docs.aws.amazon.com/lambda/latest/dg/welcome.html

moto keeps the functions as resources; here their code runs, and the Invoke action is ours. Timeouts are real time.

Left out: runtimes other than Python, container images and layers (each refused by name at Invoke); every python3.x
runtime is the Python that runs this. An Event invocation is tried once (AWS retries twice), its failure told on
standard error; on-failure destinations, function URLs, event source mappings, memory limits, roles and AWS/Lambda
metrics are not done. Concurrent invocations share one process and its globals; AWS gives each an environment of its
own.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import sys
import threading
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from readiness.embedded.function_http import FunctionServer
from readiness.embedded.function_logs import LogShipper
from readiness.embedded.function_process import Answer, FunctionCode, FunctionError, FunctionProcess
from readiness.embedded.moto_adapter import Action, AwsError, backend, call_moto
from readiness.embedded.processes import Spawner
from readiness.embedded.settings import EmbeddedSettings

__all__ = ["FunctionError", "Functions"]

_CONCURRENCY = 1000
_MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
_ARN: Final = re.compile(
    r"(?:arn:aws[a-z-]*:lambda:[^:]+:\d{12}:function:)?(?P<name>[A-Za-z0-9_-]+)(?::(?P<qualifier>.+))?"
)
_LATEST = "$LATEST"


@dataclass(slots=True)
class _Running:
    """One version of a function that was used: its moto resource, its host, and how many are inside."""

    resource: Any
    code: FunctionCode
    host: FunctionProcess | None = None
    inside: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Functions:
    """Runs Lambda functions.

    Args:
        settings: Region and the folder for their code.
        spawner: Starts the child processes.
        clients: Gives the boto3 client of a service.
    """

    def __init__(self, settings: EmbeddedSettings, spawner: Spawner, clients: Callable[[str], Any]) -> None:
        self._region = settings.region
        self._folder = settings.state_dir / "functions"
        self._spawner = spawner
        self._clients = clients
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], _Running] = {}
        self._servers: dict[str, FunctionServer] = {}
        self._log_groups: dict[str, str] = {}
        self._logs = LogShipper(clients)
        self.actions: Mapping[str, Mapping[str, Action]] = {
            "lambda": {
                "CreateFunction": self._create,
                "Invoke": self._invoke_action,
                "UpdateFunctionCode": lambda params: self._update("UpdateFunctionCode", params),
                "UpdateFunctionConfiguration": lambda params: self._update("UpdateFunctionConfiguration", params),
                "DeleteFunction": self._delete,
                "GetFunctionConfiguration": self._get_configuration,
                "GetFunction": self._get,
            }
        }

    def start(self) -> None:
        """Start shipping logs; a function's process starts with its first invocation."""
        self._logs.start()

    def stop(self) -> None:
        """End every process and server."""
        with self._lock:
            servers, running = list(self._servers.values()), list(self._running.values())
            self._servers.clear()
            self._running.clear()
        for server in servers:
            server.stop()
        for one in running:
            if one.host is not None:
                one.host.retire(at_once=True)
        self._logs.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def invoke(self, function_arn: str, event: Any) -> Any:
        """Invoke a function and return what it returned.

        Raises:
            FunctionError: The function failed.
            AwsError: There is no such function, it can't be run here, or too many run at once.
        """
        return self._invoke(function_arn, event).result

    def http_address(self, function_arn: str, target_group_arn: str = "") -> tuple[str, int]:
        """Return the address of an HTTP server that stands for the function as a load balancer's target.

        https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html

        Args:
            function_arn: The function.
            target_group_arn: What the event's requestContext names; looked up if not given.
        """
        with self._lock:
            server = self._servers.get(function_arn)
            if server is None:
                find = self._find_target_group if not target_group_arn else lambda _: target_group_arn
                server = FunctionServer(function_arn, self.invoke, find)
                server.start()
                self._servers[function_arn] = server
            return server.address

    def _find_target_group(self, function_arn: str) -> str:
        """Return the first target group whose target is the function; an empty string if there is none."""
        elbv2 = self._clients("elbv2")
        for group in elbv2.describe_target_groups()["TargetGroups"]:
            if group.get("TargetType") != "lambda":
                continue
            health = elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
            if any(one["Target"]["Id"] == function_arn for one in health["TargetHealthDescriptions"]):
                return str(group["TargetGroupArn"])
        return ""

    def _invoke(self, reference: str, event: Any, qualifier: str | None = None, *, with_tail: bool = False) -> Answer:
        running = self._find(reference, qualifier)
        host = self._enter(running)
        try:
            return host.invoke(event, with_tail=with_tail)
        finally:
            with running.lock:
                running.inside -= 1

    def _enter(self, running: _Running) -> FunctionProcess:
        """Count an invocation in and return a live host, started if there is none."""
        with running.lock:
            reserved = running.resource.reserved_concurrency
            limit = _CONCURRENCY if reserved is None else int(reserved)
            if running.inside >= limit:
                raise AwsError("TooManyRequestsException", f"Rate Exceeded: {limit} run already", 429)
            if running.host is None or running.host.ended:
                endpoint = self._clients("lambda").meta.endpoint_url
                running.host = FunctionProcess(running.code, self._spawner, endpoint, self._region, self._logs)
            running.inside += 1
            return running.host

    def _find(self, reference: str, qualifier: str | None) -> _Running:
        match = _ARN.fullmatch(reference)
        if match is None:
            raise AwsError("InvalidParameterValueException", f"{reference!r} is neither a function's name nor its ARN")
        key = (match["name"], match["qualifier"] or qualifier or _LATEST)
        with self._lock:
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = self._load(*key)
            return running

    def _load(self, name: str, qualifier: str) -> _Running:
        """Take a function from moto's store and unpack its code.

        Raises:
            AwsError: There is none of that name, or it needs what is not done here.
        """
        wanted = {"FunctionName": name} | ({"Qualifier": qualifier} if qualifier != _LATEST else {})
        call_moto("lambda", "GetFunctionConfiguration", wanted)  # a function that isn't there is refused as AWS does
        resource = backend("lambda").get_function(name, qualifier)
        if resource.package_type != "Zip":
            raise _not_done(f"function {name} is of package type {resource.package_type}")
        if not str(resource.run_time).startswith("python3"):
            raise _not_done(f"function {name} has the runtime {resource.run_time}; only Python runs here")
        if resource.layers:
            raise _not_done(f"function {name} has layers")
        group = self._log_groups.get(name, f"/aws/lambda/{name}")
        code = FunctionCode(
            name=name,
            version=str(resource.version),
            arn=str(resource.function_arn),
            handler=str(resource.handler),
            timeout_s=float(resource.timeout),
            memory_mb=int(resource.memory_size),
            environment={str(key): str(value) for key, value in (resource.environment_vars or {}).items()},
            folder=self._unpack(name, resource.code_bytes),
            log_group=group,
            log_stream=f"{datetime.now(UTC):%Y/%m/%d}/[{resource.version}]{uuid.uuid4().hex}",
        )
        return _Running(resource, code)

    def _unpack(self, name: str, archive: bytes) -> Path:
        folder = self._folder / f"{name}-{hashlib.sha256(archive).hexdigest()[:16]}"
        if not folder.exists():
            folder.mkdir(parents=True)
            try:
                zipfile.ZipFile(io.BytesIO(archive)).extractall(folder)
            except zipfile.BadZipFile as error:
                shutil.rmtree(folder)
                raise AwsError(
                    "InvalidZipFileException", f"the code of function {name} is no zip file: {error}"
                ) from error
        return folder

    def _forget(self, name: str, *, at_once: bool) -> None:
        """Make the next invocation load the function anew."""
        with self._lock:
            gone = [self._running.pop(key) for key in list(self._running) if key[0] == name]
        for running in gone:
            if running.host is not None:
                running.host.retire(at_once=at_once)

    # The API

    def _create(self, params: dict[str, Any]) -> Mapping[str, Any]:
        created = call_moto("lambda", "CreateFunction", params)
        return self._with_logging(self._remember_log_group(params, created))

    def _update(self, operation: str, params: dict[str, Any]) -> Mapping[str, Any]:
        updated = call_moto("lambda", operation, params)
        self._remember_log_group(params, updated)
        self._forget(updated["FunctionName"], at_once=False)
        return self._with_logging(updated)

    def _remember_log_group(self, params: Mapping[str, Any], function: dict[str, Any]) -> dict[str, Any]:
        group = (params.get("LoggingConfig") or {}).get("LogGroup")
        if group:
            self._log_groups[function["FunctionName"]] = group
        return function

    def _with_logging(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """Add the logging configuration, which moto drops."""
        name = configuration["FunctionName"]
        group = self._log_groups.get(name, f"/aws/lambda/{name}")
        return configuration | {"LoggingConfig": {"LogFormat": "Text", "LogGroup": group}}

    def _get_configuration(self, params: dict[str, Any]) -> Mapping[str, Any]:
        return self._with_logging(call_moto("lambda", "GetFunctionConfiguration", params))

    def _get(self, params: dict[str, Any]) -> Mapping[str, Any]:
        found = call_moto("lambda", "GetFunction", params)
        return found | {"Configuration": self._with_logging(found["Configuration"])}

    def _delete(self, params: dict[str, Any]) -> Mapping[str, Any]:
        match = _ARN.fullmatch(params["FunctionName"])
        answer = call_moto("lambda", "DeleteFunction", params)
        if match is not None:
            self._forget(match["name"], at_once=True)
            if not (match["qualifier"] or params.get("Qualifier")):
                self._log_groups.pop(match["name"], None)
        return answer

    def _invoke_action(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html."""
        reference, qualifier = params["FunctionName"], params.get("Qualifier")
        kind = params.get("InvocationType") or "RequestResponse"
        event = _event(params.get("Payload"))
        running = self._find(reference, qualifier)
        if kind == "DryRun":
            return {"StatusCode": 204}
        if kind == "Event":
            arguments = (reference, event, qualifier)
            threading.Thread(target=self._invoke_unattended, args=arguments, name="function-event", daemon=True).start()
            return {"StatusCode": 202}
        answered: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": running.code.version}
        with_tail = params.get("LogType") == "Tail"
        try:
            answer = self._invoke(reference, event, qualifier, with_tail=with_tail)
            payload, tail = answer.result, answer.log_tail
        except FunctionError as error:
            answered["FunctionError"] = "Unhandled"
            payload, tail = error.payload, error.log_tail
        if with_tail:
            answered["LogResult"] = _encoded_tail(tail)
        return answered | {"Payload": json.dumps(payload).encode()}

    def _invoke_unattended(self, reference: str, event: Any, qualifier: str | None) -> None:
        try:
            self._invoke(reference, event, qualifier)
        except Exception as error:  # noqa: BLE001 - nobody waits for this one: it has to be told here
            told = f"embedded AWS: asynchronous invocation of {reference} failed: {type(error).__name__}: {error}"
            print(told, file=sys.stderr)  # noqa: T201


def _not_done(what: str) -> AwsError:
    return AwsError("NotImplemented", f"this is not done by the embedded AWS: {what}")


def _event(payload: Any) -> Any:
    """Parse the payload of Invoke."""
    data = payload.read() if hasattr(payload, "read") else payload
    if not data:
        return {}
    if len(data) > _MAX_PAYLOAD_BYTES:
        raise AwsError("RequestTooLargeException", f"{len(data)} bytes; at most {_MAX_PAYLOAD_BYTES} are taken", 413)
    try:
        return json.loads(data)
    except ValueError as error:
        raise AwsError("InvalidRequestContentException", f"Could not parse request body into json: {error}") from error


def _encoded_tail(tail: str) -> str:
    return base64.b64encode(tail.encode()[-4096:]).decode()
