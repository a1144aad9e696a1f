"""Records the requests of a locustfile's users as ours are: also those that Locust would never tell of.

Locust reports a request when it has ended. It says nothing of one that is cut off because its user is stopped, so that
a service that hangs would look like one that nobody asks; nor of one whose ``catch_response`` block raises or is never
entered. The sessions of Locust's two HTTP users are therefore watched from the beginning of each request.
"""

from __future__ import annotations

import errno
import math
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import gevent
import requests
import urllib3
from geventhttpclient.useragent import ConnectionError as AgentError
from geventhttpclient.useragent import RetriesExceeded
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession, LocustBadStatusCode
from locust.exception import CatchResponseError, ResponseError

from readiness.loadgen import rows
from readiness.loadgen.recorder import Recorder
from readiness.loadgen.template import redact

_SESSIONS: tuple[Any, ...] = (HttpSession, FastHttpSession)
_MAX_NAME = 80
_MOST_NAMES = 200
_MOST_SPELLINGS = 2000
_MOST_UNJUDGED = 1000
_MAX_BODY = 100
_OTHERS = "(other)"
_NO_CONNECTION = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})
_PORTS = {"http": 80, "https": 443}


class _Sent:
    """A request that a session has begun.

    Attributes:
        reported: Whether Locust has told how it ended.
    """

    __slots__ = ("begun", "name", "reported", "url")

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.begun = time.monotonic()
        self.reported = False


