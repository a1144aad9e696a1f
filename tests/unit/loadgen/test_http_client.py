"""Faults of the generator itself are told and stop nothing else; how services misbehave is in tests/embedded."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import gevent
import pytest

from readiness.errors import ReadinessError
from readiness.loadgen.answers import Answer
from readiness.loadgen.http_client import Exchange, Target
from readiness.loadgen.rows import CONNECT, TIMEOUT


class Request(Exchange):
    """Remembers how it ended."""

    def __init__(self) -> None:
        super().__init__("GET", b"GET / HTTP/1.1\r\n\r\n")
        self.ends: list[str] = []

    def answered(self, answer: Answer, received_at: float) -> None:
        self.ends.append("answered")

    def failed(self, outcome: str, message: str) -> None:
        self.ends.append(outcome)


class Broken(Request):
    """Cannot record how it ended."""

    def failed(self, outcome: str, message: str) -> None:
        super().failed(outcome, message)
        raise KeyError(outcome)


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a service that takes connections and says nothing."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """Address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def until(test: Callable[[], object]) -> None:
    with gevent.Timeout(10):
        while not test():
            gevent.sleep(0.005)


def test_a_request_that_cannot_be_recorded_is_a_fault_and_the_others_still_time_out(silent: str) -> None:
    faults: list[Exception] = []
    target = Target(silent, 0.05, fault=faults.append)
    broken, good = Broken(), Request()
    target.send(broken)
    target.send(good)
    until(lambda: good.ends)
    later = Request()
    target.send(later)
    until(lambda: later.ends)
    assert (broken.ends, good.ends, later.ends) == ([TIMEOUT], [TIMEOUT], [TIMEOUT])
    assert [repr(fault) for fault in faults] == ["KeyError('timeout')"]
    target.close()


def test_a_failed_connection_that_cannot_be_recorded_is_a_fault(nobody: str) -> None:
    faults: list[Exception] = []
    target = Target(nobody, 5, fault=faults.append)
    target.send(Broken())
    until(lambda: faults)
    assert repr(faults[0]) == f"KeyError('{CONNECT}')"
    target.close()


@pytest.mark.parametrize("address", ["ftp://h", "h:80", "http://", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ReadinessError, match="no http or https address"):
        Target(address, 1, fault=lambda _: None)


@pytest.mark.parametrize(
    ("address", "host"),
    [("http://h", "h"), ("http://h:81/", "h:81"), ("https://u:p@h:444", "h:444"), ("http://[::1]:8", "[::1]:8")],
)
def test_the_host_header_is_the_address_without_credentials(address: str, host: str) -> None:
    assert Target(address, 1, fault=lambda _: None).host_header == host
