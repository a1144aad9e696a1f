"""Publishing: one comment that is updated and never repeated, against a server on loopback that acts as GitHub does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from readiness import evidence, gates
from readiness.cli import command
from readiness.decide import ExitCode
from readiness.errors import ReadinessError, UsageError
from readiness.github_api import ATTEMPTS, GitHub, GitHubError, Target
from readiness.model import Stage
from readiness.publish import LIMIT, Message, message, put
from readiness.run import Request, attempt, conclude, freeze
from tests.unit.samples import PLAN, a_context, a_gate, a_narrator, edit_json

TOKEN = "ghp_secret"
ISSUE = Target(owner="shop", name="web", number=7)
MADE = Message(marker="<!-- readiness shop readiness.toml -->", body="<!-- readiness shop readiness.toml -->\nGO\n")


class FakeGitHub:
    """Comments of issues, as GitHub's API keeps them.

    Attributes:
        refuse: (method, number of the request) -> status and headers with which it is refused; None = it is not.
        asked: Method and path of each request.
    """

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str]] = []
        self.refuse: Callable[[str, int], tuple[int, dict[str, str]] | None] = lambda method, number: None
        self.drop_answers_to_post = False

    def add(self, body: str, *, kind: str = "Bot", association: str = "NONE") -> dict[str, Any]:
        number = len(self.comments) + 1
        made = {
            "id": number,
            "body": body,
            "html_url": f"https://github.com/shop/web/issues/7#issuecomment-{number}",
            "user": {"type": kind},
            "author_association": association,
        }
        self.comments.append(made)
        return made

    def answer(self, method: str, path: str, sent: Any, headers: Any) -> tuple[int, Any, dict[str, str]]:
        self.asked.append((method, path))
        refused = self.refuse(method, len(self.asked))
        if refused is not None and not (method == "POST" and self.drop_answers_to_post):
            return refused[0], {"message": "because"}, refused[1]
        if headers["Authorization"] != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}, {}
        parts = urlsplit(path)
        if parts.path == "/repos/shop/web/issues/7/comments":
            if method == "POST":
                made = self.add(sent["body"])
                return (502, {}, {}) if refused else (201, made, {})
            query = parse_qs(parts.query)
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return 200, self.comments[(page - 1) * size : page * size], {}
        found = [each for each in self.comments if parts.path == f"/repos/shop/web/issues/comments/{each['id']}"]
        if method == "PATCH" and found:
            found[0]["body"] = sent["body"]
            return 200, found[0], {}
        return 404, {"message": "Not Found"}, {}


@pytest.fixture
def fake(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    there = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def act(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body, headers = there.answer(
                self.command, self.path, json.loads(data) if data else None, self.headers
            )
            answer = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = act

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        there.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield there
        server.shutdown()
        thread.join()


@pytest.fixture
def slept():
    return []


@pytest.fixture
def github(fake, slept):
    return GitHub(url=fake.url, token=TOKEN, sleep=slept.append)


def test_the_first_time_a_comment_is_written_and_then_it_is_updated(fake, github):
    first, is_new = put(github, ISSUE, MADE)
    again, is_newer = put(github, ISSUE, Message(marker=MADE.marker, body=MADE.marker + "\nNO-GO\n"))

    assert (is_new, is_newer) == (True, False)
    assert first.id == again.id
    assert [each["body"] for each in fake.comments] == [MADE.marker + "\nNO-GO\n"]


def test_another_service_has_a_comment_of_its_own(fake, github):
    put(github, ISSUE, MADE)
    put(github, ISSUE, Message(marker="<!-- readiness cart readiness.toml -->", body="x"))

    assert len(fake.comments) == 2


def test_the_comment_is_found_behind_hundreds_of_others(fake, github):
    for number in range(250):
        fake.add(f"comment {number}", kind="User")
    fake.add(MADE.marker + "\nold")

    _, is_new = put(github, ISSUE, MADE)

    assert not is_new
    assert len(fake.comments) == 251
    assert [path.rpartition("page=")[2] for method, path in fake.asked if method == "GET"] == ["1", "2", "3"]


def test_a_stranger_who_writes_the_marker_does_not_get_the_report(fake, github):
    fake.add(MADE.marker, kind="User", association="NONE")

    _, is_new = put(github, ISSUE, MADE)

    assert is_new
    assert fake.comments[0]["body"] == MADE.marker


def test_a_marker_that_somebody_quotes_is_no_comment_of_ours(fake, github):
    fake.add("> " + MADE.marker, kind="User", association="OWNER")

    assert put(github, ISSUE, MADE)[1]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failure_of_github_is_waited_for(fake, github, slept, status):
    fake.refuse = lambda method, number: (status, {}) if number <= 2 else None

    assert put(github, ISSUE, MADE)[1]

    assert slept == [2.0, 4.0]
    assert len(fake.comments) == 1


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [(429, {"Retry-After": "3"}, 3.0), (403, {"Retry-After": "5"}, 5.0), (403, {"X-RateLimit-Remaining": "0"}, 2.0)],
)
def test_a_limit_is_waited_for_as_long_as_github_says(fake, github, slept, status, headers, wait_s):
    fake.refuse = lambda method, number: (status, headers) if number == 1 else None

    assert put(github, ISSUE, MADE)[1]

    assert slept == [wait_s]


def test_a_limit_of_an_hour_is_not_waited_for(fake, github, slept):
    fake.refuse = lambda method, number: (429, {"Retry-After": "3600"})

    with pytest.raises(GitHubError, match="rate limit is used up"):
        put(github, ISSUE, MADE)

    assert slept == []
    assert len(fake.asked) == 1


def test_attempts_end(fake, github, slept):
    fake.refuse = lambda method, number: (503, {})

    with pytest.raises(GitHubError, match="HTTP 503"):
        put(github, ISSUE, MADE)

    assert len(fake.asked) == ATTEMPTS
    assert len(slept) == ATTEMPTS - 1


def test_a_comment_that_was_written_although_github_failed_is_not_written_twice(fake, github):
    fake.drop_answers_to_post = True
    fake.refuse = lambda method, number: (502, {}) if method == "POST" else None

    _, is_new = put(github, ISSUE, MADE)

    assert not is_new
    assert len(fake.comments) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept the token"),
        (403, "may not comment on shop/web#7"),
        (404, "has no shop/web#7, or the token may not see it"),
        (410, "Issues are switched off for shop/web"),
        (422, "HTTP 422: because"),
        (301, "has another name now"),
    ],
)
def test_each_refusal_is_one_sentence_and_not_repeated(fake, github, slept, status, words):
    fake.refuse = lambda method, number: (status, {"Location": "http://127.0.0.1:1/elsewhere"})

    with pytest.raises(GitHubError, match=words) as caught:
        put(github, ISSUE, MADE)

    assert TOKEN not in str(caught.value)
    assert (len(fake.asked), slept) == (1, [])


def test_nobody_there_is_told(slept):
    github = GitHub(url="http://127.0.0.1:9", token=TOKEN, sleep=slept.append)

    with pytest.raises(GitHubError, match="gives no answer"):
        put(github, ISSUE, MADE)


@pytest.mark.parametrize("url", ["http://github.example.com/api/v3", "ftp://127.0.0.1", "github.com"])
def test_the_token_never_travels_in_the_clear(url):
    with pytest.raises(UsageError, match="is not https"):
        GitHub(url=url, token=TOKEN)


def test_the_token_is_in_no_text_of_the_client():
    assert TOKEN not in repr(GitHub(url="https://api.github.com", token=TOKEN))


@pytest.mark.parametrize(
    "text", ["shop/web", "shop/web#0", "shop/web#x", "web#7", "shop/we b#7", "shop/..#7", "a/b/c#1", ""]
)
def test_what_is_no_issue_is_refused(text):
    with pytest.raises(UsageError, match="OWNER/REPO#NUMBER"):
        Target.parse(text)


# --- of a bundle -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """The sealed bundle of a run that nobody committed a plan for."""
    known = (a_gate("numbers", (1.0,)), a_gate("words", (11.0,)), a_gate("left", stage=Stage.AFTER_TEARDOWN))
    monkeypatch.setattr(gates, "all_gates", lambda: known)
    (tmp_path / "readiness.toml").write_text(PLAN)
    request = Request(
        repository=tmp_path,
        plan_file=tmp_path / "readiness.toml",
        waivers_file=tmp_path / "waivers.toml",
        target="embedded",
        allow_dirty=True,
    )
    this = freeze(request, a_narrator()[0])
    context = a_context(this.folder, bundle=this.bundle, ledger=this.ledger)
    this.results += [attempt(this, gate, context) for gate in known]
    conclude(this)
    return this.bundle.root


def test_the_report_is_published_with_the_digest_of_its_evidence(bundle):
    made = message(bundle, evidence_url="https://ci.example.com/7")

    assert made.marker == "<!-- readiness shop readiness.toml -->"
    assert made.body.startswith(made.marker + "\n# shop: ")
    assert evidence.bundle_digest(bundle) in made.body
    assert "<https://ci.example.com/7>" in made.body
    assert "](observations/" not in made.body


def test_a_report_that_is_too_long_is_cut_with_a_note(bundle, monkeypatch):
    monkeypatch.setattr("readiness.report.markdown", lambda *_: "# shop\n" + "| é @somebody |\n" * 20_000)

    body = message(bundle).body

    assert LIMIT - 200 < len(body.encode()) <= LIMIT
    assert "> **Cut.** The whole report is report.md in the evidence bundle." in body
    assert evidence.bundle_digest(bundle) in body
    assert "@somebody" not in body


def test_an_altered_bundle_is_not_published_unless_told(bundle):
    edit_json(bundle / "record.json", lambda raw: raw.update(verdict="GO"))

    with pytest.raises(ReadinessError, match="does not verify, so it is not published"):
        message(bundle)
    assert "> **Take care.** This bundle does not verify" in message(bundle, unverified=True).body


def test_the_command_publishes_and_never_tells_the_token(bundle, fake, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)

    for _ in range(2):
        assert command(["publish", str(bundle), "--github", "shop/web#7", "--api-url", fake.url]) == 0

    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("shop/web#7: commented: https://github.com/shop/web/issues/7#")
    assert said.out.splitlines()[1].startswith("shop/web#7: the comment was updated: ")
    assert TOKEN not in said.out + said.err
    assert len(fake.comments) == 1


def test_a_dry_run_prints_and_asks_nobody(bundle, fake, monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)

    assert command(["publish", str(bundle), "--github", "shop/web#7", "--api-url", fake.url, "--dry-run"]) == 0

    assert capsys.readouterr().out == message(bundle).body
    assert fake.asked == []


def test_without_a_token_nothing_is_asked(bundle, fake, monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)

    assert command(["publish", str(bundle), "--github", "shop/web#7", "--api-url", fake.url]) == ExitCode.USAGE

    assert "GITHUB_TOKEN is not set" in capsys.readouterr().err
    assert fake.asked == []
