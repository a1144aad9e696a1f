"""Inline Lambda code runs: invoked through the API, as a load balancer's target, and by a schedule."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded.parts import Parts, eventually, running

CODE = """
import json, os, time

loaded = time.time()

def handler(event, context):
    print("saw", event.get("path", event.get("kind")))
    match event.get("path", "").lstrip("/") or event.get("kind"):
        case "slow":
            time.sleep(1.0)
        case "endless":
            time.sleep(60)
        case "raise":
            raise ValueError("broken on purpose")
        case "exit":
            os._exit(3)
        case "malformed":
            return "not an answer"
        case "unserialisable":
            return {1, 2}
        case "environment":
            return dict(os.environ)
        case "pid":
            return os.getpid()
        case "large":
            return {"statusCode": 200, "body": "x" * 1100000}
        case "context":
            return [context.function_name, context.invoked_function_arn, context.get_remaining_time_in_millis() > 0]
    return {"statusCode": 503, "headers": {"x-fault": "1"}, "body": json.dumps(event)}
"""


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Parts]:
    with running(tmp_path) as parts:
        yield parts


def zipped(code: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", code)
    return archive.getvalue()


def create(aws: Parts, code: str = CODE, **changes: Any) -> str:
    document = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam = aws.clients("iam")
    role = iam.create_role(RoleName="function", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    function = {
        "FunctionName": "fault",
        "Runtime": "python3.12",
        "Role": role,
        "Handler": "index.handler",
        "Code": {"ZipFile": zipped(code)},
        "Timeout": 5,
        "Environment": {"Variables": {"MODE": "error"}},
    }
    return str(aws.clients("lambda").create_function(**(function | changes))["FunctionArn"])


def invoke(aws: Parts, kind: str, **params: Any) -> tuple[dict[str, Any], Any]:
    answer = aws.clients("lambda").invoke(FunctionName="fault", Payload=json.dumps({"kind": kind}), **params)
    payload = answer["Payload"].read()
    return answer, json.loads(payload) if payload else None


def request(address: tuple[str, int], path: str, method: str = "GET", body: bytes = b"") -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        connection.request(
            method, path, body=body or None, headers={"X-Mixed-Case": "Kept", "content-type": "text/plain"}
        )
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def log_lines(aws: Parts, group: str = "/aws/lambda/fault") -> list[str]:
    logs = aws.clients("logs")
    try:
        return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []


def test_a_function_is_invoked_with_its_environment_and_context(aws: Parts) -> None:
    arn = create(aws)
    answer, environment = invoke(aws, "environment")
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
    assert environment["MODE"] == "error"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "fault"
    assert invoke(aws, "context")[1] == ["fault", arn, True]
    assert aws.functions.invoke(arn, {"kind": "context"}) == ["fault", arn, True]


@pytest.mark.parametrize(
    ("kind", "error_type", "message"),
    [
        ("raise", "ValueError", "broken on purpose"),
        ("endless", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
        ("exit", "Runtime.ExitError", "exit status 3"),
        ("unserialisable", "Runtime.MarshalError", "Unable to marshal response"),
    ],
)
def test_a_failure_has_the_documented_payload_and_the_next_invocation_works(
    aws: Parts, kind: str, error_type: str, message: str
) -> None:
    create(aws, Timeout=1)
    answer, payload = invoke(aws, kind)
    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] == error_type
    assert message in payload["errorMessage"]
    assert invoke(aws, "context")[1][0] == "fault"


def test_code_that_cannot_be_imported_fails_every_invocation(aws: Parts) -> None:
    create(aws, code="import nothing_of_this_name\n")
    for _ in range(2):
        answer, payload = invoke(aws, "any")
        assert answer["FunctionError"] == "Unhandled"
        assert payload["errorType"] == "Runtime.ImportModuleError"


def test_new_code_and_configuration_run_in_a_new_process(aws: Parts) -> None:
    create(aws)
    pid = invoke(aws, "pid")[1]
    assert invoke(aws, "pid")[1] == pid
    lambda_ = aws.clients("lambda")
    lambda_.update_function_configuration(FunctionName="fault", Environment={"Variables": {"MODE": "calm"}})
    assert invoke(aws, "pid")[1] != pid
    assert invoke(aws, "environment")[1]["MODE"] == "calm"
    lambda_.update_function_code(FunctionName="fault", ZipFile=zipped("def handler(event, context): return 'new'"))
    assert invoke(aws, "pid")[1] == "new"
    lambda_.delete_function(FunctionName="fault")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        invoke(aws, "pid")


def test_a_dry_run_runs_nothing_and_an_event_is_not_waited_for(aws: Parts) -> None:
    create(aws)
    assert invoke(aws, "slow", InvocationType="DryRun")[1] is None
    assert log_lines(aws) == []
    began = time.monotonic()
    assert invoke(aws, "slow", InvocationType="Event")[1] is None
    assert time.monotonic() - began < 0.9
    assert eventually(lambda: [line for line in log_lines(aws) if line == "saw slow"])


def test_a_dry_run_is_answered_with_204_and_an_event_with_202(aws: Parts) -> None:
    create(aws)
    kinds = {"DryRun": 204, "Event": 202}
    assert {kind: invoke(aws, "any", InvocationType=kind)[0]["StatusCode"] for kind in kinds} == kinds


def test_output_lies_in_the_log_group_that_the_first_invocation_creates_and_stays(aws: Parts) -> None:
    create(aws)
    assert log_lines(aws) == []
    answer, _ = invoke(aws, "raise", LogType="Tail")
    assert "saw raise" in base64.b64decode(answer["LogResult"]).decode()
    eventually(lambda: [line for line in log_lines(aws) if line.startswith("REPORT")])
    lines = log_lines(aws)
    assert [line.split()[0] for line in lines][:2] == ["START", "saw"]
    assert "[ERROR] ValueError: broken on purpose" in lines
    aws.clients("lambda").delete_function(FunctionName="fault")
    groups = aws.clients("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/fault")["logGroups"]
    assert len(groups) == 1


def test_output_lies_in_the_log_group_that_the_function_names(aws: Parts) -> None:
    create(aws, LoggingConfig={"LogGroup": "own-group"})
    invoke(aws, "any")
    assert eventually(lambda: "saw any" in log_lines(aws, "own-group"))
    configuration = aws.clients("lambda").get_function_configuration(FunctionName="fault")
    assert configuration["LoggingConfig"]["LogGroup"] == "own-group"


@pytest.mark.parametrize(("changes", "told"), [({"Runtime": "nodejs20.x", "Handler": "index.handler"}, "nodejs20.x")])
def test_what_cannot_run_here_is_refused_by_name(aws: Parts, changes: dict[str, Any], told: str) -> None:
    create(aws, **changes)
    with pytest.raises(ClientError, match=told):
        invoke(aws, "any")


def test_no_invocation_is_let_in_with_no_concurrency_reserved(aws: Parts) -> None:
    create(aws)
    aws.clients("lambda").put_function_concurrency(FunctionName="fault", ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequests"):
        invoke(aws, "any")


def test_a_request_reaches_the_function_as_an_alb_event(aws: Parts) -> None:
    arn = create(aws)
    elbv2 = aws.clients("elbv2")
    group = elbv2.create_target_group(Name="fault", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": arn}])
    status, headers, body = request(aws.functions.http_address(arn), "/v1/chat?a=1", "POST", b"hello")
    event = json.loads(body)
    assert (status, headers["x-fault"]) == (503, "1")
    assert event["requestContext"] == {"elb": {"targetGroupArn": group}}
    assert (event["httpMethod"], event["path"], event["queryStringParameters"]) == ("POST", "/v1/chat", {"a": "1"})
    assert (event["headers"]["x-mixed-case"], event["body"], event["isBase64Encoded"]) == ("Kept", "hello", False)


@pytest.mark.parametrize("path", ["/raise", "/exit", "/endless", "/malformed", "/unserialisable", "/large"])
def test_whatever_goes_wrong_in_the_function_is_a_502(aws: Parts, path: str) -> None:
    address = aws.functions.http_address(create(aws, Timeout=1))
    assert request(address, path)[0] == 502
    assert request(address, "/fine")[0] == 503


def test_a_body_of_more_than_a_megabyte_is_a_413(aws: Parts) -> None:
    address = aws.functions.http_address(create(aws))
    with socket.create_connection(address, timeout=10) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")
    assert request(address, "/", "POST", b"x" * 1_000_000)[0] == 503


def test_a_chunked_body_is_put_together(aws: Parts) -> None:
    address = aws.functions.http_address(create(aws))
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request(
        "POST", "/", body=iter([b"ab", b"cd"]), headers={"content-type": "text/plain"}, encode_chunked=True
    )
    event = json.loads(connection.getresponse().read())
    connection.close()
    assert event["body"] == "abcd"
    assert "transfer-encoding" not in event["headers"]


def test_a_slow_invocation_blocks_no_other(aws: Parts) -> None:
    address = aws.functions.http_address(create(aws))
    request(address, "/warm")
    began = time.monotonic()
    with ThreadPoolExecutor(21) as pool:
        slow = [pool.submit(request, address, "/slow") for _ in range(20)]
        fast = pool.submit(request, address, "/fast")
        assert fast.result()[0] == 503
        assert time.monotonic() - began < 0.9
        assert all(one.result()[0] == 503 for one in slow)
    assert time.monotonic() - began < 5.0


def test_three_hundred_requests_a_second_are_served(aws: Parts) -> None:
    address = aws.functions.http_address(create(aws))
    request(address, "/warm")
    served = 0
    lock = threading.Lock()
    until = time.monotonic() + 2.0

    def work() -> None:
        nonlocal served
        connection = http.client.HTTPConnection(*address, timeout=10)
        while time.monotonic() < until:
            connection.request("GET", "/fast")
            response = connection.getresponse()
            response.read()
            assert response.status == 503
            with lock:
                served += 1
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(work) for _ in range(8)]:
            one.result()
    print(f"{served / 2:.0f} requests/s, client in the same process")  # noqa: T201
    assert served / 2 > 100  # of a machine with nothing else to do, over 300


def test_a_schedule_invokes_an_operation_of_another_service_and_is_gone(aws: Parts) -> None:
    sqs = aws.clients("sqs")
    queue = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    at = datetime.now(UTC) + timedelta(seconds=2)
    aws.clients("scheduler").create_schedule(
        Name="once",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
            "Input": json.dumps({"QueueUrl": queue, "MessageBody": "due"}),
        },
    )
    assert [one["Name"] for one in aws.clients("scheduler").list_schedules()["Schedules"]] == ["once"]
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    assert message["Body"] == "due"
    assert eventually(lambda: not aws.clients("scheduler").list_schedules()["Schedules"])


def test_a_schedule_in_the_past_is_refused(aws: Parts) -> None:
    with pytest.raises(ClientError, match="in the past"):
        aws.clients("scheduler").create_schedule(
            Name="late",
            ScheduleExpression="at(2020-01-01T00:00:00)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:sqs:eu-west-1:123456789012:q", "RoleArn": "arn:aws:iam::123456789012:role/r"},
        )
