"""Answers are checked whole, however they arrive: nothing that is no answer may count as one."""

from __future__ import annotations

import pytest
from geventhttpclient.response import HTTPParseError

from readiness.loadgen.answers import Answer, AnswerReader

USUAL = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Proxy-Cache:  Hit \r\nContent-Length: 5\r\n\r\nhello"
WHOLE = [
    pytest.param("GET", USUAL, 200, b"hello", True, id="usual"),
    pytest.param("GET", b"HTTP/1.1 404\r\ncontent-length:0\r\n\r\n", 404, b"", True, id="no reason phrase"),
    pytest.param("GET", USUAL.replace(b"X-P", b"Connection: keep-alive\r\nX-P"), 200, b"hello", True, id="keep-alive"),
    pytest.param("GET", USUAL.replace(b"X-P", b"Connection: close\r\nX-P"), 200, b"hello", False, id="close"),
    pytest.param(
        "GET",
        USUAL.replace(b"X-P", b"Connection: keep-alive\r\nConnection: close\r\nX-P"),
        200,
        b"hello",
        False,
        id="keep-alive and close",
    ),
    pytest.param(
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        200,
        b"abcde",
        True,
        id="chunked",
    ),
    pytest.param("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False, id="HTTP/1.0"),
    pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 200, b"", True, id="HEAD"),
    pytest.param("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', 304, b"", True, id="304"),
    pytest.param("DELETE", b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", 204, b"", True, id="204"),
    pytest.param("POST", b"HTTP/1.1 100 Continue\r\n\r\n" + USUAL, 200, b"hello", True, id="interim"),
    pytest.param("GET", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + USUAL, 200, b"hello", True, id="early hints"),
]


def read(method: str, *pieces: bytes) -> tuple[Answer | None, AnswerReader]:
    reader = AnswerReader()
    reader.expect(method)
    for piece in pieces[:-1]:
        assert reader.take(piece) is None
    return reader.take(pieces[-1]), reader


@pytest.mark.parametrize(("method", "raw", "status", "body", "keep"), WHOLE)
def test_an_answer_is_the_same_wherever_it_is_cut(
    method: str, raw: bytes, status: int, body: bytes, keep: bool
) -> None:
    for cut in range(len(raw)):
        pieces = (raw[:cut], raw[cut:]) if cut else (raw,)
        answer, reader = read(method, *pieces)
        assert answer is not None, pieces
        assert (answer.status, answer.body, reader.keep) == (status, body, keep)


@pytest.mark.parametrize(("method", "raw", "status", "body", "keep"), WHOLE)
def test_an_answer_that_ends_early_is_none(method: str, raw: bytes, status: int, body: bytes, keep: bool) -> None:
    for cut in range(1, len(raw)):
        reader = AnswerReader()
        reader.expect(method)
        assert reader.take(raw[:cut]) is None
        with pytest.raises(HTTPParseError):
            reader.take(b"")


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    answer, reader = read("GET", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nall of ", b"it", b"")
    assert answer is not None
    assert (answer.body, reader.keep) == (b"all of it", False)


@pytest.mark.parametrize(
    "raw",
    [
        USUAL + b"x",
        USUAL + USUAL,
        USUAL + b"HTTP/1.1 200 OK\r\n",
        USUAL.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 4"),
        USUAL.replace(b"Content-Length: 5", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        USUAL.replace(b"Content-Length: 5", b"Content-Length: -5"),
        USUAL.replace(b"Content-Length: 5", b"Content-Length: five"),
        USUAL.replace(b"Content-Type: text/plain", b"Content-Type text/plain"),
        USUAL.replace(b"Content-Type", b"Content Type"),
        USUAL.replace(b"text/plain", b"text\0plain"),
        USUAL.replace(b"200", b"2x0"),
        USUAL.replace(b"HTTP/1.1", b"HTTQ/1.1"),
        b"\x16\x03\x01\x02\x00",
        b"-ERR unknown command\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_what_is_no_answer_or_more_than_one_is_refused(raw: bytes) -> None:
    reader = AnswerReader()
    with pytest.raises(HTTPParseError):  # noqa: PT012 - at once, or when the other side closes
        assert reader.take(raw) is None
        reader.take(b"")


def test_headers_are_found_by_any_case_whichever_way_the_answer_was_read() -> None:
    plain, _ = read("GET", USUAL)
    parsed, _ = read("GET", USUAL.replace(b"X-P", b"Connection: close\r\nX-P"))
    for answer in (plain, parsed):
        assert answer is not None
        assert answer.header("x-PROXY-cache") == "Hit"
        assert answer.header("Content-Type") == "text/plain"
        assert answer.header("Proxy-Cache") is None
        assert answer.header("hello") is None


def test_of_several_headers_of_one_name_the_first_counts() -> None:
    raw = USUAL.replace(b"Content-Type: text/plain", b"X-A: 1\r\nX-A: 2")
    for method in ("GET", "HEAD"):
        answer, _ = read(method, raw.removesuffix(b"hello") if method == "HEAD" else raw)
        assert answer is not None
        assert answer.header("X-A") == "1"


def test_one_answer_after_the_other_is_read() -> None:
    reader = AnswerReader()
    for raw, body in ((USUAL, b"hello"), (USUAL.replace(b"hello", b"HELLO"), b"HELLO")):
        reader.expect("GET")
        assert not reader.begun
        answer = reader.take(raw)
        assert reader.begun
        assert answer is not None
        assert answer.body == body
