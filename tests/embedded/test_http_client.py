"""The load generator's client against services that misbehave, in this process and on loopback."""

from __future__ import annotations

import ipaddress
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gevent
import gevent.server
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from readiness.loadgen.answers import Answer
from readiness.loadgen.http_client import Exchange, Target
from readiness.loadgen.rows import CONNECT, RESET, TIMEOUT

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(autouse=True)
def nothing_left_running() -> None:
    """No embedded AWS is started here."""


class Seen(Exchange):
    """Remembers how it ended, and that it ended once."""

    def __init__(self, method: str = "GET", raw: bytes = GET) -> None:
        super().__init__(method, raw)
        self.answers: list[Answer] = []
        self.received_at = 0.0
        self.failures: list[tuple[str, str]] = []

    def answered(self, answer: Answer, received_at: float) -> None:
        self.answers.append(answer)
        self.received_at = received_at

    def failed(self, outcome: str, message: str) -> None:
        self.failures.append((outcome, message))

    @property
    def ended(self) -> int:
        return len(self.answers) + len(self.failures)


Handler = Callable[[Any], None]


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve connections, one greenlet each, with a function of the connected socket."""
    servers: list[gevent.server.StreamServer] = []

    def starter(handler: Handler, **tls: Any) -> str:
        server = gevent.server.StreamServer(("127.0.0.1", 0), lambda client, _: handler(client), **tls)
        server.start()
        servers.append(server)
        return f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"

    yield starter
    for server in servers:
        server.stop(timeout=0)


@pytest.fixture
def target() -> Iterator[Callable[..., Target]]:
    made: list[Target] = []

    def starter(url: str, timeout_s: float = 5, **settings: Any) -> Target:
        def fault(error: Exception) -> None:
            faults.append(error)

        made.append(Target(url, timeout_s, fault=fault, **settings))
        return made[-1]

    faults: list[Exception] = []
    yield starter
    for each in made:
        each.close()
    assert faults == []


def ended(*exchanges: Seen, deadline_s: float = 10) -> None:
    until = time.monotonic() + deadline_s
    while not all(each.ended for each in exchanges):
        assert time.monotonic() < until, [(each.answers, each.failures) for each in exchanges]
        gevent.sleep(0.005)
    gevent.sleep(0.02)  # a second end would come now
    assert [each.ended for each in exchanges] == [1] * len(exchanges)


def sent(target: Target, *exchanges: Seen) -> tuple[Seen, ...]:
    for each in exchanges:
        target.send(each)
    ended(*exchanges)
    return exchanges


def echo(client: Any) -> None:
    """Answer each request with its own bytes."""
    while data := client.recv(65536):
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)


def test_requests_at_once_get_a_connection_each_and_later_ones_share_them(serve: Any, target: Any) -> None:
    connections = []

    def count(client: Any) -> None:
        connections.append(1)
        echo(client)

    aim = target(serve(count))
    first = sent(aim, *(Seen(raw=b"GET /%d HTTP/1.1\r\n\r\n" % number) for number in range(20)))
    assert [each.answers[0].body for each in first] == [each.raw for each in first]
    for _ in range(30):
        sent(aim, Seen())
    assert len(connections) == 20


def test_nobody_listens_is_no_connection(target: Any) -> None:
    (request,) = sent(target("http://127.0.0.1:9"), Seen())
    assert request.failures[0][0] == CONNECT
    assert "refused" in request.failures[0][1]


def test_a_name_that_nobody_has_is_no_connection(target: Any) -> None:
    (request,) = sent(target("http://no-such-host.invalid:80", timeout_s=30), Seen())
    assert request.failures[0][0] == CONNECT


def test_silence_is_a_timeout_and_answers_of_others_come_meanwhile(serve: Any, target: Any) -> None:
    def slow(client: Any) -> None:
        while data := client.recv(65536):
            if b"slow" in data:
                gevent.sleep(30)
            client.sendall(OK)

    aim = target(serve(slow), timeout_s=0.4)
    begun = time.monotonic()
    waiting, quick = Seen(raw=b"GET /slow HTTP/1.1\r\n\r\n"), Seen()
    sent(aim, waiting, quick)
    assert waiting.failures == [(TIMEOUT, "no answer within 0.4 s")]
    assert 0.4 <= time.monotonic() - begun < 0.8
    assert quick.answers
    assert sent(aim, Seen())[0].answers


def test_an_answer_that_drips_is_a_timeout_too(serve: Any, target: Any) -> None:
    def drip(client: Any) -> None:
        client.recv(65536)
        for number in range(len(OK)):
            client.sendall(OK[number : number + 1])
            gevent.sleep(0.1)

    assert sent(target(serve(drip), timeout_s=0.5), Seen())[0].failures[0][0] == TIMEOUT


@pytest.mark.parametrize(
    "said",
    [b"", OK[:-1], OK[:20], OK + b"more", b"no http", OK.replace(b"2\r", b"9\r")],
    ids=lambda said: repr(said[-9:]),
)
def test_a_connection_that_ends_or_says_too_much_is_a_reset(serve: Any, target: Any, said: bytes) -> None:
    def cut(client: Any) -> None:
        client.recv(65536)
        client.sendall(said)
        client.close()

    aim = target(serve(cut))
    (request,) = sent(aim, Seen())
    assert request.failures[0][0] == RESET
    assert aim.reconnects == 0


def closes_kept_connections(client: Any) -> None:
    """Answer once; close when asked again, without a word."""
    client.recv(65536)
    client.sendall(OK)
    client.recv(65536)
    client.close()


def test_a_kept_connection_that_went_away_is_replaced_once_where_nothing_can_happen_twice(
    serve: Any, target: Any
) -> None:
    aim = target(serve(closes_kept_connections))
    sent(aim, Seen())
    assert sent(aim, Seen())[0].answers
    assert aim.reconnects == 1
    (posted,) = sent(aim, Seen("POST", b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"))
    assert posted.failures[0][0] == RESET
    assert aim.reconnects == 1


def test_an_idle_connection_that_is_closed_or_speaks_unasked_is_not_used_again(serve: Any, target: Any) -> None:
    connections = []

    def unasked(client: Any) -> None:
        connections.append(1)
        client.recv(65536)
        client.sendall(OK)
        if len(connections) == 1:
            client.close()
        else:
            client.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            gevent.sleep(5)

    aim = target(serve(unasked))
    for number in range(1, 4):
        (request,) = sent(aim, Seen("POST", GET.replace(b"GET", b"POST")))
        # Said in one breath with the answer, it is more than was asked for.
        assert request.answers or request.failures[0][0] == RESET
        gevent.sleep(0.05)
        assert len(connections) == number
    assert aim.reconnects == 0


def test_a_body_larger_than_the_system_takes_at_once_arrives_whole(serve: Any, target: Any) -> None:
    body = bytes(range(256)) * 64 * 1024

    def sink(client: Any) -> None:
        got = bytearray()
        while len(got) < len(body) + 50:
            gevent.sleep(0)
            got += client.recv(1 << 20)
        good = got.endswith(body) and len(got) == len(body) + 50
        client.sendall(OK if good else OK.replace(b"200", b"400"))

    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n" % len(body)
    raw = head + b"X: " + b"x" * (50 - len(head) - 7) + b"\r\n\r\n" + body
    (request,) = sent(target(serve(sink)), Seen("POST", raw))
    assert request.answers[0].status == 200


def test_large_answers_are_read_whole(serve: Any, target: Any) -> None:
    body = b"0123456789abcdef" * 200_000

    def source(client: Any) -> None:
        while client.recv(65536):
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    aim = target(serve(source))
    for request in (*sent(aim, Seen()), *sent(aim, Seen(), Seen())):
        assert request.answers[0].body == body


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps what it receives")
def test_an_answer_has_come_when_the_kernel_got_it_however_late_it_is_read(serve: Any, target: Any) -> None:
    def answer_twice(client: Any) -> None:
        for _ in range(3):
            client.recv(65536)
            client.sendall(OK)

    aim = target(serve(answer_twice))
    sent(aim, Seen())  # the system begins to stamp a little after it was asked to
    gevent.sleep(0.1)
    sent(aim, Seen())
    request = Seen()
    aim.send(request)
    begun = time.monotonic()
    while not request.ended:
        gevent.sleep(0.001)
        time.sleep(0.1)  # the process is busy with something else
    assert request.answers, request.failures
    assert begun <= request.received_at + 0.001 < begun + 0.3
    assert time.monotonic() - request.received_at > 0.09


def test_closing_tells_nobody_and_leaves_no_connection(serve: Any, target: Any) -> None:
    gone = []

    def hang(client: Any) -> None:
        client.recv(65536)
        client.recv(65536)
        gone.append(1)

    aim = target(serve(hang))
    waiting = [Seen() for _ in range(3)]
    for each in waiting:
        aim.send(each)
    gevent.sleep(0.1)
    aim.close()
    until = time.monotonic() + 5
    while len(gone) < 3:
        assert time.monotonic() < until
        gevent.sleep(0.01)
    assert [each.ended for each in waiting] == [0, 0, 0]


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "readiness test")])
    now = datetime.now(UTC)

    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_https_is_spoken_with_a_service_whose_certificate_is_trusted(
    serve: Any, target: Any, certificate: Path
) -> None:
    large = b"POST / HTTP/1.1\r\n\r\n" + b"x" * 40_000

    def mirror(client: Any) -> None:
        got = b""
        while len(got) < len(large):
            got += client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(got) + got)
        echo(client)

    trusting = ssl.create_default_context(cafile=str(certificate))
    aim = target(serve(mirror, certfile=str(certificate)), tls=trusting)
    requests = sent(aim, *(Seen("POST", large) for _ in range(3)))
    assert [each.answers[0].body for each in requests] == [large] * 3
    assert sent(aim, Seen())[0].answers[0].body == GET


def test_a_certificate_that_is_not_trusted_is_no_connection(serve: Any, target: Any, certificate: Path) -> None:
    (request,) = sent(target(serve(echo, certfile=str(certificate))), Seen())
    assert request.failures[0][0] == CONNECT
    assert "certificate" in request.failures[0][1].lower()


def test_a_service_without_tls_is_no_https_service(serve: Any, target: Any) -> None:
    plain = serve(echo).replace("http:", "https:")
    assert sent(target(plain, timeout_s=2), Seen())[0].failures[0][0] in (CONNECT, TIMEOUT)
