"""The stand-in service, over its own server on a port of its own: the event loop is the test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from examples.llm_proxy.http_server import Request, Response, Server
from examples.llm_proxy.proxy import Proxy
from examples.llm_proxy.settings import Settings, SettingsError, from_environment

QUESTION = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why?"}]}).encode()
TOKEN = {"authorization": "Bearer tok"}


def ask(proxy: Proxy, path: str, *, body: bytes = b"", method: str = "", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()} or dict(TOKEN)
    request = Request(method or ("POST" if body else "GET"), path, named, body)
    return asyncio.run(proxy.respond(request))


def proxy(**settings: object) -> Proxy:
    return Proxy(Settings(token="tok", **{"upstream_median_ms": 0.01, **settings}))  # type: ignore[arg-type]


def test_health_needs_no_token_and_tells_the_truth() -> None:
    assert ask(proxy(), "/health", x="y").status == 200
    assert ask(proxy(unhealthy=True), "/health", x="y").status == 503


@pytest.mark.parametrize("authorization", ["Bearer wrong", "tok", "", "bearer tok"])
def test_a_stranger_gets_401_in_json(authorization: str) -> None:
    answer = ask(proxy(), "/v1/models", authorization=authorization)
    assert answer.status == 401
    assert json.loads(answer.body)["error"]["code"] == "invalid_api_key"


def test_the_same_question_is_answered_from_memory() -> None:
    service = proxy()
    miss = ask(service, "/v1/chat/completions", body=QUESTION)
    hit = ask(service, "/v1/chat/completions", body=QUESTION)
    assert [answer.headers["X-PROXY-CACHE"] for answer in (miss, hit)] == ["miss", "hit"]
    assert miss.body == hit.body
    assert "Why?" in json.loads(miss.body)["choices"][0]["message"]["content"]


def test_a_client_that_has_the_answer_is_told_so() -> None:
    service = proxy()
    tag = ask(service, "/v1/chat/completions", body=QUESTION).headers["ETag"]
    answer = ask(service, "/v1/chat/completions", body=QUESTION, authorization="Bearer tok", if_none_match=tag)
    assert (answer.status, answer.headers["X-PROXY-CACHE"], answer.body) == (304, "conditional-hit", b"")


def test_the_upstream_times_are_told_to_who_asks_and_only_when_there_was_one() -> None:
    service = proxy()
    asking = {"authorization": "Bearer tok", "x_request_start": "1"}
    miss = ask(service, "/v1/chat/completions", body=QUESTION, **asking)
    hit = ask(service, "/v1/chat/completions", body=QUESTION, **asking)
    plain = ask(service, "/v1/chat/completions", body=QUESTION.replace(b"Why", b"How"))
    assert int(miss.headers["X-UPSTREAM-REQUEST-STOP"]) > int(miss.headers["X-UPSTREAM-REQUEST-START"])
    assert "X-UPSTREAM-REQUEST-START" not in hit.headers
    assert "X-UPSTREAM-REQUEST-START" not in plain.headers


def test_a_bad_release_fails_its_share() -> None:
    service = proxy(error_ratio=0.5)
    statuses = [ask(service, "/v1/models").status for _ in range(400)]
    assert 140 < statuses.count(500) < 260
    assert set(statuses) == {200, 500}


@pytest.mark.parametrize(
    ("path", "body", "method", "status"),
    [
        ("/nowhere", b"", "GET", 404),
        ("/v1/nowhere", b"", "GET", 404),
        ("/v1/models", b"x", "POST", 405),
        ("/v1/chat/completions", b"", "GET", 405),
        ("/v1/chat/completions", b"no json", "POST", 400),
        ("/v1/chat/completions", b'{"model": "m", "messages": []}', "POST", 400),
        ("/v1/chat/completions", b"[1]", "POST", 400),
    ],
)
def test_what_is_no_proper_request_is_refused(path: str, body: bytes, method: str, status: int) -> None:
    assert ask(proxy(), path, body=body, method=method).status == status


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"MANAGEMENT_TOKEN": ""},
        {"MANAGEMENT_TOKEN": "t", "PROXY_ERROR_RATIO": "2"},
        {"MANAGEMENT_TOKEN": "t", "PROXY_ERROR_RATIO": "nan"},
        {"MANAGEMENT_TOKEN": "t", "PROXY_UPSTREAM_MEDIAN_MS": "0"},
        {"MANAGEMENT_TOKEN": "t", "PROXY_UPSTREAM_SIGMA": "x"},
        {"MANAGEMENT_TOKEN": "t", "PROXY_UNHEALTHY": "maybe"},
    ],
)
def test_wrong_settings_are_refused_by_name(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"TOKEN|PROXY_"):
        from_environment(environment)


def test_settings_are_read() -> None:
    read = from_environment({"MANAGEMENT_TOKEN": "t", "PROXY_ERROR_RATIO": "0.5", "PROXY_UNHEALTHY": "true"})
    assert read == Settings(token="t", error_ratio=0.5, unhealthy=True)


# --- the server ---


def exchange(raw: bytes, respond: Callable[[Request], Awaitable[Response]] | None = None) -> bytes:
    """Send raw bytes to a server, and return all that it says until it closes."""

    async def echo(request: Request) -> Response:
        return Response(200, request.method.encode() + b" " + request.path.encode() + b" " + request.body)

    async def talk() -> bytes:
        server = Server(respond or echo)
        port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        writer.write_eof()
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
        await server.stop(1)
        return said

    return asyncio.run(talk())


def test_one_connection_takes_several_requests() -> None:
    said = exchange(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz")
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert said.count(b"Connection: keep-alive") == 2
    assert b"GET /a " in said
    assert said.endswith(b"POST /b xyz")


def test_a_body_in_chunks_is_put_together() -> None:
    chunks = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"
    said = exchange(b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert said.endswith(b"POST /c abcde")


def test_close_is_honoured_and_head_has_no_body() -> None:
    said = exchange(b"HEAD /d HTTP/1.1\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 8" in said
    assert said.endswith(b"Connection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(raw: bytes, status: bytes) -> None:
    said = exchange(raw)
    assert said.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in said


def test_stopping_finishes_what_is_under_way_and_closes_what_is_idle() -> None:
    async def story() -> bytes:
        release = asyncio.Event()
        asked = asyncio.Event()

        async def respond(request: Request) -> Response:
            asked.set()
            await release.wait()
            return Response(200, b"late but whole")

        server = Server(respond)
        port = await server.start("127.0.0.1", 0)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(10):
            await asked.wait()
            stopping = asyncio.create_task(server.stop(5))
            assert await idle_reader.read() == b""
            release.set()
            said = await reader.read()
            await stopping
        with pytest.raises(OSError):  # noqa: PT011 - whichever way the system refuses
            await asyncio.open_connection("127.0.0.1", port)
        idle_writer.close()
        writer.close()
        return said

    said = asyncio.run(story())
    assert said.endswith(b"late but whole")
    assert b"Connection: close" in said
