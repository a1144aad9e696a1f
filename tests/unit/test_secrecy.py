"""Secrets of the environment are masked wherever something is written; what only looks like one is left."""

from __future__ import annotations

import json

import pytest

from readiness.errors import ReadinessError, UsageError
from readiness.evidence import BundleWriter
from readiness.ledger import Ledger
from readiness.secrecy import MASK, conceal, conceal_bytes, refuse_secrets_in, secrets
from tests.unit.samples import a_narrator

CANARY = 'canary-4f9c"\\ü/x=='


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setenv("SHOP_API_TOKEN", CANARY)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GITHUB_TOKEN",
        "DB_PASSWORD",
        "OPENAI_API_KEY",
        "MY_PRIVATE_KEY",
        "AUTHORIZATION",
        "NPM_AUTH",
    ],
)
def test_a_variable_called_like_a_secret_is_one(name):
    assert secrets({name: "wJalrXUtnFEMI"}) == ("wJalrXUtnFEMI",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOME", "/home/somebody"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
        ("TOKEN_URL", "https://example.org/token"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AUTHOR", "Jane Q. Doe"),
        ("GIT_AUTHOR_EMAIL", "ada@example.org"),
        ("XAUTHORITY", "/home/ada/.Xauthority"),
        ("AWS_CREDENTIAL_EXPIRATION", "2026-11-29T16:00:00Z"),
        ("CREDENTIALS_DIRECTORY", "/run/credentials/x"),
        ("OAUTH_DOMAIN_REGION", "eu-west-1"),
        ("AWS_SECRET_ACCESS_KEY", "embedded"),
        ("PASSWORD", "short1"),
        ("TOKEN", "123456789012"),
    ],
)
def test_what_is_no_secret_or_too_plain_to_mask_is_left(name, value):
    assert secrets({name: value}) == ()


def test_the_longest_is_masked_first_so_that_no_rest_of_it_is_left(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "secret-part-1")
    monkeypatch.setenv("B_TOKEN", "secret-part-1-and-more")
    assert conceal("x secret-part-1-and-more y secret-part-1") == f"x {MASK} y {MASK}"


@pytest.mark.parametrize(
    "text",
    [CANARY, json.dumps({"a": CANARY}), "http://x/?t=canary-4f9c%22%5C%C3%BC%2Fx%3D%3D", f"Bearer {CANARY}"],
    ids=["plain", "json", "url", "header"],
)
def test_however_it_is_spelled_it_is_masked(planted, text):
    assert "4f9c" not in conceal(text)
    assert b"4f9c" not in conceal_bytes(text.encode() + b"\xff\x00")


def test_json_stays_json(planted):
    assert json.loads(conceal(json.dumps({"a": f"x {CANARY} y"}))) == {"a": f"x {MASK} y"}


def test_neither_bundle_nor_ledger_nor_narration_gives_it_away(planted, tmp_path):
    narrator, said = a_narrator()
    bundle, ledger = BundleWriter(tmp_path / "bundle"), Ledger(tmp_path / "ledger.jsonl")

    bundle.write("tool.txt", f"curl -H 'Authorization: {CANARY}'".encode())
    ledger.note("step", name="a step", why=f"it said {CANARY}")
    narrator.say(CANARY)
    narrator.warn(CANARY)

    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 2
    assert not any("4f9c" in text for text in [*written, said.getvalue()])
    assert ledger.entries()[0].details["why"] == f"it said {MASK}"


def test_what_was_made_and_where_is_never_masked_in_the_ledger(monkeypatch, tmp_path):
    monkeypatch.setenv("DB_PASSWORD", "llm-proxy")
    ledger = Ledger(tmp_path / "ledger.jsonl")

    ledger.note(
        "resource", kind="llm-proxy", name="readiness-1-llm-proxy-Role", endpoint="http://llm-proxy", how="typed"
    )

    (entry,) = ledger.entries()
    assert (entry.kind, entry.name) == ("llm-proxy", "readiness-1-llm-proxy-Role")
    assert entry.details == {"endpoint": "http://llm-proxy", "how": "typed"}


def test_a_file_that_decides_and_holds_a_secret_is_refused_by_the_variables_name_alone(planted, tmp_path):
    file = tmp_path / "readiness.toml"
    file.write_text(f"token = {json.dumps(CANARY)}")

    with pytest.raises(UsageError, match=r"readiness\.toml holds the value of .* SHOP_API_TOKEN") as caught:
        refuse_secrets_in([tmp_path / "absent.toml", file])
    assert "4f9c" not in str(caught.value)

    file.write_text("token = 1")
    refuse_secrets_in([file])


def test_an_error_on_the_command_line_does_not_give_it_away(planted, capsys):
    from readiness.cli import _fail
    from readiness.decide import ExitCode

    _fail(ReadinessError(f"`curl {CANARY}` ended with exit code 1"), ExitCode.NO_RELIABLE_VERDICT)

    assert "4f9c" not in capsys.readouterr().err
