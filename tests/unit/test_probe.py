"""Asking the health path: every answer is counted, and what is none is no answer."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from readiness.errors import UsageError
from readiness.probe import CanaryRun, Probe, joined, last_runs
from tests.unit.samples import T0, FakeClient


@pytest.fixture
def served():
    """Yield a URL, and the statuses with which it answers, the last for ever."""
    statuses: list[int] = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", statuses
    server.shutdown()
    server.server_close()
    thread.join()


def test_each_answer_is_counted_and_a_redirect_is_not_followed(served):
    url, statuses = served
    statuses[:] = [200, 302, 503, 200]
    probe = Probe(url=url)

    for _ in range(4):
        probe.ask()

    assert probe.seen().answers == {"200": 2, "302": 1, "503": 1}
    assert probe.seen().errors == {}


def test_a_server_that_is_not_there_is_an_error_and_no_answer(served):
    probe = Probe(url="http://127.0.0.1:1/health", timeout_s=1)

    probe.ask()

    assert probe.seen().answers == {}
    assert sum(probe.seen().errors.values()) == 1


def test_a_server_without_tls_is_an_error_where_tls_was_asked_for(served):
    probe = Probe(url=served[0].replace("http:", "https:"), timeout_s=1)

    probe.ask()

    assert probe.seen().answers == {}
    assert "SSL" in next(iter(probe.seen().errors))


def test_without_a_url_nothing_is_asked():
    probe = Probe(url="")

    probe.ask()

    assert (probe.seen().answers, probe.seen().errors) == ({}, {})


def test_the_path_is_below_the_base():
    assert joined("https://shop.example/", "/health") == "https://shop.example/health"
    assert joined("", "/health") == ""


@pytest.mark.parametrize("base", ["shop.example", "ftp://shop", "http://", "http://shop:99999", "file:///etc/passwd"])
def test_what_is_no_url_of_http_is_refused(base):
    with pytest.raises(UsageError, match="is no URL that can be asked"):
        joined(base, "/health")


def test_the_last_run_of_a_canary_is_told_and_one_that_never_ran_is_not():
    runs = {"a": [{"Status": {"State": "PASSED"}, "Timeline": {"Completed": T0}}], "b": []}
    synthetics = FakeClient(get_canary_runs=lambda Name, MaxResults: {"CanaryRuns": runs[Name]})

    told = last_runs({"synthetics": synthetics}.__getitem__, ("a", "b"))

    assert told == (CanaryRun(canary="a", state="PASSED", reason="", ended_at=T0),)