class LocustRequests:
    """What becomes of the requests of one worker's users."""

    def __init__(self, recorder: Recorder, target: str, timeout_s: float, secrets: Collection[str]) -> None:
        self._recorder = recorder
        self._target = target.rstrip("/")
        self._origin = _origin_of(self._target)
        self._timeout_s = timeout_s
        self._secrets = secrets
        self._names: set[str] = set()
        self._spelled: dict[str, str] = {}
        self._under_way: dict[Any, list[_Sent]] = {}
        self._unjudged: dict[int, tuple[Any, Any]] = {}
        self._ending = False

    @contextmanager
    def recorded(self, events: Any) -> Iterator[None]:
        """Record every request that is made in the meantime."""
        originals = [(session, session.request) for session in _SESSIONS]
        events.request.add_listener(self._on_request)
        for session, original in originals:
            session.request = self._watched(original)
        try:
            yield
        finally:
            for session, original in originals:
                session.request = original
            events.request.remove_listener(self._on_request)
            for _, answer in list(self._unjudged.values()):
                self._settle(answer, None)
            self._unjudged.clear()

    def end(self) -> None:
        """Let users that are stopped from now on begin no more requests.

        Locust kills a user that waits between two tasks, but the kill arrives a moment later: by then the user may have
        sent a request, which would be cut off for no fault of the service.
        """
        self._ending = True

    def task_raised(self, error: BaseException) -> None:
        """Record the requests that a task had yet to judge when it raised an exception."""
        me = gevent.getcurrent()
        unsaid = _NeverJudgedError(f"the task raised before it judged the answer: {_said(error)}")
        for key, (user, answer) in list(self._unjudged.items()):
            if user is me:
                del self._unjudged[key]
                self._settle(answer, unsaid if answer._entered else None)

    # --- requests from their beginning --------------------------------------------------------------------------------

    def _watched(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a session's method ``request`` that notices when it is cut off."""

        def request(session: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            if self._ending:
                gevent.sleep(0)  # where a kill that is on its way arrives
            name = kwargs.get("name") or (args[0] if args else None) or session.request_name or url
            sent = _Sent(_text(name), _text(url))
            me = gevent.getcurrent()
            mine = self._under_way.setdefault(me, [])
            mine.append(sent)
            try:
                answer = original(session, method, url, *args, **kwargs)
            except (gevent.GreenletExit, gevent.Timeout) as cut:
                if not sent.reported:
                    self._cut_off(sent, cut)
                raise
            finally:
                mine.remove(sent)
                if not mine:
                    del self._under_way[me]
            if not sent.reported and hasattr(answer, "request_meta"):
                self._await_judgement(me, answer)
            return answer

        return request

    def _cut_off(self, sent: _Sent, cut: BaseException) -> None:
        """Record a request whose user did not live to see its end. Who had waited long enough has timed out."""
        waited_s = time.monotonic() - sent.begun
        timed_out = isinstance(cut, gevent.Timeout) or waited_s >= self._timeout_s * 0.99
        why = "given up by the locustfile" if isinstance(cut, gevent.Timeout) else "its user was stopped"
        self._recorder.reported(
            self._scenario(sent.name),
            sent.begun,
            waited_s,
            rows.TIMEOUT if timed_out else rows.RESET,
            message=f"no answer within {waited_s:.3g} s; {why}",
            elsewhere=self._is_elsewhere(sent.url),
        )

    def _await_judgement(self, user: Any, answer: Any) -> None:
        """Keep an answer that a ``catch_response`` block is to judge; too many of them are judged by their status."""
        if len(self._unjudged) >= _MOST_UNJUDGED:
            _, oldest = self._unjudged.pop(next(iter(self._unjudged)))
            self._settle(oldest, None)
        self._unjudged[id(answer.request_meta["response"])] = (user, answer)

    def _settle(self, answer: Any, error: BaseException | None) -> None:
        """Record a request that Locust was never told the end of."""
        meta = answer.request_meta
        response = meta["response"]
        error = error or meta.get("exception") or getattr(response, "error", None)
        if error is None and (_status_of(response) or 0) >= 400:
            error = requests.HTTPError(f"status {_status_of(response)}")
        self._record(**{**meta, "exception": error})

    # --- requests that have ended -------------------------------------------------------------------------------------

    def _on_request(self, *, response: Any = None, **meta: Any) -> None:
        """Take in what Locust reports."""
        mine = self._under_way.get(gevent.getcurrent())
        if mine:
            mine[-1].reported = True
        self._unjudged.pop(id(response), None)
        self._record(response=response, **meta)

    def _record(
        self,
        *,
        name: Any,
        response_time: Any = None,
        exception: Any = None,
        response: Any = None,
        url: Any = None,
        start_time: Any = None,
        **_: Any,
    ) -> None:
        scenario = self._scenario(_text(name))
        if not isinstance(response_time, int | float) or not math.isfinite(response_time) or response_time < 0:
            self._recorder.user_error(f"a request {scenario} was reported with a response time of {response_time!r}")
            return
        now, latency_s = time.monotonic(), response_time / 1000
        begun = now - latency_s
        if isinstance(start_time, int | float):  # a block may take its time to judge the answer
            begun = min(begun, now - max(0.0, time.time() - start_time))
        headers = getattr(response, "headers", None)
        self._recorder.reported(
            scenario,
            begun,
            latency_s,
            outcome_of(exception, response),
            message="" if exception is None else _said(exception) + _body_of(response),
            status=_status_of(response),
            headers=headers if isinstance(headers, Mapping) else {},
            elsewhere=self._is_elsewhere(url, _last_url(response), _last_url(exception)),
        )

    def _scenario(self, name: str) -> str:
        """Return the name to record a request under: as Locust gives it, but neither endless nor endlessly many."""
        spelled = self._spelled.get(name)
        if spelled is not None:
            return spelled
        plain = "".join(each if each.isprintable() else "?" for each in redact(name, self._secrets))[:_MAX_NAME]
        if not plain or (plain not in self._names and len(self._names) >= _MOST_NAMES):
            plain = _OTHERS
        self._names.add(plain)
        if len(self._spelled) < _MOST_SPELLINGS:
            self._spelled[name] = plain
        return plain

    def _is_elsewhere(self, *urls: Any) -> bool:
        """Return whether a request, or where it was redirected to, is not the target; what is no URL names no host."""
        for url in urls:
            text = _text(url) if url else ""
            if text.startswith(self._target + "/") or "://" not in text:
                continue
            if _origin_of(text) != self._origin:
                return True
        return False


class _NeverJudgedError(Exception):
    """A locustfile's block raised instead of saying what it thinks of an answer."""


def outcome_of(error: Any, response: Any) -> str:
    """Return how a request ended, by what Locust says of it. Clients wrap what happened several times."""
    if error is None:
        return rows.OK
    if not isinstance(error, BaseException):  # of a client that the file brings itself
        return rows.ASSERTION
    answered = _status_of(response) is not None
    if not answered and isinstance(error, CatchResponseError) and getattr(response, "error", None) is not None:
        error = response.error  # a block complains of what there was no answer to
    said_by_the_file = CatchResponseError | ResponseError | AssertionError | _NeverJudgedError
    if isinstance(error, said_by_the_file) or (answered and error is getattr(response, "_manual_result", None)):
        return rows.ASSERTION
    if isinstance(error, requests.HTTPError | requests.TooManyRedirects | LocustBadStatusCode):
        return rows.STATUS
    if isinstance(error, RetriesExceeded) and "Redirection" in str(error):
        return rows.STATUS
    chain = list(_chain(error))
    if any(isinstance(each, _TIMEOUTS) for each in chain):
        return rows.TIMEOUT
    if any(_is_no_connection(each) for each in chain):
        return rows.CONNECT
    if any(isinstance(each, _BROKEN) or type(each).__module__.startswith("geventhttpclient") for each in chain):
        return rows.RESET
    if not answered:
        return rows.RESET
    return rows.STATUS if (_status_of(response) or 0) >= 400 else rows.ASSERTION


_TIMEOUTS = (TimeoutError, gevent.Timeout, requests.Timeout, urllib3.exceptions.TimeoutError)
_BROKEN = (OSError, EOFError, urllib3.exceptions.HTTPError, AgentError)


def _is_no_connection(error: BaseException) -> bool:
    if isinstance(error, ConnectionRefusedError | socket.gaierror | urllib3.exceptions.NewConnectionError):
        return True
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, OSError) and error.errno in _NO_CONNECTION


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it was raised from, or that it carries."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inside = (getattr(each, "reason", None), getattr(each, "original", None))
        carried = [*each.args, *inside, each.__cause__, each.__context__]
        waiting += [inner for inner in carried if isinstance(inner, BaseException)]


def _status_of(response: Any) -> int | None:
    """Return the status of an answer; both clients say 0 where there was none."""
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) and status > 0 else None


def _last_url(told: Any) -> Any:
    """Return where the last of several redirected requests went, as an answer or an exception tells it."""
    return getattr(getattr(told, "request", None), "url", None)


def _body_of(response: Any) -> str:
    """Return the beginning of a body that was read already; one that is streamed is left to the file."""
    body = getattr(response, "_content", None)
    if not isinstance(body, bytes):
        body = getattr(response, "_cached_content", None)
    return f"; body: {body[:_MAX_BODY].decode('utf-8', 'replace')}" if isinstance(body, bytes) and body else ""


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port, so that all spellings of one origin are equal."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.hostname, parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        return "", None, None


def _said(error: Any) -> str:
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
