"""The one module that touches moto's internals: our actions in front of moto's server, and moto behind them.

Every request that reaches the embedded AWS passes ``_Overlay``, a WSGI application in front of moto's own. It reads
from the signature which service is meant, and if one of our *actions* is registered for the operation, the request is
parsed with botocore's model, the action is called, and its answer is serialised with the same model. Everything else
goes on to moto, unchanged. So a service that moto does not know at all can be answered too.

moto has no plugin interface. What is used of it here is checked by ``tests/unit/embedded/test_moto_adapter.py``, which
fails when moto is upgraded or its internals moved; moto is pinned for that reason.
"""

from __future__ import annotations

import functools
import io
import json
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp
from moto.backends import get_backend, list_of_moto_modules
from moto.core.config import default_user_config
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import DefaultAttributePicker, get_serializer_class
from moto.core.utils import get_service_model
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.moto_server.werkzeug_app import (
    BackendRequest,
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import FakeBucket
from moto.sns.models import Subscription
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response

from readiness.embedded.settings import ACCOUNT_ID

MOTO_VERSION = "5.2.5"
"""The version whose internals this module was written against."""

Action = Callable[[dict[str, Any]], Mapping[str, Any]]
"""Answers one operation: gets the request's parameters and returns the response, both spelled as boto3 spells them."""

_Environ = dict[str, Any]
_StartResponse = Callable[..., Any]

_CREDENTIAL = re.compile(r"Credential=[^/,\s]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_ACCESS_KEY = re.compile(r"Credential=([^/,\s]+)/")
_GLOBAL_SERVICES = frozenset({"iam", "sts", "cloudfront", "route53", "organizations"})
_MOTO_PACKAGES = {"lambda": "awslambda"}


class AwsError(Exception):
    """An error of an AWS API: boto3 raises it as ``ClientError`` with this code and message.

    Args:
        code: The error's code as the service's API reference spells it.
        message: One sentence for the reader.
        status: HTTP status, if the service's model does not state one for the code.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


Refuse = Callable[[str], AwsError | None]
"""Access key of a call -> the error with which it is refused; None = it is answered."""


class ServerError(Exception):
    """The embedded AWS can't serve; the message says why."""


_overridden: dict[str, dict[str, Action]] = {}
_replaced: set[str] = set()
_region = "eu-west-1"
_endpoint = "http://localhost"
_registry_lock = threading.RLock()


def override(service: str, actions: Mapping[str, Action]) -> None:
    """Answer these operations of a service ourselves; its other operations stay with moto.

    Args:
        service: The service as boto3 names it, such as ``ecs`` or ``elbv2``.
        actions: Operation name -> action. A later registration of the same operation wins.

    Raises:
        ValueError: An operation does not exist in botocore's model of the service.
    """
    known = set(get_service_model(service).operation_names)
    if unknown := sorted(set(actions) - known):
        raise ValueError(f"{service} has no operation {', '.join(unknown)}; it can't be answered by an action")
    with _registry_lock:
        _overridden.setdefault(service, {}).update(actions)
        _services_by_signing_name.cache_clear()


def replace(service: str, actions: Mapping[str, Action]) -> None:
    """Take a whole service from moto: operations without an action are refused by name."""
    override(service, actions)
    with _registry_lock:
        _replaced.add(service)


def forget_all() -> None:
    """Take all actions back, as when one embedded AWS ends and another starts in the same process."""
    check_deliveries(None)
    with _registry_lock:
        _overridden.clear()
        _replaced.clear()
        _services_by_signing_name.cache_clear()


def reset_state() -> None:
    """Drop all API state that moto holds in this process."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()


def backend(service: str) -> Any:
    """Return moto's own state of a service, for the one account and region. Use sparingly."""
    package = _MOTO_PACKAGES.get(service, service.replace("-", ""))
    by_region = get_backend(package)[ACCOUNT_ID]  # type: ignore[call-overload]
    return by_region[_region] if _region in by_region else by_region["aws"]


def tag_bucket(name: str, tags: Mapping[str, str]) -> None:
    """Set a bucket's tags, those of CloudFormation included, which the S3 API takes from no caller (on AWS neither)."""
    buckets = backend("s3")
    buckets.put_bucket_tagging(name, dict(tags))


def _permission_of_unconditional_statements(bucket: FakeBucket, action: str, resource: str) -> Any:
    """Judge a bucket policy by its statements that have no condition.

    moto ignores conditions, so the usual "deny what comes without TLS" would deny everything, and nobody could even
    take the policy away again. Requests on loopback stand for requests over TLS.
    """
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(bucket.policy)
    statements = policy.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    policy["Statement"] = [statement for statement in statements if not statement.get("Condition")]
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)


FakeBucket.get_permission = _permission_of_unconditional_statements  # type: ignore[method-assign, assignment]

DeliveryCheck = Callable[[str, str], bool]
"""Gets the ARNs of a topic and of a queue; returns whether a message from the one to the other is lost."""

_delivery_check: DeliveryCheck | None = None
_deliver = Subscription.publish


def check_deliveries(check: DeliveryCheck | None) -> None:
    """Ask this before each message from a topic to a queue; moto delivers whatever the queue's policy says."""
    global _delivery_check
    _delivery_check = check


def _deliver_if_allowed(subscription: Subscription, message: str, message_id: str, **more: Any) -> None:
    check = _delivery_check if subscription.protocol == "sqs" else None
    if check is not None and check(subscription.topic_arn, subscription.endpoint):
        return
    _deliver(subscription, message, message_id, **more)


Subscription.publish = _deliver_if_allowed  # type: ignore[method-assign, assignment]

# Roles may attach AWS's own managed policies; moto knows them only when told to.
default_user_config["iam"] = {"load_aws_managed_policies": True}


def call_moto(service: str, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Call moto's own implementation of an operation, past our actions.

    Raises:
        AwsError: moto answered with an error, or does not have the operation.
    """
    client = _moto_client(service, _endpoint, _region)
    method = client.meta.method_to_api_mapping
    name = next((python_name for python_name, api_name in method.items() if api_name == operation), None)
    if name is None:
        raise ValueError(f"{service} has no operation {operation}")
    try:
        answer: dict[str, Any] = getattr(client, name)(**params)
    except ClientError as error:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        raise AwsError(str(details.get("Code", "Unknown")), str(details.get("Message", error)), status) from error
    answer.pop("ResponseMetadata", None)
    return answer


def in_process_client(service: str) -> Any:
    """Return a boto3 client of moto alone, past our actions and without a socket; for tests of single parts."""
    return _moto_client(service, _endpoint, _region)


class MotoServer:
    """moto's server with our actions in front of it, on loopback.

    Args:
        region: The one region that it answers for.
        port: Port on 127.0.0.1; 0 picks a free one.
        refuse: Access key of a call -> the error with which it is refused, or None.
    """

    def __init__(self, region: str, port: int = 0, refuse: Refuse = lambda access_key: None) -> None:
        self.region = region
        self._port = port
        self._refuse = refuse
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """The address that clients are given. ``localhost``, since moto misreads template addresses of 127.0.0.1."""
        if self._server is None:
            raise ServerError("the embedded AWS is not serving yet; start() it before asking for its endpoint")
        return f"http://localhost:{self._server.server_port}"

    def start(self) -> None:
        """Bind the port and serve from a thread of its own.

        Raises:
            ServerError: The port can't be bound.
        """
        global _region, _endpoint
        try:
            self._server = make_server(
                "127.0.0.1",
                self._port,
                _Overlay(_moto_application(), self._refuse),
                threaded=True,
                request_handler=_QuietRequestHandler,
            )
        except (OSError, SystemExit) as error:
            # werkzeug answers a busy port with SystemExit.
            raise ServerError(
                f"port {self._port} of 127.0.0.1 can't be bound ({error}); "
                "stop what listens there or choose another port"
            ) from error
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self._server.block_on_close = False  # type: ignore[attr-defined]
        _region, _endpoint = self.region, self.endpoint
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="aws-api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = None

    def __enter__(self) -> MotoServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _QuietRequestHandler(MotoRequestHandler):
    """Serves without writing a line per request."""

    # Headers and body are two writes; without this the second may wait for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: Any) -> None:
        """Write nothing: stdout and stderr belong to the embedded AWS's own messages."""


class _Call:
    """One request for one operation of one service, with all that parsing and serialising need."""

    def __init__(self, service: str, operation: Any, request: Request, uri_params: Mapping[str, Any]) -> None:
        self.service = service
        self.operation = operation
        self._request = request
        self._uri_params = uri_params
        self._model = get_service_model(service)
        self._protocol = determine_request_protocol(self._model, request.content_type)

    def params(self) -> dict[str, Any]:
        parser = PROTOCOL_PARSERS[self._protocol](self.operation, timestamp_parser=_aware_timestamp)
        request = self._request
        parsed: dict[str, Any] = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.get_data(),
                "url_path": request.path,
                "url_params": dict(self._uri_params),
            }
        )
        return parsed

    def response(self, result: Mapping[str, Any] | AwsError) -> Response:
        serializer_class = get_serializer_class(self._model.service_name, self._protocol)
        serializer = serializer_class(operation_model=self.operation, value_picker=DefaultAttributePicker())
        with warnings.catch_warnings():
            # Codes that botocore's model does not list are serialised as they are; moto warns of each.
            warnings.simplefilter("ignore")
            serialized = serializer.serialize(result)
        status = serialized["status_code"]
        if isinstance(result, AwsError) and status == 400:
            status = result.status
        elif not isinstance(result, AwsError):
            status = self._own_status(result, status)
        return Response(serialized["body"], status=status, headers=dict(serialized["headers"]))

    def _own_status(self, result: Mapping[str, Any], usual: int) -> int:
        """Return the status that the answer itself names, as Lambda's Invoke does (202, 204), or else the usual one."""
        shape = self.operation.output_shape
        members = {} if shape is None else shape.members
        for name, member in members.items():
            if member.serialization.get("location") == "statusCode" and name in result:
                return int(result[name])
        return usual


