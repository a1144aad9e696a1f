from __future__ import annotations

import base64
from typing import Any

import pytest

from readiness.embedded.function_host import Context, LineWriter, load_handler
from readiness.embedded.function_http import MAX_BODY_BYTES, BadAnswerError, answer_of, event_of

GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/fault/0123456789abcdef"


def test_the_event_has_the_documented_form() -> None:
    headers = {"host": "example", "content-type": "application/json", "x-forwarded-for": "192.0.2.1"}
    assert event_of("POST", "/v1/chat?model=a%20b&x=1&x=2&flag", headers, b'{"a": 1}', GROUP) == {
        "requestContext": {"elb": {"targetGroupArn": GROUP}},
        "httpMethod": "POST",
        "path": "/v1/chat",
        "queryStringParameters": {"model": "a%20b", "x": "2", "flag": ""},
        "headers": headers,
        "body": '{"a": 1}',
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize(
    ("headers", "body", "encoded"),
    [
        ({"content-type": "text/plain"}, b"x", False),
        ({"content-type": "application/xml; charset=utf-8"}, b"x", False),
        ({}, b"", False),
        ({"content-type": "application/octet-stream"}, b"x", True),
        ({"content-type": "text/plain", "content-encoding": "gzip"}, b"x", True),
        ({"content-type": "text/plain"}, b"\xff", True),
    ],
)
def test_a_body_that_is_no_text_is_base64(headers: dict[str, str], body: bytes, encoded: bool) -> None:
    event = event_of("POST", "/", headers, body, GROUP)
    assert event["isBase64Encoded"] is encoded
    assert event["body"] == (base64.b64encode(body).decode() if encoded else body.decode())


def test_an_answer_becomes_status_reason_headers_and_body() -> None:
    answer = {"statusCode": 503, "statusDescription": "503 Sorry", "headers": {"x-a": "1"}, "body": "no"}
    assert answer_of(answer) == (503, "Sorry", {"x-a": "1"}, b"no")
    marked = {"statusCode": 200, "headers": {"X-Embedded-Own-Answer": "1"}}
    assert answer_of(marked)[2] == {}  # only the load balancer may say that an answer is its own
    assert answer_of({"statusCode": 200}) == (200, "OK", {}, b"")
    encoded = {"statusCode": 200, "isBase64Encoded": True, "body": base64.b64encode(b"\xff\x00").decode()}
    assert answer_of(encoded)[3] == b"\xff\x00"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        [],
        {},
        {"statusCode": "200"},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": {"x": 1}},
        {"statusCode": 200, "headers": "x"},
        {"statusCode": 200, "headers": {"x": "a\r\nset-cookie: b"}},
        {"statusCode": 200, "isBase64Encoded": True, "body": "***"},
        {"statusCode": 200, "body": "x" * MAX_BODY_BYTES},
    ],
)
def test_a_malformed_or_too_large_answer_is_none(answer: Any) -> None:
    with pytest.raises(BadAnswerError):
        answer_of(answer)


@pytest.mark.parametrize(
    ("handler", "error_type"),
    [
        ("no_such_module_anywhere.handler", "Runtime.ImportModuleError"),
        ("json.no_such_function", "Runtime.HandlerNotFound"),
        ("nodot", "Runtime.MalformedHandlerName"),
    ],
)
def test_a_handler_that_cannot_be_loaded_has_the_documented_error(handler: str, error_type: str) -> None:
    failure = load_handler(handler)
    assert isinstance(failure, dict)
    assert failure["errorType"] == error_type


def test_the_context_tells_the_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FUNCTION_NAME", "FUNCTION_VERSION", "FUNCTION_MEMORY_SIZE", "LOG_GROUP_NAME", "LOG_STREAM_NAME"):
        monkeypatch.setenv(f"AWS_LAMBDA_{name}", name)
    monkeypatch.setattr("readiness.embedded.function_host.time.monotonic", lambda: 10.0)
    assert Context("r", "arn", 12.5).get_remaining_time_in_millis() == 2500
    assert Context("r", "arn", 9.0).get_remaining_time_in_millis() == 0


def test_output_is_written_in_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    def write(_descriptor: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    monkeypatch.setattr("readiness.embedded.function_host.os.write", write)
    output = LineWriter(1)
    output.write("a")
    output.write("b\nc")
    assert written == [b"ab\n"]
    output.flush()
    assert written == [b"ab\n", b"c\n"]