class _Moto(DomainDispatcherApplication):
    """moto's application, except that a service it does not have is an error and not a line on stdout."""

    def get_backend_for_host(self, host: str | None) -> Any:
        known = host is None or host in self._modules() or self._pattern_matches(host)
        if not known and "amazonaws.com" in str(host):
            raise NotImplementedError(f"moto does not have the service {str(host).split('.')[0]}")
        return super().get_backend_for_host(host)

    def _modules(self) -> Iterable[str]:
        return ("moto_api", *list_of_moto_modules())

    def _pattern_matches(self, host: str | None) -> bool:
        return any(pattern.match(f"http://{host}") for _, pattern in self.backend_url_patterns)


class _Overlay:
    """The WSGI application in front of moto's."""

    def __init__(self, moto: DomainDispatcherApplication, refuse: Refuse = lambda access_key: None) -> None:
        self._moto = moto
        self._refuse = refuse

    def __call__(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        signed = _signed_for(environ)
        if signed and (refusal := self._refuse(_access_key(environ))):
            return _refused(environ, signed, refusal)(environ, start_response)
        candidates = _services_by_signing_name().get(signed[0], ()) if signed else ()
        call = _match(environ, _buffered_body(environ), candidates) if candidates else None
        if signed and call and (call.operation.name in _overridden[call.service] or call.service in _replaced):
            return _answer(call, signed[1])(environ, start_response)
        if call is None and _replaced.intersection(candidates):
            unknown = AwsError("NotImplemented", "the operation or its wire protocol is not known to the embedded AWS")
            return _unparsed_refusal(unknown, signed)(environ, start_response)
        return self.ask_moto(environ, start_response)

    def ask_moto(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        """Let moto answer; what it does not have, or crashes at, becomes an error that says so."""
        signed = _signed_for(environ)
        # Objects can be large and their operation is in path and headers, so an S3 body is left in the stream.
        body = _buffered_body(environ) if signed and signed[0] != "s3" else b""
        try:
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        except HTTPException as error:
            return error(environ, start_response)
        except NotImplementedError as error:
            refusal = AwsError("NotImplemented", f"{error}; it is not done by the embedded AWS")
        except Exception as error:  # noqa: BLE001 - the client is told what moto stumbled over, instead of a bare 500
            refusal = AwsError("InternalFailure", f"moto failed with {type(error).__name__}: {error}", 500)
        services = _all_services_by_signing_name().get(signed[0], ()) if signed else ()
        call = _match(environ, body, services)
        if call is None:
            return _unparsed_refusal(refusal, signed)(environ, start_response)
        refusal.message += f" ({call.service} {call.operation.name})"
        return call.response(refusal)(environ, start_response)


def _refused(environ: _Environ, signed: tuple[str, str], refusal: AwsError) -> Response:
    """Answer a call with an error in its own protocol, and do nothing else for it."""
    body = _buffered_body(environ) if signed[0] != "s3" else b""
    call = _match(environ, body, _all_services_by_signing_name().get(signed[0], ()))
    return call.response(refusal) if call else _unparsed_refusal(refusal, signed)


def _access_key(environ: Mapping[str, Any]) -> str:
    found = _ACCESS_KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
    return found[1] if found else ""


def _answer(call: _Call, region: str) -> Response:
    """Call the action of a request and return its serialised answer or error."""
    try:
        return call.response(_action_of(call, region)(call.params()))
    except AwsError as error:
        return call.response(error)
    except Exception as error:  # noqa: BLE001 - a fault of ours reaches the client as an error, never as silence
        name = f"{call.service} {call.operation.name}"
        return call.response(
            AwsError("InternalFailure", f"the embedded AWS failed at {name}: {type(error).__name__}: {error}", 500)
        )


def _action_of(call: _Call, region: str) -> Action:
    name = f"{call.service} {call.operation.name}"
    if region != _region and call.service not in _GLOBAL_SERVICES:
        raise AwsError("NotImplemented", f"this embedded AWS is region {_region}; {name} was asked of {region}")
    action = _overridden[call.service].get(call.operation.name)
    if action is None:
        raise AwsError("NotImplemented", f"this operation is not done by the embedded AWS: {name}")
    return action


def _signed_for(environ: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the signing name and region that a request was signed for, or None if it is not signed with SigV4."""
    source = environ.get("HTTP_AUTHORIZATION", "")
    if not source and "X-Amz-Credential" in environ.get("QUERY_STRING", ""):
        source = "Credential=" + dict(parse_qsl(environ["QUERY_STRING"])).get("X-Amz-Credential", "")
    found = _CREDENTIAL.search(source)
    return (found["service"].lower(), found["region"]) if found else None


@functools.lru_cache(maxsize=1)
def _services_by_signing_name() -> dict[str, tuple[str, ...]]:
    """Services with actions by the name they sign with (``monitoring`` -> ``cloudwatch``)."""
    with _registry_lock:
        found: dict[str, tuple[str, ...]] = {}
        for service in _overridden:
            signing_name = get_service_model(service).signing_name
            found[signing_name] = (*found.get(signing_name, ()), service)
        return found


def _buffered_body(environ: _Environ) -> bytes:
    """Read the body of a request so that it can be read again."""
    body: bytes = BackendRequest(environ).get_data(cache=False, parse_form_data=False)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return body


def _match(environ: _Environ, body: bytes, services: Iterable[str]) -> _Call | None:
    """Find the operation that a request asks for, among services that sign alike."""
    environ = {
        **{key: value for key, value in environ.items() if key != "werkzeug.request"},
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
    }
    request = BackendRequest(environ)
    version = request.values.get("Version")
    for service in services:
        if version not in (None, get_service_model(service).api_version):
            continue  # elb and elbv2 sign alike and differ in the version of the API
        try:
            operation, uri_params = get_service_router(service).match(request)
        except (HTTPException, NotImplementedError):
            continue
        return _Call(service, operation, request, uri_params)
    return None


@functools.cache
def _all_services_by_signing_name() -> dict[str, tuple[str, ...]]:
    session = botocore.session.get_session()
    found: dict[str, tuple[str, ...]] = {}
    for service in session.get_available_services():
        signing_name = session.get_service_model(service).signing_name
        found[signing_name] = (*found.get(signing_name, ()), service)
    return found


def _unparsed_refusal(error: AwsError, signed: tuple[str, str] | None) -> Response:
    """Answer a request of which not even the operation is known; JSON, which every SDK shows in its message."""
    message = f"{error.message} ({f'service {signed[0]}' if signed else 'an unsigned request'})"
    body = json.dumps({"__type": error.code, "message": message})
    return Response(body, status=error.status, headers={"X-Amzn-Errortype": error.code}, mimetype="application/json")


def _aware_timestamp(value: Any) -> datetime:
    return parse_timestamp(value)  # type: ignore[no-any-return]


@functools.cache
def _moto_application() -> DomainDispatcherApplication:
    return _Moto(create_backend_app)


@functools.lru_cache(maxsize=128)
def _moto_client(service: str, endpoint: str, region: str) -> Any:
    """A boto3 client whose requests go to moto's application within this process, past our actions."""
    with _client_lock:
        client = boto3.session.Session().client(
            service,
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id="embedded",
            aws_secret_access_key="embedded",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
    client.meta.events.register("before-send.*.*", _send_to_moto)
    return client


_client_lock = threading.Lock()


def _send_to_moto(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    prepared = Request.from_primitives(request.method, request.url, request.headers, request.body)
    environ = {**prepared.environ, "REQUEST_METHOD": request.method}
    chunks, status, headers = run_wsgi_app(_Overlay(_moto_application()).ask_moto, environ, buffered=True)
    return AWSResponse(request.url, int(status.split(" ", 1)[0]), headers, _Raw(b"".join(chunks)))


class _Raw(io.BytesIO):
    """A body as botocore reads it."""

    def stream(self, **_: Any) -> Iterable[bytes]:
        while chunk := self.read(65536):
            yield chunk
